//! Holding the whole log against its chain.

use loong_kernel::merkle;
use loong_manifest::{Code, Digest};
use rusqlite::{Connection, ErrorCode};

use crate::StoreError;
use crate::error::{Broken, Damage, ReadError};
use crate::record::{Head, SELECT, Stored};

/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 4096;

/// A log that is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// Hash of the last one; [`GENESIS`](loong_kernel::chain::GENESIS) when there is none. Kept elsewhere, it shows later whether
    /// this log was replaced or cut.
    pub head: Digest,
}

/// The log is not as it was written, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was changed.
    #[error("the audit log was changed")]
    Broken(#[source] Broken),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(StoreError),
}

impl VerifyError {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Broken(_) => Code::AuditBroken,
            Self::Unreadable(error) => error.code(),
        }
    }
}

pub(crate) fn verify(connection: &Connection, progress: &mut dyn FnMut(u64)) -> Result<Verified, ReadError> {
    let mut found = Head::base(connection)?;
    walk(connection, &mut found, progress).map_err(|error| damaged(error, found.records))?;
    progress(found.records);
    Ok(Verified { records: found.records, head: found.hash })
}

fn walk(connection: &Connection, found: &mut Head, progress: &mut dyn FnMut(u64)) -> Result<(), ReadError> {
    // One snapshot, however much is written meanwhile.
    let snapshot = connection.unchecked_transaction()?;
    let mut select = snapshot.prepare(&format!("{SELECT} ORDER BY idx"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let index = found.records;
        let hash = Stored::read(row, index)?
            .check(index, &found.hash)
            .map_err(|damage| ReadError::broken(index, damage))?;
        (found.records, found.hash) = (index + 1, hash);
        found.tree.push(merkle::leaf(&hash));
        if found.records.is_multiple_of(PROGRESS_RECORDS) {
            progress(found.records);
        }
    }
    Head::read(&snapshot)?.expect(found).map_err(ReadError::Broken)?;
    // The records are good; an index that leaves some of them out would still hide them from a search.
    let problem: String = snapshot.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if problem != "ok" {
        return Err(ReadError::broken(found.records, Damage::File { problem }));
    }
    Ok(())
}

/// An engine that cannot make sense of the file found damage too.
fn damaged(error: ReadError, index: u64) -> ReadError {
    match error {
        ReadError::Engine(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            ) =>
        {
            ReadError::broken(index, Damage::File { problem: error.to_string() })
        }
        other => other,
    }
}
