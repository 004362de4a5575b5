//! Why something was refused.

use loong_inspect::InspectError;
use loong_manifest::{Code, Digest, InterfaceName, ManifestError, OperationName, escape};

use crate::file::FileError;
use crate::{KeyId, UtcTime};

/// Why a component, a signature, a key or a trust root was refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The component itself cannot be read.
    #[error(transparent)]
    Component(#[from] InspectError),
    /// The manifest in the component is not valid.
    #[error("the manifest is not valid: {0}")]
    Manifest(#[from] ManifestError),
    /// The manifest takes the publisher that is kept for components without a manifest.
    #[error("the manifest claims the reserved publisher `{publisher}`")]
    PublisherReserved {
        /// The publisher.
        publisher: &'static str,
    },
    /// The component imports an interface that only a manifest can ask for, or is to be signed without one.
    #[error("the component holds no manifest; {why}")]
    ManifestMissing {
        /// What needs one.
        why: String,
    },
    /// The component imports more than its manifest declares.
    #[error("imports `{}`, but its manifest does not declare `{capability}` for it", escape(import))]
    ImportUndeclared {
        /// The interface, or the operation of another plugin.
        import: String,
        /// The member of `capabilities` that would declare it.
        capability: &'static str,
    },
    /// The component imports what no capability opens.
    #[error("imports `{}`, which this host does not offer", escape(import))]
    ImportUnknown {
        /// The import's name.
        import: String,
    },
    /// The component is built for another version of a contract.
    #[error("is built for `{interface}`, and this host offers {offered}")]
    ContractUnsupported {
        /// The interface that it imports or exports.
        interface: InterfaceName,
        /// What the host offers instead.
        offered: String,
    },
    /// The component offers an operation that its manifest does not list.
    #[error("exports the operation `{operation}`, but its manifest does not list it")]
    OperationUndeclared {
        /// The operation.
        operation: OperationName,
    },
    /// The manifest lists an operation that the component does not offer.
    #[error("the manifest lists the operation `{operation}`, but the component does not offer it")]
    OperationMissing {
        /// The operation.
        operation: OperationName,
    },
    /// The manifest describes an operation with other types than it has.
    #[error("the manifest describes the {side} of `{operation}` otherwise than the component does")]
    SchemaDiffers {
        /// The operation.
        operation: OperationName,
        /// `input` or `output`.
        side: &'static str,
    },
    /// The bundle is not well-formed, or holds what is not read.
    #[error("the signature file is not well-formed: {}", escape(problem))]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// The signature does not fit the key and the statement.
    #[error("the signature does not fit the statement and key {}", key_id.short())]
    SignatureInvalid {
        /// The key that the bundle names.
        key_id: KeyId,
    },
    /// The key was revoked.
    #[error("key {} was revoked on {since}: {}", key_id.short(), escape(reason))]
    KeyRevoked {
        /// The key.
        key_id: KeyId,
        /// Why.
        reason: String,
        /// When. All its signatures are refused, older ones too: nothing proves when they were made.
        since: UtcTime,
    },
    /// The key is past its expiry.
    #[error("key {} (`{}`) expired on {expired}", key_id.short(), escape(label))]
    KeyExpired {
        /// The key.
        key_id: KeyId,
        /// What the trust root calls it.
        label: String,
        /// When it expired.
        expired: UtcTime,
    },
    /// The key's time has not come.
    #[error("key {} (`{}`) may sign from {not_before} on", key_id.short(), escape(label))]
    KeyNotYetValid {
        /// The key.
        key_id: KeyId,
        /// What the trust root calls it.
        label: String,
        /// From when on it may sign.
        not_before: UtcTime,
    },
    /// Fewer have signed than have to.
    #[error("for publisher `{publisher}` {need} have to sign, and {have} did")]
    Threshold {
        /// The publisher of the component.
        publisher: String,
        /// How many signed.
        have: usize,
        /// How many have to.
        need: usize,
    },
    /// A certificate is for somebody else than who may sign.
    #[error("signed by somebody else: {}", escape(problem))]
    OtherIdentity {
        /// Who it is.
        problem: String,
    },
    /// What was signed is not about this component.
    #[error("the signature is for something else: {}", escape(problem))]
    OtherArtifact {
        /// What differs.
        problem: String,
    },
    /// The certificate, the log entry or the signature does not hold.
    #[error("the keyless signature does not hold: {}", escape(problem))]
    Keyless {
        /// What does not hold.
        problem: String,
    },
    /// Nobody whose word counts says where the component was built.
    #[error("components of publisher `{publisher}` need a provenance that the trust root asks for")]
    ProvenanceMissing {
        /// The publisher of the component.
        publisher: String,
    },
    /// The signature is for other bytes.
    #[error("the signature is for {}, these bytes are {}", signed.short(), found.short())]
    OtherBytes {
        /// The digest that was signed.
        signed: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The signed statement is about these bytes and says something of them that is not so.
    #[error("the signed statement gives another `{field}` than the component has")]
    OtherComponent {
        /// The member of the statement.
        field: String,
    },
    /// The key may not sign for the publisher.
    #[error("key {} (`{}`) may not sign for publisher `{publisher}`", key_id.short(), escape(label))]
    Namespace {
        /// The key.
        key_id: KeyId,
        /// What the trust root calls it.
        label: String,
        /// The publisher of the component.
        publisher: String,
    },
    /// Nobody signed the document.
    #[error("it has no signature")]
    Unsigned,
    /// The trust root does not name the key that signed the document.
    #[error("the trust root does not name the key `{hint}` that signed it")]
    KeyUnknown {
        /// What the bundle calls the key, safe to show.
        hint: String,
    },
    /// The key that signed the document vouches for components below the tier `official` only.
    #[error("key {} (`{}`) is not official for any publisher", key_id.short(), escape(label))]
    NotOfficial {
        /// The key.
        key_id: KeyId,
        /// What the trust root calls it.
        label: String,
    },
    /// The trust root is past its expiry, so it vouches for no key.
    #[error("the trust root expired on {expired}")]
    RootExpired {
        /// When it expired.
        expired: UtcTime,
    },
    /// The trust root is not valid.
    #[error("the trust root is not valid: {}", escape(problem))]
    Root {
        /// What is wrong.
        problem: String,
    },
    /// A text or file is no usable key.
    #[error("not a usable ed25519 key: {problem}")]
    Key {
        /// What is wrong.
        problem: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TrustError {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Component(error) => error.code(),
            Self::Manifest(error) => error.code(),
            Self::PublisherReserved { .. } => Code::ManifestInvalid,
            Self::ManifestMissing { .. } => Code::ManifestMissing,
            Self::ImportUndeclared { .. } | Self::OperationUndeclared { .. } => Code::ManifestUnderdeclared,
            Self::ImportUnknown { .. } => Code::ImportUnknown,
            Self::ContractUnsupported { .. } => Code::ContractUnsupported,
            Self::OperationMissing { .. } | Self::SchemaDiffers { .. } => Code::ManifestMismatch,
            Self::Malformed { .. } => Code::SignatureMalformed,
            Self::SignatureInvalid { .. } | Self::Keyless { .. } => Code::SignatureInvalid,
            Self::KeyNotYetValid { .. } => Code::SignatureKeyNotYetValid,
            Self::Threshold { .. } => Code::SignatureThreshold,
            Self::OtherIdentity { .. } => Code::SignatureIdentity,
            Self::ProvenanceMissing { .. } => Code::ProvenanceMissing,
            Self::KeyRevoked { .. } => Code::SignatureKeyRevoked,
            Self::KeyExpired { .. } => Code::SignatureKeyExpired,
            Self::OtherBytes { .. } | Self::OtherArtifact { .. } | Self::OtherComponent { .. } => {
                Code::SignatureOtherBytes
            }
            Self::Unsigned | Self::KeyUnknown { .. } => Code::UnsignedRefused,
            Self::Namespace { .. } | Self::NotOfficial { .. } => Code::SignatureNamespace,
            Self::RootExpired { .. } => Code::RootExpired,
            Self::Root { .. } => Code::RootInvalid,
            Self::Key { .. } => Code::KeyInvalid,
            Self::Random(_) => Code::HostFailed,
            Self::File(error) => error.code(),
        }
    }

    pub(crate) fn malformed(problem: impl Into<String>) -> Self {
        Self::Malformed { problem: problem.into() }
    }
}
