//! `loong plugins status`, `quarantine` and `clear`: how plugins stand, and what a person decides about that.

use std::collections::BTreeMap;

use loong_kernel::breaker::{Breaker, State};
use loong_kernel::{Durability, Event, Ledger as _, PluginPhase};
use loong_manifest::{Code, Digest, PluginId};
use loong_store::{Chosen, Store, Swap};
use serde_json::{Value, json};

use super::super::audit::time_text;
use crate::error::CommandError;
use crate::host;
use crate::locate::{Entry, PluginPath};
use crate::places::Places;
use crate::ui::Ui;

/// Swaps that are shown of one plugin.
const SWAPS_MAX: u32 = 20;

/// Show how plugins stand: which version is active, and what there is against it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins status
  loong plugins status core:text            with its swaps
  loong plugins clear core:text             call it again

A plugin that fails five times within a minute is left alone for ten seconds, then for longer each time; after that
single calls are let through to see. The sixth time it is quarantined until a person clears it.")]
pub struct StatusArgs {
    /// One plugin, with its swaps
    #[arg(value_name = "ID")]
    plugin: Option<String>,
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<std::path::PathBuf>,
}

/// Call no operation of a plugin until it is cleared
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins quarantine core:text --reason 'waits for a fix'")]
pub struct QuarantineArgs {
    /// The id or name of the plugin
    #[arg(value_name = "ID")]
    plugin: String,
    /// Why, for whoever reads it
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: String,
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<std::path::PathBuf>,
}

/// Forget what there is against a plugin, so that it is called again
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins clear core:text")]
pub struct ClearArgs {
    /// The id of the plugin
    #[arg(value_name = "ID")]
    plugin: String,
}

/// How one version stands.
struct Row {
    id: String,
    version: Option<String>,
    digest: Digest,
    chosen: bool,
    before: Option<String>,
    breaker: Breaker,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &StatusArgs) -> Result<(), CommandError> {
    let store = host::store(places)?;
    let read = host::wait(async {
        Ok::<_, loong_kernel::LedgerError>((store.chosen().await?, store.standings().await?))
    });
    let (chosen, standings) = read?.map_err(host::unwritten)?;
    let path = PluginPath::new(&args.plugins, places)?.choosing(chosen.clone());
    let mut breakers: BTreeMap<Digest, (String, Breaker)> =
        standings.into_iter().map(|row| (row.digest, (row.plugin, row.breaker))).collect();
    let mut rows: Vec<Row> =
        path.all_entries().iter().filter_map(|entry| row(entry, &chosen, &mut breakers)).collect();
    // What there is against components whose files are not here.
    rows.extend(breakers.into_iter().map(|(digest, (id, breaker))| {
        let (version, before) = (None, None);
        Row { id, version, digest, chosen: false, before, breaker }
    }));
    let wanted = args.plugin.as_deref();
    let is_wanted = |id: &str| {
        wanted.is_none_or(|what| id == what || id.split_once(':').is_some_and(|(_, name)| name == what))
    };
    rows.retain(|row| is_wanted(&row.id));
    rows.sort_by(|left, right| {
        (&left.id, !left.chosen, &left.version).cmp(&(&right.id, !right.chosen, &right.version))
    });
    let swaps =
        match rows.first().filter(|_| wanted.is_some()).and_then(|row| row.id.parse::<PluginId>().ok()) {
            Some(id) => host::wait(store.swaps(Some(&id), SWAPS_MAX))?.map_err(host::unwritten)?,
            None => Vec::new(),
        };
    store.close()?;
    if let (Some(what), true) = (wanted, rows.is_empty()) {
        return Err(CommandError::new(Code::PluginUnknown, format!("no component is named `{what}`")));
    }
    show(ui, &rows, &swaps);
    Ok(())
}

fn row(
    entry: &Entry,
    chosen: &BTreeMap<String, Chosen>,
    breakers: &mut BTreeMap<Digest, (String, Breaker)>,
) -> Option<Row> {
    let (id, digest) = (entry.manifest.id.to_string(), entry.digest()?);
    let (_, breaker) = breakers.remove(&digest).unwrap_or_default();
    let choice = chosen.get(&id);
    let is_chosen = choice.is_none_or(|choice| choice.now.digest == digest);
    let before = choice.filter(|_| is_chosen).and_then(|choice| choice.before.as_ref());
    Some(Row {
        id,
        version: Some(entry.manifest.version.to_string()),
        digest,
        chosen: is_chosen,
        before: before.map(|before| before.version.clone()),
        breaker,
    })
}

fn show(ui: &mut Ui, rows: &[Row], swaps: &[Swap]) {
    let now_ms = host::now_ms();
    if ui.json() {
        let plugins: Vec<Value> = rows.iter().map(|row| document(row, now_ms)).collect();
        let swaps: Vec<Value> = swaps.iter().map(swap_document).collect();
        ui.document("loong.plugins.status/1", &json!({ "plugins": plugins, "swaps": swaps }));
        return;
    }
    if rows.is_empty() {
        ui.note("no components are found by their ids");
        return;
    }
    let mut table = vec![["ID", "VERSION", "ACTIVE", "STATE", ""].map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        let version = row.version.clone().unwrap_or_else(|| row.digest.short());
        let active = if row.chosen { "yes" } else { "no" };
        vec![row.id.clone(), version, active.to_owned(), state(&row.breaker, now_ms), words(row, now_ms)]
    }));
    ui.table(0, &table);
    if !swaps.is_empty() {
        ui.line("\nswaps");
        let row = |swap: &Swap| {
            let reason = swap.reason.clone().unwrap_or_default();
            vec![
                time_text(swap.time_ms),
                swap.after.version.clone(),
                swap.step.as_str().replace('_', " "),
                reason,
            ]
        };
        ui.table(2, &swaps.iter().map(row).collect::<Vec<_>>());
    }
}

fn state(breaker: &Breaker, now_ms: u64) -> String {
    match breaker.state() {
        State::Open { until_ms } if now_ms >= until_ms => State::HalfOpen.as_str(),
        State::Closed if breaker.probation_at(now_ms).is_some() => "on_probation",
        state => state.as_str(),
    }
    .replace('_', " ")
}

fn words(row: &Row, now_ms: u64) -> String {
    let breaker = &row.breaker;
    let reason = || breaker.reason().unwrap_or_default().to_owned();
    let seconds = |until_ms: u64| until_ms.saturating_sub(now_ms).div_ceil(1_000);
    match breaker.state() {
        State::Open { until_ms } if now_ms < until_ms => format!("for {} s: {}", seconds(until_ms), reason()),
        State::Open { .. } | State::HalfOpen => format!("calls are let through to see: {}", reason()),
        State::Quarantined => format!("{} · loong plugins clear {}", reason(), row.id),
        State::Closed => match (breaker.probation_at(now_ms), &row.before) {
            (Some(probation), Some(before)) => format!(
                "for {} s, {} of {} calls failed; before it {before}",
                seconds(probation.until_ms),
                probation.failures,
                probation.calls
            ),
            (_, Some(before)) => format!("before it {before}"),
            _ => String::new(),
        },
    }
}

fn document(row: &Row, now_ms: u64) -> Value {
    let breaker = &row.breaker;
    json!({
        "id": row.id, "version": row.version, "digest": row.digest, "active": row.chosen, "before": row.before,
        "state": state(breaker, now_ms).replace(' ', "_"), "reason": breaker.reason(),
        "openings_left": breaker.openings_left(), "probation": breaker.probation_at(now_ms),
        "until": match breaker.state() { State::Open { until_ms } => Some(time_text(until_ms)), _ => None },
    })
}

fn swap_document(swap: &Swap) -> Value {
    json!({
        "plugin": swap.plugin, "before": swap.before, "version": swap.after.version, "digest": swap.after.digest,
        "step": swap.step.as_str(), "time": time_text(swap.time_ms), "reason": swap.reason,
    })
}

pub(super) fn quarantine(ui: &mut Ui, places: &Places, args: &QuarantineArgs) -> Result<(), CommandError> {
    let store = host::store(places)?;
    let chosen = host::wait(store.chosen())?.map_err(host::unwritten)?;
    let path = PluginPath::new(&args.plugins, places)?.choosing(chosen);
    let file = path.find(&args.plugin)?;
    let entry = path.entries().into_iter().find(|entry| entry.path == file);
    let Some((entry, digest)) = entry.and_then(|entry| entry.digest().map(|digest| (entry, digest))) else {
        return Err(CommandError::new(
            Code::PluginUnknown,
            format!("no component is named `{}`", args.plugin),
        ));
    };
    let reason = loong_manifest::escape(&args.reason);
    set_aside(&store, &entry.manifest.id, digest, PluginPhase::Quarantined, &reason)?;
    store.close()?;
    said(ui, &entry.manifest.id, "quarantined");
    Ok(())
}

/// Refuses new calls of a component, in every process, until a person clears it; recorded first.
pub(super) fn set_aside(
    store: &Store,
    plugin: &PluginId,
    digest: Digest,
    phase: PluginPhase,
    reason: &str,
) -> Result<(), CommandError> {
    record(store, plugin, digest, phase, reason)?;
    host::wait(store.quarantine(plugin, &digest, reason))??;
    Ok(())
}

pub(super) fn clear(ui: &mut Ui, places: &Places, args: &ClearArgs) -> Result<(), CommandError> {
    let store = host::store(places)?;
    let standings = host::wait(store.standings())?.map_err(host::unwritten)?;
    let mut found: Vec<_> = standings
        .into_iter()
        .filter(|row| {
            row.plugin == args.plugin
                || row.plugin.split_once(':').is_some_and(|(_, name)| name == args.plugin)
        })
        .collect();
    let Some(id) = found.first().and_then(|row| row.plugin.parse::<PluginId>().ok()) else {
        store.close()?;
        ui.note(format!("there is nothing against `{}`", args.plugin));
        return Ok(());
    };
    found.retain(|row| row.plugin == id.to_string());
    for row in &found {
        record(&store, &id, row.digest, PluginPhase::Closed, "a person cleared it")?;
    }
    host::wait(store.clear(&id))??;
    store.close()?;
    said(ui, &id, "cleared");
    Ok(())
}

/// Written down before it is so.
fn record(
    store: &Store,
    plugin: &PluginId,
    digest: Digest,
    state: PluginPhase,
    reason: &str,
) -> Result<(), CommandError> {
    let reason = Some(reason.to_owned());
    let event = Event::PluginState { run: None, plugin: plugin.clone(), digest, state, reason };
    host::wait(store.append(event, Durability::Durable))?.map_err(host::unwritten)
}

fn said(ui: &mut Ui, id: &PluginId, what: &str) {
    if ui.json() {
        ui.document("loong.plugins.standing/1", &json!({ "plugin": id, "state": what }));
    } else {
        ui.line(format!("{what} {id}"));
    }
}
