//! What a person changes: publishers, keys, entries. Every change makes or edits a draft.

use std::collections::BTreeMap;
use std::path::Path;

use loong_manifest::{Digest, PluginId, Tier};
use loong_trust::{Candidate, RootKey, Standing, TrustError, TrustRoot, UtcTime, file};
use serde_json::{Map, Value, json};

use super::{Folder, RoleKeys, TOP, delegated, role_value, until};
use crate::entry::{self, EntryFacts};
use crate::installed::component_name;
use crate::metadata::{Document, TIERS, object, publisher_paths, publisher_role, used_keyids, with_keys};
use crate::{Built, RepositoryError, Yanked};

impl Folder {
    /// Lets these keys publish for a publisher, at a tier. Says it anew where it was said before.
    ///
    /// # Errors
    /// If the publisher is no name, the keys cannot reach the threshold, or a draft cannot be written.
    pub fn set_publisher(
        &self,
        publisher: &str,
        tier: Tier,
        keys: &RoleKeys,
        now: UtcTime,
    ) -> Result<(), RepositoryError> {
        if PluginId::new(publisher, "any").is_err() {
            return Err(RepositoryError::invalid(format!("`{publisher}`"), "it is no name of a publisher"));
        }
        let role = publisher_role(publisher);
        let mut named = role_value(keys)?;
        if let Some(members) = named.as_object_mut() {
            members.extend([
                ("name".to_owned(), json!(role)),
                ("terminating".to_owned(), json!(true)),
                ("paths".to_owned(), json!([publisher_paths(publisher)])),
            ]);
        }
        self.place(publisher, tier, now)?;
        for other in TIERS {
            let known = |value: &&Value| value.get("name").and_then(Value::as_str) == Some(role.as_str());
            let document = self.needed(other.as_str())?;
            let wanted = (other == tier).then_some(&named);
            if delegated(&document).find(known) == wanted {
                continue;
            }
            let mut roles: Vec<Value> = delegated(&document).filter(|value| !known(value)).cloned().collect();
            roles.extend(wanted.cloned());
            roles.sort_by_key(|role| role.get("name").map(ToString::to_string));
            self.edit(other.as_str(), now, |draft| draft.set_delegations(roles, &keys.keys))?;
        }
        if self.document(&role)?.is_none() {
            let empty = json!({ "targets": {} });
            self.put_draft(&role, &Document::new("targets", until(&role, now), empty))?;
        }
        Ok(())
    }

    /// Lists a publisher's paths below its tier and nowhere else.
    fn place(&self, publisher: &str, tier: Tier, now: UtcTime) -> Result<(), RepositoryError> {
        let path = json!(publisher_paths(publisher));
        let targets = self.needed("targets")?;
        let mut roles: Vec<Value> = delegated(&targets).cloned().collect();
        for role in &mut roles {
            let is_tier = role.get("name").and_then(Value::as_str) == Some(tier.as_str());
            let Some(paths) = role.get_mut("paths").and_then(Value::as_array_mut) else { continue };
            paths.retain(|known| *known != path);
            if is_tier {
                paths.push(path.clone());
                paths.sort_by_key(ToString::to_string);
            }
        }
        if delegated(&targets).ne(roles.iter()) {
            self.edit("targets", now, |draft| draft.set_delegations(roles, &[]))?;
        }
        Ok(())
    }

    /// Gives a role these keys from its next version on.
    ///
    /// # Errors
    /// If there is no such role, the keys cannot reach the threshold, or a draft cannot be written.
    pub fn set_keys(&self, role: &str, keys: &RoleKeys, now: UtcTime) -> Result<(), RepositoryError> {
        let value = role_value(keys)?;
        if TOP.contains(&role) {
            return self.edit("root", now, |root| {
                let mut roles = object(&root.signed, "roles");
                roles.insert(role.to_owned(), value);
                let used = used_keyids(roles.values());
                let all = with_keys(&Value::Object(object(&root.signed, "keys")), &keys.keys, &used);
                root.set("keys", all);
                root.set("roles", Value::Object(roles));
            });
        }
        let parent = self.parent(role)?;
        let document = self.needed(&parent)?;
        let mut roles: Vec<Value> = delegated(&document).cloned().collect();
        let named = roles.iter_mut().find(|known| known.get("name").and_then(Value::as_str) == Some(role));
        if let (Some(named), Value::Object(value)) = (named.and_then(Value::as_object_mut), value) {
            named.extend(value);
        }
        self.edit(&parent, now, |draft| draft.set_delegations(roles, &keys.keys))?;
        // The document itself has to be signed by the new keys.
        self.edit(role, now, |_| ())
    }

    /// Begins to add components.
    pub const fn adding(&self, now: UtcTime) -> Adding<'_> {
        Adding { folder: self, now, roles: BTreeMap::new() }
    }

    /// Says that a version should not be installed any more.
    ///
    /// # Errors
    /// If it is not there.
    pub fn yank(
        &self,
        id: &PluginId,
        version: &semver::Version,
        reason: &str,
        now: UtcTime,
    ) -> Result<(), RepositoryError> {
        let unknown = || RepositoryError::EntryUnknown { id: id.clone(), version: version.clone() };
        let role = publisher_role(id.publisher());
        let document = self.document(&role)?.ok_or_else(unknown)?;
        let mut targets = object(&document.signed, "targets");
        let custom = targets
            .get_mut(&entry::component_path(id, version))
            .and_then(|target| target.get_mut("custom")?.as_object_mut())
            .ok_or_else(unknown)?;
        let yanked = Yanked { reason: reason.to_owned(), since: now };
        custom.insert("yanked".to_owned(), serde_json::to_value(yanked).unwrap_or_default());
        self.edit(&role, now, |draft| draft.set("targets", Value::Object(targets)))
    }

    /// Makes the next version of a document, or changes the draft of it. Signatures of what it was before are gone.
    fn edit(
        &self,
        role: &str,
        now: UtcTime,
        change: impl FnOnce(&mut Document),
    ) -> Result<(), RepositoryError> {
        let mut draft = match self.draft(role)? {
            Some(draft) => Document { signatures: Vec::new(), ..draft },
            None => match self.published(role)? {
                Some(published) => published.successor(until(role, now))?,
                None => return Err(RepositoryError::RoleUnknown { role: role.to_owned() }),
            },
        };
        change(&mut draft);
        self.put_draft(role, &draft)
    }

    /// The keys of a publisher as a trust root, empty where its tier asks for no signature.
    fn trust(&self, publisher: &str) -> Result<TrustRoot, RepositoryError> {
        let role = publisher_role(publisher);
        let unknown = |_| RepositoryError::PublisherUnknown { publisher: publisher.to_owned() };
        let parent = self.parent(&role).map_err(unknown)?;
        let tier = TIERS.into_iter().find(|tier| tier.as_str() == parent).unwrap_or(Tier::Unverified);
        let mut root = TrustRoot::empty();
        if tier == Tier::Unverified {
            return Ok(root);
        }
        for (keys, _) in self.authorities(&role)? {
            for (_, key) in keys {
                root = root.with_key(RootKey::new(&key, &role, &[publisher], tier, None))?;
            }
        }
        Ok(root)
    }

    fn put_target(&self, path: &str, digest: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.root.join("targets").join(Path::new(folder));
        self.make(&folder)?;
        Ok(file::write_atomically(&folder.join(format!("{digest}.{name}")), bytes, 0o444)?)
    }
}

impl Document {
    /// Sets the roles that a document delegates to, with the keys that they name.
    fn set_delegations(&mut self, roles: Vec<Value>, added: &[loong_trust::PublicKey]) {
        let mut delegations = object(&self.signed, "delegations");
        let keys =
            Value::Object(delegations.get("keys").and_then(Value::as_object).cloned().unwrap_or_default());
        delegations.insert("keys".to_owned(), with_keys(&keys, added, &used_keyids(roles.iter())));
        delegations.insert("roles".to_owned(), Value::Array(roles));
        self.set("delegations", Value::Object(delegations));
    }
}

/// Components that are being added; they are in drafts once it is finished.
#[derive(Debug)]
pub struct Adding<'f> {
    folder: &'f Folder,
    now: UtcTime,
    /// The targets of each role that is added to.
    roles: BTreeMap<String, Map<String, Value>>,
}

impl Adding<'_> {
    /// Adds a component with the signature files beside it, and how it is built where that is known. False if exactly
    /// it is there already.
    ///
    /// # Errors
    /// If it has no manifest, differs from it, is not signed as its tier asks, or its version is there with other bytes.
    pub fn add(
        &mut self,
        bytes: Vec<u8>,
        bundles: Vec<Vec<u8>>,
        built: Option<Built>,
    ) -> Result<(PluginId, semver::Version, bool), RepositoryError> {
        let candidate = Candidate::read(bytes.clone(), bundles.clone(), "component")?;
        let manifest = candidate.manifest().cloned().ok_or_else(|| TrustError::ManifestMissing {
            why: "only components with one can be published".to_owned(),
        })?;
        let (id, version, digest) = (manifest.id.clone(), manifest.version.clone(), *candidate.digest());
        if !version.build.is_empty() {
            let problem = "build metadata is no part of a version here";
            return Err(RepositoryError::invalid(format!("version {version}"), problem));
        }
        let root = self.folder.trust(id.publisher())?;
        let facts = EntryFacts { built, ..EntryFacts::of(&candidate, &manifest, self.now) };
        let verified = loong_trust::verify(candidate, &root, self.now.unix_s())?;
        if !root.keys().is_empty() && !matches!(verified.standing(), Standing::Signed { .. }) {
            return Err(TrustError::Unsigned.into());
        }
        let role = publisher_role(id.publisher());
        if !self.roles.contains_key(&role) {
            let document = self.folder.needed(&role)?;
            self.roles.insert(role.clone(), object(&document.signed, "targets"));
        }
        let targets = self.roles.entry(role).or_default();
        if let Some(there) = targets.get(&entry::component_path(&id, &version)) {
            let there = there.get("hashes").and_then(|hashes| hashes.get("sha256")?.as_str());
            let there = there.and_then(Digest::from_hex).unwrap_or(digest);
            if there != digest {
                let (there, found) = (there.short(), digest.short());
                return Err(RepositoryError::EntryDiffers {
                    entry: format!("`{id}` {version}"),
                    there,
                    found,
                });
            }
            return Ok((id, version, false));
        }
        let component = component_name(&id);
        let mut files = vec![
            (component.clone(), bytes, Some(facts)),
            ("loong.plugin.json".to_owned(), manifest.to_json().into_bytes(), None),
        ];
        let names = loong_trust::bundle_names(&component);
        files.extend(names.into_iter().zip(bundles).map(|(name, bundle)| (name, bundle, None)));
        for (file, bytes, facts) in files {
            let path = format!("{}/{file}", entry::folder(&id, &version));
            let digest = Digest::of(&bytes).to_hex();
            self.folder.put_target(&path, &digest, &bytes)?;
            let mut target = json!({ "length": bytes.len(), "hashes": { "sha256": digest } });
            if let (Some(facts), Some(target)) = (facts, target.as_object_mut()) {
                target.insert("custom".to_owned(), serde_json::to_value(facts).unwrap_or_default());
            }
            targets.insert(path, target);
        }
        Ok((id, version, true))
    }

    /// Makes the drafts.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn finish(self) -> Result<(), RepositoryError> {
        for (role, targets) in self.roles {
            let known = self.folder.needed(&role)?;
            if object(&known.signed, "targets") != targets {
                self.folder.edit(&role, self.now, |draft| draft.set("targets", Value::Object(targets)))?;
            }
        }
        Ok(())
    }
}
