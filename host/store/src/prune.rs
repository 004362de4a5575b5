//! Removing the oldest records: in one transaction with the event that says so and a checkpoint over both. What they
//! were in the tree stays, so what is left verifies from the cut on and every proof made before still holds.

use loong_kernel::merkle::{self, Frontier};
use loong_kernel::{Event, LedgerError};
use loong_manifest::Digest;
use rusqlite::{Connection, Transaction, params};

use crate::error::{Damage, ReadError};
use crate::group::Writer;
use crate::record::{self, Head};
use crate::{AuditReader, StoreError, tree};

/// Most records that are removed at the end of a run; the next run removes more.
const RECORDS_AT_ONCE: u64 = 20_000;
/// So many records more than wanted stay until it is worth removing them.
const SLACK_RECORDS: u64 = 256;

/// Which records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The newest so many.
    Keep(u64),
    /// Those that are not older than this time, in milliseconds since the Unix epoch.
    Since(u64),
}

/// What the retention policy keeps. A record that one of both keeps not is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// How many records.
    pub records: Option<u64>,
    /// For how long, in milliseconds.
    pub age_ms: Option<u64>,
}

/// The records that were removed, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The first of them.
    pub from: u64,
    /// The first that is kept.
    pub until: u64,
    /// Root of the Merkle tree over all records before it.
    pub root: Digest,
}

impl AuditReader {
    /// What a cut would remove; none if nothing.
    pub fn prunable(&self, cut: Cut) -> Result<Option<Pruned>, StoreError> {
        let plan = || -> Result<Option<Pruned>, ReadError> {
            let snapshot = self.connection().unchecked_transaction()?;
            let (base, head) = (Head::base(&snapshot)?, Head::read(&snapshot)?);
            Ok(plan(&snapshot, &base, &head, cut)?.map(|(pruned, _)| pruned))
        };
        plan().map_err(|error| self.failed(error))
    }
}

impl Writer {
    /// Removes what a person wants to be removed.
    pub(crate) fn cut(&mut self, cut: Cut) -> Result<Option<Pruned>, LedgerError> {
        self.guarded(|writer| writer.remove(|_, _, _| Ok(Some(cut))))
    }

    /// Removes what the retention policy does not keep.
    pub(crate) fn prune(&mut self, retention: &Retention) -> Result<Option<Pruned>, LedgerError> {
        let now_ms = (self.clock)();
        let retention = retention.clone();
        self.guarded(|writer| {
            writer.remove(|connection, base, head| due(connection, base, head, &retention, now_ms))
        })
    }

    fn remove(
        &mut self,
        cut: impl FnOnce(&Connection, &Head, &Head) -> Result<Option<Cut>, ReadError>,
    ) -> Result<Option<Pruned>, ReadError> {
        // Looked at before the transaction, which would be for nothing most times.
        let (base, head) = (Head::base(&self.connection)?, Head::read(&self.connection)?);
        let Some(cut) = cut(&self.connection, &base, &head)? else { return Ok(None) };
        if plan(&self.connection, &base, &head, cut)?.is_none() {
            return Ok(None);
        }
        let now_ms = (self.clock)();
        let mut removed = None;
        self.commit(&[], true, |transaction, head| {
            let base = Head::base(transaction)?;
            let Some((pruned, tree)) = plan(transaction, &base, head, cut)? else { return Ok(()) };
            removed = Some(pruned);
            take_out(transaction, head, &pruned, &tree, now_ms)
        })?;
        Ok(removed)
    }
}

/// Which cut the retention policy asks for now.
fn due(
    connection: &Connection,
    base: &Head,
    head: &Head,
    retention: &Retention,
    now_ms: u64,
) -> Result<Option<Cut>, ReadError> {
    let mut until = base.records;
    if let Some(keep) = retention.records
        && head.records - base.records.min(head.records) >= keep.saturating_add(SLACK_RECORDS.max(keep / 16))
    {
        until = until.max(head.records.saturating_sub(keep));
    }
    if let Some(age_ms) = retention.age_ms {
        let old = first_since(connection, base, head, now_ms.saturating_sub(age_ms))?;
        if old >= base.records.saturating_add(SLACK_RECORDS) {
            until = until.max(old);
        }
    }
    // What a sink has not had yet stays; a person can remove it all the same.
    let wanted: Option<i64> = connection.query_row("SELECT min(next) FROM sink", [], |row| row.get(0))?;
    let until = until.min(wanted.map_or(u64::MAX, i64::unsigned_abs));
    let until = until.min(base.records.saturating_add(RECORDS_AT_ONCE));
    Ok((until > base.records).then(|| Cut::Keep(head.records.saturating_sub(until))))
}

/// What a cut removes, and the tree over all that is gone then.
fn plan(
    connection: &Connection,
    base: &Head,
    head: &Head,
    cut: Cut,
) -> Result<Option<(Pruned, Frontier)>, ReadError> {
    let until = match cut {
        Cut::Keep(records) => head.records.saturating_sub(records),
        Cut::Since(time_ms) => first_since(connection, base, head, time_ms)?,
    };
    if until <= base.records || until > head.records {
        return Ok(None);
    }
    let tree = merkle::frontier_at(until, &mut |height, place| tree::node(connection, height, place))?;
    Ok(Some((Pruned { from: base.records, until, root: tree.root() }, tree)))
}

/// The first record that is not older; times never go back in the log.
fn first_since(connection: &Connection, base: &Head, head: &Head, time_ms: u64) -> Result<u64, ReadError> {
    let mut select = connection.prepare_cached("SELECT time_ms FROM audit WHERE idx = ?1")?;
    let (mut low, mut high) = (base.records, head.records);
    while low < high {
        let middle = low + (high - low) / 2;
        let found: i64 = select.query_row([middle.cast_signed()], |row| row.get(0)).map_err(|_| {
            ReadError::broken(middle, Damage::Missing { next: middle.cast_signed().saturating_add(1) })
        })?;
        if found.unsigned_abs() < time_ms { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn take_out(
    transaction: &Transaction<'_>,
    head: &mut Head,
    pruned: &Pruned,
    tree: &Frontier,
    now_ms: u64,
) -> Result<(), ReadError> {
    tree::keep_leaves(transaction, pruned.until)?;
    let last = pruned.until.saturating_sub(1);
    let hash: [u8; 32] = transaction
        .query_row("SELECT hash FROM audit WHERE idx = ?1", [last.cast_signed()], |row| row.get(0))
        .map_err(|_| ReadError::broken(last, Damage::Missing { next: pruned.until.cast_signed() }))?;
    transaction.execute("DELETE FROM audit WHERE idx < ?1", [pruned.until.cast_signed()])?;
    transaction.execute(
        "UPDATE base SET records = ?1, hash = ?2, peaks = ?3 WHERE id = 0",
        params![pruned.until.cast_signed(), hash, tree.to_bytes()],
    )?;
    let event = Event::AuditPruned { from: pruned.from, until: pruned.until, root: pruned.root };
    let mut insert = transaction.prepare_cached(record::INSERT)?;
    head.push(transaction, &mut insert, now_ms, &event)
}
