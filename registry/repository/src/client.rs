//! Reading a repository: nothing is handed on that was not verified from the pinned root on.

use std::path::Path;

use loong_manifest::{PluginId, Tier};
use loong_trust::UtcTime;
use sigstore_tuf::{FileStore, Repository, TrustedMetadataSet, Updater, UpdaterConfig};

use crate::entry::{self, Entry, EntryFile};
use crate::metadata::{TIERS, publisher_role};
use crate::RepositoryError;

/// Largest document of one role. One publisher with 10,000 versions has about 15 MB.
const ROLE_BYTES_MAX: u64 = 32 << 20;
/// Largest file of an entry: the most that any tier allows for a component.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// A repository as it is seen from a pinned root.
#[derive(Debug)]
pub struct Client {
    updater: Updater,
}

impl Client {
    /// A client that trusts what `root`, a root document, leads to. What was seen is remembered in the folder
    /// `memory`, so that older documents are refused later on.
    ///
    /// # Errors
    /// If the root is not valid or did not sign itself.
    pub fn new(source: impl Repository + 'static, root: &[u8], memory: Option<&Path>) -> Result<Self, RepositoryError> {
        let mut config = UpdaterConfig::default();
        config.targets_max_length = ROLE_BYTES_MAX;
        config.snapshot_max_length = ROLE_BYTES_MAX;
        config.target_max_length = FILE_BYTES_MAX;
        // Of the root's chain so many are followed at once; the next time goes on from there.
        config.max_root_rotations = 256;
        let mut updater = Updater::new(source, root)?.with_config(config);
        if let Some(memory) = memory {
            // What cannot be remembered would let an older repository through the next time.
            std::fs::create_dir_all(memory)
                .map_err(|source| RepositoryError::Folder { path: memory.to_owned(), source })?;
            updater = updater.with_store(FileStore::new(memory));
        }
        Ok(Self { updater })
    }

    /// Follows the root's chain and takes over what is newer, in the order of the specification (section 5).
    ///
    /// # Errors
    /// If a document is missing, is not signed by those it takes, expired, or is older than one that was seen.
    pub async fn refresh(&mut self, now: UtcTime) -> Result<(), RepositoryError> {
        Ok(self.updater.refresh(time(now)?).await?)
    }

    /// The documents that hold now.
    pub fn trusted(&self) -> &TrustedMetadataSet {
        self.updater.trusted()
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
                if PluginId::new(publisher, "any").is_ok() && all.iter().all(|(known, _)| known != publisher) {
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
        let role = publisher_role(publisher);
        // The library walks and verifies the delegations on the way to a path; no file has this one.
        self.updater.get_target_info(&format!("{publisher}/-/0/-"), time(now)?).await?;
        match self.trusted().targets_role(&role) {
            Some(targets) => entry::entries(publisher, targets),
            None => Ok(Vec::new()),
        }
    }

    /// The bytes of a file of an entry, verified.
    ///
    /// # Errors
    /// If it cannot be had, or has another length or digest than the metadata says.
    pub async fn fetch(&mut self, file: &EntryFile, now: UtcTime) -> Result<Vec<u8>, RepositoryError> {
        let target = self.updater.get_target_info(&file.path, time(now)?).await?;
        let target = target.ok_or_else(|| sigstore_tuf::Error::TargetNotFound(file.path.clone()))?;
        Ok(self.updater.download_target(&target, &file.path).await?)
    }
}

/// The time as the library takes it.
pub(crate) fn time(now: UtcTime) -> Result<jiff::Timestamp, RepositoryError> {
    let seconds = i64::try_from(now.unix_s()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_err(|_| RepositoryError::Clock { problem: "it is past the year 9999" })
}
