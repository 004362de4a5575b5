//! What a Loong component written in Rust needs beside `wit-bindgen`.
//!
//! - [`host`]: the functions of `loong:host`, ready to call. What a component does not call is not an
//!   import of it, so depending on this crate asks for nothing.
//! - [`manifest!`]: puts `loong.plugin.json` into the component, so that one file carries both.
//!
//! In `generate!`, name these bindings instead of having them made a second time:
//!
//! ```text
//! wit_bindgen::generate!({
//!     path: ["../../wit/host", "wit"],
//!     world: "core:git/plugin",
//!     with: {
//!         "loong:host/types@0.1.0": loong_sdk::host::types,
//!         "loong:host/process@0.1.0": loong_sdk::host::process,
//!     },
//! });
//! ```

pub use wit_bindgen;

/// The interfaces of `loong:host@0.1.0`. Their functions work inside a host only; anywhere else, such as
/// in a native test, a call panics.
pub mod host {
    mod generated {
        wit_bindgen::generate!({ path: "../../wit/host", world: "loong:host/imports" });
    }
    pub use self::generated::loong::host::{config, kv, log, process, stream, tcp, tools, types};
}

/// Puts the manifest into the component, as the custom section `loong.plugin.json`.
///
/// The path is relative to the root of the crate. `loong plugins build` does the same with a manifest it
/// has completed; this is for components that are built by plain `cargo build`.
///
/// ```
/// # mod example {
/// loong_sdk::manifest!("Cargo.toml"); // in a component: "loong.plugin.json"
/// # }
/// ```
#[macro_export]
macro_rules! manifest {
    ($path:literal) => {
        const _: () = {
            const BYTES: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "loong.plugin.json"))]
            #[used]
            static MANIFEST: [u8; BYTES.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
        };
    };
}
