//! What a plugin was granted, and the checks of arguments against it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use loong_manifest::{
    Access, CommandPattern, Endpoint, HostName, HostPattern, OperationName, OperationPattern, Scheme, Tls,
};
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
    /// Where its requests may go.
    pub http: Vec<HttpGrant>,
    /// Where its connections may go.
    pub tcp: Vec<TcpGrant>,
    /// The secrets that may be put into its requests, and the hosts of these requests.
    pub secrets: BTreeMap<String, Vec<HostName>>,
    /// What may be reached although its address is inside the operator's own network, because the operator named
    /// it. It opens nothing by itself.
    pub inside: Vec<Endpoint>,
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

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpGrant {
    /// How they travel.
    pub scheme: Scheme,
    /// The hosts.
    pub host: HostPattern,
    /// The port.
    pub port: u16,
    /// The methods, each exact.
    pub methods: Vec<String>,
}

/// Where connections may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TcpGrant {
    /// The hosts.
    pub host: HostPattern,
    /// The port.
    pub port: u16,
    /// Whether it is one over TLS.
    pub tls: Tls,
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
            http: Vec::new(),
            tcp: Vec::new(),
            secrets: BTreeMap::new(),
            inside: Vec::new(),
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

    /// Whether a request may be made.
    pub fn request(&self, scheme: Scheme, to: &Endpoint, method: &str) -> bool {
        self.http.iter().any(|grant| {
            grant.scheme == scheme
                && grant.port == to.port
                && grant.host.covers(&to.host)
                && grant.methods.iter().any(|granted| granted == method)
        })
    }

    /// Whether a connection may be made.
    pub fn connection(&self, to: &Endpoint, tls: Tls) -> bool {
        self.tcp.iter().any(|grant| grant.tls == tls && grant.port == to.port && grant.host.covers(&to.host))
    }

    /// What of the operator's own network may be reached at a host. Every host is every one outside of it: what was
    /// named for another plugin is not meant.
    pub fn inside_of(&self, to: &Endpoint) -> &[Endpoint] {
        let names =
            |host: &HostPattern, port| *host != HostPattern::Any && port == to.port && host.covers(&to.host);
        let named = self.http.iter().any(|grant| names(&grant.host, grant.port))
            || self.tcp.iter().any(|grant| names(&grant.host, grant.port));
        if named { &self.inside } else { &[] }
    }

    /// Whether a secret may go to a host.
    pub fn secret(&self, name: &str, host: &HostName) -> bool {
        self.secrets.get(name).is_some_and(|hosts| hosts.contains(host))
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
            && self.http.is_empty()
            && self.tcp.is_empty()
            && self.secrets.is_empty()
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
            "http" => !self.http.is_empty(),
            "tcp" => !self.tcp.is_empty(),
            "secrets" => !self.secrets.is_empty(),
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

    fn web() -> Grants {
        Grants {
            http: vec![HttpGrant {
                scheme: Scheme::Https,
                host: "*.example.com".parse().unwrap(),
                port: 443,
                methods: vec!["GET".into(), "POST".into()],
            }],
            tcp: vec![TcpGrant { host: "siem.example.com".parse().unwrap(), port: 6514, tls: Tls::Required }],
            secrets: [("token".to_owned(), vec!["api.example.com".parse().unwrap()])].into(),
            ..Grants::default()
        }
    }

    #[track_caller]
    fn request(scheme: Scheme, to: &str, method: &str, expected: bool) {
        assert_eq!(web().request(scheme, &to.parse().unwrap(), method), expected, "{scheme} {to} {method}");
    }

    #[test]
    fn a_request_fits_in_scheme_host_port_and_method() {
        request(Scheme::Https, "api.example.com:443", "GET", true);
        request(Scheme::Https, "api.example.com:443", "POST", true);
        request(Scheme::Http, "api.example.com:443", "GET", false);
        request(Scheme::Https, "example.com:443", "GET", false);
        request(Scheme::Https, "api.example.com:8443", "GET", false);
        request(Scheme::Https, "api.example.com:443", "DELETE", false);
        request(Scheme::Https, "api.example.com:443", "get", false);
        request(Scheme::Https, "192.0.2.1:443", "GET", false);
    }

    #[test]
    fn every_host_is_every_one_outside() {
        let inside: Endpoint = "10.0.0.5:443".parse().unwrap();
        let any = HttpGrant {
            scheme: Scheme::Https,
            host: HostPattern::Any,
            port: 443,
            methods: vec!["GET".into()],
        };
        let mut grants = web();
        grants.inside = vec![inside.clone()];
        grants.http.push(any);
        assert!(grants.request(Scheme::Https, &"other.example:443".parse().unwrap(), "GET"));
        assert!(grants.request(Scheme::Https, &inside, "GET"), "the address itself says that it is inside");
        let check = |to: &str, expected: bool| {
            assert_eq!(!grants.inside_of(&to.parse().unwrap()).is_empty(), expected, "{to}");
        };
        check("10.0.0.5:443", false);
        check("other.example:443", false);
        check("api.example.com:443", true);
        check("api.example.com:6514", false);
        check("siem.example.com:6514", true);
    }

    #[test]
    fn a_connection_fits_in_host_port_and_tls() {
        let check = |to: &str, tls, expected: bool| {
            assert_eq!(web().connection(&to.parse().unwrap(), tls), expected, "{to} {tls:?}");
        };
        check("siem.example.com:6514", Tls::Required, true);
        check("siem.example.com:6514", Tls::None, false);
        check("siem.example.com:514", Tls::Required, false);
        check("other.example.com:6514", Tls::Required, false);
    }

    #[test]
    fn a_secret_goes_to_the_hosts_it_was_granted_for() {
        assert!(web().secret("token", &"api.example.com".parse().unwrap()));
        assert!(!web().secret("token", &"other.example.com".parse().unwrap()));
        assert!(!web().secret("other", &"api.example.com".parse().unwrap()));
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
        assert!(!pure(&|grants| grants.http = web().http));
        assert!(!pure(&|grants| grants.tcp = web().tcp));
        assert!(!pure(&|grants| grants.secrets = web().secrets));
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
