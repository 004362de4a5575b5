//! Repositories of components: what is published, scanned, resolved and installed. Knows nothing of the runtime; both
//! meet in the program.
//!
//! A repository is one in the sense of The Update Framework (TUF, specification 1.0). Its metadata is read and
//! verified by `sigstore-tuf`; what is here says which files it holds and who delegates to whom:
//!
//! ```text
//! root ─▶ targets ─▶ official            ─▶ publisher-core ─▶ core/git/0.2.0/git.wasm, its bundle, its manifest
//!                ─▶ verified-community  ─▶ publisher-acme ─▶ acme/…
//!                ─▶ unverified          ─▶ …
//! ```
//!
//! A publisher's files lie below its name, and only its role can list them: delegations are terminating.

pub mod check;
mod client;
mod entry;
mod error;
mod folder;
mod index;
mod installed;
mod metadata;
mod names;
pub mod package;
mod resolve;
pub mod scan;
mod source;

pub use client::Client;
pub use entry::{Built, ENTRY_SCHEMA, Entry, EntryFacts, EntryFile, Yanked};
pub use error::RepositoryError;
pub use folder::{Adding, Folder, Missing, Published, PublishedRole, RoleKeys, RoleStatus};
pub use index::{INDEX_SCHEMA, Index, IndexEntry};
pub use installed::{
    Change, Differences, Installed, Judged, LOCK_BYTES_MAX, LOCK_SCHEMA, Listing, Lock, Locked, Row, Verdict,
    component_name, promised,
};
pub use metadata::TIERS;
pub use names::{similar_names, similar_to};
pub use package::Package;
pub use resolve::{Offered, ResolveError, Step, Wanted, resolve, without};
pub use sigstore_tuf::Repository;
pub use source::{Access, Directory, Http, Login, Oci, Pulled, Pushed, source};

#[cfg(test)]
mod tests;
