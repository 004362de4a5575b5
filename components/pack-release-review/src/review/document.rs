//! The review as data: every text in it is clean, every list has an end. Both forms of output show this.

use serde::Serialize;

use super::changelog::Section;
use super::facts::ChangeKind;
use super::path::ContractKind;
use super::risk::RiskKind;
use super::subject::Kind;
use super::version::{Bump, Weight};

/// The form of the JSON document and its version.
pub(crate) const SCHEMA: &str = "loong.release-review/1";

/// A list with an end.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// How many more there are.
    pub(crate) omitted: usize,
}

impl<T> List<T> {
    /// Keeps at most `most` of the items.
    pub(crate) fn first(mut items: Vec<T>, most: usize) -> Self {
        let omitted = items.len().saturating_sub(most);
        items.truncate(most);
        Self { items, omitted }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.omitted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A whole review.
#[derive(Debug, Serialize)]
pub(crate) struct Review {
    pub(crate) schema: &'static str,
    pub(crate) range: Range,
    pub(crate) counts: Counts,
    pub(crate) version: Suggestion,
    pub(crate) contracts: List<Contract>,
    pub(crate) dependencies: List<Dependency>,
    pub(crate) risks: List<Risk>,
    pub(crate) commits: List<Commit>,
    pub(crate) authors: List<Author>,
    pub(crate) changelog: Changelog,
    /// What this review does not know, as sentences.
    pub(crate) gaps: Vec<String>,
    /// Files whose changes were not looked at, or only in part.
    pub(crate) unread: List<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Range {
    /// The tag or revision after which it begins; nothing at the beginning of the history or for `--last`.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    /// Id of the last commit.
    pub(crate) to_id: Option<String>,
    /// How the range was chosen, as a sentence.
    pub(crate) chosen: String,
    /// Days of the oldest and the newest commit, in UTC.
    pub(crate) first_day: Option<String>,
    pub(crate) last_day: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Counts {
    pub(crate) commits: usize,
    /// True when there are more commits than were read.
    pub(crate) commits_more: bool,
    pub(crate) merges: usize,
    pub(crate) authors: usize,
    pub(crate) files: usize,
    pub(crate) lines_added: u64,
    pub(crate) lines_removed: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Suggestion {
    pub(crate) last_tag: Option<String>,
    /// How much the range changes for users; nothing when there is nothing to release.
    pub(crate) weight: Option<Weight>,
    /// The part of the version that grows; nothing when no version is known to grow from.
    pub(crate) bump: Option<Bump>,
    /// The next version with the prefix of the last tag.
    pub(crate) next: Option<String>,
    /// Why, as sentences.
    pub(crate) reason: String,
    /// What the reason rests on.
    pub(crate) evidence: List<Evidence>,
    /// What else to know about versions, as sentences.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Evidence {
    pub(crate) weight: Weight,
    /// Short id of the commit that it is in, if it is one.
    pub(crate) commit: Option<String>,
    /// The file that it is in, if it is one.
    pub(crate) path: Option<String>,
    pub(crate) what: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Contract {
    pub(crate) path: String,
    pub(crate) old_path: Option<String>,
    pub(crate) kind: ContractKind,
    pub(crate) change: ChangeKind,
    pub(crate) lines_added: Option<u64>,
    pub(crate) lines_removed: Option<u64>,
    /// Nothing when it does not count for the version.
    pub(crate) weight: Option<Weight>,
    pub(crate) why: String,
    pub(crate) items: List<Item>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) change: ChangeKind,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Dependency {
    /// The manifest or lock file.
    pub(crate) path: String,
    pub(crate) change: ChangeKind,
    pub(crate) lines_added: Option<u64>,
    pub(crate) lines_removed: Option<u64>,
    /// True for a file that a tool writes.
    pub(crate) lock: bool,
    /// False when the form of the file is not known here, or when it was not read.
    pub(crate) read: bool,
    pub(crate) packages: List<Package>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Package {
    pub(crate) change: ChangeKind,
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    /// True when it comes from a git repository or an address and not from a registry.
    pub(crate) elsewhere: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Risk {
    pub(crate) kind: RiskKind,
    /// A path, or the short id of a commit.
    pub(crate) place: String,
    pub(crate) what: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Commit {
    pub(crate) id: String,
    /// The first characters of the id.
    pub(crate) short: String,
    pub(crate) day: String,
    pub(crate) author: String,
    pub(crate) kind: Kind,
    pub(crate) area: Option<String>,
    pub(crate) breaking: bool,
    /// True when a later commit of the range takes it back.
    pub(crate) reverted: bool,
    pub(crate) text: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) commits: usize,
    /// Commits of others that name this person as co-author.
    pub(crate) co_authored: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Changelog {
    /// The version, or `Unreleased`.
    pub(crate) heading: String,
    pub(crate) sections: Vec<Entries>,
    /// Commits that users do not notice and that are not in it.
    pub(crate) left_out: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Entries {
    pub(crate) section: Section,
    pub(crate) entries: List<Entry>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) area: Option<String>,
    pub(crate) text: String,
    pub(crate) breaking: bool,
    /// Short id of the commit.
    pub(crate) commit: String,
}
