//! What a person names where a component is meant: a file, an id of what is here, or a version in a registry.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, PluginId};
use loong_repository::{Installed, Offered};
use loong_trust::{TrustRoot, Verified};

use super::sources::Sources;
use crate::error::CommandError;
use crate::host;
use crate::locate::{self, PluginPath};
use crate::places::Places;
use crate::registries;
use crate::ui::Ui;

/// A component, and where it was found.
pub(super) struct Subject {
    pub(super) verified: Verified,
    /// Its file, if it is here.
    pub(super) path: Option<PathBuf>,
    /// What its registry says of it, if it was fetched for this.
    pub(super) offered: Option<Offered>,
}

impl Subject {
    /// Where it is, in words.
    pub(super) fn place(&self) -> String {
        match (&self.path, &self.offered) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(offered)) => format!("registry `{}`", offered.registry),
            (None, None) => String::new(),
        }
    }
}

/// Finds subjects. The registries are asked once, and only if something is not here.
pub(super) struct Finder<'a> {
    ui: &'a Ui,
    places: &'a Places,
    path: PluginPath,
    root: TrustRoot,
    sources: Option<Sources>,
}

impl<'a> Finder<'a> {
    /// Looks in these folders too, before the installed ones.
    pub(super) fn new(ui: &'a Ui, places: &'a Places, folders: &[PathBuf]) -> Result<Self, CommandError> {
        let path = PluginPath::new(folders, places)?;
        Ok(Self { ui, places, path, root: host::trust_root(places)?, sources: None })
    }

    /// What is meant by `FILE`, `ID` or `ID@VERSION`.
    pub(super) fn find(&mut self, text: &str) -> Result<Subject, CommandError> {
        let version = text
            .split_once('@')
            .and_then(|(id, version)| Some((id.parse::<PluginId>().ok()?, version.parse().ok()?)));
        if let Some((id, version)) = version.filter(|_| !Path::new(text).exists()) {
            return self.version(&id, &version);
        }
        match (self.path.find(text), text.parse::<PluginId>()) {
            (Ok(path), _) => self.file(path),
            (Err(error), Ok(id)) if error.code == Code::PluginUnknown && self.is_connected()? => {
                self.newest(&id).map_err(|other| if other.code == Code::EntryUnknown { error } else { other })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The newest version that the registries offer.
    pub(super) fn newest(&mut self, id: &PluginId) -> Result<Subject, CommandError> {
        self.offered(id, |offer| offer.entry.version.pre.is_empty() && offer.entry.facts.yanked.is_none())?
            .ok_or_else(|| CommandError::new(Code::EntryUnknown, format!("no registry offers `{id}`")))
    }

    fn version(&mut self, id: &PluginId, version: &semver::Version) -> Result<Subject, CommandError> {
        let installed = Installed::new(self.places.installed());
        if let Some(plugin) = installed.lock()?.plugins.get(id).filter(|plugin| plugin.version == *version) {
            return self.file(installed.component(id, &plugin.digest));
        }
        self.offered(id, |offer| offer.entry.version == *version)?.ok_or_else(|| {
            CommandError::new(Code::EntryUnknown, format!("no registry offers `{id}` {version}"))
                .hint(format!("`loong plugins search {id} --all` shows every version"))
        })
    }

    fn is_connected(&self) -> Result<bool, CommandError> {
        Ok(!registries::all(self.places)?.is_empty())
    }

    fn file(&self, path: PathBuf) -> Result<Subject, CommandError> {
        let verified = loong_trust::verify(locate::candidate(&path)?, &self.root, host::now_ms() / 1000)
            .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))?;
        Ok(Subject { verified, path: Some(path), offered: None })
    }

    fn offered(
        &mut self,
        id: &PluginId,
        is_meant: impl Fn(&Offered) -> bool,
    ) -> Result<Option<Subject>, CommandError> {
        let sources = match self.sources.take() {
            Some(sources) => sources,
            None => Sources::open(self.ui, self.places)?,
        };
        // What a registry says of its keys is written down while it is asked.
        self.root = host::trust_root(self.places)?;
        let sources = self.sources.insert(sources);
        let of_id = sources.offered.iter().filter(|offer| offer.entry.id == *id && is_meant(offer));
        let best = of_id.max_by(|left, right| {
            let by_tier = || left.tier.cmp(&right.tier);
            left.entry.version.cmp(&right.entry.version).then_with(by_tier)
        });
        let Some(offered) = best.cloned() else { return Ok(None) };
        let (_, verified) = sources.fetch(&offered.registry, &offered.entry, &self.root)?;
        Ok(Some(Subject { verified, path: None, offered: Some(offered) }))
    }
}
