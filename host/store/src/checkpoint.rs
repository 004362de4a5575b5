//! Signing the log: which key it is bound to, when a checkpoint is due, and where it is kept. Whoever opens the
//! store hands in how to sign and how to keep; keys and files are not this crate's.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loong_kernel::checkpoint::{Checkpoint, Signer, VerifierKey, origin};
use loong_kernel::merkle;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::{Broken, Damage, ReadError};
use crate::record::Head;
use crate::{meta, tree};

/// A checkpoint is due after so many records,
const RECORDS: u64 = 1_000;
/// or so long after the first record that none covers.
const AGE: Duration = Duration::from_secs(1);
/// Checkpoints that stay in the database. Older ones are removed now and then.
const KEPT: u64 = 1_024;

/// Writes a signed note somewhere outside the database.
pub type Keep = Arc<dyn Fn(&str, &VerifierKey) -> Result<(), String> + Send + Sync>;

/// How the log is signed, and where its checkpoints go besides the database.
#[derive(Clone)]
pub struct Signing {
    /// Signs.
    pub signer: Signer,
    /// What is kept outside the database about it.
    pub kept: Option<Kept>,
    /// Keeps the newest checkpoint there. It is told of every checkpoint once it is committed, so it has to be
    /// quick and need not flush the disk.
    pub keep: Keep,
    /// Where else checkpoints go.
    pub publish: Option<Publish>,
}

/// What is kept outside the database about the log in it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The key that it is bound to.
    pub key: VerifierKey,
    /// Its newest checkpoint.
    pub note: Option<String>,
    /// Whether the machine was started anew since. Then the newest records may have been lost with the power.
    pub restarted: bool,
}

/// A place of a person's own choice for checkpoints. The disk is flushed before one goes there.
#[derive(Clone)]
pub struct Publish {
    /// Writes the checkpoint there.
    pub write: Keep,
    /// Whether nothing may be recorded when that fails. Otherwise it is a problem to tell.
    pub required: bool,
}

impl fmt::Debug for Signing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}, kept: {:?}", self.signer, self.kept)
    }
}

/// Signs the log of one writer.
pub(crate) struct Notary {
    signing: Signing,
    /// The key under the log's name.
    pub(crate) key: VerifierKey,
    /// Records that the newest checkpoint covers.
    signed: u64,
    /// Since when there are records that none covers.
    waiting: Option<Instant>,
}

impl Notary {
    /// The first signer that opens a log binds it to its key.
    pub(crate) fn pin(connection: &Connection, signer: &Signer) -> Result<(), ReadError> {
        if meta::get(connection, meta::AUDIT_KEY)?.is_none() {
            let key = signer.verifier(&origin(&meta::log_id(connection)?)).to_string();
            connection.execute("INSERT OR IGNORE INTO meta VALUES (?1, ?2)", [meta::AUDIT_KEY, &key])?;
        }
        Ok(())
    }

    /// Binds a log to another key, without the checkpoints that it did not sign and those of records that are not
    /// there.
    pub(crate) fn rebind(connection: &Connection, signer: &Signer) -> Result<(), ReadError> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let head = Head::read(&transaction)?;
        let key = signer.verifier(&origin(&meta::log_id(&transaction)?));
        if meta::get(&transaction, meta::AUDIT_KEY)? != Some(key.to_string()) {
            meta::set(&transaction, meta::AUDIT_KEY, &key.to_string())?;
            transaction.execute("DELETE FROM checkpoint", [])?;
        }
        transaction.execute("DELETE FROM checkpoint WHERE size >= ?1", [head.records.cast_signed()])?;
        Ok(transaction.commit()?)
    }

    /// Holds the log against the key that it is bound to and against what is kept of it elsewhere. Nothing that
    /// does not continue what was signed before is ever signed.
    pub(crate) fn open(connection: &Connection, head: &Head, signing: &Signing) -> Result<Self, ReadError> {
        let key = signing.signer.verifier(&origin(&meta::log_id(connection)?));
        let foreign = |pinned: String, place: &'static str| {
            ReadError::broken(0, Damage::Key { place: place.to_owned(), pinned, found: key.to_string() })
        };
        let pinned = meta::get(connection, meta::AUDIT_KEY)?.unwrap_or_default();
        if pinned != key.to_string() {
            return Err(foreign(pinned, "the database"));
        }
        if let Some(kept) = &signing.kept {
            if kept.key != key {
                return Err(foreign(kept.key.to_string(), "the folder of the audit key"));
            }
            if let Some(note) = &kept.note {
                continues(connection, head, &key, note, kept.restarted)?;
            }
        }
        let signed = newest(connection)?.map_or(0, |(size, _, _)| size);
        let mut notary = Self { signing: signing.clone(), key, signed, waiting: None };
        notary.written(head.records);
        Ok(notary)
    }

    /// Notes that the log has so many records now.
    pub(crate) fn written(&mut self, records: u64) {
        self.waiting = match self.waiting {
            _ if records <= self.signed => None,
            None => Some(Instant::now()),
            since => since,
        };
    }

    /// When a checkpoint is due at the latest.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.waiting.and_then(|since| since.checked_add(AGE))
    }

    /// Whether one is due for a log of so many records.
    pub(crate) fn is_due(&self, records: u64, closing: bool) -> bool {
        let many = records.saturating_sub(self.signed) >= RECORDS;
        many || (closing && records > self.signed) || self.waiting.is_some_and(|since| since.elapsed() >= AGE)
    }

    /// Whether the disk is flushed for a checkpoint.
    pub(crate) const fn flushes(&self) -> bool {
        self.signing.publish.is_some()
    }

    /// Writes a checkpoint of the log; it counts once the transaction is committed.
    pub(crate) fn write(
        &self,
        connection: &Connection,
        head: &Head,
        time_ms: u64,
    ) -> Result<String, ReadError> {
        let checkpoint =
            Checkpoint { origin: self.key.name().to_owned(), size: head.records, root: head.tree.root() };
        let note = self.signing.signer.note(&checkpoint);
        connection
            .prepare_cached("INSERT OR REPLACE INTO checkpoint (size, time_ms, note) VALUES (?1, ?2, ?3)")?
            .execute(params![head.records.cast_signed(), time_ms.cast_signed(), note])?;
        if head.records.is_multiple_of(16) {
            connection
                .prepare_cached(
                    "DELETE FROM checkpoint WHERE size <
                        (SELECT size FROM checkpoint ORDER BY size DESC LIMIT 1 OFFSET ?1)",
                )?
                .execute([KEPT.cast_signed()])?;
        }
        Ok(note)
    }

    /// Keeps a checkpoint elsewhere, now that it is committed. What went wrong, and whether it must not.
    pub(crate) fn committed(&mut self, records: u64, note: &str) -> Result<(), (String, bool)> {
        (self.signed, self.waiting) = (records, None);
        (self.signing.keep)(note, &self.key).map_err(|problem| (problem, false))?;
        match &self.signing.publish {
            Some(publish) => (publish.write)(note, &self.key).map_err(|problem| (problem, publish.required)),
            None => Ok(()),
        }
    }

    /// Whether a checkpoint has to go to a person's own place before anything is recorded.
    pub(crate) fn must_publish(&self) -> bool {
        self.signing.publish.as_ref().is_some_and(|publish| publish.required)
    }
}

/// The newest checkpoint in the database: how many records it covers, when it was made, and the note.
pub(crate) fn newest(connection: &Connection) -> Result<Option<(u64, u64, String)>, ReadError> {
    let mut select =
        connection.prepare_cached("SELECT size, time_ms, note FROM checkpoint ORDER BY size DESC LIMIT 1")?;
    let row = select
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.map(|(size, time_ms, note)| (size.unsigned_abs(), time_ms.unsigned_abs(), note)))
}

/// Whether the log goes on where a checkpoint that is kept elsewhere says that it was.
fn continues(
    connection: &Connection,
    head: &Head,
    key: &VerifierKey,
    note: &str,
    restarted: bool,
) -> Result<(), ReadError> {
    let place = || "the folder of the audit key".to_owned();
    let kept = Checkpoint::verified(note, key).map_err(|error| {
        ReadError::broken(0, Damage::Checkpoint { place: place(), problem: error.to_string() })
    })?;
    if kept.size > head.records {
        if restarted {
            return Ok(());
        }
        let damage = Damage::Behind { place: place(), size: kept.size, found: head.records };
        return Err(ReadError::broken(head.records, damage));
    }
    if !grew(connection, &kept, head)? {
        let damage = Damage::Root { place: place(), size: kept.size };
        return Err(ReadError::Broken(Broken { index: 0, damage }));
    }
    Ok(())
}

/// Whether the log that ends here is one that the checkpoint is the beginning of.
fn grew(connection: &Connection, before: &Checkpoint, head: &Head) -> Result<bool, ReadError> {
    let root = head.tree.root();
    if before.size == 0 || before.size == head.records {
        return Ok(before.size == 0 || before.root == root);
    }
    let mut nodes = |height: u8, place: u64| tree::node(connection, height, place);
    let path = merkle::consistency(before.size, head.records, &mut nodes)?;
    Ok(merkle::extends(before.size, head.records, &before.root, &root, &path))
}
