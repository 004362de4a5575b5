//! Proofs about the log: a few rows are read for each, however long the log is.

use loong_kernel::checkpoint::{CheckpointError, VerifierKey};
use loong_kernel::merkle::{self, RangeError};
use loong_manifest::{Code, Digest};
use rusqlite::OptionalExtension;

use crate::error::{Damage, ReadError};
use crate::record::Head;
use crate::{AuditReader, StoreError, checkpoint, meta, tree};

/// Why something cannot be proved of the log.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log is not long enough.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// It cannot be read, or was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProveError {
    /// The public code.
    pub fn code(&self) -> Code {
        match self {
            Self::Range(_) => Code::CommandLineInvalid,
            Self::Store(error) => error.code(),
        }
    }
}

/// What the hash of a record is made of besides its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// When it was written, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The hash of its predecessor.
    pub previous: Digest,
    /// Its hash.
    pub hash: Digest,
}

impl AuditReader {
    /// The log's id: 16 hexadecimal digits, drawn when the database was made.
    pub fn log_id(&self) -> Result<String, StoreError> {
        meta::log_id(self.connection()).map_err(|error| self.failed(error))
    }

    /// The key that the log is bound to, as the database says; none for a log that was never signed.
    pub fn audit_key(&self) -> Result<Option<VerifierKey>, StoreError> {
        let key = meta::get(self.connection(), meta::AUDIT_KEY).map_err(|error| self.failed(error.into()))?;
        key.map(|key| key.parse()).transpose().map_err(|error: CheckpointError| {
            let damage = Damage::Checkpoint { place: "the database".to_owned(), problem: error.to_string() };
            self.failed(ReadError::broken(0, damage))
        })
    }

    /// The newest checkpoint: how many records it covers, when it was made, in milliseconds since the Unix epoch,
    /// and the signed note. Not verified.
    pub fn checkpoint(&self) -> Result<Option<(u64, u64, String)>, StoreError> {
        checkpoint::newest(self.connection()).map_err(|error| self.failed(error))
    }

    /// The checkpoint over so many records, where there is one in the database. Not verified.
    pub fn checkpoint_over(&self, records: u64) -> Result<Option<String>, StoreError> {
        let read = || {
            self.connection()
                .prepare_cached("SELECT note FROM checkpoint WHERE size = ?1")?
                .query_row([records.cast_signed()], |row| row.get(0))
                .optional()
        };
        read().map_err(|error: rusqlite::Error| self.failed(error.into()))
    }

    /// The first record that is there: those before it were removed.
    pub fn first(&self) -> Result<u64, StoreError> {
        Head::base(self.connection()).map(|base| base.records).map_err(|error| self.failed(error))
    }

    /// What the hash of a record is made of besides its event; none where it is not there any more.
    pub fn links(&self, index: u64) -> Result<Option<Links>, StoreError> {
        let read = || -> Result<Option<Links>, ReadError> {
            let base = Head::base(self.connection())?;
            let mut select =
                self.connection().prepare_cached("SELECT time_ms, hash FROM audit WHERE idx = ?1")?;
            let mut row = |index: u64| {
                select
                    .query_row([index.cast_signed()], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
                    })
                    .optional()
            };
            let Some((time_ms, hash)) = row(index)? else { return Ok(None) };
            let previous = match index.checked_sub(1) {
                Some(before) if index > base.records => {
                    let (_, hash) = row(before)?.ok_or_else(|| tree::lost(0, before))?;
                    Digest::from_bytes(hash)
                }
                _ => base.hash,
            };
            Ok(Some(Links { time_ms: time_ms.unsigned_abs(), previous, hash: Digest::from_bytes(hash) }))
        };
        read().map_err(|error| self.failed(error))
    }

    /// The time of the last record, in milliseconds since the Unix epoch.
    pub fn last_time_ms(&self) -> Result<u64, StoreError> {
        Head::read(self.connection()).map(|head| head.time_ms).map_err(|error| self.failed(error))
    }

    /// How many records were written.
    pub fn size(&self) -> Result<u64, StoreError> {
        Head::read(self.connection()).map(|head| head.records).map_err(|error| self.failed(error))
    }

    /// The root of the Merkle tree over the first `size` records.
    pub fn root(&self, size: u64) -> Result<Digest, ProveError> {
        self.within(size)?;
        merkle::root_at(size, &mut |height, place| self.node(height, place))
    }

    /// The leaf of the Merkle tree that stands for a record.
    pub fn leaf(&self, index: u64) -> Result<Digest, ProveError> {
        self.within(index.saturating_add(1))?;
        self.node(0, index)
    }

    /// What leads from a record to the root over the first `size` records.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>, ProveError> {
        self.within(size)?;
        merkle::inclusion(index, size, &mut |height, place| self.node(height, place))
    }

    /// What shows that the log of `from` records is the beginning of that of `to` records.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, ProveError> {
        self.within(to)?;
        merkle::consistency(from, to, &mut |height, place| self.node(height, place))
    }

    fn node(&self, height: u8, place: u64) -> Result<Digest, ProveError> {
        Ok(tree::node(self.connection(), height, place).map_err(|error| self.failed(error))?)
    }

    fn within(&self, size: u64) -> Result<(), ProveError> {
        match self.size()? {
            records if size <= records => Ok(()),
            records => Err(RangeError::Sizes { from: size, to: records }.into()),
        }
    }
}
