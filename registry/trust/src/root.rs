//! The trust root: which keys may sign for which publishers, at which tier.

use std::collections::BTreeSet;

use loong_manifest::{Tier, escape, strict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::signer::is_publisher;
use crate::{KeyId, ProvenanceRule, PublicKey, Quorum, RootIdentity, TrustError, UtcTime};

/// The form of the document.
pub const ROOT_SCHEMA: &str = "loong.trust-root/1";

/// Longest label or reason, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// Most keys, namespaces of a key, or revocations.
const ENTRIES_MAX: usize = 1024;

/// Which keys may sign for which publishers, at which tier. Every way to make one checks it whole; every
/// change makes a successor with the next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustRoot {
    /// `loong.trust-root/1`.
    schema: String,
    /// Counts up with every change, from 1.
    version: u64,
    /// From when on no key in it is trusted.
    expires: UtcTime,
    /// The keys that may sign.
    #[serde(default)]
    keys: Vec<RootKey>,
    /// The keys whose signatures are refused, whether `keys` names them or not.
    #[serde(default)]
    revoked: Vec<Revocation>,
    /// The identities that may sign without a key of their own (Sigstore keyless).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identities: Vec<RootIdentity>,
    /// Tiers that several signers give together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quorums: Vec<Quorum>,
    /// Publishers whose components need the word of a builder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provenance: Vec<ProvenanceRule>,
    /// The trusted root of the Sigstore whose certificates are believed
    /// (`application/vnd.dev.sigstore.trustedroot+json`); that of the public good instance where none is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sigstore: Option<serde_json::Value>,
}

/// A key and what it may sign for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootKey {
    /// The key's name; must be that of `public_key`.
    pub key_id: KeyId,
    /// Base64 of its `SubjectPublicKeyInfo` (DER).
    pub public_key: PublicKey,
    /// What people call it.
    pub label: String,
    /// Before this time its signatures are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UtcTime>,
    /// From when on its signatures are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UtcTime>,
    /// The key whose place it took. Where several signers are needed, the two are one signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
    /// What it may sign for. There is no entry for everybody: each publisher is named.
    pub namespaces: Vec<Namespace>,
}

/// A publisher that a key may sign for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// The part of a plugin's id before the colon.
    pub publisher: String,
    /// The tier of the components it signs.
    pub tier: Tier,
}

/// A key whose signatures are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The key's name.
    pub key_id: KeyId,
    /// Why.
    pub reason: String,
    /// When it was revoked, for people. Older signatures are refused too: nothing proves when they were made.
    pub since: UtcTime,
}

impl RootKey {
    /// A key that signs for these publishers, all at one tier.
    pub fn new(
        key: &PublicKey,
        label: &str,
        publishers: &[&str],
        tier: Tier,
        expires: Option<UtcTime>,
    ) -> Self {
        let namespace = |publisher: &&str| Namespace { publisher: (*publisher).to_owned(), tier };
        Self {
            key_id: key.key_id(),
            public_key: *key,
            label: label.to_owned(),
            not_before: None,
            expires,
            replaces: None,
            namespaces: publishers.iter().map(namespace).collect(),
        }
    }
}

impl TrustRoot {
    /// A root that trusts nobody: every component is unverified. Version 1, never expires.
    pub fn empty() -> Self {
        Self {
            schema: ROOT_SCHEMA.to_owned(),
            version: 1,
            expires: UtcTime::MAX,
            keys: Vec::new(),
            revoked: Vec::new(),
            identities: Vec::new(),
            quorums: Vec::new(),
            provenance: Vec::new(),
            sigstore: None,
        }
    }

    /// A root of version 1 with one key, as it is made on the machine where the key is.
    ///
    /// # Errors
    /// If the label or a publisher is not usable, or the tier is `unverified`.
    pub fn local(
        key: &PublicKey,
        label: &str,
        publishers: &[&str],
        tier: Tier,
        expires: UtcTime,
    ) -> Result<Self, TrustError> {
        let keys = vec![RootKey::new(key, label, publishers, tier, None)];
        Self { expires, keys, ..Self::empty() }.checked()
    }

    /// Reads a root strictly. Whether it may replace another one is not asked here.
    ///
    /// # Errors
    /// If the text is not such a document, an entry is there twice, or a value is not usable.
    pub fn read(bytes: &[u8]) -> Result<Self, TrustError> {
        let root: Self = strict::read(bytes).map_err(|error| wrong(error.to_string()))?;
        root.checked()
    }

    /// The root as it is kept in a file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The next version, with one more key.
    ///
    /// # Errors
    /// If the key is in it already, is revoked, or an entry is not usable.
    pub fn with_key(&self, key: RootKey) -> Result<Self, TrustError> {
        if self.revocation(&key.key_id).is_some() {
            return Err(wrong(format!("key {} is revoked", key.key_id.short())));
        }
        let mut next = self.successor()?;
        next.keys.push(key);
        next.checked()
    }

    /// The next version, in which every signature of this key is refused, whether the root names it or not.
    ///
    /// # Errors
    /// If it is revoked already or the reason is not usable.
    pub fn revoke(&self, key_id: KeyId, reason: &str, now_unix_s: u64) -> Result<Self, TrustError> {
        let mut next = self.successor()?;
        let since = UtcTime::from_unix_s(now_unix_s);
        next.revoked.push(Revocation { key_id, reason: reason.to_owned(), since });
        next.checked()
    }

    /// The next version, in which the key is refused from a time on.
    ///
    /// # Errors
    /// If the root does not name it, or it ends sooner already: nothing gets a longer life by being ended.
    pub fn expire_key(&self, key_id: &KeyId, expires: UtcTime) -> Result<Self, TrustError> {
        let mut next = self.successor()?;
        let key = next.keys.iter_mut().find(|key| key.key_id == *key_id);
        let key = key.ok_or_else(|| wrong(format!("key {} is not in it", key_id.short())))?;
        if let Some(sooner) = key.expires.filter(|sooner| *sooner < expires) {
            return Err(wrong(format!("key {} ends on {sooner} already", key_id.short())));
        }
        key.expires = Some(expires);
        next.checked()
    }

    /// The next version, with one more identity.
    ///
    /// # Errors
    /// If it is there already, is revoked, or a member is not usable.
    pub fn with_identity(&self, identity: RootIdentity) -> Result<Self, TrustError> {
        if self.revocation(&identity.id()).is_some() {
            return Err(wrong(format!("the identity {} is revoked", identity.id().short())));
        }
        let mut next = self.successor()?;
        next.identities.push(identity);
        next.checked()
    }

    /// The next version, with one more quorum.
    ///
    /// # Errors
    /// If a signer is not in the root, is there twice, or there are fewer than are needed.
    pub fn with_quorum(&self, quorum: Quorum) -> Result<Self, TrustError> {
        let mut next = self.successor()?;
        next.quorums.push(quorum);
        next.checked()
    }

    /// The next version, with one more publisher whose components need the word of a builder.
    ///
    /// # Errors
    /// If a signer is not in the root, or a member is not usable.
    pub fn with_provenance(&self, rule: ProvenanceRule) -> Result<Self, TrustError> {
        let mut next = self.successor()?;
        next.provenance.push(rule);
        next.checked()
    }

    /// The next version, which believes the certificates of this Sigstore.
    ///
    /// # Errors
    /// If the document is no trusted root.
    pub fn with_sigstore(&self, trusted_root: serde_json::Value) -> Result<Self, TrustError> {
        let mut next = self.successor()?;
        next.sigstore = Some(trusted_root);
        next.checked()
    }

    /// The identities that may sign, unless they are revoked.
    pub fn identities(&self) -> &[RootIdentity] {
        &self.identities
    }

    /// Tiers that several signers give together.
    pub fn quorums(&self) -> &[Quorum] {
        &self.quorums
    }

    /// Publishers whose components need the word of a builder.
    pub fn provenance(&self) -> &[ProvenanceRule] {
        &self.provenance
    }

    /// The trusted root of the Sigstore whose certificates are believed, if it is not the public good instance.
    pub const fn sigstore(&self) -> Option<&serde_json::Value> {
        self.sigstore.as_ref()
    }

    /// Counts up with every change, from 1.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// From when on no key in it is trusted.
    pub const fn expires(&self) -> UtcTime {
        self.expires
    }

    /// The next time at which what it says of a signer changes by itself; [`UtcTime::MAX`] if it never does.
    pub fn changes_after(&self, now: UtcTime) -> UtcTime {
        let keys = self.keys.iter().map(|key| (key.not_before, key.expires));
        let identities = self.identities.iter().map(|identity| (identity.not_before, identity.expires));
        let times = keys.chain(identities).flat_map(|(from, to)| [from, to]).flatten();
        times.chain([self.expires]).filter(|time| *time > now).min().unwrap_or(UtcTime::MAX)
    }

    /// The keys that may sign, unless they are revoked.
    pub fn keys(&self) -> &[RootKey] {
        &self.keys
    }

    /// The keys whose signatures are refused.
    pub fn revoked(&self) -> &[Revocation] {
        &self.revoked
    }

    /// The key of this name.
    pub fn key(&self, key_id: &KeyId) -> Option<&RootKey> {
        self.keys.iter().find(|key| key.key_id == *key_id)
    }

    /// Which signer a key or identity is: the first of the keys that took each other's places, or itself.
    pub fn signer_of(&self, id: &KeyId) -> KeyId {
        let mut signer = *id;
        while let Some(before) = self.key(&signer).and_then(|key| key.replaces) {
            signer = before;
        }
        signer
    }

    /// Whether a key took its own place, by way of others.
    fn is_in_circle(&self, key: &RootKey) -> bool {
        let mut before = key.replaces;
        for _ in &self.keys {
            let Some(id) = before else { return false };
            if id == key.key_id {
                return true;
            }
            before = self.key(&id).and_then(|key| key.replaces);
        }
        // The others are in one.
        before.is_some()
    }

    /// Whether one of these signers is meant by an id.
    pub(crate) fn names(&self, signers: &[KeyId], id: &KeyId) -> bool {
        let signer = self.signer_of(id);
        signers.iter().any(|named| self.signer_of(named) == signer)
    }

    /// Whether and why the key was revoked.
    pub fn revocation(&self, key_id: &KeyId) -> Option<&Revocation> {
        self.revoked.iter().find(|revocation| revocation.key_id == *key_id)
    }

    fn successor(&self) -> Result<Self, TrustError> {
        let version = self.version.checked_add(1).ok_or_else(|| wrong("it has no next version"))?;
        Ok(Self { version, ..self.clone() })
    }

    fn checked(self) -> Result<Self, TrustError> {
        if self.schema != ROOT_SCHEMA {
            return Err(wrong(format!("`schema` is not `{ROOT_SCHEMA}`")));
        }
        if self.version == 0 {
            return Err(wrong("`version` is 0"));
        }
        let lists = [
            self.keys.len(),
            self.revoked.len(),
            self.identities.len(),
            self.quorums.len(),
            self.provenance.len(),
        ];
        if lists.iter().any(|length| *length > ENTRIES_MAX) {
            return Err(wrong(format!("a list has more than {ENTRIES_MAX} entries")));
        }
        unique("keys", self.keys.iter().map(|key| key.key_id))?;
        unique("revoked", self.revoked.iter().map(|revocation| revocation.key_id))?;
        for key in &self.keys {
            check_key(key)?;
        }
        if let Some(key) = self.keys.iter().find(|key| self.is_in_circle(key)) {
            return Err(wrong(format!("key {} took its own place", key.key_id.short())));
        }
        for revocation in &self.revoked {
            check_text("reason", &revocation.reason)?;
        }
        unique("identities", self.identities.iter().map(RootIdentity::id))?;
        self.identities.iter().try_for_each(RootIdentity::check)?;
        let signer = |id: &KeyId| {
            let is_known =
                self.key(id).is_some() || self.identities.iter().any(|identity| identity.id() == *id);
            is_known.then(|| self.signer_of(id))
        };
        self.quorums.iter().try_for_each(|quorum| quorum.check(signer))?;
        self.provenance.iter().try_for_each(|rule| rule.check(signer))?;
        if let Some(trusted_root) = &self.sigstore {
            crate::keyless::read_trusted_root(trusted_root)?;
        }
        Ok(self)
    }
}

fn check_key(key: &RootKey) -> Result<(), TrustError> {
    if key.public_key.key_id() != key.key_id {
        return Err(wrong(format!("`key_id` {} is not that of its `public_key`", key.key_id.short())));
    }
    check_text("label", &key.label)?;
    check_namespaces(&key.namespaces)
}

pub(crate) fn check_namespaces(namespaces: &[Namespace]) -> Result<(), TrustError> {
    if namespaces.len() > ENTRIES_MAX {
        return Err(wrong(format!("a list has more than {ENTRIES_MAX} entries")));
    }
    unique("namespaces", namespaces.iter().map(|namespace| &namespace.publisher))?;
    for Namespace { publisher, tier } in namespaces {
        if !is_publisher(publisher) {
            return Err(wrong(format!("`{publisher}` is no publisher that a key can sign for")));
        }
        if *tier == Tier::Unverified {
            return Err(wrong(format!(
                "publisher `{publisher}` has tier `{tier}`, which is what unsigned means"
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_text(name: &str, text: &str) -> Result<(), TrustError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || escape(text) != text {
        return Err(wrong(format!(
            "a `{name}` is not a line of 1 to {TEXT_BYTES_MAX} bytes without hidden characters"
        )));
    }
    Ok(())
}

pub(crate) fn unique<T: Ord>(name: &str, mut items: impl Iterator<Item = T>) -> Result<(), TrustError> {
    let mut seen = BTreeSet::new();
    if items.all(|item| seen.insert(item)) {
        Ok(())
    } else {
        Err(wrong(format!("`{name}` has an entry twice")))
    }
}

pub(crate) fn wrong(problem: impl Into<String>) -> TrustError {
    TrustError::Root { problem: problem.into() }
}
