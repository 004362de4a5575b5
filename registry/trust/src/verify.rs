//! From a [`Candidate`] to a [`Verified`].

use std::sync::Arc;

use loong_inspect::Contents;
use loong_manifest::{Digest, Manifest, PluginId, Tier, escape};
use std::collections::BTreeSet;

use crate::bundle::{self, Bundle, pae};
use crate::claims::{self, Operation};
use crate::provenance::{self, PROVENANCE_TYPE};
use crate::root::{Namespace, RootKey};
use crate::signer::identity_id;
use crate::statement::Statement;
use crate::{
    Candidate, KeyId, PAYLOAD_TYPE, Provenance, ProvenanceRule, Quorum, RootIdentity, SigningKey, Subject,
    TrustError, TrustRoot, UtcTime, keyless,
};

/// A component whose manifest says what it is, and whose tier is known. Made by [`verify`] only.
#[derive(Debug, Clone)]
pub struct Verified {
    candidate: Candidate,
    version: semver::Version,
    standing: Standing,
    provenance: Vec<Provenance>,
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
    /// Signers that the trust root names signed exactly this component.
    Signed {
        /// The first one who gives the tier.
        signer: Signer,
        /// The others, each once.
        others: Vec<Signer>,
        /// The tier that the root gives the publisher's components when these sign them.
        tier: Tier,
    },
}

/// Who signed a component: a key, or an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key, or the name of the identity among signers.
    pub key_id: KeyId,
    /// What the trust root calls it.
    pub label: String,
    /// Who signed without a key of their own.
    pub identity: Option<Identity>,
}

impl Signer {
    /// Who it is, for people.
    pub fn text(&self) -> String {
        let by = format!("{} (`{}`)", self.key_id.short(), self.label);
        match &self.identity {
            Some(identity) => format!("{by}: {} of {}", identity.subject, identity.issuer),
            None => by,
        }
    }
}

/// Who a certificate was given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The issuer of the identity token.
    pub issuer: String,
    /// The subject alternative name.
    pub subject: String,
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

    /// Everybody who signed it and whom the trust root names.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        let (first, others): (_, &[Signer]) = match &self.standing {
            Standing::Signed { signer, others, .. } => (Some(signer), others),
            Standing::Unsigned | Standing::UnknownKey { .. } => (None, &[]),
        };
        first.into_iter().chain(others)
    }

    /// What signers whom the trust root names say of how it was built.
    pub fn provenance(&self) -> &[Provenance] {
        &self.provenance
    }

    /// The first who signed it and gives the tier, if the trust root names them.
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

/// Compares a component with its manifest and its bundles with the trust root.
///
/// # Errors
/// If the manifest says less or something else than the component does, or a bundle is anything but by a signer
/// that the root does not name, or a valid signature over exactly this component (or its provenance) by one who is
/// good now and may sign for its publisher; if too few have signed; or if its publisher's components need a
/// provenance and it has none.
pub fn verify(candidate: Candidate, root: &TrustRoot, now_unix_s: u64) -> Result<Verified, TrustError> {
    let (standing, provenance) = standing(&candidate, root, UtcTime::from_unix_s(now_unix_s))?;
    let operations = claims::check(candidate.contents(), candidate.manifest())?;
    let version =
        candidate.manifest().map_or(semver::Version::new(0, 0, 0), |manifest| manifest.version.clone());
    Ok(Verified { candidate, version, standing, provenance, operations })
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

/// A signer whom the root names, and what they may sign for alone.
struct Voter<'r> {
    signer: Signer,
    namespaces: &'r [Namespace],
}

/// What one bundle says.
enum Said<'r> {
    /// Somebody whom the root does not name signed it.
    Unknown(String),
    /// They vouch for the component.
    Signed(Voter<'r>),
    /// They say how it was built.
    Built(Provenance),
}

fn standing(
    candidate: &Candidate,
    root: &TrustRoot,
    now: UtcTime,
) -> Result<(Standing, Vec<Provenance>), TrustError> {
    let (mut unknown, mut voters, mut built) = (None, Vec::<Voter<'_>>::new(), Vec::new());
    for bundle in candidate.bundles() {
        match said(candidate, bundle, root, now)? {
            Said::Unknown(hint) => unknown = unknown.or(Some(hint)),
            Said::Built(provenance) => built.push(provenance),
            // Whoever signs twice is one signer.
            Said::Signed(voter) => {
                if voters.iter().all(|known| known.signer.key_id != voter.signer.key_id) {
                    voters.push(voter);
                }
            }
        }
    }
    if voters.is_empty() {
        let standing = unknown.map_or(Standing::Unsigned, |hint| Standing::UnknownKey { hint });
        return Ok((standing, built));
    }
    let publisher = candidate.id().publisher();
    let (at, tier) = tier(&voters, publisher, root)?;
    for rule in root.provenance().iter().filter(|rule| rule.publisher == publisher) {
        if !built.iter().any(|provenance| fulfils(root, rule, provenance)) {
            return Err(TrustError::ProvenanceMissing { publisher: publisher.to_owned() });
        }
    }
    let mut signers: Vec<Signer> = voters.into_iter().map(|voter| voter.signer).collect();
    let signer = signers.remove(at);
    Ok((Standing::Signed { signer, others: signers, tier }, built))
}

fn said<'r>(
    candidate: &Candidate,
    bytes: &[u8],
    root: &'r TrustRoot,
    now: UtcTime,
) -> Result<Said<'r>, TrustError> {
    let (voter, payload) = if bundle::holds_certificate(bytes)? {
        match said_keyless(candidate, bytes, root, now)? {
            (said, None) => return Ok(said),
            (Said::Signed(voter), Some(payload)) => (voter, payload),
            (said, Some(_)) => return Ok(said),
        }
    } else {
        let bundle = Bundle::read(bytes)?;
        let Some(key) = signing_key(&bundle, root, now)? else {
            return Ok(Said::Unknown(shown_hint(&bundle.hint)));
        };
        let signer = Signer { key_id: key.key_id, label: key.label.clone(), identity: None };
        (Voter { signer, namespaces: &key.namespaces }, bundle.payload)
    };
    // Nothing of the statement is read before it is known to be the signer's.
    if provenance::predicate_type(&payload).is_some_and(|kind| kind == PROVENANCE_TYPE) {
        return Provenance::read(&payload, &candidate.digest().to_hex(), voter.signer).map(Said::Built);
    }
    Statement::read(&payload)?.check(candidate)?;
    Ok(Said::Signed(voter))
}

/// What a bundle with a certificate says, and the statement that was signed instead of the component itself.
fn said_keyless<'r>(
    candidate: &Candidate,
    bytes: &[u8],
    root: &'r TrustRoot,
    now: UtcTime,
) -> Result<(Said<'r>, Option<Vec<u8>>), TrustError> {
    if root.identities().is_empty() {
        keyless::read(bytes)?;
        return Ok((Said::Unknown("of a certificate".to_owned()), None));
    }
    let artifact = keyless::Subject::Bytes(candidate.bytes());
    let proof = keyless::prove(bytes, &artifact, root.sigstore(), false, None)?;
    let Some(identity) = identity(&proof, candidate.id().publisher(), root, now)? else {
        return Ok((Said::Unknown(shown_hint(&proof.subject)), None));
    };
    let signer = Signer {
        key_id: identity.id(),
        label: identity.label.clone(),
        identity: Some(Identity { issuer: escape(&proof.issuer), subject: escape(&proof.subject) }),
    };
    let voter = Said::Signed(Voter { signer, namespaces: &identity.namespaces });
    match proof.statement {
        None => Ok((voter, None)),
        Some((payload_type, payload)) if payload_type == PAYLOAD_TYPE => Ok((voter, Some(payload))),
        Some(_) => Err(TrustError::malformed(format!("the payload type is not `{PAYLOAD_TYPE}`"))),
    }
}

/// The identity of the root that a certificate was given to. None if the root names nobody for the publisher;
/// another subject than those it names is a refusal.
fn identity<'r>(
    proof: &keyless::KeylessProof,
    publisher: &str,
    root: &'r TrustRoot,
    now: UtcTime,
) -> Result<Option<&'r RootIdentity>, TrustError> {
    // Before everything else, whoever else it matches, and also where the root forgot it.
    not_revoked(root, identity_id(&proof.issuer, &Subject::Is(proof.subject.clone())))?;
    let matching = || root.identities().iter().filter(|one| one.matches(&proof.issuer, &proof.subject));
    for identity in matching() {
        not_revoked(root, identity.id())?;
    }
    let may_sign = |identity: &RootIdentity| {
        identity.namespaces.iter().any(|namespace| namespace.publisher == publisher)
            || quorums(root, publisher).any(|quorum| root.names(&quorum.signers, &identity.id()))
    };
    let found = matching().find(|identity| may_sign(identity)).or_else(|| matching().next());
    let Some(identity) = found else {
        if !root.identities().iter().any(may_sign) {
            return Ok(None);
        }
        let problem = format!(
            "{} of {} is nobody who signs for publisher `{publisher}`",
            shown_hint(&proof.subject),
            shown_hint(&proof.issuer)
        );
        return Err(TrustError::OtherIdentity { problem });
    };
    let (key_id, label) = (identity.id(), &identity.label);
    in_time(root, key_id, label, identity.not_before, identity.expires, now)?;
    Ok(Some(identity))
}

fn not_revoked(root: &TrustRoot, key_id: KeyId) -> Result<(), TrustError> {
    let Some(revocation) = root.revocation(&key_id) else { return Ok(()) };
    let (reason, since) = (revocation.reason.clone(), revocation.since);
    Err(TrustError::KeyRevoked { key_id, reason, since })
}

fn in_time(
    root: &TrustRoot,
    key_id: KeyId,
    label: &str,
    not_before: Option<UtcTime>,
    expires: Option<UtcTime>,
    now: UtcTime,
) -> Result<(), TrustError> {
    if now >= root.expires() {
        return Err(TrustError::RootExpired { expired: root.expires() });
    }
    if let Some(not_before) = not_before.filter(|not_before| now < *not_before) {
        return Err(TrustError::KeyNotYetValid { key_id, label: label.to_owned(), not_before });
    }
    if let Some(expired) = expires.filter(|expires| now >= *expires) {
        return Err(TrustError::KeyExpired { key_id, label: label.to_owned(), expired });
    }
    Ok(())
}

/// The key of the root that signed a bundle's payload. None if the root does not name the bundle's key.
pub(crate) fn signing_key<'r>(
    bundle: &Bundle,
    root: &'r TrustRoot,
    now: UtcTime,
) -> Result<Option<&'r RootKey>, TrustError> {
    let Ok(key_id) = bundle.hint.parse::<KeyId>() else { return Ok(None) };
    // Before everything else, so that a root that forgot or outlived a key still refuses it.
    not_revoked(root, key_id)?;
    let Some(key) = root.key(&key_id) else { return Ok(None) };
    in_time(root, key_id, &key.label, key.not_before, key.expires, now)?;
    if !key.public_key.verifies(&pae(&bundle.payload), &bundle.signature) {
        return Err(TrustError::SignatureInvalid { key_id });
    }
    Ok(Some(key))
}

/// The highest tier that the signers give, alone or together, and the first of those who give it.
fn tier(voters: &[Voter<'_>], publisher: &str, root: &TrustRoot) -> Result<(usize, Tier), TrustError> {
    let mut best: Option<(usize, Tier)> = None;
    let mut better = |at: usize, tier: Tier| {
        if best.is_none_or(|(_, known)| tier > known) {
            best = Some((at, tier));
        }
    };
    let mut missing = None;
    for (at, voter) in voters.iter().enumerate() {
        let alone = voter.namespaces.iter().find(|namespace| namespace.publisher == publisher);
        if let Some(namespace) = alone {
            better(at, namespace.tier);
        }
        let in_quorum =
            quorums(root, publisher).any(|quorum| root.names(&quorum.signers, &voter.signer.key_id));
        if alone.is_none() && !in_quorum {
            let Signer { key_id, label, .. } = voter.signer.clone();
            return Err(TrustError::Namespace { key_id, label, publisher: publisher.to_owned() });
        }
    }
    for quorum in quorums(root, publisher) {
        let of = |voter: &Voter<'_>| root.names(&quorum.signers, &voter.signer.key_id);
        let signers: BTreeSet<KeyId> = voters
            .iter()
            .filter(|voter| of(voter))
            .map(|voter| root.signer_of(&voter.signer.key_id))
            .collect();
        let (have, need) = (signers.len(), quorum.needed());
        match voters.iter().position(of) {
            Some(at) if have >= need => better(at, quorum.tier),
            _ => missing = missing.or(Some((have, need))),
        }
    }
    let (have, need) = missing.unwrap_or_default();
    best.ok_or_else(|| TrustError::Threshold { publisher: publisher.to_owned(), have, need })
}

fn quorums<'r>(root: &'r TrustRoot, publisher: &str) -> impl Iterator<Item = &'r Quorum> {
    root.quorums().iter().filter(move |quorum| quorum.publisher == publisher)
}

fn fulfils(root: &TrustRoot, rule: &ProvenanceRule, provenance: &Provenance) -> bool {
    root.names(&rule.signers, &provenance.signer.key_id)
        && rule.builder == provenance.builder
        && provenance.sources.iter().any(|source| rule.source.covers(source))
}

/// What a bundle calls its key, made safe to show.
pub(crate) fn shown_hint(hint: &str) -> String {
    escape(&hint.chars().take(64).collect::<String>())
}
