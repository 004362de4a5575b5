//! What a word is: a run of letters and digits, in lower case.

use std::ops::Range;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it is in the text, in bytes.
    pub span: Range<usize>,
    /// The word in lower case.
    pub folded: String,
}

/// The words of a text in their order. Scripts that are written without spaces between words have no
/// such runs, so each of their characters is a word.
pub fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = characters.find(|(_, character)| character.is_alphanumeric())?;
        let mut folded: String = first.to_lowercase().collect();
        let mut end = start + first.len_utf8();
        if !stands_alone(first) {
            while let Some((at, next)) = characters.next_if(|(_, next)| continues(*next)) {
                folded.extend(next.to_lowercase());
                end = at + next.len_utf8();
            }
        }
        Some(Word { span: start..end, folded })
    })
}

fn continues(character: char) -> bool {
    // A combining mark belongs to the letter before it: `é` may be written as two characters.
    let combining = matches!(character, '\u{300}'..='\u{36f}');
    (character.is_alphanumeric() && !stands_alone(character)) || combining
}

/// Chinese characters and Japanese syllables.
fn stands_alone(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = words(text).map(|word| word.folded).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn splits_at_everything_but_letters_and_digits() {
        check("", &[]);
        check(" ... ", &[]);
        check("One, two_three: 4x4!", &["one", "two", "three", "4x4"]);
    }

    #[test]
    fn folds_the_letters_of_every_script() {
        check("ÄRGER Привет ΛΌΓΟΣ", &["ärger", "привет", "λόγοσ"]);
    }

    #[test]
    fn keeps_marks_with_their_letters() {
        check("cafe\u{301} ole", &["cafe\u{301}", "ole"]);
    }

    #[test]
    fn takes_characters_of_scripts_without_spaces_one_by_one() {
        check("发布v2了 リ", &["发", "布", "v2", "了", "リ"]);
    }

    proptest! {
        #[test]
        fn every_word_is_where_it_says(text in "\\PC*") {
            let mut last = 0;
            for word in words(&text) {
                prop_assert!(word.span.start >= last && word.span.end > word.span.start);
                prop_assert_eq!(text[word.span.clone()].chars().flat_map(char::to_lowercase).collect::<String>(), word.folded);
                last = word.span.end;
            }
        }
    }
}
