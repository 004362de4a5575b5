//! Where things are on this machine: the XDG folders, or everything under `LOONG_HOME`.

use std::path::{Path, PathBuf};

use loong_manifest::Code;

use crate::error::CommandError;

/// The folders of one user.
#[derive(Debug, Clone)]
pub struct Places {
    /// Settings, policies, keys, the trust root.
    pub config: PathBuf,
    /// The database and the installed plugins.
    pub data: PathBuf,
    /// Compiled artifacts; may be removed at any time.
    pub cache: PathBuf,
}

/// The file in which container tools keep their logins.
#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
pub fn docker_config() -> Option<PathBuf> {
    let named = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(folder.join("config.json"))
}

impl Places {
    /// `LOONG_HOME/{config,data,cache}`, else the folders of the XDG Base Directory Specification 0.8.
    #[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
    pub fn from_environment() -> Result<Self, CommandError> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(home) = std::env::var_os("LOONG_HOME").filter(|home| !home.is_empty()) {
            let home = std::path::absolute(&home).map_err(|error| {
                CommandError::file(
                    Code::FileUnreadable,
                    "use the folder LOONG_HOME names,",
                    Path::new(&home),
                    &error,
                )
            })?;
            return Ok(Self {
                config: home.join("config"),
                data: home.join("data"),
                cache: home.join("cache"),
            });
        }
        let home = absolute("HOME");
        let place = |variable: &str, below_home: &str| {
            absolute(variable)
                .or_else(|| home.as_ref().map(|home| home.join(below_home)))
                .map(|folder| folder.join("loong"))
                .ok_or_else(|| {
                    CommandError::new(Code::ConfigInvalid, "neither `LOONG_HOME` nor `HOME` names a folder")
                        .hint("set `LOONG_HOME` to the folder where loong may keep its files")
                })
        };
        Ok(Self {
            config: place("XDG_CONFIG_HOME", ".config")?,
            data: place("XDG_DATA_HOME", ".local/share")?,
            cache: place("XDG_CACHE_HOME", ".cache")?,
        })
    }

    /// The database: audit log, key-value spaces.
    pub fn database(&self) -> PathBuf {
        self.data.join("loong.db")
    }

    /// The installed components.
    pub fn plugins(&self) -> PathBuf {
        self.data.join("plugins")
    }

    /// The components that were installed from a registry.
    pub fn installed(&self) -> PathBuf {
        self.data.join("installed")
    }

    /// The registries that plugins are installed from.
    pub fn registries(&self) -> PathBuf {
        self.config.join("registries")
    }

    /// What was seen of each registry, so that nothing older is taken later.
    pub fn seen(&self) -> PathBuf {
        self.data.join("registries")
    }

    /// Which keys may sign for whom at which tier.
    pub fn trust_root(&self) -> PathBuf {
        self.config.join("trust-root.json")
    }

    /// The user's signing keys.
    pub fn keys(&self) -> PathBuf {
        self.config.join("keys")
    }

    /// The key that signs the audit log, and what is kept of each log outside its database.
    pub fn audit_keys(&self) -> PathBuf {
        self.keys().join("audit")
    }

    /// The user's secrets.
    pub fn secrets(&self) -> PathBuf {
        self.config.join("secrets")
    }

    /// The user's own policies, in addition to the preset's.
    pub fn policies(&self) -> PathBuf {
        self.config.join("policies")
    }

    /// What is looked for in components before they are loaded, if a person set it.
    pub fn scan_rules(&self) -> PathBuf {
        self.config.join("scan.toml")
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.config.join("loong.toml")
    }
}
