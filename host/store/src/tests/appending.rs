//! Appending: groups, waiting, failing, several writers.

use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use loong_kernel::LedgerError;
use rusqlite::Connection;

use super::*;
use crate::queue::{Append, EVENTS_MAX, Queue, Taken};
use crate::{StoreError, connect, group, record};

#[test]
fn what_was_appended_is_read_back_in_order() {
    let (_folder, path) = place();
    fill(&path, 1000);
    assert_eq!(verified(&path), 1000);
    let records = all(&path);
    for (n, record) in records.iter().enumerate() {
        let n = n as u64;
        assert_eq!((record.index, record.time_ms), (n, 1_700_000_000_000 + n));
        assert_eq!(record.event, event(n));
    }
    assert_eq!(records.len(), 1000);
}

#[test]
fn a_log_that_is_opened_again_goes_on_where_it_ended() {
    let (_folder, path) = place();
    for _ in 0..3 {
        fill(&path, 7);
    }
    assert_eq!(verified(&path), 21);
}

#[test]
fn what_is_queued_is_written_when_the_last_clone_goes() {
    let (_folder, path) = place();
    let store = open(&path);
    let other = store.clone();
    for n in 0..100 {
        store.append_now(event(n)).unwrap();
    }
    drop(store);
    other.append_now(event(100)).unwrap();
    drop(other);
    assert_eq!(verified(&path), 101);
}

#[test]
fn whoever_waited_finds_the_record_written() {
    let (_folder, path) = place();
    let store = open(&path);
    wait(async {
        for (n, durability) in [(0, Durability::Written), (1, Durability::Durable), (2, Durability::Written)]
        {
            // What was queued before is written no later.
            store.append_now(event(n)).unwrap();
            store.append(event(n), durability).await.unwrap();
            assert_eq!(all(&path).len() as u64, 2 * n + 2);
        }
    });
}

#[test]
fn sixty_four_producers_write_one_chain() {
    let (_folder, path) = place();
    let store = open(&path);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let producers: Vec<_> = (0..64)
            .map(|producer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0..8 {
                        let durability =
                            [Durability::Queued, Durability::Written, Durability::Durable][n as usize % 3];
                        store.append(event(producer * 8 + n), durability).await.unwrap();
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.await.unwrap();
        }
    });
    store.close().unwrap();
    assert_eq!(verified(&path), 64 * 8);
    let mut found: Vec<String> = all(&path).iter().map(|record| format!("{:?}", record.event)).collect();
    let mut expected: Vec<String> = (0..64 * 8).map(|n| format!("{:?}", event(n))).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn two_stores_on_one_file_write_one_chain() {
    let (_folder, path) = place();
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = open(&path);
                start.wait();
                wait(async {
                    for n in 0..300 {
                        let waits = if n % 10 == 0 { Durability::Written } else { Durability::Queued };
                        store.append(event(n), waits).await.unwrap();
                    }
                });
                store.close().unwrap();
            });
        }
    });
    assert_eq!(verified(&path), 600);
}

#[test]
fn many_who_create_the_file_at_once_share_it() {
    for _ in 0..10 {
        let (_folder, path) = place();
        let start = Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    fill(&path, 3);
                });
            }
        });
        assert_eq!(verified(&path), 18);
    }
}

#[test]
fn a_clock_that_goes_back_is_written_down_once_and_records_keep_the_later_time() {
    let (_folder, path) = place();
    // A clock that tells these times and then stays.
    let append = |times: &'static [u64]| {
        let next = AtomicU64::new(0);
        let clock = move || times[(next.fetch_add(1, Ordering::Relaxed) as usize).min(times.len() - 1)];
        let store = Store::open(&path, &StoreOptions::default(), Arc::new(clock)).unwrap();
        for n in 0..times.len() as u64 {
            wait(store.append(event(n), Durability::Written)).unwrap();
        }
        store.close().unwrap();
    };
    let times = || -> Vec<(u64, bool)> {
        let back = |record: &Record| matches!(record.event, Event::ClockWentBack { .. });
        all(&path).iter().map(|record| (record.time_ms, back(record))).collect()
    };
    // Less than a second is no more than a correction.
    append(&[200_000, 199_500]);
    assert_eq!(times(), [(200_000, false), (200_000, false)]);
    append(&[100_000]);
    assert_eq!(times()[2..], [(200_000, true), (200_000, false)]);
    let Event::ClockWentBack { before_ms, now_ms } = all(&path)[2].event else { panic!() };
    assert_eq!((before_ms, now_ms), (200_000, 100_000));
    // That it is behind was said; it goes on from there.
    append(&[100_001, 100_002, 201_000]);
    assert_eq!(times()[4..], [(200_000, false), (200_000, false), (201_000, false)]);
    append(&[0]);
    assert_eq!(times()[7..], [(201_000, true), (201_000, false)]);
    append(&[u64::MAX]);
    assert_eq!(times()[9..], [(i64::MAX as u64, false)]);
    append(&[100_000]);
    assert_eq!(times()[10..], [(i64::MAX as u64, true), (i64::MAX as u64, false)]);
    assert_eq!(verified(&path), 12);
}

fn is_unavailable(result: Result<(), LedgerError>) -> bool {
    result.is_err_and(|error| error.code() == Code::AuditUnavailable)
}

#[test]
fn a_full_disk_fails_every_append_until_the_log_is_opened_again() {
    let (_folder, path) = place();
    let options = StoreOptions { audit_bytes_max: Some(192 * 1024), ..StoreOptions::default() };
    let store = Store::open(&path, &options, clock()).unwrap();
    let written = wait(async {
        let mut written = 0;
        loop {
            match store.append(event(written), Durability::Written).await {
                Ok(()) => written += 1,
                Err(error) => {
                    assert_eq!(error.code(), Code::AuditUnavailable);
                    assert!(error.problem.contains("full"), "{error}");
                    break;
                }
            }
            assert!(written < 10_000, "the limit did nothing");
        }
        // The next ones would be small enough; a gap must not be papered over all the same.
        for durability in [Durability::Queued, Durability::Written, Durability::Durable] {
            assert!(is_unavailable(store.append(event(0), durability).await));
        }
        assert!(is_unavailable(store.append_now(event(0))));
        written
    });
    assert!(written > 50, "{written}");
    let closed = store.close();
    assert!(matches!(&closed, Err(StoreError::Incomplete { .. })), "{closed:?}");
    assert_eq!(closed.unwrap_err().code(), Code::AuditUnavailable);

    assert_eq!(verified(&path), written);
    fill(&path, 10);
    assert_eq!(verified(&path), written + 10);
}

fn writer(path: &Path, bytes_max: Option<u64>) -> group::Writer {
    let (connection, path) = connect::to_write(path, bytes_max).unwrap();
    let head = record::tail(&connection).unwrap();
    let queue = Arc::new(Queue::new());
    group::Writer {
        connection,
        path,
        queue,
        head,
        clock: clock(),
        notary: None,
        retention: None,
        flushing: false,
        failed: None,
    }
}

#[test]
fn a_group_is_written_whole_or_not_at_all() {
    let (_folder, path) = place();
    let mut answers = Vec::new();
    let group = (0..1000)
        .map(|n| {
            let (reply, answer) = tokio::sync::oneshot::channel();
            answers.push(answer);
            Append { event: event(n), time_ms: n, durability: Durability::Written, reply: Some(reply) }
        })
        .collect();
    let mut writer = writer(&path, Some(100 * 1024));
    writer.append(group, false);
    for mut answer in answers {
        assert!(answer.try_recv().unwrap().is_err());
    }
    assert!(writer.queue.failure().is_some());
    assert_eq!(verified(&path), 0);
}

#[test]
fn the_disk_is_flushed_for_a_group_in_which_one_asks_for_it() {
    let (_folder, path) = place();
    let mut writer = writer(&path, None);
    let mut flushes = |group: &[Durability]| -> bool {
        let group = group.iter().map(|&durability| Append { durability, ..queued(0) }).collect();
        writer.append(group, false);
        // 1 is NORMAL, 2 is FULL: only the second flushes at a commit.
        let synchronous: u32 =
            writer.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        synchronous == 2
    };
    assert!(!flushes(&[Durability::Queued, Durability::Written]));
    assert!(flushes(&[Durability::Queued, Durability::Durable, Durability::Written]));
    assert!(flushes(&[Durability::Durable]));
    assert!(!flushes(&[Durability::Written]));
    drop(writer);
    assert_eq!(verified(&path), 7);
}

#[test]
fn a_log_that_is_cut_while_it_is_open_is_not_continued() {
    let (_folder, path) = place();
    let store = open(&path);
    wait(async {
        for n in 0..10 {
            store.append(event(n), Durability::Written).await.unwrap();
        }
        let tamperer = Connection::open(&path).unwrap();
        tamperer
            .execute_batch(
                "DELETE FROM audit WHERE idx >= 5;
                 UPDATE head SET records = 5, hash = (SELECT hash FROM audit WHERE idx = 4);",
            )
            .unwrap();
        let error = store.append(event(10), Durability::Written).await.unwrap_err();
        assert!(error.problem.contains("10 records were written, and 5 are there"), "{error}");
    });
}

#[test]
fn a_log_that_was_replaced_while_it_was_open_is_not_continued() {
    let (_folder, path) = place();
    let store = open(&path);
    wait(store.append(event(0), Durability::Written)).unwrap();
    // The same length, and a chain that fits, but another past.
    let tamperer = Connection::open(&path).unwrap();
    tamperer.execute_batch("DELETE FROM audit; UPDATE head SET records = 0, hash = zeroblob(32)").unwrap();
    let other = open(&path);
    wait(other.append(event(7), Durability::Written)).unwrap();
    wait(other.append(event(8), Durability::Written)).unwrap();
    let error = wait(store.append(event(1), Durability::Written)).unwrap_err();
    assert!(error.problem.contains("record 0: it is not the record that the log was left with"), "{error}");
    assert_eq!(verified(&path), 2);
}

#[test]
fn nothing_is_appended_after_closing() {
    let (_folder, path) = place();
    let store = open(&path);
    let other = store.clone();
    store.close().unwrap();
    assert!(is_unavailable(wait(other.append(event(0), Durability::Queued))));
    assert!(is_unavailable(wait(other.append(event(0), Durability::Durable))));
    assert!(is_unavailable(other.append_now(event(0))));
    other.close().unwrap();
    assert_eq!(verified(&path), 0);
}

fn queued(n: u64) -> Append {
    Append { event: event(n), time_ms: n, durability: Durability::Queued, reply: None }
}

fn taken(queue: &Queue) -> usize {
    let Taken::Batch(batch, _) = queue.take(None) else { panic!("nothing waits") };
    batch.events.len()
}

#[test]
fn everything_that_waits_is_taken_at_once() {
    let queue = Queue::new();
    for n in 0..64 {
        queue.push_now(queued(n)).unwrap();
    }
    assert_eq!(taken(&queue), 64);
    queue.push_now(queued(64)).unwrap();
    queue.close();
    assert_eq!(taken(&queue), 1);
    assert!(matches!(queue.take(None), Taken::End));
    let queue = Queue::new();
    assert!(matches!(queue.take(Some(std::time::Instant::now())), Taken::Nothing));
}

#[test]
fn append_waits_for_room_in_a_full_queue() {
    let queue = Queue::new();
    wait(async {
        for n in 0..EVENTS_MAX as u64 {
            queue.admit().await.unwrap();
            queue.push(queued(n)).unwrap();
        }
        let mut waiting = std::pin::pin!(queue.admit());
        let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
        assert!(early.is_err(), "a full queue let one more in");
        assert_eq!(taken(&queue), EVENTS_MAX);
        waiting.await.unwrap();
    });
}

#[test]
fn append_now_has_room_of_its_own_and_ends_the_log_when_it_is_used_up() {
    let queue = Queue::new();
    let room = 2 * EVENTS_MAX as u64;
    for n in 0..room {
        queue.push_now(queued(n)).unwrap();
    }
    let error = queue.push_now(queued(room)).unwrap_err();
    // What came before the lost event is written, what comes after it never is.
    assert_eq!(taken(&queue) as u64, room);
    assert_eq!(queue.push_now(queued(0)).unwrap_err(), error);
    assert_eq!(wait(queue.admit()).unwrap_err(), error);
}

/// Not a test: the process that the next test kills. It appends to `loong.db` in its working folder.
#[test]
#[ignore = "it is started by survives_the_sudden_end_of_the_process"]
fn appends_until_it_is_killed() {
    let store = open(Path::new("loong.db"));
    wait(async {
        for n in 0..20_000 {
            let waits = if n % 3 == 0 { Durability::Written } else { Durability::Queued };
            store.append(event(n), waits).await.unwrap();
            if n % 3 == 0 {
                // As many bytes as records were promised.
                std::fs::write("promised", (n + 1).to_string()).unwrap();
            }
        }
    });
}

#[test]
fn survives_the_sudden_end_of_the_process() {
    let (folder, path) = place();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::appending::appends_until_it_is_killed", "--ignored"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let promised = || std::fs::read_to_string(folder.path().join("promised")).ok()?.parse::<u64>().ok();
    for _ in 0..1000 {
        if promised().is_some_and(|records| records > 50) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    // The file may have been caught while it was being replaced.
    let promised = promised().unwrap_or(50);
    assert!(promised >= 50, "{promised}");
    let found = verified(&path);
    assert!(found >= promised, "{found} of {promised} records survived");
    fill(&path, 5);
    assert_eq!(verified(&path), found + 5);
}
