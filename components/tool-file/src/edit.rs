//! `edit`: replaces the only place where a file holds a text.

use std::fmt::Write as _;
use std::fs;

use crate::place::Place;
use crate::write::{FILE_BYTES_MAX, Mode, is_there, put};
use crate::{Error, bounded};

/// Most places that are counted.
const MATCHES_MAX: usize = 1_000;
/// Unchanged lines around a change in a diff.
const CONTEXT_LINES: usize = 3;
/// Longest diff, in bytes.
const DIFF_BYTES_MAX: usize = 16 << 10;

/// Replaces `old` by `new` and gives the diff.
pub fn edit(place: &Place, old: &str, new: &str) -> Result<String, Error> {
    if old.is_empty() {
        return Err(Error::Invalid { argument: "old", reason: "it is empty, and so would be everywhere" });
    }
    if old == new {
        return Err(Error::Invalid {
            argument: "new",
            reason: "it is the same as `old`, so nothing would change",
        });
    }
    if !is_there(place)? {
        return Err(Error::NotFound(place.shown.clone()));
    }
    bounded("file-bytes", place.file()?.len(), FILE_BYTES_MAX)?;
    let bytes = fs::read(&place.real).map_err(place.failed())?;
    let before = crate::text(bytes).ok_or_else(|| Error::NotText(place.shown.clone()))?;
    let after = replace(&before, old, new)?;
    bounded("file-bytes", after.len() as u64, FILE_BYTES_MAX)?;
    put(place, after.as_bytes(), Mode::Overwrite)?;
    Ok(diff(&place.shown, &before, &after))
}

fn replace(text: &str, old: &str, new: &str) -> Result<String, Error> {
    let at = text.find(old).ok_or(Error::NoMatch)?;
    let (before, found) = text.split_at(at);
    let after = found.get(old.len()..).unwrap_or_default();
    // `aa` is in `aaa` at two places, so the next one may begin inside the first.
    let mut matches = 1;
    let mut rest = found;
    while matches < MATCHES_MAX {
        let mut characters = rest.chars();
        characters.next();
        let Some(next) = characters.as_str().find(old) else { break };
        rest = characters.as_str().get(next..).unwrap_or_default();
        matches += 1;
    }
    if matches > 1 {
        return Err(Error::Ambiguous(matches as u32));
    }
    Ok([before, new, after].concat())
}

/// The unified diff of two texts that differ in one place.
fn diff(path: &str, before: &str, after: &str) -> String {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let same = |(left, right): &(&&str, &&str)| left == right;
    let head = old.iter().zip(&new).take_while(same).count();
    let shorter = old.len().min(new.len());
    let tail = old.iter().rev().zip(new.iter().rev()).take(shorter - head).take_while(same).count();
    let start = head.saturating_sub(CONTEXT_LINES);
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let context_after = tail.min(CONTEXT_LINES);
    let mut text = format!("--- {path}\n+++ {path}\n");
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "@@ -{} +{} @@",
        range(start, old_end + context_after - start),
        range(start, new_end + context_after - start)
    );
    write_lines(&mut text, ' ', old.get(start..head));
    write_lines(&mut text, '-', old.get(head..old_end));
    write_lines(&mut text, '+', new.get(head..new_end));
    write_lines(&mut text, ' ', old.get(old_end..old_end + context_after));
    if text.len() > DIFF_BYTES_MAX {
        let fits = text.get(..text.floor_char_boundary(DIFF_BYTES_MAX)).unwrap_or_default();
        text.truncate(fits.rfind('\n').map_or(0, |end| end + 1));
        text.push_str("\\ The diff is longer\n");
    }
    text
}

/// A range of lines as the format wants it: counted from 1, and from the line before when it is empty.
fn range(start: usize, count: usize) -> String {
    match count {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{count}", start + 1),
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
    use crate::place::Folder;

    /// The file after the edit and what `edit` said.
    fn after(before: &[u8], old: &str, new: &str) -> (Vec<u8>, Result<String, Error>) {
        let made = tempfile::tempdir().unwrap();
        fs::write(made.path().join("f"), before).unwrap();
        let place = Folder { real: made.path().to_owned() }.place("f").unwrap();
        let said = edit(&place, old, new);
        assert_eq!(fs::read_dir(made.path()).unwrap().count(), 1, "something was left over");
        (fs::read(made.path().join("f")).unwrap(), said)
    }

    #[track_caller]
    fn check(before: &str, old: &str, new: &str, expected: &str, diff: &str) {
        let diff = format!("--- /workspace/f\n+++ /workspace/f\n{diff}");
        assert_eq!(after(before.as_bytes(), old, new), (expected.into(), Ok(diff)));
    }

    #[track_caller]
    fn check_refused(before: &[u8], old: &str, new: &str, expected: Error) {
        assert_eq!(after(before, old, new), (before.to_owned(), Err(expected)));
    }

    #[test]
    fn replaces_the_only_place() {
        check("a\nb\nc\n", "b", "x", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        check("a\nb", "b", "", "a\n", "@@ -1,2 +1 @@\n a\n-b\n\\ No newline at end of file\n");
        check("a", "a", "", "", "@@ -1 +0,0 @@\n-a\n\\ No newline at end of file\n");
        let nine = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let expected = "1\n2\n3\n4\nx\ny\n7\n8\n9\n";
        check(nine, "5\n6", "x\ny", expected, "@@ -2,8 +2,8 @@\n 2\n 3\n 4\n-5\n-6\n+x\n+y\n 7\n 8\n 9\n");
    }

    #[test]
    fn refuses_no_place_and_more_than_one() {
        check_refused(b"abc", "x", "y", Error::NoMatch);
        check_refused(b"a\r\nb", "a\nb", "y", Error::NoMatch);
        check_refused(b"abab", "ab", "y", Error::Ambiguous(2));
        check_refused(b"aaa", "aa", "y", Error::Ambiguous(2));
        check_refused(&[b'a'; 5_000], "a", "y", Error::Ambiguous(1_000));
        check_refused("ääx".as_bytes(), "ä", "y", Error::Ambiguous(2));
    }

    #[test]
    fn refuses_what_is_no_text_or_too_large() {
        check_refused(b"a\0", "a", "b", Error::NotText("/workspace/f".into()));
        check_refused(b"a\xff", "a", "b", Error::NotText("/workspace/f".into()));
        let refused = |used| Error::TooLarge { name: "file-bytes", maximum: 2_097_152, used };
        check_refused(&[b'a'; 2_097_153], "a", "b", refused(2_097_153));
        check_refused(b"ab", "a", &"x".repeat(2_097_152), refused(2_097_153));
    }

    #[test]
    fn refuses_edits_that_are_none() {
        assert!(matches!(after(b"a", "", "b").1, Err(Error::Invalid { argument: "old", .. })));
        assert!(matches!(after(b"a", "a", "a").1, Err(Error::Invalid { argument: "new", .. })));
        let folder = Folder { real: "/nowhere".into() };
        assert_eq!(edit(&folder.place("f").unwrap(), "a", "b"), Err(Error::NotFound("/workspace/f".into())));
    }

    #[test]
    fn cuts_a_long_diff_at_the_end_of_a_line() {
        let text = diff("f", "", &"line\n".repeat(10_000));
        assert!(text.len() < DIFF_BYTES_MAX + 100 && text.ends_with("+line\n\\ The diff is longer\n"));
    }

    proptest! {
        #[test]
        fn the_diff_has_the_lines_of_both_texts(before in "([ab]?\n){0,9}[ab]?", old in "[ab\n]{1,3}", new in "[ab\n]{0,3}") {
            let Ok(after) = replace(&before, &old, &new) else { return Ok(()) };
            prop_assert_eq!(before.match_indices(&old).count(), 1);
            prop_assert_eq!(&after, &before.replace(&old, &new));
            if before == after { return Ok(()) }
            let text = diff("f", &before, &after);
            let count = |mark: char| text.lines().skip(3).filter(|line| line.starts_with(mark)).count() as isize;
            let lines = |text: &str| text.split_inclusive('\n').count() as isize;
            prop_assert_eq!(count('+') - count('-'), lines(&after) - lines(&before));
        }
    }
}
