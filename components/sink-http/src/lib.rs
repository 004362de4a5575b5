//! `core:sink-http`: an audit sink that posts batches of JSON.

pub mod deliver;
pub mod request;
pub mod wait;

#[cfg(target_family = "wasm")]
mod component;
