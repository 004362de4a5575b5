//! The documents of a repository as they are written: one role each, signed as canonical JSON.

use loong_manifest::Tier;
use loong_trust::{KeyId, PublicKey, SigningKey, UtcTime};
use serde_json::{Map, Value, json};
use sigstore_tuf::canonical_json;

use crate::RepositoryError;

/// The version of the specification that is followed.
const SPEC_VERSION: &str = "1.0.31";

/// The tiers, as roles below `targets`, in the order in which they are searched.
pub const TIERS: [Tier; 3] = [Tier::Official, Tier::VerifiedCommunity, Tier::Unverified];

/// The role in which a publisher's components are listed.
pub(crate) fn publisher_role(publisher: &str) -> String {
    format!("publisher-{publisher}")
}

/// The paths of a publisher: `PUBLISHER/NAME/VERSION/FILE`.
pub(crate) fn publisher_paths(publisher: &str) -> String {
    format!("{publisher}/*/*/*")
}

/// A role's document: what is signed, and the signatures over it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) signed: Value,
    pub(crate) signatures: Vec<(String, String)>,
}

impl Document {
    /// A document of version 1 that nobody signed.
    pub(crate) fn new(kind: &str, expires: UtcTime, members: Value) -> Self {
        let mut signed = json!({
            "_type": kind, "spec_version": SPEC_VERSION, "version": 1, "expires": expires,
        });
        if let (Some(signed), Value::Object(members)) = (signed.as_object_mut(), members) {
            signed.extend(members);
        }
        Self { signed, signatures: Vec::new() }
    }

    pub(crate) fn read(what: &str, bytes: &[u8]) -> Result<Self, RepositoryError> {
        let wrong = |problem: &str| RepositoryError::invalid(what, problem);
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| RepositoryError::invalid(what, error.to_string()))?;
        let signed = value.get("signed").filter(|signed| signed.is_object()).cloned();
        let signatures = value
            .get("signatures")
            .and_then(Value::as_array)
            .ok_or_else(|| wrong("it has no `signatures`"))?;
        let text = |signature: &Value, name: &str| {
            signature
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| wrong("a signature is no object"))
        };
        let signatures = signatures
            .iter()
            .map(|signature| Ok((text(signature, "keyid")?, text(signature, "sig")?)))
            .collect::<Result<_, RepositoryError>>()?;
        Ok(Self { signed: signed.ok_or_else(|| wrong("it has no `signed`"))?, signatures })
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let signatures: Vec<Value> =
            self.signatures.iter().map(|(keyid, sig)| json!({ "keyid": keyid, "sig": sig })).collect();
        let mut text = serde_json::to_vec_pretty(&json!({ "signatures": signatures, "signed": self.signed }))
            .unwrap_or_default();
        text.push(b'\n');
        text
    }

    pub(crate) fn version(&self) -> u64 {
        self.signed.get("version").and_then(Value::as_u64).unwrap_or_default()
    }

    pub(crate) fn expires(&self) -> Option<UtcTime> {
        self.signed.get("expires").and_then(Value::as_str).and_then(|text| text.parse().ok())
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        if let Some(signed) = self.signed.as_object_mut() {
            signed.insert(name.to_owned(), value);
        }
    }

    /// The next version of it, which nobody signed.
    pub(crate) fn successor(&self, expires: UtcTime) -> Result<Self, RepositoryError> {
        let version = self
            .version()
            .checked_add(1)
            .ok_or_else(|| RepositoryError::invalid("the document", "it has no next version"))?;
        let mut next = Self { signed: self.signed.clone(), signatures: Vec::new() };
        next.set("version", json!(version));
        next.set("expires", json!(expires));
        Ok(next)
    }

    /// What a signature is over.
    pub(crate) fn canonical(&self) -> Result<Vec<u8>, RepositoryError> {
        Ok(canonical_json::to_canonical_bytes(&self.signed)?)
    }

    /// Adds the key's signature, unless it is there. True if it was added.
    pub(crate) fn sign(&mut self, key: &SigningKey) -> Result<bool, RepositoryError> {
        let keyid = key.key_id().to_string();
        if self.signatures.iter().any(|(known, _)| *known == keyid) {
            return Ok(false);
        }
        let signature = key.sign(&self.canonical()?);
        self.signatures.push((keyid, hex(&signature)));
        self.signatures.sort();
        Ok(true)
    }

    /// The keys among `keys` that signed exactly this document.
    pub(crate) fn signers(&self, keys: &[(KeyId, PublicKey)]) -> Result<Vec<KeyId>, RepositoryError> {
        let canonical = self.canonical()?;
        let signed = |(key_id, key): &&(KeyId, PublicKey)| {
            let name = key_id.to_string();
            self.signatures
                .iter()
                .filter(|(keyid, _)| *keyid == name)
                .filter_map(|(_, signature)| unhex(signature)?.try_into().ok())
                .any(|signature| key.verifies(&canonical, &signature))
        };
        Ok(keys.iter().filter(signed).map(|(key_id, _)| *key_id).collect())
    }
}

/// A key as metadata holds it. Its id is the one that it has everywhere else.
pub(crate) fn key_value(key: &PublicKey) -> (String, Value) {
    let public = hex(key.as_bytes());
    (
        key.key_id().to_string(),
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } }),
    )
}

/// The keys of `keys`, a member of metadata, that `keyids` names.
pub(crate) fn keys_of(keys: &Value, role: &Value) -> Vec<(KeyId, PublicKey)> {
    let ids = role.get("keyids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    ids.filter_map(|id| {
        let key = public_key(keys.get(id)?.get("keyval")?.get("public")?.as_str()?)?;
        Some((id.parse().ok()?, key))
    })
    .collect()
}

/// An ed25519 key in the form that metadata has it.
pub(crate) fn public_key(hex: &str) -> Option<PublicKey> {
    PublicKey::from_bytes(unhex(hex)?.as_slice().try_into().ok()?).ok()
}

/// Puts keys into a `keys` member and drops those that no role of `roles` names.
pub(crate) fn with_keys(keys: &Value, added: &[PublicKey], used: &[String]) -> Value {
    let mut all = keys.as_object().cloned().unwrap_or_default();
    all.extend(added.iter().map(key_value));
    all.retain(|id, _| used.contains(id));
    Value::Object(all)
}

/// The ids that the roles of a list name.
pub(crate) fn used_keyids<'a>(roles: impl Iterator<Item = &'a Value>) -> Vec<String> {
    roles
        .filter_map(|role| role.get("keyids")?.as_array())
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

/// A member that is an object; an empty one where there is none.
pub(crate) fn object(value: &Value, name: &str) -> Map<String, Value> {
    value.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
