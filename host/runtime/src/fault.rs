//! The one mapping from what stops a guest to a typed fault.

use std::fmt;

use loong_kernel::Fault;
use loong_manifest::{LimitName, Limits};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

/// A fault on its way out through the engine as an error.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) Fault);

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl std::error::Error for Stop {}

/// Longest text of a guest or of the engine that goes into a fault, in characters.
const TEXT_MAX: usize = 500;

/// Cuts and escapes a text from outside.
pub(crate) fn said(text: &str) -> String {
    loong_manifest::escape(&text.chars().take(TEXT_MAX).collect::<String>())
}

/// What stopped a guest. `None` when it ended itself with status 0.
pub(crate) fn of(error: &wasmtime::Error, limits: &Limits) -> Option<Fault> {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (exit.0 != 0).then(|| Fault::Plugin { message: format!("it exited with status {}", exit.0) });
    }
    if let Some(stop) = error.chain().find_map(|cause| cause.downcast_ref::<Stop>()) {
        return Some(stop.0.clone());
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        let maximum = u64::from(limits.resources_max);
        return Some(Fault::Limit { limit: LimitName::Resources, maximum, used: None });
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Some(Fault::Limit {
            limit: LimitName::ConcurrentCalls,
            maximum: u64::from(crate::engine::INSTANCES_MAX),
            used: None,
        });
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            return Some(Fault::Limit { limit: LimitName::Fuel, maximum: limits.fuel_max, used: None });
        }
        Some(Trap::StackOverflow) => {
            return Some(Fault::Limit {
                limit: LimitName::StackBytes,
                maximum: crate::engine::STACK_BYTES_MAX as u64,
                used: None,
            });
        }
        Some(trap) => return Some(Fault::Trap { message: trap.to_string() }),
        None => {}
    }
    // The engine has no public types for these; the words are asserted by the tests of hostile guests.
    let text = format!("{error:#}");
    if text.contains("resource limit exceeded") {
        let maximum = u64::from(limits.instances_max);
        return Some(Fault::Limit { limit: LimitName::Instances, maximum, used: None });
    }
    if text.contains("store handle limit exceeded") {
        let maximum = u64::from(limits.resources_max);
        return Some(Fault::Limit { limit: LimitName::Resources, maximum, used: None });
    }
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        let maximum = limits.host_copy_bytes_max;
        return Some(Fault::Limit { limit: LimitName::HostCopyBytes, maximum, used: None });
    }
    if text.contains("requested len") && text.contains("exceeds limit") {
        let maximum = limits.random_bytes_max;
        return Some(Fault::Limit { limit: LimitName::RandomBytes, maximum, used: None });
    }
    Some(Fault::Trap { message: said(&text) })
}
