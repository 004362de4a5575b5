//! Addresses: which ones are asked.

use url::Url;

/// Longest address, in bytes.
pub const URL_BYTES_MAX: usize = 4096;

/// Reads an address.
pub fn read(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no address such as https://www.example.com/page")?;
    judge(url)
}

/// Reads where something on a page or in a redirect leads.
pub fn join(from: &Url, text: &str) -> Result<Url, &'static str> {
    if text.len() > URL_BYTES_MAX {
        return Err("it is longer than an address may be");
    }
    let url = from.join(text).map_err(|_| "it is no address")?;
    judge(url)
}

fn judge(mut url: Url) -> Result<Url, &'static str> {
    if !matches!(url.scheme(), "https" | "http") {
        return Err("it is neither https nor http");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or a password");
    }
    if !url.has_host() {
        return Err("it names no host");
    }
    // A fragment is for the reader, not for the server.
    url.set_fragment(None);
    if url.as_str().len() > URL_BYTES_MAX {
        return Err("it is longer than an address may be");
    }
    Ok(url)
}

/// Host and port as a request has them.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Path and query as a request has them.
pub fn path(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = read(text)
            .map_or_else(str::to_owned, |url| format!("{} {} {}", url.scheme(), authority(&url), path(&url)));
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn an_address_is_read_once() {
        check("https://www.example.com", "https www.example.com /");
        check("HTTP://Www.Example.COM:8080/a%20b?c=d#e", "http www.example.com:8080 /a%20b?c=d");
        check("https://www.example.com:443/ü", "https www.example.com /%C3%BC");
        check("https://[2001:db8::1]:1/", "https [2001:db8::1]:1 /");
        check("https://bücher.example/", "https xn--bcher-kva.example /");
        // Whatever an address looks like, the host sees the one plain form and judges that.
        check("http://2130706433/", "http 127.0.0.1 /");
        check("http://0x7f.1/", "http 127.0.0.1 /");
        check("http://127。0。0。1/", "http 127.0.0.1 /");
        check("https:\\\\www.example.com\\a", "https www.example.com /a");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let none = "it is no address such as https://www.example.com/page";
        check("", none);
        check("www.example.com", none);
        check("https://", none);
        check("https://a b/", none);
        check("https://a.example:99999/", none);
        check("ftp://a.example/", "it is neither https nor http");
        check("file:///etc/passwd", "it is neither https nor http");
        check("data:text/html,x", "it is neither https nor http");
        check("https://user@a.example/", "it holds a user name or a password");
        check("https://:password@a.example/", "it holds a user name or a password");
        check(&format!("https://a.example/{}", "ü".repeat(1_000)), "it is longer than an address may be");
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_none(text in "\\PC{0,40}|https?://[a-z@:/?#.\\[\\]\\\\%0-9]{0,40}", more in "\\PC{0,40}") {
            let Ok(url) = read(&text) else { return Ok(()) };
            for url in [join(&url, &more).unwrap_or_else(|_| url.clone()), url] {
                prop_assert!(url.as_str().len() <= URL_BYTES_MAX && !url.as_str().contains('@') || path(&url).contains('@'));
                prop_assert!(path(&url).starts_with('/') && path(&url).bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!authority(&url).is_empty() && authority(&url).is_ascii());
                prop_assert_eq!(read(url.as_str()), Ok(url));
            }
        }
    }
}
