//! Sigstore's own bundles, by identities that a trust root names or does not.

use super::private_sigstore::{Flaw, PrivateSigstore, Signed};
use super::*;
use crate::statement::Statement;
use crate::{Namespace, RootIdentity, Subject};

const ISSUER: &str = "https://issuer.example";
const RELEASE: &str = "https://code.example/acme/math/release.yml@refs/tags/v1";

fn identity(subject: Subject, publisher: &str) -> RootIdentity {
    RootIdentity {
        label: "the release workflow".to_owned(),
        issuer: ISSUER.to_owned(),
        subject,
        not_before: None,
        expires: None,
        namespaces: vec![Namespace { publisher: publisher.to_owned(), tier: Tier::VerifiedCommunity }],
    }
}

fn trusting(sigstore: &PrivateSigstore, identity: RootIdentity) -> TrustRoot {
    let root = TrustRoot::empty().with_sigstore(sigstore.trusted_root()).unwrap();
    root.with_identity(identity).unwrap()
}

fn statement() -> Vec<u8> {
    Statement::about(&candidate(&math(), None).unwrap()).unwrap().to_json().unwrap()
}

#[track_caller]
fn check(root: &TrustRoot, bundle: &[u8], expected: &str) {
    let said = said(verified(&math(), Some(bundle), root, NOW));
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_signature_by_an_identity_that_the_root_names_gives_its_tier() {
    let sigstore = PrivateSigstore::new();
    let good = "acme:math 1.2.0 verified-community";
    let exact = trusting(&sigstore, identity(Subject::Is(RELEASE.into()), "acme"));
    let signed = sigstore.sign((RELEASE, ISSUER), &Signed::Statement(&statement()), Flaw::None);
    check(&exact, &signed, good);
    let of_bytes = sigstore.sign((RELEASE, ISSUER), &Signed::Artifact(&math()), Flaw::None);
    check(&exact, &of_bytes, good);
    let within = identity(Subject::Within("https://code.example/acme/".into()), "acme");
    check(&trusting(&sigstore, within), &signed, good);

    let verified = verified(&math(), Some(&signed), &exact, NOW).unwrap();
    let signer = verified.signer().unwrap();
    let identity = signer.identity.clone().unwrap();
    assert_eq!((identity.subject.as_str(), identity.issuer.as_str()), (RELEASE, ISSUER));
}

#[test]
fn other_subjects_issuers_and_publishers_are_refused() {
    let sigstore = PrivateSigstore::new();
    let exact = trusting(&sigstore, identity(Subject::Is(RELEASE.into()), "acme"));
    let within = trusting(&sigstore, identity(Subject::Within("https://code.example/acme/".into()), "acme"));
    let by = |subject: &str, issuer: &str| {
        sigstore.sign((subject, issuer), &Signed::Statement(&statement()), Flaw::None)
    };
    for (subject, issuer) in [
        ("https://code.example/acme/math/release.yml@refs/tags/v11", ISSUER),
        ("https://code.example/acme/math/release.yml", ISSUER),
        (RELEASE, "https://issuer.example/"),
        (RELEASE, "https://other.example"),
    ] {
        check(&exact, &by(subject, issuer), "signature_identity");
    }
    for subject in ["https://code.example/acme-evil/math", "https://code.example/acme/../evil/x"] {
        check(&within, &by(subject, ISSUER), "signature_identity");
    }
    // It signs for somebody else, and nobody is named for the publisher at all.
    let other = trusting(&sigstore, identity(Subject::Is(RELEASE.into()), "other"));
    check(&other, &by(RELEASE, ISSUER), "signature_namespace");
    check(&other, &by("https://code.example/who/else", ISSUER), "acme:math 1.2.0 unverified");
    // Nobody is named who signs without a key: nothing is proved, and nothing is refused.
    check(&TrustRoot::empty(), &by(RELEASE, ISSUER), "acme:math 1.2.0 unverified");
}

#[test]
fn what_does_not_hold_is_refused() {
    let sigstore = PrivateSigstore::new();
    let root = trusting(&sigstore, identity(Subject::Is(RELEASE.into()), "acme"));
    let (statement, bytes) = (statement(), math());
    for flaw in [Flaw::LoggedLate, Flaw::OtherLog, Flaw::OtherBytes] {
        for signed in [Signed::Statement(&statement), Signed::Artifact(&bytes)] {
            check(&root, &sigstore.sign((RELEASE, ISSUER), &signed, flaw), "signature_invalid");
        }
    }
    // Another authority, another component, another statement.
    let other = PrivateSigstore::new().sign((RELEASE, ISSUER), &Signed::Artifact(&bytes), Flaw::None);
    check(&root, &other, "signature_invalid");
    let other = sigstore.sign((RELEASE, ISSUER), &Signed::Artifact(b"something else"), Flaw::None);
    check(&root, &other, "signature_other_bytes");
    let text = String::from_utf8(statement).unwrap();
    let lying = text.replace("\"imports\":[]", "\"imports\":[\"wasi:cli/run\"]");
    assert_ne!(text, lying);
    let lying = sigstore.sign((RELEASE, ISSUER), &Signed::Statement(lying.as_bytes()), Flaw::None);
    check(&root, &lying, "signature_other_bytes");
    check(&root, br#"{"verificationMaterial":{"certificate":{}}}"#, "signature_malformed");
}

#[test]
fn an_identity_has_a_time_and_can_be_revoked() {
    let sigstore = PrivateSigstore::new();
    let signed = sigstore.sign((RELEASE, ISSUER), &Signed::Artifact(&math()), Flaw::None);
    let named = || identity(Subject::Is(RELEASE.into()), "acme");
    let at = |seconds: i64| Some(UtcTime::from_unix_s(NOW.saturating_add_signed(seconds)));
    let early = trusting(&sigstore, RootIdentity { not_before: at(1000), ..named() });
    check(&early, &signed, "signature_key_not_yet_valid");
    let late = trusting(&sigstore, RootIdentity { expires: at(-1), ..named() });
    check(&late, &signed, "signature_key_expired");
    let revoked = trusting(&sigstore, named()).revoke(named().id(), "it was taken over", NOW).unwrap();
    check(&revoked, &signed, "signature_key_revoked");
    // Whatever else it matches, and also where the root names it no more.
    let wide = || identity(Subject::Within("https://code.example/acme/".into()), "acme");
    let twice = trusting(&sigstore, wide()).with_identity(named()).unwrap();
    check(&twice, &signed, "acme:math 1.2.0 verified-community");
    check(&twice.revoke(named().id(), "it was taken over", NOW).unwrap(), &signed, "signature_key_revoked");
    let forgot = trusting(&sigstore, wide()).revoke(named().id(), "it was taken over", NOW).unwrap();
    check(&forgot, &signed, "signature_key_revoked");
    assert!(revoked.with_identity(RootIdentity { label: "again".into(), ..named() }).is_err());
}
