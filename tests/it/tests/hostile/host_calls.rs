//! Guests that abuse what the host does for them.

use serde_json::json;

use loong_manifest::Tier;
use loong_runtime::Channel;

use super::harness::{World, check, check_command, guest};

#[test]
fn blocking_host_call() {
    let expected = "deadline: the call did not end within 300 ms";
    let world = World::of(guest("blocking_host_call").official().limit("deadline_ms", 300));
    check(&world, "core:blocking-host-call", "go", json!({}), expected);
    drop(world);
    let world = World::of(guest("blocking_host_call").claims("core").limit("deadline_ms", 300));
    check(&world, "core:blocking-host-call", "go", json!({}), expected);
}

#[test]
fn random_bomb() {
    let world = World::of(guest("random_bomb"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 65536 random_bytes";
    check(&world, "unsigned:random-bomb", "go", json!({}), expected);
}

#[test]
fn log_flood() {
    // 65 lines of 1 KiB are more than the 64 KiB of its tier.
    let world = World::of(guest("log_flood").claims("local").asks("log", json!({})));
    let expected = "limit_exceeded: the plugin exceeded its limit of 65536 log_bytes, 66560 asked";
    check(&world, "local:log-flood", "go", json!({}), expected);
    assert_eq!(world.heard.on(Channel::Log("info")).len() % (64 << 10), 0);
    drop(world);
    let world = World::of(guest("log_flood").signed(Tier::Official).asks("log", json!({})));
    let expected = "limit_exceeded: the plugin exceeded its limit of 1048576 log_bytes, 1049600 asked";
    check(&world, "core:log-flood", "go", json!({}), expected);
}

#[test]
fn stdout_flood() {
    let world = World::of(guest("stdout_flood"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 1048576 output_bytes, 1049600 asked";
    check_command(&world, "unsigned:stdout-flood", &[], expected);
    let recorded = world.calls_of("unsigned:stdout-flood");
    assert!(recorded[0].ended[0].1.output_bytes > 1 << 20, "{recorded:?}");
}

#[test]
fn kv_overflow() {
    let world = World::of(
        guest("passes_log_config_kv")
            .claims("local")
            .asks("kv", json!({}))
            .asks("log", json!({}))
            .asks("config", json!({ "keys": ["a"] })),
    );
    let call = |function: &str, arguments| {
        world.call(&format!("local:passes-log-config-kv.{function}"), arguments).said()
    };
    // A value that is too long, then a space that is full: both are errors that the guest sees.
    let large = vec![0u8; 256 * 1024];
    println!("{}", call("kv-set", json!({ "key": "k", "value": vec![0u8; 256 * 1024 + 1] })));
    for n in 0..3 {
        assert_eq!(call("kv-set", json!({ "key": format!("k{n}"), "value": large })), r#"{"ok":null}"#);
    }
    println!("{}", call("kv-set", json!({ "key": "k3", "value": large })));
    println!("{}", call("kv-set", json!({ "key": "x".repeat(513), "value": [1] })));
    println!("{}", call("kv-set", json!({ "key": "", "value": [1] })));
}

#[test]
fn stream_flood() {
    let world = World::of(guest("passes_stream").official().asks("stream", json!({})));
    let text = "x".repeat(9 << 20);
    let said = |delta: &str| world.call("core:passes-stream.stream-emit", json!({ "delta": delta })).said();
    assert_eq!(said(&text), r#"{"ok":null}"#);
    println!("{}", said(&"x".repeat(17 << 20)));
}
