//! `write`: a text file that appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::place::Place;
use crate::{Error, bounded};

/// Longest file that is written, in bytes.
pub const FILE_BYTES_MAX: u64 = 2 << 20;
/// Most names that are tried for the file that becomes the new one.
const NAMES_TRIED_MAX: u32 = 100;

/// When to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only where nothing is yet.
    Create,
    /// Also where a file is already.
    Overwrite,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path, as the caller sees it.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether there was a file before.
    pub replaced: bool,
}

/// Writes a text file and the folders on the way to it.
pub fn write(place: &Place, content: &str, mode: Mode) -> Result<Written, Error> {
    bounded("content-bytes", content.len() as u64, FILE_BYTES_MAX)?;
    let replaced = is_there(place)?;
    if replaced && mode == Mode::Create {
        return Err(Error::Exists(place.shown.clone()));
    }
    if !replaced {
        make_folders(place)?;
    }
    put(place, content.as_bytes(), mode)?;
    Ok(Written { path: place.shown.clone(), size: content.len() as u64, replaced })
}

/// Whether a file is there that can be replaced. A link is not: it would be the link that is replaced.
pub(crate) fn is_there(place: &Place) -> Result<bool, Error> {
    match fs::symlink_metadata(&place.real) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(_) => Err(Error::NotAFile(place.shown.clone())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(place.failed()(error)),
    }
}

fn make_folders(place: &Place) -> Result<(), Error> {
    let Some(folder) = place.real.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        // A file is where a folder would have to be.
        ErrorKind::AlreadyExists => Error::NotAFolder(place.shown.clone()),
        _ => place.failed()(error),
    })
}

/// Writes a new file beside the place, and moves it there only when it is complete.
pub(crate) fn put(place: &Place, bytes: &[u8], mode: Mode) -> Result<(), Error> {
    let Some(folder) = place.real.parent() else { return Err(Error::NotAFile(place.shown.clone())) };
    let (new, mut file) = create(folder).map_err(place.failed())?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let placed = written.and_then(|()| match mode {
        Mode::Overwrite => fs::rename(&new, &place.real),
        // A second name fails where something is, which a move does not.
        Mode::Create => fs::hard_link(&new, &place.real),
    });
    if placed.is_err() || mode == Mode::Create {
        // Nothing depends on it: what is left over is a file that nobody reads.
        let _ = fs::remove_file(&new);
    }
    placed.map_err(place.failed())
}

/// Makes a file of a name that is free.
fn create(folder: &Path) -> io::Result<(PathBuf, File)> {
    let mut tried = 0;
    loop {
        let path = folder.join(format!(".loong-{tried}.tmp"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tried < NAMES_TRIED_MAX => tried += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Folder;

    struct Workspace {
        made: tempfile::TempDir,
    }

    impl Workspace {
        fn new() -> Self {
            let made = tempfile::tempdir().unwrap();
            fs::create_dir(made.path().join("folder")).unwrap();
            fs::write(made.path().join("file"), "before").unwrap();
            Self { made }
        }

        fn write(&self, path: &str, content: &str, mode: Mode) -> Result<Written, Error> {
            write(&Folder { real: self.made.path().to_owned() }.place(path).unwrap(), content, mode)
        }

        /// Every file with what is in it.
        fn files(&self) -> String {
            let mut files = vec![];
            let mut folders = vec![self.made.path().to_owned()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        folders.push(path);
                    } else {
                        let name = path.strip_prefix(self.made.path()).unwrap().display();
                        files.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
                    }
                }
            }
            files.sort();
            files.join(" ")
        }
    }

    fn written(path: &str, size: u64, replaced: bool) -> Result<Written, Error> {
        Ok(Written { path: path.into(), size, replaced })
    }

    #[test]
    fn creates_a_file_and_the_folders_on_the_way() {
        let workspace = Workspace::new();
        assert_eq!(
            workspace.write("new/er/a", "text", Mode::Create),
            written("/workspace/new/er/a", 4, false)
        );
        assert_eq!(workspace.write("b", "", Mode::Overwrite), written("/workspace/b", 0, false));
        assert_eq!(workspace.files(), "b= file=before new/er/a=text");
    }

    #[test]
    fn replaces_a_file_only_when_it_may() {
        let workspace = Workspace::new();
        assert_eq!(
            workspace.write("file", "after", Mode::Create),
            Err(Error::Exists("/workspace/file".into()))
        );
        assert_eq!(workspace.files(), "file=before");
        assert_eq!(workspace.write("file", "after", Mode::Overwrite), written("/workspace/file", 5, true));
        assert_eq!(workspace.files(), "file=after");
    }

    #[test]
    fn never_replaces_what_came_between() {
        let workspace = Workspace::new();
        let place = Folder { real: workspace.made.path().to_owned() }.place("file").unwrap();
        assert_eq!(put(&place, b"after", Mode::Create), Err(Error::Exists("/workspace/file".into())));
        assert_eq!(workspace.files(), "file=before");
    }

    #[test]
    fn refuses_what_is_no_file() {
        let workspace = Workspace::new();
        let refused = |path: &str| Err(Error::NotAFile(path.into()));
        assert_eq!(workspace.write("folder", "x", Mode::Overwrite), refused("/workspace/folder"));
        assert_eq!(workspace.write("", "x", Mode::Overwrite), refused("/workspace"));
        assert_eq!(
            workspace.write("file/x", "x", Mode::Create),
            Err(Error::NotAFolder("/workspace/file/x".into()))
        );
        assert_eq!(workspace.files(), "file=before");
    }

    #[cfg(unix)]
    #[test]
    fn leaves_links_alone() {
        let workspace = Workspace::new();
        std::os::unix::fs::symlink("file", workspace.made.path().join("link")).unwrap();
        assert_eq!(
            workspace.write("link", "x", Mode::Overwrite),
            Err(Error::NotAFile("/workspace/link".into()))
        );
        assert_eq!(workspace.files(), "file=before link=before");
    }

    #[test]
    fn passes_over_the_leavings_of_others() {
        let workspace = Workspace::new();
        fs::write(workspace.made.path().join(".loong-0.tmp"), "left").unwrap();
        assert_eq!(workspace.write("a", "x", Mode::Create), written("/workspace/a", 1, false));
        assert_eq!(workspace.files(), ".loong-0.tmp=left a=x file=before");
    }

    #[test]
    fn refuses_a_content_over_the_cap() {
        let large = "x".repeat(2_097_153);
        let refused = Error::TooLarge { name: "content-bytes", maximum: 2_097_152, used: 2_097_153 };
        assert_eq!(Workspace::new().write("a", &large, Mode::Create), Err(refused));
    }
}
