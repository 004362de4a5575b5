//! Guests that hold a grant for programs, and want more of it than they were given.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use loong_kernel::{Event, Outcome};
use loong_manifest::{Access, Tier};

use super::harness::{World, check, guest};

/// `passes_process` with a grant for some command lines, in a world of its own.
fn world(commands: Value, deadline_ms: u64) -> World {
    let world = World::new();
    let workspace = world.folder.path().join("workspace");
    fs::create_dir_all(workspace.join("inner")).unwrap();
    fs::write(world.folder.path().join("secret.txt"), "secret").unwrap();
    std::os::unix::fs::symlink("/", workspace.join("link")).unwrap();
    let folders = json!({ "folders": [{ "name": "workspace", "access": "read" }] });
    world.load(
        guest("passes_process")
            .official()
            .asks("process", json!({ "commands": commands }))
            .asks("filesystem", folders)
            .limit("deadline_ms", deadline_ms)
            .folder("workspace", &workspace, Access::Read),
    );
    world
}

pub(super) fn request(command: &str, arguments: &[&str]) -> Value {
    json!({ "command": command, "arguments": arguments, "folder": null, "stdin": null, "output-bytes-max": null, "deadline-ms": null })
}

pub(super) fn run(world: &World, request: &Value) -> String {
    world.call("core:passes-process.process-run", json!({ "request": request })).said()
}

/// Whether a process with this argument runs.
fn running(argument: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
    })
}

/// Waits a little until no process with this argument runs.
#[track_caller]
pub(super) fn check_gone(argument: &str) {
    let begun = Instant::now();
    while running(argument) {
        assert!(begun.elapsed() < Duration::from_millis(500), "`{argument}` still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn sleeps_past_the_deadline() {
    let world = world(json!([{ "command": "sleep", "arguments": ["61.25"] }]), 300);
    let arguments = json!({ "request": request("sleep", &["61.25"]) });
    check(
        &world,
        "core:passes-process",
        "process-run",
        arguments,
        "deadline: the call did not end within 300 ms",
    );
    check_gone("61.25");
}

#[test]
fn a_deadline_that_the_guest_chose_is_an_error_it_sees() {
    let world = world(json!([{ "command": "sleep", "arguments": ["61.5"] }]), 2000);
    let mut request = request("sleep", &["61.5"]);
    request["deadline-ms"] = json!(100);
    assert_eq!(run(&world, &request), r#"{"err":{"deadline":100}}"#);
    check_gone("61.5");
    // One beyond its own does not lengthen it.
    request["deadline-ms"] = json!(60_000);
    let ended = world.call("core:passes-process.process-run", json!({ "request": request }));
    assert!(ended.elapsed < Duration::from_millis(2100), "{ended:?}");
    check_gone("61.5");
}

#[test]
fn floods_output() {
    let world = world(
        json!([{ "command": "head", "arguments": ["-c", "100000000", "/dev/zero"] }, { "command": "yes" }]),
        5000,
    );
    let mut flood = request("head", &["-c", "100000000", "/dev/zero"]);
    flood["output-bytes-max"] = json!(1000);
    let ended = world.call("core:passes-process.process-run", json!({ "request": flood })).result.unwrap();
    assert_eq!(ended["ok"]["stdout-truncated"], true);
    assert_eq!(ended["ok"]["stdout"].as_str().unwrap().len(), 1336, "1000 bytes as base64");
    assert_eq!(ended["ok"]["status"], json!({ "exited": 0 }));
    let mut endless = request("yes", &[]);
    endless["deadline-ms"] = json!(100);
    assert_eq!(run(&world, &endless), r#"{"err":{"deadline":100}}"#);
    // All that it may print is more than the host copies out of it as single values: a fault of its own.
    flood["output-bytes-max"] = json!(null);
    let expected = "limit_exceeded: the plugin exceeded its limit of 67108864 host_copy_bytes";
    assert_eq!(run(&world, &flood), expected);
}

#[test]
fn escapes_folder() {
    let world = world(json!([{ "command": "pwd" }, { "command": "cat", "operands_max": 1 }]), 5000);
    let workspace = world.folder.path().join("workspace");
    let run_in = |folder: &str| {
        let mut request = request("pwd", &[]);
        request["folder"] = json!(folder);
        let ended = world.call("core:passes-process.process-run", json!({ "request": request }));
        match &ended.result {
            Ok(value) if value["ok"].is_object() => text(&value["ok"]["stdout"]).trim().to_owned(),
            _ => ended.said(),
        }
    };
    assert_eq!(run_in("/workspace"), workspace.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(run_in("/workspace/inner"), workspace.canonicalize().unwrap().join("inner").to_str().unwrap());
    for folder in [
        "/workspace/..",
        "/workspace/../..",
        "/workspace/inner/../..",
        "/workspace/link",
        "/",
        "..",
        "workspace",
        "/tmp",
        "",
    ] {
        let said = run_in(folder);
        assert!(said.starts_with(r#"{"err":{"denied":{"code":"capability-denied""#), "{folder} → {said}");
    }
    let refused = world.audit().into_iter().filter(|event| {
        matches!(event, Event::Effect { outcome: Outcome::Deny, capability, .. } if capability == "process")
    });
    assert!(refused.count() >= 9);
}

#[test]
fn ungranted_command() {
    let world = world(
        json!([{ "command": "echo", "arguments": ["hello"], "options": ["-n"], "operands_max": 1 }]),
        5000,
    );
    let denied = |command: &str, arguments: &[&str]| {
        let said = run(&world, &request(command, arguments));
        assert!(
            said.starts_with(r#"{"err":{"denied":{"code":"capability-denied""#),
            "{command} {arguments:?} → {said}"
        );
    };
    denied("sh", &["-c", "id"]);
    denied("echo", &[]);
    denied("echo", &["bye"]);
    denied("echo", &["hello", "-e"]);
    denied("echo", &["hello", "a", "b"]);
    denied("/bin/echo", &["hello"]);
    denied("../bin/echo", &["hello"]);
    denied("echo", &["hello", "a\0b"]);
    denied("", &[]);
    let said = run(&world, &request("echo", &["hello", "-n", "x"]));
    assert!(said.contains(r#""exited":0"#), "{said}");
}

#[test]
fn starts_more_than_it_may() {
    let world = World::new();
    world.load(
        guest("passes_process")
            .official()
            .asks("process", json!({ "commands": [{ "command": "true" }] }))
            .limit("processes_max", 0),
    );
    assert_eq!(
        run(&world, &request("true", &[])),
        r#"{"err":{"limit":{"maximum":0,"name":"processes","used":1}}}"#
    );
}

#[test]
fn a_program_sees_no_environment_but_its_own() {
    let world = world(json!([{ "command": "env", "environment": { "ONLY": "this" } }]), 5000);
    let ended = world.call("core:passes-process.process-run", json!({ "request": request("env", &[]) }));
    let mut lines: Vec<String> =
        text(&ended.result.unwrap()["ok"]["stdout"]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["LANG=C.UTF-8", "ONLY=this", "PATH=/usr/local/bin:/usr/bin:/bin"]);
}

#[test]
fn child_outlives() {
    let scripts = [
        // It keeps the pipes open.
        ("sleep 62.25 &", "62.25"),
        // It lets go of the pipes, so that nothing shows that it is there.
        ("sleep 62.5 >/dev/null 2>&1 </dev/null &", "62.5"),
    ];
    for (script, argument) in scripts {
        let world = world(json!([{ "command": "sh", "arguments": ["-c", script] }]), 400);
        // Both end with the program that started them, and the call with it, long before its deadline.
        let said = run(&world, &request("sh", &["-c", script]));
        assert!(said.starts_with(r#"{"ok":{"status":{"exited":0}"#), "{script} → {said}");
        check_gone(argument);
    }
}

#[test]
fn a_component_of_the_community_gets_no_process() {
    let world = World::new();
    let refused = world
        .try_load(
            guest("passes_process")
                .signed(Tier::VerifiedCommunity)
                .asks("process", json!({ "commands": [{ "command": "true" }] })),
        )
        .unwrap_err();
    assert_eq!(refused.0.as_str(), "tier_too_low");
}

/// Base64 text as it comes out of `list<u8>`.
pub(super) fn text(value: &Value) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = Vec::new();
    for byte in value.as_str().unwrap().bytes().filter(|byte| *byte != b'=') {
        let six = alphabet.iter().position(|letter| *letter == byte).unwrap();
        bits.extend((0..6).rev().map(|bit| six >> bit & 1));
    }
    let bytes = bits
        .chunks_exact(8)
        .map(|bits| u8::try_from(bits.iter().fold(0, |byte, bit| byte << 1 | bit)).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}
