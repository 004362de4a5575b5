//! Ed25519 keys (RFC 8032): signing keys in PKCS#8 PEM files (RFC 8410), public keys as SPKI.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use loong_manifest::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{TrustError, base64_text, file};

/// The `SubjectPublicKeyInfo` (DER) of an ed25519 key is these bytes and the key (RFC 8410, section 10.1).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Largest key file. Ours have 119 bytes; other tools add comments.
const KEY_FILE_BYTES_MAX: usize = 4096;

/// The name of a key: the SHA-256 digest of its `SubjectPublicKeyInfo` (DER), so `openssl pkey -pubout
/// -outform DER | sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl KeyId {
    /// The first twelve digits, for people; never for deciding.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl From<Digest> for KeyId {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl FromStr for KeyId {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = "a key id has 64 lower-case hexadecimal digits";
        Digest::from_hex(text).map(Self).ok_or(TrustError::Key { problem })
    }
}

/// A public key that is safe to verify with: a canonical encoding of a point that is not of low order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Makes a key of its 32 bytes.
    ///
    /// # Errors
    /// If they are no point of the curve, one of low order (everything may verify under such a key), or one
    /// of two encodings of a point (then one key would have two ids).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, TrustError> {
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|_| TrustError::Key { problem: "the bytes are no point of the curve" })?;
        if key.is_weak() {
            return Err(TrustError::Key { problem: "the point is of low order" });
        }
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(TrustError::Key { problem: "the point is not encoded canonically" });
        }
        Ok(Self(key))
    }

    /// Reads the base64 of a `SubjectPublicKeyInfo` (DER), as trust roots hold it.
    ///
    /// # Errors
    /// If it is anything else, or as for [`PublicKey::from_bytes`].
    pub fn from_base64(text: &str) -> Result<Self, TrustError> {
        let wrong = TrustError::Key { problem: "expected the base64 of an ed25519 SubjectPublicKeyInfo" };
        let Some(der) = base64_text::decode(text) else { return Err(wrong) };
        match der.strip_prefix(&SPKI_PREFIX).map(<&[u8; 32]>::try_from) {
            Some(Ok(bytes)) => Self::from_bytes(bytes),
            _ => Err(wrong),
        }
    }

    /// The base64 of its `SubjectPublicKeyInfo` (DER).
    pub fn to_base64(&self) -> String {
        base64_text::encode(&self.to_der())
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key as others' tools take it (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// Never for a key that could be made; the encoder is fallible.
    pub fn to_pem(&self) -> Result<String, TrustError> {
        let wrong = |_| TrustError::Key { problem: "the key cannot be encoded" };
        self.0.to_public_key_pem(LineEnding::LF).map_err(wrong)
    }

    /// The key's name.
    pub fn key_id(&self) -> KeyId {
        KeyId(Digest::of(&self.to_der()))
    }

    /// Whether the signature is this key's for the message, by the strict rules: the scalar is reduced and
    /// neither point is of low order, so each message has only signatures that the key's owner made.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    fn to_der(self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), self.0.as_bytes()].concat()
    }
}

/// The signature in a base64 text.
///
/// # Errors
/// If it is not the canonical base64 of 64 bytes.
pub fn signature_from_base64(text: &str) -> Result<[u8; 64], TrustError> {
    base64_text::decode(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| TrustError::malformed("it is neither 64 bytes nor their base64"))
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_base64())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for PublicKey {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_base64(text)
    }
}

macro_rules! json_text {
    ($type:ident, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

json_text!(KeyId, "^[0-9a-f]{64}$");
json_text!(PublicKey, "^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$");

/// A key that can sign. Wiped from memory when it is dropped; never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a key of random bytes of the operating system.
    ///
    /// # Errors
    /// If it gives none.
    pub fn generate() -> Result<Self, TrustError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(TrustError::Random)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads a PKCS#8 PEM file that only its owner may read (see [`file::read_private`]).
    ///
    /// # Errors
    /// If the file is not so, or holds no unencrypted ed25519 key.
    pub fn read_file(path: &Path) -> Result<Self, TrustError> {
        let bytes = file::read_private(path, KEY_FILE_BYTES_MAX)?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| TrustError::Key { problem: "the file is not text" })?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(text).map_err(|_| TrustError::Key {
            problem: "the file is no PKCS#8 PEM of an unencrypted ed25519 key",
        })?;
        Ok(Self(key))
    }

    /// Writes the key to a new file with mode 0600, as PKCS#8 PEM that openssl reads too. Never replaces a
    /// file.
    ///
    /// # Errors
    /// If the name is taken or the file cannot be written.
    pub fn create_file(&self, path: &Path) -> Result<(), TrustError> {
        // Without the public key (version 1 of PKCS#8): openssl 1 and 3 refuse version 2.
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = pair
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| TrustError::Key { problem: "the key cannot be encoded" })?;
        Ok(file::create_atomically(path, pem.as_bytes(), 0o600)?)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        // Clamped scalars are never zero modulo the order, so the point is neither weak nor odd.
        PublicKey(self.0.verifying_key())
    }

    /// The name of the public half.
    pub fn key_id(&self) -> KeyId {
        self.public().key_id()
    }

    /// The same key each time.
    #[cfg(test)]
    pub(crate) fn of_seed(seed: u8) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    /// The signature of a message. What is signed must say what it is, so that no signature of one thing is one
    /// of another.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.key_id().short())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use loong_manifest::Code;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn key(hex: &str) -> Result<PublicKey, TrustError> {
        PublicKey::from_bytes(bytes(hex).as_slice().try_into().unwrap())
    }

    #[test]
    fn verifies_the_vectors_of_the_standard() {
        // RFC 8032, section 7.1, tests 1 and 3.
        for (secret, public, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let signing = ed25519_dalek::SigningKey::from_bytes(bytes(secret).as_slice().try_into().unwrap());
            let signing = SigningKey(signing);
            assert_eq!(signing.public(), key(public).unwrap());
            let signature: [u8; 64] = bytes(signature).try_into().unwrap();
            assert_eq!(signing.sign(&bytes(message)), signature);
            assert!(signing.public().verifies(&bytes(message), &signature));
            assert!(!signing.public().verifies(b"other", &signature));
        }
    }

    #[test]
    fn refuses_a_signature_that_somebody_else_could_derive() {
        let signing = SigningKey::generate().unwrap();
        let signature = signing.sign(b"m");
        assert!(signing.public().verifies(b"m", &signature));
        // S + L is the same scalar, written in another way. L is the order of the group (RFC 8032, 5.1).
        let order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let (mut other, mut carry) = (signature, 0);
        for (byte, add) in other[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
        assert!(!signing.public().verifies(b"m", &other));
    }

    #[test]
    fn refuses_a_signature_whose_point_is_of_low_order() {
        // R is the neutral point and S = H(R, A, M) a: it solves the equation, and only `verify_strict` refuses.
        let signature: [u8; 64] = bytes("0100000000000000000000000000000000000000000000000000000000000000324a58ccc042d3ab39bbdc26597fb39827a159256aed3c62b396d4c6830c0808").try_into().unwrap();
        let key = SigningKey::of_seed(1).public();
        assert_eq!(
            key.0.as_bytes().as_slice(),
            bytes("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
        );
        let lax = ed25519_dalek::Verifier::verify(&key.0, b"m", &Signature::from_bytes(&signature));
        assert!(lax.is_ok());
        assert!(!key.verifies(b"m", &signature));
    }

    #[test]
    fn refuses_keys_of_low_order_and_odd_encodings() {
        // The eight points of low order and their odd encodings; then y = 1 + p and a y that is no point.
        for weak in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0200000000000000000000000000000000000000000000000000000000000000",
        ] {
            assert_eq!(key(weak).unwrap_err().code(), Code::KeyInvalid, "{weak}");
        }
        // y = 3 is a point of full order; y = 3 + p is the same point written in another way.
        assert!(key("0300000000000000000000000000000000000000000000000000000000000000").is_ok());
        let odd = key("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        assert_eq!(
            odd.unwrap_err().to_string(),
            "not a usable ed25519 key: the point is not encoded canonically"
        );
    }

    #[test]
    fn writes_public_keys_as_others_do() {
        // RFC 8410, section 10.1; the id is `openssl pkey -pubin -outform DER | sha256sum` of it.
        let text = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        let key = PublicKey::from_base64(text).unwrap();
        assert_eq!(key.to_base64(), text);
        assert_eq!(
            key.to_pem().unwrap(),
            format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
        );
        assert_eq!(
            key.key_id().to_string(),
            "a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f"
        );
    }

    #[test]
    fn refuses_public_keys_in_any_other_form() {
        let good = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert!(good.parse::<PublicKey>().is_ok());
        let (raw, x25519) = ("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", good.replace("K2Vw", "K2Vu"));
        for bad in
            ["", raw, &x25519, good.trim_end_matches('='), &format!("{good}\n"), &format!("{good}{good}")]
        {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
        for bad in ["", "abc", &"A".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
        assert!("0".repeat(64).parse::<KeyId>().is_ok());
    }

    #[test]
    fn a_key_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let key = SigningKey::generate().unwrap();
        key.create_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(SigningKey::read_file(&path).unwrap().key_id(), key.key_id());

        let other = SigningKey::generate().unwrap();
        assert_eq!(other.create_file(&path).unwrap_err().code(), Code::FileUnwritable);
        assert_eq!(SigningKey::read_file(&path).unwrap().key_id(), key.key_id());

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(SigningKey::read_file(&path).unwrap_err().code(), Code::KeyInvalid);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SigningKey::read_file(&path).is_ok());
    }

    #[test]
    fn a_key_file_holds_one_ed25519_key() {
        // RFC 8410, section 10.3: the same key in version 1 and 2 of PKCS#8, then version 2 with the public
        // key of another.
        let one = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
        let public = SigningKey(ed25519_dalek::SigningKey::from_bytes(
            bytes("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842")
                .as_slice()
                .try_into()
                .unwrap(),
        ));
        let check = |text: &str, accepted: bool| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.key");
            crate::file::write_atomically(&path, text.as_bytes(), 0o600).unwrap();
            let read = SigningKey::read_file(&path).map(|key| key.key_id());
            assert_eq!(read.as_ref().ok(), accepted.then(|| public.key_id()).as_ref(), "{text}");
        };
        let pem =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let two = "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\noB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        check(&pem("PRIVATE KEY", one), true);
        check(&pem("PRIVATE KEY", two), true);
        check(&pem("PRIVATE KEY", &two.replace("ZuE=", "ZuA=")), false);
        check(&pem("PRIVATE KEY", &one.replace("K2Vw", "K2Vu")), false);
        check(&pem("ENCRYPTED PRIVATE KEY", one), false);
        check(&pem("PUBLIC KEY", one), false);
        check(one, false);
        check("", false);
    }

    #[test]
    fn a_signing_key_prints_no_secret() {
        let key = SigningKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.key_id().short()));
    }
}
