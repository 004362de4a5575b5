//! Columns that hold what the kernel says of an event ([`Event::facets`]), so that it is found by it.

use std::borrow::Cow;

use loong_kernel::{Event, EventKind};
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::error::{Damage, ReadError};

/// Their names, in the order in which they are written.
pub(crate) const COLUMNS: [&str; 6] = ["agent", "pack", "token", "tier", "approval", "triage"];
/// Records that are filled in at once.
const FILL_RECORDS: u32 = 1_000;

/// Adds the columns to the log of an older format, and fills them in from the events. The events, and with
/// them the chain, stay as they are.
pub(crate) fn add(connection: &Connection) -> Result<(), ReadError> {
    for column in COLUMNS {
        connection.execute_batch(&format!("ALTER TABLE audit ADD COLUMN {column} TEXT"))?;
    }
    fill(connection)?;
    // What has few entries costs nearly nothing. The others are in the order in which they are counted, so
    // that a summary reads an index from its beginning to its end and nothing else.
    connection.execute_batch(
        "DROP INDEX audit_kind;
         CREATE INDEX audit_kind ON audit (kind, outcome, triage);
         CREATE INDEX audit_agent ON audit (agent, kind, outcome, triage) WHERE agent IS NOT NULL;
         CREATE INDEX audit_pack ON audit (pack, kind, outcome, triage) WHERE pack IS NOT NULL;
         CREATE INDEX audit_plugin ON audit (plugin, kind, outcome, triage) WHERE plugin IS NOT NULL;
         CREATE INDEX audit_token ON audit (token, kind, outcome, triage) WHERE token IS NOT NULL;
         CREATE INDEX audit_triage ON audit (triage, kind, outcome) WHERE triage IS NOT NULL;
         CREATE INDEX audit_code ON audit (code) WHERE code IS NOT NULL;
         CREATE INDEX audit_approval ON audit (approval) WHERE approval IS NOT NULL;
         CREATE INDEX audit_tier ON audit (tier) WHERE tier IS NOT NULL;",
    )?;
    Ok(())
}

fn fill(connection: &Connection) -> Result<(), ReadError> {
    let mut select =
        connection.prepare("SELECT idx, event FROM audit WHERE idx > ?1 ORDER BY idx LIMIT ?2")?;
    let mut update = connection.prepare(
        "UPDATE audit SET agent = ?2, pack = ?3, token = ?4, tier = ?5, approval = ?6, triage = ?7 WHERE idx = ?1",
    )?;
    let mut last = i64::MIN;
    loop {
        let rows = select.query_map(params![last, FILL_RECORDS], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1).unwrap_or_default()))
        })?;
        let rows: Vec<(i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
        let Some((index, _)) = rows.last() else { return Ok(()) };
        last = *index;
        for (index, text) in &rows {
            // What is no event is damaged; verifying says so.
            let Ok(event) = serde_json::from_str::<Event>(text) else { continue };
            let [agent, pack, token, tier, approval, triage] = columns(&event);
            update.execute(params![index, agent, pack, token, tier, approval, triage])?;
        }
    }
}

/// What the columns hold for an event, in the order of [`COLUMNS`].
pub(crate) fn columns(event: &Event) -> [Option<Cow<'_, str>>; 6] {
    let facets = event.facets();
    let tier = match facets.tiers {
        [tier] => Some(Cow::Borrowed(tier.as_str())),
        _ => None,
    };
    [
        facets.agent,
        facets.pack,
        facets.token.map(Cow::Borrowed),
        tier,
        facets.approval.map(Cow::Borrowed),
        facets.triage.map(|label| Cow::Borrowed(label.as_str())),
    ]
}

/// Whether the columns hold what the event says. Of an event that only a newer version of Loong knows, nobody
/// can tell.
pub(crate) fn check(text: &str, value: &Value, found: &[Option<String>; 6]) -> Result<(), Damage> {
    let event = match serde_json::from_str::<Event>(text) {
        Ok(event) => event,
        Err(error) => {
            let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
            let known = EventKind::ALL.iter().any(|known| known.0 == kind);
            return if known { Err(Damage::Event { problem: error.to_string() }) } else { Ok(()) };
        }
    };
    for ((column, found), said) in COLUMNS.into_iter().zip(found).zip(columns(&event)) {
        if found.as_deref() != said.as_deref() {
            return Err(Damage::Column { column });
        }
    }
    Ok(())
}
