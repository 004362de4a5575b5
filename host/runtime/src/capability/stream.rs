//! `loong:host/stream`: text for whoever watches the run.

use super::HostError;
use crate::bindings::host::stream;
use crate::guest::Guest;
use crate::watch::Channel;

impl stream::Host for Guest {
    async fn emit(&mut self, delta: String) -> Result<(), HostError> {
        let maximum = self.nested.plugin().limits.stream_bytes_max;
        let used = self.spent.stream_bytes.saturating_add(delta.len() as u64);
        if used > maximum {
            return Err(super::limited("stream-bytes", maximum, used));
        }
        self.spent.stream_bytes = used;
        self.services.watch.text(&self.nested.plugin().id, Channel::Stream, delta.as_bytes());
        Ok(())
    }
}
