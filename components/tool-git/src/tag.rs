//! Tags, as `git for-each-ref` and `git describe` print them.

use crate::commit::{number, object_id};
use crate::{Malformed, text};

/// A tag that names a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name without `refs/tags/`.
    pub name: String,
    /// The name that an annotated tag gives itself; somebody may have stored it under another one.
    pub inner_name: String,
    /// Full object id of the commit it names.
    pub commit: String,
    /// When it was made, in seconds since 1970; 0 when it does not say.
    pub time: i64,
}

/// Longest name of a tag that is kept whole: no file system has a longer one.
const NAME_BYTES_MAX: usize = 4096;

/// Reads what [`crate::command::tags`] prints, without the tags that name something else than a commit.
pub fn parse(output: &[u8]) -> Result<Vec<Tag>, Malformed> {
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| record(line).transpose()).collect()
}

fn record(line: &[u8]) -> Result<Option<Tag>, Malformed> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let Ok([name, inner_name, kind, id, inner_kind, inner_id, time]) = <[&[u8]; 7]>::try_from(fields) else {
        return Err(Malformed);
    };
    let commit = match (kind, inner_kind) {
        (b"commit", _) => id,
        (b"tag", b"commit") => inner_id,
        _ => return Ok(None),
    };
    Ok(Some(Tag {
        name: text(name, NAME_BYTES_MAX),
        inner_name: text(inner_name, NAME_BYTES_MAX),
        commit: object_id(commit)?,
        time: number(time).unwrap_or(0),
    }))
}

/// Reads what [`crate::command::describe`] prints of a commit: the name of the nearest tag.
pub fn parse_nearest(output: &[u8], commit: &str) -> Result<Option<String>, Malformed> {
    let said = text(output, NAME_BYTES_MAX);
    let said = said.trim_end_matches('\n');
    if said == commit {
        return Ok(None);
    }
    // NAME-COUNT-gCOMMIT
    let name = said.strip_suffix(commit).and_then(|rest| rest.strip_suffix("-g"));
    let (name, count) = name.and_then(|rest| rest.rsplit_once('-')).ok_or(Malformed)?;
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    Ok(Some(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn follows_annotated_tags_and_leaves_out_what_is_no_commit() {
        let output = format!(
            "v2\0v2\0tag\0{A}\0commit\0{B}\05\nv1\0\0commit\0{A}\0\0\04\nblob\0\0blob\0{A}\0\0\0\nt\0t\0tag\0{A}\0tree\0{B}\0\n"
        );
        let tags = parse(output.as_bytes()).unwrap();
        let found: Vec<_> =
            tags.iter().map(|tag| (tag.name.as_str(), tag.commit.as_str(), tag.time)).collect();
        assert_eq!(found, [("v2", B, 5), ("v1", A, 4)]);
        assert_eq!(parse(b""), Ok(vec![]));
        assert_eq!(parse(b"v1\0commit\n"), Err(Malformed));
    }

    #[track_caller]
    fn check(output: &str, expected: Result<Option<&str>, Malformed>) {
        let found = parse_nearest(output.as_bytes(), A);
        assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{output}");
    }

    #[test]
    fn takes_the_name_out_of_a_description() {
        check(&format!("v1.2.0-7-g{A}\n"), Ok(Some("v1.2.0")));
        check(&format!("a-1-gb-0-g{A}\n"), Ok(Some("a-1-gb")));
        check(&format!("{A}-0-g{A}\n"), Ok(Some(A)));
        check(&format!("{A}\n"), Ok(None));
        check(&format!("{B}\n"), Err(Malformed));
        check(&format!("v1-x-g{A}\n"), Err(Malformed));
        check("", Err(Malformed));
    }
}
