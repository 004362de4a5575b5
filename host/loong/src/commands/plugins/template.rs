//! The projects that `loong plugins init` starts from, and the WIT packages they hold copies of. All of it is
//! inside the program, so that it works wherever it is put.

use std::collections::BTreeMap;

use loong_manifest::PluginId;

/// A file by its path inside its folder.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../../", $folder, "/", $path)))),*]
    };
}

const TOOL: &[File] = files!("sdk/template/tool":
    "Cargo.toml.in" "README.md.in" "deps.txt" "gitignore" "loong.plugin.json.in" "src/lib.rs.in"
    "tests/needs_room.loong-test.json" "tests/shortens.loong-test.json" "wit/world.wit.in");
const PACK: &[File] = files!("sdk/template/pack":
    "Cargo.toml.in" "README.md.in" "deps.txt" "gitignore" "loong.plugin.json.in" "src/lib.rs.in" "wit/world.wit.in");

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
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Pack => "pack",
        }
    }

    const fn files(self) -> &'static [File] {
        match self {
            Self::Tool => TOOL,
            Self::Pack => PACK,
        }
    }
}

/// The files of a project, by their path inside it.
pub(super) fn project(kind: Kind, id: &PluginId) -> BTreeMap<String, String> {
    let mut project = BTreeMap::new();
    for (path, text) in kind.files() {
        match path.strip_suffix(".in") {
            Some(path) => drop(project.insert(path.to_owned(), filled(text, id))),
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

fn filled(text: &str, id: &PluginId) -> String {
    text.replace("{{publisher}}", id.publisher())
        .replace("{{name}}", id.name())
        .replace("{{publisher_snake}}", &id.publisher().replace('-', "_"))
        .replace("{{name_snake}}", &id.name().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

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
        check("sdk/template/tool", TOOL);
        check("sdk/template/pack", PACK);
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
        for kind in [Kind::Tool, Kind::Pack] {
            let project = project(kind, &"my-team:word-count".parse().unwrap());
            assert!(project.contains_key("Cargo.toml") && project.contains_key(".gitignore"));
            for (path, text) in &project {
                assert!(!text.replace("{{\\", "").contains("{{p") && !text.contains("{{name"), "{path}");
            }
        }
        assert!(project(Kind::Pack, &"a:b".parse().unwrap()).contains_key("wit/deps/loong-pack/pack.wit"));
    }
}
