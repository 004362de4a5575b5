//! What a component asks of other machines, weighed one destination at a time.

use loong_manifest::{
    Capabilities, Endpoint, HostName, HostPattern, HttpDestination, SecretUse, TcpDestination, Tls,
    address_of_setting, sites_of_setting,
};

use super::Weighing;
use crate::ask::{Destination, Scope};
use crate::{HttpGrant, TcpGrant};

/// What is granted for a setting that is not there or says something else.
pub(super) const NOT_SET: &str = "nothing: the setting does not hold an address of this kind";

impl Weighing<'_> {
    pub(super) fn egress(&mut self, wanted: &Capabilities) {
        if let Some(http) = &wanted.http {
            for destination in &http.destinations {
                self.http(destination, &http.reason);
            }
        }
        if let Some(tcp) = &wanted.tcp {
            for destination in &tcp.destinations {
                self.tcp(destination, &tcp.reason);
            }
        }
        if let Some(secrets) = &wanted.secrets {
            for secret in &secrets.uses {
                self.secret(secret, &secrets.reason);
            }
        }
        self.grants.inside = self.offer.inside.union(&self.offer.hosts).cloned().collect();
    }

    fn http(&mut self, asked: &HttpDestination, reason: &str) {
        if let Some(host) = &asked.host {
            let scheme = asked.scheme.unwrap_or_default();
            let port = asked.port.unwrap_or_else(|| scheme.port());
            let offered = self.offers(host, Some(port));
            return self.http_to(
                HttpGrant { scheme, host: host.clone(), port, methods: asked.methods.clone() },
                offered,
                reason,
            );
        }
        let said = asked.setting.as_ref().and_then(|key| self.offer.config.get(key));
        let sites = said.and_then(|text| sites_of_setting(text)).unwrap_or_default();
        if sites.is_empty() {
            self.not_set("http", setting_scope(asked.setting.as_deref(), &asked.methods.join(" ")), reason);
        }
        for (scheme, host, port) in sites {
            self.http_to(HttpGrant { scheme, host, port, methods: asked.methods.clone() }, true, reason);
        }
    }

    fn http_to(&mut self, grant: HttpGrant, offered: bool, reason: &str) {
        let HttpGrant { scheme, host, port, methods } = &grant;
        let to =
            Destination { host: host.to_string(), port: Some(*port), scheme: Some(scheme.as_str()), methods };
        let text = format!("{}, {}", address(scheme.as_str(), host, *port), methods.join(" "));
        let scope = Scope { capability: "http", offered, to: Some(to), ..Scope::default() };
        if self.scope(scope, text, reason, None) {
            self.grants.http.push(grant);
        }
    }

    fn tcp(&mut self, asked: &TcpDestination, reason: &str) {
        let (found, by_operator) = match (&asked.host, asked.port, &asked.setting) {
            (Some(host), Some(port), _) => (Some((asked.tls.unwrap_or_default(), host.clone(), port)), false),
            (_, _, setting) => (self.tcp_setting(setting.as_deref()), true),
        };
        let Some((tls, host, port)) = found else {
            self.not_set("tcp", setting_scope(asked.setting.as_deref(), ""), reason);
            return;
        };
        let to = Destination {
            host: host.to_string(),
            port: Some(port),
            scheme: Some(tls.scheme()),
            methods: &[],
        };
        let offered = by_operator || self.offers(&host, Some(port));
        let scope = Scope { capability: "tcp", offered, to: Some(to), ..Scope::default() };
        if self.scope(scope, address(tls.scheme(), &host, port), reason, None) {
            self.grants.tcp.push(TcpGrant { host, port, tls });
        }
    }

    fn tcp_setting(&self, setting: Option<&str>) -> Option<(Tls, HostPattern, u16)> {
        let (scheme, host, port) = address_of_setting(self.offer.config.get(setting?)?)?;
        let tls = [Tls::Required, Tls::None].into_iter().find(|tls| tls.scheme() == scheme)?;
        Some((tls, HostPattern::Exact(host), port?))
    }

    fn secret(&mut self, asked: &SecretUse, reason: &str) {
        let chosen = asked.setting.as_ref().map(|setting| {
            self.offer.config.get(setting).and_then(|text| address_of_setting(text)).map(|(_, host, _)| host)
        });
        if let Some(None) = chosen {
            let scope = format!("{}, {}", asked.name, setting_scope(asked.setting.as_deref(), ""));
            self.not_set("secrets", scope, reason);
        }
        let named = asked.hosts.iter().cloned().map(|host| (host, false));
        let chosen = chosen.flatten().map(|host| (host, true));
        for (host, by_operator) in named.chain(chosen).collect::<Vec<_>>() {
            self.secret_to(&asked.name, host, by_operator, reason);
        }
    }

    fn secret_to(&mut self, name: &str, host: HostName, by_operator: bool, reason: &str) {
        let offered = by_operator || self.offers(&HostPattern::Exact(host.clone()), None);
        let text = format!("{name} to {host}");
        let to = Destination { host: host.to_string(), ..Destination::default() };
        let scope =
            Scope { capability: "secrets", offered, to: Some(to), secret: Some(name), ..Scope::default() };
        if self.scope(scope, text, reason, None) {
            let hosts = self.grants.secrets.entry(name.to_owned()).or_default();
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }

    /// Whether a person named exactly this host, and the port where it matters, with a flag.
    fn offers(&self, host: &HostPattern, port: Option<u16>) -> bool {
        let HostPattern::Exact(host) = host else { return false };
        self.offer
            .hosts
            .iter()
            .any(|offered| offered.host == *host && port.is_none_or(|port| offered.port == port))
    }
}

fn setting_scope(setting: Option<&str>, methods: &str) -> String {
    let scope = format!("what the setting `{}` names", setting.unwrap_or_default());
    if methods.is_empty() { scope } else { format!("{scope}, {methods}") }
}

fn address(scheme: &str, host: &HostPattern, port: u16) -> String {
    match host {
        HostPattern::Exact(host) => format!("{scheme}://{}", Endpoint { host: host.clone(), port }),
        HostPattern::Below(_) | HostPattern::Any => format!("{scheme}://{host}:{port}"),
    }
}
