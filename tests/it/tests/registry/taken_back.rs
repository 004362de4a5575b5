//! Versions that were taken back: yanked by their publisher, or signed with a key that was revoked.

use std::fs;

use super::*;

fn settings(fixture: &Fixture, taken_back: &str) {
    let path = fixture.sandbox.loong_home().join("config/loong.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("[registries]\ntaken_back = \"{taken_back}\"\n")).unwrap();
}

fn with_one_yanked() -> Fixture {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert!(fixture.does(&["plugins", "refresh"]).contains("nothing that is installed was taken back"));
    fixture.ok(
        true,
        &["registry", "yank", "acme:greet", "1.0.0", "--reason", "greets the wrong", "--repository", "repo"],
    );
    fixture.publish();
    fixture
}

#[test]
fn a_yanked_version_is_flagged_drained_or_removed() {
    let fixture = with_one_yanked();
    let said = fixture.refused(&["plugins", "refresh"], "entry_yanked", 3);
    assert!(said.contains("greets the wrong"), "{said}");
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);

    settings(&fixture, "drain");
    assert!(fixture.does(&["plugins", "refresh"]).contains("drained"));
    assert!(fixture.does(&["plugins", "refresh"]).contains("drained already"));
    assert!(fixture.does(&["plugins", "status"]).contains("quarantined"));
    let events = fixture.does(&["audit", "recent", "--json"]);
    assert_eq!(events.matches("\"reason\": \"was taken back: greets the wrong\"").count(), 1, "{events}");

    settings(&fixture, "remove");
    assert!(fixture.does(&["plugins", "refresh"]).contains("removed"));
    assert!(fixture.installed().is_empty());
    fixture.does(&["plugins", "undo", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);

    settings(&fixture, "sometimes");
    fixture.refused(&["plugins", "refresh"], "config_invalid", 1);
}

#[test]
fn a_component_whose_key_was_revoked_is_taken_back_too() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    let lock: Value = serde_json::from_str(&fixture.lock()).unwrap();
    let key = lock["plugins"]["acme:greet"]["signed_by"].as_str().unwrap().to_owned();
    fixture.does(&["registry", "keys", "revoke", &key, "--reason", "it was stolen", "--yes"]);
    let said = fixture.refused(&["plugins", "refresh"], "entry_yanked", 3);
    assert!(said.contains("signature_key_revoked"), "{said}");
    settings(&fixture, "remove");
    fixture.does(&["plugins", "refresh"]);
    assert!(fixture.installed().is_empty());
}

#[test]
fn an_update_leaves_a_version_that_was_taken_back() {
    let fixture = with_one_yanked();
    fixture.add(&component("acme:greet", "1.0.1", &json!({})));
    fixture.publish();
    let ended = fixture.run(false, &["plugins", "update", "--yes"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("was taken back"), "{}", ended.stderr);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.1"]);
    fixture.does(&["plugins", "refresh"]);
}
