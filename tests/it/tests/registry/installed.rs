//! What is installed: from files that no registry lists, and what is said of it without reading all of it again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{Fixture, component};

/// A signed component in `new.wasm`, and a package of it in `new.tar`, which no registry lists.
fn files(fixture: &Fixture, id: &str, version: &str) {
    let licence = json!({ "tags": ["polite"] });
    fs::write(fixture.sandbox.work().join("new.wasm"), component(id, version, &licence)).unwrap();
    fixture.ok(true, &["plugins", "sign", "new.wasm", "--key", "acme"]);
    fixture.ok(true, &["plugins", "package", "new.wasm", "-o", "new.tar"]);
}

#[test]
fn a_package_and_a_component_are_installed_from_their_files() {
    let fixture = Fixture::new();
    files(&fixture, "acme:greet", "2.0.0");
    let plan = fixture.does(&["plugins", "install", "new.tar", "--dry-run"]);
    assert!(plan.contains("(file)") && plan.contains("acme in main"), "{plan}");
    fixture.refused(&["plugins", "install", "new.tar"], "approval_required", 5);
    fixture.does(&["plugins", "install", "new.tar", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 2.0.0"]);
    let lock = fixture.lock();
    fixture.does(&["plugins", "undo", "--yes"]);
    fixture.does(&["plugins", "install", "./new.wasm", "--yes"]);
    let parts = |lock: &str| -> Value { serde_json::from_str::<Value>(lock).unwrap()["plugins"].clone() };
    assert_eq!(parts(&fixture.lock()), parts(&lock), "the package and the component are the same");
    fixture.refused(&["plugins", "install", "acme:greet@1.0.0", "--yes"], "downgrade_refused", 3);
    // No registry has to go on listing what came from a file.
    files(&fixture, "acme:wave", "1.0.0");
    let said = fixture.run(false, &["plugins", "install", "new.tar", "--yes"]);
    assert!(said.exit == 0 && !said.stderr.contains("warning"), "{}", said.stderr);
    fixture.does(&["plugins", "remove", "acme:wave", "--yes"]);

    // The same version with other bytes in a registry.
    files(&fixture, "acme:greet", "1.0.0");
    fixture.refused(&["plugins", "install", "new.tar", "--yes", "--downgrade"], "entry_differs", 3);
    // Somebody whom nobody vouches for, and somebody who changed it on the way.
    fs::write(fixture.sandbox.work().join("odd.wasm"), component("odd:thing", "1.0.0", &json!({}))).unwrap();
    fixture.refused(&["plugins", "install", "./odd.wasm", "--yes"], "tier_too_low", 3);
    fs::write(fixture.sandbox.work().join("new.wasm"), component("acme:greet", "3.0.0", &json!({}))).unwrap();
    fixture.refused(&["plugins", "install", "./new.wasm", "--yes"], "signature_other_bytes", 3);
    fixture.refused(&["plugins", "install", "no-such.tar", "--yes"], "file_unreadable", 1);
    // A component that says nothing of itself is no broken package.
    fs::write(fixture.sandbox.work().join("bare.wasm"), wat::parse_str("(component)").unwrap()).unwrap();
    fixture.refused(&["plugins", "install", "./bare.wasm", "--yes"], "manifest_missing", 1);
    let added = fixture.run(true, &["registry", "add", "bare.wasm", "--repository", "repo"]);
    assert!(added.stderr.contains("[manifest_missing]"), "{}", added.stderr);
    assert_eq!(fixture.installed(), ["acme:greet 2.0.0"]);

    // No registry is needed for it, and without one nobody vouches for its publisher.
    fixture.does(&["registry", "disconnect", "main", "--yes"]);
    files(&fixture, "acme:greet", "2.1.0");
    fixture.refused(&["plugins", "install", "new.tar", "--yes"], "tier_too_low", 3);
    fixture.does(&["plugins", "install", "new.tar", "--yes", "--allow-unverified"]);
    assert_eq!(fixture.installed(), ["acme:greet 2.1.0"]);
}

fn listed(fixture: &Fixture, arguments: &[&str]) -> Value {
    let said = fixture.does(&[["plugins", "list", "--json"].as_slice(), arguments].concat());
    let document: Value = serde_json::from_str(&said).unwrap();
    document["plugins"][0].clone()
}

#[test]
fn a_list_knows_what_was_verified_until_the_trust_changes() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    let first = listed(&fixture, &[]);
    assert_eq!((&first["tier"], &first["refused"]), (&json!("verified-community"), &Value::Null));
    assert_eq!(listed(&fixture, &[]), first);
    // The file is changed behind its back: a list shows it when it is to read everything, a load always.
    let component = first["path"].as_str().unwrap();
    fs::set_permissions(component, fs::Permissions::from_mode(0o644)).unwrap();
    let bytes = fs::read(component).unwrap();
    fs::write(component, [bytes.as_slice(), b"\0"].concat()).unwrap();
    assert_eq!(listed(&fixture, &[])["tier"], "verified-community");
    let verified = listed(&fixture, &["--verify"]);
    assert_eq!((&verified["tier"], &verified["refused"]["code"]), (&Value::Null, &json!("store_incomplete")));
    assert_eq!(listed(&fixture, &[]), verified, "what was found is kept");
    fs::write(component, bytes).unwrap();
    assert_eq!(listed(&fixture, &["--verify"]), first);
    // The trust changes: everything is verified again without being asked for.
    let keys: Value =
        serde_json::from_str(&fixture.ok(true, &["registry", "keys", "list", "--json"])).unwrap();
    let key = keys["keys"][0]["key_id"].as_str().unwrap();
    fixture.does(&["registry", "keys", "revoke", key, "--reason", "lost", "--yes"]);
    assert_eq!(listed(&fixture, &[])["refused"]["code"], "signature_key_revoked");
}

#[test]
fn a_search_looks_through_what_is_installed_and_by_tier() {
    let fixture = Fixture::new();
    files(&fixture, "acme:wave", "1.0.0");
    fixture.does(&["plugins", "install", "new.tar", "--yes"]);
    let search = |words: &[&str]| -> Value {
        let said = fixture.does(&[["plugins", "search", "--json"].as_slice(), words].concat());
        serde_json::from_str(&said).unwrap()
    };
    let ids = |said: &Value| -> Vec<String> {
        let entries = said["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = search(&["people"]);
    assert_eq!(ids(&all), ["acme:greet", "acme:wave"], "{all}");
    assert_eq!(
        (&all["entries"][1]["entry"], &all["entries"][1]["installed"]),
        (&Value::Null, &json!("1.0.0"))
    );
    assert_eq!(ids(&search(&["polite"])), ["acme:wave"], "its tags are searched too");
    assert_eq!(ids(&search(&["--installed"])), ["acme:wave"]);
    let official = search(&["people", "tier:official"]);
    assert_eq!(official["summary"]["returned"], 0);
    assert_eq!(official["tier_filter"]["left_out"], json!({ "verified-community": 2 }));
    assert_eq!(ids(&search(&["people", "trust:verified-community"])).len(), 2);
    let conflict = search(&["people", "tier:unverified", "--tier", "official"]);
    assert_eq!(conflict["tier_filter"]["conflicting"], true);
    assert_eq!(conflict["summary"]["headline"], "the words and `--tier` have no tier in common");
    fixture.refused(&["plugins", "search", "tier:gold"], "command_line_invalid", 2);
    // Without a registry what is installed is still found, and is what its signers are now.
    fixture.does(&["registry", "disconnect", "main", "--yes"]);
    let said = fixture.run(false, &["plugins", "search", "people"]);
    assert!(said.stdout.contains("acme:wave") && said.stdout.contains("unverified"), "{}", said.stdout);
    assert!(said.stderr.contains("no registry is connected"), "{}", said.stderr);
}
