//! Guests that look for what they were not given.

use std::fs;

use serde_json::json;

use loong_manifest::Access;
use loong_runtime::Channel;

use super::harness::{World, component, guest};

#[test]
fn env_peek() {
    // Nothing was offered: no variables, no folders, no file system at all.
    let world = World::of(guest("filesystem_escape"));
    assert_eq!(world.command("unsigned:filesystem-escape.run", &[], "").said(), r#"{"ok":null}"#);
    let printed = world.heard.on(Channel::Stdout);
    let expected: String = printed
        .lines()
        .map(|line| match line.split_once(' ') {
            Some(("variables", _)) => "variables 0\n".to_owned(),
            Some(("exists", _)) => "exists false\n".to_owned(),
            _ => format!("{} refused\n", line.rsplit_once(' ').unwrap().0),
        })
        .collect();
    assert_eq!(printed, expected);
    assert!(printed.lines().count() > 20);
}

#[test]
fn filesystem_escape() {
    // What says that it only reads cannot write, even where writing is granted.
    for (access, risk) in [(Access::Read, "write"), (Access::Write, "write"), (Access::Write, "read")] {
        let world = World::new();
        let outside = world.folder.path().join("outside");
        let workspace = outside.join("workspace");
        fs::create_dir_all(workspace.join("folder")).unwrap();
        fs::write(outside.join("secret.txt"), "SECRET").unwrap();
        fs::write(workspace.join("inside.txt"), "inside").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, workspace.join(name)).unwrap();
        link("../secret.txt", "link-to-file");
        link(outside.to_str().unwrap(), "link-to-folder");
        link("..", "link-to-parent");
        link("inside.txt", "link-within");
        let scope = json!({ "folders": [{ "name": "workspace", "access": access.as_str() }] });
        world.load(guest("filesystem_escape").official().risk(risk).asks("filesystem", scope).folder(
            "workspace",
            &workspace,
            access,
        ));
        assert_eq!(world.command("core:filesystem-escape.run", &[], "").said(), r#"{"ok":null}"#);
        let printed = world.heard.on(Channel::Stdout);
        assert!(!printed.contains("SECRET") && !printed.contains("root:"), "{printed}");
        let done = if (access, risk) == (Access::Write, "write") { "done" } else { "refused" };
        for line in [
            "variables 0",
            "list /workspace folder inside.txt link-to-file link-to-folder link-to-parent link-within",
            "read /workspace/inside.txt inside",
            "read /workspace/link-within inside",
            "read /workspace/../secret.txt refused",
            "read /workspace/link-to-file refused",
            "read /workspace/link-to-folder/secret.txt refused",
            "read /workspace/link-to-parent/secret.txt refused",
            "read /etc/passwd refused",
            "write outside refused",
            "hard link refused",
            "symbolic link refused",
            "read through it refused",
            "rename outside refused",
            "exists false",
            &format!("write {done}"),
            &format!("remove {done}"),
        ] {
            assert!(printed.lines().any(|printed| printed == line), "no line `{line}` in\n{printed}");
        }
        // Only what is inside the folder was ever changed.
        let mut names: Vec<_> =
            fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["secret.txt", "workspace"]);
        assert_eq!(workspace.join("made.txt").exists(), done == "done");
        assert_eq!(workspace.join("inside.txt").exists(), done == "refused");
    }
}

#[test]
fn sockets_have_no_address_they_may_reach() {
    // A component that was not written for Loong may import them; every address is refused.
    let text = r#"(component
      (import "wasi:sockets/network@0.2.6" (instance $network
        (export "network" (type $network (sub resource)))
        (type $error' (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
          "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
          "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
          "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
          "permanent-resolver-failure"))
        (export "error-code" (type $error (eq $error')))
        (type $family' (enum "ipv4" "ipv6"))
        (export "ip-address-family" (type $family (eq $family')))))
      (alias export $network "error-code" (type $error))
      (alias export $network "ip-address-family" (type $family))
      (import "wasi:sockets/tcp@0.2.6" (instance $tcp (export "tcp-socket" (type (sub resource)))))
      (alias export $tcp "tcp-socket" (type $socket))
      (import "wasi:sockets/tcp-create-socket@0.2.6" (instance $create
        (alias outer 1 $error (type $error'')) (export "error-code" (type $error (eq $error'')))
        (alias outer 1 $family (type $family'')) (export "ip-address-family" (type $family (eq $family'')))
        (alias outer 1 $socket (type $socket'')) (export "tcp-socket" (type $socket (eq $socket'')))
        (export "create-tcp-socket" (func (param "address-family" $family) (result (result (own $socket) (error $error)))))))
      (core module $libc (memory (export "memory") 1))
      (core instance $libc (instantiate $libc))
      (core func $create (canon lower (func $create "create-tcp-socket") (memory (core memory $libc "memory"))))
      (core module $m
        (import "host" "create" (func $create (param i32 i32)))
        (import "host" "memory" (memory 1))
        (func (export "go") (result i32)
          (call $create (i32.const 0) (i32.const 8))
          (i32.add (i32.mul (i32.load8_u (i32.const 8)) (i32.const 256)) (i32.load8_u (i32.const 12)))))
      (core instance $i (instantiate $m (with "host" (instance
        (export "create" (func $create)) (export "memory" (memory $libc "memory"))))))
      (func $go (result u32) (canon lift (core func $i "go")))
      (instance $api (export "go" (func $go)))
      (export "hostile:guest/api@0.1.0" (instance $api)))"#;
    let bytes = wat::parse_str(text).unwrap();
    let world = World::of(component("dials", bytes.clone()));
    let said = world.call("unsigned:dials.go", json!({})).said();
    // `err(access-denied)`.
    assert_eq!(said, "257");
    // With a manifest it asks for what no capability opens.
    let refused = world.try_load(component("dials", bytes).official()).unwrap_err();
    assert_eq!(refused.0.as_str(), "import_unknown");
}

#[test]
fn an_id_that_nobody_vouches_for_takes_nobodys_place() {
    let world = World::new();
    let refused = world.try_load(guest("good_adds").claims("core")).unwrap_err();
    assert_eq!(refused.0.as_str(), "tier_too_low", "{refused:?}");
}
