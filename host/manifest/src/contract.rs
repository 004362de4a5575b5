//! The contracts of this host: the WIT packages below `loong:` and `wasi:` that it offers to components or calls in
//! them, and in which versions. A component that is built for another major version of one is not loaded.

use std::fmt;

use semver::Version;
use serde::Serialize;

use crate::InterfaceName;

/// A WIT package in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// `namespace:package`.
    pub package: &'static str,
    /// The newest version of this major version that the host knows.
    pub version: Version,
}

impl fmt::Display for Contract {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.package, self.version)
    }
}

const fn contract(package: &'static str, version: [u64; 3]) -> Contract {
    let [major, minor, patch] = version;
    Contract { package, version: Version::new(major, minor, patch) }
}

/// WASI as wasmtime 48 offers it.
const WASI: [u64; 3] = [0, 2, 12];

/// Every contract, by name. An older major version that is served beside the newest has a line of its own.
pub static CONTRACTS: [Contract; 13] = [
    contract("loong:audit", [0, 1, 0]),
    contract("loong:host", [0, 1, 0]),
    contract("loong:pack", [0, 1, 0]),
    contract("loong:plugin", [0, 1, 0]),
    contract("loong:policy", [0, 1, 0]),
    contract("loong:provider", [0, 1, 0]),
    contract("wasi:cli", WASI),
    contract("wasi:clocks", WASI),
    contract("wasi:filesystem", WASI),
    contract("wasi:http", WASI),
    contract("wasi:io", WASI),
    contract("wasi:random", WASI),
    contract("wasi:sockets", WASI),
];

/// How what a component is built for stands to what this host offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The host offers this version, or a compatible successor.
    Fits,
    /// The host offers an older version of the same major version: it loads if it uses nothing that is new.
    Newer,
    /// The host offers another major version only, or no such package.
    Unsupported,
}

impl Fit {
    /// The fit as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Newer => "newer",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Whether the host offers or calls a package, in whichever version. What a component exports of any other, nobody calls
/// by its contract, so it does no harm.
pub fn is_known(package: &str) -> bool {
    CONTRACTS.iter().any(|contract| contract.package == package)
}

/// How an interface stands to the contracts of this host; nothing where it is none of a contract.
pub fn fit(interface: &InterfaceName) -> Option<Fit> {
    interface.is_contract().then(|| fit_of(interface.package(), interface.version()))
}

/// How a WIT package of a contract stands to what this host offers.
pub fn fit_of(package: &str, wanted: Option<&Version>) -> Fit {
    let Some(wanted) = wanted else { return Fit::Unsupported };
    let offered = CONTRACTS.iter().filter(|contract| contract.package == package);
    offered
        .map(|Contract { version, .. }| match track(version) == track(wanted) {
            true if version >= wanted => Fit::Fits,
            true => Fit::Newer,
            false => Fit::Unsupported,
        })
        .min()
        .unwrap_or(Fit::Unsupported)
}

/// What has to be the same for two versions to be compatible (Semantic Versioning 2.0.0, read as Cargo's caret).
fn track(version: &Version) -> (u64, u64, u64, &str) {
    let Version { major, minor, patch, pre, .. } = version;
    match (major, minor) {
        (0, 0) => (0, 0, *patch, pre.as_str()),
        (0, minor) => (0, *minor, 0, pre.as_str()),
        _ => (*major, 0, 0, pre.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(interface: &str, expected: Option<Fit>) {
        assert_eq!(fit(&interface.parse().unwrap()), expected, "{interface}");
    }

    #[test]
    fn compatible_versions_fit() {
        check("loong:host/kv@0.1.0", Some(Fit::Fits));
        check("loong:host/kv@0.1.1", Some(Fit::Newer));
        check("loong:host/kv@0.2.0", Some(Fit::Unsupported));
        check("loong:host/kv@0.1.0-rc.1", Some(Fit::Unsupported));
        check("loong:host/kv", Some(Fit::Unsupported));
        check("loong:gateway/routes@0.1.0", Some(Fit::Unsupported));
        check("wasi:io/streams@0.2.0", Some(Fit::Fits));
        check("wasi:io/streams@0.2.99", Some(Fit::Newer));
        check("wasi:cli/environment@0.3.0", Some(Fit::Unsupported));
        check("acme:weather/report@9.0.0", None);
    }

    #[test]
    fn the_packages_of_this_repository_are_the_contracts() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut named = Vec::new();
        for folder in std::fs::read_dir(wit).unwrap().map(|entry| entry.unwrap().path()) {
            if !folder.is_dir() {
                continue;
            }
            let mut packages: Vec<String> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
                .filter_map(|text| {
                    let line = text.lines().find(|line| line.starts_with("package "))?;
                    Some(line.trim_start_matches("package ").trim_end_matches(';').to_owned())
                })
                .collect();
            packages.sort();
            packages.dedup();
            named.append(&mut packages);
        }
        named.sort();
        let own: Vec<String> = CONTRACTS
            .iter()
            .filter(|contract| contract.package.starts_with("loong:"))
            .map(ToString::to_string)
            .collect();
        assert_eq!(named, own);
    }
}
