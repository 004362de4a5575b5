//! `tiers.toml`: what the tier of a component makes of it, read strictly.

use loong_manifest::{ExecutionTier, Limits, Meter, Tier};
use serde::Deserialize;

use crate::source::{PolicyError, finding_in};

/// The file's name in findings and denials.
pub(crate) const TIERS_FILE: &str = "tiers.toml";

/// What each tier makes of a component.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tiers {
    unverified: TierRow,
    verified_community: TierRow,
    official: TierRow,
}

/// What one tier makes of a component.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRow {
    /// How tightly it is confined.
    pub execution_tier: ExecutionTier,
    /// How its CPU is bounded, unless it asks for a budget of fuel.
    pub meter: Meter,
    /// The most that it may use, and what it gets if it asks for nothing.
    pub limits: Limits,
}

impl Tiers {
    /// Reads the text of a `tiers.toml`. All tiers and all limits have to be there, and nothing else.
    pub fn read(text: &str) -> Result<Self, PolicyError> {
        let wrong = |offset, message: &str| PolicyError {
            first: finding_in(TIERS_FILE, text, offset, message),
            more: Vec::new(),
        };
        let tiers: Self = toml::from_str(text)
            .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
        for tier in Tier::ALL {
            let limits = &tiers.row(tier).limits;
            let needed = [
                ("deadline_ms", limits.deadline_ms),
                ("fuel_max", limits.fuel_max),
                ("memory_bytes_max", limits.memory_bytes_max),
                ("instances_max", u64::from(limits.instances_max)),
                ("host_copy_bytes_max", limits.host_copy_bytes_max),
                ("component_bytes_max", limits.component_bytes_max),
            ];
            if let Some((name, _)) = needed.iter().find(|(_, value)| *value == 0) {
                let offset = text.find(&format!("[{tier}.limits]")).unwrap_or_default();
                return Err(wrong(offset, &format!("`{name}` of {tier} is 0, so nothing could run")));
            }
        }
        Ok(tiers)
    }

    /// What a tier makes of a component.
    pub const fn row(&self, tier: Tier) -> &TierRow {
        match tier {
            Tier::Unverified => &self.unverified,
            Tier::VerifiedCommunity => &self.verified_community,
            Tier::Official => &self.official,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILTIN: &str = include_str!("../../../policies/tiers.toml");

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(BUILTIN.contains(from), "{from}");
        let said = Tiers::read(&BUILTIN.replacen(from, to, 1)).map(|_| "accepted".to_owned());
        let said = said.unwrap_or_else(|error| error.to_string());
        // Serde's list of what it expected is long, and not ours.
        let cut = said.find("expected one of").map_or(said.as_str(), |at| &said[..at + 15]);
        assert_eq!(cut, expected);
    }

    #[test]
    fn the_table_of_the_design_is_what_ships() {
        let tiers = Tiers::read(BUILTIN).unwrap();
        let row = |tier| {
            let row = tiers.row(tier);
            let limits = &row.limits;
            (
                row.execution_tier.as_str(),
                row.meter.as_str(),
                limits.memory_bytes_max >> 20,
                limits.deadline_ms,
            )
        };
        assert_eq!(row(Tier::Unverified), ("restricted", "epoch-and-fuel", 64, 10_000));
        assert_eq!(row(Tier::VerifiedCommunity), ("balanced", "epoch", 128, 30_000));
        assert_eq!(row(Tier::Official), ("trusted", "epoch", 512, 120_000));
        assert_eq!(tiers.row(Tier::Unverified).limits.fuel_max, 1_000_000_000);
    }

    #[test]
    fn refuses_what_it_does_not_know_and_what_is_missing() {
        check("processes_max = 0\n", "processes_max = 0\n", "accepted");
        check("depth_max = 4\n", "", "tiers.toml:7:1: missing field `depth_max`");
        check("depth_max = 4\n", "depth_max = 4\ndepth_max = 5\n", "tiers.toml:34:1: duplicate key");
        check(
            "depth_max = 4\n",
            "depth_max = -4\n",
            "tiers.toml:33:13: invalid value: integer `-4`, expected u32",
        );
        check(
            "depth_max = 4\n",
            "depth_max = 4\nfame_max = 4\n",
            "tiers.toml:34:1: unknown field `fame_max`, expected one of",
        );
        check("\"restricted\"", "\"root\"", "tiers.toml:4:18: unknown variant `root`, expected one of");
        check("[official]", "[oficial]", "tiers.toml:73:2: missing field `execution_tier`");
    }

    #[test]
    fn refuses_a_tier_that_could_run_nothing() {
        check(
            "deadline_ms = 10_000",
            "deadline_ms = 0",
            "tiers.toml:7:1: `deadline_ms` of unverified is 0, so nothing could run",
        );
    }
}
