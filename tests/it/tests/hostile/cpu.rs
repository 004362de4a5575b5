//! Guests that never return.

use serde_json::{Value, json};

use loong_manifest::Tier;

use super::harness::{Guest, World, check, guest};

/// Official and with little time: the epochs are the only meter.
fn hurried(name: &str) -> Guest {
    guest(name).official().limit("deadline_ms", 300)
}

const LATE: &str = "deadline: the call did not end within 300 ms";
const FUEL: &str = "limit_exceeded: the plugin exceeded its limit of 1000000000 fuel";

/// Under both meters: the deadline of an official component, and the fuel of an unverified one.
#[track_caller]
fn check_loop(name: &str, arguments: Value) {
    let plain = name.replace('_', "-");
    let world = World::of(hurried(name));
    check(&world, &format!("core:{plain}"), "go", arguments.clone(), LATE);
    drop(world);
    let world = World::of(guest(name));
    check(&world, &format!("unsigned:{plain}"), "go", arguments, FUEL);
}

#[test]
fn tool_loops_forever() {
    check_loop("tool_loops_forever", json!({}));
}

#[test]
fn loops_in_start() {
    check_loop("loops_in_start", json!({}));
}

#[test]
fn loops_in_realloc() {
    check_loop("loops_in_realloc", json!({ "text": "x" }));
}

#[test]
fn loops_in_post_return() {
    check_loop("loops_in_post_return", json!({}));
}

#[test]
fn loops_in_destructor() {
    check_loop("loops_in_destructor", json!({}));
}

#[test]
fn single_instructions_that_take_long_end_at_the_deadline_too() {
    let guest = guest("memory_filled_forever").signed(Tier::VerifiedCommunity).limit("deadline_ms", 300);
    check(&World::of(guest), "acme:memory-filled-forever", "go", json!({}), LATE);
}

#[test]
fn runaways_leave_no_place_in_the_pool_behind() {
    // The pool has 256 places.
    let world = World::of(guest("tool_loops_forever").official().limit("deadline_ms", 5));
    for _ in 0..300 {
        let ended = world.call("core:tool-loops-forever.go", json!({}));
        assert_eq!(ended.said(), "deadline: the call did not end within 5 ms");
    }
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");
}

#[test]
fn many_runaways_share_the_machine_with_a_neighbour() {
    let world = World::of(hurried("tool_loops_forever"));
    let calls = vec![("core:tool-loops-forever.go", json!({})); 16];
    let (ended, answers, longest) = world.beside(|| world.together(calls));
    println!("16 runaways; beside them {answers} answers, the slowest {longest:?}");
    for ended in &ended {
        assert_eq!(ended.said(), LATE);
    }
    // What the log says: before a call is decided, and after it ended, it waits for its turn like all the others.
    for call in world.calls_of("core:tool-loops-forever") {
        let duration_us = call.ended[0].1.duration_us;
        assert!(duration_us <= 400_000, "one ended after {duration_us} µs");
    }
    assert!(answers >= 10, "the neighbour answered {answers} times");
}

#[test]
fn cpu_time_is_bounded_for_a_call_for_a_run_and_over_time() {
    let looping = || guest("tool_loops_forever").official().limit("deadline_ms", 5_000);
    let world = World::of(looping().limit("cpu_ms_max", 200));
    let expected = "limit_exceeded: the plugin exceeded its limit of 200 cpu_ms";
    check(&world, "core:tool-loops-forever", "go", json!({}), expected);
    let usage = world.calls_of("core:tool-loops-forever")[0].ended[0].1;
    assert!((200_000..260_000).contains(&usage.cpu_us), "{usage:?}");
    drop(world);

    let go = |world: &World| world.call("core:tool-loops-forever.go", json!({}));
    let world = World::of(looping().limit("cpu_ms_max", 200).limit("run_cpu_ms_max", 300));
    assert_eq!(go(&world).said(), expected);
    let of_run = "limit_exceeded: the plugin exceeded its limit of 300 run_cpu_ms";
    assert_eq!(go(&world).said(), of_run);
    let ended = go(&world);
    assert_eq!(ended.said(), of_run);
    assert!(ended.elapsed.as_millis() < 50, "it is refused at once: {:?}", ended.elapsed);
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3", "others go on");
    drop(world);

    let world = World::of(looping().limit("cpu_ms_max", 200).limit("minute_cpu_ms_max", 300));
    assert_eq!(go(&world).said(), expected);
    let over_time = "limit_exceeded: the plugin exceeded its limit of 300 minute_cpu_ms";
    assert_eq!(go(&world).said(), over_time);
    // A third of a second gives less than two milliseconds back.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ended = go(&world);
    assert_eq!(ended.said(), over_time);
    assert!(ended.elapsed.as_millis() < 100, "{:?}", ended.elapsed);
}

#[test]
fn a_hundred_that_never_end_leave_the_others_a_thread() {
    let world = World::of(guest("tool_loops_forever").official().limit("deadline_ms", 3_000));
    let calls = vec![("core:tool-loops-forever.go", json!({})); 100];
    let (ended, answers, longest) = world.beside(|| world.together(calls));
    println!("{answers} answers, the slowest {longest:?}");
    for call in &ended {
        assert_eq!(call.said(), "deadline: the call did not end within 3000 ms");
        assert!(call.elapsed.as_millis() < 3_400, "{:?}", call.elapsed);
    }
    // It is asked about every two milliseconds. Where it has to wait for all the others each time, it answers a dozen
    // times.
    assert!(answers > 150, "{answers}");
}
