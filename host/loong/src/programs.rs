//! Programs that the host starts: those that belong to it, and what those of plugins need.

use std::path::{Path, PathBuf};
use std::time::Duration;

use loong_manifest::Code;
use loong_runtime::Programs;

use crate::error::CommandError;
use crate::places::Places;

/// No program runs for so long: its folder was left behind.
const OWN_FOLDER_LIFE: Duration = Duration::from_secs(86_400);

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
    let own_folders = places.cache.join("programs");
    sweep(&own_folders);
    Ok(Programs { sandbox: sandbox()?, empty_folder, own_folders })
}

/// Removes what programs of a host that was killed left behind.
fn sweep(own_folders: &Path) {
    for entry in std::fs::read_dir(own_folders).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|facts| facts.modified());
        if modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OWN_FOLDER_LIFE)) {
            // What cannot be removed now can be later.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
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
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn what_programs_left_behind_is_removed_when_it_is_old() {
        let folder = std::env::temp_dir().join(format!("loong-programs-{}", std::process::id()));
        super::sweep(&folder);
        for name in ["old", "new"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("file"), name).unwrap();
        }
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        std::fs::File::open(folder.join("old")).unwrap().set_modified(long_ago).unwrap();
        super::sweep(&folder);
        assert!(!folder.join("old").exists() && folder.join("new/file").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

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
