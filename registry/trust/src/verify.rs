//! From a [`Candidate`] to a [`Verified`].

use std::sync::Arc;

use loong_inspect::Contents;
use loong_manifest::{Digest, Manifest, PluginId, Tier, escape};

use crate::bundle::{Bundle, pae};
use crate::claims::{self, Operation};
use crate::root::RootKey;
use crate::statement::Statement;
use crate::{Candidate, KeyId, SigningKey, TrustError, TrustRoot, UtcTime};

/// A component whose manifest says what it is, and whose tier is known. Made by [`verify`] only.
#[derive(Debug, Clone)]
pub struct Verified {
    candidate: Candidate,
    version: semver::Version,
    standing: Standing,
    operations: Vec<Operation>,
}

/// Who vouches for a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has no bundle.
    Unsigned,
    /// It has a bundle by a key that the trust root does not name, so nothing in it could be checked.
    UnknownKey {
        /// What the bundle calls the key, made safe to show.
        hint: String,
    },
    /// A key that the trust root names signed exactly this component.
    Signed {
        /// The key.
        signer: Signer,
        /// The tier that the root gives the publisher's components when this key signs them.
        tier: Tier,
    },
}

/// The key that signed a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key_id: KeyId,
    /// What the trust root calls it.
    pub label: String,
}

impl Verified {
    /// The component.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        self.candidate.bytes()
    }

    /// The digest of the component.
    pub const fn digest(&self) -> &Digest {
        self.candidate.digest()
    }

    /// What the component imports and exports.
    pub const fn contents(&self) -> &Contents {
        self.candidate.contents()
    }

    /// What the component says of itself. Every import and every operation was compared with it.
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.candidate.manifest()
    }

    /// What it is, or `unsigned:NAME` without a manifest. At tier `unverified` this is a claim: anybody can
    /// make a component of this id.
    pub const fn id(&self) -> &PluginId {
        self.candidate.id()
    }

    /// Its version; 0.0.0 without a manifest.
    pub const fn version(&self) -> &semver::Version {
        &self.version
    }

    /// How far its signer is trusted.
    pub const fn tier(&self) -> Tier {
        match &self.standing {
            Standing::Unsigned | Standing::UnknownKey { .. } => Tier::Unverified,
            Standing::Signed { tier, .. } => *tier,
        }
    }

    /// Who vouches for it.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The key that signed it, if the trust root names that key.
    pub const fn signer(&self) -> Option<&Signer> {
        match &self.standing {
            Standing::Signed { signer, .. } => Some(signer),
            Standing::Unsigned | Standing::UnknownKey { .. } => None,
        }
    }

    /// What it offers.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

/// Compares a component with its manifest and its bundle with the trust root.
///
/// # Errors
/// If the manifest says less or something else than the component does, or the bundle is anything but
/// absent, by a key that the root does not name, or a valid signature over exactly this component by a key
/// that is good now and may sign for its publisher.
pub fn verify(candidate: Candidate, root: &TrustRoot, now_unix_s: u64) -> Result<Verified, TrustError> {
    let standing = match candidate.bundle() {
        Some(bundle) => standing(&candidate, &Bundle::read(bundle)?, root, UtcTime::from_unix_s(now_unix_s))?,
        None => Standing::Unsigned,
    };
    let operations = claims::check(candidate.contents(), candidate.manifest())?;
    let version =
        candidate.manifest().map_or(semver::Version::new(0, 0, 0), |manifest| manifest.version.clone());
    Ok(Verified { candidate, version, standing, operations })
}

/// Signs a component: returns the bundle that belongs beside it.
///
/// # Errors
/// If the component has no manifest, or one that [`verify`] would refuse.
pub fn sign(key: &SigningKey, candidate: &Candidate) -> Result<Vec<u8>, TrustError> {
    let statement = Statement::about(candidate)?;
    claims::check(candidate.contents(), candidate.manifest())?;
    Bundle::sign(key, &statement.to_json()?)
}

fn standing(
    candidate: &Candidate,
    bundle: &Bundle,
    root: &TrustRoot,
    now: UtcTime,
) -> Result<Standing, TrustError> {
    let Some(key) = signing_key(bundle, root, now)? else { return Ok(unknown(&bundle.hint)) };
    let key_id = key.key_id;
    // Nothing of the statement is read before it is known to be the key's.
    Statement::read(&bundle.payload)?.check(candidate)?;
    let tier = tier(key, candidate.id().publisher())?;
    Ok(Standing::Signed { signer: Signer { key_id, label: key.label.clone() }, tier })
}

/// The key of the root that signed a bundle's payload. None if the root does not name the bundle's key.
pub(crate) fn signing_key<'r>(
    bundle: &Bundle,
    root: &'r TrustRoot,
    now: UtcTime,
) -> Result<Option<&'r RootKey>, TrustError> {
    let Ok(key_id) = bundle.hint.parse::<KeyId>() else { return Ok(None) };
    // Before everything else, so that a root that forgot or outlived a key still refuses it.
    if let Some(revocation) = root.revocation(&key_id) {
        let (reason, since) = (revocation.reason.clone(), revocation.since);
        return Err(TrustError::KeyRevoked { key_id, reason, since });
    }
    let Some(key) = root.key(&key_id) else { return Ok(None) };
    if now >= root.expires() {
        return Err(TrustError::RootExpired { expired: root.expires() });
    }
    if let Some(expired) = key.expires.filter(|expires| now >= *expires) {
        return Err(TrustError::KeyExpired { key_id, label: key.label.clone(), expired });
    }
    if !key.public_key.verifies(&pae(&bundle.payload), &bundle.signature) {
        return Err(TrustError::SignatureInvalid { key_id });
    }
    Ok(Some(key))
}

fn tier(key: &RootKey, publisher: &str) -> Result<Tier, TrustError> {
    let namespace = key.namespaces.iter().find(|namespace| namespace.publisher == publisher);
    let refusal = || TrustError::Namespace {
        key_id: key.key_id,
        label: key.label.clone(),
        publisher: publisher.to_owned(),
    };
    namespace.map(|namespace| namespace.tier).ok_or_else(refusal)
}

fn unknown(hint: &str) -> Standing {
    Standing::UnknownKey { hint: shown_hint(hint) }
}

/// What a bundle calls its key, made safe to show.
pub(crate) fn shown_hint(hint: &str) -> String {
    escape(&hint.chars().take(64).collect::<String>())
}
