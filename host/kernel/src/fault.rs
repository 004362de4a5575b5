//! How a call can fail. A fault holds facts; words for people are made from them at the edge.

use loong_manifest::{Code, LimitName, OperationName};
use serde::{Deserialize, Serialize};

/// A typed failure of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// Policy, a token or a grant refused. Nothing was executed.
    #[error("denied: {reason}")]
    Denied {
        /// Which refusal.
        code: Code,
        /// What was refused and why.
        reason: String,
        /// The policies that decided.
        policies: Vec<String>,
    },
    /// A person could allow it. Nothing was executed.
    #[error("`{operation}` needs the approval of a person: {reason}")]
    NeedsApproval {
        /// The operation.
        operation: Box<OperationName>,
        /// Why.
        reason: String,
        /// The policies that would allow it once approved.
        policies: Vec<String>,
        /// The request that waits for the person, if requests are kept.
        approval: Option<String>,
    },
    /// No active plugin offers the operation, or the caller may not know of it.
    #[error("no active plugin offers `{operation}`")]
    Unknown {
        /// The name as it was given.
        operation: String,
    },
    /// More than one active plugin offers the operation.
    #[error("`{operation}` could be any of {}", candidates.join(", "))]
    Ambiguous {
        /// The name as it was given.
        operation: String,
        /// What it could mean.
        candidates: Vec<String>,
    },
    /// The arguments do not fit.
    #[error("{problem}")]
    Arguments {
        /// Where and what.
        problem: String,
    },
    /// A limit was exceeded.
    #[error("the plugin exceeded its limit of {maximum} {limit}{}", used_text(*used))]
    Limit {
        /// Which limit.
        limit: LimitName,
        /// The most that is allowed.
        maximum: u64,
        /// What was used or asked for, where it is known.
        used: Option<u64>,
    },
    /// The call did not end in time.
    #[error("the call did not end within {deadline_ms} ms")]
    Deadline {
        /// The time it had, in milliseconds.
        deadline_ms: u64,
    },
    /// The guest trapped.
    #[error("the plugin ended with a trap: {message}")]
    Trap {
        /// The engine's description, escaped.
        message: String,
    },
    /// The guest answered with an error of its own, or exited with a status that is not zero.
    #[error("the plugin failed: {message}")]
    Plugin {
        /// The plugin's words, escaped and cut.
        message: String,
    },
    /// The guest returned something that cannot cross.
    #[error("the plugin's result cannot cross: {problem}")]
    Result {
        /// What is wrong with it.
        problem: String,
    },
    /// The audit log cannot be written.
    #[error("the audit log cannot be written: {problem}")]
    Audit {
        /// Why.
        problem: String,
    },
    /// The host failed.
    #[error("the host failed: {problem}")]
    Host {
        /// What happened.
        problem: String,
    },
}

fn used_text(used: Option<u64>) -> String {
    used.map_or_else(String::new, |used| format!(", {used} asked"))
}

impl Fault {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Denied { code, .. } => *code,
            Self::NeedsApproval { .. } => Code::ApprovalRequired,
            Self::Unknown { .. } => Code::OperationUnknown,
            Self::Ambiguous { .. } => Code::OperationAmbiguous,
            Self::Arguments { .. } => Code::ArgumentsInvalid,
            Self::Limit { limit: LimitName::Depth, .. } => Code::DepthExceeded,
            Self::Limit { .. } => Code::LimitExceeded,
            Self::Deadline { .. } => Code::Deadline,
            Self::Trap { .. } => Code::Trap,
            Self::Plugin { .. } => Code::PluginFailed,
            Self::Result { .. } => Code::ResultInvalid,
            Self::Audit { .. } => Code::AuditUnavailable,
            Self::Host { .. } => Code::HostFailed,
        }
    }
}
