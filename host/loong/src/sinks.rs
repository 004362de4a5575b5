//! Audit sinks: components that the audit log is delivered to, as `[[sinks]]` in `loong.toml` says.
//!
//! A delivery is a call on the one road, in a run of its own, so it is decided, recorded and limited like
//! everything else. What it writes down by that never leads to another delivery by itself (`own.rs`).

mod batch;
mod follower;
mod own;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use loong_kernel::EventKind;
use loong_manifest::{Access, Code, Digest, PluginId, Tier};
use loong_policy::{Offer, OfferedFolder};
use loong_store::{AuditReader, SinkCursor, StoreError};
use loong_trust::Verified;
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;

pub use follower::Follower;
pub use own::OwnRuns;

/// Most sinks.
const SINKS_MAX: usize = 16;
/// Most records in one delivery.
const BATCH_RECORDS_MAX: u32 = 4096;
/// Most bytes of events in one delivery: what a delivery takes in memory is a few times as much.
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// The first pause after a delivery that failed; every further one doubles it.
const RETRY_MS: u64 = 1_000;
/// The longest pause.
const RETRY_MS_MAX: u64 = 5 * 60_000;
/// The folder that a sink sees, as `/audit`.
const FOLDER: &str = "audit";

/// One audit sink.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkSettings {
    /// The component: its id.
    pub plugin: PluginId,
    /// Its file, where it is not among the installed ones.
    pub file: Option<PathBuf>,
    /// What happens to runs while it cannot be delivered to. It has no default: both are a decision.
    pub fail: Fail,
    /// The folder of this machine that the sink may write to, and sees as `/audit`.
    pub folder: Option<PathBuf>,
    /// Most records in one delivery.
    #[serde(default = "batch_records")]
    pub batch_records: u32,
    /// Most bytes of events in one delivery; one record is delivered however large it is.
    #[serde(default = "batch_bytes")]
    pub batch_bytes: u64,
    /// Deliver these kinds of events only.
    pub kinds: Option<BTreeSet<String>>,
}

const fn batch_records() -> u32 {
    256
}

const fn batch_bytes() -> u64 {
    1 << 20
}

/// What happens to runs while a sink cannot be delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fail {
    /// They go on, with a warning.
    Open,
    /// None begins.
    Closed,
}

impl Fail {
    /// The word of the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Says what is wrong with the settings of sinks, if anything is.
pub fn check(sinks: &[SinkSettings]) -> Result<(), String> {
    if sinks.len() > SINKS_MAX {
        return Err(format!("there are {} sinks; at most {SINKS_MAX} are delivered to", sinks.len()));
    }
    for (at, sink) in sinks.iter().enumerate() {
        let plugin = &sink.plugin;
        if sinks.iter().take(at).any(|other| other.plugin == *plugin) {
            return Err(format!("the sink `{plugin}` is there twice"));
        }
        for path in [&sink.file, &sink.folder].into_iter().flatten() {
            if !path.is_absolute() {
                return Err(format!("`{}` of the sink `{plugin}` is no absolute path", path.display()));
            }
        }
        if !(1..=BATCH_RECORDS_MAX).contains(&sink.batch_records) {
            return Err(format!("`batch_records` of the sink `{plugin}` is not 1 to {BATCH_RECORDS_MAX}"));
        }
        if !(1..=BATCH_BYTES_MAX).contains(&sink.batch_bytes) {
            return Err(format!("`batch_bytes` of the sink `{plugin}` is not 1 to {BATCH_BYTES_MAX}"));
        }
        let known = |kind: &String| EventKind::ALL.iter().any(|known| known.0 == kind);
        if let Some(kind) = sink.kinds.iter().flatten().find(|kind| !known(kind)) {
            return Err(format!("`{kind}` in `kinds` of the sink `{plugin}` is no kind of event"));
        }
    }
    Ok(())
}

/// What a sink is offered: its folder, its settings and the receiver they name; nothing that a run is offered.
pub fn offer(settings: &Settings, component: &Verified) -> Offer {
    let mut offer = Offer::default();
    if component.tier() == Tier::Unverified {
        return offer;
    }
    let id = component.id();
    offer.config = settings.plugins.get(&id.to_string()).cloned().unwrap_or_default();
    // Whoever names a sink in the settings, with the address in its own settings, wants it to reach that.
    offer.allow.extend(["http", "tcp", "secrets"].map(str::to_owned));
    offer.inside.extend(settings.egress.allow_private.iter().cloned());
    let folder = settings.sinks.iter().find(|sink| sink.plugin == *id).and_then(|sink| sink.folder.clone());
    if let Some(host) = folder {
        offer.folders.insert(FOLDER.to_owned(), OfferedFolder { host, access: Access::Write, by_flag: true });
    }
    offer
}

/// How long to wait after so many failures. The jitter keeps machines that failed together from coming back
/// together; it is the same for the same sink, place and failure.
fn pause_ms(plugin: &PluginId, next: u64, failures: u32) -> u64 {
    let doubled = RETRY_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(RETRY_MS_MAX);
    let seed = Digest::of(format!("{plugin} {next} {failures}").as_bytes());
    let byte = u64::from(seed.as_bytes().first().copied().unwrap_or_default());
    // Between one half and the whole.
    doubled / 2 + doubled * byte / 512
}

/// How one sink is, without asking it.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// The sink.
    pub plugin: PluginId,
    /// What happens to runs while it cannot be delivered to.
    pub fail: Fail,
    /// The first record that it has not accepted.
    pub next: u64,
    /// How many records there are.
    pub records: u64,
    /// Whether everything was delivered but what deliveries wrote down themselves.
    pub caught_up: bool,
    /// Deliveries that failed since the last one that did not.
    pub failures: u32,
    /// What was wrong the last time.
    pub problem: Option<String>,
    /// Before this time nothing is tried again, in milliseconds since the Unix epoch; none if nothing failed.
    pub retry_ms: Option<u64>,
    /// When it last accepted something, in milliseconds since the Unix epoch.
    pub delivered_ms: Option<u64>,
}

impl Standing {
    /// How it is, in words.
    pub fn words(&self) -> String {
        let place = match (self.caught_up, self.records.saturating_sub(self.next)) {
            (true, _) => format!("has everything before record {}", self.next),
            (false, 1) => format!("lacks 1 record, from {} on", self.next),
            (false, lag) => format!("lacks {lag} records, from {} on", self.next),
        };
        match (&self.problem, self.failures) {
            (None, _) => place,
            (Some(problem), 0 | 1) => format!("{place}; {problem}"),
            (Some(problem), failures) => format!("{place}; failed {failures} times: {problem}"),
        }
    }
}

/// How the sinks are. They are as they were left; nothing is loaded or called.
pub fn standings(places: &Places, settings: &Settings) -> Result<Vec<Standing>, CommandError> {
    let reader = match AuditReader::open_read_only(&places.database()) {
        Ok(reader) => Some(reader),
        Err(StoreError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    settings.sinks.iter().map(|sink| standing(sink, reader.as_ref())).collect()
}

fn standing(sink: &SinkSettings, reader: Option<&AuditReader>) -> Result<Standing, CommandError> {
    let (cursor, records, caught_up) = match reader {
        None => (SinkCursor::new(sink.plugin.clone()), 0, true),
        Some(reader) => {
            let cursor = reader.sink(&sink.plugin)?;
            let records = reader.records()?;
            let caught_up = !batch::due(reader, &mut OwnRuns::default(), sink, cursor.next)?;
            (cursor, records, caught_up)
        }
    };
    Ok(Standing {
        plugin: sink.plugin.clone(),
        fail: sink.fail,
        next: cursor.next,
        records,
        caught_up,
        failures: cursor.failures,
        problem: cursor.problem,
        retry_ms: (cursor.failures > 0).then_some(cursor.retry_ms),
        delivered_ms: cursor.delivered_ms,
    })
}

/// The sink's error, with what to do.
pub fn failed(plugin: &PluginId, problem: &str) -> CommandError {
    CommandError::new(Code::SinkFailed, format!("the audit log cannot be delivered to `{plugin}`"))
        .detail(problem.to_owned())
}

/// Before a run: a sink that must not fail has to have everything that was recorded so far.
pub fn before_run(ui: &Ui, places: &Places) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    if settings.sinks.is_empty() {
        return Ok(());
    }
    let standings = match standings(places, &settings) {
        // The database is of an earlier format: opening it to write brings it up to date.
        Err(error) if error.code == Code::FileUnreadable => {
            Follower::open(ui, places)?.close()?;
            standings(places, &settings)?
        }
        other => other?,
    };
    let mut behind = Vec::new();
    for standing in standings {
        match standing.fail {
            Fail::Closed if !standing.caught_up => behind.push(standing.plugin),
            Fail::Open if standing.failures > 0 => warn(ui, &standing.plugin, standing.problem.as_deref()),
            Fail::Closed | Fail::Open => {}
        }
    }
    if behind.is_empty() {
        return Ok(());
    }
    let mut follower = Follower::open(ui, places)?;
    let delivered = behind.iter().try_for_each(|plugin| follower.catch_up(plugin).map(|_| ()));
    let closed = follower.close();
    delivered.map_err(|error| {
        error.detail("its setting is `fail = \"closed\"`, so nothing runs until it is delivered to")
    })?;
    closed
}

/// After a run: what it wrote down is delivered, unless a sink that may fail is let alone for a while. The run
/// is done, so a sink that cannot be delivered to is only said; the next run finds out.
pub fn after_run(ui: &Ui, places: &Places) {
    if let Err(error) = deliver_after_run(ui, places) {
        ui.warning(format!("the audit log is not delivered: {} [{}]", error.headline, error.code));
    }
}

fn deliver_after_run(ui: &Ui, places: &Places) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    if settings.sinks.is_empty() {
        return Ok(());
    }
    let now_ms = host::now_ms();
    let due: Vec<PluginId> = standings(places, &settings)?
        .into_iter()
        .filter(|standing| !standing.caught_up)
        .filter(|standing| standing.fail == Fail::Closed || standing.retry_ms.is_none_or(|at| at <= now_ms))
        .map(|standing| standing.plugin)
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    let mut follower = Follower::open(ui, places)?;
    for plugin in &due {
        if let Err(error) = follower.catch_up(plugin) {
            warn(ui, plugin, error.details.first().map(String::as_str));
        }
    }
    follower.close()
}

fn warn(ui: &Ui, plugin: &PluginId, problem: Option<&str>) {
    let problem = problem.unwrap_or("the last delivery failed");
    ui.warning(format!("the audit log is not delivered to `{plugin}`: {problem} [{}]", Code::SinkFailed));
}

/// The file that whoever delivers to a sink holds a lock on.
fn lock_file(places: &Places, plugin: &PluginId) -> PathBuf {
    let name = format!("{}-{}.lock", plugin.publisher(), plugin.name());
    places.data.join("sinks").join(Path::new(&name))
}

#[cfg(test)]
mod tests;
