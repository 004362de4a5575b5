//! `loong audit`: what happened, and whether the record of it is whole.

use std::path::Path;
use std::time::Duration;

use loong_kernel::{Event, Outcome};
use loong_manifest::Code;
use loong_store::{AuditFilter, AuditReader, Record, StoreError, VerifyError};
use loong_trust::UtcTime;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::ui::Ui;

/// How often a log that is followed is asked for more.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// Most records that are read at once while a log is followed.
const FOLLOW_RECORDS_MAX: u32 = 1_000;
/// Every kind of event, as it is recorded.
const KINDS: [&str; 8] = [
    "run_started",
    "run_finished",
    "plugin_loaded",
    "plugin_refused",
    "token_issued",
    "decision",
    "call_finished",
    "effect",
];
/// Digits of a run's name that a person is shown.
const RUN_DIGITS: usize = 8;

/// Look at the audit log, and verify it
#[derive(clap::Subcommand)]
pub enum AuditCommand {
    Recent(RecentArgs),
    Verify(VerifyArgs),
}

/// Show what happened lately, the newest last
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit recent
  loong audit recent --outcome deny --since 1h
  loong audit recent --run 3f9a2c41                 one run, by the first digits of its name
  loong audit recent --follow --json                one JSON document a line, as it happens

Times are UTC: `2026-07-26`, `2026-07-26T10:30:00Z`, or so long ago: `30s`, `10m`, `2h`, `7d`.")]
pub struct RecentArgs {
    /// Keep showing what happens, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Most records
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Only this kind of event
    #[arg(long, value_name = "KIND", value_parser = KINDS)]
    kind: Option<String>,
    /// Only this run; the first digits of its name are enough
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only what concerns this plugin
    #[arg(long, value_name = "ID")]
    plugin: Option<String>,
    /// Only what was decided so
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<OutcomeArg>,
    /// Only what was refused or failed with this code
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<Code>,
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only records that hold this text
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OutcomeArg {
    /// It was allowed
    Allow,
    /// It was refused
    Deny,
    /// A person had to approve it first
    NeedsApproval,
}

/// Check that nothing in the log was changed, removed or reordered
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit verify
  loong audit verify --json

Keep the head that it prints somewhere else: it shows later whether this log was replaced or cut.")]
pub struct VerifyArgs {}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: AuditCommand) -> Result<(), CommandError> {
    match command {
        AuditCommand::Recent(args) => recent(ui, &places.database(), &args),
        AuditCommand::Verify(VerifyArgs {}) => verify(ui, &places.database()),
    }
}

fn code(text: &str) -> Result<Code, String> {
    Code::ALL
        .iter()
        .copied()
        .find(|code| code.as_str() == text)
        .ok_or_else(|| "not one of the codes of registry/schema/codes.md".to_owned())
}

fn recent(ui: &mut Ui, database: &Path, args: &RecentArgs) -> Result<(), CommandError> {
    let mut filter = filter(args, host::now_ms())?;
    let mut reader = open(database)?;
    if let Some(run) = &args.run {
        filter.run = Some(match &reader {
            Some(reader) => run_named(reader, run)?,
            None => run.clone(),
        });
    }
    let records = reader.as_ref().map_or(Ok(Vec::new()), |reader| reader.recent(&filter))?;
    if args.follow {
        // What happens between the two questions is in the answer to the second.
        let mut last = match records.last() {
            Some(record) => Some(record.index),
            None => reader.as_ref().map(newest).transpose()?.flatten(),
        };
        show_each(ui, &records);
        filter.limit = FOLLOW_RECORDS_MAX;
        while !ui.closed() {
            std::thread::sleep(FOLLOW_PAUSE);
            if reader.is_none() {
                reader = open(database)?;
            }
            let Some(reader) = &reader else { continue };
            let records = reader.follow(&filter, last)?;
            last = records.last().map(|record| record.index).or(last);
            show_each(ui, &records);
        }
        return Ok(());
    }
    if ui.json() {
        ui.document(
            "loong.audit.records/1",
            &json!({ "records": records.iter().map(document).collect::<Vec<_>>() }),
        );
    } else if records.is_empty() {
        ui.note(if reader.is_some() { "no record is like that" } else { "nothing recorded yet" });
    } else {
        let rows: Vec<Vec<String>> = records.iter().map(row).collect();
        ui.table(0, &rows);
    }
    Ok(())
}

/// The log; none where there is none yet.
fn open(database: &Path) -> Result<Option<AuditReader>, CommandError> {
    match AuditReader::open_read_only(database) {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn filter(args: &RecentArgs, now_ms: u64) -> Result<AuditFilter, CommandError> {
    let time = |text: &Option<String>| text.as_deref().map(|text| time_ms(text, now_ms)).transpose();
    Ok(AuditFilter {
        kind: args.kind.clone(),
        plugin: args.plugin.clone(),
        outcome: args.outcome.map(|outcome| match outcome {
            OutcomeArg::Allow => Outcome::Allow,
            OutcomeArg::Deny => Outcome::Deny,
            OutcomeArg::NeedsApproval => Outcome::NeedsApproval,
        }),
        code: args.code,
        since_ms: time(&args.since)?,
        until_ms: time(&args.until)?,
        contains: args.text.clone(),
        ..AuditFilter::any(args.limit)
    })
}

/// A time of the command line, in milliseconds since the Unix epoch.
fn time_ms(text: &str, now_ms: u64) -> Result<u64, CommandError> {
    let ago = || {
        let unit_ms: u64 = match text.chars().last()? {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        let count: u64 = text.get(..text.len() - 1)?.parse().ok()?;
        Some(now_ms.saturating_sub(count.checked_mul(unit_ms)?))
    };
    let at = |text: &str| text.parse::<UtcTime>().ok().map(|time| time.unix_s() * 1_000);
    ago().or_else(|| at(text)).or_else(|| at(&format!("{text}T00:00:00Z"))).ok_or_else(|| {
        CommandError::new(Code::CommandLineInvalid, format!("`{text}` is no time"))
            .hint("give `2026-07-26`, `2026-07-26T10:30:00Z`, or so long ago: `30s`, `10m`, `2h`, `7d`")
    })
}

/// The one run whose name begins so.
fn run_named(reader: &AuditReader, start: &str) -> Result<String, CommandError> {
    let filter = AuditFilter {
        kind: Some("run_started".into()),
        contains: Some(start.to_owned()),
        ..AuditFilter::any(1_000)
    };
    let records = reader.recent(&filter)?;
    let mut runs: Vec<&str> =
        records.iter().filter_map(|record| record.event.run()).filter(|run| run.starts_with(start)).collect();
    match (runs.pop(), runs.as_slice()) {
        (Some(run), []) => Ok(run.to_owned()),
        (Some(_), _) => Err(CommandError::new(
            Code::CommandLineInvalid,
            format!("more than one run begins with `{start}`"),
        )
        .hint("give more of its digits")),
        (None, _) => {
            Err(CommandError::new(Code::CommandLineInvalid, format!("no run begins with `{start}`"))
                .hint("`loong audit recent --kind run_started` lists the runs"))
        }
    }
}

/// Where the log ends.
fn newest(reader: &AuditReader) -> Result<Option<u64>, CommandError> {
    Ok(reader.recent(&AuditFilter::any(1))?.first().map(|record| record.index))
}

fn show_each(ui: &mut Ui, records: &[Record]) {
    for record in records {
        if ui.json() {
            ui.json_line("loong.audit.record/1", &document(record));
        } else {
            let [time, kind, run, what, outcome, code] = cells(record);
            ui.line(format!("{time}  {kind:14}  {run:RUN_DIGITS$}  {what}  {outcome} {code}").trim_end());
        }
    }
}

fn document(record: &Record) -> Value {
    json!({ "index": record.index, "time": time_text(record.time_ms), "time_ms": record.time_ms, "event": record.event, "hash": record.hash })
}

fn row(record: &Record) -> Vec<String> {
    cells(record).to_vec()
}

/// A time as people read it: UTC, with milliseconds.
fn time_text(time_ms: u64) -> String {
    let seconds = UtcTime::from_unix_s(time_ms / 1_000).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), time_ms % 1_000)
}

/// Time, kind, run, what it was about, outcome and code.
fn cells(record: &Record) -> [String; 6] {
    let event = &record.event;
    let (what, outcome, code) = match event {
        Event::RunStarted { request, .. } => (request.clone(), String::new(), None),
        Event::RunFinished { calls, denied, code, .. } => (
            format!("{calls} {}, {denied} denied", if *calls == 1 { "call" } else { "calls" }),
            ended(*code),
            *code,
        ),
        Event::PluginLoaded { plugin, version, tier, grants, .. } => (
            format!(
                "{plugin} {version} {tier}, granted: {}",
                if grants.is_empty() { "nothing".to_owned() } else { grants.join(", ") }
            ),
            "loaded".into(),
            None,
        ),
        Event::PluginRefused { plugin, code, reason, .. } => {
            (format!("{plugin}: {reason}"), "refused".into(), Some(*code))
        }
        Event::TokenIssued { holder, .. } => (format!("for {holder}"), String::new(), None),
        Event::Decision { caller, operation, outcome, code, .. } => {
            (format!("{caller} → {operation}"), decided(*outcome).into(), *code)
        }
        Event::CallFinished { operation, code, usage, .. } => (
            format!("{operation} ({}.{:03} ms)", usage.duration_us / 1_000, usage.duration_us % 1_000),
            ended(*code),
            *code,
        ),
        Event::Effect { plugin, capability, target, outcome, code, .. } => {
            (format!("{plugin} {capability}: {target}"), decided(*outcome).into(), *code)
        }
    };
    let run = event.run().unwrap_or_default().chars().take(RUN_DIGITS).collect();
    let code = code.map(|code| format!("[{code}]")).unwrap_or_default();
    [time_text(record.time_ms), event.kind().0.to_owned(), run, loong_manifest::escape(&what), outcome, code]
}

fn ended(code: Option<Code>) -> String {
    if code.is_some() { "failed" } else { "ok" }.to_owned()
}

const fn decided(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::NeedsApproval => "needs-approval",
    }
}

fn verify(ui: &mut Ui, database: &Path) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(database)?;
    let spinner = ui.spinner();
    let verified = reader.verify(&mut |records| {
        spinner.set_message(format!("{records} records are good so far"));
        spinner.tick();
    });
    spinner.finish_and_clear();
    match verified {
        Ok(verified) => {
            if ui.json() {
                let value = json!({ "ok": true, "path": database, "records": verified.records, "head": verified.head });
                ui.document("loong.audit.verify/1", &value);
            } else {
                ui.line(format!("{} records, head {}", verified.records, verified.head));
            }
            Ok(())
        }
        Err(VerifyError::Broken(broken)) => {
            if ui.json() {
                let value = json!({ "ok": false, "path": database, "first_bad_record": broken.index, "problem": broken.damage.to_string() });
                ui.document("loong.audit.verify/1", &value);
            }
            Err(CommandError::new(
                Code::AuditBroken,
                format!("the audit log is not as it was written, from record {} on", broken.index),
            )
            .detail(broken.to_string())
            .detail(format!("in `{}`", database.display()))
            .hint("keep the file as evidence; move it away to begin a new log"))
        }
        Err(VerifyError::Unreadable(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_people_write_them() {
        let now_ms = 1_800_000_000_000;
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(time_ms(text, now_ms).ok(), expected, "{text}");
        check("90s", Some(now_ms - 90_000));
        check("7d", Some(now_ms - 7 * 86_400_000));
        check("2026-01-01", Some(1_767_225_600_000));
        check("2026-01-01T00:00:01Z", Some(1_767_225_601_000));
        check("99999999999999999999d", None);
        check("18446744073709551615d", None);
        check("ünd", None);
        check("yesterday", None);
        check("", None);
    }

    #[test]
    fn every_kind_of_event_can_be_asked_for() {
        let digest = loong_manifest::Digest::of(b"");
        let run = || "0123456789abcdef".to_owned();
        let event = Event::RunStarted { run: run(), request: "a\u{1b}b".into(), policy: digest };
        assert!(KINDS.contains(&event.kind().0));
        let record = Record { index: 0, time_ms: 1_767_225_600_007, event, hash: digest };
        assert_eq!(
            cells(&record),
            ["2026-01-01T00:00:00.007Z", "run_started", "01234567", "a\\u{1b}b", "", ""]
        );
        let event = Event::Effect {
            run: run(),
            call: "c".into(),
            plugin: "core:git".parse().unwrap(),
            capability: "process".into(),
            target: "git push".into(),
            outcome: Outcome::Deny,
            code: Some(Code::CapabilityDenied),
        };
        assert!(KINDS.contains(&event.kind().0));
        let record = Record { index: 1, time_ms: 0, event, hash: digest };
        assert_eq!(cells(&record)[3..], ["core:git process: git push", "deny", "[capability_denied]"]);
    }
}
