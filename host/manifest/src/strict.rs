//! The one reader for JSON documents from outside: no duplicate keys, unknown fields refused (by the
//! types themselves), structs from objects only, size and depth caps, and errors with line and column.

mod objects;

use std::collections::HashSet;
use std::fmt;

use objects::Objects;
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of arrays and objects in a document.
pub const DEPTH_MAX: usize = 32;
/// Largest document, in bytes. A manifest with schemas of a hundred operations is about 200 KiB.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Why a document was refused, with the place where it shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrictError {
    /// The document is longer than allowed.
    #[error("the document has {bytes} bytes, the most is {maximum}")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The most that is allowed.
        maximum: usize,
    },
    /// The document is not UTF-8.
    #[error("the document is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where the first wrong byte is.
        offset: usize,
    },
    /// The document is not what is expected at this place.
    #[error("line {line}, column {column}: {message}")]
    At {
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 when the end of the line is meant.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

/// Reads a document of type `T`, which must refuse unknown fields itself.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StrictError> {
    read_within(bytes, DOCUMENT_BYTES_MAX)
}

/// The same, for documents that may have another length, in bytes.
pub fn read_within<T: DeserializeOwned>(bytes: &[u8], maximum: usize) -> Result<T, StrictError> {
    if bytes.len() > maximum {
        return Err(StrictError::TooLarge { bytes: bytes.len(), maximum });
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| StrictError::NotUtf8 { offset: error.valid_up_to() })?;
    let mut shape = serde_json::Deserializer::from_str(text);
    Shape { depth: 0 }.deserialize(&mut shape).and_then(|()| shape.end()).map_err(|error| at(&error))?;
    // That the document ends where its value does is known by now.
    let mut document = serde_json::Deserializer::from_str(text);
    T::deserialize(Objects(&mut document)).map_err(|error| at(&error))
}

fn at(error: &serde_json::Error) -> StrictError {
    let whole = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let message = whole.strip_suffix(&suffix).unwrap_or(&whole);
    StrictError::At { line: error.line(), column: error.column(), message: crate::escape(message) }
}

/// Walks a document without keeping it, and refuses duplicate keys and deep nesting.
#[derive(Clone, Copy)]
struct Shape {
    depth: usize,
}

impl Shape {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(de::Error::custom(format!("duplicate key `{key}`")));
            }
            keys.insert(key);
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[serde(rename = "a")]
        _a: serde_json::Value,
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = read::<Document>(text.as_bytes()).map(|_| "accepted".to_owned());
        assert_eq!(said.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn accepts_an_ordinary_document() {
        check("{\"a\": [1, {\"b\": null}]}", "accepted");
    }

    #[test]
    fn refuses_an_array_in_the_place_of_an_object() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Choice {
            Members { _one: u8 },
            Inner(#[expect(dead_code, reason = "whether it can be read is what counts")] Inner),
        }
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            _one: u8,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            _inner: Option<Vec<Inner>>,
            _choice: Option<Choice>,
        }
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let said = read::<Outer>(text.as_bytes()).map(|_| "accepted".to_owned());
            assert_eq!(said.unwrap_or_else(|error| error.to_string()), expected);
        }
        check(r#"{"_inner": [{"_one": 1}], "_choice": {"members": {"_one": 2}}}"#, "accepted");
        check(r#"{"_inner": null, "_choice": {"inner": {"_one": 2}}}"#, "accepted");
        let refused = |what: &str| format!("invalid type: sequence, expected {what}");
        check("[null, null]", &format!("line 1, column 0: {}", refused("struct Outer")));
        check(r#"{"_inner": [[1]]}"#, &format!("line 1, column 12: {}", refused("struct Inner")));
        check(
            r#"{"_choice": {"members": [1]}}"#,
            &format!("line 1, column 24: {}", refused("struct variant Choice::Members")),
        );
        check(r#"{"_choice": {"inner": [1]}}"#, &format!("line 1, column 22: {}", refused("struct Inner")));
    }

    #[test]
    fn refuses_a_duplicate_key_at_any_depth() {
        check("{\n \"a\": 1,\n \"a\": 2}", "line 3, column 4: duplicate key `a`");
        check("{\"a\": [{\"b\": 1, \"b\": 2}]}", "line 1, column 19: duplicate key `b`");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        check("{\"a\": 1,\n \"c\": 2}", "line 2, column 4: unknown field `c`, expected `a`");
    }

    #[test]
    fn refuses_deep_and_trailing_and_broken_text() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(40), "]".repeat(40));
        check(&deep, "line 1, column 38: nested deeper than 32 levels");
        check("{\"a\": 1} x", "line 1, column 10: trailing characters");
        check("{\"a\": ", "line 1, column 6: EOF while parsing a value");
    }

    #[test]
    fn refuses_size_and_encoding_before_reading() {
        let large = vec![b' '; DOCUMENT_BYTES_MAX + 1];
        assert!(matches!(read::<Document>(&large), Err(StrictError::TooLarge { .. })));
        assert_eq!(read::<Document>(b"{\"\xff").unwrap_err(), StrictError::NotUtf8 { offset: 2 });
    }
}
