//! `core:web`: reads pages of the web as text.

pub mod address;
pub mod ask;
pub mod extract;
pub mod fetch;
pub mod lines;
pub mod media;
pub mod redirect;

#[cfg(target_family = "wasm")]
mod component;

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An argument can never be right.
    Invalid {
        /// Name of the argument.
        argument: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An argument is too large.
    TooLarge {
        /// What is too large, with its unit last.
        name: &'static str,
        /// The most that is allowed, in the same unit.
        maximum: u64,
        /// What was given, in the same unit.
        used: u64,
    },
    /// Something went wrong at one address.
    At(Kind, Problem),
}

/// What kind of thing went wrong at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The host does not let the request go there.
    Denied,
    /// A redirect leads where none is followed.
    RedirectRefused,
    /// There are too many redirects.
    TooManyRedirects,
    /// It is no text.
    NotText,
    /// It took too long.
    Timeout,
    /// The server cannot be reached, or breaks off its answer.
    Unavailable,
}

/// What went wrong at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The address.
    pub url: String,
    /// What is wrong.
    pub reason: String,
    /// The redirects that led there.
    pub redirects: Vec<Redirect>,
}

/// A redirect that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The address that was asked.
    pub url: String,
    /// The status of its answer.
    pub status: u16,
}

/// Refuses what is more than `maximum`.
pub(crate) fn bounded(name: &'static str, used: u64, maximum: u64) -> Result<(), Error> {
    if used > maximum { Err(Error::TooLarge { name, maximum, used }) } else { Ok(()) }
}
