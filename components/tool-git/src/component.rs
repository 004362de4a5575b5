//! The functions as a component exports them, and git as the host runs it.

use loong_sdk::host::{process, types};

use crate::change::{Change, Kind};
use crate::command::Command;
use crate::repository::{Diff, Git, Output, Query, Repository};
use crate::{commit, tag};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "wit"],
        world: "core:git/plugin",
        with: {
            "loong:host/types@0.1.0": loong_sdk::host::types,
            "loong:host/process@0.1.0": loong_sdk::host::process,
        },
    });
}

use bindings::exports::core::git::git::{
    ChangeKind, Commit, CommitChanges, DiffText, FileChange, GitError, Guest, InvalidArgument, LogQuery, Tag,
};

struct Host;

impl Git for Host {
    type Error = types::Error;

    fn run(&self, command: &Command) -> Result<Output, types::Error> {
        let output = process::run(&process::Request {
            command: "git".to_owned(),
            arguments: command.arguments.clone(),
            folder: Some("/workspace".to_owned()),
            stdin: (!command.stdin.is_empty()).then(|| command.stdin.clone()),
            output_bytes_max: Some(command.output_bytes_max),
            deadline_ms: None,
        })?;
        let code = match output.status {
            process::Status::Exited(code) => Some(code),
            process::Status::Signalled(_) => None,
        };
        Ok(Output { code, stdout: output.stdout, stderr: output.stderr, truncated: output.stdout_truncated })
    }
}

const REPOSITORY: Repository<Host> = Repository(Host);

struct Component;

impl Guest for Component {
    fn log(query: LogQuery) -> Result<Vec<Commit>, GitError> {
        Ok(REPOSITORY.log(&query.into())?.into_iter().map(Into::into).collect())
    }

    fn tags() -> Result<Vec<Tag>, GitError> {
        Ok(REPOSITORY.tags()?.into_iter().map(Into::into).collect())
    }

    fn last_tag(revision: Option<String>) -> Result<Option<Tag>, GitError> {
        Ok(REPOSITORY.last_tag(revision.as_deref())?.map(Into::into))
    }

    fn changes(from_revision: Option<String>, to_revision: String) -> Result<Vec<FileChange>, GitError> {
        let changes = REPOSITORY.changes(from_revision.as_deref(), &to_revision)?;
        Ok(changes.into_iter().map(Into::into).collect())
    }

    fn commit_files(query: LogQuery) -> Result<Vec<CommitChanges>, GitError> {
        let groups = REPOSITORY.commit_files(&query.into())?.into_iter().map(|group| CommitChanges {
            commit: group.commit.unwrap_or_default(),
            files: group.files.into_iter().map(Into::into).collect(),
        });
        Ok(groups.collect())
    }

    fn diff(
        from_revision: Option<String>,
        to_revision: String,
        paths: Vec<String>,
        bytes_max: u32,
    ) -> Result<DiffText, GitError> {
        let Diff { text, truncated } =
            REPOSITORY.diff(from_revision.as_deref(), &to_revision, &paths, bytes_max)?;
        Ok(DiffText { text, truncated })
    }

    fn show_file(revision: String, path: String) -> Result<Option<String>, GitError> {
        Ok(REPOSITORY.show_file(&revision, &path)?)
    }

    fn head() -> Result<Option<String>, GitError> {
        Ok(REPOSITORY.head()?)
    }

    fn resolve(revision: String) -> Result<String, GitError> {
        Ok(REPOSITORY.resolve(&revision)?)
    }
}

impl From<LogQuery> for Query {
    fn from(query: LogQuery) -> Self {
        let LogQuery { from_revision: from, to_revision: to, limit, first_parent } = query;
        Self { from, to, limit, first_parent }
    }
}

impl From<commit::Commit> for Commit {
    fn from(commit: commit::Commit) -> Self {
        let commit::Commit { id, parents, author, email, time, subject, body } = commit;
        Self { id, parents, author, email, time, subject, body }
    }
}

impl From<tag::Tag> for Tag {
    fn from(tag: tag::Tag) -> Self {
        let tag::Tag { name, inner_name: _, commit, time } = tag;
        Self { name, commit, time }
    }
}

impl From<Change> for FileChange {
    fn from(change: Change) -> Self {
        let kind = match change.kind {
            Kind::Added => ChangeKind::Added,
            Kind::Modified => ChangeKind::Modified,
            Kind::Deleted => ChangeKind::Deleted,
            Kind::Renamed => ChangeKind::Renamed,
            Kind::Copied => ChangeKind::Copied,
            Kind::TypeChanged => ChangeKind::TypeChanged,
        };
        let (added, removed) = change.lines.unzip();
        Self { path: change.path, old_path: change.old_path, kind, added, removed }
    }
}

impl From<crate::Error<types::Error>> for GitError {
    fn from(error: crate::Error<types::Error>) -> Self {
        match error {
            crate::Error::NotARepository => Self::NotARepository,
            crate::Error::DubiousOwnership => Self::DubiousOwnership,
            crate::Error::UnknownRevision(revision) => Self::UnknownRevision(revision),
            crate::Error::Invalid(invalid) => Self::Invalid(InvalidArgument {
                argument: invalid.argument.to_owned(),
                reason: invalid.reason.to_owned(),
            }),
            crate::Error::TooLarge(bytes_max) => Self::TooLarge(bytes_max),
            crate::Error::ObjectMissing(said) => Self::ObjectMissing(said),
            crate::Error::Failed(said) => Self::Failed(said),
            crate::Error::Host(types::Error::NotFound(_)) => Self::GitMissing,
            crate::Error::Host(error) => Self::Host(error),
        }
    }
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
