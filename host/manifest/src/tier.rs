//! How far a signer is trusted, and what that makes of the component it signed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far the signer of a component is trusted. The result of verification, never a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Nobody the trust root names vouches for these bytes.
    Unverified,
    /// Signed by a publisher whom the trust root names.
    VerifiedCommunity,
    /// Signed by the owner of the trust root or for them.
    Official,
}

impl Tier {
    /// All tiers, from the lowest.
    pub const ALL: [Self; 3] = [Self::Unverified, Self::VerifiedCommunity, Self::Official];

    /// The tier as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::VerifiedCommunity => "verified-community",
            Self::Official => "official",
        }
    }

    /// 0, 1 or 2, so that policies can compare tiers.
    pub const fn rank(self) -> i64 {
        match self {
            Self::Unverified => 0,
            Self::VerifiedCommunity => 1,
            Self::Official => 2,
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How tightly a plugin is confined while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutionTier {
    /// Small limits, both meters. A program is one process that reaches its folders only, or it does not run.
    Restricted,
    /// Middle limits. A program reaches its folders only, as far as the kernel enforces it.
    Balanced,
    /// The widest limits. A program acts with the rights of the person, without a way to more.
    Trusted,
}

impl ExecutionTier {
    /// The execution tier as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Balanced => "balanced",
            Self::Trusted => "trusted",
        }
    }
}

impl std::fmt::Display for ExecutionTier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
