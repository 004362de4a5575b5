//! How a record lies in its row, and how a row is held against the chain.

use loong_kernel::merkle::Frontier;
use loong_kernel::{Event, chain};
use loong_manifest::Digest;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use serde_json::Value;

use crate::error::{Broken, Damage, ReadError};
use crate::{facets, tree};

/// The columns of a row, in the order in which [`Stored::read`] takes them.
pub(crate) const SELECT: &str = "SELECT idx, time_ms, kind, run, plugin, outcome, code, event, hash,
     agent, pack, token, tier, approval, triage FROM audit";
/// Adds a record; for [`Head::push`].
pub(crate) const INSERT: &str =
    "INSERT INTO audit (idx, time_ms, kind, run, plugin, outcome, code, event, hash,
         agent, pack, token, tier, approval, triage)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
/// Members of an event that are repeated in columns of their own, so that they can be searched by.
const REPEATED: [&str; 5] = ["kind", "run", "plugin", "outcome", "code"];

/// How far back the clock may be set before it is written down, in milliseconds.
const CLOCK_STEP_MS: u64 = 1_000;

/// Where the log ends, or where it begins after older records were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many records there are.
    pub(crate) records: u64,
    /// Hash of the last one.
    pub(crate) hash: Digest,
    /// The Merkle tree over them.
    pub(crate) tree: Frontier,
    /// Time of the last one, in milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
    /// What the clock told when it was written; less than its time where the clock went back.
    pub(crate) clock_ms: u64,
}

impl Head {
    /// Reads where the log was left.
    pub(crate) fn read(connection: &Connection) -> Result<Self, ReadError> {
        Self::select(connection, "SELECT records, hash, peaks, time_ms, clock_ms FROM head WHERE id = 0")
    }

    /// Reads where the log begins: after the last record that was removed.
    pub(crate) fn base(connection: &Connection) -> Result<Self, ReadError> {
        Self::select(connection, "SELECT records, hash, peaks, 0, 0 FROM base WHERE id = 0")
    }

    fn select(connection: &Connection, sql: &str) -> Result<Self, ReadError> {
        let mut select = connection.prepare_cached(sql)?;
        let head = select.query_row([], |row| {
            let peaks: Vec<u8> = row.get(2)?;
            let times = (row.get::<_, i64>(3)?, row.get::<_, i64>(4)?);
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?, peaks, times))
        });
        match head.optional() {
            Ok(Some((records, hash, peaks, times))) if records >= 0 => {
                let records = records.unsigned_abs();
                Ok(Self {
                    records,
                    hash: Digest::from_bytes(hash),
                    // A tree of another size than the log is found where they are compared.
                    tree: Frontier::from_bytes(records, &peaks).unwrap_or_default(),
                    time_ms: u64::try_from(times.0).unwrap_or(0),
                    clock_ms: u64::try_from(times.1).unwrap_or(0),
                })
            }
            Ok(_) => Err(ReadError::broken(0, Damage::HeadMissing)),
            Err(error) if error.sqlite_error().is_some() => Err(error.into()),
            Err(_) => Err(ReadError::broken(0, Damage::HeadMissing)),
        }
    }

    /// Says what is wrong where the log does not end as it was left.
    pub(crate) fn expect(&self, found: &Self) -> Result<(), Broken> {
        if self.records != found.records {
            let damage = Damage::Length { written: self.records, found: found.records };
            return Err(Broken { index: self.records.min(found.records), damage });
        }
        if self.hash != found.hash {
            return Err(Broken { index: self.records.saturating_sub(1), damage: Damage::Head });
        }
        if self.tree != found.tree {
            return Err(Broken { index: self.records.saturating_sub(1), damage: Damage::Tree });
        }
        Ok(())
    }

    /// Whether the clock, which tells `now_ms`, went back since the last record; then that is the next event.
    pub(crate) fn clock_went_back(&mut self, now_ms: u64) -> Option<Event> {
        let back = now_ms.saturating_add(CLOCK_STEP_MS) < self.clock_ms;
        let event = back.then_some(Event::ClockWentBack { before_ms: self.clock_ms, now_ms });
        self.clock_ms = if back { now_ms } else { self.clock_ms.max(now_ms) };
        event
    }

    /// Adds an event to the log with [`INSERT`]. The transaction it happens in is the caller's.
    pub(crate) fn push(
        &mut self,
        connection: &Connection,
        insert: &mut Statement<'_>,
        time_ms: u64,
        event: &Event,
    ) -> Result<(), ReadError> {
        let value = serde_json::to_value(event).map_err(|error| unwritable(&error))?;
        // SQLite's integers are signed; no clock and no log gets that far.
        let time_ms = time_ms.max(self.time_ms).min(i64::MAX.unsigned_abs());
        let hash = chain::hash(self.records, time_ms, &self.hash, &value);
        let [kind, run, plugin, outcome, code] =
            REPEATED.map(|member| value.get(member).and_then(Value::as_str));
        let index = self.records.cast_signed();
        let text = canonical(&value);
        let [agent, pack, token, tier, approval, triage] = facets::columns(event);
        insert.execute(params![
            index,
            time_ms.cast_signed(),
            kind,
            run,
            plugin,
            outcome,
            code,
            text,
            hash.as_bytes(),
            agent,
            pack,
            token,
            tier,
            approval,
            triage
        ])?;
        (self.records, self.hash, self.time_ms) = (self.records + 1, hash, time_ms);
        tree::push(connection, &mut self.tree, &hash)
    }

    /// Notes where the log ends now.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), ReadError> {
        let mut update = connection.prepare_cached(
            "UPDATE head SET records = ?1, hash = ?2, peaks = ?3, time_ms = ?4, clock_ms = ?5 WHERE id = 0",
        )?;
        update.execute(params![
            self.records.cast_signed(),
            self.hash.as_bytes(),
            self.tree.to_bytes(),
            self.time_ms.cast_signed(),
            self.clock_ms.min(i64::MAX.unsigned_abs()).cast_signed()
        ])?;
        Ok(())
    }
}

fn unwritable(error: &serde_json::Error) -> ReadError {
    ReadError::Engine(rusqlite::Error::ToSqlConversionFailure(error.to_string().into()))
}

/// Reads where the log ends, and checks that its last record is there and fits. Costs the same however long
/// the log is.
pub(crate) fn tail(connection: &Connection) -> Result<Head, ReadError> {
    let head = Head::read(connection)?;
    let base = Head::base(connection)?;
    let mut select = connection.prepare_cached(&format!("{SELECT} ORDER BY idx DESC LIMIT 2"))?;
    let mut rows = select.query([])?;
    let last = rows.next()?.map(|row| Stored::read(row, head.records.saturating_sub(1))).transpose()?;
    let Some(last) = last else {
        head.expect(&base).map_err(ReadError::Broken)?;
        return Ok(head);
    };
    let index = last.index.unsigned_abs();
    let previous = match rows.next()? {
        Some(row) => Digest::from_bytes(Stored::read(row, index.saturating_sub(1))?.hash),
        None => base.hash,
    };
    let found = Head { records: index + 1, hash: Digest::from_bytes(last.hash), ..head.clone() };
    head.expect(&found).map_err(ReadError::Broken)?;
    last.check(index, &previous).map_err(|damage| ReadError::broken(index, damage))?;
    if head.tree.size() != head.records {
        return Err(ReadError::broken(index, Damage::Tree));
    }
    Ok(Head { time_ms: u64::try_from(last.time_ms).unwrap_or(0), ..head })
}

/// Makes the tree over the records of a log that has none yet.
pub(crate) fn plant(connection: &Connection) -> Result<(), ReadError> {
    let mut head = Head::read(connection)?;
    let mut tree = Frontier::default();
    let mut select = connection.prepare("SELECT hash, time_ms FROM audit ORDER BY idx")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let index = tree.size();
        let broken =
            |error: rusqlite::Error| ReadError::broken(index, Damage::Row { problem: error.to_string() });
        let hash = Digest::from_bytes(row.get(0).map_err(broken)?);
        head.time_ms = u64::try_from(row.get::<_, i64>(1).map_err(broken)?).unwrap_or(0);
        tree::push(connection, &mut tree, &hash)?;
    }
    (head.tree, head.clock_ms) = (tree, head.time_ms);
    head.write(connection)
}

/// A row as it is found, which need not be as Loong wrote it.
pub(crate) struct Stored {
    pub(crate) index: i64,
    pub(crate) time_ms: i64,
    pub(crate) repeated: [Option<String>; 5],
    pub(crate) event: String,
    pub(crate) hash: [u8; 32],
    /// [`facets::COLUMNS`].
    pub(crate) facets: [Option<String>; 6],
}

impl Stored {
    /// Reads a row of [`SELECT`]; `index` is the place where it was looked for.
    pub(crate) fn read(row: &Row<'_>, index: u64) -> Result<Self, ReadError> {
        Self::take(row).map_err(|error| ReadError::broken(index, Damage::Row { problem: error.to_string() }))
    }

    fn take(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            index: row.get(0)?,
            time_ms: row.get(1)?,
            repeated: [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
            event: row.get(7)?,
            hash: row.get(8)?,
            facets: [row.get(9)?, row.get(10)?, row.get(11)?, row.get(12)?, row.get(13)?, row.get(14)?],
        })
    }

    /// Whether the row is the record of this index that follows `previous`; its hash if so.
    pub(crate) fn check(&self, index: u64, previous: &Digest) -> Result<Digest, Damage> {
        match u64::try_from(self.index) {
            Ok(found) if found == index => {}
            Ok(found) if found > index => return Err(Damage::Missing { next: self.index }),
            _ => return Err(Damage::Repeated { found: self.index }),
        }
        let time_ms = u64::try_from(self.time_ms)
            .map_err(|_| Damage::Row { problem: format!("its time is {} ms", self.time_ms) })?;
        let event: Value = serde_json::from_str(&self.event)
            .map_err(|error| Damage::Event { problem: error.to_string() })?;
        // One text for one event: otherwise two readers could be shown two meanings of one record.
        if canonical(&event) != self.event {
            return Err(Damage::Event { problem: "it is not in canonical form".to_owned() });
        }
        for (column, found) in REPEATED.into_iter().zip(&self.repeated) {
            if event.get(column).and_then(Value::as_str) != found.as_deref() {
                return Err(Damage::Column { column });
            }
        }
        let hash = chain::hash(index, time_ms, previous, &event);
        if *hash.as_bytes() != self.hash {
            return Err(Damage::Hash);
        }
        facets::check(&self.event, &event, &self.facets)?;
        Ok(hash)
    }
}

/// JSON without spaces, its members in the order of their keys' bytes. (`serde_json` keeps that order or not
/// depending on what else is built with it.)
fn canonical(value: &Value) -> String {
    let mut text = String::with_capacity(512);
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::String(string) => quote(text, string),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(text, at);
                write(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (at, (key, member)) in members.into_iter().enumerate() {
                separate(text, at);
                quote(text, key);
                text.push(':');
                write(text, member);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// A string as it stands in canonical JSON.
pub(crate) fn quote(text: &mut String, string: &str) {
    // Those that JSON has to escape (RFC 8259, section 7) are rare.
    if string.bytes().any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        text.push_str(&Value::from(string).to_string());
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

fn separate(text: &mut String, at: usize) {
    if at > 0 {
        text.push(',');
    }
}
