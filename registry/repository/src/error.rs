//! Why something was refused.

use std::path::PathBuf;

use loong_inspect::InspectError;
use loong_manifest::{Code, PluginId, escape};
use loong_trust::TrustError;
use loong_trust::file::FileError;

use crate::resolve::ResolveError;

/// Why a repository was refused, or what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The metadata does not hold: who signed it, how old it is, or what it says.
    #[error("{}", metadata_text(.0))]
    Metadata(#[source] Box<sigstore_tuf::Error>),
    /// A document of the repository is not what its place asks for.
    #[error("{} is not valid: {}", escape(what), escape(problem))]
    Invalid {
        /// Which document.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A file is no package of a component.
    #[error("it is not a package of a component: {}", escape(problem))]
    Package {
        /// What is wrong.
        problem: String,
    },
    /// What was seen of the repository cannot be kept.
    #[error("what was seen of the repository cannot be kept: {}", escape(problem))]
    Forgetful {
        /// Why.
        problem: String,
    },
    /// There is no repository.
    #[error("`{}` holds no repository", escape(&path.display().to_string()))]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// There is a repository where one is to be begun.
    #[error("`{}` holds a repository already", escape(&path.display().to_string()))]
    There {
        /// The folder.
        path: PathBuf,
    },
    /// A role is to be changed that does not exist.
    #[error("there is no role `{}`", escape(role))]
    RoleUnknown {
        /// The role.
        role: String,
    },
    /// Nobody may publish for the publisher yet.
    #[error("the repository names no publisher `{publisher}`")]
    PublisherUnknown {
        /// The publisher.
        publisher: String,
    },
    /// The version is not there.
    #[error("`{id}` {version} is not in the repository")]
    EntryUnknown {
        /// The plugin.
        id: PluginId,
        /// The version.
        version: semver::Version,
    },
    /// The version is there with other bytes. A version is published once.
    #[error("{entry} is there already with other bytes: {there} and not {found}")]
    EntryDiffers {
        /// The plugin and its version.
        entry: String,
        /// The beginning of the digest that is published.
        there: String,
        /// The beginning of the digest of the other bytes.
        found: String,
    },
    /// Documents wait for signatures.
    #[error("too few signatures: {}", waiting.join("; "))]
    Unsigned {
        /// Each document, and which keys may still sign it.
        waiting: Vec<String>,
    },
    /// The rules of the scan cannot be used.
    #[error("the rules of the scan are not valid: {}", escape(problem))]
    Rules {
        /// What is wrong.
        problem: String,
    },
    /// The lock file is not one.
    #[error("the lock file is not valid: {}", escape(problem))]
    Lock {
        /// What is wrong.
        problem: String,
    },
    /// A file that was to be installed is not in the store as it must be.
    #[error("the store does not hold all of `{id}` {digest}")]
    StoreIncomplete {
        /// The plugin.
        id: PluginId,
        /// The beginning of the component's digest.
        digest: String,
    },
    /// There is no way to install or remove what was asked for.
    #[error(transparent)]
    Resolve(#[from] Box<ResolveError>),
    /// The clock of this machine gives no usable time.
    #[error("the clock of this machine is not usable: {problem}")]
    Clock {
        /// What is wrong.
        problem: &'static str,
    },
    /// A component or its manifest is not valid.
    #[error(transparent)]
    Component(#[from] InspectError),
    /// A component or a key was refused.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder could not be made or listed.
    #[error("cannot use the folder {}", escape(&path.display().to_string()))]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<sigstore_tuf::Error> for RepositoryError {
    fn from(error: sigstore_tuf::Error) -> Self {
        Self::Metadata(Box::new(error))
    }
}

impl RepositoryError {
    /// The public code.
    pub fn code(&self) -> Code {
        use sigstore_tuf::Error;
        match self {
            Self::Metadata(error) => match &**error {
                Error::Expired { .. } => Code::RepositoryExpired,
                Error::Rollback { .. } | Error::BadRootVersion { .. } => Code::RepositoryRollback,
                Error::ThresholdNotMet { .. } | Error::DuplicateSignature { .. } => Code::RepositoryUnsigned,
                Error::IntegrityMismatch(_) => Code::RepositoryMismatch,
                Error::TargetNotFound(_) => Code::EntryUnknown,
                Error::Transport { .. } => Code::RepositoryUnreachable,
                Error::Io { .. } => Code::FileUnreadable,
                _ => Code::RepositoryInvalid,
            },
            Self::Invalid { .. } => Code::RepositoryInvalid,
            Self::Absent { .. } => Code::RepositoryUnreachable,
            Self::There { .. } => Code::FileUnwritable,
            Self::RoleUnknown { .. } | Self::PublisherUnknown { .. } => Code::RoleUnknown,
            Self::EntryUnknown { .. } => Code::EntryUnknown,
            Self::EntryDiffers { .. } => Code::EntryDiffers,
            Self::Unsigned { .. } => Code::RepositoryUnsigned,
            Self::Rules { .. } => Code::ConfigInvalid,
            Self::Lock { .. } => Code::LockInvalid,
            Self::StoreIncomplete { .. } => Code::StoreIncomplete,
            Self::Resolve(error) => match **error {
                ResolveError::Unknown { .. } => Code::EntryUnknown,
                ResolveError::Yanked { .. } => Code::EntryYanked,
                ResolveError::Differs { .. } => Code::EntryDiffers,
                ResolveError::Downgrade { .. } => Code::DowngradeRefused,
                ResolveError::Unsatisfied { .. } | ResolveError::TooMany => Code::DependencyMissing,
                ResolveError::Slot { .. } => Code::SlotTaken,
                ResolveError::Needed { .. } => Code::DependencyNeeded,
            },
            Self::Package { .. } => Code::PackageInvalid,
            Self::Clock { .. } => Code::ClockInvalid,
            Self::Component(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Folder { .. } | Self::Forgetful { .. } => Code::FileUnwritable,
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), problem: problem.into() }
    }
}

/// What the library says, without the words that only its authors know.
fn metadata_text(error: &sigstore_tuf::Error) -> String {
    use sigstore_tuf::Error;
    let text = match error {
        Error::Expired { role, expires } => format!("the {role} document expired on {expires}"),
        Error::Rollback { role, trusted, new } => {
            format!("the {role} document has version {new}, and version {trusted} was seen before")
        }
        Error::BadRootVersion { trusted, new } => {
            format!("a root document of version {new} follows version {trusted}")
        }
        Error::ThresholdNotMet { role, found, threshold } => {
            format!("the {role} document has {found} of {threshold} signatures that count")
        }
        Error::DuplicateSignature { role, .. } => {
            format!("the {role} document has two signatures of one key")
        }
        Error::IntegrityMismatch(problem) => problem.clone(),
        Error::Transport { message, .. } => message.clone(),
        other => other.to_string(),
    };
    escape(&text)
}
