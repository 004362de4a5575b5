//! Changes that deserve a second look, whatever their commits say.

use std::collections::BTreeSet;

use serde::Serialize;

use super::contract::Diffs;
use super::diff::FileDiff;
use super::facts::{ChangeKind, Facts};
use super::path;
use super::subject;
use super::text::{counted, is_hidden, turns_direction};

/// Why something deserves a look. The order is that of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RiskKind {
    /// Text that does not read as it runs.
    HiddenText,
    /// A file name that often means a secret.
    Secret,
    /// More `unsafe` code in Rust.
    Unsafe,
    /// Tests that are gone or switched off.
    Tests,
    /// How it is built, checked and delivered.
    Build,
    /// Who may do what.
    Policy,
    /// A file that nobody can read in a review.
    Binary,
    /// A commit that was meant to be folded or finished.
    Unfinished,
}

impl RiskKind {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::HiddenText => "Text that hides something",
            Self::Secret => "Files that often hold secrets",
            Self::Unsafe => "Unsafe code",
            Self::Tests => "Tests deleted or switched off",
            Self::Build => "Build and CI scripts",
            Self::Policy => "Policies and permissions",
            Self::Binary => "Binary files",
            Self::Unfinished => "Unfinished commits",
        }
    }
}

/// One thing that deserves a look.
#[derive(Debug)]
pub(crate) struct Risk {
    pub(crate) kind: RiskKind,
    /// A path or the id of a commit.
    pub(crate) place: String,
    /// What was seen there.
    pub(crate) what: String,
}

/// Finds what deserves a look.
pub(crate) fn risks(facts: &Facts, diffs: &Diffs<'_>) -> Vec<Risk> {
    let mut risks = Vec::new();
    let tests = Tests::of(diffs);
    for change in &facts.changes {
        let path = change.path.as_str();
        let mut add = |kind, what: String| risks.push(Risk { kind, place: path.to_owned(), what });
        let size = match (change.added, change.removed) {
            (Some(added), Some(removed)) => format!("{}, +{added} −{removed}", verb(change.kind)),
            _ => format!("{}, binary", verb(change.kind)),
        };
        if path.contains(|character: char| character.is_control() || is_hidden_in_prose(character)) {
            add(RiskKind::HiddenText, "its name has invisible characters".to_owned());
        }
        if path::is_build(path) {
            add(RiskKind::Build, size.clone());
        }
        if path::is_policy(path) {
            add(RiskKind::Policy, size.clone());
        }
        let new = matches!(change.kind, ChangeKind::Added | ChangeKind::Renamed | ChangeKind::Copied);
        if new && path::may_hold_secrets(path) {
            add(RiskKind::Secret, size.clone());
        }
        if change.added.is_none() && change.kind != ChangeKind::Deleted && !is_picture(path) {
            add(RiskKind::Binary, verb(change.kind).to_owned());
        }
        if change.kind == ChangeKind::Deleted && path::is_test(path) {
            add(
                RiskKind::Tests,
                format!(
                    "deleted, {}",
                    counted(usize::try_from(change.removed.unwrap_or(0)).unwrap_or(0), "line", "lines")
                ),
            );
        }
        let Some(diff) = diffs.get(path) else { continue };
        if path.ends_with(".rs") {
            let (added, removed) =
                (diff.added().map(unsafes).sum::<usize>(), diff.removed().map(unsafes).sum::<usize>());
            if added > 0 {
                let gone = if removed > 0 { format!(", {removed} removed") } else { String::new() };
                add(RiskKind::Unsafe, format!("`unsafe` added {}{gone}", counted(added, "time", "times")));
            }
        }
        if change.kind != ChangeKind::Deleted {
            if let Some(what) = tests.fewer(diff) {
                add(RiskKind::Tests, what);
            }
            if let Some(what) = switched_off(diff) {
                add(RiskKind::Tests, what);
            }
        }
        let turned = diff.added().filter(|line| line.contains(turns_direction)).count();
        if turned > 0 {
            add(
                RiskKind::HiddenText,
                counted(
                    turned,
                    "added line changes the direction of text",
                    "added lines change the direction of text",
                ),
            );
        }
    }
    for commit in &facts.commits {
        let mut add =
            |kind, what: &str| risks.push(Risk { kind, place: commit.id.clone(), what: what.to_owned() });
        if commit.subject.contains(is_hidden_in_prose) {
            add(RiskKind::HiddenText, "its subject has invisible characters");
        }
        if subject::is_unfinished(&commit.subject) {
            add(RiskKind::Unfinished, &commit.subject);
        }
    }
    risks.sort_by_key(|risk| risk.kind);
    risks
}

/// Joiners and variation selectors are part of emoji and of some scripts.
fn is_hidden_in_prose(character: char) -> bool {
    is_hidden(character) && !matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{ad}')
}

/// What happened to a file, in a word.
pub(crate) fn verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Renamed => "renamed",
        ChangeKind::Copied => "copied",
    }
}

fn is_picture(path: &str) -> bool {
    [".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".woff", ".woff2", ".ttf", ".pdf"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// How often `unsafe` is a keyword in a line of Rust. Comments and strings do not count.
pub(crate) fn unsafes(line: &str) -> usize {
    let code = code_of(line);
    code.match_indices("unsafe")
        .filter(|(at, word)| {
            let before = code.get(..*at).and_then(|text| text.chars().next_back());
            let after = code.get(at + word.len()..).and_then(|text| text.chars().next());
            let part = |character: Option<char>| {
                character.is_some_and(|character| character.is_alphanumeric() || character == '_')
            };
            !part(before) && !part(after)
        })
        .count()
}

/// A line of Rust without its comment and without what is in its strings.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => drop(characters.next()),
            // A quote as a character: '"'.
            '\'' if !in_string && characters.peek() == Some(&'"') => drop(characters.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            _ if !in_string => code.push(character),
            _ => {}
        }
    }
    code
}

/// Names of the tests that one side of a diff declares, in Rust, Python, JavaScript, Go and Java.
fn tests<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in lines.map(str::trim_start) {
        let code = line.strip_prefix("#[test] ").unwrap_or(line);
        let is_mark =
            matches!(line, "#[test]" | "@Test") || (line.starts_with("#[") && line.contains("::test"));
        if is_mark {
            marked = true;
            continue;
        }
        let starts = ["def test_", "async def test_", "it('", "it(\"", "test('", "test(\"", "func Test"];
        if starts.iter().any(|start| line.starts_with(start)) {
            names.push(line);
        } else if (marked || code.len() < line.len()) && !code.starts_with("#[") {
            names.push(code.split('(').next().unwrap_or(code));
            marked = false;
        }
    }
    names
}

/// Names of tests that are added somewhere, and that are removed somewhere.
struct Tests<'a> {
    added: BTreeSet<&'a str>,
    removed: BTreeSet<&'a str>,
}

impl<'a> Tests<'a> {
    fn of(diffs: &Diffs<'a>) -> Self {
        Self {
            added: diffs.values().flat_map(|diff| tests(diff.added())).collect(),
            removed: diffs.values().flat_map(|diff| tests(diff.removed())).collect(),
        }
    }

    /// What a file has lost that came up nowhere else, less what is new in it.
    fn fewer(&self, diff: &FileDiff) -> Option<String> {
        let gone = tests(diff.removed()).into_iter().filter(|name| !self.added.contains(name)).count();
        let new = tests(diff.added()).into_iter().filter(|name| !self.removed.contains(name)).count();
        let fewer = gone.saturating_sub(new);
        (fewer > 0).then(|| counted(fewer, "test fewer", "tests fewer"))
    }
}

fn switched_off(diff: &FileDiff) -> Option<String> {
    let marks = [
        "#[ignore",
        "@pytest.mark.skip",
        "@unittest.skip",
        "it.skip(",
        "test.skip(",
        "describe.skip(",
        "it.only(",
        "t.Skip(",
        "@Disabled",
        "@Ignore",
    ];
    let is_mark = |line: &&str| marks.iter().any(|mark| line.trim_start().starts_with(mark));
    let count = diff.added().filter(is_mark).count().saturating_sub(diff.removed().filter(is_mark).count());
    (count > 0).then(|| {
        counted(count, "test more that is not run by default", "tests more that are not run by default")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::review::diff::{Line, Side};

    #[test]
    fn counts_unsafe_where_it_is_code() {
        let check = |line: &str, expected: usize| assert_eq!(unsafes(line), expected, "{line}");
        check("unsafe { f() }", 1);
        check("pub unsafe fn a() { unsafe { b() } }", 2);
        check("#[unsafe(no_mangle)]", 1);
        check("unsafe_code = \"deny\"", 0);
        check("#![forbid(unsafe_code)]", 0);
        check("// unsafe here", 0);
        check("let x = \"unsafe\";", 0);
        check("let x = \"a\\\" unsafe\"; unsafe {}", 1);
        check("if c == '\"' { unsafe { x() } }", 1);
    }

    fn diff(removed: &[&'static str], added: &[&'static str]) -> FileDiff<'static> {
        let line = |side: Side| move |text: &&'static str| Line { side, text };
        let lines = removed.iter().map(line(Side::Old)).chain(added.iter().map(line(Side::New))).collect();
        FileDiff { path: "x".to_owned(), hunks: vec![lines] }
    }

    #[track_caller]
    fn check_tests(
        removed: &[&'static str],
        added: &[&'static str],
        elsewhere: &[&'static str],
        expected: Option<&str>,
    ) {
        let (here, there) = (diff(removed, added), diff(&[], elsewhere));
        let diffs: Diffs = [("here", &here), ("there", &there)].into_iter().collect();
        assert_eq!(Tests::of(&diffs).fewer(&here).as_deref(), expected);
    }

    #[test]
    fn sees_tests_go() {
        check_tests(
            &["    #[test]", "    fn a() {", "#[tokio::test]", "async fn b() {"],
            &[],
            &[],
            Some("2 tests fewer"),
        );
        check_tests(&["#[test] fn a() {}"], &[], &[], Some("1 test fewer"));
        check_tests(&["def test_a():"], &["def test_b():"], &[], None);
        check_tests(&["#[test]", "fn a() {"], &[], &["  #[test]", "  fn a() {"], None);
        check_tests(&["#[test]", "#[ignore]", "fn a() {"], &["#[test]", "fn a() {"], &[], None);
        assert_eq!(
            switched_off(&diff(&[], &["    #[ignore = \"slow\"]", "it.skip('x'"])).as_deref(),
            Some("2 tests more that are not run by default")
        );
        assert_eq!(switched_off(&diff(&["#[ignore]"], &["#[ignore]"])), None);
    }

    proptest! {
        #[test]
        fn takes_any_line(line in "(unsafe|\"|\\\\|'|/|\\PC){0,12}") {
            unsafes(&line);
        }
    }
}
