//! Changes of files, as `git diff-tree -z --raw --numstat` prints them.

use std::collections::HashMap;

use crate::{Malformed, is_object_id};

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added,
    /// Its content or its permission changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path.
    Renamed,
    /// It was made from another file.
    Copied,
    /// It became another type.
    TypeChanged,
}

/// One file that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub path: String,
    /// Its path before, if that was another.
    pub old_path: Option<String>,
    /// What happened to it.
    pub kind: Kind,
    /// Lines added and lines removed; nothing for a binary file.
    pub lines: Option<(u32, u32)>,
}

/// The changes of one commit, or of a whole comparison if it names no commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Full object id of the commit.
    pub commit: Option<String>,
    /// Its changes.
    pub files: Vec<Change>,
}

/// What `--raw` says of one file.
struct Raw<'a> {
    kind: Kind,
    old: Option<&'a [u8]>,
    new: &'a [u8],
}

/// The files of one group as they are read: first all of `--raw`, then all of `--numstat`.
#[derive(Default)]
struct Reading<'a> {
    commit: Option<String>,
    raw: Vec<Raw<'a>>,
    lines: HashMap<&'a [u8], Option<(u32, u32)>>,
}

impl Reading<'_> {
    fn group(self) -> Group {
        let path = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let change = |raw: Raw<'_>| Change {
            path: path(raw.new),
            old_path: raw.old.map(path),
            kind: raw.kind,
            // Git counts nothing where no line differs.
            lines: self.lines.get(raw.new).copied().unwrap_or(Some((0, 0))),
        };
        Group { commit: self.commit, files: self.raw.into_iter().map(change).collect() }
    }
}

/// Reads what [`crate::command::changes`] or [`crate::command::commit_files`] prints.
pub fn parse(output: &[u8]) -> Result<Vec<Group>, Malformed> {
    let Some(output) = output.strip_suffix(b"\0") else {
        return if output.is_empty() { Ok(Vec::new()) } else { Err(Malformed) };
    };
    let mut tokens = output.split(|byte| *byte == 0);
    let mut groups = Vec::new();
    let mut reading = Reading::default();
    while let Some(token) = tokens.next() {
        let mut path = || tokens.next().filter(|path| !path.is_empty()).ok_or(Malformed);
        if token.starts_with(b":") {
            let kind = kind(token)?;
            let first = path()?;
            let moved = matches!(kind, Kind::Renamed | Kind::Copied);
            let (old, new) = if moved { (Some(first), path()?) } else { (None, first) };
            reading.raw.push(Raw { kind, old, new });
        } else if let Some(numbers) = Numbers::read(token) {
            let new = if numbers.path.is_empty() {
                path()?;
                path()?
            } else {
                numbers.path
            };
            reading.lines.insert(new, numbers.lines?);
        } else {
            let commit = str::from_utf8(token).ok().filter(|id| is_object_id(id)).ok_or(Malformed)?;
            let next = Reading { commit: Some(commit.to_owned()), ..Reading::default() };
            let done = std::mem::replace(&mut reading, next);
            if done.commit.is_some() || !done.raw.is_empty() {
                groups.push(done.group());
            }
        }
    }
    groups.push(reading.group());
    Ok(groups)
}

/// What the last word of `:100644 100644 ID ID R100` says.
fn kind(token: &[u8]) -> Result<Kind, Malformed> {
    match token.rsplit(|byte| *byte == b' ').next().and_then(<[u8]>::first) {
        Some(b'A') => Ok(Kind::Added),
        Some(b'M') => Ok(Kind::Modified),
        Some(b'D') => Ok(Kind::Deleted),
        Some(b'R') => Ok(Kind::Renamed),
        Some(b'C') => Ok(Kind::Copied),
        Some(b'T') => Ok(Kind::TypeChanged),
        _ => Err(Malformed),
    }
}

/// `12<tab>3<tab>path`; the path is empty and two follow if the file was renamed or copied.
struct Numbers<'a> {
    lines: Result<Option<(u32, u32)>, Malformed>,
    path: &'a [u8],
}

impl<'a> Numbers<'a> {
    fn read(token: &'a [u8]) -> Option<Self> {
        let mut parts = token.splitn(3, |byte| *byte == b'\t');
        let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
        let count = |bytes| str::from_utf8(bytes).ok()?.parse().ok();
        let lines = match (added, removed) {
            (b"-", b"-") => Ok(None),
            _ => count(added).zip(count(removed)).map(Some).ok_or(Malformed),
        };
        Some(Self { lines, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// One line for each change; `|` stands for a zero byte.
    #[track_caller]
    fn check(output: &[u8], expected: &str) {
        let output: Vec<u8> = output.iter().map(|byte| if *byte == b'|' { 0 } else { *byte }).collect();
        let said = match parse(&output) {
            Err(Malformed) => "malformed".to_owned(),
            Ok(groups) => groups.iter().flat_map(lines).collect::<Vec<_>>().join("\n"),
        };
        assert_eq!(said, expected);
    }

    fn lines(group: &Group) -> Vec<String> {
        let commit = group.commit.iter().map(|commit| commit.get(..1).unwrap().to_owned());
        let files = group.files.iter().map(|file| {
            format!(
                "{:?} {:?} {:?} {:?}",
                file.kind,
                file.old_path.as_deref().unwrap_or("-"),
                file.path,
                file.lines
            )
        });
        commit.chain(files).collect()
    }

    #[test]
    fn joins_what_happened_with_the_lines() {
        check(
            b":100644 100644 1 2 M|a|:0 1 1 2 A|b.png|:1 1 1 1 R086|old|new|3\t4\ta|-\t-\tb.png|1\t0\t|old|new|",
            "Modified \"-\" \"a\" Some((3, 4))\nAdded \"-\" \"b.png\" None\nRenamed \"old\" \"new\" Some((1, 0))",
        );
    }

    #[test]
    fn odd_names_are_names() {
        check(
            b":1 1 1 1 D|:x\ty|:1 1 1 1 T|\xff\n|0\t1\t:x\ty|1\t1\t\xff\n|",
            "Deleted \"-\" \":x\\ty\" Some((0, 1))\nTypeChanged \"-\" \"\u{fffd}\\n\" Some((1, 1))",
        );
    }

    #[test]
    fn keeps_commits_apart() {
        let output = format!("{A}|:1 1 1 1 A|x|1\t0\tx|{B}|:1 1 1 1 M|x|2\t2\tx|");
        check(output.as_bytes(), "a\nAdded \"-\" \"x\" Some((1, 0))\nb\nModified \"-\" \"x\" Some((2, 2))");
    }

    #[test]
    fn a_file_without_counted_lines_has_none_changed() {
        check(b":100644 100755 1 1 M|run|", "Modified \"-\" \"run\" Some((0, 0))");
    }

    #[test]
    fn refuses_what_git_does_not_print() {
        check(b"", "");
        for output in
            [&b"x"[..], b"x|", b":1 M|", b":1 1 1 1 U|x|", b":1 1 1 1 R1|x|", b"1\tz\tx|", b"1\t2\t|x|"]
        {
            check(output, "malformed");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(output in "[|:AR \t0-9a-]{0,40}") {
            let output = output.replace('|', "\0");
            let _ = parse(output.as_bytes());
        }
    }
}
