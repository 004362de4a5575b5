//! Versions of a plugin that take each other's places, by hand, by themselves and in runs that are under way; plugins
//! that fail again and again; runs that are cancelled from outside.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use loong_it::fixture::guest;
use loong_it::sandbox::{Ended, Sandbox};
use serde_json::{Value, json};

/// A version of `core:adder`: what its `add` does, and what else is in it.
struct Version {
    version: &'static str,
    /// Instructions that leave the sum of `$a` and `$b`, or what this version takes for it.
    add: &'static str,
    /// More of the core module, such as what runs at its start.
    core: &'static str,
    /// More of the component, after `add` was lifted.
    more: &'static str,
    /// The type of the second operand.
    operand: &'static str,
    interface: &'static str,
    capabilities: Value,
}

/// One that adds.
const GOOD: Version = Version {
    version: "0.1.0",
    add: "(i32.add (local.get $a) (local.get $b))",
    core: "",
    more: "",
    operand: "u32",
    interface: "core:adder/adder@0.1.0",
    capabilities: Value::Null,
};

/// One that takes everything for 1000 more than it is.
fn better() -> Version {
    Version {
        version: "0.2.0",
        add: "(i32.add (i32.const 1000) (i32.add (local.get $a) (local.get $b)))",
        ..GOOD
    }
}

/// One that says of itself that it does not work.
fn unwell() -> Version {
    let core = r#"(memory (export "memory") 1) (data (i32.const 0) "\01\00\00\00\10\00\00\00\09\00\00\00")
        (data (i32.const 16) "no spirit")
        (func (export "health") (result i32) (i32.const 0))"#;
    let more = r#"(func $health (result (result (error string)))
          (canon lift (core func $i "health") (memory (core memory $i "memory"))))
        (instance $lifecycle (export "health" (func $health)))
        (export "loong:plugin/lifecycle@0.1.0" (instance $lifecycle))"#;
    Version { core, more, ..better() }
}

/// Puts a version where installed plugins are.
fn install(sandbox: &Sandbox, version: &Version) {
    let Version { version, add, core, more, operand, interface, capabilities } = version;
    let text = format!(
        r#"(component
          (core module $m {core} (func (export "add") (param $a i32) (param $b i32) (result i32) {add}))
          (core instance $i (instantiate $m))
          (func $add (param "a" u32) (param "b" {operand}) (result u32) (canon lift (core func $i "add")))
          (instance $api (export "add" (func $add)))
          (export "{interface}" (instance $api))
          {more})"#
    );
    put(
        sandbox,
        "core:adder",
        &format!("adder-{version}"),
        version,
        &wat::parse_str(text).unwrap(),
        capabilities,
    );
}

fn put(sandbox: &Sandbox, id: &str, file: &str, version: &str, bytes: &[u8], capabilities: &Value) {
    let contents = loong_inspect::inspect(bytes).unwrap();
    let operations: Vec<Value> = contents
        .operations
        .iter()
        .map(|operation| operation.name.to_string())
        .map(|name| json!({ "name": name, "risk": "read" }))
        .collect();
    let capabilities = if capabilities.is_null() { json!({}) } else { capabilities.clone() };
    let manifest = json!({
        "id": id, "version": version, "kind": "tool", "summary": "Adds.", "capabilities": capabilities,
        "operations": operations,
    });
    let packed = loong_inspect::with_manifest(bytes, manifest.to_string().as_bytes()).unwrap();
    let folder = sandbox.loong_home().join("data/plugins");
    fs::create_dir_all(&folder).unwrap();
    // Made elsewhere and moved, signature first, as whoever installs does: it is there whole or not at all.
    let made = sandbox.work().join(file).with_extension("wasm");
    let made = made.with_file_name(format!("{file}.wasm"));
    fs::write(&made, packed).unwrap();
    let signed = sandbox.shell(&format!("loong plugins sign {}", made.display()));
    assert_eq!(signed.exit, 0, "{}", signed.stderr);
    for name in [format!("{file}.wasm.sigstore.json"), format!("{file}.wasm")] {
        fs::rename(sandbox.work().join(&name), folder.join(&name)).unwrap();
    }
}

/// A pack that adds 1 and 2 until the sum is another than 3, and says what it is.
fn install_waiter(sandbox: &Sandbox) {
    let text = r#"(component
      (import "core:adder/adder@0.1.0" (instance $adder
        (export "add" (func (param "a" u32) (param "b" u32) (result u32)))))
      (core func $add (canon lower (func $adder "add")))
      (core module $m
        (import "adder" "add" (func $add (param i32 i32) (result i32)))
        (func (export "wait") (result i32) (local $sum i32)
          (loop $again
            (local.set $sum (call $add (i32.const 1) (i32.const 2)))
            (br_if $again (i32.eq (local.get $sum) (i32.const 3))))
          (local.get $sum)))
      (core instance $i (instantiate $m (with "adder" (instance (export "add" (func $add))))))
      (func $wait (result u32) (canon lift (core func $i "wait")))
      (instance $api (export "wait" (func $wait)))
      (export "core:waiter/waiter@0.1.0" (instance $api)))"#;
    let operations = json!({ "tools": { "operations": ["core:adder/*"], "reason": "to add" } });
    put(sandbox, "core:waiter", "waiter", "0.1.0", &wat::parse_str(text).unwrap(), &operations);
}

/// A component that doubles with whatever version of the interface.
fn install_doubler(sandbox: &Sandbox, name: &str, interface: &str) {
    let text = format!(
        r#"(component
          (import "{interface}" (instance $adder (export "add" (func (param "a" u32) (param "b" u32) (result u32)))))
          (core func $add (canon lower (func $adder "add")))
          (core module $m
            (import "adder" "add" (func $add (param i32 i32) (result i32)))
            (func (export "double") (param i32) (result i32) (call $add (local.get 0) (local.get 0))))
          (core instance $i (instantiate $m (with "adder" (instance (export "add" (func $add))))))
          (func $double (param "a" u32) (result u32) (canon lift (core func $i "double")))
          (instance $api (export "double" (func $double)))
          (export "core:{name}/api@0.1.0" (instance $api)))"#
    );
    let operations = json!({ "tools": { "operations": ["core:adder/*"], "reason": "to add" } });
    put(sandbox, &format!("core:{name}"), name, "0.1.0", &wat::parse_str(text).unwrap(), &operations);
}

fn add(sandbox: &Sandbox) -> Ended {
    sandbox.shell("loong tools call core:adder.add '{\"a\": 1, \"b\": 2}'")
}

#[track_caller]
fn check_sum(sandbox: &Sandbox, sum: &str) {
    let ended = add(sandbox);
    assert_eq!((ended.exit, ended.stdout.trim()), (0, sum), "{}", ended.stderr);
}

fn loong(sandbox: &Sandbox, line: &str) -> Ended {
    sandbox.shell(&format!("loong {line}"))
}

#[track_caller]
fn check(ended: &Ended, exit: i32, word: &str) {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.exit, exit, "{said}");
    assert!(said.contains(word), "{said}");
}

fn start(sandbox: &Sandbox, line: &str) -> Child {
    let mut command = sandbox.command(sandbox.path("bin/sh"));
    command.args(["-c", &format!("exec loong {line}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the run is under way that this word is of, and says its name.
#[track_caller]
fn under_way(sandbox: &Sandbox, word: &str) -> String {
    let late = Instant::now() + Duration::from_secs(60);
    while Instant::now() < late {
        let ended = loong(sandbox, "sessions list --json");
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        let running = document["running"].as_array().unwrap();
        let found = running.iter().find(|run| run["request"].as_str().unwrap().contains(word));
        // It has begun to call.
        let log = loong(sandbox, "audit recent --kind call_started --limit 1");
        if let (Some(run), true) = (found, !log.stdout.is_empty()) {
            return run["run"].as_str().unwrap().to_owned();
        }
    }
    panic!("no run of `{word}` is under way");
}

#[test]
fn a_version_takes_the_place_of_another_and_goes_again() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    check_sum(&sandbox, "3");
    install(&sandbox, &better());
    check(&add(&sandbox), 1, "choose a version with `loong plugins swap ID VERSION`");
    check(&loong(&sandbox, "plugins swap core:adder 0.1.0"), 0, "core:adder 0.2.0 → 0.1.0");
    check_sum(&sandbox, "3");
    check(&loong(&sandbox, "plugins swap adder 0.2.0"), 0, "core:adder 0.1.0 → 0.2.0");
    check_sum(&sandbox, "1003");
    check(&loong(&sandbox, "plugins status core:adder"), 0, "on probation");
    check(&loong(&sandbox, "plugins swap core:adder 0.2.0"), 0, "is the chosen version already");
    check(&loong(&sandbox, "plugins rollback core:adder --reason 'too much'"), 0, "core:adder 0.2.0 → 0.1.0");
    check_sum(&sandbox, "3");
    check(&loong(&sandbox, "plugins rollback core:adder"), 3, "[swap_refused]");
    check(&loong(&sandbox, "plugins swap core:adder 0.3.0"), 1, "there is no version 0.3.0");
    let status = loong(&sandbox, "plugins status core:adder");
    check(&status, 0, "rolled back");
    assert!(status.stdout.contains("quarantined") && status.stdout.contains("too much"), "{}", status.stdout);
    check(&loong(&sandbox, "audit verify"), 0, "records");
}

#[test]
fn a_version_that_is_no_good_never_serves() {
    let refused = |bad: &Version, exit: i32, word: &str| {
        let sandbox = Sandbox::new();
        install(&sandbox, &GOOD);
        install_waiter(&sandbox);
        install(&sandbox, bad);
        let ended = loong(&sandbox, &format!("plugins swap core:adder {} --yes", bad.version));
        check(&ended, exit, word);
        // It says what to do.
        check(&ended, exit, "hint: ");
        let status = loong(&sandbox, "plugins status core:adder --json");
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["swaps"][0]["step"], "refused", "{status:#}");
        fs::remove_file(sandbox.loong_home().join(format!("data/plugins/adder-{}.wasm", bad.version)))
            .unwrap();
        check_sum(&sandbox, "3");
    };
    refused(&Version { core: "(func $start unreachable) (start $start)", ..better() }, 3, "[health_failed]");
    refused(&unwell(), 3, "no spirit");
    refused(&Version { operand: "s32", ..better() }, 1, "[abi_mismatch]");
    refused(
        &Version { more: r#"(import "core:nothing/nothing@0.1.0" (instance))"#, ..better() },
        1,
        "[import_unknown]",
    );
}

#[test]
fn a_version_that_wants_more_is_looked_at_first() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    let more = Version {
        core: "",
        more: r#"(import "loong:host/log@0.1.0" (instance))"#,
        capabilities: json!({ "log": { "reason": "to say what it adds" } }),
        ..better()
    };
    install(&sandbox, &more);
    let shown = loong(&sandbox, "plugins swap core:adder 0.2.0 --dry-run");
    check(&shown, 0, "nothing was changed");
    assert!(shown.stdout.lines().any(|line| line.starts_with("!  asks for log")), "{}", shown.stdout);
    check(&loong(&sandbox, "plugins swap core:adder 0.2.0"), 5, "[approval_required]");
    check(&loong(&sandbox, "plugins swap core:adder 0.2.0 --yes"), 0, "0.1.0 → 0.2.0");
    check_sum(&sandbox, "1003");
}

#[test]
fn a_version_that_fails_when_it_is_called_goes_by_itself() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    install(&sandbox, &Version { add: "unreachable", ..better() });
    check(&loong(&sandbox, "plugins swap core:adder 0.2.0"), 0, "0.1.0 → 0.2.0");
    for _ in 0..3 {
        check(&add(&sandbox), 4, "[trap]");
    }
    check_sum(&sandbox, "3");
    let status = loong(&sandbox, "plugins status core:adder");
    check(&status, 0, "it was rolled back: the plugin ended with a trap");
    check(&loong(&sandbox, "audit recent --kind plugin_state"), 0, "rolled back");
}

#[test]
fn a_swap_that_is_killed_at_any_point_leaves_one_version_or_the_other() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    install(&sandbox, &better());
    check(&loong(&sandbox, "plugins swap core:adder 0.1.0"), 0, "0.2.0 → 0.1.0");
    let mut sums = std::collections::BTreeSet::new();
    for ms in (0..400).step_by(25) {
        let to = if sums.contains("1003") { "0.1.0" } else { "0.2.0" };
        let mut swap = start(&sandbox, &format!("plugins swap core:adder {to}"));
        std::thread::sleep(Duration::from_millis(ms));
        // It may have ended already.
        let _ = swap.kill();
        swap.wait().unwrap();
        let ended = add(&sandbox);
        assert_eq!(ended.exit, 0, "killed after {ms} ms: {}", ended.stderr);
        assert!(["3", "1003"].contains(&ended.stdout.trim()), "{}", ended.stdout);
        sums.insert(ended.stdout.trim().to_owned());
    }
    check(&loong(&sandbox, "plugins swap core:adder 0.1.0"), 0, "");
    check_sum(&sandbox, "3");
    check(&loong(&sandbox, "audit verify"), 0, "records");
    assert!(sums.contains("3"), "{sums:?}");
}

#[test]
fn a_run_under_way_takes_the_chosen_version_over() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    install_waiter(&sandbox);
    let run = start(&sandbox, "tools call core:waiter.wait");
    under_way(&sandbox, "waiter");
    install(&sandbox, &better());
    // Whether by the command or by itself: official, and it wants no more.
    let swapped = loong(&sandbox, "plugins swap core:adder 0.2.0");
    assert_eq!(swapped.exit, 0, "{}", swapped.stderr);
    let ended = run.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ended.stdout).trim(),
        "1003",
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    check(&loong(&sandbox, "audit recent --kind plugin_swapped"), 0, "core:adder 0.2.0");
    check(&loong(&sandbox, "audit verify"), 0, "records");
}

#[test]
fn a_run_that_cannot_take_a_version_over_leaves_it_to_the_others() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    install_waiter(&sandbox);
    let run = start(&sandbox, "tools call core:waiter.wait");
    let name = under_way(&sandbox, "waiter");
    install(&sandbox, &better());
    // Where the run does not look.
    let new = sandbox.work().join("new");
    fs::create_dir(&new).unwrap();
    for file in ["adder-0.2.0.wasm", "adder-0.2.0.wasm.sigstore.json"] {
        fs::rename(sandbox.loong_home().join("data/plugins").join(file), new.join(file)).unwrap();
    }
    check(&loong(&sandbox, "plugins swap core:adder 0.2.0 --plugins new"), 0, "0.1.0 → 0.2.0");
    std::thread::sleep(Duration::from_secs(1));
    check(&loong(&sandbox, "plugins status core:adder --plugins new"), 0, "on probation");
    check(&loong(&sandbox, &format!("sessions cancel {name}")), 0, "cancelled");
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("0.2.0 was not taken over") && said.contains("[run_cancelled]"), "{said}");
}

#[test]
fn a_newer_version_in_the_folder_is_taken_over_by_itself_when_it_wants_no_more() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    install_waiter(&sandbox);
    let run = start(&sandbox, "tools call core:waiter.wait");
    under_way(&sandbox, "waiter");
    // One that wants more waits for a person.
    let more = Version {
        version: "0.1.5",
        more: r#"(import "loong:host/log@0.1.0" (instance))"#,
        capabilities: json!({ "log": { "reason": "to say what it adds" } }),
        ..better()
    };
    install(&sandbox, &more);
    std::thread::sleep(Duration::from_millis(2_500));
    install(&sandbox, &better());
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), "1003", "{said}");
    assert!(said.contains("`core:adder` 0.1.5 was not taken over by itself"), "{said}");
    check(&loong(&sandbox, "plugins status core:adder"), 0, "switched");
    check_sum(&sandbox, "1003");
}

#[test]
fn versions_with_other_interfaces_are_active_side_by_side() {
    let sandbox = Sandbox::new();
    install(&sandbox, &GOOD);
    install_doubler(&sandbox, "old", "core:adder/adder@0.1.0");
    install_waiter(&sandbox);
    let run = start(&sandbox, "tools call core:waiter.wait");
    under_way(&sandbox, "waiter");
    install(&sandbox, &Version { interface: "core:adder/adder@0.2.0", ..better() });
    install_doubler(&sandbox, "new", "core:adder/adder@0.2.0");
    check(&loong(&sandbox, "plugins swap core:adder 0.2.0"), 0, "core:adder 0.1.0 → 0.2.0");
    for (name, sum) in [("old", "4"), ("new", "1004")] {
        let ended = loong(&sandbox, &format!("tools call core:{name}.double '{{\"a\": 2}}'"));
        assert_eq!((ended.exit, ended.stdout.trim()), (0, sum), "{name}: {}", ended.stderr);
    }
    // The run under way was built for the interface of the version before, and goes on with it.
    let name = under_way(&sandbox, "waiter");
    std::thread::sleep(Duration::from_secs(1));
    check(&loong(&sandbox, "audit recent --kind plugin_swapped"), 0, "core:adder 0.2.0");
    check(&loong(&sandbox, &format!("sessions cancel {name}")), 0, "cancelled");
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("[run_cancelled]"), "{said}");
    check_sum(&sandbox, "1003");
}

#[test]
fn a_plugin_that_fails_again_and_again_is_left_alone_by_every_process() {
    let sandbox = Sandbox::new();
    install(&sandbox, &Version { add: "unreachable", ..GOOD });
    for _ in 0..5 {
        check(&add(&sandbox), 4, "[trap]");
    }
    check(&add(&sandbox), 4, "[circuit_open]");
    check(&loong(&sandbox, "plugins status"), 0, "open");
    check(&loong(&sandbox, "plugins clear core:adder"), 0, "cleared core:adder");
    check(&add(&sandbox), 4, "[trap]");
    check(
        &loong(&sandbox, "plugins quarantine core:adder --reason 'waits for a fix'"),
        0,
        "quarantined core:adder",
    );
    check(&add(&sandbox), 3, "waits for a fix");
    check(&loong(&sandbox, "plugins clear adder"), 0, "cleared core:adder");
    check(&add(&sandbox), 4, "[trap]");
}

#[test]
fn a_run_is_cancelled_from_outside() {
    let sandbox = Sandbox::new();
    guest("tool_loops_forever");
    let begun = Instant::now();
    let run = start(&sandbox, "tools call $GUESTS/tool_loops_forever.wasm go");
    let name = under_way(&sandbox, "tool_loops_forever");
    check(&loong(&sandbox, "sessions cancel 00000000"), 1, "[run_unknown]");
    check(&loong(&sandbox, &format!("sessions cancel {} --reason 'it hangs'", &name[..12])), 0, "cancelled");
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("[run_cancelled]") && said.contains("it hangs"), "{said}");
    // Its deadline is ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    check(&loong(&sandbox, "audit recent --kind call_finished"), 0, "interrupted");
    check(&loong(&sandbox, "audit recent --kind token_revoked"), 0, "it hangs");
    check(&loong(&sandbox, "sessions list"), 0, "no run is under way");
}
