//! What an event is searched and grouped by, and whether it needs a person's eye.

use std::borrow::Cow;

use loong_manifest::{Blame, Code, PluginId, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApprovalEnd, Event, Outcome, PluginPhase, SinkPhase};

/// What an event says of who, what and how, whatever its kind. What it does not say is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets<'a> {
    /// The run it belongs to.
    pub run: Option<&'a str>,
    /// The call.
    pub call: Option<&'a str>,
    /// The plugin that it is about; a file's name where the plugin is not known.
    pub plugin: Option<Cow<'a, str>>,
    /// What the person called first in the run: the pack, if it is one.
    pub pack: Option<Cow<'a, str>>,
    /// Who acted: `person` or a plugin id.
    pub agent: Option<Cow<'a, str>>,
    /// The token that was shown, issued or revoked.
    pub token: Option<&'a str>,
    /// The tiers that were asked for.
    pub tiers_requested: &'a [Tier],
    /// The tiers that were found or used.
    pub tiers: &'a [Tier],
    /// What was decided.
    pub outcome: Option<Outcome>,
    /// Why it was refused or failed.
    pub code: Option<Code>,
    /// The approval it asks for, gives or uses.
    pub approval: Option<&'a str>,
    /// Why a person should look at it, if one should.
    pub triage: Option<Triage>,
}

/// How soon a person should look at an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Something was stopped, failed or waits.
    Medium,
    /// Somebody may be attacking, or the host itself failed.
    High,
}

impl Severity {
    /// The severity as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

macro_rules! labels {
    ($($variant:ident $text:literal $severity:ident $meaning:literal;)*) => {
        /// Why a person should look at an event: at most one label an event, out of a closed set.
        ///
        /// The log stores the label in a column of its own. Whoever changes which label an event gets adds a
        /// migration to the store that labels the older records anew.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Triage { $(#[doc = $meaning] $variant,)* }

        impl Triage {
            /// All labels, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The label as it is stored, printed and filtered by.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// How soon a person should look.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

labels! {
    ApprovalDenied "approval_denied" Low "a person denied what was asked for";
    ApprovalLapsed "approval_lapsed" Low "an approval ended before it was decided or used up";
    ApprovalNeeded "approval_needed" Medium "a call was refused that a person could have approved";
    ApprovalWaiting "approval_waiting" Medium "a call waits for a person";
    AuthorizationDenied "authorization_denied" Medium "policy denied a call";
    ClockWentBack "clock_went_back" Medium "the clock of the machine went backwards";
    ConfigChanged "config_changed" Low "other settings are in force than before";
    EffectDenied "effect_denied" Medium "a plugin was refused something outside";
    ExtensionDenied "extension_denied" Medium "a policy extension denied a call or an effect";
    HostFailed "host_failed" High "the host itself failed";
    LimitHit "limit_hit" Medium "a plugin used more than one of its limits allows";
    PluginFailed "plugin_failed" Medium "a plugin failed in its own code";
    PluginRefused "plugin_refused" Medium "a component was not usable";
    PluginTrustBlocked "plugin_trust_blocked" High "a component was refused because of who signed it, or nobody did";
    PolicyChanged "policy_changed" Low "other policies are in force than before";
    SecurityScanBlocked "security_scan_blocked" High "a component was refused because of what the scan found";
    SecurityScanFindings "security_scan_findings" Medium "the scan found something of high severity and did not block it";
    SinkFailing "sink_failing" Medium "the audit log is not delivered to one of its sinks";
    TokenRefused "token_refused" High "a call showed a token that is expired, revoked or not its own";
    TokensRevoked "tokens_revoked" Medium "tokens were revoked";
    ToolSearchTrustConflict "tool_search_trust_conflict" Low "a search asked for a tier that it was not given";
    ToolSearchTrustEmpty "tool_search_trust_empty" Low "a search found nothing because of the tiers it asks for";
}

impl std::fmt::Display for Triage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Facets<'_> {
    const NONE: Facets<'static> = Facets {
        run: None,
        call: None,
        plugin: None,
        pack: None,
        agent: None,
        token: None,
        tiers_requested: &[],
        tiers: &[],
        outcome: None,
        code: None,
        approval: None,
        triage: None,
    };
}

impl Event {
    /// What this event is searched and grouped by.
    pub fn facets(&self) -> Facets<'_> {
        use std::slice::from_ref;
        let none = Facets { run: self.run(), triage: self.triage(), ..Facets::NONE };
        match self {
            Self::RunStarted { .. }
            | Self::RunResumed { .. }
            | Self::ConfigChanged { .. }
            | Self::PolicyChanged { .. }
            | Self::CatalogChanged { .. }
            | Self::AuditPruned { .. }
            | Self::ClockWentBack { .. } => none,
            Self::RunFinished { code, .. } => Facets { code: *code, ..none },
            Self::PluginVerified { plugin, tier, tier_requested, .. } => Facets {
                plugin: id(plugin),
                tiers: from_ref(tier),
                tiers_requested: from_ref(tier_requested),
                ..none
            },
            Self::PluginAdmitted { plugin, tier, .. }
            | Self::PluginLoaded { plugin, tier, .. }
            | Self::PluginSwapped { plugin, tier, .. }
            | Self::ScanEvaluated { plugin, tier, .. } => {
                Facets { plugin: id(plugin), tiers: from_ref(tier), ..none }
            }
            Self::PluginUnloaded { plugin, .. }
            | Self::PluginState { plugin, .. }
            | Self::SinkState { plugin, .. } => Facets { plugin: id(plugin), ..none },
            Self::PluginRefused { plugin, code, .. } => {
                Facets { plugin: Some(Cow::Borrowed(plugin)), code: Some(*code), ..none }
            }
            Self::TokenIssued { token, holder, .. } => {
                Facets { token: Some(token), agent: Some(Cow::Borrowed(holder)), ..none }
            }
            Self::TokenRevoked { token, .. } => Facets { token: token.as_deref(), ..none },
            Self::Decision { call, token, caller, plugin, tier, outcome, code, pack, approval, .. } => {
                Facets {
                    call: Some(call),
                    plugin: plugin.as_ref().and_then(id),
                    pack: pack.as_ref().and_then(id),
                    agent: Some(Cow::Borrowed(caller)),
                    token: Some(token),
                    tiers: tier.as_ref().map_or(&[], from_ref),
                    outcome: Some(*outcome),
                    code: *code,
                    approval: approval.as_deref(),
                    ..none
                }
            }
            Self::CallStarted { call, plugin, .. } => Facets { call: Some(call), plugin: id(plugin), ..none },
            Self::CallFinished { call, code, .. } => Facets { call: Some(call), code: *code, ..none },
            Self::Effect { call, plugin, outcome, code, .. } => Facets {
                call: Some(call),
                plugin: id(plugin),
                agent: id(plugin),
                outcome: Some(*outcome),
                code: *code,
                ..none
            },
            Self::SecretUsed { call, plugin, .. } => {
                Facets { call: Some(call), plugin: id(plugin), agent: id(plugin), ..none }
            }
            Self::SearchEvaluated { call, caller, tiers_requested, tiers_effective, .. } => Facets {
                call: call.as_deref(),
                agent: Some(Cow::Borrowed(caller)),
                tiers_requested,
                tiers: tiers_effective,
                ..none
            },
            Self::ApprovalRequested { call, approval, plugin, tier, caller, .. } => Facets {
                call: Some(call),
                plugin: id(plugin),
                agent: Some(Cow::Borrowed(caller)),
                tiers: from_ref(tier),
                approval: Some(approval),
                ..none
            },
            Self::ApprovalDecided { approval, outcome, .. } => {
                Facets { approval: Some(approval), outcome: Some(*outcome), ..none }
            }
            Self::ApprovalUsed { call, approval, .. } => {
                Facets { call: Some(call), approval: Some(approval), ..none }
            }
            Self::ApprovalExpired { approval, .. } => Facets { approval: Some(approval), ..none },
        }
    }

    /// Why a person should look at this event, if one should.
    fn triage(&self) -> Option<Triage> {
        match self {
            Self::RunFinished { code, .. } => {
                code.filter(|code| code.blame() == Blame::Host).map(|_| Triage::HostFailed)
            }
            Self::ScanEvaluated { blocked: true, .. } => Some(Triage::SecurityScanBlocked),
            Self::ScanEvaluated { high: 1.., .. } => Some(Triage::SecurityScanFindings),
            Self::PluginRefused { code, .. } => {
                Some(if is_trust(*code) { Triage::PluginTrustBlocked } else { Triage::PluginRefused })
            }
            Self::TokenRevoked { .. } => Some(Triage::TokensRevoked),
            // The request that it waits for has the label.
            Self::Decision { outcome: Outcome::NeedsApproval, approval: Some(_), .. } => None,
            Self::Decision { outcome: Outcome::NeedsApproval, .. } => Some(Triage::ApprovalNeeded),
            Self::Decision { outcome: Outcome::Deny, code, .. } => Some(match code {
                Some(Code::TokenExpired | Code::TokenInvalid | Code::TokenRevoked) => Triage::TokenRefused,
                Some(Code::ExtensionDenied | Code::ExtensionFailed) => Triage::ExtensionDenied,
                Some(code) if code.blame() == Blame::Host => Triage::HostFailed,
                _ => Triage::AuthorizationDenied,
            }),
            Self::CallFinished { code: Some(code), .. } => failed(*code),
            Self::Effect { outcome: Outcome::Deny, code, .. } => Some(match code {
                Some(Code::ExtensionDenied | Code::ExtensionFailed) => Triage::ExtensionDenied,
                Some(Code::LimitExceeded) => Triage::LimitHit,
                Some(code) if code.blame() == Blame::Host => Triage::HostFailed,
                _ => Triage::EffectDenied,
            }),
            Self::Effect { outcome: Outcome::NeedsApproval, .. } => Some(Triage::ApprovalNeeded),
            Self::SearchEvaluated { tiers_requested, tiers_effective, returned, filtered, .. } => {
                if tiers_requested.iter().any(|tier| !tiers_effective.contains(tier)) {
                    Some(Triage::ToolSearchTrustConflict)
                } else if *returned == 0 && *filtered > 0 {
                    Some(Triage::ToolSearchTrustEmpty)
                } else {
                    None
                }
            }
            Self::ApprovalRequested { .. } => Some(Triage::ApprovalWaiting),
            Self::ApprovalDecided { outcome: Outcome::Deny, .. } => Some(Triage::ApprovalDenied),
            Self::ApprovalExpired { reason: ApprovalEnd::Expired | ApprovalEnd::Stale, .. } => {
                Some(Triage::ApprovalLapsed)
            }
            // The first ones that are ever in force change nothing.
            Self::ConfigChanged { before: Some(_), .. } => Some(Triage::ConfigChanged),
            Self::PolicyChanged { before: Some(_), .. } => Some(Triage::PolicyChanged),
            Self::SinkState { state: SinkPhase::Retrying, .. } | Self::SinkState { problem: Some(_), .. } => {
                Some(Triage::SinkFailing)
            }
            Self::ClockWentBack { .. } => Some(Triage::ClockWentBack),
            Self::PluginState {
                state:
                    PluginPhase::Open
                    | PluginPhase::Quarantined
                    | PluginPhase::Unhealthy
                    | PluginPhase::RolledBack,
                ..
            } => Some(Triage::PluginFailed),
            Self::RunStarted { .. }
            | Self::RunResumed { .. }
            | Self::PluginVerified { .. }
            | Self::PluginAdmitted { .. }
            | Self::PluginLoaded { .. }
            | Self::PluginSwapped { .. }
            | Self::PluginUnloaded { .. }
            | Self::PluginState { .. }
            | Self::ScanEvaluated { .. }
            | Self::TokenIssued { .. }
            | Self::Decision { .. }
            | Self::CallStarted { .. }
            | Self::CallFinished { .. }
            | Self::Effect { .. }
            | Self::SecretUsed { .. }
            | Self::ApprovalDecided { .. }
            | Self::ApprovalUsed { .. }
            | Self::ApprovalExpired { .. }
            | Self::ConfigChanged { .. }
            | Self::PolicyChanged { .. }
            | Self::CatalogChanged { .. }
            | Self::SinkState { .. }
            | Self::AuditPruned { .. } => None,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every place that it is used in is optional")]
fn id(plugin: &PluginId) -> Option<Cow<'_, str>> {
    Some(Cow::Owned(plugin.to_string()))
}

/// Whether a component was refused for who signed it, not for what it is.
const fn is_trust(code: Code) -> bool {
    matches!(
        code,
        Code::RootExpired
            | Code::RootInvalid
            | Code::SignatureInvalid
            | Code::SignatureKeyExpired
            | Code::SignatureKeyRevoked
            | Code::SignatureMalformed
            | Code::SignatureNamespace
            | Code::SignatureOtherBytes
            | Code::TierTooLow
            | Code::UnsignedRefused
    )
}

/// What a call that began failed of. A refusal inside of it has its own event, and what the caller did wrong is
/// the caller's to mend.
fn failed(code: Code) -> Option<Triage> {
    match (code, code.blame()) {
        (Code::Deadline | Code::DepthExceeded | Code::LimitExceeded, _) => Some(Triage::LimitHit),
        (_, Blame::Plugin) => Some(Triage::PluginFailed),
        (_, Blame::Host) => Some(Triage::HostFailed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
