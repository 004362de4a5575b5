//! A signature file proves nothing unless a key of the trust root made it for these bytes. The input is a signature
//! file; also, it takes the place of a part of a true one.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use loong_manifest::Tier;
use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime};

const MANIFEST: &str = r#"{ "id": "core:empty", "version": "0.1.0", "kind": "tool", "summary": "Does nothing", "capabilities": {}, "operations": [] }"#;

struct Place {
    component: Vec<u8>,
    bundle: Vec<u8>,
    root: TrustRoot,
    other: TrustRoot,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let empty = wat::parse_str("(component)").unwrap();
    let component = loong_inspect::with_manifest(&empty, MANIFEST.as_bytes()).unwrap();
    let key = SigningKey::generate().unwrap();
    let root = |key: &SigningKey| {
        let expires = UtcTime::from_unix_s(4_000_000_000);
        TrustRoot::local(&key.public(), "fuzz", &["core"], Tier::Official, expires).unwrap()
    };
    let candidate = Candidate::read(component.clone(), None, "empty").unwrap();
    Place {
        bundle: loong_trust::sign(&key, &candidate).unwrap(),
        root: root(&key),
        other: root(&SigningKey::generate().unwrap()),
        component,
    }
});

fn is_signed(bundle: &[u8], root: &TrustRoot) -> bool {
    let candidate = Candidate::read(PLACE.component.clone(), Some(bundle.to_vec()), "empty").unwrap();
    loong_trust::verify(candidate, root, 0).is_ok_and(|verified| verified.signer().is_some())
}

fuzz_target!(|bytes: &[u8]| {
    assert!(!is_signed(bytes, &PLACE.root), "a signature that the key did not make");
    let Some((place, part)) = bytes.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_le_bytes(*place)) % PLACE.bundle.len();
    let end = (at + part.len()).min(PLACE.bundle.len());
    let mut bundle = PLACE.bundle.clone();
    bundle.splice(at..end, part.iter().copied());
    // Under the right key it may still hold: a signature file says some things twice.
    let _ = is_signed(&bundle, &PLACE.root);
    assert!(!is_signed(&bundle, &PLACE.other), "a signature of a key that nobody trusts");
});
