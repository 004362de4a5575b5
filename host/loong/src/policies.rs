//! The policies that a run is decided by, from their files: a preset or a folder, and the user's own.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use loong_manifest::Code;
use loong_policy::{Finding, PolicyError, PolicySet, Preset, Severity, Source};
use rustix::fs::OFlags;

use crate::error::CommandError;
use crate::places::Places;
use crate::risk;
use crate::settings::Settings;

/// Most policy files of a folder.
const FILES_MAX: usize = 256;
/// Most that is read of a policy file. What is longer than the policies' own limit is refused there, by name.
const FILE_BYTES_MAX: u64 = 512 << 10;
/// The file of a policy folder that says what tiers are given.
const TIERS_FILE: &str = "tiers.toml";

/// What was read of policy files, and what could not be.
pub struct Files {
    /// The preset, if one was named.
    pub preset: Option<Preset>,
    /// The policies.
    pub sources: Vec<Source>,
    /// The text of the `tiers.toml`.
    pub tiers: String,
    /// The files that could not be read as text, in the order of their names.
    pub findings: Vec<Finding>,
}

/// The policies that a run is decided by: the preset or folder that the flag names, else the settings, else
/// the default; the user's own policies in addition; and what raises risks.
pub fn policy(flag: Option<&str>, settings: &Settings, places: &Places) -> Result<PolicySet, CommandError> {
    let set = files(name(flag, settings), places)?.set()?;
    Ok(match risk::profile(settings, places)? {
        None => set,
        Some(pinned) => set.with_risk_profile(pinned.profile),
    })
}

/// The name of the policies in force.
pub fn name<'a>(flag: Option<&'a str>, settings: &'a Settings) -> &'a str {
    flag.or(settings.policy.as_deref()).unwrap_or(Preset::Default.as_str())
}

impl Files {
    /// The set that these files make, with the risk profile of the preset.
    pub fn set(&self) -> Result<PolicySet, CommandError> {
        if let Some((first, more)) = self.findings.split_first() {
            return Err(PolicyError { first: first.clone(), more: more.to_vec() }.into());
        }
        let set = match self.preset {
            Some(preset) if self.sources == preset.sources() => PolicySet::builtin(preset)?,
            _ => PolicySet::read(&self.sources, &self.tiers)?,
        };
        let profile = match self.preset {
            Some(preset) => preset.risk_profile()?,
            None => None,
        };
        Ok(match profile {
            None => set,
            Some(profile) => set.with_risk_profile(profile),
        })
    }
}

/// The files of a preset, or of a folder, and the user's own in addition.
pub fn files(name: &str, places: &Places) -> Result<Files, CommandError> {
    let preset = Preset::ALL.into_iter().find(|preset| preset.as_str() == name);
    let mut files = match preset {
        Some(preset) => Files {
            preset: Some(preset),
            sources: preset.sources(),
            tiers: preset.tiers().to_owned(),
            findings: Vec::new(),
        },
        None => folder(name)?,
    };
    cedar_files(&places.policies(), &mut files)?;
    Ok(files)
}

fn folder(name: &str) -> Result<Files, CommandError> {
    let folder = Path::new(name);
    let tiers = Preset::Default.tiers().to_owned();
    let mut files = Files { preset: None, sources: Vec::new(), tiers, findings: Vec::new() };
    cedar_files(folder, &mut files)?;
    if files.sources.is_empty() && files.findings.is_empty() {
        return Err(CommandError::new(
            Code::PolicyInvalid,
            format!("`{name}` is no preset and no folder with .cedar files"),
        )
        .hint("the presets are default, balanced, strict and ci"));
    }
    let tiers = folder.join(TIERS_FILE);
    // A link that leads nowhere is a mistake, not an absent file.
    if std::fs::symlink_metadata(&tiers).is_ok() {
        match read_text(&tiers, TIERS_FILE) {
            Ok(text) => files.tiers = text,
            Err(finding) => files.findings.push(finding),
        }
    }
    Ok(files)
}

/// Adds the policy files of a folder in the order of their names; none when there is no such folder.
fn cedar_files(folder: &Path, files: &mut Files) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::file(Code::PolicyInvalid, "read the policies in", folder, &error)
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(CommandError::new(
                Code::PolicyInvalid,
                format!("`{}` holds more than {FILES_MAX} policy files", folder.display()),
            ));
        }
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match read_text(&path, &name) {
            Ok(text) => files.sources.push(Source { name, text }),
            Err(finding) => files.findings.push(finding),
        }
    }
    Ok(())
}

/// The text of a file, or what is wrong with the file and where.
fn read_text(path: &Path, name: &str) -> Result<String, Finding> {
    let wrong = |line: usize, column: usize, message: String| Finding {
        file: name.to_owned(),
        line,
        column,
        severity: Severity::Error,
        message,
    };
    let bytes = read_plain(path, FILE_BYTES_MAX)
        .map_err(|error| wrong(1, 1, format!("the file cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        wrong(good.matches('\n').count() + 1, column, "the file is not UTF-8 here".to_owned())
    })
}

/// Reads a plain file whole. A pipe or a device in its place does not hold the program up.
pub fn read_plain(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(std::io::Error::other)?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}
