//! Command lines of git. The fixed part of each is, word for word, what `loong.plugin.json` asks for.

/// What every command line begins with: nothing here is left to the configuration of a repository.
pub const SAFE: [&str; 10] = [
    "--no-pager",
    // A path is a path, not a pattern.
    "--literal-pathspecs",
    // Programs that a repository can name.
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    // A file outside the repository that decides how files are compared.
    "-c",
    "core.attributesFile=/dev/null",
    // A workspace that only looks like a bare repository is none.
    "-c",
    "safe.bareRepository=explicit",
];

/// The fixed parts of the command lines, after [`SAFE`].
pub mod fixed {
    /// Says whether this is the top of a working tree, and the id of the commit that the operand names.
    pub const REV_PARSE: &[&str] =
        &["rev-parse", "--is-inside-work-tree", "--show-prefix", "--verify", "--quiet", "--end-of-options"];
    /// Commits, each as seven texts that end with a zero byte (the last zero is that of `-z`).
    pub const LOG: &[&str] = &[
        "log",
        "-z",
        "--no-color",
        "--no-decorate",
        "--no-notes",
        "--no-mailmap",
        "--no-show-signature",
        "--no-patch",
        "--encoding=UTF-8",
        "--format=%H%x00%P%x00%an%x00%ae%x00%at%x00%s%x00%b",
    ];
    /// Ids of commits with those of their parents.
    pub const REV_LIST: &[&str] = &["rev-list", "--parents"];
    /// Tags, each as seven texts between zero bytes on a line.
    pub const TAGS: &[&str] = &[
        "for-each-ref",
        "--count=1000",
        "--sort=-version:refname",
        "--sort=-creatordate",
        "--format=%(refname:strip=2)%00%(tag)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00%(creatordate:unix)",
        "refs/tags",
    ];
    /// The nearest tag in full, or the id of the commit if there is none.
    pub const DESCRIBE: &[&str] = &["describe", "--tags", "--long", "--always", "--abbrev=64"];
    /// Files that differ between two trees.
    pub const CHANGES: &[&str] = &[
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--numstat",
        "-M",
        "-C",
        "-l1000",
        "--ignore-submodules=none",
        "--no-ext-diff",
        "--no-textconv",
    ];
    /// The same for each commit that the standard input names.
    pub const COMMIT_FILES: &[&str] = &[
        "diff-tree",
        "--stdin",
        "--root",
        "-r",
        "-z",
        "--raw",
        "--numstat",
        "-M",
        "-C",
        "-l1000",
        "--ignore-submodules=none",
        "--no-ext-diff",
        "--no-textconv",
    ];
    /// What differs between two trees, as text.
    pub const DIFF: &[&str] = &[
        "-c",
        "core.quotePath=false",
        "diff-tree",
        "-r",
        "-p",
        "-U3",
        "-M",
        "-l1000",
        "--no-color",
        "--submodule=short",
        "--ignore-submodules=none",
        "--no-ext-diff",
        "--no-textconv",
    ];
    /// The entry of one path in the tree of a commit.
    pub const LS_TREE: &[&str] = &["ls-tree", "-z", "--full-tree", "--end-of-options"];
    /// The content of the object that the standard input names.
    pub const CAT_FILE: &[&str] = &["cat-file", "--batch"];
}

/// Most bytes that git may print for a list.
pub const LIST_BYTES_MAX: u64 = 16 << 20;
/// Most bytes of a diff or a file.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Most bytes that git may print where a line is expected: one path and one name are the most in it.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Most commits of one list.
const COMMITS_MAX: u32 = 10_000;

/// A command line of git and what it may print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The arguments.
    pub arguments: Vec<String>,
    /// The standard input.
    pub stdin: Vec<u8>,
    /// Most bytes on its standard output.
    pub output_bytes_max: u64,
}

impl Command {
    fn new(fixed: &[&str], output_bytes_max: u64) -> Self {
        let arguments = SAFE.iter().chain(fixed).map(|&argument| argument.to_owned()).collect();
        Self { arguments, stdin: Vec::new(), output_bytes_max }
    }

    fn with<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
}

/// Which commits to list, by full object ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<'a> {
    /// Without what this one reaches.
    pub from: Option<&'a str>,
    /// What this one reaches.
    pub to: &'a str,
    /// Most commits.
    pub limit: u32,
    /// First parents only.
    pub first_parent: bool,
}

impl Range<'_> {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--max-count={}", self.limit.min(COMMITS_MAX))];
        if self.first_parent {
            arguments.push("--first-parent".to_owned());
        }
        arguments.push(self.from.map_or_else(|| self.to.to_owned(), |from| format!("{from}..{}", self.to)));
        // What comes before this is never a file, whatever files there are.
        arguments.push("--".to_owned());
        arguments
    }
}

/// Resolves a checked revision.
pub fn rev_parse(revision: &str) -> Command {
    Command::new(fixed::REV_PARSE, LINE_BYTES_MAX).with([format!("{revision}^{{commit}}")])
}

/// Lists commits in full.
pub fn log(range: &Range<'_>) -> Command {
    Command::new(fixed::LOG, LIST_BYTES_MAX).with(range.arguments())
}

/// Lists ids of commits and of their parents.
pub fn rev_list(range: &Range<'_>) -> Command {
    Command::new(fixed::REV_LIST, LIST_BYTES_MAX).with(range.arguments())
}

/// Lists tags, or only those that a commit reaches.
pub fn tags(merged: Option<&str>) -> Command {
    Command::new(fixed::TAGS, LIST_BYTES_MAX).with(merged.map(|commit| format!("--merged={commit}")))
}

/// Names the nearest tag of a commit.
pub fn describe(commit: &str) -> Command {
    Command::new(fixed::DESCRIBE, LINE_BYTES_MAX).with([commit])
}

/// Lists the files that differ between two trees.
pub fn changes(from: &str, to: &str) -> Command {
    Command::new(fixed::CHANGES, LIST_BYTES_MAX).with([from, to, "--"])
}

/// Lists the files that each commit changed; a line of the input is a commit and what to compare it with.
pub fn commit_files(input: String) -> Command {
    Command { stdin: input.into_bytes(), ..Command::new(fixed::COMMIT_FILES, LIST_BYTES_MAX) }
}

/// Shows what differs between two trees in checked paths.
pub fn diff(from: &str, to: &str, paths: Vec<String>, bytes_max: u32) -> Command {
    let output_bytes_max = TEXT_BYTES_MAX.min(bytes_max.into());
    Command::new(fixed::DIFF, output_bytes_max).with([from, to, "--"]).with(paths)
}

/// Looks a checked path up in a commit.
pub fn ls_tree(commit: &str, path: String) -> Command {
    Command::new(fixed::LS_TREE, LINE_BYTES_MAX).with([commit.to_owned(), path])
}

/// Reads an object.
pub fn cat_file(object: &str) -> Command {
    // The content stands between a line that says what it is and a line feed.
    let output_bytes_max = TEXT_BYTES_MAX + 256;
    Command { stdin: format!("{object}\n").into_bytes(), ..Command::new(fixed::CAT_FILE, output_bytes_max) }
}
