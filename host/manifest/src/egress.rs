//! What a component may ask of other machines: requests, connections, secrets.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Endpoint, HostName, HostPattern};

/// Asks for `wasi:http/outgoing-handler`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// Where requests go.
    pub destinations: Vec<HttpDestination>,
    /// Why the component needs it.
    pub reason: String,
}

/// Where requests go: a host, or the address that the operator chose in a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpDestination {
    /// `https` unless it says otherwise. Only together with `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The host: a name in lower case, `*.` and a name for every host below it, or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// The port, if it is not the one of the scheme. Only together with `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The methods, each exact and in upper case, such as `GET`.
    pub methods: Vec<String>,
    /// Instead of `host`: a key of the component's settings. The hosts of the addresses that the operator wrote
    /// there, such as `https://siem.example:8088/services`, are the ones that may be reached. Between two addresses
    /// is a space; `https://*.example.com` is every host below a name, and `https://*` every host that there is
    /// outside of the operator's own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// How a request travels.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Over TLS.
    #[default]
    Https,
    /// In the open.
    Http,
}

impl Scheme {
    /// The scheme as it is written in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// The port that is meant if none is said.
    pub const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Asks for `loong:host/tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpRequest {
    /// Where connections go.
    pub destinations: Vec<TcpDestination>,
    /// Why the component needs it.
    pub reason: String,
}

/// Where connections go: a host, or the address that the operator chose in a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpDestination {
    /// The host: a name in lower case, `*.` and a name for every host below it, or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// The port. Together with `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether the connection is one over TLS; `required` unless it says otherwise. Only together with `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Instead of `host`: a key of the component's settings, in which the operator writes `tls://HOST:PORT` or
    /// `tcp://HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// Whether a connection is one over TLS.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// It is, and the certificate of the other side is checked.
    #[default]
    Required,
    /// It is not.
    None,
}

impl Tls {
    /// The value as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::None => "none",
        }
    }

    /// The scheme of an address of such a connection.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Required => "tls",
            Self::None => "tcp",
        }
    }
}

/// Asks to have secrets of the operator put into requests. The component never sees one: it writes
/// `{{secret:NAME}}` into a header, and the host puts the value there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsRequest {
    /// Which secrets go where.
    pub uses: Vec<SecretUse>,
    /// Why the component needs it.
    pub reason: String,
}

/// One secret and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// The secret's name: lower-case letters, digits and single hyphens.
    pub name: String,
    /// The hosts, each exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostName>,
    /// Besides them: a key of the component's settings that holds the address of a destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// An address of a setting: what comes before `://`, and host and port.
pub fn address_of_setting(text: &str) -> Option<(&str, HostName, Option<u16>)> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = Endpoint::authority(rest.get(..end)?).ok()?;
    Some((scheme, host, port))
}

/// The addresses of a setting that may hold several, with a space between two. None if one of them is wrong.
pub fn sites_of_setting(text: &str) -> Option<Vec<(Scheme, HostPattern, u16)>> {
    let site = |address: &str| {
        // A label in the place of the star, to read what stands around it.
        let (scheme, rest) = address.split_once("://")?;
        let starred = rest.strip_prefix('*').map(|rest| format!("{scheme}://any{rest}"));
        let (scheme, host, port) = address_of_setting(starred.as_deref().unwrap_or(address))?;
        let scheme = [Scheme::Https, Scheme::Http].into_iter().find(|known| known.as_str() == scheme)?;
        let host = match host {
            host if starred.is_none() => HostPattern::Exact(host),
            HostName::Name(name) if name == "any" => HostPattern::Any,
            host => format!("*{}", host.to_string().strip_prefix("any")?).parse().ok()?,
        };
        Some((scheme, host, port.unwrap_or_else(|| scheme.port())))
    };
    text.split_ascii_whitespace().map(site).collect()
}

/// Whether a text is an HTTP method: an RFC 9110 token in upper case. `CONNECT` is none, it opens a tunnel.
pub fn is_method(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        && text != "CONNECT"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str, Option<u16>)>) {
        let said = address_of_setting(text);
        let said = said.as_ref().map(|(scheme, host, port)| (*scheme, host.to_string(), *port));
        assert_eq!(said, expected.map(|(scheme, host, port)| (scheme, host.to_owned(), port)), "{text}");
    }

    #[test]
    fn a_setting_names_an_address() {
        check("https://siem.example.com", Some(("https", "siem.example.com", None)));
        check("https://siem.example.com:8088/a/b?c", Some(("https", "siem.example.com", Some(8088))));
        check("tls://[2001:db8::1]:6514", Some(("tls", "2001:db8::1", Some(6514))));
        check("siem.example.com:8088", None);
        check("https://user:password@siem.example.com", None);
        check("https://*.example.com", None);
        check("https:///path", None);
    }

    #[test]
    fn a_setting_names_several_sites() {
        let check = |text: &str, expected: Option<&str>| {
            let said = sites_of_setting(text).map(|sites| {
                let said =
                    |(scheme, host, port): &(Scheme, HostPattern, u16)| format!("{scheme} {host} {port}");
                sites.iter().map(said).collect::<Vec<_>>().join(", ")
            });
            assert_eq!(said.as_deref(), expected, "{text}");
        };
        check("https://docs.example", Some("https docs.example 443"));
        check(
            " https://docs.example/a\n http://127.0.0.1:8080 ",
            Some("https docs.example 443, http 127.0.0.1 8080"),
        );
        check(
            "https://*.example.com https://*.example.com:8443/a",
            Some("https *.example.com 443, https *.example.com 8443"),
        );
        check("https://* http://*:8080/", Some("https * 443, http * 8080"));
        check("", Some(""));
        for wrong in [
            "*",
            "docs.example",
            "ftp://docs.example",
            "https://docs.example, https://b.example",
            "https://docs.example https://",
            "https://*.com",
            "https://*docs.example",
            "https://**",
            "https://*.*.example.com",
            "https://a.*.example",
            "https://*@docs.example",
            "https://*:0",
            "*://docs.example",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_method_is_written_in_upper_case() {
        assert!(["GET", "POST", "M-SEARCH"].into_iter().all(is_method));
        assert!(!["", "get", "CONNECT", "GET ", "*", "A\r\nB"].into_iter().any(is_method));
    }
}
