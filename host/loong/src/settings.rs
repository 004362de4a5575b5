//! `loong.toml`: the operator's settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loong_kernel::RecordArguments;
use loong_manifest::{Code, Endpoint, ExecutionTier, PluginId};
use serde::Deserialize;

use crate::error::CommandError;
use crate::sinks::{self, SinkSettings};

/// Largest settings file, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The operator's settings. Every member may be absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which policies: a preset's name, or a folder of `.cedar` files.
    pub policy: Option<String>,
    /// Settings of plugins by plugin id, read through `loong:host/config`.
    #[serde(default)]
    pub plugins: BTreeMap<String, BTreeMap<String, String>>,
    /// The widest execution tier of plugins by plugin id. Policy can set a tighter one; this widens none.
    #[serde(default)]
    pub execution_tiers: BTreeMap<PluginId, ExecutionTier>,
    /// Policy extensions, by id or name of an installed component. Nothing runs without them.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Approvals.
    #[serde(default)]
    pub approvals: ApprovalSettings,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditSettings,
    /// What raises risks.
    #[serde(default)]
    pub risk: RiskSettings,
    /// Where the audit log is delivered to.
    #[serde(default)]
    pub sinks: Vec<SinkSettings>,
    /// The way to other machines.
    #[serde(default)]
    pub egress: EgressSettings,
    /// How versions of plugins take each other's places.
    #[serde(default)]
    pub swap: SwapSettings,
    /// What is installed from registries.
    #[serde(default)]
    pub registries: RegistrySettings,
}

/// Settings of what is installed from registries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// What is done at the next refresh about a version that was taken back.
    #[serde(default)]
    pub taken_back: TakenBack,
}

/// What is done about a version that was taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TakenBack {
    /// It is said.
    #[default]
    Flag,
    /// Nobody calls it any more; a person can clear it.
    Drain,
    /// It is not installed any more; a person can undo that.
    Remove,
}

/// Settings of how versions of plugins take each other's places.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapSettings {
    /// How long a new version has to prove itself, in seconds; five minutes without it. When it fails in half of its
    /// calls, three times or more, the version before takes its place again.
    pub probation_seconds: Option<u32>,
    /// How long calls of the version before may go on, in seconds; 30 without it.
    pub drain_seconds: Option<u32>,
}

impl SwapSettings {
    /// How long a new version has to prove itself, in milliseconds.
    pub fn probation_ms(&self) -> u64 {
        u64::from(self.probation_seconds.unwrap_or(300)) * 1_000
    }

    /// How long calls of the version before may go on, in milliseconds.
    pub fn drain_ms(&self) -> u64 {
        u64::from(self.drain_seconds.unwrap_or(30)) * 1_000
    }
}

/// Settings of the way to other machines.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressSettings {
    /// Hosts and ports, such as `10.0.0.5:6514`, that plugins may reach although their addresses are inside the
    /// own network. They grant nothing by themselves.
    #[serde(default)]
    pub allow_private: Vec<Endpoint>,
    /// A file of certificates in PEM that vouch for other machines, besides those of the system.
    pub ca_file: Option<PathBuf>,
}

/// The risk profile that holds in addition to that of the policies. Both members, or none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskSettings {
    /// Its file, from the folder of the settings; its signature lies beside it. `balanced` is the one that ships
    /// with Loong and needs no pin.
    pub profile: Option<String>,
    /// The SHA-256 of exactly this file.
    pub sha256: Option<String>,
}

/// Settings of approvals.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSettings {
    /// How long a request waits and an approval can be used, in minutes; a day without it.
    pub expires_minutes: Option<u32>,
}

impl ApprovalSettings {
    /// How long a request waits, in milliseconds.
    pub fn life_ms(&self) -> u64 {
        u64::from(self.expires_minutes.unwrap_or(24 * 60)) * 60_000
    }
}

/// Of which calls the arguments are recorded.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedArguments {
    /// Of none; only their digest is.
    #[default]
    Never,
    /// Of those that change something.
    Changes,
    /// Of all.
    Always,
}

impl From<RecordedArguments> for RecordArguments {
    fn from(recorded: RecordedArguments) -> Self {
        match recorded {
            RecordedArguments::Never => Self::Never,
            RecordedArguments::Changes => Self::Changes,
            RecordedArguments::Always => Self::Always,
        }
    }
}

/// Settings of the audit log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    /// Largest size of the database, in bytes; when it is reached, nothing runs until room is made.
    pub bytes_max: Option<u64>,
    /// Where else each signed checkpoint goes: a file that is replaced, or a folder, in which the file is named after
    /// the log. Outside the data folder, best on another disk. The disk is flushed for it.
    pub checkpoint_file: Option<PathBuf>,
    /// Whether nothing may run when a checkpoint cannot be written there. Otherwise a warning says so.
    #[serde(default)]
    pub checkpoint_required: bool,
    /// How many days records are kept; forever without it.
    pub keep_days: Option<u32>,
    /// How many records are kept; all without it.
    pub keep_records: Option<u64>,
    /// Of which calls the arguments themselves are recorded: `never`, `changes` or `always`.
    #[serde(default)]
    pub record_arguments: RecordedArguments,
}

impl Settings {
    /// Reads the file. An absent file sets nothing.
    pub fn read(path: &Path) -> Result<Self, CommandError> {
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(metadata) if metadata.len() > BYTES_MAX => {
                return Err(CommandError::new(
                    Code::ConfigInvalid,
                    format!("`{}` is larger than {BYTES_MAX} bytes", path.display()),
                ));
            }
            _ => std::fs::read_to_string(path).map_err(|error| {
                CommandError::file(Code::ConfigInvalid, "read the settings", path, &error)
            })?,
        };
        let wrong = |problem: String| {
            CommandError::new(Code::ConfigInvalid, format!("the settings in `{}` are wrong", path.display()))
                .detail(problem)
        };
        let settings: Self =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        sinks::check(&settings.sinks).map_err(wrong)?;
        Ok(settings)
    }
}
