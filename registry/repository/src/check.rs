//! What is looked at when a repository is verified: each entry by itself, against the version before it, and its name
//! against all others. Pure; the bytes are there already and fit the metadata.

use std::collections::BTreeMap;

use loong_inspect::Contents;
use loong_manifest::{Code, Manifest, Tier};
use loong_trust::{Candidate, Standing, TrustRoot, UtcTime, Verified};
use serde::Serialize;

use crate::entry::{Entry, EntryFacts};
use crate::scan::{self, ScanRules, Severity};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth reading.
    Note,
    /// Probably wrong.
    Warning,
    /// Wrong: the repository does not hold.
    Error,
}

impl Level {
    /// The level as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check, as a stable name.
    pub rule: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// The public code, where it is that of a refusal.
    pub code: Option<Code>,
    /// `publisher:name version`, or the publisher, or `repository`.
    pub subject: String,
    /// The fact.
    pub message: String,
}

/// The rules, with what each looks at, sorted.
pub const RULES: &[(&str, &str)] = &[
    ("authority", "what a version asks for that the one before it did not"),
    ("component", "the component is valid and is the one that its path names"),
    ("facts", "what the metadata says of a component follows from it"),
    ("files", "each file has the size and digest that the metadata names"),
    ("licence", "the manifest names a licence"),
    (
        "manifest",
        "the manifest beside the component is the one inside it, and fits its imports and operations",
    ),
    ("metadata", "the documents are signed by those they take, fresh, and of one time"),
    ("name", "no name is easily taken for another one's"),
    ("policy", "policy would admit the component at its tier"),
    ("provenance", "an attestation says how the component was built"),
    ("rebuild", "building the sources again gives the same bytes"),
    ("scan", "nothing in the component speaks against loading it"),
    ("signature", "the component is signed as its tier asks"),
    ("yanked", "the version was taken back"),
];

/// The files of an entry, and what is known of it.
pub struct Fetched {
    /// The entry.
    pub entry: Entry,
    /// The bytes of its files, by file name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What was read of an entry.
pub struct Checked {
    /// What was found.
    pub findings: Vec<Finding>,
    /// The component, if its manifest and signature hold.
    pub verified: Option<Verified>,
}

/// Looks at one entry. `tier` is the publisher's, `root` its keys, `rules` what the scan looks for.
pub fn check(fetched: Fetched, tier: Tier, root: &TrustRoot, rules: &ScanRules, now: UtcTime) -> Checked {
    let Fetched { entry, mut files } = fetched;
    let subject = format!("{} {}", entry.id, entry.version);
    let mut findings = Vec::new();
    let mut found = |rule, level, code, message: String| {
        findings.push(Finding { rule, level, code, subject: subject.clone(), message });
    };
    if let Some(yanked) = &entry.facts.yanked {
        found("yanked", Level::Note, None, format!("taken back on {}: {}", yanked.since, yanked.reason));
    }
    let component = files.remove(&format!("{}.wasm", entry.id.name())).unwrap_or_default();
    let bundles = loong_trust::bundle_names(&format!("{}.wasm", entry.id.name()));
    let bundles: Vec<_> = bundles.iter().filter_map(|name| files.remove(name)).collect();
    let candidate = match Candidate::read(component, bundles, entry.id.name()) {
        Ok(candidate) => candidate,
        Err(error) => {
            found("component", Level::Error, Some(error.code()), error.to_string());
            return Checked { findings, verified: None };
        }
    };
    let Some(manifest) = candidate.manifest().cloned() else {
        found("manifest", Level::Error, Some(Code::ManifestMissing), "the component holds none".to_owned());
        return Checked { findings, verified: None };
    };
    if (&manifest.id, &manifest.version) != (&entry.id, &entry.version) {
        let message =
            format!("its path names it, and it calls itself `{}` {}", manifest.id, manifest.version);
        found("component", Level::Error, Some(Code::ManifestMismatch), message);
    }
    let beside = files.get("loong.plugin.json").map(|bytes| Manifest::read(bytes));
    if !matches!(&beside, Some(Ok(beside)) if *beside == manifest) {
        let message = "the manifest beside the component is not the one inside it".to_owned();
        found("manifest", Level::Error, Some(Code::ManifestMismatch), message);
    }
    if !EntryFacts::of(&candidate, &manifest, entry.facts.published).same_component(&entry.facts) {
        let message = "the metadata says something of the component that is not so".to_owned();
        found("facts", Level::Error, Some(Code::RepositoryMismatch), message);
    }
    match manifest.licence.as_deref() {
        Some(licence) if !licence.trim().is_empty() => {}
        _ => found("licence", Level::Error, None, "the manifest names no licence".to_owned()),
    }
    found("provenance", Level::Note, None, "no attestation says how it was built".to_owned());
    let verified = match loong_trust::verify(candidate, root, now.unix_s()) {
        Ok(verified) => verified,
        Err(error) => {
            let code = error.code();
            let is_manifest =
                [Code::ManifestMismatch, Code::ManifestUnderdeclared, Code::ImportUnknown].contains(&code);
            let rule = if is_manifest { "manifest" } else { "signature" };
            found(rule, Level::Error, Some(code), error.to_string());
            return Checked { findings, verified: None };
        }
    };
    match scan::scan(&verified, None, rules) {
        Ok(report) => {
            for finding in report.findings {
                let level = match finding.severity {
                    Severity::High if report.blocked => Level::Error,
                    Severity::High | Severity::Medium => Level::Warning,
                    Severity::Low => Level::Note,
                };
                let code = (level == Level::Error).then_some(Code::ScanBlocked);
                found(
                    "scan",
                    level,
                    code,
                    format!("{} {}: {}", finding.id, finding.category, finding.message),
                );
            }
        }
        Err(error) => found("scan", Level::Error, Some(error.code()), error.to_string()),
    }
    if tier != Tier::Unverified && !matches!(verified.standing(), Standing::Signed { .. }) {
        let message = format!("nobody signed it whom the publisher names, and its publisher is {tier}");
        found("signature", Level::Error, Some(Code::UnsignedRefused), message);
    }
    Checked { findings, verified: Some(verified) }
}

/// What a version asks for that the one before it did not: each a line for people.
pub fn more_authority(before: &Verified, after: &Verified) -> Vec<String> {
    let asked = |verified: &Verified| {
        let asked = verified
            .manifest()
            .map(|manifest| serde_json::to_value(&manifest.capabilities).unwrap_or_default());
        asked.and_then(|asked| asked.as_object().cloned()).unwrap_or_default()
    };
    let (old, new) = (asked(before), asked(after));
    let mut lines = Vec::new();
    for (name, scope) in &new {
        match old.get(name) {
            None => lines.push(format!("asks for {name}")),
            Some(known) if without_reasons(known) != without_reasons(scope) => {
                lines.push(format!("asks for another {name}: {}", without_reasons(scope)));
            }
            Some(_) => {}
        }
    }
    let imports = |contents: &Contents| -> Vec<String> {
        contents.imports.iter().map(|import| import.name.clone()).collect()
    };
    let known = imports(before.contents());
    lines.extend(
        imports(after.contents())
            .into_iter()
            .filter(|name| !known.contains(name))
            .map(|name| format!("imports {name}")),
    );
    lines
}

fn without_reasons(scope: &serde_json::Value) -> serde_json::Value {
    let mut scope = scope.clone();
    if let Some(members) = scope.as_object_mut() {
        members.remove("reason");
    }
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_sorted() {
        assert!(RULES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
