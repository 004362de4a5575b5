//! Verifying takes as much memory for a long log as for a short one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loong_it::sandbox::Sandbox;
use loong_kernel::{Durability, Event, Ledger as _};
use loong_manifest::Digest;
use loong_store::{Store, StoreOptions};

/// Makes a log of so many records, and gives the most memory that verifying it took, in KiB.
fn peak_kib(records: u64) -> u64 {
    let sandbox = Sandbox::new();
    let data = sandbox.loong_home().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let now = AtomicU64::new(1_700_000_000_000);
    let clock = Arc::new(move || now.fetch_add(1, Ordering::Relaxed));
    let store = Store::open(&data.join("loong.db"), &StoreOptions::default(), clock).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for n in 0..records {
            let event = Event::RunStarted {
                run: format!("{n:032x}"),
                request: "tools call".to_owned(),
                policy: Digest::of(b"policy"),
            };
            store.append(event, Durability::Queued).await.unwrap();
        }
    });
    store.close().unwrap();
    let loong = sandbox.path("bin/loong");
    let mut child = sandbox.command(loong).args(["audit", "verify"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        // The high-water mark never falls, so the last look is the peak but for the last moment.
        let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let output = child.wait_with_output().unwrap();
    assert!(status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(&format!("{records} records")));
    peak
}

#[track_caller]
fn check(short: u64, long: u64) {
    let (short, long) = (peak_kib(short), peak_kib(long));
    assert!(short > 1_000, "nothing was measured: {short} KiB");
    assert!(long < short + 6 * 1024, "{short} KiB for the short log, {long} KiB for the long one");
}

#[test]
fn verifying_takes_no_more_memory_for_a_long_log() {
    check(2_000, 30_000);
}

#[test]
#[ignore = "it takes minutes: cargo test --release -p loong-it a_million -- --ignored --nocapture"]
fn verifying_a_million_records_takes_no_more_memory() {
    check(2_000, 1_000_000);
}
