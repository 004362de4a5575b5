//! Putting drafts online: all of them or none, and the timestamp last.

use std::collections::BTreeMap;

use loong_manifest::Digest;
use loong_trust::{SigningKey, UtcTime, file};
use serde_json::{Value, json};
use sigstore_tuf::Repository;
use sigstore_tuf::transport::FetchFuture;

use super::{Folder, Published, PublishedRole, until};
use crate::metadata::{Document, object};
use crate::{Client, Directory, RepositoryError};

impl Folder {
    /// Signs what these keys may sign and puts every draft online, with a new snapshot and a new timestamp. What would
    /// be served is read first as a client reads it, from the first root on; if anything does not hold, or too few
    /// keys signed, nothing is changed but for the drafts.
    ///
    /// # Errors
    /// If too few keys signed a draft, or what would be served does not hold.
    pub async fn publish(&self, keys: &[SigningKey], now: UtcTime) -> Result<Published, RepositoryError> {
        self.sign_all(keys)?;
        self.all_signed(|role| role != "snapshot" && role != "timestamp")?;
        let snapshot = self.snapshot(now)?;
        self.replace_draft("snapshot", snapshot, now)?;
        self.sign_all(keys)?;
        self.all_signed(|role| role != "timestamp")?;
        let snapshot = self.needed("snapshot")?;
        let pins = json!({ "snapshot.json": pin(&snapshot) });
        self.replace_draft("timestamp", Some(pins), now)?;
        self.sign_all(keys)?;
        self.all_signed(|_| true)?;
        let mut files = BTreeMap::new();
        let mut roles = Vec::new();
        for role in self.draft_names()? {
            let draft = self.needed(&role)?;
            let name = if role == "timestamp" {
                "timestamp.json".to_owned()
            } else {
                format!("{}.{role}.json", draft.version())
            };
            roles.push(PublishedRole { role, version: draft.version() });
            files.insert(name, draft.to_json());
        }
        let expires = self.needed("timestamp")?.expires().unwrap_or(now);
        self.try_out(&files, now).await?;
        self.make(&self.metadata())?;
        for (name, bytes) in files.iter().filter(|(name, _)| *name != "timestamp.json") {
            file::write_atomically(&self.metadata().join(name), bytes, 0o644)?;
        }
        // Nothing of the above is looked at before this names it.
        if let Some(timestamp) = files.get("timestamp.json") {
            file::write_atomically(&self.metadata().join("timestamp.json"), timestamp, 0o644)?;
        }
        for PublishedRole { role, .. } in &roles {
            let path = self.draft_path(role);
            std::fs::remove_file(&path)
                .map_err(|source| RepositoryError::File(file::FileError::Write { path, source }))?;
        }
        Ok(Published { roles, expires })
    }

    fn sign_all(&self, keys: &[SigningKey]) -> Result<(), RepositoryError> {
        keys.iter().try_for_each(|key| self.sign(key).map(drop))
    }

    fn all_signed(&self, counts: impl Fn(&str) -> bool) -> Result<(), RepositoryError> {
        let missing = self.missing()?;
        let waiting: Vec<String> = missing
            .iter()
            .filter(|missing| counts(&missing.role))
            .map(|missing| {
                let open: Vec<String> = missing.may_sign.iter().map(loong_trust::KeyId::short).collect();
                format!(
                    "{} has {} of {}, may be signed by {}",
                    missing.role,
                    missing.signed,
                    missing.threshold,
                    open.join(", ")
                )
            })
            .collect();
        if waiting.is_empty() { Ok(()) } else { Err(RepositoryError::Unsigned { waiting }) }
    }

    /// What a snapshot of now pins, if it is another one than that which is served.
    fn snapshot(&self, now: UtcTime) -> Result<Option<Value>, RepositoryError> {
        let served = self.published("snapshot")?;
        let mut meta = served.as_ref().map(|served| object(&served.signed, "meta")).unwrap_or_default();
        for role in
            self.roles()?.iter().filter(|role| !["root", "snapshot", "timestamp"].contains(&role.as_str()))
        {
            meta.insert(format!("{role}.json"), pin(&self.needed(role)?));
        }
        let is_fresh = |served: &Document| {
            let left = served.expires().map_or(0, |expires| expires.unix_s().saturating_sub(now.unix_s()));
            object(&served.signed, "meta") == meta
                && left > until("snapshot", now).unix_s().saturating_sub(now.unix_s()) / 2
        };
        let is_same = served.as_ref().is_some_and(is_fresh);
        Ok((!is_same).then_some(Value::Object(meta)))
    }

    /// Makes a draft that pins this, unless there is one already; none if nothing is to be pinned.
    fn replace_draft(&self, role: &str, meta: Option<Value>, now: UtcTime) -> Result<(), RepositoryError> {
        let Some(meta) = meta else { return Ok(()) };
        if self.draft(role)?.is_some_and(|draft| draft.signed.get("meta") == Some(&meta)) {
            return Ok(());
        }
        let members = json!({ "meta": meta });
        let draft = match self.published(role)? {
            Some(published) => {
                let mut next = published.successor(until(role, now))?;
                next.set("meta", meta);
                next
            }
            None => Document::new(role, until(role, now), members),
        };
        self.put_draft(role, &draft)
    }

    /// Reads what would be served as a client does, every publisher's entries too.
    async fn try_out(&self, files: &BTreeMap<String, Vec<u8>>, now: UtcTime) -> Result<(), RepositoryError> {
        let root = match files.get("1.root.json") {
            Some(root) => root.clone(),
            None => self.first_root()?,
        };
        let overlay = Overlay { files: files.clone(), below: Directory::new(&self.root) };
        let mut client = Client::new(overlay, &root, None)?;
        client.refresh(now).await?;
        for (publisher, _) in client.publishers() {
            client.entries(&publisher, now).await?;
        }
        Ok(())
    }
}

/// Which version of a document counts, and which bytes.
fn pin(document: &Document) -> Value {
    let bytes = document.to_json();
    json!({ "version": document.version(), "length": bytes.len(), "hashes": { "sha256": Digest::of(&bytes).to_hex() } })
}

/// Documents that are not written yet, over a folder.
struct Overlay {
    files: BTreeMap<String, Vec<u8>>,
    below: Directory,
}

impl Repository for Overlay {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        match self.files.get(name) {
            Some(bytes) => {
                let bytes = bytes.clone();
                Box::pin(async move { Ok(Some(bytes)) })
            }
            None => self.below.fetch_metadata(name, max_length),
        }
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.below.fetch_target(path, max_length)
    }
}
