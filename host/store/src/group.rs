//! The writing thread. Everything that waits is written in one transaction, which is as durable as the most
//! demanding of those who wait asks for: a flush of the disk is paid once for all of them.

use std::path::PathBuf;
use std::sync::Arc;

use loong_kernel::{Durability, Event, LedgerError};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::StoreError;
use crate::error::{Damage, ReadError};
use crate::queue::{Append, Queue};
use crate::record::{self, Head};

/// The journal is emptied at the end only when it has grown to this many bytes: emptying costs two flushes of
/// the disk, and reading back a journal this long at the next start costs far less.
const JOURNAL_BYTES_KEPT: u64 = 512 * 1024;

/// Owns the connection that writes.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) queue: Arc<Queue>,
    /// Where the log ended when this writer saw it last.
    pub(crate) head: Head,
    /// Milliseconds since the Unix epoch.
    pub(crate) clock: Arc<dyn Fn() -> u64 + Send + Sync>,
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
        while let Some(batch) = queue.take() {
            if !batch.events.is_empty() {
                self.append(batch.events);
            }
            if !batch.work.is_empty() && self.flush_on_commit(false).is_ok() {
                batch.work.into_iter().for_each(|work| work(&self.connection));
            }
        }
        self.close()
    }

    pub(crate) fn append(&mut self, group: Vec<Append>) {
        let result = match self.failed.clone() {
            Some(error) => Err(error),
            None => self.commit(&group).map_err(|error| {
                let problem = format!("the audit log `{}` cannot be written: {error}", self.path.display());
                let error = self.queue.fail(LedgerError { problem });
                self.failed.insert(error).clone()
            }),
        };
        for reply in group.into_iter().filter_map(|append| append.reply) {
            // Whoever waited may have given up.
            let _ = reply.send(result.clone());
        }
    }

    /// Writes all of the group or nothing of it.
    fn commit(&mut self, group: &[Append]) -> Result<(), ReadError> {
        self.flush_on_commit(group.iter().any(|append| append.durability == Durability::Durable))?;
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
        head.write(&transaction)?;
        transaction.commit()?;
        self.head = head;
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
