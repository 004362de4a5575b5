//! The user's secrets: one file each, readable by the user only, in a folder that is the user's only. Whoever else
//! could read one has it already, so wider permissions are refused rather than mended.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use loong_manifest::{Binding, Code, PluginId};
use loong_runtime::{Secret, SecretError, Secrets};
use zeroize::Zeroizing;

use crate::error::CommandError;

/// The first line of a file.
const FORMAT: &str = "loong.secret/1";
/// The end of a file's name.
const ENDING: &str = "secret";
/// Shortest value, in bytes: a shorter one would be found in texts that do not hold it.
const VALUE_BYTES_MIN: usize = 8;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8192;
/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most hosts of one secret.
const HOSTS_MAX: usize = 32;
/// Most secrets.
const SECRETS_MAX: usize = 1024;

/// The secrets of one user.
pub struct SecretFiles {
    folder: PathBuf,
}

/// A secret without its value.
#[derive(Debug, serde::Serialize)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// The hosts it may go to.
    pub hosts: Vec<Binding>,
}

impl Secrets for SecretFiles {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let unreadable = |error: CommandError| SecretError::Unreadable { problem: error.headline };
        if !self.check_folder().map_err(unreadable)? {
            return Ok(None);
        }
        self.read(name).map_err(unreadable)
    }
}

/// A name that can be a file's.
pub fn check_name(name: &str) -> Result<(), CommandError> {
    PluginId::new("secret", name).map(drop).map_err(|_| {
        CommandError::new(
            Code::CommandLineInvalid,
            format!("`{}` is no name of a secret", loong_manifest::escape(name)),
        )
        .hint("a name has lower-case letters, digits and single hyphens")
    })
}

/// A value that a header can hold and that can be found again in an answer.
fn check_value(value: &[u8]) -> Result<(), CommandError> {
    let wrong = |problem: String| Err(CommandError::new(Code::ArgumentsInvalid, problem));
    if value.len() < VALUE_BYTES_MIN {
        return wrong(format!("the value has less than {VALUE_BYTES_MIN} bytes, so it protects nothing"));
    }
    if value.len() > VALUE_BYTES_MAX {
        return wrong(format!("the value has more than {VALUE_BYTES_MAX} bytes"));
    }
    let plain = value.iter().all(|byte| (0x20..0x7f).contains(byte));
    if !plain || value.starts_with(b" ") || value.ends_with(b" ") {
        return wrong("the value holds something else than printable ASCII, or a space at its end".into());
    }
    Ok(())
}

impl SecretFiles {
    /// The secrets in a folder, which need not exist.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(ENDING)
    }

    /// Whether the folder is there. One that others can look into is refused.
    fn check_folder(&self) -> Result<bool, CommandError> {
        match std::fs::symlink_metadata(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(CommandError::file(Code::FileUnreadable, "look at", &self.folder, &error)),
            Ok(found) if !found.is_dir() => Err(wide(&self.folder, "is no folder")),
            Ok(found) => check_mode(&self.folder, &found, 0o700).map(|()| true),
        }
    }

    /// Reads one file. None if it is not there.
    fn read(&self, name: &str) -> Result<Option<Secret>, CommandError> {
        let path = self.path(name);
        let failed = |error: &std::io::Error| {
            CommandError::file(Code::FileUnreadable, "read the secret", &path, error)
        };
        let flags = rustix::fs::OFlags::NOFOLLOW.bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(&path);
        let mut file = match opened {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| failed(&error))?,
        };
        let found = file.metadata().map_err(|error| failed(&error))?;
        if !found.is_file() || found.len() > FILE_BYTES_MAX {
            return Err(wide(&path, "is no file of a secret"));
        }
        check_mode(&path, &found, 0o600)?;
        // As large as it will be: growing would leave copies behind.
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(found.len()).unwrap_or_default()]);
        file.read_exact(&mut bytes).map_err(|error| failed(&error))?;
        let broken = || wide(&path, "is no file of a secret");
        let text = std::str::from_utf8(&bytes).map_err(|_| broken())?;
        let mut lines = text.strip_suffix('\n').ok_or_else(broken)?.split('\n');
        let (Some(FORMAT), Some(hosts), Some(value), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(broken());
        };
        let hosts =
            hosts.split(' ').map(str::parse).collect::<Result<Vec<Binding>, _>>().map_err(|_| broken())?;
        check_value(value.as_bytes()).map_err(|_| broken())?;
        Ok(Some(Secret { value: Zeroizing::new(value.as_bytes().to_vec()), hosts }))
    }

    /// Writes a secret, whole or not at all, and says whether one of this name was there.
    pub fn set(&self, name: &str, hosts: &[Binding], value: &[u8]) -> Result<bool, CommandError> {
        check_name(name)?;
        check_value(value)?;
        if hosts.is_empty() || hosts.len() > HOSTS_MAX {
            return Err(CommandError::new(
                Code::CommandLineInvalid,
                format!("a secret is bound to 1 to {HOSTS_MAX} hosts"),
            ));
        }
        if !self.check_folder()? {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|error| {
                CommandError::file(Code::FileUnwritable, "make the folder", &self.folder, &error)
            })?;
            self.check_folder()?;
        }
        let path = self.path(name);
        let known = path.exists();
        if !known && self.list()?.len() >= SECRETS_MAX {
            return Err(CommandError::new(Code::FileUnwritable, format!("there are {SECRETS_MAX} secrets")));
        }
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let head = format!("{FORMAT}\n{}\n", hosts.join(" "));
        let mut text = Zeroizing::new(Vec::with_capacity(head.len() + value.len() + 1));
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
        let part = self.folder.join(format!(".{name}.part"));
        let write = || {
            // What a process left that was ended here.
            match std::fs::remove_file(&part) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write()
            .map_err(|error| CommandError::file(Code::FileUnwritable, "write the secret", &path, &error))?;
        Ok(known)
    }

    /// All secrets without their values, in the order of their names.
    pub fn list(&self) -> Result<Vec<Bound>, CommandError> {
        let mut all = Vec::new();
        if !self.check_folder()? {
            return Ok(all);
        }
        let failed =
            |error: std::io::Error| CommandError::file(Code::FileUnreadable, "read", &self.folder, &error);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let ours = path.extension().is_some_and(|ending| ending == ENDING) && check_name(name).is_ok();
            if ours && let Some(secret) = self.read(name)? {
                all.push(Bound { name: name.to_owned(), hosts: secret.hosts });
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Removes a secret.
    pub fn remove(&self, name: &str) -> Result<(), CommandError> {
        check_name(name)?;
        self.check_folder()?;
        let path = self.path(name);
        std::fs::remove_file(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                CommandError::new(Code::SecretUnknown, format!("there is no secret `{name}`"))
            }
            _ => CommandError::file(Code::FileUnwritable, "remove the secret", &path, &error),
        })
    }
}

fn check_mode(path: &Path, found: &std::fs::Metadata, mode: u32) -> Result<(), CommandError> {
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(wide(path, "belongs to somebody else"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(wide(path, "can be used by others than you")).map_err(|error: CommandError| {
            error.hint(format!(
                "`chmod {mode:o} {}`, and set the secrets anew if somebody may have read them",
                path.display()
            ))
        });
    }
    Ok(())
}

fn wide(path: &Path, problem: &str) -> CommandError {
    CommandError::new(Code::SetupInvalid, format!("`{}` {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place(name: &str) -> (PathBuf, SecretFiles) {
        let folder = std::env::temp_dir().join(format!("loong-secrets-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        (folder.clone(), SecretFiles::new(folder.join("secrets")))
    }

    fn hosts(names: &[&str]) -> Vec<Binding> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_secret_is_kept_and_found_by_its_name() {
        let (folder, files) = place("kept");
        assert!(files.secret("token").unwrap().is_none(), "there is no folder yet");
        assert!(!files.set("token", &hosts(&["a.example", "127.0.0.1"]), b"hunter22").unwrap());
        let secret = files.secret("token").unwrap().unwrap();
        assert_eq!(
            (secret.value.as_slice(), secret.hosts),
            (b"hunter22".as_slice(), hosts(&["a.example", "127.0.0.1"]))
        );
        assert!(files.set("token", &hosts(&["b.example:443"]), b"hunter23").unwrap());
        let all: Vec<String> = files
            .list()
            .unwrap()
            .into_iter()
            .map(|bound| format!("{} {}", bound.name, bound.hosts[0]))
            .collect();
        assert_eq!(all, ["token b.example:443"]);
        let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("secrets"), mode("secrets/token.secret")), (0o700, 0o600));
        files.remove("token").unwrap();
        assert!(files.secret("token").unwrap().is_none());
        assert_eq!(files.remove("token").unwrap_err().code, Code::SecretUnknown);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_others_could_read_is_refused() {
        let (folder, files) = place("wide");
        files.set("token", &hosts(&["a.example"]), b"hunter22").unwrap();
        let chmod = |path: &str, mode| {
            std::fs::set_permissions(folder.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        chmod("secrets/token.secret", 0o640);
        assert!(files.secret("token").is_err());
        chmod("secrets/token.secret", 0o600);
        assert!(files.secret("token").is_ok());
        chmod("secrets", 0o750);
        assert!(files.secret("token").is_err());
        assert!(files.set("other", &hosts(&["a.example"]), b"hunter22").is_err());
        chmod("secrets", 0o700);
        std::fs::rename(folder.join("secrets/token.secret"), folder.join("real")).unwrap();
        std::os::unix::fs::symlink(folder.join("real"), folder.join("secrets/token.secret")).unwrap();
        assert!(files.secret("token").is_err(), "a link leads elsewhere");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn refuses_what_is_no_secret() {
        let (folder, files) = place("wrong");
        let check = |name: &str, hosts: &[Binding], value: &[u8], expected: Code| {
            assert_eq!(files.set(name, hosts, value).unwrap_err().code, expected, "{name}");
        };
        let one = hosts(&["a.example"]);
        check("../x", &one, b"hunter22", Code::CommandLineInvalid);
        check("token", &[], b"hunter22", Code::CommandLineInvalid);
        check("token", &one, b"short", Code::ArgumentsInvalid);
        check("token", &one, b"hunter22\nhunter", Code::ArgumentsInvalid);
        check("token", &one, "hünter22".as_bytes(), Code::ArgumentsInvalid);
        check("token", &one, &[b'a'; VALUE_BYTES_MAX + 1], Code::ArgumentsInvalid);
        assert!(!folder.exists(), "nothing was written");
        files.set("token", &one, b"hunter22").unwrap();
        std::fs::write(folder.join("secrets/token.secret"), "loong.secret/1\na.example\nhunter22\nmore\n")
            .unwrap();
        assert!(files.secret("token").is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
