//! `core:sink-file`: an audit sink that writes files of JSON lines.

pub mod journal;

#[cfg(target_family = "wasm")]
mod component;
