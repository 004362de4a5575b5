//! The store as the kernel and the runtime see it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use loong_kernel::checkpoint::{Signer, VerifierKey};
use loong_kernel::{Boxed, Durability, Event, KvError, KvPage, KvSpace, Ledger, LedgerError};
use loong_manifest::PluginId;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use crate::checkpoint::{Notary, Signing};
use crate::error::ReadError;
use crate::prune::{Cut, Pruned, Retention};
use crate::queue::{Append, Queue, closed};
use crate::{AuditReader, StoreError, connect, group, kv, meta, record};

/// Most requests to key-value spaces that wait at once, so that plugins cannot keep the audit log waiting.
const KV_REQUESTS_MAX: usize = 32;
/// Most bytes of a database in memory for which no limit is set.
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the owner sets of the store.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Most bytes that the database file may have; without it, as many as there is room for on the disk. A
    /// log that is full fails, and with it everything that has to be written down. Up to 4 MiB of journal
    /// come on top while the database is open.
    pub audit_bytes_max: Option<u64>,
    /// How the log is signed. Without it, it is only chained.
    pub signing: Option<Signing>,
    /// Which of the oldest records are removed when the store is closed.
    pub retention: Option<Retention>,
}

/// The open database. Clones share it; the last one to go, or [`Store::close`], writes what is queued.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    key: Option<VerifierKey>,
    /// Whether it is in memory, and `path` a name that only this process knows.
    memory: bool,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    queue: Arc<Queue>,
    kv_room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

impl Store {
    /// Opens the database, or creates it where there is none: a file that only its owner may read, in a
    /// folder that only its owner may change. `clock` tells milliseconds since the Unix epoch.
    ///
    /// Of the log only the last record is checked, so that opening costs the same however long it is. When
    /// that one is not as it was written, the log is not continued.
    pub fn open(
        path: &Path,
        options: &StoreOptions,
        clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let kept = options.signing.as_ref().and_then(|signing| signing.kept.as_ref());
        let is_empty = std::fs::symlink_metadata(path).map_or(true, |found| found.len() < 512);
        if kept.is_some_and(|kept| kept.note.is_some()) && is_empty {
            // Not made anew, as the engine would: what is kept would never fit it.
            return Err(StoreError::Gone { path: path.to_owned() });
        }
        Self::start(connect::to_write(path, options.audit_bytes_max)?, false, options, clock)
    }

    /// Opens a database of its own in memory, with the same tables and the same limit (64 MiB where none is
    /// set): for tests, which ask it what they would ask a file.
    pub fn open_in_memory(
        options: &StoreOptions,
        clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, StoreError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let name = format!("loong-{}", OPENED.fetch_add(1, Ordering::Relaxed));
        let bytes_max = options.audit_bytes_max.unwrap_or(MEMORY_BYTES_MAX);
        Self::start(connect::in_memory(&name, bytes_max)?, true, options, clock)
    }

    /// The log of this database, for reading what was written so far.
    pub fn reader(&self) -> Result<AuditReader, StoreError> {
        let path = self.path();
        if !self.shared.memory {
            return AuditReader::open_read_only(path);
        }
        let (connection, path) = connect::to_read_in_memory(path)?;
        Ok(AuditReader::of(connection, path))
    }

    fn start(
        (connection, path): (Connection, PathBuf),
        memory: bool,
        options: &StoreOptions,
        clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, StoreError> {
        // One snapshot: the two reads must not see another process's commit between them.
        let read = || -> Result<(record::Head, Option<Notary>), ReadError> {
            if let Some(signing) = &options.signing {
                Notary::pin(&connection, &signing.signer)?;
            }
            let snapshot = connection.unchecked_transaction()?;
            let head = record::tail(&snapshot)?;
            let notary = options.signing.as_ref().map(|signing| Notary::open(&snapshot, &head, signing));
            Ok((head, notary.transpose()?))
        };
        let (head, notary) = read().map_err(|error| error.at(&path))?;
        let queue = Arc::new(Queue::new());
        let key = notary.as_ref().map(|notary| notary.key.clone());
        let publish = notary.as_ref().is_some_and(Notary::must_publish);
        let mut writer = group::Writer {
            connection,
            path: path.clone(),
            queue: Arc::clone(&queue),
            head,
            clock: Arc::clone(&clock),
            notary,
            retention: options.retention.clone(),
            flushing: false,
            failed: None,
        };
        if publish {
            // Nothing is begun that could not be witnessed.
            let incomplete = |source| StoreError::Incomplete { path: path.clone(), source };
            writer.checkpoint().map_err(incomplete)?;
        }
        let thread = thread::Builder::new()
            .name("loong-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| StoreError::File { path: path.clone(), source })?;
        let kv_room = Arc::new(Semaphore::new(KV_REQUESTS_MAX));
        let writer = Mutex::new(Some(thread));
        Ok(Self { shared: Arc::new(Shared { path, memory, clock, key, queue, kv_room, writer }) })
    }

    /// Binds a log to this signer's key, whatever it was bound to before: checkpoints by another key are removed. For
    /// a person who knows why it is so.
    pub fn rebind(path: &Path, signer: &Signer) -> Result<(), StoreError> {
        let (connection, path) = connect::to_write(path, None)?;
        Notary::rebind(&connection, signer).map_err(|error| error.at(&path))
    }

    /// The database file, with the links in its folder's path resolved.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The key that verifies the log's checkpoints, where it is signed.
    pub fn audit_key(&self) -> Option<&VerifierKey> {
        self.shared.key.as_ref()
    }

    /// What is wrong with keeping checkpoints elsewhere, although the log goes on.
    pub fn problem(&self) -> Option<String> {
        self.shared.queue.problem()
    }

    /// Removes the oldest records, flushes the disk, and says which they were; none if there was nothing to remove.
    pub async fn prune(&self, cut: Cut) -> Result<Option<Pruned>, LedgerError> {
        self.act(move |writer| writer.cut(cut)).await
    }

    /// Writes everything that is queued and closes the database, for all clones. Later appends fail. Blocks
    /// for as long as that takes; an error says that the log lacks records at its end.
    pub fn close(self) -> Result<(), StoreError> {
        self.shared.close()
    }

    /// A fact about the database itself, such as what was in force when it was used last.
    pub async fn meta_get(&self, key: &str) -> Result<Option<String>, LedgerError> {
        let key = key.to_owned();
        self.work(move |connection| meta::get(connection, &key).map_err(unwritten)).await
    }

    /// Sets a fact about the database itself, durably as an event that is only written.
    pub async fn meta_set(&self, key: &str, value: &str) -> Result<(), LedgerError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.work(move |connection| meta::set(connection, &key, &value).map_err(unwritten)).await
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.shared.clock)()
    }

    fn event(&self, event: Event, durability: Durability) -> Append {
        Append { event, time_ms: (self.shared.clock)(), durability, reply: None }
    }

    /// Does something with the connection, on the thread that owns it.
    pub(crate) async fn work<T: Send + 'static, E: From<Unavailable> + Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.act(move |writer| work(&writer.connection)).await
    }

    async fn act<T: Send + 'static, E: From<Unavailable> + Send + 'static>(
        &self,
        act: impl FnOnce(&mut group::Writer) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let unavailable = |error: LedgerError| E::from(Unavailable(error.problem));
        let place = Arc::clone(&self.shared.kv_room).acquire_owned().await;
        let place = place.map_err(|_| unavailable(closed()))?;
        let (reply, answer) = oneshot::channel();
        let queue = Arc::clone(&self.shared.queue);
        let pushed = self.shared.queue.push_work(Box::new(move |writer| {
            // An effect that could not be written down does not happen.
            let result = match queue.failure() {
                Some(error) => Err(E::from(Unavailable(error.problem.clone()))),
                None => act(writer),
            };
            drop(place);
            // Whoever asked may have given up.
            let _ = reply.send(result);
        }));
        pushed.map_err(unavailable)?;
        answer.await.unwrap_or_else(|_| Err(unavailable(closed())))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(crate) fn unwritten(error: rusqlite::Error) -> LedgerError {
    LedgerError { problem: error.to_string() }
}

/// The log has failed, and with it the database.
pub(crate) struct Unavailable(String);

impl From<Unavailable> for KvError {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable { problem: error.0 }
    }
}

impl From<Unavailable> for LedgerError {
    fn from(error: Unavailable) -> Self {
        Self { problem: error.0 }
    }
}

impl Shared {
    fn close(&self) -> Result<(), StoreError> {
        self.queue.close();
        self.kv_room.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::Incomplete {
                path: self.path.clone(),
                source: LedgerError { problem: "the writing thread panicked".to_owned() },
            }),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody is left to tell; whoever wants to know calls `Store::close`.
        let _ = self.close();
    }
}

impl Ledger for Store {
    async fn append(&self, event: Event, durability: Durability) -> Result<(), LedgerError> {
        let queue = &self.shared.queue;
        queue.admit().await?;
        let mut append = self.event(event, durability);
        if durability == Durability::Queued {
            return queue.push(append);
        }
        let (reply, answer) = oneshot::channel();
        append.reply = Some(reply);
        queue.push(append)?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    fn append_now(&self, event: Event) -> Result<(), LedgerError> {
        self.shared.queue.push_now(self.event(event, Durability::Queued))
    }
}

impl KvSpace for Store {
    fn get<'a>(&'a self, owner: &'a PluginId, key: &'a str) -> Boxed<'a, Result<Option<Vec<u8>>, KvError>> {
        let (owner, key) = (owner.clone(), key.to_owned());
        Box::pin(self.work(move |connection| kv::get(connection, &owner, &key)))
    }

    fn set<'a>(
        &'a self,
        owner: &'a PluginId,
        key: &'a str,
        value: Vec<u8>,
        bytes_max: u64,
    ) -> Boxed<'a, Result<(), KvError>> {
        let (owner, key) = (owner.clone(), key.to_owned());
        Box::pin(self.work(move |connection| kv::set(connection, &owner, &key, &value, bytes_max)))
    }

    fn delete<'a>(&'a self, owner: &'a PluginId, key: &'a str) -> Boxed<'a, Result<bool, KvError>> {
        let (owner, key) = (owner.clone(), key.to_owned());
        Box::pin(self.work(move |connection| kv::delete(connection, &owner, &key)))
    }

    fn list<'a>(
        &'a self,
        owner: &'a PluginId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> Boxed<'a, Result<KvPage, KvError>> {
        let (owner, prefix, after) = (owner.clone(), prefix.to_owned(), after.map(str::to_owned));
        Box::pin(self.work(move |connection| kv::list(connection, &owner, &prefix, after.as_deref(), limit)))
    }
}
