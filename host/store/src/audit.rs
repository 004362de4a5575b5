//! Reading the audit log, while others write it.

use std::path::{Path, PathBuf};

use loong_kernel::{Event, Outcome};
use loong_manifest::{Code, Digest};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::error::{Damage, ReadError};
use crate::record::{SELECT, Stored};
use crate::{StoreError, connect};

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

/// Which records are wanted. What is `None` does not matter; everything else has to hold.
#[derive(Debug, Clone)]
pub struct AuditFilter {
    /// The kind of the event, such as `decision`.
    pub kind: Option<String>,
    /// The run it belongs to.
    pub run: Option<String>,
    /// The plugin it names.
    pub plugin: Option<String>,
    /// What was decided.
    pub outcome: Option<Outcome>,
    /// Why it was refused or failed.
    pub code: Option<Code>,
    /// Not before this time, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Before this time, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
    /// A text that the event's JSON holds, in upper or lower case.
    pub contains: Option<String>,
    /// Most records.
    pub limit: u32,
}

impl AuditFilter {
    /// At most so many records of any sort.
    pub const fn any(limit: u32) -> Self {
        Self {
            kind: None,
            run: None,
            plugin: None,
            outcome: None,
            code: None,
            since_ms: None,
            until_ms: None,
            contains: None,
            limit,
        }
    }

    fn conditions(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        let name = |name: serde_json::Result<serde_json::Value>| {
            name.ok().and_then(|name| name.as_str().map(|name| Value::Text(name.to_owned())))
        };
        let time = |ms: Option<u64>| ms.map(|ms| Value::Integer(i64::try_from(ms).unwrap_or(i64::MAX)));
        let conditions = [
            (" AND kind = ?", text(&self.kind)),
            (" AND run = ?", text(&self.run)),
            (" AND plugin = ?", text(&self.plugin)),
            (" AND outcome = ?", self.outcome.and_then(|outcome| name(serde_json::to_value(outcome)))),
            (" AND code = ?", self.code.map(|code| Value::Text(code.to_string()))),
            (" AND time_ms >= ?", time(self.since_ms)),
            (" AND time_ms < ?", time(self.until_ms)),
            (" AND instr(lower(event), lower(?)) > 0", text(&self.contains)),
        ];
        conditions.into_iter().filter_map(|(sql, value)| Some((sql, value?))).collect()
    }
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

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn failed(&self, error: ReadError) -> StoreError {
        error.at(&self.path)
    }

    /// The last records that the filter lets through, the newest last.
    pub fn recent(&self, filter: &AuditFilter) -> Result<Vec<Record>, StoreError> {
        let mut records = self.select(filter, None, "DESC")?;
        records.reverse();
        Ok(records)
    }

    /// The first records after an index that the filter lets through, the newest last; from the beginning
    /// when there is no index. To follow the log, ask again with the last index that was given.
    pub fn follow(&self, filter: &AuditFilter, after: Option<u64>) -> Result<Vec<Record>, StoreError> {
        self.select(filter, after, "ASC")
    }

    fn select(
        &self,
        filter: &AuditFilter,
        after: Option<u64>,
        order: &str,
    ) -> Result<Vec<Record>, StoreError> {
        let mut conditions = filter.conditions();
        if let Some(after) = after {
            conditions.push((" AND idx > ?", Value::Integer(i64::try_from(after).unwrap_or(i64::MAX))));
        }
        let mut sql = format!("{SELECT} WHERE true");
        conditions.iter().for_each(|(condition, _)| sql.push_str(condition));
        sql.push_str(&format!(" ORDER BY idx {order} LIMIT {}", filter.limit));
        let read = || -> Result<Vec<Record>, ReadError> {
            let mut select = self.connection.prepare_cached(&sql)?;
            let mut rows =
                select.query(rusqlite::params_from_iter(conditions.iter().map(|(_, value)| value)))?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                let index = row.get_ref(0)?.as_i64().unwrap_or(0).unsigned_abs();
                records.push(record(&Stored::read(row, index)?, index)?);
            }
            Ok(records)
        };
        read().map_err(|error| error.at(&self.path))
    }
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
