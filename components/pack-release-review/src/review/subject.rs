//! What the message of a commit says about it: its kind, its area, and whether it breaks something.

use serde::Serialize;

/// What sort of change a commit is. The order is that of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Security,
    Feature,
    Fix,
    Performance,
    /// No type is written: `area: effect`, or plain text.
    Change,
    Refactor,
    Documentation,
    Tests,
    Build,
    Ci,
    Style,
    Chore,
    Revert,
    Merge,
}

impl Kind {
    /// Heading of its group.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Security => "Security",
            Self::Feature => "Features",
            Self::Fix => "Fixes",
            Self::Performance => "Performance",
            Self::Change => "Changes by area",
            Self::Refactor => "Refactoring",
            Self::Documentation => "Documentation",
            Self::Tests => "Tests",
            Self::Build => "Build and dependencies",
            Self::Ci => "Continuous integration",
            Self::Style => "Style",
            Self::Chore => "Chores",
            Self::Revert => "Reverts",
            Self::Merge => "Merges",
        }
    }

    fn of_type(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "feat" | "feature" | "features" => Self::Feature,
            "fix" | "bugfix" | "hotfix" => Self::Fix,
            "sec" | "security" => Self::Security,
            "perf" | "performance" => Self::Performance,
            "refactor" | "refact" => Self::Refactor,
            "doc" | "docs" | "documentation" => Self::Documentation,
            "test" | "tests" => Self::Tests,
            "build" | "deps" | "dep" => Self::Build,
            "ci" => Self::Ci,
            "style" => Self::Style,
            "chore" => Self::Chore,
            "revert" => Self::Revert,
            _ => return None,
        })
    }
}

/// A subject, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// The scope of a conventional commit, or the area before the colon.
    pub(crate) area: Option<String>,
    /// True when it is marked with `!`.
    pub(crate) breaking: bool,
    /// What remains to be said.
    pub(crate) text: String,
}

/// Longest area, in bytes. What is longer is a sentence.
const AREA_BYTES_MAX: usize = 48;

/// Takes a subject apart: <https://www.conventionalcommits.org/en/v1.0.0/>, `area: effect`, `[area] effect`,
/// and what git writes for merges and reverts.
pub(crate) fn parse(subject: &str, parents: usize) -> Subject {
    let subject = subject.trim();
    let whole = |kind| Subject { kind, area: None, breaking: false, text: subject.to_owned() };
    if parents > 1 || subject.starts_with("Merge branch ") || subject.starts_with("Merge pull request ") {
        return whole(Kind::Merge);
    }
    if let Some(reverted) = subject.strip_prefix("Revert \"") {
        let text = reverted.strip_suffix('"').unwrap_or(reverted).to_owned();
        return Subject { text, ..whole(Kind::Revert) };
    }
    if let Some((area, text)) = subject.strip_prefix('[').and_then(|rest| rest.split_once("] "))
        && is_area(area)
    {
        return Subject { area: Some(area.to_owned()), text: text.trim().to_owned(), ..whole(Kind::Change) };
    }
    let Some((head, text)) = subject.split_once(':') else { return whole(Kind::Change) };
    let (spaced, text) = (text.starts_with(' '), text.trim());
    if text.is_empty() {
        return whole(Kind::Change);
    }
    let (head, breaking) = head.strip_suffix('!').map_or((head, false), |head| (head, true));
    let (word, scope) = match head.strip_suffix(')').and_then(|head| head.split_once('(')) {
        Some((word, scope)) => (word, Some(scope)),
        None => (head, None),
    };
    let text = text.to_owned();
    match Kind::of_type(word) {
        Some(kind) if scope.is_none_or(|scope| !scope.contains(['(', ')'])) => {
            let area = scope.map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned);
            Subject { kind, area, breaking, text }
        }
        _ if spaced && is_area(head) => {
            Subject { kind: Kind::Change, area: Some(head.to_owned()), breaking, text }
        }
        _ => whole(Kind::Change),
    }
}

/// One word, or words with commas between them.
fn is_area(text: &str) -> bool {
    text.len() <= AREA_BYTES_MAX
        && !text.is_empty()
        && text.split(',').all(|part| {
            let part = part.trim();
            !part.is_empty()
                && part
                    .chars()
                    .all(|character| character.is_alphanumeric() || "_-./+*{}@#()".contains(character))
        })
}

/// What the footers `BREAKING CHANGE:` of a body say.
pub(crate) fn breaking_footers(body: &str) -> impl Iterator<Item = &str> {
    body.lines().filter_map(|line| {
        let text = line.strip_prefix("BREAKING CHANGE").or_else(|| line.strip_prefix("BREAKING-CHANGE"))?;
        let text = text.strip_prefix(':').or_else(|| text.strip_prefix(" #"))?;
        Some(text.trim())
    })
}

/// Ids of commits that a body says it reverts.
pub(crate) fn reverted_ids(body: &str) -> impl Iterator<Item = &str> {
    body.split("This reverts commit ").skip(1).filter_map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_hexdigit()).unwrap_or(rest.len());
        rest.get(..end).filter(|id| id.len() >= 7)
    })
}

/// Names in the trailers `Co-authored-by:`, with their addresses.
pub(crate) fn co_authors(body: &str) -> impl Iterator<Item = (&str, &str)> {
    body.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        if !key.eq_ignore_ascii_case("co-authored-by") {
            return None;
        }
        let (name, rest) = value.split_once('<')?;
        Some((name.trim(), rest.trim_end_matches('>').trim()))
    })
}

/// True for a commit that was meant to be folded into another, or to be finished.
pub(crate) fn is_unfinished(subject: &str) -> bool {
    let lower = subject.trim().to_ascii_lowercase();
    ["fixup!", "squash!", "amend!", "wip:", "wip ", "[wip]", "do not merge", "dnm:"]
        .iter()
        .any(|mark| lower.starts_with(mark))
        || lower == "wip"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(subject: &str, kind: Kind, area: &str, text: &str) {
        let found = parse(subject, 1);
        assert_eq!(
            (found.kind, found.area.as_deref().unwrap_or(""), found.text.as_str()),
            (kind, area, text),
            "{subject}"
        );
        assert!(!found.breaking, "{subject}");
    }

    #[test]
    fn reads_conventional_subjects() {
        check("feat: add a flag", Kind::Feature, "", "add a flag");
        check("Fix(parser): stop at the end", Kind::Fix, "parser", "stop at the end");
        check("docs:typo", Kind::Documentation, "", "typo");
        check("chore(deps): bump x", Kind::Chore, "deps", "bump x");
        check("security: check the length", Kind::Security, "", "check the length");
        check("perf(): x", Kind::Performance, "", "x");
        check("revert: feat: x", Kind::Revert, "", "feat: x");
    }

    #[test]
    fn reads_areas() {
        check("kernel: decide before the effect", Kind::Change, "kernel", "decide before the effect");
        check("kernel, runtime: one road", Kind::Change, "kernel, runtime", "one road");
        check("net/http: close it", Kind::Change, "net/http", "close it");
        check("[net] close it", Kind::Change, "net", "close it");
    }

    #[test]
    fn takes_sentences_as_they_are() {
        check("Add a flag", Kind::Change, "", "Add a flag");
        check("Use this: it is better", Kind::Change, "", "Use this: it is better");
        check("see http://a.b", Kind::Change, "", "see http://a.b");
        check("std::fmt is used", Kind::Change, "", "std::fmt is used");
        check("feat:", Kind::Change, "", "feat:");
        check("", Kind::Change, "", "");
    }

    #[test]
    fn reads_what_git_writes() {
        check("Revert \"feat: x\"", Kind::Revert, "", "feat: x");
        check("Merge pull request #1 from a/b", Kind::Merge, "", "Merge pull request #1 from a/b");
        check("Merge sort is faster", Kind::Change, "", "Merge sort is faster");
        assert_eq!(parse("feat: x", 2).kind, Kind::Merge);
    }

    #[test]
    fn sees_marks_of_breaking_changes() {
        for subject in ["feat!: x", "feat(a)!: x", "kernel!: x"] {
            assert!(parse(subject, 1).breaking, "{subject}");
        }
        let body =
            "text\n\nBREAKING CHANGE: the flag is gone\nBREAKING-CHANGE: too\nno BREAKING CHANGE: here\n";
        assert_eq!(breaking_footers(body).collect::<Vec<_>>(), ["the flag is gone", "too"]);
    }

    #[test]
    fn reads_trailers() {
        let body = "This reverts commit 0123456789abcdef.\nCo-Authored-By: Ann B <ann@b.c>\nCo-authored-by: nobody\n";
        assert_eq!(reverted_ids(body).collect::<Vec<_>>(), ["0123456789abcdef"]);
        assert_eq!(co_authors(body).collect::<Vec<_>>(), [("Ann B", "ann@b.c")]);
    }

    #[test]
    fn sees_what_is_unfinished() {
        for subject in ["fixup! feat: x", "WIP", "wip: x", "squash! a", "[WIP] x"] {
            assert!(is_unfinished(subject), "{subject}");
        }
        assert!(!is_unfinished("wipe the disk"));
    }

    proptest! {
        #[test]
        fn takes_any_text(subject in any::<String>(), body in any::<String>()) {
            parse(&subject, 1);
            breaking_footers(&body).count();
            reverted_ids(&body).count();
            co_authors(&body).count();
        }
    }
}
