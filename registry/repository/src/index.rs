//! An index: what has to come of building sources, without the bytes and without signatures.

use loong_manifest::{Digest, PluginId, strict};
use loong_trust::{Candidate, TrustError};
use serde::{Deserialize, Serialize};

use crate::RepositoryError;
use crate::entry::{Built, EntryFacts};

/// The form of an index.
pub const INDEX_SCHEMA: &str = "loong.index/1";

/// What has to come of building the sources beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// `loong.index/1`.
    pub schema: String,
    /// Each component, by its id.
    pub entries: Vec<IndexEntry>,
}

/// One component of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexEntry {
    /// The plugin.
    pub id: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// How it is built.
    pub built: Built,
    /// The digest of the component.
    pub digest: Digest,
    /// The size of the component.
    pub size_bytes: u64,
    /// The digest of the manifest in it.
    pub manifest: Digest,
    /// The names of the capabilities that it asks for, sorted.
    pub capabilities: Vec<String>,
    /// The names of its imports, sorted.
    pub imports: Vec<String>,
}

impl Index {
    /// Reads an index strictly.
    ///
    /// # Errors
    /// If it is none, or an id is there twice or not in its place.
    pub fn read(bytes: &[u8]) -> Result<Self, RepositoryError> {
        let wrong = |problem: &str| RepositoryError::invalid("the index", problem);
        let index: Self = strict::read(bytes).map_err(|error| wrong(&error.to_string()))?;
        if index.schema != INDEX_SCHEMA {
            return Err(wrong("it is of another schema"));
        }
        if !index.entries.is_sorted_by(|left, right| left.id < right.id) {
            return Err(wrong("its entries are not sorted, or an id is there twice"));
        }
        Ok(index)
    }

    /// The index of these entries.
    pub fn new(mut entries: Vec<IndexEntry>) -> Self {
        entries.sort_by(|left, right| left.id.cmp(&right.id));
        entries.dedup_by(|left, right| left.id == right.id);
        Self { schema: INDEX_SCHEMA.to_owned(), entries }
    }

    /// The index as it is kept in a file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl IndexEntry {
    /// What is to be known of a component that was built so.
    ///
    /// # Errors
    /// If it is no component, or one without a manifest.
    pub fn of(component: Vec<u8>, built: Built) -> Result<Self, RepositoryError> {
        let candidate = Candidate::read(component, None, "component")?;
        let missing = || TrustError::ManifestMissing { why: "only components with one are listed".into() };
        let manifest = candidate.manifest().cloned().ok_or_else(missing)?;
        let embedded = candidate.contents().manifest.clone().unwrap_or_default();
        let mut imports: Vec<String> =
            candidate.contents().imports.iter().map(|import| import.name.clone()).collect();
        imports.sort_unstable();
        let facts = EntryFacts::of(&candidate, &manifest, loong_trust::UtcTime::MAX);
        Ok(Self {
            id: manifest.id,
            version: manifest.version,
            built,
            digest: *candidate.digest(),
            size_bytes: candidate.bytes().len() as u64,
            manifest: Digest::of(&embedded),
            capabilities: facts.capabilities,
            imports,
        })
    }
}
