//! Whether a plugin that fails again and again may still be called: a circuit breaker, and the probation of a plugin
//! that took the place of another version. Pure: the time is told.

use serde::{Deserialize, Serialize};

/// So many failures within [`WINDOW_MS`] open the circuit.
const FAILURES_MAX: usize = 5;
/// How long a failure counts.
const WINDOW_MS: u64 = 60_000;
/// How long the circuit is open the first time; each further time doubles it.
const PAUSE_MS: u64 = 10_000;
/// The longest that it is open.
const PAUSE_MS_MAX: u64 = 10 * 60_000;
/// So many good calls, one after the other, close it again.
const PROBES: u32 = 2;
/// How often it may open before the plugin is quarantined.
const OPENINGS_MAX: u32 = 5;
/// After so long without opening, earlier openings are forgotten.
const QUIET_MS: u64 = 60 * 60_000;
/// So many failures on probation, and no fewer than half of the calls, and the version before it comes back.
const PROBATION_FAILURES_MAX: u64 = 3;
/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 300;

/// How a plugin stands. What it says of itself has no part in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    state: State,
    /// When it failed, in milliseconds since the Unix epoch; no longer ago than [`WINDOW_MS`].
    failures_ms: Vec<u64>,
    /// How often it opened, without a long quiet time in between.
    openings: u32,
    /// When it last opened.
    opened_ms: u64,
    /// Good calls since the pause was over.
    probes: u32,
    /// What went wrong the last time.
    reason: Option<String>,
    probation: Option<Probation>,
}

/// A version that took the place of another, while it has to prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probation {
    /// When it ends, in milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// Calls so far.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
}

/// Whether calls are let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// They are.
    #[default]
    Closed,
    /// They are not, for some time.
    Open {
        /// Until then, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// The time is over; single calls are let through, to see.
    HalfOpen,
    /// They are not, until a person clears it.
    Quarantined,
}

/// What is done with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is made, and only a failure is noted.
    Pass,
    /// It is made, and its end is noted whatever it is.
    Watch,
    /// It is made to see whether the plugin works again. No other is made meanwhile.
    Probe,
    /// It is not made before this time, in milliseconds since the Unix epoch.
    Open(u64),
    /// It is not made.
    Quarantined,
}

/// What the end of a call changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that others have to know.
    None,
    /// The state is another.
    State(State),
    /// It failed too often on probation: the version before it has to come back.
    RollBack,
}

impl Breaker {
    /// Whether a call is made now.
    pub fn entry(&self, now_ms: u64) -> Entry {
        match self.state {
            State::Quarantined => Entry::Quarantined,
            State::Open { until_ms } if now_ms < until_ms => Entry::Open(until_ms),
            State::Open { .. } | State::HalfOpen => Entry::Probe,
            State::Closed if self.probation_at(now_ms).is_some() => Entry::Watch,
            State::Closed => Entry::Pass,
        }
    }

    /// Notes a call that did what it should.
    pub fn succeeded(&mut self, now_ms: u64) -> Change {
        if let Some(probation) = self.probation.as_mut().filter(|probation| now_ms < probation.until_ms) {
            probation.calls += 1;
        }
        match self.state {
            State::Open { until_ms } if now_ms >= until_ms => {}
            State::HalfOpen => {}
            _ => return Change::None,
        }
        self.probes += 1;
        if self.probes < PROBES {
            self.state = State::HalfOpen;
            return Change::None;
        }
        self.failures_ms.clear();
        self.probes = 0;
        self.set(State::Closed)
    }

    /// Notes a call that failed by the plugin's own doing, and why.
    pub fn failed(&mut self, now_ms: u64, reason: &str) -> Change {
        self.reason = Some(loong_manifest::escape(&reason.chars().take(REASON_MAX).collect::<String>()));
        self.failures_ms.retain(|failed_ms| now_ms.saturating_sub(*failed_ms) < WINDOW_MS);
        self.failures_ms.push(now_ms);
        // Calls that were under way together can fail together.
        let extra = self.failures_ms.len().saturating_sub(FAILURES_MAX);
        self.failures_ms.drain(..extra);
        if let Some(probation) = self.probation.as_mut().filter(|probation| now_ms < probation.until_ms) {
            probation.calls += 1;
            probation.failures += 1;
            let failures = probation.failures;
            if failures >= PROBATION_FAILURES_MAX && failures.saturating_mul(2) >= probation.calls {
                self.probation = None;
                return Change::RollBack;
            }
        }
        match self.state {
            State::Closed if self.failures_ms.len() < FAILURES_MAX => Change::None,
            State::Quarantined => Change::None,
            State::Open { until_ms } if now_ms < until_ms => Change::None,
            State::Closed | State::Open { .. } | State::HalfOpen => self.open(now_ms),
        }
    }

    fn open(&mut self, now_ms: u64) -> Change {
        if now_ms.saturating_sub(self.opened_ms) > QUIET_MS {
            self.openings = 0;
        }
        self.openings += 1;
        self.opened_ms = now_ms;
        self.probes = 0;
        if self.openings > OPENINGS_MAX {
            return self.set(State::Quarantined);
        }
        let pause = PAUSE_MS.saturating_mul(1 << (self.openings - 1).min(20)).min(PAUSE_MS_MAX);
        self.set(State::Open { until_ms: now_ms.saturating_add(pause) })
    }

    const fn set(&mut self, state: State) -> Change {
        self.state = state;
        Change::State(state)
    }

    /// Puts the plugin aside until a person clears it.
    pub fn quarantine(&mut self, reason: &str) {
        self.reason = Some(loong_manifest::escape(&reason.chars().take(REASON_MAX).collect::<String>()));
        self.probation = None;
        self.state = State::Quarantined;
    }

    /// Puts the plugin on probation from now on, with nothing against it.
    pub fn on_probation(until_ms: u64) -> Self {
        Self { probation: Some(Probation { until_ms, calls: 0, failures: 0 }), ..Self::default() }
    }

    /// Whether there is nothing to remember of it.
    pub fn is_clean(&self, now_ms: u64) -> bool {
        self.state == State::Closed
            && self.probation_at(now_ms).is_none()
            && self.failures_ms.iter().all(|failed_ms| now_ms.saturating_sub(*failed_ms) >= WINDOW_MS)
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What went wrong the last time.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How often it may still open before the plugin is quarantined.
    pub const fn openings_left(&self) -> u32 {
        OPENINGS_MAX.saturating_sub(self.openings)
    }

    /// Its probation, if it is on one.
    pub fn probation_at(&self, now_ms: u64) -> Option<Probation> {
        self.probation.filter(|probation| now_ms < probation.until_ms)
    }
}

impl State {
    /// The word for people and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
            Self::Quarantined => "quarantined",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Calls at these times, `+` good and `-` bad, and what a call at the end would be.
    #[track_caller]
    fn check(mut breaker: Breaker, calls: &[(u64, &str)], at_s: u64, expected: Entry) -> Breaker {
        for (at_s, ends) in calls {
            for end in ends.chars() {
                if end == '+' {
                    breaker.succeeded(at_s * 1_000);
                } else {
                    breaker.failed(at_s * 1_000, "it fell");
                }
            }
        }
        assert_eq!(breaker.entry(at_s * 1_000), expected, "{breaker:?}");
        breaker
    }

    #[test]
    fn a_plugin_that_seldom_fails_is_called() {
        check(Breaker::default(), &[], 0, Entry::Pass);
        check(Breaker::default(), &[(1, "----")], 1, Entry::Pass);
        check(Breaker::default(), &[(0, "--"), (30, "--"), (61, "--")], 61, Entry::Pass);
    }

    #[test]
    fn a_plugin_that_fails_often_is_left_alone_for_longer_each_time() {
        let once = check(Breaker::default(), &[(0, "-----")], 9, Entry::Open(10_000));
        assert_eq!(once.reason(), Some("it fell"));
        check(once.clone(), &[], 10, Entry::Probe);
        let twice = check(once.clone(), &[(10, "-")], 29, Entry::Open(30_000));
        check(twice, &[(30, "-")], 69, Entry::Open(70_000));
        let probed = check(once, &[(10, "+")], 10, Entry::Probe);
        check(probed.clone(), &[(10, "+")], 10, Entry::Pass);
        check(probed, &[(11, "-")], 11, Entry::Open(31_000));
    }

    #[test]
    fn a_plugin_that_never_recovers_is_quarantined_until_a_person_clears_it() {
        let calls = [(0, "-----"), (10, "-"), (30, "-"), (70, "-"), (150, "-"), (310, "-")];
        let gone = check(Breaker::default(), &calls, 310, Entry::Quarantined);
        assert_eq!(gone.openings_left(), 0);
        check(gone, &[(100_000, "+-+")], 1_000_000, Entry::Quarantined);
    }

    #[test]
    fn openings_are_forgotten_after_a_quiet_time() {
        let closed = check(Breaker::default(), &[(0, "-----"), (10, "++")], 10, Entry::Pass);
        check(closed.clone(), &[(20, "-----")], 20, Entry::Open(40_000));
        check(closed, &[(4_000, "-----")], 4_000, Entry::Open(4_010_000));
    }

    #[test]
    fn a_version_on_probation_that_fails_every_other_time_goes() {
        let new = Breaker::on_probation(300_000);
        check(new.clone(), &[(1, "+-+-")], 1, Entry::Watch);
        check(new.clone(), &[], 300, Entry::Pass);
        let mut bad = check(new.clone(), &[(1, "+-+-")], 1, Entry::Watch);
        assert_eq!(bad.failed(1_000, "again"), Change::RollBack);
        let mut good = check(new.clone(), &[(1, "++++++--")], 1, Entry::Watch);
        assert_eq!(good.failed(1_000, "seldom"), Change::None);
        let mut late = check(new, &[(299, "--")], 299, Entry::Watch);
        assert_eq!(late.failed(300_000, "too late"), Change::None);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded_and_what_was_good_is_let_through(ends in prop::collection::vec((0..90_000_u64, any::<bool>()), 0..200)) {
            let mut breaker = Breaker::default();
            let mut now_ms = 0;
            for (later_ms, good) in ends {
                now_ms += later_ms;
                match breaker.entry(now_ms) {
                    Entry::Quarantined | Entry::Open(_) => continue,
                    _ if good => breaker.succeeded(now_ms),
                    _ => breaker.failed(now_ms, "it fell"),
                };
                prop_assert!(breaker.failures_ms.len() <= FAILURES_MAX);
            }
            let text = serde_json::to_string(&breaker).unwrap();
            prop_assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
        }
    }
}
