//! `loong trust verify-ed25519` and `verify-bundle`, over any file.

use std::fs;

use loong_it::sandbox::Sandbox;
use loong_trust::SigningKey;

/// The order of the group, little-endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn signatures_over_any_file() {
    let sandbox = Sandbox::new();
    let put = |name: &str, bytes: &[u8]| fs::write(sandbox.work().join(name), bytes).unwrap();
    let key = SigningKey::generate().unwrap();
    let signature = key.sign(b"what was signed");
    put("file", b"what was signed");
    put("sig", &signature);
    put("key.pub", key.public().to_pem().unwrap().as_bytes());
    let verify = || {
        let ended = sandbox.loong(["trust", "verify-ed25519", "--key", "key.pub", "--sig", "sig", "file"]);
        (ended.exit, ended.stderr)
    };
    assert_eq!(verify().0, 0);

    // The scalar is the second half. The order of the group added to it makes the same equation true.
    let mut malleated = signature;
    let mut carry = 0;
    for (byte, more) in malleated[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    put("sig", &malleated);
    let (exit, said) = verify();
    assert!(exit == 3 && said.contains("[signature_invalid]"), "{exit} {said}");

    put("sig", &signature);
    put("file", b"something else");
    assert_eq!(verify().0, 3);
    // A point of low order, under which everything may verify.
    put("key.pub", b"MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let (exit, said) = verify();
    assert!(exit != 0 && said.contains("[key_invalid]"), "{exit} {said}");

    put("bundle", b"{}");
    let ended = sandbox.loong(["trust", "verify-bundle", "--bundle", "bundle", "--key", "key.pub", "file"]);
    assert_ne!(ended.exit, 0);
    let ended = sandbox.loong(["trust", "verify-bundle", "--bundle", "bundle", "file"]);
    assert_eq!(ended.exit, 2, "{}", ended.stderr);
}
