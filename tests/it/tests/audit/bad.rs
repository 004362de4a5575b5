//! A database that cannot be used, and a clock that cannot be right: typed, safe, and named by `loong doctor`.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::process::Stdio;
use std::sync::Arc;

use loong_it::fixture::guest;
use loong_it::sandbox::{Ended, Sandbox};
use loong_kernel::{Durability, Event, Ledger};
use loong_manifest::Code;
use loong_store::{Store, StoreOptions};
use rusqlite::Connection;

const ADD: &str = "loong tools call $GUESTS/stranger.wasm add '{\"left\": 2, \"right\": 40}'";

fn add(sandbox: &Sandbox) -> Ended {
    guest("stranger");
    sandbox.shell(ADD)
}

/// A place where something ran.
fn used() -> Sandbox {
    let sandbox = Sandbox::new();
    let ended = add(&sandbox);
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, "42\n"), "{}", ended.stderr);
    sandbox
}

fn database(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.loong_home().join("data/loong.db")
}

#[track_caller]
fn check_named(ended: &Ended, exit: i32, word: &str) {
    assert_eq!(ended.exit, exit, "{}{}", ended.stdout, ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains(word), "{said}");
}

#[test]
fn a_database_that_another_program_holds_is_locked() {
    let sandbox = used();
    let other = Connection::open(database(&sandbox)).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let ended = add(&sandbox);
    assert_eq!(ended.stdout, "", "nothing runs that is not recorded");
    check_named(&ended, 70, "[store_locked]");
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    assert_eq!(add(&sandbox).exit, 0);
    assert_eq!(sandbox.loong(["audit", "verify"]).exit, 0);
}

#[test]
fn a_damaged_database_is_named() {
    let damage = |at: u64, bytes: &[u8], exit: i32, word: &str| {
        let sandbox = used();
        // Into the file itself, not the journal beside it.
        Connection::open(database(&sandbox))
            .unwrap()
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(database(&sandbox)).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
        drop(file);
        let before = fs::read(database(&sandbox)).unwrap();
        let ended = add(&sandbox);
        assert_eq!(ended.stdout, "");
        check_named(&ended, exit, word);
        assert_eq!(fs::read(database(&sandbox)).unwrap(), before, "it is evidence, and stays as it is");
        check_named(&sandbox.loong(["doctor"]), 1, "bad");
    };
    damage(0, b"no database", 1, "is not a database of Loong");
    damage(100, &[0xff; 8], 70, "[store_corrupt]");
}

#[test]
fn processes_at_once_leave_one_whole_log() {
    let sandbox = used();
    let before = Connection::open(database(&sandbox)).unwrap();
    let count = |log: &Connection| -> i64 {
        log.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap()
    };
    let (had, each) = (count(&before), 3);
    let start = || {
        let mut command = sandbox.command(sandbox.path("bin/sh"));
        command.args(["-c", ADD]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for _ in 0..each {
        let processes: Vec<_> = (0..4).map(|_| start()).collect();
        for process in processes {
            let ended = process.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            assert_eq!(ended.stdout, b"42\n");
        }
    }
    let now = count(&before);
    assert!(now >= had + 4 * each * 5, "{had} records became {now}");
    let verified = sandbox.loong(["audit", "verify"]);
    assert_eq!(verified.exit, 0, "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn a_clock_that_went_back_is_named_and_the_log_never_goes_back() {
    let sandbox = used();
    let ahead_ms = 3_600_000;
    #[expect(clippy::disallowed_methods, reason = "the clock of a host that is wrong")]
    let now_ms = move || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap() + ahead_ms
    };
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let event = Event::PluginRefused {
        run: None,
        plugin: "test".into(),
        digest: None,
        code: Code::HostFailed,
        reason: "the clock was an hour ahead".into(),
    };
    let store = Store::open(&database(&sandbox), &StoreOptions::default(), Arc::new(now_ms)).unwrap();
    tokio.block_on(store.append(event, Durability::Durable)).unwrap();
    store.close().unwrap();
    check_named(&sandbox.loong(["doctor"]), 1, "[clock_invalid]");
    assert_eq!(add(&sandbox).exit, 0);
    let log = Connection::open(database(&sandbox)).unwrap();
    let backwards: i64 = log
        .query_row(
            "SELECT count(*) FROM audit a JOIN audit b ON b.idx = a.idx + 1 WHERE b.time_ms < a.time_ms",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(backwards, 0);
    assert_eq!(sandbox.loong(["audit", "verify"]).exit, 0);
}
