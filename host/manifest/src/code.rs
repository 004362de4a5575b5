//! The one public list of codes. Every refusal and every fault carries one of these; they are stable,
//! and `registry/schema/codes.md` is generated from this list.

use serde::{Deserialize, Serialize};

/// Who has to act when something failed. It decides the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blame {
    /// The request is wrong: a file, a name or an argument.
    Request,
    /// The command line is wrong.
    CommandLine,
    /// Policy or trust refused.
    Refused,
    /// The plugin failed: trap, limit, deadline, or an answer that is not one.
    Plugin,
    /// A person must approve first.
    Approval,
    /// The host itself failed.
    Host,
}

impl Blame {
    /// The exit code of a process that ends for this reason.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::CommandLine => 2,
            Self::Refused => 3,
            Self::Plugin => 4,
            Self::Approval => 5,
            Self::Host => 70,
        }
    }
}

macro_rules! codes {
    ($($variant:ident $text:literal $blame:ident $meaning:literal;)*) => {
        /// A stable, public name for one way in which something can be refused or fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $(#[doc = $meaning] $variant,)* }

        impl Code {
            /// All codes, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as it is printed and recorded.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What the code means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Who has to act.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* }
            }
        }
    };
}

codes! {
    AbiMismatch "abi_mismatch" Request "a component offers an interface whose types differ from those the importer was built for";
    ApprovalDenied "approval_denied" Refused "a person denied the operation";
    ApprovalExpired "approval_expired" Refused "the approval or the request for one is past its expiry";
    ApprovalRequired "approval_required" Approval "the operation is allowed only after a person approved it";
    ApprovalStale "approval_stale" Refused "the component or the policies changed since the approval was asked for or given";
    ApprovalUnknown "approval_unknown" Request "no approval request and no grant has this name";
    ArgumentsInvalid "arguments_invalid" Request "the arguments do not fit the type of the operation";
    ArtifactCorrupt "artifact_corrupt" Host "a compiled artifact in the cache is not what the host wrote there";
    AuditBroken "audit_broken" Refused "the audit log was changed, shortened or reordered";
    AuditUnavailable "audit_unavailable" Host "the audit log cannot be written, so nothing is done";
    BenchExceeded "bench_exceeded" Refused "an operation uses more than the baseline that was recorded";
    CapabilityDenied "capability_denied" Refused "policy does not grant a capability that the component needs";
    CheckpointInvalid "checkpoint_invalid" Refused "a checkpoint of the audit log is not signed by the pinned key, or is for another log";
    CircuitOpen "circuit_open" Plugin "the plugin failed too often and is left alone for some time";
    ClockInvalid "clock_invalid" Host "the clock of this machine is further back than the last record";
    CommandLineInvalid "command_line_invalid" CommandLine "the command line is not understood";
    CompileFailed "compile_failed" Request "the component could not be compiled";
    CompileLimit "compile_limit" Refused "compiling the component took more time or memory than allowed";
    ComponentCoreModule "component_core_module" Request "the file is a core WebAssembly module, not a component";
    ComponentInvalid "component_invalid" Request "the file is not a valid component";
    ComponentTooLarge "component_too_large" Refused "the component is larger than its tier allows";
    ComponentTruncated "component_truncated" Request "the file ends in the middle of the component";
    ComponentUnsupported "component_unsupported" Request "the component uses a feature that the host does not offer";
    ConfigInvalid "config_invalid" Request "a settings file is wrong";
    ConfinementUnavailable "confinement_unavailable" Refused "this machine cannot confine a program as its execution tier asks";
    ContractUnsupported "contract_unsupported" Request "the component is built for a version of a contract that this host does not offer";
    Deadline "deadline" Plugin "the call did not end before its deadline";
    DependencyMissing "dependency_missing" Request "a plugin needs an interface that nothing offers";
    DependencyNeeded "dependency_needed" Refused "another installed plugin needs the one that would go";
    DepthExceeded "depth_exceeded" Plugin "calls between components are nested too deeply";
    DowngradeRefused "downgrade_refused" Refused "an older version would take the place of a newer one";
    EgressDenied "egress_denied" Refused "policy or the host's own rules do not let the plugin reach this address";
    EgressFailed "egress_failed" Plugin "a connection to another machine failed";
    EntryDiffers "entry_differs" Refused "the repository has this version of the plugin with other bytes";
    EntryUnknown "entry_unknown" Request "the repository has no such version or file";
    EntryYanked "entry_yanked" Refused "the version was taken back by its publisher";
    ExtensionDenied "extension_denied" Refused "a policy extension denied the operation";
    ExtensionFailed "extension_failed" Refused "a policy extension failed, so the operation is denied";
    FileUnreadable "file_unreadable" Request "a file or folder cannot be read";
    FileUnwritable "file_unwritable" Request "a file or folder cannot be written";
    GrantInvalid "grant_invalid" Refused "a grant file is not signed by a key that may approve, or is past its expiry";
    HealthFailed "health_failed" Refused "the component could not be instantiated, or its own check was not good";
    HostFailed "host_failed" Host "the host failed in a way that is its own mistake";
    ImportUnknown "import_unknown" Request "a component imports an interface that nothing offers";
    Interrupted "interrupted" Request "the person ended the run before it was done";
    KeyInvalid "key_invalid" Request "a key file is not a usable ed25519 key";
    LimitExceeded "limit_exceeded" Plugin "the plugin used more than one of its limits allows";
    LockInvalid "lock_invalid" Request "the lock file is not valid";
    ManifestInvalid "manifest_invalid" Request "the manifest is not valid";
    ManifestMismatch "manifest_mismatch" Refused "the manifest lists operations or types that the component does not have";
    ManifestMissing "manifest_missing" Request "the component holds no manifest where one is needed";
    ManifestTwice "manifest_twice" Request "the component holds two different manifests";
    ManifestUnderdeclared "manifest_underdeclared" Refused "the component imports or exports more than its manifest declares";
    NotWasm "not_wasm" Request "the file is not WebAssembly";
    OperationAmbiguous "operation_ambiguous" Request "more than one active operation has this name";
    OperationUnknown "operation_unknown" Request "no active plugin offers this operation";
    PackageIncomplete "package_incomplete" Request "a component lacks something that its next step needs";
    PackageInvalid "package_invalid" Refused "an archive is not a package of a component, or is not safe to read";
    PluginFailed "plugin_failed" Plugin "the plugin answered with an error of its own";
    PluginQuarantined "plugin_quarantined" Refused "the plugin is quarantined until a person clears it";
    PluginUnknown "plugin_unknown" Request "no plugin has this name";
    PluginUnloaded "plugin_unloaded" Plugin "another version took the place of the plugin before the call ended";
    PolicyDenied "policy_denied" Refused "policy denies the operation";
    PolicyDiffers "policy_differs" Refused "other policies decide recorded calls differently";
    PolicyInvalid "policy_invalid" Request "a policy file is wrong, so nothing is allowed";
    ProcessFailed "process_failed" Plugin "a process that the plugin asked for could not be started";
    ProofInvalid "proof_invalid" Refused "a proof does not lead to the root of the checkpoint";
    ProvenanceMissing "provenance_missing" Refused "nobody whose word counts says where the component was built";
    RepositoryExpired "repository_expired" Refused "a document of the repository is past its expiry";
    RepositoryInvalid "repository_invalid" Refused "a document of the repository is not valid";
    RepositoryMismatch "repository_mismatch" Refused "a file of the repository is not the one that its metadata names";
    RepositoryRollback "repository_rollback" Refused "the repository serves something older than was seen before";
    RepositoryUnreachable "repository_unreachable" Request "a file of the repository cannot be had";
    RepositoryUnsigned "repository_unsigned" Refused "a document of the repository is signed by too few of the keys that count";
    ResultInvalid "result_invalid" Plugin "the plugin returned something that cannot cross to its caller";
    ResumeUnsafe "resume_unsafe" Refused "the run cannot go on without doing again what it already did";
    RiskProfileInvalid "risk_profile_invalid" Refused "the risk profile cannot be read, is not signed by a key of the trust root, or is not the pinned one";
    RoleUnknown "role_unknown" Request "the repository has no such role or publisher";
    RootExpired "root_expired" Refused "the trust root is past its expiry";
    RootInvalid "root_invalid" Refused "the trust root is not valid";
    RunCancelled "run_cancelled" Request "a person cancelled the run from outside";
    RunUnknown "run_unknown" Request "no run that waits has this name";
    ScanBlocked "scan_blocked" Refused "the scan before loading found a reason not to load the component";
    SecretUnknown "secret_unknown" Request "no secret of this name is set";
    SetupInvalid "setup_invalid" Request "something that Loong needs on this machine is missing or wrong";
    SignatureIdentity "signature_identity" Refused "the certificate that signed is for somebody else than who may sign";
    SignatureInvalid "signature_invalid" Refused "a signature does not fit the key and the statement";
    SignatureKeyExpired "signature_key_expired" Refused "the key that signed is past its expiry";
    SignatureKeyNotYetValid "signature_key_not_yet_valid" Refused "the key that signed may not sign yet";
    SignatureKeyRevoked "signature_key_revoked" Refused "the key that signed was revoked";
    SignatureMalformed "signature_malformed" Refused "the signature file is not a well-formed bundle";
    SignatureNamespace "signature_namespace" Refused "the key that signed may not sign for this publisher";
    SignatureOtherBytes "signature_other_bytes" Refused "the signature is for other bytes";
    SignatureThreshold "signature_threshold" Refused "fewer have signed than have to for this publisher";
    SinkFailed "sink_failed" Host "an audit sink that must not fail cannot be delivered to";
    SlotTaken "slot_taken" Refused "two plugins want a slot that one of them wants for itself";
    StoreCorrupt "store_corrupt" Host "the host's database is damaged";
    StoreIncomplete "store_incomplete" Refused "a file of an installed plugin is missing or was changed";
    StoreLocked "store_locked" Host "another process holds the host's database";
    StoreUnavailable "store_unavailable" Host "the host's database cannot be read or written";
    SwapRefused "swap_refused" Refused "the version cannot take the place of the one that is active";
    TierTooLow "tier_too_low" Refused "the tier of the component is below what policy asks for";
    TokenExpired "token_expired" Refused "the token of the caller is past its expiry";
    TokenInvalid "token_invalid" Refused "the token of the caller is not for this run, component or namespace";
    TokenRevoked "token_revoked" Refused "the token of the caller was revoked";
    ToolFailed "tool_failed" Host "a program that Loong needs could not be run";
    Trap "trap" Plugin "the plugin ended with a trap";
    UnsignedRefused "unsigned_refused" Refused "policy refuses components that nobody vouches for";
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_in_order_and_said_as_they_are_serialised() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].as_str() < pair[1].as_str(), "{pair:?}");
        }
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
