//! Looking through the arguments of a call for what a risk profile names, within bounds: whoever calls chooses
//! how large and how deep they are.

use std::collections::{BTreeSet, HashMap};

use loong_manifest::pattern_matches;
use serde_json::Value;

use super::words::words;
use super::{KeyRule, ValueRule};

/// Deepest nesting that is looked into.
const DEPTH_MAX: usize = 64;
/// Most values and members that are looked at.
const NODES_MAX: usize = 100_000;
/// Most bytes that are compared: those of each text, once for every pattern.
const WORK_BYTES_MAX: usize = 64 << 20;
/// A longer text is no name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// What a profile looks for in arguments.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// Rules about members by the words of their names.
    named: HashMap<Vec<String>, Vec<usize>>,
    /// Rules about members by where they are.
    pointed: Vec<(Vec<Step>, usize)>,
    /// What the value of a member must be like, by rule.
    wanted: Vec<Option<String>>,
    /// What a text must be like, by rule.
    texts: Vec<String>,
}

/// A step of a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Any,
    Name { exact: String, words: Vec<String> },
}

/// The rules that hit, by their places in the profile.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) keys: BTreeSet<usize>,
    pub(super) values: BTreeSet<usize>,
}

/// What is left of the bounds, where in the arguments we are, and what was seen.
struct Walk<'a> {
    /// The names of the members that we are in, and their words; for a place in a list nothing.
    path: Vec<(&'a str, Vec<String>)>,
    nodes: usize,
    work_bytes: usize,
    seen: Seen,
}

/// Too much to look through.
type Bound = &'static str;

impl Sight {
    pub(super) fn of(keys: &[KeyRule], values: &[ValueRule]) -> Self {
        let mut sight = Self {
            named: HashMap::new(),
            pointed: Vec::new(),
            wanted: keys.iter().map(|rule| rule.value.as_deref().map(str::to_lowercase)).collect(),
            texts: values.iter().map(|rule| rule.pattern.to_lowercase()).collect(),
        };
        for (index, rule) in keys.iter().enumerate() {
            match rule.key.strip_prefix('/') {
                Some(pointer) => sight.pointed.push((pointer.split('/').map(step).collect(), index)),
                None => sight.named.entry(words(&rule.key)).or_default().push(index),
            }
        }
        sight
    }

    /// Everything in the arguments that the profile names.
    pub(super) fn look(&self, arguments: &Value) -> Result<Seen, Bound> {
        let mut walk = Walk { path: Vec::new(), nodes: 0, work_bytes: 0, seen: Seen::default() };
        self.value(arguments, &mut walk)?;
        Ok(walk.seen)
    }

    fn value<'a>(&self, value: &'a Value, walk: &mut Walk<'a>) -> Result<(), Bound> {
        walk.node()?;
        if walk.path.len() > DEPTH_MAX {
            return Err("its arguments are nested too deeply to look through");
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    walk.path.push((name, short_words(name)));
                    // One null member is a case of a variant; among others it is an option that is not set.
                    if !member.is_null() || members.len() == 1 {
                        self.member(member, walk)?;
                    }
                    self.value(member, walk)?;
                    walk.path.pop();
                }
            }
            Value::Array(items) => {
                for item in items {
                    // Only `*` names a place in a list.
                    walk.path.push(("", Vec::new()));
                    self.at_pointer(item, walk)?;
                    self.value(item, walk)?;
                    walk.path.pop();
                }
            }
            Value::String(text) => self.text(text, walk)?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// A member, by its name and by its place.
    fn member(&self, value: &Value, walk: &mut Walk<'_>) -> Result<(), Bound> {
        let named = walk.path.last().and_then(|(_, words)| self.named.get(words));
        for index in named.into_iter().flatten() {
            self.hit(*index, value, walk)?;
        }
        self.at_pointer(value, walk)
    }

    fn at_pointer(&self, value: &Value, walk: &mut Walk<'_>) -> Result<(), Bound> {
        for (steps, index) in &self.pointed {
            let fits = |(step, (name, words)): (&Step, &(&str, Vec<String>))| match step {
                Step::Any => true,
                Step::Name { exact, words: own } => exact == name || (!own.is_empty() && own == words),
            };
            if steps.len() == walk.path.len() && steps.iter().zip(&walk.path).all(fits) {
                self.hit(*index, value, walk)?;
            }
        }
        Ok(())
    }

    /// Counts a rule about a member, if the member's value is what it wants.
    fn hit(&self, index: usize, value: &Value, walk: &mut Walk<'_>) -> Result<(), Bound> {
        let Some(Some(wanted)) = self.wanted.get(index) else {
            walk.seen.keys.insert(index);
            return Ok(());
        };
        let values = match value {
            Value::Array(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        for value in values {
            let text = match value {
                Value::String(text) => text.to_lowercase(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            walk.work(text.len())?;
            if pattern_matches(wanted, &text) {
                walk.seen.keys.insert(index);
            }
        }
        Ok(())
    }

    /// A text, by what it is like; and by itself, since flags and the words of a command line are texts.
    fn text(&self, text: &str, walk: &mut Walk<'_>) -> Result<(), Bound> {
        for index in self.named.get(&short_words(text)).into_iter().flatten() {
            if matches!(self.wanted.get(*index), Some(None)) {
                walk.seen.keys.insert(*index);
            }
        }
        walk.work(text.len().saturating_mul(self.texts.len()))?;
        if !self.texts.is_empty() {
            let text = text.to_lowercase();
            let fits = |pattern: &String| pattern_matches(pattern, &text);
            let hits = self.texts.iter().enumerate().filter(|(_, pattern)| fits(pattern));
            walk.seen.values.extend(hits.map(|(index, _)| index));
        }
        Ok(())
    }
}

impl Walk<'_> {
    fn node(&mut self) -> Result<(), Bound> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { Err("its arguments are too many to look through") } else { Ok(()) }
    }

    fn work(&mut self, bytes: usize) -> Result<(), Bound> {
        self.work_bytes = self.work_bytes.saturating_add(bytes);
        if self.work_bytes > WORK_BYTES_MAX {
            return Err("its arguments are too long to look through");
        }
        Ok(())
    }
}

/// The words of a name; of a text that is too long for one, none.
fn short_words(text: &str) -> Vec<String> {
    if text.len() > NAME_BYTES_MAX { Vec::new() } else { words(text) }
}

fn step(text: &str) -> Step {
    if text == "*" {
        return Step::Any;
    }
    let exact = text.replace("~1", "/").replace("~0", "~");
    Step::Name { words: words(&exact), exact }
}
