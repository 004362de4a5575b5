//! Counting records, by who, what and how.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::filter::{Way, Where};
use super::{AuditFilter, AuditReader, Record, one, way, window};
use crate::StoreError;
use crate::error::ReadError;

/// What records are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The pack that the run is of.
    Pack,
    /// Who acted.
    Agent,
    /// The token.
    Token,
    /// The plugin.
    Plugin,
    /// The kind of event.
    Kind,
    /// The triage label.
    Triage,
}

impl GroupBy {
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Agent => "agent",
            Self::Token => "token",
            Self::Plugin => "plugin",
            Self::Kind => "kind",
            Self::Triage => "triage",
        }
    }
}

/// A record's place and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its place, counted from 0.
    pub index: u64,
    /// Its time, in milliseconds since the Unix epoch.
    pub time_ms: u64,
}

/// Records that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common; none where they are not grouped.
    pub name: Option<String>,
    /// How many they are.
    pub records: u64,
    /// How many there are of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// How many have each outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// How many have each triage label.
    pub triage: BTreeMap<String, u64>,
    /// The first of them.
    pub first: Place,
    /// The last of them.
    pub last: Place,
    /// The last one that has a triage label.
    pub attention: Option<Record>,
}

/// What is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many groups there are; more than are given where they are more than the filter's limit.
    pub groups_total: u64,
    /// The groups, the largest first.
    pub groups: Vec<Group>,
}

impl AuditReader {
    /// Counts the records that the filter lets through; the filter's limit is that of groups. Records that do
    /// not say what they are grouped by are in no group.
    ///
    /// Without conditions an index is read from end to end, with one a part of it; the records themselves
    /// are not.
    pub fn summary(&self, filter: &AuditFilter, by: Option<GroupBy>) -> Result<Summary, StoreError> {
        self.snapshot(|connection| {
            let Some((first, last)) = window(connection, filter)? else {
                return Ok(Summary { groups_total: 0, groups: Vec::new() });
            };
            let way = way(connection, filter, first, last)?;
            count(connection, filter, by, way, (first, last))
        })
    }
}

/// The conditions of a filter over a part of the log.
pub(super) fn within(filter: &AuditFilter, way: Way, (first, last): (i64, i64)) -> Where {
    let conditions = filter.conditions(way);
    let windowed = filter.since_ms.is_some() || filter.until_ms.is_some() || filter.index.is_some();
    if !windowed {
        return Where { sql: format!("true{}", conditions.sql), values: conditions.values };
    }
    let bound = if way == Way::Rows { "idx" } else { "+idx" };
    let values = [Value::Integer(first), Value::Integer(last)].into_iter().chain(conditions.values);
    Where { sql: format!("{bound} BETWEEN ? AND ?{}", conditions.sql), values: values.collect() }
}

fn count(
    connection: &Connection,
    filter: &AuditFilter,
    by: Option<GroupBy>,
    way: Way,
    window: (i64, i64),
) -> Result<Summary, ReadError> {
    let mut conditions = within(filter, way, window);
    let name = by.map_or("NULL", GroupBy::column);
    let (mut group, mut columns) = (vec!["kind", "outcome", "triage"], String::new());
    if by.is_some() {
        conditions.and(&format!("{name} IS NOT NULL"), []);
        group.retain(|column| *column != name);
        columns = format!("{name}, ");
    }
    let sql = format!(
        "WITH part AS MATERIALIZED (
             SELECT {name} AS name, kind, outcome, triage, count(*) AS n, min(idx) AS first, max(idx) AS last
             FROM audit WHERE {} GROUP BY {columns}{}),
         largest AS MATERIALIZED (
             SELECT name, sum(n) AS total FROM part GROUP BY name ORDER BY total DESC, name LIMIT {})
         SELECT part.name, part.kind, part.outcome, part.triage, part.n, part.first, part.last,
             (SELECT count(DISTINCT name) FROM part)
         FROM largest JOIN part ON part.name IS largest.name ORDER BY largest.total DESC, largest.name",
        conditions.sql,
        group.join(", "),
        filter.limit,
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(conditions.values))?;
    let mut counted: Vec<Counted> = Vec::new();
    let mut groups_total = 0;
    while let Some(row) = rows.next()? {
        let name: Option<String> = row.get(0)?;
        groups_total = row.get::<_, i64>(7)?.unsigned_abs().max(1);
        let part = Part {
            kind: row.get(1)?,
            outcome: row.get(2)?,
            triage: row.get(3)?,
            records: row.get::<_, i64>(4)?.unsigned_abs(),
            first: row.get(5)?,
            last: row.get(6)?,
        };
        match counted.last_mut().filter(|group| group.name == name) {
            Some(group) => group.add(part),
            None => counted.push(Counted::new(name, part)),
        }
    }
    let groups = counted.into_iter().map(|group| group.finish(connection)).collect::<Result<_, _>>()?;
    Ok(Summary { groups_total, groups })
}

/// Records of one group that also have kind, outcome and label in common.
struct Part {
    kind: String,
    outcome: Option<String>,
    triage: Option<String>,
    records: u64,
    first: i64,
    last: i64,
}

/// A group while its parts are added up.
struct Counted {
    name: Option<String>,
    records: u64,
    counts: [BTreeMap<String, u64>; 3],
    first: i64,
    last: i64,
    attention: Option<i64>,
}

impl Counted {
    fn new(name: Option<String>, part: Part) -> Self {
        let (first, last) = (part.first, part.last);
        let mut group = Self { name, records: 0, counts: Default::default(), first, last, attention: None };
        group.add(part);
        group
    }

    fn add(&mut self, part: Part) {
        self.records += part.records;
        self.first = self.first.min(part.first);
        self.last = self.last.max(part.last);
        if part.triage.is_some() {
            self.attention = self.attention.max(Some(part.last));
        }
        let texts = [Some(part.kind), part.outcome, part.triage];
        for (counts, text) in self.counts.iter_mut().zip(texts) {
            if let Some(text) = text {
                *counts.entry(text).or_default() += part.records;
            }
        }
    }

    fn finish(self, connection: &Connection) -> Result<Group, ReadError> {
        let [kinds, outcomes, triage] = self.counts;
        let attention = self.attention.map(|index| one(connection, index)).transpose()?.flatten();
        Ok(Group {
            name: self.name,
            records: self.records,
            kinds,
            outcomes,
            triage,
            first: place(connection, self.first)?,
            last: place(connection, self.last)?,
            attention,
        })
    }
}

/// A record's place with its time.
pub(super) fn place(connection: &Connection, index: i64) -> Result<Place, ReadError> {
    let mut select = connection.prepare_cached("SELECT time_ms FROM audit WHERE idx = ?")?;
    let time_ms: i64 = select.query_row([index], |row| row.get(0))?;
    Ok(Place { index: index.unsigned_abs(), time_ms: u64::try_from(time_ms).unwrap_or(0) })
}
