//! Golden cases: a folder of `tests/cases` is a test. `tests/cases/README.md` says how one is written.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::fixture::{guest, plugins};
use crate::root;
use crate::sandbox::{Ended, Sandbox, copy};

/// What differs between two runs of the same thing, besides places.
static CHANGING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // The audit log's name, the key that signs it, what it signed.
        (r"loong/audit/[0-9a-f]{16}\b", "loong/audit/[LOG]"),
        (r"\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", "+[KEY]"),
        (r"\[LOG\] [A-Za-z0-9+/]{90,}=*", "[LOG] [SIGNATURE]"),
        (r"(?m)^[A-Za-z0-9+/]{43}=$", "[ROOT]"),
        (r"(?m)\b\d+ s old", "[NUMBER] s old"),
        (r"sha256:[0-9a-f]{64}\b", "sha256:[DIGEST]"),
        (r"\b[0-9a-f]{64}\b", "[HEX64]"),
        (r"\b[0-9a-f]{32}\b", "[RUN]"),
        (r"(--run|run) [0-9a-f]{8,12}\b", "$1 [RUN]"),
        (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00| UTC)?", "[TIME]"),
        (r"\b(after|in|took) \d+(\.\d+)? ?(µs|us|ms|s)\b", "$1 [DURATION]"),
        (r"\(\d+\.\d+ ms\)", "([DURATION])"),
        (r#""(time_ms|signed_ms|duration_us|cpu_us)": \d+"#, "\"$1\": [NUMBER]"),
        (r"\b[0-9a-f]{12}\b", "[HEX12]"),
        (r"\b\d+ KiB\b", "[SIZE]"),
        // The audit log as a table: as wide as what is in it, each line with the first digits of its run.
        (r"(?m)^(\[TIME\]  \w+) +[0-9a-f]{8}\b", "$1  [RUN]"),
        (r"(?m)^(\[TIME\].*?\S) {3,}", "$1  "),
        (r"\b(loong|loong-compile|loong-sandbox) \d+\.\d+\.\d+\b", "$1 [VERSION]"),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
    .into()
});

/// A guest that a case names.
static GUEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$GUESTS/(\w+)\.wasm").unwrap());

/// Runs one case and compares what it printed with `expected.txt`; with `BLESS=1` it writes the file instead.
pub fn run(name: &str) {
    let folder = root().join("tests/cases").join(name);
    let found = transcript(&folder);
    let expected = folder.join("expected.txt");
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(&expected, found).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert!(
        found == wanted,
        "case `{name}` printed something else than {}\n{}\n\nif that is right: BLESS=1 cargo test -p loong-it {name}",
        expected.display(),
        difference(&wanted, &found)
    );
}

/// Runs the lines of `cmd` in a place of their own.
fn transcript(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("cmd"))
        .unwrap_or_else(|error| panic!("{}/cmd: {error}", folder.display()));
    if text.contains("$PLUGINS") {
        plugins();
    }
    for found in GUEST.captures_iter(&text) {
        guest(&found[1]);
    }
    let sandbox = Sandbox::new();
    if folder.join("in").is_dir() {
        copy(&folder.join("in"), &sandbox.work());
    }
    let own = filters(folder);
    let mut transcript = String::new();
    let text = fs::read_to_string(folder.join("cmd"))
        .unwrap_or_else(|error| panic!("{}/cmd: {error}", folder.display()));
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(command) = line.strip_prefix("% ") {
            let ended = sandbox.shell(command);
            assert!(ended.exit == 0, "{command}\n{}{}exit {}", ended.stdout, ended.stderr, ended.exit);
        } else if let Some(command) = line.strip_prefix("$ ") {
            let ended = sandbox.shell(command);
            let shown = sandbox.redact(&show(&ended));
            let shown = CHANGING
                .iter()
                .fold(shown, |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned());
            let shown =
                own.iter().fold(shown, |text, (pattern, name)| pattern.replace_all(&text, name).into_owned());
            let separator = if transcript.is_empty() { "" } else { "\n" };
            write!(transcript, "{separator}$ {command}\n{shown}").unwrap();
        } else {
            panic!("{}/cmd: a line starts with `# `, `% ` or `$ `: {line}", folder.display());
        }
    }
    transcript
}

/// Standard output as it is, standard error after `2> `, and the exit code unless it is 0.
fn show(ended: &Ended) -> String {
    let mut text = ended.stdout.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str("\n[no newline]\n");
    }
    for line in ended.stderr.lines() {
        writeln!(text, "{}", format!("2> {line}").trim_end()).unwrap();
    }
    if ended.exit != 0 {
        writeln!(text, "exit {}", ended.exit).unwrap();
    }
    text
}

/// The filters of one case: lines `PATTERN => REPLACEMENT` in its file `filters`.
fn filters(folder: &Path) -> Vec<(Regex, String)> {
    let text = fs::read_to_string(folder.join("filters")).unwrap_or_default();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (pattern, replacement) =
                line.split_once(" => ").unwrap_or_else(|| panic!("no ` => ` in the filter {line}"));
            (Regex::new(pattern).unwrap(), replacement.to_owned())
        })
        .collect()
}

/// Lines that are shown before and after one that differs.
const AROUND: usize = 2;

/// The lines that differ, by the longest common subsequence, with a little of what is around them.
fn difference(wanted: &str, found: &str) -> String {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), found.lines().collect());
    // common[i][j]: how many lines wanted[i..] and found[j..] have in common.
    let mut common = vec![vec![0_u32; found.len() + 1]; wanted.len() + 1];
    for i in (0..wanted.len()).rev() {
        for j in (0..found.len()).rev() {
            let same = wanted[i] == found[j];
            common[i][j] =
                if same { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, vec![]);
    while i < wanted.len() || j < found.len() {
        if i < wanted.len() && j < found.len() && wanted[i] == found[j] {
            lines.push((' ', wanted[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == found.len() || i < wanted.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(('-', wanted[i]));
            i += 1;
        } else {
            lines.push(('+', found[j]));
            j += 1;
        }
    }
    let mut text = String::new();
    let mut omitted = false;
    for (index, (mark, line)) in lines.iter().enumerate() {
        let near = &lines[index.saturating_sub(AROUND)..lines.len().min(index + AROUND + 1)];
        if near.iter().any(|(mark, _)| *mark != ' ') {
            writeln!(text, "{}{mark} {line}", if omitted { "  …\n" } else { "" }).unwrap();
            omitted = false;
        } else {
            omitted = true;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_differs_and_what_stands_around_it() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "  a\n- b\n+ x\n  c\n");
        assert_eq!(difference("", "a\n"), "+ a\n");
        assert_eq!(difference("a\na\n", "a\n"), "  a\n- a\n");
        assert_eq!(difference("1\n2\n3\n4\n5\n", "0\n1\n2\n3\n4\n"), "+ 0\n  1\n  2\n  3\n  4\n- 5\n");
        assert_eq!(
            difference("x\n1\n2\n3\n4\n5\n6\nx\n", "1\n2\n3\n4\n5\n6\n"),
            "- x\n  1\n  2\n  …\n  5\n  6\n- x\n"
        );
    }

    #[test]
    fn shows_both_streams_and_the_exit_code() {
        let ended = Ended {
            stdout: "out".into(),
            stderr: "error: x\n\nhint: y\n".into(),
            exit: 3,
            elapsed: Default::default(),
        };
        assert_eq!(show(&ended), "out\n[no newline]\n2> error: x\n2>\n2> hint: y\nexit 3\n");
    }
}
