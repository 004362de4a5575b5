//! Where a repository's files come from.

mod http;
mod oci;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};

pub use http::Http;
pub use oci::{Login, Oci, Pulled, Pushed};

use crate::RepositoryError;

/// What servers need to be believed, and to believe.
#[derive(Clone, Default)]
pub struct Access {
    /// The certificates (DER) that vouch for servers.
    pub certificates: Vec<Vec<u8>>,
    /// The login of an OCI registry.
    pub login: Option<Login>,
}

/// Where a repository is served: a folder, a URL, or an OCI registry.
///
/// # Errors
/// If a URL cannot be used.
pub fn source(location: &str, access: Access) -> Result<Box<dyn Repository>, RepositoryError> {
    let Access { certificates, login } = access;
    if location.starts_with("oci://") {
        return Ok(Box::new(Oci::new(location, certificates, login)?));
    }
    if location.contains("://") {
        return Ok(Box::new(Http::new(location, certificates)?));
    }
    Ok(Box::new(Directory::new(Path::new(location))))
}

/// A repository in a folder: `metadata/` and `targets/`, as a web server would serve them.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The repository in this folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A plain file below the folder of at most so many bytes; none if there is none of this name.
    fn file(&self, below: &str, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let is_plain = name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']));
        if !is_plain {
            return Err(Error::Malformed(format!("`{name}` is no name of a file")));
        }
        let path = self.root.join(below).join(name);
        let failed = |error: std::io::Error| {
            Error::transport_with_source(format!("cannot read {below}/{name}"), error)
        };
        let kind = match std::fs::symlink_metadata(&path) {
            Ok(facts) => facts.file_type(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !kind.is_file() {
            return Err(Error::transport(format!("{below}/{name} is no plain file")));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).map_err(failed)?;
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > bytes_max {
            return Err(Error::transport(format!("{below}/{name} is larger than {bytes_max} bytes")));
        }
        Ok(Some(bytes))
    }
}

impl Repository for Directory {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.file("metadata", name, max_length);
        Box::pin(async move { found })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.file("targets", path, max_length);
        Box::pin(async move { found })
    }
}
