//! A machine whose clock is far off.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{Fixture, component, copy};

/// The library that gives a program another time; none where it is not installed. `.ci/run` installs it, and CI sets
/// `LOONG_NEED_FAKETIME` so that nothing is passed over there.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "CI says by its environment that nothing is passed over; where something is, it is said"
)]
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let found =
        folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("LOONG_NEED_FAKETIME").is_none(), "faketime is needed and not installed");
        eprintln!("SKIPPED: faketime is not installed, so no program ran with another clock");
    }
    found
}

#[test]
fn a_clock_at_1970_or_2100_takes_nothing_from_what_is_installed() {
    let Some(library) = library() else { return };
    let fixture = Fixture::new();
    let at = |time: &str, arguments: &[&str]| -> (i32, String) {
        let mut command = fixture.sandbox.command(fixture.sandbox.path("bin/loong"));
        command.env("LD_PRELOAD", &library).env("FAKETIME", format!("@{time}")).args(arguments);
        let ended = fixture.sandbox.run(&mut command);
        (ended.exit, ended.stdout + &ended.stderr)
    };
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    let lock = fixture.lock();
    copy(&fixture.sandbox.work().join("repo"), &fixture.sandbox.work().join("older"));
    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();

    // Everything has expired: nothing is taken from the registry, and what is there is not lost.
    let (exit, said) = at("2100-01-01 00:00:00", &["plugins", "update", "--yes"]);
    assert!(exit == 3 && said.contains("[repository_expired]"), "{exit} {said}");
    assert_eq!(fixture.lock(), lock);
    let (exit, said) = at("2100-01-01 00:00:00", &["plugins", "list"]);
    assert!(exit == 0 && said.contains("refused: "), "whoever signed it is not trusted any more: {said}");
    assert!(fixture.does(&["plugins", "list"]).contains("verified-community"), "with the right clock it is");

    // Nothing has expired yet: what was seen before protects from what is older.
    let (exit, said) = at("1970-01-02 00:00:00", &["plugins", "update", "--yes"]);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"]);
    let lock = fixture.lock();
    fs::rename(fixture.sandbox.work().join("repo"), fixture.sandbox.work().join("newer")).unwrap();
    fs::rename(fixture.sandbox.work().join("older"), fixture.sandbox.work().join("repo")).unwrap();
    let (exit, said) = at("1970-01-02 00:00:00", &["plugins", "update", "--yes"]);
    assert!(exit == 3 && said.contains("[repository_rollback]"), "{exit} {said}");
    assert_eq!(fixture.lock(), lock);
    // The log goes on, and the order of what happened does not come from the clock.
    fixture.does(&["audit", "verify"]);
    fixture.does(&["plugins", "undo", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
}
