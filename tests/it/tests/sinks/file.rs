//! `core:sink-file`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use loong_it::sandbox::Sandbox;
use serde_json::Value;

use super::{configure, database, next, place, record, records, start};

fn folder(sandbox: &Sandbox) -> PathBuf {
    sandbox.work().join("log")
}

/// A place whose log goes to files, and is delivered by nobody yet.
fn with_files(settings: &str) -> Sandbox {
    let sandbox = place("sink-file", "");
    let file = fs::read_to_string(sandbox.loong_home().join("config/loong.toml")).unwrap();
    fs::create_dir(folder(&sandbox)).unwrap();
    configure(&sandbox, "");
    fs::write(
        sandbox.work().join("sinks.toml"),
        format!("{file}fail = \"closed\"\nfolder = \"{}\"\n{settings}", folder(&sandbox).display()),
    )
    .unwrap();
    sandbox
}

/// Now it is.
fn begin(sandbox: &Sandbox) {
    configure(sandbox, &fs::read_to_string(sandbox.work().join("sinks.toml")).unwrap());
}

/// Everything in the files, in their order.
fn written(sandbox: &Sandbox) -> Vec<Value> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder(sandbox)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn indexes(sandbox: &Sandbox) -> Vec<u64> {
    written(sandbox).iter().map(|record| record["index"].as_u64().unwrap()).collect()
}

#[test]
fn what_is_written_is_what_was_recorded() {
    let sandbox = with_files("");
    record(&sandbox, 3);
    begin(&sandbox);
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let database = database(&sandbox);
    let mut select =
        database.prepare("SELECT time_ms, event, lower(hex(hash)) FROM audit ORDER BY idx").unwrap();
    let mut rows = select.query([]).unwrap();
    for (at, record) in written(&sandbox).iter().enumerate() {
        let row = rows.next().unwrap().unwrap();
        let event: Value = serde_json::from_str(&row.get::<_, String>(1).unwrap()).unwrap();
        assert_eq!(record["schema"], "loong.audit.record/1");
        assert_eq!(record["index"], at);
        assert_eq!(record["time_ms"], row.get::<_, i64>(0).unwrap());
        assert_eq!(record["event"], event);
        assert_eq!(record["hash"], format!("sha256:{}", row.get::<_, String>(2).unwrap()));
    }
}

#[test]
fn deliveries_come_to_an_end() {
    let sandbox = with_files("");
    record(&sandbox, 1);
    begin(&sandbox);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let before = records(&sandbox);
    for _ in 0..3 {
        assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    }
    assert_eq!(records(&sandbox), before, "a delivery of nothing writes nothing down");
    // Two processes that follow the log do not keep each other going. Each says that it begins, and no more.
    let mut followers = [(); 2].map(|()| start(&sandbox, &["audit", "deliver", "--follow"]));
    std::thread::sleep(Duration::from_secs(3));
    let while_following = records(&sandbox);
    for follower in &mut followers {
        let ended = Command::new("kill").args(["-INT", &follower.id().to_string()]).status().unwrap();
        assert!(ended.success());
        assert!(follower.wait().unwrap().success());
    }
    assert_eq!(while_following, before + 2);
    assert_eq!(records(&sandbox), before + 4, "and that it ended");
}

#[test]
fn a_log_that_is_followed_arrives_without_anybody_asking() {
    let sandbox = with_files("");
    record(&sandbox, 1);
    begin(&sandbox);
    let mut follower = start(&sandbox, &["audit", "deliver", "--follow"]);
    let arrived = |least: u64| {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while written(&sandbox).len() < usize::try_from(least).unwrap() {
            assert!(std::time::Instant::now() < deadline, "{} of {least} arrived", written(&sandbox).len());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    arrived(6);
    // These runs know of no sinks, so it is the follower that delivers what they record.
    configure(&sandbox, "");
    let before = records(&sandbox);
    record(&sandbox, 2);
    arrived(before + 6);
    let ended = Command::new("kill").args(["-INT", &follower.id().to_string()]).status().unwrap();
    assert!(ended.success());
    assert!(follower.wait().unwrap().success());
    let delivered = indexes(&sandbox);
    assert!(delivered.iter().enumerate().all(|(at, index)| at as u64 == *index), "{delivered:?}");
}

#[test]
fn processes_that_deliver_at_once_lose_and_repeat_nothing() {
    let sandbox = with_files("batch_records = 3\n");
    record(&sandbox, 5);
    begin(&sandbox);
    let mut processes = [(); 4].map(|()| start(&sandbox, &["audit", "deliver"]));
    for process in &mut processes {
        assert!(process.wait().unwrap().success());
    }
    let delivered = indexes(&sandbox);
    assert!(delivered.len() >= 30, "{delivered:?}");
    assert!(delivered.iter().enumerate().all(|(at, index)| at as u64 == *index), "{delivered:?}");
    assert_eq!(next(&sandbox), delivered.len() as u64);
}

#[test]
fn what_a_cursor_does_not_know_of_comes_again() {
    let sandbox = with_files("");
    record(&sandbox, 1);
    begin(&sandbox);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let first = indexes(&sandbox);
    // As after a crash between the delivery and the move of the cursor.
    database(&sandbox).execute("UPDATE sink SET next = 2", []).unwrap();
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let all = indexes(&sandbox);
    let again = all.strip_prefix(first.as_slice()).unwrap();
    assert!(again.starts_with(&[2, 3, 4]), "{again:?}");
    assert_eq!(next(&sandbox), again.last().unwrap() + 1);
    // The same records, so whoever reads can tell.
    let written = written(&sandbox);
    assert_eq!(written[2], written[first.len()]);
}

#[test]
fn files_are_rotated_as_the_settings_say() {
    let sandbox = with_files("\n[plugins.\"core:sink-file\"]\nbytes_max = \"4096\"\nfiles_max = \"2\"\n");
    record(&sandbox, 5);
    begin(&sandbox);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let files: Vec<u64> = fs::read_dir(folder(&sandbox))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|size| (1..=4096).contains(size)), "{files:?}");
    assert_eq!(*indexes(&sandbox).last().unwrap() + 1, next(&sandbox));
}

#[test]
fn only_the_kinds_that_are_wanted_arrive() {
    let sandbox = with_files("kinds = [\"decision\", \"run_finished\"]\nbatch_records = 2\n");
    record(&sandbox, 3);
    begin(&sandbox);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let kinds: Vec<Value> = written(&sandbox).iter().map(|record| record["event"]["kind"].clone()).collect();
    assert_eq!(kinds, ["decision", "run_finished"].repeat(3));
    // The rest counts as done with.
    assert!(next(&sandbox) >= 18);
    let before = records(&sandbox);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    assert_eq!(records(&sandbox), before);
}

#[test]
fn the_strict_preset_delivers_to_the_sinks_of_the_settings() {
    let sandbox = with_files("");
    record(&sandbox, 1);
    let settings = fs::read_to_string(sandbox.work().join("sinks.toml")).unwrap();
    configure(&sandbox, &format!("policy = \"strict\"\n{settings}"));
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(indexes(&sandbox).len() as u64, next(&sandbox));
}
