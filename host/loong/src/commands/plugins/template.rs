//! The projects that `loong plugins init` starts from, and the WIT packages they hold copies of. All of it is
//! inside the program, so that it works wherever it is put.

use std::collections::BTreeMap;

use loong_manifest::PluginId;

use super::script::Script;

/// A file by its path inside its folder.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../../", $folder, "/", $path)))),*]
    };
}

const TOOL: &[File] = files!("sdk/template/tool":
    "deps.txt" "loong.plugin.json.in" "src/lib.rs.in" "tests/needs_room.loong-test.json"
    "tests/shortens.loong-test.json" "wit/world.wit.in");
const COMMAND: &[File] = files!("sdk/template/command":
    "Cargo.toml.in" "README.md.in" "deps.txt" "loong.plugin.json.in" "src/main.rs.in"
    "tests/counts.loong-test.json" "tests/refuses_unknown_options.loong-test.json");
const PACK: &[File] = files!("sdk/template/pack":
    "deps.txt" "loong.plugin.json.in" "src/lib.rs.in" "tests/counts.loong-test.json" "wit/world.wit.in");
const POLICY: &[File] = files!("sdk/template/policy":
    "deps.txt" "loong.plugin.json.in" "src/lib.rs.in" "tests/asks_before_what_cannot_be_undone.loong-test.json"
    "wit/world.wit.in");
const PROVIDER: &[File] = files!("sdk/template/provider":
    "deps.txt" "loong.plugin.json.in" "src/lib.rs.in" "tests/answers.loong-test.json"
    "tests/needs_a_user.loong-test.json" "wit/world.wit.in");
const SINK: &[File] = files!("sdk/template/sink":
    "deps.txt" "loong.plugin.json.in" "src/lib.rs.in" "tests/takes_records.loong-test.json" "wit/world.wit.in");

const RUST: &[File] = files!("sdk/template/rust": "Cargo.toml.in" "README.md.in" "gitignore");
const PYTHON: &[File] =
    files!("sdk/template/python": "README.md.in" "gitignore" "requirements.txt" "src/app.py.in");
const JAVASCRIPT: &[File] =
    files!("sdk/template/javascript": "README.md.in" "gitignore" "package.json.in" "src/app.js.in");

/// What the licence that every manifest begins with says.
const LICENCE: &str = include_str!("../../../../../LICENSE");

/// The packages of `wit/`, by folder.
const WIT: &[(&str, &[File])] = &[
    (
        "host",
        files!("wit/host": "config.wit" "imports.wit" "kv.wit" "log.wit" "process.wit" "stream.wit" "tcp.wit" "tools.wit" "types.wit"),
    ),
    ("audit", files!("wit/audit": "plugin.wit" "sink.wit")),
    ("pack", files!("wit/pack": "pack.wit" "plugin.wit")),
    ("plugin", files!("wit/plugin": "lifecycle.wit" "plugin.wit")),
    ("policy", files!("wit/policy": "extension.wit" "plugin.wit")),
    ("provider", files!("wit/provider": "chat.wit" "plugin.wit")),
];

/// What kind of component a project makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Offers functions that people, packs and models call
    Tool,
    /// A complete system for one job, which `loong run` runs
    Pack,
    /// A program with arguments and standard streams, which `loong run` runs
    Command,
    /// Looks at what policy allows, and can only be stricter
    Policy,
    /// Answers for a model
    Provider,
    /// Takes the records of the audit log somewhere
    Sink,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Pack => "pack",
            Self::Command => "command",
            Self::Policy => "policy",
            Self::Provider => "provider",
            Self::Sink => "sink",
        }
    }

    const fn files(self) -> &'static [File] {
        match self {
            Self::Tool => TOOL,
            Self::Pack => PACK,
            Self::Command => COMMAND,
            Self::Policy => POLICY,
            Self::Provider => PROVIDER,
            Self::Sink => SINK,
        }
    }

    /// How what a project makes is tried out first.
    pub(super) fn call(self, id: &PluginId) -> String {
        let component = format!("target/loong/{}.wasm", id.name());
        match self {
            Self::Tool => format!(
                "loong tools call {component} shorten '{{\"text\": \"one two three\", \"words-max\": 2}}'"
            ),
            Self::Pack => format!("echo 'one two three' | loong run {component} --input -"),
            Self::Command => format!("echo 'one two three' | loong run {component}"),
            Self::Policy | Self::Provider | Self::Sink => format!("loong plugins info {component}"),
        }
    }

    /// How what a project makes is put to use, for its README.
    const fn uses(self) -> &'static str {
        match self {
            Self::Tool | Self::Pack => "Signed, it lies in a folder of plugins and is called by its id.",
            Self::Command => {
                "Signed, it lies in a folder of plugins and is run by its id: `loong run {{publisher}}:{{name}} -- --lines`."
            }
            Self::Policy => {
                "Signed and installed, it is asked once loong.toml names it: `extensions = [\"{{publisher}}:{{name}}\"]`."
            }
            Self::Provider => {
                "A pack that imports `loong:provider/chat` is linked with it: `loong run PACK --with target/loong/{{name}}.wasm`."
            }
            Self::Sink => {
                "Signed and installed, it gets every record once loong.toml names it: `[[sinks]]` with\n`plugin = \"{{publisher}}:{{name}}\"` and `fail = \"open\"`."
            }
        }
    }
}

/// The language of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// Small and fast; every kind
    Rust,
    /// With componentize-py; tools
    Python,
    /// With componentize-qjs; tools
    #[value(name = "javascript")]
    JavaScript,
}

impl Language {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }

    const fn files(self) -> &'static [File] {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::JavaScript => JAVASCRIPT,
        }
    }

    /// What its tools are set up with, if they do not come with Rust.
    pub(super) const fn set_up(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Python => Some(Script::Python.set_up()),
            Self::JavaScript => Some(Script::JavaScript.set_up()),
        }
    }

    /// What its tools export by themselves, for `operations`.
    const fn operations(self) -> &'static str {
        match self {
            Self::Rust | Self::Python => "",
            Self::JavaScript => {
                ",\n    { \"name\": \"#init\", \"risk\": \"irreversible\", \"doc\": \"Put there by componentize-qjs for its own use\" }"
            }
        }
    }
}

/// The files of a project, by their path inside it.
pub(super) fn project(kind: Kind, language: Language, id: &PluginId) -> BTreeMap<String, String> {
    let mut project = BTreeMap::from([("LICENSE".to_owned(), LICENCE.to_owned())]);
    let folders = kind.files().iter().find(|(path, _)| *path == "deps.txt").map_or("", |(_, text)| *text);
    let own = kind.files().iter().filter(|(path, _)| language == Language::Rust || !path.starts_with("src/"));
    // A kind that is built in another way has files of its own in the place of the language's.
    for (path, text) in language.files().iter().chain(own) {
        let filled = || filled(text, kind, language, id, folders);
        match path.strip_suffix(".in") {
            Some(path) => drop(project.insert(path.to_owned(), filled())),
            None if *path == "gitignore" => drop(project.insert(".gitignore".to_owned(), (*text).to_owned())),
            None if *path == "deps.txt" => project.extend(text.split_whitespace().flat_map(dependency)),
            None => drop(project.insert((*path).to_owned(), (*text).to_owned())),
        }
    }
    project
}

/// A copy of one WIT package, where the tools of WIT look for it.
fn dependency(folder: &str) -> impl Iterator<Item = (String, String)> {
    let files = WIT.iter().find(|(name, _)| *name == folder).map(|(_, files)| *files).unwrap_or_default();
    files.iter().map(move |(path, text)| (format!("wit/deps/loong-{folder}/{path}"), (*text).to_owned()))
}

fn filled(text: &str, kind: Kind, language: Language, id: &PluginId, folders: &str) -> String {
    text.replace("{{dependencies}}", &dependencies(folders))
        .replace("{{operations}}", language.operations())
        .replace("{{use}}", kind.uses())
        .replace("{{call}}", &kind.call(id))
        .replace("{{kind}}", kind.as_str())
        .replace("{{language}}", language.as_str())
        .replace("{{publisher}}", id.publisher())
        .replace("{{name}}", id.name())
        .replace("{{publisher_snake}}", &id.publisher().replace('-', "_"))
        .replace("{{name_snake}}", &id.name().replace('-', "_"))
        .replace("{{name_pascal}}", &joined(id.name(), true))
        .replace("{{name_camel}}", &joined(id.name(), false))
}

/// What `cargo component` wants to know of the packages that are copied.
fn dependencies(folders: &str) -> String {
    let lines: Vec<String> = folders
        .split_whitespace()
        .map(|folder| format!("\"loong:{folder}\" = {{ path = \"wit/deps/loong-{folder}\" }}\n"))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("\n[package.metadata.component.target.dependencies]\n{}", lines.concat())
}

/// The words of a name, written together.
fn joined(name: &str, first_upper: bool) -> String {
    let word = |(at, word): (usize, &str)| match (at > 0 || first_upper, word.split_at_checked(1)) {
        (true, Some((first, rest))) => first.to_ascii_uppercase() + rest,
        _ => word.to_owned(),
    };
    name.split('-').enumerate().map(word).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use clap::ValueEnum as _;

    use super::*;

    /// Every file below a folder of the repository.
    fn on_disk(folder: &str) -> BTreeSet<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let mut found = Vec::new();
        walk(&root, &mut found);
        found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn check(folder: &str, embedded: &[File]) {
        assert_eq!(
            embedded.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>(),
            on_disk(folder)
        );
    }

    #[test]
    fn the_program_holds_every_file_of_the_templates() {
        for kind in Kind::value_variants() {
            check(&format!("sdk/template/{}", kind.as_str()), kind.files());
        }
        for language in [Language::Rust, Language::Python, Language::JavaScript] {
            check(&format!("sdk/template/{}", language.as_str()), language.files());
        }
    }

    #[test]
    fn the_program_holds_every_wit_package() {
        for (folder, files) in WIT {
            check(&format!("wit/{folder}"), files);
        }
        let folders = on_disk("wit")
            .iter()
            .filter_map(|path| path.split_once('/').map(|(folder, _)| folder.to_owned()))
            .collect::<BTreeSet<_>>();
        assert_eq!(folders, WIT.iter().map(|(folder, _)| (*folder).to_owned()).collect());
    }

    #[test]
    fn every_placeholder_is_filled_and_every_dependency_is_there() {
        let id: PluginId = "my-team:word-count".parse().unwrap();
        let all = Kind::value_variants().iter().map(|kind| (*kind, Language::Rust));
        for (kind, language) in
            all.chain([(Kind::Tool, Language::Python), (Kind::Tool, Language::JavaScript)])
        {
            let project = project(kind, language, &id);
            assert!(project.contains_key("README.md") && project.contains_key(".gitignore"));
            assert_eq!(project.contains_key("Cargo.toml"), language == Language::Rust);
            for (path, text) in &project {
                assert!(!text.replace("{{\\", "").contains("{{"), "{path}: {text}");
            }
            let manifest = loong_manifest::Manifest::read(project["loong.plugin.json"].as_bytes()).unwrap();
            assert_eq!((manifest.kind.as_str(), manifest.id), (kind.as_str(), id.clone()));
        }
        let pack = project(Kind::Pack, Language::Rust, &id);
        assert!(pack.contains_key("wit/deps/loong-pack/pack.wit"));
        assert!(pack["Cargo.toml"].contains("\"loong:pack\" = { path = \"wit/deps/loong-pack\" }"));
    }

    #[test]
    fn names_become_those_of_each_language() {
        assert_eq!(joined("word-count", true), "WordCount");
        assert_eq!(joined("word-count", false), "wordCount");
        assert_eq!(joined("sha256", true), "Sha256");
    }
}
