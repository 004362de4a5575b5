//! What is read from a component is the same when it carries another manifest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loong_inspect::Contents;
use loong_trust::{Candidate, TrustRoot};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(contents) = loong_inspect::inspect(bytes) {
        let packed = loong_inspect::with_manifest(bytes, b"{}").unwrap();
        let expected = Contents { manifest: Some(b"{}".to_vec()), ..contents };
        assert_eq!(loong_inspect::inspect(&packed), Ok(expected));
    }
    if let Ok(candidate) = Candidate::read(bytes.to_vec(), None, "fuzz") {
        let _ = loong_trust::verify(candidate, &TrustRoot::empty(), 0);
    }
});
