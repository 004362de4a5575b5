//! Why a component is not admitted: facts for records, words for people.

use loong_manifest::{Access, Code, PluginId, Tier};
use serde::Serialize;

use crate::explain::Answer;
use crate::tiers::TIERS_FILE;

/// Why a component is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", refusal.describe(*tier))]
pub struct Denial {
    /// The component; of an unverified one, what it calls itself.
    pub plugin: PluginId,
    /// Its version.
    pub version: String,
    /// Its tier.
    pub tier: Tier,
    /// What was refused.
    pub refusal: Box<Refusal>,
}

/// What was refused at admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "refused", rename_all = "kebab-case")]
pub enum Refusal {
    /// The component as a whole.
    Component {
        /// The tier from which on it would be admitted.
        tier_min: Option<Tier>,
        /// What policy said.
        answer: Answer,
    },
    /// One scope of one capability.
    Capability {
        /// The capability.
        capability: &'static str,
        /// The scope, for people; empty where the capability has none.
        scope: String,
        /// Whether it would be granted if a person offered it with a flag.
        offer_helps: bool,
        /// The tier from which on it would be granted.
        tier_min: Option<Tier>,
        /// What policy said.
        answer: Answer,
    },
    /// A folder that nobody offers.
    Folder {
        /// Its name.
        name: String,
        /// What the component wants to do in it.
        access: Access,
    },
    /// A limit above that of the tier.
    Limit {
        /// The limit's name in the manifest.
        limit: &'static str,
        /// What was asked.
        asked: u64,
        /// The most that the tier gets.
        maximum: u64,
    },
    /// More bytes than the tier may have.
    Size {
        /// Bytes of the component.
        bytes: u64,
        /// The most that the tier may have.
        maximum: u64,
    },
}

impl Refusal {
    fn describe(&self, tier: Tier) -> String {
        match self {
            Self::Component { tier_min: Some(min), .. } => {
                format!("loading it needs tier {min}, the component is {tier}")
            }
            Self::Component { answer, .. } => format!("it may not be loaded: {}", answer.refusal()),
            Self::Capability { capability, scope, offer_helps, tier_min, answer } => {
                let what = scoped(capability, scope);
                match tier_min {
                    _ if *offer_helps => {
                        format!("{what} is granted only to a run for which a person allows it")
                    }
                    Some(min) => format!("{what} needs tier {min}, the component is {tier}"),
                    None => format!("{what} is not granted: {}", answer.refusal()),
                }
            }
            Self::Folder { name, access } => {
                format!(
                    "it asks for the folder `{name}` ({}), which this run does not offer",
                    access.as_str()
                )
            }
            Self::Limit { limit, asked, maximum } => {
                format!("it asks for {asked} as `{limit}`, the most for tier {tier} is {maximum}")
            }
            Self::Size { bytes, maximum } => {
                format!("the component has {bytes} bytes, the most for tier {tier} is {maximum}")
            }
        }
    }
}

impl Denial {
    /// The public code.
    pub fn code(&self) -> Code {
        match *self.refusal {
            Refusal::Component { tier_min: Some(_), .. } if self.tier == Tier::Unverified => {
                Code::UnsignedRefused
            }
            Refusal::Component { tier_min: Some(_), .. }
            | Refusal::Capability { tier_min: Some(_), offer_helps: false, .. } => Code::TierTooLow,
            Refusal::Component { .. } => Code::PolicyDenied,
            Refusal::Capability { .. } | Refusal::Folder { .. } | Refusal::Limit { .. } => {
                Code::CapabilityDenied
            }
            Refusal::Size { .. } => Code::ComponentTooLarge,
        }
    }

    /// The policies that forbade it, as `FILE:ID`; none where no policy permits it.
    pub fn policies(&self) -> &[String] {
        match &*self.refusal {
            Refusal::Component { answer, .. } | Refusal::Capability { answer, .. } => &answer.policies,
            _ => &[],
        }
    }

    /// Who asked and what refused, as a phrase: `asked in loong.plugin.json, refused by default.cedar:x`.
    pub fn blame(&self) -> String {
        const MANIFEST: &str = "asked in loong.plugin.json";
        match &*self.refusal {
            Refusal::Component { answer, .. } => format!("refused: {}", answer.refusal()),
            Refusal::Capability { answer, .. } => format!("{MANIFEST}, refused: {}", answer.refusal()),
            Refusal::Folder { .. } => format!("{MANIFEST}, not offered by the command line"),
            Refusal::Limit { .. } => format!("{MANIFEST}, refused by {TIERS_FILE}"),
            Refusal::Size { .. } => format!("refused by {TIERS_FILE}"),
        }
    }
}

fn scoped(capability: &str, scope: &str) -> String {
    if scope.is_empty() { format!("`{capability}`") } else { format!("`{capability}` ({scope})") }
}
