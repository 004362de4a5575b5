//! Which version comes next, why, and what that rests on.

use super::changelog::{self, Section};
use super::conclude::{Read, short};
use super::contract::Contract;
use super::document::{Evidence, List, Suggestion};
use super::facts::{Facts, Start};
use super::path::ContractKind;
use super::subject::Kind;
use super::text::{clean, counted};
use super::version::{Version, VersionTag, Weight};

/// Most pieces of evidence that are kept.
const EVIDENCE_MAX: usize = 100;

/// Suggests a version.
pub(crate) fn suggest(facts: &Facts, commits: &[Read<'_>], contracts: &[Contract<'_>]) -> Suggestion {
    let mut evidence: Vec<Evidence> =
        commits.iter().filter(|read| !read.reverted).filter_map(of_commit).collect();
    evidence.extend(contracts.iter().filter_map(of_contract));
    evidence.sort_by_key(|piece| std::cmp::Reverse(piece.weight));
    let mut suggestion = Suggestion {
        last_tag: facts.last_tag.as_deref().map(|tag| clean(tag, 100)),
        weight: None,
        bump: None,
        next: None,
        reason: String::new(),
        evidence: List::first(Vec::new(), 0),
        notes: Vec::new(),
    };
    if commits.is_empty() && facts.changes.is_empty() {
        suggestion.reason = "There is nothing to release: the range has no commits.".to_owned();
        return suggestion;
    }
    let weight = evidence.first().map_or(Weight::Patch, |piece| piece.weight);
    suggestion.weight = Some(weight);
    let heaviest = evidence.iter().filter(|piece| piece.weight == weight).count();
    let why = match weight {
        Weight::Breaking => {
            format!("{} may break what relies on this", counted(heaviest, "change", "changes"))
        }
        Weight::Feature => format!(
            "{} something, and none was found that breaks anything",
            counted(heaviest, "change adds", "changes add")
        ),
        Weight::Patch => "no change was found that adds to or breaks an interface".to_owned(),
    };
    evidence.retain(|piece| piece.weight != Weight::Patch);
    suggestion.evidence = List::first(evidence, EVIDENCE_MAX);
    decide(facts, weight, &why, &mut suggestion);
    let removing: Vec<String> = commits
        .iter()
        .filter(|read| {
            !read.reverted && changelog::section(&read.subject, read.breaking) == Some(Section::Removed)
        })
        .map(|read| short(&read.commit.id))
        .collect();
    if !removing.is_empty() && weight != Weight::Breaking && facts.last_tag.is_some() {
        let (shown, more) = (
            removing.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
            removing.len().saturating_sub(5),
        );
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        suggestion.notes.push(format!(
            "{} something ({shown}{more}): if users relied on it, this is a breaking change.",
            counted(removing.len(), "commit says that it removes", "commits say that they remove")
        ));
    }
    if facts.last_tag.is_some() && !matches!(facts.start, Start::LastTag) && suggestion.next.is_some() {
        let tag = suggestion.last_tag.as_deref().unwrap_or_default();
        suggestion.notes.push(format!(
            "The last tag is {tag}; the range does not begin there, and only the range was looked at."
        ));
    }
    suggestion
}

/// The part of a suggestion that depends on the version so far.
fn decide(facts: &Facts, weight: Weight, why: &str, suggestion: &mut Suggestion) {
    let own = facts.own_version.as_ref();
    let own_text = |version: &Version| own.is_some_and(|own| own.version == version.to_string());
    let Some(tag) = &facts.last_tag else {
        let first = own.and_then(|own| Version::read(&own.version));
        let place = match (own, &first) {
            (Some(own), Some(_)) => format!("the version that {} gives", clean(&own.path, 100)),
            _ => "the usual first version".to_owned(),
        };
        suggestion.next = Some(first.map_or_else(|| "0.1.0".to_owned(), |version| version.to_string()));
        suggestion.reason =
            format!("There is no tag to count from, so this is a first release, with {place}.");
        return;
    };
    let Some(VersionTag { prefix, version }) = VersionTag::read(tag) else {
        suggestion.reason = format!(
            "The last tag, {}, is no semantic version, so no number is suggested; {why}.",
            clean(tag, 100)
        );
        return;
    };
    let bump = version.bump(weight);
    let next = version.next(bump);
    suggestion.bump = Some(bump);
    suggestion.next = Some(format!("{}{next}", clean(&prefix, 100)));
    suggestion.reason = format!("{}; {}.", capital(why), version.rule());
    if let Some(own) = own {
        let (path, says) = (clean(&own.path, 100), clean(&own.version, 50));
        let note = if own_text(&next) {
            format!("{path} says {says} already.")
        } else if own_text(&version) {
            format!("{path} still says {says}.")
        } else {
            format!("{path} says {says}, which is neither the last version nor the suggested one.")
        };
        suggestion.notes.push(note);
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn of_commit(read: &Read<'_>) -> Option<Evidence> {
    let subject = &read.subject;
    let adds = match subject.kind {
        Kind::Feature => true,
        Kind::Change => changelog::section(subject, false) == Some(Section::Added),
        _ => false,
    };
    let (weight, what) = if read.breaking {
        let footer = read.footer.as_deref().unwrap_or(&subject.text);
        (Weight::Breaking, format!("is marked as breaking: {}", clean(footer, 160)))
    } else if adds {
        (Weight::Feature, clean(&subject.text, 160))
    } else {
        return None;
    };
    Some(Evidence { weight, commit: Some(short(&read.commit.id)), path: None, what })
}

fn of_contract(contract: &Contract<'_>) -> Option<Evidence> {
    let weight = contract.weight.filter(|weight| *weight > Weight::Patch)?;
    let names: Vec<String> = contract
        .items
        .iter()
        .filter(|item| weight == Weight::Feature || item.before.is_some() || item.item.kind == "member")
        .take(3)
        .map(|item| format!("{} {}", item.item.kind, item.item.name))
        .collect();
    // New declarations are no promise yet, so a few lines say enough; broken ones are named.
    let what = if names.is_empty() || contract.kind == ContractKind::PluginManifest {
        format!("{}: {}", contract.kind.name(), contract.why)
    } else {
        format!(
            "{}: {} ({}{})",
            contract.kind.name(),
            contract.why,
            names.join(", "),
            if contract.items.len() > names.len() { ", …" } else { "" }
        )
    };
    Some(Evidence {
        weight,
        commit: None,
        path: Some(clean(&contract.change.path, 200)),
        what: clean(&what, 240),
    })
}
