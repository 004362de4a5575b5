//! What a repository holds of one version of one plugin.

use std::collections::BTreeMap;

use loong_manifest::{Digest, InterfaceName, Kind, Manifest, PluginId, Slot, escape, strict};
use loong_trust::{Candidate, UtcTime};
use serde::{Deserialize, Serialize};

use crate::RepositoryError;

/// The form of what metadata says of an entry.
pub const ENTRY_SCHEMA: &str = "loong.entry/1";

/// One version of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The plugin.
    pub id: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// The digest of the component.
    pub digest: Digest,
    /// The size of the component.
    pub size_bytes: u64,
    /// What the publisher's role says of it.
    pub facts: EntryFacts,
    /// The component and the files beside it.
    pub files: Vec<EntryFile>,
}

/// A file of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryFile {
    /// `PUBLISHER/NAME/VERSION/FILE`.
    pub path: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
}

/// What the metadata says of an entry, so that it can be found and planned with before anything of it is fetched.
/// All of it follows from the component but for how it was built and the dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryFacts {
    /// `loong.entry/1`.
    pub schema: String,
    /// What kind of plugin it is.
    pub kind: Kind,
    /// What it does, in one sentence.
    pub summary: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The interfaces of its operations, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<InterfaceName>,
    /// The interfaces that it imports from other plugins, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<InterfaceName>,
    /// The names of the capabilities that it asks for, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// The slots that it wants to own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// How it is built, if its publisher says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Built>,
    /// When it was added.
    pub published: UtcTime,
    /// Set when it should not be installed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<Yanked>,
}

/// How a component is built, so that everybody can see whether the same bytes come of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// The folder of its project, below the root of the checkout.
    pub source: String,
    /// The compiler, as `rustc --version` says.
    pub toolchain: String,
}

/// A version that should not be installed any more. Its files stay, so that lock files go on working.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yanked {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: UtcTime,
}

impl EntryFacts {
    /// What follows from the component.
    pub(crate) fn of(candidate: &Candidate, manifest: &Manifest, published: UtcTime) -> Self {
        let sorted = |mut names: Vec<InterfaceName>| {
            names.sort_unstable_by_key(ToString::to_string);
            names.dedup();
            names
        };
        let capabilities = serde_json::to_value(&manifest.capabilities).unwrap_or_default();
        let mut capabilities: Vec<String> =
            capabilities.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        capabilities.sort_unstable();
        let imports = candidate.contents().imports.iter().filter_map(|import| import.interface.clone());
        Self {
            schema: ENTRY_SCHEMA.to_owned(),
            kind: manifest.kind,
            summary: manifest.summary.clone(),
            tags: manifest.tags.clone(),
            offers: sorted(
                manifest.operations.iter().filter_map(|operation| operation.name.interface.clone()).collect(),
            ),
            needs: sorted(imports.filter(is_of_plugins).collect()),
            capabilities,
            slots: manifest.slots.clone(),
            built: None,
            published,
            yanked: None,
        }
    }

    /// Whether the two say the same of a component; how it was built and the dates aside.
    pub(crate) fn same_component(&self, other: &Self) -> bool {
        let plain =
            |facts: &Self| Self { published: UtcTime::MAX, yanked: None, built: None, ..facts.clone() };
        plain(self) == plain(other)
    }
}

/// Whether an import is offered by other plugins, not by the host.
fn is_of_plugins(interface: &InterfaceName) -> bool {
    loong_manifest::authority_of_import(interface) == loong_manifest::Authority::Plugin
}

/// The folder of a version: `PUBLISHER/NAME/VERSION`.
pub(crate) fn folder(id: &PluginId, version: &semver::Version) -> String {
    format!("{}/{}/{version}", id.publisher(), id.name())
}

/// The path of the component of a version.
pub(crate) fn component_path(id: &PluginId, version: &semver::Version) -> String {
    format!("{}/{}.wasm", folder(id, version), id.name())
}

/// The entries that a publisher's role lists, by name, the newest version first.
pub(crate) fn entries(
    publisher: &str,
    targets: &sigstore_tuf::Targets,
) -> Result<Vec<Entry>, RepositoryError> {
    let mut all = BTreeMap::new();
    for (path, target) in &targets.targets {
        let wrong = |problem: &str| RepositoryError::invalid(format!("the entry {path}"), problem);
        let (id, version, _) = parts(publisher, path).map_err(wrong)?;
        if *path != component_path(&id, &version) {
            continue;
        }
        let custom = target.custom.as_ref().ok_or_else(|| wrong("it says nothing of its component"))?;
        let facts: EntryFacts =
            strict::read(custom.to_string().as_bytes()).map_err(|error| wrong(&error.to_string()))?;
        if facts.schema != ENTRY_SCHEMA || escape(&facts.summary) != facts.summary {
            return Err(wrong("its facts are of another schema, or hold hidden characters"));
        }
        let file = file(path, target).map_err(wrong)?;
        let (digest, size_bytes) = (file.digest, file.size_bytes);
        all.insert(
            (id.clone(), version.clone()),
            Entry { id, version, digest, size_bytes, facts, files: vec![file] },
        );
    }
    for (path, target) in &targets.targets {
        let wrong = |problem: &str| RepositoryError::invalid(format!("the entry {path}"), problem);
        let (id, version, _) = parts(publisher, path).map_err(wrong)?;
        if *path != component_path(&id, &version) {
            let entry = all.get_mut(&(id, version)).ok_or_else(|| wrong("it lies beside no component"))?;
            entry.files.push(file(path, target).map_err(wrong)?);
        }
    }
    let mut all: Vec<Entry> = all.into_values().collect();
    all.sort_by(|left, right| left.id.cmp(&right.id).then_with(|| right.version.cmp(&left.version)));
    Ok(all)
}

fn file(path: &str, target: &sigstore_tuf::TargetFile) -> Result<EntryFile, &'static str> {
    let digest = target.hashes.get("sha256").and_then(|text| Digest::from_hex(text));
    let digest = digest.ok_or("it has no SHA-256 digest")?;
    Ok(EntryFile { path: path.to_owned(), digest, size_bytes: target.length })
}

/// The plugin, version and file name of a path, which has exactly one way of being written.
fn parts<'a>(publisher: &str, path: &'a str) -> Result<(PluginId, semver::Version, &'a str), &'static str> {
    let [of, name, version, file] = path.split('/').collect::<Vec<_>>()[..] else {
        return Err("its path is not PUBLISHER/NAME/VERSION/FILE");
    };
    let id = PluginId::new(of, name).map_err(|_| "its path holds no id")?;
    let version: semver::Version = version.parse().map_err(|_| "its path holds no version")?;
    if of != publisher {
        return Err("it is another publisher's");
    }
    if !version.build.is_empty() || folder(&id, &version) != path.trim_end_matches(file).trim_end_matches('/')
    {
        return Err("its path is written in another way than others read it");
    }
    if file.is_empty()
        || file.starts_with('.')
        || !file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    {
        return Err("its path ends in no plain file name");
    }
    Ok((id, version, file))
}
