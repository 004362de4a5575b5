//! `loong audit summary`: how much of what there is.

use std::collections::BTreeMap;
use std::path::Path;

use loong_store::GroupBy;

use super::documents::{GroupDocument, SummaryDocument};
use super::filters::{FilterArgs, TIMES};
use super::open;
use crate::error::CommandError;
use crate::ui::Ui;

/// Count what happened, by who, what and how
#[derive(clap::Args)]
#[command(after_help = format!("\
Examples:
  loong audit summary
  loong audit summary --since 24h
  loong audit summary --group-by agent              who did what, and what was refused
  loong audit summary --group-by triage             what a person should look at

Records that do not say what they are grouped by are in no group: only decisions name a pack.
{TIMES}"))]
pub struct SummaryArgs {
    /// What to group by
    #[arg(long, value_name = "WHAT")]
    group_by: Option<GroupArg>,
    /// Most groups
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    filter: FilterArgs,
}

/// What to group by.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum GroupArg {
    /// What the person called first in the run
    Pack,
    /// Who acted: `person` or a plugin
    Agent,
    /// The token that was shown
    Token,
    /// The plugin that was called, loaded or refused
    Plugin,
    /// The kind of event
    Kind,
    /// Why a person should look at it
    Triage,
}

impl GroupArg {
    const fn pair(self) -> (GroupBy, &'static str) {
        match self {
            Self::Pack => (GroupBy::Pack, "pack"),
            Self::Agent => (GroupBy::Agent, "agent"),
            Self::Token => (GroupBy::Token, "token"),
            Self::Plugin => (GroupBy::Plugin, "plugin"),
            Self::Kind => (GroupBy::Kind, "kind"),
            Self::Triage => (GroupBy::Triage, "triage"),
        }
    }
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &SummaryArgs) -> Result<(), CommandError> {
    let Some(reader) = open(database)? else {
        ui.note("nothing recorded yet");
        return Ok(());
    };
    let filter = args.filter.filter(Some(&reader), args.limit)?;
    let by = args.group_by.map(GroupArg::pair);
    let summary = reader.summary(&filter, by.map(|by| by.0))?;
    let document = SummaryDocument::of(summary, by.map(|by| by.1));
    if ui.json() {
        ui.document("loong.audit.summary/1", &document);
        return Ok(());
    }
    if document.groups.is_empty() {
        ui.note("no record is like that");
    }
    for (at, group) in document.groups.iter().enumerate() {
        if at > 0 {
            ui.line("");
        }
        show(ui, group);
    }
    more(ui, document.groups.len(), document.groups_total);
    Ok(())
}

fn show(ui: &mut Ui, group: &GroupDocument) {
    let records =
        if group.records == 1 { "1 record".to_owned() } else { format!("{} records", group.records) };
    let when = if group.records == 1 {
        group.first.time.clone()
    } else {
        format!("{} to {}", group.first.time, group.last.time)
    };
    match &group.name {
        Some(name) => ui.line(format!("{}: {records}, {when}", loong_manifest::escape(name))),
        None => ui.line(format!("{records}, {when}")),
    }
    let rows = [("kind", &group.kinds), ("outcome", &group.outcomes), ("triage", &group.triage)];
    let rows = rows.into_iter().filter(|(_, counts)| !counts.is_empty());
    let rows: Vec<Vec<String>> = rows.map(|(what, counts)| vec![what.to_owned(), listed(counts)]).collect();
    ui.table(2, &rows);
    if let Some(attention) = &group.attention {
        attention.show(ui, 2);
    }
}

/// Counts with what they count, the largest first.
pub(super) fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Says how many groups are not shown.
pub(super) fn more(ui: &Ui, shown: usize, total: u64) {
    let hidden = total.saturating_sub(shown as u64);
    if hidden > 0 {
        ui.note(format!("{hidden} more are not shown; `--limit {total}` shows all"));
    }
}
