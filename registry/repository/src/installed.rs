//! What is installed: one lock file that names it all, and a store whose folders are named by what they hold. A change
//! writes files that nothing names yet, then a new generation of the lock file, then renames it into place: a kill at
//! any point leaves the old installation or the new one.

mod listing;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use loong_manifest::{Digest, InterfaceName, Kind, PluginId, Slot, Tier, strict};
use loong_trust::file::{self, FileError};
use loong_trust::{KeyId, UtcTime};
use serde::{Deserialize, Serialize};

use crate::RepositoryError;

pub use listing::{Judged, Listing, Row, Verdict};

/// The form of a lock file.
pub const LOCK_SCHEMA: &str = "loong.lock/1";
/// Largest lock file: that of 10,000 plugins has about 8 MB.
pub const LOCK_BYTES_MAX: u64 = 64 << 20;

/// Everything that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// `loong.lock/1`.
    pub schema: String,
    /// Counts up with every change, from 1; 0 before the first.
    pub generation: u64,
    /// When it was made.
    pub changed: UtcTime,
    /// What made it, as words of a command line.
    pub command: String,
    /// The plugins, by id.
    pub plugins: BTreeMap<PluginId, Locked>,
}

/// One installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its version.
    pub version: semver::Version,
    /// The digest of the component.
    pub digest: Digest,
    /// What kind of plugin it is.
    pub kind: Kind,
    /// What it does.
    pub summary: String,
    /// The registry that it came from.
    pub registry: String,
    /// Its tier when it was installed. Every load computes it anew.
    pub tier: Tier,
    /// The key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<KeyId>,
    /// Whether a person asked for it, rather than another plugin.
    pub asked: bool,
    /// Whether updates pass it over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The interfaces that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<InterfaceName>,
    /// The interfaces that it needs of other plugins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<InterfaceName>,
    /// The slots that it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// Its files with their digests, by name.
    pub files: BTreeMap<String, Digest>,
}

impl Lock {
    /// What is installed before anything is.
    pub fn empty() -> Self {
        Self {
            schema: LOCK_SCHEMA.to_owned(),
            generation: 0,
            changed: UtcTime::from_unix_s(0),
            command: String::new(),
            plugins: BTreeMap::new(),
        }
    }

    /// Reads a lock file strictly.
    ///
    /// # Errors
    /// If it is not one, or names a file that is no plain name.
    pub fn read(bytes: &[u8]) -> Result<Self, RepositoryError> {
        let wrong = |problem: String| RepositoryError::Lock { problem };
        let maximum = usize::try_from(LOCK_BYTES_MAX).unwrap_or(usize::MAX);
        let lock: Self = strict::read_within(bytes, maximum).map_err(|error| wrong(error.to_string()))?;
        if lock.schema != LOCK_SCHEMA {
            return Err(wrong(format!("`schema` is not `{LOCK_SCHEMA}`")));
        }
        for (id, plugin) in &lock.plugins {
            if plugin.files.get(&component_name(id)) != Some(&plugin.digest) {
                return Err(wrong(format!("`{id}` does not name its component")));
            }
            if !plugin.files.keys().all(|name| is_file_name(name)) {
                return Err(wrong(format!("`{id}` names a file that is no plain name")));
            }
        }
        Ok(lock)
    }

    /// The lock file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Which plugins are here and not in `before`, there and not here, and in both with other bytes.
    pub fn differences(&self, before: &Self) -> Differences {
        let not_in = |one: &Self, other: &Self| -> Vec<PluginId> {
            one.plugins.keys().filter(|id| !other.plugins.contains_key(*id)).cloned().collect()
        };
        let changed = self.plugins.iter().filter(|(id, plugin)| {
            before.plugins.get(*id).is_some_and(|known| known.digest != plugin.digest)
        });
        Differences {
            added: not_in(self, before),
            removed: not_in(before, self),
            changed: changed.map(|(id, _)| id.clone()).collect(),
        }
    }
}

/// How two installations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Only in the newer one.
    pub added: Vec<PluginId>,
    /// Only in the older one.
    pub removed: Vec<PluginId>,
    /// In both, with other bytes.
    pub changed: Vec<PluginId>,
}

/// The installation of a user.
#[derive(Debug, Clone)]
pub struct Installed {
    root: PathBuf,
}

impl Installed {
    /// The installation in this folder, which need not exist.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What is installed.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn lock(&self) -> Result<Lock, RepositoryError> {
        let path = self.lock_path();
        match bounded(&path, LOCK_BYTES_MAX)? {
            Some(bytes) => Lock::read(&bytes),
            None => Ok(Lock::empty()),
        }
    }

    /// What is installed, to be asked about single plugins.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn listing(&self) -> Result<Listing, RepositoryError> {
        Listing::open(self)
    }

    /// The lock file.
    pub fn lock_path(&self) -> PathBuf {
        self.root.join("loong.lock")
    }

    /// Every generation that there was, the oldest first. What cannot be read any more is left out.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn generations(&self) -> Result<Vec<Lock>, RepositoryError> {
        let folder = self.generations_folder();
        let listed = match std::fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(RepositoryError::Folder { path: folder, source }),
        };
        let read = |path: PathBuf| Lock::read(&bounded(&path, LOCK_BYTES_MAX).ok()??).ok();
        let mut all: Vec<Lock> = listed.flatten().filter_map(|entry| read(entry.path())).collect();
        all.sort_by_key(|lock| lock.generation);
        Ok(all)
    }

    /// The component of a plugin that is or was installed.
    pub fn component(&self, id: &PluginId, digest: &Digest) -> PathBuf {
        self.folder(digest).join(component_name(id))
    }

    /// Whether every file of a plugin is in the store with its bytes.
    pub fn holds(&self, plugin: &Locked) -> bool {
        let folder = self.folder(&plugin.digest);
        plugin.files.iter().all(|(name, digest)| {
            std::fs::read(folder.join(name)).is_ok_and(|bytes| Digest::of(&bytes) == *digest)
        })
    }

    /// Begins a change. Others wait until it is done.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn change(&self) -> Result<Change<'_>, RepositoryError> {
        make(&self.store())?;
        make(&self.generations_folder())?;
        let path = self.root.join("change.lock");
        let failed = |source| RepositoryError::File(FileError::Write { path: path.clone(), source });
        let guard = File::options().create(true).append(true).open(&path).map_err(failed)?;
        guard.lock().map_err(failed)?;
        Ok(Change { installed: self, before: self.lock()?, _guard: guard })
    }

    fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    fn generations_folder(&self) -> PathBuf {
        self.root.join("generations")
    }

    fn folder(&self, digest: &Digest) -> PathBuf {
        self.store().join(digest.to_hex())
    }
}

/// A change that nobody else makes at the same time.
#[derive(Debug)]
pub struct Change<'i> {
    installed: &'i Installed,
    before: Lock,
    _guard: File,
}

impl Change<'_> {
    /// What is installed.
    pub const fn before(&self) -> &Lock {
        &self.before
    }

    /// Puts the files of a component into the store. Nothing names them yet.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn put(&self, digest: &Digest, files: &BTreeMap<String, Vec<u8>>) -> Result<(), RepositoryError> {
        let folder = self.installed.folder(digest);
        make(&folder)?;
        for (name, bytes) in files {
            let path = folder.join(name);
            let is_there = std::fs::read(&path).is_ok_and(|there| there == *bytes);
            if !is_there {
                file::write_atomically(&path, bytes, 0o444)?;
            }
        }
        Ok(())
    }

    /// Whether the store has every file of what is not installed yet.
    ///
    /// # Errors
    /// If one is missing or has other bytes.
    pub fn holds(&self, plugins: &BTreeMap<PluginId, Locked>) -> Result<(), RepositoryError> {
        let is_new = |(id, plugin): &(&PluginId, &Locked)| {
            self.before.plugins.get(*id).is_none_or(|before| before.digest != plugin.digest)
        };
        match plugins.iter().filter(is_new).find(|(_, plugin)| !self.installed.holds(plugin)) {
            Some((id, plugin)) => {
                Err(RepositoryError::StoreIncomplete { id: id.clone(), digest: plugin.digest.short() })
            }
            None => Ok(()),
        }
    }

    /// Makes another set of plugins the installed one.
    ///
    /// # Errors
    /// If a file of a plugin is missing or has other bytes, or the lock file cannot be written; then nothing changed.
    pub fn commit(
        self,
        plugins: BTreeMap<PluginId, Locked>,
        command: &str,
        now: UtcTime,
    ) -> Result<Lock, RepositoryError> {
        self.holds(&plugins)?;
        let generation = self.before.generation.saturating_add(1);
        let lock = Lock {
            schema: LOCK_SCHEMA.to_owned(),
            generation,
            changed: now,
            command: command.to_owned(),
            plugins,
        };
        let text = lock.to_json();
        let kept = self.installed.generations_folder().join(format!("{generation}.lock"));
        file::write_atomically(&kept, text.as_bytes(), 0o644)?;
        let stamp = listing::stamp_now(self.installed);
        file::write_atomically(&self.installed.lock_path(), text.as_bytes(), 0o644)?;
        listing::follow(self.installed, stamp.as_deref(), &self.before, &lock);
        Ok(lock)
    }
}

/// The digest that a path in a store promises: `installed/store/DIGEST/FILE`; none for a path elsewhere.
pub fn promised(path: &Path) -> Option<Digest> {
    let folder = path.parent()?;
    let is_store = folder.parent()?.ends_with("installed/store");
    if is_store { Digest::from_hex(folder.file_name()?.to_str()?) } else { None }
}

/// The file of a plugin's component.
pub fn component_name(id: &PluginId) -> String {
    format!("{}.wasm", id.name())
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn make(folder: &Path) -> Result<(), RepositoryError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| RepositoryError::Folder { path: folder.to_owned(), source })
}

fn bounded(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, RepositoryError> {
    use std::io::Read as _;
    let failed = |source| RepositoryError::File(FileError::Read { path: path.to_owned(), source });
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    opened.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(RepositoryError::Lock { problem: "it is too large".to_owned() });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use loong_manifest::Code;
    use tempfile::TempDir;

    use super::*;

    fn plugin(bytes: &[u8]) -> (Locked, BTreeMap<String, Vec<u8>>) {
        let digest = Digest::of(bytes);
        let locked = Locked {
            version: semver::Version::new(1, 0, 0),
            digest,
            kind: Kind::Tool,
            summary: "x".into(),
            registry: "main".into(),
            tier: Tier::Official,
            signed_by: None,
            asked: true,
            pinned: false,
            offers: vec![],
            needs: vec![],
            slots: vec![],
            files: BTreeMap::from([("x.wasm".to_owned(), digest)]),
        };
        (locked, BTreeMap::from([("x.wasm".to_owned(), bytes.to_vec())]))
    }

    fn id() -> PluginId {
        "a:x".parse().unwrap()
    }

    fn install(installed: &Installed, bytes: &[u8]) -> Result<Lock, RepositoryError> {
        let (locked, files) = plugin(bytes);
        let change = installed.change()?;
        change.put(&locked.digest, &files)?;
        change.commit(BTreeMap::from([(id(), locked)]), "install", UtcTime::from_unix_s(1))
    }

    #[test]
    fn every_change_is_a_generation() {
        let folder = TempDir::new().unwrap();
        let installed = Installed::new(folder.path().join("installed"));
        assert_eq!(installed.lock().unwrap(), Lock::empty());
        let first = install(&installed, b"one").unwrap();
        let second = install(&installed, b"two").unwrap();
        assert_eq!((first.generation, second.generation), (1, 2));
        assert_eq!(installed.lock().unwrap(), second);
        assert_eq!(installed.generations().unwrap(), [first.clone(), second.clone()]);
        let differences = second.differences(&first);
        assert_eq!(differences, Differences { changed: vec![id()], ..Differences::default() });
        assert!(installed.holds(&first.plugins[&id()]), "an undo finds its files");
    }

    #[test]
    fn what_the_store_does_not_hold_is_not_installed() {
        let folder = TempDir::new().unwrap();
        let installed = Installed::new(folder.path().to_owned());
        install(&installed, b"one").unwrap();
        let (locked, _) = plugin(b"two");
        let change = installed.change().unwrap();
        let refused = change.commit(BTreeMap::from([(id(), locked)]), "install", UtcTime::from_unix_s(1));
        assert_eq!(refused.unwrap_err().code(), Code::StoreIncomplete);
        assert_eq!(installed.lock().unwrap().generation, 1);
    }

    #[test]
    fn a_path_in_the_store_promises_its_digest() {
        let (locked, _) = plugin(b"one");
        let path = Installed::new("/data/installed".into()).component(&id(), &locked.digest);
        assert_eq!(promised(&path), Some(locked.digest));
        assert_eq!(promised(Path::new("/data/plugins/x.wasm")), None);
        assert_eq!(
            promised(&Path::new("/elsewhere/store").join(locked.digest.to_hex()).join("x.wasm")),
            None
        );
        assert_eq!(promised(Path::new("/data/installed/store/other/x.wasm")), None);
    }

    #[test]
    fn a_lock_file_is_read_strictly() {
        let (locked, _) = plugin(b"one");
        let mut lock = Lock::empty();
        lock.plugins.insert(id(), locked);
        let good = lock.to_json();
        assert_eq!(Lock::read(good.as_bytes()).unwrap(), lock);
        for (from, to) in [
            ("loong.lock/1", "loong.lock/2"),
            ("\"x.wasm\"", "\"../x.wasm\""),
            ("\"x.wasm\"", "\"y.wasm\""),
            ("\"asked\"", "\"unknown\""),
            ("\"a:x\"", "\"A:x\""),
            ("{", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(Lock::read(bad.as_bytes()).unwrap_err().code(), Code::LockInvalid, "{to}");
        }
    }

    #[test]
    fn ten_thousand_plugins_have_a_lock_file() {
        let (locked, _) = plugin(b"one");
        let mut lock = Lock::empty();
        for number in 0..10_000 {
            lock.plugins.insert(
                format!("acme:x{number}").parse().unwrap(),
                Locked {
                    files: BTreeMap::from([(format!("x{number}.wasm"), locked.digest)]),
                    ..locked.clone()
                },
            );
        }
        let text = lock.to_json();
        assert!(text.len() > strict::DOCUMENT_BYTES_MAX && (text.len() as u64) < LOCK_BYTES_MAX / 4);
        assert_eq!(Lock::read(text.as_bytes()).unwrap(), lock);
    }

    #[test]
    fn two_changes_follow_one_another() {
        let folder = TempDir::new().unwrap();
        let installed = Installed::new(folder.path().to_owned());
        std::thread::scope(|scope| {
            for number in 0..8_u8 {
                let installed = &installed;
                scope.spawn(move || install(installed, &[number]).unwrap());
            }
        });
        let generations: Vec<u64> =
            installed.generations().unwrap().iter().map(|lock| lock.generation).collect();
        assert_eq!(generations, (1..=8).collect::<Vec<_>>());
    }
}
