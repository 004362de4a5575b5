//! Signed documents that are no components: the same bundle file and the same keys, and a statement of another
//! type, so that a signature for the one is never one for the other.

use loong_manifest::{Digest, Tier, strict};
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::statement::STATEMENT_TYPE;
use crate::verify::{shown_hint, signing_key};
use crate::{Signer, SigningKey, TrustError, TrustRoot, UtcTime};

/// What a signed document is. It is part of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A risk profile.
    RiskProfile,
    /// What a person allows in advance.
    Grant,
}

impl Document {
    /// The type of what its statement says.
    pub const fn predicate_type(self) -> &'static str {
        match self {
            Self::RiskProfile => "urn:loong:risk-profile:v1",
            Self::Grant => "urn:loong:grant:v1",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::RiskProfile => "risk-profile",
            Self::Grant => "grant",
        }
    }
}

/// An in-toto statement about a document. It names the document's kind and not its file, which may be renamed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    size_bytes: u64,
}

impl Statement {
    fn about(kind: Document, bytes: &[u8]) -> Self {
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: [Subject {
                name: kind.name().to_owned(),
                digest: SubjectDigest { sha256: Digest::of(bytes).to_hex() },
            }],
            predicate_type: kind.predicate_type().to_owned(),
            predicate: Predicate { size_bytes: bytes.len() as u64 },
        }
    }
}

/// Signs a document: returns the bundle that belongs beside it.
///
/// # Errors
/// Never for a usable key; the encoder is fallible.
pub fn sign_document(key: &SigningKey, kind: Document, bytes: &[u8]) -> Result<Vec<u8>, TrustError> {
    let statement = serde_json::to_vec(&Statement::about(kind, bytes))
        .map_err(|error| TrustError::malformed(error.to_string()))?;
    Bundle::sign(key, &statement)
}

/// Who signed a document. A document decides about everybody's components, so unlike with a component nothing
/// but a good signature by a key that is official for some publisher will do.
///
/// # Errors
/// If there is no bundle, or it is anything but a valid signature over exactly this document of this kind by
/// such a key, which is good now.
pub fn verify_document(
    kind: Document,
    bytes: &[u8],
    bundle: Option<&[u8]>,
    root: &TrustRoot,
    now_unix_s: u64,
) -> Result<Signer, TrustError> {
    let bundle = Bundle::read(bundle.ok_or(TrustError::Unsigned)?)?;
    let key = signing_key(&bundle, root, UtcTime::from_unix_s(now_unix_s))?
        .ok_or_else(|| TrustError::KeyUnknown { hint: shown_hint(&bundle.hint) })?;
    // Nothing of the statement is read before it is known to be the key's.
    let statement: Statement = strict::read(&bundle.payload)
        .map_err(|error| TrustError::malformed(format!("in the statement, {error}")))?;
    let truth = Statement::about(kind, bytes);
    if (&statement.statement_type, &statement.predicate_type)
        != (&truth.statement_type, &truth.predicate_type)
    {
        return Err(TrustError::malformed(format!("it holds no `{}` statement", kind.predicate_type())));
    }
    let [Subject { digest: SubjectDigest { sha256 }, .. }] = &statement.subject;
    let signed = Digest::from_hex(sha256)
        .ok_or_else(|| TrustError::malformed("the subject's digest is not SHA-256 in lower case"))?;
    if signed != Digest::of(bytes) {
        return Err(TrustError::OtherBytes { signed, found: Digest::of(bytes) });
    }
    if statement != truth {
        return Err(TrustError::malformed("the statement says something of the document that is not so"));
    }
    if !key.namespaces.iter().any(|namespace| namespace.tier == Tier::Official) {
        return Err(TrustError::NotOfficial { key_id: key.key_id, label: key.label.clone() });
    }
    Ok(Signer { key_id: key.key_id, label: key.label.clone(), identity: None })
}
