//! Questions about an audit log of a million records, against reading it once: the least that a question
//! costs which no index helps.
//!
//! The log is made by the store's own writer, once, and kept beside the programs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use loong_kernel::{Durability, Event, Ledger as _, Outcome, Usage};
use loong_manifest::{Code, Digest, PluginId, Risk, Tier};
use loong_store::{AuditFilter, AuditReader, GroupBy, Store, StoreOptions};
use rusqlite::Connection;

use crate::bench::{Row, Samples, compare};

/// Records of the log.
const RECORDS: u64 = 1_000_000;
/// Records of one run.
const RUN_RECORDS: u64 = 40;
/// Times that each question is asked, in turns with what it is compared to.
const ROUNDS: usize = 9;
/// Records that are written to say what writing one costs.
const WRITTEN: u64 = 20_000;

/// Makes the log if it is not there yet, and asks.
pub fn measure() -> Vec<Row> {
    let path = file();
    make(&path);
    let reader = AuditReader::open_read_only(&path).unwrap();
    let plain = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = vec![writing()];
    rows.extend(ask(&reader, &plain));
    rows
}

fn file() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("bench-audit.db")
}

fn make(path: &Path) {
    let whole = |path: &Path| {
        AuditReader::open_read_only(path)
            .is_ok_and(|reader| reader.newest().is_ok_and(|newest| newest == Some(RECORDS - 1)))
    };
    if whole(path) {
        return;
    }
    for name in ["", "-wal", "-shm"] {
        let mut file = path.to_owned().into_os_string();
        file.push(name);
        let _ = std::fs::remove_file(file);
    }
    let begun = Instant::now();
    write(path, RECORDS);
    #[expect(clippy::print_stderr, reason = "it takes a while, once")]
    {
        eprintln!("made {} in {:.0?}", path.display(), begun.elapsed());
    }
    assert!(whole(path));
}

fn write(path: &Path, records: u64) {
    let now = AtomicU64::new(1_700_000_000_000);
    // Thirty records a second.
    let clock = Arc::new(move || now.fetch_add(33, Ordering::Relaxed));
    let store = Store::open(path, &StoreOptions::default(), clock).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        for number in 0..records {
            store.append(event(number), Durability::Queued).await.unwrap();
        }
    });
    store.close().unwrap();
}

fn plugin(name: &str) -> PluginId {
    name.parse().unwrap()
}

/// The run of a record, in words of 32 digits as runs are named.
fn run(number: u64) -> String {
    Digest::of(&(number / RUN_RECORDS).to_be_bytes()).to_hex()[..32].to_owned()
}

/// The n-th record of runs of twenty packs that call eight tools, search, are refused now and then, and fail.
fn event(number: u64) -> Event {
    let (run, place) = (run(number), number % RUN_RECORDS);
    let call = format!("{run}.{}", place / 5 + 1);
    let pack = plugin(&format!("team-{}:pack-{}", number / RUN_RECORDS % 5, number / RUN_RECORDS % 20));
    let tool = format!("tool-{}", number / 5 % 8);
    let operation = format!("core:{tool}/{tool}@0.1.0#work");
    let digest = Digest::of(tool.as_bytes());
    let rare = number.is_multiple_of(9_973);
    match place {
        0 => Event::TokenIssued {
            token: run[..16].to_owned(),
            run,
            holder: "person".to_owned(),
            expires_ms: 1,
            generation: 0,
        },
        1 => Event::RunStarted { run, request: format!("run {pack}"), policy: digest },
        2 if rare => Event::PluginRefused {
            run: Some(run),
            plugin: "evil.wasm".to_owned(),
            digest: Some(digest),
            code: Code::SignatureOtherBytes,
            reason: "the signature is for other bytes".to_owned(),
        },
        39 => Event::RunFinished { run, calls: 8, denied: 1, code: None },
        _ if place % 5 == 2 => {
            let denied = number % 50 == 7;
            Event::Decision {
                token: run[..16].to_owned(),
                parent: (place > 5).then(|| format!("{run}.1")),
                run,
                call,
                caller: if place > 5 { pack.to_string() } else { "person".to_owned() },
                caller_digest: None,
                operation,
                plugin: Some(plugin(&format!("core:{tool}"))),
                digest: Some(digest),
                tier: Some(if number.is_multiple_of(7) { Tier::Unverified } else { Tier::Official }),
                risk: Some(Risk::Read),
                outcome: if denied { Outcome::Deny } else { Outcome::Allow },
                code: denied.then_some(Code::PolicyDenied),
                policies: vec!["default.cedar:reads".to_owned()],
                depth: 1,
                pack: Some(pack),
                raised: Vec::new(),
                reviews: Vec::new(),
                approval: None,
                asked: None,
            }
        }
        _ if place % 5 == 3 => Event::CallStarted {
            run,
            call,
            operation: operation.parse().unwrap(),
            plugin: plugin(&format!("core:{tool}")),
            digest,
            arguments: Some(digest),
            arguments_json: None,
        },
        _ if place % 5 == 4 => Event::CallFinished {
            run,
            call,
            operation: operation.parse().unwrap(),
            code: (number % 500 == 4).then_some(Code::Trap),
            usage: Usage {
                duration_us: number % 5_000,
                fuel: number,
                memory_peak_bytes: 1 << 20,
                ..Usage::default()
            },
            arguments: Some(digest),
            result: Some(digest),
            journaled: false,
        },
        _ if place % 5 == 0 => Event::Effect {
            run,
            call,
            plugin: plugin(&format!("core:{tool}")),
            capability: "kv".to_owned(),
            target: format!("key-{number}"),
            outcome: Outcome::Allow,
            code: None,
            reviews: Vec::new(),
            confinement: None,
        },
        _ => Event::SearchEvaluated {
            run,
            call: Some(call),
            caller: pack.to_string(),
            query: format!("tool for {}", number % 101),
            tiers_requested: if number.is_multiple_of(11) {
                vec![Tier::Official, Tier::Unverified]
            } else {
                Vec::new()
            },
            tiers_effective: vec![Tier::Official],
            returned: number % 3,
            filtered: number % 2,
            top: (0..number % 3).map(|tool| format!("core:tool-{tool}/tool-{tool}@0.1.0#work")).collect(),
        },
    }
}

/// Writing a record with its columns, indexes, chain and tree, against inserting its text.
fn writing() -> Row {
    let folder = tempfile::tempdir().unwrap();
    let (mut written, mut inserted) = (Samples::new(), Samples::new());
    for round in 0..3 {
        let begun = Instant::now();
        write(&folder.path().join(format!("{round}.db")), WRITTEN);
        written.add(begun.elapsed());
        let begun = Instant::now();
        let mut plain = Connection::open(folder.path().join(format!("plain-{round}.db"))).unwrap();
        plain.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t (i INTEGER PRIMARY KEY, run TEXT, e TEXT); CREATE INDEX r ON t (run)").unwrap();
        for group in 0..WRITTEN / 1_000 {
            let transaction = plain.transaction().unwrap();
            let mut insert = transaction.prepare("INSERT INTO t (run, e) VALUES (?1, ?2)").unwrap();
            for number in group * 1_000..(group + 1) * 1_000 {
                let event = event(number);
                insert
                    .execute([event.run().unwrap_or_default(), &serde_json::to_string(&event).unwrap()])
                    .unwrap();
            }
            drop(insert);
            transaction.commit().unwrap();
        }
        inserted.add(begun.elapsed());
    }
    compare(
        "",
        "audit writer, 20,000 records, grouped",
        "SQLite insert of run and text, one index, grouped",
        &written,
        &inserted,
        None,
    )
}

type Question<'a> = (&'static str, f64, Box<dyn Fn() -> usize + 'a>);

fn ask(reader: &AuditReader, plain: &Connection) -> Vec<Row> {
    let any = |limit: u32| AuditFilter::any(limit);
    let recent = |filter: AuditFilter| reader.recent(&filter).unwrap().len();
    let groups = |filter: AuditFilter, by: Option<GroupBy>| reader.summary(&filter, by).unwrap().groups.len();
    let searches =
        |filter: AuditFilter, by: Option<GroupBy>| reader.discovery(&filter, by).unwrap().groups.len();
    let named = |text: &str| Some(text.to_owned());
    let middle = run(RECORDS / 2);
    let last_percent = Some(1_700_000_000_000 + RECORDS * 33 / 100 * 99);
    let indexed: Vec<Question<'_>> = vec![
        ("recent", 0.1, Box::new(|| recent(any(50)))),
        (
            "recent, frequent kind",
            0.1,
            Box::new(|| recent(AuditFilter { kind: named("decision"), ..any(50) })),
        ),
        (
            "recent, rare kind",
            0.3,
            Box::new(|| recent(AuditFilter { kind: named("plugin_refused"), ..any(50) })),
        ),
        (
            "recent, agent and denied",
            1.0,
            Box::new(|| {
                recent(AuditFilter { agent: named("team-1:pack-1"), outcome: Some(Outcome::Deny), ..any(50) })
            }),
        ),
        (
            "recent, one run in the middle",
            0.3,
            Box::new(|| recent(AuditFilter { run: Some(middle.clone()), ..any(50) })),
        ),
        ("summary", 3.0, Box::new(|| groups(any(20), None))),
        ("summary by agent", 3.0, Box::new(|| groups(any(20), Some(GroupBy::Agent)))),
        ("summary by pack", 3.0, Box::new(|| groups(any(20), Some(GroupBy::Pack)))),
        ("summary by token, 25,000 groups", 5.0, Box::new(|| groups(any(20), Some(GroupBy::Token)))),
        ("summary by triage label", 3.0, Box::new(|| groups(any(20), Some(GroupBy::Triage)))),
        (
            "summary of the last hundredth",
            3.0,
            Box::new(|| groups(AuditFilter { since_ms: last_percent, ..any(20) }, None)),
        ),
        ("token-trail", 0.3, Box::new(|| reader.token_trail(&middle[..16], 50).unwrap().calls.len())),
        ("show a call", 0.3, Box::new(|| reader.of_call(&format!("{middle}.4"), 50).unwrap().len())),
    ];
    let mut rows = Vec::new();
    for (what, goal, question) in indexed {
        rows.push(turns(what, "count(*) of all records", Some(goal), &*question, &|| {
            count(plain, "SELECT count(*) FROM audit")
        }));
    }
    let each = || {
        let mut bytes = 0;
        reader
            .each(&any(u32::MAX), &mut |_, text| {
                bytes += text.len();
                ControlFlow::Continue(())
            })
            .unwrap();
        bytes
    };
    let reading: Vec<Question<'_>> = vec![
        ("discovery, 175,000 searches", 3.0, Box::new(|| searches(any(20), None))),
        ("discovery by pack", 4.0, Box::new(|| searches(any(20), Some(GroupBy::Pack)))),
        (
            "recent, text that is frequent",
            0.1,
            Box::new(|| recent(AuditFilter { contains: named("trap"), ..any(50) })),
        ),
        (
            "recent, text that is nowhere",
            3.0,
            Box::new(|| 1 + recent(AuditFilter { contains: named("no such text"), ..any(50) })),
        ),
        (
            "recent, such a text, the last hundredth",
            0.1,
            Box::new(|| {
                1 + recent(AuditFilter { contains: named("no such text"), since_ms: last_percent, ..any(50) })
            }),
        ),
        ("export of everything, without writing it", 15.0, Box::new(each)),
    ];
    for (what, goal, question) in reading {
        let limit = || count(plain, "SELECT sum(octet_length(event || '')) FROM audit");
        rows.push(turns(what, "the text of every event read once", Some(goal), &*question, &limit));
    }
    rows
}

fn count(plain: &Connection, sql: &str) -> usize {
    plain.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

fn turns(
    what: &'static str,
    against: &'static str,
    goal: Option<f64>,
    question: &dyn Fn() -> usize,
    limit: &dyn Fn() -> usize,
) -> Row {
    let (mut asked, mut read) = (Samples::new(), Samples::new());
    // The first time both read from the disk.
    for round in 0..=ROUNDS {
        for (samples, ask) in [(&mut asked, question), (&mut read, limit)] {
            let begun = Instant::now();
            assert!(ask() > 0, "{what}: nothing was found");
            if round > 0 {
                samples.add(begun.elapsed());
            }
        }
    }
    compare("", what, against, &asked, &read, goal)
}
