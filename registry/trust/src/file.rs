//! Files that must be whole or absent, and files that only their owner may read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use loong_manifest::{Code, escape};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written; what was there before is still there.
    #[error("cannot write {}", shown(path))]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret lies open.
    #[error("{} can be read or changed by others (mode {mode:04o}); run `chmod 600` on it", shown(path))]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret belongs to somebody else.
    #[error("{} belongs to user {owner}, not to you", shown(path))]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
}

impl FileError {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Read { .. } => Code::FileUnreadable,
            Self::Write { .. } => Code::FileUnwritable,
            Self::Exposed { .. } | Self::Foreign { .. } => Code::KeyInvalid,
        }
    }
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// Makes the file hold exactly these bytes, with this mode (such as `0o644`), or leaves it as it was: a new
/// file in the same folder is written, flushed and renamed over it, then the folder is flushed. A link in
/// the place of the file is replaced, never followed.
///
/// # Errors
/// If any step fails; no partial file remains.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    put(path, bytes, mode, |temporary| std::fs::rename(temporary, path))
}

/// Like [`write_atomically`], but never replaces: fails if anything has this name already.
///
/// # Errors
/// If the name is taken or any step fails; no partial file remains.
pub fn create_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    put(path, bytes, mode, |temporary| {
        // Unlike a rename, a link fails if the name is taken, whoever took it and when.
        std::fs::hard_link(temporary, path)?;
        std::fs::remove_file(temporary)
    })
}

fn put(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), FileError> {
    let wrong = |source| FileError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| wrong(io::ErrorKind::InvalidInput.into()))?;
    let temporary = folder.join(temporary_name(&name.to_string_lossy()).map_err(wrong)?);
    let written = write_new(&temporary, bytes, mode).and_then(|()| publish(&temporary));
    if let Err(source) = written {
        // Best effort: the name is random, so what is left over never stands in the way.
        let _ = std::fs::remove_file(&temporary);
        return Err(wrong(source));
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)
}

fn temporary_name(name: &str) -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    // Names have at most 255 bytes.
    let start: String = name.chars().take(32).collect();
    Ok(format!(".{start}.{:016x}.tmp", u64::from_le_bytes(random)))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // `create_new` is O_EXCL, which follows no link. Private until it has its final mode.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Reads a secret: a plain file (a link is refused) of at most `bytes_max` bytes that nobody but its owner
/// may read or write. The bytes are wiped from memory when they are dropped.
///
/// # Errors
/// If it cannot be read, is no plain file, is larger, or lies open to others.
pub fn read_private(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let wrong = |source| FileError::Read { path: path.to_owned(), source };
    let refused = |message: String| wrong(io::Error::other(message));
    // Not blocking, so that a pipe in the place of the file cannot hold the host up. What is asked of the
    // open file is asked of the one that is read.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(|_| refused("flags out of range".into()))?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(wrong)?;
    let facts = file.metadata().map_err(wrong)?;
    if !facts.is_file() {
        return Err(refused("not a plain file".into()));
    }
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    // A mode of 0600 lets nobody but the owner get this far, and root, whom somebody may hand a key of theirs.
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(FileError::Foreign { path: path.to_owned(), owner: facts.uid() });
    }
    // Large enough from the start: growing would leave a copy of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max.saturating_add(1)));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() > bytes_max {
        return Err(refused(format!("larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, b"one", 0o644).unwrap();
        write_atomically(&path, b"two", 0o444).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), 0o444);
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn replaces_a_link_and_leaves_its_target_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, b"old").unwrap();
        symlink(&target, &link).unwrap();
        write_atomically(&link, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    }

    #[test]
    fn a_write_that_fails_leaves_no_file_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        assert_eq!(write_atomically(&path, b"x", 0o600).unwrap_err().code(), Code::FileUnwritable);
        assert!(write_atomically(&folder.path().join("none/a"), b"x", 0o600).is_err());
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn creates_only_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("b"));
        create_atomically(&path, b"one", 0o600).unwrap();
        symlink(folder.path().join("nowhere"), &link).unwrap();
        for taken in [&path, &link] {
            assert_eq!(create_atomically(taken, b"two", 0o600).unwrap_err().code(), Code::FileUnwritable);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[track_caller]
    fn check_mode(mode: u32, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_atomically(&path, b"s", mode).unwrap();
        let said = read_private(&path, 10).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let said = said.unwrap_or_else(|error| error.to_string());
        assert_eq!(said.replace(&folder.path().display().to_string(), ""), expected);
    }

    #[test]
    fn reads_a_secret_only_if_nobody_else_can() {
        check_mode(0o600, "s");
        check_mode(0o400, "s");
        check_mode(0o640, "/secret can be read or changed by others (mode 0640); run `chmod 600` on it");
        check_mode(0o644, "/secret can be read or changed by others (mode 0644); run `chmod 600` on it");
        check_mode(0o602, "/secret can be read or changed by others (mode 0602); run `chmod 600` on it");
    }

    #[test]
    fn refuses_a_secret_of_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_atomically(&path, b"s", 0o600).unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
            let error = read_private(&path, 10).unwrap_err();
            assert_eq!(error.code(), Code::KeyInvalid);
            assert!(error.to_string().ends_with("belongs to user 65534, not to you"), "{error}");
        }
    }

    #[test]
    fn reads_a_secret_only_from_a_plain_small_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("secret"), folder.path().join("link"));
        write_atomically(&path, b"12345", 0o600).unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(*read_private(&path, 5).unwrap(), b"12345");
        for (path, bytes_max) in [(&path, 4), (&link, 5), (&folder.path().to_owned(), 5)] {
            assert_eq!(read_private(path, bytes_max).unwrap_err().code(), Code::FileUnreadable, "{path:?}");
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_a_secret_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_bits_retain(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(read_private(&pipe, 5).unwrap_err().code(), Code::FileUnreadable);
    }
}
