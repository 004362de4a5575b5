//! Signed documents, against everything that must not pass for one.

use loong_manifest::{Code, Digest};
use serde_json::json;

use super::*;
use crate::bundle::Bundle;
use crate::{Document, RootKey, sign_document, verify_document};

const BYTES: &[u8] = b"{\"any\": \"document\"}";
const GOOD: &str = "signed by built here";

/// A root in which [`key`] is official for a publisher.
fn official() -> TrustRoot {
    let expires = UtcTime::from_unix_s(NOW + 1000);
    TrustRoot::local(&key().public(), "built here", &["acme"], Tier::Official, expires).unwrap()
}

fn signature() -> Vec<u8> {
    sign_document(&key(), Document::RiskProfile, BYTES).unwrap()
}

#[track_caller]
fn check(bytes: &[u8], bundle: Option<&[u8]>, root: &TrustRoot, now: u64, expected: &str) {
    let said = match verify_document(Document::RiskProfile, bytes, bundle, root, now) {
        Ok(signer) => format!("signed by {}", signer.label),
        Err(error) => format!("{}: {error}", error.code()),
    };
    assert_eq!(said, expected);
}

/// A statement about [`BYTES`], signed as it is given.
fn signed(edit: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "risk-profile", "digest": { "sha256": Digest::of(BYTES).to_hex() } }],
        "predicateType": "urn:loong:risk-profile:v1",
        "predicate": { "size_bytes": BYTES.len() },
    });
    edit(&mut statement);
    Bundle::sign(&key(), statement.to_string().as_bytes()).unwrap()
}

#[test]
fn a_document_is_what_an_official_key_signed() {
    check(BYTES, Some(&signature()), &official(), NOW, GOOD);
    check(BYTES, Some(&signed(|_| ())), &official(), NOW, GOOD);
    let other = b"{\"any\": \"Document\"}";
    let (signed, found) = (Digest::of(BYTES).short(), Digest::of(other).short());
    let expected = format!("signature_other_bytes: the signature is for {signed}, these bytes are {found}");
    check(other, Some(&signature()), &official(), NOW, &expected);
}

#[test]
fn a_document_needs_a_signature_by_a_known_key() {
    check(BYTES, None, &official(), NOW, "unsigned_refused: it has no signature");
    let stranger = SigningKey::of_seed(2);
    let other = sign_document(&stranger, Document::RiskProfile, BYTES).unwrap();
    let unknown = format!(
        "unsigned_refused: the trust root does not name the key `{}` that signed it",
        stranger.key_id()
    );
    check(BYTES, Some(&other), &official(), NOW, &unknown);
    let known = RootKey::new(&stranger.public(), "second", &["acme"], Tier::Official, None);
    check(BYTES, Some(&other), &official().with_key(known).unwrap(), NOW, "signed by second");
    assert!(matches!(
        verify_document(Document::RiskProfile, BYTES, Some(b"{}"), &official(), NOW).unwrap_err().code(),
        Code::SignatureMalformed
    ));
}

#[test]
fn a_key_below_official_signs_components_only() {
    let id = key().key_id().short();
    let expected = format!("signature_namespace: key {id} (`built here`) is not official for any publisher");
    check(BYTES, Some(&signature()), &root(), NOW, &expected);
}

#[test]
fn a_key_that_is_no_longer_good_signs_nothing() {
    let id = key().key_id();
    let revoked = official().revoke(id, "lost", NOW).unwrap();
    let expected =
        format!("signature_key_revoked: key {} was revoked on 2026-01-01T00:00:00Z: lost", id.short());
    check(BYTES, Some(&signature()), &revoked, NOW, &expected);

    let expires = Some(UtcTime::from_unix_s(NOW + 10));
    let root = TrustRoot::empty();
    let root =
        root.with_key(RootKey::new(&key().public(), "short", &["acme"], Tier::Official, expires)).unwrap();
    check(BYTES, Some(&signature()), &root, NOW + 9, "signed by short");
    let expected =
        format!("signature_key_expired: key {} (`short`) expired on 2026-01-01T00:00:10Z", id.short());
    check(BYTES, Some(&signature()), &root, NOW + 10, &expected);
    check(
        BYTES,
        Some(&signature()),
        &official(),
        NOW + 1000,
        "root_expired: the trust root expired on 2026-01-01T00:16:40Z",
    );
}

#[test]
fn a_component_is_no_document_and_a_document_no_component() {
    let component = math();
    let said = |error: TrustError| format!("{}: {error}", error.code());
    let root = official();
    let bundle = bundle(&component);
    // The key signed exactly these bytes, as a component.
    let error = verify_document(Document::RiskProfile, &component, Some(&bundle), &root, NOW).unwrap_err();
    assert!(said(error).starts_with("signature_malformed: "));
    // And these, as a document.
    let bundle = sign_document(&key(), Document::RiskProfile, &component).unwrap();
    let error = verify(candidate(&component, Some(&bundle)).unwrap(), &root, NOW).unwrap_err();
    assert!(said(error).starts_with("signature_malformed: "));
}

#[test]
fn every_member_of_the_statement_counts() {
    let malformed =
        |problem: &str| format!("signature_malformed: the signature file is not well-formed: {problem}");
    let untrue = malformed("the statement says something of the document that is not so");
    let edit = |edit: &dyn Fn(&mut serde_json::Value), expected: &str| {
        check(BYTES, Some(&signed(|statement| edit(statement))), &official(), NOW, expected);
    };
    edit(&|statement| statement["predicate"]["size_bytes"] = json!(1), &untrue);
    edit(&|statement| statement["subject"][0]["name"] = json!("grant"), &untrue);
    let other = malformed("it holds no `urn:loong:risk-profile:v1` statement");
    edit(&|statement| statement["predicateType"] = json!("urn:loong:component:v1"), &other);
    edit(&|statement| statement["_type"] = json!("https://in-toto.io/Statement/v0.1"), &other);
    edit(
        &|statement| statement["subject"][0]["digest"]["sha256"] = json!("00"),
        &malformed("the subject's digest is not SHA-256 in lower case"),
    );
}
