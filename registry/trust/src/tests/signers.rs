//! Several signers together, keys whose time has not come, and who says how a component was built.

use serde_json::json;

use super::*;
use crate::bundle::Bundle;
use crate::{
    KeyId, Namespace, PROVENANCE_TYPE, ProvenanceRule, Quorum, Require, RootIdentity, RootKey, Subject,
};

/// A root with these keys, none of which may sign alone.
fn of_keys(count: u8) -> TrustRoot {
    let mut root = TrustRoot::empty();
    for seed in 1..=count {
        let key = SigningKey::of_seed(seed).public();
        let key = RootKey::new(&key, &format!("key {seed}"), &[], Tier::VerifiedCommunity, None);
        root = root.with_key(key).unwrap();
    }
    root
}

fn id(seed: u8) -> KeyId {
    SigningKey::of_seed(seed).key_id()
}

fn quorum(require: Require, seeds: &[u8]) -> Quorum {
    Quorum {
        publisher: "acme".into(),
        tier: Tier::VerifiedCommunity,
        require,
        signers: seeds.iter().map(|seed| id(*seed)).collect(),
    }
}

fn signed_by(seeds: &[u8], root: &TrustRoot) -> String {
    let bytes = math();
    let plain = candidate(&bytes, None).unwrap();
    let bundles = seeds.iter().map(|seed| sign(&SigningKey::of_seed(*seed), &plain).unwrap());
    said(Candidate::read(bytes, bundles, "hint").and_then(|candidate| verify(candidate, root, NOW)))
}

#[track_caller]
fn check(require: Require, of: &[u8], seeds: &[u8], expected: &str) {
    let root = of_keys(4).with_quorum(quorum(require, of)).unwrap();
    let said = signed_by(seeds, &root);
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn so_many_distinct_signers_are_needed() {
    let good = "acme:math 1.2.0 verified-community";
    check(Require::Any, &[1, 2], &[2], good);
    check(Require::All, &[1, 2], &[1, 2], good);
    check(Require::AtLeast(2), &[1, 2, 3], &[3, 1], good);
    check(Require::All, &[1, 2], &[1], "signature_threshold");
    check(Require::AtLeast(2), &[1, 2, 3], &[3], "signature_threshold");
    // One who signs three times is one.
    check(Require::AtLeast(2), &[1, 2, 3], &[3, 3, 3], "signature_threshold");
    // One who may not sign for the publisher spoils it; one whom nobody knows does not count.
    check(Require::AtLeast(2), &[1, 2, 3], &[1, 2, 4], "signature_namespace");
    check(Require::AtLeast(2), &[1, 2, 3], &[1, 2, 9], good);
    check(Require::AtLeast(2), &[1, 2, 3], &[1, 9], "signature_threshold");
    check(Require::AtLeast(2), &[1, 2, 3], &[], "acme:math 1.2.0 unverified");
    check(Require::AtLeast(2), &[1, 2, 3], &[9], "acme:math 1.2.0 unverified");
    let many = [1; crate::BUNDLES_MAX + 1];
    check(Require::Any, &[1], &many, "signature_malformed");
}

#[test]
fn keys_that_took_each_others_places_are_one_signer() {
    let taking = |root: &TrustRoot, seed: u8, before: u8| {
        let key = RootKey::new(&SigningKey::of_seed(seed).public(), "next", &[], Tier::Official, None);
        root.with_key(RootKey { replaces: Some(id(before)), ..key })
    };
    // 5 took the place of 1, and 6 that of 5.
    let keys = taking(&taking(&of_keys(4), 5, 1).unwrap(), 6, 5).unwrap();
    let root = keys.with_quorum(quorum(Require::AtLeast(2), &[1, 2, 3])).unwrap();
    let good = "acme:math 1.2.0 verified-community";
    for seeds in [&[1, 2][..], &[5, 2], &[6, 3], &[6, 5, 2]] {
        assert_eq!(signed_by(seeds, &root), good, "{seeds:?}");
    }
    for seeds in [&[1, 5][..], &[6, 5, 1], &[6]] {
        assert!(signed_by(seeds, &root).starts_with("signature_threshold"), "{seeds:?}");
    }
    assert!(keys.with_quorum(quorum(Require::Any, &[1, 6])).is_err(), "the same signer twice");
    // The successor of one that was revoked goes on; what the revoked one signed is refused.
    let revoked = root.revoke(id(1), "stolen", NOW).unwrap();
    assert_eq!(signed_by(&[6, 2], &revoked), good);
    assert!(signed_by(&[1, 2], &revoked).starts_with("signature_key_revoked"));
    // Keys in a circle are no root.
    let open = taking(&taking(&TrustRoot::empty(), 1, 2).unwrap(), 2, 3).unwrap();
    assert!(taking(&open, 3, 1).is_err() && taking(&TrustRoot::empty(), 1, 1).is_err());
    assert!(taking(&open, 3, 4).is_ok());
}

#[test]
fn the_highest_tier_that_is_given_counts() {
    let alone = |seed: u8, tier| {
        RootKey::new(&SigningKey::of_seed(seed).public(), &format!("key {seed}"), &["acme"], tier, None)
    };
    let root = TrustRoot::empty()
        .with_key(alone(1, Tier::VerifiedCommunity))
        .and_then(|root| root.with_key(alone(2, Tier::VerifiedCommunity)))
        .and_then(|root| root.with_quorum(Quorum { tier: Tier::Official, ..quorum(Require::All, &[1, 2]) }))
        .unwrap();
    assert_eq!(signed_by(&[1], &root), "acme:math 1.2.0 verified-community");
    assert_eq!(signed_by(&[2, 1], &root), "acme:math 1.2.0 official");
    let revoked = root.revoke(id(2), "stolen", NOW).unwrap();
    assert!(signed_by(&[2, 1], &revoked).starts_with("signature_key_revoked"));
}

#[test]
fn a_key_whose_time_has_not_come_is_refused() {
    let key = |not_before| RootKey {
        not_before: Some(UtcTime::from_unix_s(not_before)),
        ..RootKey::new(&key().public(), "soon", &["acme"], Tier::Official, None)
    };
    let with = |not_before| TrustRoot::empty().with_key(key(not_before)).unwrap();
    assert!(signed_by(&[1], &with(NOW + 1)).starts_with("signature_key_not_yet_valid"));
    assert_eq!(signed_by(&[1], &with(NOW)), "acme:math 1.2.0 official");
    let expired = with(0).expire_key(&id(1), UtcTime::from_unix_s(NOW)).unwrap();
    assert!(signed_by(&[1], &expired).starts_with("signature_key_expired"));
    assert!(with(0).expire_key(&id(2), UtcTime::from_unix_s(NOW)).is_err());
    assert!(expired.expire_key(&id(1), UtcTime::from_unix_s(NOW + 1)).is_err(), "no longer life");
    assert!(expired.expire_key(&id(1), UtcTime::from_unix_s(NOW - 1)).is_ok());
}

#[test]
fn quorums_and_identities_that_mean_nothing_are_no_root() {
    for (require, signers) in [
        (Require::AtLeast(0), &[1, 2][..]),
        (Require::AtLeast(3), &[1, 2]),
        (Require::All, &[]),
        (Require::Any, &[1, 1]),
        (Require::Any, &[1, 9]),
    ] {
        assert!(of_keys(3).with_quorum(quorum(require, signers)).is_err(), "{require:?} {signers:?}");
    }
    let identity = |issuer: &str, subject: Subject| RootIdentity {
        label: "one".into(),
        issuer: issuer.into(),
        subject,
        not_before: None,
        expires: None,
        namespaces: vec![Namespace { publisher: "acme".into(), tier: Tier::Official }],
    };
    let within = |text: &str| Subject::Within(text.to_owned());
    let good = within("https://code.example/acme/");
    assert!(TrustRoot::empty().with_identity(identity("https://issuer.example", good.clone())).is_ok());
    assert!(TrustRoot::empty().with_identity(identity("http://issuer.example", good)).is_err());
    for text in [
        "https://code.example/acme",
        "https://code.example/",
        "https:///acme/",
        "code.example/acme/",
        "/",
        "",
    ] {
        let named = identity("https://issuer.example", within(text));
        assert!(TrustRoot::empty().with_identity(named).is_err(), "{text}");
    }
    assert!(TrustRoot::empty().with_sigstore(json!({ "tlogs": 1 })).is_err());
}

fn provenance(digest: &str, builder: &str, source: &str) -> Vec<u8> {
    let statement = json!({
        "_type": crate::STATEMENT_TYPE,
        "subject": [{ "name": "math.wasm", "digest": { "sha256": digest } }],
        "predicateType": PROVENANCE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": "https://builder.example/v1",
                "externalParameters": {},
                "resolvedDependencies": [{ "uri": format!("git+{source}@refs/tags/v1") }],
            },
            "runDetails": { "builder": { "id": builder } },
        },
    });
    Bundle::sign(&SigningKey::of_seed(2), statement.to_string().as_bytes()).unwrap()
}

#[test]
fn a_publisher_may_need_the_word_of_a_builder() {
    let builder = RootKey::new(&SigningKey::of_seed(2).public(), "builder", &[], Tier::Official, None);
    let rule = ProvenanceRule {
        publisher: "acme".into(),
        signers: vec![id(2)],
        builder: "https://builder.example/one".into(),
        source: Subject::Within("https://code.example/acme/".into()),
    };
    let root = root().with_key(builder).and_then(|root| root.with_provenance(rule)).unwrap();
    let bytes = math();
    let digest = Digest::of(&bytes).to_hex();
    let with = |attested: Option<Vec<u8>>| {
        let bundles = [Some(bundle(&bytes)), attested].into_iter().flatten();
        said(
            Candidate::read(bytes.clone(), bundles, "hint")
                .and_then(|candidate| verify(candidate, &root, NOW)),
        )
    };
    let good = provenance(&digest, "https://builder.example/one", "https://code.example/acme/math");
    assert_eq!(with(Some(good.clone())), "acme:math 1.2.0 verified-community");
    assert!(with(None).starts_with("provenance_missing"));
    for (builder, source) in [
        ("https://builder.example/two", "https://code.example/acme/math"),
        ("https://builder.example/one", "https://code.example/evil/math"),
    ] {
        assert!(with(Some(provenance(&digest, builder, source))).starts_with("provenance_missing"));
    }
    let other = provenance(&"0".repeat(64), "https://builder.example/one", "https://code.example/acme/math");
    assert!(with(Some(other)).starts_with("signature_other_bytes"));
    // The word of a builder alone vouches for nothing, and nobody asks for it where nobody signed.
    let alone = Candidate::read(bytes.clone(), [good], "hint").unwrap();
    assert_eq!(verify(alone, &root, NOW).unwrap().tier(), Tier::Unverified);
}
