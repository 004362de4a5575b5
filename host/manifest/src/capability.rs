//! What a component may ask of the host: one member per capability, each with its scope and a reason
//! that a person can read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{HttpRequest, InterfaceName, OperationPattern, SecretsRequest, TcpRequest};

/// The capabilities that a manifest asks for. A member that is absent is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Structured log lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogRequest>,
    /// Settings that the operator chose for this plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigRequest>,
    /// A small key-value space of the plugin's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<KvRequest>,
    /// Programs on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRequest>,
    /// Folders on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FilesystemRequest>,
    /// Operations of other plugins, by typed import or by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolsRequest>,
    /// Pushing text to whoever watches the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamRequest>,
    /// Requests to other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpRequest>,
    /// Connections to other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpRequest>,
    /// Secrets of the operator, put into requests by the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretsRequest>,
}

/// Asks for `loong:host/log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// Why the component needs it.
    pub reason: String,
}

/// Asks for `loong:host/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// The keys it reads, each exact.
    pub keys: Vec<String>,
    /// Why the component needs it.
    pub reason: String,
}

/// Asks for `loong:host/kv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvRequest {
    /// Why the component needs it.
    pub reason: String,
}

/// Asks for `loong:host/process`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessRequest {
    /// The command lines it starts.
    pub commands: Vec<CommandPattern>,
    /// Why the component needs it.
    pub reason: String,
}

/// One shape of command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandPattern {
    /// The program's name, without a path; the host looks it up in a fixed search path.
    pub command: String,
    /// The first arguments, each exact and in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Which options may follow, in any order: exact, or with `*` for any run of characters. An argument
    /// that begins with `-` and matches none of these is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// How many other arguments may follow. They never begin with `-`.
    #[serde(default)]
    pub operands_max: u32,
    /// The variables that the program sees besides a fixed `PATH` and `LANG`; nothing is inherited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

impl CommandPattern {
    /// Whether a command line has this shape.
    pub fn covers(&self, command: &str, arguments: &[String]) -> bool {
        if command != self.command || arguments.iter().any(|argument| argument.contains('\0')) {
            return false;
        }
        let Some((first, rest)) = arguments.split_at_checked(self.arguments.len()) else { return false };
        if first != self.arguments.as_slice() {
            return false;
        }
        let (options, operands): (Vec<&String>, Vec<&String>) =
            rest.iter().partition(|argument| argument.starts_with('-'));
        operands.len() <= self.operands_max as usize
            && options
                .iter()
                .all(|option| self.options.iter().any(|pattern| pattern_matches(pattern, option)))
    }
}

/// Asks for folders through `wasi:filesystem`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesystemRequest {
    /// The folders, by name; the operator says which folder of the host each is.
    pub folders: Vec<Folder>,
    /// Why the component needs it.
    pub reason: String,
}

/// One named folder. The guest sees it as `/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Its name, such as `workspace`.
    pub name: String,
    /// What may be done in it.
    pub access: Access,
}

/// What may be done in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Listing and reading.
    Read,
    /// Reading, creating, changing and removing.
    Write,
}

impl Access {
    /// The access as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Asks to call operations of other plugins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolsRequest {
    /// Which operations, as patterns.
    pub operations: Vec<OperationPattern>,
    /// Why the component needs it.
    pub reason: String,
}

/// Asks for `loong:host/stream`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Why the component needs it.
    pub reason: String,
}

/// What importing an interface asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Nothing outside the instance can be reached through it: types, streams, captured output, clocks,
    /// random numbers. Linked for everyone, needs no declaration.
    None,
    /// A capability of this name (a member of [`Capabilities`]).
    Capability(&'static str),
    /// WASI interfaces linked without any authority, for components that were not written for Loong; no
    /// capability opens them yet.
    Empty,
    /// Another plugin's export.
    Plugin,
    /// A contract that this host does not offer.
    Unknown,
}

/// The interfaces of `loong:host` that are capabilities.
const HOST: [&str; 7] = ["log", "config", "kv", "process", "tools", "stream", "tcp"];

/// What importing this interface asks for.
pub fn authority_of_import(interface: &InterfaceName) -> Authority {
    let path = interface.path();
    match path.split_once('/').map_or((path, ""), |parts| parts) {
        ("wasi:io" | "wasi:cli" | "wasi:clocks" | "wasi:random", _) | ("loong:host", "types") => {
            Authority::None
        }
        ("wasi:filesystem", _) => Authority::Capability("filesystem"),
        ("wasi:sockets", _) => Authority::Empty,
        // Messages that nobody sends; a component that only answers requests uses them too.
        ("wasi:http", "types") => Authority::None,
        ("wasi:http", "outgoing-handler") => Authority::Capability("http"),
        ("loong:host", name) => {
            HOST.into_iter().find(|known| *known == name).map_or(Authority::Unknown, Authority::Capability)
        }
        _ if interface.namespace() == "wasi" => Authority::Unknown,
        // A contract such as `loong:provider/chat` is offered by plugins like any other interface.
        _ => Authority::Plugin,
    }
}

impl Capabilities {
    /// Whether the capability of this name is asked for.
    pub fn asks(&self, name: &str) -> bool {
        match name {
            "log" => self.log.is_some(),
            "config" => self.config.is_some(),
            "kv" => self.kv.is_some(),
            "process" => self.process.is_some(),
            "filesystem" => self.filesystem.is_some(),
            "tools" => self.tools.is_some(),
            "stream" => self.stream.is_some(),
            "http" => self.http.is_some(),
            "tcp" => self.tcp.is_some(),
            "secrets" => self.secrets.is_some(),
            _ => false,
        }
    }
}

/// Whether a text matches a pattern in which `*` stands for any run of characters. Linear in the product
/// of both lengths, without recursion.
pub fn pattern_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(interface: &str) -> Authority {
        authority_of_import(&interface.parse().unwrap())
    }

    #[test]
    fn imports_ask_for_what_they_open() {
        assert_eq!(authority("wasi:io/streams@0.2.6"), Authority::None);
        assert_eq!(authority("loong:host/types@0.1.0"), Authority::None);
        assert_eq!(authority("loong:host/process@0.1.0"), Authority::Capability("process"));
        assert_eq!(authority("wasi:filesystem/types@0.2.6"), Authority::Capability("filesystem"));
        assert_eq!(authority("wasi:sockets/tcp@0.2.6"), Authority::Empty);
        assert_eq!(authority("wasi:http/types@0.2.6"), Authority::None);
        assert_eq!(authority("wasi:http/outgoing-handler@0.2.6"), Authority::Capability("http"));
        assert_eq!(authority("wasi:http/incoming-handler@0.2.6"), Authority::Unknown);
        assert_eq!(authority("loong:host/tcp@0.1.0"), Authority::Capability("tcp"));
        assert_eq!(authority("loong:host/secret@0.1.0"), Authority::Unknown);
        assert_eq!(authority("core:git/git@0.1.0"), Authority::Plugin);
    }

    fn matches(pattern: &str, text: &str) -> bool {
        pattern_matches(pattern, text)
    }

    #[test]
    fn a_star_stands_for_any_run_and_nothing_else_is_special() {
        assert!(matches("--format=*", "--format=%H%n"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "a--b--b--c"));
        assert!(matches("a.c", "a.c"));
        assert!(!matches("a.c", "abc"));
        assert!(!matches("a*a", "a"));
        assert!(!matches("--max", "--max=1"));
        assert!(!matches("a*b", "acbd"));
    }

    fn git() -> CommandPattern {
        CommandPattern {
            command: "git".into(),
            arguments: vec!["--no-pager".into(), "log".into()],
            options: vec!["--max-count=*".into(), "-z".into()],
            operands_max: 1,
            environment: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(command: &str, line: &str, expected: bool) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(git().covers(command, &arguments), expected, "{command} {line}");
    }

    #[test]
    fn covers_the_command_line_that_was_declared() {
        check("git", "--no-pager log", true);
        check("git", "--no-pager log -z --max-count=5 HEAD", true);
    }

    #[test]
    fn refuses_every_other_command_line() {
        check("sh", "--no-pager log", false);
        check("git", "log", false);
        check("git", "--no-pager push", false);
        check("git", "--no-pager", false);
        check("git", "--no-pager log --output=x", false);
        check("git", "--no-pager log a b", false);
        check("git", "--no-pager log -- x", false);
    }
}
