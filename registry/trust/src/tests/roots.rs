//! Trust root documents.

use loong_manifest::Code;
use serde_json::{Value, json};

use super::*;
use crate::{PublicKey, RootKey};

fn document() -> Value {
    serde_json::from_str(&root().revoke(SigningKey::of_seed(9).key_id(), "lost", NOW).unwrap().to_json())
        .unwrap()
}

/// The outcome of reading the document after an edit.
#[track_caller]
fn check(edit: impl FnOnce(&mut Value), expected: &str) {
    let mut document = document();
    edit(&mut document);
    let said = TrustRoot::read(document.to_string().as_bytes()).map(|_| "accepted".to_owned());
    let said = said.unwrap_or_else(|error| {
        assert_eq!(error.code(), Code::RootInvalid);
        error.to_string()
    });
    let said = said.strip_prefix("the trust root is not valid: ").unwrap_or(&said);
    let place = said.find("column ").and_then(|at| said[at..].find(": ").map(|end| at + end + 2));
    assert_eq!(&said[place.unwrap_or(0)..], expected);
}

#[test]
fn reads_what_it_writes() {
    check(|_| {}, "accepted");
    for root in [TrustRoot::empty(), root()] {
        assert_eq!(TrustRoot::read(root.to_json().as_bytes()).unwrap(), root);
    }
    let text = root().to_json();
    assert!(text.contains("\"schema\": \"loong.trust-root/1\""), "{text}");
    assert!(text.contains("\"expires\": \"2026-01-01T00:16:40Z\""), "{text}");
    assert!(text.contains("\"tier\": \"verified-community\""), "{text}");
}

#[test]
fn refuses_what_it_does_not_know() {
    check(|root| root["schema"] = json!("loong.trust-root/2"), "`schema` is not `loong.trust-root/1`");
    check(|root| root["version"] = json!(0), "`version` is 0");
    check(
        |root| root["threshold"] = json!(2),
        "unknown field `threshold`, expected one of `schema`, `version`, `expires`, `keys`, `revoked`, \
         `identities`, `quorums`, `provenance`, `sigstore`",
    );
    check(
        |root| root["keys"][0]["scheme"] = json!("ed25519"),
        "unknown field `scheme`, expected one of `key_id`, `public_key`, `label`, `not_before`, `expires`, \
         `replaces`, `namespaces`",
    );
    check(
        |root| root["keys"][0]["namespaces"][0]["tier"] = json!("root"),
        "unknown variant `root`, expected one of `unverified`, `verified-community`, `official`",
    );
    check(
        |root| root["expires"] = json!("2026-01-01"),
        "not a time: expected `YYYY-MM-DDTHH:MM:SSZ` between 1970 and 9999",
    );
    check(|root| drop(root.as_object_mut().unwrap().remove("expires")), "missing field `expires`");
}

#[test]
fn refuses_a_key_twice_or_under_another_name() {
    let twice = |list: &'static str| {
        move |root: &mut Value| {
            let first = root[list][0].clone();
            root[list].as_array_mut().unwrap().push(first);
        }
    };
    check(twice("keys"), "`keys` has an entry twice");
    check(twice("revoked"), "`revoked` has an entry twice");
    let other = SigningKey::of_seed(2);
    let shown = other.key_id().short();
    let id = json!(other.key_id());
    check(
        |root| root["keys"][0]["key_id"] = id,
        &format!("`key_id` {shown} is not that of its `public_key`"),
    );
    let text = root().to_json();
    let doubled = text.replacen("\"version\": 1,", "\"version\": 1, \"version\": 1,", 1);
    assert_ne!(text, doubled);
    assert_eq!(TrustRoot::read(doubled.as_bytes()).unwrap_err().code(), Code::RootInvalid);
}

#[test]
fn refuses_a_key_that_anybody_could_sign_with() {
    // The neutral point: with it, many signatures verify for every message.
    let weak =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0, 1][..], &[0; 31]].concat();
    let text = crate::base64_text::encode(&weak);
    check(
        |root| root["keys"][0]["public_key"] = json!(text),
        "not a usable ed25519 key: the point is of low order",
    );
    let raw = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    check(
        |root| root["keys"][0]["public_key"] = json!(raw),
        "not a usable ed25519 key: expected the base64 of an ed25519 SubjectPublicKeyInfo",
    );
}

#[test]
fn refuses_namespaces_that_are_not_one_publisher() {
    for publisher in ["*", "", "Acme", "acme:math", "acm*", "unsigned", "а"] {
        check(
            |root| root["keys"][0]["namespaces"][0]["publisher"] = json!(publisher),
            &format!("`{publisher}` is no publisher that a key can sign for"),
        );
    }
    check(
        |root| root["keys"][0]["namespaces"][0]["tier"] = json!("unverified"),
        "publisher `acme` has tier `unverified`, which is what unsigned means",
    );
    check(
        |root| {
            let namespace = json!({ "publisher": "acme", "tier": "official" });
            root["keys"][0]["namespaces"].as_array_mut().unwrap().push(namespace);
        },
        "`namespaces` has an entry twice",
    );
}

#[test]
fn refuses_texts_that_could_mislead() {
    for label in ["", "a\nb", "a\u{202e}b", &"a".repeat(257)] {
        check(
            |root| root["keys"][0]["label"] = json!(label),
            "a `label` is not a line of 1 to 256 bytes without hidden characters",
        );
    }
    check(
        |root| root["revoked"][0]["reason"] = json!("\u{1b}[2J"),
        "a `reason` is not a line of 1 to 256 bytes without hidden characters",
    );
}

#[test]
fn every_change_makes_the_next_version() {
    let other = SigningKey::of_seed(2);
    let entry = RootKey::new(&other.public(), "other", &["acme"], Tier::Official, None);
    let first = root();
    let second = first.with_key(entry.clone()).unwrap();
    let third = second.revoke(other.key_id(), "lost", NOW).unwrap();
    assert_eq!([first.version(), second.version(), third.version()], [1, 2, 3]);
    assert_eq!(second.key(&other.key_id()), Some(&entry));
    assert_eq!(third.revocation(&other.key_id()).unwrap().since.to_string(), "2026-01-01T00:00:00Z");

    assert!(second.with_key(entry.clone()).is_err(), "the same key twice");
    assert!(third.revoke(other.key_id(), "again", NOW).is_err(), "revoked twice");
    let revoked = first.revoke(other.key_id(), "lost", NOW).unwrap();
    assert!(revoked.with_key(entry).is_err(), "a revoked key comes back");
    let mut last: Value = serde_json::from_str(&first.to_json()).unwrap();
    last["version"] = json!(u64::MAX);
    let last = TrustRoot::read(last.to_string().as_bytes()).unwrap();
    assert!(last.revoke(other.key_id(), "lost", NOW).is_err(), "no version after the last");
}

#[test]
fn the_json_schema_knows_the_members() {
    let schema = serde_json::to_value(schemars::schema_for!(TrustRoot)).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    let properties: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    for name in ["schema", "version", "expires", "keys", "revoked"] {
        assert!(properties.iter().any(|property| *property == name), "{name}");
    }
}

#[test]
fn a_public_key_has_one_text() {
    let key = key().public();
    assert_eq!(key.to_base64().parse::<PublicKey>().unwrap(), key);
}

#[test]
fn the_example_of_the_readme_is_a_root() {
    let readme = include_str!("../../../trust-root/README.md");
    let example = readme.split("```").find_map(|block| block.strip_prefix("json")).unwrap();
    let root = TrustRoot::read(example.as_bytes()).unwrap();
    assert_eq!((root.version(), root.keys().len()), (1, 1));
}

#[test]
fn what_it_says_changes_when_something_begins_or_ends() {
    let at = UtcTime::from_unix_s;
    assert_eq!(TrustRoot::empty().changes_after(at(NOW)), UtcTime::MAX);
    let key = |seed: u8, from: Option<u64>, to: Option<u64>| RootKey {
        not_before: from.map(at),
        ..RootKey::new(&SigningKey::of_seed(seed).public(), "x", &["acme"], Tier::Official, to.map(at))
    };
    let root = TrustRoot::empty()
        .with_key(key(1, Some(NOW + 5), Some(NOW + 9)))
        .and_then(|root| root.with_key(key(2, None, Some(NOW + 7))))
        .unwrap();
    for (now, next) in [(NOW, NOW + 5), (NOW + 5, NOW + 7), (NOW + 8, NOW + 9)] {
        assert_eq!(root.changes_after(at(now)), at(next));
    }
    assert_eq!(root.changes_after(at(NOW + 9)), UtcTime::MAX);
}
