//! What kinds of events there are, and which run an event belongs to.

use crate::Event;

/// The kind of an event, as it is stored and filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKind(pub &'static str);

impl EventKind {
    /// Every kind, in the order of [`Event`].
    pub const ALL: [Self; 29] = [
        Self("run_started"),
        Self("run_resumed"),
        Self("run_finished"),
        Self("plugin_verified"),
        Self("plugin_admitted"),
        Self("plugin_loaded"),
        Self("plugin_swapped"),
        Self("plugin_unloaded"),
        Self("plugin_state"),
        Self("scan_evaluated"),
        Self("plugin_refused"),
        Self("token_issued"),
        Self("token_revoked"),
        Self("decision"),
        Self("call_started"),
        Self("call_finished"),
        Self("effect"),
        Self("secret_used"),
        Self("search_evaluated"),
        Self("approval_requested"),
        Self("approval_decided"),
        Self("approval_used"),
        Self("approval_expired"),
        Self("config_changed"),
        Self("policy_changed"),
        Self("catalog_changed"),
        Self("sink_state"),
        Self("audit_pruned"),
        Self("clock_went_back"),
    ];
}

impl Event {
    /// The kind of this event.
    pub const fn kind(&self) -> EventKind {
        EventKind(match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunResumed { .. } => "run_resumed",
            Self::RunFinished { .. } => "run_finished",
            Self::PluginVerified { .. } => "plugin_verified",
            Self::PluginAdmitted { .. } => "plugin_admitted",
            Self::PluginLoaded { .. } => "plugin_loaded",
            Self::PluginSwapped { .. } => "plugin_swapped",
            Self::PluginUnloaded { .. } => "plugin_unloaded",
            Self::PluginState { .. } => "plugin_state",
            Self::ScanEvaluated { .. } => "scan_evaluated",
            Self::PluginRefused { .. } => "plugin_refused",
            Self::TokenIssued { .. } => "token_issued",
            Self::TokenRevoked { .. } => "token_revoked",
            Self::Decision { .. } => "decision",
            Self::CallStarted { .. } => "call_started",
            Self::CallFinished { .. } => "call_finished",
            Self::Effect { .. } => "effect",
            Self::SecretUsed { .. } => "secret_used",
            Self::SearchEvaluated { .. } => "search_evaluated",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalDecided { .. } => "approval_decided",
            Self::ApprovalUsed { .. } => "approval_used",
            Self::ApprovalExpired { .. } => "approval_expired",
            Self::ConfigChanged { .. } => "config_changed",
            Self::PolicyChanged { .. } => "policy_changed",
            Self::CatalogChanged { .. } => "catalog_changed",
            Self::SinkState { .. } => "sink_state",
            Self::AuditPruned { .. } => "audit_pruned",
            Self::ClockWentBack { .. } => "clock_went_back",
        })
    }

    /// The run it belongs to.
    pub fn run(&self) -> Option<&str> {
        match self {
            Self::RunStarted { run, .. }
            | Self::RunResumed { run, .. }
            | Self::RunFinished { run, .. }
            | Self::TokenIssued { run, .. }
            | Self::Decision { run, .. }
            | Self::CallStarted { run, .. }
            | Self::CallFinished { run, .. }
            | Self::Effect { run, .. }
            | Self::SecretUsed { run, .. }
            | Self::SearchEvaluated { run, .. }
            | Self::ApprovalRequested { run, .. }
            | Self::ApprovalUsed { run, .. } => Some(run),
            Self::PluginVerified { run, .. }
            | Self::PluginAdmitted { run, .. }
            | Self::PluginLoaded { run, .. }
            | Self::PluginSwapped { run, .. }
            | Self::PluginUnloaded { run, .. }
            | Self::PluginState { run, .. }
            | Self::ScanEvaluated { run, .. }
            | Self::PluginRefused { run, .. }
            | Self::TokenRevoked { run, .. }
            | Self::ApprovalDecided { run, .. }
            | Self::ApprovalExpired { run, .. } => run.as_deref(),
            Self::ConfigChanged { .. }
            | Self::PolicyChanged { .. }
            | Self::CatalogChanged { .. }
            | Self::SinkState { .. }
            | Self::AuditPruned { .. }
            | Self::ClockWentBack { .. } => None,
        }
    }
}
