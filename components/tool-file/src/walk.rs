//! Going through a folder and the folders in it, always in the same order.

use std::fs;
use std::ops::ControlFlow;

use crate::place::Place;
use crate::{Error, bounded};

/// Most names in one folder. All have to be known before the first one is.
pub const NAMES_MAX: u64 = 50_000;
/// The name of a file that says that its folder holds nothing but a cache, such as the output of a build:
/// "Cache Directory Tagging Specification", https://bford.info/cachedir/.
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Most levels of folders.
pub const DEPTH_MAX: u32 = 32;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Something else.
    Other,
}

/// One file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Size of a file in bytes.
    pub size: u64,
}

/// Shows each entry of a folder to `visit`, a folder before what is in it, until `visit` breaks. Links are
/// not followed, and folders whose name begins with a dot and caches are not gone into. Says how many folders
/// below the first one could not be read.
pub fn walk(
    folder: &Place,
    depth: u32,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<u32, Error> {
    let mut skipped = 0;
    // What is still to be shown, the next one last: no recursion, so that depth costs no stack.
    let mut waiting: Vec<(Entry, u32)> = waiting(folder, depth)?;
    while let Some((entry, depth)) = waiting.pop() {
        let inside = (entry.kind == Kind::Folder && depth > 1 && !entry.name.starts_with('.'))
            .then(|| self::waiting(&entry.place, depth - 1));
        if visit(entry).is_break() {
            break;
        }
        match inside {
            Some(Ok(entries)) if entries.iter().any(|(entry, _)| entry.name == CACHE_TAG) => {}
            Some(Ok(entries)) => waiting.extend(entries),
            Some(Err(_)) => skipped += 1,
            None => {}
        }
    }
    Ok(skipped)
}

/// The entries of one folder, the first one last.
fn waiting(folder: &Place, depth: u32) -> Result<Vec<(Entry, u32)>, Error> {
    let mut entries = vec![];
    for entry in fs::read_dir(&folder.real).map_err(folder.failed())? {
        let entry = entry.map_err(folder.failed())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // It may be gone since; then there is nothing to show.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        let kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        let size = if kind == Kind::File { metadata.len() } else { 0 };
        entries.push((Entry { place: folder.child(&name), name, kind, size }, depth));
        bounded("folder-entries", entries.len() as u64, NAMES_MAX)?;
    }
    entries.sort_unstable_by(|(left, _), (right, _)| right.name.cmp(&left.name));
    Ok(entries)
}
