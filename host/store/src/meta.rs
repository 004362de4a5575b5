//! Small facts about the database itself, each a text under a name: the log's id, the pinned key, what was in
//! force when it was used last.

use rusqlite::{Connection, OptionalExtension, params};

/// Most bytes of one fact.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The log's id: 16 hexadecimal digits, drawn when the database is made.
pub(crate) const LOG_ID: &str = "log_id";

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
