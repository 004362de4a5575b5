//! Keeping a repository in a folder: `metadata/` and `targets/` as they are served, `drafts/` for what is not signed
//! by enough keys yet. A draft is one document; it can be carried to another machine, signed there, and taken back.

mod change;
mod publish;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loong_manifest::Tier;
use loong_trust::{KeyId, PublicKey, SigningKey, UtcTime, file};
use serde::Serialize;
use serde_json::{Value, json};

use crate::RepositoryError;
use crate::metadata::{Document, TIERS, key_value, keys_of, object};

pub use change::Adding;

/// The roles that the root names.
const TOP: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];
/// How long a document holds, in days: those that people sign, the snapshot, the timestamp.
const DAYS: [(&str, u64); 2] = [("snapshot", 90), ("timestamp", 14)];
const DAYS_ELSE: u64 = 365;
/// Largest document that is read.
const DOCUMENT_BYTES_MAX: u64 = 32 << 20;

/// The keys of a role, and how many of them have to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many of them have to sign.
    pub threshold: usize,
}

/// A draft that too few keys signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The role.
    pub role: String,
    /// How many signatures count.
    pub signed: usize,
    /// How many are needed.
    pub threshold: usize,
    /// The keys that may still sign it.
    pub may_sign: Vec<KeyId>,
}

/// How a role stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleStatus {
    /// The role.
    pub role: String,
    /// The version that is served; none before the first publication.
    pub version: Option<u64>,
    /// When that expires.
    pub expires: Option<UtcTime>,
    /// The keys that may sign it.
    pub keys: Vec<KeyId>,
    /// How many of them have to.
    pub threshold: usize,
    /// Whether a newer version waits as a draft.
    pub draft: bool,
}

/// What a publication put online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The documents that changed.
    pub roles: Vec<PublishedRole>,
    /// When clients refuse the repository unless it is published anew.
    pub expires: UtcTime,
}

/// A document that is served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedRole {
    /// The role.
    pub role: String,
    /// Its version.
    pub version: u64,
}

/// Keys, and how many of them have to sign.
type Authority = (Vec<(KeyId, PublicKey)>, usize);

/// A repository in a folder of this machine.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Begins a repository whose roles all have these keys. Nothing is served before it is published.
    ///
    /// # Errors
    /// If the folder holds a repository already, the keys cannot reach the threshold, or a file cannot be written.
    pub fn init(path: &Path, keys: &RoleKeys, now: UtcTime) -> Result<Self, RepositoryError> {
        let folder = Self { root: path.to_owned() };
        if folder.metadata().exists() || folder.drafts().exists() {
            return Err(RepositoryError::There { path: path.to_owned() });
        }
        let role = role_value(keys)?;
        let all: BTreeMap<String, Value> = keys.keys.iter().map(key_value).collect();
        let roles: BTreeMap<&str, &Value> = TOP.iter().map(|name| (*name, &role)).collect();
        let delegated = |tier: &Tier| {
            let mut tier_role = role.clone();
            if let Some(members) = tier_role.as_object_mut() {
                members.extend([
                    ("name".to_owned(), json!(tier)),
                    ("terminating".to_owned(), json!(true)),
                    ("paths".to_owned(), json!([])),
                ]);
            }
            tier_role
        };
        let tiers: Vec<Value> = TIERS.iter().map(delegated).collect();
        let root = json!({ "consistent_snapshot": true, "keys": all, "roles": roles });
        let targets = json!({ "targets": {}, "delegations": { "keys": all, "roles": tiers } });
        let tier = json!({ "targets": {}, "delegations": { "keys": {}, "roles": [] } });
        folder.make(&folder.drafts())?;
        folder.put_draft("root", &Document::new("root", until("root", now), root))?;
        folder.put_draft("targets", &Document::new("targets", until("targets", now), targets))?;
        for name in TIERS {
            folder.put_draft(
                name.as_str(),
                &Document::new("targets", until(name.as_str(), now), tier.clone()),
            )?;
        }
        Ok(folder)
    }

    /// A repository that is there.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: &Path) -> Result<Self, RepositoryError> {
        let folder = Self { root: path.to_owned() };
        if folder.document("root")?.is_none() {
            return Err(RepositoryError::Absent { path: path.to_owned() });
        }
        Ok(folder)
    }

    /// The root document to pin: the first one.
    ///
    /// # Errors
    /// If nothing was published.
    pub fn first_root(&self) -> Result<Vec<u8>, RepositoryError> {
        self.read(&self.metadata().join("1.root.json"))?
            .ok_or_else(|| RepositoryError::Absent { path: self.root.clone() })
    }

    /// Signs every draft that the key may sign. The roles that it signed.
    ///
    /// # Errors
    /// If a draft cannot be read or written.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<String>, RepositoryError> {
        let mut signed = Vec::new();
        for role in self.draft_names()? {
            let Some(mut draft) = self.draft(&role)? else { continue };
            let may = self
                .authorities(&role)?
                .iter()
                .any(|(keys, _)| keys.iter().any(|(id, _)| *id == key.key_id()));
            if may && draft.sign(key)? {
                self.put_draft(&role, &draft)?;
                signed.push(role);
            }
        }
        Ok(signed)
    }

    /// Takes the signatures of a draft that was signed elsewhere. The roles and how many were added.
    ///
    /// # Errors
    /// If it is not the document of a draft that is here, or none of its signatures counts.
    pub fn import(&self, bytes: &[u8]) -> Result<(String, usize), RepositoryError> {
        let signed = Document::read("the signed draft", bytes)?;
        for role in self.draft_names()? {
            let Some(mut draft) = self.draft(&role)? else { continue };
            if draft.signed != signed.signed {
                continue;
            }
            let keys: Vec<_> = self.authorities(&role)?.into_iter().flat_map(|(keys, _)| keys).collect();
            let known = draft.signers(&keys)?;
            let fresh: Vec<String> = signed
                .signers(&keys)?
                .into_iter()
                .filter(|key_id| !known.contains(key_id))
                .map(|key_id| key_id.to_string())
                .collect();
            draft.signatures.retain(|(keyid, _)| !fresh.contains(keyid));
            draft.signatures.extend(signed.signatures.into_iter().filter(|(keyid, _)| fresh.contains(keyid)));
            draft.signatures.sort();
            draft.signatures.dedup();
            self.put_draft(&role, &draft)?;
            return Ok((role, fresh.len()));
        }
        Err(RepositoryError::invalid("the signed draft", "no draft here says the same"))
    }

    /// The drafts that too few keys signed.
    ///
    /// # Errors
    /// If a draft cannot be read.
    pub fn missing(&self) -> Result<Vec<Missing>, RepositoryError> {
        let mut all = Vec::new();
        for role in self.draft_names()? {
            let Some(draft) = self.draft(&role)? else { continue };
            for (keys, threshold) in self.authorities(&role)? {
                let signers = draft.signers(&keys)?;
                if signers.len() < threshold {
                    let open = keys.iter().map(|(id, _)| *id).filter(|id| !signers.contains(id)).collect();
                    all.push(Missing {
                        role: role.clone(),
                        signed: signers.len(),
                        threshold,
                        may_sign: open,
                    });
                }
            }
        }
        Ok(all)
    }

    /// Every role.
    ///
    /// # Errors
    /// If a document cannot be read.
    pub fn status(&self) -> Result<Vec<RoleStatus>, RepositoryError> {
        let mut all = Vec::new();
        for role in self.roles()? {
            let served = self.published(&role)?;
            let (keys, threshold) = self.authorities(&role)?.pop().unwrap_or_default();
            all.push(RoleStatus {
                version: served.as_ref().map(Document::version),
                expires: served.as_ref().and_then(Document::expires),
                keys: keys.into_iter().map(|(id, _)| id).collect(),
                threshold,
                draft: self.draft(&role)?.is_some(),
                role,
            });
        }
        Ok(all)
    }

    /// The drafts, for signing elsewhere.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn draft_files(&self) -> Result<Vec<PathBuf>, RepositoryError> {
        Ok(self.draft_names()?.iter().map(|role| self.draft_path(role)).collect())
    }

    fn metadata(&self) -> PathBuf {
        self.root.join("metadata")
    }

    fn drafts(&self) -> PathBuf {
        self.root.join("drafts")
    }

    fn draft_path(&self, role: &str) -> PathBuf {
        self.drafts().join(format!("{role}.json"))
    }

    fn make(&self, folder: &Path) -> Result<(), RepositoryError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| RepositoryError::Folder { path: folder.to_owned(), source })
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RepositoryError> {
        use std::io::Read as _;
        let failed = |source| RepositoryError::File(file::FileError::Read { path: path.to_owned(), source });
        let opened = match std::fs::File::open(path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        opened.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(RepositoryError::invalid(format!("`{}`", path.display()), "it is too large"));
        }
        Ok(Some(bytes))
    }

    fn draft_names(&self) -> Result<Vec<String>, RepositoryError> {
        let folder = self.drafts();
        let listed = match std::fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(RepositoryError::Folder { path: folder, source }),
        };
        let mut names = Vec::new();
        for entry in listed {
            let entry = entry.map_err(|source| RepositoryError::Folder { path: folder.clone(), source })?;
            let name = entry.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".json").filter(|role| !role.starts_with('.')).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn draft(&self, role: &str) -> Result<Option<Document>, RepositoryError> {
        let path = self.draft_path(role);
        self.read(&path)?.map(|bytes| Document::read(&format!("the draft of {role}"), &bytes)).transpose()
    }

    fn put_draft(&self, role: &str, document: &Document) -> Result<(), RepositoryError> {
        self.make(&self.drafts())?;
        Ok(file::write_atomically(&self.draft_path(role), &document.to_json(), 0o644)?)
    }

    /// The document that is served.
    fn published(&self, role: &str) -> Result<Option<Document>, RepositoryError> {
        let Some(name) = self.published_name(role)? else { return Ok(None) };
        let bytes = self.read(&self.metadata().join(name))?;
        bytes.map(|bytes| Document::read(&format!("the {role} document"), &bytes)).transpose()
    }

    fn published_name(&self, role: &str) -> Result<Option<String>, RepositoryError> {
        if role == "timestamp" {
            return Ok(Some("timestamp.json".to_owned()));
        }
        if role == "root" {
            let exists = |version: &u64| self.metadata().join(format!("{version}.root.json")).is_file();
            return Ok((1..).take_while(exists).last().map(|version| format!("{version}.root.json")));
        }
        let pinning = if role == "snapshot" { "timestamp" } else { "snapshot" };
        let Some(pins) = self.published(pinning)? else { return Ok(None) };
        let version = object(&pins.signed, "meta")
            .get(&format!("{role}.json"))
            .and_then(|pin| pin.get("version")?.as_u64());
        Ok(version.map(|version| format!("{version}.{role}.json")))
    }

    /// The draft, or else what is served.
    fn document(&self, role: &str) -> Result<Option<Document>, RepositoryError> {
        match self.draft(role)? {
            Some(draft) => Ok(Some(draft)),
            None => self.published(role),
        }
    }

    fn needed(&self, role: &str) -> Result<Document, RepositoryError> {
        self.document(role)?.ok_or_else(|| RepositoryError::RoleUnknown { role: role.to_owned() })
    }

    /// Every role: those of the root, the tiers, the publishers.
    fn roles(&self) -> Result<Vec<String>, RepositoryError> {
        let mut all: Vec<String> = TOP.iter().map(|role| (*role).to_owned()).collect();
        for tier in TIERS {
            all.push(tier.as_str().to_owned());
            let delegations = self.needed(tier.as_str())?;
            all.extend(
                delegated(&delegations).filter_map(|role| role.get("name")?.as_str().map(str::to_owned)),
            );
        }
        Ok(all)
    }

    /// The key sets that each have to sign a role to their threshold. The root answers to the last root and to itself.
    fn authorities(&self, role: &str) -> Result<Vec<Authority>, RepositoryError> {
        let of_root = |root: &Document| {
            let keys = root.signed.get("keys").cloned().unwrap_or_default();
            let role = object(&root.signed, "roles").get(role).cloned().unwrap_or_default();
            (keys_of(&keys, &role), threshold(&role))
        };
        if role == "root" {
            let before = self.published("root")?;
            return Ok(before.iter().chain([&self.needed("root")?]).map(of_root).collect());
        }
        if TOP.contains(&role) {
            return Ok(vec![of_root(&self.needed("root")?)]);
        }
        let parent = self.parent(role)?;
        let parent = self.needed(&parent)?;
        let named = delegated(&parent).find(|known| known.get("name").and_then(Value::as_str) == Some(role));
        let named = named.ok_or_else(|| RepositoryError::RoleUnknown { role: role.to_owned() })?;
        let keys =
            parent.signed.get("delegations").and_then(|all| all.get("keys")).cloned().unwrap_or_default();
        Ok(vec![(keys_of(&keys, named), threshold(named))])
    }

    /// The role that delegates to another one.
    fn parent(&self, role: &str) -> Result<String, RepositoryError> {
        if TIERS.iter().any(|tier| tier.as_str() == role) {
            return Ok("targets".to_owned());
        }
        for tier in TIERS {
            let Some(document) = self.document(tier.as_str())? else { continue };
            if delegated(&document).any(|known| known.get("name").and_then(Value::as_str) == Some(role)) {
                return Ok(tier.as_str().to_owned());
            }
        }
        Err(RepositoryError::RoleUnknown { role: role.to_owned() })
    }
}

/// The roles that a document delegates to.
fn delegated(document: &Document) -> impl Iterator<Item = &Value> {
    let roles = document.signed.get("delegations").and_then(|delegations| delegations.get("roles"));
    roles.and_then(Value::as_array).into_iter().flatten()
}

fn threshold(role: &Value) -> usize {
    // A role without one can never be signed by enough.
    role.get("threshold")
        .and_then(Value::as_u64)
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX)
}

/// `keyids` and `threshold` of a role.
fn role_value(keys: &RoleKeys) -> Result<Value, RepositoryError> {
    let mut ids: Vec<String> = keys.keys.iter().map(|key| key.key_id().to_string()).collect();
    ids.sort();
    ids.dedup();
    if keys.threshold == 0 || keys.threshold > ids.len() {
        let problem = format!("{} of {} keys can never sign", keys.threshold, ids.len());
        return Err(RepositoryError::invalid("the threshold", problem));
    }
    Ok(json!({ "keyids": ids, "threshold": keys.threshold }))
}

/// Until when a document holds that is made now.
fn until(role: &str, now: UtcTime) -> UtcTime {
    let days = DAYS.iter().find(|(name, _)| *name == role).map_or(DAYS_ELSE, |(_, days)| *days);
    UtcTime::from_unix_s(now.unix_s().saturating_add(days * 86_400))
}
