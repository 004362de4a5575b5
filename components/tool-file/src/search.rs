//! `search`: lines that hold a text, in files whose names fit a pattern.

use std::fs;
use std::ops::ControlFlow;

use crate::place::Place;
use crate::walk::{DEPTH_MAX, Entry, Kind, walk};
use crate::{Error, bounded};

/// Most hits.
pub const LIMIT_MAX: u32 = 1_000;
/// Hits when the caller does not say.
const LIMIT_DEFAULT: u32 = 100;
/// Longest text to look for, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1 << 10;
/// Longest pattern of names, in bytes.
pub const NAMES_BYTES_MAX: u64 = 256;
/// Largest file that is looked into, in bytes.
pub const FILE_BYTES_MAX: u64 = 2 << 20;
/// Most files and folders that are looked at.
const ENTRIES_MAX: u32 = 100_000;
/// Most bytes of files that are looked into.
const SEARCHED_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of paths and lines that are given back.
const HITS_BYTES_MAX: usize = 1 << 20;
/// Longest line that is shown, in characters.
const LINE_CHARACTERS_MAX: usize = 300;
/// Characters that are shown before what was found, where not all of a line is shown.
const LEAD_CHARACTERS: usize = 100;

/// One line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Path of the file, as the caller sees it.
    pub path: String,
    /// Number of the line, counted from 1; 0 when only names were looked at.
    pub line: u32,
    /// The line.
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// In the order of files and lines.
    pub hits: Vec<Hit>,
    /// Whether not everything was searched or shown.
    pub truncated: bool,
    /// How many files and folders were passed over.
    pub skipped: u32,
}

/// Searches a file, or a folder and the folders in it.
pub fn search(place: &Place, text: &str, names: Option<&str>, limit: Option<u32>) -> Result<Hits, Error> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    bounded("limit", limit.into(), LIMIT_MAX.into())?;
    bounded("text-bytes", text.len() as u64, TEXT_BYTES_MAX)?;
    bounded("names-bytes", names.unwrap_or_default().len() as u64, NAMES_BYTES_MAX)?;
    if text.contains('\n') {
        return Err(Error::Invalid {
            argument: "text",
            reason: "one line is searched at a time, and it holds a line feed",
        });
    }
    if text.is_empty() && names.is_none() {
        return Err(Error::Invalid {
            argument: "text",
            reason: "there is neither a text nor a pattern to search for",
        });
    }
    let metadata = place.metadata()?;
    let mut search = Search {
        text,
        names: names.unwrap_or("*").chars().collect(),
        limit: limit as usize,
        entries: 0,
        searched_bytes: 0,
        hits_bytes: 0,
        found: Hits::default(),
    };
    if metadata.is_file() {
        let name = place.shown.rsplit('/').next().unwrap_or_default().to_owned();
        let entry = Entry { place: place.clone(), name, kind: Kind::File, size: metadata.len() };
        search.found.truncated = search.visit(&entry).is_break();
    } else if metadata.is_dir() {
        let skipped = walk(place, DEPTH_MAX, &mut |entry| {
            let next = search.visit(&entry);
            search.found.truncated |= next.is_break();
            next
        })?;
        search.found.skipped += skipped;
    } else {
        return Err(Error::NotAFile(place.shown.clone()));
    }
    Ok(search.found)
}

struct Search<'a> {
    text: &'a str,
    names: Vec<char>,
    limit: usize,
    entries: u32,
    searched_bytes: u64,
    hits_bytes: usize,
    found: Hits,
}

impl Search<'_> {
    /// Breaks when a limit is reached.
    fn visit(&mut self, entry: &Entry) -> ControlFlow<()> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return ControlFlow::Break(());
        }
        if entry.kind != Kind::File || !fits(&self.names, &entry.name) {
            return ControlFlow::Continue(());
        }
        if self.text.is_empty() {
            return self.add(entry, 0, String::new());
        }
        if entry.size > FILE_BYTES_MAX {
            self.found.skipped += 1;
            return ControlFlow::Continue(());
        }
        self.searched_bytes += entry.size;
        if self.searched_bytes > SEARCHED_BYTES_MAX {
            return ControlFlow::Break(());
        }
        let Some(content) = fs::read(&entry.place.real).ok().and_then(crate::text) else {
            self.found.skipped += 1;
            return ControlFlow::Continue(());
        };
        self.lines(entry, &content)
    }

    fn lines(&mut self, entry: &Entry, content: &str) -> ControlFlow<()> {
        // The rest of the content always begins with a line, and this is its number.
        let (mut rest, mut number) = (content, 1_u32);
        while let Some(at) = rest.find(self.text) {
            let (before, after) = rest.split_at(at);
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            let lines_before = before.bytes().filter(|byte| *byte == b'\n').count();
            number = number.saturating_add(u32::try_from(lines_before).unwrap_or(u32::MAX));
            let end = at + after.find('\n').unwrap_or(after.len());
            let line = rest.get(start..end).unwrap_or_default();
            self.add(entry, number, shown(line, at - start))?;
            rest = rest.get(end + 1..).unwrap_or_default();
            number = number.saturating_add(1);
        }
        ControlFlow::Continue(())
    }

    fn add(&mut self, entry: &Entry, line: u32, text: String) -> ControlFlow<()> {
        self.hits_bytes += entry.place.shown.len() + text.len();
        if self.found.hits.len() >= self.limit || self.hits_bytes > HITS_BYTES_MAX {
            return ControlFlow::Break(());
        }
        self.found.hits.push(Hit { path: entry.place.shown.clone(), line, text });
        ControlFlow::Continue(())
    }
}

/// A line, or the part of it around a place; `…` stands for what was left out.
fn shown(line: &str, at: usize) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.chars().nth(LINE_CHARACTERS_MAX).is_none() {
        return line.to_owned();
    }
    let before = line.get(..at).unwrap_or_default();
    let start = before.char_indices().rev().take(LEAD_CHARACTERS).last().map_or(at, |(start, _)| start);
    let mut part = String::from(if start > 0 { "…" } else { "" });
    let mut rest = line.get(start..).unwrap_or_default().chars();
    // Two are kept for the `…` on both sides.
    part.extend(rest.by_ref().take(LINE_CHARACTERS_MAX - 2));
    if rest.next().is_some() {
        part.push('…');
    }
    part
}

/// Whether a name fits a pattern, in which `*` is any text and `?` any character.
fn fits(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_pattern) = (0, 0);
    // Where to go on when what follows the last star turns out not to fit.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(at) {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(expected) if *expected == '?' || expected == character => {
                in_pattern += 1;
                at += 1;
            }
            _ => {
                let Some((star_at, taken_to)) = star else { return false };
                star = Some((star_at, taken_to + 1));
                in_pattern = star_at + 1;
                at = taken_to + 1;
            }
        }
    }
    pattern.get(in_pattern..).unwrap_or_default().iter().all(|left| *left == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::place::Folder;

    fn folder() -> (tempfile::TempDir, Folder) {
        let made = tempfile::tempdir().unwrap();
        let real = made.path().to_owned();
        for name in ["src/inner", ".git"] {
            fs::create_dir_all(real.join(name)).unwrap();
        }
        let files: [(&str, &[u8]); 5] = [
            ("src/a.rs", b"fn main() {}\n\nfn main2() { main() }\r\nlast"),
            ("src/inner/b.rs", b"// main\n"),
            ("notes.md", b"the main thing"),
            ("image", b"main\0"),
            (".git/config", b"main"),
        ];
        for (name, bytes) in files {
            fs::write(real.join(name), bytes).unwrap();
        }
        (made, Folder { real })
    }

    #[track_caller]
    fn check(path: &str, text: &str, names: Option<&str>, limit: Option<u32>, expected: &str) {
        let (_made, folder) = folder();
        let found = search(&folder.place(path).unwrap(), text, names, limit).unwrap();
        let hits: Vec<String> = found
            .hits
            .iter()
            .map(|hit| format!("{}:{}:{}", hit.path.trim_start_matches("/workspace/"), hit.line, hit.text))
            .collect();
        assert_eq!(format!("{} {} {}", hits.join(" | "), found.truncated, found.skipped), expected);
    }

    #[test]
    fn finds_lines_in_all_files_of_a_folder() {
        let expected = "notes.md:1:the main thing | src/a.rs:1:fn main() {} | src/a.rs:3:fn main2() { main() } | src/inner/b.rs:1:// main false 1";
        check("", "main", None, None, expected);
        check("", "nowhere", None, None, " false 1");
        check("", "MAIN", None, None, " false 1");
    }

    #[test]
    fn searches_one_file_and_hidden_folders_when_they_are_named() {
        check("src/a.rs", "last", None, None, "src/a.rs:4:last false 0");
        check(".git", "main", None, None, ".git/config:1:main false 0");
    }

    #[test]
    fn looks_at_names() {
        check("", "main", Some("*.rs"), Some(1), "src/a.rs:1:fn main() {} true 0");
        check("", "", Some("?.rs"), None, "src/a.rs:0: | src/inner/b.rs:0: false 0");
        check("src/a.rs", "main", Some("*.md"), None, " false 0");
    }

    #[test]
    fn says_when_there_is_more() {
        check(
            "src",
            "main",
            None,
            Some(3),
            "src/a.rs:1:fn main() {} | src/a.rs:3:fn main2() { main() } | src/inner/b.rs:1:// main false 0",
        );
        check(
            "src",
            "main",
            None,
            Some(2),
            "src/a.rs:1:fn main() {} | src/a.rs:3:fn main2() { main() } true 0",
        );
    }

    #[test]
    fn shows_a_long_line_around_what_was_found() {
        let line = format!("{}needle{}", "ä".repeat(1000), "ö".repeat(1000));
        let part = shown(&line, 2000);
        assert!(part.starts_with("…ää") && part.contains("needle") && part.ends_with("öö…"), "{part}");
        assert_eq!(part.chars().count(), 300);
        assert_eq!(shown("short\r", 0), "short");
    }

    #[test]
    fn refuses_what_cannot_be_searched_for() {
        let (_made, folder) = folder();
        let search = |path: &str, text: &str, limit| search(&folder.place(path).unwrap(), text, None, limit);
        assert!(matches!(search("", "a\nb", None), Err(Error::Invalid { argument: "text", .. })));
        assert!(matches!(search("", "", None), Err(Error::Invalid { argument: "text", .. })));
        assert_eq!(search("none", "a", None), Err(Error::NotFound("/workspace/none".into())));
        assert_eq!(
            search("", "a", Some(1_001)),
            Err(Error::TooLarge { name: "limit", maximum: 1_000, used: 1_001 })
        );
        assert_eq!(
            search("", &"a".repeat(1_025), None),
            Err(Error::TooLarge { name: "text-bytes", maximum: 1_024, used: 1_025 })
        );
    }

    #[track_caller]
    fn check_fits(pattern: &str, name: &str, expected: bool) {
        assert_eq!(fits(&pattern.chars().collect::<Vec<_>>(), name), expected, "{pattern} {name}");
    }

    #[test]
    fn stars_and_question_marks_fit() {
        check_fits("*.rs", "lib.rs", true);
        check_fits("*.rs", "lib.rs.bak", false);
        check_fits("*a*b", "xaxbxb", true);
        check_fits("l?b", "lib", true);
        check_fits("l?b", "lb", false);
        check_fits("", "", true);
        check_fits("**", "", true);
        check_fits("Lib", "lib", false);
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_it_says(pattern in "[ab?*]{0,6}", name in "[ab]{0,8}") {
            fn by_definition(pattern: &[char], name: &[char]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some(('*', left)), _) => by_definition(left, name) || !name.is_empty() && by_definition(pattern, &name[1..]),
                    (Some((expected, left)), Some((found, rest))) => (*expected == '?' || expected == found) && by_definition(left, rest),
                    _ => false,
                }
            }
            let (pattern, characters): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(fits(&pattern, &name), by_definition(&pattern, &characters));
        }
    }
}
