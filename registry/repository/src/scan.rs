//! What is looked for in a component before it is loaded. Pure: bytes and rules in, findings out. Nothing of it is run,
//! and the same component under the same rules has the same findings with the same ids on every machine.

mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loong_inspect::{Anatomy, Bounds};
use loong_manifest::{Digest, PluginId, Tier, canonical, escape};
use loong_trust::Verified;
use serde::{Deserialize, Serialize};

use crate::RepositoryError;

/// Most findings of one component. What is found beyond is counted as one of its own.
const FINDINGS_MAX: usize = 200;
/// Custom sections that tools write: names, producers, types, and what linkers left over.
const CUSTOM_KNOWN: &[&str] =
    &["name", "producers", "target_features", "linking", "dylink.0", "sourceMappingURL", "build_id"];
/// The beginnings of further such names.
const CUSTOM_KNOWN_BEGINNINGS: &[&str] =
    &["component-type", "component-name", "reloc.", ".debug_", "metadata.code."];

/// The rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScanRules {
    /// Components that are never loaded.
    #[serde(rename = "known_bad")]
    pub known_bad: Vec<Digest>,
    /// The rules for components that nobody vouches for.
    pub unverified: TierRules,
    /// The rules for components that somebody known vouches for.
    pub verified_community: TierRules,
    /// The rules for official components.
    pub official: TierRules,
    /// The one digest with which a plugin may be loaded.
    #[serde(default)]
    pub pins: BTreeMap<PluginId, Digest>,
}

/// The rules for one tier.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRules {
    /// Whether a finding of high severity refuses the component.
    pub block_on_high: bool,
    /// Most core modules.
    pub modules_max: usize,
    /// Most functions of all core modules.
    pub functions_max: u64,
    /// Most bytes of data that instances begin with.
    pub data_bytes_max: u64,
    /// Most bytes of custom sections.
    pub custom_bytes_max: u64,
    /// Beginnings of the names of WASI interfaces that may be imported.
    pub wasi_allowed: Vec<String>,
    /// Beginnings of names that may not be imported.
    pub imports_blocked: Vec<String>,
    /// Whether data is searched for what looks like secrets at every load.
    pub secrets: bool,
    /// Whether a component without a pin is a finding.
    pub pins_required: bool,
    /// Folders that components may be loaded from; all if there is none.
    pub folders: Vec<PathBuf>,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Unusual.
    Medium,
    /// A reason not to load it.
    High,
}

impl Severity {
    /// The severity as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `sf-` and 16 digits: the same for the same finding in the same component, wherever the file lies.
    pub id: String,
    /// How much it weighs.
    pub severity: Severity,
    /// The kind, as a stable name.
    pub category: &'static str,
    /// The fact.
    pub message: String,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings, the heaviest first.
    pub findings: Vec<Finding>,
    /// Whether the component must not be loaded.
    pub blocked: bool,
}

impl Report {
    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The kinds of findings, sorted.
    pub fn categories(&self) -> Vec<String> {
        let mut all: Vec<String> = self.findings.iter().map(|finding| finding.category.to_owned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl ScanRules {
    /// The rules that hold unless a person sets others.
    pub const DEFAULT: &'static str = include_str!("../../../policies/scan.toml");

    /// Reads rules strictly.
    ///
    /// # Errors
    /// If a rule is missing, unknown or not usable.
    pub fn read(text: &str) -> Result<Self, RepositoryError> {
        toml::from_str(text).map_err(|error| RepositoryError::Rules { problem: error.to_string() })
    }

    /// The same, looking for everything at every tier: for installing, checking and publishing.
    #[must_use]
    pub fn thorough(mut self) -> Self {
        for tier in [&mut self.unverified, &mut self.verified_community, &mut self.official] {
            tier.secrets = true;
        }
        self
    }

    const fn of(&self, tier: Tier) -> &TierRules {
        match tier {
            Tier::Unverified => &self.unverified,
            Tier::VerifiedCommunity => &self.verified_community,
            Tier::Official => &self.official,
        }
    }
}

/// Scans a component. `file` is where it lies, if it does; it is compared with the folders of the rules and never
/// becomes part of a finding.
///
/// # Errors
/// If the component cannot be taken apart, which one that was verified can.
pub fn scan(verified: &Verified, file: Option<&Path>, rules: &ScanRules) -> Result<Report, RepositoryError> {
    let anatomy = loong_inspect::anatomy(verified.bytes(), &Bounds::WIDE)?;
    let tier = rules.of(verified.tier());
    let mut found = Found { digest: *verified.digest(), findings: Vec::new(), more: 0 };
    identity(verified, file, rules, tier, &mut found);
    let imports = verified.contents().imports.iter().map(|import| import.name.as_str());
    names(imports, tier, &mut found);
    structure(&anatomy, tier, &mut found);
    for data in anatomy.data.iter().filter(|_| tier.secrets) {
        secret::look(data, &mut |severity, category, message| found.add(severity, category, &message));
    }
    Ok(found.report(tier.block_on_high))
}

/// Findings of one component.
struct Found {
    digest: Digest,
    findings: Vec<Finding>,
    more: usize,
}

impl Found {
    fn add(&mut self, severity: Severity, category: &'static str, message: &str) {
        let message = escape(message);
        let mut bytes = Vec::new();
        for part in [severity.as_str(), category, &message] {
            canonical::part(&mut bytes, part.as_bytes());
        }
        canonical::part(&mut bytes, self.digest.to_hex().as_bytes());
        let id = format!("sf-{}", Digest::of(&bytes).to_hex().chars().take(16).collect::<String>());
        if self.findings.iter().any(|known| known.id == id) {
            return;
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { id, severity, category, message });
        } else {
            self.more += 1;
        }
    }

    fn report(mut self, block_on_high: bool) -> Report {
        if self.more > 0 {
            let message = format!("more than {FINDINGS_MAX} findings; {} are not listed", self.more);
            let id = format!("sf-{}", self.digest.short());
            self.findings.push(Finding {
                id,
                severity: Severity::High,
                category: "findings_too_many",
                message,
            });
        }
        self.findings
            .sort_by(|left, right| right.severity.cmp(&left.severity).then_with(|| left.id.cmp(&right.id)));
        let is_high = self.findings.iter().any(|finding| finding.severity == Severity::High);
        Report { findings: self.findings, blocked: block_on_high && is_high }
    }
}

fn identity(
    verified: &Verified,
    file: Option<&Path>,
    rules: &ScanRules,
    tier: &TierRules,
    found: &mut Found,
) {
    let digest = verified.digest();
    if rules.known_bad.contains(digest) {
        found.add(
            Severity::High,
            "known_bad_digest",
            "it is on the list of components that are never loaded",
        );
    }
    match rules.pins.get(verified.id()) {
        Some(pinned) if pinned != digest => {
            let message = format!("`{}` is pinned to {}", verified.id(), pinned.short());
            found.add(Severity::High, "digest_differs_from_pin", &message);
        }
        None if tier.pins_required => {
            let message = format!("`{}` is not pinned, and its tier asks for a pin", verified.id());
            found.add(Severity::High, "digest_not_pinned", &message);
        }
        _ => {}
    }
    if let Some(claimed) = verified.manifest().and_then(|manifest| manifest.tier.as_ref()) {
        let short: String = claimed.to_string().chars().take(64).collect();
        let message = format!("its manifest says that its tier is {short}, which counts for nothing");
        found.add(Severity::Low, "tier_claimed", &message);
    }
    let inside = |file: &Path| tier.folders.iter().any(|folder| file.starts_with(folder));
    // Where it lies is the operator's business: the finding is the same on every machine.
    if !tier.folders.is_empty() && file.is_some_and(|file| !inside(file)) {
        found.add(
            Severity::High,
            "path_not_allowed",
            "it lies in no folder that its tier may be loaded from",
        );
    }
}

fn names<'n>(imports: impl Iterator<Item = &'n str>, tier: &TierRules, found: &mut Found) {
    for name in imports {
        if tier.imports_blocked.iter().any(|blocked| name.starts_with(blocked.as_str())) {
            found.add(
                Severity::High,
                "import_blocked",
                &format!("it imports `{name}`, which its tier may not"),
            );
        } else if name.starts_with("wasi:")
            && !tier.wasi_allowed.iter().any(|known| name.starts_with(known.as_str()))
        {
            let message = format!("it imports `{name}`, which is not among what its tier may have of WASI");
            found.add(Severity::High, "wasi_not_allowed", &message);
        }
    }
}

fn structure(anatomy: &Anatomy<'_>, tier: &TierRules, found: &mut Found) {
    let custom_bytes: u64 = anatomy.custom.iter().map(|(_, data)| data.len() as u64).sum();
    let counts = [
        ("modules_too_many", "core modules", anatomy.modules as u64, tier.modules_max as u64),
        ("functions_too_many", "functions", anatomy.functions, tier.functions_max),
        ("data_too_large", "bytes of data", anatomy.data_bytes(), tier.data_bytes_max),
        ("custom_sections_too_large", "bytes of custom sections", custom_bytes, tier.custom_bytes_max),
    ];
    for (category, what, count, most) in counts {
        if count > most {
            found.add(Severity::High, category, &format!("it has {count} {what}, its tier may have {most}"));
        }
    }
    for (name, data) in &anatomy.custom {
        let known = CUSTOM_KNOWN.contains(name)
            || *name == loong_inspect::MANIFEST_SECTION
            || CUSTOM_KNOWN_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
        if !known {
            let short: String = name.chars().take(64).collect();
            let message = format!("it carries an unknown custom section `{short}` of {} bytes", data.len());
            found.add(Severity::Low, "custom_section_unknown", &message);
        }
    }
}

#[cfg(test)]
mod tests;
