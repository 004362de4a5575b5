//! `count`: how much text there is.

use crate::{Error, bounded, words};

/// Longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 2 << 20;

/// How much text there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Lines; the last one counts whether or not it ends with a line feed.
    pub lines: u64,
    /// Words, as [`words::words`] sees them.
    pub words: u64,
    /// Unicode scalar values.
    pub characters: u64,
    /// Bytes in UTF-8.
    pub bytes: u64,
}

/// Counts a text.
pub fn count(text: &str) -> Result<Counts, Error> {
    bounded("text-bytes", text.len(), TEXT_BYTES_MAX)?;
    Ok(Counts {
        lines: text.split_inclusive('\n').count() as u64,
        words: words::words(text).count() as u64,
        characters: text.chars().count() as u64,
        bytes: text.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: u64, words: u64, characters: u64) {
        let bytes = text.len() as u64;
        assert_eq!(count(text), Ok(Counts { lines, words, characters, bytes }));
    }

    #[test]
    fn counts_lines_words_and_characters() {
        check("", 0, 0, 0);
        check("\n", 1, 0, 1);
        check("one two\nthree", 2, 3, 13);
        check("one two\nthree\n", 2, 3, 14);
        check("héllo 世界", 1, 3, 8);
    }

    #[test]
    fn refuses_a_text_over_the_cap() {
        let at_most = "x".repeat(TEXT_BYTES_MAX);
        assert!(count(&at_most).is_ok());
        let expected = Error::TooLarge { name: "text-bytes", maximum: 2_097_152, used: 2_097_153 };
        assert_eq!(count(&(at_most + "x")), Err(expected));
    }
}
