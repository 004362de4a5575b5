//! `loong plugins swap` and `rollback`: another version of a plugin takes the place of the one that is active, here and
//! in every run that is under way; and goes again.

use std::io::IsTerminal as _;
use std::sync::Arc;

use loong_kernel::{Event, PluginPhase};
use loong_manifest::{Code, Digest, PluginId, Tier};
use loong_store::Version;
use serde_json::json;

use crate::authority::{Line, Side, differences};
use crate::error::CommandError;
use crate::grant::LoadArgs;
use crate::host::{self, Host, Session};
use crate::locate::Entry;
use crate::places::Places;
use crate::ui::Ui;

/// Let another version of a plugin take the place of the one that is active
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins swap core:text 0.2.0 --dry-run      show what it may do that the other may not
  loong plugins swap core:text 0.2.0
  loong plugins swap core:text 0.1.0                go back on purpose

Both versions lie in the folder of installed plugins, or in one named with `--plugins`. The new one is verified,
admitted, compiled, linked, held against what imports it, and checked in an instance of its own; only then new calls
reach it, in runs that are under way too. Calls of the old one may end. While it is on probation (`swap` in loong.toml),
the old one comes back by itself when the new one fails in half of its calls.")]
pub struct SwapArgs {
    /// The id or name of the plugin
    #[arg(value_name = "ID")]
    plugin: String,
    /// The version that is to be active
    #[arg(value_name = "VERSION")]
    to: String,
    /// Show what differs, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Skip the question
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    load: LoadArgs,
}

/// Let the version before take its place again
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins rollback core:text --reason 'wrong umlauts'")]
pub struct RollbackArgs {
    /// The id or name of the plugin
    #[arg(value_name = "ID")]
    plugin: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: String,
    /// Skip the question
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    load: LoadArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &SwapArgs) -> Result<(), CommandError> {
    let host = Host::open(ui, places, &args.load)?;
    let session = host.start(&format!("plugins swap {} {}", args.plugin, args.to))?;
    let result = swap(ui, &host, &session, args);
    host.finish(&session, result)
}

/// The two versions, and what differs.
struct Plan {
    id: PluginId,
    before: Option<Side>,
    after: Side,
    path: std::path::PathBuf,
    lines: Vec<Line>,
}

fn swap(ui: &mut Ui, host: &Host, session: &Session, args: &SwapArgs) -> Result<(), CommandError> {
    let wanted = |entry: &Entry| entry.manifest.version.to_string() == args.to;
    let plan = plan(host, &args.plugin, &args.to, wanted)?;
    let old = plan.before.as_ref().map(version);
    let new = version(&plan.after);
    if host.path().chosen(&plan.id).is_some_and(|chosen| chosen.now.digest == new.digest) {
        ui.note(format!("`{}` {} is the chosen version already", plan.id, new.version));
        return Ok(());
    }
    if !ui.json() {
        show(ui, &plan.lines);
    }
    let more = plan.lines.iter().filter(|line| line.more).count();
    if let Some(before) = &plan.before
        && plan.after.verified.tier() < before.verified.tier()
    {
        let (now, then) = (plan.after.verified.tier(), before.verified.tier());
        return Err(refused(format!(
            "`{}` {} is {now}, and {} is {then}",
            plan.id,
            new.version,
            before.verified.version()
        )));
    }
    if args.dry_run {
        answer(ui, &plan, &old, &new, false);
        return Ok(());
    }
    if more > 0 && !args.yes && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(CommandError::new(
            Code::ApprovalRequired,
            format!(
                "`{}` {} may do more than the version before, and nobody is here to say yes",
                plan.id, new.version
            ),
        )
        .hint("look at what differs with `--dry-run`, then give `--yes`"));
    }
    let question = match more {
        0 => format!("`{}` {} takes the place of the version that is active", plan.id, new.version),
        _ => format!(
            "`{}` {} may do more than the version before, see the lines with `!`",
            plan.id, new.version
        ),
    };
    ui.confirm(&question, args.yes)?;
    carry_out(host, session, &plan, old.clone(), &new)?;
    answer(ui, &plan, &old, &new, true);
    Ok(())
}

/// Lets an installed version take the place of the one that is active, once a person agreed to the plan that holds it.
pub(super) fn take_over(
    ui: &Ui,
    places: &Places,
    id: &PluginId,
    digest: &Digest,
) -> Result<(), CommandError> {
    let host = Host::open(ui, places, &LoadArgs::default())?;
    if host.path().chosen(id).is_some_and(|chosen| chosen.now.digest == *digest) {
        return Ok(());
    }
    let session = host.start(&format!("plugins swap {id}"))?;
    let wanted = |entry: &Entry| entry.digest().as_ref() == Some(digest);
    let result = plan(&host, &id.to_string(), &digest.short(), wanted).and_then(|plan| {
        let (old, new) = (plan.before.as_ref().map(version), version(&plan.after));
        carry_out(&host, &session, &plan, old, &new)
    });
    host.finish(&session, result)
}

fn carry_out(
    host: &Host,
    session: &Session,
    plan: &Plan,
    old: Option<Version>,
    new: &Version,
) -> Result<(), CommandError> {
    let store = host.store();
    let number = host.wait(store.begin_swap(&plan.id, old.as_ref().map(|old| old.digest), new.clone()))?;
    if let Err(error) = examine(host, session, plan) {
        host.wait(store.refuse_swap(number, &error.headline))?;
        return Err(error);
    }
    host.wait(switch(host, session, plan, number, old, new))
}

fn plan(
    host: &Host,
    plugin: &str,
    named: &str,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<Plan, CommandError> {
    let (id, versions) = versions(host, plugin)?;
    let mut found: Vec<&Entry> = versions.iter().filter(|entry| wanted(entry)).collect();
    found.dedup_by_key(|entry| entry.digest());
    let entry = match *found.as_slice() {
        [one] => one,
        [] => {
            let error =
                CommandError::new(Code::PluginUnknown, format!("there is no version {named} of `{id}` here"));
            let there = |entry: &Entry| format!("{} in {}", entry.manifest.version, entry.path.display());
            return Err(versions.iter().map(there).fold(error, CommandError::detail));
        }
        _ => {
            let error = CommandError::new(
                Code::PluginUnknown,
                format!("`{id}` {named} is here with different bytes"),
            )
            .hint("take away the files that are not meant");
            return Err(found
                .iter()
                .fold(error, |error, entry| error.detail(entry.path.display().to_string())));
        }
    };
    let after = host.side(&entry.path)?;
    let others: Vec<&Entry> = versions.iter().filter(|other| other.path != entry.path).collect();
    let before = match (host.path().chosen(&id), others.as_slice()) {
        (Some(chosen), _) => Some(host.side(&host.path().by_digest(&id, &chosen.now.digest)?)?),
        (None, [only]) => Some(host.side(&only.path)?),
        (None, _) => None,
    };
    let lines = before.as_ref().map(|before| differences(before, &after)).unwrap_or_default();
    Ok(Plan { id, before, after, path: entry.path.clone(), lines })
}

/// The plugin that a person means, and every version of it that is here.
fn versions(host: &Host, what: &str) -> Result<(PluginId, Vec<Entry>), CommandError> {
    let found = host.path().versions_named(what);
    let Some(id) = found.first().map(|entry| entry.manifest.id.clone()) else {
        return Err(CommandError::new(Code::PluginUnknown, format!("no component is named `{what}`")));
    };
    if found.iter().any(|entry| entry.manifest.id != id) {
        return Err(crate::locate::ambiguous(what, &found).hint("give the whole id, with the publisher"));
    }
    Ok((id, found))
}

/// Everything that has to hold before a version may serve. Nothing of the one that is active is touched.
fn examine(host: &Host, session: &Session, plan: &Plan) -> Result<(), CommandError> {
    let tier = plan.before.as_ref().map_or(Tier::VerifiedCommunity, |before| before.verified.tier());
    let plugin =
        Arc::new(host.wait(host.prepare(&plan.path, session, tier.min(plan.after.verified.tier())))?);
    if plugin.tier == Tier::Unverified {
        return Err(refused(format!("`{}` is unverified, and never found by its id", plan.id)));
    }
    for import in plugin.plugin.imports() {
        let offering = host.path().offering(&import.interface);
        let Some(entry) = offering.iter().find(|entry| entry.manifest.id != plan.id) else {
            let problem =
                format!("`{}` imports `{}`, which no component here offers", plan.id, import.interface);
            return Err(CommandError::new(Code::ImportUnknown, problem));
        };
        let offering = host.wait(host.prepare(&entry.path, session, Tier::VerifiedCommunity))?;
        host::agree(&plugin, import, &offering)?;
    }
    let offers = |import: &loong_runtime::Import| {
        plugin.operations.iter().any(|operation| {
            operation.name.interface.as_ref().is_some_and(|offered| offered.satisfies(&import.interface))
        })
    };
    let offered = plugin.operations.iter().filter_map(|operation| operation.name.interface.as_ref());
    for entry in host.path().entries_needing(offered).iter().filter(|entry| entry.manifest.id != plan.id) {
        // Those that cannot be loaded themselves depend on nothing.
        let Ok(dependent) = host.wait(host.prepare(&entry.path, session, Tier::VerifiedCommunity)) else {
            continue;
        };
        // What it offers in another version than they want, the version before goes on offering to them.
        for import in dependent.plugin.imports().iter().filter(|import| offers(import)) {
            host::agree(&dependent, import, &plugin)?;
        }
    }
    host.wait(host.check(session, &plugin))
}

async fn switch(
    host: &Host,
    session: &Session,
    plan: &Plan,
    number: i64,
    old: Option<Version>,
    new: &Version,
) -> Result<(), CommandError> {
    let run = Some(session.run().id().to_string());
    let (plugin, digest) = (plan.id.clone(), new.digest);
    if let Some(old) = &old {
        let (version, before, tier) = (new.version.clone(), old.digest, plan.after.verified.tier());
        let (run, plugin) = (run.clone(), plugin.clone());
        host.kernel().note(Event::PluginSwapped { run, plugin, version, before, digest, tier }).await?;
    }
    if let Err(error) = host.store().switch(number, old, host.probation_ms()).await {
        let (state, reason) = (PluginPhase::RolledBack, Some(error.to_string()));
        host.kernel().note(Event::PluginState { run, plugin, digest, state, reason }).await?;
        return Err(error.into());
    }
    Ok(())
}

pub(super) fn roll_back(ui: &mut Ui, places: &Places, args: &RollbackArgs) -> Result<(), CommandError> {
    let host = Host::open(ui, places, &args.load)?;
    let session = host.start(&format!("plugins rollback {}", args.plugin))?;
    let result = back(ui, &host, &session, args);
    host.finish(&session, result)
}

fn back(ui: &mut Ui, host: &Host, session: &Session, args: &RollbackArgs) -> Result<(), CommandError> {
    let (id, _) = versions(host, &args.plugin)?;
    let nothing = || refused(format!("there is no version of `{id}` to go back to"));
    let chosen = host.path().chosen(&id).ok_or_else(nothing)?.clone();
    let before = chosen.before.ok_or_else(nothing)?;
    let path = host.path().by_digest(&id, &before.digest)?;
    let side = host.side(&path)?;
    ui.confirm(
        &format!("`{id}` {} goes, and {} is active again", chosen.now.version, before.version),
        args.yes,
    )?;
    let reason = loong_manifest::escape(&args.reason);
    let run = Some(session.run().id().to_string());
    let event = Event::PluginSwapped {
        run: run.clone(),
        plugin: id.clone(),
        version: before.version.clone(),
        before: chosen.now.digest,
        digest: before.digest,
        tier: side.verified.tier(),
    };
    let gone: (Version, Version) = host.wait(async {
        host.kernel().note(event).await?;
        let (plugin, digest) = (id.clone(), chosen.now.digest);
        let (state, reason) = (PluginPhase::RolledBack, Some(reason.clone()));
        host.kernel().note(Event::PluginState { run, plugin, digest, state, reason }).await?;
        Ok::<_, CommandError>(host.store().roll_back(&id, &chosen.now.digest, &args.reason).await?)
    })?;
    if ui.json() {
        let (from, to) = (document(&gone.0), document(&gone.1));
        ui.document("loong.plugins.rollback/1", &json!({ "plugin": id, "from": from, "to": to }));
    } else {
        ui.line(format!("{id} {} → {}", gone.0.version, gone.1.version));
    }
    Ok(())
}

fn version(side: &Side) -> Version {
    Version { version: side.verified.version().to_string(), digest: *side.verified.digest() }
}

fn document(version: &Version) -> serde_json::Value {
    json!({ "version": version.version, "digest": version.digest })
}

fn refused(headline: String) -> CommandError {
    CommandError::new(Code::SwapRefused, headline)
}

/// What differs, a line each; `!` marks what lets the component do more.
pub(super) fn show(ui: &mut Ui, lines: &[Line]) {
    let rows = lines.iter().map(|line| {
        let mark = if line.more { "!" } else { " " };
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        let change = match (line.breaks, &line.before, &line.after) {
            // Schemas are long; `--json` has them.
            (true, Some(_), Some(_)) => "differ".to_owned(),
            _ => format!("{} → {}", text(&line.before), text(&line.after)),
        };
        vec![mark.to_owned(), line.what.clone(), change]
    });
    ui.table(0, &rows.collect::<Vec<_>>());
}

fn answer(ui: &mut Ui, plan: &Plan, old: &Option<Version>, new: &Version, done: bool) {
    if ui.json() {
        let document = json!({
            "plugin": plan.id, "from": old.as_ref().map(document), "to": document(new), "done": done,
            "differences": plan.lines,
        });
        ui.document("loong.plugins.swap/1", &document);
        return;
    }
    let from = old.as_ref().map_or_else(|| "none chosen".to_owned(), |old| old.version.clone());
    if done {
        ui.line(format!("{} {from} → {}", plan.id, new.version));
    } else {
        ui.note(format!("nothing was changed: {} {from} → {}", plan.id, new.version));
    }
}
