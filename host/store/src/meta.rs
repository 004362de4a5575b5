//! Small facts about the database itself, each a text under a name: the log's id, the pinned key, what was in
//! force when it was used last.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Damage, ReadError};

/// Most bytes of one fact.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The log's id: 16 hexadecimal digits, drawn when the database is made.
const LOG_ID: &str = "log_id";
/// The verifier key that the log is bound to.
pub(crate) const AUDIT_KEY: &str = "audit_key";

/// The log's id.
pub(crate) fn log_id(connection: &Connection) -> Result<String, ReadError> {
    let digits = |id: &String| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = get(connection, LOG_ID)?.filter(digits);
    id.ok_or_else(|| ReadError::broken(0, Damage::HeadMissing))
}

pub(crate) fn get(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(crate) fn set(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        let problem = format!("`{key}` would have more than {VALUE_BYTES_MAX} bytes");
        return Err(rusqlite::Error::ToSqlConversionFailure(problem.into()));
    }
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute(params![key, value])?;
    Ok(())
}
