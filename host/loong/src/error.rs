//! What a person is told when something did not work: facts, then blame, then a hint. Hints and exit codes
//! are chosen here and nowhere else.

use loong_inspect::InspectError;
use loong_kernel::Fault;
use loong_manifest::{Code, ManifestError};
use loong_policy::{Denial, PolicyError, RiskProfileError};
use loong_runtime::LoadError;
use loong_trust::TrustError;
use loong_trust::file::FileError;
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Why a command did not do what was asked.
#[derive(Debug, Clone)]
pub struct CommandError {
    /// The public code; it decides the exit code.
    pub code: Code,
    /// The fact, as one lower-case phrase.
    pub headline: String,
    /// More facts, and who is to blame.
    pub details: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// The request for an approval that waits, where that is what is missing.
    pub approval: Option<String>,
}

impl Serialize for CommandError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("error", 6)?;
        error.serialize_field("code", &self.code)?;
        error.serialize_field("message", &self.headline)?;
        error.serialize_field("details", &self.details)?;
        error.serialize_field("hint", &self.hint)?;
        error.serialize_field("approval", &self.approval)?;
        error.serialize_field("exit", &self.code.blame().exit_code())?;
        error.end()
    }
}

impl CommandError {
    /// An error with the usual hint for its code.
    pub fn new(code: Code, headline: impl Into<String>) -> Self {
        let hint = hint(code).map(str::to_owned);
        Self { code, headline: headline.into(), details: Vec::new(), hint, approval: None }
    }

    /// The same with one more fact.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// The same with a hint that fits better than the usual one.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error with what caused it as further facts, as far as its own text does not hold them.
    pub fn caused(code: Code, error: &dyn std::error::Error) -> Self {
        let mut all = Self::new(code, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !all.headline.contains(&text) && !all.details.contains(&text) {
                all.details.push(text);
            }
            source = cause.source();
        }
        all
    }

    /// What happened while something was done to a file.
    pub fn file(code: Code, doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(code, format!("cannot {doing} `{}`", path.display())).detail(error.to_string())
    }
}

/// The usual next step.
const fn hint(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::ApprovalRequired => {
            "it was not done; `loong approvals list` shows what waits, `loong policy explain OPERATION` why"
        }
        Code::AuditBroken => {
            "keep the file as evidence; `loong audit verify` says what is wrong, `loong audit accept` how to begin anew"
        }
        Code::ApprovalUnknown => "`loong approvals list --all` shows requests and grants",
        Code::ApprovalDenied => "a person said no to exactly this; `loong approvals show ID` says when",
        Code::ApprovalStale | Code::ApprovalExpired => "run it again: it is asked for anew",
        Code::RunUnknown => "`loong sessions list` shows the runs that wait",
        Code::AuditUnavailable => {
            "make room on the disk that holds the data folder, see `loong doctor`; nothing runs without its audit trail"
        }
        Code::CapabilityDenied | Code::TierTooLow => {
            "read what it asks with `loong plugins info FILE`, and what decides with `loong run FILE --dry-run`"
        }
        Code::ComponentCoreModule => "build it for `wasm32-wasip2`, or pack it with `loong plugins build`",
        Code::ComponentTruncated => "the download or copy is not complete; fetch the file again",
        Code::CircuitOpen | Code::PluginQuarantined => {
            "`loong plugins status` says what it failed of, `loong plugins clear ID` lets it be called again"
        }
        Code::HealthFailed | Code::SwapRefused => {
            "the version that is active goes on serving; `loong plugins status ID` shows its swaps"
        }
        Code::CompileLimit => {
            "the component is too large for its tier, or hostile; see `loong plugins check FILE`"
        }
        Code::ContractUnsupported => {
            "`loong plugins compat FILE` shows what it needs and what is offered; take another version of it, or of Loong"
        }
        Code::Deadline => {
            "a manifest can ask for more time in `limits.deadline_ms`, up to what its tier allows"
        }
        Code::EgressDenied => {
            "a component reaches only what its manifest names, and your own network only where you name it, with `--allow-host HOST:PORT` or `egress.allow_private` in loong.toml"
        }
        Code::HostFailed => "this is a mistake in loong; please report it with the output of `loong doctor`",
        Code::ImportUnknown => {
            "put the component that offers the interface beside this one, or name it with `--with FILE`"
        }
        Code::ManifestMissing => {
            "what it imports has to be asked for: write a `loong.plugin.json` and build with `loong plugins build`"
        }
        Code::PackageInvalid => {
            "nothing of it was used; ask its author for one that `loong plugins package` made"
        }
        Code::SinkFailed => {
            "`loong audit sinks` shows what each sink has; mend what is wrong, and try `loong audit deliver`"
        }
        Code::CheckpointInvalid => {
            "`loong audit verify` says what does not fit; `loong audit accept` binds the log to what is here now"
        }
        Code::StoreCorrupt => {
            "keep the file as evidence and put a copy of it back, or move it away and see `loong audit accept`"
        }
        Code::StoreLocked => "wait for the other process, or end it; `fuser` names who has the file open",
        Code::StoreUnavailable => "make room on the disk that holds the data folder, see `loong doctor`",
        Code::ManifestInvalid => {
            "the schema is registry/schema/loong.plugin.schema.json; `loong plugins check FILE` shows all checks"
        }
        Code::ManifestUnderdeclared => {
            "add what is missing to `loong.plugin.json`, with a reason, and build again"
        }
        Code::NotWasm => "a component is a WebAssembly binary; build one with `loong plugins build`",
        Code::OperationUnknown => "`loong tools list` shows what can be called",
        Code::OperationAmbiguous => "give the full name, `namespace:package/interface#function`",
        Code::PluginUnknown => "give the path of a .wasm file, or an id that `loong plugins list` shows",
        Code::PolicyDenied => {
            "`loong policy explain OPERATION` says which policies decide and what would change the answer"
        }
        Code::PolicyInvalid => {
            "`loong policy check` shows every mistake; nothing is allowed until it is mended"
        }
        Code::EntryDiffers => "a version is published once: give the other bytes a version of their own",
        Code::EntryUnknown => "`loong registry verify` lists what a repository holds",
        Code::RepositoryExpired => {
            "whoever keeps the repository runs `loong registry publish`; if they did, somebody serves you an old copy"
        }
        Code::RepositoryMismatch | Code::RepositoryRollback => {
            "what is served was changed, mixed or set back; nothing was taken from it"
        }
        Code::RepositoryUnreachable => {
            "begin one with `loong registry init`, serve it with `loong registry publish`"
        }
        Code::RepositoryUnsigned => {
            "`loong registry sign` signs with your keys; copy the repository to whoever has the others, and take their drafts with `--import`"
        }
        Code::DependencyMissing => {
            "connect the registry that has what it needs with `loong registry connect`, or install that first"
        }
        Code::DependencyNeeded => "remove both: name the other one too",
        Code::DowngradeRefused => "`--downgrade` takes an older version on purpose",
        Code::EntryYanked => "install another version: `loong plugins search ID --all` lists them",
        Code::LockInvalid => "`loong plugins undo` goes back to the installation before",
        Code::SlotTaken => "remove the one that has the slot, or do without the other",
        Code::StoreIncomplete => "`loong plugins install ID` fetches its files anew",
        Code::RoleUnknown => "`loong registry publisher NAME --tier TIER` lets somebody publish",
        Code::RiskProfileInvalid => {
            "if what it says is what you want, sign it with `loong policy sign FILE` and pin the sha256 that prints; nothing runs before"
        }
        Code::RootExpired | Code::RootInvalid => "`loong registry keys list` shows the trust root",
        Code::ScanBlocked => {
            "`loong plugins check FILE` lists every finding; what is looked for is in scan.toml, see policies/README.md"
        }
        Code::SecretUnknown => {
            "`loong secrets list` shows what is set; `loong secrets set NAME --host HOST` sets one"
        }
        Code::SignatureOtherBytes => {
            "the component was changed after it was signed; build or fetch both files again"
        }
        Code::SignatureInvalid | Code::SignatureMalformed => {
            "fetch the component and its .sigstore.json again, or sign it with `loong plugins sign`"
        }
        Code::SignatureKeyRevoked | Code::SignatureKeyExpired => {
            "get a version that is signed with a current key"
        }
        Code::SignatureKeyNotYetValid => {
            "wait, or get a version that is signed with a key whose time has come"
        }
        Code::SignatureThreshold => {
            "the others sign it too with `loong plugins sign --add`, or somebody brings their bundles"
        }
        Code::SignatureIdentity => "`loong trust list` shows who may sign for whom",
        Code::ProvenanceMissing => {
            "put the builder's bundle (SLSA provenance) beside the component as NAME.wasm.sigstore.2.json"
        }
        Code::SignatureNamespace => {
            "the key may sign only for the publishers that the trust root names for it"
        }
        Code::UnsignedRefused => {
            "sign it with `loong plugins sign`, or run it under a policy that admits unsigned components"
        }
        _ => return None,
    })
}

impl From<TrustError> for CommandError {
    fn from(error: TrustError) -> Self {
        Self::caused(error.code(), &error)
    }
}

impl From<ManifestError> for CommandError {
    fn from(error: ManifestError) -> Self {
        Self::new(error.code(), format!("the manifest is not valid: {error}"))
    }
}

impl From<PolicyError> for CommandError {
    fn from(error: PolicyError) -> Self {
        let mut all = Self::new(error.code(), error.first.to_string());
        all.details = error.more.iter().map(ToString::to_string).collect();
        all
    }
}

impl From<RiskProfileError> for CommandError {
    fn from(error: RiskProfileError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Denial> for CommandError {
    fn from(denial: Denial) -> Self {
        Self::new(denial.code(), format!("cannot load `{}` {}", denial.plugin, denial.version))
            .detail(format!("denied: {denial}"))
            .detail(denial.blame())
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<loong_store::DecideError> for CommandError {
    fn from(error: loong_store::DecideError) -> Self {
        use loong_store::{ApprovalState, DecideError};
        let code = match &error {
            DecideError::Unknown(_) => Code::ApprovalUnknown,
            DecideError::Over { state: ApprovalState::Stale, .. } => Code::ApprovalStale,
            DecideError::Over { state: ApprovalState::Expired, .. } => Code::ApprovalExpired,
            DecideError::Over { .. } => Code::ApprovalUnknown,
            DecideError::TooMany => Code::LimitExceeded,
            DecideError::Store(error) => error.code(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<loong_store::SwapError> for CommandError {
    fn from(error: loong_store::SwapError) -> Self {
        let code = match &error {
            loong_store::SwapError::Failed(_) => Code::StoreUnavailable,
            _ => Code::SwapRefused,
        };
        Self::new(code, error.to_string())
    }
}

impl From<loong_store::StoreError> for CommandError {
    fn from(error: loong_store::StoreError) -> Self {
        Self::caused(error.code(), &error)
    }
}

impl From<loong_store::ProveError> for CommandError {
    fn from(error: loong_store::ProveError) -> Self {
        Self::caused(error.code(), &error)
    }
}

impl From<FileError> for CommandError {
    fn from(error: FileError) -> Self {
        Self::caused(error.code(), &error)
    }
}

impl From<InspectError> for CommandError {
    fn from(error: InspectError) -> Self {
        Self::caused(error.code(), &error)
    }
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        let mut error = Self::new(fault.code(), fault.to_string());
        if let Fault::NeedsApproval { approval: Some(approval), .. } = &fault {
            error.approval = Some(approval.clone());
            error = error.detail(format!("it waits as approval {approval}"));
        }
        match fault {
            Fault::Denied { policies, .. } | Fault::NeedsApproval { policies, .. }
                if !policies.is_empty() =>
            {
                error.detail(format!("decided by {}", policies.join(", ")))
            }
            _ => error,
        }
    }
}
