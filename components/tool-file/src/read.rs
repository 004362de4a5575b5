//! `read`: lines of a text file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};

use crate::place::Place;
use crate::{Error, bounded, text};

/// Most bytes of text that are given back.
pub const BYTES_MAX: u32 = 1 << 20;
/// The same when the caller does not say.
const BYTES_DEFAULT: u32 = 256 << 10;
/// Most bytes that are passed over to get to the first line.
const PASSED_BYTES_MAX: u64 = 64 << 20;
/// Bytes at the beginning of a file in which a NUL says that it is no text.
const HEAD_BYTES: u64 = 8 << 10;

/// A part of a text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The lines, with their ends.
    pub text: String,
    /// Number of the first line, counted from 1.
    pub first_line: u32,
    /// How many lines.
    pub lines: u32,
    /// Whether the file goes on.
    pub truncated: bool,
    /// Size of the whole file in bytes.
    pub size: u64,
}

/// Reads lines of a text file.
pub fn read(
    place: &Place,
    first_line: Option<u32>,
    line_count: Option<u32>,
    bytes_max: Option<u32>,
) -> Result<Content, Error> {
    let first_line = first_line.unwrap_or(1);
    let bytes_max = bytes_max.unwrap_or(BYTES_DEFAULT);
    bounded("bytes-max", bytes_max.into(), BYTES_MAX.into())?;
    if first_line == 0 {
        return Err(Error::Invalid { argument: "first-line", reason: "lines are counted from 1" });
    }
    let size = place.file()?.len();
    let mut reader = BufReader::with_capacity(64 << 10, File::open(&place.real).map_err(place.failed())?);
    let not_text = || Error::NotText(place.shown.clone());
    let head = reader.fill_buf().map_err(place.failed())?;
    if head.iter().take(HEAD_BYTES as usize).any(|byte| *byte == 0) {
        return Err(not_text());
    }
    pass(place, &mut reader, first_line - 1)?;
    let (bytes, lines, cut) = take(place, &mut reader, line_count.unwrap_or(u32::MAX), bytes_max as usize)?;
    let truncated = cut || !reader.fill_buf().map_err(place.failed())?.is_empty();
    let text = text(bytes).ok_or_else(not_text)?;
    Ok(Content { text, first_line, lines, truncated, size })
}

/// Passes over lines.
fn pass(place: &Place, reader: &mut impl BufRead, mut lines: u32) -> Result<(), Error> {
    let mut passed = 0;
    while lines > 0 {
        let buffer = reader.fill_buf().map_err(place.failed())?;
        if buffer.is_empty() {
            break;
        }
        let used = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                lines -= 1;
                end + 1
            }
            None => buffer.len(),
        };
        reader.consume(used);
        passed += used as u64;
        bounded("passed-bytes", passed, PASSED_BYTES_MAX)?;
    }
    Ok(())
}

/// Takes whole lines as far as they fit, or the beginning of the first one. Says how many, and whether what
/// was cut off is out of `reader` already.
fn take(
    place: &Place,
    reader: &mut impl BufRead,
    line_count: u32,
    bytes_max: usize,
) -> Result<(Vec<u8>, u32, bool), Error> {
    let (mut bytes, mut lines) = (vec![], 0);
    while lines < line_count {
        let before = bytes.len();
        let room = (bytes_max - before) as u64;
        // One byte more than there is room for shows that the line does not fit.
        let taken = reader.by_ref().take(room + 1).read_until(b'\n', &mut bytes).map_err(place.failed())?;
        if taken == 0 {
            break;
        }
        if bytes.len() > bytes_max {
            bytes.truncate(if lines > 0 { before } else { bytes_max });
            drop_half_a_character(&mut bytes);
            return Ok((bytes, lines.max(1), true));
        }
        lines += 1;
    }
    Ok((bytes, lines, false))
}

fn drop_half_a_character(bytes: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::place::Folder;

    fn with(bytes: &[u8], asked: (Option<u32>, Option<u32>, Option<u32>)) -> Result<Content, Error> {
        let made = tempfile::tempdir().unwrap();
        fs::write(made.path().join("f"), bytes).unwrap();
        let place = Folder { real: made.path().to_owned() }.place("f").unwrap();
        read(&place, asked.0, asked.1, asked.2)
    }

    #[track_caller]
    fn check(
        bytes: &str,
        asked: (Option<u32>, Option<u32>, Option<u32>),
        text: &str,
        lines: u32,
        truncated: bool,
    ) {
        let first_line = asked.0.unwrap_or(1);
        let size = bytes.len() as u64;
        assert_eq!(
            with(bytes.as_bytes(), asked),
            Ok(Content { text: text.into(), first_line, lines, truncated, size })
        );
    }

    #[test]
    fn reads_all_of_a_small_file() {
        check("", (None, None, None), "", 0, false);
        check("a\nb", (None, None, None), "a\nb", 2, false);
        check("a\r\nb\n", (None, None, None), "a\r\nb\n", 2, false);
    }

    #[test]
    fn reads_the_lines_that_were_asked_for() {
        check("a\nb\nc\n", (Some(2), Some(1), None), "b\n", 1, true);
        check("a\nb\nc\n", (Some(2), None, None), "b\nc\n", 2, false);
        check("a\nb\nc\n", (Some(2), Some(2), None), "b\nc\n", 2, false);
        check("a\nb\nc\n", (Some(4), Some(2), None), "", 0, false);
        check("a\nb\nc\n", (Some(900), None, None), "", 0, false);
        check("a\nb\n", (None, Some(0), None), "", 0, true);
    }

    #[test]
    fn ends_with_a_whole_line_at_the_cap() {
        check("abc\ndef\n", (None, None, Some(8)), "abc\ndef\n", 2, false);
        check("abc\ndef\n", (None, None, Some(7)), "abc\n", 1, true);
        check("abc\ndef\n", (None, None, Some(4)), "abc\n", 1, true);
        check("abc\ndef\n", (None, None, Some(2)), "ab", 1, true);
        check("abc", (None, None, Some(3)), "abc", 1, false);
    }

    #[test]
    fn never_cuts_a_character() {
        check("äöü\n", (None, None, Some(3)), "ä", 1, true);
        check("世", (None, None, Some(2)), "", 1, true);
    }

    #[test]
    fn tells_text_from_other_bytes() {
        let not_text = Err(Error::NotText("/workspace/f".into()));
        assert_eq!(with(b"\x7fELF\0\0", (None, None, None)), not_text);
        assert_eq!(with(b"\xff\xfe", (None, None, None)), not_text);
        assert_eq!(with(b"ab\xc3", (None, None, None)), not_text);
    }

    #[test]
    fn refuses_what_is_no_file_and_too_much() {
        let made = tempfile::tempdir().unwrap();
        let folder = Folder { real: made.path().to_owned() };
        let read = |path: &str| read(&folder.place(path).unwrap(), None, None, None);
        assert_eq!(read(""), Err(Error::NotAFile("/workspace".into())));
        assert_eq!(read("none"), Err(Error::NotFound("/workspace/none".into())));
        assert!(matches!(
            with(b"", (Some(0), None, None)),
            Err(Error::Invalid { argument: "first-line", .. })
        ));
        let refused = Error::TooLarge { name: "bytes-max", maximum: 1_048_576, used: 1_048_577 };
        assert_eq!(with(b"", (None, None, Some(1_048_577))), Err(refused));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn parts_make_the_whole(text in "([a-cä]{0,6}\n){0,12}[a-c]{0,3}", count in 1_u32..4) {
            let (mut whole, mut first) = (String::new(), 1);
            loop {
                let part = with(text.as_bytes(), (Some(first), Some(count), Some(64))).unwrap();
                whole.push_str(&part.text);
                first += part.lines;
                if !part.truncated { break }
            }
            prop_assert_eq!(whole, text);
        }
    }
}
