//! Removing the oldest records by policy, and every other way to remove them.

use loong_kernel::merkle;
use rusqlite::Connection;

use super::signing::{Bench, append};
use super::*;
use crate::{Against, Cut, Retention, VerifyError};

/// Where the log begins, where it ends, and what is signed.
fn bounds(path: &Path, against: &Against) -> (u64, u64, u64) {
    let verified = reader(path).verify_against(against, &mut |_| ()).unwrap();
    (verified.first, verified.records, verified.signed)
}

/// A signed log of 600 records that was cut to `keep`.
fn cut(bench: &Bench, keep: u64) -> (TempDir, PathBuf) {
    let (folder, path) = place();
    bench.fill(&path, 600, None);
    cut_to(bench, &path, keep);
    (folder, path)
}

fn cut_to(bench: &Bench, path: &Path, keep: u64) {
    let store = bench.try_open(path).unwrap();
    let pruned = wait(store.prune(Cut::Keep(keep))).unwrap().unwrap();
    assert_eq!(pruned.root, reader(path).root(pruned.until).unwrap());
    store.close().unwrap();
}

#[test]
fn what_is_left_verifies_and_every_earlier_proof_holds() {
    for keep in [599, 345, 344, 300, 88, 87, 1, 0] {
        let bench = Bench::new();
        let (_folder, path) = place();
        bench.fill(&path, 600, None);
        let leaves: Vec<Digest> = all(&path).iter().map(|record| merkle::leaf(&record.hash)).collect();
        let earlier = bench.against();
        let before = reader(&path).root(600).unwrap();
        cut_to(&bench, &path, keep);
        // The event that says so comes on top.
        assert_eq!(bounds(&path, &bench.against()), (600 - keep, 601, 601), "{keep}");
        assert_eq!(bounds(&path, &earlier), (600 - keep, 601, 601), "{keep}");
        let reader = reader(&path);
        for size in [1, 255, 256, 257, 511, 599, 600] {
            let (root, after) = (reader.root(size).unwrap(), reader.root(601).unwrap());
            assert!(
                merkle::extends(size, 601, &root, &after, &reader.consistency(size, 601).unwrap()),
                "{keep}"
            );
        }
        assert_eq!(reader.root(600).unwrap(), before);
        // Whoever has a record can prove it, although it is not here any more.
        for index in [0, 255, 256, 511, 599] {
            let path = reader.inclusion(index, 600).unwrap();
            assert!(merkle::includes(&leaves[index as usize], index, 600, &path, &before), "{keep}");
        }
        // The log goes on, is cut again, and is opened again.
        bench.fill(&path, 300, None);
        cut_to(&bench, &path, 10);
        bench.fill(&path, 300, None);
        assert_eq!(bounds(&path, &bench.against()), (891, 1202, 1202));
    }
}

#[test]
fn says_what_a_cut_would_remove() {
    let (_folder, path) = place();
    fill(&path, 100);
    let prunable = |cut| reader(&path).prunable(cut).unwrap().map(|pruned| (pruned.from, pruned.until));
    assert_eq!(prunable(Cut::Keep(100)), None);
    assert_eq!(prunable(Cut::Keep(1_000)), None);
    assert_eq!(prunable(Cut::Keep(99)), Some((0, 1)));
    assert_eq!(prunable(Cut::Since(0)), None);
    assert_eq!(prunable(Cut::Since(1_700_000_000_040)), Some((0, 40)));
    assert_eq!(prunable(Cut::Since(u64::MAX)), Some((0, 100)));
    assert_eq!(verified(&path), 100);
}

#[test]
fn retention_removes_what_is_too_old_or_too_much() {
    let bench = Bench::new();
    let (_folder, path) = place();
    let records = |records| Some(Retention { records: Some(records), age_ms: None });
    bench.fill(&path, 600, records(400));
    // A few more than wanted stay, so that not every run removes some.
    assert_eq!(bounds(&path, &bench.against()).0, 0);
    bench.fill(&path, 100, records(400));
    assert_eq!(bounds(&path, &bench.against()), (300, 701, 701));
    let sink = "INSERT INTO sink VALUES ('core:sink-file', 1, 310, 0, 0, 0, NULL, NULL)";
    Connection::open(&path).unwrap().execute_batch(sink).unwrap();
    bench.fill(&path, 300, records(100));
    assert_eq!(bounds(&path, &bench.against()).0, 310, "a sink wants those from 310 on");
    Connection::open(&path).unwrap().execute_batch("DELETE FROM sink").unwrap();
    bench.fill(&path, 0, Some(Retention { records: None, age_ms: Some(1 << 50) }));
    assert_eq!(bounds(&path, &bench.against()).0, 310);
    bench.fill(&path, 10, Some(Retention { records: None, age_ms: Some(0) }));
    assert!(bounds(&path, &bench.against()).0 > 600);
}

/// Does `sql` to a log of 600 records that was cut to the last 300, and expects it to be found.
#[track_caller]
fn check(sql: &str, index: u64, words: &str) {
    let bench = Bench::new();
    let (_folder, path) = cut(&bench, 300);
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    match reader(&path).verify_against(&bench.against(), &mut |_| ()) {
        Err(VerifyError::Broken(broken)) => {
            assert_eq!(broken.index, index, "{broken}");
            assert!(broken.damage.to_string().contains(words), "{broken}");
        }
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn every_other_way_to_remove_records_is_found() {
    check("DELETE FROM audit WHERE idx = 300", 300, "the next one is 301");
    check("DELETE FROM audit WHERE idx < 310", 300, "the next one is 310");
    check("DELETE FROM audit WHERE idx = 600", 600, "601 records were written, and 600 are there");
    check("UPDATE base SET hash = zeroblob(32)", 300, "its hash");
    check("UPDATE base SET peaks = zeroblob(128)", 600, "Merkle tree");
    check(
        "UPDATE tile SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND place = 0",
        0,
        "Merkle tree",
    );
}

/// Moves the beginning of the log on as `prune` does, but says nothing.
fn cut_silently(path: &Path, until: u64) {
    let peaks: Vec<u8> = {
        let connection = Connection::open(path).unwrap();
        let mut nodes = |height: u8, place: u64| crate::tree::node(&connection, height, place);
        merkle::frontier_at(until, &mut nodes).unwrap().to_bytes()
    };
    let connection = Connection::open(path).unwrap();
    crate::tree::keep_leaves(&connection, until).unwrap();
    connection
        .execute(
            "UPDATE base SET records = ?1, hash = (SELECT hash FROM audit WHERE idx = ?1 - 1), peaks = ?2",
            rusqlite::params![until.cast_signed(), peaks],
        )
        .unwrap();
    connection.execute("DELETE FROM audit WHERE idx < ?1", [until.cast_signed()]).unwrap();
}

#[test]
fn a_cut_that_no_signed_record_tells_of_is_found() {
    let bench = Bench::new();
    let (_folder, path) = cut(&bench, 300);
    cut_silently(&path, 400);
    let unrecorded = || match reader(&path).verify_against(&bench.against(), &mut |_| ()) {
        Err(VerifyError::Broken(broken)) => broken.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(unrecorded().contains("record 0: the records before 400 were removed"), "{}", unrecorded());
    // A record that tells of it can be added by anybody, but not signed.
    let root = reader(&path).root(400).unwrap();
    let store = open(&path);
    wait(store.append(Event::AuditPruned { from: 300, until: 400, root }, Durability::Written)).unwrap();
    store.close().unwrap();
    assert!(unrecorded().contains("the records before 400 were removed"), "{}", unrecorded());
    // With the key it is as good as one of Loong's own.
    let store = bench.try_open(&path).unwrap();
    append(&store, 1);
    store.close().unwrap();
    assert_eq!(bounds(&path, &bench.against()).0, 400);
}
