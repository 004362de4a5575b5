//! The words for how approvals, sinks and plugins stand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalEnd {
    /// Its time was up.
    Expired,
    /// The component or the policies changed.
    Stale,
    /// A person took it back.
    Revoked,
}

/// What the delivery to an audit sink does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkPhase {
    /// It delivers.
    Delivering,
    /// The last delivery failed and is tried again later.
    Retrying,
    /// It has nothing more to deliver, or was told to stop.
    Stopped,
}

/// How a plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginPhase {
    /// Its calls are made.
    Closed,
    /// It failed too often, so that no call is made for some time.
    Open,
    /// Single calls are made to see whether it works again.
    HalfOpen,
    /// No call is made until a person clears it.
    Quarantined,
    /// It was instantiated and its own check was good.
    Healthy,
    /// It could not be instantiated, or its own check was not good.
    Unhealthy,
    /// The version before it took its place again.
    RolledBack,
    /// No call of it is under way any more.
    Drained,
}

impl PluginPhase {
    /// The word for people and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Quarantined => "quarantined",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::RolledBack => "rolled_back",
            Self::Drained => "drained",
        }
    }
}
