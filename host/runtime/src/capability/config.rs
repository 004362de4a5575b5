//! `loong:host/config`: settings that the operator chose for this plugin.

use loong_manifest::Code;

use super::HostError;
use crate::bindings::host::config;
use crate::guest::Guest;

impl config::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<String>, HostError> {
        // The manifest names the keys; a key that it names and nobody set is simply not there.
        let plugin = self.nested.plugin();
        if plugin.config_keys.contains(&key) {
            return Ok(plugin.grants.config(&key).map(str::to_owned));
        }
        self.nested.refused("config", crate::fault::said(&key), Code::CapabilityDenied).await?;
        Err(super::denied(Code::CapabilityDenied, &key, "the manifest does not name this key"))
    }
}
