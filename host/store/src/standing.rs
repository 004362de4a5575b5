//! How plugins stand, which version of each is the chosen one, and how swaps went. Every change is one transaction,
//! so that the end of a process at any point leaves one version or the other chosen.

use std::collections::BTreeMap;

use loong_kernel::breaker::{Breaker, Change};
use loong_kernel::{Boxed, LedgerError, Noted, Standings};
use loong_manifest::{Digest, PluginId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::Store;
use crate::approvals::{ms, unsigned};
use crate::store::unwritten as failed;

/// How the tables are made.
pub(crate) const FORMAT: &str = "
     CREATE TABLE standing (
         digest BLOB PRIMARY KEY, plugin TEXT NOT NULL, breaker TEXT NOT NULL, changed_ms INTEGER NOT NULL)
         STRICT, WITHOUT ROWID;
     CREATE TABLE chosen (
         plugin TEXT PRIMARY KEY, version TEXT NOT NULL, digest BLOB NOT NULL, before_version TEXT,
         before_digest BLOB, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE swap (
         number INTEGER PRIMARY KEY, plugin TEXT NOT NULL, before BLOB, digest BLOB NOT NULL, version TEXT NOT NULL,
         step TEXT NOT NULL, time_ms INTEGER NOT NULL, reason TEXT) STRICT;
     CREATE INDEX swap_plugin ON swap (plugin, number);
     CREATE TABLE running (
         run TEXT PRIMARY KEY, process INTEGER NOT NULL, process_start INTEGER NOT NULL, started_ms INTEGER NOT NULL,
         request TEXT NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE peak (
         digest BLOB NOT NULL, operation TEXT NOT NULL, calls INTEGER NOT NULL, failures INTEGER NOT NULL,
         duration_us INTEGER NOT NULL, fuel INTEGER NOT NULL, cpu_us INTEGER NOT NULL, memory_bytes INTEGER NOT NULL,
         output_bytes INTEGER NOT NULL, PRIMARY KEY (digest, operation)) STRICT, WITHOUT ROWID;";

/// What there was nothing against for so long is forgotten, in milliseconds.
const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Most swaps that are remembered. The audit log has all of them.
const SWAPS_MAX: i64 = 10_000;

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The version, as its manifest says it.
    pub version: String,
    /// Digest of the component.
    pub digest: Digest,
}

/// The version of a plugin that is used where several are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The version.
    pub now: Version,
    /// The one before it, which can take its place again.
    pub before: Option<Version>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// How far a swap came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapStep {
    /// The new version is being looked at; the old one serves.
    Begun,
    /// It was not good enough; the old one serves.
    Refused,
    /// Whoever made it was cut off before the switch; the old one serves.
    Interrupted,
    /// New calls reach the new version.
    Switched,
    /// The new version went and the old one serves again.
    RolledBack,
}

impl SwapStep {
    const ALL: [Self; 5] = [Self::Begun, Self::Refused, Self::Interrupted, Self::Switched, Self::RolledBack];

    /// The step as it is printed and kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Switched => "switched",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// One swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Its number.
    pub number: i64,
    /// The plugin.
    pub plugin: String,
    /// Digest of the component that was chosen before, if one was.
    pub before: Option<Digest>,
    /// The version that was to take its place.
    pub after: Version,
    /// How far it came.
    pub step: SwapStep,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Why it went no further, or back.
    pub reason: Option<String>,
}

/// How one component stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRow {
    /// The plugin.
    pub plugin: String,
    /// Digest of the component.
    pub digest: Digest,
    /// How it stands.
    pub breaker: Breaker,
}

/// Another version was chosen meanwhile, or there is none to go back to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// Another swap was faster.
    #[error("another version was chosen meanwhile")]
    Overtaken,
    /// There is no earlier version.
    #[error("there is no version before it")]
    NothingBefore,
    /// The database failed.
    #[error("{0}")]
    Failed(String),
}

impl From<rusqlite::Error> for SwapError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::store::Unavailable> for SwapError {
    fn from(error: crate::store::Unavailable) -> Self {
        Self::Failed(LedgerError::from(error).problem)
    }
}

fn digest(bytes: [u8; 32]) -> Digest {
    Digest::from_bytes(bytes)
}

impl Standings for Store {
    fn all(&self) -> Boxed<'_, Result<BTreeMap<Digest, Breaker>, LedgerError>> {
        Box::pin(async {
            let rows = self.standings().await?;
            Ok(rows.into_iter().map(|row| (row.digest, row.breaker)).collect())
        })
    }

    fn note<'a>(
        &'a self,
        plugin: &'a PluginId,
        component: &'a Digest,
        failure: Option<&'a str>,
    ) -> Boxed<'a, Result<Noted, LedgerError>> {
        let (plugin, component, now_ms) = (plugin.to_string(), *component, self.now_ms());
        let failure = failure.map(str::to_owned);
        Box::pin(self.work(move |connection| {
            note(connection, &plugin, &component, failure.as_deref(), now_ms).map_err(failed)
        }))
    }
}

fn note(
    connection: &Connection,
    plugin: &str,
    component: &Digest,
    failure: Option<&str>,
    now_ms: u64,
) -> rusqlite::Result<Noted> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let mut breaker = standing(&transaction, component)?.unwrap_or_default();
    let change = match failure {
        None => breaker.succeeded(now_ms),
        Some(reason) => breaker.failed(now_ms, reason),
    };
    let mut back_to = None;
    if change == Change::RollBack {
        let chosen = chosen(&transaction, plugin)?.filter(|chosen| chosen.now.digest == *component);
        if let Some(before) = chosen.and_then(|chosen| chosen.before) {
            let reason = breaker.reason().unwrap_or("it failed").to_owned();
            back_to = Some(before.digest);
            breaker.quarantine(&format!("it was rolled back: {reason}"));
            go_back(&transaction, plugin, &before, component, &reason, now_ms)?;
        }
    }
    save(&transaction, plugin, component, &breaker, now_ms)?;
    transaction.commit()?;
    Ok(Noted { breaker, change, back_to })
}

/// Chooses the version before again.
fn go_back(
    connection: &Connection,
    plugin: &str,
    before: &Version,
    bad: &Digest,
    reason: &str,
    now_ms: u64,
) -> rusqlite::Result<()> {
    choose(connection, plugin, before, None, now_ms)?;
    connection
        .prepare_cached(
            "UPDATE swap SET step = 'rolled_back', reason = ?3 WHERE number =
             (SELECT max(number) FROM swap WHERE plugin = ?1 AND digest = ?2 AND step = 'switched')",
        )?
        .execute(params![plugin, bad.as_bytes(), reason])?;
    Ok(())
}

fn standing(connection: &Connection, component: &Digest) -> rusqlite::Result<Option<Breaker>> {
    let text: Option<String> = connection
        .prepare_cached("SELECT breaker FROM standing WHERE digest = ?1")?
        .query_row([component.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(text.map(|text| read_breaker(&text)))
}

/// What cannot be read lets no call through.
fn read_breaker(text: &str) -> Breaker {
    serde_json::from_str(text).unwrap_or_else(|_| {
        let mut breaker = Breaker::default();
        breaker.quarantine("what was kept of it cannot be read");
        breaker
    })
}

fn save(
    connection: &Connection,
    plugin: &str,
    component: &Digest,
    breaker: &Breaker,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let text = serde_json::to_string(breaker)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO standing (digest, plugin, breaker, changed_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![component.as_bytes(), plugin, text, ms(now_ms)])?;
    Ok(())
}

fn choose(
    connection: &Connection,
    plugin: &str,
    now: &Version,
    before: Option<&Version>,
    now_ms: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO chosen (plugin, version, digest, before_version, before_digest, since_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            plugin,
            now.version,
            now.digest.as_bytes(),
            before.map(|before| &before.version),
            before.map(|before| before.digest.as_bytes()),
            ms(now_ms),
        ])?;
    Ok(())
}

const CHOSEN: &str = "SELECT plugin, version, digest, before_version, before_digest, since_ms FROM chosen";

fn read_chosen(row: &Row<'_>) -> rusqlite::Result<(String, Chosen)> {
    let before: (Option<String>, Option<[u8; 32]>) = (row.get(3)?, row.get(4)?);
    let before = match before {
        (Some(version), Some(bytes)) => Some(Version { version, digest: digest(bytes) }),
        _ => None,
    };
    let now = Version { version: row.get(1)?, digest: digest(row.get(2)?) };
    Ok((row.get(0)?, Chosen { now, before, since_ms: unsigned(row.get(5)?) }))
}

fn chosen(connection: &Connection, plugin: &str) -> rusqlite::Result<Option<Chosen>> {
    let mut select = connection.prepare_cached(&format!("{CHOSEN} WHERE plugin = ?1"))?;
    select.query_row([plugin], |row| Ok(read_chosen(row)?.1)).optional()
}

impl Store {
    /// Every component of which there is something to remember.
    pub async fn standings(&self) -> Result<Vec<StandingRow>, LedgerError> {
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<StandingRow>> {
                let mut select = connection.prepare_cached(
                    "SELECT plugin, digest, breaker FROM standing ORDER BY plugin, digest LIMIT 10000",
                )?;
                let rows = select.query_map([], |row| {
                    let text: String = row.get(2)?;
                    let breaker = read_breaker(&text);
                    Ok(StandingRow { plugin: row.get(0)?, digest: digest(row.get(1)?), breaker })
                })?;
                rows.collect()
            };
            read().map_err(failed)
        })
        .await
    }

    /// The chosen versions, by plugin.
    pub async fn chosen(&self) -> Result<BTreeMap<String, Chosen>, LedgerError> {
        self.work(move |connection| {
            let read = || -> rusqlite::Result<BTreeMap<String, Chosen>> {
                connection.prepare_cached(CHOSEN)?.query_map([], read_chosen)?.collect()
            };
            read().map_err(failed)
        })
        .await
    }

    /// Notes that a version is to take the place of another, before anything of it is looked at.
    pub async fn begin_swap(
        &self,
        plugin: &PluginId,
        before: Option<Digest>,
        after: Version,
    ) -> Result<i64, SwapError> {
        let (plugin, now_ms) = (plugin.to_string(), self.now_ms());
        self.work(move |connection| {
            connection.execute("DELETE FROM swap WHERE number <= (SELECT max(number) FROM swap) - ?1", [SWAPS_MAX])?;
            // Whoever began one and did not end it was cut off: it looks at one version at a time.
            let cut = "UPDATE swap SET step = 'interrupted' WHERE plugin = ?1 AND step = 'begun'";
            connection.execute(cut, [&plugin])?;
            connection.execute(
                "INSERT INTO swap (plugin, before, digest, version, step, time_ms) VALUES (?1, ?2, ?3, ?4, 'begun', ?5)",
                params![
                    plugin,
                    before.as_ref().map(Digest::as_bytes),
                    after.digest.as_bytes(),
                    after.version,
                    ms(now_ms)
                ],
            )?;
            Ok(connection.last_insert_rowid())
        })
        .await
    }

    /// Notes why a swap went no further.
    pub async fn refuse_swap(&self, number: i64, reason: &str) -> Result<(), SwapError> {
        let reason = reason.to_owned();
        self.work(move |connection| {
            let sql = "UPDATE swap SET step = 'refused', reason = ?2 WHERE number = ?1 AND step = 'begun'";
            connection.execute(sql, params![number, reason])?;
            Ok(())
        })
        .await
    }

    /// Chooses the version of a swap that was begun, in place of the one it was begun with, and puts it on probation.
    pub async fn switch(
        &self,
        number: i64,
        before: Option<Version>,
        probation_ms: u64,
    ) -> Result<(), SwapError> {
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let begun: Option<(String, String, [u8; 32])> = transaction
                .prepare_cached(
                    "SELECT plugin, version, digest FROM swap WHERE number = ?1 AND step = 'begun'",
                )?
                .query_row([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((plugin, version, bytes)) = begun else { return Err(SwapError::Overtaken) };
            let now = Version { version, digest: digest(bytes) };
            let found = chosen(&transaction, &plugin)?.map(|chosen| chosen.now.digest);
            if found.is_some() && found != before.as_ref().map(|before| before.digest) {
                return Err(SwapError::Overtaken);
            }
            choose(&transaction, &plugin, &now, before.as_ref(), now_ms)?;
            let breaker = match &before {
                Some(_) => Breaker::on_probation(now_ms.saturating_add(probation_ms)),
                None => Breaker::default(),
            };
            save(&transaction, &plugin, &now.digest, &breaker, now_ms)?;
            transaction.execute(
                "UPDATE swap SET step = 'switched', time_ms = ?2 WHERE number = ?1",
                params![number, ms(now_ms)],
            )?;
            let old =
                "DELETE FROM standing WHERE changed_ms < ?1 AND digest NOT IN (SELECT digest FROM chosen)";
            transaction.execute(old, [ms(now_ms.saturating_sub(KEPT_MS))])?;
            transaction.commit()?;
            Ok(())
        })
        .await
    }

    /// Chooses the version before again, in place of this one, and puts this one aside.
    pub async fn roll_back(
        &self,
        plugin: &PluginId,
        bad: &Digest,
        reason: &str,
    ) -> Result<(Version, Version), SwapError> {
        let (plugin, bad, reason) = (plugin.to_string(), *bad, reason.to_owned());
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let found = chosen(&transaction, &plugin)?.ok_or(SwapError::NothingBefore)?;
            if found.now.digest != bad {
                return Err(SwapError::Overtaken);
            }
            let before = found.before.ok_or(SwapError::NothingBefore)?;
            let mut breaker = standing(&transaction, &found.now.digest)?.unwrap_or_default();
            breaker.quarantine(&format!("it was rolled back: {reason}"));
            save(&transaction, &plugin, &found.now.digest, &breaker, now_ms)?;
            go_back(&transaction, &plugin, &before, &found.now.digest, &reason, now_ms)?;
            transaction.commit()?;
            Ok((found.now, before))
        })
        .await
    }

    /// Forgets what there is against a plugin, every version of it; how many versions there was something against.
    pub async fn clear(&self, plugin: &PluginId) -> Result<usize, SwapError> {
        let plugin = plugin.to_string();
        self.work(move |connection| {
            Ok(connection.execute("DELETE FROM standing WHERE plugin = ?1", [&plugin])?)
        })
        .await
    }

    /// Puts a component aside until a person clears it.
    pub async fn quarantine(
        &self,
        plugin: &PluginId,
        component: &Digest,
        reason: &str,
    ) -> Result<(), SwapError> {
        let (plugin, component, reason) = (plugin.to_string(), *component, reason.to_owned());
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let mut breaker = standing(connection, &component)?.unwrap_or_default();
            breaker.quarantine(&reason);
            save(connection, &plugin, &component, &breaker, now_ms)?;
            Ok(())
        })
        .await
    }

    /// The swaps of a plugin, or of all, the newest first.
    pub async fn swaps(&self, plugin: Option<&PluginId>, limit: u32) -> Result<Vec<Swap>, LedgerError> {
        let plugin = plugin.map(ToString::to_string);
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<Swap>> {
                let mut select = connection.prepare_cached(
                    "SELECT number, plugin, before, digest, version, step, time_ms, reason FROM swap
                     WHERE ?1 IS NULL OR plugin = ?1 ORDER BY number DESC LIMIT ?2",
                )?;
                let rows = select.query_map(params![plugin, limit], |row| {
                    let before: Option<[u8; 32]> = row.get(2)?;
                    let step: String = row.get(5)?;
                    Ok(Swap {
                        number: row.get(0)?,
                        plugin: row.get(1)?,
                        before: before.map(digest),
                        after: Version { version: row.get(4)?, digest: digest(row.get(3)?) },
                        step: SwapStep::ALL
                            .into_iter()
                            .find(|known| known.as_str() == step)
                            .unwrap_or(SwapStep::Interrupted),
                        time_ms: unsigned(row.get(6)?),
                        reason: row.get(7)?,
                    })
                })?;
                rows.collect()
            };
            read().map_err(failed)
        })
        .await
    }
}
