//! `core:file`: reads, lists, searches, writes and edits text files in one folder.

pub mod edit;
pub mod list;
pub mod place;
pub mod read;
pub mod search;
pub mod walk;
pub mod write;

#[cfg(target_family = "wasm")]
mod component;

/// Why it was not done. A text is the path it is about, as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Nothing is there.
    NotFound(String),
    /// The path leads out of the folder, or it is not allowed there.
    Denied(String),
    /// Something is there already.
    Exists(String),
    /// It is no file, or a link where a file would be changed.
    NotAFile(String),
    /// It is not a folder.
    NotAFolder(String),
    /// The file holds bytes that are not UTF-8, or a NUL.
    NotText(String),
    /// It is too large.
    TooLarge {
        /// What is too large, with its unit last.
        name: &'static str,
        /// The most that is allowed, in the same unit.
        maximum: u64,
        /// What was given or found, in the same unit.
        used: u64,
    },
    /// An argument can never be right.
    Invalid {
        /// Name of the argument.
        argument: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file does not hold the text to replace.
    NoMatch,
    /// The file holds the text to replace this many times.
    Ambiguous(u32),
    /// The system failed to do it.
    Io(String),
}

/// Refuses what is more than `maximum`.
pub(crate) fn bounded(name: &'static str, used: u64, maximum: u64) -> Result<(), Error> {
    if used > maximum { Err(Error::TooLarge { name, maximum, used }) } else { Ok(()) }
}

/// A text, unless the bytes are none.
pub(crate) fn text(bytes: Vec<u8>) -> Option<String> {
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}
