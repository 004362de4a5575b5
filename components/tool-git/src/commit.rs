//! Commits, as `git log` prints them.

use crate::{Malformed, is_object_id, text};

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Full object id.
    pub id: String,
    /// Full object ids of the parents.
    pub parents: Vec<String>,
    /// Name of the author.
    pub author: String,
    /// Address of the author.
    pub email: String,
    /// When the author made it, in seconds since 1970.
    pub time: i64,
    /// First paragraph of the message, on one line.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
}

const NAME_BYTES_MAX: usize = 1 << 10;
const SUBJECT_BYTES_MAX: usize = 4 << 10;
const BODY_BYTES_MAX: usize = 64 << 10;

/// Reads what [`crate::command::log`] prints.
pub fn parse(output: &[u8]) -> Result<Vec<Commit>, Malformed> {
    let Some(output) = output.strip_suffix(b"\0") else {
        return if output.is_empty() { Ok(Vec::new()) } else { Err(Malformed) };
    };
    let mut fields = output.split(|byte| *byte == 0);
    let mut commits = Vec::new();
    while let Some(id) = fields.next() {
        let mut field = || fields.next().ok_or(Malformed);
        let parents = ids(field()?)?;
        commits.push(Commit {
            id: object_id(id)?,
            parents,
            author: text(field()?, NAME_BYTES_MAX),
            email: text(field()?, NAME_BYTES_MAX),
            // A commit that somebody made up may have a time that no clock shows.
            time: number(field()?).unwrap_or(0),
            subject: text(field()?, SUBJECT_BYTES_MAX),
            body: text(without_line_feeds(field()?), BODY_BYTES_MAX),
        });
    }
    Ok(commits)
}

/// Reads what [`crate::command::rev_list`] prints: each commit with its parents.
pub fn parse_parents(output: &[u8]) -> Result<Vec<(String, Vec<String>)>, Malformed> {
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut ids = ids(line)?;
            if ids.is_empty() {
                return Err(Malformed);
            }
            let commit = ids.remove(0);
            Ok((commit, ids))
        })
        .collect()
}

fn without_line_feeds(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_suffix(b"\n") {
        bytes = rest;
    }
    bytes
}

fn ids(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
    bytes.split(|byte| *byte == b' ').filter(|id| !id.is_empty()).map(object_id).collect()
}

pub(crate) fn object_id(bytes: &[u8]) -> Result<String, Malformed> {
    let id = str::from_utf8(bytes).ok().filter(|id| is_object_id(id)).ok_or(Malformed)?;
    Ok(id.to_owned())
}

pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn record(fields: [&[u8]; 7]) -> Vec<u8> {
        fields.iter().flat_map(|field| field.iter().copied().chain([0])).collect()
    }

    #[test]
    fn reads_a_merge_and_a_first_commit() {
        let parents = format!("{B} {A}");
        let mut output =
            record([A.as_bytes(), parents.as_bytes(), b"Ada", b"a@x", b"-5", b"s", b"one\n\ntwo\n\n"]);
        output.extend(record([B.as_bytes(), b"", b"", b"", b"99999999999999999999", b"", b""]));
        let commits = parse(&output).unwrap();
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[0].parents, [B, A]);
        assert_eq!((commits[0].time, commits[0].body.as_str()), (-5, "one\n\ntwo"));
        assert!(commits[1].parents.is_empty());
        assert_eq!((commits[1].time, commits[1].author.as_str()), (0, ""));
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_what_is_long_is_cut() {
        let long = "é".repeat(40_000);
        let output = record([A.as_bytes(), b"", b"J\xf6rg", b"", b"1", b"s", long.as_bytes()]);
        let commit = parse(&output).unwrap().remove(0);
        assert_eq!(commit.author, "J\u{fffd}rg");
        assert!(commit.body.ends_with("é…") && commit.body.len() <= BODY_BYTES_MAX);
    }

    #[test]
    fn refuses_what_git_does_not_print() {
        assert_eq!(parse(b""), Ok(vec![]));
        assert_eq!(parse(b"x"), Err(Malformed));
        assert_eq!(parse(&record([b"HEAD", b"", b"", b"", b"1", b"", b""])), Err(Malformed));
        assert_eq!(parse(format!("{A}\0\0a\0").as_bytes()), Err(Malformed));
        assert_eq!(parse_parents(b" \n"), Err(Malformed));
        assert_eq!(parse_parents(format!("{A} zz\n").as_bytes()), Err(Malformed));
    }

    #[test]
    fn reads_parents() {
        let found = parse_parents(format!("{A} {B}\n{B}\n").as_bytes()).unwrap();
        assert_eq!(found, [(A.to_owned(), vec![B.to_owned()]), (B.to_owned(), vec![])]);
    }
}
