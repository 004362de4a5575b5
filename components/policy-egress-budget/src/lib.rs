//! `core:egress-budget`: a policy extension that keeps runs within a budget for each host.

pub mod budget;

#[cfg(target_family = "wasm")]
mod component;
