//! JSON ⇄ WIT values: how arguments reach a component and how its results come back.
//!
//! | WIT | JSON |
//! |---|---|
//! | `bool`, `string`, `char` | boolean; string; string of one Unicode scalar value |
//! | `u8` … `u32`, `s8` … `s32` | integer in range, without point or exponent |
//! | `u64`, `s64` | integer within ±(2^53 - 1), else decimal string; both are read at any size that fits |
//! | `f32`, `f64` | number, or `"NaN"`, `"Infinity"`, `"-Infinity"`; the sign of zero is kept |
//! | `list<u8>` | string of base64 (RFC 4648, section 4, padded); an array of numbers is read too |
//! | other `list`, `tuple`, `list<_, n>` | array, of exact length for the last two |
//! | `record` | object; a missing `option` field is none; all fields are written |
//! | `variant` | `"case"` without payload, `{"case": payload}` with; `{"case": null}` is read for the former |
//! | `enum` | string |
//! | `flags` | array of strings in any order, each once; written in the order of declaration |
//! | `option<t>` | null or the value; if `t` is an `option` too, null or `{"some": value}` |
//! | `result<t, e>` | `{"ok": value}` or `{"err": value}`, null where there is no payload |
//! | `map<string, v>` | object |
//! | other `map` | array of `[key, value]` |
//! | handles: resources, streams, futures, error contexts | refused: values cross, handles do not |
//!
//! The order of members in an object means nothing, and depends on how `serde_json` was built: whoever takes a
//! digest of JSON sorts them first.
//!
//! `loong-inspect` derives JSON Schemas for the same mapping.

mod from_json;
mod text;
mod to_json;

use loong_manifest::{Code, escape};

pub use from_json::{arguments_from_json, from_json};
pub use text::wit_text;
pub use to_json::{results_to_json, to_json};

/// The largest integer that every JSON reader keeps exactly, 2^53 - 1 (RFC 8259, section 6).
const SAFE_MAX: u64 = (1 << 53) - 1;

/// How large a value may become when it is read from JSON. One byte of JSON can become a hundred in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionLimits {
    /// Values in one another.
    pub depth_max: usize,
    /// Values in all; each byte of a `list<u8>` counts, and every 32 bytes of a name that is repeated.
    pub elements_max: usize,
}

impl ConversionLimits {
    /// 64 levels and 2^20 values, which take about 100 MiB at worst and 40 MiB as bytes.
    pub const DEFAULT: Self = Self { depth_max: 64, elements_max: 1 << 20 };
}

/// A value that could not be converted, and where in the JSON that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// The place, as a JSON Pointer (RFC 6901); empty for the whole value. Long keys are shortened.
    pub path: String,
    /// What was wrong there.
    pub kind: ValueErrorKind,
}

/// Why a value could not be converted. Texts are short and taken from type or JSON as they are; they are
/// escaped when shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueErrorKind {
    /// The JSON is not of the type.
    #[error("expected {}, found {}", escape(expected), escape(found))]
    Mismatch {
        /// The type, as WIT, or words for what it allows.
        expected: String,
        /// A few words about the JSON.
        found: String,
    },
    /// An object has a member that the type does not know.
    #[error("`{}` is not a member of {}", escape(name), escape(expected))]
    Unknown {
        /// The member.
        name: String,
        /// The type, as WIT.
        expected: String,
    },
    /// An object lacks a member.
    #[error("`{}` is missing; it is {}", escape(name), escape(expected))]
    Missing {
        /// The member.
        name: String,
        /// Its type, as WIT.
        expected: String,
    },
    /// The type is that of a handle.
    #[error("{ty} is not a value; values cross, handles do not")]
    NotAValue {
        /// The type, as WIT.
        ty: String,
    },
    /// The value is nested too deeply.
    #[error("nested more than {depth_max} deep")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// The value is too large.
    #[error("holds more than {elements_max} values")]
    TooMany {
        /// The limit.
        elements_max: usize,
    },
    /// A component's value is not of the type it was said to be.
    #[error("expected a value of type {}, got {found}", escape(expected))]
    Unfitting {
        /// The type, as WIT.
        expected: String,
        /// The kind of the value.
        found: &'static str,
    },
}

impl ValueError {
    /// The public code of this error.
    pub const fn code(&self) -> Code {
        match self.kind {
            ValueErrorKind::Unfitting { .. } | ValueErrorKind::NotAValue { .. } => Code::ResultInvalid,
            _ => Code::ArgumentsInvalid,
        }
    }

    const fn new(kind: ValueErrorKind) -> Self {
        Self { path: String::new(), kind }
    }

    /// The same error, seen from the value around it.
    fn under(mut self, key: impl std::fmt::Display) -> Self {
        let key = text::shortened(&key.to_string()).replace('~', "~0").replace('/', "~1");
        self.path = format!("/{key}{}", self.path);
        self
    }
}

impl std::fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "at `{}`: ", escape(&self.path))?;
        }
        self.kind.fmt(formatter)
    }
}

impl std::error::Error for ValueError {}
