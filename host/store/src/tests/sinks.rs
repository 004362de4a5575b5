//! How far sinks have come, and what they get next.

use super::*;
use crate::SinkCursor;

#[test]
fn a_cursor_moves_only_from_where_it_was() {
    let (_folder, path) = place();
    let (one, other) = (open(&path), open(&path));
    let plugin = plugin("core:sink-file");
    wait(async {
        let new = one.sink(&plugin).await.unwrap();
        assert!(new.is_new());
        assert_eq!(new, SinkCursor::new(plugin.clone()));
        // Both read the same, and both delivered: only one of them moves the cursor.
        let same = other.sink(&plugin).await.unwrap();
        let first = one.move_sink(SinkCursor { next: 7, ..new }).await.unwrap().unwrap();
        assert_eq!(first.next, 7);
        assert_eq!(other.move_sink(SinkCursor { next: 9, ..same }).await.unwrap(), None);
        // Whoever was late reads again and goes on.
        let again = other.sink(&plugin).await.unwrap();
        assert_eq!(again, first);
        assert!(other.move_sink(SinkCursor { next: 9, ..again }).await.unwrap().is_some());
        assert_eq!(one.move_sink(SinkCursor { next: 8, ..first }).await.unwrap(), None);
    });
    one.close().unwrap();
    other.close().unwrap();
    assert_eq!(reader(&path).sink(&plugin).unwrap().next, 9);
}

#[test]
fn a_cursor_says_what_is_wrong() {
    let (_folder, path) = place();
    let store = open(&path);
    let plugin = plugin("core:sink-http");
    let wrong = SinkCursor {
        next: 3,
        failures: 2,
        retry_ms: 1_700_000_000_000,
        left_out: 1,
        problem: Some("é".repeat(1_000)),
        delivered_ms: Some(5),
        ..SinkCursor::new(plugin.clone())
    };
    let written = wait(store.move_sink(wrong)).unwrap().unwrap();
    store.close().unwrap();
    assert_eq!(written.problem.as_ref().unwrap().chars().count(), 500);
    assert_eq!(reader(&path).sink(&plugin).unwrap(), written);
}

#[test]
fn records_come_as_they_were_hashed_and_within_bounds() {
    let (_folder, path) = place();
    fill(&path, 30);
    let reader = reader(&path);
    assert_eq!(reader.records().unwrap(), 30);
    let raw = reader.raw(0, 100, u64::MAX).unwrap();
    for (raw, record) in raw.iter().zip(all(&path)) {
        assert_eq!((raw.index, raw.time_ms, raw.hash), (record.index, record.time_ms, record.hash));
        assert_eq!(serde_json::from_str::<Event>(&raw.event).unwrap(), record.event);
        assert_eq!((raw.kind.as_str(), raw.run.as_deref()), (record.event.kind().0, record.event.run()));
    }
    let indexes = |from, limit, bytes| -> Vec<u64> {
        reader.raw(from, limit, bytes).unwrap().iter().map(|raw| raw.index).collect()
    };
    assert_eq!(indexes(28, 100, u64::MAX), [28, 29]);
    assert_eq!(indexes(5, 2, u64::MAX), [5, 6]);
    assert_eq!(indexes(30, 100, u64::MAX), [0; 0]);
    // One at least, and no more than there is room for.
    assert_eq!(indexes(4, 100, 0), [4]);
    let two = (raw[4].event.len() + raw[5].event.len()) as u64;
    assert_eq!(indexes(4, 100, two), [4, 5]);
    assert_eq!(indexes(4, 100, two - 1), [4]);
}

#[test]
fn a_database_of_the_format_before_is_brought_up_to_date() {
    let (_folder, path) = place();
    fill(&path, 3);
    let plugin = plugin("core:sink-file");
    let connection = rusqlite::Connection::open(&path).unwrap();
    // Everything that came with this format and later ones.
    let later = "sink approval approval_grant run revocation standing chosen swap running peak"
        .split(' ')
        .map(|table| format!("DROP TABLE {table};"));
    let later: String = later.collect();
    connection.execute_batch(&format!("{later} PRAGMA user_version = 3;")).unwrap();
    drop(connection);
    let store = open(&path);
    wait(store.move_sink(SinkCursor { next: 3, ..SinkCursor::new(plugin.clone()) })).unwrap().unwrap();
    store.close().unwrap();
    assert_eq!(reader(&path).sink(&plugin).unwrap().next, 3);
    assert_eq!(verified(&path), 3);
}
