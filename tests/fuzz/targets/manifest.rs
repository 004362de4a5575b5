//! A manifest that is read is the same when it is written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loong_manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::read(bytes) else { return };
    let written = manifest.to_json();
    assert_eq!(Manifest::read(written.as_bytes()).as_ref(), Ok(&manifest), "{written}");
});
