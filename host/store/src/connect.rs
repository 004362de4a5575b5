//! Opening the file: what it may be, who may reach it, how the engine is set, and its tables.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::ReadError;
use crate::{StoreError, facets, record};

/// Marks the file as Loong's (`PRAGMA application_id`): "LOON".
const APPLICATION_ID: i64 = 0x4c4f_4f4e;
/// How long one process waits for another's transaction. A group takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How format 1 is made of an empty file.
pub(crate) const FORMAT_1: &str = "
     CREATE TABLE audit (
         idx INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, run TEXT, plugin TEXT,
         outcome TEXT, code TEXT, event TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
     CREATE INDEX audit_run ON audit (run);
     CREATE INDEX audit_kind ON audit (kind);
     CREATE TABLE head (id INTEGER PRIMARY KEY, records INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
     INSERT INTO head VALUES (0, 0, zeroblob(32));
     CREATE TABLE kv (
         publisher TEXT NOT NULL, plugin TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
         PRIMARY KEY (publisher, plugin, key)) STRICT, WITHOUT ROWID;
     CREATE TABLE kv_total (
         publisher TEXT NOT NULL, plugin TEXT NOT NULL, bytes INTEGER NOT NULL,
         PRIMARY KEY (publisher, plugin)) STRICT, WITHOUT ROWID;";
/// Format 2: the Merkle tree, its signed checkpoints, where a log begins whose oldest records were removed, and
/// facts about the database itself.
const FORMAT_2: &str = "
     ALTER TABLE head ADD COLUMN peaks BLOB NOT NULL DEFAULT x'';
     ALTER TABLE head ADD COLUMN time_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE head ADD COLUMN clock_ms INTEGER NOT NULL DEFAULT 0;
     CREATE TABLE base (
         id INTEGER PRIMARY KEY, records INTEGER NOT NULL, hash BLOB NOT NULL, peaks BLOB NOT NULL) STRICT;
     INSERT INTO base VALUES (0, 0, zeroblob(32), x'');
     CREATE TABLE tile (
         level INTEGER NOT NULL, place INTEGER NOT NULL, hashes BLOB NOT NULL,
         PRIMARY KEY (level, place)) STRICT;
     CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, note TEXT NOT NULL) STRICT;
     CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
     INSERT INTO meta VALUES ('log_id', lower(hex(randomblob(8))));";

type Then = fn(&Connection) -> Result<(), ReadError>;

/// How a file of one format becomes one of the next.
struct Step {
    sql: &'static str,
    /// What SQL cannot do.
    then: Option<Then>,
}

/// One step for each format there has been; a file of format n has had the first n. A step that was released is
/// never changed; the next one goes to the end.
const MIGRATIONS: [Step; 7] = [
    Step { sql: FORMAT_1, then: None },
    Step { sql: FORMAT_2, then: Some(record::plant) },
    Step { sql: "", then: Some(facets::add) },
    Step { sql: crate::sink::FORMAT, then: None },
    Step { sql: crate::approvals::FORMAT, then: None },
    Step { sql: crate::waiting::FORMAT, then: None },
    Step { sql: crate::standing::FORMAT, then: None },
];

/// Opens for writing; creates the file, readable for its owner only, where there is none.
pub(crate) fn to_write(path: &Path, bytes_max: Option<u64>) -> Result<(Connection, PathBuf), StoreError> {
    let path = resolve(path, true)?;
    create(&path)?;
    owned(&path, &path, 0o077)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = open(&path, flags).map_err(|error| error.at(&path))?;
    prepare(&connection, &path, bytes_max)?;
    Ok((connection, path))
}

/// Opens for reading what is there.
pub(crate) fn to_read(path: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = resolve(path, false)?;
    plain(&path)?;
    let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.at(&path))?;
    match current(&connection, &path)? {
        0 => Err(StoreError::Foreign { path }),
        found if (found as usize) < MIGRATIONS.len() => Err(StoreError::TooOld { path, found }),
        _ => Ok((connection, path)),
    }
}

/// A database in memory: nothing of it is on a disk, and it is gone when its last connection is. Others of this
/// process open it by its name.
pub(crate) fn in_memory(name: &str, bytes_max: u64) -> Result<(Connection, PathBuf), StoreError> {
    let path = PathBuf::from(format!("file:/{name}?vfs=memdb"));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let connection = open(&path, flags).map_err(|error| error.at(&path))?;
    prepare(&connection, &path, Some(bytes_max))?;
    Ok((connection, path))
}

/// Another connection to a database in memory, for reading.
pub(crate) fn to_read_in_memory(path: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let connection = open(path, flags).map_err(|error| error.at(path))?;
    connection.pragma_update(None, "query_only", true).map_err(|error| ReadError::Engine(error).at(path))?;
    Ok((connection, path.to_owned()))
}

/// The path with its folder's links resolved; what the path itself names is looked at, never followed.
fn resolve(path: &Path, create: bool) -> Result<PathBuf, StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name() else {
        return Err(StoreError::NotAFile { path: path.to_owned(), found: "a folder" });
    };
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
        _ => StoreError::File { path: folder.to_owned(), source },
    };
    if create {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let folder = folder.canonicalize().map_err(failed)?;
    if create {
        owned(&folder, path, 0o022)?;
    }
    Ok(folder.join(name))
}

/// Whether nobody but the owner has any of the permissions in `forbidden`. In a folder with the sticky bit
/// nobody can replace another's file.
fn owned(place: &Path, path: &Path, forbidden: u32) -> Result<(), StoreError> {
    let metadata =
        fs::metadata(place).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    let sticky = metadata.is_dir() && mode & 0o1000 != 0;
    if mode & forbidden != 0 && !sticky {
        return Err(StoreError::Exposed { path: place.to_owned(), mode });
    }
    Ok(())
}

fn plain(path: &Path) -> Result<(), StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(metadata) if metadata.is_symlink() => "a symbolic link",
        Ok(metadata) if metadata.is_dir() => "a folder",
        Ok(_) => "a device, a pipe or a socket",
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(source) => return Err(StoreError::File { path: path.to_owned(), source }),
    };
    Err(StoreError::NotAFile { path: path.to_owned(), found })
}

fn create(path: &Path) -> Result<(), StoreError> {
    match plain(path) {
        Err(StoreError::Missing { .. }) => {}
        other => return other,
    }
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // The name of a new file is durable once its folder is.
        Ok(_) => {
            let folder = path.parent().unwrap_or(path);
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
        }
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => plain(path),
        Err(error) => Err(failed(error)),
    }
}

/// A connection on which nothing that the file says is executed: the file is data, not a program.
fn open(path: &Path, flags: OpenFlags) -> Result<Connection, ReadError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
        // Emptying the journal costs two flushes of the disk; see `Writer::close`.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        connection.set_db_config(setting, on)?;
    }
    Ok(connection)
}

/// The format of the file now. One snapshot: another process may be creating it between two reads.
fn current(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(|error| ReadError::Engine(error).at(path))?;
    format(&snapshot, path)
}

/// The format of the file: 0 for an empty one, and an error for anything that is not Loong's.
fn format(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let read = || -> Result<(i64, u32, i64), ReadError> {
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables = if application == APPLICATION_ID {
            0
        } else {
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?
        };
        Ok((application, version, tables))
    };
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    match read().map_err(|error| error.at(path))? {
        (APPLICATION_ID, version, _) if version > known => {
            Err(StoreError::TooNew { path: path.to_owned(), found: version, known })
        }
        (APPLICATION_ID, version, _) => Ok(version),
        (0, 0, 0) => Ok(0),
        _ => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

fn prepare(connection: &Connection, path: &Path, bytes_max: Option<u64>) -> Result<(), StoreError> {
    let failed = |source: rusqlite::Error| ReadError::Engine(source).at(path);
    if (current(connection, path)? as usize) < MIGRATIONS.len() {
        migrate(connection, path)?;
    }
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA fullfsync = ON;")
        .map_err(failed)?;
    if let Some(bytes_max) = bytes_max {
        let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let pages = (bytes_max / u64::from(page.max(1))).clamp(1, u64::from(u32::MAX - 1));
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map_err(failed)?;
    }
    Ok(())
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |source: rusqlite::Error| ReadError::Engine(source).at(path);
    // Turning the journal on may not wait for another process that is creating the same file, so it is tried
    // again.
    for _ in 0..100 {
        match connection.execute_batch("PRAGMA journal_mode = WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => {
                other.map_err(failed)?;
                break;
            }
        }
    }
    let transaction =
        Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(failed)?;
    // Looked at again: another process may have been faster.
    let version = format(&transaction, path)?;
    for (before, step) in MIGRATIONS.iter().enumerate().skip(version as usize) {
        transaction
            .execute_batch(&format!(
                "{} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};",
                step.sql,
                before + 1
            ))
            .map_err(failed)?;
        if let Some(then) = step.then {
            then(&transaction).map_err(|error| error.at(path))?;
        }
    }
    transaction.commit().map_err(failed)
}
