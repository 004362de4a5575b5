//! The rules of the tree that the compiler does not know. Every message says what to do instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use loong_it::fixture::{cargo, fixtures, guest_sources, succeed};
use loong_it::root;
use toml::Table;

/// Who may know whom, directly or through others. The drawing is in host/README.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("loong-manifest", &[]),
    ("loong-inspect", &["loong-manifest"]),
    ("loong-trust", &["loong-inspect"]),
    ("loong-repository", &["loong-trust"]),
    ("loong-policy", &["loong-trust"]),
    ("loong-kernel", &["loong-policy"]),
    ("loong-store", &["loong-kernel"]),
    ("loong-runtime", &["loong-kernel"]),
    ("loong-compile", &["loong-runtime"]),
    ("loong-sandbox", &["loong-manifest"]),
    ("loong", &["loong-store", "loong-runtime", "loong-repository"]),
];

/// Crates whose source and Cargo.toml may name the engine.
const ENGINE: &[&str] = &["host/runtime/", "host/compiler/"];

/// Where `unsafe` is needed, and for what.
const UNSAFE: &[(&str, &str)] = &[(
    "host/runtime/src/artifact.rs",
    "loads native code that loong-compile made, once its seal is checked",
)];

/// Code lines, tests not counted: of the command line; of registry/, which says who made a component and where it comes
/// from; and of the rest of host/, which decides, links, limits and records. Before raising one, move code into a
/// component.
const LINES_MAX: [(&str, usize); 3] = [("host/loong/", 17_000), ("registry/", 7_200), ("", 18_500)];

/// Lines of one file, tests not counted.
const FILE_LINES_MAX: usize = 600;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Packages in Cargo.lock. Every one is code to trust; raise it only together with a reason in the commit.
const PACKAGES_MAX: usize = 530;

/// Lines of the README of a folder: one screen.
const README_LINES_MAX: usize = 60;

/// Hosts that settings, scripts and data may name in addresses, besides those that RFC 2606 keeps for examples. A
/// build fetches from crates.io only.
const HOSTS: &[&str] = &[
    "github.com",
    "json-schema.org",
    "rustup.rs",
    "slsa.dev",
    "token.actions.githubusercontent.com",
    "www.apache.org",
];

/// All files under version control.
fn tracked() -> Vec<String> {
    let listing = succeed(Command::new("git").args(["ls-files", "-z"]).current_dir(root()));
    let names = String::from_utf8(listing).unwrap();
    names.split_terminator('\0').filter(|name| root().join(name).is_file()).map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The Rust files of host/ and registry/ that are part of the host, not of its tests.
fn host_sources() -> Vec<String> {
    let of_the_host = |name: &String| {
        let path = Path::new(name);
        let in_tests = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_stem().is_some_and(|stem| stem == "tests");
        (name.starts_with("host/") || name.starts_with("registry/")) && name.ends_with(".rs") && !in_tests
    };
    let sources: Vec<String> = tracked().into_iter().filter(of_the_host).collect();
    assert!(sources.len() > 20, "only {} host files were found", sources.len());
    sources
}

/// A file without its in-file tests: `#[cfg(test)]` and `mod tests {` end what counts.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

/// The code of a line: without a comment at its end or its whole.
fn code(line: &str) -> &str {
    match line.find("//") {
        Some(at) if !line[..at].ends_with(':') => line[..at].trim(),
        _ => line.trim(),
    }
}

/// `Cargo.toml` of every workspace member, by package name.
fn packages() -> BTreeMap<String, (PathBuf, Table)> {
    let manifests =
        tracked().into_iter().filter(|name| name.ends_with("Cargo.toml") && name.matches('/').count() == 2);
    let mut packages = BTreeMap::new();
    for name in manifests
        .filter(|name| ["host/", "registry/", "tests/"].iter().any(|folder| name.starts_with(folder)))
    {
        let table: Table = read(&name).parse().unwrap();
        let package = table["package"]["name"].as_str().unwrap().to_owned();
        packages.insert(package, (PathBuf::from(name), table));
    }
    packages
}

fn dependencies<'a>(table: &'a Table, sections: &[&str]) -> Vec<&'a str> {
    let of = |table: &'a Table| -> Vec<&'a str> {
        sections
            .iter()
            .filter_map(|section| table.get(*section)?.as_table())
            .flat_map(|section| section.keys().map(String::as_str))
            .collect()
    };
    let mut found = of(table);
    for target in table.get("target").and_then(|targets| targets.as_table()).into_iter().flatten() {
        found.extend(target.1.as_table().into_iter().flat_map(of));
    }
    found
}

/// The arrow that is not allowed, if a crate has one.
fn forbidden_arrow(package: &str, dependencies: &[&str]) -> Option<String> {
    fn below(package: &str, all: &mut BTreeSet<&'static str>) {
        for (_, next) in ARROWS.iter().filter(|(from, _)| *from == package) {
            for to in *next {
                all.insert(to);
                below(to, all);
            }
        }
    }
    let mut allowed = BTreeSet::new();
    below(package, &mut allowed);
    let own = dependencies.iter().filter(|dependency| dependency.starts_with("loong"));
    own.copied().find(|dependency| !allowed.contains(dependency)).map(|to| format!("{package} → {to}"))
}

#[test]
fn arrows_between_crates_point_one_way() {
    let packages = packages();
    for (package, (path, table)) in &packages {
        if path.starts_with("tests") {
            continue;
        }
        assert!(
            ARROWS.iter().any(|(name, _)| name == package),
            "{} is a new crate: draw it in ARROWS and in host/README.md",
            path.display()
        );
        let found = forbidden_arrow(package, &dependencies(table, &["dependencies", "build-dependencies"]));
        assert_eq!(found, None, "an arrow that is not drawn: pass a value or a trait instead");
    }
    for (package, _) in ARROWS {
        assert!(packages.contains_key(*package), "{package} is drawn and does not exist");
    }
}

#[test]
fn a_wrong_arrow_is_found() {
    assert_eq!(
        forbidden_arrow("loong-policy", &["serde", "loong-store"]),
        Some("loong-policy → loong-store".into())
    );
    assert_eq!(
        forbidden_arrow("loong-runtime", &["loong-store"]),
        Some("loong-runtime → loong-store".into())
    );
    assert_eq!(
        forbidden_arrow("loong-manifest", &["loong-manifest"]),
        Some("loong-manifest → loong-manifest".into())
    );
    assert_eq!(forbidden_arrow("loong", &["loong-inspect", "loong-store"]), None);
}

#[test]
fn only_runtime_and_compiler_name_the_engine() {
    for (package, (path, table)) in packages() {
        let path = path.to_string_lossy().into_owned();
        // The benchmarks measure the host against the bare engine; values to fuzz need types, and types an engine.
        let is_known = ["loong-bench", "loong-fuzz"].contains(&package.as_str());
        if ENGINE.iter().any(|folder| path.starts_with(folder)) || is_known {
            continue;
        }
        let named = dependencies(&table, &["dependencies", "build-dependencies", "dev-dependencies"]);
        let engine = named.iter().find(|name| name.starts_with("wasmtime") || name.starts_with("cranelift"));
        assert_eq!(engine, None, "{path} names the engine: ask host/runtime for what is needed");
    }
    for name in host_sources().iter().filter(|name| !ENGINE.iter().any(|folder| name.starts_with(folder))) {
        for line in read(name).lines() {
            assert!(
                !code(line).contains("wasmtime::"),
                "{name} names the engine: ask host/runtime for what is needed\n{line}"
            );
        }
    }
}

#[test]
fn the_host_holds_no_compiler() {
    let tree = |package: &str| {
        let mut cargo = Command::new(cargo());
        cargo.current_dir(root()).args([
            "tree",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            package,
        ]);
        String::from_utf8(succeed(&mut cargo)).unwrap()
    };
    let holds = |text: &[u8], what: &[u8]| text.windows(what.len()).any(|window| window == what);
    assert!(
        tree("loong-compile").contains("cranelift-codegen "),
        "the compiler has lost its Cranelift: this test finds nothing"
    );
    assert!(
        !tree("loong").contains("cranelift-codegen "),
        "`cargo tree -p loong -i cranelift-codegen` says who brings the compiler"
    );

    let loong = fs::read(&fixtures().loong).unwrap();
    let compiler = fs::read(fixtures().loong.with_file_name("loong-compile")).unwrap();
    let symbol = b"cranelift_codegen";
    assert!(holds(&compiler, symbol), "the compiler has lost its Cranelift: this test finds nothing");
    assert!(
        !holds(&loong, symbol),
        "{} was built together with the compiler: build them one by one",
        fixtures().loong.display()
    );
}

#[test]
fn unsafe_code_is_on_the_list() {
    let mut found = BTreeSet::new();
    for name in host_sources() {
        let text = read(&name);
        let is_unsafe = |line: &str| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"]
                .iter()
                .any(|form| code(line).contains(form))
        };
        if without_tests(&text).lines().any(is_unsafe) {
            found.insert(name);
        }
    }
    let listed: BTreeSet<String> = UNSAFE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        found, listed,
        "left: files with unsafe code; right: UNSAFE of this test, each with its reason"
    );
}

#[test]
fn the_host_stays_small() {
    let mut totals = [0; LINES_MAX.len()];
    let mut long = BTreeSet::new();
    for name in host_sources() {
        let text = read(&name);
        let lines = without_tests(&text).lines();
        if lines.clone().count() > FILE_LINES_MAX {
            long.insert(name.clone());
        }
        let part = LINES_MAX.iter().position(|(folder, _)| name.starts_with(folder)).unwrap();
        totals[part] += lines.filter(|line| !code(line).is_empty()).count();
    }
    let listed: BTreeSet<String> = LONG_FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        long, listed,
        "left: files over {FILE_LINES_MAX} lines, is a part of them a leaf? right: LONG_FILES of this test"
    );
    for (total, (folder, maximum)) in totals.into_iter().zip(LINES_MAX) {
        let what = if folder.is_empty() { "the rest of host/" } else { folder };
        println!("{what}: {total} of {maximum} lines of code");
        assert!(total < maximum, "{total} lines of code in {what}: move code out into a component");
    }
}

#[test]
fn dependencies_are_few() {
    let lock: Table = read("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    println!("Cargo.lock: {} of {PACKAGES_MAX} packages", packages.len());
    assert!(
        packages.len() <= PACKAGES_MAX,
        "{} packages: is the new dependency worth what it brings?",
        packages.len()
    );
    for package in packages {
        let source = package.get("source").and_then(|source| source.as_str());
        let from_crates_io =
            source.is_none_or(|source| source == "registry+https://github.com/rust-lang/crates.io-index");
        assert!(from_crates_io, "{} comes from {source:?}", package["name"]);
    }
}

#[test]
fn every_guest_is_used_by_a_test() {
    let texts: Vec<String> = tracked()
        .into_iter()
        .filter(|name| {
            name.starts_with("tests/cases/") && name.ends_with("/cmd")
                || name.starts_with("tests/it/") && name.ends_with(".rs")
        })
        .map(|name| read(&name))
        .collect();
    for source in guest_sources() {
        let guest = source.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(texts.iter().any(|text| text.contains(&guest)), "no test uses the guest `{guest}`");
    }
}

#[test]
fn every_case_says_what_it_is_for_and_what_it_expects() {
    for entry in fs::read_dir(root().join("tests/cases")).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let name = case.strip_prefix(root()).unwrap().display().to_string();
        assert!(
            read(&format!("{name}/cmd")).starts_with("# "),
            "{name}/cmd begins with a sentence that says what the case shows"
        );
        assert!(
            !read(&format!("{name}/expected.txt")).is_empty(),
            "{name}/expected.txt is empty: BLESS=1 cargo test -p loong-it"
        );
        for entry in fs::read_dir(&case).unwrap() {
            let file = entry.unwrap().file_name();
            assert!(
                ["cmd", "expected.txt", "filters", "in"].iter().any(|known| file == *known),
                "{name}: nothing reads {file:?}"
            );
        }
    }
}

#[test]
fn no_file_of_a_case_is_ignored() {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "--others", "--ignored", "--exclude-standard", "tests/cases"]);
    let ignored = String::from_utf8(succeed(&mut git)).unwrap();
    assert!(ignored.is_empty(), "these are not in a clone, let `cmd` make them:\n{ignored}");
}

#[test]
fn every_folder_has_a_readme_of_one_screen() {
    let tracked = tracked();
    let folders: BTreeSet<&str> =
        tracked.iter().filter_map(|name| name.split_once('/')).map(|(folder, _)| folder).collect();
    for folder in folders.into_iter().filter(|folder| !folder.starts_with('.')) {
        let name = format!("{folder}/README.md");
        assert!(
            root().join(&name).is_file(),
            "{name} is missing: what is in the folder, and how is one more added?"
        );
        let lines = read(&name).lines().count();
        assert!(lines <= README_LINES_MAX, "{name} has {lines} lines; {README_LINES_MAX} are a screen");
    }
    for file in ["README.md", "CHANGELOG.md", "LICENSE"] {
        assert!(root().join(file).is_file(), "{file} is missing");
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)#\s]+)[^)]*\)").unwrap();
    for name in tracked().into_iter().filter(|name| name.ends_with(".md")) {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for found in link.captures_iter(&read(&name)) {
            let target = &found[1];
            assert!(
                target.contains("://") || folder.join(target).exists(),
                "{name} links to {target}, which does not exist"
            );
        }
    }
}

#[test]
fn nothing_is_tracked_that_is_built_or_secret() {
    for name in tracked() {
        let built = [".wasm", ".cwasm", ".sigstore.json", ".key", ".pem", ".db"]
            .iter()
            .any(|ending| name.ends_with(ending));
        assert!(!built, "{name} is made by a build or is a key: add it to .gitignore");
        let bytes = fs::read(root().join(&name)).unwrap();
        let Ok(text) = String::from_utf8(bytes) else { panic!("{name} is not text") };
        let key = concat!("-----BEGIN ", "PRIVATE KEY-----");
        assert!(!text.contains(key), "{name} holds a private key: tests make theirs when they run");
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let place = regex::Regex::new(concat!(
        "/wo",
        "rk/|/fa",
        "rm/|/tmp/lo",
        "ong/|/ro",
        r"ot/|/home/\w+/|/Us",
        r"ers/\w+/"
    ))
    .unwrap();
    let address = regex::Regex::new(r"\b(?:https?|sparse\+https?)://([A-Za-z0-9.-]+)").unwrap();
    for name in tracked() {
        let text = read(&name);
        let found = place.find(&text).map(|found| found.as_str());
        assert_eq!(found, None, "{name} names a place of one machine");
        // In text and comments an address is a source, not a place that something is fetched from.
        if [".md", ".rs", ".wit", ".cedar"].iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        for found in address.captures_iter(&text) {
            let host = &found[1];
            let reserved = host.ends_with(".example") || host.starts_with("example.");
            // An address inside a network of one's own, such as cases ask for in vain, leads nowhere.
            let inside = host.parse::<Ipv4Addr>().is_ok_and(|address| {
                address.is_private() || address.is_loopback() || address.is_link_local()
            });
            let message =
                "nothing is fetched from there; if it only says where a fact comes from, add it to HOSTS";
            assert!(reserved || inside || HOSTS.contains(&host), "{name} names the host {host}: {message}");
        }
    }
}
