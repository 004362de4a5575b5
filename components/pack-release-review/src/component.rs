//! The component: gathers facts through `core:git/git`, within bounds, and hands them to [`crate::review`].

use std::collections::BTreeSet;

use crate::review::arguments::{self, Arguments};
use crate::review::facts::{self, Change, ChangeKind, Commit, Crate, Facts, Start};
use crate::review::{self, clean, dependency_source, path};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/pack", "../tool-git/wit", "wit"],
        world: "core:release-review/plugin",
        generate_all,
        with: {
            "loong:host/log@0.1.0": loong_sdk::host::log,
            "loong:host/types@0.1.0": loong_sdk::host::types,
        },
    });
}

use bindings::core::git::git::{self, GitError};
use bindings::exports::loong::pack::pack::{Error, Failure, Format, Guest, Invalid, Request, Response};
use loong_sdk::host::log::{Level, write as log};
use loong_sdk::host::types::Error as HostError;

/// Commits of a range without a tag.
const NO_TAG_COMMITS: u32 = 50;
/// Most commits of a range that are read.
const COMMITS_MAX: usize = 2_000;
/// Most files of a range that are listed.
const FILES_MAX: usize = 20_000;
/// Most text of all diffs, in bytes.
const DIFFS_BYTES_MAX: usize = 16 << 20;
/// Most text of one diff, in bytes; it is what `core:git` gives at most.
const DIFF_BYTES_MAX: u32 = 4 << 20;
/// Files of one diff. `core:git` takes 100; fewer of them stay below the bytes of one diff more often.
const DIFF_PATHS_MAX: usize = 50;
/// Most diffs. Each is a process.
const DIFFS_MAX: usize = 24;
/// Files with more changed lines than this are made by a program, or nobody reviews them.
const FILE_LINES_MAX: u64 = 40_000;
/// Most tags of which it is asked whether they belong to the history of the range.
const VERSION_TAGS_MAX: usize = 20;
/// Most crates whose manifest is read.
const CRATES_MAX: usize = 40;

struct Component;

impl Guest for Component {
    fn run(request: Request) -> Result<Response, Error> {
        let Request { input, arguments, format } = request;
        if input.is_some_and(|input| !input.trim().is_empty()) {
            return Err(invalid(
                "input",
                "this pack reads a repository and takes no input; choose a range with arguments after `--`",
            ));
        }
        let arguments = arguments::read(&arguments).map_err(|wrong| invalid(&wrong.field, &wrong.reason))?;
        if arguments.help {
            return Ok(help(format));
        }
        let review = review::review(&gather(&arguments)?);
        Ok(match format {
            Format::Markdown => response(review::markdown(&review), "text/markdown"),
            Format::Json => response(review::json(&review), "application/json"),
        })
    }
}

fn response(output: String, media_type: &str) -> Response {
    Response { output, media_type: media_type.to_owned() }
}

fn help(format: Format) -> Response {
    match format {
        Format::Markdown => response(arguments::HELP.to_owned(), "text/markdown"),
        Format::Json => {
            let document =
                serde_json::json!({ "schema": "loong.release-review.help/1", "help": arguments::HELP });
            response(format!("{document}\n"), "application/json")
        }
    }
}

fn invalid(field: &str, reason: &str) -> Error {
    Error::Invalid(Invalid { field: field.to_owned(), reason: reason.to_owned() })
}

fn failed(code: &str, message: String) -> Error {
    Error::Failed(Failure { code: code.to_owned(), message: clean(&message, 400) })
}

/// What a failure of `core:git` means for the person. `argument` is the one that named the revision.
fn from_git(error: GitError, argument: &str) -> Error {
    match error {
        GitError::UnknownRevision(revision) => {
            let revision = clean(&revision, 100);
            invalid(argument, &format!("no commit has the name `{revision}` here"))
        }
        GitError::Invalid(wrong) => invalid(argument, &clean(&wrong.reason, 200)),
        GitError::NotARepository => {
            failed("not-a-repository", "the workspace is not the top folder of a git repository".to_owned())
        }
        GitError::DubiousOwnership => failed(
            "dubious-ownership",
            "the repository belongs to another user, so git refuses to read it".to_owned(),
        ),
        GitError::GitMissing => failed("git-missing", "git is not installed".to_owned()),
        GitError::TooLarge(bytes) => {
            failed("too-large", format!("the range is too large: git printed more than {bytes} bytes"))
        }
        GitError::ObjectMissing(said) => {
            failed("object-missing", format!("this clone holds only a part of the repository: {said}"))
        }
        GitError::Failed(said) => failed("git-failed", format!("git failed: {said}")),
        GitError::Host(HostError::Denied(denial)) => failed(
            "denied",
            format!("the host refused `{}`: {} ({})", denial.resource, denial.reason, denial.code),
        ),
        GitError::Host(HostError::Deadline(allowed)) => {
            failed("deadline", format!("git did not end within {allowed} ms"))
        }
        GitError::Host(other) => failed("host-failed", format!("the host could not run git: {other:?}")),
    }
}

/// Both ends of the range.
struct Ends {
    /// The commit after which it begins; nothing at the beginning of the history.
    from: Option<String>,
    /// The commit where it ends.
    to: String,
}

fn gather(arguments: &Arguments) -> Result<Facts, Error> {
    let to = arguments.to.clone().unwrap_or_else(|| "HEAD".to_owned());
    let mut facts = Facts { to: to.clone(), ..Facts::default() };
    let to_id = match &arguments.to {
        Some(to) => Some(git::resolve(to).map_err(|error| from_git(error, "--to"))?),
        None => git::head().map_err(|error| from_git(error, "--to"))?,
    };
    let Some(to_id) = to_id else {
        log(Level::Info, "the repository has no commits");
        return Ok(facts);
    };
    facts.to_id = Some(to_id.clone());
    let from = begin(arguments, &mut facts, &to_id)?;
    log(
        Level::Info,
        &format!(
            "reading {} to {}",
            from.as_deref().map_or("the beginning", |id| id.get(..8).unwrap_or(id)),
            to
        ),
    );
    let ends = Ends { from, to: to_id };
    read_commits(&mut facts, &ends)?;
    if ends.from.as_deref() != Some(ends.to.as_str()) {
        read_changes(&mut facts, &ends)?;
        read_manifests(&mut facts, &ends);
        read_diffs(&mut facts, &ends)?;
    }
    Ok(facts)
}

/// Finds the commit after which the range begins, and notes how it was found.
fn begin(arguments: &Arguments, facts: &mut Facts, to_id: &str) -> Result<Option<String>, Error> {
    let mut tag = git::last_tag(Some(to_id)).map_err(|error| from_git(error, "--to"))?;
    // A release that is tagged is reviewed against the one before it.
    if arguments.to.is_some() && tag.as_ref().is_some_and(|tag| tag.commit == to_id) {
        tag = match git::last_tag(Some(&format!("{to_id}^"))) {
            Ok(tag) => tag,
            // The first commit has no parent.
            Err(GitError::UnknownRevision(_)) => None,
            Err(error) => return Err(from_git(error, "--to")),
        };
    }
    // A branch is marked by tags too; what counts is the last one that names a version.
    if tag.as_ref().is_some_and(|tag| !review::names_version(&tag.name)) {
        tag = version_tag(to_id)?.or(tag);
    }
    facts.last_tag = tag.as_ref().map(|tag| tag.name.clone());
    if let Some(from) = &arguments.from {
        facts.start = Start::Revision(from.clone());
        return git::resolve(from).map(Some).map_err(|error| from_git(error, "--from"));
    }
    let asked = match (arguments.last, tag) {
        (Some(count), _) => count,
        (None, Some(tag)) => {
            facts.start = Start::LastTag;
            return Ok(Some(tag.commit));
        }
        (None, None) => NO_TAG_COMMITS,
    };
    // One more commit of the main line than asked is where the range begins.
    let query = git::LogQuery {
        from_revision: None,
        to_revision: Some(to_id.to_owned()),
        limit: asked + 1,
        first_parent: true,
    };
    let line = git::log(&query).map_err(|error| from_git(error, "--last"))?;
    let base = line.get(asked as usize).map(|commit| commit.id.clone());
    facts.start = match (&base, arguments.last) {
        (Some(_), Some(count)) => Start::Last(count),
        (Some(_), None) => Start::NoTag(asked),
        (None, last) => Start::Beginning { no_tag: last.is_none() },
    };
    Ok(base)
}

/// The newest tag that names a version and was made before `to_id`.
fn version_tag(to_id: &str) -> Result<Option<git::Tag>, Error> {
    let tags = git::tags().map_err(|error| from_git(error, "--to"))?;
    let versions = tags.into_iter().filter(|tag| review::names_version(&tag.name) && tag.commit != to_id);
    for tag in versions.take(VERSION_TAGS_MAX) {
        // Nothing leads to it that does not lead to the end: it is an ancestor.
        let query = git::LogQuery {
            from_revision: Some(to_id.to_owned()),
            to_revision: Some(tag.commit.clone()),
            limit: 1,
            first_parent: true,
        };
        if git::log(&query).map_err(|error| from_git(error, "--to"))?.is_empty() {
            return Ok(Some(tag));
        }
    }
    Ok(None)
}

fn read_commits(facts: &mut Facts, ends: &Ends) -> Result<(), Error> {
    let query = git::LogQuery {
        from_revision: ends.from.clone(),
        to_revision: Some(ends.to.clone()),
        limit: COMMITS_MAX as u32 + 1,
        first_parent: false,
    };
    let mut commits = git::log(&query).map_err(|error| from_git(error, "--from"))?;
    facts.commits_more = commits.len() > COMMITS_MAX;
    commits.truncate(COMMITS_MAX);
    facts.commits = commits
        .into_iter()
        .map(|commit| Commit {
            id: commit.id,
            parents: commit.parents.len(),
            author: commit.author,
            email: commit.email,
            time: commit.time,
            subject: commit.subject,
            body: commit.body,
        })
        .collect();
    Ok(())
}

fn read_changes(facts: &mut Facts, ends: &Ends) -> Result<(), Error> {
    let mut changes =
        git::changes(ends.from.as_deref(), &ends.to).map_err(|error| from_git(error, "--from"))?;
    facts.changes_more = changes.len() > FILES_MAX;
    changes.truncate(FILES_MAX);
    facts.changes = changes
        .into_iter()
        .map(|change| Change {
            path: change.path,
            old_path: change.old_path,
            kind: match change.kind {
                git::ChangeKind::Added => ChangeKind::Added,
                git::ChangeKind::Modified | git::ChangeKind::TypeChanged => ChangeKind::Modified,
                git::ChangeKind::Deleted => ChangeKind::Deleted,
                git::ChangeKind::Renamed => ChangeKind::Renamed,
                git::ChangeKind::Copied => ChangeKind::Copied,
            },
            added: change.added.map(u64::from),
            removed: change.removed.map(u64::from),
        })
        .collect();
    Ok(())
}

/// Reads what the manifests say: the version of the project, and which crates others can use. What cannot
/// be read is left unknown.
fn read_manifests(facts: &mut Facts, ends: &Ends) {
    let show = |path: &str| git::show_file(&ends.to, path).ok().flatten();
    let root = show("Cargo.toml");
    facts.own_version = match &root {
        Some(text) => facts::read_own_version("Cargo.toml", text),
        None => ["package.json", "pyproject.toml"]
            .into_iter()
            .find_map(|path| facts::read_own_version(path, &show(path)?)),
    };
    let folders: BTreeSet<&str> = facts
        .changes
        .iter()
        .filter(|change| path::is_library_source(&change.path))
        .filter_map(|change| facts::crate_folder(&change.path))
        .collect();
    let crates: Vec<Crate> = folders
        .into_iter()
        .take(CRATES_MAX)
        .filter_map(|folder| {
            let inside =
                |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let manifest = show(&inside("Cargo.toml"))?;
            let has_lib = show(&inside("src/lib.rs")).is_some();
            Some(facts::read_crate(folder, &manifest, root.as_deref(), has_lib))
        })
        .collect();
    facts.crates = crates;
}

/// How soon the diff of a file is read: what decides about the version first.
fn rank(change: &Change) -> Option<u8> {
    let path = change.path.as_str();
    if path::contract(path).is_some() {
        Some(0)
    } else if dependency_source(path).is_some() {
        Some(1)
    } else if path::is_library_source(path) {
        Some(2)
    } else if path.ends_with(".rs") {
        Some(3)
    } else if path::is_test(path) || path::is_build(path) {
        Some(4)
    } else {
        None
    }
}

/// Reads the diffs that something can be concluded from, within bounds.
fn read_diffs(facts: &mut Facts, ends: &Ends) -> Result<(), Error> {
    let mut wanted: Vec<(u8, &Change)> = facts
        .changes
        .iter()
        .filter(|change| change.added.is_some())
        .filter_map(|change| Some((rank(change)?, change)))
        .collect();
    wanted.sort_by_key(|(rank, change)| (*rank, change.path.as_str()));
    let size = |change: &Change| change.added.unwrap_or(0).saturating_add(change.removed.unwrap_or(0));
    let (fit, large): (Vec<&Change>, Vec<&Change>) =
        wanted.into_iter().map(|(_, change)| change).partition(|change| size(change) <= FILE_LINES_MAX);
    let mut unread: Vec<String> = large.into_iter().map(|change| change.path.clone()).collect();
    let mut diffs = Vec::new();
    let mut bytes = 0_usize;
    for (index, batch) in fit.chunks(DIFF_PATHS_MAX).enumerate() {
        let left = DIFFS_BYTES_MAX.saturating_sub(bytes);
        if index >= DIFFS_MAX || left == 0 {
            unread.extend(batch.iter().map(|change| change.path.clone()));
            continue;
        }
        // A renamed file is recognised only when both of its paths are looked at.
        let paths: Vec<String> =
            batch.iter().flat_map(|change| change.old_path.iter().chain([&change.path])).cloned().collect();
        let most = u32::try_from(left).unwrap_or(u32::MAX).min(DIFF_BYTES_MAX);
        match git::diff(ends.from.as_deref(), &ends.to, &paths, most) {
            Ok(diff) => {
                bytes += diff.text.len();
                if diff.truncated {
                    unread.extend(review::missing_at_end(
                        &diff.text,
                        batch.iter().map(|change| change.path.as_str()),
                    ));
                }
                diffs.push(diff.text);
            }
            // One batch that cannot be read is no reason to know nothing of the others.
            Err(GitError::TooLarge(_) | GitError::ObjectMissing(_)) => {
                unread.extend(batch.iter().map(|change| change.path.clone()));
            }
            Err(error) => return Err(from_git(error, "--from")),
        }
    }
    if !unread.is_empty() {
        log(Level::Warn, &format!("{} changed files were not looked at to the end", unread.len()));
    }
    (facts.diffs, facts.unread) = (diffs, unread);
    Ok(())
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
