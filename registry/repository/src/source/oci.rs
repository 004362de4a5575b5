//! A repository in an OCI registry (OCI distribution specification 1.1), read by the same rules as from a web server:
//! bounded sizes, bounded attempts, digests checked, a login sent to nobody but the registry and its token service.
//!
//! ```text
//! NAME/tuf:1.root.json …                 one artifact for each metadata document, its file name as the tag
//! NAME/PUBLISHER/PLUGIN:VERSION          the component, as the CNCF Wasm OCI artifact layout says
//!   ◁─ application/vnd.dev.sigstore.bundle.v0.3+json   each signature, with the component as its subject
//!   ◁─ application/vnd.loong.plugin.v1+json            its manifest
//! ```
//!
//! A client of its own, because those that exist read what a server sends without a bound.

mod push;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use loong_manifest::Digest;
use reqwest::{Client, Method, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};

pub use push::{Pulled, Pushed};

use super::http::{TRIES, WAIT, WAIT_MAX, chain, client, is_loopback};
use crate::RepositoryError;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Largest manifest, index or token (the specification asks registries to take manifests of 4 MiB; ours are small).
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Most redirects of a blob.
const REDIRECTS_MAX: usize = 5;

/// A name and a password for a registry.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password or token.
    pub password: String,
}

impl Login {
    /// The login in the base64 of `NAME:PASSWORD`, as files of logins hold it.
    pub fn of(auth: &str) -> Option<Self> {
        let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(auth).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

/// A repository in an OCI registry.
pub struct Oci {
    base: Url,
    name: String,
    client: Client,
    login: Option<Login>,
    /// What the token service gave, by scope.
    tokens: Mutex<BTreeMap<String, String>>,
}

/// What names a blob or a manifest (OCI image specification).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Vec<Descriptor>,
}

fn failed(what: impl Into<String>) -> Error {
    Error::transport(what)
}

impl Oci {
    /// The repository at `oci://HOST[:PORT]/NAME`, whose server one of these certificates (DER) vouches for. A registry
    /// on this machine is spoken to without TLS.
    ///
    /// # Errors
    /// If it is no such location.
    pub fn new(
        location: &str,
        certificates: Vec<Vec<u8>>,
        login: Option<Login>,
    ) -> Result<Self, RepositoryError> {
        let wrong = |problem: &str| RepositoryError::invalid(format!("`{location}`"), problem);
        let rest = location.strip_prefix("oci://").ok_or_else(|| wrong("it does not begin with oci://"))?;
        let (host, name) = rest.split_once('/').ok_or_else(|| wrong("it names no repository"))?;
        let name = name.trim_end_matches('/');
        if !is_name(name) {
            return Err(wrong(
                "a repository's name has lower-case letters, digits and `/`, `.`, `_`, `-` between them",
            ));
        }
        let mut base = Url::parse(&format!("https://{host}/")).map_err(|error| wrong(&error.to_string()))?;
        if !base.username().is_empty() || base.password().is_some() || base.path() != "/" {
            return Err(wrong("it holds a name or a password; `docker login` or `oras login` keeps them"));
        }
        if is_loopback(&base) {
            // Parsed as https, so that its port is written out, whatever it is.
            base = Url::parse(&format!("http://{host}/")).map_err(|error| wrong(&error.to_string()))?;
        }
        let client =
            client(certificates, reqwest::redirect::Policy::none()).map_err(|problem| wrong(&problem))?;
        Ok(Self { base, name: name.to_owned(), client, login, tokens: Mutex::default() })
    }

    /// One request, with the login that the registry asks for, again where the next time may go better.
    async fn send(&self, method: Method, url: Url, scope: &str, body: Body<'_>) -> Result<Response, Error> {
        let mut tried = 1;
        let mut asked = false;
        loop {
            let mut request = self.client.request(method.clone(), url.clone());
            if let Some(kind) = body.kind {
                request = request.header(header::CONTENT_TYPE, kind);
            }
            if let Some(accept) = body.accept {
                request = request.header(header::ACCEPT, accept);
            }
            // Nobody else hears the login.
            if url.origin() == self.base.origin() {
                request = self.authorized(request, scope);
            }
            let answer = request.body(body.bytes.to_vec()).send().await;
            let again = tried < TRIES;
            match answer {
                Err(error) => {
                    let text = format!("{url} cannot be reached: {}", chain(&error));
                    if !again || text.contains("certificate") {
                        return Err(Error::transport_with_source(text, error));
                    }
                    tokio::time::sleep(WAIT * tried).await;
                }
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && !asked => {
                    asked = true;
                    self.log_in(&response, scope).await?;
                    continue;
                }
                Ok(response) => {
                    let status = response.status();
                    let after = response
                        .headers()
                        .get("retry-after")
                        .and_then(|value| value.to_str().ok()?.parse().ok());
                    let after = after.map_or(WAIT * tried, Duration::from_secs);
                    let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                    if !is_busy || !again || after > WAIT_MAX {
                        return Ok(response);
                    }
                    tokio::time::sleep(after).await;
                }
            }
            tried += 1;
        }
    }

    fn authorized(&self, request: reqwest::RequestBuilder, scope: &str) -> reqwest::RequestBuilder {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match (tokens.get(scope).map(String::as_str), &self.login) {
            // What `log_in` keeps where the registry wants the login itself.
            (Some(""), Some(login)) => request.basic_auth(&login.name, Some(&login.password)),
            (Some(token), _) => request.bearer_auth(token),
            (None, _) => request,
        }
    }

    /// Does what a registry asks of those whom it does not know: `Basic`, or a token from its service.
    async fn log_in(&self, response: &Response, scope: &str) -> Result<(), Error> {
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge =
            challenges.iter().find_map(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let keep = |token: String| {
            self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.to_owned(), token);
        };
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((&challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") && self.login.is_some() {
            keep(String::new());
            return Ok(());
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(failed(format!("{} wants a login", self.base)));
        }
        let parameter = |name: &str| {
            parameters.split(',').find_map(|part| {
                let value = part.trim().strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"')?;
                Some(value.to_owned())
            })
        };
        let realm = parameter("realm").unwrap_or_default();
        let mut url = Url::parse(&realm)
            .map_err(|error| Error::transport_with_source(format!("`{realm}` is no token service"), error))?;
        if !self.may_follow(&url) {
            return Err(failed(format!("the token service {url} is not reached over https")));
        }
        url.query_pairs_mut().append_pair("scope", scope);
        if let Some(service) = parameter("service") {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.client.get(url.clone());
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.name, Some(&login.password));
        }
        let response = request.send().await.map_err(|error| {
            Error::transport_with_source(format!("{url} cannot be reached: {}", chain(&error)), error)
        })?;
        if response.status() != StatusCode::OK {
            return Err(failed(format!("{url} answers {}", response.status())));
        }
        // Some services say it twice, by the name of OAuth 2.0 too.
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = bounded(response, MANIFEST_BYTES_MAX).await?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|error| Error::transport_with_source("the token service gives no token", error))?;
        keep(token.token.or(token.access_token).ok_or_else(|| failed(format!("{url} gives no token")))?);
        Ok(())
    }

    /// Whether another server may be asked: over https, and not on this machine unless the registry is.
    fn may_follow(&self, url: &Url) -> bool {
        if is_loopback(&self.base) {
            return is_loopback(url) || url.scheme() == "https";
        }
        let is_inside = url.host_str().is_some_and(|host| {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| match address {
                std::net::IpAddr::V4(address) => address.is_private() || address.is_link_local(),
                std::net::IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
            })
        });
        url.scheme() == "https" && !is_loopback(url) && !is_inside
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        self.base
            .join(&format!("v2/{path}"))
            .map_err(|error| Error::transport_with_source(format!("`{path}` is no name"), error))
    }

    /// What lies at a path of the registry. None if nothing does.
    async fn get(
        &self,
        repository: &str,
        path: &str,
        accept: &str,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let scope = format!("repository:{repository}:pull");
        let mut url = self.url(&format!("{repository}/{path}"))?;
        for _ in 0..=REDIRECTS_MAX {
            let body = Body { accept: Some(accept), ..Body::default() };
            let response = self.send(Method::GET, url.clone(), &scope, body).await?;
            let status = response.status();
            if status.is_redirection() {
                // Blobs lie elsewhere often; whoever has them, their digest is what was asked for.
                let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                let to = to.and_then(|to| url.join(to).ok()).filter(|to| self.may_follow(to));
                url = to.ok_or_else(|| failed(format!("{url} redirects to where it may not")))?;
                continue;
            }
            return match status {
                StatusCode::OK => bounded(response, bytes_max).await.map(Some),
                StatusCode::NOT_FOUND => Ok(None),
                // That is how some registries say that there is no such repository.
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.login.is_none() => {
                    Err(failed(format!("{url} answers {status}: it is not there, or wants a login")))
                }
                _ => Err(failed(format!("{url} answers {status}"))),
            };
        }
        Err(failed(format!("{url} redirects too often")))
    }

    async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("blobs/{digest}");
        let found = self.get(repository, &path, "*/*", bytes_max).await?;
        match found {
            Some(bytes) if Digest::of(&bytes) != *digest => {
                Err(failed(format!("{repository} gives other bytes for {}", digest.short())))
            }
            found => Ok(found),
        }
    }

    /// A manifest by its tag or digest, and its own digest.
    async fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<Option<(Manifest, Descriptor)>, Error> {
        let path = format!("manifests/{reference}");
        let Some(bytes) = self.get(repository, &path, MANIFEST, MANIFEST_BYTES_MAX).await? else {
            return Ok(None);
        };
        let digest = Digest::of(&bytes);
        if reference.contains(':') && reference != digest.to_string() {
            return Err(failed(format!("{repository} gives another manifest for {reference}")));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            Error::transport_with_source(format!("{repository}:{reference} is no artifact"), error)
        })?;
        let descriptor = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest,
            size: bytes.len() as u64,
            artifact_type: None,
        };
        Ok(Some((manifest, descriptor)))
    }

    async fn document(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        if !is_tag(name) {
            return Err(failed(format!("`{name}` is no name of a document")));
        }
        let repository = format!("{}/tuf", self.name);
        let Some((manifest, _)) = self.manifest(&repository, name).await? else { return Ok(None) };
        let [layer] = manifest.layers.as_slice() else {
            return Err(failed(format!("{repository}:{name} has no single layer")));
        };
        if layer.size > bytes_max {
            return Err(failed(format!("{repository}:{name} is larger than {bytes_max} bytes")));
        }
        self.layer(&repository, layer).await
    }

    /// The one layer of an artifact.
    async fn layer(&self, repository: &str, layer: &Descriptor) -> Result<Option<Vec<u8>>, Error> {
        match self.blob(repository, &layer.digest, layer.size).await? {
            Some(bytes) if bytes.len() as u64 != layer.size => {
                Err(failed(format!("{repository} gives {} in another size", layer.digest.short())))
            }
            found => Ok(found),
        }
    }

    /// A target by its path, the file's name beginning with its digest as consistent snapshots have it.
    async fn target(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let no = || failed(format!("`{path}` is no path of an entry"));
        let [publisher, plugin, _, file] = path.split('/').collect::<Vec<_>>()[..] else { return Err(no()) };
        let digest = file.split('.').next().and_then(Digest::from_hex).ok_or_else(no)?;
        let repository = format!("{}/{publisher}/{plugin}", self.name);
        if !is_name(&repository) {
            return Err(no());
        }
        self.blob(&repository, &digest, bytes_max).await
    }
}

/// What is sent with a request.
#[derive(Clone, Copy, Default)]
struct Body<'a> {
    bytes: &'a [u8],
    kind: Option<&'a str>,
    accept: Option<&'a str>,
}

async fn bounded(mut response: Response, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let url = response.url().clone();
    let too_large = || failed(format!("{url} is larger than {bytes_max} bytes"));
    if response.content_length().is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > bytes_max => return Err(too_large()),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => {
                return Err(Error::transport_with_source(
                    format!("{url} cannot be read: {}", chain(&error)),
                    error,
                ));
            }
        }
    }
}

/// A repository's name (`[a-z0-9]+((.|_|__|-+)[a-z0-9]+)*`, parts between `/`).
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let inner = part
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
        let edge =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        inner && edge(part.bytes().next()) && edge(part.bytes().last()) && !part.contains("..")
    };
    name.len() <= 200 && name.split('/').all(is_part)
}

/// A tag (`[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).
fn is_tag(tag: &str) -> bool {
    let begins = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins
        && tag.len() <= 128
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl Repository for Oci {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.document(name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.target(path, max_length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, expected: Option<&str>) {
        let found = Oci::new(location, Vec::new(), None).ok().map(|oci| oci.base.to_string());
        assert_eq!(found.as_deref(), expected, "{location}");
    }

    #[test]
    fn locations() {
        check("oci://registry.example/acme/components", Some("https://registry.example/"));
        check("oci://127.0.0.1:5000/acme", Some("http://127.0.0.1:5000/"));
        check("oci://localhost:5000/acme/", Some("http://localhost:5000/"));
        check("oci://registry.example", None);
        check("oci://registry.example/", None);
        check("oci://registry.example/Acme", None);
        check("oci://registry.example/acme/../other", None);
        check("oci://registry.example/-acme", None);
        check("oci://ada:secret@registry.example/acme", None);
        check("https://registry.example/acme", None);
    }

    #[track_caller]
    fn check_follow(registry: &str, to: &str, expected: bool) {
        let oci = Oci::new(registry, Vec::new(), None).unwrap();
        assert_eq!(oci.may_follow(&Url::parse(to).unwrap()), expected, "{registry} → {to}");
    }

    #[test]
    fn a_registry_leads_to_no_place_that_only_this_machine_reaches() {
        let public = "oci://registry.example/acme";
        check_follow(public, "https://blobs.example/1", true);
        check_follow(public, "http://blobs.example/1", false);
        check_follow(public, "https://127.0.0.1/1", false);
        check_follow(public, "https://localhost/1", false);
        check_follow(public, "https://10.0.0.1/1", false);
        check_follow(public, "https://[fd00::1]/1", false);
        check_follow(public, "https://169.254.169.254/1", false);
        check_follow("oci://127.0.0.1:5000/acme", "http://127.0.0.1:6000/1", true);
        check_follow("oci://127.0.0.1:5000/acme", "http://blobs.example/1", false);
    }
}
