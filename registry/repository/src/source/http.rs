//! A repository that a web server serves: `URL/metadata/` and `URL/targets/`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use rustls::pki_types::CertificateDer;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};

use crate::RepositoryError;

/// Most attempts for one file, where the server may answer better the next time.
pub(super) const TRIES: u32 = 3;
/// How long to wait before the second attempt; twice as long before the third.
pub(super) const WAIT: Duration = Duration::from_millis(200);
/// Longest that a server may ask to be left alone; if it asks for more, the attempt was the last.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long connecting may take, a pause while reading, and one file in all.
const CONNECT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(20);
const WHOLE: Duration = Duration::from_secs(600);
/// Most redirects, all on the same server.
const REDIRECTS_MAX: usize = 5;

/// A repository behind a URL.
#[derive(Debug, Clone)]
pub struct Http {
    metadata: Url,
    targets: Url,
    client: Client,
}

impl Http {
    /// The repository at this URL, whose server one of these certificates (DER) vouches for. `http:` is for servers on
    /// this machine only. Proxies of the environment are not used.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn new(url: &str, certificates: Vec<Vec<u8>>) -> Result<Self, RepositoryError> {
        let below = |part: &str| format!("{}/{part}", url.trim_end_matches('/'));
        Self::apart(&below("metadata"), &below("targets"), certificates)
    }

    /// The same, of a repository whose documents and files are served at URLs of their own, by the same server.
    ///
    /// # Errors
    /// As for [`Http::new`].
    pub fn apart(metadata: &str, targets: &str, certificates: Vec<Vec<u8>>) -> Result<Self, RepositoryError> {
        let (base, targets) = (folder(metadata)?, folder(targets)?);
        let wrong = |problem: &str| RepositoryError::invalid(format!("`{metadata}`"), problem);
        if base.origin() != targets.origin() {
            return Err(wrong("its files are served by another server"));
        }
        let home = base.clone();
        let stay = redirect::Policy::custom(move |attempt| {
            let same = attempt.url().origin() == home.origin();
            if !same {
                attempt.error("it redirects to another server")
            } else if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("it redirects too often")
            } else {
                attempt.follow()
            }
        });
        let client = client(certificates, stay).map_err(|problem| wrong(&problem))?;
        Ok(Self { metadata: base, targets, client })
    }

    async fn file(&self, base: &Url, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let url = base
            .join(name)
            .map_err(|error| Error::transport_with_source(format!("`{name}` is no name of a file"), error))?;
        if !url.as_str().starts_with(base.as_str()) {
            return Err(Error::transport(format!("`{name}` is no name of a file")));
        }
        let mut tried = 1;
        loop {
            let again = tried < TRIES;
            match self.once(&url, bytes_max).await {
                Once::Done(found) => return found,
                Once::Again { after: Some(after), .. } if again && after <= WAIT_MAX => {
                    tokio::time::sleep(after).await;
                }
                Once::Again { after: None, .. } if again => {
                    tokio::time::sleep(WAIT * tried).await;
                }
                Once::Again { error, .. } => return Err(error),
            }
            tried += 1;
        }
    }

    async fn once(&self, url: &Url, bytes_max: u64) -> Once {
        let failed = |error: reqwest::Error| {
            let text = format!("{url} cannot be read: {}", chain(&error));
            // A certificate or a redirect will be as wrong the next time.
            let is_final = error.is_redirect() || text.contains("certificate");
            let error = Error::transport_with_source(text, error);
            if is_final { Once::Done(Err(error)) } else { Once::Again { error, after: None } }
        };
        let mut response = match self.client.get(url.clone()).send().await {
            Ok(response) => response,
            Err(error) => return failed(error),
        };
        let status = response.status();
        // Object stores say 403 for what they do not have.
        if status == StatusCode::NOT_FOUND || status == StatusCode::FORBIDDEN {
            return Once::Done(Ok(None));
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let after =
                response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let error = Error::transport(format!("{url} answers {status}"));
            return Once::Again { error, after: after.map(Duration::from_secs) };
        }
        if status != StatusCode::OK {
            return Once::Done(Err(Error::transport(format!("{url} answers {status}"))));
        }
        let too_large =
            || Once::Done(Err(Error::transport(format!("{url} is larger than {bytes_max} bytes"))));
        if response.content_length().is_some_and(|length| length > bytes_max) {
            return too_large();
        }
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > bytes_max => return too_large(),
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Once::Done(Ok(Some(bytes))),
                Err(error) => return failed(error),
            }
        }
    }
}

/// A client with the bounds that hold for every server, which one of these certificates (DER) vouches for.
pub(super) fn client(certificates: Vec<Vec<u8>>, redirects: redirect::Policy) -> Result<Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(redirects)
        .connect_timeout(CONNECT)
        .read_timeout(PAUSE)
        .timeout(WHOLE)
        .user_agent(concat!("loong/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// How one attempt ended.
enum Once {
    /// For good.
    Done(Result<Option<Vec<u8>>, Error>),
    /// So that the next one may end better, after this time if the server asked for one.
    Again { error: Error, after: Option<Duration> },
}

/// An error with what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// A URL below which files are served.
fn folder(url: &str) -> Result<Url, RepositoryError> {
    let wrong = |problem: &str| RepositoryError::invalid(format!("`{url}`"), problem);
    let mut base = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    match base.scheme() {
        "https" => {}
        "http" if is_loopback(&base) => {}
        "http" => return Err(wrong("`http:` is for servers on this machine only; use `https:`")),
        _ => return Err(wrong("it is neither `https:` nor a folder")),
    }
    if !base.username().is_empty()
        || base.password().is_some()
        || base.query().is_some()
        || base.fragment().is_some()
    {
        return Err(wrong("it holds a name, a password, a query or a fragment"));
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl Repository for Http {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.file(&self.metadata, name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.file(&self.targets, path, max_length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: bool) {
        assert_eq!(Http::new(url, Vec::new()).is_ok(), expected, "{url}");
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        check("https://components.example/loong", true);
        check("http://127.0.0.1:8080/", true);
        check("http://[::1]:8080/", true);
        check("http://localhost/", true);
        check("http://components.example/", false);
        check("http://127.0.0.1.components.example/", false);
        check("ftp://components.example/", false);
        check("https://ada:secret@components.example/", false);
        check("https://components.example/?a=b/", false);
        check("components.example", false);
    }
}
