//! Reading a repository: nothing is handed on that was not verified from the pinned root on.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use loong_manifest::{Digest, PluginId, Tier};
use loong_trust::{RootKey, TrustRoot, UtcTime};
use sigstore_tuf::{FileStore, MetadataStore, Repository, TrustedMetadataSet, Updater, UpdaterConfig};

use crate::RepositoryError;
use crate::entry::{self, Entry, EntryFile};
use crate::metadata::{TIERS, public_key, publisher_role};

/// Largest document of one role. One publisher with 10,000 versions has about 15 MB.
const ROLE_BYTES_MAX: u64 = 32 << 20;
/// Largest file of an entry: the most that any tier allows for a component.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// A repository as it is seen from a pinned root.
#[derive(Debug)]
pub struct Client {
    updater: Updater,
    memory: Option<Memory>,
}

/// What was seen, in a folder. The library goes on where something cannot be kept; this remembers that it could not,
/// because an older repository would get through the next time.
#[derive(Debug, Clone)]
struct Memory {
    files: FileStore,
    failed: Arc<OnceLock<String>>,
}

impl MetadataStore for Memory {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        self.files.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        // The library also stores each snapshot under its version, and never reads it again.
        if name.ends_with(".snapshot.json") {
            return Ok(());
        }
        self.files.store(name, bytes).inspect_err(|error| {
            // The first one says enough.
            let _ = self.failed.set(error.to_string());
        })
    }
}

impl Client {
    /// A client that trusts what `root`, a root document, leads to. What was seen is remembered in the folder
    /// `memory`, so that older documents are refused later on.
    ///
    /// # Errors
    /// If the root is not valid or did not sign itself.
    pub fn new(
        source: impl Repository + 'static,
        root: &[u8],
        memory: Option<&Path>,
    ) -> Result<Self, RepositoryError> {
        let mut config = UpdaterConfig::default();
        config.targets_max_length = ROLE_BYTES_MAX;
        config.snapshot_max_length = ROLE_BYTES_MAX;
        config.target_max_length = FILE_BYTES_MAX;
        // Of the root's chain so many are followed at once; the next time goes on from there.
        config.max_root_rotations = 256;
        let mut updater = Updater::new(source, root)?.with_config(config);
        let memory = memory.map(|folder| Memory { files: FileStore::new(folder), failed: Arc::default() });
        if let Some(memory) = &memory {
            updater = updater.with_store(memory.clone());
        }
        Ok(Self { updater, memory })
    }

    /// Follows the root's chain and takes over what is newer, in the order of the specification (section 5).
    ///
    /// # Errors
    /// If a document is missing, is not signed by those it takes, expired, or is older than one that was seen; or if what
    /// is seen now cannot be remembered.
    pub async fn refresh(&mut self, now: UtcTime) -> Result<(), RepositoryError> {
        self.updater.refresh(time(now)?).await?;
        match self.memory.as_ref().and_then(|memory| memory.failed.get()) {
            Some(problem) => Err(RepositoryError::Forgetful { problem: problem.clone() }),
            None => Ok(()),
        }
    }

    /// The documents that hold now.
    pub fn trusted(&self) -> &TrustedMetadataSet {
        self.updater.trusted()
    }

    /// When the root document expires.
    pub fn root_expires(&self) -> Option<UtcTime> {
        u64::try_from(self.trusted().root().expires.as_second()).ok().map(UtcTime::from_unix_s)
    }

    /// The publishers, each with the tier that lists it; the higher one where two do.
    pub fn publishers(&self) -> Vec<(String, Tier)> {
        let Some(targets) = self.trusted().targets_role("targets") else { return Vec::new() };
        let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        let mut all: Vec<(String, Tier)> = Vec::new();
        for role in roles {
            let Some(tier) = TIERS.into_iter().find(|tier| tier.as_str() == role.name) else { continue };
            for path in role.paths.iter().flatten() {
                let publisher = path.split('/').next().unwrap_or_default();
                if PluginId::new(publisher, "any").is_ok() && all.iter().all(|(known, _)| known != publisher)
                {
                    all.push((publisher.to_owned(), tier));
                }
            }
        }
        all
    }

    /// Everything that a publisher's role lists, by name, the newest version first.
    ///
    /// # Errors
    /// If a document on the way to it does not hold, or an entry is not written as it must be.
    pub async fn entries(&mut self, publisher: &str, now: UtcTime) -> Result<Vec<Entry>, RepositoryError> {
        self.walk(publisher, now).await?;
        match self.trusted().targets_role(&publisher_role(publisher)) {
            Some(targets) => entry::entries(publisher, targets),
            None => Ok(Vec::new()),
        }
    }

    /// Reads and verifies the documents on the way to a publisher. No file has the path that is asked for here.
    async fn walk(&mut self, publisher: &str, now: UtcTime) -> Result<(), RepositoryError> {
        self.updater.get_target_info(&format!("{publisher}/-/0/-"), time(now)?).await?;
        Ok(())
    }

    /// The keys that may sign a publisher's components, as its tier's role names them. Nobody at all for a tier that
    /// asks for no signature.
    ///
    /// # Errors
    /// If a document on the way to them does not hold, or a key is not usable.
    pub async fn trust(
        &mut self,
        publisher: &str,
        tier: Tier,
        now: UtcTime,
    ) -> Result<TrustRoot, RepositoryError> {
        self.walk(publisher, now).await?;
        let mut root = TrustRoot::empty();
        let role = publisher_role(publisher);
        let delegations =
            self.trusted().targets_role(tier.as_str()).and_then(|role| role.delegations.as_ref());
        let Some(delegations) = delegations.filter(|_| tier != Tier::Unverified) else { return Ok(root) };
        let named =
            delegations.roles.iter().filter(|known| known.name == role).flat_map(|known| &known.keyids);
        for id in named {
            let public = delegations.keys.get(id).and_then(|key| public_key(&key.keyval.public));
            let public = public.ok_or_else(|| {
                RepositoryError::invalid(format!("the {tier} document"), "a key is not usable")
            })?;
            root = root.with_key(RootKey::new(&public, &role, &[publisher], tier, None))?;
        }
        Ok(root)
    }

    /// The bytes of a file of an entry, verified.
    ///
    /// # Errors
    /// If it cannot be had, or has another length or digest than the metadata says.
    pub async fn fetch(&mut self, file: &EntryFile, now: UtcTime) -> Result<Vec<u8>, RepositoryError> {
        let target = match self.listed(file) {
            Some(target) => target,
            None => {
                let target = self.updater.get_target_info(&file.path, time(now)?).await?;
                target.ok_or_else(|| sigstore_tuf::Error::TargetNotFound(file.path.clone()))?
            }
        };
        Ok(self.updater.download_target(&target, &file.path).await?)
    }

    /// A file as the document lists it that its publisher's entries were read from. To ask the library for it walks
    /// over the whole document again, which takes longer with every entry.
    fn listed(&self, file: &EntryFile) -> Option<sigstore_tuf::TargetFile> {
        let publisher = file.path.split('/').next()?;
        let target = self.trusted().targets_role(&publisher_role(publisher))?.targets.get(&file.path)?;
        let digest = target.hashes.get("sha256").and_then(|text| Digest::from_hex(text))?;
        (digest == file.digest && target.length == file.size_bytes).then(|| target.clone())
    }

    /// The bytes of any file of the repository, verified; none if `known` are exactly those.
    ///
    /// # Errors
    /// If no role lists it, it cannot be had, or it has another length or digest than the metadata says.
    pub async fn target(
        &mut self,
        path: &str,
        known: &[u8],
        now: UtcTime,
    ) -> Result<Option<Vec<u8>>, RepositoryError> {
        let target = self.updater.get_target_info(path, time(now)?).await?;
        let target = target.ok_or_else(|| sigstore_tuf::Error::TargetNotFound(path.to_owned()))?;
        let digest = target.hashes.get("sha256").and_then(|text| Digest::from_hex(text));
        if target.length == known.len() as u64 && digest == Some(Digest::of(known)) {
            return Ok(None);
        }
        Ok(Some(self.updater.download_target(&target, path).await?))
    }
}

/// The time as the library takes it.
pub(crate) fn time(now: UtcTime) -> Result<jiff::Timestamp, RepositoryError> {
    let seconds = i64::try_from(now.unix_s()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_err(|_| RepositoryError::Clock { problem: "it is past the year 9999" })
}
