//! Requests for approvals, what was decided about them, and what a person allowed in advance. Every use is taken in
//! one transaction, so that neither two processes nor a restart get more uses than there were.

use loong_kernel::{APPROVALS_MAX, ApprovalEnd, Approvals, Boxed, LedgerError, Standing, Taken, Waiting};
use loong_manifest::{Digest, OperationName};
use loong_policy::{ApprovalRequest, Grant, binding};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::Store;

/// How the tables are made.
pub(crate) const FORMAT: &str = "
     CREATE TABLE approval (
         id TEXT PRIMARY KEY, state TEXT NOT NULL, run TEXT NOT NULL, subject BLOB NOT NULL, binding BLOB NOT NULL,
         operation TEXT NOT NULL, caller TEXT NOT NULL, component BLOB NOT NULL, policy BLOB NOT NULL,
         created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, decided_ms INTEGER, decided_by TEXT,
         request TEXT NOT NULL) STRICT, WITHOUT ROWID;
     CREATE INDEX approval_subject ON approval (subject);
     CREATE INDEX approval_state ON approval (state, created_ms);
     CREATE TABLE approval_grant (
         id TEXT PRIMARY KEY, given TEXT NOT NULL, policy BLOB NOT NULL, uses_left INTEGER,
         created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, given_by TEXT NOT NULL, revoked_ms INTEGER)
         STRICT, WITHOUT ROWID;";

/// Most requests of one run that wait at once. More would only tire whoever decides.
const WAITING_OF_RUN_MAX: u64 = 32;
/// Most grants in force at once.
const GRANTS_MAX: u64 = 256;
/// What was decided or ran out is kept so long, in milliseconds. The audit log keeps it anyway.
const KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1000;
const COLUMNS: &str = "SELECT id, state, binding, created_ms, decided_ms, decided_by, request FROM approval";
const GRANT_COLUMNS: &str =
    "SELECT id, given, policy, uses_left, created_ms, given_by, revoked_ms FROM approval_grant";

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalState {
    /// Nobody decided yet.
    Waiting,
    /// A person allowed it, and it was not used yet.
    Approved,
    /// A person denied it.
    Denied,
    /// It was allowed and used.
    Used,
    /// Its time was up.
    Expired,
    /// The component or the policies changed.
    Stale,
}

impl ApprovalState {
    const ALL: [Self; 6] =
        [Self::Waiting, Self::Approved, Self::Denied, Self::Used, Self::Expired, Self::Stale];

    /// The state as it is printed and kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Stale => "stale",
        }
    }
}

/// A request, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: ApprovalState,
    /// What it is bound to, the nonce included.
    pub binding: Digest,
    /// When it was decided, in milliseconds since the Unix epoch.
    pub decided_ms: Option<u64>,
    /// By which way it was decided.
    pub decided_by: Option<String>,
    /// What was asked.
    pub request: ApprovalRequest,
}

/// Something that a person allowed in advance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// Its name.
    pub id: String,
    /// What was allowed.
    pub grant: Grant,
    /// Digest of the policies for which it was.
    pub policy: Digest,
    /// How many uses are left; none where they are not counted.
    pub uses_left: Option<u64>,
    /// When it was given, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// By which way it was given.
    pub given_by: String,
    /// When it was taken back, in milliseconds since the Unix epoch.
    pub revoked_ms: Option<u64>,
}

/// Why something was not decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// There is no such request or grant, or more than one begins so.
    #[error("no approval request and no grant is named `{0}`")]
    Unknown(String),
    /// It is decided already, or ran out.
    #[error("`{id}` is {} already", state.as_str())]
    Over {
        /// The request.
        id: String,
        /// Where it stands.
        state: ApprovalState,
    },
    /// There are too many grants.
    #[error("{GRANTS_MAX} grants are in force already; take some back first")]
    TooMany,
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] LedgerError),
}

impl From<rusqlite::Error> for DecideError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(LedgerError { problem: error.to_string() })
    }
}

impl From<crate::store::Unavailable> for DecideError {
    fn from(error: crate::store::Unavailable) -> Self {
        Self::Store(error.into())
    }
}

impl Approvals for Store {
    fn take<'a>(&'a self, request: &'a ApprovalRequest) -> Boxed<'a, Result<Standing, LedgerError>> {
        let (request, now_ms) = (request.clone(), self.now_ms());
        Box::pin(self.work(move |connection| take(connection, &request, now_ms).map_err(unavailable)))
    }

    fn ask<'a>(&'a self, request: &'a ApprovalRequest) -> Boxed<'a, Result<Option<Waiting>, LedgerError>> {
        let request = request.clone();
        let mut nonce = [0; 16];
        let drawn = getrandom::fill(&mut nonce);
        Box::pin(async move {
            drawn
                .map_err(|error| LedgerError { problem: format!("there are no random numbers: {error}") })?;
            self.work(move |connection| ask(connection, &request, &nonce).map_err(unavailable)).await
        })
    }

    fn decide<'a>(&'a self, approval: &'a str, allow: bool) -> Boxed<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            match self.decide_approval(approval, allow, "terminal").await {
                Ok(_) => Ok(()),
                Err(DecideError::Store(error)) => Err(error),
                // Somebody else decided meanwhile; what they said holds.
                Err(_) => Ok(()),
            }
        })
    }
}

impl Store {
    /// Requests, the newest first; only those that wait, unless all are wanted.
    pub async fn approvals(&self, all: bool, limit: u32) -> Result<Vec<ApprovalRow>, LedgerError> {
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<_>> {
                expire(connection, now_ms)?;
                let condition = if all { "" } else { " WHERE state = 'waiting'" };
                let sql = format!("{COLUMNS}{condition} ORDER BY created_ms DESC, id LIMIT {limit}");
                connection.prepare_cached(&sql)?.query_map([], ApprovalRow::read)?.collect()
            };
            read().map_err(unavailable)
        })
        .await
    }

    /// The request whose name is this or begins so.
    pub async fn approval(&self, name: &str) -> Result<ApprovalRow, DecideError> {
        let (name, now_ms) = (name.to_owned(), self.now_ms());
        self.work(move |connection| {
            expire(connection, now_ms)?;
            find(connection, &name)
        })
        .await
    }

    /// Decides about a request that waits.
    pub async fn decide_approval(
        &self,
        name: &str,
        allow: bool,
        by: &str,
    ) -> Result<ApprovalRow, DecideError> {
        let (name, by, now_ms) = (name.to_owned(), by.to_owned(), self.now_ms());
        self.work(move |connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            expire(&transaction, now_ms)?;
            let row = find(&transaction, &name)?;
            // What was allowed and not used can still be denied.
            if !matches!((row.state, allow), (ApprovalState::Waiting, _) | (ApprovalState::Approved, false)) {
                return Err(DecideError::Over { id: row.id, state: row.state });
            }
            let state = if allow { ApprovalState::Approved } else { ApprovalState::Denied };
            transaction
                .prepare_cached(
                    "UPDATE approval SET state = ?2, decided_ms = ?3, decided_by = ?4 WHERE id = ?1",
                )?
                .execute(params![row.id, state.as_str(), ms(now_ms), by])?;
            transaction.commit()?;
            Ok(ApprovalRow { state, decided_ms: Some(now_ms), decided_by: Some(by), ..row })
        })
        .await
    }

    /// Keeps something that a person allows in advance. A `name` that is known already stays as it is: the uses
    /// of a grant file that is used again are not new. Says whether it was.
    pub async fn add_grant(
        &self,
        name: &str,
        grant: &Grant,
        policy: Digest,
        by: &str,
    ) -> Result<(GrantRow, bool), DecideError> {
        let (name, grant, by, now_ms) = (name.to_owned(), grant.clone(), by.to_owned(), self.now_ms());
        self.work(move |connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            if let Some(row) = grant_named(&transaction, &name)? {
                return Ok((row, false));
            }
            let sql = "SELECT count(*) FROM approval_grant WHERE revoked_ms IS NULL AND expires_ms > ?1";
            let count: i64 = transaction.query_row(sql, [ms(now_ms)], |row| row.get(0))?;
            if count.unsigned_abs() >= GRANTS_MAX {
                return Err(DecideError::TooMany);
            }
            let old = ms(now_ms.saturating_sub(KEPT_MS));
            transaction.execute("DELETE FROM approval_grant WHERE max(expires_ms, created_ms) < ?1", [old])?;
            transaction
                .prepare_cached(
                    "INSERT INTO approval_grant (id, given, policy, uses_left, created_ms, expires_ms, given_by)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    name,
                    json(&grant)?,
                    policy.as_bytes(),
                    grant.uses.map(ms),
                    ms(now_ms),
                    ms(grant.expires_ms),
                    by
                ])?;
            transaction.commit()?;
            let uses_left = grant.uses;
            let row =
                GrantRow { id: name, grant, policy, uses_left, created_ms: now_ms, given_by: by, revoked_ms: None };
            Ok((row, true))
        })
        .await
    }

    /// What was allowed in advance, the newest first; only what is in force, unless all is wanted.
    pub async fn grants(&self, all: bool) -> Result<Vec<GrantRow>, LedgerError> {
        let now_ms = self.now_ms();
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<_>> {
                let condition = if all {
                    " WHERE ?1 = ?1"
                } else {
                    " WHERE revoked_ms IS NULL AND expires_ms > ?1 AND (uses_left IS NULL OR uses_left > 0)"
                };
                let sql = format!("{GRANT_COLUMNS}{condition} ORDER BY created_ms DESC, id LIMIT 1000");
                connection.prepare_cached(&sql)?.query_map([ms(now_ms)], GrantRow::read)?.collect()
            };
            read().map_err(unavailable)
        })
        .await
    }

    /// Takes a grant back.
    pub async fn revoke_grant(&self, name: &str) -> Result<GrantRow, DecideError> {
        let (name, now_ms) = (name.to_owned(), self.now_ms());
        self.work(move |connection| {
            let row = grant_named(connection, &name)?.ok_or_else(|| DecideError::Unknown(name.clone()))?;
            connection
                .prepare_cached(
                    "UPDATE approval_grant SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL",
                )?
                .execute(params![row.id, ms(now_ms)])?;
            Ok(GrantRow { revoked_ms: row.revoked_ms.or(Some(now_ms)), ..row })
        })
        .await
    }
}

impl ApprovalRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state: String = row.get(1)?;
        Ok(Self {
            id: row.get(0)?,
            state: ApprovalState::ALL
                .into_iter()
                .find(|known| known.as_str() == state)
                .ok_or_else(|| unreadable(1, format!("no state is called `{state}`")))?,
            binding: Digest::from_bytes(row.get(2)?),
            decided_ms: row.get::<_, Option<i64>>(4)?.map(unsigned),
            decided_by: row.get(5)?,
            request: serde_json::from_str(&row.get::<_, String>(6)?)
                .map_err(|error| unreadable(6, error.to_string()))?,
        })
    }
}

impl GrantRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            grant: serde_json::from_str(&row.get::<_, String>(1)?)
                .map_err(|error| unreadable(1, error.to_string()))?,
            policy: Digest::from_bytes(row.get(2)?),
            uses_left: row.get::<_, Option<i64>>(3)?.map(unsigned),
            created_ms: unsigned(row.get(4)?),
            given_by: row.get(5)?,
            revoked_ms: row.get::<_, Option<i64>>(6)?.map(unsigned),
        })
    }
}

fn take(connection: &Connection, request: &ApprovalRequest, now_ms: u64) -> rusqlite::Result<Standing> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let decided: Option<(String, String)> = transaction
        .prepare_cached(
            "SELECT id, state FROM approval
             WHERE subject = ?1 AND policy = ?2 AND expires_ms > ?3 AND state IN ('approved', 'denied')
             ORDER BY state DESC, created_ms LIMIT 1",
        )?
        .query_row(params![request.subject.as_bytes(), request.policy.as_bytes(), ms(now_ms)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match decided {
        Some((approval, state)) if state == "denied" => return Ok(Standing::Denied { approval }),
        Some((approval, _)) => {
            transaction
                .prepare_cached("UPDATE approval SET state = 'used' WHERE id = ?1 AND state = 'approved'")?
                .execute([&approval])?;
            transaction.commit()?;
            return Ok(Standing::Taken(Taken { approval, uses_left: Some(0) }));
        }
        None => {}
    }
    let taken = take_grant(&transaction, request, now_ms)?;
    transaction.commit()?;
    Ok(taken.map_or(Standing::Open, Standing::Taken))
}

/// Takes one use of the oldest grant that covers the request.
fn take_grant(
    transaction: &Transaction<'_>,
    request: &ApprovalRequest,
    now_ms: u64,
) -> rusqlite::Result<Option<Taken>> {
    let sql = format!(
        "{GRANT_COLUMNS} WHERE revoked_ms IS NULL AND expires_ms > ?1 AND policy = ?2
         AND (uses_left IS NULL OR uses_left > 0) ORDER BY created_ms, id LIMIT 1000"
    );
    let mut select = transaction.prepare_cached(&sql)?;
    let rows = select.query_map(params![ms(now_ms), request.policy.as_bytes()], GrantRow::read)?;
    for row in rows {
        let row = row?;
        if row.grant.covers(&request.operation, &request.digest, &request.run, now_ms) {
            transaction
                .prepare_cached(
                    "UPDATE approval_grant SET uses_left = uses_left - 1 WHERE id = ?1 AND uses_left IS NOT NULL",
                )?
                .execute([&row.id])?;
            let uses_left = row.uses_left.map(|left| left.saturating_sub(1));
            return Ok(Some(Taken { approval: row.id, uses_left }));
        }
    }
    Ok(None)
}

fn ask(
    connection: &Connection,
    request: &ApprovalRequest,
    nonce: &[u8; 16],
) -> rusqlite::Result<Option<Waiting>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let now_ms = request.created_ms;
    let mut ended = expire(&transaction, now_ms)?;
    ended.extend(outdated(&transaction, request)?);
    let found: Option<(String, [u8; 32])> = transaction
        .prepare_cached(
            "SELECT id, binding FROM approval WHERE subject = ?1 AND policy = ?2 AND state = 'waiting'",
        )?
        .query_row(params![request.subject.as_bytes(), request.policy.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((approval, binding)) = found {
        transaction.commit()?;
        return Ok(Some(Waiting { approval, binding: Digest::from_bytes(binding), new: false, ended }));
    }
    let count = |sql: &str| -> rusqlite::Result<u64> {
        let count: i64 = transaction.prepare_cached(sql)?.query_row([&request.run], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    if count("SELECT count(*) FROM approval WHERE state = 'waiting' AND ?1 = ?1")? >= APPROVALS_MAX
        || count("SELECT count(*) FROM approval WHERE state = 'waiting' AND run = ?1")? >= WAITING_OF_RUN_MAX
    {
        transaction.commit()?;
        return Ok(None);
    }
    let binding = binding(&request.subject, nonce);
    let approval: String = binding.to_hex().chars().take(12).collect();
    transaction
        .prepare_cached(
            "INSERT INTO approval
             (id, state, run, subject, binding, operation, caller, component, policy, created_ms, expires_ms, request)
             VALUES (?1, 'waiting', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            approval,
            request.run,
            request.subject.as_bytes(),
            binding.as_bytes(),
            request.operation.to_string(),
            request.caller,
            request.digest.as_bytes(),
            request.policy.as_bytes(),
            ms(now_ms),
            ms(request.expires_ms),
            json(request)?,
        ])?;
    transaction.commit()?;
    Ok(Some(Waiting { approval, binding, new: true, ended }))
}

/// Ends the requests whose time is up, and forgets what ended long ago.
fn expire(connection: &Connection, now_ms: u64) -> rusqlite::Result<Vec<(String, ApprovalEnd)>> {
    let mut update = connection.prepare_cached(
        "UPDATE approval SET state = 'expired' WHERE state IN ('waiting', 'approved') AND expires_ms <= ?1 RETURNING id",
    )?;
    let ended: Vec<String> = update.query_map([ms(now_ms)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    connection
        .prepare_cached(
            "DELETE FROM approval WHERE state NOT IN ('waiting', 'approved') AND created_ms < ?1",
        )?
        .execute([ms(now_ms.saturating_sub(KEPT_MS))])?;
    Ok(ended.into_iter().map(|id| (id, ApprovalEnd::Expired)).collect())
}

/// Ends what was asked or allowed for the same call of the same run with another component or other policies.
fn outdated(
    connection: &Connection,
    request: &ApprovalRequest,
) -> rusqlite::Result<Vec<(String, ApprovalEnd)>> {
    let unversioned = |text: &str| text.parse::<OperationName>().map(|name| name.unversioned()).ok();
    let mut select = connection.prepare_cached(
        "SELECT id, operation FROM approval WHERE run = ?1 AND caller = ?2 AND state IN ('waiting', 'approved')
         AND (component <> ?3 OR policy <> ?4)",
    )?;
    let rows = select.query_map(
        params![request.run, request.caller, request.digest.as_bytes(), request.policy.as_bytes()],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
    )?;
    let mut ended = Vec::new();
    for row in rows {
        let (id, operation) = row?;
        if unversioned(&operation) == Some(request.operation.unversioned()) {
            connection.prepare_cached("UPDATE approval SET state = 'stale' WHERE id = ?1")?.execute([&id])?;
            ended.push((id, ApprovalEnd::Stale));
        }
    }
    Ok(ended)
}

fn find(connection: &Connection, name: &str) -> Result<ApprovalRow, DecideError> {
    let unknown = || DecideError::Unknown(name.to_owned());
    if name.len() < 4 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let mut rows = connection
        .prepare_cached(&format!("{COLUMNS} WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"))?
        .query_map([name.to_ascii_lowercase()], ApprovalRow::read)?
        .collect::<Result<Vec<_>, _>>()?;
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => Ok(row),
        _ => Err(unknown()),
    }
}

fn grant_named(connection: &Connection, name: &str) -> rusqlite::Result<Option<GrantRow>> {
    connection
        .prepare_cached(&format!("{GRANT_COLUMNS} WHERE id = ?1"))?
        .query_row([name], GrantRow::read)
        .optional()
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn unreadable(column: usize, problem: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, problem.into())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unavailable(error: rusqlite::Error) -> LedgerError {
    LedgerError { problem: error.to_string() }
}

/// SQLite's integers are signed; no clock gets that far.
pub(crate) fn ms(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
