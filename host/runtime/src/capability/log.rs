//! `loong:host/log`: messages for the person who runs the host.

use loong_kernel::Fault;
use loong_manifest::LimitName;

use crate::bindings::host::log;
use crate::fault::Stop;
use crate::guest::Guest;
use crate::watch::Channel;

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let limits = &self.nested.plugin().limits;
        let lines = u64::from(self.spent.log_lines) + 1;
        let bytes = self.spent.log_bytes.saturating_add(message.len() as u64);
        for (limit, maximum, used) in [
            (LimitName::LogLines, u64::from(limits.log_lines_max), lines),
            (LimitName::LogBytes, limits.log_bytes_max, bytes),
        ] {
            if used > maximum {
                return Err(Stop(Fault::Limit { limit, maximum, used: Some(used) }).into());
            }
        }
        self.spent.log_lines += 1;
        self.spent.log_bytes = bytes;
        let level = match level {
            log::Level::Trace => "trace",
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.services.watch.text(&self.nested.plugin().id, Channel::Log(level), message.as_bytes());
        Ok(())
    }
}
