//! Searching and following the log.

use loong_kernel::Triage;

use super::*;

/// Of 100 records, those that the filter lets through.
fn check(change: impl FnOnce(&mut AuditFilter), expected: &[u64]) {
    let store = memory((0..100).map(event));
    let mut filter = AuditFilter::any(5);
    change(&mut filter);
    let found: Vec<u64> =
        store.reader().unwrap().recent(&filter).unwrap().iter().map(|record| record.index).collect();
    assert_eq!(found, expected, "{filter:?}");
}

#[test]
fn recent_gives_the_last_ones_and_the_newest_last() {
    check(|_| (), &[95, 96, 97, 98, 99]);
    check(|filter| filter.limit = 0, &[]);
}

#[test]
fn filters_by_each_field() {
    check(|filter| filter.kind = Some("effect".to_owned()), &[77, 82, 87, 92, 97]);
    check(|filter| filter.run = Some("run-3".to_owned()), &[33, 35, 36, 37, 38]);
    check(|filter| filter.plugin = Some("core:git".to_owned()), &[76, 81, 86, 91, 96]);
    check(|filter| filter.outcome = Some(Outcome::Deny), &[56, 66, 76, 86, 96]);
    check(|filter| filter.code = Some(Code::SignatureInvalid), &[79, 84, 89, 94, 99]);
    check(|filter| filter.since_ms = Some(1_700_000_000_098), &[98, 99]);
    check(|filter| filter.until_ms = Some(1_700_000_000_002), &[0, 1, 2]);
    check(
        |filter| (filter.since_ms, filter.until_ms) = (Some(1_700_000_000_050), Some(1_700_000_000_050)),
        &[50],
    );
    check(|filter| filter.since_ms = Some(1_700_000_000_100), &[]);
    check(|filter| filter.index = Some(7), &[7]);
    check(|filter| filter.index = Some(u64::MAX), &[]);
    check(|filter| filter.triage = vec![Triage::PluginTrustBlocked], &[79, 84, 89, 94, 99]);
    check(|filter| filter.agent = Some("person".to_owned()), &[76, 81, 86, 91, 96]);
    check(|filter| filter.tier = Some(Tier::Official), &[76, 81, 86, 91, 96]);
    check(|filter| filter.tier = Some(Tier::Unverified), &[]);
    check(|filter| filter.contains = Some("KEY-4".to_owned()), &[42, 47]);
    check(|filter| filter.contains = Some("%".to_owned()), &[]);
}

#[test]
fn all_conditions_have_to_hold() {
    check(
        |filter| {
            filter.kind = Some("decision".to_owned());
            filter.outcome = Some(Outcome::Allow);
            filter.until_ms = Some(1_700_000_000_029);
        },
        &[1, 11, 21],
    );
    check(
        |filter| {
            filter.kind = Some("effect".to_owned());
            filter.outcome = Some(Outcome::Deny);
        },
        &[],
    );
}

#[test]
fn values_are_never_read_as_sql() {
    check(|filter| filter.run = Some("' OR true --".to_owned()), &[]);
    check(|filter| filter.contains = Some("') OR true --".to_owned()), &[]);
}

#[test]
fn follow_goes_on_after_an_index_while_others_write() {
    let (_folder, path) = place();
    let store = open(&path);
    let reader = reader(&path);
    let filter = AuditFilter::any(10);
    assert_eq!(reader.follow(&filter, None).unwrap(), []);
    let mut cursor = None;
    let mut seen = Vec::new();
    for n in 0..25 {
        wait(store.append(event(n), Durability::Written)).unwrap();
        if n % 12 == 0 {
            let new = reader.follow(&filter, cursor).unwrap();
            cursor = new.last().map(|record| record.index).or(cursor);
            seen.extend(new.into_iter().map(|record| record.index));
        }
    }
    for _ in 0..3 {
        let new = reader.follow(&filter, cursor).unwrap();
        cursor = new.last().map(|record| record.index).or(cursor);
        seen.extend(new.into_iter().map(|record| record.index));
    }
    assert_eq!(seen, (0..25).collect::<Vec<_>>());
    assert_eq!(reader.follow(&filter, Some(u64::MAX)).unwrap(), []);
}

#[test]
fn a_log_verifies_while_it_is_being_written() {
    let (_folder, path) = place();
    let store = open(&path);
    let reader = reader(&path);
    for n in 0..200 {
        store.append_now(event(n)).unwrap();
        if n % 20 == 0 {
            let verified = reader.verify(&mut |_| ()).unwrap();
            assert!(verified.records <= n + 1);
        }
    }
    store.close().unwrap();
    assert_eq!(reader.verify(&mut |_| ()).unwrap().records, 200);
}
