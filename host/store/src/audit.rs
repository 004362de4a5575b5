//! Reading the audit log, while others write it. One file for each sort of question.

use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};

use loong_kernel::Event;
use loong_manifest::Digest;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::error::{Damage, ReadError};
use crate::record::{SELECT, Stored};
use crate::{StoreError, connect};

mod discovery;
mod filter;
mod summary;
mod trail;

pub use discovery::{Discovery, SearchGroup};
pub use filter::AuditFilter;
use filter::Way;
pub use summary::{Group, GroupBy, Place, Summary};
pub use trail::{CallMade, Named, TokenTrail};

/// The last records are looked through one by one before an index is asked: what is frequent is among them,
/// and what is not is found by its index at once.
const NEAR_RECORDS: i64 = if cfg!(test) { 20 } else { 4_096 };

/// One record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place, counted from 0.
    pub index: u64,
    /// When it was handed to the log, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// What happened.
    pub event: Event,
    /// Its hash, as it is stored; [`AuditReader::verify`] says whether it fits.
    pub hash: Digest,
}

/// The audit log, open for reading only.
pub struct AuditReader {
    connection: Connection,
    path: PathBuf,
}

impl AuditReader {
    /// Opens a log that is there. A missing file is an error: it is not the same as an empty log.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let (connection, path) = connect::to_read(path)?;
        Ok(Self { connection, path })
    }

    pub(crate) const fn of(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path }
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn failed(&self, error: ReadError) -> StoreError {
        error.at(&self.path)
    }

    /// The last records that the filter lets through, the newest last.
    ///
    /// Costs a little for the last few thousand records and what the index of the most telling condition
    /// names besides. Only a text, alone, is looked for in each record until there are enough.
    pub fn recent(&self, filter: &AuditFilter) -> Result<Vec<Record>, StoreError> {
        self.snapshot(|connection| {
            let Some((first, last)) = window(connection, filter)? else { return Ok(Vec::new()) };
            let near = first.max(last.saturating_sub(NEAR_RECORDS));
            let mut records = select(connection, filter, Way::Rows, near..=last, "DESC", filter.limit)?;
            let left = filter.limit.saturating_sub(u32::try_from(records.len()).unwrap_or(u32::MAX));
            if left > 0 && near > first {
                let way = way(connection, filter, first, last)?;
                records.extend(select(connection, filter, way, first..=near - 1, "DESC", left)?);
            }
            records.reverse();
            Ok(records)
        })
    }

    /// The first records after an index that the filter lets through, the newest last; from the beginning
    /// when there is no index. To follow the log, ask again with the last index that was given.
    pub fn follow(&self, filter: &AuditFilter, after: Option<u64>) -> Result<Vec<Record>, StoreError> {
        self.snapshot(|connection| {
            let Some((first, last)) = window(connection, filter)? else { return Ok(Vec::new()) };
            let first = after
                .map_or(first, |after| first.max(i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1)));
            select(connection, filter, Way::Rows, first..=last, "ASC", filter.limit)
        })
    }

    /// Gives each record that the filter lets through to `each`, with the text of its event as it is stored and
    /// hashed, the oldest first, until it says that it is enough; how many there were. Needs the memory of one
    /// record; goes through the log once.
    pub fn each(
        &self,
        filter: &AuditFilter,
        each: &mut dyn FnMut(&Record, &str) -> ControlFlow<()>,
    ) -> Result<u64, StoreError> {
        self.snapshot(|connection| {
            let Some((first, last)) = window(connection, filter)? else { return Ok(0) };
            let way = if filter.run.is_some() { Way::Index("run") } else { Way::Rows };
            let conditions = filter.conditions(way);
            let bound = if way == Way::Rows { "idx" } else { "+idx" };
            let sql = format!(
                "{SELECT} WHERE {bound} BETWEEN ? AND ?{} ORDER BY idx LIMIT {}",
                conditions.sql, filter.limit
            );
            let mut select = connection.prepare(&sql)?;
            let values = [Value::Integer(first), Value::Integer(last)].into_iter().chain(conditions.values);
            let mut rows = select.query(params_from_iter(values))?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let index = row.get_ref(0)?.as_i64().unwrap_or(0).unsigned_abs();
                count += 1;
                let stored = Stored::read(row, index)?;
                if each(&record(&stored, index)?, &stored.event).is_break() {
                    break;
                }
            }
            Ok(count)
        })
    }

    /// The record at a place.
    pub fn at(&self, index: u64) -> Result<Option<Record>, StoreError> {
        self.snapshot(|connection| one(connection, i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// The place of the last record.
    pub fn newest(&self) -> Result<Option<u64>, StoreError> {
        self.snapshot(|connection| Ok(end(connection, "max")?.map(i64::unsigned_abs)))
    }

    /// Asks several questions of one state of the log, however much is written meanwhile.
    fn snapshot<T>(
        &self,
        questions: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, StoreError> {
        let snapshot = self.connection.unchecked_transaction().map_err(|error| self.failed(error.into()))?;
        questions(&snapshot).map_err(|error| self.failed(error))
    }
}

/// The first and the last place that the filter's time and place leave, if any. Times never go back in the log,
/// so that they are found by halving. (Before it was kept so, they could; there a window may end at the jump.)
fn window(connection: &Connection, filter: &AuditFilter) -> Result<Option<(i64, i64)>, ReadError> {
    let (Some(mut first), Some(mut last)) = (end(connection, "min")?, end(connection, "max")?) else {
        return Ok(None);
    };
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let (begin, stop) = (first, last.saturating_add(1));
    if let Some(since) = filter.since_ms {
        first = not_before(connection, begin, stop, ms(since))?;
    }
    if let Some(until) = filter.until_ms {
        last = not_before(connection, begin, stop, ms(until).saturating_add(1))? - 1;
    }
    if let Some(index) = filter.index {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        (first, last) = (first.max(index), last.min(index));
    }
    Ok((first <= last).then_some((first, last)))
}

/// The first or the last place of the log.
fn end(connection: &Connection, which: &str) -> Result<Option<i64>, ReadError> {
    Ok(connection
        .prepare_cached(&format!("SELECT {which}(idx) FROM audit"))?
        .query_row([], |row| row.get(0))?)
}

/// The first place from `low` on, and before `high`, whose time is not before `time_ms`; `high` if there is none.
fn not_before(connection: &Connection, mut low: i64, mut high: i64, time_ms: i64) -> Result<i64, ReadError> {
    let mut select =
        connection.prepare_cached("SELECT idx, time_ms FROM audit WHERE idx >= ? ORDER BY idx LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> =
            select.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((index, time)) if time < time_ms => low = index + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// How a part of the log is gone through: by an index only where the part is not small itself.
fn way(connection: &Connection, filter: &AuditFilter, first: i64, last: i64) -> Result<Way, ReadError> {
    let whole = match (end(connection, "min")?, end(connection, "max")?) {
        (Some(first), Some(last)) => last - first,
        _ => 0,
    };
    Ok(if (last - first) < whole / 8 { Way::Rows } else { filter.way() })
}

fn select(
    connection: &Connection,
    filter: &AuditFilter,
    way: Way,
    places: RangeInclusive<i64>,
    order: &str,
    limit: u32,
) -> Result<Vec<Record>, ReadError> {
    let conditions = filter.conditions(way);
    let tail = format!("BETWEEN ? AND ?{} ORDER BY idx {order} LIMIT {limit}", conditions.sql);
    let sql = match way {
        Way::Rows => format!("{SELECT} WHERE idx {tail}"),
        // Only the places are put in order, not the records.
        Way::Index(_) => {
            format!("{SELECT} WHERE idx IN (SELECT idx FROM audit WHERE +idx {tail}) ORDER BY idx {order}")
        }
    };
    let (first, last) = places.into_inner();
    let values = [Value::Integer(first), Value::Integer(last)].into_iter().chain(conditions.values);
    records(connection, &sql, values)
}

/// The records that a statement gives, whose columns are those of [`SELECT`].
fn records(
    connection: &Connection,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<Record>, ReadError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params_from_iter(values))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let index = row.get_ref(0)?.as_i64().unwrap_or(0).unsigned_abs();
        records.push(record(&Stored::read(row, index)?, index)?);
    }
    Ok(records)
}

fn one(connection: &Connection, index: i64) -> Result<Option<Record>, ReadError> {
    Ok(records(connection, &format!("{SELECT} WHERE idx = ?"), [Value::Integer(index)])?.pop())
}

fn record(stored: &Stored, index: u64) -> Result<Record, ReadError> {
    let event = serde_json::from_str(&stored.event)
        .map_err(|error| ReadError::broken(index, Damage::Event { problem: error.to_string() }))?;
    Ok(Record {
        index,
        time_ms: u64::try_from(stored.time_ms).unwrap_or(0),
        event,
        hash: Digest::from_bytes(stored.hash),
    })
}
