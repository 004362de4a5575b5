//! Guests that want more memory, tables, stack, instances or handles than there is for them.

use serde_json::json;

use loong_manifest::Tier;

use super::harness::{World, check, component, guest};

#[test]
fn memory_bomb_one() {
    let world = World::of(guest("memory_bomb_one"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 67108864 memory_bytes, 67174400 asked";
    check(&world, "unsigned:memory-bomb-one", "go", json!({}), expected);
}

#[test]
fn memory_bomb_forty() {
    // 64 MiB hold 32 of its memories of 2 MiB.
    let world = World::of(guest("memory_bomb_forty").official().limit("memory_bytes_max", 64 << 20));
    let expected = "limit_exceeded: the plugin exceeded its limit of 67108864 memory_bytes, 69206016 asked";
    check(&world, "core:memory-bomb-forty", "go", json!({}), expected);
}

#[test]
fn memory_bomb_forty_has_too_many_instances_for_an_unverified_component() {
    let world = World::of(guest("memory_bomb_forty"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 32 instances";
    check(&world, "unsigned:memory-bomb-forty", "go", json!({}), expected);
}

#[test]
fn memory_that_its_own_type_forbids_costs_nothing() {
    let world = World::of(guest("memory_grows_past_its_own_maximum"));
    check(&world, "unsigned:memory-grows-past-its-own-maximum", "go", json!({}), "100");
}

#[test]
fn all_guests_together_have_a_budget_and_one_component_has_half_of_it() {
    // 384 MiB each, within their own limit. The 2 GiB of the process hold five, the half of it two.
    let text = "(component
      (core module $m (memory 6144) (func (export \"go\") (loop (br 0))))
      (core instance $i (instantiate $m)) (func $go (canon lift (core func $i \"go\")))
      (instance $api (export \"go\" (func $go))) (export \"hostile:guest/api@0.1.0\" (instance $api)))";
    let bytes = wat::parse_str(text).unwrap();
    let names = ["one", "two", "three"];
    let world = World::new();
    for name in names {
        world.load(component(name, bytes.clone()).official().limit("deadline_ms", 1500));
    }
    let held = |calls: &[&str], expected: usize| {
        let operations: Vec<String> = calls.iter().map(|name| format!("core:{name}.go")).collect();
        let ended = world.together(operations.iter().map(|name| (name.as_str(), json!({}))).collect());
        let said: Vec<String> = ended.iter().map(super::harness::Ended::said).collect();
        let late =
            said.iter().filter(|said| *said == "deadline: the call did not end within 1500 ms").count();
        let over = said.iter().filter(|said| said.starts_with("limit_exceeded: ")).count();
        assert_eq!((late, over), (expected, calls.len() - expected), "{said:?}");
    };
    held(&["one"; 4], 2);
    held(&["one", "one", "two", "two", "three", "three"], 5);
    // All of it is given back.
    held(&["one", "one", "two", "two", "three"], 5);
}

#[test]
fn table_bomb() {
    let world = World::of(guest("table_bomb"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 10000 table_elements, 10001 asked";
    check(&world, "unsigned:table-bomb", "go", json!({}), expected);
}

#[test]
fn deep_recursion() {
    let expected = "limit_exceeded: the plugin exceeded its limit of 524288 stack_bytes";
    let world = World::of(guest("deep_recursion"));
    check(&world, "unsigned:deep-recursion", "go", json!({}), expected);
    drop(world);
    let world = World::of(guest("deep_recursion").official());
    check(&world, "core:deep-recursion", "go", json!({}), expected);
}

#[test]
fn handle_flood() {
    let world = World::of(guest("handle_flood"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 1000 resources";
    check(&world, "unsigned:handle-flood", "go", json!({}), expected);
}

#[test]
fn resource_leak() {
    let world = World::of(guest("resource_leak"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 1000 resources";
    check(&world, "unsigned:resource-leak", "go", json!({}), expected);
}

/// A component of so many core instances.
fn instances(count: usize) -> Vec<u8> {
    let text = format!(
        "(component (core module $m (func (export \"go\"))) {} (core instance $i (instantiate $m))
           (func $go (canon lift (core func $i \"go\"))) (instance $api (export \"go\" (func $go)))
           (export \"hostile:guest/api@0.1.0\" (instance $api)))",
        "(core instance (instantiate $m)) ".repeat(count - 1)
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn too_many_instances() {
    let world = World::of(component("many", instances(33)));
    check(
        &world,
        "unsigned:many",
        "go",
        json!({}),
        "limit_exceeded: the plugin exceeded its limit of 32 instances",
    );
    world.load(component("enough", instances(32)));
    check(&world, "unsigned:enough", "go", json!({}), "null");
    world.load(component("some", instances(129)).signed(Tier::VerifiedCommunity));
    check(
        &world,
        "acme:some",
        "go",
        json!({}),
        "limit_exceeded: the plugin exceeded its limit of 128 instances",
    );
}

#[test]
fn more_instances_than_any_pool_holds_are_refused_at_load() {
    let world = World::new();
    let refused = world.try_load(component("far-too-many", instances(600)).official()).unwrap_err();
    assert_eq!(refused.0.as_str(), "compile_failed", "{refused:?}");
    // One module may have as many memories as the pool has for a component, and no more.
    let memories = |count: usize| {
        let memories = "(memory 1)".repeat(count);
        let text = format!("(component (core module $m {memories}) (core instance (instantiate $m)))");
        component("memories", wat::parse_str(text).unwrap())
    };
    world.load(memories(64));
    let refused = world.try_load(memories(65)).unwrap_err();
    assert_eq!(refused.0.as_str(), "compile_failed", "{refused:?}");
}

#[test]
fn every_sort_of_end_gives_its_places_in_the_pool_back() {
    let world = World::new();
    let guests = ["unreachable", "memory_bomb_forty", "table_bomb", "deep_recursion", "resource_leak"];
    guests.iter().for_each(|name| world.load(guest(name)));
    world.load(guest("memory_bomb_forty").official().limit("memory_bytes_max", 64 << 20));
    let mut operations = vec!["core:memory-bomb-forty.go".to_owned()];
    operations.extend(guests.iter().map(|name| format!("unsigned:{}.go", name.replace('_', "-"))));
    // The pool has 256 places for components, and 1024 for the instances in them.
    for _ in 0..300 {
        for operation in &operations {
            assert!(world.call(operation, json!({})).result.is_err());
        }
    }
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");
}
