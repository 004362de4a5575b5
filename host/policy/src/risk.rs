//! Risk profiles: an owner's list of names, arguments and texts that make an operation riskier than its
//! manifest says. A profile raises a risk and never lowers one, so whatever is odd about a call or too large
//! to look through is taken for the worst.

use std::cmp::Ordering;

use loong_manifest::{Code, Digest, OperationName, OperationPattern, Risk, escape, strict};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

mod look;
mod words;

use look::Sight;
use words::words;

/// The form of the document.
pub const RISK_PROFILE_SCHEMA: &str = "loong.risk-profile/1";
/// Largest profile, in bytes.
pub const RISK_PROFILE_BYTES_MAX: usize = 64 << 10;
/// Most rules of one class.
const RULES_MAX: usize = 256;
/// Most hits of one class that can count.
const HITS_MAX: u32 = 16;
/// Largest weight of a rule and largest threshold.
const WEIGHT_MAX: u32 = 10_000;
/// Longest word, key or pattern, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// A risk profile cannot be used. Nothing runs without the one that the settings name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the risk profile is not valid: {problem}")]
pub struct RiskProfileError {
    /// What is wrong, safe to print.
    pub problem: String,
}

impl RiskProfileError {
    /// The public code.
    pub const fn code(&self) -> Code {
        Code::RiskProfileInvalid
    }
}

/// The document, as its author writes it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RiskProfileDocument {
    /// `loong.risk-profile/1`.
    schema: String,
    /// What the profile is for, in a line.
    #[serde(default)]
    #[expect(dead_code, reason = "it is for those who read the document")]
    summary: String,
    /// The scores from which on an operation is taken for riskier than its manifest says.
    thresholds: Thresholds,
    /// Words in the names of operations.
    #[serde(default)]
    words: Class<WordRule>,
    /// Names of operations.
    #[serde(default)]
    operations: Class<OperationRule>,
    /// Names of arguments, at any depth.
    #[serde(default)]
    keys: Class<KeyRule>,
    /// Texts anywhere in the arguments.
    #[serde(default)]
    values: Class<ValueRule>,
}

/// From which score on a call has which risk.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    /// At least `write`.
    write: u32,
    /// `irreversible`; not below the one for `write`.
    irreversible: u32,
}

/// Rules of one kind. Each counts once for a call; of those that hit, the heaviest count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Class<R> {
    /// How many hits count at most.
    hits_max: u32,
    /// The rules.
    rules: Vec<R>,
}

impl<R> Default for Class<R> {
    fn default() -> Self {
        Self { hits_max: 1, rules: Vec::new() }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WordRule {
    /// A whole word of the operation's name, or several in a row: `delete`, `force-push`.
    word: String,
    /// What a hit adds to the score.
    weight: u32,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OperationRule {
    /// A pattern over operations, as in manifests: `core:git/git#push`, `acme:*`.
    pattern: OperationPattern,
    /// What a hit adds to the score.
    weight: u32,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyRule {
    /// The name of an argument or of a member at any depth (`dry-run`, `dry_run` and `dryRun` are one name), or
    /// a JSON pointer to it, in which `*` is any one step: `/options/force`.
    key: String,
    /// Only if its value, or one in its list, is this text; a star matches any run of characters.
    #[serde(default)]
    value: Option<String>,
    /// What a hit adds to the score.
    weight: u32,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ValueRule {
    /// The whole text, in any case; a star matches any run of characters.
    pattern: String,
    /// What a hit adds to the score.
    weight: u32,
}

/// A profile that was read without a mistake.
#[derive(Debug, Clone)]
pub struct RiskProfile {
    document: RiskProfileDocument,
    words: Vec<Vec<String>>,
    sight: Sight,
    digest: Digest,
    /// Another profile, which raises too.
    further: Option<Box<Self>>,
}

/// What a profile makes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The risk: what was declared, or more.
    pub risk: Risk,
    /// Why it is more, one phrase for each rule; empty if it is not. Safe to print and to record: these are the
    /// profile's words, never those of the arguments.
    pub reasons: Vec<String>,
}

impl Raised {
    /// The greater of two.
    fn or(self, other: Self) -> Self {
        match self.risk.cmp(&other.risk) {
            Ordering::Greater => self,
            Ordering::Less => other,
            Ordering::Equal => Self { risk: self.risk, reasons: [self.reasons, other.reasons].concat() },
        }
    }
}

/// One rule that hit.
struct Hit {
    weight: u32,
    reason: String,
}

impl RiskProfile {
    /// Reads a profile. Who vouches for these bytes is not asked here.
    ///
    /// # Errors
    /// If it is not such a document, or its rules could never raise anything.
    pub fn read(bytes: &[u8]) -> Result<Self, RiskProfileError> {
        if bytes.len() > RISK_PROFILE_BYTES_MAX {
            return Err(wrong(format!("it has {} bytes, the most is {RISK_PROFILE_BYTES_MAX}", bytes.len())));
        }
        let document: RiskProfileDocument = strict::read(bytes).map_err(|error| wrong(error.to_string()))?;
        check(&document)?;
        Ok(Self {
            words: document.words.rules.iter().map(|rule| words(&rule.word)).collect(),
            sight: Sight::of(&document.keys.rules, &document.values.rules),
            document,
            digest: Digest::of(bytes),
            further: None,
        })
    }

    /// The profile that ships with Loong. Nobody has to sign it: it is part of the program.
    ///
    /// # Errors
    /// Never, unless this build is broken.
    pub fn builtin() -> Result<Self, RiskProfileError> {
        Self::read(include_bytes!("../../../policies/balanced/risk.json"))
    }

    /// This profile and another one. Each raises by itself; their scores are not added.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        let further = match self.further {
            None => other,
            Some(further) => further.and(other),
        };
        self.further = Some(Box::new(further));
        self
    }

    /// The digest of the exact bytes that were read; of the first profile, where there are several.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a call cannot be judged by its name alone.
    pub fn needs_arguments(&self) -> bool {
        self.looks() || self.further.as_ref().is_some_and(|further| further.needs_arguments())
    }

    const fn looks(&self) -> bool {
        !(self.document.keys.rules.is_empty() && self.document.values.rules.is_empty())
    }

    /// The risk of a call: what its manifest declares, or more. `arguments` is none where nobody can see them;
    /// a profile that has to look at them then takes the call for irreversible. A call without any has null.
    pub fn raise(&self, operation: &OperationName, declared: Risk, arguments: Option<&Value>) -> Raised {
        let own = self.raise_alone(operation, declared, arguments);
        let Some(further) = &self.further else { return own };
        own.or(further.raise(operation, declared, arguments))
    }

    /// The least that a call's risk can be, whatever its arguments are.
    pub(crate) fn raise_by_name(&self, operation: &OperationName, declared: Risk) -> Raised {
        let own = self.judge(declared, self.by_name(operation));
        let Some(further) = &self.further else { return own };
        own.or(further.raise_by_name(operation, declared))
    }

    fn raise_alone(&self, operation: &OperationName, declared: Risk, arguments: Option<&Value>) -> Raised {
        let mut hits = self.by_name(operation);
        if self.looks() {
            let seen = arguments
                .ok_or("its arguments cannot be seen")
                .and_then(|arguments| self.sight.look(arguments));
            match seen {
                Ok(seen) => hits.extend(self.by_arguments(&seen)),
                Err(problem) if declared < Risk::Irreversible => {
                    let reasons = vec![problem.to_owned()];
                    return Raised { risk: Risk::Irreversible, reasons };
                }
                Err(_) => {}
            }
        }
        self.judge(declared, hits)
    }

    fn judge(&self, declared: Risk, hits: Vec<Hit>) -> Raised {
        let score = hits.iter().fold(0_u32, |score, hit| score.saturating_add(hit.weight));
        let Thresholds { write, irreversible } = self.document.thresholds;
        let risk = match score {
            _ if score >= irreversible => Risk::Irreversible,
            _ if score >= write => Risk::Write,
            _ => Risk::Read,
        };
        if risk <= declared {
            return Raised { risk: declared, reasons: Vec::new() };
        }
        Raised { risk, reasons: hits.into_iter().map(|hit| hit.reason).collect() }
    }

    fn by_name(&self, operation: &OperationName) -> Vec<Hit> {
        let RiskProfileDocument { words: word_rules, operations, .. } = &self.document;
        let name = words(&operation.unversioned());
        let has = |word: &[String]| name.windows(word.len()).any(|window| window == word);
        let of_words = word_rules
            .rules
            .iter()
            .zip(&self.words)
            .filter(|(_, word)| has(word))
            .map(|(rule, _)| hit(rule.weight, &format!("the word `{}` in its name", rule.word)));
        let of_names = operations.rules.iter().filter(|rule| rule.pattern.covers(operation));
        let of_names = of_names.map(|rule| hit(rule.weight, &format!("its name fits `{}`", rule.pattern)));
        let mut hits = heaviest(of_words.collect(), word_rules.hits_max);
        hits.extend(heaviest(of_names.collect(), operations.hits_max));
        hits
    }

    fn by_arguments(&self, seen: &look::Seen) -> Vec<Hit> {
        let RiskProfileDocument { keys, values, .. } = &self.document;
        let of_keys = keys.rules.iter().enumerate().filter(|(index, _)| seen.keys.contains(index));
        let of_keys = of_keys.map(|(_, rule)| {
            let value = rule.value.as_ref().map(|value| format!(" is `{value}`")).unwrap_or_default();
            hit(rule.weight, &format!("the argument `{}`{value}", rule.key))
        });
        let of_values = values.rules.iter().enumerate().filter(|(index, _)| seen.values.contains(index));
        let of_values =
            of_values.map(|(_, rule)| hit(rule.weight, &format!("a text fits `{}`", rule.pattern)));
        let mut hits = heaviest(of_keys.collect(), keys.hits_max);
        hits.extend(heaviest(of_values.collect(), values.hits_max));
        hits
    }
}

fn hit(weight: u32, what: &str) -> Hit {
    Hit { weight, reason: format!("{} (+{weight})", escape(what)) }
}

/// The hits that count. Which these are does not depend on how many others there are below them, so that one
/// rule more never makes a score smaller.
fn heaviest(mut hits: Vec<Hit>, hits_max: u32) -> Vec<Hit> {
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.weight));
    hits.truncate(hits_max as usize);
    hits
}

fn wrong(problem: impl Into<String>) -> RiskProfileError {
    RiskProfileError { problem: escape(&problem.into()) }
}

fn check(document: &RiskProfileDocument) -> Result<(), RiskProfileError> {
    let RiskProfileDocument { schema, thresholds, words: word_rules, operations, keys, values, .. } =
        document;
    if schema != RISK_PROFILE_SCHEMA {
        return Err(wrong(format!("`schema` is not `{RISK_PROFILE_SCHEMA}`")));
    }
    if thresholds.write == 0 || thresholds.irreversible < thresholds.write {
        return Err(wrong("`thresholds.write` is 0, or above `thresholds.irreversible`"));
    }
    if thresholds.irreversible > WEIGHT_MAX {
        return Err(wrong(format!("a threshold is above {WEIGHT_MAX}")));
    }
    for rule in &word_rules.rules {
        if words(&rule.word).is_empty() {
            return Err(wrong(format!("`{}` holds no word", rule.word)));
        }
        check_text(&rule.word)?;
    }
    for rule in &keys.rules {
        check_text(&rule.key)?;
        rule.value.as_deref().map_or(Ok(()), check_text)?;
        if !rule.key.starts_with('/') && words(&rule.key).is_empty() {
            return Err(wrong(format!("`{}` is no name and no JSON pointer", rule.key)));
        }
    }
    values.rules.iter().try_for_each(|rule| check_text(&rule.pattern))?;
    let reach = [
        check_class("words", word_rules, |rule| rule.weight)?,
        check_class("operations", operations, |rule| rule.weight)?,
        check_class("keys", keys, |rule| rule.weight)?,
        check_class("values", values, |rule| rule.weight)?,
    ];
    if reach.iter().sum::<u32>() < thresholds.write {
        return Err(wrong("no call could reach `thresholds.write`, so it raises nothing"));
    }
    Ok(())
}

/// The most that a class can add to a score.
fn check_class<R>(name: &str, class: &Class<R>, weight: impl Fn(&R) -> u32) -> Result<u32, RiskProfileError> {
    if class.rules.len() > RULES_MAX {
        return Err(wrong(format!("`{name}` has more than {RULES_MAX} rules")));
    }
    if !(1..=HITS_MAX).contains(&class.hits_max) {
        return Err(wrong(format!("`hits_max` of `{name}` is not 1 to {HITS_MAX}")));
    }
    let mut weights: Vec<u32> = class.rules.iter().map(weight).collect();
    if weights.iter().any(|weight| !(1..=WEIGHT_MAX).contains(weight)) {
        return Err(wrong(format!("a weight in `{name}` is not 1 to {WEIGHT_MAX}")));
    }
    weights.sort_unstable_by(|a, b| b.cmp(a));
    Ok(weights.iter().take(class.hits_max as usize).sum())
}

fn check_text(text: &str) -> Result<(), RiskProfileError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(wrong(format!("a word, key or pattern does not have 1 to {TEXT_BYTES_MAX} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
