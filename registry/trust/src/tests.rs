//! What is refused and, for each refusal, that the repaired input is accepted.

mod claims;
mod documents;
mod keyless;
mod private_sigstore;
mod roots;
mod signatures;
mod signers;

use std::sync::LazyLock;

use loong_manifest::{Digest, Tier};
use serde_json::{Value, json};

use crate::{Candidate, SigningKey, TrustError, TrustRoot, UtcTime, Verified, sign, verify};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

/// A tool `double` in `acme:math/api`, which imports nothing.
const MATH: &str = r#"
    (core module $m (func (export "f") (param i32) (result i32) local.get 0))
    (core instance $i (instantiate $m))
    (func $double (param "n" u32) (result u32) (canon lift (core func $i "f")))
    (instance $api (export "double" (func $double)))
    (export "acme:math/api@1.0.0" (instance $api))"#;

/// A command.
const COMMAND: &str = r#"
    (core module $m (func (export "f") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "f")))
    (instance $api (export "run" (func $run)))
    (export "wasi:cli/run@0.2.6" (instance $api))"#;

/// An import of an interface with one function.
fn import(interface: &str) -> String {
    format!("(import \"{interface}\" (instance (export \"use-it\" (func (param \"a\" string)))))")
}

fn component(parts: &[&str]) -> Vec<u8> {
    wat::parse_str(format!("(component {})", parts.concat())).unwrap()
}

/// The smallest manifest, with some members added or replaced.
#[expect(clippy::needless_pass_by_value, reason = "cases read better with the text in place")]
fn manifest(members: Value) -> Value {
    let mut manifest =
        json!({ "id": "acme:math", "version": "1.2.0", "kind": "tool", "summary": "Doubles." });
    manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    manifest
}

fn packed(component: &[u8], manifest: &Value) -> Vec<u8> {
    loong_inspect::with_manifest(component, manifest.to_string().as_bytes()).unwrap()
}

/// `acme:math` 1.2.0, whole and honest.
fn math() -> Vec<u8> {
    static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let operations = json!([{ "name": "acme:math/api@1.0.0#double", "risk": "read" }]);
        packed(&component(&[MATH]), &manifest(json!({ "operations": operations })))
    });
    PACKED.clone()
}

fn candidate(bytes: &[u8], bundle: Option<&[u8]>) -> Result<Candidate, TrustError> {
    Candidate::read(bytes.to_vec(), bundle.map(<[u8]>::to_vec), "hint")
}

fn key() -> SigningKey {
    SigningKey::of_seed(1)
}

/// A root in which [`key`] signs for `acme` as verified community.
fn root() -> TrustRoot {
    let expires = UtcTime::from_unix_s(NOW + 1000);
    TrustRoot::local(&key().public(), "built here", &["acme"], Tier::VerifiedCommunity, expires).unwrap()
}

/// A bundle by [`key`] for the component.
fn bundle(bytes: &[u8]) -> Vec<u8> {
    sign(&key(), &candidate(bytes, None).unwrap()).unwrap()
}

fn verified(bytes: &[u8], bundle: Option<&[u8]>, root: &TrustRoot, now: u64) -> Result<Verified, TrustError> {
    verify(candidate(bytes, bundle)?, root, now)
}

/// The outcome in one line.
fn said(outcome: Result<Verified, TrustError>) -> String {
    match outcome {
        Ok(verified) => format!("{} {} {}", verified.id(), verified.version(), verified.tier()),
        Err(error) => format!("{}: {error}", error.code()),
    }
}

/// The outcome for a component that nobody signed.
#[track_caller]
fn check_unsigned(bytes: &[u8], expected: &str) {
    assert_eq!(said(verified(bytes, None, &TrustRoot::empty(), NOW)), expected);
}
