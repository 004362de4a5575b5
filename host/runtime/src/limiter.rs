//! The aggregate limiter: adds up every linear memory and every table of a store, and every memory of the
//! process. The engine's own limits are per memory, so forty memories would pass forty times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loong_kernel::Fault;
use loong_manifest::{LimitName, Limits};
use wasmtime::ResourceLimiter;

use crate::fault::Stop;

/// Memory of all guests of the process together, in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    maximum: u64,
}

impl Budget {
    pub(crate) fn new(maximum: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), maximum })
    }

    fn take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.maximum)
            })
            .is_ok()
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Adds up what one store holds.
pub(crate) struct Limiter {
    budget: Arc<Budget>,
    memory_bytes: u64,
    memory_bytes_max: u64,
    table_elements: u64,
    table_elements_max: u64,
    instances_max: u32,
    /// Largest sum of all memories so far, shared so that it can be read after the store is gone.
    peak: Arc<AtomicU64>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, budget: Arc<Budget>, peak: Arc<AtomicU64>) -> Self {
        Self {
            budget,
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements: 0,
            table_elements_max: limits.table_elements_max,
            instances_max: limits.instances_max,
            peak,
        }
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give(self.memory_bytes);
    }
}

fn exceeded(limit: LimitName, maximum: u64, used: u64) -> wasmtime::Error {
    Stop(Fault::Limit { limit, maximum, used: Some(used) }).into()
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The engine refuses what the type of the memory forbids, but only after it was counted here.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = (desired as u64).saturating_sub(current as u64);
        let sum = self.memory_bytes.saturating_add(more);
        if sum > self.memory_bytes_max {
            return Err(exceeded(LimitName::MemoryBytes, self.memory_bytes_max, sum));
        }
        if !self.budget.take(more) {
            return Err(exceeded(LimitName::MemoryBytes, self.budget.maximum, sum));
        }
        self.memory_bytes = sum;
        self.peak.fetch_max(sum, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = (desired as u64).saturating_sub(current as u64);
        let sum = self.table_elements.saturating_add(more);
        if sum > self.table_elements_max {
            return Err(exceeded(LimitName::TableElements, self.table_elements_max, sum));
        }
        self.table_elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances_max as usize
    }

    fn memories(&self) -> usize {
        self.instances_max as usize
    }

    fn tables(&self) -> usize {
        self.instances_max as usize
    }
}
