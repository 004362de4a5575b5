//! What a run did, kept while it runs, so that one that stops for a person's approval can go on without doing
//! anything twice.
//!
//! Every open call has a journal. A nested call that can change something leaves its outcome there when it
//! ends; an effect of the call itself leaves its result. What only reads is done again. When a call stops because a
//! person must approve something, its journal goes into its caller's, and so up to the run. A run that goes on
//! calls its plugins from the start, and whatever they do that they had done before is answered from the journal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loong_manifest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Fault;

/// Most entries in the journals of one run together.
const ENTRIES_MAX: usize = 10_000;
/// Most bytes in the journals of one run together.
const BYTES_MAX: usize = 16 << 20;

/// One thing that is not to be done again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A nested call ended.
    Done {
        /// Who called what with which arguments.
        key: Digest,
        /// What came of it.
        outcome: Outcome,
    },
    /// The plugin changed something itself.
    Effect {
        /// What it did.
        key: Digest,
        /// What it was answered.
        answer: Value,
    },
    /// A nested call had not ended.
    Open {
        /// Who called what with which arguments.
        key: Digest,
        /// What had happened in it.
        entries: Vec<Self>,
    },
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its result as JSON.
    Result(Value),
    /// How it failed.
    Fault(Fault),
}

/// What one open call did so far, and what it had done before its run stopped.
pub struct Journal {
    state: Mutex<State>,
    budget: Arc<Budget>,
}

#[derive(Default)]
struct State {
    written: Vec<Entry>,
    earlier: Vec<Entry>,
    unrepeatable: Option<String>,
}

#[derive(Default)]
struct Budget {
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Default for Journal {
    fn default() -> Self {
        Self::resuming(Vec::new())
    }
}

impl Journal {
    /// The journal of a run that goes on, from what it had left.
    pub fn resuming(earlier: Vec<Entry>) -> Self {
        let state = State { earlier, ..State::default() };
        Self { state: Mutex::new(state), budget: Arc::default() }
    }

    /// The journal of a nested call.
    pub(crate) fn nested(&self, earlier: Vec<Entry>) -> Arc<Self> {
        let state = State { earlier, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), budget: Arc::clone(&self.budget) })
    }

    /// What came of this call before the run stopped. Each entry answers once.
    pub(crate) fn outcome(&self, wanted: &Digest) -> Option<Outcome> {
        let mut state = self.state();
        let at = state
            .earlier
            .iter()
            .position(|entry| matches!(entry, Entry::Done { key, .. } if key == wanted))?;
        let entry = state.earlier.remove(at);
        let Entry::Done { outcome, .. } = &entry else { return None };
        let outcome = outcome.clone();
        state.written.push(entry);
        Some(outcome)
    }

    /// What had happened in this call before the run stopped in it.
    pub(crate) fn opened(&self, wanted: &Digest) -> Vec<Entry> {
        let mut state = self.state();
        let at =
            state.earlier.iter().position(|entry| matches!(entry, Entry::Open { key, .. } if key == wanted));
        match at.map(|at| state.earlier.remove(at)) {
            Some(Entry::Open { entries, .. }) => entries,
            _ => Vec::new(),
        }
    }

    /// What this effect was answered before the run stopped. Each entry answers once.
    pub fn answer(&self, wanted: &Digest) -> Option<Value> {
        let mut state = self.state();
        let at = state
            .earlier
            .iter()
            .position(|entry| matches!(entry, Entry::Effect { key, .. } if key == wanted))?;
        let entry = state.earlier.remove(at);
        let Entry::Effect { answer, .. } = &entry else { return None };
        let answer = answer.clone();
        state.written.push(entry);
        Some(answer)
    }

    /// Notes what an effect was answered.
    pub fn effect(&self, key: Digest, answer: impl FnOnce() -> Value) {
        self.write(|| Entry::Effect { key, answer: answer() });
    }

    /// Notes that the call did something whose answer cannot be kept, so that it must not be made again.
    pub fn cannot_repeat(&self, what: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.unrepeatable.is_none() {
            state.unrepeatable = Some(what());
        }
    }

    /// Notes what came of a nested call.
    pub(crate) fn done(&self, key: Digest, outcome: impl FnOnce() -> Outcome) {
        self.write(|| Entry::Done { key, outcome: outcome() });
    }

    /// Takes over the journal of a nested call that stopped because a person must approve something.
    pub(crate) fn stopped(&self, key: Digest, nested: &Self) {
        let (entries, unrepeatable) = nested.take();
        let mut state = self.state();
        state.unrepeatable = state.unrepeatable.take().or(unrepeatable);
        state.written.push(Entry::Open { key, entries });
    }

    /// How many entries are left of what had happened before the run stopped.
    pub fn left(&self) -> u64 {
        fn count(entries: &[Entry]) -> u64 {
            let within = |entry: &Entry| match entry {
                Entry::Open { entries, .. } => count(entries),
                _ => 1,
            };
            entries.iter().map(within).sum()
        }
        count(&self.state().earlier)
    }

    /// Everything that must not be done again; or why the run cannot go on at all.
    pub fn take(&self) -> (Vec<Entry>, Option<String>) {
        let mut state = self.state();
        // What had happened before and was not asked for again stays: it may be asked for the next time.
        let mut entries = std::mem::take(&mut state.written);
        entries.append(&mut state.earlier);
        (entries, state.unrepeatable.take())
    }

    fn write(&self, entry: impl FnOnce() -> Entry) {
        if self.budget.entries.fetch_add(1, Ordering::Relaxed) >= ENTRIES_MAX
            || self.budget.bytes.load(Ordering::Relaxed) >= BYTES_MAX
        {
            self.cannot_repeat(|| "it did more than its journal holds".to_owned());
            return;
        }
        let entry = entry();
        let bytes = match &entry {
            Entry::Done { outcome: Outcome::Result(value), .. } | Entry::Effect { answer: value, .. } => {
                size(value)
            }
            _ => 256,
        };
        self.budget.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.state().written.push(entry);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // An entry is moved whole or not at all, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how many bytes a value takes.
fn size(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(key, member)| key.len() + size(member)).sum(),
        _ => 0,
    };
    inner + 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn result(journal: &Journal, text: &str) -> Option<Value> {
        match journal.outcome(&key(text)) {
            Some(Outcome::Result(value)) => Some(value),
            _ => None,
        }
    }

    #[test]
    fn what_was_done_is_answered_once_and_in_its_order() {
        let journal = Journal::default();
        journal.done(key("write"), || Outcome::Result(json!(1)));
        journal.done(key("write"), || Outcome::Result(json!(2)));
        journal.effect(key("kv"), || json!("old"));
        let (entries, unrepeatable) = journal.take();
        assert_eq!(unrepeatable, None);
        let text = serde_json::to_string(&entries).unwrap();
        let journal = Journal::resuming(serde_json::from_str(&text).unwrap());
        assert_eq!(journal.left(), 3);
        assert_eq!(result(&journal, "other"), None);
        assert_eq!(result(&journal, "write"), Some(json!(1)));
        assert_eq!(result(&journal, "write"), Some(json!(2)));
        assert_eq!(result(&journal, "write"), None);
        assert_eq!(journal.answer(&key("kv")), Some(json!("old")));
        assert_eq!(journal.answer(&key("kv")), None);
        // A run can stop again: what was answered from the journal is still in it.
        assert_eq!(journal.take().0.len(), 3);
    }

    #[test]
    fn a_call_that_stopped_keeps_what_happened_in_it_and_one_that_ended_does_not() {
        let root = Journal::default();
        let (ended, stopped) = (root.nested(Vec::new()), root.nested(Vec::new()));
        ended.effect(key("inside"), || json!(null));
        root.done(key("ended"), || Outcome::Result(json!(null)));
        stopped.effect(key("inside"), || json!(7));
        root.stopped(key("stopped"), &stopped);
        let root = Journal::resuming(root.take().0);
        assert_eq!(root.answer(&key("inside")), None);
        let again = root.nested(root.opened(&key("stopped")));
        assert_eq!(again.answer(&key("inside")), Some(json!(7)));
        assert_eq!(root.opened(&key("stopped")), []);
    }

    #[test]
    fn what_cannot_be_kept_is_said_all_the_way_up() {
        let root = Journal::default();
        let nested = root.nested(Vec::new());
        nested.cannot_repeat(|| "it wrote files".into());
        root.stopped(key("call"), &nested);
        assert_eq!(root.take().1.as_deref(), Some("it wrote files"));
        let full = Journal::default();
        for _ in 0..=ENTRIES_MAX {
            full.effect(key("x"), || json!(null));
        }
        assert!(full.take().1.unwrap().contains("more than its journal holds"));
    }
}
