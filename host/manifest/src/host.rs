//! Other machines as they are named in manifests, settings and addresses: one strict reading for all of them,
//! so that what was granted and what is reached are the same text.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name of a host, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
/// Longest label of a name, in bytes (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;

/// Why a text is no name of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// Longer than a name can be.
    #[error("is longer than a host name can be")]
    Long,
    /// Letters that are not lower-case ASCII; names of other scripts are written as `xn--…`.
    #[error("holds something else than lower-case letters, digits, hyphens and dots")]
    Character,
    /// An empty label, also the one after a dot at the end, or a hyphen at the end of a label.
    #[error("has an empty label, a dot at its end, or a label with a hyphen at its end")]
    Label,
    /// Something that resolvers read as an address, and that is not written as one.
    #[error("ends in a number but is not an address in its plain form")]
    Number,
    /// A wildcard that is too wide or in the wrong place.
    #[error("has a wildcard that is not `*.` before at least two labels")]
    Wildcard,
    /// No port, or one that is no number from 1 to 65535.
    #[error("needs a port from 1 to 65535 after a colon")]
    Port,
}

/// A host: a name in lower case, or an address in its plain form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HostName {
    /// A name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl HostName {
    /// The address, if it is one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Address(address) => Some(*address),
        }
    }
}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            // Only the one plain form, so that two texts never mean the same host.
            return if address.to_string() == text {
                Ok(Self::Address(address))
            } else {
                Err(HostError::Number)
            };
        }
        name(text)?;
        Ok(Self::Name(text.to_owned()))
    }
}

fn name(text: &str) -> Result<(), HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(HostError::Long);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if !text.bytes().all(plain) {
        return Err(HostError::Character);
    }
    for label in text.split('.') {
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err(HostError::Label);
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(HostError::Long);
        }
    }
    // `127.1`, `2130706433` and `0x7f000001` are addresses to a resolver.
    let last = text.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x");
    if last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(HostError::Number);
    }
    Ok(())
}

impl TryFrom<String> for HostName {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.to_string()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

/// Which hosts: one, all below a name, or every one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HostPattern {
    /// This host.
    Exact(HostName),
    /// Every name that ends in this one with at least one label before it: `*.example.com`.
    Below(String),
    /// Every host that lies outside: `*`. Only a setting of the operator can say so, a manifest cannot.
    Any,
}

impl HostPattern {
    /// Whether the pattern covers a host.
    pub fn covers(&self, host: &HostName) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(exact), host) => exact == host,
            (Self::Below(base), HostName::Name(name)) => {
                name.strip_suffix(base.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
            (Self::Below(_), HostName::Address(_)) => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let Some(base) = text.strip_prefix("*.") else {
            if text.contains('*') {
                return Err(HostError::Wildcard);
            }
            return text.parse().map(Self::Exact);
        };
        if base.contains('*') || !base.contains('.') {
            return Err(HostError::Wildcard);
        }
        name(base)?;
        Ok(Self::Below(base.to_owned()))
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(formatter),
            Self::Below(base) => write!(formatter, "*.{base}"),
            Self::Any => formatter.write_str("*"),
        }
    }
}

/// A host and a port: `siem.example.com:6514`, `127.0.0.1:8088`, `[::1]:8088`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Endpoint {
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `HOST` or `HOST:PORT`, as it stands in the address of a request. The port is given apart, because
    /// what it is if there is none depends on the scheme.
    pub fn authority(text: &str) -> Result<(HostName, Option<u16>), HostError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(HostError::Character)?;
                let address: Ipv6Addr = host.parse().map_err(|_| HostError::Character)?;
                if address.to_string() != host {
                    return Err(HostError::Number);
                }
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(HostError::Port),
                };
                (HostName::Address(address.into()), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host.parse()?, Some(port)),
                None => (text.parse()?, None),
            },
        };
        Ok((host, port.map(read_port).transpose()?))
    }
}

fn read_port(text: &str) -> Result<u16, HostError> {
    let plain = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| plain && *port != 0).ok_or(HostError::Port)
}

impl FromStr for Endpoint {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (host, port) = Self::authority(text)?;
        Ok(Self { host, port: port.ok_or(HostError::Port)? })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostName::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            host => write!(formatter, "{host}:{}", self.port),
        }
    }
}

/// What a secret is bound to: a host, on one port or on every one that is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Binding {
    /// The host.
    pub host: HostName,
    /// The port, if only one is meant.
    pub port: Option<u16>,
}

impl Binding {
    /// Whether it is bound to this.
    pub fn covers(&self, to: &Endpoint) -> bool {
        self.host == to.host && self.port.is_none_or(|port| port == to.port)
    }
}

impl FromStr for Binding {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let host = text.parse().map(|host| Self { host, port: None });
        host.or_else(|error| {
            if !text.contains(':') {
                return Err(error);
            }
            text.parse().map(|Endpoint { host, port }| Self { host, port: Some(port) })
        })
    }
}

impl From<Binding> for String {
    fn from(binding: Binding) -> Self {
        binding.to_string()
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => self.host.fmt(formatter),
            Some(port) => Endpoint { host: self.host.clone(), port }.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_secret_is_bound_to_a_host_or_to_one_port_of_it() {
        let check = |binding: &str, to: &str, expected: bool| {
            let binding: Binding = binding.parse().unwrap();
            assert_eq!(binding.covers(&to.parse().unwrap()), expected, "{binding} {to}");
            assert_eq!(binding.to_string().parse(), Ok(binding));
        };
        check("a.example", "a.example:443", true);
        check("a.example", "a.example:8443", true);
        check("a.example:443", "a.example:443", true);
        check("a.example:443", "a.example:8443", false);
        check("a.example:443", "b.example:443", false);
        check("::1", "[::1]:80", true);
        check("[::1]:81", "[::1]:80", false);
        for wrong in
            ["", "A.example", "a.example:", "a.example:0", "*.a.example:443", "[::1]", "a.example:443:1"]
        {
            assert!(wrong.parse::<Binding>().is_err(), "{wrong}");
        }
    }

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = text.parse::<HostName>().map_or_else(|error| error.to_string(), |host| host.to_string());
        assert_eq!(said, expected, "{text:?}");
    }

    #[test]
    fn reads_names_and_addresses_in_their_one_form() {
        for text in
            ["example.com", "a", "xn--bcher-kva.example", "192.0.2.1", "::1", "2001:db8::1", "1.example"]
        {
            check(text, text);
        }
    }

    #[test]
    fn refuses_every_other_form() {
        let character = "holds something else than lower-case letters, digits, hyphens and dots";
        let label = "has an empty label, a dot at its end, or a label with a hyphen at its end";
        let number = "ends in a number but is not an address in its plain form";
        check("", "is empty");
        for text in [
            "Example.com",
            "bücher.example",
            "user@example.com",
            "example.com:80",
            "[::1]",
            "a_b.example",
            "a b",
            "example.com/",
            "*.example.com",
            "a\0b",
            "ex\u{ad}ample.com",
            "example。com",
        ] {
            check(text, character);
        }
        for text in ["example.com.", ".", "a..b", "-a.example", "a-.example", ".example"] {
            check(text, label);
        }
        for text in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.01",
            "a.0x1",
            "1.2.3.4.5",
        ] {
            check(text, number);
        }
        check("2001:DB8::1", number);
        check("0:0:0:0:0:0:0:1", number);
        check(&"a".repeat(64), "is longer than a host name can be");
        check(&vec!["a"; 200].join("."), "is longer than a host name can be");
    }

    #[track_caller]
    fn covers(pattern: &str, host: &str, expected: bool) {
        let pattern: HostPattern = pattern.parse().unwrap();
        assert_eq!(pattern.covers(&host.parse().unwrap()), expected, "{pattern} {host}");
    }

    #[test]
    fn a_pattern_covers_one_host_or_what_is_below_a_name() {
        covers("api.example.com", "api.example.com", true);
        covers("api.example.com", "example.com", false);
        covers("api.example.com", "xapi.example.com", false);
        covers("*.example.com", "api.example.com", true);
        covers("*.example.com", "a.b.example.com", true);
        covers("*.example.com", "example.com", false);
        covers("*.example.com", "badexample.com", false);
        covers("*.example.com", "api.example.com.evil.example", false);
        covers("127.0.0.1", "127.0.0.1", true);
        covers("127.0.0.1", "127.0.0.2", false);
        covers("::1", "::1", true);
    }

    #[test]
    fn a_wildcard_stands_alone_before_two_labels() {
        for text in ["*", "*.com", "a*.example.com", "*.*.example.com", "a.*.example.com", "**.example.com"] {
            assert_eq!(text.parse::<HostPattern>(), Err(HostError::Wildcard), "{text}");
        }
        assert_eq!("*.1.2".parse::<HostPattern>(), Err(HostError::Number));
    }

    #[track_caller]
    fn authority(text: &str, expected: &str) {
        let said = Endpoint::authority(text).map_or_else(
            |error| error.to_string(),
            |(host, port)| format!("{host} {}", port.map_or_else(|| "-".into(), |port| port.to_string())),
        );
        assert_eq!(said, expected, "{text:?}");
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        authority("example.com", "example.com -");
        authority("example.com:8443", "example.com 8443");
        authority("[::1]:80", "::1 80");
        authority("[::1]", "::1 -");
        let port = "needs a port from 1 to 65535 after a colon";
        for text in ["a:", "a:0", "a:65536", "a:+1", "a:1:2", "[::1]80", "[::1]:", "a:1@b"] {
            authority(text, port);
        }
        authority(
            "user@example.com",
            "holds something else than lower-case letters, digits, hyphens and dots",
        );
        authority("[::1", "holds something else than lower-case letters, digits, hyphens and dots");
        authority("[127.0.0.1]", "holds something else than lower-case letters, digits, hyphens and dots");
        authority("::1", "is empty");
    }

    #[test]
    fn an_endpoint_reads_back_as_it_is_written() {
        for text in ["siem.example.com:6514", "127.0.0.1:8088", "[::1]:8088"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("example.com".parse::<Endpoint>(), Err(HostError::Port));
    }
}
