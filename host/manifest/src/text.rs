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

/// Like [`escape_lines`], for JSON: outside of strings it has no such characters, and inside them they become
/// escapes of JSON, so that the document stays the same.
pub fn escape_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// How many characters of a text a terminal would obey or a reader would not see, line breaks included.
pub fn hidden_characters(text: &str) -> u64 {
    text.chars().filter(|character| is_hidden(*character)).count() as u64
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
    use super::{escape, escape_json, escape_lines};

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
    fn json_stays_the_same_document() {
        let value = serde_json::json!({"a\u{9b}b": ["\u{7f}\u{202e}\u{e0041}\u{200d}", "\n", "\u{1b}"]});
        let safe = escape_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(safe.contains("\\u009b") && safe.contains("\\udb40\\udc41"), "{safe}");
        assert!(!safe.chars().any(|character| character != '\n' && super::is_hidden(character)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn keeps_lines_only_when_asked() {
        check("a\nb", "a\\nb");
        assert_eq!(escape_lines("a\n\tb\u{1b}"), "a\n\tb\\u{1b}");
    }
}
