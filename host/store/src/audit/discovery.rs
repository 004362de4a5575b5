//! Which tools were searched for, and what the searches were given.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::filter::{Way, Where};
use super::summary::{GroupBy, Place, place, within};
use super::{AuditFilter, AuditReader, Record, one, way, window};
use crate::StoreError;
use crate::error::ReadError;

/// Most queries and tools that are named of each group.
const TOP_MAX: u32 = 5;

/// Searches that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchGroup {
    /// What they have in common; none where they are not grouped, or where they do not say.
    pub name: Option<String>,
    /// How many they are.
    pub searches: u64,
    /// How many tools they were given in all.
    pub returned: u64,
    /// How many tools were left out because of their tier.
    pub filtered: u64,
    /// How many searches found nothing.
    pub empty: u64,
    /// How many found nothing because of the tiers they ask for.
    pub empty_by_tier: u64,
    /// How many asked for a tier that they were not given.
    pub conflicts: u64,
    /// How many asked for each tier.
    pub tiers_requested: BTreeMap<String, u64>,
    /// How many looked through each tier.
    pub tiers_effective: BTreeMap<String, u64>,
    /// The most frequent queries.
    pub queries: Vec<(String, u64)>,
    /// The tools that were found most often.
    pub tools: Vec<(String, u64)>,
    /// The first search.
    pub first: Place,
    /// The last search.
    pub last: Place,
    /// The last search that has a triage label.
    pub attention: Option<Record>,
}

/// The searches that are in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// How many groups there are; more than are given where they are more than the filter's limit.
    pub groups_total: u64,
    /// The groups, those with most searches first.
    pub groups: Vec<SearchGroup>,
}

impl AuditReader {
    /// Counts the searches that the filter lets through, all together or by pack or agent; the filter's limit
    /// is that of groups. Every search that it lets through is read.
    pub fn discovery(&self, filter: &AuditFilter, by: Option<GroupBy>) -> Result<Discovery, StoreError> {
        let mut filter = filter.clone();
        let kind = filter.kind.get_or_insert_with(|| SEARCH.to_owned());
        if kind != SEARCH {
            return Ok(Discovery { groups_total: 0, groups: Vec::new() });
        }
        self.snapshot(|connection| {
            let Some((first, last)) = window(connection, &filter)? else {
                return Ok(Discovery { groups_total: 0, groups: Vec::new() });
            };
            let conditions = conditions(connection, &filter, (first, last))?;
            let name = match by {
                None => "NULL",
                // The pack is that of the run, which its first decision names.
                Some(GroupBy::Pack) => {
                    "(SELECT d.pack FROM audit d WHERE d.run = audit.run AND +d.pack IS NOT NULL LIMIT 1)"
                }
                Some(by) => by.column(),
            };
            let searches =
                format!("SELECT idx, triage, event, {name} AS name FROM audit WHERE {}", conditions.sql);
            let mut found = groups(connection, &searches, &conditions.values, filter.limit)?;
            count_each(connection, &searches, &conditions.values, &mut found.groups)?;
            Ok(found)
        })
    }
}

const SEARCH: &str = "search_evaluated";

/// The searches of a pack are those of its runs: they do not name it themselves.
fn conditions(connection: &Connection, filter: &AuditFilter, window: (i64, i64)) -> Result<Where, ReadError> {
    let mut plain = filter.clone();
    let pack = plain.pack.take();
    let way = match way(connection, &plain, window.0, window.1)? {
        Way::Rows => Way::Rows,
        // Searches are few among all; so are those of one run.
        Way::Index("run" | "token" | "approval" | "triage") => plain.way(),
        Way::Index(_) => Way::Index("kind"),
    };
    let mut conditions = within(&plain, way, window);
    if let Some(pack) = pack {
        conditions.and("run IN (SELECT d.run FROM audit d WHERE d.pack = ?)", [Value::Text(pack)]);
    }
    Ok(conditions)
}

fn groups(
    connection: &Connection,
    searches: &str,
    values: &[Value],
    limit: u32,
) -> Result<Discovery, ReadError> {
    let sql = format!(
        "WITH one AS (SELECT name, idx, triage, event ->> '$.returned' AS returned, event ->> '$.filtered' AS filtered
             FROM ({searches})),
         many AS (SELECT name, count(*) AS n, sum(returned) AS returned, sum(filtered) AS filtered,
             sum(returned = 0) AS empty, sum(triage IS 'tool_search_trust_empty') AS tier_empty,
             sum(triage IS 'tool_search_trust_conflict') AS conflicts, min(idx) AS first, max(idx) AS last,
             max(CASE WHEN triage IS NOT NULL THEN idx END) AS attention FROM one GROUP BY name)
         SELECT *, count(*) OVER () FROM many ORDER BY n DESC, name LIMIT {limit}"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(values))?;
    let mut found = Discovery { groups_total: 0, groups: Vec::new() };
    while let Some(row) = rows.next()? {
        // A sum of whole numbers from a tampered record may be anything; it is shown as far as it is one.
        let number = |column: usize| -> rusqlite::Result<u64> {
            Ok(match row.get::<_, Value>(column)? {
                Value::Integer(number) => number.unsigned_abs(),
                _ => 0,
            })
        };
        let attention: Option<i64> = row.get(9)?;
        found.groups_total = number(10)?;
        found.groups.push(SearchGroup {
            name: row.get(0)?,
            searches: number(1)?,
            returned: number(2)?,
            filtered: number(3)?,
            empty: number(4)?,
            empty_by_tier: number(5)?,
            conflicts: number(6)?,
            tiers_requested: BTreeMap::new(),
            tiers_effective: BTreeMap::new(),
            queries: Vec::new(),
            tools: Vec::new(),
            first: place(connection, row.get(7)?)?,
            last: place(connection, row.get(8)?)?,
            attention: attention.map(|index| one(connection, index)).transpose()?.flatten(),
        });
    }
    Ok(found)
}

/// Adds to each group what was asked for and given most often.
fn count_each(
    connection: &Connection,
    searches: &str,
    values: &[Value],
    groups: &mut [SearchGroup],
) -> Result<(), ReadError> {
    let every = |member: &str| {
        format!("SELECT name, json_each.value AS what FROM ({searches}), json_each(event, '$.{member}')")
    };
    let parts = [
        format!("SELECT name, event ->> '$.query' AS what FROM ({searches})"),
        every("top"),
        every("tiers_requested"),
        every("tiers_effective"),
    ];
    for (at, part) in parts.iter().enumerate() {
        let sql = format!(
            "SELECT name, what, n FROM (
                 SELECT name, what, count(*) AS n,
                     row_number() OVER (PARTITION BY name ORDER BY count(*) DESC, what) AS place
                 FROM ({part}) GROUP BY name, what)
             WHERE place <= {TOP_MAX} ORDER BY name, place"
        );
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let name: Option<String> = row.get(0)?;
            let what = row.get::<_, Option<String>>(1)?.unwrap_or_default();
            let count = row.get::<_, i64>(2)?.unsigned_abs();
            let Some(group) = groups.iter_mut().find(|group| group.name == name) else { continue };
            match at {
                0 => group.queries.push((what, count)),
                1 => group.tools.push((what, count)),
                2 => drop(group.tiers_requested.insert(what, count)),
                _ => drop(group.tiers_effective.insert(what, count)),
            }
        }
    }
    Ok(())
}
