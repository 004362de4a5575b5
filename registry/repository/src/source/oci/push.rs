//! Bringing a published folder to an OCI registry, and one component from there.

use std::collections::BTreeSet;
use std::path::Path;

use loong_manifest::Digest;
use loong_trust::UtcTime;
use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use sigstore_tuf::Error;

use super::{Body, Descriptor, INDEX, Index, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Oci, failed, is_tag};
use crate::entry::Entry;
use crate::{Client, Directory, Folder, RepositoryError};

const WASM: &str = "application/wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const BUNDLE: &str = loong_trust::MEDIA_TYPE;
const PLUGIN: &str = "application/vnd.loong.plugin.v1+json";
const TUF: &str = "application/vnd.loong.tuf.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Largest component that is pulled by its tag, where no metadata promises a size.
const COMPONENT_BYTES_MAX: u64 = 128 << 20;
/// Most signatures that are pulled with a component.
const BUNDLES_MAX: usize = loong_trust::BUNDLES_MAX;

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// Entries that the registry has now.
    pub entries: usize,
    /// Blobs that were sent.
    pub blobs: usize,
    /// Blobs that were there already.
    pub there: usize,
    /// The version of the timestamp that is served now.
    pub version: u64,
}

/// A component and the signatures beside it, unverified.
#[derive(Debug)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// The digest of its manifest in the registry.
    pub manifest: Digest,
    /// Its signatures.
    pub bundles: Vec<Vec<u8>>,
}

impl Oci {
    /// Makes the registry serve what a folder serves. In an order in which a stop anywhere leaves what was there before:
    /// components, their signatures, the documents, and the timestamp last. Pushing again sends only what is new.
    ///
    /// # Errors
    /// If the folder does not hold, or serves something older than the registry, or the registry does not take it.
    pub async fn push(&self, folder: &Folder, path: &Path, now: UtcTime) -> Result<Pushed, RepositoryError> {
        let mut client = Client::new(Directory::new(path), &folder.first_root()?, None)?;
        client.refresh(now).await?;
        let version = client.trusted().timestamp().map_or(0, |timestamp| timestamp.version);
        self.not_newer(version).await?;
        let mut pushed = Pushed { version, ..Pushed::default() };
        for (publisher, _) in client.publishers() {
            for entry in client.entries(&publisher, now).await? {
                self.entry(&mut client, &entry, now, &mut pushed).await?;
                pushed.entries += 1;
            }
        }
        let metadata = path.join("metadata");
        let failed = |source| RepositoryError::Folder { path: metadata.clone(), source };
        let mut names = BTreeSet::new();
        for file in std::fs::read_dir(&metadata).map_err(failed)? {
            let name = file.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if is_tag(&name) && name.ends_with(".json") && name != "timestamp.json" {
                names.insert(name);
            }
        }
        for name in names.into_iter().chain(["timestamp.json".to_owned()]) {
            let bytes = std::fs::read(metadata.join(&name)).map_err(failed)?;
            self.put_document(&name, &bytes, &mut pushed).await?;
        }
        Ok(pushed)
    }

    /// Refuses to serve something older than what is served.
    async fn not_newer(&self, version: u64) -> Result<(), RepositoryError> {
        let Some(bytes) = self.document("timestamp.json", MANIFEST_BYTES_MAX).await? else { return Ok(()) };
        let served: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let served = served.pointer("/signed/version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if served > version {
            let problem = format!("the registry serves version {served}, the folder has {version}");
            return Err(RepositoryError::invalid("the timestamp", &problem));
        }
        Ok(())
    }

    async fn entry(
        &self,
        client: &mut Client,
        entry: &Entry,
        now: UtcTime,
        pushed: &mut Pushed,
    ) -> Result<(), RepositoryError> {
        let repository = format!("{}/{}/{}", self.name, entry.id.publisher(), entry.id.name());
        let mut component = None;
        let mut beside = Vec::new();
        for file in &entry.files {
            let bytes = client.fetch(file, now).await?;
            match file.path.rsplit('/').next().unwrap_or_default() {
                name if name == format!("{}.wasm", entry.id.name()) => component = Some(bytes),
                name if name.contains(".sigstore.") => beside.push((BUNDLE, bytes)),
                _ => beside.push((PLUGIN, bytes)),
            }
        }
        let component = component.ok_or_else(|| {
            RepositoryError::invalid(format!("the entry {}", entry.id), "it has no component")
        })?;
        let layer = self.put_blob(&repository, WASM, &component, pushed).await?;
        let config = config(entry, &layer.digest, &component)?;
        let config = self.put_blob(&repository, WASM_CONFIG, &config, pushed).await?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: None,
            config,
            layers: vec![layer],
            subject: None,
        };
        let (subject, _) =
            self.put_manifest(&repository, Some(&entry.version.to_string()), &manifest).await?;
        for (kind, bytes) in beside {
            self.put_referrer(&repository, kind, &bytes, &subject, pushed).await?;
        }
        Ok(())
    }

    async fn put_document(&self, name: &str, bytes: &[u8], pushed: &mut Pushed) -> Result<(), Error> {
        let repository = format!("{}/tuf", self.name);
        let layer = self.put_blob(&repository, "application/json", bytes, pushed).await?;
        let config = self.put_blob(&repository, EMPTY, b"{}", pushed).await?;
        let manifest = artifact(TUF, config, layer, None);
        self.put_manifest(&repository, Some(name), &manifest).await.map(drop)
    }

    /// Puts something beside a manifest, so that those who have the manifest find it: by the referrers of the
    /// registry, or by the tag that the specification has for registries without them.
    async fn put_referrer(
        &self,
        repository: &str,
        kind: &str,
        bytes: &[u8],
        subject: &Descriptor,
        pushed: &mut Pushed,
    ) -> Result<(), Error> {
        let layer = self.put_blob(repository, kind, bytes, pushed).await?;
        let config = self.put_blob(repository, EMPTY, b"{}", pushed).await?;
        let manifest = artifact(kind, config, layer, Some(subject.clone()));
        let (descriptor, knows_subject) = self.put_manifest(repository, None, &manifest).await?;
        if knows_subject {
            return Ok(());
        }
        let tag = fallback_tag(&subject.digest);
        let mut index = self.index(repository, &tag).await?.unwrap_or_else(|| Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: Vec::new(),
        });
        if index.manifests.iter().any(|known| known.digest == descriptor.digest) {
            return Ok(());
        }
        index.manifests.push(Descriptor { artifact_type: Some(kind.to_owned()), ..descriptor });
        let bytes = serde_json::to_vec(&index).unwrap_or_default();
        self.put(repository, &tag, INDEX, &bytes).await.map(drop)
    }

    async fn index(&self, repository: &str, tag: &str) -> Result<Option<Index>, Error> {
        let path = format!("manifests/{tag}");
        let Some(bytes) = self.get(repository, &path, INDEX, MANIFEST_BYTES_MAX).await? else {
            return Ok(None);
        };
        let wrong = |error| Error::transport_with_source(format!("{repository}:{tag} is no index"), error);
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    async fn put_blob(
        &self,
        repository: &str,
        media_type: &str,
        bytes: &[u8],
        pushed: &mut Pushed,
    ) -> Result<Descriptor, Error> {
        let digest = Digest::of(bytes);
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: bytes.len() as u64,
            artifact_type: None,
        };
        let scope = format!("repository:{repository}:pull,push");
        let there = self.url(&format!("{repository}/blobs/{digest}"))?;
        if self.send(Method::HEAD, there, &scope, Body::default()).await?.status() == StatusCode::OK {
            pushed.there += 1;
            return Ok(descriptor);
        }
        let begin = self.url(&format!("{repository}/blobs/uploads/"))?;
        let begun = self.send(Method::POST, begin.clone(), &scope, Body::default()).await?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(failed(format!("{begin} answers {}", begun.status())));
        }
        let to = begun.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| begin.join(to).ok()).filter(|to| to.origin() == self.base.origin());
        let mut to = to.ok_or_else(|| failed(format!("{begin} names no place of its own to send to")))?;
        to.query_pairs_mut().append_pair("digest", &digest.to_string());
        let body = Body { bytes, kind: Some("application/octet-stream"), accept: None };
        let sent = self.send(Method::PUT, to, &scope, body).await?;
        if sent.status() != StatusCode::CREATED {
            return Err(failed(format!("{repository} does not take {}: {}", digest.short(), sent.status())));
        }
        pushed.blobs += 1;
        Ok(descriptor)
    }

    /// Puts a manifest under a tag, or under its digest; and whether the registry itself knows what it refers to.
    async fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        manifest: &Manifest,
    ) -> Result<(Descriptor, bool), Error> {
        let bytes = serde_json::to_vec(manifest).unwrap_or_default();
        let digest = Digest::of(&bytes);
        let descriptor = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest,
            size: bytes.len() as u64,
            artifact_type: manifest.artifact_type.clone(),
        };
        let reference = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let knows_subject = self.put(repository, &reference, MANIFEST, &bytes).await?;
        Ok((descriptor, knows_subject))
    }

    async fn put(&self, repository: &str, reference: &str, kind: &str, bytes: &[u8]) -> Result<bool, Error> {
        let scope = format!("repository:{repository}:pull,push");
        let url = self.url(&format!("{repository}/manifests/{reference}"))?;
        let body = Body { bytes, kind: Some(kind), accept: None };
        let sent = self.send(Method::PUT, url.clone(), &scope, body).await?;
        if sent.status() != StatusCode::CREATED {
            return Err(failed(format!("{url} answers {}", sent.status())));
        }
        Ok(sent.headers().contains_key("oci-subject"))
    }

    /// A component by its tag or digest, with the signatures that refer to it. Nothing of it is verified here.
    ///
    /// # Errors
    /// If it is not there, or is no component.
    pub async fn pull(&self, reference: &str) -> Result<Pulled, RepositoryError> {
        let repository = self.name.as_str();
        let found = self.manifest(repository, reference).await?;
        let (manifest, descriptor) =
            found.ok_or_else(|| failed(format!("{repository}:{reference} is not in the registry")))?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(failed(format!("{repository}:{reference} has no single layer")).into());
        };
        if layer.media_type != WASM || layer.size > COMPONENT_BYTES_MAX {
            return Err(failed(format!("{repository}:{reference} holds no component of usual size")).into());
        }
        let component = self.layer(repository, layer).await?;
        let component =
            component.ok_or_else(|| failed(format!("{repository} has lost {}", layer.digest.short())))?;
        let mut bundles = Vec::new();
        for referrer in self.referrers(repository, &descriptor.digest).await? {
            if referrer.artifact_type.as_deref() != Some(BUNDLE) || bundles.len() == BUNDLES_MAX {
                continue;
            }
            let Some((manifest, _)) = self.manifest(repository, &referrer.digest.to_string()).await? else {
                continue;
            };
            if let [layer] = manifest.layers.as_slice() {
                let bundle =
                    self.blob(repository, &layer.digest, loong_trust::BUNDLE_BYTES_MAX as u64).await?;
                bundles.extend(bundle);
            }
        }
        Ok(Pulled { component, manifest: descriptor.digest, bundles })
    }

    async fn referrers(&self, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        let path = format!("referrers/{digest}");
        let index = match self.get(repository, &path, INDEX, MANIFEST_BYTES_MAX).await? {
            Some(bytes) => serde_json::from_slice::<Index>(&bytes).ok(),
            None => self.index(repository, &fallback_tag(digest)).await?,
        };
        Ok(index.map(|index| index.manifests).unwrap_or_default())
    }
}

/// The tag under which registries without referrers keep them (distribution specification, "Referrers Tag Schema").
fn fallback_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.to_hex())
}

fn artifact(kind: &str, config: Descriptor, layer: Descriptor, subject: Option<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        artifact_type: Some(kind.to_owned()),
        config,
        layers: vec![layer],
        subject,
    }
}

/// The configuration of a component, as the CNCF Wasm OCI artifact layout has it. It follows from the entry, so that
/// pushing again makes the same bytes.
fn config(entry: &Entry, layer: &Digest, component: &[u8]) -> Result<Vec<u8>, RepositoryError> {
    let contents = loong_inspect::inspect(component)?;
    let names = |externs: &[loong_inspect::Extern]| -> Vec<String> {
        externs.iter().map(|each| each.name.clone()).collect()
    };
    let config = json!({
        "created": entry.facts.published.to_string(),
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": { "exports": names(&contents.exports), "imports": names(&contents.imports), "target": null },
    });
    Ok(serde_json::to_vec(&config).unwrap_or_default())
}
