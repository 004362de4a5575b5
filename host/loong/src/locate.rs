//! Finds component files: by path, or by id on the plugin path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use loong_manifest::{Code, Digest, InterfaceName, Manifest, OperationName, PluginId};
use loong_repository::package::PACKAGE_BYTES_MAX;
use loong_repository::{Installed, Listing, Locked, Package};
use loong_store::Chosen;
use loong_trust::Candidate;

use crate::error::CommandError;
use crate::places::Places;

/// Largest component file that is read, in bytes: the most that any tier allows.
const COMPONENT_BYTES_MAX: u64 = 128 << 20;
/// So many beginnings of what is asked for are looked up as names: `core:text/text` of `core:text/text@1.0.0#count`.
const NAMES_MAX: usize = 8;
/// Largest signature file that is read, in bytes.
const BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// The folders in which components are looked for by name, in this order.
#[derive(Debug, Clone)]
pub struct PluginPath {
    folders: Vec<PathBuf>,
    /// What was installed from registries.
    installed: Installed,
    listing: Listing,
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
        let listing = installed.listing()?;
        Ok(Self { folders, installed, listing, chosen: BTreeMap::new(), beside: None })
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

    /// What was installed from registries. The lock file could be read when this was made; what cannot be read any
    /// more is not found.
    pub const fn listing(&self) -> &Listing {
        &self.listing
    }

    /// The file of an installed component.
    pub fn component(&self, id: &PluginId, digest: &Digest) -> PathBuf {
        self.installed.component(id, digest)
    }

    /// The components of these plugins, in the versions that are the active ones. Of a version that was chosen the
    /// lock file does not say what it offers, so that it may always be meant. Only the manifests of these are read, so
    /// that thousands that are not meant cost nothing.
    fn active(&self, mut meant: BTreeMap<PluginId, Locked>) -> Vec<PathBuf> {
        for (id, chosen) in &self.chosen {
            let Ok(id) = id.parse() else { continue };
            if let Ok(Some(plugin)) = self.listing.plugin(&id)
                && plugin.digest != chosen.now.digest
            {
                meant.insert(id, plugin);
            }
        }
        let path = |(id, plugin): (&PluginId, &Locked)| {
            let chosen = self.chosen(id).map(|chosen| self.installed.component(id, &chosen.now.digest));
            chosen
                .filter(|path| path.is_file())
                .unwrap_or_else(|| self.installed.component(id, &plugin.digest))
        };
        meant.iter().map(path).collect()
    }

    /// The component files on the path, and what shows that one was changed: its time and its length.
    pub fn files(&self) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        let facts = |path: PathBuf| {
            let facts = std::fs::metadata(&path).ok()?;
            Some((path, facts.modified().ok(), facts.len()))
        };
        self.paths().into_iter().filter_map(facts).collect()
    }

    /// The components in the folders that have a manifest, every version of them. Files that are no components are
    /// passed over.
    pub fn in_folders(&self) -> Vec<Entry> {
        self.paths().into_iter().filter_map(Entry::read).collect()
    }

    /// Every component on the path that has a manifest, every version of it. Reads manifests only.
    pub fn all_entries(&self) -> Vec<Entry> {
        self.versions_of(None)
    }

    /// The same, of the plugins that a person means.
    pub fn versions_named(&self, what: &str) -> Vec<Entry> {
        let mut versions = self.versions_of(Some(what));
        versions.retain(|entry| entry.is_meant_by(what));
        versions
    }

    fn versions_of(&self, what: Option<&str>) -> Vec<Entry> {
        let once = self.listing.versions(what).unwrap_or_default();
        self.paths().into_iter().chain(once).filter_map(Entry::read).collect()
    }

    /// Every component on the path; where a version is the chosen one, without the others.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_of(self.listing.all().unwrap_or_default())
    }

    /// The same, of those by whose full or short name, or by whose interface, these words may begin.
    pub fn entries_named(&self, words: &str) -> Vec<Entry> {
        let ends = words.match_indices(['.', '@', '#']).map(|(at, _)| at).chain([words.len()]);
        let names = ends.filter_map(|end| words.get(..end)).take(NAMES_MAX);
        let found = names.flat_map(|name| {
            let named = self.listing.named(name).unwrap_or_default();
            named.into_iter().chain(self.listing.offering(name).unwrap_or_default())
        });
        self.entries_of(found)
    }

    /// The same, of those that may need one of these interfaces of another plugin.
    pub fn entries_needing<'a>(&self, interfaces: impl Iterator<Item = &'a InterfaceName>) -> Vec<Entry> {
        let needing = |interface: &InterfaceName| self.listing.needing(interface.path()).unwrap_or_default();
        self.entries_of(interfaces.flat_map(needing))
    }

    /// The same, of those that may offer an operation.
    pub fn entries_with(&self, wanted: impl Fn(&OperationName) -> bool) -> Vec<Entry> {
        let offers = |name: &String| name.parse().is_ok_and(|name| wanted(&name));
        let rows = self.listing.rows(None, &[]).unwrap_or_default();
        let rows = rows.into_iter().filter(|row| row.operations.iter().any(offers));
        self.entries_of(rows.filter_map(|row| Some((row.id.clone(), self.listing.plugin(&row.id).ok()??))))
    }

    fn entries_of(&self, installed: impl IntoIterator<Item = (PluginId, Locked)>) -> Vec<Entry> {
        let installed = self.active(installed.into_iter().collect());
        let mut entries: Vec<Entry> =
            self.paths().into_iter().chain(installed).filter_map(Entry::read).collect();
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
        let found = self.listing.offering(wanted.path()).unwrap_or_default();
        // Where a version was chosen, an importer may want what another one offers.
        let with_others: BTreeSet<String> =
            found.iter().map(|(id, _)| id.to_string()).chain(self.chosen.keys().cloned()).collect();
        let mut offering: Vec<Entry> = self.entries_of(found).into_iter().filter(offers).collect();
        if !self.chosen.is_empty() {
            let versions = |id: &String| self.listing.versions(Some(id)).unwrap_or_default();
            let paths = self.paths().into_iter().chain(with_others.iter().flat_map(versions));
            let mut others: Vec<Entry> = paths.filter_map(Entry::read).filter(offers).collect();
            others.retain(|other| offering.iter().all(|entry| entry.path != other.path));
            others.sort_by(|left, right| right.manifest.version.cmp(&left.manifest.version));
            offering.extend(others);
        }
        offering
    }

    /// Every version of a plugin.
    pub fn versions(&self, id: &PluginId) -> Vec<Entry> {
        self.versions_named(&id.to_string())
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
        if is_path(what) {
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

/// Whether a person means a file by this, rather than a name.
pub fn is_path(what: &str) -> bool {
    let extension = Path::new(what).extension();
    what.contains('/') || extension.is_some_and(|extension| extension == "wasm")
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

/// Reads a package, or a component with the signatures beside it. Nothing is verified.
pub fn package(path: &Path) -> Result<Package, CommandError> {
    let read = if path.extension().is_some_and(|extension| extension == "tar") {
        Package::read(&read_bounded(path, PACKAGE_BYTES_MAX)?)
    } else {
        Package::new(read_bounded(path, COMPONENT_BYTES_MAX)?, bundles(path)?, BTreeMap::new())
    };
    read.map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))
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
