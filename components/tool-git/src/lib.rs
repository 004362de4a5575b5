//! `core:git`: reads the history of the git repository in the workspace by running git.
//!
//! What a caller says reaches git in two places only: a revision, checked here, in `git rev-parse`; and
//! paths, checked here, after `--`. Every other command line is made of object ids that git itself gave.

pub mod argument;
pub mod change;
pub mod command;
pub mod commit;
pub mod repository;
pub mod tag;

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated bindings, and the section that holds the manifest")]
mod component;
#[cfg(test)]
mod tests;

/// Why there is no result. `H` is what the one who runs programs says when a program cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error<H> {
    /// The workspace is not the top folder of a repository with a working tree.
    NotARepository,
    /// The repository belongs to another user, and git refuses to read it for that reason.
    DubiousOwnership,
    /// No commit has this name.
    UnknownRevision(String),
    /// An argument is wrong.
    Invalid(argument::Invalid),
    /// Git would print more than this many bytes.
    TooLarge(u64),
    /// A partial clone lacks an object; this is what git said.
    ObjectMissing(String),
    /// Git failed; this is what it said.
    Failed(String),
    /// Git could not be run.
    Host(H),
}

impl<H> From<argument::Invalid> for Error<H> {
    fn from(invalid: argument::Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Git printed something that is not what it documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<H> From<Malformed> for Error<H> {
    fn from(_: Malformed) -> Self {
        Self::Failed("git printed what is not understood".to_owned())
    }
}

/// Whether this is the full id of an object: SHA-1 or SHA-256 in lower-case hexadecimal.
pub(crate) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Text of at most `bytes_max` bytes, with U+FFFD for what is not UTF-8 and `…` for what was cut.
pub(crate) fn text(bytes: &[u8], bytes_max: usize) -> String {
    const CUT: &str = "…";
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}
