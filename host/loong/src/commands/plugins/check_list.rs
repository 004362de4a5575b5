//! The static checks of a component, one line each, made of what loading itself would do.

use std::path::Path;

use loong_inspect::Contents;
use loong_manifest::Code;
use loong_policy::{Offer, PolicySet, Preview};
use loong_repository::scan::{Report, ScanRules, Severity};
use loong_trust::{Candidate, Signer, Standing, TrustError, TrustRoot, Verified};
use serde::Serialize;

use super::{BYTES_MAX, bytes_text, counted, pack, stem};
use crate::error::CommandError;
use crate::locate;
use crate::scanning;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// Nothing is wrong.
    Ok,
    /// Something is wrong; loading would refuse the component.
    Failed,
    /// An earlier check failed, so there is nothing to look at.
    NotReached,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotReached => "-",
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// What is checked.
    pub(super) name: &'static str,
    /// How it ended.
    pub(super) status: Status,
    /// What was found.
    pub(super) found: String,
    /// The public code of a failure.
    pub(super) code: Option<Code>,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

/// Every check in the order in which loading makes them.
const NAMES: [&str; 11] = [
    "file",
    "type",
    "structure",
    "manifest",
    "imports",
    "operations",
    "schemas",
    "signature",
    "tier",
    "scan",
    "admission",
];

/// The checks of one component, and whatever could be learnt of it.
#[derive(Default)]
pub(super) struct CheckList {
    pub(super) checks: Vec<Check>,
    /// The component, if its manifest and its signature hold.
    pub(super) verified: Option<Verified>,
    /// What the scan found.
    pub(super) scan: Option<Report>,
    /// What policy would say.
    pub(super) preview: Option<Preview>,
}

impl CheckList {
    /// Runs every check on a file. Nothing of it is executed.
    pub(super) fn of(
        path: &Path,
        root: &TrustRoot,
        rules: &ScanRules,
        now_unix_s: u64,
        grants: impl FnOnce(&Verified) -> Result<(PolicySet, Offer), CommandError>,
    ) -> Result<Self, CommandError> {
        let mut list = Self::default();
        // A failure is in the list; what could not be looked at is added below.
        let _ = list.run(path, root, now_unix_s);
        if let Some(verified) = list.verified.take() {
            list.scanned(&verified, scanning::scan(&verified, path, rules)?);
            let (policy, offer) = grants(&verified)?;
            list.admission(loong_policy::preview(&policy, &verified, &offer));
            list.verified = Some(verified);
        }
        for name in NAMES {
            if list.checks.iter().all(|check| check.name != name) {
                list.add(name, Status::NotReached, "not reached");
            }
        }
        list.checks.sort_by_key(|check| NAMES.iter().position(|name| *name == check.name));
        Ok(list)
    }

    /// The first failure.
    pub(super) fn failure(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.status == Status::Failed)
    }

    fn add(&mut self, name: &'static str, status: Status, found: impl Into<String>) {
        self.checks.push(Check { name, status, found: found.into(), code: None, hint: None });
    }

    fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Status::Ok, found);
    }

    fn fail(&mut self, name: &'static str, error: &CommandError, hint: Option<String>) {
        let found = std::iter::once(&error.headline)
            .chain(&error.details)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ");
        let hint = hint.or_else(|| error.hint.clone());
        self.checks.push(Check { name, status: Status::Failed, found, code: Some(error.code), hint });
    }

    fn run(&mut self, path: &Path, root: &TrustRoot, now_unix_s: u64) -> Option<()> {
        let bytes = match locate::read_bounded(path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.fail("file", &error, None);
                return None;
            }
        };
        self.ok("file", bytes_text(bytes.len() as u64));
        let contents = self.contents(&bytes)?;
        let candidate = match locate::candidate(path) {
            Ok(candidate) => candidate,
            Err(error) => {
                self.fail("manifest", &error, None);
                return None;
            }
        };
        match candidate.manifest() {
            Some(manifest) => self.ok(
                "manifest",
                format!("`{}` {}, a {}", manifest.id, manifest.version, manifest.kind.as_str()),
            ),
            None => self
                .ok("manifest", format!("none: it is `{}` and gets what needs no manifest", candidate.id())),
        }
        self.claims(bytes, path, &contents);
        self.signature(candidate, root, now_unix_s);
        Some(())
    }

    fn contents(&mut self, bytes: &[u8]) -> Option<Contents> {
        match loong_inspect::inspect(bytes) {
            Ok(contents) => {
                self.ok("type", "a component");
                let counts = [
                    counted(contents.imports.len(), "import", "imports"),
                    counted(contents.exports.len(), "export", "exports"),
                ];
                self.ok("structure", format!("valid, {}", counts.join(", ")));
                Some(contents)
            }
            Err(error) => {
                let is_type = matches!(error.code(), Code::NotWasm | Code::ComponentCoreModule);
                let name = match error.code() {
                    Code::ManifestTwice => "manifest",
                    _ if is_type => "type",
                    _ => "structure",
                };
                if !is_type {
                    self.ok("type", "a component");
                }
                self.fail(name, &error.into(), None);
                None
            }
        }
    }

    /// Compares the component with its manifest, without its signature.
    fn claims(&mut self, bytes: Vec<u8>, path: &Path, contents: &Contents) {
        let claimed = Candidate::read(bytes, None, &stem(path))
            .and_then(|candidate| loong_trust::verify(candidate, &TrustRoot::empty(), 0));
        let operations = claimed.as_ref().map_or(0, |verified| verified.operations().len());
        let failed = claimed.err();
        let at = failed.as_ref().map_or(usize::MAX, |error| match error {
            TrustError::OperationUndeclared { .. } | TrustError::OperationMissing { .. } => 1,
            TrustError::SchemaDiffers { .. } => 2,
            _ => 0,
        });
        let skipped = match contents.skipped.len() {
            0 => String::new(),
            count => format!(", and {} that cannot be called", counted(count, "function", "functions")),
        };
        let imports = match contents.imports.len() {
            0 => "none".to_owned(),
            count => format!("{}, none more than asked for", counted(count, "import", "imports")),
        };
        let facts = [
            ("imports", imports),
            ("operations", format!("{}{skipped}", counted(operations, "operation", "operations"))),
            ("schemas", "the same in the manifest and in the component".to_owned()),
        ];
        for (place, (name, found)) in facts.into_iter().enumerate() {
            if place < at {
                self.ok(name, found);
            } else if let (true, Some(error)) = (place == at, &failed) {
                let error_text = CommandError::caused(error.code(), error);
                self.fail(name, &error_text, remedy(error));
            }
        }
    }

    /// Holds the signature against the trust root. Loading looks at it first, so an error that is about
    /// anything else means that it is good.
    fn signature(&mut self, candidate: Candidate, root: &TrustRoot, now_unix_s: u64) {
        let is_signed = !candidate.bundles().is_empty();
        match loong_trust::verify(candidate, root, now_unix_s) {
            Ok(verified) => {
                self.ok("signature", standing_text(verified.standing()));
                self.ok("tier", verified.tier().as_str());
                self.verified = Some(verified);
            }
            Err(error) if about_signature(&error) => self.fail("signature", &error.into(), None),
            Err(_) if is_signed => self.ok("signature", "fits these bytes, or is by an unknown key"),
            Err(_) => self.ok("signature", standing_text(&Standing::Unsigned)),
        }
    }

    fn scanned(&mut self, verified: &Verified, report: Report) {
        if report.blocked {
            self.fail("scan", &scanning::refusal(verified, &report), None);
        } else {
            let counts = [Severity::High, Severity::Medium, Severity::Low]
                .map(|severity| format!("{} {}", report.count(severity), severity.as_str()));
            let found =
                if report.findings.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
            self.ok("scan", found);
        }
        self.scan = Some(report);
    }

    fn admission(&mut self, preview: Preview) {
        if let Some(denial) = preview.denials.first() {
            let mut error = CommandError::new(denial.code(), denial.to_string()).detail(denial.blame());
            error.details.extend(preview.denials.iter().skip(1).map(ToString::to_string));
            self.fail("admission", &error, None);
        } else {
            let granted = preview.grants.names();
            let granted = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
            self.ok("admission", format!("admitted at tier {}, granted: {granted}", preview.tier));
        }
        self.preview = Some(preview);
    }
}

/// Who vouches for a component, in words.
pub(super) fn standing_text(standing: &Standing) -> String {
    match standing {
        Standing::Unsigned => "none: nobody vouches for it".to_owned(),
        Standing::UnknownKey { hint } => {
            format!("by the key {}, which your trust root does not name", shortened(hint))
        }
        Standing::Signed { signer, others, .. } => {
            let all: Vec<String> = std::iter::once(signer).chain(others).map(Signer::text).collect();
            format!("by {}", all.join(", by "))
        }
    }
}

fn shortened(hint: &str) -> String {
    if hint.chars().count() <= 12 {
        hint.to_owned()
    } else {
        format!("{}…", hint.chars().take(12).collect::<String>())
    }
}

/// Whether loading would refuse the component for its signature.
fn about_signature(error: &TrustError) -> bool {
    matches!(
        error.code(),
        Code::RootExpired
            | Code::RootInvalid
            | Code::ProvenanceMissing
            | Code::SignatureIdentity
            | Code::SignatureInvalid
            | Code::SignatureKeyExpired
            | Code::SignatureKeyNotYetValid
            | Code::SignatureKeyRevoked
            | Code::SignatureMalformed
            | Code::SignatureNamespace
            | Code::SignatureOtherBytes
            | Code::SignatureThreshold
    )
}

/// What the author does about a difference between component and manifest.
pub(super) fn remedy(error: &TrustError) -> Option<String> {
    match error {
        TrustError::ImportUndeclared { import, capability: "tools" } => {
            let pattern = import.split('@').next().unwrap_or_default();
            let function =
                import.split_once('#').map(|(_, function)| format!("#{function}")).unwrap_or_default();
            Some(format!(
                "add \"{pattern}{function}\" to `operations` of `tools` in `capabilities`, and build again"
            ))
        }
        TrustError::ImportUndeclared { capability, .. } => Some(format!(
            "add \"{capability}\": {{ \"reason\": \"…\" }} to `capabilities` of loong.plugin.json, and build again"
        )),
        TrustError::OperationUndeclared { operation } => Some(format!(
            "add {} to `operations` of loong.plugin.json, and build again",
            pack::line_to_add(&operation.to_string())
        )),
        TrustError::OperationMissing { .. } => {
            Some("remove it from `operations` of loong.plugin.json, and build again".to_owned())
        }
        TrustError::SchemaDiffers { .. } => {
            Some("build it with `loong plugins build`, which takes the schemas from the WIT".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &TrustError, expected: &str) {
        assert_eq!(remedy(error).unwrap_or_default(), expected);
    }

    #[test]
    fn says_which_line_an_author_adds() {
        check(
            &TrustError::OperationUndeclared { operation: "a:b/c@0.1.0#d".parse().unwrap() },
            "add { \"name\": \"a:b/c@0.1.0#d\", \"risk\": \"read\" } to `operations` of loong.plugin.json, and build again",
        );
        check(
            &TrustError::ImportUndeclared { import: "core:git/git@0.1.0#log".into(), capability: "tools" },
            "add \"core:git/git#log\" to `operations` of `tools` in `capabilities`, and build again",
        );
        check(
            &TrustError::ImportUndeclared { import: "loong:host/kv@0.1.0".into(), capability: "kv" },
            "add \"kv\": { \"reason\": \"…\" } to `capabilities` of loong.plugin.json, and build again",
        );
    }
}
