//! The operations: which commands git runs and what their outputs mean.

use crate::argument;
use crate::change::{self, Change, Group};
use crate::command::{self, Command, Range, TEXT_BYTES_MAX};
use crate::commit::{self, Commit};
use crate::tag::{self, Tag};
use crate::{Error, Malformed, is_object_id, text};

/// Runs git in the workspace.
pub trait Git {
    /// Why git could not be run.
    type Error;
    /// Runs git and waits for its end.
    fn run(&self, command: &Command) -> Result<Output, Self::Error>;
}

/// What git left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<u32>,
    /// Its standard output, cut to what was asked for.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Whether something was cut.
    pub truncated: bool,
}

/// Which commits to look at, as a caller says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Where to stop, exclusive.
    pub from: Option<String>,
    /// Where to start; nothing is `HEAD`.
    pub to: Option<String>,
    /// Most commits.
    pub limit: u32,
    /// First parents only.
    pub first_parent: bool,
}

/// A diff as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The text.
    pub text: String,
    /// Whether there is more.
    pub truncated: bool,
}

const HEAD: &str = "HEAD";

/// The repository in the workspace.
pub struct Repository<G>(pub G);

impl<G: Git> Repository<G> {
    /// Lists commits.
    pub fn log(&self, query: &Query) -> Result<Vec<Commit>, Error<G::Error>> {
        self.range(query, |range| Ok(commit::parse(&self.output(&command::log(range))?)?))
    }

    /// Lists tags.
    pub fn tags(&self) -> Result<Vec<Tag>, Error<G::Error>> {
        // Says whether there is a repository here; without a commit it may still have tags.
        self.head()?;
        Ok(tag::parse(&self.output(&command::tags(None))?)?)
    }

    /// Finds the nearest tag.
    pub fn last_tag(&self, revision: Option<&str>) -> Result<Option<Tag>, Error<G::Error>> {
        let Some(commit) = self.start(revision)? else { return Ok(None) };
        let described = self.output(&command::describe(&commit))?;
        let Some(name) = tag::parse_nearest(&described, &commit)? else { return Ok(None) };
        let tags = tag::parse(&self.output(&command::tags(Some(&commit)))?)?;
        // Git describes a commit by the name that a tag gives itself, which need not be where it is stored.
        let stored = tags.iter().find(|tag| tag.name == name);
        let found = stored.or_else(|| tags.iter().find(|tag| tag.inner_name == name)).or(tags.first());
        Ok(found.cloned())
    }

    /// Lists the files that differ.
    pub fn changes(&self, from: Option<&str>, to: &str) -> Result<Vec<Change>, Error<G::Error>> {
        let (from, to) = self.pair(from, to)?;
        let groups = change::parse(&self.output(&command::changes(&from, &to))?)?;
        Ok(groups.into_iter().flat_map(|group| group.files).collect())
    }

    /// Lists the files that each commit changed.
    pub fn commit_files(&self, query: &Query) -> Result<Vec<Group>, Error<G::Error>> {
        self.range(query, |range| {
            let commits = commit::parse_parents(&self.output(&command::rev_list(range))?)?;
            let mut input = String::new();
            for (commit, parents) in &commits {
                // A merge is compared with its first parent or not at all.
                if parents.len() < 2 || query.first_parent {
                    input.push_str(commit);
                    if let Some(parent) = parents.first() {
                        input.push(' ');
                        input.push_str(parent);
                    }
                    input.push('\n');
                }
            }
            // Git says nothing of a commit that changed nothing.
            let mut changed =
                change::parse(&self.output(&command::commit_files(input))?)?.into_iter().peekable();
            let groups = commits.into_iter().map(|(commit, _)| {
                let same = |group: &Group| group.commit.as_deref() == Some(commit.as_str());
                changed.next_if(same).unwrap_or(Group { commit: Some(commit), files: Vec::new() })
            });
            let groups: Vec<Group> = groups.collect();
            if changed.next().is_some() { Err(Malformed.into()) } else { Ok(groups) }
        })
    }

    /// Shows what differs.
    pub fn diff(
        &self,
        from: Option<&str>,
        to: &str,
        paths: &[String],
        bytes_max: u32,
    ) -> Result<Diff, Error<G::Error>> {
        let paths = argument::paths(paths)?;
        let (from, to) = self.pair(from, to)?;
        let command = command::diff(&from, &to, paths, bytes_max);
        let output = self.run(&command)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A replaced byte takes more room than it did.
        let bytes_max = usize::try_from(command.output_bytes_max).unwrap_or(usize::MAX);
        let truncated = output.truncated || text.len() > bytes_max;
        text.truncate(text.floor_char_boundary(bytes_max));
        Ok(Diff { text, truncated })
    }

    /// Reads a file at a revision.
    pub fn show_file(&self, revision: &str, path: &str) -> Result<Option<String>, Error<G::Error>> {
        let path = argument::path(path, "path", false)?;
        let commit = self.resolve(revision)?;
        let entry = self.output(&command::ls_tree(&commit, path))?;
        let Some(object) = blob(&entry)? else { return Ok(None) };
        let output = self.run(&command::cat_file(&object))?;
        let (head, content) = split_once(&output.stdout, b'\n').ok_or(Malformed)?;
        let head = str::from_utf8(head).map_err(|_| Malformed)?;
        if head == format!("{object} missing") {
            return Err(Error::ObjectMissing(head.to_owned()));
        }
        let size = head.strip_prefix(&format!("{object} blob ")).ok_or(Malformed)?;
        let size: u64 = size.parse().map_err(|_| Malformed)?;
        if size > TEXT_BYTES_MAX {
            return Err(Error::TooLarge(TEXT_BYTES_MAX));
        }
        if output.truncated {
            return Err(Error::TooLarge(output.stdout.len() as u64));
        }
        let content = content.strip_suffix(b"\n").filter(|content| content.len() as u64 == size);
        Ok(Some(String::from_utf8_lossy(content.ok_or(Malformed)?).into_owned()))
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<Option<String>, Error<G::Error>> {
        self.find(HEAD)
    }

    /// The commit that a revision names.
    pub fn resolve(&self, revision: &str) -> Result<String, Error<G::Error>> {
        self.find(revision)?.ok_or_else(|| Error::UnknownRevision(revision.to_owned()))
    }

    /// Every operation comes through here before it does anything else, so that each runs only when the
    /// workspace is the top of a working tree: git would also take a repository around the workspace.
    fn find(&self, revision: &str) -> Result<Option<String>, Error<G::Error>> {
        argument::revision(revision)?;
        let output = self.ended(&command::rev_parse(revision))?;
        if !matches!(output.code, Some(0 | 1)) {
            return Err(failure(&output));
        }
        let said = str::from_utf8(&output.stdout).map_err(|_| Malformed);
        let Some(said) = said.map(|said| said.strip_prefix("true\n\n"))? else {
            return Err(Error::NotARepository);
        };
        match (output.code, said.trim_end_matches('\n')) {
            (Some(0), id) if is_object_id(id) => Ok(Some(id.to_owned())),
            (Some(1), "") => Ok(None),
            _ => Err(Malformed.into()),
        }
    }

    /// The commit to start from. `HEAD` is nothing in an empty repository only if nobody asked for it.
    fn start(&self, revision: Option<&str>) -> Result<Option<String>, Error<G::Error>> {
        match revision {
            None => self.head(),
            Some(revision) => self.resolve(revision).map(Some),
        }
    }

    /// Lists something of the commits of a query; there is nothing to list in an empty repository.
    fn range<T>(
        &self,
        query: &Query,
        list: impl FnOnce(&Range<'_>) -> Result<Vec<T>, Error<G::Error>>,
    ) -> Result<Vec<T>, Error<G::Error>> {
        let Some(to) = self.start(query.to.as_deref())? else { return Ok(Vec::new()) };
        let from = query.from.as_deref().map(|from| self.resolve(from)).transpose()?;
        let Query { limit, first_parent, .. } = *query;
        list(&Range { from: from.as_deref(), to: &to, limit, first_parent })
    }

    /// Two trees to compare.
    fn pair(&self, from: Option<&str>, to: &str) -> Result<(String, String), Error<G::Error>> {
        let to = self.resolve(to)?;
        let from = match from {
            Some(from) => self.resolve(from)?,
            None => empty_tree(&to).to_owned(),
        };
        Ok((from, to))
    }

    /// What git printed, if it succeeded and nothing is missing.
    fn output(&self, command: &Command) -> Result<Vec<u8>, Error<G::Error>> {
        let output = self.run(command)?;
        if output.truncated {
            return Err(Error::TooLarge(output.stdout.len() as u64));
        }
        Ok(output.stdout)
    }

    fn run(&self, command: &Command) -> Result<Output, Error<G::Error>> {
        let output = self.ended(command)?;
        if output.code == Some(0) { Ok(output) } else { Err(failure(&output)) }
    }

    fn ended(&self, command: &Command) -> Result<Output, Error<G::Error>> {
        self.0.run(command).map_err(Error::Host)
    }
}

/// The id of the tree that holds nothing, which git knows without having it. It is the hash of
/// `tree 0` and a zero byte, by SHA-1 or SHA-256 like the ids of the repository.
fn empty_tree(id: &str) -> &'static str {
    const SHA1: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const SHA256: &str = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";
    if id.len() == SHA256.len() { SHA256 } else { SHA1 }
}

/// The id of the file in an entry such as `100644 blob ID<tab>path<zero>`.
fn blob(entry: &[u8]) -> Result<Option<String>, Malformed> {
    let Some((head, _)) = split_once(entry, b'\t') else {
        return if entry.is_empty() { Ok(None) } else { Err(Malformed) };
    };
    let mut words = head.split(|byte| *byte == b' ').skip(1);
    match (words.next(), words.next()) {
        (Some(b"blob"), Some(id)) => commit::object_id(id).map(Some),
        // A folder or a submodule.
        (Some(_), Some(_)) => Ok(None),
        _ => Err(Malformed),
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = bytes.splitn(2, |byte| *byte == at);
    Some((parts.next()?, parts.next()?))
}

/// What a git that failed means by it. Its messages are in English because of `LC_ALL`.
fn failure<H>(output: &Output) -> Error<H> {
    const SAID_BYTES_MAX: usize = 1 << 10;
    let Some(code) = output.code else { return Error::Failed("git was ended by a signal".to_owned()) };
    let said = text(output.stderr.trim_ascii(), SAID_BYTES_MAX);
    let fatal = said.lines().find_map(|line| line.strip_prefix("fatal: ")).unwrap_or_default();
    if fatal.starts_with("detected dubious ownership") {
        return Error::DubiousOwnership;
    }
    if ["not a git repository", "cannot use bare repository"].iter().any(|begin| fatal.starts_with(begin)) {
        return Error::NotARepository;
    }
    let absent = ["unable to read ", "could not fetch ", "missing object ", "bad object "];
    if absent.iter().any(|begin| fatal.starts_with(begin)) || said.contains("lazy fetching disabled") {
        return Error::ObjectMissing(said);
    }
    Error::Failed(if said.is_empty() { format!("git ended with exit code {code}") } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, expected: &Error<()>) {
        let output = Output { code: Some(128), stdout: vec![], stderr: stderr.into(), truncated: false };
        assert_eq!(&failure::<()>(&output), expected);
    }

    #[test]
    fn tells_the_failures_of_git_apart() {
        check(
            "warning: x\nfatal: not a git repository (or any of the parent directories): .git\n",
            &Error::NotARepository,
        );
        check(
            "fatal: cannot use bare repository '/x' (safe.bareRepository is 'explicit')",
            &Error::NotARepository,
        );
        check("fatal: detected dubious ownership in repository at '/x'\nTo add…", &Error::DubiousOwnership);
        check("fatal: unable to read 123", &Error::ObjectMissing("fatal: unable to read 123".into()));
        check(
            "error: says fatal: not a git repository",
            &Error::Failed("error: says fatal: not a git repository".into()),
        );
        check("", &Error::Failed("git ended with exit code 128".into()));
    }

    #[test]
    fn finds_only_files_in_a_tree() {
        let id = "a".repeat(40);
        assert_eq!(blob(format!("100644 blob {id}\ta b\0").as_bytes()), Ok(Some(id.clone())));
        assert_eq!(blob(format!("040000 tree {id}\ta\0").as_bytes()), Ok(None));
        assert_eq!(blob(b""), Ok(None));
        assert_eq!(blob(b"100644 blob zz\ta\0"), Err(Malformed));
        assert_eq!(blob(b"x"), Err(Malformed));
    }
}
