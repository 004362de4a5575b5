//! Who may vouch for components besides keys: identities of an OpenID Connect issuer, several signers together,
//! and builders whose word on where a component was built is asked for.

use loong_manifest::{Digest, PluginId, Tier, escape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::root::{Namespace, check_namespaces, check_text, unique, wrong};
use crate::{KeyId, TrustError, UtcTime};

/// Most signers of a quorum or of a provenance rule.
const SIGNERS_MAX: usize = 64;

/// An identity that Sigstore's certificate authority gives certificates to (keyless signing), and what it may
/// sign for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootIdentity {
    /// What people call it.
    pub label: String,
    /// The issuer of its identity token, exactly: `https://token.actions.githubusercontent.com`.
    pub issuer: String,
    /// Which subjects of the issuer are meant.
    pub subject: Subject,
    /// Before this time its signatures are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UtcTime>,
    /// From when on its signatures are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UtcTime>,
    /// What it may sign for.
    #[serde(default)]
    pub namespaces: Vec<Namespace>,
}

/// Subjects of an issuer: the one e-mail address or URI of a certificate's subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// This subject.
    Is(String),
    /// Every subject that begins so. It ends with `/`, behind at least one part of a path: without that end
    /// `https://code.example/acme` would be the beginning of `https://code.example/acme-evil` too.
    Within(String),
}

/// Several signers of whom so many give a tier together that none of them need give alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// The publisher of the components.
    pub publisher: String,
    /// What they are when enough have signed.
    pub tier: Tier,
    /// How many have to sign.
    pub require: Require,
    /// The ids of keys and identities, each of them once.
    pub signers: Vec<KeyId>,
}

/// How many of several signers have to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// Every one.
    All,
    /// One.
    Any,
    /// At least so many.
    AtLeast(u16),
}

/// Components of a publisher are refused without the word of one of these signers on where they were built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvenanceRule {
    /// The publisher of the components.
    pub publisher: String,
    /// The ids of the keys and identities whose word counts.
    pub signers: Vec<KeyId>,
    /// The builder, exactly: `runDetails.builder.id` of the SLSA provenance.
    pub builder: String,
    /// The source: one of the `resolvedDependencies`, without `git+` and without what follows `@`.
    pub source: Subject,
}

impl RootIdentity {
    /// The identity's name among signers: what it is, not what it is called. All subjects of one prefix are one
    /// signer.
    pub fn id(&self) -> KeyId {
        identity_id(&self.issuer, &self.subject)
    }

    /// Whether a certificate is this identity's.
    pub(crate) fn matches(&self, issuer: &str, subject: &str) -> bool {
        self.issuer == issuer && self.subject.covers(subject)
    }

    pub(crate) fn check(&self) -> Result<(), TrustError> {
        check_text("label", &self.label)?;
        check_text("issuer", &self.issuer)?;
        if !self.issuer.starts_with("https://") {
            return Err(wrong(format!("the issuer `{}` does not begin with https://", self.issuer)));
        }
        self.subject.check()?;
        check_namespaces(&self.namespaces)
    }
}

/// The name of these subjects of an issuer among signers.
pub(crate) fn identity_id(issuer: &str, subject: &Subject) -> KeyId {
    let (how, text) = match subject {
        Subject::Is(text) => ("is", text),
        Subject::Within(text) => ("within", text),
    };
    KeyId::from(Digest::of(format!("identity\n{issuer}\n{how}\n{text}\n").as_bytes()))
}

impl Subject {
    /// Whether a subject is meant.
    pub fn covers(&self, subject: &str) -> bool {
        match self {
            Self::Is(one) => one == subject,
            Self::Within(beginning) => {
                // A part `..` would lead out again.
                subject.strip_prefix(beginning.as_str()).is_some_and(|rest| {
                    !rest.is_empty() && rest.split('/').all(|part| part != ".." && part != ".")
                })
            }
        }
    }

    fn check(&self) -> Result<(), TrustError> {
        let (Self::Is(text) | Self::Within(text)) = self;
        check_text("subject", text)?;
        let Self::Within(beginning) = self else { return Ok(()) };
        let path = beginning.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
        let is_anchored =
            path.is_some_and(|(host, path)| !host.is_empty() && path.len() > 1 && path.ends_with('/'));
        if !is_anchored || beginning.ends_with("//") {
            return Err(wrong(format!(
                "`{}` is no https: URL of a server and a path that ends with `/`",
                escape(beginning)
            )));
        }
        Ok(())
    }
}

impl Quorum {
    /// How many signers there have to be.
    pub fn needed(&self) -> usize {
        match self.require {
            Require::All => self.signers.len(),
            Require::Any => 1,
            Require::AtLeast(count) => count.into(),
        }
    }

    pub(crate) fn check(&self, signer: impl Fn(&KeyId) -> Option<KeyId>) -> Result<(), TrustError> {
        check_publisher(&self.publisher, Some(self.tier))?;
        check_signers(&self.signers, signer)?;
        if self.needed() == 0 || self.needed() > self.signers.len() {
            return Err(wrong(format!(
                "publisher `{}` needs {} signers, and {} are named",
                self.publisher,
                self.needed(),
                self.signers.len()
            )));
        }
        Ok(())
    }
}

impl ProvenanceRule {
    pub(crate) fn check(&self, signer: impl Fn(&KeyId) -> Option<KeyId>) -> Result<(), TrustError> {
        check_publisher(&self.publisher, None)?;
        check_text("builder", &self.builder)?;
        self.source.check()?;
        check_signers(&self.signers, signer)
    }
}

fn check_publisher(publisher: &str, tier: Option<Tier>) -> Result<(), TrustError> {
    let tier = tier.unwrap_or(Tier::Official);
    check_namespaces(&[Namespace { publisher: publisher.to_owned(), tier }])
}

/// `signer` says which signer of the root an id is; keys that took each other's places are one.
fn check_signers(signers: &[KeyId], signer: impl Fn(&KeyId) -> Option<KeyId>) -> Result<(), TrustError> {
    if signers.is_empty() || signers.len() > SIGNERS_MAX {
        return Err(wrong(format!("`signers` does not have 1 to {SIGNERS_MAX} entries")));
    }
    let mut distinct = Vec::new();
    for id in signers {
        let unknown = || wrong(format!("the signer {} is no key or identity in it", id.short()));
        distinct.push(signer(id).ok_or_else(unknown)?);
    }
    unique("signers", distinct.iter())
}

/// Whether a publisher's name can be signed for.
pub(crate) fn is_publisher(publisher: &str) -> bool {
    PluginId::new(publisher, "any").is_ok() && publisher != crate::UNSIGNED_PUBLISHER
}
