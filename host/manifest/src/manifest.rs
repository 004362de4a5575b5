//! `loong.plugin.json`: what a component says of itself and asks for. A manifest can only ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::strict::{self, StrictError};
use crate::{Capabilities, Code, InterfaceName, LimitsAsked, OperationName, PluginId};

/// The name of the JSON Schema of the manifest.
pub const SCHEMA_ID: &str = "loong.plugin/1";

/// Longest text field of a manifest, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Most entries in any list of a manifest.
const ENTRIES_MAX: usize = 1024;

/// What a component says of itself and asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Where the JSON Schema of this document is; for editors only.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// `publisher:name`.
    pub id: PluginId,
    /// The plugin's version (Semantic Versioning 2.0.0).
    #[schemars(with = "String")]
    pub version: semver::Version,
    /// What kind of plugin it is.
    pub kind: Kind,
    /// What it does, in one sentence.
    pub summary: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The language it is written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_language: Option<String>,
    /// Its licence as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What it asks of the host.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// The limits it asks for.
    #[serde(default)]
    pub limits: LimitsAsked,
    /// The functions it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationEntry>,
    /// The slots it wants to own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// What a person sets up before it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Setup>,
    /// The contracts it was built for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,
    /// Where the gateway mounts it; for surfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// What it says of its own tier. Ignored, and reported: a tier is computed from who signed the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<serde_json::Value>,
}

/// What kind of plugin a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Offers functions.
    Tool,
    /// A vertical system.
    Pack,
    /// A program that is run once (`wasi:cli/run`).
    Command,
    /// A model provider.
    Provider,
    /// A chat service.
    Channel,
    /// A memory system.
    Memory,
    /// A policy extension.
    Policy,
    /// An audit sink.
    Sink,
    /// An HTTP surface.
    Surface,
}

impl Kind {
    /// The kind as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Pack => "pack",
            Self::Command => "command",
            Self::Provider => "provider",
            Self::Channel => "channel",
            Self::Memory => "memory",
            Self::Policy => "policy",
            Self::Sink => "sink",
            Self::Surface => "surface",
        }
    }
}

/// How much an operation can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Changes nothing outside.
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Changes something for good: sends, pays, deletes.
    Irreversible,
}

impl Risk {
    /// The risk as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Irreversible => "irreversible",
        }
    }

    /// 0, 1 or 2, so that policies can compare risks.
    pub const fn rank(self) -> i64 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Irreversible => 2,
        }
    }
}

/// One function that the component offers. Authors write the name and the risk; `loong plugins build`
/// takes the rest from the WIT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationEntry {
    /// `namespace:package/interface@version#function`.
    pub name: OperationName,
    /// How much it can break.
    pub risk: Risk,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
    /// JSON Schema of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<serde_json::Value>,
    /// JSON Schema of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
    /// Arguments that show how it is called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<serde_json::Value>,
    /// Whether a model is shown the schema only after it searched for the tool.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub defer_loading: bool,
}

/// A role that a plugin takes in the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// The interface that the slot decides.
    pub interface: InterfaceName,
    /// Whether it has one owner.
    pub mode: SlotMode,
}

/// Whether a slot has one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SlotMode {
    /// One owner.
    Exclusive,
    /// Listed beside others.
    Shared,
}

/// What a person sets up before the plugin works. Shown without running anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Programs that have to be installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// Variables of the environment that have to be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Settings that have to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<String>,
    /// Where it is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// What to do when it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
}

/// The contracts that a component was built for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compatibility {
    /// WIT packages with versions, such as `loong:host@0.1.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wit: Vec<String>,
    /// Those of the host under which its tests passed last; `loong plugins test --record` writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<String>,
}

/// Where the gateway mounts a surface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path prefix, beginning with `/`.
    pub path: String,
}

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The text is not a manifest.
    #[error(transparent)]
    Text(#[from] StrictError),
    /// A field has a value that its type alone cannot refuse.
    #[error("`{field}` {problem}")]
    Field {
        /// Which field, as a path.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ManifestError {
    /// The public code.
    pub const fn code(&self) -> Code {
        Code::ManifestInvalid
    }
}

impl Manifest {
    /// Reads a manifest strictly.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = strict::read(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as it is embedded: two-space indentation, fields in the order of this type.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The entry of an operation.
    pub fn operation(&self, name: &OperationName) -> Option<&OperationEntry> {
        self.operations.iter().find(|entry| entry.name == *name)
    }

    fn check(&self) -> Result<(), ManifestError> {
        text("summary", &self.summary, 1)?;
        for tag in &self.tags {
            text("tags", tag, 1)?;
        }
        count("operations", self.operations.len())?;
        let mut names: Vec<_> = self.operations.iter().map(|entry| &entry.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(field(
                "operations",
                format!("names {} twice", pair.first().map_or(String::new(), ToString::to_string)),
            ));
        }
        self.check_reasons()?;
        self.check_scopes()
    }

    fn check_reasons(&self) -> Result<(), ManifestError> {
        let asked = &self.capabilities;
        let reasons = [
            ("log", asked.log.as_ref().map(|request| &request.reason)),
            ("config", asked.config.as_ref().map(|request| &request.reason)),
            ("kv", asked.kv.as_ref().map(|request| &request.reason)),
            ("process", asked.process.as_ref().map(|request| &request.reason)),
            ("filesystem", asked.filesystem.as_ref().map(|request| &request.reason)),
            ("tools", asked.tools.as_ref().map(|request| &request.reason)),
            ("stream", asked.stream.as_ref().map(|request| &request.reason)),
            ("http", asked.http.as_ref().map(|request| &request.reason)),
            ("tcp", asked.tcp.as_ref().map(|request| &request.reason)),
            ("secrets", asked.secrets.as_ref().map(|request| &request.reason)),
        ];
        for (name, reason) in reasons {
            if let Some(reason) = reason {
                text(&format!("capabilities.{name}.reason"), reason, 1)?;
            }
        }
        Ok(())
    }

    fn check_scopes(&self) -> Result<(), ManifestError> {
        if let Some(config) = &self.capabilities.config {
            count("capabilities.config.keys", config.keys.len())?;
            for key in &config.keys {
                text("capabilities.config.keys", key, 1)?;
            }
        }
        if let Some(process) = &self.capabilities.process {
            count("capabilities.process.commands", process.commands.len())?;
            for pattern in &process.commands {
                check_command(pattern)?;
            }
        }
        if let Some(filesystem) = &self.capabilities.filesystem {
            count("capabilities.filesystem.folders", filesystem.folders.len())?;
            for folder in &filesystem.folders {
                // Guest paths are `/NAME`, so a name is one plain path segment.
                PluginId::new("folder", &folder.name).map_err(|_| {
                    field(
                        "capabilities.filesystem.folders",
                        "holds a name that is not lower-case letters, digits and single hyphens".into(),
                    )
                })?;
            }
        }
        if let Some(tools) = &self.capabilities.tools {
            count("capabilities.tools.operations", tools.operations.len())?;
        }
        self.check_egress()
    }

    fn check_egress(&self) -> Result<(), ManifestError> {
        const HTTP: &str = "capabilities.http.destinations";
        const TCP: &str = "capabilities.tcp.destinations";
        const SECRETS: &str = "capabilities.secrets.uses";
        let asked = &self.capabilities;
        for destination in entries(HTTP, asked.http.as_ref().map(|http| &http.destinations))? {
            let more = destination.scheme.is_some() || destination.port.is_some();
            one_place(HTTP, destination.host.is_some(), destination.setting.as_deref(), more)?;
            port(HTTP, destination.port)?;
            if destination.methods.is_empty()
                || !destination.methods.iter().all(|method| crate::is_method(method))
            {
                return Err(field(
                    HTTP,
                    "needs methods in upper case, such as `GET`; `CONNECT` is none".into(),
                ));
            }
            count(HTTP, destination.methods.len())?;
        }
        for destination in entries(TCP, asked.tcp.as_ref().map(|tcp| &tcp.destinations))? {
            let more = destination.tls.is_some() || destination.port.is_some();
            one_place(TCP, destination.host.is_some(), destination.setting.as_deref(), more)?;
            port(TCP, destination.port)?;
            if destination.host.is_some() && destination.port.is_none() {
                return Err(field(TCP, "names a host without a port".into()));
            }
        }
        let uses = entries(SECRETS, asked.secrets.as_ref().map(|secrets| &secrets.uses))?;
        for secret in uses {
            PluginId::new("secret", &secret.name).map_err(|_| {
                field(
                    SECRETS,
                    "holds a name that is not lower-case letters, digits and single hyphens".into(),
                )
            })?;
            if secret.hosts.is_empty() && secret.setting.is_none() {
                return Err(field(SECRETS, "holds a secret that goes to no host".into()));
            }
            count(SECRETS, secret.hosts.len())?;
            if let Some(setting) = &secret.setting {
                text(SECRETS, setting, 1)?;
            }
        }
        let mut names: Vec<&str> = uses.iter().map(|secret| secret.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(field(SECRETS, "names a secret twice".into()));
        }
        Ok(())
    }
}

/// The entries of a list that has to hold something where it is there at all.
fn entries<'a, T>(path: &str, list: Option<&'a Vec<T>>) -> Result<&'a [T], ManifestError> {
    let Some(list) = list else { return Ok(&[]) };
    count(path, list.len())?;
    if list.is_empty() {
        return Err(field(path, "is empty".into()));
    }
    Ok(list)
}

/// A destination is a host or a setting, and what describes a host comes with one.
fn one_place(path: &str, host: bool, setting: Option<&str>, more: bool) -> Result<(), ManifestError> {
    match setting {
        None if host => Ok(()),
        Some(key) if !host && !more => text(path, key, 1),
        _ => Err(field(
            path,
            "needs either `host` or `setting`, and only `host` has a scheme, port or tls".into(),
        )),
    }
}

fn port(path: &str, port: Option<u16>) -> Result<(), ManifestError> {
    if port == Some(0) { Err(field(path, "has the port 0".into())) } else { Ok(()) }
}

fn check_command(pattern: &crate::CommandPattern) -> Result<(), ManifestError> {
    const FIELD: &str = "capabilities.process.commands";
    text(FIELD, &pattern.command, 1)?;
    if pattern.command.contains(['/', '\\', '*']) || pattern.command.starts_with(['-', '.']) {
        return Err(field(FIELD, "holds a command that is not a plain program name".into()));
    }
    for argument in pattern.arguments.iter().chain(&pattern.options) {
        text(FIELD, argument, 1)?;
    }
    if pattern
        .options
        .iter()
        .any(|option| !option.starts_with('-') || option.starts_with("-*") || option.starts_with("--*"))
    {
        return Err(field(FIELD, "holds an option that does not begin with `-` and a name".into()));
    }
    for (name, value) in &pattern.environment {
        text(FIELD, value, 0)?;
        let plain =
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !plain || name.is_empty() || name.starts_with("LD_") || name == "PATH" {
            return Err(field(
                FIELD,
                format!("sets `{}`, which a component may not set", crate::escape(name)),
            ));
        }
    }
    Ok(())
}

fn field(field: &str, problem: String) -> ManifestError {
    ManifestError::Field { field: field.to_owned(), problem }
}

fn text(name: &str, value: &str, bytes_min: usize) -> Result<(), ManifestError> {
    if value.len() < bytes_min {
        return Err(field(name, "is empty".into()));
    }
    if value.len() > TEXT_BYTES_MAX {
        return Err(field(name, format!("is longer than {TEXT_BYTES_MAX} bytes")));
    }
    if crate::escape_lines(value) != value {
        return Err(field(name, "holds control or hidden characters".into()));
    }
    Ok(())
}

fn count(name: &str, entries: usize) -> Result<(), ManifestError> {
    if entries > ENTRIES_MAX {
        return Err(field(name, format!("has more than {ENTRIES_MAX} entries")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(extra: &str) -> String {
        format!(
            "{{\"id\":\"acme:weather\",\"version\":\"1.2.0\",\"kind\":\"tool\",\"summary\":\"s\"{extra}}}"
        )
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = Manifest::read(text.as_bytes()).map(|_| "accepted".to_owned());
        assert_eq!(said.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn accepts_the_smallest_manifest_and_writes_it_back() {
        check(&with(""), "accepted");
        let manifest = Manifest::read(with("").as_bytes()).unwrap();
        assert_eq!(Manifest::read(manifest.to_json().as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn refuses_an_unknown_field_with_its_place() {
        check(
            &with(",\n\"trust\":\"official\""),
            "line 2, column 7: unknown field `trust`, expected one of `$schema`, `id`, `version`, `kind`, `summary`, `tags`, `source_language`, `licence`, `capabilities`, `limits`, `operations`, `slots`, `setup`, `compatibility`, `routes`, `tier`",
        );
    }

    #[test]
    fn a_tier_of_its_own_is_kept_to_be_reported() {
        check(&with(",\"tier\":\"official\""), "accepted");
        check(&with(",\"tier\":[1]"), "accepted");
        let manifest = Manifest::read(with(",\"tier\":\"official\"").as_bytes()).unwrap();
        assert_eq!(Manifest::read(manifest.to_json().as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn refuses_a_capability_without_a_reason() {
        check(&with(",\"capabilities\":{\"log\":{}}"), "line 1, column 91: missing field `reason`");
        check(&with(",\"capabilities\":{\"log\":{\"reason\":\"\"}}"), "`capabilities.log.reason` is empty");
    }

    #[test]
    fn refuses_commands_that_reach_further_than_they_say() {
        let command = |command: &str| {
            with(&format!(",\"capabilities\":{{\"process\":{{\"reason\":\"r\",\"commands\":[{command}]}}}}"))
        };
        check(&command("{\"command\":\"git\",\"options\":[\"--no-color\"]}"), "accepted");
        check(
            &command("{\"command\":\"/bin/sh\"}"),
            "`capabilities.process.commands` holds a command that is not a plain program name",
        );
        check(
            &command("{\"command\":\"git\",\"options\":[\"-*\"]}"),
            "`capabilities.process.commands` holds an option that does not begin with `-` and a name",
        );
        check(
            &command("{\"command\":\"git\",\"environment\":{\"LD_PRELOAD\":\"x\"}}"),
            "`capabilities.process.commands` sets `LD_PRELOAD`, which a component may not set",
        );
    }

    #[test]
    fn refuses_hidden_characters_and_double_operations() {
        check(&with("").replace("\"s\"", "\"a\\u202eb\""), "`summary` holds control or hidden characters");
        check(
            &with(
                ",\"operations\":[{\"name\":\"a:b/c#d\",\"risk\":\"read\"},{\"name\":\"a:b/c#d\",\"risk\":\"write\"}]",
            ),
            "`operations` names a:b/c#d twice",
        );
    }

    #[test]
    fn refuses_folder_names_that_are_paths() {
        check(
            &with(
                ",\"capabilities\":{\"filesystem\":{\"reason\":\"r\",\"folders\":[{\"name\":\"../etc\",\"access\":\"read\"}]}}",
            ),
            "`capabilities.filesystem.folders` holds a name that is not lower-case letters, digits and single hyphens",
        );
    }
}
