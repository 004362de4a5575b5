//! Finds component files: by path, or by id on the plugin path.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, InterfaceName, Manifest, PluginId};
use loong_trust::Candidate;

use crate::error::CommandError;

/// Largest component file that is read, in bytes: the most that any tier allows.
const COMPONENT_BYTES_MAX: u64 = 128 << 20;
/// Largest signature file that is read, in bytes.
const BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// The folders in which components are looked for by name, in this order.
#[derive(Debug, Clone, Default)]
pub struct PluginPath {
    folders: Vec<PathBuf>,
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
    pub fn new(named: &[PathBuf], installed: PathBuf) -> Self {
        Self { folders: named.iter().cloned().chain([installed]).collect() }
    }

    /// Also looks beside a component that is run by its path.
    pub fn beside(&mut self, component: &Path) {
        let folder = match component.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if !self.folders.contains(&folder) {
            self.folders.insert(0, folder);
        }
    }

    /// Every component on the path that has a manifest, in the order of folders and file names. Reads
    /// manifests only; files that are no components are passed over.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
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
            entries.extend(paths.into_iter().filter_map(|path| {
                let bytes = read_bounded(&path, COMPONENT_BYTES_MAX).ok()?;
                let section = loong_inspect::manifest_section(&bytes).ok()??;
                Some(Entry { manifest: Manifest::read(&section).ok()?, path })
            }));
        }
        entries
    }

    /// Components whose manifest offers an interface that an importer wants.
    pub fn offering(&self, wanted: &InterfaceName) -> Vec<Entry> {
        let offers = |entry: &Entry| {
            let mut interfaces =
                entry.manifest.operations.iter().filter_map(|operation| operation.name.interface.as_ref());
            interfaces.any(|interface| interface.satisfies(wanted))
        };
        self.entries().into_iter().filter(offers).collect()
    }

    /// The file that a person means: a path, or an id or name of a component on the path.
    pub fn find(&self, what: &str) -> Result<PathBuf, CommandError> {
        let path = Path::new(what);
        if what.contains('/') || path.extension().is_some_and(|extension| extension == "wasm") {
            return Ok(path.to_owned());
        }
        let named = |entry: &Entry| match what.parse::<PluginId>() {
            Ok(id) => entry.manifest.id == id,
            Err(_) => entry.manifest.id.name() == what,
        };
        let mut found: Vec<Entry> = self.entries().into_iter().filter(named).collect();
        match found.len() {
            1 => found.pop().map(|entry| entry.path).ok_or_else(|| unknown(what)),
            // Last, so that a file that lies about never takes the place of a component of this name.
            0 if path.is_file() => Ok(path.to_owned()),
            0 => Err(unknown(what)),
            _ => Err(ambiguous(what, &found)),
        }
    }
}

/// More than one component answers to a name. Any of them may only claim it, so none is taken.
pub fn ambiguous(what: &str, found: &[Entry]) -> CommandError {
    let error = CommandError::new(Code::PluginUnknown, format!("`{what}` could be more than one component"))
        .hint("give the path of the one that is meant");
    found.iter().fold(error, |error, entry| {
        error.detail(format!("{} in {}", entry.manifest.id, entry.path.display()))
    })
}

fn unknown(what: &str) -> CommandError {
    CommandError::new(Code::PluginUnknown, format!("no component is named `{what}`"))
}

/// Reads a component file and the signature file beside it.
pub fn candidate(path: &Path) -> Result<Candidate, CommandError> {
    let bytes = read_bounded(path, COMPONENT_BYTES_MAX)?;
    let mut bundle_path = path.as_os_str().to_owned();
    bundle_path.push(".sigstore.json");
    let bundle_path = PathBuf::from(bundle_path);
    let bundle =
        if bundle_path.exists() { Some(read_bounded(&bundle_path, BUNDLE_BYTES_MAX)?) } else { None };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Candidate::read(bytes, bundle, &stem)
        .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))
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
        let path = PluginPath::new(&[], folder.clone());
        write("tool-git.wasm", "core:git");
        assert_eq!(path.find("git").unwrap(), folder.join("tool-git.wasm"));
        write("a.wasm", "evil:git");
        let error = path.find("git").unwrap_err();
        assert_eq!((error.code, error.details.len()), (Code::PluginUnknown, 2));
        assert_eq!(path.find("core:git").unwrap(), folder.join("tool-git.wasm"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
