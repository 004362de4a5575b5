//! The options that decide which components are loaded and what they are offered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loong_manifest::{Access, Code, HostError, Tier, escape};
use loong_policy::{Offer, OfferedFolder};
use loong_store::WaitingRun;
use loong_trust::Verified;

use crate::error::CommandError;
use crate::places::Places;
use crate::settings::Settings;
use crate::sinks;

/// Options of every command that loads components
#[derive(clap::Args, Clone, Default)]
pub struct LoadArgs {
    #[command(flatten)]
    pub grant: GrantArgs,
    /// Look for other components in this folder too (may be repeated)
    #[arg(long, value_name = "DIR")]
    pub plugins: Vec<PathBuf>,
    /// Load this component too, whatever its tier (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Use what this signed grant file allows in advance (may be repeated); see `loong approvals grant`
    #[arg(long = "grant-file", value_name = "FILE")]
    pub grant_files: Vec<PathBuf>,
    /// The run that goes on.
    #[arg(skip)]
    pub resumed: Option<Arc<WaitingRun>>,
}

/// Options that decide what components are granted
#[derive(clap::Args, Clone, Default)]
pub struct GrantArgs {
    /// Policies to decide by: `default`, `balanced`, `strict`, `ci`, or a folder of .cedar files
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// The folder that components see as `/workspace`, else the current one; read-only without `--allow-write`
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Let components change files in the workspace, as far as policy lets them
    #[arg(long)]
    allow_write: bool,
    /// Offer another folder, read-only; add `:rw` to let components change it (may be repeated)
    #[arg(long, value_name = "NAME=DIR[:rw]")]
    allow_dir: Vec<String>,
    /// Let components reach this host and port as far as policy lets them, also inside your own network (may be
    /// repeated)
    #[arg(long, value_name = "HOST:PORT")]
    allow_host: Vec<String>,
    /// Say yes to a capability where policy leaves it to a person: log, config, kv, stream, process, tools, http,
    /// tcp, secrets (may be repeated)
    #[arg(long, value_name = "CAPABILITY")]
    allow: Vec<String>,
    /// Offer what the settings say of audit sinks, and nothing else.
    #[arg(skip)]
    sinks: bool,
    /// Count the instructions of every component.
    #[arg(skip)]
    pub count_fuel: bool,
}

/// Refuses a folder in which Loong's own files are, or that is among them: no component reaches settings, keys,
/// policies, approvals or the audit log through a folder.
fn keep_out(folder: &Path, places: &Places) -> Result<(), CommandError> {
    let Ok(offered) = folder.canonicalize() else { return Ok(()) };
    for own in [&places.config, &places.data, &places.cache] {
        let own = own.canonicalize().unwrap_or_else(|_| own.clone());
        if own.starts_with(&offered) || offered.starts_with(&own) {
            return Err(CommandError::new(
                Code::CapabilityDenied,
                format!("`{}` is not offered to components: loong's own files are there", folder.display()),
            )
            .detail(format!("keys, approvals and the audit log are in `{}`", own.display()))
            .hint("name another folder with `--workspace DIR` or `--allow-dir`"));
        }
    }
    Ok(())
}

impl GrantArgs {
    /// What audit sinks are offered: what the settings say of them, and nothing else.
    pub fn for_sinks() -> Self {
        Self { sinks: true, ..Self::default() }
    }

    /// What a test offers.
    pub fn for_tests(workspace: PathBuf, write: bool, allow: &[String], hosts: &[String]) -> Self {
        Self {
            workspace: Some(workspace),
            allow_write: write,
            allow: allow.to_vec(),
            allow_host: hosts.to_vec(),
            ..Self::default()
        }
    }

    /// What the operator offers to one component.
    pub fn offer(
        &self,
        settings: &Settings,
        places: &Places,
        component: &Verified,
    ) -> Result<Offer, CommandError> {
        let mut offer = Offer { count_fuel: self.count_fuel, ..Offer::default() };
        if self.sinks {
            return Ok(sinks::offer(settings, component));
        }
        let access = if self.allow_write { Access::Write } else { Access::Read };
        let workspace = OfferedFolder {
            host: self.workspace.clone().unwrap_or_else(|| PathBuf::from(".")),
            access,
            by_flag: self.allow_write || self.workspace.is_some(),
        };
        offer.folders.insert("workspace".into(), workspace);
        for text in &self.allow_dir {
            let (name, rest) = text
                .split_once('=')
                .filter(|(name, rest)| !name.is_empty() && !rest.is_empty())
                .ok_or_else(|| {
                    CommandError::new(
                        Code::CommandLineInvalid,
                        format!("`--allow-dir {text}` is not `NAME=DIR` or `NAME=DIR:rw`"),
                    )
                })?;
            let (folder, access) =
                rest.strip_suffix(":rw").map_or((rest, Access::Read), |folder| (folder, Access::Write));
            offer.folders.insert(name.into(), OfferedFolder { host: folder.into(), access, by_flag: true });
        }
        let asked = component.manifest().and_then(|manifest| manifest.capabilities.filesystem.as_ref());
        for (name, folder) in &offer.folders {
            if asked.is_some_and(|asked| asked.folders.iter().any(|asked| asked.name == *name)) {
                keep_out(&folder.host, places)?;
            }
            std::fs::read_dir(&folder.host).map_err(|error| {
                CommandError::file(Code::FileUnreadable, "offer the folder", &folder.host, &error)
            })?;
        }
        for text in &self.allow_host {
            let endpoint = text.parse().map_err(|error: HostError| {
                CommandError::new(
                    Code::CommandLineInvalid,
                    format!("`--allow-host {}` {error}", escape(text)),
                )
                .hint("name a host and a port, such as `127.0.0.1:8088` or `siem.example.com:443`")
            })?;
            offer.hosts.insert(endpoint);
        }
        offer.inside.extend(settings.egress.allow_private.iter().cloned());
        const NAMES: [&str; 9] =
            ["log", "config", "kv", "stream", "process", "tools", "http", "tcp", "secrets"];
        for name in &self.allow {
            if !NAMES.contains(&name.as_str()) {
                return Err(CommandError::new(
                    Code::CommandLineInvalid,
                    format!("`{name}` is no capability"),
                )
                .hint(format!("one of {}; folders are offered with `--allow-dir`", NAMES.join(", "))));
            }
            offer.allow.insert(name.clone());
        }
        offer.execution_tier_max = settings.execution_tiers.get(component.id()).copied();
        // The id of an unverified component is only its own claim: nobody's settings are handed out for it.
        if component.tier() > Tier::Unverified {
            offer.config = settings.plugins.get(&component.id().to_string()).cloned().unwrap_or_default();
        }
        Ok(offer)
    }
}

#[cfg(test)]
mod tests {
    use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime};

    use super::*;

    #[test]
    fn settings_are_for_one_plugin_and_not_for_who_claims_to_be_it() {
        let key = SigningKey::generate().unwrap();
        let publishers = ["acme", "evil"];
        let root =
            TrustRoot::local(&key.public(), "here", &publishers, Tier::VerifiedCommunity, UtcTime::MAX)
                .unwrap();
        let settings: Settings = toml::from_str("[plugins.\"acme:tool\"]\nkey = \"acme's\"\n").unwrap();
        let part = |name: &str| std::path::Path::new("/nowhere").join(name);
        let places = Places { config: part("config"), data: part("data"), cache: part("cache") };
        let offered = |id: &str, signed: bool| {
            let manifest = format!(
                r#"{{"id":"{id}","version":"0.1.0","kind":"tool","summary":"s","capabilities":{{}},"operations":[]}}"#
            );
            let bytes = loong_inspect::with_manifest(b"\0asm\x0d\0\x01\0", manifest.as_bytes()).unwrap();
            let candidate = |bundle| Candidate::read(bytes.clone(), bundle, "x").unwrap();
            let bundle = signed.then(|| loong_trust::sign(&key, &candidate(None)).unwrap());
            let verified = loong_trust::verify(candidate(bundle), &root, 0).unwrap();
            GrantArgs::default().offer(&settings, &places, &verified).unwrap().config.get("key").cloned()
        };
        assert_eq!(offered("acme:tool", true).as_deref(), Some("acme's"));
        assert_eq!(offered("acme:tool", false), None);
        assert_eq!(offered("evil:tool", true), None);
        assert_eq!(offered("acme:tools", true), None);
    }
}
