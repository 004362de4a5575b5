//! `wit/` keeps the promises of its released text, and says what everything in it is for.

use std::fs;
use std::path::{Path, PathBuf};

use loong_it::released::Contract;
use loong_it::root;

/// The packages of a folder, one folder each.
fn packages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn no_released_package_changed() {
    let mut broken = String::new();
    let mut compared = 0;
    for version in packages(&root().join("tests/wit-released")) {
        for released in packages(&version) {
            compared += 1;
            let name = released.file_name().unwrap();
            for line in
                Contract::breaks(&Contract::read(&released), &Contract::read(&root().join("wit").join(name)))
            {
                broken += &format!("{line}\n");
            }
        }
    }
    assert!(compared > 0, "there is no released text to compare with");
    assert!(broken.is_empty(), "a released version never changes; what breaks is a new version:\n{broken}");
}

#[test]
fn every_package_has_a_released_text() {
    let released = packages(&root().join("tests/wit-released")).pop().unwrap();
    for package in packages(&root().join("wit")) {
        let copy = released.join(package.file_name().unwrap());
        assert!(copy.is_dir(), "{} has no frozen copy in {}", package.display(), copy.display());
    }
}

#[test]
fn a_broken_copy_of_a_real_package_is_found() {
    let folder = root().join("tests/wit-released/0.1.0/pack");
    let text: String = ["pack.wit", "plugin.wit"]
        .map(|file| fs::read_to_string(folder.join(file)).unwrap().replace("package loong:pack@0.1.0;", ""))
        .concat();
    let whole = format!("package loong:pack@0.1.0;{text}");
    let broken = whole.replace("arguments: list<string>", "arguments: string");
    assert_ne!(whole, broken);
    let breaks = Contract::breaks(&Contract::parse(&whole), &Contract::parse(&broken));
    assert_eq!(breaks.len(), 1, "{breaks:?}");
    assert!(breaks[0].starts_with("loong:pack/pack@0.1.0.request was "), "{breaks:?}");
}

#[test]
fn everything_in_wit_is_documented() {
    let missing: Vec<String> = packages(&root().join("wit"))
        .iter()
        .flat_map(|package| Contract::read(package).undocumented().to_vec())
        .collect();
    assert!(missing.is_empty(), "without a doc comment: {missing:#?}");
}

/// No component, tool, channel or surface decides an approval: there is nothing in the host's interfaces to call.
#[test]
fn nothing_that_a_component_can_import_decides_an_approval() {
    let mut functions = 0;
    for file in fs::read_dir(root().join("wit/host")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains(": func(") || line.contains(": static func("))
        {
            functions += 1;
            let name = line.split(':').next().unwrap_or_default();
            let words: Vec<&str> = name.split('-').collect();
            for word in ["approve", "approval", "approvals", "deny", "grant", "decide", "revoke", "resume"] {
                assert!(!words.contains(&word), "{line}");
            }
        }
    }
    assert!(functions > 10, "{functions} functions were looked at");
}
