//! What the operator set.

use audit_record::Failure;

/// Longest message, if the settings do not say: what every receiver of today takes.
const MESSAGE_BYTES_MAX: u64 = 8_192;
/// The facility "log audit".
const FACILITY: u64 = 13;

/// What the operator set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether the connection is one over TLS.
    pub tls: bool,
    /// The receiver.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What the messages call this machine.
    pub hostname: String,
    /// Where messages of this sort belong.
    pub facility: u8,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// Whether the receiver closes the connection once it has everything.
    pub confirm: bool,
}

impl Settings {
    /// Reads the settings. What cannot be right is not guessed: nothing is sent until it is mended.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let wrong = |problem: String| Failure::Retry(problem);
        let address = get("address").ok_or_else(|| wrong("the setting `address` is missing".into()))?;
        let bad_address =
            || wrong("the setting `address` is neither `tls://HOST:PORT` nor `tcp://HOST:PORT`".into());
        let (tls, rest) = match address.split_once("://") {
            Some(("tls", rest)) => (true, rest),
            Some(("tcp", rest)) => (false, rest),
            _ => return Err(bad_address()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad_address)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(bad_address)?,
            None if host.contains(':') => return Err(bad_address()),
            None => host,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return Err(bad_address());
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad_address)?;
        let hostname = get("hostname").unwrap_or_else(|| "-".to_owned());
        if hostname.is_empty()
            || hostname.len() > 255
            || !hostname.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(wrong("the setting `hostname` is no name that a message can hold".into()));
        }
        let number = |key: &str, usual: u64, least: u64, most: u64| match get(key) {
            None => Ok(usual),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| wrong(format!("the setting `{key}` is no number from {least} to {most}"))),
        };
        let confirm = match get("confirm").as_deref() {
            None | Some("close") => true,
            Some("none") => false,
            Some(_) => return Err(wrong("the setting `confirm` is neither `close` nor `none`".into())),
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            hostname,
            facility: u8::try_from(number("facility", FACILITY, 0, 23)?).unwrap_or_default(),
            // Every receiver takes 480 bytes (RFC 5424, section 6.1).
            message_bytes_max: usize::try_from(number("message_bytes_max", MESSAGE_BYTES_MAX, 480, 65_536)?)
                .unwrap_or_default(),
            confirm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Settings, Failure> {
        Settings::read(|key| set.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn addresses_are_read_strictly() {
        let check = |address: &str, expected: Option<(bool, &str, u16)>| {
            let found = read(&[("address", address)]).ok();
            let found = found.as_ref().map(|settings| (settings.tls, settings.host.as_str(), settings.port));
            assert_eq!(found, expected, "{address}");
        };
        check("tls://log.example.com:6514", Some((true, "log.example.com", 6514)));
        check("tcp://127.0.0.1:601", Some((false, "127.0.0.1", 601)));
        check("tls://[2001:db8::1]:6514", Some((true, "2001:db8::1", 6514)));
        for wrong in [
            "",
            "log.example.com:6514",
            "udp://log.example.com:514",
            "tls://log.example.com",
            "tls://:6514",
            "tls://2001:db8::1:6514",
            "tls://[2001:db8::1:6514",
            "tls://log.example.com:0",
            "tls://log.example.com:65536",
            "tls://user@log.example.com:1",
            "tls://log.example.com:1/x",
            "tls://a b:1",
        ] {
            check(wrong, None);
        }
        assert!(read(&[]).is_err());
    }

    #[test]
    fn settings_that_cannot_be_right_stop_it() {
        let check = |key: &str, value: &str, good: bool| {
            let found = read(&[("address", "tcp://127.0.0.1:601"), (key, value)]);
            assert_eq!(found.is_ok(), good, "{key} = {value}: {found:?}");
            assert!(!matches!(found, Err(Failure::Rejected(_))), "the records are not to blame");
        };
        for (value, good) in [("0", true), ("23", true), ("24", false), ("-1", false), ("local0", false)] {
            check("facility", value, good);
        }
        for (value, good) in [("480", true), ("65536", true), ("479", false), ("65537", false), ("", false)] {
            check("message_bytes_max", value, good);
        }
        for (value, good) in [("a.example.com", true), ("-", true), ("", false), ("a b", false), ("ü", false)]
        {
            check("hostname", value, good);
        }
        for (value, good) in [("close", true), ("none", true), ("yes", false)] {
            check("confirm", value, good);
        }
    }
}
