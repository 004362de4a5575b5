//! Guests whose answers are traps, far too large, or no values of their type.

use serde_json::json;

use loong_manifest::Tier;

use super::harness::{World, check, check_command, guest};

#[test]
fn unreachable() {
    let world = World::of(guest("unreachable"));
    check(
        &world,
        "unsigned:unreachable",
        "go",
        json!({}),
        "trap: the plugin ended with a trap: wasm trap: wasm `unreachable` instruction executed",
    );
}

#[track_caller]
fn check_result(world: &World, function: &str, expected: &str) {
    check(world, "unsigned:giant-returns", function, json!({}), expected);
}

#[test]
fn giant_list_return() {
    let world = World::of(guest("giant_returns"));
    let outside = "trap: the plugin ended with a trap: list pointer/length out of bounds of memory";
    check_result(&world, "list", outside);
    check_result(&world, "list-wrapped", outside);
    // 10 million bytes are within its memory, and more than the host copies for it.
    check_result(
        &world,
        "list-large",
        "limit_exceeded: the plugin exceeded its limit of 4194304 host_copy_bytes",
    );
}

#[test]
fn a_result_of_as_many_values_as_the_limits_allow_is_in_time() {
    for (guest, id, length) in [
        (guest("giant_returns").claims("local"), "local", 100_000),
        (guest("giant_returns").signed(Tier::VerifiedCommunity), "acme", 400_000),
    ] {
        let world = World::of(guest.limit("deadline_ms", 300));
        let operation = format!("{id}:giant-returns.list-many");
        let (ended, answers, longest) = world.beside(|| world.call(&operation, json!({ "length": length })));
        println!("{length} values in {:?}; {answers} answers, the slowest {longest:?}", ended.elapsed);
        // Its deadline is what counts, and on a machine with much else to do also that it ends at all.
        assert!(ended.elapsed.as_millis() <= 1_000, "{:?}", ended.elapsed);
        assert_eq!(ended.result.unwrap().as_array().unwrap().len(), length);
    }
}

#[test]
fn giant_string_return() {
    let world = World::of(guest("giant_returns"));
    let outside = "trap: the plugin ended with a trap: string pointer/length out of bounds of memory";
    check_result(&world, "string", outside);
    check_result(&world, "string-wrapped", outside);
    check_result(
        &world,
        "string-large",
        "limit_exceeded: the plugin exceeded its limit of 4194304 host_copy_bytes",
    );
}

#[test]
fn out_of_bounds_result_pointer() {
    let world = World::of(guest("giant_returns"));
    check_result(&world, "outside", "trap: the plugin ended with a trap: pointer out of bounds of memory");
    check_result(&world, "misaligned", "trap: the plugin ended with a trap: return pointer not aligned");
}

#[test]
fn results_that_are_no_values_of_their_type() {
    let world = World::of(guest("giant_returns"));
    check_result(
        &world,
        "string-binary",
        "trap: the plugin ended with a trap: invalid utf-8 sequence of 1 bytes from index 0",
    );
    check_result(
        &world,
        "no-char",
        "trap: the plugin ended with a trap: converted integer out of range for `char`",
    );
    check_result(&world, "no-case", "trap: the plugin ended with a trap: discriminant 9 out of range [0..2)");
}

#[test]
fn exits_with_status() {
    let world = World::of(guest("exits_with_status"));
    check_command(
        &world,
        "unsigned:exits-with-status",
        &["1"],
        "plugin_failed: the plugin failed: it exited with status 1",
    );
    check_command(&world, "unsigned:exits-with-status", &["0"], "null");
}

#[test]
fn exits_early() {
    // Success is no number: whoever asked for a sum gets a fault, by JSON and typed.
    let world = World::new();
    world.load(guest("exits_early").official());
    let expected = "plugin_failed: the plugin failed: it exited with status 0 instead of returning";
    check(&world, "core:exits-early", "add", json!({ "a": 1, "b": 2 }), expected);
}
