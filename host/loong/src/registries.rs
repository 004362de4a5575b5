//! The registries that this user installs from: where each is, which root document it is trusted by, and how far.

use std::path::PathBuf;

use loong_manifest::{Code, PluginId, Tier, strict};
use loong_repository::{Access, Client, Login, Offered, source};
use loong_trust::{Namespace, RootKey, TrustRoot, UtcTime, file};
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::locate;
use crate::places::Places;

const SCHEMA: &str = "loong.registry/1";
/// Largest document of a registry's folder.
const BYTES_MAX: u64 = 1 << 20;

/// A registry that is connected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    schema: String,
    /// What this user calls it.
    pub name: String,
    /// The folder or the URL that it is served from.
    pub location: String,
    /// The highest tier that its word counts for.
    pub tier_max: Tier,
}

impl Registry {
    /// Writes down that a registry is connected.
    pub fn connect(
        places: &Places,
        name: &str,
        location: &str,
        tier_max: Tier,
        root: &[u8],
    ) -> Result<Self, CommandError> {
        PluginId::new("registry", name).map_err(|_| {
            CommandError::new(Code::CommandLineInvalid, format!("`{name}` is no name of a registry"))
                .hint("a name has lower-case letters, digits and single hyphens")
        })?;
        let registry = Self {
            schema: SCHEMA.to_owned(),
            name: name.to_owned(),
            location: location.to_owned(),
            tier_max,
        };
        let folder = registry.folder(places);
        if folder.join("registry.json").exists() {
            return Err(CommandError::new(
                Code::FileUnwritable,
                format!("the registry `{name}` is connected already"),
            )
            .hint(format!("`loong registry disconnect {name}` first, if another one is meant")));
        }
        std::fs::create_dir_all(&folder)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", &folder, &error))?;
        file::write_atomically(&folder.join("root.json"), root, 0o644)?;
        let text = serde_json::to_string_pretty(&registry).unwrap_or_default();
        file::write_atomically(&folder.join("registry.json"), text.as_bytes(), 0o644)?;
        Ok(registry)
    }

    /// Forgets a registry. What was seen of it is kept, so that nothing older is taken when it is connected again.
    pub fn disconnect(&self, places: &Places) -> Result<(), CommandError> {
        let folder = self.folder(places);
        std::fs::remove_dir_all(&folder)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "remove", &folder, &error))
    }

    fn folder(&self, places: &Places) -> PathBuf {
        places.registries().join(&self.name)
    }

    /// The registry as it is now, verified from its pinned root on. Whom it names is written down.
    pub async fn refresh(&self, places: &Places, now: UtcTime) -> Result<Client, CommandError> {
        let from = |error: CommandError| error.detail(format!("registry `{}`", self.name));
        let root = locate::read_bounded(&self.folder(places).join("root.json"), BYTES_MAX)?;
        let memory = places.seen().join(&self.name);
        let source =
            source(&self.location, access(&self.location, places)?).map_err(|error| from(error.into()))?;
        let mut client = Client::new(source, &root, Some(&memory)).map_err(|error| from(error.into()))?;
        client.refresh(now).await.map_err(|error| from(error.into()))?;
        let trust = self.trust(&mut client, now).await.map_err(from)?;
        file::write_atomically(&self.folder(places).join("trust.json"), trust.to_json().as_bytes(), 0o644)?;
        Ok(client)
    }

    /// Whom the registry names, as far as its word counts.
    async fn trust(&self, client: &mut Client, now: UtcTime) -> Result<TrustRoot, CommandError> {
        let mut root = TrustRoot::empty();
        if self.tier_max == Tier::Unverified {
            return Ok(root);
        }
        let mut keys: Vec<RootKey> = Vec::new();
        for (publisher, tier) in client.publishers() {
            for key in client.trust(&publisher, tier, now).await?.keys() {
                let namespace = Namespace { publisher: publisher.clone(), tier: tier.min(self.tier_max) };
                match keys.iter_mut().find(|known| known.key_id == key.key_id) {
                    Some(known) => known.namespaces.push(namespace),
                    None => keys.push(RootKey {
                        not_before: None,
                        label: format!("{publisher} in {}", self.name),
                        // Beyond this the registry has to be asked anew.
                        expires: client.root_expires(),
                        namespaces: vec![namespace],
                        ..key.clone()
                    }),
                }
            }
        }
        for key in keys {
            root = root.with_key(key)?;
        }
        Ok(root)
    }

    /// Everything that the registry offers.
    pub async fn offered(&self, client: &mut Client, now: UtcTime) -> Result<Vec<Offered>, CommandError> {
        let mut all = Vec::new();
        for (publisher, tier) in client.publishers() {
            let (registry, tier) = (self.name.clone(), tier.min(self.tier_max));
            let entries = client.entries(&publisher, now).await?;
            all.extend(entries.into_iter().map(|entry| Offered { registry: registry.clone(), tier, entry }));
        }
        Ok(all)
    }
}

/// What a location needs: nothing for a folder, certificates for a server, and the login of an OCI registry.
pub fn access(location: &str, places: &Places) -> Result<Access, CommandError> {
    let mut access = Access::default();
    if location.starts_with("https:") || location.starts_with("oci:") {
        access.certificates = crate::egress::certificates(places)?;
    }
    if let Some(rest) = location.strip_prefix("oci://") {
        access.login = login(rest.split('/').next().unwrap_or_default())?;
    }
    Ok(access)
}

/// The login for a host that `docker login`, `podman login` or `oras login` kept.
fn login(host: &str) -> Result<Option<Login>, CommandError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        auths: std::collections::BTreeMap<String, Auth>,
    }
    #[derive(Deserialize)]
    struct Auth {
        #[serde(default)]
        auth: String,
    }
    let Some(path) = crate::places::docker_config().filter(|path| path.is_file()) else { return Ok(None) };
    // Others write this file, with members that are of no matter here.
    let config: Config =
        serde_json::from_slice(&locate::read_bounded(&path, BYTES_MAX)?).map_err(|error| {
            CommandError::new(Code::ConfigInvalid, format!("`{}` is not valid: {error}", path.display()))
        })?;
    Ok(config.auths.get(host).and_then(|kept| Login::of(&kept.auth)))
}

/// A folder as an absolute path; a URL as it is.
pub fn location(text: &str) -> Result<String, CommandError> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let failed = |error| CommandError::file(Code::FileUnreadable, "use", text.as_ref(), &error);
    Ok(std::path::absolute(text).map_err(failed)?.display().to_string())
}

/// The registries that are connected, by name.
pub fn all(places: &Places) -> Result<Vec<Registry>, CommandError> {
    let folder = places.registries();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CommandError::file(Code::FileUnreadable, "list", &folder, &error)),
    };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join("registry.json");
        if !path.is_file() {
            continue;
        }
        let registry: Registry = strict::read(&locate::read_bounded(&path, BYTES_MAX)?).map_err(|error| {
            CommandError::new(Code::ConfigInvalid, format!("`{}` is not valid: {error}", path.display()))
        })?;
        if registry.schema != SCHEMA || entry.file_name().to_str() != Some(&registry.name) {
            return Err(CommandError::new(Code::ConfigInvalid, format!("`{}` is not valid", path.display()))
                .detail("its schema or its name is another one"));
        }
        all.push(registry);
    }
    all.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(all)
}

/// A trust root with those whom the connected registries name. What the own root says of a key counts more.
pub fn joined(mut root: TrustRoot, places: &Places) -> Result<TrustRoot, CommandError> {
    for registry in all(places)? {
        let path = registry.folder(places).join("trust.json");
        if !path.is_file() {
            continue;
        }
        for key in TrustRoot::read(&locate::read_bounded(&path, BYTES_MAX)?)?.keys() {
            if root.key(&key.key_id).is_none() && root.revocation(&key.key_id).is_none() {
                root = root.with_key(key.clone())?;
            }
        }
    }
    Ok(root)
}
