//! The pack `core:release-review`: what would be released, for the person who decides about it.
//!
//! [`review`] is the whole logic and calls nothing, so native tests run it. `component.rs` gathers the
//! facts through `core:git/git` and exists on WebAssembly only.

#[cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, unused_imports, reason = "the component calls what native tests do not")
)]
mod review;

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated bindings, and the section that holds the manifest")]
mod component;
