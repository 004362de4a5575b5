//! Programs that the host starts: those that belong to it, and what those of plugins need.

use std::path::{Path, PathBuf};

use loong_manifest::Code;
use loong_runtime::Programs;

use crate::error::CommandError;
use crate::places::Places;

/// The compiler: beside this program.
pub fn compiler() -> Result<PathBuf, CommandError> {
    beside("loong-compile")
}

/// What confines programs of plugins: beside this program.
pub fn sandbox() -> Result<PathBuf, CommandError> {
    beside("loong-sandbox")
}

/// How programs of plugins are started.
pub fn settings(places: &Places) -> Result<Programs, CommandError> {
    let empty_folder = places.cache.join("empty");
    keep_empty(&empty_folder).map_err(|error| {
        CommandError::file(Code::FileUnwritable, "make the empty folder", &empty_folder, &error)
    })?;
    Ok(Programs { sandbox: sandbox()?, empty_folder, own_folders: places.cache.join("programs") })
}

fn beside(name: &str) -> Result<PathBuf, CommandError> {
    let own = std::env::current_exe().map_err(|error| {
        CommandError::new(Code::HostFailed, format!("this program cannot find itself: {error}"))
    })?;
    Ok(own.with_file_name(name))
}

/// A folder that holds nothing and in which nothing can be made, so that no program leaves there what another
/// one would read, such as a `.git`.
fn keep_empty(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |mode| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode));
    std::fs::create_dir_all(folder)?;
    mode(0o500)?;
    if std::fs::read_dir(folder)?.next().is_some() {
        mode(0o700)?;
        std::fs::remove_dir_all(folder)?;
        std::fs::create_dir(folder)?;
        mode(0o500)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_left_in_the_empty_folder_is_removed() {
        let folder = std::env::temp_dir().join(format!("loong-empty-{}", std::process::id()));
        std::fs::create_dir_all(folder.join(".git/hooks")).unwrap();
        super::keep_empty(&folder).unwrap();
        super::keep_empty(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        assert!(std::fs::metadata(&folder).unwrap().permissions().readonly());
        std::fs::remove_dir(&folder).unwrap();
    }
}
