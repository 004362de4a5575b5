//! `loong policy test`: what other policies would have decided about the calls in the audit log.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use loong_kernel::Event;
use loong_manifest::Code;
use loong_policy::{Decision, PolicySet, Replayed, Verdict};
use loong_store::AuditFilter;
use serde::Serialize;
use serde_json::{Value, json};

use super::recorded::{Past, past};
use crate::commands::{audit, plugins::counted};
use crate::error::CommandError;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::{host, policies};

/// Longest line of a file, in bytes.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Records that are read from the log at once.
const PAGE: u32 = 1_000;
/// Decisions that wait for the record of their arguments.
const PENDING_MAX: usize = 256;
/// Most different answers that are listed; the others are counted.
const GROUPS_MAX: usize = 1_000;

/// Decide recorded calls again by other policies, and show the differences
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong policy test --policy strict                  the whole audit log
  loong policy test --policy ./policies --since 7d
  loong audit export > calls.jsonl; loong policy test calls.jsonl --policy ci
  loong policy test --policy ci --fail-on loosened   ignore what would only be refused in addition

Nothing is called. A record that does not hold all that policies look at is counted as undecidable and
never guessed. The exit code is 3 if there are differences of the sort that `--fail-on` names.")]
pub struct TestArgs {
    /// A file of recorded events, one JSON object a line, as `loong audit export` writes it; else the audit log
    #[arg(value_name = "FILE", conflicts_with_all = ["run", "since"])]
    file: Option<PathBuf>,
    /// The policies to try: a preset or a folder; what is in force when it is left out
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Only this run of the audit log; the first digits of its name are enough
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only records of the audit log since this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Which differences are a failure
    #[arg(long, value_name = "WHICH", default_value = "any")]
    fail_on: FailOn,
}

/// Which differences are a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// Every difference
    Any,
    /// More would be allowed
    Loosened,
    /// Less would be allowed
    Tightened,
    /// None
    Never,
}

/// What the calls came to.
#[derive(Debug, Default, Serialize)]
struct Counts {
    decisions: u64,
    same: u64,
    loosened: u64,
    tightened: u64,
    undecidable: u64,
}

/// Calls that came to the same difference.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    caller: String,
    operation: String,
    before: Option<Verdict>,
    policies_before: Vec<String>,
    after: Option<Verdict>,
    policies_after: Vec<String>,
    /// What raised the risk, or what is missing.
    why: Vec<String>,
}

/// Decides recorded calls again, as they come.
struct Replay<'a> {
    set: &'a PolicySet,
    pending: VecDeque<Past>,
    counts: Counts,
    /// How many calls each difference has, and the first of them.
    groups: BTreeMap<Group, (u64, String)>,
    /// Calls whose difference is not listed.
    unlisted: u64,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &TestArgs) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let name = policies::name(args.policy.as_deref(), &settings);
    let set = policies::policy(args.policy.as_deref(), &settings, places)?;
    let mut replay = Replay {
        set: &set,
        pending: VecDeque::new(),
        counts: Counts::default(),
        groups: BTreeMap::new(),
        unlisted: 0,
    };
    match &args.file {
        Some(file) => replay.file(file)?,
        None => replay.log(&places.database(), args)?,
    }
    while let Some(past) = replay.pending.pop_front() {
        replay.decide(past);
    }
    show(ui, name, &replay);
    let Counts { decisions, loosened, tightened, .. } = replay.counts;
    if decisions == 0 {
        return Err(CommandError::new(
            Code::CommandLineInvalid,
            "there is no decision to try the policies on",
        )
        .hint("`loong audit recent --kind decision` shows those that are recorded"));
    }
    let failures = match args.fail_on {
        FailOn::Any => loosened + tightened,
        FailOn::Loosened => loosened,
        FailOn::Tightened => tightened,
        FailOn::Never => 0,
    };
    if failures == 0 {
        return Ok(());
    }
    let calls = counted(usize::try_from(failures).unwrap_or(usize::MAX), "call", "calls");
    Err(CommandError::new(Code::PolicyDiffers, format!("`{name}` decides {calls} differently"))
        .hint("`loong policy explain OPERATION` says why; `--fail-on never` makes this no failure"))
}

impl Replay<'_> {
    fn log(&mut self, database: &Path, args: &TestArgs) -> Result<(), CommandError> {
        let Some(reader) = audit::open(database)? else { return Ok(()) };
        let run = args.run.as_deref().map(|run| audit::run_named(&reader, run)).transpose()?;
        let since = args.since.as_deref().map(|time| audit::time_range(time, host::now_ms())).transpose()?;
        let since_ms = since.map(|range| *range.start());
        let filter = AuditFilter { run, since_ms, ..AuditFilter::any(PAGE) };
        let mut after = None;
        loop {
            let records = reader.follow(&filter, after)?;
            let Some(last) = records.last() else { return Ok(()) };
            after = Some(last.index);
            records.iter().for_each(|record| self.event(&record.event));
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), CommandError> {
        let failed = |error: std::io::Error| CommandError::file(Code::FileUnreadable, "read", path, &error);
        let mut lines = BufReader::new(std::fs::File::open(path).map_err(failed)?);
        for number in 1_u64.. {
            let mut line = Vec::new();
            lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
            if line.is_empty() {
                return Ok(());
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event = event(&line).map_err(|problem| {
                CommandError::new(
                    Code::FileUnreadable,
                    format!("`{}` holds no recorded event in line {number}", path.display()),
                )
                .detail(problem)
                .hint("`loong audit export` writes such files")
            })?;
            self.event(&event);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        if let Event::CallStarted { call, arguments_json: Some(text), .. } = event {
            let of_call = self.pending.iter_mut().find(|past| past.call == *call);
            if let Some(Past { recorded: Ok(recorded), .. }) = of_call {
                recorded.arguments = serde_json::from_str(text).ok();
            }
        }
        if let Some(past) = past(event) {
            self.pending.push_back(past);
        }
        if self.pending.len() > PENDING_MAX
            && let Some(past) = self.pending.pop_front()
        {
            self.decide(past);
        }
    }

    fn decide(&mut self, past: Past) {
        let Past { call, caller, operation, recorded } = past;
        self.counts.decisions += 1;
        let (before, policies_before) = match &recorded {
            Ok(recorded) => (Some(recorded.verdict), recorded.policies.clone()),
            Err(_) => (None, Vec::new()),
        };
        let replayed =
            recorded.map_or_else(|why| Replayed::Undecidable { why }, |call| self.set.replay(&call));
        let changed = |after: Decision, raised: Vec<String>| (Some(after.verdict), after.policies, raised);
        let (after, policies_after, why) = match replayed {
            Replayed::Same => {
                self.counts.same += 1;
                return;
            }
            Replayed::Loosened { after, raised } => {
                self.counts.loosened += 1;
                changed(after, raised)
            }
            Replayed::Tightened { after, raised } => {
                self.counts.tightened += 1;
                changed(after, raised)
            }
            Replayed::Undecidable { why } => {
                self.counts.undecidable += 1;
                (None, Vec::new(), vec![why])
            }
        };
        let group = Group { caller, operation, before, policies_before, after, policies_after, why };
        if self.groups.len() < GROUPS_MAX || self.groups.contains_key(&group) {
            self.groups.entry(group).or_insert((0, call)).0 += 1;
        } else {
            self.unlisted += 1;
        }
    }
}

/// The event in a line: by itself, or as the member `event` of a record.
fn event(line: &[u8]) -> Result<Event, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let event = match value {
        Value::Object(mut record) if record.contains_key("event") => {
            record.remove("event").unwrap_or_default()
        }
        other => other,
    };
    serde_json::from_value(event).map_err(|error| error.to_string())
}

fn show(ui: &mut Ui, name: &str, replay: &Replay<'_>) {
    let Counts { decisions, same, loosened, tightened, undecidable } = replay.counts;
    if ui.json() {
        let groups: Vec<Value> = replay
            .groups
            .iter()
            .map(|(group, (calls, first))| {
                json!({
                    "caller": group.caller, "operation": group.operation, "calls": calls, "first": first,
                    "before": group.before, "policies_before": group.policies_before,
                    "after": group.after, "policies_after": group.policies_after, "why": group.why,
                })
            })
            .collect();
        let value = json!({
            "policy": name, "digest": replay.set.digest(), "counts": replay.counts, "differences": groups,
            "unlisted": replay.unlisted,
        });
        ui.document("loong.policy.test/1", &value);
        return;
    }
    for (group, (calls, first)) in &replay.groups {
        let word = |verdict: Option<Verdict>| verdict.map_or("undecidable", Verdict::as_str);
        let before = group.before.map_or("unknown", Verdict::as_str);
        ui.line(format!("{} → {}: {before} → {}", group.caller, group.operation, word(group.after)));
        let by = |policies: &[String]| {
            if policies.is_empty() { "no policy".to_owned() } else { policies.join(", ") }
        };
        let mut rows = Vec::new();
        if group.after.is_some() {
            rows.push(vec!["before".to_owned(), by(&group.policies_before)]);
            rows.push(vec!["after".to_owned(), by(&group.policies_after)]);
        }
        rows.extend(group.why.iter().map(|why| vec!["because".to_owned(), why.clone()]));
        rows.push(vec!["calls".to_owned(), format!("{calls}, the first is {first}")]);
        ui.table(2, &rows);
    }
    if replay.unlisted > 0 {
        ui.line(format!("and {} calls with other differences", replay.unlisted));
    }
    ui.line(format!(
        "{decisions} decisions by `{name}`: {same} the same, {loosened} loosened, {tightened} tightened, {undecidable} undecidable"
    ));
}
