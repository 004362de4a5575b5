//! What is signed: an in-toto statement (version 1) about one component.

use loong_manifest::{Digest, PluginId, strict};
use serde::{Deserialize, Serialize};

use crate::{Candidate, TrustError};

/// The type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of what it says.
pub const PREDICATE_TYPE: &str = "urn:loong:component:v1";

/// The statement. Everything in it follows from the component, so a verifier computes it and compares.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
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
    /// `publisher:name@version`.
    name: String,
    digest: SubjectDigest,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: String,
}

/// What the signer saw. The digest alone would bind all of it; it is here for those who read the statement
/// without having the component, such as a registry.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    id: PluginId,
    version: semver::Version,
    size_bytes: u64,
    /// The digest of the manifest, as it is embedded.
    manifest: Digest,
    /// The names of the capabilities that it asks for, sorted.
    capabilities: Vec<String>,
    /// The names of the imports, sorted.
    imports: Vec<String>,
    /// The names of the exports, sorted.
    exports: Vec<String>,
}

impl Statement {
    /// The one true statement about a component.
    pub(crate) fn about(candidate: &Candidate) -> Result<Self, TrustError> {
        let contents = candidate.contents();
        let (Some(manifest), Some(embedded)) = (candidate.manifest(), &contents.manifest) else {
            return Err(TrustError::ManifestMissing { why: "only components with one can be signed".into() });
        };
        let sorted = |externs: &[loong_inspect::Extern]| {
            let mut names: Vec<String> = externs.iter().map(|each| each.name.clone()).collect();
            names.sort_unstable();
            names
        };
        let capabilities = serde_json::to_value(&manifest.capabilities).unwrap_or_default();
        let mut capabilities: Vec<String> =
            capabilities.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        capabilities.sort_unstable();
        Ok(Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: [Subject {
                name: format!("{}@{}", manifest.id, manifest.version),
                digest: SubjectDigest { sha256: candidate.digest().to_hex() },
            }],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                id: manifest.id.clone(),
                version: manifest.version.clone(),
                size_bytes: candidate.bytes().len() as u64,
                manifest: Digest::of(embedded),
                capabilities,
                imports: sorted(&contents.imports),
                exports: sorted(&contents.exports),
            },
        })
    }

    pub(crate) fn read(payload: &[u8]) -> Result<Self, TrustError> {
        let wrong = |error: strict::StrictError| TrustError::malformed(format!("in the statement, {error}"));
        let statement: Self = strict::read(payload).map_err(wrong)?;
        if statement.statement_type != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
            return Err(TrustError::malformed(format!("it holds no `{PREDICATE_TYPE}` statement")));
        }
        Ok(statement)
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>, TrustError> {
        serde_json::to_vec(self).map_err(|error| TrustError::malformed(error.to_string()))
    }

    /// Whether a signed statement is the one about the component.
    pub(crate) fn check(&self, candidate: &Candidate) -> Result<(), TrustError> {
        let [Subject { digest: SubjectDigest { sha256 }, .. }] = &self.subject;
        let signed = Digest::from_hex(sha256)
            .ok_or_else(|| TrustError::malformed("the subject's digest is not SHA-256 in lower case"))?;
        if signed != *candidate.digest() {
            return Err(TrustError::OtherBytes { signed, found: *candidate.digest() });
        }
        let truth = Self::about(candidate)?;
        if *self == truth {
            return Ok(());
        }
        Err(TrustError::OtherComponent { field: self.difference(&truth) })
    }

    /// The first member in which two statements differ, for the message.
    fn difference(&self, other: &Self) -> String {
        let members = |statement: &Self| serde_json::to_value(&statement.predicate).unwrap_or_default();
        let (ours, theirs) = (members(self), members(other));
        let differs =
            ours.as_object().into_iter().flatten().find(|(name, value)| theirs.get(name) != Some(value));
        differs.map_or_else(|| "subject".to_owned(), |(name, _)| name.clone())
    }
}
