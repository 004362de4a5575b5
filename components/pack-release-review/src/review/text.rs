//! Text from a repository, made safe to show. All of it is untrusted: whoever wrote a commit chose it.

/// One line of at most `characters_max` characters: white space becomes single spaces, and controls and
/// invisible characters (such as those that turn the direction of text) are left out.
pub(crate) fn clean(text: &str, characters_max: usize) -> String {
    let mut safe = String::new();
    let mut count = 0;
    let mut space = false;
    for character in text.chars() {
        if character.is_whitespace() || matches!(character, '\u{2028}' | '\u{2029}') {
            space = !safe.is_empty();
            continue;
        }
        if character.is_control() || is_hidden(character) {
            continue;
        }
        if count + usize::from(space) >= characters_max {
            safe.push('…');
            return safe;
        }
        if space {
            safe.push(' ');
            count += 1;
            space = false;
        }
        safe.push(character);
        count += 1;
    }
    safe
}

/// Characters that nobody sees and that are not controls: format characters (Unicode category Cf),
/// fillers and variation selectors.
pub(crate) fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that change the order in which text is shown, as in "Trojan Source" (CVE-2021-42574).
pub(crate) fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes a line that [`clean`] made, for the inside of a Markdown line. What the author wrote between
/// single backticks stays a code span, because nothing in one is interpreted.
pub(crate) fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut before = ' ';
    while let Some(character) = rest.chars().next() {
        if character == '`' {
            let run = rest.len() - rest.trim_start_matches('`').len();
            let inside = rest.get(run..).unwrap_or_default();
            if run == 1
                && let Some((span, after)) = inside.split_once('`')
                && !span.trim().is_empty()
                && !after.starts_with('`')
            {
                safe.push_str(&code(span));
                before = '`';
                rest = after;
                continue;
            }
            safe.push_str(&"\\`".repeat(run));
            before = '`';
            rest = inside;
            continue;
        }
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        let next = after.chars().next().unwrap_or(' ');
        let special = match character {
            '\\' | '*' | '[' | ']' | '<' | '|' | '~' | '$' | '&' => true,
            // Inside a word it means nothing.
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            _ => false,
        };
        if special {
            safe.push('\\');
        }
        safe.push(character);
        before = character;
        rest = after;
    }
    safe
}

/// A code span with a line that [`clean`] made. A backtick in it becomes an apostrophe.
pub(crate) fn code(text: &str) -> String {
    let text = text.replace('`', "'");
    let text = text.trim();
    if text.is_empty() { "` `".to_owned() } else { format!("`{text}`") }
}

/// A number with its noun.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(count as u64)) }
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clean_leaves_one_visible_line() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text, 20), expected);
        check("Grüße, 世界 🎉", "Grüße, 世界 🎉");
        check("  a\r\n\tb\u{a0}c  ", "a b c");
        check("a\u{1b}[31mb\u{7f}\u{9b}\0", "a[31mb");
        check("a\u{202e}b\u{200b}c\u{feff}\u{e0041}d", "abcd");
        check("a\u{2028}b", "a b");
        check("", "");
        check("12345678901234567890", "12345678901234567890");
        check("123456789012345678901", "12345678901234567890…");
        check("1234567890123456789 123", "1234567890123456789…");
    }

    #[test]
    fn markdown_escapes_what_would_be_markup() {
        let check = |text: &str, expected: &str| assert_eq!(markdown(text), expected);
        check("keep it plain, (really) #12", "keep it plain, (really) #12");
        check("[x](http://e)", "\\[x\\](http://e)");
        check("![x]", "!\\[x\\]");
        check("<script>&lt;", "\\<script>\\&lt;");
        check("*a* __b__ c_d", "\\*a\\* \\_\\_b\\_\\_ c_d");
        check("a|b~~c~~$d", "a\\|b\\~\\~c\\~\\~\\$d");
        check("a\\`b", "a\\\\\\`b");
    }

    #[test]
    fn markdown_keeps_code_spans_and_no_half_ones() {
        let check = |text: &str, expected: &str| assert_eq!(markdown(text), expected);
        check("add `a<b>` now", "add `a<b>` now");
        check("one ` only", "one \\` only");
        check("``a`` b", "\\`\\`a\\`\\` b");
        check("`a``b", "\\`a\\`\\`b");
        check("` `", "\\` \\`");
    }

    #[test]
    fn code_cannot_be_left_from_inside() {
        assert_eq!(code("a`<b>`c"), "`a'<b>'c`");
        assert_eq!(code(""), "` `");
    }

    #[test]
    fn groups_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(1200, "file", "files"), "1,200 files");
    }

    proptest! {
        #[test]
        fn nothing_invisible_comes_through(text in any::<String>(), most in 0_usize..50) {
            let cleaned = clean(&text, most);
            prop_assert!(!cleaned.chars().any(|character| character.is_control() || is_hidden(character)));
            prop_assert!(cleaned.chars().count() <= most + 1);
            prop_assert_eq!(clean(&cleaned, most + 1), cleaned);
        }

        #[test]
        fn no_bare_bracket_or_angle_is_left_outside_code(text in "[a<`\\[\\]\\\\_*]{0,24}") {
            let escaped = markdown(&clean(&text, 100));
            let mut characters = escaped.chars();
            let mut in_code = false;
            while let Some(character) = characters.next() {
                match character {
                    '\\' if !in_code => { characters.next(); }
                    '`' => in_code = !in_code,
                    '<' | '[' | ']' | '*' => prop_assert!(in_code, "{escaped}"),
                    _ => {}
                }
            }
            prop_assert!(!in_code, "{}", escaped);
        }
    }
}
