//! A draft in the form of <https://keepachangelog.com/en/1.1.0/>.

use serde::Serialize;

use super::subject::{Kind, Subject};

/// A heading of the changelog, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Section {
    Added,
    Changed,
    Deprecated,
    Removed,
    Fixed,
    Security,
}

impl Section {
    pub(crate) const ALL: [Self; 6] =
        [Self::Added, Self::Changed, Self::Deprecated, Self::Removed, Self::Fixed, Self::Security];

    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Added => "Added",
            Self::Changed => "Changed",
            Self::Deprecated => "Deprecated",
            Self::Removed => "Removed",
            Self::Fixed => "Fixed",
            Self::Security => "Security",
        }
    }
}

/// Where a commit belongs; nothing for what users do not notice. A breaking change always belongs somewhere.
pub(crate) fn section(subject: &Subject, breaking: bool) -> Option<Section> {
    let lower = subject.text.to_ascii_lowercase();
    let security = ["cve-", "rustsec-", "ghsa-", "vulnerabilit"].iter().any(|mark| lower.contains(mark));
    let section = match subject.kind {
        Kind::Merge | Kind::Revert => return None,
        _ if security => Some(Section::Security),
        Kind::Security => Some(Section::Security),
        Kind::Feature => {
            Some(by_verb(&lower).filter(|section| *section != Section::Fixed).unwrap_or(Section::Added))
        }
        Kind::Fix => Some(Section::Fixed),
        Kind::Performance => Some(Section::Changed),
        Kind::Change if is_inside(subject.area.as_deref(), &lower) => None,
        Kind::Change => Some(by_verb(&lower).unwrap_or(Section::Changed)),
        Kind::Refactor
        | Kind::Documentation
        | Kind::Tests
        | Kind::Build
        | Kind::Ci
        | Kind::Style
        | Kind::Chore => None,
    };
    section.or(breaking.then_some(Section::Changed))
}

/// True for what users do not notice, by the words of a subject without a type.
fn is_inside(area: Option<&str>, lower: &str) -> bool {
    let inside = |word: &str| {
        matches!(
            word,
            "test"
                | "tests"
                | "testing"
                | "readme"
                | "typo"
                | "typos"
                | "clippy"
                | "rustfmt"
                | "fmt"
                | "lint"
                | "lints"
                | "docs"
                | "rustdoc"
                | "documentation"
                | "fuzz"
                | "fuzzing"
                | "miri"
                | "workflow"
                | "workflows"
                | "dependabot"
                | "ci"
                | "comment"
                | "comments"
                | "changelog"
                | "bench"
                | "benches"
                | "benchmark"
                | "benchmarks"
                | "gitignore"
        )
    };
    area.is_some_and(|area| area.split([',', '/', ' ']).filter(|word| !word.is_empty()).all(|word| inside(&word.to_ascii_lowercase())))
        || lower.split(|character: char| !character.is_alphanumeric()).take(8).any(inside)
        // Dependencies have a section of their own in the review.
        || lower.starts_with("bump ")
        || lower.starts_with("document ")
        || lower == "pre-commit autoupdate"
        || lower.starts_with("release ")
        || super::subject::is_unfinished(lower)
}

fn by_verb(lower: &str) -> Option<Section> {
    let verb = lower.split(|character: char| !character.is_alphanumeric()).next()?;
    Some(match verb {
        "add" | "adds" | "added" | "introduce" | "introduces" | "new" | "support" | "supports"
        | "implement" | "implements" => Section::Added,
        "fix" | "fixes" | "fixed" | "correct" | "corrects" | "repair" | "prevent" | "avoid" => Section::Fixed,
        "remove" | "removes" | "removed" | "drop" | "drops" | "delete" | "deletes" => Section::Removed,
        "deprecate" | "deprecates" | "deprecated" => Section::Deprecated,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::subject::parse;

    #[test]
    fn sorts_commits_into_sections() {
        let check = |subject: &str, expected: Option<Section>| {
            let parsed = parse(subject, 1);
            assert_eq!(section(&parsed, parsed.breaking), expected, "{subject}");
        };
        check("feat: a flag", Some(Section::Added));
        check("feat: remove the old flag", Some(Section::Removed));
        check("fix(x): stop", Some(Section::Fixed));
        check("fix: bounds (CVE-2026-1)", Some(Section::Security));
        check("kernel: add a road", Some(Section::Added));
        check("kernel: decide first", Some(Section::Changed));
        check("Remove the cache", Some(Section::Removed));
        check("Deprecate it", Some(Section::Deprecated));
        check("docs: x", None);
        check("refactor: x", None);
        check("refactor!: x", Some(Section::Changed));
        check("chore(deps): bump x", None);
        check("Fix a typo in the README", None);
        check("store: add tests for groups", None);
        check("bench: add a table", None);
        check("Bump x from 1 to 2", None);
        check("Document the parser", None);
        check("[pre-commit.ci] pre-commit autoupdate", None);
        check("Merge branch 'x'", None);
    }
}
