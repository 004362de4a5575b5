//! The writing thread. Everything that waits is written in one transaction, which is as durable as the most
//! demanding of those who wait asks for: a flush of the disk is paid once for all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use loong_kernel::{Durability, Event, LedgerError};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::StoreError;
use crate::checkpoint::Notary;
use crate::error::{Damage, ReadError};
use crate::prune::Retention;
use crate::queue::{Append, Queue, Taken};
use crate::record::{self, Head};

/// The journal is emptied at the end only when it has grown to this many bytes: emptying costs two flushes of
/// the disk, and reading back a journal this long at the next start costs far less.
const JOURNAL_BYTES_KEPT: u64 = 2 * 1024 * 1024;

/// Owns the connection that writes.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) queue: Arc<Queue>,
    /// Where the log ended when this writer saw it last.
    pub(crate) head: Head,
    /// Milliseconds since the Unix epoch.
    pub(crate) clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Signs the log, where it is signed.
    pub(crate) notary: Option<Notary>,
    /// Which of the oldest records are removed at the end.
    pub(crate) retention: Option<Retention>,
    /// Whether a commit flushes the disk now.
    pub(crate) flushing: bool,
    /// Why a group could not be written. Nothing is written after it.
    pub(crate) failed: Option<LedgerError>,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let _end = End(Arc::clone(&self.queue));
        let queue = Arc::clone(&self.queue);
        loop {
            match queue.take(self.checkpoint_due_at()) {
                Taken::Batch(batch, closing) => {
                    if !batch.events.is_empty() {
                        self.append(batch.events, closing && self.retention.is_none());
                    }
                    if !batch.work.is_empty() && self.flush_on_commit(false).is_ok() {
                        batch.work.into_iter().for_each(|work| work(&mut self));
                    }
                }
                Taken::Nothing => drop(self.checkpoint()),
                Taken::End => break,
            }
        }
        if let Some(retention) = self.retention.clone() {
            // What is not removed now is removed at the next end.
            drop(self.prune(&retention));
        }
        if self.checkpoint_due_at().is_some() {
            drop(self.checkpoint());
        }
        self.close()
    }

    fn checkpoint_due_at(&self) -> Option<Instant> {
        self.notary.as_ref().filter(|_| self.failed.is_none())?.due_at()
    }

    /// Signs the log as it is. A failure ends the log, as that of an append does.
    pub(crate) fn checkpoint(&mut self) -> Result<(), LedgerError> {
        self.guarded(|writer| writer.commit(&[], true, |_, _| Ok(())))
    }

    /// Does what changes the log, unless it has failed; when this fails, nothing changes it any more.
    pub(crate) fn guarded<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, LedgerError> {
        if let Some(error) = self.failed.clone() {
            return Err(error);
        }
        change(self).map_err(|error| {
            let problem = format!("the audit log `{}` cannot be written: {error}", self.path.display());
            let error = self.queue.fail(LedgerError { problem });
            self.failed.insert(error).clone()
        })
    }

    pub(crate) fn append(&mut self, group: Vec<Append>, closing: bool) {
        let result = self.guarded(|writer| writer.commit(&group, closing, |_, _| Ok(())));
        for reply in group.into_iter().filter_map(|append| append.reply) {
            // Whoever waited may have given up.
            let _ = reply.send(result.clone());
        }
    }

    /// Writes all of the group or nothing of it, with the change that is made besides, and a checkpoint if one is
    /// due or `sign` asks for it.
    pub(crate) fn commit(
        &mut self,
        group: &[Append],
        sign: bool,
        change: impl FnOnce(&Transaction<'_>, &mut Head) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let records = self.head.records.saturating_add(group.len() as u64);
        let due = self.notary.as_ref().filter(|notary| sign || notary.is_due(records, false));
        let flush = due.is_some_and(Notary::flushes)
            || group.iter().any(|append| append.durability == Durability::Durable);
        let due = due.is_some();
        self.flush_on_commit(flush)?;
        // Immediate: from here to the commit no other process can add a record, so place and predecessor are
        // those that the record will have.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let mut head = self.continue_from(&transaction)?;
        let mut insert = transaction.prepare_cached(record::INSERT)?;
        if let Some(event) = self.clock_went_back(&mut head, group) {
            head.push(&transaction, &mut insert, head.time_ms, &event)?;
        }
        for append in group {
            head.push(&transaction, &mut insert, append.time_ms, &append.event)?;
        }
        drop(insert);
        change(&transaction, &mut head)?;
        head.write(&transaction)?;
        let note = match self.notary.as_ref().filter(|_| due) {
            Some(notary) => Some(notary.write(&transaction, &head, (self.clock)())?),
            None => None,
        };
        transaction.commit()?;
        self.head = head;
        let Some(notary) = &mut self.notary else { return Ok(()) };
        let Some(note) = note else {
            notary.written(self.head.records);
            return Ok(());
        };
        match notary.committed(self.head.records, &note) {
            Ok(()) => self.queue.tell(None),
            Err((problem, false)) => self.queue.tell(Some(problem)),
            Err((problem, true)) => return Err(ReadError::Unpublished(problem)),
        }
        Ok(())
    }

    /// Where the log ends. When that is not where this writer left it, another process wrote, which can only
    /// have made it longer.
    fn continue_from(&self, connection: &Connection) -> Result<Head, ReadError> {
        let head = Head::read(connection)?;
        if (head.records, head.hash) == (self.head.records, self.head.hash) {
            return Ok(self.head.clone());
        }
        let head = record::tail(connection)?;
        if head.records <= self.head.records {
            self.head.expect(&head).map_err(ReadError::Broken)?;
        }
        if let Some(last) = self.head.records.checked_sub(1) {
            let mut select = connection.prepare_cached("SELECT hash FROM audit WHERE idx = ?1")?;
            let hash: [u8; 32] = select
                .query_row([last.cast_signed()], |row| row.get(0))
                .map_err(|_| ReadError::broken(last, Damage::Head))?;
            if hash != *self.head.hash.as_bytes() {
                return Err(ReadError::broken(last, Damage::Head));
            }
        }
        Ok(head)
    }

    /// Whether the clock went back. The group may have waited while another process wrote, so where it seems so,
    /// the clock is asked again.
    fn clock_went_back(&self, head: &mut Head, group: &[Append]) -> Option<Event> {
        let last = group.iter().map(|append| append.time_ms).max()?;
        let now_ms = if last < head.clock_ms { (self.clock)().max(last) } else { last };
        head.clock_went_back(now_ms)
    }

    fn flush_on_commit(&mut self, flush: bool) -> Result<(), rusqlite::Error> {
        if self.flushing != flush {
            self.connection.execute_batch(if flush {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.flushing = flush;
        }
        Ok(())
    }

    fn close(self) -> Result<(), StoreError> {
        let Self { connection, path, queue, .. } = self;
        if let Some(source) = queue.failure() {
            return Err(StoreError::Incomplete { path, source: source.clone() });
        }
        let mut journal = path.clone().into_os_string();
        journal.push("-wal");
        let engine = |source| ReadError::Engine(source).at(&path);
        if std::fs::metadata(journal).is_ok_and(|journal| journal.len() >= JOURNAL_BYTES_KEPT) {
            // While another process reads, its part of the journal stays; that is no error.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(engine)?;
        }
        connection.close().map_err(|(_, source)| engine(source))
    }
}

/// However the thread ends, nobody waits for it any longer.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}
