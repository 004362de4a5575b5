//! Checkpoints: when they are made, and what they find that the log itself cannot.

use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use loong_kernel::checkpoint::{Checkpoint, Signer, VerifierKey};
use loong_kernel::merkle;
use loong_trust::SigningKey;
use rusqlite::Connection;

use super::*;
use crate::{Against, Kept, Publish, Retention, Signing, StoreError, Verified, VerifyError, Witness};

/// A key, and what is kept beside it.
#[derive(Clone)]
pub(super) struct Bench {
    signer: Signer,
    kept: Arc<Mutex<Option<Kept>>>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let signer = Signer::new(key.public(), Arc::new(move |text| key.sign(text)));
        Self { signer, kept: Arc::default(), clock: clock() }
    }

    fn signing(&self) -> Signing {
        let kept = Arc::clone(&self.kept);
        let keep = move |note: &str, key: &VerifierKey| {
            *kept.lock().unwrap() =
                Some(Kept { key: key.clone(), note: Some(note.to_owned()), restarted: false });
            Ok(())
        };
        let now = self.kept.lock().unwrap().clone();
        Signing { signer: self.signer.clone(), kept: now, keep: Arc::new(keep), publish: None }
    }

    fn options(&self) -> StoreOptions {
        StoreOptions { signing: Some(self.signing()), ..StoreOptions::default() }
    }

    pub(super) fn try_open(&self, path: &Path) -> Result<Store, StoreError> {
        Store::open(path, &self.options(), Arc::clone(&self.clock))
    }

    pub(super) fn fill(&self, path: &Path, records: u64, retention: Option<Retention>) {
        let options = StoreOptions { retention, ..self.options() };
        let store = Store::open(path, &options, Arc::clone(&self.clock)).unwrap();
        append(&store, records);
        store.close().unwrap();
    }

    pub(super) fn against(&self) -> Against {
        let kept = self.kept.lock().unwrap().clone().unwrap();
        let witness = Witness { place: "the safe".to_owned(), note: kept.note.unwrap() };
        Against { key: Some(kept.key), witnesses: vec![witness] }
    }
}

pub(super) fn append(store: &Store, records: u64) {
    wait(async {
        for n in 0..records {
            store.append(event(n), Durability::Queued).await.unwrap();
        }
    });
}

fn verify(path: &Path, against: &Against) -> Result<Verified, VerifyError> {
    reader(path).verify_against(against, &mut |_| ())
}

fn sizes(path: &Path) -> Vec<i64> {
    let connection = Connection::open(path).unwrap();
    let mut select = connection.prepare("SELECT size FROM checkpoint ORDER BY size").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_checkpoint_is_made_at_the_end_and_covers_all() {
    let (_folder, path) = place();
    let bench = Bench::new();
    bench.fill(&path, 30, None);
    bench.fill(&path, 5, None);
    bench.fill(&path, 0, None);
    assert_eq!(sizes(&path), [30, 35]);
    let verified = verify(&path, &bench.against()).unwrap();
    assert_eq!((verified.records, verified.signed, verified.first), (35, 35, 0));
    let (size, _, note) = reader(&path).checkpoint().unwrap().unwrap();
    let checkpoint = Checkpoint::verified(&note, verified.key.as_ref().unwrap()).unwrap();
    assert_eq!((checkpoint.size, size, checkpoint.root), (35, 35, verified.root));
    assert_eq!(checkpoint.origin, format!("loong/audit/{}", reader(&path).log_id().unwrap()));
}

#[test]
fn a_checkpoint_is_made_after_a_thousand_records_or_one_second() {
    let (_folder, path) = place();
    let store = Bench::new().try_open(&path).unwrap();
    for _ in 0..3 {
        append(&store, 1_000);
        wait(store.append(event(0), Durability::Written)).unwrap();
    }
    assert!(!sizes(&path).is_empty());
    let began = Instant::now();
    wait(store.append(event(0), Durability::Written)).unwrap();
    // Nothing more comes, and the last records are signed all the same.
    while sizes(&path).last() != Some(&3_004) {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", sizes(&path));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() > Duration::from_millis(500), "each record is signed by itself");
    store.close().unwrap();
    assert_eq!(sizes(&path).last(), Some(&3_004));
}

#[test]
fn two_processes_sign_one_log() {
    let (_folder, path) = place();
    let bench = Bench::new();
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = bench.try_open(&path).unwrap();
                start.wait();
                append(&store, 1_500);
                store.close().unwrap();
            });
        }
    });
    let verified = verify(&path, &bench.against()).unwrap();
    assert_eq!((verified.records, verified.signed), (3_000, 3_000));
    assert!(sizes(&path).len() >= 2, "{:?}", sizes(&path));
}

#[test]
fn every_signed_log_is_the_beginning_of_the_next() {
    let (_folder, path) = place();
    let bench = Bench::new();
    for records in [1, 2, 254, 1, 700] {
        bench.fill(&path, records, None);
    }
    let reader = reader(&path);
    let roots: Vec<u64> = sizes(&path).into_iter().map(i64::unsigned_abs).collect();
    assert_eq!(roots, [1, 3, 257, 258, 958]);
    for pair in roots.windows(2) {
        let path = reader.consistency(pair[0], pair[1]).unwrap();
        let (before, after) = (reader.root(pair[0]).unwrap(), reader.root(pair[1]).unwrap());
        assert!(merkle::extends(pair[0], pair[1], &before, &after, &path));
    }
}

/// What somebody does who can write the database and has not the key.
struct Forger {
    folder: TempDir,
    path: PathBuf,
    bench: Bench,
    /// A copy of the log of 300 records.
    older: PathBuf,
}

impl Forger {
    /// A signed log of 400 records.
    fn new() -> Self {
        let (folder, path) = place();
        let bench = Bench::new();
        bench.fill(&path, 300, None);
        let older = folder.path().join("older.db");
        Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        std::fs::copy(&path, &older).unwrap();
        bench.fill(&path, 100, None);
        Self { folder, path, bench, older }
    }

    fn sql(&self, sql: &str) {
        let connection = Connection::open(&self.path).unwrap();
        connection
            .execute("ATTACH ?1 AS other", [self.folder.path().join("other.db").to_str().unwrap()])
            .unwrap();
        connection.execute_batch(sql).unwrap();
    }

    fn put_back(&self) {
        for journal in ["loong.db-wal", "loong.db-shm"] {
            let _ = std::fs::remove_file(self.folder.path().join(journal));
        }
        std::fs::copy(&self.older, &self.path).unwrap();
    }

    /// Another log of as many records, by `bench`, in the place of this one, under this one's id.
    fn rewrite(&self, bench: &Bench, records: u64) {
        let log_id = reader(&self.path).log_id().unwrap();
        let other = self.folder.path().join("other.db");
        open(&other).close().unwrap();
        Connection::open(&other)
            .unwrap()
            .execute("UPDATE meta SET value = ?1 WHERE key = 'log_id'", [log_id])
            .unwrap();
        let store = Store::open(&other, &bench.options(), clock()).unwrap();
        wait(async {
            for n in 0..records {
                store.append(event(n + 7), Durability::Queued).await.unwrap();
            }
        });
        store.close().unwrap();
        for journal in ["loong.db-wal", "loong.db-shm"] {
            let from = journal.replace("loong", "other");
            let _ = std::fs::rename(self.folder.path().join(from), self.folder.path().join(journal));
        }
        std::fs::rename(&other, &self.path).unwrap();
    }

    /// Expects verification and the next opening to find it, at this record and in these words.
    #[track_caller]
    fn found(&self, index: u64, words: &str) {
        match verify(&self.path, &self.bench.against()) {
            Err(VerifyError::Broken(broken)) => {
                assert_eq!(broken.index, index, "{broken}");
                assert!(broken.damage.to_string().contains(words), "{broken}");
            }
            other => panic!("it was not found: {other:?}"),
        }
    }

    #[track_caller]
    fn not_continued(&self, words: &str) {
        let error = self.bench.try_open(&self.path).err().expect("the log is continued");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(words), "{source}");
    }
}

#[test]
fn an_untouched_signed_log_verifies_and_goes_on() {
    let forger = Forger::new();
    assert_eq!(verify(&forger.path, &forger.bench.against()).unwrap().signed, 400);
    forger.bench.fill(&forger.path, 1, None);
    assert_eq!(verify(&forger.path, &forger.bench.against()).unwrap().records, 401);
}

#[test]
fn finds_an_older_copy_that_was_put_back() {
    let forger = Forger::new();
    forger.put_back();
    // In itself it is whole.
    assert_eq!(verified(&forger.path), 300);
    forger.found(300, "400 records were signed");
    forger.not_continued("400 records were signed");
}

#[test]
fn goes_on_with_a_shorter_log_only_after_the_machine_was_started_anew() {
    let forger = Forger::new();
    forger.put_back();
    forger.bench.kept.lock().unwrap().as_mut().unwrap().restarted = true;
    forger.bench.fill(&forger.path, 1, None);
    assert_eq!(verify(&forger.path, &forger.bench.against()).unwrap().records, 301);
}

#[test]
fn finds_an_older_copy_that_was_made_longer() {
    let forger = Forger::new();
    forger.put_back();
    // Without a signature, since the key is not there.
    let store = open(&forger.path);
    wait(async {
        for n in 0..100 {
            store.append(event(n + 7), Durability::Queued).await.unwrap();
        }
    });
    store.close().unwrap();
    assert_eq!(verified(&forger.path), 400);
    forger.found(300, "the checkpoint over 400 records in the safe is of other records");
    forger.not_continued("is of other records");
}

#[test]
fn finds_a_cut_tail_whose_traces_were_removed() {
    let forger = Forger::new();
    forger.put_back();
    forger.sql("DELETE FROM checkpoint");
    assert_eq!(verified(&forger.path), 300);
    forger.found(300, "400 records were signed");
}

#[test]
fn finds_a_log_that_was_written_anew() {
    let forger = Forger::new();
    let other = Bench::new();
    forger.rewrite(&other, 400);
    assert_eq!(verified(&forger.path), 400);
    forger.found(0, "the database names the audit key");
    forger.not_continued("the database names the audit key");
    // The pinned key can be put there, and then the signatures do not fit it.
    let key = forger.bench.against().key.unwrap().to_string();
    forger.sql(&format!("UPDATE meta SET value = '{key}' WHERE key = 'audit_key'"));
    forger.found(0, "is not signed by");
    // Without signatures, the records are not those that were signed.
    forger.sql("DELETE FROM checkpoint");
    forger.found(0, "the checkpoint over 400 records in the safe is of other records");
    forger.not_continued("is of other records");
    // Another log under its own name.
    let forger = Forger::new();
    std::fs::remove_file(&forger.path).unwrap();
    for journal in ["loong.db-wal", "loong.db-shm"] {
        let _ = std::fs::remove_file(forger.folder.path().join(journal));
    }
    let gone = forger.bench.try_open(&forger.path).err().unwrap();
    assert_eq!(gone.code(), Code::AuditBroken, "{gone}");
    assert!(!forger.path.exists());
    fill(&forger.path, 400);
    forger.found(0, "the database names the audit key `none`");
}

#[test]
fn finds_checkpoints_that_another_key_signed() {
    let forger = Forger::new();
    let other = Bench::new().signer;
    let (size, _, note) = reader(&forger.path).checkpoint().unwrap().unwrap();
    let again = other.note(&Checkpoint::read(&note).unwrap());
    forger.sql(&format!("UPDATE checkpoint SET note = '{again}' WHERE size = {size}"));
    forger.found(0, "is not signed by");
    let key = other.verifier(&Checkpoint::read(&note).unwrap().origin);
    forger.sql(&format!("UPDATE meta SET value = '{key}' WHERE key = 'audit_key'"));
    forger.found(0, "the database names the audit key");
    forger.not_continued("the database names the audit key");
}

#[test]
fn finds_a_changed_checkpoint_and_a_changed_tree() {
    for (sql, index, words) in [
        (
            "UPDATE checkpoint SET note = replace(note, char(10) || '400' || char(10), char(10) || '401' || char(10))",
            0,
            "not over 400 records",
        ),
        ("UPDATE checkpoint SET note = 'x' WHERE size = 400", 0, "it is no checkpoint"),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0", 0, "Merkle tree"),
        ("UPDATE tile SET hashes = zeroblob(32) WHERE level = 1", 0, "Merkle tree"),
        ("DELETE FROM tile", 0, "Merkle tree"),
        ("UPDATE head SET peaks = zeroblob(96)", 399, "Merkle tree"),
        ("UPDATE head SET peaks = x''", 399, "Merkle tree"),
        ("UPDATE base SET records = 1", 1, "Merkle tree"),
        ("UPDATE base SET hash = zeroblob(31)", 0, "does not say"),
        ("DELETE FROM meta", 0, "does not say"),
    ] {
        let forger = Forger::new();
        forger.sql(sql);
        forger.found(index, words);
    }
}

#[test]
fn a_place_that_must_have_the_checkpoint_stops_the_log_when_it_cannot() {
    let (_folder, path) = place();
    let bench = Bench::new();
    let full = Arc::new(Mutex::new(false));
    let published = Arc::new(Mutex::new(Vec::new()));
    let options = |required| {
        let (full, published) = (Arc::clone(&full), Arc::clone(&published));
        let write = move |note: &str, _: &VerifierKey| {
            if *full.lock().unwrap() {
                return Err("the disk is full".to_owned());
            }
            published.lock().unwrap().push(Checkpoint::read(note).unwrap().size);
            Ok(())
        };
        let publish = Some(Publish { write: Arc::new(write), required });
        StoreOptions { signing: Some(Signing { publish, ..bench.signing() }), ..StoreOptions::default() }
    };
    let store = Store::open(&path, &options(true), clock()).unwrap();
    append(&store, 3);
    store.close().unwrap();
    assert_eq!(*published.lock().unwrap(), [0, 3]);
    *full.lock().unwrap() = true;
    let refused = Store::open(&path, &options(true), clock()).err().unwrap();
    assert_eq!(refused.code(), Code::AuditUnavailable, "{refused}");
    // Where it is not required, it is only told.
    let store = Store::open(&path, &options(false), clock()).unwrap();
    append(&store, 3);
    let other = store.clone();
    store.close().unwrap();
    assert_eq!(other.problem().as_deref(), Some("the disk is full"));
    *full.lock().unwrap() = false;
    let store = Store::open(&path, &options(true), clock()).unwrap();
    assert_eq!(store.problem(), None);
    *full.lock().unwrap() = true;
    append(&store, 1);
    assert_eq!(store.close().unwrap_err().code(), Code::AuditUnavailable);
}
