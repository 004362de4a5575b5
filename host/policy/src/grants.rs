//! What a plugin was granted, and the checks of arguments against it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use loong_manifest::{Access, CommandPattern, OperationName, OperationPattern};
use serde::Serialize;

/// What a plugin may reach: the outcome of admission. What is not in here is not linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// Whether it may write log lines.
    pub log: bool,
    /// Whether it may push text to whoever watches the run.
    pub stream: bool,
    /// Whether it has a key-value space of its own.
    pub kv: bool,
    /// The settings it may read, with their values; keys that nobody set are not in here. None if it may not
    /// read settings at all.
    pub config: Option<BTreeMap<String, String>>,
    /// The command lines it may start.
    pub commands: Vec<CommandPattern>,
    /// The folders it sees, each name once.
    pub folders: Vec<FolderGrant>,
    /// The operations of other plugins that it may call.
    #[serde(serialize_with = "patterns")]
    operations: Arc<[OperationPattern]>,
}

/// A folder that a plugin sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderGrant {
    /// Its name; the guest sees it as `/NAME`.
    pub name: String,
    /// The folder of the host.
    pub host: PathBuf,
    /// What may be done in it.
    pub access: Access,
}

fn patterns<S: serde::Serializer>(
    patterns: &Arc<[OperationPattern]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(patterns.iter())
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            log: false,
            stream: false,
            kv: false,
            config: None,
            commands: Vec::new(),
            folders: Vec::new(),
            operations: Arc::from([]),
        }
    }
}

impl Grants {
    /// The grants with these operations of other plugins.
    #[must_use]
    pub fn with_operations(self, operations: impl Into<Arc<[OperationPattern]>>) -> Self {
        Self { operations: operations.into(), ..self }
    }

    /// The first pattern that covers a command line. The pattern's environment is the one to use.
    pub fn command(&self, command: &str, arguments: &[String]) -> Option<&CommandPattern> {
        self.commands.iter().find(|pattern| pattern.covers(command, arguments))
    }

    /// Whether the plugin may call this operation of another plugin.
    pub fn operation(&self, operation: &OperationName) -> bool {
        self.operations.iter().any(|pattern| pattern.covers(operation))
    }

    /// The patterns of the operations it may call.
    pub const fn operations(&self) -> &Arc<[OperationPattern]> {
        &self.operations
    }

    /// The value of a setting. None if the plugin may not read it, or nobody set it.
    pub fn config(&self, key: &str) -> Option<&str> {
        self.config.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether the results of the plugin can depend on nothing but the arguments, and it changes nothing:
    /// it holds no grant but `log`.
    pub fn is_pure(&self) -> bool {
        !(self.stream || self.kv || self.config.is_some())
            && self.commands.is_empty()
            && self.folders.is_empty()
            && self.operations.is_empty()
    }

    /// Whether the capability of this name was granted, in whatever scope.
    pub fn has(&self, capability: &str) -> bool {
        match capability {
            "log" => self.log,
            "stream" => self.stream,
            "kv" => self.kv,
            "config" => self.config.is_some(),
            "process" => !self.commands.is_empty(),
            "filesystem" => !self.folders.is_empty(),
            "tools" => !self.operations.is_empty(),
            _ => false,
        }
    }

    /// The names of the granted capabilities, for records.
    pub fn names(&self) -> Vec<String> {
        crate::admission::CAPABILITIES.into_iter().filter(|name| self.has(name)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git() -> Grants {
        let pattern = |arguments: &[&str]| CommandPattern {
            command: "git".into(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            options: Vec::new(),
            operands_max: 0,
            environment: BTreeMap::new(),
        };
        Grants { commands: vec![pattern(&["log"]), pattern(&["tag", "--list"])], ..Grants::default() }
            .with_operations(vec!["core:text/*".parse().unwrap()])
    }

    #[track_caller]
    fn check(line: &str, expected: Option<usize>) {
        let mut words = line.split(' ').map(str::to_owned);
        let command = words.next().unwrap();
        let grants = git();
        let found = grants.command(&command, &words.collect::<Vec<_>>());
        assert_eq!(found, expected.map(|index| &grants.commands[index]), "{line}");
    }

    #[test]
    fn finds_the_pattern_of_a_command_line() {
        check("git log", Some(0));
        check("git tag --list", Some(1));
        check("git push", None);
        check("sh log", None);
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let none = Grants::default();
        assert!(none.is_pure());
        assert!(none.names().is_empty());
        assert!(!none.operation(&"core:text/text#diff".parse().unwrap()));
        assert_eq!(none.config("git.max"), None);
    }

    #[test]
    fn every_grant_but_log_ends_purity() {
        let pure = |change: &dyn Fn(&mut Grants)| {
            let mut grants = Grants::default();
            change(&mut grants);
            assert_eq!(grants.names().len(), 1);
            grants.is_pure()
        };
        assert!(pure(&|grants| grants.log = true));
        assert!(!pure(&|grants| grants.stream = true));
        assert!(!pure(&|grants| grants.kv = true));
        assert!(!pure(&|grants| grants.config = Some(BTreeMap::new())));
        assert!(!pure(&|grants| grants.commands = git().commands));
        assert!(!pure(&|grants| *grants = grants.clone().with_operations(vec!["*".parse().unwrap()])));
        assert!(!pure(&|grants| {
            grants.folders = vec![FolderGrant { name: "w".into(), host: "/w".into(), access: Access::Read }];
        }));
    }

    #[test]
    fn operations_are_granted_by_pattern() {
        assert!(git().operation(&"core:text/text@0.1.0#diff".parse().unwrap()));
        assert!(!git().operation(&"core:textual/text@0.1.0#diff".parse().unwrap()));
        assert_eq!(git().names(), ["process", "tools"]);
    }
}
