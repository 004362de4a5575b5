//! Bundles against components and trust roots.

use std::sync::LazyLock;

use loong_manifest::{Code, Digest};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bundle::Bundle;
use crate::{BUNDLE_BYTES_MAX, RootKey, Standing};

const GOOD: &str = "acme:math 1.2.0 verified-community";

#[track_caller]
fn check(bytes: &[u8], bundle: &[u8], root: &TrustRoot, now: u64, expected: &str) {
    assert_eq!(said(verified(bytes, Some(bundle), root, now)), expected);
}

/// The outcome for the good component with this bundle.
#[track_caller]
fn check_bundle(bundle: impl AsRef<[u8]>, expected: &str) {
    check(&math(), bundle.as_ref(), &root(), NOW, expected);
}

fn document() -> Value {
    serde_json::from_slice(&bundle(&math())).unwrap()
}

/// The outcome after an edit of the good bundle.
#[track_caller]
fn check_edit(edit: impl FnOnce(&mut Value), expected: &str) {
    let mut document = document();
    edit(&mut document);
    check_bundle(document.to_string(), expected);
}

fn malformed(problem: &str) -> String {
    format!("signature_malformed: the signature file is not well-formed: {problem}")
}

/// The outcome code after an edit that makes the file no bundle.
#[track_caller]
fn check_malformed(edit: impl FnOnce(&mut Value)) {
    let mut document = document();
    edit(&mut document);
    let error = verified(&math(), Some(document.to_string().as_bytes()), &root(), NOW).unwrap_err();
    assert_eq!(error.code(), Code::SignatureMalformed, "{error}");
}

fn envelope(document: &mut Value) -> &mut Value {
    &mut document["dsseEnvelope"]
}

#[test]
fn a_signature_by_a_known_key_gives_the_tier_of_the_root() {
    check_bundle(bundle(&math()), GOOD);
    let verified = verified(&math(), Some(&bundle(&math())), &root(), NOW).unwrap();
    let signer = verified.signer().unwrap();
    assert_eq!((signer.label.as_str(), signer.key_id), ("built here", key().key_id()));
    assert_eq!(verified.digest(), &Digest::of(&math()));
    assert_eq!(&**verified.bytes(), math());

    let expires = UtcTime::MAX;
    let official =
        TrustRoot::local(&key().public(), "l", &["other", "acme"], Tier::Official, expires).unwrap();
    check(&math(), &bundle(&math()), &official, NOW, "acme:math 1.2.0 official");
}

#[test]
fn no_signature_is_not_a_bad_one() {
    let unsigned = verified(&math(), None, &root(), NOW).unwrap();
    assert_eq!((unsigned.tier(), unsigned.standing()), (Tier::Unverified, &Standing::Unsigned));
    let stranger = sign(&SigningKey::of_seed(2), &candidate(&math(), None).unwrap()).unwrap();
    let unknown = verified(&math(), Some(&stranger), &root(), NOW).unwrap();
    let hint = SigningKey::of_seed(2).key_id().to_string();
    assert_eq!((unknown.tier(), unknown.standing()), (Tier::Unverified, &Standing::UnknownKey { hint }));
    assert_eq!(unknown.signer(), None);
    // A hint is made safe to show.
    let mut named = document();
    named["verificationMaterial"]["publicKey"]["hint"] = json!("\u{1b}[2J");
    envelope(&mut named)["signatures"][0]["keyid"] = json!("");
    let unknown = verified(&math(), Some(named.to_string().as_bytes()), &root(), NOW).unwrap();
    assert_eq!(unknown.standing(), &Standing::UnknownKey { hint: "\\u{1b}[2J".to_owned() });
}

#[test]
fn the_layout_of_a_bundle_is_free_and_its_empty_members_too() {
    check_bundle(serde_json::to_string_pretty(&document()).unwrap(), GOOD);
    check_edit(|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]), GOOD);
    check_edit(
        |bundle| drop(bundle["verificationMaterial"].as_object_mut().unwrap().remove("tlogEntries")),
        GOOD,
    );
    check_edit(|bundle| bundle["verificationMaterial"]["timestampVerificationData"] = json!({}), GOOD);
    check_edit(
        |bundle| {
            bundle["verificationMaterial"]["timestampVerificationData"] = json!({ "rfc3161Timestamps": [] });
        },
        GOOD,
    );
    check_edit(
        |bundle| drop(envelope(bundle)["signatures"][0].as_object_mut().unwrap().remove("keyid")),
        GOOD,
    );
    check_edit(|bundle| envelope(bundle)["signatures"][0]["keyid"] = json!(""), GOOD);
}

#[test]
fn what_cannot_be_verified_is_refused_and_not_skipped() {
    check_malformed(|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([{}]));
    check_malformed(|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!(null));
    check_malformed(|bundle| bundle["verificationMaterial"]["certificate"] = json!({ "rawBytes": "" }));
    check_malformed(|bundle| bundle["verificationMaterial"] = json!({ "certificate": { "rawBytes": "" } }));
    check_malformed(|bundle| {
        bundle["verificationMaterial"]["timestampVerificationData"] = json!({ "rfc3161Timestamps": [{}] });
    });
    check_malformed(|bundle| bundle["messageSignature"] = json!({}));
    check_malformed(|bundle| bundle["extra"] = json!(1));
    check_malformed(|bundle| envelope(bundle)["extra"] = json!(1));
    check_malformed(|bundle| envelope(bundle)["signatures"][0]["extra"] = json!(1));
    check_malformed(|bundle| drop(bundle.as_object_mut().unwrap().remove("dsseEnvelope")));
    check_malformed(|bundle| *bundle = json!([]));
}

#[test]
fn types_are_exact() {
    let newer = "application/vnd.dev.sigstore.bundle.v0.4+json";
    check_edit(
        |bundle| bundle["mediaType"] = json!(newer),
        &malformed("the media type is not `application/vnd.dev.sigstore.bundle.v0.3+json`"),
    );
    for other in ["application/vnd.in-toto+JSON", "application/json", ""] {
        check_edit(
            |bundle| envelope(bundle)["payloadType"] = json!(other),
            &malformed("the payload type is not `application/vnd.in-toto+json`"),
        );
    }
}

#[test]
fn a_bundle_has_one_signature_by_one_key() {
    check_malformed(|bundle| envelope(bundle)["signatures"] = json!([]));
    check_malformed(|bundle| {
        let first = envelope(bundle)["signatures"][0].clone();
        envelope(bundle)["signatures"].as_array_mut().unwrap().push(first);
    });
    let other = SigningKey::of_seed(2).key_id();
    check_edit(
        |bundle| envelope(bundle)["signatures"][0]["keyid"] = json!(other),
        &malformed("it names two different keys"),
    );
}

#[test]
fn base64_has_one_form() {
    type Edit = fn(&str) -> String;
    let edits: [Edit; 6] = [
        |text| format!("{text}\n"),
        |text| format!(" {text}"),
        |text| format!("{} {}", &text[..8], &text[8..]),
        |text| text.trim_end_matches('=').to_owned(),
        |text| format!("{text}="),
        |text| format!("{text}===="),
    ];
    for edit in edits {
        check_edit(
            |bundle| {
                let sig = &mut envelope(bundle)["signatures"][0]["sig"];
                let text = sig.as_str().unwrap();
                assert!(text.ends_with("=="));
                *sig = json!(edit(text));
            },
            &malformed("`sig` is not canonical base64"),
        );
    }
    // The last digit before the padding has bits that decode to nothing.
    check_edit(
        |bundle| {
            let sig = &mut envelope(bundle)["signatures"][0]["sig"];
            let text = sig.as_str().unwrap().to_owned();
            let last = match &text[85..86] {
                "A" => "B",
                "Q" => "R",
                "g" => "h",
                _ => "x",
            };
            *sig = json!(format!("{}{last}==", &text[..85]));
        },
        &malformed("`sig` is not canonical base64"),
    );
    check_edit(
        |bundle| {
            let payload = &mut envelope(bundle)["payload"];
            *payload = json!(format!("{}\n", payload.as_str().unwrap()));
        },
        &malformed("`payload` is not canonical base64"),
    );
    for length in [0, 63, 65] {
        let text = crate::base64_text::encode(&vec![1; length]);
        check_edit(
            |bundle| envelope(bundle)["signatures"][0]["sig"] = json!(text),
            &malformed("`sig` does not have 64 bytes"),
        );
    }
}

#[test]
fn a_key_twice_or_a_file_cut_off_is_refused() {
    let text = String::from_utf8(bundle(&math())).unwrap();
    let doubled = text.replacen("\"sig\":", "\"sig\":\"\",\"sig\":", 1);
    assert_ne!(text, doubled);
    assert!(said(verified(&math(), Some(doubled.as_bytes()), &root(), NOW)).contains("duplicate key `sig`"));
    for length in 0..text.len() {
        let error = verified(&math(), Some(&text.as_bytes()[..length]), &root(), NOW).unwrap_err();
        assert_eq!(error.code(), Code::SignatureMalformed, "cut off at {length}");
    }
    check_bundle(
        format!("{text}{{}}"),
        &malformed(&format!("line 1, column {}: trailing characters", text.len() + 1)),
    );
    check_bundle(" ".repeat(BUNDLE_BYTES_MAX + 1), &malformed("larger than 131072 bytes"));
}

fn invalid() -> String {
    format!("signature_invalid: the signature does not fit the statement and key {}", key().key_id().short())
}

#[test]
fn a_signature_by_another_key_under_this_name_is_refused() {
    let stranger = sign(&SigningKey::of_seed(2), &candidate(&math(), None).unwrap()).unwrap();
    let renamed = String::from_utf8(stranger).unwrap();
    let renamed = renamed.replace(&SigningKey::of_seed(2).key_id().to_string(), &key().key_id().to_string());
    check_bundle(renamed, &invalid());
}

#[test]
fn a_signature_that_was_rewritten_without_the_key_is_refused() {
    check_edit(
        |bundle| {
            let sig = &mut envelope(bundle)["signatures"][0]["sig"];
            let mut signature = crate::base64_text::decode(sig.as_str().unwrap()).unwrap();
            // S + L instead of S; L is the order of the group, 2^252 + a number of 125 bits.
            let order = [
                0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
                0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u16,
            ];
            let mut carry = 0;
            for (byte, add) in signature[32..].iter_mut().zip(order) {
                let sum = u16::from(*byte) + add + carry;
                (*byte, carry) = (sum as u8, sum >> 8);
            }
            *sig = json!(crate::base64_text::encode(&signature));
        },
        &invalid(),
    );
    let neutral = [&[1][..], &[0; 63]].concat();
    check_edit(
        |bundle| envelope(bundle)["signatures"][0]["sig"] = json!(crate::base64_text::encode(&neutral)),
        &invalid(),
    );
}

#[test]
fn a_signature_over_the_payload_alone_is_refused() {
    // DSSE signs the payload with its type and length, so that it cannot be taken for something else.
    check_edit(
        |bundle| {
            let payload = crate::base64_text::decode(envelope(bundle)["payload"].as_str().unwrap()).unwrap();
            let signature = crate::base64_text::encode(&key().sign(&payload));
            envelope(bundle)["signatures"][0]["sig"] = json!(signature);
        },
        &invalid(),
    );
}

fn statement() -> Value {
    let payload = Bundle::read(&bundle(&math())).unwrap().payload;
    serde_json::from_slice(&payload).unwrap()
}

/// The outcome if the owner of the key signed the statement with an edit.
#[track_caller]
fn check_statement(edit: impl FnOnce(&mut Value), expected: &str) {
    let mut statement = statement();
    edit(&mut statement);
    check_bundle(Bundle::sign(&key(), statement.to_string().as_bytes()).unwrap(), expected);
}

#[test]
fn the_statement_is_about_exactly_this_component() {
    check_statement(|_| {}, GOOD);
    let edits = [
        ("id", json!("acme:other")),
        ("version", json!("1.2.1")),
        ("size_bytes", json!(math().len() + 1)),
        ("manifest", json!(Digest::of(b"other"))),
        ("capabilities", json!(["log"])),
        ("imports", json!(["loong:host/log@0.1.0"])),
        ("exports", json!([])),
    ];
    for (field, value) in edits {
        check_statement(
            |statement| statement["predicate"][field] = value,
            &format!(
                "signature_other_bytes: the signed statement gives another `{field}` than the component has"
            ),
        );
    }
    check_statement(
        |statement| statement["subject"][0]["name"] = json!("acme:math@9.0.0"),
        "signature_other_bytes: the signed statement gives another `subject` than the component has",
    );
    let other = Digest::of(b"other");
    check_statement(
        |statement| statement["subject"][0]["digest"]["sha256"] = json!(other.to_hex()),
        &format!(
            "signature_other_bytes: the signature is for {}, these bytes are {}",
            other.short(),
            Digest::of(&math()).short()
        ),
    );
}

#[test]
fn the_statement_holds_what_is_read_and_nothing_else() {
    let edits: [fn(&mut Value); 11] = [
        |statement| statement["_type"] = json!("https://in-toto.io/Statement/v0.1"),
        |statement| statement["predicateType"] = json!("https://slsa.dev/provenance/v1"),
        |statement| statement["extra"] = json!(1),
        |statement| statement["predicate"]["tier"] = json!("official"),
        |statement| drop(statement["predicate"].as_object_mut().unwrap().remove("imports")),
        |statement| statement["subject"] = json!([]),
        |statement| {
            let first = statement["subject"][0].clone();
            statement["subject"].as_array_mut().unwrap().push(first);
        },
        |statement| statement["subject"][0]["digest"]["sha1"] = json!("00"),
        |statement| statement["subject"][0]["digest"] = json!({}),
        |statement| {
            let upper = statement["subject"][0]["digest"]["sha256"].as_str().unwrap().to_uppercase();
            statement["subject"][0]["digest"]["sha256"] = json!(upper);
        },
        |statement| *statement = json!("statement"),
    ];
    for edit in edits {
        let mut statement = statement();
        edit(&mut statement);
        let bundle = Bundle::sign(&key(), statement.to_string().as_bytes()).unwrap();
        let error = verified(&math(), Some(&bundle), &root(), NOW).unwrap_err();
        assert_eq!(error.code(), Code::SignatureMalformed, "{error}");
    }
}

#[test]
fn bundles_cannot_be_swapped() {
    let operations = json!([{ "name": "acme:math/api@1.0.0#double", "risk": "irreversible" }]);
    let other = packed(&component(&[MATH]), &manifest(json!({ "operations": operations })));
    for (bytes, signed) in [(math(), &other), (other.clone(), &math())] {
        assert_eq!(
            verified(&bytes, Some(&bundle(signed)), &root(), NOW).unwrap_err().code(),
            Code::SignatureOtherBytes
        );
        check(&bytes, &bundle(&bytes), &root(), NOW, GOOD);
    }
    let bare = component(&[MATH]);
    let error = verified(&bare, Some(&bundle(&math())), &root(), NOW).unwrap_err();
    assert_eq!(error.code(), Code::SignatureOtherBytes, "a component whose manifest was cut out");
}

#[test]
fn a_revoked_key_is_refused_however_the_root_stands() {
    let signed = bundle(&math());
    let refusal = format!(
        "signature_key_revoked: key {} was revoked on 2026-01-01T00:00:00Z: lost",
        key().key_id().short()
    );
    let revoked = root().revoke(key().key_id(), "lost", NOW).unwrap();
    check(&math(), &signed, &revoked, NOW, &refusal);
    // Signatures of before are refused too, and so they are when the root is expired or forgot the key.
    check(&math(), &signed, &revoked, NOW - 1000, &refusal);
    check(&math(), &signed, &revoked, NOW + 5000, &refusal);
    check(&math(), &signed, &TrustRoot::empty().revoke(key().key_id(), "lost", NOW).unwrap(), NOW, &refusal);
    let other = root().revoke(SigningKey::of_seed(2).key_id(), "lost", NOW).unwrap();
    check(&math(), &signed, &other, NOW, GOOD);
    assert_eq!(verified(&math(), None, &revoked, NOW).unwrap().tier(), Tier::Unverified);
}

#[test]
fn keys_and_roots_expire_at_their_second() {
    let signed = bundle(&math());
    let at = |seconds: u64| UtcTime::from_unix_s(NOW + seconds);
    let entry = RootKey::new(&key().public(), "built here", &["acme"], Tier::VerifiedCommunity, Some(at(10)));
    let root = TrustRoot::local(&SigningKey::of_seed(3).public(), "other", &["acme"], Tier::Official, at(20))
        .unwrap();
    let root = root.with_key(entry).unwrap();
    check(&math(), &signed, &root, NOW + 9, GOOD);
    let expired = format!(
        "signature_key_expired: key {} (`built here`) expired on 2026-01-01T00:00:10Z",
        key().key_id().short()
    );
    check(&math(), &signed, &root, NOW + 10, &expired);
    check(&math(), &signed, &root, NOW + 19, &expired);
    check(&math(), &signed, &root, NOW + 20, "root_expired: the trust root expired on 2026-01-01T00:00:20Z");
    // Nothing in an expired root is asked about what nobody signed.
    assert_eq!(verified(&math(), None, &root, NOW + 20).unwrap().tier(), Tier::Unverified);
}

#[test]
fn a_key_signs_for_its_publishers_only() {
    let operations = json!([{ "name": "acme:math/api@1.0.0#double", "risk": "read" }]);
    for (id, expected) in [
        ("acme:math", GOOD.to_owned()),
        ("core:math", refused_for("core")),
        ("acme2:math", refused_for("acme2")),
        ("acm:math", refused_for("acm")),
    ] {
        let bytes = packed(&component(&[MATH]), &manifest(json!({ "id": id, "operations": operations })));
        check(&bytes, &bundle(&bytes), &root(), NOW, &expected);
    }
}

fn refused_for(publisher: &str) -> String {
    format!(
        "signature_namespace: key {} (`built here`) may not sign for publisher `{publisher}`",
        key().key_id().short()
    )
}

#[test]
fn only_what_would_be_verified_is_signed() {
    let said = |bytes: &[u8]| match sign(&key(), &candidate(bytes, None).unwrap()) {
        Ok(_) => "signed",
        Err(error) => error.code().as_str(),
    };
    assert_eq!(said(&math()), "signed");
    assert_eq!(said(&component(&[MATH])), "manifest_missing");
    assert_eq!(said(&packed(&component(&[MATH]), &manifest(json!({})))), "manifest_underdeclared");
    assert_eq!(bundle(&math()), bundle(&math()), "a signature is the same each time");
}

#[test]
fn a_signature_does_not_make_up_for_a_manifest_that_says_less() {
    let bytes = packed(&component(&[&import("loong:host/kv@0.1.0")]), &manifest(json!({})));
    let statement = crate::statement::Statement::about(&candidate(&bytes, None).unwrap()).unwrap();
    let bundle = Bundle::sign(&key(), &statement.to_json().unwrap()).unwrap();
    let error = verified(&bytes, Some(&bundle), &root(), NOW).unwrap_err();
    assert_eq!(error.code(), Code::ManifestUnderdeclared);
}

/// The bytes with one of them changed.
fn flipped(bytes: &[u8], at: prop::sample::Index, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.index(bytes.len());
    bytes[at] ^= mask;
    bytes
}

/// The bundle of the good component.
static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| bundle(&math()));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Each byte of a bundle counts: the key is named twice in it, so even the hint cannot be changed alone.
    #[test]
    fn a_bundle_with_another_byte_is_refused(at: prop::sample::Index, mask in 1_u8..) {
        let bundle = flipped(&SIGNED, at, mask);
        prop_assert!(verified(&math(), Some(&bundle), &root(), NOW).is_err());
    }

    /// A component with another byte is no component any more, or not the one that was signed.
    #[test]
    fn a_component_with_another_byte_is_refused(at: prop::sample::Index, mask in 1_u8..) {
        let bytes = flipped(&math(), at, mask);
        prop_assert!(verified(&bytes, Some(&SIGNED), &root(), NOW).is_err());
    }

    #[test]
    fn no_bundle_of_any_bytes_gives_a_tier(bundle: Vec<u8>) {
        let outcome = verified(&math(), Some(&bundle), &root(), NOW);
        prop_assert_eq!(outcome.unwrap_err().code(), Code::SignatureMalformed);
    }
}
