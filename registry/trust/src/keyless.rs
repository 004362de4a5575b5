//! Sigstore's own bundles: a certificate for an identity, a transparency log entry, a signature over an artifact or
//! over an in-toto statement about it. Verified by `sigstore-verify`, offline, against a pinned trusted root.

use std::sync::OnceLock;

use sigstore_verify::trust_root::{
    SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT, TrustedRoot,
};
use sigstore_verify::types::{Artifact, Bundle, DerPublicKey, Sha256Hash, SignatureContent};
use sigstore_verify::{Error, Policy, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

use crate::TrustError;

/// What a bundle proves of an artifact.
#[derive(Debug)]
pub struct KeylessProof {
    /// The issuer of the identity token. Empty if a key was asked for.
    pub issuer: String,
    /// The subject alternative name of the certificate. Empty if a key was asked for.
    pub subject: String,
    /// What was signed instead of the artifact itself: a statement of this payload type, with the artifact among
    /// its subjects.
    pub statement: Option<(String, Vec<u8>)>,
}

/// Reads a Sigstore trusted root and what is in it.
pub(crate) fn read_trusted_root(document: &serde_json::Value) -> Result<TrustedRoot, TrustError> {
    let wrong = |error: &dyn std::fmt::Display| TrustError::Root {
        problem: format!("`sigstore` is no usable trusted root: {error}"),
    };
    let root = TrustedRoot::from_json(&document.to_string()).map_err(|error| wrong(&error))?;
    Verifier::new(&root).map_err(|error| wrong(&error))?;
    Ok(root)
}

/// The trusted root of the public good instance (or of its staging twin), as the library carries it.
fn public_good(staging: bool) -> Result<TrustedRoot, TrustError> {
    static PRODUCTION: OnceLock<Option<TrustedRoot>> = OnceLock::new();
    static STAGING: OnceLock<Option<TrustedRoot>> = OnceLock::new();
    let (cell, text) = if staging {
        (&STAGING, SIGSTORE_STAGING_TRUSTED_ROOT)
    } else {
        (&PRODUCTION, SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    };
    let root = cell.get_or_init(|| TrustedRoot::from_json(text).ok());
    root.clone()
        .ok_or_else(|| TrustError::Root { problem: "the built-in Sigstore root is unreadable".into() })
}

/// A bundle of which nothing is proved but that it is one.
pub(crate) fn read(bytes: &[u8]) -> Result<Bundle, TrustError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TrustError::malformed("it is not UTF-8"))?;
    let bundle = Bundle::from_json(text).map_err(|error| TrustError::malformed(error.to_string()))?;
    sigstore_verify::bundle::validate_bundle(&bundle)
        .map_err(|error| TrustError::malformed(error.to_string()))?;
    Ok(bundle)
}

/// What is signed: bytes, or their digest alone.
pub(crate) enum Subject<'a> {
    Bytes(&'a [u8]),
    Digest(Sha256Hash),
}

/// Verifies a keyless bundle. Without a document the trusted root is that of the public good instance.
pub(crate) fn prove(
    bundle: &[u8],
    artifact: &Subject<'_>,
    trusted_root: Option<&serde_json::Value>,
    staging: bool,
    wanted: Option<(&str, &str)>,
) -> Result<KeylessProof, TrustError> {
    let root = trusted_root.map_or_else(|| public_good(staging), read_trusted_root)?;
    let mut policy = match wanted {
        Some((subject, issuer)) => VerificationPolicy::new(subject, issuer),
        None => VerificationPolicy::any_identity(),
    };
    // A private Sigstore may run without a certificate transparency log. The public one never does.
    if trusted_root.is_some() && root.ctlogs.is_empty() {
        policy = policy.skip_sct();
    }
    run(bundle, artifact, &root, &policy)
}

fn run(
    bundle: &[u8],
    artifact: &Subject<'_>,
    root: &TrustedRoot,
    policy: &dyn Policy,
) -> Result<KeylessProof, TrustError> {
    let bundle = read(bundle)?;
    let artifact: Artifact<'_> = match artifact {
        Subject::Bytes(bytes) => Artifact::from(*bytes),
        Subject::Digest(digest) => Artifact::from(*digest),
    };
    let verifier = Verifier::new(root).map_err(|error| refusal(&error))?;
    let proved = verifier.verify(artifact, &bundle, policy).map_err(|error| refusal(&error))?;
    let statement = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            Some((envelope.payload_type.clone(), envelope.payload.as_bytes().to_vec()))
        }
        _ => None,
    };
    Ok(KeylessProof {
        issuer: proved.issuer().unwrap_or_default().to_owned(),
        subject: proved.identity().map(|identity| identity.as_str().to_owned()).unwrap_or_default(),
        statement,
    })
}

fn refusal(error: &Error) -> TrustError {
    match error {
        Error::InvalidBundle(_) | Error::UnsupportedBundle(_) | Error::Types(_) | Error::Bundle(_) => {
            TrustError::malformed(error.to_string())
        }
        Error::ArtifactMismatch(_) => TrustError::OtherArtifact { problem: error.to_string() },
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => {
            TrustError::OtherIdentity { problem: error.to_string() }
        }
        Error::InvalidTrustRoot(_) | Error::TrustRoot(_) | Error::TrustedCertificate(_) => {
            TrustError::Root { problem: error.to_string() }
        }
        _ => TrustError::Keyless { problem: error.to_string() },
    }
}

/// An artifact as a person names it: its bytes, or `sha256:` and its digest.
fn named<'a>(artifact: Result<&'a [u8], &'a str>) -> Result<Subject<'a>, TrustError> {
    match artifact {
        Ok(bytes) => Ok(Subject::Bytes(bytes)),
        Err(hex) => Sha256Hash::from_hex(hex)
            .map(Subject::Digest)
            .map_err(|error| TrustError::malformed(format!("the digest: {error}"))),
    }
}

/// Verifies the bundle of any artifact: by this subject of this issuer. The artifact is its bytes, or its SHA-256
/// digest in hexadecimal digits.
///
/// # Errors
/// If anything of the bundle does not hold, or the trusted root is none.
pub fn verify_keyless(
    bundle: &[u8],
    artifact: Result<&[u8], &str>,
    subject: &str,
    issuer: &str,
    trusted_root: Option<&[u8]>,
    staging: bool,
) -> Result<KeylessProof, TrustError> {
    let document = trusted_root.map(document).transpose()?;
    prove(bundle, &named(artifact)?, document.as_ref(), staging, Some((subject, issuer)))
}

/// Verifies the bundle of any artifact: by this key (PEM), and in a transparency log that the trusted root names.
///
/// # Errors
/// As for [`verify_keyless`], or if the key is none.
pub fn verify_with_key(
    bundle: &[u8],
    artifact: Result<&[u8], &str>,
    key_pem: &str,
    trusted_root: Option<&[u8]>,
    staging: bool,
) -> Result<KeylessProof, TrustError> {
    let document = trusted_root.map(document).transpose()?;
    let root = document.as_ref().map_or_else(|| public_good(staging), read_trusted_root)?;
    let key = DerPublicKey::from_pem(key_pem)
        .map_err(|_| TrustError::Key { problem: "expected a public key in PEM" })?;
    run(bundle, &named(artifact)?, &root, &PublicKeyVerificationPolicy::new(key))
}

fn document(bytes: &[u8]) -> Result<serde_json::Value, TrustError> {
    let wrong = |error: serde_json::Error| TrustError::Root { problem: error.to_string() };
    serde_json::from_slice(bytes).map_err(wrong)
}
