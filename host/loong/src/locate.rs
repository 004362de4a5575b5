//! Finds component files: by path, or by id on the plugin path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use loong_manifest::{Code, Digest, InterfaceName, Manifest, PluginId};
use loong_repository::{Installed, Lock, Locked};
use loong_store::Chosen;
use loong_trust::Candidate;

use crate::error::CommandError;
use crate::places::Places;

/// Largest component file that is read, in bytes: the most that any tier allows.
const COMPONENT_BYTES_MAX: u64 = 128 << 20;
/// Largest signature file that is read, in bytes.
const BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// The folders in which components are looked for by name, in this order.
#[derive(Debug, Clone)]
pub struct PluginPath {
    folders: Vec<PathBuf>,
    /// What was installed from registries.
    installed: Installed,
    lock: Lock,
    /// The versions that a person chose where there are several, by plugin.
    chosen: BTreeMap<String, Chosen>,
    /// The folder of a component that is run by its path.
    beside: Option<PathBuf>,
}

/// A component on the plugin path, known by its manifest only.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

impl PluginPath {
    /// The folders that a person named, then the installed plugins.
    pub fn new(named: &[PathBuf], places: &Places) -> Result<Self, CommandError> {
        let folders = named.iter().cloned().chain([places.plugins()]).collect();
        let installed = Installed::new(places.installed());
        let lock = installed.lock()?;
        Ok(Self { folders, installed, lock, chosen: BTreeMap::new(), beside: None })
    }

    /// The same, knowing which versions are the chosen ones.
    #[must_use]
    pub fn choosing(self, chosen: BTreeMap<String, Chosen>) -> Self {
        Self { chosen, ..self }
    }

    /// The version of a plugin that is the chosen one.
    pub fn chosen(&self, id: &PluginId) -> Option<&Chosen> {
        self.chosen.get(&id.to_string())
    }

    /// Also looks beside a component that is run by its path.
    pub fn beside(&mut self, component: &Path) {
        let folder = match component.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if !self.folders.contains(&folder) {
            self.folders.insert(0, folder.clone());
            self.beside = Some(folder);
        }
    }

    /// Whether a file lies in a folder in which components are found by their ids.
    pub fn holds(&self, path: &Path) -> bool {
        if loong_repository::promised(path).is_some() {
            return true;
        }
        let folder = path.parent();
        self.folders.iter().any(|held| Some(held.as_path()) == folder && self.beside.as_deref() != folder)
    }

    /// The component files on the path, in the order of folders and file names.
    fn paths(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for folder in &self.folders {
            let Ok(files) = std::fs::read_dir(folder) else { continue };
            let mut paths: Vec<PathBuf> = files
                .flatten()
                .map(|file| file.path())
                .filter(|path| {
                    path.extension().is_some_and(|extension| extension == "wasm") && path.is_file()
                })
                .collect();
            paths.sort();
            all.extend(paths);
        }
        all
    }

    /// The installed components that may be meant, in the versions that are the active ones, by id. Only the manifests
    /// of these are read, so that thousands that are not meant cost nothing.
    fn installed(&self, may_be: impl Fn(&PluginId, &Locked) -> bool) -> Vec<PathBuf> {
        let active = |(id, plugin): (&PluginId, &Locked)| {
            let chosen = self.chosen(id).map(|chosen| self.installed.component(id, &chosen.now.digest));
            chosen
                .filter(|path| path.is_file())
                .unwrap_or_else(|| self.installed.component(id, &plugin.digest))
        };
        // Of a chosen version the lock may not say what it offers.
        let picked = |(id, plugin): &(&PluginId, &Locked)| may_be(id, plugin) || self.chosen(id).is_some();
        self.lock.plugins.iter().filter(picked).map(active).collect()
    }

    /// The components that were installed at some time, in every version whose files are still here.
    fn once_installed(&self) -> Vec<PathBuf> {
        let all = self.installed.generations().unwrap_or_default();
        let mut paths: Vec<PathBuf> = all
            .iter()
            .rev()
            .flat_map(|lock| &lock.plugins)
            .map(|(id, plugin)| self.installed.component(id, &plugin.digest))
            .filter(|path| path.is_file())
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The component files on the path, and what shows that one was changed: its time and its length.
    pub fn files(&self) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        let facts = |path: PathBuf| {
            let facts = std::fs::metadata(&path).ok()?;
            Some((path, facts.modified().ok(), facts.len()))
        };
        self.paths().into_iter().filter_map(facts).collect()
    }

    /// Every component on the path that has a manifest, every version of it. Reads manifests only; files that are no
    /// components are passed over.
    pub fn all_entries(&self) -> Vec<Entry> {
        self.paths().into_iter().chain(self.once_installed()).filter_map(Entry::read).collect()
    }

    /// The same; where a version is the chosen one, without the others.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_that(|_, _| true)
    }

    /// The same, of those by whose full or short name, or by whose interface, these words may begin.
    pub fn entries_named(&self, words: &str) -> Vec<Entry> {
        let begins = |name: &str| {
            words.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.entries_that(|id, plugin| {
            begins(id.name())
                || begins(&id.to_string())
                || plugin.offers.iter().any(|interface| words.starts_with(interface.path()))
        })
    }

    fn entries_that(&self, may_be: impl Fn(&PluginId, &Locked) -> bool) -> Vec<Entry> {
        let mut entries: Vec<Entry> =
            self.paths().into_iter().chain(self.installed(may_be)).filter_map(Entry::read).collect();
        entries.retain(|entry| {
            self.chosen(&entry.manifest.id).is_none_or(|chosen| entry.digest() == Some(chosen.now.digest))
        });
        entries
    }

    /// Components whose manifest offers an interface that an importer wants. Versions that are not the chosen ones
    /// come last, the newest first: their interfaces may be others.
    pub fn offering(&self, wanted: &InterfaceName) -> Vec<Entry> {
        let offers = |entry: &Entry| {
            let mut interfaces =
                entry.manifest.operations.iter().filter_map(|operation| operation.name.interface.as_ref());
            interfaces.any(|interface| interface.satisfies(wanted))
        };
        let may = |_: &PluginId, plugin: &Locked| plugin.offers.iter().any(|have| have.satisfies(wanted));
        let mut offering: Vec<Entry> = self.entries_that(may).into_iter().filter(offers).collect();
        if !self.chosen.is_empty() {
            let mut others: Vec<Entry> = self.all_entries().into_iter().filter(offers).collect();
            others.retain(|other| offering.iter().all(|entry| entry.path != other.path));
            others.sort_by(|left, right| right.manifest.version.cmp(&left.manifest.version));
            offering.extend(others);
        }
        offering
    }

    /// Every version of a plugin.
    pub fn versions(&self, id: &PluginId) -> Vec<Entry> {
        self.all_entries().into_iter().filter(|entry| entry.manifest.id == *id).collect()
    }

    /// The file of exactly these bytes.
    pub fn by_digest(&self, id: &PluginId, digest: &Digest) -> Result<PathBuf, CommandError> {
        let installed = self.installed.component(id, digest);
        if installed.is_file() {
            return Ok(installed);
        }
        let found = self.versions(id).into_iter().find(|entry| entry.digest() == Some(*digest));
        found.map(|entry| entry.path).ok_or_else(|| {
            CommandError::new(
                Code::PluginUnknown,
                format!("no file here has the bytes of `{id}` {}", digest.short()),
            )
            .hint("put the file back, under another name where there is a newer one beside it")
        })
    }

    /// The file that a person means: a path, or an id or name of a component on the path.
    pub fn find(&self, what: &str) -> Result<PathBuf, CommandError> {
        let path = Path::new(what);
        if what.contains('/') || path.extension().is_some_and(|extension| extension == "wasm") {
            return Ok(path.to_owned());
        }
        let mut found: Vec<Entry> =
            self.entries_named(what).into_iter().filter(|entry| entry.is_meant_by(what)).collect();
        if found.is_empty()
            && let Some((id, chosen)) = self
                .chosen
                .iter()
                .find(|(id, _)| *id == what || id.split_once(':').is_some_and(|(_, name)| name == what))
        {
            let problem = format!(
                "`{id}` {} is the chosen version, and no file here has its bytes",
                chosen.now.version
            );
            return Err(CommandError::new(Code::PluginUnknown, problem)
                .detail(chosen.now.digest.to_string())
                .hint(format!(
                    "put the file back, or choose another version with `loong plugins swap {id} VERSION`"
                )));
        }
        match found.len() {
            1 => found.pop().map(|entry| entry.path).ok_or_else(|| unknown(what)),
            // Last, so that a file that lies about never takes the place of a component of this name.
            0 if path.is_file() => Ok(path.to_owned()),
            0 => Err(unknown(what)),
            _ => Err(ambiguous(what, &found)),
        }
    }
}

impl Entry {
    /// What a component says of itself. Of an installed one the manifest beside it is read, which is small.
    fn read(path: PathBuf) -> Option<Self> {
        let beside = path.with_file_name("loong.plugin.json");
        if loong_repository::promised(&path).is_some()
            && let Ok(manifest) = read_bounded(&beside, COMPONENT_BYTES_MAX)
        {
            return Some(Self { manifest: Manifest::read(&manifest).ok()?, path });
        }
        let bytes = read_bounded(&path, COMPONENT_BYTES_MAX).ok()?;
        let section = loong_inspect::manifest_section(&bytes).ok()??;
        Some(Self { manifest: Manifest::read(&section).ok()?, path })
    }

    /// Whether a person means it by this: its id, or its name.
    pub fn is_meant_by(&self, what: &str) -> bool {
        match what.parse::<PluginId>() {
            Ok(id) => self.manifest.id == id,
            Err(_) => self.manifest.id.name() == what,
        }
    }

    /// The digest of the file as it is now.
    pub fn digest(&self) -> Option<Digest> {
        read_bounded(&self.path, COMPONENT_BYTES_MAX).ok().map(|bytes| Digest::of(&bytes))
    }
}

/// More than one component answers to a name. Any of them may only claim it, so none is taken.
pub fn ambiguous(what: &str, found: &[Entry]) -> CommandError {
    let error = CommandError::new(Code::PluginUnknown, format!("`{what}` could be more than one component"))
        .hint(if found.iter().all(|entry| found.first().is_some_and(|first| first.manifest.id == entry.manifest.id)) {
            "choose a version with `loong plugins swap ID VERSION`, or give the path of the one that is meant"
        } else {
            "give the path of the one that is meant"
        });
    found.iter().fold(error, |error, entry| {
        error.detail(format!("{} {} in {}", entry.manifest.id, entry.manifest.version, entry.path.display()))
    })
}

fn unknown(what: &str) -> CommandError {
    CommandError::new(Code::PluginUnknown, format!("no component is named `{what}`"))
}

/// Reads a component file and the signature file beside it.
pub fn candidate(path: &Path) -> Result<Candidate, CommandError> {
    let bytes = read_bounded(path, COMPONENT_BYTES_MAX)?;
    if let Some(digest) = loong_repository::promised(path)
        && Digest::of(&bytes) != digest
    {
        let problem = format!("`{}` was changed after it was installed", path.display());
        return Err(CommandError::new(Code::StoreIncomplete, problem).detail(format!(
            "it was {}, it is {}",
            digest.short(),
            Digest::of(&bytes).short()
        )));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Candidate::read(bytes, bundles(path)?, &stem)
        .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))
}

/// The bundles that lie beside a component.
pub fn bundles(component: &Path) -> Result<Vec<Vec<u8>>, CommandError> {
    let there = bundle_paths(component).into_iter().filter(|path| path.exists());
    there.map(|path| read_bounded(&path, BUNDLE_BYTES_MAX)).collect()
}

/// Where bundles of a component may lie.
pub fn bundle_paths(component: &Path) -> Vec<PathBuf> {
    let name = component.file_name().unwrap_or_default().to_string_lossy();
    loong_trust::bundle_names(&name).into_iter().map(|name| component.with_file_name(name)).collect()
}

/// Reads a file whole, unless it is larger than it may be.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CommandError> {
    use std::io::Read;
    let failed = |error: std::io::Error| CommandError::file(Code::FileUnreadable, "read", path, &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(CommandError::new(
            Code::ComponentTooLarge,
            format!("`{}` is larger than {bytes_max} bytes", path.display()),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_components_claim_leads_to_neither() {
        let folder = std::env::temp_dir().join(format!("loong-locate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |file: &str, id: &str| {
            let manifest = format!(
                r#"{{"id":"{id}","version":"0.1.0","kind":"tool","summary":"s","capabilities":{{}},"operations":[]}}"#
            );
            let empty = b"\0asm\x0d\0\x01\0";
            let bytes = loong_inspect::with_manifest(empty, manifest.as_bytes()).unwrap();
            std::fs::write(folder.join(file), bytes).unwrap();
        };
        let places =
            Places { config: folder.join("config"), data: folder.join("data"), cache: folder.join("cache") };
        let path = PluginPath::new(std::slice::from_ref(&folder), &places).unwrap();
        write("tool-git.wasm", "core:git");
        assert_eq!(path.find("git").unwrap(), folder.join("tool-git.wasm"));
        write("a.wasm", "evil:git");
        let error = path.find("git").unwrap_err();
        assert_eq!((error.code, error.details.len()), (Code::PluginUnknown, 2));
        assert_eq!(path.find("core:git").unwrap(), folder.join("tool-git.wasm"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
