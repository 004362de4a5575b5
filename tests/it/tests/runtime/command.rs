//! Plain commands that know nothing of Loong.

use loong_manifest::Code;
use loong_runtime::{Arguments, Channel, Stdin};

use crate::hostile::harness::{World, guest};

#[test]
fn gets_arguments_and_standard_input_and_prints() {
    let world = World::of(guest("hello"));
    assert_eq!(world.command("unsigned:hello.run", &["you", "there"], "12345").said(), r#"{"ok":null}"#);
    let printed = world.heard.on(Channel::Stdout);
    assert!(printed.starts_with("hello you there\ninput: 5 bytes\nenvironment: 0 variables\n"), "{printed}");
    assert_eq!(world.heard.on(Channel::Stderr), "that was all\n");
}

#[test]
fn ends_with_its_status() {
    let world = World::of(guest("hello"));
    let said = world.command("unsigned:hello.run", &["--fail"], "").said();
    assert_eq!(said, "plugin_failed: the plugin failed: it exited with status 1");
    assert_eq!(world.command("unsigned:hello.run", &[], "").said(), r#"{"ok":null}"#);
}

#[test]
fn a_panic_is_a_failure() {
    // Its standard input is no text, and it insists on one.
    let world = World::of(guest("hello"));
    let ended = world.ended(
        "unsigned:hello.run",
        Arguments::Command { arguments: vec![], stdin: Stdin::Bytes(vec![0xff]) },
    );
    assert_eq!(ended.result.as_ref().unwrap_err().code(), Code::Trap, "{}", ended.said());
    assert!(world.heard.on(Channel::Stderr).contains("standard input is text"));
}
