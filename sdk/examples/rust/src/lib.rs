//! Greets people and counts words.

wit_bindgen::generate!({ world: "plugin", path: "wit" });

use exports::local::greet::greet::{Guest, Word};

struct Plugin;

impl Guest for Plugin {
    fn greet(name: String) -> Result<String, String> {
        if name.is_empty() {
            return Err("a name is needed".to_owned());
        }
        Ok(format!("Hello, {name}!"))
    }

    fn count(text: String) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        for text in text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
            match words.iter_mut().find(|word| word.text == text) {
                Some(word) => word.count += 1,
                None => words.push(Word { text: text.to_owned(), count: 1 }),
            }
        }
        words
    }
}

export!(Plugin);
