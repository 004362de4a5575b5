//! What the tests share: a clock, events of every sort, a log to tamper with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loong_kernel::{Durability, Event, Ledger, Outcome, Usage};
use loong_manifest::{Code, Digest, PluginId, Risk, Tier};
use tempfile::TempDir;

use crate::{AuditFilter, AuditReader, Record, Store, StoreOptions};

mod appending;
mod approving;
mod asking;
mod keys;
mod opening;
mod proving;
mod pruning;
mod reading;
mod signing;
mod sinks;
mod standing;
mod tampering;

/// A clock that ticks a millisecond each time somebody looks.
fn clock() -> Arc<dyn Fn() -> u64 + Send + Sync> {
    let now = AtomicU64::new(1_700_000_000_000);
    Arc::new(move || now.fetch_add(1, Ordering::Relaxed))
}

fn open(path: &Path) -> Store {
    Store::open(path, &StoreOptions::default(), clock()).unwrap()
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("loong.db");
    (folder, path)
}

fn plugin(id: &str) -> PluginId {
    id.parse().unwrap()
}

/// The n-th event of a log in which the sorts take turns.
fn event(n: u64) -> Event {
    let run = format!("run-{}", n / 10);
    let call = format!("{run}.{n}");
    match n % 5 {
        0 => Event::RunStarted {
            run,
            request: format!("say \"{n}\"\n\u{1f409}"),
            policy: Digest::of(b"policy"),
        },
        1 => Event::Decision {
            run,
            call,
            parent: None,
            token: "token".to_owned(),
            caller: "person".to_owned(),
            caller_digest: None,
            operation: "core:git/git@0.1.0#log".to_owned(),
            plugin: Some(plugin("core:git")),
            digest: Some(Digest::of(b"git")),
            tier: Some(Tier::Official),
            risk: Some(Risk::Read),
            outcome: if n % 10 == 1 { Outcome::Allow } else { Outcome::Deny },
            code: (n % 10 != 1).then_some(Code::PolicyDenied),
            policies: vec!["one".to_owned(), "two".to_owned()],
            depth: 0,
            pack: None,
            raised: Vec::new(),
            reviews: Vec::new(),
            approval: None,
            asked: None,
        },
        2 => Event::Effect {
            run,
            call,
            plugin: plugin("acme:weather"),
            capability: "kv".to_owned(),
            target: format!("key-{n}"),
            outcome: Outcome::Allow,
            code: None,
            reviews: Vec::new(),
            confinement: None,
        },
        3 => Event::CallFinished {
            run,
            call,
            operation: "core:git/git@0.1.0#log".parse().unwrap(),
            code: None,
            usage: Usage { duration_us: n, fuel: 7, memory_peak_bytes: u64::MAX, ..Usage::default() },
            arguments: None,
            result: None,
            journaled: false,
        },
        _ => Event::PluginRefused {
            run: None,
            plugin: "weather.wasm".to_owned(),
            digest: None,
            code: Code::SignatureInvalid,
            reason: "the signature is not good".to_owned(),
        },
    }
}

/// Runs a future that needs no more than one thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Appends events and closes the store.
fn fill(path: &Path, records: u64) {
    let store = open(path);
    wait(async {
        for n in 0..records {
            store.append(event(n), Durability::Queued).await.unwrap();
        }
    });
    store.close().unwrap();
}

fn reader(path: &Path) -> AuditReader {
    AuditReader::open_read_only(path).unwrap()
}

fn all(path: &Path) -> Vec<Record> {
    reader(path).follow(&AuditFilter::any(u32::MAX), None).unwrap()
}

/// A log in memory with these events.
fn memory(events: impl IntoIterator<Item = Event>) -> Store {
    let store = Store::open_in_memory(&StoreOptions::default(), clock()).unwrap();
    wait(async {
        for event in events {
            store.append(event, Durability::Queued).await.unwrap();
        }
        store.meta_get("log_id").await.unwrap();
    });
    store
}

/// How many records a log has that verifies.
fn verified(path: &Path) -> u64 {
    reader(path).verify(&mut |_| ()).unwrap().records
}
