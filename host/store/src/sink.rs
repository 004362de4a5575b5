//! How far each audit sink has come, and the records that it gets next. Whoever delivers moves a cursor only
//! from where it was when it was read, so two that deliver at once cannot lose a record between them.

use loong_kernel::LedgerError;
use loong_manifest::{Digest, PluginId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::ReadError;
use crate::record::{Head, SELECT, Stored};
use crate::{AuditReader, Store, StoreError};

/// How the table of cursors is made.
pub(crate) const FORMAT: &str = "
     CREATE TABLE sink (
         plugin TEXT PRIMARY KEY, version INTEGER NOT NULL, next INTEGER NOT NULL, failures INTEGER NOT NULL,
         retry_ms INTEGER NOT NULL, left_out INTEGER NOT NULL, problem TEXT, delivered_ms INTEGER)
         STRICT, WITHOUT ROWID;";
/// Longest problem that is kept, in characters.
const PROBLEM_CHARS_MAX: usize = 500;
const COLUMNS: &str = "SELECT version, next, failures, retry_ms, left_out, problem, delivered_ms FROM sink";

/// How far one sink has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkCursor {
    /// The sink.
    pub plugin: PluginId,
    /// The first record that it has not accepted.
    pub next: u64,
    /// Deliveries that failed since the last one that did not.
    pub failures: u32,
    /// Before this time nothing is tried again, in milliseconds since the Unix epoch.
    pub retry_ms: u64,
    /// Records that it refused for good and that were left out, one after another since the last delivery.
    pub left_out: u32,
    /// What was wrong the last time; none when nothing is.
    pub problem: Option<String>,
    /// When it last accepted something, in milliseconds since the Unix epoch.
    pub delivered_ms: Option<u64>,
    /// How often the row was written; 0 for one that is not there.
    pub version: i64,
}

impl SinkCursor {
    /// A sink that has had nothing yet.
    pub const fn new(plugin: PluginId) -> Self {
        Self {
            plugin,
            next: 0,
            failures: 0,
            retry_ms: 0,
            left_out: 0,
            problem: None,
            delivered_ms: None,
            version: 0,
        }
    }

    /// Whether nothing was ever delivered to it or tried.
    pub const fn is_new(&self) -> bool {
        self.version == 0
    }

    fn read(plugin: &PluginId, row: &Row<'_>) -> rusqlite::Result<Self> {
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Self {
            plugin: plugin.clone(),
            version: row.get(0)?,
            next: unsigned(row.get(1)?),
            failures: row.get(2)?,
            retry_ms: unsigned(row.get(3)?),
            left_out: row.get(4)?,
            problem: row.get(5)?,
            delivered_ms: row.get::<_, Option<i64>>(6)?.map(unsigned),
        })
    }
}

fn cursor(connection: &Connection, plugin: &PluginId) -> rusqlite::Result<SinkCursor> {
    let row = connection
        .prepare_cached(&format!("{COLUMNS} WHERE plugin = ?1"))?
        .query_row([plugin.to_string()], |row| SinkCursor::read(plugin, row))
        .optional()?;
    Ok(row.unwrap_or_else(|| SinkCursor::new(plugin.clone())))
}

/// Writes a cursor in place of the one that was read; none when somebody else wrote meanwhile.
fn advance(connection: &Connection, to: &SinkCursor) -> rusqlite::Result<Option<SinkCursor>> {
    let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let problem: Option<String> =
        to.problem.as_ref().map(|problem| problem.chars().take(PROBLEM_CHARS_MAX).collect());
    // One statement, so one transaction.
    let sql = if to.is_new() {
        "INSERT INTO sink (plugin, version, next, failures, retry_ms, left_out, problem, delivered_ms)
         VALUES (?1, ?2 + 1, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (plugin) DO NOTHING"
    } else {
        "UPDATE sink SET version = ?2 + 1, next = ?3, failures = ?4, retry_ms = ?5, left_out = ?6, problem = ?7,
             delivered_ms = ?8
         WHERE plugin = ?1 AND version = ?2"
    };
    let changed = connection.prepare_cached(sql)?.execute(params![
        to.plugin.to_string(),
        to.version,
        time(to.next),
        to.failures,
        time(to.retry_ms),
        to.left_out,
        problem,
        to.delivered_ms.map(time),
    ])?;
    Ok((changed == 1).then(|| SinkCursor { version: to.version + 1, problem, ..to.clone() }))
}

impl Store {
    /// How far a sink has come.
    pub async fn sink(&self, plugin: &PluginId) -> Result<SinkCursor, LedgerError> {
        let plugin = plugin.clone();
        self.work(move |connection| cursor(connection, &plugin).map_err(unavailable)).await
    }

    /// Moves a cursor that was read before; what was written is handed back. None when somebody else moved it
    /// meanwhile: it is read again then, and nothing is taken for delivered that they did not deliver.
    pub async fn move_sink(&self, to: SinkCursor) -> Result<Option<SinkCursor>, LedgerError> {
        self.work(move |connection| advance(connection, &to).map_err(unavailable)).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn unavailable(error: rusqlite::Error) -> LedgerError {
    LedgerError { problem: format!("how far a sink has come cannot be read or written: {error}") }
}

/// One record as it lies in the log, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Its place, counted from 0.
    pub index: u64,
    /// When it was handed to the log, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The kind of the event.
    pub kind: String,
    /// The run it belongs to.
    pub run: Option<String>,
    /// The plugin it names.
    pub plugin: Option<String>,
    /// What was decided.
    pub outcome: Option<String>,
    /// Why it was refused or failed.
    pub code: Option<String>,
    /// The event as JSON, as it was hashed.
    pub event: String,
    /// Its hash, as it is stored.
    pub hash: Digest,
}

impl AuditReader {
    /// How far a sink has come.
    pub fn sink(&self, plugin: &PluginId) -> Result<SinkCursor, StoreError> {
        cursor(self.connection(), plugin).map_err(|error| self.failed(ReadError::Engine(error)))
    }

    /// How many records there are, removed ones included: the index of the next one.
    pub fn records(&self) -> Result<u64, StoreError> {
        Head::read(self.connection()).map(|head| head.records).map_err(|error| self.failed(error))
    }

    /// The records from an index on, at most so many, and no more of them than have so many bytes of events
    /// together; but always one, if there is one.
    pub fn raw(&self, from: u64, limit: u32, bytes_max: u64) -> Result<Vec<RawRecord>, StoreError> {
        let read = || -> Result<Vec<RawRecord>, ReadError> {
            let mut select = self
                .connection()
                .prepare_cached(&format!("{SELECT} WHERE idx >= ?1 ORDER BY idx LIMIT {limit}"))?;
            let mut rows = select.query([i64::try_from(from).unwrap_or(i64::MAX)])?;
            let (mut records, mut bytes) = (Vec::new(), 0_u64);
            while let Some(row) = rows.next()? {
                let index = row.get_ref(0)?.as_i64().unwrap_or(0).unsigned_abs();
                let stored = Stored::read(row, index)?;
                bytes = bytes.saturating_add(stored.event.len() as u64);
                if bytes > bytes_max && !records.is_empty() {
                    break;
                }
                let [kind, run, plugin, outcome, code] = stored.repeated;
                records.push(RawRecord {
                    index,
                    time_ms: u64::try_from(stored.time_ms).unwrap_or(0),
                    kind: kind.unwrap_or_default(),
                    run,
                    plugin,
                    outcome,
                    code,
                    event: stored.event,
                    hash: Digest::from_bytes(stored.hash),
                });
            }
            Ok(records)
        };
        read().map_err(|error| self.failed(error))
    }
}
