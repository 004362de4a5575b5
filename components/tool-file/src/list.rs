//! `list`: what a folder holds.

use std::ops::ControlFlow;

use crate::place::Place;
use crate::walk::{DEPTH_MAX, Entry, walk};
use crate::{Error, bounded};

/// Most entries.
pub const LIMIT_MAX: u32 = 5_000;
/// Entries when the caller does not say.
const LIMIT_DEFAULT: u32 = 1_000;
/// Most bytes of paths that are given back.
const PATHS_BYTES_MAX: usize = 1 << 20;

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Each folder before what is in it, and the names in one folder in the order of their bytes.
    pub entries: Vec<Entry>,
    /// Whether there is more than is listed.
    pub truncated: bool,
    /// How many folders could not be read.
    pub skipped: u32,
}

/// Lists a folder.
pub fn list(folder: &Place, depth: Option<u32>, limit: Option<u32>) -> Result<Listing, Error> {
    let (depth, limit) = (depth.unwrap_or(1), limit.unwrap_or(LIMIT_DEFAULT));
    bounded("depth", depth.into(), DEPTH_MAX.into())?;
    bounded("limit", limit.into(), LIMIT_MAX.into())?;
    if depth == 0 {
        return Err(Error::Invalid { argument: "depth", reason: "levels are counted from 1" });
    }
    if !folder.metadata()?.is_dir() {
        return Err(Error::NotAFolder(folder.shown.clone()));
    }
    let (mut entries, mut bytes, mut truncated) = (vec![], 0, false);
    let skipped = walk(folder, depth, &mut |entry| {
        bytes += entry.place.shown.len();
        if entries.len() == limit as usize || bytes > PATHS_BYTES_MAX {
            truncated = true;
            return ControlFlow::Break(());
        }
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(Listing { entries, truncated, skipped })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::place::Folder;
    use crate::walk::Kind;

    fn folder() -> (tempfile::TempDir, Folder) {
        let made = tempfile::tempdir().unwrap();
        let real = made.path().to_owned();
        fs::create_dir_all(real.join("b/inner")).unwrap();
        fs::create_dir_all(real.join(".git")).unwrap();
        for (name, text) in
            [("c.txt", "three"), ("a.txt", ""), ("b/z", "1"), ("b/inner/deep", "22"), (".git/HEAD", "")]
        {
            fs::write(real.join(name), text).unwrap();
        }
        (made, Folder { real })
    }

    #[track_caller]
    fn check(depth: Option<u32>, limit: Option<u32>, expected: &str) {
        let (_made, folder) = folder();
        let listing = list(&folder.place("").unwrap(), depth, limit).unwrap();
        let said: Vec<String> = listing
            .entries
            .iter()
            .map(|entry| {
                format!(
                    "{}:{:?}:{}",
                    entry.place.shown.trim_start_matches("/workspace/"),
                    entry.kind,
                    entry.size
                )
            })
            .collect();
        assert_eq!(format!("{} {}", said.join(" "), listing.truncated), expected);
    }

    #[test]
    fn lists_one_level_in_order() {
        check(None, None, ".git:Folder:0 a.txt:File:0 b:Folder:0 c.txt:File:5 false");
    }

    #[test]
    fn lists_a_folder_before_what_is_in_it_and_passes_hidden_ones() {
        check(
            Some(2),
            None,
            ".git:Folder:0 a.txt:File:0 b:Folder:0 b/inner:Folder:0 b/z:File:1 c.txt:File:5 false",
        );
        let all = ".git:Folder:0 a.txt:File:0 b:Folder:0 b/inner:Folder:0 b/inner/deep:File:2 b/z:File:1 c.txt:File:5 false";
        check(Some(32), None, all);
    }

    #[test]
    fn goes_into_a_cache_only_when_it_is_named() {
        let (_made, folder) = folder();
        fs::write(folder.real.join("b/CACHEDIR.TAG"), "").unwrap();
        let count = |path: &str| list(&folder.place(path).unwrap(), Some(9), None).unwrap().entries.len();
        assert_eq!((count(""), count("b")), (4, 4));
    }

    #[test]
    fn says_when_there_is_more() {
        check(None, Some(2), ".git:Folder:0 a.txt:File:0 true");
        check(None, Some(4), ".git:Folder:0 a.txt:File:0 b:Folder:0 c.txt:File:5 false");
        check(None, Some(0), " true");
    }

    #[cfg(unix)]
    #[test]
    fn does_not_follow_links() {
        let (_made, folder) = folder();
        std::os::unix::fs::symlink("/", folder.real.join("b/out")).unwrap();
        let entries = list(&folder.place("b").unwrap(), Some(9), None).unwrap().entries;
        let link = entries.iter().find(|entry| entry.name == "out").unwrap();
        assert_eq!((link.kind, link.size, entries.len()), (Kind::Link, 0, 4));
    }

    #[test]
    fn refuses_what_is_no_folder_and_what_is_too_deep() {
        let (_made, folder) = folder();
        let list = |path: &str, depth| list(&folder.place(path).unwrap(), depth, None);
        assert_eq!(list("a.txt", None), Err(Error::NotAFolder("/workspace/a.txt".into())));
        assert_eq!(list("none", None), Err(Error::NotFound("/workspace/none".into())));
        assert_eq!(list("", Some(33)), Err(Error::TooLarge { name: "depth", maximum: 32, used: 33 }));
        assert!(matches!(list("", Some(0)), Err(Error::Invalid { argument: "depth", .. })));
    }
}
