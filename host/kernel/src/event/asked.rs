//! What policies were asked by, so that a recorded decision can be made again; and what extensions said.

use std::collections::BTreeMap;

use loong_manifest::{PluginId, Risk, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::{Active, Caller, Offered};

/// What policies know of a call beside what its decision says anyway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Tier of the calling component; none for a person.
    pub caller_tier: Option<Tier>,
    /// The risk that the manifest declares, before anything raised it; none if there is no manifest.
    pub declared: Option<Risk>,
    /// Whether the plugin holds no grant but `log`.
    pub pure: bool,
    /// What the host read from the arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

impl Asked {
    /// What policies are asked by when this caller calls this.
    pub(crate) fn of<P>(caller: &Caller<P>, callee: &Active<P>, offered: &Offered) -> Self {
        Self {
            caller_tier: match caller {
                Caller::Person => None,
                Caller::Plugin { plugin, .. } => Some(plugin.tier),
            },
            declared: callee.declared.then_some(offered.risk),
            pure: callee.grants.is_pure(),
            facts: BTreeMap::new(),
        }
    }
}

/// What a policy extension said of a call or an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The extension.
    pub plugin: PluginId,
    /// What it said: `deny` or `needs_approval`.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}
