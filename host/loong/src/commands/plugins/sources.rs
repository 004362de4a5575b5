//! The connected registries as they are now, what they offer, and what is fetched from them.

use std::collections::BTreeMap;

use loong_manifest::{Code, Digest};
use loong_repository::scan::ScanRules;
use loong_repository::{Client, Entry, Offered, Package, component_name};
use loong_trust::{Candidate, TrustRoot, UtcTime, Verified};

use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::registries;
use crate::scanning;
use crate::ui::Ui;

/// The files of an entry, by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Where something comes from that no registry lists. No registry is called so.
pub(super) const FILE: &str = "(file)";

/// The registries as they are now, and the packages that a person named.
pub(super) struct Sources {
    pub(super) rules: ScanRules,
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) offered: Vec<Offered>,
    packages: BTreeMap<Digest, Files>,
}

pub(super) fn now() -> UtcTime {
    UtcTime::from_unix_s(host::now_ms() / 1000)
}

/// An error about an entry.
pub(super) fn named(error: CommandError, registry: &str, entry: &Entry) -> CommandError {
    error.detail(format!("`{}` {} from registry `{registry}`", entry.id, entry.version))
}

impl Sources {
    /// Asks every connected registry. One that does not hold is a warning, unless it is the only one.
    pub(super) fn open(ui: &Ui, places: &Places) -> Result<Self, CommandError> {
        Self::with_packages(ui, places, &[])
    }

    /// The same with packages, which need no registry.
    pub(super) fn with_packages(
        ui: &Ui,
        places: &Places,
        packages: &[Package],
    ) -> Result<Self, CommandError> {
        let all = registries::all(places)?;
        if all.is_empty() && packages.is_empty() {
            return Err(CommandError::new(Code::RepositoryUnreachable, "no registry is connected")
                .hint("`loong registry connect NAME FOLDER` connects one"));
        }
        let rules = scanning::rules(places)?.thorough();
        let (clients, offered) = (BTreeMap::new(), Vec::new());
        let mut sources = Self { rules, clients, offered, packages: BTreeMap::new() };
        let mut failed = None;
        for registry in all {
            let read = host::wait(async {
                let mut client = registry.refresh(places, now()).await?;
                let offered = registry.offered(&mut client, now()).await?;
                Ok::<_, CommandError>((client, offered))
            })?;
            match read {
                Ok((client, offered)) => {
                    sources.offered.extend(offered);
                    sources.clients.insert(registry.name, client);
                }
                Err(error) => {
                    ui.warning(format!(
                        "registry `{}` is left out: {} [{}]",
                        registry.name, error.headline, error.code
                    ));
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed.filter(|_| sources.clients.is_empty() && packages.is_empty()) {
            return Err(error);
        }
        let root = host::trust_root(places)?;
        for package in packages {
            let (entry, files) = package.entry(now())?;
            let tier = verified(&entry, &files, &root).map_err(|error| named(error, FILE, &entry))?.tier();
            sources.packages.insert(entry.digest, files);
            sources.offered.push(Offered { registry: FILE.to_owned(), tier, entry });
        }
        Ok(sources)
    }

    /// Fetches the files of an entry and verifies its component.
    pub(super) fn fetch(
        &mut self,
        registry: &str,
        entry: &Entry,
        root: &TrustRoot,
    ) -> Result<(Files, Verified), CommandError> {
        if registry == FILE {
            let files = self.packages.get(&entry.digest).cloned().unwrap_or_default();
            let verified = verified(entry, &files, root).map_err(|error| named(error, registry, entry))?;
            return Ok((files, verified));
        }
        let client = self.clients.get_mut(registry).ok_or_else(|| {
            CommandError::new(Code::RepositoryUnreachable, format!("registry `{registry}` does not answer"))
        })?;
        let mut files = Files::new();
        for file in &entry.files {
            let bytes = host::wait(client.fetch(file, now()))?
                .map_err(|error| named(error.into(), registry, entry))?;
            files.insert(file.path.rsplit('/').next().unwrap_or_default().to_owned(), bytes);
        }
        let verified = verified(entry, &files, root).map_err(|error| named(error, registry, entry))?;
        Ok((files, verified))
    }
}

fn verified(entry: &Entry, files: &Files, root: &TrustRoot) -> Result<Verified, CommandError> {
    let name = component_name(&entry.id);
    let component = files.get(&name).cloned().unwrap_or_default();
    let bundles = loong_trust::bundle_names(&name);
    let bundles = bundles.iter().filter_map(|name| files.get(name).cloned());
    let candidate = Candidate::read(component, bundles, entry.id.name())?;
    let verified = loong_trust::verify(candidate, root, now().unix_s())?;
    if (verified.id(), verified.version()) != (&entry.id, &entry.version) {
        let problem = format!("the component calls itself `{}` {}", verified.id(), verified.version());
        return Err(CommandError::new(Code::ManifestMismatch, problem));
    }
    Ok(verified)
}
