//! The scan before a component is loaded: the rules in force, and what a person is told of its findings.

use std::path::Path;

use loong_manifest::Code;
use loong_repository::scan::{self, Finding, Report, ScanRules, Severity};
use loong_trust::Verified;

use crate::error::CommandError;
use crate::locate;
use crate::places::Places;

/// Largest file of rules.
const RULES_BYTES_MAX: u64 = 4 << 20;

/// The rules in force: the person's own, or the built-in ones.
pub fn rules(places: &Places) -> Result<ScanRules, CommandError> {
    let path = places.scan_rules();
    if !path.exists() {
        return Ok(ScanRules::read(ScanRules::DEFAULT)?);
    }
    let bytes = locate::read_bounded(&path, RULES_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    ScanRules::read(&text)
        .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))
}

/// Scans a component that lies in a file.
pub fn scan(verified: &Verified, file: &Path, rules: &ScanRules) -> Result<Report, CommandError> {
    let file = std::path::absolute(file).ok();
    Ok(scan::scan(verified, file.as_deref(), rules)?)
}

/// Why a component is not loaded.
pub fn refusal(verified: &Verified, report: &Report) -> CommandError {
    let high = report.findings.iter().filter(|finding| finding.severity == Severity::High);
    let headline =
        format!("the scan of `{}` {} found a reason not to load it", verified.id(), verified.version());
    high.take(8).map(line).fold(CommandError::new(Code::ScanBlocked, headline), CommandError::detail)
}

/// A finding in a line.
pub fn line(finding: &Finding) -> String {
    format!("{} {} {}: {}", finding.severity.as_str(), finding.id, finding.category, finding.message)
}
