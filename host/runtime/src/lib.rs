//! Runs components. The only crate, with the compiler, that names the engine: its configuration, the
//! limits on everything a guest controls, linking, one module per host capability, JSON and WIT values,
//! and the cache of compiled artifacts. There is no compiler in it.

pub mod artifact;
mod bindings;
mod capability;
mod cpu;
mod egress;
pub mod engine;
mod executor;
mod fault;
mod guest;
mod limiter;
mod link;
mod measure;
mod plugin;
mod turns;
pub mod values;
mod watch;

pub use egress::{EgressSettings, Secret, SecretError, Secrets};
pub use executor::{Arguments, Output, Programs, Runtime, Script, Settings};
pub use guest::Stdin;
pub use plugin::{Function, Import, LoadError, Plugin};
pub use watch::{Channel, Watch};
