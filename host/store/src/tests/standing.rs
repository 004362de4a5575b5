//! Swaps: one version or the other is the chosen one, whatever happens when; and how plugins stand.

use loong_kernel::Standings;
use loong_kernel::breaker::{Change, State};
use loong_manifest::{Digest, PluginId};

use super::{open, place, plugin, wait};
use crate::{Process, Store, SwapError, SwapStep, Version};

fn version(version: &str) -> Version {
    Version { version: version.to_owned(), digest: Digest::of(version.as_bytes()) }
}

fn chosen(store: &Store) -> Option<String> {
    wait(store.chosen()).unwrap().remove("core:text").map(|chosen| chosen.now.version)
}

fn begin(store: &Store, id: &PluginId, before: Option<&str>, after: &str) -> i64 {
    wait(store.begin_swap(id, before.map(|before| version(before).digest), version(after))).unwrap()
}

fn steps(store: &Store) -> Vec<(String, SwapStep)> {
    let swaps = wait(store.swaps(Some(&plugin("core:text")), 10)).unwrap();
    swaps.into_iter().map(|swap| (swap.after.version, swap.step)).collect()
}

#[test]
fn until_the_switch_the_version_before_serves_and_afterwards_the_new_one_does() {
    let (_folder, path) = place();
    let id = plugin("core:text");
    let store = open(&path);
    assert_eq!(chosen(&store), None);
    let number = begin(&store, &id, None, "1");
    assert_eq!(chosen(&store), None);
    wait(store.switch(number, None, 1_000)).unwrap();
    assert_eq!(chosen(&store), Some("1".into()));
    // Cut off before the switch: nothing happened, and the next one says so.
    begin(&store, &id, Some("1"), "2");
    store.close().unwrap();
    let store = open(&path);
    assert_eq!(chosen(&store), Some("1".into()));
    let number = begin(&store, &id, Some("1"), "3");
    assert_eq!(steps(&store)[1], ("2".into(), SwapStep::Interrupted));
    wait(store.refuse_swap(number, "it is no good")).unwrap();
    assert_eq!(wait(store.switch(number, Some(version("1")), 1_000)), Err(SwapError::Overtaken));
    assert_eq!(chosen(&store), Some("1".into()));
    // Cut off after it: the new one is chosen.
    let number = begin(&store, &id, Some("1"), "4");
    wait(store.switch(number, Some(version("1")), 1_000)).unwrap();
    store.close().unwrap();
    let store = open(&path);
    assert_eq!(chosen(&store), Some("4".into()));
    let expected = [
        ("4".into(), SwapStep::Switched),
        ("3".into(), SwapStep::Refused),
        ("2".into(), SwapStep::Interrupted),
        ("1".into(), SwapStep::Switched),
    ];
    assert_eq!(steps(&store), expected);
}

#[test]
fn of_two_swaps_at_once_one_wins() {
    let (_folder, path) = place();
    let id = plugin("core:text");
    let (left, right) = (open(&path), open(&path));
    let number = begin(&left, &id, None, "1");
    wait(left.switch(number, None, 0)).unwrap();
    let (other, id) = (plugin("core:other"), id);
    let (one, two) = (begin(&left, &id, Some("1"), "2"), begin(&right, &other, None, "2"));
    wait(left.switch(one, Some(version("1")), 0)).unwrap();
    wait(right.switch(two, None, 0)).unwrap();
    // Begun when "1" was the chosen one.
    let late = begin(&right, &id, Some("1"), "3");
    assert_eq!(wait(right.switch(late, Some(version("1")), 0)), Err(SwapError::Overtaken));
    assert_eq!(chosen(&right), Some("2".into()));
}

#[test]
fn a_version_that_fails_on_probation_goes_in_the_transaction_that_notes_it() {
    let (_folder, path) = place();
    let id = plugin("core:text");
    let store = open(&path);
    for (before, after) in [(None, "1"), (Some("1"), "2")] {
        let number = begin(&store, &id, before, after);
        wait(store.switch(number, before.map(version), 1_000_000)).unwrap();
    }
    let new = version("2").digest;
    assert_eq!(wait(store.note(&id, &new, None)).unwrap().change, Change::None);
    assert_eq!(wait(store.note(&id, &new, Some("it fell"))).unwrap().back_to, None);
    assert_eq!(wait(store.note(&id, &new, Some("it fell"))).unwrap().back_to, None);
    let noted = wait(store.note(&id, &new, Some("it fell"))).unwrap();
    assert_eq!((noted.change, noted.back_to), (Change::RollBack, Some(version("1").digest)));
    assert_eq!(chosen(&store), Some("1".into()));
    assert_eq!(steps(&store)[0], ("2".into(), SwapStep::RolledBack));
    let all = wait(store.all()).unwrap();
    assert_eq!(all[&new].state(), State::Quarantined);
    // By whoever still takes the one that went for the chosen one, and by whoever does not.
    assert_eq!(wait(store.roll_back(&id, &new, "again")), Err(SwapError::Overtaken));
    let first = version("1").digest;
    assert_eq!(wait(store.roll_back(&id, &first, "again")), Err(SwapError::NothingBefore));
    assert_eq!(wait(store.clear(&id)).unwrap(), 2);
    assert!(wait(store.all()).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_lets_no_call_through() {
    let (_folder, path) = place();
    let store = open(&path);
    let (id, digest) = (plugin("core:text"), Digest::of(b"1"));
    wait(store.note(&id, &digest, Some("it fell"))).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE standing SET breaker = '{\"state\":\"fine\"}'", []).unwrap();
    assert_eq!(wait(store.all()).unwrap()[&digest].state(), State::Quarantined);
}

#[test]
fn runs_under_way_are_known_until_they_end_and_uses_add_up() {
    let (_folder, path) = place();
    let store = open(&path);
    let process = Process { id: 7, start: 9 };
    wait(store.begin_run("r1", process, "run x")).unwrap();
    wait(store.begin_run("r2", process, "run y")).unwrap();
    wait(store.end_runs(vec!["r1".into(), "r0".into()])).unwrap();
    let left = wait(store.running()).unwrap();
    assert_eq!(left.iter().map(|run| (run.run.as_str(), run.process)).collect::<Vec<_>>(), [("r2", process)]);
    let digest = Digest::of(b"1");
    for (fuel, duration_us) in [(3, 10), (2, 20)] {
        let mut peak = loong_kernel::Peak::default();
        peak.add(&loong_kernel::Usage { fuel, duration_us, ..Default::default() }, fuel == 2);
        let operation = "a:b/c@0.1.0#d".parse().unwrap();
        wait(store.add_peaks([(digest, [(operation, peak)].into())].into())).unwrap();
    }
    let peaks = wait(store.peaks(&digest)).unwrap();
    let (operation, peak) = &peaks[0];
    assert_eq!(operation.to_string(), "a:b/c@0.1.0#d");
    assert_eq!((peak.calls, peak.failures, peak.most.fuel, peak.most.duration_us), (2, 1, 3, 20));
}
