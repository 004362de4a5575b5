//! The key-value spaces of plugins: one table, in which every statement names the owner.

use loong_kernel::{KV_KEY_BYTES_MAX, KV_PAGE_KEYS_MAX, KV_VALUE_BYTES_MAX, KvError, KvPage};
use loong_manifest::PluginId;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

pub(crate) fn get(connection: &Connection, owner: &PluginId, key: &str) -> Result<Option<Vec<u8>>, KvError> {
    check_key(key)?;
    let read = || {
        connection
            .prepare_cached("SELECT value FROM kv WHERE publisher = ?1 AND plugin = ?2 AND key = ?3")?
            .query_row(params![owner.publisher(), owner.name(), key.as_bytes()], |row| row.get(0))
            .optional()
    };
    read().map_err(unavailable)
}

pub(crate) fn set(
    connection: &Connection,
    owner: &PluginId,
    key: &str,
    value: &[u8],
    bytes_max: u64,
) -> Result<(), KvError> {
    check_key(key)?;
    check("kv-value-bytes-max", KV_VALUE_BYTES_MAX, value.len() as u64)?;
    let transaction = begin(connection)?;
    let before = total(&transaction, owner).map_err(unavailable)?;
    let replaced = entry_bytes(&transaction, owner, key).map_err(unavailable)?.unwrap_or(0);
    let after = before.saturating_sub(replaced) + key.len() as u64 + value.len() as u64;
    if after > before {
        check("kv-bytes-max", bytes_max, after)?;
    }
    let write = || {
        transaction
            .prepare_cached(
                "INSERT INTO kv (publisher, plugin, key, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute(params![owner.publisher(), owner.name(), key.as_bytes(), value])?;
        set_total(&transaction, owner, after)
    };
    write().map_err(unavailable)?;
    transaction.commit().map_err(unavailable)
}

pub(crate) fn delete(connection: &Connection, owner: &PluginId, key: &str) -> Result<bool, KvError> {
    check_key(key)?;
    let transaction = begin(connection)?;
    let Some(bytes) = entry_bytes(&transaction, owner, key).map_err(unavailable)? else {
        return Ok(false);
    };
    let write = || {
        transaction
            .prepare_cached("DELETE FROM kv WHERE publisher = ?1 AND plugin = ?2 AND key = ?3")?
            .execute(params![owner.publisher(), owner.name(), key.as_bytes()])?;
        set_total(&transaction, owner, total(&transaction, owner)?.saturating_sub(bytes))
    };
    write().map_err(unavailable)?;
    transaction.commit().map_err(unavailable)?;
    Ok(true)
}

pub(crate) fn list(
    connection: &Connection,
    owner: &PluginId,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<KvPage, KvError> {
    let limit = limit.min(KV_PAGE_KEYS_MAX) as usize;
    let read = || {
        // Keys with the prefix lie side by side, so reading ends at the first one without it.
        let mut select = connection.prepare_cached(
            "SELECT key FROM kv WHERE publisher = ?1 AND plugin = ?2 AND key >= ?3 AND key > ?4 ORDER BY key",
        )?;
        let after = after.unwrap_or_default().as_bytes();
        let keys = select
            .query_map(params![owner.publisher(), owner.name(), prefix.as_bytes(), after], |row| {
                row.get::<_, Vec<u8>>(0)
            })?
            .take_while(|key| key.as_ref().map_or(true, |key| key.starts_with(prefix.as_bytes())))
            .take(limit + 1)
            .map(|key| {
                String::from_utf8(key?).map_err(|error| rusqlite::Error::Utf8Error(0, error.utf8_error()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(keys)
    };
    let mut keys = read().map_err(unavailable)?;
    let more = limit > 0 && keys.len() > limit;
    keys.truncate(limit);
    Ok(KvPage { keys, more })
}

fn begin(connection: &Connection) -> Result<Transaction<'_>, KvError> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(unavailable)
}

/// Bytes of all keys and values of the plugin.
fn total(connection: &Connection, owner: &PluginId) -> rusqlite::Result<u64> {
    let bytes: Option<i64> = connection
        .prepare_cached("SELECT bytes FROM kv_total WHERE publisher = ?1 AND plugin = ?2")?
        .query_row(params![owner.publisher(), owner.name()], |row| row.get(0))
        .optional()?;
    Ok(bytes.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0)))
}

fn set_total(connection: &Connection, owner: &PluginId, bytes: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO kv_total (publisher, plugin, bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
        )?
        .execute(params![owner.publisher(), owner.name(), bytes.cast_signed()])?;
    Ok(())
}

/// Bytes of a key and its value, where the key is there.
fn entry_bytes(connection: &Connection, owner: &PluginId, key: &str) -> rusqlite::Result<Option<u64>> {
    let bytes: Option<i64> = connection
        .prepare_cached(
            "SELECT length(key) + length(value) FROM kv WHERE publisher = ?1 AND plugin = ?2 AND key = ?3",
        )?
        .query_row(params![owner.publisher(), owner.name(), key.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(bytes.map(i64::unsigned_abs))
}

fn check_key(key: &str) -> Result<(), KvError> {
    if key.is_empty() {
        return Err(KvError::KeyEmpty);
    }
    check("kv-key-bytes-max", KV_KEY_BYTES_MAX, key.len() as u64)
}

const fn check(limit: &'static str, maximum: u64, used: u64) -> Result<(), KvError> {
    if used > maximum { Err(KvError::Limit { limit, maximum, used }) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unavailable(error: rusqlite::Error) -> KvError {
    KvError::Unavailable { problem: error.to_string() }
}
