//! The folder that a confined program has to itself while it runs.

use std::path::{Path, PathBuf};

/// A folder that is removed, with all that is in it, when it is dropped.
pub(super) struct OwnFolder(PathBuf);

impl OwnFolder {
    /// Makes one that nobody else may look into.
    pub(super) fn make(within: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(std::io::Error::other)?;
        let path = within.join(format!("{:032x}", u128::from_le_bytes(name)));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path.canonicalize()?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.0);
        // It can hold many files, and a call must not wait for them.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&path))),
            Err(_) => remove(&path),
        }
    }
}

/// Removes a folder. The programs that were just killed may still be making files in it.
fn remove(path: &Path) {
    for _ in 0..10 {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let within = std::env::temp_dir().join(format!("loong-own-{}", std::process::id()));
        let (one, other) = (OwnFolder::make(&within).unwrap(), OwnFolder::make(&within).unwrap());
        std::fs::create_dir_all(one.path().join("a/b")).unwrap();
        std::fs::write(one.path().join("a/b/c"), "c").unwrap();
        let (path, kept) = (one.path().to_owned(), other.path().to_owned());
        drop(one);
        assert!(!path.exists() && kept.exists());
        drop(other);
        std::fs::remove_dir(&within).unwrap();
    }
}
