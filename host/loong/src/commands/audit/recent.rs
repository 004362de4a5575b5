//! `loong audit recent`: the last records, or those to come.

use std::path::Path;
use std::time::Duration;

use loong_kernel::{EventKind, Outcome};
use loong_manifest::Code;
use loong_store::{AuditFilter, AuditReader, Record};
use serde_json::json;

use super::describe::{RUN_DIGITS, cells, document};
use super::{open, run_named, time_ms};
use crate::error::CommandError;
use crate::host;
use crate::ui::Ui;

/// How often a log that is followed is asked for more.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// Most records that are read at once while a log is followed.
const FOLLOW_RECORDS_MAX: u32 = 1_000;

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
    #[arg(long, value_name = "KIND", value_parser = kinds())]
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

fn kinds() -> clap::builder::PossibleValuesParser {
    EventKind::ALL.map(|kind| kind.0).into()
}

fn code(text: &str) -> Result<Code, String> {
    Code::ALL
        .iter()
        .copied()
        .find(|code| code.as_str() == text)
        .ok_or_else(|| "not one of the codes of registry/schema/codes.md".to_owned())
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &RecentArgs) -> Result<(), CommandError> {
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
        let rows: Vec<Vec<String>> = records.iter().map(|record| cells(record).to_vec()).collect();
        ui.table(0, &rows);
    }
    Ok(())
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
