//! `diff`: what changed between two texts, as a unified diff.

use std::fmt::Write as _;
use std::ops::Range;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

use crate::{Error, bounded};

/// Longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 512 << 10;
/// Most lines of a text.
pub const LINES_MAX: usize = 50_000;
/// Most unchanged lines around a change.
pub const CONTEXT_LINES_MAX: usize = 1_000;
/// Unchanged lines around a change when the caller does not say.
const CONTEXT_LINES_DEFAULT: u32 = 3;

/// The unified diff of two texts; empty when they are the same.
pub fn diff(old: &str, new: &str, context: Option<u32>) -> Result<String, Error> {
    let context = context.unwrap_or(CONTEXT_LINES_DEFAULT) as usize;
    bounded("context", context, CONTEXT_LINES_MAX)?;
    bounded("old-bytes", old.len(), TEXT_BYTES_MAX)?;
    bounded("new-bytes", new.len(), TEXT_BYTES_MAX)?;
    // A line ends with a line feed only, and keeps it: so `\r\n` against `\n` is a change.
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    bounded("old-lines", old.len(), LINES_MAX)?;
    bounded("new-lines", new.len(), LINES_MAX)?;
    let mut text = String::new();
    for hunk in group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), context) {
        write_hunk(&mut text, &old, &new, &hunk);
    }
    Ok(text)
}

fn write_hunk(text: &mut String, old: &[&str], new: &[&str], hunk: &[DiffOp]) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    if hunk.iter().all(|operation| operation.tag() == DiffTag::Equal) {
        return;
    }
    if text.is_empty() {
        text.push_str("--- old\n+++ new\n");
    }
    let old_range = range(first.old_range().start..last.old_range().end);
    let new_range = range(first.new_range().start..last.new_range().end);
    // Writing to a string does not fail.
    let _ = writeln!(text, "@@ -{old_range} +{new_range} @@");
    for operation in hunk {
        let (was, is) = (operation.old_range(), operation.new_range());
        match operation.tag() {
            DiffTag::Equal => write_lines(text, ' ', old.get(was)),
            DiffTag::Delete => write_lines(text, '-', old.get(was)),
            DiffTag::Insert => write_lines(text, '+', new.get(is)),
            DiffTag::Replace => {
                write_lines(text, '-', old.get(was));
                write_lines(text, '+', new.get(is));
            }
        }
    }
}

/// A range of lines as the format wants it: counted from 1, and from the line before when it is empty.
fn range(lines: Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        count => format!("{},{count}", lines.start + 1),
    }
}

fn write_lines(text: &mut String, mark: char, lines: Option<&[&str]>) {
    for line in lines.unwrap_or_default() {
        text.push(mark);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, context: u32, expected: &str) {
        assert_eq!(diff(old, new, Some(context)).unwrap(), expected);
    }

    #[test]
    fn is_empty_for_the_same_text() {
        check("", "", 3, "");
        check("a\nb", "a\nb", 3, "");
    }

    #[test]
    fn shows_changes_with_their_context() {
        check("a\nb\nc\n", "a\nx\nc\n", 1, "--- old\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        check("a\nb\nc\n", "a\nx\nc\n", 0, "--- old\n+++ new\n@@ -2 +2 @@\n-b\n+x\n");
        check("", "a\n", 3, "--- old\n+++ new\n@@ -0,0 +1 @@\n+a\n");
        check("a\n", "", 3, "--- old\n+++ new\n@@ -1 +0,0 @@\n-a\n");
    }

    #[test]
    fn makes_one_hunk_for_each_group_of_changes() {
        let old = "a\n1\n2\n3\n4\n5\nb\n";
        let expected = "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-a\n+A\n 1\n@@ -6,2 +6,2 @@\n 5\n-b\n+B\n";
        check(old, "A\n1\n2\n3\n4\n5\nB\n", 1, expected);
    }

    #[test]
    fn says_when_the_last_line_has_no_end() {
        let expected = "--- old\n+++ new\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n";
        check("a", "a\n", 3, expected);
        check("a\r\n", "a\n", 3, "--- old\n+++ new\n@@ -1 +1 @@\n-a\r\n+a\n");
    }

    #[test]
    fn refuses_what_is_too_large() {
        let refused = |name, maximum, used| Err(Error::TooLarge { name, maximum, used });
        assert_eq!(diff("", "", Some(1_001)), refused("context", 1_000, 1_001));
        assert_eq!(diff(&"x".repeat(524_289), "", None), refused("old-bytes", 524_288, 524_289));
        assert_eq!(diff("", &"x".repeat(524_289), None), refused("new-bytes", 524_288, 524_289));
        assert_eq!(diff("", &"\n".repeat(50_001), None), refused("new-lines", 50_000, 50_001));
    }

    /// What `patch` does, for the diffs that are made here.
    fn patch(old: &str, diff: &str) -> String {
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let (mut made, mut at) = (String::new(), 0);
        let mut lines = diff.split_inclusive('\n').skip(2).peekable();
        while let Some(line) = lines.next() {
            let (mark, mut rest) = line.split_at(1);
            if mark == "@" {
                let range = rest.split(['-', ' ']).nth(2).unwrap();
                let (start, count) = range.split_once(',').unwrap_or((range, "1"));
                let start = start.parse::<usize>().unwrap() - usize::from(count != "0");
                made.extend(old[at..start].iter().copied());
                at = start;
                continue;
            }
            if lines.peek().is_some_and(|next| next.starts_with('\\')) {
                lines.next();
                rest = rest.strip_suffix('\n').unwrap();
            }
            if mark != "+" {
                assert_eq!(old[at], rest);
                at += 1;
            }
            if mark != "-" {
                made.push_str(rest);
            }
        }
        made.extend(old[at..].iter().copied());
        made
    }

    proptest! {
        #[test]
        fn leads_from_the_old_text_to_the_new(old in "([a-d]?\n){0,30}[a-d]?", new in "([a-d]?\n){0,30}[a-d]?", context in 0_u32..5) {
            prop_assert_eq!(patch(&old, &diff(&old, &new, Some(context)).unwrap()), new);
        }

        #[test]
        fn takes_any_text(old in "\\PC*", new in "(\\PC|\r|\n)*") {
            prop_assert_eq!(diff(&old, &new, None).unwrap().is_empty(), old == new);
        }
    }
}
