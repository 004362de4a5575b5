//! Runs that stopped because a person must approve something, with everything they need to go on; and what was
//! revoked.

use loong_kernel::journal::Entry;
use loong_kernel::{LedgerError, Revocation};
use loong_manifest::Digest;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use crate::approvals::{ms, unsigned};
use crate::{DecideError, Store};

/// How the tables are made.
pub(crate) const FORMAT: &str = "
     CREATE TABLE run (
         id TEXT PRIMARY KEY, state TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
         calls INTEGER NOT NULL, approval TEXT, request TEXT NOT NULL, input BLOB, journal TEXT NOT NULL)
         STRICT, WITHOUT ROWID;
     CREATE TABLE revocation (
         number INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, time_ms INTEGER NOT NULL,
         reason TEXT NOT NULL) STRICT;";

const COLUMNS: &str =
    "SELECT id, created_ms, expires_ms, calls, approval, request, input, journal, state FROM run";

/// What a person asked for, so that it can be asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The words of the command line, without the program.
    pub words: Vec<String>,
    /// The working folder.
    pub folder: String,
    /// The components that were loaded, by id.
    pub components: std::collections::BTreeMap<String, Digest>,
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingRun {
    /// The run.
    pub id: String,
    /// When it stopped, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it can go on no longer, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// Calls it had made.
    pub calls: u64,
    /// The request that it waits for.
    pub approval: Option<String>,
    /// What it was asked.
    pub request: RunRequest,
    /// What it was given on standard input, if anything.
    pub input: Option<Vec<u8>>,
    /// What it had done.
    pub journal: Vec<Entry>,
    /// Whether somebody lets it go on now, or did and was cut off.
    pub resumed: bool,
}

impl WaitingRun {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        fn read<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
            serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
            })
        }
        Ok(Self {
            id: row.get(0)?,
            created_ms: unsigned(row.get(1)?),
            expires_ms: unsigned(row.get(2)?),
            calls: unsigned(row.get(3)?),
            approval: row.get(4)?,
            request: read(row, 5)?,
            input: row.get(6)?,
            journal: read(row, 7)?,
            resumed: row.get::<_, String>(8)? != "waiting",
        })
    }
}

impl Store {
    /// Keeps a run that stopped; in place of what it left the last time.
    pub async fn save_run(&self, run: WaitingRun) -> Result<(), LedgerError> {
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let write = || -> rusqlite::Result<()> {
                connection.execute("DELETE FROM run WHERE expires_ms <= ?1", [ms(now_ms)])?;
                let text = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
                connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO run
                         (id, state, created_ms, expires_ms, calls, approval, request, input, journal)
                         VALUES (?1, 'waiting', ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    )?
                    .execute(params![
                        run.id,
                        ms(run.created_ms),
                        ms(run.expires_ms),
                        ms(run.calls),
                        run.approval,
                        serde_json::to_string(&run.request).map_err(text)?,
                        run.input,
                        serde_json::to_string(&run.journal).map_err(text)?,
                    ])?;
                Ok(())
            };
            write().map_err(|error| LedgerError { problem: error.to_string() })
        })
        .await
    }

    /// Runs that wait, the newest first.
    pub async fn waiting_runs(&self) -> Result<Vec<WaitingRun>, LedgerError> {
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<_>> {
                let sql = format!("{COLUMNS} WHERE expires_ms > ?1 ORDER BY created_ms DESC LIMIT 1000");
                connection.prepare_cached(&sql)?.query_map([ms(now_ms)], WaitingRun::read)?.collect()
            };
            read().map_err(|error| LedgerError { problem: error.to_string() })
        })
        .await
    }

    /// The run whose name begins so.
    pub async fn waiting_run(&self, name: &str) -> Result<Option<WaitingRun>, LedgerError> {
        let (name, now_ms) = (name.to_owned(), self.now_ms());
        self.work(move |connection| {
            named(connection, &name, now_ms).map_err(|error| LedgerError { problem: error.to_string() })
        })
        .await
    }

    /// Takes the run whose name begins so, to let it go on. Only one process gets it.
    pub async fn take_run(&self, name: &str) -> Result<WaitingRun, DecideError> {
        let (name, now_ms) = (name.to_owned(), self.now_ms());
        self.work(move |connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let run =
                named(&transaction, &name, now_ms)?.ok_or_else(|| DecideError::Unknown(name.clone()))?;
            if !run.resumed {
                transaction.execute("UPDATE run SET state = 'resumed' WHERE id = ?1", [&run.id])?;
                transaction.commit()?;
            }
            Ok(run)
        })
        .await
    }

    /// Forgets a run that is over.
    pub async fn remove_run(&self, id: &str) -> Result<(), LedgerError> {
        let id = id.to_owned();
        self.work(move |connection| match connection.execute("DELETE FROM run WHERE id = ?1", [&id]) {
            Ok(_) => Ok(()),
            Err(error) => Err(LedgerError { problem: error.to_string() }),
        })
        .await
    }

    /// Notes a revocation, so that every process that runs hears of it.
    pub async fn add_revocation(&self, revocation: &Revocation, reason: &str) -> Result<(), LedgerError> {
        let (kind, name) = match revocation {
            Revocation::Token(token) => ("token", token.clone()),
            Revocation::Generation => ("generation", String::new()),
            Revocation::Key(key) => ("key", key.clone()),
            Revocation::Run(run) => ("run", run.clone()),
        };
        let (reason, now_ms) = (reason.to_owned(), self.now_ms());
        self.work(move |connection| {
            let sql = "INSERT INTO revocation (kind, name, time_ms, reason) VALUES (?1, ?2, ?3, ?4)";
            match connection.execute(sql, params![kind, name, ms(now_ms), reason]) {
                Ok(_) => Ok(()),
                Err(error) => Err(LedgerError { problem: error.to_string() }),
            }
        })
        .await
    }

    /// What was revoked after a number, oldest first, with the numbers and the reasons.
    pub async fn revocations(&self, after: i64) -> Result<Vec<(i64, Revocation, String)>, LedgerError> {
        self.work(move |connection| {
            revocations(connection, after).map_err(|error| LedgerError { problem: error.to_string() })
        })
        .await
    }
}

fn revocations(connection: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, Revocation, String)>> {
    let mut select = connection.prepare_cached(
        "SELECT number, kind, name, reason FROM revocation WHERE number > ?1 ORDER BY number LIMIT 10000",
    )?;
    let rows = select.query_map([after], |row| {
        let (kind, name): (String, String) = (row.get(1)?, row.get(2)?);
        let revocation = match kind.as_str() {
            "token" => Revocation::Token(name),
            "key" => Revocation::Key(name),
            "run" => Revocation::Run(name),
            // What is not understood revokes everything.
            _ => Revocation::Generation,
        };
        Ok((row.get(0)?, revocation, row.get(3)?))
    })?;
    rows.collect()
}

fn named(connection: &Connection, name: &str, now_ms: u64) -> rusqlite::Result<Option<WaitingRun>> {
    if name.len() < 4 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let sql = format!("{COLUMNS} WHERE id >= ?1 AND id < ?1 || 'g' AND expires_ms > ?2 LIMIT 1");
    connection
        .prepare_cached(&sql)?
        .query_row(params![name.to_ascii_lowercase(), ms(now_ms)], WaitingRun::read)
        .optional()
}
