//! The key-value spaces that plugins keep between calls, as whoever gives them out sees them.

use loong_manifest::{Code, PluginId};

use crate::executor::Boxed;

/// Longest key, in bytes.
pub const KV_KEY_BYTES_MAX: u64 = 512;
/// Longest value, in bytes. A space is for cursors and counters; what is larger belongs in a blob.
pub const KV_VALUE_BYTES_MAX: u64 = 256 * 1024;
/// Most keys in one page of a listing.
pub const KV_PAGE_KEYS_MAX: u32 = 1000;

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvPage {
    /// The keys, in ascending order of their UTF-8 bytes.
    pub keys: Vec<String>,
    /// Whether there are more; they come after the last of `keys`.
    pub more: bool,
}

/// Why a key-value space did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The request would exceed a limit. Nothing was changed.
    #[error("{limit} is {maximum}, and {used} are needed")]
    Limit {
        /// Which limit, as `loong:host/types` names it.
        limit: &'static str,
        /// The most that is allowed, in bytes.
        maximum: u64,
        /// What would have been used, in bytes.
        used: u64,
    },
    /// A key is the empty text.
    #[error("a key cannot be empty")]
    KeyEmpty,
    /// The space cannot be reached now, or the audit log failed, so that nothing may happen any more.
    #[error("the key-value space is not available: {problem}")]
    Unavailable {
        /// Why.
        problem: String,
    },
}

impl KvError {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Limit { .. } => Code::LimitExceeded,
            Self::KeyEmpty => Code::ArgumentsInvalid,
            Self::Unavailable { .. } => Code::StoreUnavailable,
        }
    }
}

/// The key-value spaces of all plugins. Each belongs to one plugin id: a plugin can never name another's,
/// because the owner is supplied by the host.
pub trait KvSpace: Send + Sync + 'static {
    /// The value under a key, if there is one.
    fn get<'a>(&'a self, owner: &'a PluginId, key: &'a str) -> Boxed<'a, Result<Option<Vec<u8>>, KvError>>;

    /// Stores a value under a key, in place of the one that was there. The whole space may then count at
    /// most `bytes_max`; one that already counts more may still shrink.
    fn set<'a>(
        &'a self,
        owner: &'a PluginId,
        key: &'a str,
        value: Vec<u8>,
        bytes_max: u64,
    ) -> Boxed<'a, Result<(), KvError>>;

    /// Removes a key. It is true when there was one to remove.
    fn delete<'a>(&'a self, owner: &'a PluginId, key: &'a str) -> Boxed<'a, Result<bool, KvError>>;

    /// At most `limit` keys that start with `prefix` and come after `after` (at most
    /// [`KV_PAGE_KEYS_MAX`] in any case).
    fn list<'a>(
        &'a self,
        owner: &'a PluginId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> Boxed<'a, Result<KvPage, KvError>>;
}
