//! `loong audit recent`: the last records, or those to come.

use std::path::Path;
use std::time::Duration;

use loong_store::Record;

use super::describe::{RUN_DIGITS, cells};
use super::documents::{RecentDocument, RecordDocument};
use super::filters::{FilterArgs, TIMES};
use super::open;
use crate::error::CommandError;
use crate::ui::Ui;

/// How often a log that is followed is asked for more.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// Most records that are read at once while a log is followed.
const FOLLOW_RECORDS_MAX: u32 = 1_000;

/// Show what happened lately, the newest last
#[derive(clap::Args)]
#[command(after_help = format!("\
Examples:
  loong audit recent
  loong audit recent --outcome deny --since 1h
  loong audit recent --triage plugin_trust_blocked  what was refused for who signed it
  loong audit recent --run 3f9a2c41                 one run, by the first digits of its name
  loong audit recent --follow --json                one JSON document a line, as it happens

{TIMES}"))]
pub struct RecentArgs {
    /// Keep showing what happens, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Most records
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &RecentArgs) -> Result<(), CommandError> {
    let mut reader = open(database)?;
    let mut filter = args.filter.filter(reader.as_ref(), args.limit)?;
    // What happens between the two questions is in the answer to the second.
    let newest = reader.as_ref().map_or(Ok(None), |reader| reader.newest())?;
    let records = reader.as_ref().map_or(Ok(Vec::new()), |reader| reader.recent(&filter))?;
    if args.follow {
        let mut last = newest.max(records.last().map(|record| record.index));
        show_each(ui, &records);
        filter.limit = FOLLOW_RECORDS_MAX;
        while !ui.closed() {
            std::thread::sleep(FOLLOW_PAUSE);
            if reader.is_none() {
                reader = open(database)?;
            }
            let Some(reader) = &reader else { continue };
            let newest = reader.newest()?;
            let records = reader.follow(&filter, last)?;
            let shown = records.last().map(|record| record.index);
            // Where there may be more, the next question begins after what was shown; otherwise after all.
            let all = records.len() < FOLLOW_RECORDS_MAX as usize;
            last = if all { last.max(newest).max(shown) } else { shown };
            show_each(ui, &records);
        }
        return Ok(());
    }
    let document = RecentDocument::of(&records);
    if ui.json() {
        ui.document("loong.audit.records/1", &document);
    } else if records.is_empty() {
        ui.note(if reader.is_some() { "no record is like that" } else { "nothing recorded yet" });
    } else {
        let rows: Vec<Vec<String>> = records.iter().map(|record| cells(record).to_vec()).collect();
        ui.table(0, &rows);
        if let Some(attention) = document.attention {
            ui.line("");
            attention.show(ui, 0);
        }
    }
    Ok(())
}

fn show_each(ui: &mut Ui, records: &[Record]) {
    for record in records {
        if ui.json() {
            ui.json_line("loong.audit.record/1", &RecordDocument::of(record));
        } else {
            let [time, kind, run, what, outcome, code] = cells(record);
            ui.line(format!("{time}  {kind:14}  {run:RUN_DIGITS$}  {what}  {outcome} {code}").trim_end());
        }
    }
}
