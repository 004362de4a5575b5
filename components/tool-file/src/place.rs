//! Which paths are taken, and where they lead.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::{Error, bounded};

/// Where a caller sees the folder.
pub const FOLDER: &str = "/workspace";
/// Longest path, in bytes.
pub const PATH_BYTES_MAX: u64 = 4096;

/// The granted folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is for this process. In a component that is where the caller sees it too.
    pub real: PathBuf,
}

/// A path in the granted folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path as the caller sees it, absolute and in its shortest form.
    pub shown: String,
    /// The path for this process.
    pub real: PathBuf,
}

impl Folder {
    /// The place of a path that a caller gave. Where a link leads is the host's to check.
    pub fn place(&self, path: &str) -> Result<Place, Error> {
        bounded("path-bytes", path.len() as u64, PATH_BYTES_MAX)?;
        let denied = || Error::Denied(path.to_owned());
        let inside = match path.strip_prefix('/') {
            None => path,
            Some(_) => path.strip_prefix(FOLDER).ok_or_else(denied)?,
        };
        if path.starts_with('/') && !inside.is_empty() && !inside.starts_with('/') {
            return Err(denied());
        }
        let mut place = Place { shown: FOLDER.to_owned(), real: self.real.clone() };
        for name in inside.split('/') {
            match name {
                "" | "." => {}
                ".." => return Err(denied()),
                name if name.contains('\0') => return Err(denied()),
                name => place = place.child(name),
            }
        }
        Ok(place)
    }
}

impl Place {
    /// The place of a name in this folder.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self { shown: format!("{}/{name}", self.shown), real: self.real.join(name) }
    }

    /// What a link leads to, or what is there.
    pub(crate) fn metadata(&self) -> Result<Metadata, Error> {
        fs::metadata(&self.real).map_err(self.failed())
    }

    /// What is there, and nothing else than a file.
    pub(crate) fn file(&self) -> Result<Metadata, Error> {
        // Opening a pipe would wait for somebody to write into it, so this comes first.
        let metadata = self.metadata()?;
        if metadata.is_file() { Ok(metadata) } else { Err(Error::NotAFile(self.shown.clone())) }
    }

    /// What an error of the system means at this place.
    pub(crate) fn failed(&self) -> impl Fn(io::Error) -> Error + '_ {
        |error| {
            let path = self.shown.clone();
            match error.kind() {
                ErrorKind::NotFound => Error::NotFound(path),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::Denied(path),
                ErrorKind::AlreadyExists => Error::Exists(path),
                ErrorKind::IsADirectory => Error::NotAFile(path),
                ErrorKind::NotADirectory => Error::NotAFolder(path),
                _ => Error::Io(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(path: &str) -> Result<Place, Error> {
        Folder { real: PathBuf::from("/real/folder") }.place(path)
    }

    #[track_caller]
    fn check(path: &str, shown: &str, real: &str) {
        assert_eq!(place(path), Ok(Place { shown: shown.into(), real: real.into() }));
    }

    #[track_caller]
    fn check_denied(path: &str) {
        assert_eq!(place(path), Err(Error::Denied(path.into())));
    }

    #[test]
    fn takes_paths_in_the_folder() {
        check("/workspace/a/b.txt", "/workspace/a/b.txt", "/real/folder/a/b.txt");
        check("a/b.txt", "/workspace/a/b.txt", "/real/folder/a/b.txt");
        check("./a//b/", "/workspace/a/b", "/real/folder/a/b");
        check("workspace", "/workspace/workspace", "/real/folder/workspace");
        check("..a/b..", "/workspace/..a/b..", "/real/folder/..a/b..");
        for folder in ["", ".", "/workspace", "/workspace/"] {
            check(folder, "/workspace", "/real/folder");
        }
    }

    #[test]
    fn denies_paths_that_lead_out() {
        for path in
            ["/", "/etc/passwd", "/workspaces", "/workspace/..", "..", "a/../b", "//workspace", "a\0b"]
        {
            check_denied(path);
        }
    }

    #[test]
    fn refuses_paths_over_the_cap() {
        let refused = Error::TooLarge { name: "path-bytes", maximum: 4096, used: 4097 };
        assert_eq!(place(&"x".repeat(4097)), Err(refused));
    }

    proptest! {
        #[test]
        fn stays_inside(path in "(/workspace)?[/.ab\\\\]{0,12}") {
            if let Ok(place) = place(&path) {
                prop_assert!(place.real.starts_with("/real/folder"));
                prop_assert!(!place.real.components().any(|part| part.as_os_str() == ".."));
                prop_assert_eq!(super::tests::place(&place.shown), Ok(place));
            }
        }
    }
}
