//! Versions in tags, and which one comes next.

use std::fmt;

use serde::Serialize;

/// How much a release changes for those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// Nothing that they see in the interface.
    Patch,
    /// Something new; what was there works as before.
    Feature,
    /// Something that worked may not work any more.
    Breaking,
}

/// The part of a version that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bump {
    Patch,
    Minor,
    Major,
}

impl Bump {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }
}

/// A version: <https://semver.org/spec/v2.0.0.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Reads a version, maybe with a pre-release and build part, which are only noticed.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.split('+').next()?;
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, prerelease)) => (numbers, !prerelease.is_empty()),
            None => (text, false),
        };
        let mut parts = numbers.split('.').map(|part| {
            let plain = part == "0" || !part.starts_with('0');
            (plain && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse().ok())?
        });
        let version =
            Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()??, prerelease };
        // A year is no major version: the next one does not follow from what changed.
        (parts.next().is_none() && version.major < 1900).then_some(version)
    }

    /// The part that grows for a change of this weight. Below 1.0.0 the convention of Cargo holds.
    pub(crate) fn bump(&self, weight: Weight) -> Bump {
        match (self.major, self.minor, weight) {
            (0, 0, _) | (_, _, Weight::Patch) => Bump::Patch,
            (0, _, Weight::Feature) => Bump::Patch,
            (0, _, Weight::Breaking) | (_, _, Weight::Feature) => Bump::Minor,
            (_, _, Weight::Breaking) => Bump::Major,
        }
    }

    /// The version after this one.
    pub(crate) fn next(&self, bump: Bump) -> Self {
        let Self { major, minor, patch, prerelease } = *self;
        let release = |major, minor, patch| Self { major, minor, patch, prerelease: false };
        // 2.0.0-rc.1 is on its way to 2.0.0 already.
        let on_its_way = prerelease
            && match bump {
                Bump::Patch => true,
                Bump::Minor => patch == 0,
                Bump::Major => minor == 0 && patch == 0,
            };
        match bump {
            _ if on_its_way => release(major, minor, patch),
            Bump::Patch => release(major, minor, patch.saturating_add(1)),
            Bump::Minor => release(major, minor.saturating_add(1), 0),
            Bump::Major => release(major.saturating_add(1), 0, 0),
        }
    }

    /// The rule that [`Self::bump`] followed, for people.
    pub(crate) fn rule(&self) -> &'static str {
        match (self.major, self.minor) {
            (0, 0) => "below 0.1.0 every release is a patch (convention of Cargo)",
            (0, _) => {
                "below 1.0.0 a breaking change raises the minor version, anything else the patch version (convention of Cargo)"
            }
            _ => {
                "a breaking change raises the major version, a feature the minor version, anything else the patch version (Semantic Versioning 2.0.0)"
            }
        }
    }
}

/// A tag that names a version, such as `v1.2.3` or `name-v1.2.3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionTag {
    /// What is before the numbers.
    pub(crate) prefix: String,
    pub(crate) version: Version,
}

impl VersionTag {
    /// Reads a tag.
    pub(crate) fn read(tag: &str) -> Option<Self> {
        let starts = std::iter::once(0).chain(tag.match_indices(['-', '_', '/', '@']).map(|(at, _)| at + 1));
        starts.into_iter().find_map(|start| {
            let rest = tag.get(start..)?;
            let numbers = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
            let version = Version::read(numbers)?;
            let prefix = tag.get(..tag.len() - numbers.len())?.to_owned();
            Some(Self { prefix, version })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_tags() {
        let check = |tag: &str, expected: &str| {
            let found = VersionTag::read(tag).map(|found| format!("{}|{}", found.prefix, found.version));
            assert_eq!(found.as_deref().unwrap_or(""), expected, "{tag}");
        };
        check("1.2.3", "|1.2.3");
        check("v1.2.3", "v|1.2.3");
        check("V0.1.0+build.5", "V|0.1.0");
        check("name-v1.2.3", "name-v|1.2.3");
        check("my-crate-0.4.10", "my-crate-|0.4.10");
        check("@scope/pkg@2.0.0-rc.1", "@scope/pkg@|2.0.0");
        check("release/v3.0.0", "release/v|3.0.0");
        check("2024.1.5", "");
        check("v1.02.3", "");
        check("v1.2", "");
        check("nightly", "");
        check("v1.2.3.4", "");
        check("v99999999999999999999.0.0", "");
        check("", "");
    }

    #[test]
    fn suggests_the_next_version() {
        let check = |current: &str, weight: Weight, bump: Bump, next: &str| {
            let version = Version::read(current).unwrap();
            assert_eq!(
                (version.bump(weight), version.next(bump).to_string()),
                (bump, next.to_owned()),
                "{current}"
            );
        };
        check("1.2.3", Weight::Breaking, Bump::Major, "2.0.0");
        check("1.2.3", Weight::Feature, Bump::Minor, "1.3.0");
        check("1.2.3", Weight::Patch, Bump::Patch, "1.2.4");
        check("0.3.1", Weight::Breaking, Bump::Minor, "0.4.0");
        check("0.3.1", Weight::Feature, Bump::Patch, "0.3.2");
        check("0.3.1", Weight::Patch, Bump::Patch, "0.3.2");
        check("0.0.4", Weight::Breaking, Bump::Patch, "0.0.5");
        check("2.0.0-rc.1", Weight::Breaking, Bump::Major, "2.0.0");
        check("2.0.0-rc.1", Weight::Patch, Bump::Patch, "2.0.0");
        check("2.1.0-beta", Weight::Breaking, Bump::Major, "3.0.0");
        check("2.1.1-beta", Weight::Feature, Bump::Minor, "2.2.0");
    }

    proptest! {
        #[test]
        fn takes_any_tag(tag in any::<String>(), numbers in "[-v0-9.+a@/]{0,16}") {
            VersionTag::read(&tag);
            VersionTag::read(&numbers);
        }

        #[test]
        fn the_next_version_is_greater(major in 0_u64..1900, minor: u32, patch: u32) {
            let version = Version { major, minor: minor.into(), patch: patch.into(), prerelease: false };
            for weight in [Weight::Patch, Weight::Feature, Weight::Breaking] {
                let next = version.next(version.bump(weight));
                let order = |version: &Version| (version.major, version.minor, version.patch);
                prop_assert!(order(&next) > order(&version));
            }
        }
    }
}
