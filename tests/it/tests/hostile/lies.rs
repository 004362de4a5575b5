//! Guests that lie about handles and about where they are.

use serde_json::json;

use super::harness::{World, check, guest};

#[test]
fn forged_handles() {
    let world = World::of(guest("forged_handles"));
    let check = |function: &str, expected: &str| {
        // In between is where in the guest it was.
        let said = world.call(&format!("unsigned:forged-handles.{function}"), json!({})).said();
        assert!(said.starts_with("trap: the plugin ended with a trap: "), "{function}: {said}");
        assert!(said.ends_with(expected), "{function}: {said}");
        check(&world, "unsigned:forged-handles", function, json!({}), &said);
    };
    let other = "handle index 1 used with the wrong type, expected guest-defined resource but found a different guest-defined resource";
    check("never-given", "unknown handle index 12345");
    check("huge", "unknown handle index 4294967295");
    check("twice", "unknown handle index 1");
    check("looked-into", "unknown handle index 12345");
    check("other-type", other);
    check("of-host", "unknown handle index 12345");
    check("own-as-host", other);
    check("lent-to-host", "unknown handle index 12345");
}

#[test]
fn enters_itself() {
    let world = World::of(guest("enters_itself"));
    let check = |function: &str, arguments, expected: &str| {
        let expected = format!("trap: the plugin ended with a trap: {expected}");
        check(&world, "unsigned:enters-itself", function, arguments, &expected);
    };
    check("again", json!({}), "wasm trap: cannot enter component instance");
    check("leaves", json!({ "text": "a text" }), "wasm trap: cannot leave component instance");
    check("leaves-late", json!({}), "wasm trap: cannot leave component instance");
}
