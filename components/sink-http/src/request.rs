//! The settings, and the request that is made of a batch.

use audit_record::{Failure, Record};

/// Longest address.
const URL_BYTES_MAX: usize = 2048;
/// Longest header line.
const HEADER_BYTES_MAX: usize = 4096;

/// What the operator set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether the collector is reached over TLS.
    pub tls: bool,
    /// Its host and, if said, port.
    pub authority: String,
    /// The path with the query.
    pub path: String,
    /// The form of the body.
    pub format: Format,
    /// A header besides the usual ones.
    pub header: Option<(String, String)>,
}

/// The form of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One document.
    Json,
    /// One document a line.
    Lines,
}

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Settings {
    /// Reads the settings. What cannot be right is not guessed: nothing is sent until it is mended.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let wrong = |problem: &str| Failure::Retry(problem.to_owned());
        let url = get("url").ok_or_else(|| wrong("the setting `url` is missing"))?;
        let bad_url = || wrong("the setting `url` is no address such as https://siem.example.com/path");
        let (scheme, rest) = url.split_once("://").ok_or_else(bad_url)?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad_url()),
        };
        let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at).ok_or_else(bad_url)?;
        let authority_is_plain = !authority.is_empty() && !authority.contains('@');
        if url.len() > URL_BYTES_MAX || !graphic(&url) || !authority_is_plain || path.contains('#') {
            return Err(bad_url());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let format = match get("format").as_deref() {
            None | Some("json") => Format::Json,
            Some("ndjson") => Format::Lines,
            Some(_) => return Err(wrong("the setting `format` is neither `json` nor `ndjson`")),
        };
        let header = get("header").map(|line| header(&line)).transpose()?;
        Ok(Self { tls, authority: authority.to_owned(), path, format, header })
    }
}

/// A header of the settings: `name: value`.
fn header(line: &str) -> Result<(String, String), Failure> {
    let read = || {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let named = !name.is_empty() && name.bytes().all(token);
        let visible = !value.is_empty() && value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        // These are made from the batch.
        let own =
            ["content-type", "content-length", "idempotency-key", "loong-records"].contains(&name.as_str());
        (line.len() <= HEADER_BYTES_MAX && named && visible && !own).then(|| (name, value.to_owned()))
    };
    read()
        .ok_or_else(|| Failure::Retry("the setting `header` is no `name: value` that can be sent".to_owned()))
}

impl Request {
    /// The request for a batch.
    pub fn new(settings: &Settings, records: &[Record]) -> Result<Self, Failure> {
        let lines = records.iter().map(Record::json).collect::<Result<Vec<_>, _>>()?;
        let (content_type, body) = match settings.format {
            Format::Json => (
                "application/json",
                format!(r#"{{"schema":"loong.audit.batch/1","records":[{}]}}"#, lines.join(",")),
            ),
            Format::Lines => ("application/x-ndjson", lines.join("\n") + "\n"),
        };
        let mut headers = vec![
            ("content-type".to_owned(), content_type.to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
        ];
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            let range = format!("{}-{}", first.index, last.index);
            // The hash of the last one stands for all before it, so two logs never share a key.
            let digits: String = last
                .hash
                .rsplit(':')
                .next()
                .unwrap_or_default()
                .chars()
                .filter(char::is_ascii_hexdigit)
                .collect();
            headers.push(("idempotency-key".to_owned(), format!("{range}-{digits}")));
            headers.push(("loong-records".to_owned(), range));
        }
        headers.extend(settings.header.clone());
        Ok(Self { headers, body })
    }
}

#[cfg(test)]
pub(crate) use tests::record;

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn record(index: u64) -> Record {
        Record {
            index,
            time_ms: 0,
            kind: "effect".into(),
            run: None,
            plugin: None,
            outcome: None,
            code: None,
            hash: format!("sha256:{index:064x}"),
            event: r#"{"kind":"effect"}"#.into(),
        }
    }

    fn read(url: Option<&str>, format: Option<&str>, header: Option<&str>) -> Result<Settings, Failure> {
        Settings::read(|key| match key {
            "url" => url.map(str::to_owned),
            "format" => format.map(str::to_owned),
            "header" => header.map(str::to_owned),
            _ => None,
        })
    }

    #[test]
    fn addresses_are_read_strictly() {
        let check = |url: &str, tls: bool, authority: &str, path: &str| {
            let settings = read(Some(url), None, None).unwrap();
            assert_eq!(
                (settings.tls, settings.authority.as_str(), settings.path.as_str()),
                (tls, authority, path)
            );
        };
        check("https://siem.example.com", true, "siem.example.com", "/");
        check("http://127.0.0.1:8088/services/a?b=c", false, "127.0.0.1:8088", "/services/a?b=c");
        check("https://[::1]:1?x", true, "[::1]:1", "/?x");
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        for wrong in [
            "",
            "siem.example.com",
            "ftp://x/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://u:p@example.com/",
            "https://example.com/#x",
            "https://example.com/ü",
            "https://example.com/\r\nx: y",
            &long,
        ] {
            assert!(matches!(read(Some(wrong), None, None), Err(Failure::Retry(_))), "{wrong}");
        }
        assert!(read(None, None, None).is_err());
    }

    #[test]
    fn headers_are_one_line_and_no_other_request() {
        let check = |line: &str, expected: Option<(&str, &str)>| {
            let found =
                read(Some("https://example.com"), None, Some(line)).ok().and_then(|settings| settings.header);
            assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{line:?}");
        };
        let bearer = "Bearer {{secret:sink-http-token}}";
        check(&format!("Authorization: {bearer}"), Some(("authorization", bearer)));
        check("x-index:main", Some(("x-index", "main")));
        for wrong in [
            "",
            "x",
            ": y",
            "x:",
            "x y: z",
            "x: a\r\ny: b",
            "x: ü",
            "Content-Length: 1",
            "idempotency-key: 1",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_batch_is_one_document_or_one_a_line() {
        let records = [record(7), record(8)];
        let json = Request::new(&read(Some("https://example.com"), None, None).unwrap(), &records).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!(value["schema"], "loong.audit.batch/1");
        assert_eq!(value["records"].as_array().unwrap().len(), 2);
        let get =
            |name: &str| json.headers.iter().find(|header| header.0 == name).map(|header| header.1.clone());
        assert_eq!(get("loong-records").unwrap(), "7-8");
        assert_eq!(get("content-length").unwrap(), json.body.len().to_string());
        assert_eq!(get("idempotency-key").unwrap(), format!("7-8-{:064x}", 8));
        let lines = Request::new(&read(Some("https://example.com"), Some("ndjson"), None).unwrap(), &records)
            .unwrap();
        assert_eq!(lines.body.lines().count(), 2);
        assert!(lines.body.ends_with('\n'));
        for (line, index) in lines.body.lines().zip(7..) {
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["index"], index);
        }
        assert!(read(Some("https://example.com"), Some("xml"), None).is_err());
    }
}
