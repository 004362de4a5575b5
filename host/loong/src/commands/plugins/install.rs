//! `loong plugins install|update|remove`: a plan first, then one change that is there whole or not at all.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use loong_kernel::{Durability, Event, Ledger as _};
use loong_manifest::contract::Fit;
use loong_manifest::{Code, Digest, PluginId, Tier, escape};
use loong_repository::{
    Change, Installed, LOCK_BYTES_MAX, Lock, Locked, Offered, Package, RepositoryError, Step, Wanted,
    resolve, without,
};
use loong_trust::TrustRoot;
use serde_json::json;

use super::compat::{self, Need};
use super::plan::{Ask, Fetched, Item, answer, may, setup, show};
use super::sources::{self, Sources, now};
use super::{counted, side, swap};
use crate::authority::differences;
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::locate;
use crate::places::Places;
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

/// Install plugins from the connected registries or from files, with what they need
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins install acme:weather
  loong plugins install ./acme-weather-1.2.0.tar     a package, or a .wasm file with its signatures beside it
  loong plugins install acme:weather@1.2.0 core:text --dry-run
  loong plugins install --locked loong.lock          exactly what a lock file names

Nothing is run. What is fetched is verified against the registry and the trust root, then put into a store
whose files are verified again at every load. The plan shows who signed it and what it asks for.")]
pub struct InstallArgs {
    /// The plugins, each with or without a version, or their files
    #[arg(value_name = "ID[@VERSION]|FILE", required_unless_present = "locked")]
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

pub(super) fn run(ui: &mut Ui, places: &Places, args: &InstallArgs) -> Result<(), CommandError> {
    if let Some(path) = &args.locked {
        let lock = Lock::read(&locate::read_bounded(path, LOCK_BYTES_MAX)?)?;
        return locked(ui, places, &lock, &args.plan);
    }
    let downgrade = args.plan.downgrade;
    let (mut wanted, mut packages) = (Vec::new(), Vec::new());
    for text in &args.plugins {
        if !locate::is_path(text) && !text.ends_with(".tar") {
            wanted.push(want(text, downgrade)?);
            continue;
        }
        let package = locate::package(text.as_ref())?;
        wanted.push(Wanted { id: package.id.clone(), version: Some(package.version.clone()), downgrade });
        packages.push(package);
    }
    let command = format!("install {}", args.plugins.join(" "));
    change(ui, places, &command, &args.plan, &packages, |sources, lock| {
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
    change(ui, places, &command, &args.plan, &[], |sources, lock| {
        let mut wanted = Vec::new();
        let mut newest = BTreeMap::new();
        for Offered { entry, .. } in &sources.offered {
            if entry.version.pre.is_empty() && entry.facts.yanked.is_none() {
                let known = newest.entry(&entry.id).or_insert(&entry.version);
                *known = (*known).max(&entry.version);
            }
        }
        for (id, plugin) in &lock.plugins {
            let newer = newest.get(id).is_some_and(|version| **version > plugin.version);
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
    packages: &[Package],
    steps: impl FnOnce(&Sources, &Lock) -> Result<Vec<Step>, CommandError>,
) -> Result<(), CommandError> {
    let mut sources = Sources::with_packages(ui, places, packages)?;
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
    let before = change.before().clone();
    let lock = commit(places, change, plugins, command)?;
    take_over(ui, places, &installed, &before, &lock)?;
    if ui.json() {
        answer(ui, &items, &lock, true);
    } else {
        ui.line(format!(
            "installed {}; generation {} (`loong plugins undo` goes back)",
            counted(items.len(), "plugin", "plugins"),
            lock.generation
        ));
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
    let named = |error: CommandError| sources::named(error, &registry, &entry);
    let (files, verified) = sources.fetch(&registry, &entry, root)?;
    let report = scanning::scan(&verified, &installed.component(&entry.id, &entry.digest), &sources.rules)?;
    if report.blocked {
        return Err(named(scanning::refusal(&verified, &report)));
    }
    let similar_to = {
        let others = sources.offered.iter().filter(|offer| offer.tier >= tier).map(|offer| &offer.entry.id);
        loong_repository::similar_to(&entry.id, others.chain(lock.plugins.keys()))
    };
    let newer_contracts = compat::needs(&verified)
        .into_iter()
        .filter(|need| need.fit == Fit::Newer)
        .filter_map(|Need { package, needs, .. }| Some(format!("{package}@{}", needs?)))
        .collect();
    let grants = GrantArgs::default();
    let after = side(&grants, places, verified)?;
    let known = lock.plugins.get(&entry.id).map(|plugin| installed.component(&entry.id, &plugin.digest));
    let asks = match known.filter(|path| path.is_file()) {
        Some(path) => {
            let before = loong_trust::verify(locate::candidate(&path)?, root, now().unix_s())?;
            let more =
                differences(&side(&grants, places, before)?, &after).into_iter().filter(|line| line.more);
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
        slots: entry.facts.slots.clone(),
        similar_to,
        newer_contracts,
        registry,
        id: entry.id,
        fetched: Fetched { files, locked },
    })
}

/// Makes the change, with its record written first.
pub(super) fn commit(
    places: &Places,
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
    change.holds(&plugins)?;
    let store = host::store(places)?;
    host::wait(store.append(event, Durability::Durable))?.map_err(host::unwritten)?;
    let lock = change.commit(plugins, command, now())?;
    store.close()?;
    Ok(lock)
}

/// Where another version is installed now, it takes the place of the one before, in runs that are under way too, with
/// the checks and the probation of every swap. If one of them cannot, what was installed before is installed again.
pub(super) fn take_over(
    ui: &Ui,
    places: &Places,
    installed: &Installed,
    before: &Lock,
    after: &Lock,
) -> Result<(), CommandError> {
    // What is unverified is loaded by its file only, so there is no place to take.
    let active = |lock: &Lock, id: &PluginId| {
        lock.plugins.get(id).filter(|plugin| plugin.tier > Tier::Unverified).map(|plugin| plugin.digest)
    };
    let spinner = ui.spinner();
    let mut taken: Vec<(PluginId, Digest)> = Vec::new();
    for id in &in_order(after.differences(before).changed, after) {
        let (Some(old), Some(new)) = (active(before, id), active(after, id)) else { continue };
        if old == new {
            continue;
        }
        spinner.set_message(format!("{id}: checking the version that takes over"));
        spinner.tick();
        let Err(error) = swap::take_over(ui, places, id, &new) else {
            taken.push((id.clone(), old));
            continue;
        };
        spinner.finish_and_clear();
        let change = installed.change()?;
        let back = given_back(&change.before().plugins, &before.plugins, &after.plugins);
        commit(places, change, back, &format!("undo: {id} could not take over"))?;
        for (id, old) in taken.into_iter().rev() {
            if let Err(error) = swap::take_over(ui, places, &id, &old) {
                ui.warning(format!("`{id}` stays swapped: {} [{}]", error.headline, error.code));
            }
        }
        return Err(error.detail("what was installed before is installed again, and goes on serving"));
    }
    spinner.finish_and_clear();
    Ok(())
}

/// What is installed without the change from `before` to `after`: what others changed since then stays.
fn given_back(
    now: &BTreeMap<PluginId, Locked>,
    before: &BTreeMap<PluginId, Locked>,
    after: &BTreeMap<PluginId, Locked>,
) -> BTreeMap<PluginId, Locked> {
    let mut plugins = now.clone();
    for id in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(id), after.get(id));
        if old == new || now.get(id) != new {
            continue;
        }
        match old {
            Some(plugin) => drop(plugins.insert(id.clone(), plugin.clone())),
            None => drop(plugins.remove(id)),
        }
    }
    plugins
}

/// Those that others need come first, so that each finds what it needs in its new version.
fn in_order(mut ids: Vec<PluginId>, lock: &Lock) -> Vec<PluginId> {
    let needs = |id: &PluginId, other: &PluginId| match (lock.plugins.get(id), lock.plugins.get(other)) {
        (Some(one), Some(two)) if id != other => {
            one.needs.iter().any(|wanted| two.offers.iter().any(|offered| offered.satisfies(wanted)))
        }
        _ => false,
    };
    let mut ordered = Vec::new();
    while !ids.is_empty() {
        let free = ids.iter().position(|id| !ids.iter().any(|other| needs(id, other)));
        ordered.push(ids.remove(free.unwrap_or_default()));
    }
    ordered
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
        commit(places, change, left, &format!("remove {}", names.join(" ")))?;
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
    let mut sources = if missing.is_empty() { None } else { Some(Sources::open(ui, places)?) };
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
        let before = change.before().clone();
        let lock = commit(places, change, wanted.plugins.clone(), "install --locked")?;
        take_over(ui, places, &installed, &before, &lock)?;
    }
    if ui.json() {
        ui.document("loong.plugins.locked/1", &json!({ "differences": differences, "done": !args.dry_run }));
    } else {
        super::installed::show(ui, &differences);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `acme:a 1 acme:b 2` as what is installed.
    fn plugins(text: &str) -> BTreeMap<PluginId, Locked> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let locked = |version: &str| {
            let locked = json!({
                "version": format!("{version}.0.0"), "digest": Digest::of(version.as_bytes()), "kind": "tool",
                "summary": "s", "registry": "main", "tier": "official", "asked": true, "files": {},
            });
            serde_json::from_value::<Locked>(locked).unwrap()
        };
        words.chunks(2).map(|pair| (pair[0].parse().unwrap(), locked(pair[1]))).collect()
    }

    #[track_caller]
    fn check(now: &str, before: &str, after: &str, expected: &str) {
        assert_eq!(given_back(&plugins(now), &plugins(before), &plugins(after)), plugins(expected));
    }

    #[test]
    fn a_change_is_given_back_and_what_others_changed_since_stays() {
        check("acme:a 2", "acme:a 1", "acme:a 2", "acme:a 1");
        check("acme:a 2 acme:b 1", "acme:a 1", "acme:a 2 acme:b 1", "acme:a 1");
        check("acme:a 2", "acme:a 1 acme:b 1", "acme:a 2", "acme:a 1 acme:b 1");
        // Another process installed `acme:c`, took `acme:a` further, or removed it.
        check("acme:a 2 acme:c 1", "acme:a 1", "acme:a 2", "acme:a 1 acme:c 1");
        check("acme:a 3", "acme:a 1", "acme:a 2", "acme:a 3");
        check("acme:c 1", "acme:a 1", "acme:a 2", "acme:c 1");
    }
}
