//! What a sink gets next: records in their order, within bounds.

use loong_store::{AuditReader, RawRecord, StoreError};
use serde_json::{Value, json};

use super::{OwnRuns, SinkSettings};

/// How many records are looked at together when it is asked whether there is anything to deliver.
const PAGE_RECORDS: u32 = 512;
/// How many bytes of them.
const PAGE_BYTES: u64 = 1 << 20;

/// Records to deliver.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The records that the sink wants.
    pub(super) records: Vec<RawRecord>,
    /// The first record after everything that was looked at.
    pub(super) next: u64,
    /// The first record that was there. Later than asked for when earlier ones were removed.
    pub(super) first: Option<u64>,
}

/// Whether a record from this one on is a reason to deliver.
pub(super) fn due(
    reader: &AuditReader,
    own: &mut OwnRuns,
    sink: &SinkSettings,
    from: u64,
) -> Result<bool, StoreError> {
    let mut at = from;
    loop {
        let page = reader.raw(at, PAGE_RECORDS, PAGE_BYTES)?;
        let Some(last) = page.last() else { return Ok(false) };
        at = last.index + 1;
        for record in page.iter().filter(|record| wanted(sink, record)) {
            if own.is_news(reader, record)? {
                return Ok(true);
            }
        }
    }
}

/// The records from one on and before another: at most so many, and of no more bytes than the sink takes at
/// once, but always one.
pub(super) fn read(
    reader: &AuditReader,
    sink: &SinkSettings,
    from: u64,
    until: u64,
    records_max: u32,
) -> Result<Batch, StoreError> {
    let mut batch = Batch { next: from, ..Batch::default() };
    let mut bytes = 0_u64;
    while batch.next < until {
        let room = records_max.saturating_sub(u32::try_from(batch.records.len()).unwrap_or(u32::MAX));
        let bytes_room = sink.batch_bytes.saturating_sub(bytes);
        if room == 0 || bytes_room == 0 {
            break;
        }
        let page = reader.raw(batch.next, room, bytes_room)?;
        let Some(first) = page.first() else { break };
        batch.first.get_or_insert(first.index);
        for record in page {
            if record.index >= until {
                return Ok(batch);
            }
            if wanted(sink, &record) {
                let size = record.event.len() as u64;
                if size > bytes_room && !batch.records.is_empty() {
                    return Ok(batch);
                }
                bytes = bytes.saturating_add(size);
                batch.next = record.index + 1;
                batch.records.push(record);
            } else {
                batch.next = record.index + 1;
            }
        }
    }
    Ok(batch)
}

fn wanted(sink: &SinkSettings, record: &RawRecord) -> bool {
    sink.kinds.as_ref().is_none_or(|kinds| kinds.contains(&record.kind))
}

/// The arguments of `loong:audit/sink#deliver`.
pub(super) fn arguments(records: &[RawRecord]) -> Value {
    let entry = |record: &RawRecord| {
        json!({
            "index": record.index,
            "time-ms": record.time_ms,
            "kind": record.kind,
            "run": record.run,
            "plugin": record.plugin,
            "outcome": record.outcome,
            "code": record.code,
            "hash": record.hash,
            "event-json": record.event,
        })
    };
    json!({ "records": records.iter().map(entry).collect::<Vec<_>>() })
}
