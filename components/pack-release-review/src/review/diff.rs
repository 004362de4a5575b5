//! A unified diff, taken apart into files, hunks and lines.

/// What one diff says of one file.
#[derive(Debug, Default)]
pub(crate) struct FileDiff<'a> {
    /// Path at the end of the range, or at its start when the file was deleted.
    pub(crate) path: String,
    pub(crate) hunks: Vec<Vec<Line<'a>>>,
}

/// One line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) side: Side,
    /// Without its mark and its line feed.
    pub(crate) text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Old,
    New,
}

impl<'a> FileDiff<'a> {
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'a>> + '_ {
        self.hunks.iter().flatten().copied()
    }

    pub(crate) fn added(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.lines().filter(|line| line.side == Side::New).map(|line| line.text)
    }

    pub(crate) fn removed(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.lines().filter(|line| line.side == Side::Old).map(|line| line.text)
    }
}

/// Takes a diff apart. What is not understood is passed over, and a diff that ends early gives what it has.
pub(crate) fn parse(text: &str) -> Vec<FileDiff<'_>> {
    let mut files: Vec<FileDiff> = Vec::new();
    // Lines that the hunk still has on the old and on the new side: inside one, nothing is a header.
    let (mut old_left, mut new_left) = (0_u64, 0_u64);
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if old_left > 0 || new_left > 0 {
            let mut characters = line.chars();
            let (side, rest) = match characters.next() {
                Some('+') => (Side::New, characters.as_str()),
                Some('-') => (Side::Old, characters.as_str()),
                Some(' ') => (Side::Both, characters.as_str()),
                // Some programs strip the space of an empty line.
                None => (Side::Both, ""),
                Some('\\') => continue,
                Some(_) => {
                    (old_left, new_left) = (0, 0);
                    continue;
                }
            };
            old_left = old_left.saturating_sub(u64::from(side != Side::New));
            new_left = new_left.saturating_sub(u64::from(side != Side::Old));
            if let Some(hunk) = files.last_mut().and_then(|file| file.hunks.last_mut()) {
                hunk.push(Line { side, text: rest });
            }
        } else if line.starts_with("diff --git ") {
            files.push(FileDiff::default());
        } else if let Some(file) = files.last_mut() {
            if let Some(path) = line.strip_prefix("--- ") {
                if let Some(path) = path_of(path, "a/") {
                    file.path = path;
                }
            } else if let Some(path) = line.strip_prefix("+++ ") {
                if let Some(path) = path_of(path, "b/") {
                    file.path = path;
                }
            } else if let Some((old, new)) = line.strip_prefix("@@ -").and_then(counts) {
                (old_left, new_left) = (old, new);
                file.hunks.push(Vec::new());
            }
        }
    }
    files.retain(|file| !file.path.is_empty());
    files
}

/// The line counts of `1,2 +3,4 @@ …`.
fn counts(header: &str) -> Option<(u64, u64)> {
    let (ranges, _) = header.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let count = |range: &str| range.split_once(',').map_or(Some(1), |(_, count)| count.parse().ok());
    Some((count(old)?, count(new)?))
}

fn path_of(text: &str, prefix: &str) -> Option<String> {
    let text = text.strip_suffix('\t').unwrap_or(text);
    let path = match text.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')) {
        Some(quoted) => unquote(quoted),
        None => text.to_owned(),
    };
    if path == "/dev/null" {
        return None;
    }
    Some(path.strip_prefix(prefix).unwrap_or(&path).to_owned())
}

/// Undoes the quoting of a path as in C.
fn unquote(quoted: &str) -> String {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    if let Some(digit) = rest.next_if(|digit| (b'0'..=b'7').contains(digit)) {
                        value = value * 8 + u32::from(digit - b'0');
                    }
                }
                bytes.push(value.to_le_bytes()[0]);
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO_FILES: &str = "\
diff --git a/x.rs b/x.rs
index 1..2 100644
--- a/x.rs
+++ b/x.rs
@@ -1,3 +1,3 @@ fn y()
 a
--- b
+++ c
 d
@@ -9 +9,0 @@
-e
\\ No newline at end of file
diff --git \"a/\\303\\244 b\" \"b/\\303\\244 b\"
deleted file mode 100644
--- \"a/\\303\\244 b\"
+++ /dev/null
@@ -1 +0,0 @@
-f
";

    #[test]
    fn tells_lines_from_headers_by_their_count() {
        let files = parse(TWO_FILES);
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["x.rs", "ä b"]);
        let lines: Vec<_> = files[0].lines().map(|line| (line.side, line.text)).collect();
        assert_eq!(
            lines,
            [
                (Side::Both, "a"),
                (Side::Old, "-- b"),
                (Side::New, "++ c"),
                (Side::Both, "d"),
                (Side::Old, "e")
            ]
        );
        assert_eq!(files[0].hunks.len(), 2);
        assert_eq!(files[1].removed().collect::<Vec<_>>(), ["f"]);
    }

    #[test]
    fn gives_what_there_is_of_a_diff_that_was_cut() {
        for end in 0..TWO_FILES.len() {
            parse(TWO_FILES.get(..end).unwrap());
        }
        assert_eq!(
            parse("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n-a")[0].removed().count(),
            1
        );
    }

    proptest! {
        #[test]
        fn takes_any_text(text in "(diff --git a/x b/x\n|--- a/x\n|[+][+][+] b/x\n|@@ -[0-9]{1,30},?[0-9]? [+]1 @@\n|[-+ \\\\\"]|\\PC|\n){0,60}") {
            parse(&text);
        }

        #[test]
        fn unquotes_anything(text in any::<String>()) {
            unquote(&text);
        }
    }
}
