//! `loong plugins install|update|remove`: a plan first, then one change that is there whole or not at all.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use loong_kernel::{Durability, Event, Ledger as _};
use loong_manifest::{Code, Digest, PluginId, escape};
use loong_repository::scan::ScanRules;
use loong_repository::{
    Change, Client, Installed, Lock, Locked, Offered, RepositoryError, Step, Wanted, component_name, resolve,
    without,
};
use loong_trust::{Candidate, TrustRoot, UtcTime, Verified};
use serde_json::json;

use super::counted;
use super::plan::{Ask, Fetched, Item, answer, choose, may, setup, show};
use crate::authority::{Side, differences};
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::registries;
use crate::scanning;
use crate::ui::Ui;

/// What may be skipped
#[derive(clap::Args)]
pub struct PlanArgs {
    /// Show the plan, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Say yes to the plan
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Also take what nobody vouches for
    #[arg(long)]
    pub(super) allow_unverified: bool,
    /// Also take an older version than the one that is installed
    #[arg(long)]
    pub(super) downgrade: bool,
}

/// Install plugins from the connected registries, with what they need
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins install acme:weather
  loong plugins install acme:weather@1.2.0 core:text --dry-run
  loong plugins install --locked loong.lock          exactly what a lock file names

Nothing is run. What is fetched is verified against the registry and the trust root, then put into a store
whose files are verified again at every load. The plan shows who signed it and what it asks for.")]
pub struct InstallArgs {
    /// The plugins, each with or without a version
    #[arg(value_name = "ID[@VERSION]", required_unless_present = "locked")]
    plugins: Vec<String>,
    /// Install exactly what this lock file names
    #[arg(long, value_name = "FILE", conflicts_with = "plugins")]
    locked: Option<std::path::PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
}

/// Take over newer versions of what is installed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins update
  loong plugins update acme:weather --dry-run

What is pinned is passed over.")]
pub struct UpdateArgs {
    /// Only these
    #[arg(value_name = "ID")]
    plugins: Vec<PluginId>,
    #[command(flatten)]
    plan: PlanArgs,
}

/// Remove plugins, and what only they needed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins remove acme:weather

Their files stay in the store: `loong plugins undo` brings them back.")]
pub struct RemoveArgs {
    /// The plugins
    #[arg(value_name = "ID", required = true)]
    plugins: Vec<PluginId>,
    /// Show the plan, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(super) yes: bool,
}

/// The registries as they are now.
struct Sources {
    rules: ScanRules,
    clients: BTreeMap<String, Client>,
    offered: Vec<Offered>,
}

pub(super) fn now() -> UtcTime {
    UtcTime::from_unix_s(host::now_ms() / 1000)
}

/// What the connected registries offer. One that does not hold is a warning, unless it is the only one.
pub(super) fn offered(ui: &Ui, places: &Places) -> Result<Vec<Offered>, CommandError> {
    Ok(sources(ui, places)?.offered)
}

fn sources(ui: &Ui, places: &Places) -> Result<Sources, CommandError> {
    let all = registries::all(places)?;
    if all.is_empty() {
        return Err(CommandError::new(Code::RepositoryUnreachable, "no registry is connected")
            .hint("`loong registry connect NAME FOLDER` connects one"));
    }
    let rules = scanning::rules(places)?.thorough();
    let mut sources = Sources { rules, clients: BTreeMap::new(), offered: Vec::new() };
    let mut failed = None;
    for registry in all {
        let read = host::wait(async {
            let mut client = registry.refresh(places, now()).await?;
            let offered = registry.offered(&mut client, now()).await?;
            Ok::<_, CommandError>((client, offered))
        })?;
        match read {
            Ok((client, offered)) => {
                sources.offered.extend(offered);
                sources.clients.insert(registry.name, client);
            }
            Err(error) => {
                ui.warning(format!(
                    "registry `{}` is left out: {} [{}]",
                    registry.name, error.headline, error.code
                ));
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if sources.clients.is_empty() => Err(error),
        _ => Ok(sources),
    }
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &InstallArgs) -> Result<(), CommandError> {
    if let Some(path) = &args.locked {
        let lock = Lock::read(&locate::read_bounded(path, 64 << 20)?)?;
        return locked(ui, places, &lock, &args.plan);
    }
    let wanted =
        args.plugins.iter().map(|text| want(text, args.plan.downgrade)).collect::<Result<Vec<_>, _>>()?;
    let command = format!("install {}", args.plugins.join(" "));
    change(ui, places, &command, &args.plan, |sources, lock| {
        Ok(resolve(lock, &sources.offered, &wanted).map_err(RepositoryError::from)?)
    })
}

fn want(text: &str, downgrade: bool) -> Result<Wanted, CommandError> {
    let wrong = |problem: String| {
        CommandError::new(Code::CommandLineInvalid, problem)
            .hint("write `publisher:name` or `publisher:name@1.2.0`")
    };
    let (id, version) = text.split_once('@').map_or((text, None), |(id, version)| (id, Some(version)));
    let id = id.parse().map_err(|_| wrong(format!("`{id}` is no id of a plugin")))?;
    let version = version
        .map(|version| version.parse().map_err(|_| wrong(format!("`{version}` is no version"))))
        .transpose()?;
    Ok(Wanted { id, version, downgrade })
}

pub(super) fn update(ui: &mut Ui, places: &Places, args: &UpdateArgs) -> Result<(), CommandError> {
    let names: Vec<String> = args.plugins.iter().map(ToString::to_string).collect();
    let command = format!("update {}", names.join(" ")).trim_end().to_owned();
    change(ui, places, &command, &args.plan, |sources, lock| {
        let mut wanted = Vec::new();
        for (id, plugin) in &lock.plugins {
            let newer = sources.offered.iter().any(|offer| {
                offer.entry.id == *id
                    && offer.entry.version > plugin.version
                    && offer.entry.version.pre.is_empty()
                    && offer.entry.facts.yanked.is_none()
            });
            let meant = args.plugins.is_empty() || args.plugins.contains(id);
            if newer && meant && !plugin.pinned {
                wanted.push(Wanted { id: id.clone(), version: None, downgrade: false });
            }
        }
        if let Some(unknown) = args.plugins.iter().find(|id| !lock.plugins.contains_key(id)) {
            return Err(CommandError::new(Code::PluginUnknown, format!("`{unknown}` is not installed"))
                .hint(format!("`loong plugins install {unknown}` installs it")));
        }
        Ok(resolve(lock, &sources.offered, &wanted).map_err(RepositoryError::from)?)
    })
}

/// Plans, shows, asks, and changes.
fn change(
    ui: &mut Ui,
    places: &Places,
    command: &str,
    args: &PlanArgs,
    steps: impl FnOnce(&Sources, &Lock) -> Result<Vec<Step>, CommandError>,
) -> Result<(), CommandError> {
    let mut sources = sources(ui, places)?;
    super::refresh::warn(ui, places, &sources.offered)?;
    let installed = Installed::new(places.installed());
    let change = installed.change()?;
    let steps = steps(&sources, change.before())?;
    let root = host::trust_root(places)?;
    let spinner = ui.spinner();
    let mut items = Vec::new();
    for step in steps {
        spinner.set_message(format!("fetching {} {}", step.offered.entry.id, step.offered.entry.version));
        spinner.tick();
        items.push(item(places, &installed, change.before(), &mut sources, &root, step)?);
    }
    spinner.finish_and_clear();
    if items.is_empty() {
        if ui.json() {
            answer(ui, &items, change.before(), false);
        } else {
            ui.line("nothing to do: everything that was asked for is installed");
        }
        return Ok(());
    }
    if !ui.json() {
        show(ui, &items);
    }
    may(ui, &items, args)?;
    if args.dry_run {
        if ui.json() {
            answer(ui, &items, change.before(), false);
        } else {
            ui.note("nothing was changed");
        }
        return Ok(());
    }
    let mut plugins = change.before().plugins.clone();
    for item in &items {
        change.put(&item.digest, &item.fetched.files)?;
        plugins.insert(item.id.clone(), item.fetched.locked.clone());
    }
    let lock = commit(places, &installed, change, plugins, command)?;
    if ui.json() {
        answer(ui, &items, &lock, true);
    } else {
        ui.line(format!(
            "installed {}; generation {} (`loong plugins undo` goes back)",
            counted(items.len(), "plugin", "plugins"),
            lock.generation
        ));
        choose(ui, &items);
    }
    Ok(())
}

/// Fetches and verifies what a step installs.
fn item(
    places: &Places,
    installed: &Installed,
    lock: &Lock,
    sources: &mut Sources,
    root: &TrustRoot,
    step: Step,
) -> Result<Item, CommandError> {
    let Step { offered: Offered { registry, tier, entry }, before, needed } = step;
    let named = |error: CommandError| {
        error.detail(format!("`{}` {} from registry `{registry}`", entry.id, entry.version))
    };
    let client = sources.clients.get_mut(&registry).ok_or_else(|| {
        CommandError::new(Code::RepositoryUnreachable, format!("registry `{registry}` does not answer"))
    })?;
    let mut files = BTreeMap::new();
    for file in &entry.files {
        let bytes = host::wait(client.fetch(file, now()))?.map_err(|error| named(error.into()))?;
        files.insert(file.path.rsplit('/').next().unwrap_or_default().to_owned(), bytes);
    }
    let verified = verified(&entry.id, &files, root).map_err(named)?;
    let found = (verified.id().clone(), verified.version().clone());
    if found != (entry.id.clone(), entry.version.clone()) {
        return Err(named(CommandError::new(
            Code::ManifestMismatch,
            format!("the component calls itself `{}` {}", found.0, found.1),
        )));
    }
    let report = scanning::scan(&verified, &installed.component(&entry.id, &entry.digest), &sources.rules)?;
    if report.blocked {
        return Err(named(scanning::refusal(&verified, &report)));
    }
    let after = side(places, verified)?;
    let known = lock.plugins.get(&entry.id).map(|plugin| installed.component(&entry.id, &plugin.digest));
    let asks = match known.filter(|path| path.is_file()) {
        Some(path) => {
            let before = loong_trust::verify(locate::candidate(&path)?, root, now().unix_s())?;
            let more = differences(&side(places, before)?, &after).into_iter().filter(|line| line.more);
            more.map(|line| Ask {
                what: line.what,
                scope: line.after.unwrap_or_default(),
                reason: String::new(),
            })
            .collect()
        }
        None => {
            let ask = |asked: &loong_policy::Asked| Ask {
                what: asked.capability.to_string(),
                scope: asked.scope.clone(),
                reason: asked.reason.clone(),
            };
            after.preview.asked.iter().map(ask).collect()
        }
    };
    let verified = after.verified;
    let signer = verified.signer();
    let locked = Locked {
        version: entry.version.clone(),
        digest: entry.digest,
        kind: entry.facts.kind,
        summary: entry.facts.summary.clone(),
        registry: registry.clone(),
        tier: verified.tier(),
        signed_by: signer.map(|signer| signer.key_id),
        asked: needed.is_none() || lock.plugins.get(&entry.id).is_some_and(|plugin| plugin.asked),
        pinned: lock.plugins.get(&entry.id).is_some_and(|plugin| plugin.pinned),
        offers: entry.facts.offers.clone(),
        needs: entry.facts.needs.clone(),
        slots: entry.facts.slots.clone(),
        files: files.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect(),
    };
    Ok(Item {
        from: before,
        to: entry.version.clone(),
        digest: entry.digest,
        size_bytes: entry.size_bytes,
        tier: verified.tier().min(tier),
        signed_by: signer.map(|signer| format!("{} ({})", signer.label, signer.key_id.short())),
        needed_by: needed.map(|(_, by)| by),
        asks,
        setup: setup(&verified),
        registry,
        id: entry.id,
        fetched: Fetched { files, locked },
    })
}

fn verified(
    id: &PluginId,
    files: &BTreeMap<String, Vec<u8>>,
    root: &TrustRoot,
) -> Result<Verified, CommandError> {
    let component = files.get(&component_name(id)).cloned().unwrap_or_default();
    let bundles = loong_trust::bundle_names(&component_name(id));
    let bundles = bundles.iter().filter_map(|name| files.get(name).cloned());
    Ok(loong_trust::verify(Candidate::read(component, bundles, id.name())?, root, now().unix_s())?)
}

fn side(places: &Places, verified: Verified) -> Result<Side, CommandError> {
    let (policy, offer) = super::weighing(&GrantArgs::default(), places, &verified)?;
    let preview = loong_policy::preview(&policy, &verified, &offer);
    Ok(Side { verified, preview })
}

/// Makes the change, with its record written first.
pub(super) fn commit(
    places: &Places,
    installed: &Installed,
    change: Change<'_>,
    plugins: BTreeMap<PluginId, Locked>,
    command: &str,
) -> Result<Lock, CommandError> {
    let before = change.before().clone();
    let after = Lock { plugins: plugins.clone(), ..before.clone() };
    let digest = |lock: &Lock| Digest::of(lock.to_json().as_bytes());
    let differences = after.differences(&before);
    let version = |lock: &Lock, id: &PluginId| {
        lock.plugins.get(id).map(|plugin| plugin.version.to_string()).unwrap_or_default()
    };
    let mut changes: Vec<String> =
        differences.added.iter().map(|id| format!("+{id} {}", version(&after, id))).collect();
    changes.extend(differences.removed.iter().map(|id| format!("-{id} {}", version(&before, id))));
    changes.extend(
        differences
            .changed
            .iter()
            .map(|id| format!("{id} {} → {}", version(&before, id), version(&after, id))),
    );
    if changes.is_empty() {
        changes.push(escape(command));
    }
    let event = Event::CatalogChanged {
        generation: before.generation.saturating_add(1),
        before: (before.generation > 0).then(|| digest(&before)),
        after: digest(&after),
        command: escape(command),
        changes,
    };
    // What cannot be installed is not written down as installed.
    for (id, plugin) in &plugins {
        if !installed.holds(plugin) {
            return Err(
                RepositoryError::StoreIncomplete { id: id.clone(), digest: plugin.digest.short() }.into()
            );
        }
    }
    let store = host::store(places)?;
    host::wait(store.append(event, Durability::Durable))?.map_err(host::unwritten)?;
    let lock = change.commit(plugins, command, now())?;
    store.close()?;
    Ok(lock)
}

pub(super) fn remove(ui: &mut Ui, places: &Places, args: &RemoveArgs) -> Result<(), CommandError> {
    let installed = Installed::new(places.installed());
    let change = installed.change()?;
    if let Some(unknown) = args.plugins.iter().find(|id| !change.before().plugins.contains_key(id)) {
        return Err(CommandError::new(Code::PluginUnknown, format!("`{unknown}` is not installed"))
            .hint("`loong plugins list` shows what is"));
    }
    let left = without(change.before(), &args.plugins).map_err(RepositoryError::from)?;
    let gone: Vec<String> =
        change.before().plugins.keys().filter(|id| !left.contains_key(id)).map(ToString::to_string).collect();
    if !args.dry_run {
        ui.confirm(&format!("{} will be removed", gone.join(", ")), args.yes)?;
        let names: Vec<String> = args.plugins.iter().map(ToString::to_string).collect();
        commit(places, &installed, change, left, &format!("remove {}", names.join(" ")))?;
    }
    if ui.json() {
        ui.document("loong.plugins.remove/1", &json!({ "removed": gone, "done": !args.dry_run }));
    } else {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        ui.line(format!("{verb} {}", gone.join(", ")));
    }
    Ok(())
}

/// Installs exactly what a lock file names: from the store, or else from the registries, byte for byte.
fn locked(ui: &mut Ui, places: &Places, wanted: &Lock, args: &PlanArgs) -> Result<(), CommandError> {
    let installed = Installed::new(places.installed());
    let change = installed.change()?;
    let missing: Vec<(&PluginId, &Locked)> =
        wanted.plugins.iter().filter(|(_, plugin)| !installed.holds(plugin)).collect();
    let mut sources = if missing.is_empty() { None } else { Some(sources(ui, places)?) };
    for (id, plugin) in &missing {
        let found = sources.as_mut().and_then(|sources| {
            let same = |offer: &&Offered| offer.entry.id == **id && offer.entry.digest == plugin.digest;
            let Offered { registry, entry, .. } = sources.offered.iter().find(same)?.clone();
            Some((sources.clients.get_mut(&registry)?, entry))
        });
        let Some((client, entry)) = found else {
            let problem = format!("no registry has `{id}` {} {}", plugin.version, plugin.digest.short());
            return Err(CommandError::new(Code::EntryUnknown, problem));
        };
        let mut files = BTreeMap::new();
        for file in &entry.files {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            if plugin.files.get(name) == Some(&file.digest) {
                files.insert(name.to_owned(), host::wait(client.fetch(file, now()))??);
            }
        }
        change.put(&plugin.digest, &files)?;
    }
    let root = host::trust_root(places)?;
    for (id, plugin) in &wanted.plugins {
        let path = installed.component(id, &plugin.digest);
        let tier = loong_trust::verify(locate::candidate(&path)?, &root, now().unix_s())?.tier();
        if tier < plugin.tier && !args.allow_unverified {
            let problem = format!(
                "`{id}` {} was {} when it was locked and is {tier} here",
                plugin.version, plugin.tier
            );
            return Err(CommandError::new(Code::TierTooLow, problem)
                .hint("connect the registry that vouches for it, or give `--allow-unverified`"));
        }
    }
    let differences = wanted.differences(change.before());
    if !args.dry_run {
        let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !args.yes && !is_there && wanted.plugins != change.before().plugins {
            return Err(CommandError::new(
                Code::ApprovalRequired,
                "a person has to say yes to this plan, and none is here",
            )
            .hint("look at it with `--dry-run`, then give `--yes`"));
        }
        ui.confirm("What is installed will be exactly what the lock file names", args.yes)?;
        commit(places, &installed, change, wanted.plugins.clone(), "install --locked")?;
    }
    if ui.json() {
        ui.document("loong.plugins.locked/1", &json!({ "differences": differences, "done": !args.dry_run }));
    } else {
        super::installed::show(ui, &differences);
    }
    Ok(())
}
