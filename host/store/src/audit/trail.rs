//! What belongs together: the records of a call, of an approval, of a token.

use std::collections::{BTreeMap, BTreeSet};

use loong_kernel::Event;
use loong_manifest::Code;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::summary::{Place, place};
use super::{AuditReader, Record, records};
use crate::StoreError;
use crate::error::ReadError;
use crate::record::SELECT;

/// What begins with some digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Nothing does.
    None,
    /// This does.
    One(String),
    /// More than one does.
    Several,
}

/// A call as its decision tells it, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallMade {
    /// The decision's record; its event is a decision.
    pub decision: Record,
    /// Whether it was decided by the token that was asked about; otherwise one of those calls made it.
    pub own: bool,
    /// How it ended: with which code, after how many microseconds; none while it runs or where it never began.
    pub ended: Option<(Option<Code>, u64)>,
}

/// The life of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTrail {
    /// The token.
    pub token: String,
    /// The record of its issue, if it is in the log.
    pub issued: Option<Record>,
    /// What revoked it, by name or by generation.
    pub revoked: Vec<Record>,
    /// How many decisions it was shown for, by outcome.
    pub decisions: BTreeMap<String, u64>,
    /// The first time it was shown.
    pub first: Option<Place>,
    /// The last time it was shown.
    pub last: Option<Place>,
    /// The last decisions against it.
    pub denials: Vec<Record>,
    /// Its first calls and the calls that those made, in their order.
    pub calls: Vec<CallMade>,
}

impl AuditReader {
    /// The one run whose name begins so.
    pub fn run_named(&self, start: &str) -> Result<Named, StoreError> {
        self.snapshot(|connection| named(connection, "run", start))
    }

    /// The one token whose id begins so.
    pub fn token_named(&self, start: &str) -> Result<Named, StoreError> {
        self.snapshot(|connection| named(connection, "token", start))
    }

    /// The one approval whose id begins so.
    pub fn approval_named(&self, start: &str) -> Result<Named, StoreError> {
        self.snapshot(|connection| named(connection, "approval", start))
    }

    /// The records of one call, in their order. Reads those of its run.
    pub fn of_call(&self, call: &str, limit: u32) -> Result<Vec<Record>, StoreError> {
        let run = call.rsplit_once('.').map_or(call, |(run, _)| run);
        let sql = format!("{SELECT} WHERE run = ? AND event ->> '$.call' = ? ORDER BY idx LIMIT {limit}");
        self.snapshot(|connection| records(connection, &sql, [text(run), text(call)]))
    }

    /// The records that name an approval, in their order.
    pub fn of_approval(&self, approval: &str, limit: u32) -> Result<Vec<Record>, StoreError> {
        let sql = format!("{SELECT} WHERE approval = ? ORDER BY idx LIMIT {limit}");
        self.snapshot(|connection| records(connection, &sql, [text(approval)]))
    }

    /// The life of a token, with at most so many of its calls and denials. Reads the records of its run.
    pub fn token_trail(&self, token: &str, limit: u32) -> Result<TokenTrail, StoreError> {
        self.snapshot(|connection| trail(connection, token, limit))
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn named(connection: &Connection, column: &str, start: &str) -> Result<Named, ReadError> {
    // Nothing that begins so comes after the start followed by the last character there is.
    let (from, to) = (start, format!("{start}\u{10ffff}"));
    let end = |order: &str| -> Result<Option<String>, ReadError> {
        let sql = format!(
            "SELECT {column} FROM audit WHERE {column} >= ? AND {column} <= ? ORDER BY {column} {order} LIMIT 1"
        );
        Ok(connection.prepare_cached(&sql)?.query_row([from, to.as_str()], |row| row.get(0)).optional()?)
    };
    Ok(match (end("ASC")?, end("DESC")?) {
        (Some(first), Some(last)) if first == last || first == start => Named::One(first),
        (None, _) | (_, None) => Named::None,
        _ => Named::Several,
    })
}

fn trail(connection: &Connection, token: &str, limit: u32) -> Result<TokenTrail, ReadError> {
    let of_token = |conditions: &str| {
        let sql = format!("{SELECT} WHERE token = ? AND {conditions}");
        records(connection, &sql, [text(token)])
    };
    let issued = of_token("kind = 'token_issued' ORDER BY idx LIMIT 1")?.pop();
    let mut found = TokenTrail {
        token: token.to_owned(),
        revoked: revoked(connection, token, issued.as_ref(), limit)?,
        issued,
        decisions: BTreeMap::new(),
        first: None,
        last: None,
        denials: Vec::new(),
        calls: Vec::new(),
    };
    let mut select = connection.prepare_cached(
        "SELECT outcome, count(*), min(idx), max(idx) FROM audit WHERE token = ? AND kind = 'decision'
         GROUP BY outcome",
    )?;
    let mut rows = select.query([token])?;
    let mut ends: Option<(i64, i64)> = None;
    while let Some(row) = rows.next()? {
        let outcome = row.get::<_, Option<String>>(0)?.unwrap_or_default();
        found.decisions.insert(outcome, row.get::<_, i64>(1)?.unsigned_abs());
        let (first, last) = (row.get(2)?, row.get(3)?);
        ends = Some(ends.map_or((first, last), |ends| (ends.0.min(first), ends.1.max(last))));
    }
    if let Some((first, last)) = ends {
        found.first = Some(place(connection, first)?);
        found.last = Some(place(connection, last)?);
    }
    found.denials =
        of_token(&format!("kind = 'decision' AND outcome = 'deny' ORDER BY idx DESC LIMIT {limit}"))?;
    found.denials.reverse();
    let own = of_token(&format!("kind = 'decision' ORDER BY idx LIMIT {limit}"))?;
    found.calls = calls(connection, own, limit)?;
    Ok(found)
}

/// What revoked the token: by its name, or every token of its generation.
fn revoked(
    connection: &Connection,
    token: &str,
    issued: Option<&Record>,
    limit: u32,
) -> Result<Vec<Record>, ReadError> {
    let (after, generation) = match issued {
        Some(Record { index, event: Event::TokenIssued { generation, .. }, .. }) => (*index, *generation),
        _ => (0, u64::MAX),
    };
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let sql = format!(
        "{SELECT} WHERE kind = 'token_revoked' AND +idx >= ?
         AND (+token = ? OR token IS NULL AND event ->> '$.generation' > ?) ORDER BY idx LIMIT {limit}"
    );
    records(connection, &sql, [integer(after), text(token), integer(generation)])
}

/// These decisions, and those of the calls that were made in them, each with how it ended.
fn calls(connection: &Connection, own: Vec<Record>, limit: u32) -> Result<Vec<CallMade>, ReadError> {
    let Some(run) = own.first().and_then(|record| record.event.run()).map(str::to_owned) else {
        return Ok(Vec::new());
    };
    let mut reached: BTreeSet<String> = own.iter().filter_map(call_of).map(str::to_owned).collect();
    let places: BTreeSet<u64> = own.iter().map(|record| record.index).collect();
    let mut all = own;
    // A call is decided before the calls that it makes.
    let sql = format!(
        "{SELECT} WHERE run = ? AND +kind = 'decision' AND event ->> '$.parent' IS NOT NULL ORDER BY idx"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([&run])?;
    while let Some(row) = rows.next()? {
        if all.len() >= limit as usize * 2 {
            break;
        }
        let index = row.get_ref(0)?.as_i64().unwrap_or(0).unsigned_abs();
        let record = super::record(&crate::record::Stored::read(row, index)?, index)?;
        let Event::Decision { call, parent: Some(parent), .. } = &record.event else { continue };
        if !places.contains(&index) && reached.contains(parent) {
            reached.insert(call.clone());
            all.push(record);
        }
    }
    all.sort_by_key(|record| record.index);
    let mut ends = BTreeMap::new();
    let mut select = connection.prepare_cached(
        "SELECT event ->> '$.call', code, event ->> '$.usage.duration_us' FROM audit
         WHERE run = ? AND +kind = 'call_finished' ORDER BY idx",
    )?;
    let mut rows = select.query([&run])?;
    while let Some(row) = rows.next()? {
        let call: String = row.get(0)?;
        if reached.contains(&call) {
            let code = row.get::<_, Option<String>>(1)?;
            let code = code.and_then(|code| Code::ALL.iter().copied().find(|known| known.as_str() == code));
            ends.insert(call, (code, row.get::<_, i64>(2)?.unsigned_abs()));
        }
    }
    let made = |decision: Record| CallMade {
        own: places.contains(&decision.index),
        ended: call_of(&decision).and_then(|call| ends.get(call).copied()),
        decision,
    };
    Ok(all.into_iter().map(made).collect())
}

fn call_of(record: &Record) -> Option<&str> {
    match &record.event {
        Event::Decision { call, .. } => Some(call),
        _ => None,
    }
}
