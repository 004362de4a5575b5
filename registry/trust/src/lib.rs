//! Who vouches for a component, and whether what it says of itself is so: bytes in, [`Verified`] or a
//! refusal out. No network, no clock (the time is an argument), no environment; only [`mod@file`] and the two
//! key-file functions of [`SigningKey`] touch the disk.
//!
//! The only way to a [`Verified`] is [`verify`]. It compares the component with its manifest, and the
//! signatures in its bundles with the [`TrustRoot`]; the tier is the result. No signature, or one by a key
//! that the root does not name, makes the component `unverified`; every other flaw of a signature is a
//! refusal, so that a component can never gain by carrying a worse bundle. A signer is an ed25519 key, or an
//! identity whose certificate and log entry are held against a pinned Sigstore trusted root, offline.

mod base64_text;
mod bundle;
mod candidate;
mod claims;
mod document;
mod error;
pub mod file;
mod key;
mod keyless;
mod provenance;
mod root;
mod signer;
mod statement;
mod time;
mod verify;

pub use bundle::{BUNDLE_BYTES_MAX, MEDIA_TYPE, PAYLOAD_TYPE, bundle_names};
pub use candidate::{BUNDLES_MAX, Candidate, UNSIGNED_PUBLISHER};
pub use claims::Operation;
pub use document::{Document, sign_document, verify_document};
pub use error::TrustError;
pub use key::{KeyId, PublicKey, SigningKey, signature_from_base64};
pub use keyless::{KeylessProof, verify_keyless, verify_with_key};
pub use provenance::{PROVENANCE_TYPE, Provenance};
pub use root::{Namespace, ROOT_SCHEMA, Revocation, RootKey, TrustRoot};
pub use signer::{ProvenanceRule, Quorum, Require, RootIdentity, Subject};
pub use statement::{PREDICATE_TYPE, STATEMENT_TYPE};
pub use time::UtcTime;
pub use verify::{Identity, Signer, Standing, Verified, sign, verify};

#[cfg(test)]
mod tests;
