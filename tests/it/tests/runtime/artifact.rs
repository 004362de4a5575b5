//! The cache of compiled artifacts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::hostile::harness::{World, guest};

/// A host with its artifacts and their key in these places, which has loaded `good-adds`; and how often it
/// compiled for that.
fn open(artifacts: &Path, key: &Path) -> (World, u64) {
    let world = World::with(artifacts, key, Duration::from_secs(60));
    let compiled = world.compiled.load(Ordering::Relaxed);
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");
    (world, compiled)
}

/// Every artifact below a folder.
fn artifacts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(artifacts(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_compiler_is_started_once() {
    let folder = tempfile::tempdir().unwrap();
    let (place, key) = (folder.path().join("cache/artifacts"), folder.path().join("cache/key"));
    let (world, compiled) = open(&place, &key);
    assert_eq!(compiled, 1);
    // The same bytes again, in this process.
    world.load(guest("good_adds").official());
    assert_eq!(world.compiled.load(Ordering::Relaxed), 1);
    drop(world);
    // And in another.
    assert_eq!(open(&place, &key).1, 0);
    let files = artifacts(&place);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!((mode(&place), mode(&key), mode(&files[0])), (0o700, 0o400, 0o400));
    assert_eq!(mode(files[0].parent().unwrap()), 0o700);
}

#[test]
fn the_meter_is_part_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _) = open(&folder.path().join("artifacts"), &folder.path().join("key"));
    world.load(guest("good_adds").claims("local"));
    // Another manifest makes other bytes, so this compares files of one component.
    let bytes = guest("good_root_function");
    world.load(bytes.clone());
    world.load(bytes);
    let files = artifacts(&folder.path().join("artifacts"));
    assert_eq!(files.len(), 3, "{files:?}");
    let fuel = files.iter().filter(|file| file.to_string_lossy().contains("epoch-and-fuel"));
    assert_eq!(fuel.count(), 2, "{files:?}");
}

/// A cache in which one artifact was replaced is not believed: the artifact is made again and works.
#[track_caller]
fn check_made_again(change: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let (place, key) = (folder.path().join("artifacts"), folder.path().join("key"));
    drop(open(&place, &key));
    let file = artifacts(&place).pop().unwrap();
    let good = fs::read(&file).unwrap();
    change(&file);
    let (_world, compiled) = open(&place, &key);
    assert_eq!(compiled, 1, "the artifact was believed");
    let files = artifacts(&place);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(fs::read(&files[0]).unwrap(), good);
}

fn write(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

#[test]
fn an_artifact_that_was_changed_is_made_again() {
    check_made_again(|file| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        write(file, &bytes);
    });
}

#[test]
fn an_artifact_that_was_cut_is_made_again() {
    check_made_again(|file| {
        let bytes = fs::read(file).unwrap();
        write(file, &bytes[..bytes.len() - 1]);
    });
    check_made_again(|file| write(file, b""));
}

#[test]
fn an_artifact_of_another_component_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (place, key) = (folder.path().join("artifacts"), folder.path().join("key"));
    drop(open(&place, &key));
    let first = artifacts(&place).pop().unwrap();
    let world = World::with(&place, &key, Duration::from_secs(60));
    world.load(guest("unreachable").official());
    drop(world);
    // Under its own name, which its seal is in, but in the other's folder.
    let other = artifacts(&place).into_iter().find(|file| *file != first).unwrap();
    fs::copy(&other, first.with_file_name(other.file_name().unwrap())).unwrap();
    fs::remove_file(&first).unwrap();
    let (_world, compiled) = open(&place, &key);
    assert_eq!(compiled, 1);
}

#[test]
fn an_artifact_that_another_key_sealed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (place, key) = (folder.path().join("artifacts"), folder.path().join("key"));
    drop(open(&place, &key));
    fs::remove_file(&key).unwrap();
    let (_world, compiled) = open(&place, &key);
    assert_eq!(compiled, 1);
}

#[test]
fn a_key_of_the_wrong_length_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (place, key) = (folder.path().join("artifacts"), folder.path().join("key"));
    fs::write(&key, b"short").unwrap();
    drop(open(&place, &key));
    assert_eq!(fs::read(&key).unwrap().len(), 32);
}
