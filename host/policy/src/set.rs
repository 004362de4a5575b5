//! A set of policies that may be asked, and the presets that ship with Loong.

use std::collections::HashMap;
use std::sync::Mutex;

use loong_manifest::{Digest, canonical};

use crate::ask::Asker;
use crate::place::{Place, Places};
use crate::source::{self, SCHEMA};
use crate::{
    CallFacts, Decision, Finding, PolicyError, Raised, RiskProfile, RiskProfileError, Source, Tiers,
};

/// A set of policies that ships with Loong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// What Loong does unless its owner says otherwise.
    Default,
    /// The default, and the risk profile that ships with Loong.
    Balanced,
    /// Only what somebody vouches for; a person approves every change.
    Strict,
    /// Only what somebody vouches for; nobody is there to approve.
    Ci,
}

impl Preset {
    /// Every preset, in the order of strictness.
    pub const ALL: [Self; 4] = [Self::Default, Self::Balanced, Self::Strict, Self::Ci];

    /// The preset's name, as settings and the command line have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Balanced => "balanced",
            Self::Strict => "strict",
            Self::Ci => "ci",
        }
    }

    /// Its policy files, from `policies/`.
    pub fn sources(self) -> Vec<Source> {
        let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        let mut sources = vec![source("default.cedar", include_str!("../../../policies/default.cedar"))];
        match self {
            Self::Default | Self::Balanced => {}
            Self::Strict => {
                sources.push(source("strict.cedar", include_str!("../../../policies/strict/strict.cedar")));
            }
            Self::Ci => sources.push(source("ci.cedar", include_str!("../../../policies/ci/ci.cedar"))),
        }
        sources
    }

    /// The risk profile that belongs to it, if one does: the one that ships with Loong.
    ///
    /// # Errors
    /// Never, unless this build is broken.
    pub fn risk_profile(self) -> Result<Option<RiskProfile>, RiskProfileError> {
        match self {
            Self::Default => Ok(None),
            Self::Balanced | Self::Strict | Self::Ci => RiskProfile::builtin().map(Some),
        }
    }

    /// Its `tiers.toml`.
    pub const fn tiers(self) -> &'static str {
        include_str!("../../../policies/tiers.toml")
    }
}

/// Policies and tiers that were read without a mistake. Whoever holds one can ask it; nothing changes it.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) asker: Asker,
    pub(crate) tiers: Tiers,
    places: Places,
    /// Decisions by their exact inputs. The policies never change, so no entry is ever wrong.
    pub(crate) decided: Mutex<HashMap<CallFacts, Decision>>,
    risk_profile: Option<RiskProfile>,
    digest: Digest,
}

impl PolicySet {
    /// Reads policy files (all that shall hold: nothing is added) and the text of a `tiers.toml`.
    ///
    /// # Errors
    /// If anything in them is wrong: syntax, names and types (Cedar's strict validation), a policy without
    /// its own `@id`, a missing or unknown key. There is no partial set.
    pub fn read(sources: &[Source], tiers_toml: &str) -> Result<Self, PolicyError> {
        let reading = source::parse(sources);
        let mut findings = reading.findings;
        if findings.is_empty() {
            findings = source::validate(sources, &reading.policies);
        }
        PolicyError::of(findings)?;
        Self::assemble(sources, tiers_toml, reading.policies, reading.places)
    }

    /// The policies of a preset, without its risk profile. They are parsed only; that it is also valid was tested when this crate was built.
    ///
    /// # Errors
    /// Never, unless this build is broken.
    pub fn builtin(preset: Preset) -> Result<Self, PolicyError> {
        let sources = preset.sources();
        let reading = source::parse(&sources);
        PolicyError::of(reading.findings)?;
        Self::assemble(&sources, preset.tiers(), reading.policies, reading.places)
    }

    /// Everything that is wrong or odd in policy files, in the order of the files. `read` refuses exactly
    /// the sets in which one finding is an error.
    pub fn check(sources: &[Source]) -> Vec<Finding> {
        let reading = source::parse(sources);
        if reading.findings.is_empty() {
            source::validate(sources, &reading.policies)
        } else {
            reading.findings
        }
    }

    /// The set, in which a profile raises risks, in addition to one that it has. It is part of the digest.
    #[must_use]
    pub fn with_risk_profile(mut self, profile: RiskProfile) -> Self {
        let mut bytes = b"loong.policies-and-risk/1".to_vec();
        bytes.extend(self.digest.as_bytes());
        bytes.extend(profile.digest().as_bytes());
        self.digest = Digest::of(&bytes);
        self.risk_profile = Some(match self.risk_profile {
            None => profile,
            Some(first) => first.and(profile),
        });
        self
    }

    /// The profile that raises risks, if there is one.
    pub const fn risk_profile(&self) -> Option<&RiskProfile> {
        self.risk_profile.as_ref()
    }

    /// Raises the risk in facts as the profile says; gives back why. `arguments` is as for
    /// [`RiskProfile::raise`]. What no manifest declares stays undeclared: policies take it for the worst already.
    pub fn raise(&self, facts: &mut CallFacts, arguments: Option<&serde_json::Value>) -> Vec<String> {
        let (Some(profile), Some(declared)) = (&self.risk_profile, facts.risk) else { return Vec::new() };
        let Raised { risk, reasons } = profile.raise(&facts.operation, declared, arguments);
        facts.risk = Some(risk);
        reasons
    }

    /// The digest of the schema, the files and the tiers, for records: the same digest, the same decisions.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Where a policy is, by the name that decisions give it.
    pub fn place(&self, policy: &str) -> Option<&Place> {
        self.places.get(policy)
    }

    /// What each tier makes of a component.
    pub const fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    fn assemble(
        sources: &[Source],
        tiers_toml: &str,
        policies: cedar_policy::PolicySet,
        places: Places,
    ) -> Result<Self, PolicyError> {
        Ok(Self {
            tiers: Tiers::read(tiers_toml)?,
            asker: Asker::new(policies)?,
            places,
            decided: Mutex::default(),
            risk_profile: None,
            digest: digest(sources, tiers_toml),
        })
    }
}

/// Cedar gives the order of files no meaning.
fn digest(sources: &[Source], tiers_toml: &str) -> Digest {
    let mut sources: Vec<&Source> = sources.iter().collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let files = sources.iter().flat_map(|source| [source.name.as_str(), source.text.as_str()]);
    let mut bytes = b"loong.policies/1".to_vec();
    for text in [SCHEMA, tiers_toml].into_iter().chain(files) {
        canonical::part(&mut bytes, text.as_bytes());
    }
    Digest::of(&bytes)
}
