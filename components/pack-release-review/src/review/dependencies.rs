//! Which packages a manifest or lock file asks for now that it did not ask for before.

use std::collections::BTreeMap;

use super::diff::{FileDiff, Side};
use super::text::clean;

/// One package whose entry changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Its version or requirement before; nothing when it is new.
    pub(crate) before: Option<String>,
    /// Its version or requirement now; nothing when it is gone.
    pub(crate) after: Option<String>,
    /// True when it comes from somewhere else than a registry: a git repository, a path or an address.
    pub(crate) elsewhere: bool,
}

/// What a file says of dependencies, by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Entries can be read from a diff of it.
    Readable(fn(&FileDiff) -> Vec<Dependency>),
    /// It matters, and its form is not known here.
    Other,
}

/// The kind of dependency file that a path names.
pub(crate) fn source(path: &str) -> Option<Source> {
    let name = path.rsplit('/').next().unwrap_or(path);
    Some(match name {
        "Cargo.toml" => Source::Readable(cargo_toml),
        "Cargo.lock" => Source::Readable(cargo_lock),
        "poetry.lock" | "uv.lock" => Source::Readable(python_lock),
        "package.json" => Source::Readable(package_json),
        "go.mod" => Source::Readable(go_mod),
        "package-lock.json"
        | "npm-shrinkwrap.json"
        | "yarn.lock"
        | "pnpm-lock.yaml"
        | "bun.lock"
        | "go.sum"
        | "pyproject.toml"
        | "Pipfile"
        | "Pipfile.lock"
        | "setup.cfg"
        | "Gemfile"
        | "Gemfile.lock"
        | "composer.json"
        | "composer.lock"
        | "pom.xml"
        | "build.gradle"
        | "build.gradle.kts"
        | "flake.lock"
        | ".gitmodules"
        | "vcpkg.json"
        | "conanfile.txt"
        | "conanfile.py"
        | "mix.lock"
        | "Package.resolved" => Source::Other,
        _ if name.starts_with("requirements") && name.ends_with(".txt") => Source::Readable(requirements),
        _ => return None,
    })
}

/// True for files that a tool writes: their lines say little, their packages all.
pub(crate) fn is_lock(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".lock")
        || name.contains("-lock.")
        || matches!(name, "go.sum" | "npm-shrinkwrap.json" | "Package.resolved")
}

/// Names with their requirements, on one side of a diff.
type Entries = BTreeMap<String, Vec<Entry>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    version: String,
    elsewhere: bool,
}

/// Reads entries that stand on one line each.
fn by_line(file: &FileDiff, read: impl Fn(&str) -> Option<(String, Entry)>) -> Vec<Dependency> {
    let side = |wanted: Side| {
        let mut entries = Entries::new();
        for line in file.lines().filter(|line| line.side == wanted) {
            if let Some((name, entry)) = read(line.text) {
                entries.entry(name).or_default().push(entry);
            }
        }
        entries
    };
    compare(side(Side::Old), side(Side::New))
}

/// Reads `name = "…"` and `version = "…"` under `[[package]]`.
fn by_package(file: &FileDiff, own_without_source: bool) -> Vec<Dependency> {
    let side = |wanted: Side| {
        let mut entries = Entries::new();
        for hunk in &file.hunks {
            let mut package = Package::default();
            for line in hunk.iter().filter(|line| line.side == wanted || line.side == Side::Both) {
                if line.text.starts_with("[[") {
                    package.finish(&mut entries, own_without_source);
                    continue;
                }
                let Some((key, value)) = line.text.split_once(" = ") else { continue };
                let value = value.trim_matches('"');
                let marked = line.side == wanted;
                match key {
                    "name" => {
                        package.finish(&mut entries, own_without_source);
                        (package.name, package.marked) = (Some(value.to_owned()), marked);
                    }
                    "version" => {
                        package.version = Some(value.to_owned());
                        package.marked |= marked;
                    }
                    "source" => {
                        package.source = Some(value.to_owned());
                        package.marked |= marked;
                    }
                    _ => {}
                }
            }
            package.finish(&mut entries, own_without_source);
        }
        entries
    };
    compare(side(Side::Old), side(Side::New))
}

#[derive(Default)]
struct Package {
    name: Option<String>,
    version: Option<String>,
    source: Option<String>,
    /// True when a line of it changed.
    marked: bool,
}

impl Package {
    fn finish(&mut self, entries: &mut Entries, own_without_source: bool) {
        let Self { name, version, source, marked } = std::mem::take(self);
        let (Some(name), Some(version)) = (name, version) else { return };
        // Cargo writes no source for the packages of the workspace itself.
        if !marked || (own_without_source && source.is_none()) {
            return;
        }
        let elsewhere = source.is_some_and(|source| {
            source.starts_with("git+")
                || source.contains("git =")
                || source.contains("path =")
                || source.contains("url =")
        });
        entries.entry(name).or_default().push(Entry { version, elsewhere });
    }
}

fn compare(mut old: Entries, mut new: Entries) -> Vec<Dependency> {
    for (name, was) in &mut old {
        if let Some(is) = new.get_mut(name) {
            was.retain(|entry| match is.iter().position(|other| other == entry) {
                Some(index) => {
                    is.remove(index);
                    false
                }
                None => true,
            });
        }
    }
    let names: std::collections::BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let mut dependencies = Vec::new();
    for name in names {
        let (mut was, mut is) =
            (old.remove(&name).unwrap_or_default(), new.remove(&name).unwrap_or_default());
        was.sort();
        is.sort();
        let (mut was, mut is) = (was.into_iter(), is.into_iter());
        loop {
            let (before, after) = (was.next(), is.next());
            if before.is_none() && after.is_none() {
                break;
            }
            let elsewhere = after.as_ref().is_some_and(|entry| entry.elsewhere);
            let text = |entry: Option<Entry>| entry.map(|entry| clean(&entry.version, 80));
            dependencies.push(Dependency {
                name: clean(&name, 100),
                before: text(before),
                after: text(after),
                elsewhere,
            });
        }
    }
    dependencies
}

fn cargo_lock(file: &FileDiff) -> Vec<Dependency> {
    by_package(file, true)
}

fn python_lock(file: &FileDiff) -> Vec<Dependency> {
    by_package(file, false)
}

/// Keys of a Cargo manifest that look like a dependency and are none.
const CARGO_KEYS: [&str; 40] = [
    "name",
    "version",
    "edition",
    "rust-version",
    "description",
    "license",
    "licence",
    "license-file",
    "authors",
    "repository",
    "homepage",
    "documentation",
    "readme",
    "keywords",
    "categories",
    "publish",
    "workspace",
    "build",
    "links",
    "exclude",
    "include",
    "default-run",
    "resolver",
    "path",
    "crate-type",
    "proc-macro",
    "opt-level",
    "lto",
    "debug",
    "panic",
    "strip",
    "codegen-units",
    "target",
    "world",
    "package",
    "level",
    "priority",
    "default",
    "lints",
    "debug-assertions",
];

fn cargo_toml(file: &FileDiff) -> Vec<Dependency> {
    by_line(file, |line| {
        let (name, value) = line.split_once('=')?;
        let (name, value) = (name.trim().trim_matches('"'), value.split(" #").next()?.trim());
        if let Some(name) = name.strip_suffix(".workspace").or_else(|| name.strip_suffix(".version")) {
            return (!CARGO_KEYS.contains(&name)).then(|| entry(name, value, "workspace"))?;
        }
        let is_name = !name.is_empty()
            && !CARGO_KEYS.contains(&name)
            && name.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character));
        if !is_name {
            return None;
        }
        let requirement = value.strip_prefix('"').and_then(|value| value.split('"').next());
        if let Some(requirement) = requirement {
            return is_requirement(requirement).then(|| entry(name, requirement, ""))?;
        }
        let is_table = value.starts_with('{')
            && ["version", "path", "git", "workspace"].iter().any(|key| value.contains(key));
        if !is_table {
            return None;
        }
        entry(name, value, "workspace")
    })
}

/// An entry of a Cargo manifest. A table is shown by the parts that say which code it is.
fn entry(name: &str, value: &str, inherited: &str) -> Option<(String, Entry)> {
    let part = |key: &str| {
        let (_, rest) = value.split_once(&format!("{key} = \""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let (git, path) = (part("git"), part("path"));
    let mut version = if !value.starts_with('{') {
        if value == "true" { inherited.to_owned() } else { value.trim_matches('"').to_owned() }
    } else {
        match (part("version"), &git, &path) {
            (Some(version), ..) => version,
            (None, Some(git), _) => format!("git {git}"),
            (None, None, Some(path)) => format!("path {path}"),
            (None, None, None) => inherited.to_owned(),
        }
    };
    if let Some((_, features)) = value.split_once("features = [") {
        let features = features.split(']').next().unwrap_or_default().replace('"', "");
        version.push_str(&format!(
            " with {}",
            if features.trim().is_empty() { "no features" } else { features.trim() }
        ));
    }
    if value.contains("default-features = false") {
        version.push_str(", no default features");
    }
    Some((name.to_owned(), Entry { version, elsewhere: git.is_some() }))
}

/// `1`, `^1.2`, `>=1, <2`, `*`, `~1.0`, `=1.2.3`.
fn is_requirement(text: &str) -> bool {
    let text = text.trim_start_matches(['^', '~', '=', '>', '<', 'v', ' ']);
    text == "*" || text.starts_with(|first: char| first.is_ascii_digit())
}

/// Keys of `package.json` that hold a version and are no dependency.
const NPM_KEYS: [&str; 7] = ["version", "node", "npm", "yarn", "pnpm", "packageManager", "lockfileVersion"];

fn package_json(file: &FileDiff) -> Vec<Dependency> {
    by_line(file, |line| {
        let (name, value) = line.trim().trim_end_matches(',').split_once("\": \"")?;
        let (name, value) = (name.strip_prefix('"')?, value.strip_suffix('"')?);
        let elsewhere =
            ["git", "http", "file:", "link:", "github:"].iter().any(|start| value.starts_with(start));
        let protocol = ["npm:", "workspace:", "catalog:"].iter().any(|start| value.starts_with(start));
        // `homepage` and `url` hold addresses too.
        let is_version =
            is_requirement(value) || protocol || value == "latest" || (elsewhere && value.contains(".git"));
        let is_name = !NPM_KEYS.contains(&name) && !matches!(name, "url" | "homepage" | "repository");
        (is_version && is_name).then(|| (name.to_owned(), Entry { version: value.to_owned(), elsewhere }))
    })
}

fn requirements(file: &FileDiff) -> Vec<Dependency> {
    by_line(file, |line| {
        let line = line.split(" #").next()?.split(';').next()?.trim();
        if line.is_empty() || line.starts_with(['#', '-']) {
            return None;
        }
        let (name, rest) = line.split_at(
            line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len()),
        );
        let rest = rest.trim();
        if name.is_empty() {
            return None;
        }
        let version = rest.trim_end_matches('\\').trim();
        let version = if version.is_empty() { "any" } else { version };
        Some((
            name.to_ascii_lowercase(),
            Entry { version: version.to_owned(), elsewhere: version.contains("://") },
        ))
    })
}

fn go_mod(file: &FileDiff) -> Vec<Dependency> {
    by_line(file, |line| {
        let line = line.split("//").next()?.trim();
        let mut words = line.strip_prefix("require ").unwrap_or(line).split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        let is_entry = name.contains('.') && version.starts_with('v');
        is_entry.then(|| (name.to_owned(), Entry { version: version.to_owned(), elsewhere: false }))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::review::diff::parse;

    /// Reads a hunk whose lines have their marks.
    #[track_caller]
    fn check(path: &str, hunk: &str, expected: &[&str]) {
        let count = |marks: &[char]| hunk.lines().filter(|line| line.starts_with(marks)).count();
        let text = format!(
            "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{} +1,{} @@\n{hunk}",
            count(&['-', ' ']),
            count(&['+', ' '])
        );
        let files = parse(&text);
        let Some(Source::Readable(read)) = source(path) else { panic!("{path} is not readable") };
        let found: Vec<String> = read(&files[0])
            .into_iter()
            .map(|found| {
                let mark = if found.elsewhere { " !" } else { "" };
                format!(
                    "{} {} -> {}{mark}",
                    found.name,
                    found.before.as_deref().unwrap_or("."),
                    found.after.as_deref().unwrap_or(".")
                )
            })
            .collect();
        assert_eq!(found, expected, "{hunk}");
    }

    #[test]
    fn reads_cargo_manifests() {
        check("Cargo.toml", "-serde = \"1\"\n+serde = \"2\"\n", &["serde 1 -> 2"]);
        check(
            "a/Cargo.toml",
            "+tokio = { version = \"1.54\", features = [\"rt\"] }\n",
            &["tokio . -> 1.54 with rt"],
        );
        check("Cargo.toml", "-x = { path = \"../x\" }\n", &["x path ../x -> ."]);
        check("Cargo.toml", "+y = { git = \"https://e.org/y\" }\n", &["y . -> git https://e.org/y !"]);
        check("Cargo.toml", "+log.workspace = true\n+edition.workspace = true\n", &["log . -> workspace"]);
        check(
            "Cargo.toml",
            "-version = \"1.0.0\"\n+version = \"1.1.0\"\n+name = \"x\"\n+edition = \"2024\"\n",
            &[],
        );
        check("Cargo.toml", "-a = \"1\"\n b = \"1\"\n+a = \"1\"\n", &[]);
        check("Cargo.toml", "+unwrap_used = \"warn\"\n+members = [\"a\"]\n", &[]);
    }

    #[test]
    fn reads_lock_files() {
        let bumped = " [[package]]\n name = \"a\"\n-version = \"1.0.0\"\n+version = \"1.0.1\"\n source = \"registry+x\"\n";
        check("Cargo.lock", bumped, &["a 1.0.0 -> 1.0.1"]);
        let added = "+[[package]]\n+name = \"b\"\n+version = \"0.3.0\"\n+source = \"git+https://e.org/b\"\n+\n [[package]]\n name = \"c\"\n version = \"1.0.0\"\n";
        check("Cargo.lock", added, &["b . -> 0.3.0 !"]);
        check("Cargo.lock", "+[[package]]\n+name = \"own\"\n+version = \"0.1.0\"\n", &[]);
        check("poetry.lock", "-[[package]]\n-name = \"p\"\n-version = \"1\"\n", &["p 1 -> ."]);
        let replaced = " [[package]]\n-name = \"old\"\n+name = \"new\"\n version = \"1.0.0\"\n source = \"registry+x\"\n";
        check("Cargo.lock", replaced, &["new . -> 1.0.0", "old 1.0.0 -> ."]);
        let second = "+[[package]]\n+name = \"d\"\n+version = \"2.0.0\"\n+source = \"registry+x\"\n";
        check("Cargo.lock", second, &["d . -> 2.0.0"]);
    }

    #[test]
    fn reads_other_manifests() {
        check(
            "package.json",
            "-    \"left-pad\": \"^1.0.0\",\n+    \"left-pad\": \"^1.3.0\"\n",
            &["left-pad ^1.0.0 -> ^1.3.0"],
        );
        check("package.json", "+  \"version\": \"1.0.0\",\n+  \"build\": \"tsc -p .\",\n", &[]);
        check(
            "package.json",
            "+    \"x\": \"git+https://e.org/x.git\",\n",
            &["x . -> git+https://e.org/x.git !"],
        );
        check(
            "requirements-dev.txt",
            "-Flask==2.0  # web\n+flask>=3,<4; python_version > '3'\n+-r other.txt\n",
            &["flask ==2.0 -> >=3,<4"],
        );
        check(
            "go.mod",
            "-\tgolang.org/x/net v0.1.0 // indirect\n+\tgolang.org/x/net v0.2.0\n+go 1.25\n",
            &["golang.org/x/net v0.1.0 -> v0.2.0"],
        );
    }

    #[test]
    fn knows_dependency_files_by_name() {
        assert!(matches!(source("web/yarn.lock"), Some(Source::Other)));
        assert!(source("src/cargo.rs").is_none());
        assert!(is_lock("a/package-lock.json") && is_lock("Cargo.lock") && !is_lock("Cargo.toml"));
    }

    proptest! {
        #[test]
        fn takes_any_lines(lines in "([-+ ](name = \"|version = |\\[\\[|require |a = \\{|\\PC){0,4}\n){0,20}") {
            let text = format!("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,99 +1,99 @@\n{lines}");
            for file in parse(&text) {
                for read in [cargo_toml, cargo_lock, python_lock, package_json, requirements, go_mod] {
                    read(&file);
                }
            }
        }
    }
}
