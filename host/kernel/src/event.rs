//! What is written down: one typed event for everything that decides, changes or ends something.

use loong_manifest::{Code, Digest, OperationName, PluginId, Risk, Tier};
use serde::{Deserialize, Serialize};

/// One entry of the audit log, before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A run began.
    RunStarted {
        /// The run.
        run: String,
        /// What was asked for, as a person would name it.
        request: String,
        /// Digest of the policies in force.
        policy: Digest,
    },
    /// A run ended.
    RunFinished {
        /// The run.
        run: String,
        /// Calls made in it.
        calls: u64,
        /// Calls refused in it.
        denied: u64,
        /// The code of the fault it ended with; none when it succeeded.
        code: Option<Code>,
    },
    /// A component passed verification and admission and was loaded.
    PluginLoaded {
        /// The run it was loaded for, if for one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Its version.
        version: String,
        /// Digest of the component.
        digest: Digest,
        /// Its tier.
        tier: Tier,
        /// Id of the key that signed it, if one that the trust root names.
        key: Option<String>,
        /// Names of the capabilities that were granted.
        grants: Vec<String>,
    },
    /// A component was refused before anything of it ran.
    PluginRefused {
        /// The run it was wanted for, if for one.
        run: Option<String>,
        /// The plugin, or the file's name where it is not known.
        plugin: String,
        /// Digest of the file.
        digest: Option<Digest>,
        /// Why, as a code.
        code: Code,
        /// Why, in words.
        reason: String,
    },
    /// A token was issued for a run or for a nested call.
    TokenIssued {
        /// The run.
        run: String,
        /// The token's id.
        token: String,
        /// Whom it is for: `person` or a plugin id.
        holder: String,
        /// When it expires, in milliseconds since the Unix epoch.
        expires_ms: u64,
    },
    /// A call was decided, before anything of it was executed.
    Decision {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The call that made this one.
        parent: Option<String>,
        /// The caller's token.
        token: String,
        /// `person` or a plugin id.
        caller: String,
        /// Digest of the calling component.
        caller_digest: Option<Digest>,
        /// The operation; as it was given where it does not exist.
        operation: String,
        /// The plugin that offers it.
        plugin: Option<PluginId>,
        /// Digest of that component.
        digest: Option<Digest>,
        /// Tier of that component.
        tier: Option<Tier>,
        /// Risk of the operation.
        risk: Option<Risk>,
        /// What was decided.
        outcome: Outcome,
        /// Why it was refused, as a code.
        code: Option<Code>,
        /// The policies that decided.
        policies: Vec<String>,
        /// How many calls it is nested in.
        depth: u32,
    },
    /// A call that was allowed ended.
    CallFinished {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The operation.
        operation: OperationName,
        /// The code of the fault it ended with; none when it succeeded.
        code: Option<Code>,
        /// What it used.
        usage: Usage,
    },
    /// A plugin used a capability on something outside, or was refused to. Written before the effect.
    Effect {
        /// The run.
        run: String,
        /// The call in which it happened.
        call: String,
        /// The plugin.
        plugin: PluginId,
        /// The capability.
        capability: String,
        /// On what: a command, a key, a folder; never contents.
        target: String,
        /// What was decided.
        outcome: Outcome,
        /// Why it was refused, as a code.
        code: Option<Code>,
    },
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may happen.
    Allow,
    /// It may not.
    Deny,
    /// It may once a person approved.
    NeedsApproval,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Wall-clock time, in microseconds.
    pub duration_us: u64,
    /// Fuel consumed; 0 where fuel is not counted.
    pub fuel: u64,
    /// Largest sum of all linear memories, in bytes.
    pub memory_peak_bytes: u64,
    /// Bytes of log, standard output and standard error.
    pub output_bytes: u64,
}

/// The kind of an event, as it is stored and filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKind(pub &'static str);

impl Event {
    /// The kind of this event.
    pub const fn kind(&self) -> EventKind {
        EventKind(match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunFinished { .. } => "run_finished",
            Self::PluginLoaded { .. } => "plugin_loaded",
            Self::PluginRefused { .. } => "plugin_refused",
            Self::TokenIssued { .. } => "token_issued",
            Self::Decision { .. } => "decision",
            Self::CallFinished { .. } => "call_finished",
            Self::Effect { .. } => "effect",
        })
    }

    /// The run it belongs to.
    pub fn run(&self) -> Option<&str> {
        match self {
            Self::RunStarted { run, .. }
            | Self::RunFinished { run, .. }
            | Self::TokenIssued { run, .. }
            | Self::Decision { run, .. }
            | Self::CallFinished { run, .. }
            | Self::Effect { run, .. } => Some(run),
            Self::PluginLoaded { run, .. } | Self::PluginRefused { run, .. } => run.as_deref(),
        }
    }
}
