//! The key that signs the audit log, and what is kept of a log outside its database: its verifier key and its newest
//! checkpoint. So another key, another log and an older copy of the database are found.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loong_kernel::checkpoint::{Checkpoint, NOTE_BYTES_MAX, Signer, VerifierKey};
use loong_manifest::{Code, Digest};
use loong_store::{Keep, Kept, Publish, Retention, Signing, Store, StoreOptions, Witness};
use loong_trust::file::{self, FileError};
use loong_trust::{SigningKey, TrustError};

use crate::error::CommandError;
use crate::host::now_ms;
use crate::locate::read_bounded;
use crate::places::Places;
use crate::settings::{AuditSettings, Settings};

/// Names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Opens the database for writing, with a log that is signed and kept as the settings say.
pub fn open_store(places: &Places, settings: &Settings) -> Result<Store, CommandError> {
    let audit = &settings.audit;
    let retention = Retention {
        records: audit.keep_records,
        age_ms: audit.keep_days.map(|days| u64::from(days).saturating_mul(86_400_000)),
    };
    let options = StoreOptions {
        audit_bytes_max: audit.bytes_max,
        signing: Some(signing(places, audit)?),
        retention: (retention != Retention::default()).then_some(retention),
    };
    let store = Store::open(&places.database(), &options, Arc::new(now_ms))?;
    if let Some(key) = store.audit_key() {
        Corner::of(places).pin(key)?;
    }
    Ok(store)
}

/// Binds the log that is here to the key that is here, whatever it was bound to before, and signs it as it is.
pub fn rebind(places: &Places, settings: &Settings) -> Result<(), CommandError> {
    let signing = signing(places, &settings.audit)?;
    Store::rebind(&places.database(), &signing.signer)?;
    Ok(open_store(places, settings)?.close()?)
}

fn signing(places: &Places, settings: &AuditSettings) -> Result<Signing, CommandError> {
    let key = signing_key(places)?;
    let corner = Corner::of(places);
    let kept = corner.kept()?;
    let public = key.public();
    let keep: Keep = Arc::new(move |note, _| corner.keep(note));
    let publish = match publish_path(places, settings)? {
        None => None,
        Some(path) => {
            let write: Keep = Arc::new(move |note, key| publish(&path, note, key));
            Some(Publish { write, required: settings.checkpoint_required })
        }
    };
    Ok(Signing { signer: Signer::new(public, Arc::new(move |text| key.sign(text))), kept, keep, publish })
}

/// The key; made at the first use.
fn signing_key(places: &Places) -> Result<SigningKey, CommandError> {
    let folder = places.audit_keys();
    let path = key_path(places);
    let read = || SigningKey::read_file(&path);
    let wrong = |error: TrustError| {
        CommandError::caused(Code::KeyInvalid, &error)
            .detail(format!("the audit log is signed with `{}`", path.display()))
            .hint("make it a file of your own with mode 0600; `loong audit accept` begins anew with another key")
    };
    match read() {
        Err(TrustError::File(FileError::Read { source, .. })) if source.kind() == ErrorKind::NotFound => {}
        other => return other.map_err(wrong),
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", &folder, &error))?;
    let key = SigningKey::generate().map_err(wrong)?;
    match key.create_file(&path) {
        Ok(()) => Ok(key),
        // Another process was faster.
        Err(_) if path.exists() => read().map_err(wrong),
        Err(error) => Err(wrong(error)),
    }
}

/// Where the private key is.
pub fn key_path(places: &Places) -> PathBuf {
    places.audit_keys().join("audit.key")
}

/// The files that are kept of one database, named after its path: one configuration may serve several.
pub struct Corner {
    folder: PathBuf,
    name: String,
}

impl Corner {
    /// What is kept of the database of these places.
    pub fn of(places: &Places) -> Self {
        let database = places.database();
        let folder = database.parent().unwrap_or(&database);
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = Digest::of(folder.as_os_str().as_encoded_bytes()).short();
        Self { folder: places.audit_keys(), name }
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    /// Where the verifier key is kept.
    pub fn key_path(&self) -> PathBuf {
        self.path("vkey")
    }

    /// Where the newest checkpoint is kept.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.path("checkpoint")
    }

    /// The verifier key; none before the first use.
    pub fn key(&self) -> Result<Option<VerifierKey>, CommandError> {
        let path = self.key_path();
        let Some(text) = read(&path)? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|error| {
            CommandError::caused(Code::CheckpointInvalid, &error)
                .detail(format!("in `{}`", path.display()))
                .hint("put the file back as it was; `loong audit accept` begins anew")
        })
    }

    /// The newest checkpoint, and the key.
    pub fn kept(&self) -> Result<Option<Kept>, CommandError> {
        let Some(key) = self.key()? else { return Ok(None) };
        // An empty file is what a crash in the middle of the first write may leave.
        let note = read(&self.checkpoint_path())?.filter(|note| !note.is_empty());
        let restarted = match (read(&self.path("boot"))?, boot()) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        Ok(Some(Kept { key, note, restarted }))
    }

    /// Keeps the verifier key at the first use.
    fn pin(&self, key: &VerifierKey) -> Result<(), CommandError> {
        let path = self.key_path();
        if path.exists() {
            return Ok(());
        }
        match file::create_atomically(&path, format!("{key}\n").as_bytes(), 0o644) {
            Err(_) if path.exists() => Ok(()),
            other => Ok(other?),
        }
    }

    /// Keeps a checkpoint unless a newer one is kept. It is not flushed: a loss of power may lose the records
    /// with it.
    fn keep(&self, note: &str) -> Result<(), String> {
        let path = self.checkpoint_path();
        let size = |note: &str| Checkpoint::read(note).map_or(0, |checkpoint| checkpoint.size);
        let before = fs::read_to_string(&path).unwrap_or_default();
        let boot = boot();
        let marked = fs::read_to_string(self.path("boot")).ok() == boot;
        // One that was kept before the machine was started anew may be of records that it lost.
        if marked && size(&before) > size(note) {
            return Ok(());
        }
        let put = |path: &Path, text: &str| {
            let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
            fs::write(&temporary, text)
                .and_then(|()| fs::rename(&temporary, path))
                .map_err(|error| format!("the checkpoint cannot be kept in `{}`: {error}", path.display()))
        };
        put(&path, note)?;
        match boot {
            Some(boot) if !marked => put(&self.path("boot"), &boot),
            _ => Ok(()),
        }
    }

    /// Forgets what is kept, so that the next run begins anew. What it was stays under other names.
    pub fn set_aside(&self, now_ms: u64) -> Result<Vec<PathBuf>, CommandError> {
        let mut moved = Vec::new();
        for extension in ["vkey", "checkpoint", "boot"] {
            let path = self.path(extension);
            let aside = path.with_extension(format!("{extension}.{}", now_ms / 1_000));
            match fs::rename(&path, &aside) {
                Ok(()) => moved.push(aside),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(CommandError::file(Code::FileUnwritable, "move", &path, &error));
                }
            }
        }
        Ok(moved)
    }
}

fn boot() -> Option<String> {
    fs::read_to_string(BOOT_ID).ok()
}

fn read(path: &Path) -> Result<Option<String>, CommandError> {
    if matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let bytes = read_bounded(path, NOTE_BYTES_MAX as u64)?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| CommandError::new(Code::FileUnreadable, format!("`{}` is not text", path.display())))
}

/// Where checkpoints go besides, as the settings say.
pub fn publish_path(places: &Places, settings: &AuditSettings) -> Result<Option<PathBuf>, CommandError> {
    let Some(path) = &settings.checkpoint_file else {
        return if settings.checkpoint_required {
            Err(CommandError::new(
                Code::ConfigInvalid,
                "`audit.checkpoint_required` needs `audit.checkpoint_file`",
            ))
        } else {
            Ok(None)
        };
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !path.is_absolute() || real(path).starts_with(real(&places.data)) {
        return Err(CommandError::new(
            Code::ConfigInvalid,
            format!(
                "`audit.checkpoint_file` is `{}`, which is no absolute path outside the data folder",
                path.display()
            ),
        ));
    }
    Ok(Some(path.clone()))
}

/// The file of a log, where a folder was named.
fn published_file(path: &Path, key: &VerifierKey) -> PathBuf {
    if path.is_dir() {
        let id = key.name().rsplit('/').next().unwrap_or_default();
        path.join(format!("{id}.checkpoint"))
    } else {
        path.to_owned()
    }
}

fn publish(path: &Path, note: &str, key: &VerifierKey) -> Result<(), String> {
    let path = published_file(path, key);
    file::write_atomically(&path, note.as_bytes(), 0o644).map_err(|error| match error {
        FileError::Write { source, .. } => format!("`{}`: {source}", path.display()),
        other => other.to_string(),
    })
}

/// The checkpoints that are kept outside the database.
pub fn witnesses(places: &Places, settings: &AuditSettings) -> Result<Vec<Witness>, CommandError> {
    let corner = Corner::of(places);
    let mut paths = vec![corner.checkpoint_path()];
    if let (Some(path), Some(key)) = (publish_path(places, settings)?, corner.key()?) {
        paths.push(published_file(&path, &key));
    }
    let mut witnesses = Vec::new();
    for path in paths {
        if let Some(note) = read(&path)?.filter(|note| !note.is_empty()) {
            witnesses.push(Witness { place: format!("`{}`", path.display()), note });
        }
    }
    Ok(witnesses)
}
