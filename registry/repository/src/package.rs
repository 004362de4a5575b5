//! Packages: a component with its signatures, its manifest and its texts in one file, to be carried to whoever keeps a
//! repository. A package is a plain tar archive (POSIX ustar) of files side by side, and there is exactly one way to
//! write one: whatever reads back as other bytes is refused, so nothing can hide between its files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use loong_manifest::{Digest, Manifest, PluginId, escape};
use loong_trust::{BUNDLE_BYTES_MAX, Candidate, TrustError, UtcTime, bundle_names};

use crate::entry::{self, Entry, EntryFacts, EntryFile};
use crate::{RepositoryError, component_name};

/// Largest package, in bytes: the largest component, and what lies beside it.
pub const PACKAGE_BYTES_MAX: u64 = (128 << 20) + (32 << 20);
/// Most files in one.
const FILES_MAX: usize = 32;
/// Largest file that is not the component, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Texts that a package may hold besides what verification reads.
const TEXTS: [&str; 4] = ["CHANGELOG.md", "LICENSE", "NOTICE", "README.md"];
/// The manifest beside the component.
const MANIFEST: &str = "loong.plugin.json";

/// What is in a package. Its signatures are not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The plugin.
    pub id: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// The component.
    pub component: Vec<u8>,
    /// Its signature files, in their order.
    pub bundles: Vec<Vec<u8>>,
    /// Texts for people, by file name.
    pub texts: BTreeMap<String, Vec<u8>>,
}

/// Whether a file of this name may be a text of a package.
pub fn is_text(name: &str) -> bool {
    TEXTS.contains(&name)
}

impl Package {
    /// A package of a component that carries its manifest.
    ///
    /// # Errors
    /// If the component holds no manifest, or something is too large.
    pub fn new(
        component: Vec<u8>,
        bundles: Vec<Vec<u8>>,
        texts: BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, RepositoryError> {
        let manifest = carried(&component)?.ok_or_else(missing)?;
        let package = Self { id: manifest.id, version: manifest.version, component, bundles, texts };
        package.check()?;
        Ok(package)
    }

    /// What the file is called: `PUBLISHER-NAME-VERSION.tar`.
    pub fn file_name(&self) -> String {
        format!("{}-{}-{}.tar", self.id.publisher(), self.id.name(), self.version)
    }

    /// The package as it is written.
    ///
    /// # Errors
    /// If the component holds no manifest.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RepositoryError> {
        let component = component_name(&self.id);
        let beside = carried(&self.component)?.ok_or_else(missing)?.to_json().into_bytes();
        let mut files = vec![(MANIFEST.to_owned(), &beside), (component.clone(), &self.component)];
        files.extend(bundle_names(&component).into_iter().zip(&self.bundles));
        files.extend(self.texts.iter().map(|(name, text)| (name.clone(), text)));
        files.sort();
        archive(&files).map_err(|error| wrong(format!("it cannot be written: {error}")))
    }

    /// What a repository would list of it, and the files that are installed, by name.
    ///
    /// # Errors
    /// If the component is not valid.
    pub fn entry(&self, now: UtcTime) -> Result<(Entry, BTreeMap<String, Vec<u8>>), RepositoryError> {
        let name = component_name(&self.id);
        let candidate = Candidate::read(self.component.clone(), None, self.id.name())?;
        let manifest = candidate.manifest().ok_or_else(missing)?;
        let mut files = BTreeMap::from([
            (name.clone(), self.component.clone()),
            (MANIFEST.to_owned(), manifest.to_json().into_bytes()),
        ]);
        files.extend(bundle_names(&name).into_iter().zip(self.bundles.iter().cloned()));
        let listed = |(name, bytes): (&String, &Vec<u8>)| EntryFile {
            path: format!("{}/{name}", entry::folder(&self.id, &self.version)),
            digest: Digest::of(bytes),
            size_bytes: bytes.len() as u64,
        };
        let entry = Entry {
            id: self.id.clone(),
            version: self.version.clone(),
            digest: *candidate.digest(),
            size_bytes: self.component.len() as u64,
            facts: EntryFacts::of(&candidate, manifest, now),
            files: files.iter().map(listed).collect(),
        };
        Ok((entry, files))
    }

    /// Reads a package.
    ///
    /// # Errors
    /// If it is not exactly what [`Package::to_bytes`] writes of a component with a manifest.
    pub fn read(bytes: &[u8]) -> Result<Self, RepositoryError> {
        let mut files = files(bytes)?;
        let components: Vec<String> = files.keys().filter(|name| name.ends_with(".wasm")).cloned().collect();
        let [name] = components.as_slice() else {
            return Err(wrong(format!("it holds {} components instead of one", components.len())));
        };
        let component = files.remove(name).unwrap_or_default();
        let manifest =
            carried(&component)?.ok_or_else(|| wrong("its component holds no manifest".to_owned()))?;
        if *name != component_name(&manifest.id) {
            return Err(wrong(format!("`{}` is the component of `{}`", escape(name), manifest.id)));
        }
        if files.remove(MANIFEST).is_none_or(|beside| beside != manifest.to_json().into_bytes()) {
            return Err(wrong(format!(
                "`{MANIFEST}` is missing, or is not the manifest inside the component"
            )));
        }
        let mut bundles = Vec::new();
        for bundle in bundle_names(name) {
            let Some(bytes) = files.remove(&bundle) else { break };
            bundles.push(bytes);
        }
        let package = Self { id: manifest.id, version: manifest.version, component, bundles, texts: files };
        package.check()?;
        if package.to_bytes()? != bytes {
            return Err(wrong("it is not written the way that packages are written".to_owned()));
        }
        Ok(package)
    }

    fn check(&self) -> Result<(), RepositoryError> {
        if self.bundles.len() > bundle_names(&component_name(&self.id)).len() {
            return Err(wrong(format!("it holds {} signatures", self.bundles.len())));
        }
        if self.bundles.iter().any(|bundle| bundle.len() > BUNDLE_BYTES_MAX) {
            return Err(wrong("a signature is too large".to_owned()));
        }
        for (name, text) in &self.texts {
            if !is_text(name) {
                return Err(wrong(format!("`{}` is no file of a package", escape(name))));
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(wrong(format!("`{name}` is larger than {TEXT_BYTES_MAX} bytes")));
            }
        }
        Ok(())
    }
}

/// The manifest that a component carries.
fn carried(component: &[u8]) -> Result<Option<Manifest>, RepositoryError> {
    Ok(Candidate::read(component.to_vec(), None, "component")?.manifest().cloned())
}

/// Why a component by itself is refused.
fn missing() -> TrustError {
    TrustError::ManifestMissing {
        why: "only components with one can be packaged, published or installed".to_owned(),
    }
}

fn wrong(problem: String) -> RepositoryError {
    RepositoryError::Package { problem }
}

/// The archive of these files, in this order.
fn archive(files: &[(String, &Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        builder.append(&header, bytes.as_slice())?;
    }
    builder.into_inner()
}

/// The files of an archive, if all of it are plain files side by side. Nothing is written anywhere, and what a header
/// says of a size is never reserved.
fn files(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, RepositoryError> {
    if bytes.len() as u64 > PACKAGE_BYTES_MAX {
        return Err(wrong(format!("it is larger than {PACKAGE_BYTES_MAX} bytes")));
    }
    let broken = |error: std::io::Error| wrong(format!("it cannot be read: {error}"));
    let (mut files, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut archive = tar::Archive::new(bytes);
    // As they lie there: what would rename, link or lengthen another entry is an entry of another kind.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(wrong(format!("`{}` is no plain file", escape(&name))));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
            return Err(wrong(format!(
                "`{}` is no name of a file side by side with the others",
                escape(&name)
            )));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(wrong(format!("`{name}` is there twice, or differs from another name by case only")));
        }
        if seen.len() > FILES_MAX {
            return Err(wrong(format!("it holds more than {FILES_MAX} files")));
        }
        let size = entry.size();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != size {
            return Err(wrong(format!("it ends in the middle of `{name}`")));
        }
        files.insert(name, content);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use loong_manifest::Code;
    use proptest::prelude::*;

    use super::*;

    fn component() -> Vec<u8> {
        let manifest =
            r#"{"id":"acme:weather","version":"1.2.0","kind":"tool","summary":"Tells the weather"}"#;
        loong_inspect::with_manifest(&wat::parse_str("(component)").unwrap(), manifest.as_bytes()).unwrap()
    }

    fn package() -> Package {
        let texts = BTreeMap::from([("README.md".to_owned(), b"# Weather".to_vec())]);
        Package::new(component(), vec![b"{}".to_vec(), b"{ }".to_vec()], texts).unwrap()
    }

    /// An archive of entries of this kind, with the package's own files first.
    fn with(more: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let own = package().to_bytes().unwrap();
        let mut builder = tar::Builder::new(own[..own.len() - 1024].to_vec());
        more(&mut builder);
        builder.into_inner().unwrap()
    }

    fn header(name: &[u8], kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        header
    }

    #[track_caller]
    fn refused(bytes: &[u8], expected: &str) {
        let error = Package::read(bytes).unwrap_err();
        assert_eq!(error.code(), Code::PackageInvalid);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_package_reads_back_as_it_was_written() {
        let package = package();
        let bytes = package.to_bytes().unwrap();
        assert_eq!(Package::read(&bytes).unwrap(), package);
        assert_eq!(package.file_name(), "acme-weather-1.2.0.tar");
        assert_eq!(bytes, package.to_bytes().unwrap());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            &b"../weather.wasm"[..],
            b"/etc/passwd",
            b"a/b",
            b"..",
            b".hidden",
            b"a\\b",
            b"a b",
            b"C:x",
            b"\xff",
            "ｗ".as_bytes(),
        ] {
            let bytes = with(|builder| {
                builder.append(&header(name, tar::EntryType::Regular, 1), &b"x"[..]).unwrap();
            });
            refused(&bytes, "is no name of a file side by side");
        }
        let bytes = with(|builder| {
            builder.append(&header(b"install.sh", tar::EntryType::Regular, 1), &b"x"[..]).unwrap();
        });
        refused(&bytes, "`install.sh` is no file of a package");
    }

    #[test]
    fn links_folders_and_extensions_are_refused() {
        use tar::EntryType;
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
            EntryType::Fifo,
            EntryType::Char,
            EntryType::GNUSparse,
            EntryType::GNULongName,
            EntryType::XHeader,
            EntryType::XGlobalHeader,
        ] {
            let bytes = with(|builder| {
                builder.append(&header(b"NOTICE", kind, 0), &b""[..]).unwrap();
            });
            refused(&bytes, "is no plain file");
        }
    }

    #[test]
    fn names_that_are_the_same_somewhere_are_refused() {
        for name in [&b"README.md"[..], b"readme.MD", b"Weather.wasm"] {
            let bytes = with(|builder| {
                builder.append(&header(name, tar::EntryType::Regular, 1), &b"x"[..]).unwrap();
            });
            refused(&bytes, "by case only");
        }
    }

    #[test]
    fn sizes_that_lie_and_archives_that_end_early_are_refused() {
        for size in [2, 1 << 20, 1 << 33, u64::MAX >> 4] {
            let mut bytes = with(|_| {});
            bytes.truncate(bytes.len() - 1024);
            bytes.extend_from_slice(header(b"NOTICE", tar::EntryType::Regular, size).as_bytes());
            bytes.push(b'x');
            let error = Package::read(&bytes).unwrap_err();
            assert_eq!(error.code(), Code::PackageInvalid, "{size}: {error}");
        }
        let many = with(|builder| {
            for number in 0..40 {
                let name = format!("f{number}");
                builder.append(&header(name.as_bytes(), tar::EntryType::Regular, 0), &b""[..]).unwrap();
            }
        });
        refused(&many, "more than 32 files");
    }

    #[test]
    fn what_lies_between_and_behind_the_files_is_refused() {
        let own = package().to_bytes().unwrap();
        refused(&[own.as_slice(), b"more"].concat(), "is not written the way");
        refused(&[own.as_slice(), own.as_slice()].concat(), "is not written the way");
        let mut padded = own;
        // The first file is shorter than its block.
        let at = 512 + 200;
        assert_eq!(padded[at], 0);
        padded[at] = b'x';
        refused(&padded, "is not written the way");
    }

    #[test]
    fn other_contents_are_refused() {
        refused(b"", "0 components");
        refused(b"\0asm", "cannot be read");
        let bare = archive(&[("weather.wasm".to_owned(), &wat::parse_str("(component)").unwrap())]).unwrap();
        refused(&bare, "its component holds no manifest");
        let other = archive(&[("other.wasm".to_owned(), &component())]).unwrap();
        refused(&other, "`other.wasm` is the component of `acme:weather`");
        let alone = archive(&[("weather.wasm".to_owned(), &component())]).unwrap();
        refused(&alone, "`loong.plugin.json` is missing");
        let huge = BTreeMap::from([("README.md".to_owned(), vec![b'x'; TEXT_BYTES_MAX + 1])]);
        assert!(Package::new(component(), Vec::new(), huge).is_err());
    }

    proptest! {
        #[test]
        fn one_byte_that_differs_is_never_taken_for_the_same(at in 0_usize..6_000, bit in 0_u32..8) {
            let mut bytes = package().to_bytes().unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            // What can be read at all is the package that these bytes are.
            if let Ok(read) = Package::read(&bytes) {
                prop_assert_eq!(read.to_bytes().unwrap(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4_096)) {
            let _ = Package::read(&bytes);
        }
    }
}
