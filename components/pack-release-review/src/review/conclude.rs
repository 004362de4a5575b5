//! Puts the review together: what each part says, within bounds and in clean text.

use std::collections::{BTreeMap, BTreeSet};

use super::changelog::{self, Section};
use super::contract::{self, Diffs};
use super::dependencies::{self, Source};
use super::diff;
use super::document::{
    Author, Changelog, Commit, Contract, Counts, Dependency, Entries, Entry, Item, List, Package, Range,
    Review, Risk, SCHEMA,
};
use super::facts::{self, ChangeKind, Facts, Start};
use super::risk;
use super::subject::{self, Kind, Subject};
use super::suggest::suggest;
use super::text::{clean, counted};

// How much of each list is kept. What a person reads is cut again, much earlier.
const COMMITS_MAX: usize = 2_000;
const CONTRACTS_MAX: usize = 200;
const ITEMS_MAX: usize = 50;
const DEPENDENCIES_MAX: usize = 100;
const PACKAGES_MAX: usize = 500;
const RISKS_MAX: usize = 500;
const AUTHORS_MAX: usize = 200;
const UNREAD_MAX: usize = 200;
const ENTRIES_MAX: usize = 500;
// Longest texts, in characters.
const PATH_MAX: usize = 200;
const SUBJECT_MAX: usize = 200;
const NAME_MAX: usize = 80;

/// A commit and what its message says.
pub(crate) struct Read<'a> {
    pub(crate) commit: &'a facts::Commit,
    pub(crate) subject: Subject,
    pub(crate) breaking: bool,
    /// What the footer says that breaks.
    pub(crate) footer: Option<String>,
    pub(crate) reverted: bool,
}

/// Reviews what was read.
pub(crate) fn review(facts: &Facts) -> Review {
    let files: Vec<diff::FileDiff> = facts.diffs.iter().flat_map(|text| diff::parse(text)).collect();
    let diffs: Diffs = files.iter().map(|file| (file.path.as_str(), file)).collect();
    let commits = read_commits(facts);
    let contracts = contract::contracts(facts, &diffs);
    let version = suggest(facts, &commits, &contracts);
    Review {
        schema: SCHEMA,
        range: range(facts),
        counts: counts(facts),
        changelog: changelog(&commits, version.next.as_deref(), facts.last_tag.is_none()),
        version,
        contracts: List::first(contracts.into_iter().map(contract).collect(), CONTRACTS_MAX),
        dependencies: List::first(dependencies(facts, &diffs), DEPENDENCIES_MAX),
        risks: List::first(risk::risks(facts, &diffs).into_iter().map(risk).collect(), RISKS_MAX),
        commits: List::first(commits.iter().map(commit).collect(), COMMITS_MAX),
        authors: List::first(authors(facts), AUTHORS_MAX),
        gaps: gaps(facts),
        unread: List::first(facts.unread.iter().map(|path| clean(path, PATH_MAX)).collect(), UNREAD_MAX),
    }
}

/// The first characters of an id.
pub(crate) fn short(id: &str) -> String {
    id.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

fn read_commits(facts: &Facts) -> Vec<Read<'_>> {
    let reverted: Vec<&str> =
        facts.commits.iter().flat_map(|commit| subject::reverted_ids(&commit.body)).collect();
    facts
        .commits
        .iter()
        .map(|commit| {
            let subject = subject::parse(&commit.subject, commit.parents);
            let mut footers = subject::breaking_footers(&commit.body);
            let footer = footers.next().filter(|text| !text.is_empty()).map(str::to_owned);
            let breaking = subject.breaking || subject::breaking_footers(&commit.body).next().is_some();
            let reverted = reverted.iter().any(|id| commit.id.starts_with(id));
            Read { commit, subject, breaking, footer, reverted }
        })
        .collect()
}

fn range(facts: &Facts) -> Range {
    let to = clean(&facts.to, 100);
    let tag = facts.last_tag.as_deref().map(|tag| clean(tag, 100));
    let (from, chosen) = match &facts.start {
        _ if facts.to_id.is_none() => (None, "The repository has no commits.".to_owned()),
        Start::LastTag => {
            let tag = tag.unwrap_or_default();
            (Some(tag.clone()), format!("From the last tag, {tag}, to {to}."))
        }
        Start::Revision(revision) => {
            let from = clean(revision, 100);
            (Some(from.clone()), format!("From {from} to {to}, as asked."))
        }
        Start::Last(1) => (None, format!("The last commit of the main line up to {to}, as asked.")),
        Start::Last(count) => {
            (None, format!("The last {} of the main line up to {to}, as asked.", commits_text(*count)))
        }
        Start::NoTag(count) => (
            None,
            format!(
                "There is no tag, so these are the last {} of the main line up to {to}.",
                commits_text(*count)
            ),
        ),
        Start::Beginning { no_tag: true } => {
            (None, format!("There is no tag, so this is the whole history up to {to}."))
        }
        Start::Beginning { no_tag: false } => {
            (None, format!("The history is shorter than asked, so this is all of it up to {to}."))
        }
    };
    let days = || facts.commits.iter().map(|commit| commit.time);
    Range {
        from,
        to,
        to_id: facts.to_id.as_deref().map(|id| clean(id, 64)),
        chosen,
        first_day: days().min().map(day),
        last_day: days().max().map(day),
    }
}

fn commits_text(count: u32) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), "commit", "commits")
}

/// The day of a time in UTC, by the proleptic Gregorian calendar
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
pub(crate) fn day(time: i64) -> String {
    // Git allows times that no calendar can show; these are the years 0 to 9999.
    let days = time.clamp(-62_167_219_200, 253_402_300_799).div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn counts(facts: &Facts) -> Counts {
    let sum = |lines: fn(&facts::Change) -> Option<u64>| {
        facts.changes.iter().filter_map(lines).fold(0_u64, u64::saturating_add)
    };
    Counts {
        commits: facts.commits.len(),
        commits_more: facts.commits_more,
        merges: facts.commits.iter().filter(|commit| commit.parents > 1).count(),
        authors: authors(facts).iter().filter(|author| author.commits > 0).count(),
        files: facts.changes.len(),
        lines_added: sum(|change| change.added),
        lines_removed: sum(|change| change.removed),
    }
}

fn commit(read: &Read<'_>) -> Commit {
    Commit {
        id: clean(&read.commit.id, 64),
        short: short(&read.commit.id),
        day: day(read.commit.time),
        author: clean(&read.commit.author, NAME_MAX),
        kind: read.subject.kind,
        area: read.subject.area.as_deref().map(|area| clean(area, NAME_MAX)),
        breaking: read.breaking,
        reverted: read.reverted,
        text: clean(&read.subject.text, SUBJECT_MAX),
    }
}

/// People by their address, those with the most commits first.
fn authors(facts: &Facts) -> Vec<Author> {
    let mut people: BTreeMap<String, Author> = BTreeMap::new();
    let mut count = |name: &str, email: &str, own: usize| {
        let name = clean(name, NAME_MAX);
        let key = if email.is_empty() { name.clone() } else { email.to_lowercase() };
        // Commits come newest first, so the name is the newest one.
        let author = people.entry(key).or_insert(Author { name, commits: 0, co_authored: 0 });
        author.commits += own;
        author.co_authored += 1 - own;
    };
    for commit in &facts.commits {
        count(&commit.author, &commit.email, 1);
        for (name, email) in subject::co_authors(&commit.body) {
            if !email.eq_ignore_ascii_case(&commit.email) {
                count(name, email, 0);
            }
        }
    }
    let mut authors: Vec<Author> = people.into_values().collect();
    authors.sort_by(|left, right| {
        (right.commits, right.co_authored)
            .cmp(&(left.commits, left.co_authored))
            .then_with(|| left.name.cmp(&right.name))
    });
    authors
}

fn contract(contract: contract::Contract<'_>) -> Contract {
    let change = contract.change;
    let mut items: Vec<Item> = contract
        .items
        .into_iter()
        .map(|changed| Item {
            change: changed.kind(),
            kind: changed.item.kind,
            name: changed.item.name,
            before: changed.before,
            after: changed.after,
        })
        .collect();
    // What may break comes first, because the end of a long list is not shown.
    items.sort_by_key(|item| match item.change {
        ChangeKind::Deleted => 0,
        ChangeKind::Modified => 1,
        _ => 2,
    });
    Contract {
        path: clean(&change.path, PATH_MAX),
        old_path: change.old_path.as_deref().map(|path| clean(path, PATH_MAX)),
        kind: contract.kind,
        change: change.kind,
        lines_added: change.added,
        lines_removed: change.removed,
        weight: contract.weight,
        why: clean(&contract.why, SUBJECT_MAX),
        items: List::first(items, ITEMS_MAX),
    }
}

/// Changes of manifests and lock files. Manifests of tests count too: what they ask for is run.
fn dependencies(facts: &Facts, diffs: &Diffs<'_>) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = facts
        .changes
        .iter()
        .filter_map(|change| {
            let source = dependencies::source(&change.path)?;
            let diff = diffs.get(change.path.as_str()).copied();
            let packages = match (source, diff) {
                (Source::Readable(read), Some(diff)) => read(diff),
                _ => Vec::new(),
            };
            let read = matches!(source, Source::Readable(_))
                && diff.is_some()
                && !facts.unread.contains(&change.path);
            // A manifest without a change of dependencies says nothing here.
            if read && packages.is_empty() {
                return None;
            }
            let packages = packages.into_iter().map(|package| Package {
                change: match (&package.before, &package.after) {
                    (Some(_), Some(_)) => ChangeKind::Modified,
                    (Some(_), None) => ChangeKind::Deleted,
                    _ => ChangeKind::Added,
                },
                name: package.name,
                before: package.before,
                after: package.after,
                elsewhere: package.elsewhere,
            });
            Some(Dependency {
                path: clean(&change.path, PATH_MAX),
                change: change.kind,
                lines_added: change.added,
                lines_removed: change.removed,
                lock: dependencies::is_lock(&change.path),
                read,
                packages: List::first(packages.collect(), PACKAGES_MAX),
            })
        })
        .collect();
    found.sort_by(|left, right| (left.lock, &left.path).cmp(&(right.lock, &right.path)));
    found
}

fn risk(risk: risk::Risk) -> Risk {
    let is_commit = matches!(risk.kind, risk::RiskKind::Unfinished)
        || !risk.place.contains(['/', '.']) && risk.place.len() >= 40;
    let place = if is_commit { short(&risk.place) } else { clean(&risk.place, PATH_MAX) };
    Risk { kind: risk.kind, place, what: clean(&risk.what, SUBJECT_MAX) }
}

/// Drafts the changelog. In a first release nothing has changed yet: what there is was added.
fn changelog(commits: &[Read<'_>], next: Option<&str>, first: bool) -> Changelog {
    let mut sections: BTreeMap<Section, Vec<Entry>> = BTreeMap::new();
    let mut left_out = 0;
    let mut seen = BTreeSet::new();
    for read in commits {
        let section = if read.reverted || read.subject.text.trim().is_empty() {
            None
        } else {
            changelog::section(&read.subject, read.breaking)
        };
        let section = section
            .map(|section| if first && section == Section::Changed { Section::Added } else { section });
        let area = read.subject.area.as_deref().map(|area| clean(area, NAME_MAX));
        let text = clean(&read.subject.text, SUBJECT_MAX);
        match section {
            Some(section) if seen.insert((section, area.clone(), text.clone())) => {
                let entry = Entry { area, text, breaking: read.breaking, commit: short(&read.commit.id) };
                sections.entry(section).or_default().push(entry);
            }
            _ => left_out += 1,
        }
    }
    for entries in sections.values_mut() {
        entries.sort_by(|left, right| {
            (!left.breaking, left.area.is_none(), &left.area).cmp(&(
                !right.breaking,
                right.area.is_none(),
                &right.area,
            ))
        });
    }
    let number = next
        .map(|next| next.rsplit(['-', '/', '@', '_']).next().unwrap_or(next).trim_start_matches(['v', 'V']));
    Changelog {
        heading: number.map_or_else(|| "Unreleased".to_owned(), str::to_owned),
        sections: Section::ALL
            .into_iter()
            .filter_map(|section| {
                let entries = sections.remove(&section)?;
                Some(Entries { section, entries: List::first(entries, ENTRIES_MAX) })
            })
            .collect(),
        left_out,
    }
}

fn gaps(facts: &Facts) -> Vec<String> {
    let mut gaps = Vec::new();
    if facts.commits_more {
        gaps.push(format!(
            "The range has more than {}; the older ones are not in this review.",
            counted(facts.commits.len(), "commit", "commits")
        ));
    }
    if facts.changes_more {
        gaps.push(format!(
            "More than {} differ; the others are not in this review.",
            counted(facts.changes.len(), "file", "files")
        ));
    }
    if !facts.unread.is_empty() {
        gaps.push(format!(
            "{} not looked at to the end, because there was too much: what was removed or added there is not known.",
            counted(facts.unread.len(), "file was", "files were")
        ));
    }
    if facts.commits.iter().any(|commit| subject::parse(&commit.subject, commit.parents).kind == Kind::Merge)
        && matches!(facts.start, Start::Last(_) | Start::NoTag(_))
    {
        gaps.push(
            "Commits are counted along the main line; those that merges brought in come on top.".to_owned(),
        );
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_day_of_a_time() {
        let check = |time: i64, expected: &str| assert_eq!(day(time), expected);
        check(0, "1970-01-01");
        check(-1, "1969-12-31");
        check(951_782_400, "2000-02-29");
        check(1_795_309_200, "2026-11-22");
        check(i64::MAX, "9999-12-31");
        check(i64::MIN, "0000-01-01");
    }
}
