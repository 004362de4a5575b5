//! Text that is put together line by line: spaces collapsed, within a bound, without what nobody would see.

/// Lines of text.
#[derive(Debug, Clone)]
pub struct Lines {
    text: String,
    bytes_max: usize,
    /// Line feeds that come before the next character.
    breaks: usize,
    /// Whether a space comes before the next character.
    space: bool,
    /// What the line begins with, if anything comes.
    mark: &'static str,
    full: bool,
}

/// Whether a character is shown by nobody, and can hide words or turn them around.
const fn is_hidden(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl Lines {
    /// Nothing yet.
    pub const fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max, breaks: 0, space: false, mark: "", full: false }
    }

    /// Words in a line.
    pub fn words(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_whitespace() {
                self.space = true;
            } else {
                self.push(character);
            }
        }
    }

    /// A text whose spaces and line ends count.
    pub fn verbatim(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\n' => {
                    self.space = false;
                    self.breaks += 1;
                }
                _ => self.push(character),
            }
        }
    }

    /// What follows begins a line, with so many empty ones before it.
    pub fn line(&mut self, empty: usize) {
        self.space = false;
        if !self.text.is_empty() {
            self.breaks = self.breaks.max(1 + empty);
        }
    }

    /// What follows is marked, such as with `- `; nothing takes the mark away again.
    pub const fn mark(&mut self, mark: &'static str) {
        self.mark = mark;
    }

    /// Whether the line has something already.
    pub fn begun(&self) -> bool {
        self.breaks == 0 && !self.text.is_empty() && !self.text.ends_with('\n')
    }

    fn push(&mut self, character: char) {
        if self.full || is_hidden(character) || (character.is_control() && character != '\t') {
            return;
        }
        let gap = if self.breaks > 0 { self.breaks } else { usize::from(self.space && self.begun()) };
        // One that does not fit any more is the end, so that a text is cut in one place only.
        if self.text.len() + gap + self.mark.len() + character.len_utf8() > self.bytes_max {
            self.full = true;
            return;
        }
        if self.breaks > 0 {
            self.text.extend(std::iter::repeat_n('\n', self.breaks));
        } else if gap > 0 {
            self.text.push(' ');
        }
        self.text.push_str(self.mark);
        (self.breaks, self.space, self.mark) = (0, false, "");
        self.text.push(character);
    }

    /// Bytes so far.
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is nothing so far.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text, and whether there was more of it.
    pub fn end(self) -> (String, bool) {
        (self.text, self.full)
    }
}

/// The text of a document that is text already: what nobody would see is left out, line ends are line feeds.
pub fn plain(text: &str, bytes_max: usize) -> (String, bool) {
    let mut lines = Lines::new(bytes_max);
    lines.verbatim(&text.replace("\r\n", "\n"));
    let breaks = lines.breaks.min(bytes_max.saturating_sub(lines.text.len()));
    if !lines.full {
        lines.text.extend(std::iter::repeat_n('\n', breaks));
    }
    lines.end()
}

/// Words in one line of at most so many bytes.
pub fn one_line(text: &str, bytes_max: usize) -> String {
    let mut lines = Lines::new(bytes_max);
    lines.words(text);
    lines.text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stand_one_space_apart() {
        let check = |text: &str, bytes_max, expected: &str| assert_eq!(one_line(text, bytes_max), expected);
        check(" a \n\t b\u{a0}c ", 100, "a b c");
        check("", 100, "");
        check("abc def", 5, "abc d");
        check("abc def", 4, "abc");
        check("aüb", 2, "a");
    }

    #[test]
    fn what_nobody_sees_is_left_out() {
        assert_eq!(one_line("a\u{202e}b\u{200b}c\u{e0041}d\u{1b}[31m\u{7}", 100), "abcd[31m");
        assert_eq!(plain("a\u{1b}b\r\nc\u{feff}\td\n", 100), ("ab\nc\td\n".into(), false));
    }

    #[test]
    fn a_plain_text_stays_as_it_is() {
        for text in ["", "a", "a\n\n\n  b\n", "\n\na", "\ta  b", "\n\n"] {
            assert_eq!(plain(text, 100), (text.to_owned(), false), "{text:?}");
        }
        assert_eq!(plain("ab\ncd", 4), ("ab\nc".into(), true));
        assert_eq!(plain("ab\ncd", 5), ("ab\ncd".into(), false));
        assert_eq!(plain("ab", 0), (String::new(), true));
    }

    proptest! {
        #[test]
        fn any_text_keeps_within_its_bound(text in "(\\PC|[ \n\r\t]){0,60}", bytes_max in 0_usize..80) {
            let (plain, cut) = plain(&text, bytes_max);
            prop_assert!(plain.len() <= bytes_max);
            let whole = text.replace("\r\n", "\n");
            if !cut {
                let seen = |character: &char| matches!(character, '\n' | '\t') || !(is_hidden(*character) || character.is_control());
                let whole: String = whole.chars().filter(seen).collect();
                prop_assert_eq!(plain.trim_end_matches('\n'), whole.trim_end_matches('\n'));
            }
            let line = one_line(&text, bytes_max);
            prop_assert!(line.len() <= bytes_max && !line.contains(['\n', '\t']) && !line.contains("  ") && line.trim() == line);
        }
    }
}
