//! Every way to change a log is found, at the record where it begins.

use std::sync::OnceLock;

use loong_kernel::chain;
use proptest::prelude::*;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::*;
use crate::{Broken, Damage, Verified, VerifyError};

/// A closed log in one file without a journal, made once and copied for each case.
fn copy(records: u64) -> (TempDir, PathBuf) {
    static LOGS: OnceLock<[(u64, TempDir); 2]> = OnceLock::new();
    let logs = LOGS.get_or_init(|| {
        [1000, 30].map(|records| {
            let (folder, path) = place();
            fill(&path, records);
            let connection = Connection::open(&path).unwrap();
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            drop(connection);
            (records, folder)
        })
    });
    let (_, log) = logs.iter().find(|(length, _)| *length == records).unwrap();
    let (folder, path) = place();
    std::fs::copy(log.path().join("loong.db"), &path).unwrap();
    (folder, path)
}

fn verify(path: &Path) -> Result<Verified, VerifyError> {
    reader(path).verify(&mut |_| ())
}

fn broken(path: &Path) -> Broken {
    match verify(path) {
        Err(error @ VerifyError::Broken(_)) => {
            assert_eq!(error.code(), Code::AuditBroken);
            let VerifyError::Broken(broken) = error else { unreachable!() };
            broken
        }
        other => panic!("the change was not found: {other:?}"),
    }
}

/// Does `sql` to a log of 1,000 records, and expects the words of `damage` at `index`.
#[track_caller]
fn check(sql: &str, index: u64, damage: &str) {
    let (_folder, path) = copy(1000);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let found = broken(&path);
    assert_eq!(found.index, index, "{found}");
    assert!(found.damage.to_string().contains(damage), "{found}");
}

#[test]
fn an_untouched_log_verifies() {
    let (_folder, path) = copy(1000);
    let mut seen = Vec::new();
    let verified = reader(&path).verify(&mut |records| seen.push(records)).unwrap();
    assert_eq!(verified.records, 1000);
    assert_eq!(verified.head, all(&path).last().unwrap().hash);
    assert_eq!(seen, [1000]);
}

#[test]
fn finds_a_changed_event() {
    check("UPDATE audit SET event = replace(event, 'official', 'Official') WHERE idx = 501", 501, "its hash");
    check("UPDATE audit SET event = replace(event, '502', '503') WHERE idx = 502", 502, "its hash");
}

#[test]
fn finds_a_changed_time() {
    check("UPDATE audit SET time_ms = time_ms + 1 WHERE idx = 0", 0, "its hash");
    check("UPDATE audit SET time_ms = -1 WHERE idx = 9", 9, "its time is -1");
}

#[test]
fn finds_a_changed_hash() {
    check("UPDATE audit SET hash = zeroblob(32) WHERE idx = 77", 77, "its hash");
    check("UPDATE audit SET hash = zeroblob(31) WHERE idx = 77", 77, "cannot be read");
}

#[test]
fn finds_a_column_that_says_something_else_than_its_event() {
    check("UPDATE audit SET kind = 'effect' WHERE idx = 30", 30, "`kind`");
    check("UPDATE audit SET run = NULL WHERE idx = 30", 30, "`run`");
    check("UPDATE audit SET plugin = 'core:git' WHERE idx = 30", 30, "`plugin`");
    check("UPDATE audit SET outcome = 'allow' WHERE idx = 36", 36, "`outcome`");
    check("UPDATE audit SET code = 'trap' WHERE idx = 36", 36, "`code`");
    check("UPDATE audit SET agent = 'core:git' WHERE idx = 36", 36, "`agent`");
    check("UPDATE audit SET pack = 'core:git' WHERE idx = 36", 36, "`pack`");
    check("UPDATE audit SET token = NULL WHERE idx = 36", 36, "`token`");
    check("UPDATE audit SET tier = 'unverified' WHERE idx = 36", 36, "`tier`");
    check("UPDATE audit SET approval = 'a1' WHERE idx = 36", 36, "`approval`");
    check("UPDATE audit SET triage = NULL WHERE idx = 36", 36, "`triage`");
    check("UPDATE audit SET triage = 'authorization_denied' WHERE idx = 31", 31, "`triage`");
}

#[test]
fn finds_records_that_changed_places() {
    let swap = "UPDATE audit SET idx = -1 WHERE idx = 300; UPDATE audit SET idx = 300 WHERE idx = 700;
                UPDATE audit SET idx = 700 WHERE idx = -1;";
    check(swap, 300, "its hash");
}

#[test]
fn finds_removed_records() {
    check("DELETE FROM audit WHERE idx = 0", 0, "the next one is 1");
    check("DELETE FROM audit WHERE idx = 400", 400, "the next one is 401");
    check("DELETE FROM audit WHERE idx BETWEEN 400 AND 449", 400, "the next one is 450");
}

#[test]
fn finds_a_removed_record_whose_place_was_closed() {
    let close = "DELETE FROM audit WHERE idx = 400;
                 UPDATE audit SET idx = -idx WHERE idx > 400; UPDATE audit SET idx = -idx - 1 WHERE idx < 0;
                 UPDATE head SET records = 999;";
    check(close, 400, "its hash");
}

#[test]
fn finds_a_cut_tail() {
    check("DELETE FROM audit WHERE idx = 999", 999, "1000 records were written, and 999 are there");
    check("DELETE FROM audit WHERE idx >= 10", 10, "1000 records were written, and 10 are there");
    check("DELETE FROM audit", 0, "1000 records were written, and 0 are there");
}

#[test]
fn finds_a_changed_head() {
    check("UPDATE head SET records = 990", 990, "990 records were written, and 1000 are there");
    check("UPDATE head SET hash = zeroblob(32)", 999, "left with");
    check("UPDATE head SET records = -1", 0, "does not say");
    check("DELETE FROM head", 0, "does not say");
}

#[test]
fn finds_renumbered_and_added_records() {
    check("UPDATE audit SET idx = 2000 WHERE idx = 10", 10, "the next one is 11");
    check("UPDATE audit SET idx = 1000 WHERE idx = 999", 999, "the next one is 1000");
    check("UPDATE audit SET idx = -5 WHERE idx = 10", 0, "second record -5");
    let add =
        "INSERT INTO audit SELECT 1000, time_ms, kind, run, plugin, outcome, code, event, hash, agent, pack,
               token, tier, approval, triage FROM audit WHERE idx = 999";
    check(add, 1000, "its hash");
}

#[test]
fn finds_a_repeated_index_in_a_table_that_allows_it() {
    let repeat = "CREATE TABLE copy AS SELECT * FROM audit;
                  INSERT INTO copy SELECT * FROM copy WHERE idx = 5;
                  DROP TABLE audit; ALTER TABLE copy RENAME TO audit;";
    check(repeat, 6, "second record 5");
}

#[test]
fn finds_events_that_cannot_be_read_or_could_be_read_in_two_ways() {
    check("UPDATE audit SET event = substr(event, 1, 20) WHERE idx = 8", 8, "its event cannot be read");
    check("UPDATE audit SET event = '' WHERE idx = 8", 8, "its event cannot be read");
    check("UPDATE audit SET event = event || ' ' WHERE idx = 8", 8, "canonical");
    check("UPDATE audit SET event = replace(event, '{', '{\"kind\":\"x\",') WHERE idx = 10", 10, "canonical");
    check("UPDATE audit SET event = replace(event, 'kv', '\\u006bv') WHERE idx = 12", 12, "canonical");
    check("UPDATE audit SET event = CAST(x'ff' AS TEXT) WHERE idx = 8", 8, "its fields cannot be read");
}

#[test]
fn finds_tables_that_are_gone() {
    check("DROP TABLE audit", 0, "no such table");
    check("DROP TABLE head", 1000, "no such table");
}

#[test]
fn finds_an_index_that_hides_a_record_from_searches() {
    let hide = "DROP INDEX audit_run; CREATE INDEX audit_run ON audit (run) WHERE idx <> 7;
                PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET sql = 'CREATE INDEX audit_run ON audit (run)' WHERE name = 'audit_run';";
    check(hide, 1000, "index audit_run");
}

#[test]
fn finds_a_record_whose_hash_was_made_to_fit() {
    // The tree knows the record itself once its tile is full, the next record knows its hash.
    for (index, found) in [(500, (500, Damage::Tree)), (990, (991, Damage::Hash))] {
        let (_folder, path) = copy(1000);
        let records = all(&path);
        let connection = Connection::open(&path).unwrap();
        let text: String = connection
            .query_row("SELECT event FROM audit WHERE idx = ?1", [index], |row| row.get(0))
            .unwrap();
        let text = text.replace("say", "did not say");
        let event: Value = serde_json::from_str(&text).unwrap();
        let at = index as usize;
        let hash = chain::hash(index as u64, records[at].time_ms, &records[at - 1].hash, &event);
        connection
            .execute(
                "UPDATE audit SET event = ?1, hash = ?2 WHERE idx = ?3",
                params![text, hash.as_bytes(), index],
            )
            .unwrap();
        drop(connection);
        assert_eq!(broken(&path), Broken { index: found.0, damage: found.1 });
    }
}

#[test]
fn finds_a_byte_flipped_in_the_file() {
    let (_folder, path) = copy(1000);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|window| window == b"key-617").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(broken(&path), Broken { index: 617, damage: Damage::Hash });
}

/// What a tamperer does to one field.
#[derive(Debug, Clone)]
enum Change {
    Index(i64),
    Time(i64),
    Text(usize, Option<String>),
    Member(usize, Value),
    HashByte(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    prop_oneof![
        any::<i64>().prop_map(Change::Index),
        (-1..40_i64).prop_map(Change::Index),
        any::<i64>().prop_map(Change::Time),
        (0..6_usize, proptest::option::of(".*")).prop_map(|(column, text)| Change::Text(column, text)),
        (any::<usize>(), scalar).prop_map(|(member, value)| Change::Member(member, value)),
        (0..32_usize, 1..=255_u8).prop_map(|(at, flip)| Change::HashByte(at, flip)),
    ]
}

/// Does the change, and says whether it is one.
fn apply(connection: &Connection, index: i64, change: &Change) -> bool {
    const TEXTS: [&str; 6] = ["kind", "run", "plugin", "outcome", "code", "event"];
    let set = |column: &str, value: &dyn rusqlite::ToSql| {
        let sql = format!("UPDATE audit SET {column} = ?1 WHERE idx = ?2 AND {column} IS NOT ?1");
        connection.execute(&sql, params![value, index]).is_ok_and(|rows| rows == 1)
    };
    match change {
        Change::Index(to) => set("idx", to),
        Change::Time(to) => set("time_ms", to),
        Change::Text(column, to) => set(TEXTS[*column], to),
        Change::Member(member, to) => {
            let event: String = connection
                .query_row("SELECT event FROM audit WHERE idx = ?1", [index], |row| row.get(0))
                .unwrap();
            let mut event: serde_json::Map<String, Value> = serde_json::from_str(&event).unwrap();
            let key = event.keys().nth(member % event.len()).unwrap().clone();
            event.insert(key, to.clone());
            set("event", &Value::from(event).to_string())
        }
        Change::HashByte(at, flip) => {
            let mut hash: [u8; 32] = connection
                .query_row("SELECT hash FROM audit WHERE idx = ?1", [index], |row| row.get(0))
                .unwrap();
            hash[*at] ^= flip;
            set("hash", &hash)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_single_changed_field_is_found(index in 0..30_i64, change in change()) {
        let (_folder, path) = copy(30);
        let connection = Connection::open(&path).unwrap();
        // Without the engine's own checks a tamperer has a freer hand.
        let changed = apply(&connection, index, &change);
        drop(connection);
        prop_assume!(changed);
        let found = broken(&path);
        let first = if let Change::Index(to) = change { index.min(to.max(0)) } else { index };
        prop_assert_eq!(found.index, first.unsigned_abs(), "{}", found);
    }

    #[test]
    fn a_bit_flipped_anywhere_in_the_file_is_found_or_changes_no_record(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (_folder, path) = copy(30);
        let good = all(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        std::fs::write(&path, bytes).unwrap();
        if let Ok(reader) = AuditReader::open_read_only(&path)
            && reader.verify(&mut |_| ()).is_ok()
        {
            prop_assert_eq!(reader.follow(&AuditFilter::any(u32::MAX), None).unwrap(), good);
        }
    }
}
