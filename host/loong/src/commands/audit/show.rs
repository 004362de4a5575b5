//! `loong audit show`: one record in full, or all of a call or of an approval.

use std::path::Path;

use loong_manifest::{Code, escape};
use loong_store::{AuditReader, Named, Record};
use serde_json::Value;

use super::attention::Attention;
use super::describe::{cells, time_text};
use super::documents::{RecordDocument, ShowDocument};
use super::named;
use crate::error::CommandError;
use crate::ui::Ui;

/// Most records of one call or approval that are shown.
const RECORDS_MAX: u32 = 500;

/// Show one record in full, or all records of a call or of an approval
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit show 123                              the record at this place, and the others of its call
  loong audit show 3f9a2c41.2                       a call: its decision, its beginning, its effects, its end
  loong audit show 9b1c22                           an approval, by its first digits
  loong audit show 123 --json")]
pub struct ShowArgs {
    /// A record's place, a call (its run's first digits will do), or an approval
    #[arg(value_name = "INDEX|CALL|APPROVAL")]
    what: String,
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &ShowArgs) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(database)?;
    let (records, neighbours) = find(&reader, &args.what)?;
    let document = ShowDocument {
        records: RecordDocument::all(&records),
        neighbours: RecordDocument::all(&neighbours),
        attention: records.iter().rev().find_map(Attention::of),
    };
    if ui.json() {
        ui.document("loong.audit.show/1", &document);
        return Ok(());
    }
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            ui.line("");
        }
        show(ui, record);
    }
    if !neighbours.is_empty() {
        ui.line("");
        ui.line("the other records of this call");
        let row = |record: &Record| {
            let [time, kind, _, what, outcome, code] = cells(record);
            vec![record.index.to_string(), time, kind, what, outcome, code]
        };
        ui.table(2, &neighbours.iter().map(row).collect::<Vec<_>>());
    }
    if let Some(attention) = document.attention {
        ui.line("");
        attention.show(ui, 0);
    }
    Ok(())
}

/// The records that are meant, and the others of the call of a single one.
fn find(reader: &AuditReader, what: &str) -> Result<(Vec<Record>, Vec<Record>), CommandError> {
    // An approval may consist of digits too, but then it is longer than any place.
    if let Some(record) = what.parse::<u64>().ok().map(|index| reader.at(index)).transpose()?.flatten() {
        let facets = record.event.facets();
        let mut others = match (facets.call, facets.approval) {
            (Some(call), _) => reader.of_call(call, RECORDS_MAX)?,
            (None, Some(approval)) => reader.of_approval(approval, RECORDS_MAX)?,
            (None, None) => Vec::new(),
        };
        others.retain(|other| other.index != record.index);
        return Ok((vec![record], others));
    }
    let records = if let Some((run, call)) = what.rsplit_once('.') {
        let run = named("run", run, reader.run_named(run)?)?;
        reader.of_call(&format!("{run}.{call}"), RECORDS_MAX)?
    } else {
        match reader.approval_named(what)? {
            Named::None => Vec::new(),
            found => reader.of_approval(&named("approval", what, found)?, RECORDS_MAX)?,
        }
    };
    if records.is_empty() {
        return Err(CommandError::new(Code::CommandLineInvalid, format!("no record, call or approval is `{what}`"))
            .hint("`loong audit recent --json` shows places, calls and approvals; `loong audit summary` how many there are"));
    }
    Ok((records, Vec::new()))
}

/// All that a record says, a member a line.
fn show(ui: &mut Ui, record: &Record) {
    let label = record.event.facets().triage;
    let label = label.map(|label| format!(", {label} ({})", label.severity().as_str())).unwrap_or_default();
    ui.line(format!("record {}: {}{label}", record.index, record.event.kind().0));
    let mut rows = vec![vec!["time".to_owned(), time_text(record.time_ms)]];
    if let Ok(Value::Object(members)) = serde_json::to_value(&record.event) {
        let members = members.into_iter().filter(|(name, value)| name != "kind" && !value.is_null());
        rows.extend(members.map(|(name, value)| vec![name, said(&value)]));
    }
    rows.push(vec!["hash".to_owned(), record.hash.to_string()]);
    ui.table(2, &rows);
}

/// A member's value: a text as it is, a list of texts with commas, anything else as JSON.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        }
        other => other.to_string(),
    }
}
