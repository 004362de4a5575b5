//! The one function that makes text from outside safe to show.

/// Escapes everything that could act on a terminal or hide text: C0 and C1 controls, DEL, bidirectional
/// overrides, line and paragraph separators, zero-width and other invisible characters. Line breaks are
/// escaped too; see [`escape_lines`].
pub fn escape(text: &str) -> String {
    escape_keeping(text, false)
}

/// Like [`escape`], but keeps line feeds and tabs, for text of several lines.
pub fn escape_lines(text: &str) -> String {
    escape_keeping(text, true)
}

fn escape_keeping(text: &str, lines: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' if lines => safe.push(character),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if is_hidden(character) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(character))),
            _ => safe.push(character),
        }
    }
    safe
}

/// Characters that a terminal obeys or a reader cannot see (Unicode categories Cc and Cf, less the soft
/// joiners that scripts need, plus the separators).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_lines};

    fn check(input: &str, expected: &str) {
        assert_eq!(escape(input), expected);
    }

    #[test]
    fn leaves_ordinary_text_alone() {
        check("Grüße, 世界 🎉", "Grüße, 世界 🎉");
    }

    #[test]
    fn shows_what_a_terminal_would_obey() {
        check("\u{1b}[2J\r\u{7f}\u{9b}1m", "\\u{1b}[2J\\r\\u{7f}\\u{9b}1m");
    }

    #[test]
    fn shows_what_a_reader_could_not_see() {
        check("a\u{202e}b\u{200b}c\u{2028}d\u{feff}", "a\\u{202e}b\\u{200b}c\\u{2028}d\\u{feff}");
    }

    #[test]
    fn keeps_lines_only_when_asked() {
        check("a\nb", "a\\nb");
        assert_eq!(escape_lines("a\n\tb\u{1b}"), "a\n\tb\\u{1b}");
    }
}
