//! The aggregate limiter: adds up every linear memory and every table of a store, and every memory of the
//! process. The engine's own limits are per memory, so forty memories would pass forty times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loong_kernel::Fault;
use loong_manifest::{Digest, LimitName, Limits};
use wasmtime::ResourceLimiter;

use crate::fault::Stop;

/// Memory of all guests of the process together, in bytes. One component may have half of it, however many calls of it
/// there are, so that others find some too.
#[derive(Debug)]
pub(crate) struct Budget {
    maximum: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: u64,
    of: BTreeMap<Digest, u64>,
}

impl Budget {
    pub(crate) fn new(maximum: u64) -> Arc<Self> {
        Arc::new(Self { maximum, used: Mutex::default() })
    }

    /// Takes some for a component; says what it may have at most where that is not possible.
    fn take(&self, component: &Digest, bytes: u64) -> Result<(), u64> {
        let share = self.maximum / 2;
        let mut used = self.used();
        let own = used.of.get(component).copied().unwrap_or(0).saturating_add(bytes);
        if own > share {
            return Err(share);
        }
        let all = used.all.saturating_add(bytes);
        if all > self.maximum {
            return Err(self.maximum);
        }
        used.all = all;
        used.of.insert(*component, own);
        Ok(())
    }

    fn give(&self, component: &Digest, bytes: u64) {
        let mut used = self.used();
        used.all = used.all.saturating_sub(bytes);
        let left = used.of.get(component).copied().unwrap_or(0).saturating_sub(bytes);
        if left == 0 {
            used.of.remove(component);
        } else {
            used.of.insert(*component, left);
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up what one store holds.
pub(crate) struct Limiter {
    budget: Arc<Budget>,
    component: Digest,
    memory_bytes: u64,
    memory_bytes_max: u64,
    table_elements: u64,
    table_elements_max: u64,
    instances_max: u32,
    /// Largest sum of all memories so far, shared so that it can be read after the store is gone.
    peak: Arc<AtomicU64>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, component: Digest, budget: Arc<Budget>, peak: Arc<AtomicU64>) -> Self {
        Self {
            budget,
            component,
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
        if self.memory_bytes > 0 {
            self.budget.give(&self.component, self.memory_bytes);
        }
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
        self.budget
            .take(&self.component, more)
            .map_err(|maximum| exceeded(LimitName::MemoryBytes, maximum, sum))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_component_leaves_the_others_half() {
        let budget = Budget::new(100);
        let (greedy, other) = (Digest::of(b"greedy"), Digest::of(b"other"));
        assert_eq!(budget.take(&greedy, 50), Ok(()));
        assert_eq!(budget.take(&greedy, 1), Err(50));
        assert_eq!(budget.take(&other, 30), Ok(()));
        assert_eq!(budget.take(&other, 21), Err(50));
        assert_eq!(budget.take(&Digest::of(b"third"), 21), Err(100));
        budget.give(&greedy, 50);
        assert_eq!(budget.take(&greedy, 50), Ok(()));
        budget.give(&greedy, 50);
        budget.give(&other, 30);
        let used = budget.used();
        assert_eq!((used.all, used.of.len()), (0, 0));
    }
}
