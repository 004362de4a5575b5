//! `core:sink-syslog`: an audit sink that speaks syslog.

pub mod message;
pub mod settings;

#[cfg(target_family = "wasm")]
mod component;
