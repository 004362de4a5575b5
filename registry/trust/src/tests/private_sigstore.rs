//! A Sigstore of our own: a certificate authority and a transparency log of one entry, which sign what a test says.

use std::time::{Duration, SystemTime};

use loong_manifest::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SigningKey as _,
};
use serde_json::{Value, json};

use crate::base64_text::encode;
use crate::bundle::pae;

/// The extension in which Fulcio says who vouched for the subject (in its first form: the bytes alone).
const ISSUER_OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 1];

pub(super) struct PrivateSigstore {
    authority: CertifiedIssuer<'static, KeyPair>,
    log: KeyPair,
}

/// What can be wrong with what it signs.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flaw {
    None,
    /// The entry is logged when the certificate is no longer valid.
    LoggedLate,
    /// Another key signs the log's entry.
    OtherLog,
    /// The signature is over other bytes.
    OtherBytes,
}

/// The library looks at the clock of the machine too, which is later.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(super::NOW)
}

impl PrivateSigstore {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = (now() - Duration::from_secs(86_400)).into();
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { authority, log: KeyPair::generate().unwrap() }
    }

    fn log_id(&self) -> Digest {
        Digest::of(&self.log.subject_public_key_info())
    }

    /// Its trusted root.
    pub(super) fn trusted_root(&self) -> Value {
        let since = "2024-01-01T00:00:00Z";
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": encode(&self.log.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": since },
                },
                "logId": { "keyId": encode(self.log_id().as_bytes()) },
            }],
            "certificateAuthorities": [{
                "subject": { "organization": "example", "commonName": "example" },
                "uri": "https://ca.example",
                "certChain": { "certificates": [{ "rawBytes": encode(self.authority.der()) }] },
                "validFor": { "start": since },
            }],
        })
    }

    /// A bundle by a subject of an issuer over a statement, or over the artifact itself.
    pub(super) fn sign(&self, signer: (&str, &str), signed: &Signed<'_>, flaw: Flaw) -> Vec<u8> {
        let (subject, issuer) = signer;
        let key = KeyPair::generate().unwrap();
        let now = now();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(subject.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = (now - Duration::from_secs(3600)).into();
        params.not_after = (now - Duration::from_secs(3000)).into();
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&ISSUER_OID, issuer.as_bytes().to_vec())];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let verifier = encode(certificate.pem().as_bytes());
        let wrong = |bytes: &[u8]| if flaw == Flaw::OtherBytes { b"other".to_vec() } else { bytes.to_vec() };
        let (kind, body, (member, content)) = match signed {
            Signed::Statement(payload) => {
                let signature = encode(&key.sign(&wrong(&pae(payload))).unwrap());
                let hash =
                    |bytes: &[u8]| json!({ "algorithm": "sha256", "value": Digest::of(bytes).to_hex() });
                let body = json!({
                    "apiVersion": "0.0.1", "kind": "dsse",
                    "spec": {
                        "envelopeHash": hash(b""), "payloadHash": hash(payload),
                        "signatures": [{ "signature": signature, "verifier": verifier }],
                    },
                });
                let envelope = json!({
                    "payload": encode(payload), "payloadType": crate::PAYLOAD_TYPE, "signatures": [{ "sig": signature }],
                });
                ("dsse", body, ("dsseEnvelope", envelope))
            }
            Signed::Artifact(bytes) => {
                let signature = encode(&key.sign(&wrong(bytes)).unwrap());
                let digest = Digest::of(bytes);
                let body = json!({
                    "apiVersion": "0.0.1", "kind": "hashedrekord",
                    "spec": {
                        "data": { "hash": { "algorithm": "sha256", "value": digest.to_hex() } },
                        "signature": { "content": signature, "publicKey": { "content": verifier } },
                    },
                });
                let content = json!({
                    "messageDigest": { "algorithm": "SHA2_256", "digest": encode(digest.as_bytes()) },
                    "signature": signature,
                });
                ("hashedrekord", body, ("messageSignature", content))
            }
        };
        let logged = super::NOW - if flaw == Flaw::LoggedLate { 60 } else { 3300 };
        let entry = self.entry(kind, body.to_string().as_bytes(), logged, flaw);
        let mut bundle = json!({
            "mediaType": crate::MEDIA_TYPE,
            "verificationMaterial": {
                "certificate": { "rawBytes": encode(certificate.der()) },
                "tlogEntries": [entry],
            },
        });
        bundle[member] = content;
        bundle.to_string().into_bytes()
    }

    /// The one entry of the log.
    fn entry(&self, kind: &str, body: &[u8], logged: u64, flaw: Flaw) -> Value {
        let other = KeyPair::generate().unwrap();
        let log = if flaw == Flaw::OtherLog { &other } else { &self.log };
        let id = self.log_id();
        let root = Digest::of(&[&[0], body].concat());
        let note = format!("log.example\n1\n{}\n", encode(root.as_bytes()));
        let mut signature = id.as_bytes()[..4].to_vec();
        signature.extend(log.sign(note.as_bytes()).unwrap());
        let promise = json!({
            "body": encode(body), "integratedTime": logged, "logID": id.to_hex(), "logIndex": 0,
        });
        json!({
            "logIndex": "0",
            "logId": { "keyId": encode(id.as_bytes()) },
            "kindVersion": { "kind": kind, "version": "0.0.1" },
            "integratedTime": logged.to_string(),
            "inclusionPromise": {
                "signedEntryTimestamp": encode(&log.sign(promise.to_string().as_bytes()).unwrap()),
            },
            "inclusionProof": {
                "logIndex": "0", "rootHash": encode(root.as_bytes()), "treeSize": "1", "hashes": [],
                "checkpoint": { "envelope": format!("{note}\n\u{2014} log.example {}\n", encode(&signature)) },
            },
            "canonicalizedBody": encode(body),
        })
    }
}

/// What is signed.
pub(super) enum Signed<'a> {
    Statement(&'a [u8]),
    Artifact(&'a [u8]),
}
