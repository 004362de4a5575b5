//! CPU time of guests: measured while they run, and bounded for each call, for each run and over time.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use loong_kernel::{Active, Fault, Run};
use loong_manifest::{Digest, LimitName, Limits};
use rustix::time::{ClockId, clock_gettime};

use crate::plugin::Plugin;

/// Most components whose time is kept. One that was not called for a minute has all of its time again, so nothing is lost.
const COMPONENTS_MAX: usize = 10_000;
/// The time in which a budget is full again.
const MINUTE: Duration = Duration::from_secs(60);

thread_local! {
    /// What was measured within what is being measured now, in microseconds.
    static WITHIN: Cell<u64> = const { Cell::new(0) };
}

/// CPU time of this thread, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// All of it.
    pub(crate) all_us: u64,
    /// Without what was measured within.
    pub(crate) own_us: u64,
}

/// Does something, and says how much CPU time of this thread it took.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let before = WITHIN.replace(0);
    let begun = thread_us();
    let done = work();
    let all_us = thread_us().saturating_sub(begun);
    let within = WITHIN.replace(before.saturating_add(all_us));
    (done, Took { all_us, own_us: all_us.saturating_sub(within) })
}

fn thread_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000).saturating_add(nanoseconds.unwrap_or(0) / 1_000)
}

/// What components may still use of their time in this process.
#[derive(Debug, Default)]
pub(crate) struct Minutes(Mutex<BTreeMap<Digest, Bucket>>);

/// A budget that refills: full after a minute in which nothing was used.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left_us: u64,
    at: Instant,
}

impl Bucket {
    /// What is left at a time, if a minute's worth is so much.
    fn left(&self, minute_us: u64, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.at).min(MINUTE);
        let share = u128::from(minute_us) * since.as_micros() / MINUTE.as_micros();
        self.left_us.saturating_add(u64::try_from(share).unwrap_or(u64::MAX)).min(minute_us)
    }
}

/// What one call may use, and of which budget that is the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) us: u64,
    limit: LimitName,
    maximum_ms: u64,
}

impl Allowance {
    /// The fault of a call that used more.
    pub(crate) const fn exceeded(&self) -> Fault {
        Fault::Limit { limit: self.limit, maximum: self.maximum_ms, used: None }
    }
}

impl Minutes {
    /// What a call may use: the least that one of its budgets has left.
    pub(crate) fn allowance(
        &self,
        component: &Digest,
        limits: &Limits,
        run: &Run,
        now: Instant,
    ) -> Allowance {
        let us = |ms: u64| ms.saturating_mul(1_000);
        let minute = us(limits.minute_cpu_ms_max);
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = buckets.get(component).map_or(minute, |bucket| bucket.left(minute, now));
        drop(buckets);
        let of_run = us(limits.run_cpu_ms_max).saturating_sub(run.cpu_us(component));
        let all = [
            (us(limits.cpu_ms_max), LimitName::CpuMs, limits.cpu_ms_max),
            (of_run, LimitName::RunCpuMs, limits.run_cpu_ms_max),
            (left, LimitName::MinuteCpuMs, limits.minute_cpu_ms_max),
        ];
        let least = all.into_iter().min_by_key(|(us, ..)| *us);
        let (us, limit, maximum_ms) = least.unwrap_or((0, LimitName::CpuMs, 0));
        Allowance { us, limit, maximum_ms }
    }

    /// Takes what a call used.
    fn take(&self, component: &Digest, limits: &Limits, used_us: u64, now: Instant) {
        let minute = limits.minute_cpu_ms_max.saturating_mul(1_000);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= COMPONENTS_MAX {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < MINUTE);
        }
        let left = buckets.get(component).map_or(minute, |bucket| bucket.left(minute, now));
        buckets.insert(*component, Bucket { left_us: left.saturating_sub(used_us), at: now });
    }
}

/// What a call uses. It is paid when the call ends, however it does.
pub(crate) struct Bill<'a> {
    pub(crate) us: u64,
    minutes: &'a Minutes,
    plugin: Arc<Active<Plugin>>,
    run: Arc<Run>,
}

impl<'a> Bill<'a> {
    pub(crate) const fn new(minutes: &'a Minutes, plugin: Arc<Active<Plugin>>, run: Arc<Run>) -> Self {
        Self { us: 0, minutes, plugin, run }
    }

    /// What the call may use.
    pub(crate) fn allowance(&self) -> Allowance {
        self.minutes.allowance(&self.plugin.digest, &self.plugin.limits, &self.run, Instant::now())
    }
}

impl Drop for Bill<'_> {
    fn drop(&mut self) {
        self.run.count_cpu(&self.plugin.digest, self.us);
        self.minutes.take(&self.plugin.digest, &self.plugin.limits, self.us, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps this thread busy for so long.
    fn burn(ms: u64) {
        let begun = thread_us();
        while thread_us() < begun + ms * 1_000 {
            std::hint::black_box(());
        }
    }

    #[test]
    fn what_is_measured_within_is_not_counted_twice() {
        let (inner, outer) = measured(|| {
            burn(10);
            let ((), inner) = measured(|| burn(30));
            inner
        });
        assert!((30_000..60_000).contains(&inner.own_us), "{inner:?}");
        assert!((10_000..30_000).contains(&outer.own_us), "{outer:?}");
        assert!((40_000..90_000).contains(&outer.all_us), "{outer:?}");
    }

    #[test]
    fn waiting_costs_nothing() {
        let ((), used) = measured(|| std::thread::sleep(Duration::from_millis(50)));
        assert!(used.all_us < 20_000, "{used:?}");
    }

    #[test]
    fn a_budget_refills_with_time_and_no_further_than_full() {
        let now = Instant::now();
        let check = |left_us: u64, after_s: u64, expected: u64| {
            let bucket = Bucket { left_us, at: now };
            assert_eq!(bucket.left(60_000, now + Duration::from_secs(after_s)), expected);
        };
        check(0, 0, 0);
        check(0, 1, 1_000);
        check(500, 30, 30_500);
        check(0, 60, 60_000);
        check(50_000, 30, 60_000);
        check(0, u64::from(u32::MAX), 60_000);
    }
}
