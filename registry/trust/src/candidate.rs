//! A component that was read and of which nothing is proved.

use std::sync::Arc;

use loong_inspect::Contents;
use loong_manifest::{Digest, Manifest, PluginId};

use crate::TrustError;

/// The publisher of components without a manifest. No manifest may claim it and no key may sign for it, so
/// what is kept or allowed for `unsigned:NAME` is never that of a component somebody vouches for.
pub const UNSIGNED_PUBLISHER: &str = "unsigned";

/// Most bundles of a component.
pub const BUNDLES_MAX: usize = 16;

/// Longest name of a plugin, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A component that was read and of which nothing is proved: its id is what it claims to be.
#[derive(Debug, Clone)]
pub struct Candidate {
    bytes: Arc<[u8]>,
    digest: Digest,
    contents: Contents,
    manifest: Option<Manifest>,
    bundles: Vec<Vec<u8>>,
    id: PluginId,
}

impl Candidate {
    /// Reads a component and keeps the bundles that were found beside it for [`verify`](crate::verify).
    /// A component without a manifest takes its id from `name_hint`, such as the stem of its file's name.
    ///
    /// # Errors
    /// If the component or the manifest in it is not valid, or there are more than [`BUNDLES_MAX`] bundles.
    pub fn read(
        bytes: Vec<u8>,
        bundles: impl IntoIterator<Item = Vec<u8>>,
        name_hint: &str,
    ) -> Result<Self, TrustError> {
        let bundles: Vec<_> = bundles.into_iter().take(BUNDLES_MAX + 1).collect();
        if bundles.len() > BUNDLES_MAX {
            return Err(TrustError::malformed(format!("there are more than {BUNDLES_MAX} of them")));
        }
        let contents = loong_inspect::inspect(&bytes)?;
        let manifest = contents.manifest.as_deref().map(Manifest::read).transpose()?;
        let id = match &manifest {
            Some(manifest) if manifest.id.publisher() == UNSIGNED_PUBLISHER => {
                return Err(TrustError::PublisherReserved { publisher: UNSIGNED_PUBLISHER });
            }
            Some(manifest) => manifest.id.clone(),
            None => PluginId::new(UNSIGNED_PUBLISHER, &plain_name(name_hint)).map_err(|_| {
                TrustError::ManifestMissing { why: "its file's name makes no plugin name".into() }
            })?,
        };
        Ok(Self { digest: Digest::of(&bytes), bytes: bytes.into(), contents, manifest, bundles, id })
    }

    /// The component.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The digest of the component.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the component imports and exports.
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// What the component says of itself.
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The bundles that were found beside it, unread.
    pub fn bundles(&self) -> &[Vec<u8>] {
        &self.bundles
    }

    /// What it claims to be, or `unsigned:NAME` without a manifest.
    pub const fn id(&self) -> &PluginId {
        &self.id
    }
}

/// The name that comes nearest to a text: its letters and digits in lower case, single hyphens for the rest.
fn plain_name(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.insert_str(0, if name.is_empty() { "component" } else { "component-" });
    }
    name.truncate(NAME_BYTES_MAX);
    name.truncate(name.trim_end_matches('-').len());
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(plain_name(text), expected);
    }

    #[test]
    fn makes_a_name_of_any_file_stem() {
        check("hello", "hello");
        check("Hello World_2", "hello-world-2");
        check("--a--b--", "a-b");
        check("../../etc/passwd", "etc-passwd");
        check("7zip", "component-7zip");
        check("", "component");
        check("漢字", "component");
        check("\u{1b}[2J", "component-2j");
        check(&"a".repeat(100), &"a".repeat(64));
        check(&format!("{} b", "a".repeat(63)), &"a".repeat(63));
    }

    proptest! {
        #[test]
        fn every_text_makes_a_valid_id(text in ".{0,200}") {
            prop_assert!(PluginId::new(UNSIGNED_PUBLISHER, &plain_name(&text)).is_ok());
        }
    }
}
