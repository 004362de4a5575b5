//! `loong:host/kv`: a small key-value space of the plugin's own.

use std::sync::Arc;

use loong_kernel::KvError;

use super::{HostError, invalid, limited};
use crate::bindings::host::{kv, types};
use crate::guest::Guest;

fn failed(error: KvError) -> HostError {
    match error {
        KvError::Limit { limit, maximum, used } => limited(limit, maximum, used),
        KvError::KeyEmpty => invalid("key", "is empty"),
        KvError::Unavailable { problem } => types::Error::Unavailable(problem).into(),
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        let space = Arc::clone(&self.services.kv);
        space.get(&self.nested.plugin().owner(), &key).await.map_err(failed)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), HostError> {
        let space = Arc::clone(&self.services.kv);
        let plugin = self.nested.plugin();
        space.set(&plugin.owner(), &key, value, plugin.limits.kv_bytes_max).await.map_err(failed)
    }

    async fn delete(&mut self, key: String) -> Result<bool, HostError> {
        let space = Arc::clone(&self.services.kv);
        space.delete(&self.nested.plugin().owner(), &key).await.map_err(failed)
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<kv::KeyPage, HostError> {
        let space = Arc::clone(&self.services.kv);
        let page = space
            .list(&self.nested.plugin().owner(), &prefix, cursor.as_deref(), limit.max(1))
            .await
            .map_err(failed)?;
        let cursor = if page.more { page.keys.last().cloned() } else { None };
        Ok(kv::KeyPage { keys: page.keys, cursor })
    }
}
