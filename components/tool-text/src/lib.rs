//! `core:text`: searches, compares and counts texts. Pure: the result depends on the arguments only.

pub mod count;
pub mod diff;
pub mod search;
pub mod similarity;
pub mod words;

#[cfg(target_family = "wasm")]
mod component;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An argument is too large.
    TooLarge {
        /// What is too large, with its unit last.
        name: &'static str,
        /// The most that is allowed, in the same unit.
        maximum: u64,
        /// What was given, in the same unit.
        used: u64,
    },
    /// The query holds no letter and no digit.
    NoWords,
}

/// Refuses what is more than `maximum`.
pub(crate) fn bounded(name: &'static str, used: usize, maximum: usize) -> Result<(), Error> {
    if used > maximum {
        return Err(Error::TooLarge { name, maximum: maximum as u64, used: used as u64 });
    }
    Ok(())
}
