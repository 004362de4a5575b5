//! `loong audit discovery`: which tools were searched for, and what the searches were given.

use std::path::Path;

use loong_store::GroupBy;

use super::documents::{CountDocument, DiscoveryDocument, SearchesDocument};
use super::filters::{FilterArgs, TIMES};
use super::open;
use super::summary::{listed, more};
use crate::error::CommandError;
use crate::ui::Ui;

/// Show which tools were searched for, by which tiers, and what was left out
#[derive(clap::Args)]
#[command(after_help = format!("\
Examples:
  loong audit discovery
  loong audit discovery --group-by agent --since 7d
  loong audit discovery --triage tool_search_trust_conflict
  loong audit discovery --pack core:release-review  searches in runs of this pack

{TIMES}"))]
pub struct DiscoveryArgs {
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
    /// Who searched: `person` or a plugin
    Agent,
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &DiscoveryArgs) -> Result<(), CommandError> {
    let Some(reader) = open(database)? else {
        ui.note("nothing recorded yet");
        return Ok(());
    };
    let filter = args.filter.filter(Some(&reader), args.limit)?;
    let by = args.group_by.map(|by| match by {
        GroupArg::Pack => (GroupBy::Pack, "pack"),
        GroupArg::Agent => (GroupBy::Agent, "agent"),
    });
    let document = DiscoveryDocument::of(reader.discovery(&filter, by.map(|by| by.0))?, by.map(|by| by.1));
    if ui.json() {
        ui.document("loong.audit.discovery/1", &document);
        return Ok(());
    }
    if document.groups.is_empty() {
        ui.note("no search is like that");
    }
    for (at, group) in document.groups.iter().enumerate() {
        if at > 0 {
            ui.line("");
        }
        show(ui, group, by.map(|by| by.1));
    }
    more(ui, document.groups.len(), document.groups_total);
    Ok(())
}

fn show(ui: &mut Ui, group: &SearchesDocument, by: Option<&str>) {
    let searches =
        if group.searches == 1 { "1 search".to_owned() } else { format!("{} searches", group.searches) };
    let found = format!("{searches}, {} found, {} left out by tier", group.returned, group.filtered);
    match (&group.name, by) {
        (Some(name), _) => ui.line(format!("{}: {found}", loong_manifest::escape(name))),
        (None, Some(by)) => ui.line(format!("no {by}: {found}")),
        (None, None) => ui.line(found),
    }
    let mut rows = vec![("queries", top(&group.queries)), ("tools", top(&group.tools))];
    rows.push(("asked for", listed(&group.tiers_requested)));
    rows.push(("given", listed(&group.tiers_effective)));
    let counts = [
        (group.conflicts, "asked for a tier that was not given"),
        (group.empty, "found nothing"),
        (group.empty_by_tier, "of them because of the tier"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    rows.push((
        "of these",
        counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", "),
    ));
    let rows = rows.into_iter().filter(|(_, text)| !text.is_empty());
    ui.table(2, &rows.map(|(what, text)| vec![what.to_owned(), text]).collect::<Vec<_>>());
    if let Some(attention) = &group.attention {
        attention.show(ui, 2);
    }
}

fn top(counts: &[CountDocument]) -> String {
    counts.iter().map(|one| format!("`{}` {}", one.name, one.count)).collect::<Vec<_>>().join(", ")
}
