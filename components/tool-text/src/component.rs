//! The functions as a component exports them.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use crate::{count, diff, search, similarity};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin" });
}

use bindings::exports::core::text::text::{Counts, Document, Error, Excess, Guest, Hit};

struct Component;

impl Guest for Component {
    fn search(documents: Vec<Document>, query: String, limit: Option<u32>) -> Result<Vec<Hit>, Error> {
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        let found = search::search(&texts, &query, limit)?;
        let hit = |found: search::Found| {
            let document = documents.get(found.document)?;
            Some(Hit { id: document.id.clone(), score: found.score, snippet: found.snippet })
        };
        Ok(found.into_iter().filter_map(hit).collect())
    }

    fn similarity(left: String, right: String) -> Result<f64, Error> {
        Ok(similarity::similarity(&left, &right)?)
    }

    fn diff(old: String, new: String, context: Option<u32>) -> Result<String, Error> {
        Ok(diff::diff(&old, &new, context)?)
    }

    fn count(text: String) -> Result<Counts, Error> {
        let count::Counts { lines, words, characters, bytes } = count::count(&text)?;
        Ok(Counts { lines, words, characters, bytes })
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::TooLarge { name, maximum, used } => {
                Self::TooLarge(Excess { name: name.to_owned(), maximum, used })
            }
            crate::Error::NoWords => Self::NoWords,
        }
    }
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
