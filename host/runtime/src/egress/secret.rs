//! Secrets of the operator: their values are put into requests here and nowhere else.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use loong_manifest::Binding;
use zeroize::Zeroizing;

use super::EgressError;
use super::scrub::{Values, written};

/// A secret and where it may go.
pub struct Secret {
    /// Its value.
    pub value: Zeroizing<Vec<u8>>,
    /// The hosts that the operator bound it to.
    pub hosts: Vec<Binding>,
}

/// Why a secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The secrets cannot be read.
    #[error("{problem}")]
    Unreadable {
        /// Why, without any value.
        problem: String,
    },
}

/// Where the operator keeps secrets.
pub trait Secrets: Send + Sync + 'static {
    /// The secret of this name. It may read files, so it is called where that delays nobody.
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError>;
}

/// No secrets at all.
impl Secrets for () {
    fn secret(&self, _: &str) -> Result<Option<Secret>, SecretError> {
        Ok(None)
    }
}

/// What begins and ends a placeholder.
const BEGIN: &str = "{{secret:";
const END: &str = "}}";

/// Whether a text holds a placeholder, or what looks like the beginning of one.
pub(crate) fn has_placeholder(text: &[u8]) -> bool {
    text.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// The names in the placeholders of all header values, each once.
pub(crate) fn names(headers: &HeaderMap) -> Result<Vec<String>, EgressError> {
    let mut names: Vec<String> = Vec::new();
    for value in headers.values().filter(|value| has_placeholder(value.as_bytes())) {
        let text = value.to_str().map_err(|_| malformed())?;
        for rest in text.split(BEGIN).skip(1) {
            let (name, _) = rest.split_once(END).ok_or_else(malformed)?;
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                return Err(malformed());
            }
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    Ok(names)
}

const fn malformed() -> EgressError {
    EgressError::Malformed { problem: "a header holds something that begins like a secret and is none" }
}

/// Puts the values where their placeholders are, and says which values have to be taken out of the answer. What
/// would let a part of a value or a packed one come back is not asked for.
pub(crate) fn substitute(
    headers: &mut HeaderMap,
    secrets: &[(String, Zeroizing<Vec<u8>>)],
) -> Result<Values, EgressError> {
    if secrets.is_empty() {
        return Ok(Arc::from([]));
    }
    if headers.contains_key(RANGE) {
        return Err(EgressError::Malformed {
            problem: "a request with a secret asks for a part of the answer",
        });
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for value in headers.values_mut().filter(|value| has_placeholder(value.as_bytes())) {
        let text = value.to_str().map_err(|_| malformed())?;
        let mut filled: Zeroizing<Vec<u8>> = Zeroizing::default();
        for (index, part) in text.split(BEGIN).enumerate() {
            if index == 0 {
                filled.extend_from_slice(part.as_bytes());
                continue;
            }
            let (name, rest) = part.split_once(END).ok_or_else(malformed)?;
            let (_, secret) = secrets.iter().find(|(known, _)| known == name).ok_or_else(malformed)?;
            filled.extend_from_slice(secret);
            filled.extend_from_slice(rest.as_bytes());
        }
        let mut sent = HeaderValue::from_bytes(&filled)
            .map_err(|_| EgressError::Malformed { problem: "a secret holds what no header can hold" })?;
        sent.set_sensitive(true);
        *value = sent;
    }
    Ok(secrets.iter().flat_map(|(_, value)| written(value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        values
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>()
    }

    #[track_caller]
    fn check(value: &str, expected: &str) {
        let mut headers = headers(&[("authorization", value)]);
        let said = names(&headers).and_then(|names| {
            let secrets: Vec<_> = names
                .into_iter()
                .map(|name| (name.clone(), Zeroizing::new(format!("<{name}>").into_bytes())))
                .collect();
            substitute(&mut headers, &secrets)
        });
        let said = match said {
            Ok(_) => headers["authorization"].to_str().unwrap().to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{value}");
    }

    #[test]
    fn values_stand_where_their_placeholders_were() {
        check("Bearer {{secret:siem-token}}", "Bearer <siem-token>");
        check("{{secret:a}}:{{secret:b}}{{secret:a}}", "<a>:<b><a>");
        check("Bearer x", "Bearer x");
        check("{{secret}} {secret:a}", "{{secret}} {secret:a}");
    }

    #[test]
    fn half_a_placeholder_is_refused() {
        let refused = "a header holds something that begins like a secret and is none";
        for value in [
            "{{secret:",
            "{{secret:a}",
            "{{secret:}}",
            "{{secret:A}}",
            "{{secret:a b}}",
            "{{secret:{{secret:a}}}}",
        ] {
            check(value, refused);
        }
    }

    #[test]
    fn a_secret_comes_back_neither_packed_nor_in_parts() {
        let secret = [("a".to_owned(), Zeroizing::new(b"value".to_vec()))];
        let mut packed = headers(&[("authorization", "{{secret:a}}"), ("accept-encoding", "gzip")]);
        assert_eq!(substitute(&mut packed, &secret).unwrap().len(), 1);
        assert_eq!(packed["accept-encoding"], "identity");
        assert!(packed["authorization"].is_sensitive());
        let mut part = headers(&[("authorization", "{{secret:a}}"), ("range", "bytes=0-3")]);
        assert!(substitute(&mut part, &secret).is_err());
        let mut without = headers(&[("range", "bytes=0-3"), ("accept-encoding", "gzip")]);
        assert!(substitute(&mut without, &[]).is_ok());
        assert_eq!(without["accept-encoding"], "gzip");
    }
}
