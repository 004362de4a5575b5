//! SLSA provenance: who says where and by what a component was built.

use serde::Deserialize;

use crate::{Signer, TrustError};

/// The type of what such a statement says (SLSA 1.0).
pub const PROVENANCE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// What somebody whom the trust root names says of how a component was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Who says it.
    pub signer: Signer,
    /// What built it.
    pub builder: String,
    /// What it was built from, without `git+` and without what follows `@`.
    pub sources: Vec<String>,
}

// Others write these statements, with members that are of no matter here, so unknown ones are let be.
#[derive(Deserialize)]
struct Statement {
    #[serde(default)]
    subject: Vec<Subject>,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    #[serde(default)]
    resolved_dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    #[serde(default)]
    uri: String,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

/// The type of what a statement says, if it is one of in-toto.
pub(crate) fn predicate_type(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "predicateType")]
        predicate_type: String,
    }
    serde_json::from_slice::<Head>(payload).ok().map(|head| head.predicate_type)
}

impl Provenance {
    /// Reads what a signer said of the component of this digest (hexadecimal digits).
    pub(crate) fn read(payload: &[u8], sha256: &str, signer: Signer) -> Result<Self, TrustError> {
        let statement: Statement = serde_json::from_slice(payload)
            .map_err(|error| TrustError::malformed(format!("in the provenance, {error}")))?;
        let is_about =
            |subject: &Subject| subject.digest.get("sha256").is_some_and(|digest| digest == sha256);
        if !statement.subject.iter().any(is_about) {
            return Err(TrustError::OtherArtifact {
                problem: "the provenance does not name this component".into(),
            });
        }
        let Predicate { build_definition, run_details } = statement.predicate;
        let plain = |dependency: Dependency| {
            let uri = dependency.uri.strip_prefix("git+").unwrap_or(&dependency.uri);
            uri.split('@').next().unwrap_or_default().to_owned()
        };
        let sources = build_definition.resolved_dependencies.into_iter().map(plain).collect();
        Ok(Self { signer, builder: run_details.builder.id, sources })
    }
}
