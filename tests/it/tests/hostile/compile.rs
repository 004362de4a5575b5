//! Components that are hostile to whoever reads or compiles them.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{World, component};

/// `option<option<…>>`, so deep.
fn deep(depth: usize) -> Vec<u8> {
    let mut text = String::from("(component (type $t0 u32)\n");
    for n in 1..=depth {
        writeln!(text, "(type $t{n} (option $t{}))", n - 1).unwrap();
    }
    write!(
        text,
        "(core module $m (memory (export \"memory\") 1) (func (export \"go\") (result i32) i32.const 0))
         (core instance $i (instantiate $m))
         (func $go (result $t{depth}) (canon lift (core func $i \"go\") (memory (core memory $i \"memory\"))))
         (instance $api (export \"go\" (func $go))) (export \"hostile:guest/api@0.1.0\" (instance $api)))"
    )
    .unwrap();
    wat::parse_str(text).unwrap()
}

/// A record of records, each with the one before it twice: few bytes, and exponentially many fields.
fn wide(levels: usize) -> Vec<u8> {
    let mut text = String::from("(component (type $t0 u32)\n");
    for n in 1..=levels {
        writeln!(text, "(type $t{n} (tuple $t{0} $t{0}))", n - 1).unwrap();
    }
    write!(
        text,
        "(core module $m (memory (export \"memory\") 1) (func (export \"go\") (result i32) i32.const 0))
         (core instance $i (instantiate $m))
         (func $go (result $t{levels}) (canon lift (core func $i \"go\") (memory (core memory $i \"memory\"))))
         (instance $api (export \"go\" (func $go))) (export \"hostile:guest/api@0.1.0\" (instance $api)))"
    )
    .unwrap();
    wat::parse_str(text).unwrap()
}

/// Functions of so many operators, which the compiler has to look at one by one.
fn large(functions: usize, operators: usize) -> Vec<u8> {
    let body = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (call_indirect (type $t) (local.get 0) (i32.const 0))))".repeat(operators / 6);
    let functions: String =
        (0..functions).map(|_| format!("(func (type $t) {body} (local.get 0))")).collect();
    let text = format!(
        "(component (core module $m (type $t (func (param i32) (result i32))) (table 1 funcref) {functions} (func (export \"go\")))
         (core instance $i (instantiate $m)) (func $go (canon lift (core func $i \"go\")))
         (instance $api (export \"go\" (func $go))) (export \"hostile:guest/api@0.1.0\" (instance $api)))"
    );
    wat::parse_str(text).unwrap()
}

#[track_caller]
fn check_refused(world: &World, bytes: Vec<u8>, expected: &str) {
    let begun = Instant::now();
    let said = world
        .try_load(component("hostile", bytes))
        .map_or_else(|refused| format!("{}: {}", refused.0, refused.1), |()| "loaded".into());
    println!("{said} after {:?}", begun.elapsed());
    assert!(said.starts_with(expected), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[test]
fn types_of_ten_thousand_levels() {
    let world = World::new();
    check_refused(&world, deep(10_000), "component_invalid");
    check_refused(&world, deep(150), "");
    check_refused(&world, deep(20), "loaded");
}

#[test]
fn types_of_exponential_size() {
    let world = World::new();
    check_refused(&world, wide(40), "component_invalid");
    check_refused(&world, wide(18), "");
    check_refused(&world, wide(4), "loaded");
}

#[test]
fn what_does_not_compile_is_remembered() {
    // Valid but for the body of a function, which only the compiler reads.
    let mut bytes = wat::parse_str(
        "(component (core module $m (func (export \"go\") (result i64) (i64.const 77777777777)))
         (core instance $i (instantiate $m)) (func $go (result u64) (canon lift (core func $i \"go\")))
         (instance $api (export \"go\" (func $go))) (export \"hostile:guest/api@0.1.0\" (instance $api)))",
    )
    .unwrap();
    let constant = bytes.windows(2).position(|bytes| bytes[0] == 0x42 && bytes[1] & 0x80 != 0).unwrap();
    bytes[constant] = 0x6a;
    let folder = tempfile::tempdir().unwrap();
    let open =
        || World::with(&folder.path().join("artifacts"), &folder.path().join("key"), Duration::from_secs(30));
    let world = open();
    let before = world.compiled.load(Ordering::Relaxed);
    let words = |world: &World| {
        let refused = world.try_load(component("broken", bytes.clone())).unwrap_err();
        assert_eq!(refused.0.as_str(), "compile_failed");
        refused.1
    };
    let first = words(&world);
    assert!(first.starts_with("it does not compile: "), "{first}");
    assert_eq!(words(&world), first);
    assert_eq!(world.compiled.load(Ordering::Relaxed), before + 1, "the compiler was started again");
    drop(world);
    // By the next process too.
    let world = open();
    assert_eq!(words(&world), first);
    assert_eq!(world.compiled.load(Ordering::Relaxed), 0);
}

#[test]
fn compile_bomb() {
    // Within the 8 MiB of an unverified component; it compiles for much longer than it may.
    let bytes = large(250, 3000);
    assert!(bytes.len() < 8 << 20);
    let folder = tempfile::tempdir().unwrap();
    let world =
        World::with(&folder.path().join("artifacts"), &folder.path().join("key"), Duration::from_secs(1));
    let begun = Instant::now();
    let (refused, answers, longest) =
        world.beside(|| world.try_load(component("bomb", bytes.clone())).unwrap_err());
    println!("{refused:?} after {:?}; beside it {answers} answers, the slowest {longest:?}", begun.elapsed());
    assert_eq!(refused.0.as_str(), "compile_limit");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(answers > 50, "the neighbour answered {answers} times");
    // It is not tried again for a while, however often it is asked for.
    let started = world.compiled.load(Ordering::Relaxed);
    assert_eq!(world.try_load(component("bomb", bytes)).unwrap_err().0.as_str(), "compile_limit");
    assert_eq!(world.compiled.load(Ordering::Relaxed), started, "the compiler was started again");
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");
}

/// A component in a component, so deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    for _ in 0..depth {
        let mut outer = wasm_encoder::Component::new();
        outer.section(&wasm_encoder::NestedComponentSection(&component));
        component = outer;
    }
    component.finish()
}

#[test]
fn components_in_components() {
    let world = World::new();
    check_refused(&world, nested(10_000), "component_unsupported");
    check_refused(&world, nested(32), "component_unsupported");
    check_refused(&world, nested(16), "loaded");
}

/// What does not compile in a second is refused as such, whatever makes it slow.
#[track_caller]
fn check_limit(name: &str, bytes: Vec<u8>) {
    assert!(bytes.len() < 8 << 20);
    let folder = tempfile::tempdir().unwrap();
    let world =
        World::with(&folder.path().join("artifacts"), &folder.path().join("key"), Duration::from_secs(1));
    let begun = Instant::now();
    let refused = world.try_load(component(name, bytes)).unwrap_err();
    println!("{refused:?} after {:?}", begun.elapsed());
    assert_eq!(refused.0.as_str(), "compile_limit");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");
}

#[test]
fn one_function_of_a_million_operators() {
    check_limit("long", large(1, 1_000_000));
}

/// So many types that differ.
fn types(count: usize) -> Vec<u8> {
    let parameter = |n: usize, bit: usize| if n >> bit & 1 == 0 { " i32" } else { " i64" };
    let types: String = (0..count)
        .map(|n| {
            let parameters: String = (0..20).map(|bit| parameter(n, bit)).collect();
            format!("(type (func (param{parameters})))")
        })
        .collect();
    wat::parse_str(format!("(component (core module {types}))")).unwrap()
}

#[test]
fn more_types_than_anybody_needs() {
    check_limit("types", types(200_000));
}

#[test]
fn an_artifact_that_is_much_larger_than_its_component() {
    // Within the deadline of compiling, which is a minute: what is refused is the size of what came of it.
    let refused = World::new().try_load(component("types", types(20_000))).unwrap_err();
    assert_eq!(refused.0.as_str(), "compile_limit", "{}", refused.1);
}

#[test]
fn larger_than_its_tier_allows() {
    let padding = "x".repeat(9 << 20);
    let bytes = wat::parse_str(format!("(component (@custom \"padding\" \"{padding}\"))")).unwrap();
    let world = World::new();
    check_refused(&world, bytes, "component_too_large");
}

#[test]
fn truncated_or_changed_anywhere() {
    let world = World::new();
    let bytes = deep(3);
    for length in (0..bytes.len()).step_by(7) {
        let refused = world.try_load(component("cut", bytes[..length].to_owned())).unwrap_err();
        assert!(
            ["component_invalid", "component_truncated", "not_wasm"].contains(&refused.0.as_str()),
            "{length}: {refused:?}"
        );
    }
}
