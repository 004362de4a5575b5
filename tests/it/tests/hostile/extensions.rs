//! Policy extensions that fail. What they were to look at is denied, in time, and the log says why.

use std::time::Duration;

use loong_kernel::{Event, Outcome};
use serde_json::json;

use super::harness::{Guest, World, guest};

const ADD: &str = "core:good-adds.add";

/// An extension that does this, whatever it is asked.
fn extension(does: &str) -> Guest {
    guest("contrary_extension")
        .official()
        .asks("filesystem", json!({ "folders": [] }))
        .asks("config", json!({ "keys": ["does"] }))
        .settings(&[("does", does)])
}

/// What a call ends as that such an extension looks at, and what the log has of it.
#[track_caller]
fn check(does: &str, expected: &str, outcome: Outcome) {
    let world = World::new();
    assert_eq!(world.call(ADD, json!({ "a": 1, "b": 2 })).said(), "3", "nobody looks at it yet");
    world.extend(extension(does).limit("deadline_ms", 300).limit("memory_bytes_max", 16 << 20));
    let ended = world.call(ADD, json!({ "a": 1, "b": 2 }));
    assert_eq!(ended.said(), expected);
    assert!(ended.elapsed < Duration::from_millis(400), "{does} took {:?}", ended.elapsed);
    let said = world.audit().into_iter().rev().find_map(|event| match event {
        Event::Decision { outcome, reviews, .. } => Some((outcome, reviews)),
        _ => None,
    });
    let (decided, reviews) = said.unwrap();
    assert_eq!(decided, outcome);
    let reviewers: Vec<String> = reviews.iter().map(|review| review.plugin.to_string()).collect();
    let silent = does == "abstain";
    assert_eq!(reviewers, if silent { vec![] } else { vec!["core:contrary-extension"] }, "{reviews:?}");
    assert!(reviews.iter().all(|review| review.reason.len() < 4096), "{reviews:?}");
}

#[test]
fn one_that_has_nothing_to_say() {
    check("abstain", "3", Outcome::Allow);
}

#[test]
fn one_that_denies() {
    check(
        "deny",
        "extension_denied: denied: `core:contrary-extension` denies it: a test says no",
        Outcome::Deny,
    );
}

#[test]
fn one_that_wants_a_person() {
    check(
        "ask",
        "approval_required: `good:math/api@0.1.0#add` needs the approval of a person: `core:contrary-extension` asks for it: a test wants a person",
        Outcome::NeedsApproval,
    );
}

#[test]
fn one_that_traps() {
    check(
        "trap",
        "extension_failed: denied: `core:contrary-extension` denies it: it failed: the plugin ended with a trap: wasm trap: wasm `unreachable` instruction executed",
        Outcome::Deny,
    );
}

#[test]
fn one_that_never_returns() {
    check(
        "loop",
        "extension_failed: denied: `core:contrary-extension` denies it: it failed: the call did not end within 300 ms",
        Outcome::Deny,
    );
}

#[test]
fn one_that_wants_more_memory_than_there_is() {
    check(
        "grow",
        "extension_failed: denied: `core:contrary-extension` denies it: it failed: the plugin exceeded its limit of 16777216 memory_bytes, 16842752 asked",
        Outcome::Deny,
    );
}

#[test]
fn one_that_says_too_much() {
    let long = "\\u{1b}[2J\\u{202e}".repeat(60);
    let expected = format!("extension_denied: denied: `core:contrary-extension` denies it: {long}");
    check("speak at length", &expected, Outcome::Deny);
}
