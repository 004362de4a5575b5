//! The lock file as tables, so that one plugin of thousands is found without reading about the others. It is a cache:
//! whenever it is missing, damaged or that of another lock file, it is made anew from the lock file.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loong_manifest::{Digest, InterfaceName, Manifest, PluginId, Tier};
use loong_trust::UtcTime;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::{Installed, Lock, Locked, bounded};
use crate::RepositoryError;

#[cfg(test)]
mod tests;

/// The form of the tables. Part of the stamp, so that others are made anew.
const FORM: &str = "listing/2";
/// So much of a lock file's beginning is compared: it says the generation.
const HEAD_BYTES: u64 = 512;
/// How long another process may write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest manifest that is read for a list.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

const TABLES: &str = "
DROP TABLE IF EXISTS stamp;
DROP TABLE IF EXISTS plugin;
DROP TABLE IF EXISTS interface;
DROP TABLE IF EXISTS version;
DROP TABLE IF EXISTS words;
CREATE TABLE stamp (lock TEXT NOT NULL, root TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE plugin (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL,
    summary TEXT NOT NULL, registry TEXT NOT NULL, offers TEXT NOT NULL, tags TEXT NOT NULL,
    operations TEXT NOT NULL, locked TEXT NOT NULL, tier TEXT, refused TEXT
) WITHOUT ROWID;
CREATE INDEX plugin_name ON plugin (name);
CREATE TABLE interface (
    path TEXT NOT NULL, is_offered INTEGER NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (path, is_offered, id)
) WITHOUT ROWID;
CREATE INDEX interface_id ON interface (id);
CREATE TABLE words (id TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE version (id TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (id, digest)) WITHOUT ROWID;
";

/// What is installed, to be asked about single plugins.
#[derive(Debug, Clone)]
pub struct Listing {
    installed: Installed,
    /// None while nothing was ever installed.
    tables: Option<Arc<Mutex<Connection>>>,
}

/// One installed plugin, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The plugin.
    pub id: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// The digest of its component.
    pub digest: Digest,
    /// What kind of plugin it is.
    pub kind: String,
    /// What it does.
    pub summary: String,
    /// The registry that it came from.
    pub registry: String,
    /// The interfaces that it offers.
    pub offers: Vec<String>,
    /// What its author says it is about.
    pub tags: Vec<String>,
    /// The operations of its manifest.
    pub operations: Vec<String>,
    /// What became of it when it was verified last, if nothing that this depends on has changed since.
    pub verdict: Option<Verdict>,
}

/// What became of a plugin when it was verified: its tier, or the error as JSON.
pub type Verdict = Result<Tier, String>;

/// What verdicts depend on besides the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The digest of the trust root.
    pub root: Digest,
    /// When it was judged.
    pub since: UtcTime,
    /// When what the root says changes by itself.
    pub until: UtcTime,
}

impl Judged {
    fn holds(&self, stored: &(String, i64, i64)) -> bool {
        let (root, since, until) = stored;
        *root == self.root.to_hex() && (*since..*until).contains(&seconds(self.since))
    }
}

impl Listing {
    /// The listing of an installation, made anew where it is not that of the lock file.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub(super) fn open(installed: &Installed) -> Result<Self, RepositoryError> {
        let tables = match stamp(&installed.lock_path())? {
            None => None,
            Some(stamp) => Some(match current(&path(installed), &stamp) {
                Some(tables) => tables,
                None => made(installed)?,
            }),
        };
        Ok(Self { installed: installed.clone(), tables: tables.map(|tables| Arc::new(Mutex::new(tables))) })
    }

    /// Whether anything was ever installed.
    pub const fn is_some(&self) -> bool {
        self.tables.is_some()
    }

    /// The plugin of this id.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn plugin(&self, id: &PluginId) -> Result<Option<Locked>, RepositoryError> {
        let found = self.ask("SELECT id, locked FROM plugin WHERE id = ?1", &[&id.to_string()])?;
        Ok(found.into_iter().next().map(|(_, locked)| locked))
    }

    /// Every plugin.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn all(&self) -> Result<Vec<(PluginId, Locked)>, RepositoryError> {
        self.ask("SELECT id, locked FROM plugin ORDER BY id", &[])
    }

    /// The plugins of this id or of this name.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn named(&self, name: &str) -> Result<Vec<(PluginId, Locked)>, RepositoryError> {
        self.ask("SELECT id, locked FROM plugin WHERE id = ?1 OR name = ?1 ORDER BY id", &[name])
    }

    /// The plugins that offer an interface of this name, in any version: `core:text/text`.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn offering(&self, path: &str) -> Result<Vec<(PluginId, Locked)>, RepositoryError> {
        let sql = "SELECT id, locked FROM plugin JOIN interface USING (id) \
                   WHERE path = ?1 AND is_offered = 1 ORDER BY id";
        self.ask(sql, &[path])
    }

    /// The plugins that need an interface of this name of another plugin, in any version.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn needing(&self, path: &str) -> Result<Vec<(PluginId, Locked)>, RepositoryError> {
        let sql = "SELECT id, locked FROM plugin JOIN interface USING (id) \
                   WHERE path = ?1 AND is_offered = 0 ORDER BY id";
        self.ask(sql, &[path])
    }

    /// The components of the plugins of this id or name, or of every one, in all versions that were installed at some
    /// time and whose files are still here.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn versions(&self, name: Option<&str>) -> Result<Vec<PathBuf>, RepositoryError> {
        let versions = self.with(|tables| {
            let mut asked = tables.prepare_cached(
                "SELECT id, digest FROM version \
                 WHERE ?1 IS NULL OR id = ?1 OR substr(id, instr(id, ':') + 1) = ?1 ORDER BY digest",
            )?;
            let rows =
                asked.query_map([name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.map(|row| {
                let (id, digest) = row?;
                Ok((parsed::<PluginId>(&id)?, Digest::from_hex(&digest).ok_or_else(unusable)?))
            })
            .collect::<Result<Vec<_>, _>>()
        })?;
        let paths = versions.iter().map(|(id, digest)| self.installed.component(id, digest));
        Ok(paths.filter(|path| path.is_file()).collect())
    }

    /// Every plugin as it is listed, by id, with the verdicts that hold; where words are given, in lower case, those
    /// that have all of them in their id, summary, tags or interfaces.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn rows(&self, judged: Option<&Judged>, having: &[String]) -> Result<Vec<Row>, RepositoryError> {
        let each: Vec<String> =
            (1..=having.len()).map(|number| format!("instr(text, ?{number}) > 0")).collect();
        let meant = match each.as_slice() {
            [] => String::new(),
            each => format!("WHERE id IN (SELECT id FROM words WHERE {})", each.join(" AND ")),
        };
        self.with(|tables| {
            let stored = tables.query_row("SELECT root, since, until FROM stamp", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let holds = judged.is_some_and(|judged| judged.holds(&stored));
            let mut asked = tables.prepare(&format!(
                "SELECT id, version, digest, kind, summary, registry, offers, tags, operations, tier, refused \
                 FROM plugin {meant} ORDER BY id"
            ))?;
            let mut rows = asked.query(rusqlite::params_from_iter(having))?;
            let mut listed = Vec::new();
            while let Some(row) = rows.next()? {
                let text = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
                let verdict = match (row.get_ref(9)?.as_str_or_null()?, row.get_ref(10)?.as_str_or_null()?) {
                    (Some(text), _) => Some(Ok(tier(text)?)),
                    (None, Some(refused)) => Some(Err(refused.to_owned())),
                    (None, None) => None,
                };
                listed.push(Row {
                    id: parsed(text(0)?)?,
                    version: parsed(text(1)?)?,
                    digest: Digest::from_hex(text(2)?).ok_or_else(unusable)?,
                    kind: text(3)?.to_owned(),
                    summary: text(4)?.to_owned(),
                    registry: text(5)?.to_owned(),
                    offers: words(text(6)?),
                    tags: words(text(7)?),
                    operations: words(text(8)?),
                    verdict: verdict.filter(|_| holds),
                });
            }
            Ok(listed)
        })
    }

    /// Keeps verdicts about components. Those of another trust root, or of a time before, are forgotten. That they cannot
    /// be kept is no error: they are found anew.
    pub fn keep(&self, judged: &Judged, verdicts: &[(PluginId, Digest, Verdict)]) {
        if let Some(mut tables) = opened(&path(&self.installed), OpenFlags::SQLITE_OPEN_READ_WRITE) {
            drop(keep(&mut tables, judged, verdicts));
        }
    }

    fn ask(&self, sql: &str, words: &[&str]) -> Result<Vec<(PluginId, Locked)>, RepositoryError> {
        self.with(|tables| {
            let mut asked = tables.prepare_cached(sql)?;
            let rows = asked.query_map(rusqlite::params_from_iter(words), |row| {
                Ok((parsed(row.get_ref(0)?.as_str()?)?, from_json(row.get_ref(1)?.as_str()?)?))
            })?;
            rows.collect()
        })
    }

    /// Asks the tables. Where they are damaged, the lock file is what counts.
    fn with<T: Default>(
        &self,
        ask: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, RepositoryError> {
        let Some(tables) = &self.tables else { return Ok(T::default()) };
        let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(answer) = ask(&tables) {
            return Ok(answer);
        }
        // What cannot be removed is found to be damaged again, and costs time only. A journal that is left behind is
        // not applied to the new file: SQLite removes one that lies beside an empty file.
        drop(std::fs::remove_file(path(&self.installed)));
        *tables = made(&self.installed)?;
        ask(&tables).map_err(|error| failed(&error))
    }
}

fn keep(
    tables: &mut Connection,
    judged: &Judged,
    verdicts: &[(PluginId, Digest, Verdict)],
) -> rusqlite::Result<()> {
    let change = tables.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let stored = change.query_row("SELECT root, since, until FROM stamp", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    if !judged.holds(&stored) {
        change.execute("UPDATE plugin SET tier = NULL, refused = NULL", [])?;
        change.execute(
            "UPDATE stamp SET root = ?1, since = ?2, until = ?3",
            params![judged.root.to_hex(), seconds(judged.since), seconds(judged.until)],
        )?;
    }
    for (id, digest, verdict) in verdicts {
        // Another version may have taken its place meanwhile.
        let mut row = change
            .prepare_cached("UPDATE plugin SET tier = ?3, refused = ?4 WHERE id = ?1 AND digest = ?2")?;
        let (tier, refused) = (verdict.as_ref().ok(), verdict.as_ref().err());
        row.execute(params![id.to_string(), digest.to_hex(), tier.map(|tier| tier.as_str()), refused])?;
    }
    change.commit()
}

/// Where the tables are.
fn path(installed: &Installed) -> PathBuf {
    installed.root.join("listing.db")
}

/// What tells one lock file from every other: where it lies on the disk, when it was written, how long it is, and how
/// it begins.
fn stamp(lock: &Path) -> Result<Option<String>, RepositoryError> {
    let failed = |source| {
        let path = lock.to_owned();
        RepositoryError::File(loong_trust::file::FileError::Read { path, source })
    };
    let file = match std::fs::File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
    Ok(Some(format!(
        "{FORM} {}.{} {} {}.{} {}",
        facts.dev(),
        facts.ino(),
        facts.len(),
        facts.mtime(),
        facts.mtime_nsec(),
        Digest::of(&head).to_hex()
    )))
}

/// A connection on which nothing that the file says is executed.
fn opened(path: &Path, flags: OpenFlags) -> Option<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let tables = Connection::open_with_flags(path, flags).ok()?;
    hardened(tables).ok()
}

fn hardened(tables: Connection) -> rusqlite::Result<Connection> {
    tables.busy_timeout(BUSY_TIMEOUT)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        tables.set_db_config(setting, on)?;
    }
    Ok(tables)
}

/// The tables, if they are those of this lock file.
fn current(path: &Path, stamp: &str) -> Option<Connection> {
    if !path.is_file() {
        return None;
    }
    let tables = opened(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found = tables.query_row("SELECT lock FROM stamp", [], |row| row.get::<_, String>(0)).ok()?;
    (found == stamp).then_some(tables)
}

/// Makes the tables from the lock file: on the disk, or where that cannot be written in memory.
fn made(installed: &Installed) -> Result<Connection, RepositoryError> {
    let place = path(installed);
    // Before the lock file is read: if it is replaced meanwhile, the tables are taken for those of an older one.
    let stamp = stamp(&installed.lock_path())?.unwrap_or_default();
    let lock = installed.lock()?;
    let before = installed.generations()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    for again in [false, true] {
        if again && std::fs::remove_file(&place).is_err() {
            break;
        }
        let Some(mut tables) = opened(&place, flags) else { continue };
        if fill(&mut tables, installed, &lock, &before, &stamp).is_ok() {
            return Ok(tables);
        }
    }
    let mut tables = Connection::open_in_memory().map_err(|error| failed(&error))?;
    fill(&mut tables, installed, &lock, &before, &stamp).map_err(|error| failed(&error))?;
    Ok(tables)
}

fn fill(
    tables: &mut Connection,
    installed: &Installed,
    lock: &Lock,
    before: &[Lock],
    stamp: &str,
) -> rusqlite::Result<()> {
    let change = tables.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch(TABLES)?;
    change.execute("INSERT INTO stamp VALUES (?1, '', 0, 0)", [stamp])?;
    for (id, plugin) in before.iter().flat_map(|lock| &lock.plugins) {
        version(&change, id, plugin)?;
    }
    for (id, plugin) in &lock.plugins {
        insert(&change, installed, id, plugin)?;
    }
    change.commit()
}

/// Follows a change of the lock file. If that fails, or the tables were not those of the lock file before, they are
/// made anew when somebody asks.
pub(super) fn follow(installed: &Installed, stamp_before: Option<&str>, before: &Lock, after: &Lock) {
    let followed = || -> Option<()> {
        drop(current(&path(installed), stamp_before?)?);
        let mut tables = opened(&path(installed), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let stamp = stamp(&installed.lock_path()).ok()??;
        let changed = |tables: &mut Connection| -> rusqlite::Result<()> {
            let change = tables.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for id in before.plugins.keys().filter(|id| !after.plugins.contains_key(*id)) {
                remove(&change, id)?;
            }
            for (id, plugin) in &after.plugins {
                if before.plugins.get(id) != Some(plugin) {
                    remove(&change, id)?;
                    insert(&change, installed, id, plugin)?;
                }
            }
            change.execute("UPDATE stamp SET lock = ?1", [stamp])?;
            change.commit()
        };
        changed(&mut tables).ok()
    };
    let _ = followed();
}

/// The stamp of the lock file as it is now.
pub(super) fn stamp_now(installed: &Installed) -> Option<String> {
    stamp(&installed.lock_path()).ok()?
}

fn remove(change: &Transaction<'_>, id: &PluginId) -> rusqlite::Result<()> {
    let id = id.to_string();
    change.prepare_cached("DELETE FROM plugin WHERE id = ?1")?.execute([&id])?;
    change.prepare_cached("DELETE FROM interface WHERE id = ?1")?.execute([&id])?;
    change.prepare_cached("DELETE FROM words WHERE id = ?1")?.execute([&id])?;
    Ok(())
}

fn version(change: &Transaction<'_>, id: &PluginId, plugin: &Locked) -> rusqlite::Result<()> {
    let mut row = change.prepare_cached("INSERT OR IGNORE INTO version VALUES (?1, ?2)")?;
    row.execute([id.to_string(), plugin.digest.to_hex()]).map(drop)
}

fn insert(
    change: &Transaction<'_>,
    installed: &Installed,
    id: &PluginId,
    plugin: &Locked,
) -> rusqlite::Result<()> {
    version(change, id, plugin)?;
    let (tags, operations) = said(installed, id, plugin);
    let offers: Vec<String> = plugin.offers.iter().map(ToString::to_string).collect();
    let mut row = change.prepare_cached(
        "INSERT INTO plugin VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL, NULL)",
    )?;
    row.execute(params![
        id.to_string(),
        id.name(),
        plugin.version.to_string(),
        plugin.digest.to_hex(),
        plugin.kind.as_str(),
        plugin.summary,
        plugin.registry,
        offers.join("\n"),
        tags.join("\n"),
        operations.join("\n"),
        serde_json::to_string(plugin).unwrap_or_default(),
    ])?;
    let name = id.to_string();
    let text: Vec<&str> = [name.as_str(), &plugin.summary]
        .into_iter()
        .chain(tags.iter().chain(&offers).map(String::as_str))
        .collect();
    let mut row = change.prepare_cached("INSERT INTO words VALUES (?1, ?2)")?;
    row.execute([&name, &text.join("\n").to_lowercase()])?;
    let mut row = change.prepare_cached("INSERT OR IGNORE INTO interface VALUES (?1, ?2, ?3)")?;
    let sides = [(true, &plugin.offers), (false, &plugin.needs)];
    let all = sides.iter().flat_map(|(offered, interfaces)| {
        interfaces.iter().map(move |interface: &InterfaceName| (interface.path(), *offered))
    });
    for (path, is_offered) in all {
        row.execute(params![path, is_offered, id.to_string()])?;
    }
    Ok(())
}

/// The tags and the operations of a plugin's manifest; none of one whose files are not as they must be, which every
/// load finds out.
fn said(installed: &Installed, id: &PluginId, plugin: &Locked) -> (Vec<String>, Vec<String>) {
    let path = installed.component(id, &plugin.digest).with_file_name("loong.plugin.json");
    let read = || Manifest::read(&bounded(&path, MANIFEST_BYTES_MAX).ok()??).ok();
    read().map_or_else(Default::default, |manifest| {
        let operations = manifest.operations.iter().map(|operation| operation.name.to_string());
        (manifest.tags.clone(), operations.collect())
    })
}

fn tier(text: &str) -> rusqlite::Result<Tier> {
    Tier::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or_else(unusable)
}

fn words(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn seconds(time: UtcTime) -> i64 {
    i64::try_from(time.unix_s()).unwrap_or(i64::MAX)
}

fn parsed<T: std::str::FromStr>(text: &str) -> rusqlite::Result<T> {
    text.parse().map_err(|_| unusable())
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|_| unusable())
}

/// The tables hold what was never written into them.
fn unusable() -> rusqlite::Error {
    rusqlite::Error::InvalidQuery
}

fn failed(error: &rusqlite::Error) -> RepositoryError {
    RepositoryError::Lock { problem: format!("it cannot be listed: {error}") }
}
