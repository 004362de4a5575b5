//! Whoever can write the database cannot change what it says happened without being found out.

mod answers;
mod bad;
mod durable;
mod forged;
mod large;

use loong_it::fixture::guest;
use loong_it::sandbox::{Ended, Sandbox};
use rusqlite::Connection;

/// A log of two calls, changed by these statements, and what `audit verify` says of it.
fn verify_after(statements: &str) -> Ended {
    let sandbox = Sandbox::new();
    guest("stranger");
    for number in ["1", "2"] {
        let call =
            format!("loong tools call $GUESTS/stranger.wasm add '{{\"left\": {number}, \"right\": 40}}'");
        let ended = sandbox.shell(&call);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }
    let database = Connection::open(sandbox.loong_home().join("data/loong.db")).unwrap();
    database.execute_batch(statements).unwrap();
    drop(database);
    sandbox.loong(["audit", "verify"])
}

#[track_caller]
fn check_found(statements: &str, what: &str) {
    let ended = verify_after(statements);
    assert_eq!(ended.exit, 3, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("[audit_broken]") && ended.stderr.contains(what), "{}", ended.stderr);
}

#[test]
fn an_untouched_log_is_whole() {
    let ended = verify_after("PRAGMA wal_checkpoint(TRUNCATE)");
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("22 records"), "{}", ended.stdout);
}

#[test]
fn a_changed_event_is_found() {
    check_found("UPDATE audit SET event = replace(event, '#add', '#sum') WHERE idx = 8", "8");
}

#[test]
fn a_changed_column_is_found() {
    check_found("UPDATE audit SET outcome = 'deny' WHERE idx = 8", "8");
}

#[test]
fn a_changed_time_is_found() {
    check_found("UPDATE audit SET time_ms = time_ms - 1 WHERE idx = 0", "0");
}

#[test]
fn a_missing_record_is_found() {
    check_found("DELETE FROM audit WHERE idx = 4", "4");
}

#[test]
fn a_shortened_log_is_found() {
    check_found("DELETE FROM audit WHERE idx > 8", "9");
}

#[test]
fn swapped_records_are_found() {
    check_found(
        "UPDATE audit SET idx = 100 WHERE idx = 2; UPDATE audit SET idx = 2 WHERE idx = 3; UPDATE audit SET idx = 3 WHERE idx = 100",
        "2",
    );
}
