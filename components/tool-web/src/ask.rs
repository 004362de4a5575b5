//! The arguments of a request, with what holds where nothing is said.

use url::Url;

use crate::{Error, address, bounded};

/// Longest header `accept`, in bytes.
pub const ACCEPT_BYTES_MAX: usize = 1024;
/// Most text to give, in bytes.
pub const TEXT_BYTES_MAX: u32 = 1 << 20;
/// Most text to give when the caller does not say.
const TEXT_BYTES_DEFAULT: u32 = 256 << 10;
/// Most redirects to follow.
pub const REDIRECTS_MAX: u32 = 10;
/// Most redirects to follow when the caller does not say.
const REDIRECTS_DEFAULT: u32 = 5;
/// Longest time of all requests together. The host's own deadline is twice as long.
pub const TIME_MS_MAX: u32 = 30_000;
/// Media types that are wanted when the caller does not say: what can be read, the rest rather than nothing.
const ACCEPT_DEFAULT: &str = "text/html, application/xhtml+xml, text/plain, text/markdown, application/json, \
                              application/xml;q=0.9, text/*;q=0.9, */*;q=0.1";

/// What the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Where.
    pub url: Url,
    /// Only what is said about the page.
    pub head: bool,
    /// The header `accept`.
    pub accept: String,
    /// Most text to give.
    pub text_bytes_max: usize,
    /// Most redirects to follow.
    pub redirects_max: usize,
    /// Longest time of all requests together.
    pub time_ms_max: u64,
}

/// The arguments as they were given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The address.
    pub url: String,
    /// Only what is said about the page.
    pub head: bool,
    /// The header `accept`.
    pub accept: Option<String>,
    /// Most text to give.
    pub bytes_max: Option<u32>,
    /// Most redirects to follow.
    pub redirects_max: Option<u32>,
    /// Longest time.
    pub time_ms_max: Option<u32>,
}

impl Ask {
    /// Reads the arguments.
    pub fn read(given: Given) -> Result<Self, Error> {
        let Given { url, head, accept, bytes_max, redirects_max, time_ms_max } = given;
        bounded("url-bytes", url.len() as u64, address::URL_BYTES_MAX as u64)?;
        let url = address::read(&url).map_err(|reason| Error::Invalid { argument: "url", reason })?;
        let accept = accept.unwrap_or_else(|| ACCEPT_DEFAULT.to_owned());
        bounded("accept-bytes", accept.len() as u64, ACCEPT_BYTES_MAX as u64)?;
        // Braces are in no media type; they begin what the host would replace by a secret.
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"{}".contains(&byte);
        if accept.trim().is_empty() || !accept.bytes().all(plain) {
            return Err(Error::Invalid { argument: "accept", reason: "it is no list of media types" });
        }
        let number = |name, given: Option<u32>, default: u32, maximum: u32| {
            let given = given.unwrap_or(default);
            bounded(name, given.into(), maximum.into()).map(|()| given)
        };
        let time_ms_max = number("time-ms-max", time_ms_max, TIME_MS_MAX, TIME_MS_MAX)?;
        if time_ms_max == 0 {
            return Err(Error::Invalid { argument: "time-ms-max", reason: "nothing is done in no time" });
        }
        Ok(Self {
            url,
            head,
            accept,
            text_bytes_max: number("bytes-max", bytes_max, TEXT_BYTES_DEFAULT, TEXT_BYTES_MAX)? as usize,
            redirects_max: number("redirects-max", redirects_max, REDIRECTS_DEFAULT, REDIRECTS_MAX)? as usize,
            time_ms_max: time_ms_max.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given { url: "https://a.example/".into(), ..Given::default() }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let ask = Ask::read(given()).unwrap();
        assert_eq!((ask.text_bytes_max, ask.redirects_max, ask.time_ms_max), (262_144, 5, 30_000));
        assert!(!ask.head && ask.accept.starts_with("text/html"));
    }

    #[test]
    fn too_much_is_refused() {
        let check = |given: Given, name, maximum, used| {
            assert_eq!(Ask::read(given), Err(Error::TooLarge { name, maximum, used }));
        };
        check(Given { url: "x".repeat(4_097), ..given() }, "url-bytes", 4_096, 4_097);
        check(Given { accept: Some("x".repeat(1_025)), ..given() }, "accept-bytes", 1_024, 1_025);
        check(Given { bytes_max: Some(1_048_577), ..given() }, "bytes-max", 1_048_576, 1_048_577);
        check(Given { redirects_max: Some(11), ..given() }, "redirects-max", 10, 11);
        check(Given { time_ms_max: Some(30_001), ..given() }, "time-ms-max", 30_000, 30_001);
    }

    #[test]
    fn what_can_never_be_right_is_refused() {
        let check = |given: Given, argument: &str| {
            assert!(
                matches!(Ask::read(given), Err(Error::Invalid { argument: found, .. }) if found == argument)
            );
        };
        check(Given { url: "https://user@a.example/".into(), ..given() }, "url");
        check(Given { time_ms_max: Some(0), ..given() }, "time-ms-max");
        for accept in ["", " ", "text/html\r\nx: y", "té", "{{secret:token}}"] {
            check(Given { accept: Some(accept.into()), ..given() }, "accept");
        }
        assert!(Ask::read(Given { accept: Some("*/*;q=0.1".into()), ..given() }).is_ok());
    }
}
