//! What was read from the repository, before anything is concluded from it.

/// Everything a review is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Where the range begins.
    pub(crate) start: Start,
    /// The end of the range as it was asked for, such as `HEAD` or a tag.
    pub(crate) to: String,
    /// Id of the commit at the end; nothing in an empty repository.
    pub(crate) to_id: Option<String>,
    /// The last tag at or before the end, less those that are at the end itself.
    pub(crate) last_tag: Option<String>,
    /// Commits of the range, newest first.
    pub(crate) commits: Vec<Commit>,
    /// True when the range has more commits than were read.
    pub(crate) commits_more: bool,
    /// Files that differ between start and end.
    pub(crate) changes: Vec<Change>,
    /// True when more files differ than are listed.
    pub(crate) changes_more: bool,
    /// Unified diffs, each of one or more files.
    pub(crate) diffs: Vec<String>,
    /// Files whose diff was cut short or not read at all.
    pub(crate) unread: Vec<String>,
    /// What is known of the Rust crates with changed files.
    pub(crate) crates: Vec<Crate>,
    /// The version that the repository's main manifest gives itself at the end of the range.
    pub(crate) own_version: Option<OwnVersion>,
}

/// Where a range begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// After the last tag.
    LastTag,
    /// After the revision that the person named.
    Revision(String),
    /// As many commits before the end as the person said.
    Last(u32),
    /// As many commits before the end, because there is no tag.
    NoTag(u32),
    /// The beginning of the history, which is shorter than what was asked for.
    Beginning {
        /// True when there is no tag and nothing was asked for.
        no_tag: bool,
    },
}

impl Default for Start {
    fn default() -> Self {
        Self::Beginning { no_tag: true }
    }
}

/// One commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    /// Its full id.
    pub(crate) id: String,
    /// How many parents it has: two or more make it a merge.
    pub(crate) parents: usize,
    /// Name of its author.
    pub(crate) author: String,
    /// The author's address. It tells people apart and is never shown.
    pub(crate) email: String,
    /// When it was made, in seconds since 1970-01-01 00:00 UTC.
    pub(crate) time: i64,
    /// First line of its message.
    pub(crate) subject: String,
    /// The rest of its message.
    pub(crate) body: String,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
    Renamed,
    Copied,
}

/// A file that differs between start and end.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Its path at the end, or at the start when it was deleted.
    pub(crate) path: String,
    /// Its path at the start when it was renamed.
    pub(crate) old_path: Option<String>,
    pub(crate) kind: ChangeKind,
    /// Lines added; nothing for a binary file.
    pub(crate) added: Option<u64>,
    /// Lines removed; nothing for a binary file.
    pub(crate) removed: Option<u64>,
}

/// What is known of a Rust crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    /// Its folder; empty for the root of the repository.
    pub(crate) folder: String,
    /// True when other crates can use it: it has a library that is not only a `cdylib`.
    pub(crate) library: bool,
    /// True unless its manifest says `publish = false`.
    pub(crate) published: bool,
}

/// The version that a manifest gives its own project.
#[derive(Debug, Clone)]
pub(crate) struct OwnVersion {
    /// The manifest, such as `Cargo.toml`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) version: String,
}

/// The folder of the crate that a Rust source file would belong to by the usual layout.
pub(crate) fn crate_folder(path: &str) -> Option<&str> {
    if !path.ends_with(".rs") {
        return None;
    }
    if path.starts_with("src/") {
        return Some("");
    }
    path.rfind("/src/").and_then(|at| path.get(..at))
}

/// What the manifests say of a crate. `manifest` is its own `Cargo.toml`, `root` that of the workspace.
pub(crate) fn read_crate(folder: &str, manifest: &str, root: Option<&str>, has_lib_rs: bool) -> Crate {
    let own = toml_value(manifest, &["package"], "publish");
    let inherits = toml_value(manifest, &["package"], "publish.workspace").is_some()
        || own.is_some_and(|value| value.contains("workspace"));
    let publish = if inherits {
        root.and_then(|root| toml_value(root, &["workspace.package"], "publish"))
    } else {
        own
    };
    let crate_types = toml_value(manifest, &["lib"], "crate-type");
    let usable = crate_types.is_none_or(|types| {
        types.contains("\"rlib\"") || types.contains("\"lib\"") || types.contains("proc-macro")
    });
    let has_lib = has_lib_rs || toml_value(manifest, &["lib"], "path").is_some();
    Crate {
        folder: folder.to_owned(),
        library: has_lib && usable,
        published: !publish.is_some_and(|value| matches!(value.trim(), "false" | "[]")),
    }
}

/// The version in the text of the main manifest of a project.
pub(crate) fn read_own_version(path: &str, text: &str) -> Option<OwnVersion> {
    let found = if path.ends_with(".json") {
        text.lines().find_map(|line| {
            let (key, value) = line.trim().trim_end_matches(',').split_once(':')?;
            (key.trim() == "\"version\"").then(|| value.trim())
        })?
    } else {
        toml_value(text, &["package", "project", "tool.poetry"], "version")
            .filter(|value| value.starts_with('"'))
            .or_else(|| toml_value(text, &["workspace.package"], "version"))?
    };
    let version = found.split('"').nth(1)?.to_owned();
    Some(OwnVersion { path: path.to_owned(), version })
}

/// The raw value of a key in one of these tables. It reads lines, which is enough for manifests as
/// people write them; a value of several lines gives its first.
fn toml_value<'a>(text: &'a str, tables: &[&str], key: &str) -> Option<&'a str> {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            inside = table.split(']').next().is_some_and(|table| tables.contains(&table.trim()));
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.split('#').next().unwrap_or_default().trim());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_crate_of_a_source_file() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(crate_folder(path), expected);
        check("src/lib.rs", Some(""));
        check("host/kernel/src/run/mod.rs", Some("host/kernel"));
        check("build.rs", None);
        check("src/a.py", None);
        check("source/lib.rs", None);
    }

    #[test]
    fn knows_which_crates_others_can_use() {
        let check = |manifest: &str, root: Option<&str>, lib: bool, library: bool, published: bool| {
            let found = read_crate("a", manifest, root, lib);
            assert_eq!((found.library, found.published), (library, published), "{manifest}");
        };
        let root = Some("[workspace.package]\npublish = false # never\n");
        check("[package]\nname = \"a\"\n", None, true, true, true);
        check("[package]\nname = \"a\"\n", None, false, false, true);
        check("[package]\npublish = false\n", None, true, true, false);
        check("[package]\npublish.workspace = true\n", root, true, true, false);
        check("[package]\npublish = { workspace = true }\n", root, true, true, false);
        check("[package]\npublish.workspace = true\n", Some(""), true, true, true);
        check("[package]\n[lib]\ncrate-type = [\"cdylib\"]\n", None, true, false, true);
        check("[package]\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n", None, true, true, true);
        check("[package]\n[dependencies]\npublish = false\n", None, true, true, true);
    }

    #[test]
    fn reads_the_version_of_a_project() {
        let check = |path: &str, text: &str, expected: Option<&str>| {
            assert_eq!(read_own_version(path, text).map(|found| found.version).as_deref(), expected);
        };
        check("Cargo.toml", "[package]\nversion = \"1.2.3\"\n", Some("1.2.3"));
        check(
            "Cargo.toml",
            "[workspace.package]\nversion = \"0.1.0\"\n[package]\nversion.workspace = true",
            Some("0.1.0"),
        );
        check("Cargo.toml", "[dependencies]\nversion = \"9\"\n", None);
        check("package.json", "{\n  \"name\": \"x\",\n  \"version\": \"2.0.0\",\n}", Some("2.0.0"));
        check("pyproject.toml", "[project]\nversion = \"3.1.4\"", Some("3.1.4"));
    }
}
