//! Whoever watches a run: text that plugins print, log or stream while they work.

use loong_manifest::PluginId;

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output of the plugin.
    Stdout,
    /// Standard error of the plugin.
    Stderr,
    /// `loong:host/stream`.
    Stream,
    /// `loong:host/log`, with the level's name.
    Log(&'static str),
}

/// Receives what plugins print. Called from the thread that runs the guest, so it must not block for long.
/// The bytes are the guest's: whoever shows them escapes them.
pub trait Watch: Send + Sync + 'static {
    /// A plugin printed something.
    fn text(&self, plugin: &PluginId, channel: Channel, bytes: &[u8]);
}

/// Nobody watches.
impl Watch for () {
    fn text(&self, _: &PluginId, _: Channel, _: &[u8]) {}
}
