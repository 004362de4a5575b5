//! `loong:host/kv`: a small key-value space of the plugin's own.

use std::sync::Arc;

use loong_kernel::KvError;
use loong_manifest::Digest;
use serde::{Deserialize, Serialize};

use super::{HostError, invalid, limited, once};
use crate::bindings::host::{kv, types};
use crate::guest::Guest;

fn failed(error: KvError) -> HostError {
    match error {
        KvError::Limit { limit, maximum, used } => limited(limit, maximum, used),
        KvError::KeyEmpty => invalid("key", "is empty"),
        KvError::Unavailable { problem } => types::Error::Unavailable(problem).into(),
    }
}

/// A value as the journal of a run keeps it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Kept(#[serde(with = "super::base64_text")] Vec<u8>);

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        let (space, owner) = (Arc::clone(&self.services.kv), self.nested.plugin().owner());
        let work = async { space.get(&owner, &key).await.map(|value| value.map(Kept)).map_err(failed) };
        let value: Option<Kept> = once(&self.nested, "kv.get", &[key.as_bytes()], work).await?;
        Ok(value.map(|kept| kept.0))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), HostError> {
        let (space, plugin) = (Arc::clone(&self.services.kv), self.nested.plugin());
        let (owner, digest) = (plugin.owner(), Digest::of(&value));
        let work = async { space.set(&owner, &key, value, plugin.limits.kv_bytes_max).await.map_err(failed) };
        once(&self.nested, "kv.set", &[key.as_bytes(), digest.as_bytes()], work).await
    }

    async fn delete(&mut self, key: String) -> Result<bool, HostError> {
        let (space, owner) = (Arc::clone(&self.services.kv), self.nested.plugin().owner());
        let work = async { space.delete(&owner, &key).await.map_err(failed) };
        once(&self.nested, "kv.delete", &[key.as_bytes()], work).await
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<kv::KeyPage, HostError> {
        let (space, owner) = (Arc::clone(&self.services.kv), self.nested.plugin().owner());
        let limit = limit.max(1);
        let work = async {
            let page = space.list(&owner, &prefix, cursor.as_deref(), limit).await.map_err(failed)?;
            Ok((page.keys, page.more))
        };
        let after = cursor.as_deref().unwrap_or_default().as_bytes();
        let request: [&[u8]; 3] = [prefix.as_bytes(), after, &limit.to_be_bytes()];
        let (keys, more): (Vec<String>, bool) = once(&self.nested, "kv.list", &request, work).await?;
        let cursor = if more { keys.last().cloned() } else { None };
        Ok(kv::KeyPage { keys, cursor })
    }
}
