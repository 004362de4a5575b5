//! What can be wrong with the file, and with the log in it.

use std::path::{Path, PathBuf};

use loong_kernel::LedgerError;
use loong_kernel::merkle::RangeError;
use loong_manifest::Code;
use rusqlite::ErrorCode;

/// A database cannot be opened, read or closed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing under this path.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// A checkpoint of the log is kept, and the log is not there any more.
    #[error("`{}` is gone or empty, and records in it were signed", path.display())]
    Gone {
        /// The database.
        path: PathBuf,
    },
    /// Something else than a file is there. A symbolic link is never followed: it could lead the log away.
    #[error("`{}` is {found}, not a plain file", path.display())]
    NotAFile {
        /// The database.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// Other users of the machine could change the database.
    #[error("`{}` is open to other users: its mode is {mode:03o}", path.display())]
    Exposed {
        /// The database, or the folder it is in.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is something else than a database of Loong.
    #[error("`{}` is not a database of Loong", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer Loong wrote the database.
    #[error("`{}` has format {found}, and this Loong knows formats up to {known}", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// An older Loong wrote the database, and nothing has opened it for writing since.
    #[error("`{}` has format {found} of an earlier Loong; any run brings it up to date", path.display())]
    TooOld {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file or its folder cannot be created or looked at.
    #[error("cannot use `{}`", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database engine failed.
    #[error("the database `{}` cannot be used", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What the engine said.
        source: rusqlite::Error,
    },
    /// The end of the audit log is not as Loong left it, so it is not continued.
    #[error("the audit log in `{}` was changed", path.display())]
    Broken {
        /// The database.
        path: PathBuf,
        /// Where, and what is wrong.
        source: Broken,
    },
    /// The log was closed after an append had failed: records are missing at its end.
    #[error("the audit log in `{}` is not complete", path.display())]
    Incomplete {
        /// The database.
        path: PathBuf,
        /// Why the append failed.
        source: LedgerError,
    },
}

impl StoreError {
    /// The public code.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. }
            | Self::NotAFile { .. }
            | Self::Exposed { .. }
            | Self::Foreign { .. }
            | Self::TooNew { .. }
            | Self::TooOld { .. }
            | Self::File { .. } => Code::FileUnreadable,
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Code::StoreLocked,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Code::StoreCorrupt,
                _ => Code::StoreUnavailable,
            },
            Self::Broken { source, .. } => source.code(),
            Self::Gone { .. } => Code::AuditBroken,
            Self::Incomplete { .. } => Code::AuditUnavailable,
        }
    }
}

/// The audit log was changed, shortened or reordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {damage}")]
pub struct Broken {
    /// The first record, counted from 0, that is not as it was written. Where the records are good and the
    /// file around them is not, the number of records.
    pub index: u64,
    /// What is wrong with it.
    pub damage: Damage,
}

impl Broken {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self.damage {
            Damage::Key { .. } | Damage::Checkpoint { .. } => Code::CheckpointInvalid,
            Damage::File { .. } => Code::StoreCorrupt,
            _ => Code::AuditBroken,
        }
    }
}

/// What is wrong with a record, or with the place where one should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The record is not there; the next one that is has this index.
    #[error("it is missing; the next one is {next}")]
    Missing {
        /// Index of the next record.
        next: i64,
    },
    /// Where it should be, there is a record of an index that was there before.
    #[error("in its place is a second record {found}")]
    Repeated {
        /// The index that was found.
        found: i64,
    },
    /// A field has no value that Loong could have written.
    #[error("its fields cannot be read: {problem}")]
    Row {
        /// What the engine said.
        problem: String,
    },
    /// The event is not the JSON that Loong writes.
    #[error("its event cannot be read: {problem}")]
    Event {
        /// Why.
        problem: String,
    },
    /// A column says something else than the event that it repeats.
    #[error("its column `{column}` differs from its event")]
    Column {
        /// The column.
        column: &'static str,
    },
    /// The hash is not that of the record, its place and its predecessor.
    #[error("its hash does not fit it and its predecessor")]
    Hash,
    /// The log ends before or after where it was left.
    #[error("{written} records were written, and {found} are there")]
    Length {
        /// How many were written, as the database says.
        written: u64,
        /// How many are there.
        found: u64,
    },
    /// The log ends in another record than it was left with.
    #[error("it is not the record that the log was left with")]
    Head,
    /// The database does not say where the log ends.
    #[error("the database does not say how many records were written")]
    HeadMissing,
    /// The Merkle tree in the database is not the one over the records.
    #[error("the Merkle tree does not fit the records")]
    Tree,
    /// The log is bound to another key, or another log to this one.
    #[error("{place} names the audit key `{pinned}`, and the key here is `{found}`")]
    Key {
        /// Where another key is named.
        place: String,
        /// The key that is named there.
        pinned: String,
        /// The key that is used.
        found: String,
    },
    /// A checkpoint is not one of this log by the pinned key.
    #[error("the checkpoint in {place} is not good: {problem}")]
    Checkpoint {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A checkpoint has another root than the log had at that length.
    #[error("the checkpoint over {size} records in {place} is of other records")]
    Root {
        /// Where it is.
        place: String,
        /// How many records it covers.
        size: u64,
    },
    /// A checkpoint covers more records than there are.
    #[error(
        "{size} records were signed, as the checkpoint in {place} shows, and {found} are there: an older copy was \
         put back, records were cut off, or the machine lost its power before they were on the disk"
    )]
    Behind {
        /// Where it is.
        place: String,
        /// How many records it covers.
        size: u64,
        /// How many are there.
        found: u64,
    },
    /// Records were removed from the beginning, and no signed record says so.
    #[error("the records before {next} were removed, and no signed record says that it was done by policy")]
    Unrecorded {
        /// The first record that is there.
        next: u64,
    },
    /// The file itself is damaged.
    #[error("the database file is damaged: {problem}")]
    File {
        /// What the engine said.
        problem: String,
    },
}

/// What can happen while the log is read: the engine fails, or the log is broken.
#[derive(Debug)]
pub(crate) enum ReadError {
    Broken(Broken),
    Engine(rusqlite::Error),
    /// A checkpoint could not be put where it has to go.
    Unpublished(String),
}

impl ReadError {
    pub(crate) const fn broken(index: u64, damage: Damage) -> Self {
        Self::Broken(Broken { index, damage })
    }

    pub(crate) fn at(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Broken(source) => StoreError::Broken { path, source },
            Self::Engine(source) if source.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                StoreError::Foreign { path }
            }
            Self::Engine(source) => StoreError::Database { path, source },
            Self::Unpublished(problem) => StoreError::Incomplete { path, source: LedgerError { problem } },
        }
    }
}

impl From<RangeError> for ReadError {
    fn from(error: RangeError) -> Self {
        match error {
            RangeError::Index { index, .. } => Self::broken(index, Damage::Tree),
            RangeError::Sizes { to, .. } => Self::broken(to, Damage::Tree),
        }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(broken) => write!(formatter, "it was changed: {broken}"),
            Self::Engine(error) => error.fmt(formatter),
            Self::Unpublished(problem) => write!(formatter, "its checkpoint cannot be published: {problem}"),
        }
    }
}
