//! Which tokens are good no longer. Looked at on every call, so what nothing was revoked from costs one load.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use loong_policy::Token;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One token, and all that were made of it.
    Token(String),
    /// Every token issued so far.
    Generation,
    /// Every token of a component that this key signed; and nothing it signed may be called.
    Key(String),
    /// Every token of a run, which ends.
    Run(String),
}

/// Everything that was revoked in this process.
#[derive(Default)]
pub(crate) struct Revoked {
    generation: AtomicU64,
    any: AtomicBool,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    tokens: BTreeSet<String>,
    keys: BTreeSet<String>,
    runs: BTreeSet<String>,
}

impl Revoked {
    /// The generation of tokens that is in force.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Revokes; the answer is false where that was revoked already.
    pub(crate) fn revoke(&self, revocation: &Revocation) -> bool {
        let new = match revocation {
            Revocation::Generation => {
                self.generation.fetch_add(1, Ordering::AcqRel);
                true
            }
            Revocation::Token(token) => self.names().tokens.insert(token.clone()),
            Revocation::Key(key) => self.names().keys.insert(key.clone()),
            Revocation::Run(run) => self.names().runs.insert(run.clone()),
        };
        self.any.store(true, Ordering::Release);
        new
    }

    /// Whether the token, or one that it was made of, was revoked by its name or with its run.
    pub(crate) fn token(&self, id: &str, token: &Token) -> bool {
        self.any.load(Ordering::Acquire) && {
            let names = self.names();
            names.runs.contains(token.run())
                || names.tokens.contains(id)
                || token.lineage().iter().any(|id| names.tokens.contains(&**id))
        }
    }

    /// Whether the key was revoked.
    pub(crate) fn key(&self, key: Option<&str>) -> bool {
        self.any.load(Ordering::Acquire) && key.is_some_and(|key| self.names().keys.contains(key))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
