//! Holding the whole log against its chain, its tree, its checkpoints, and what others keep of it.

use std::collections::BTreeMap;

use loong_kernel::checkpoint::{Checkpoint, VerifierKey, origin};
use loong_kernel::{Event, merkle};
use loong_manifest::{Code, Digest};
use rusqlite::{Connection, ErrorCode};

use crate::error::{Broken, Damage, ReadError};
use crate::record::{Head, SELECT, Stored};
use crate::tree::{self, TILE};
use crate::{AuditReader, StoreError, checkpoint, meta};

/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 4096;
/// Most checkpoints of the database that are looked at, the newest first.
const CHECKPOINTS_MAX: u32 = 2_048;

/// What is known of the log from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// The key that it is signed with. Without it, the one that the database names, which whoever can write the
    /// database can change.
    pub key: Option<VerifierKey>,
    /// Checkpoints that are kept elsewhere.
    pub witnesses: Vec<Witness>,
}

/// A checkpoint that is kept outside the database.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Where, as a person would say it.
    pub place: String,
    /// The signed note.
    pub note: String,
}

/// A log that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The first record that is there; those before it were removed by policy.
    pub first: u64,
    /// How many records were written.
    pub records: u64,
    /// Hash of the last one; [`GENESIS`](loong_kernel::chain::GENESIS) when there is none.
    pub head: Digest,
    /// Root of the Merkle tree over all of them.
    pub root: Digest,
    /// The name under which the log signs.
    pub origin: String,
    /// The key that the checkpoints were verified with, where there is one.
    pub key: Option<VerifierKey>,
    /// How many records are covered by a checkpoint.
    pub signed: u64,
    /// When the newest checkpoint in the database was made, in milliseconds since the Unix epoch.
    pub signed_ms: Option<u64>,
}

/// The log is not as it was written, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was changed.
    #[error("the audit log was changed")]
    Broken(#[source] Broken),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(StoreError),
}

impl VerifyError {
    /// The public code.
    pub fn code(&self) -> Code {
        match self {
            // Whatever is wrong with it, it is not what was written.
            Self::Broken(_) => Code::AuditBroken,
            Self::Unreadable(error) => error.code(),
        }
    }
}

impl AuditReader {
    /// Reads the whole log and holds every record against its predecessor, the Merkle tree over them against the one
    /// in the database, and both against the checkpoints, in constant memory. `progress` is told now and then how
    /// many records were good so far.
    ///
    /// Finds every change to a record, and every record that was removed, added, repeated or moved. Whoever can
    /// write the file can still make a log of their own, or put an older copy in its place: [`Against`] shows that.
    pub fn verify_against(
        &self,
        against: &Against,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Verified, VerifyError> {
        verify(self.connection(), against, progress).map_err(|error| match error {
            ReadError::Broken(broken) => VerifyError::Broken(broken),
            other => VerifyError::Unreadable(self.failed(other)),
        })
    }

    /// The same, against nothing but itself.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verified, VerifyError> {
        self.verify_against(&Against::default(), progress)
    }
}

fn verify(
    connection: &Connection,
    against: &Against,
    progress: &mut dyn FnMut(u64),
) -> Result<Verified, ReadError> {
    let mut good = 0;
    let verified = walk(connection, against, &mut good, progress).map_err(|error| damaged(error, good))?;
    progress(good);
    Ok(verified)
}

/// What a record or a checkpoint is expected to be like.
#[derive(Default)]
struct Expected {
    /// Roots of the tree by the number of records that it is over, and who says so.
    roots: BTreeMap<u64, Vec<(Digest, String)>>,
    /// The largest number of records whose root was found to be right.
    good: u64,
    key: Option<VerifierKey>,
    signed: u64,
    signed_ms: Option<u64>,
}

impl Expected {
    /// Reads and verifies all checkpoints; the database's own, and those from elsewhere.
    fn read(
        connection: &Connection,
        against: &Against,
        base: &Head,
        origin: &str,
    ) -> Result<Self, ReadError> {
        let broken = |place: &str, problem: String| {
            ReadError::broken(base.records, Damage::Checkpoint { place: place.to_owned(), problem })
        };
        let pinned = meta::get(connection, meta::AUDIT_KEY)?;
        let own: Option<VerifierKey> = match &pinned {
            None => None,
            Some(key) => {
                Some(key.parse().map_err(|_| broken("the database", "its key is no key".to_owned()))?)
            }
        };
        if let Some(key) = &against.key
            && own.as_ref() != Some(key)
        {
            let damage = Damage::Key {
                place: "the database".to_owned(),
                pinned: pinned.unwrap_or_else(|| "none".to_owned()),
                found: key.to_string(),
            };
            return Err(ReadError::broken(base.records, damage));
        }
        let mut expected = Self { key: own, good: base.records, ..Self::default() };
        if let Some(key) = &expected.key
            && key.name() != origin
        {
            return Err(broken("the database", format!("its key is for `{}`", key.name())));
        }
        let mut notes: Vec<(String, String)> =
            against.witnesses.iter().map(|witness| (witness.place.clone(), witness.note.clone())).collect();
        if let Some((size, time_ms, _)) = checkpoint::newest(connection)? {
            (expected.signed, expected.signed_ms) = (size, Some(time_ms));
        }
        let mut select =
            connection.prepare("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT ?1")?;
        let mut rows = select.query([CHECKPOINTS_MAX])?;
        while let Some(row) = rows.next()? {
            let unreadable = |error: rusqlite::Error| broken("the database", error.to_string());
            let size = row.get::<_, i64>(0).map_err(unreadable)?.unsigned_abs();
            let note: String = row.get(1).map_err(unreadable)?;
            if Checkpoint::read(&note).is_ok_and(|checkpoint| checkpoint.size != size) {
                return Err(broken("the database", format!("it is not over {size} records")));
            }
            notes.push(("the database".to_owned(), note));
        }
        let Some(key) = &expected.key else {
            return match notes.into_iter().next() {
                None => Ok(expected),
                Some((place, _)) => Err(broken(&place, "the database names no key".to_owned())),
            };
        };
        for (place, note) in notes {
            let checkpoint =
                Checkpoint::verified(&note, key).map_err(|error| broken(&place, error.to_string()))?;
            expected.roots.entry(checkpoint.size).or_default().push((checkpoint.root, place));
        }
        Ok(expected)
    }

    /// Holds the tree against what is expected of one of its size.
    fn check(&mut self, tree: &merkle::Frontier) -> Result<(), ReadError> {
        let size = tree.size();
        let Some(roots) = self.roots.remove(&size) else { return Ok(()) };
        let root = tree.root();
        match roots.into_iter().find(|(expected, _)| *expected != root) {
            None => self.good = size,
            Some((_, place)) => return Err(ReadError::broken(self.good, Damage::Root { place, size })),
        }
        Ok(())
    }

    /// Says what is wrong where a log ends before it was expected to.
    fn end(&self, found: u64) -> Result<(), ReadError> {
        match self.roots.range(found.saturating_add(1)..).next_back() {
            Some((size, roots)) => {
                let place = roots.first().map(|(_, place)| place.clone()).unwrap_or_default();
                Err(ReadError::broken(found, Damage::Behind { place, size: *size, found }))
            }
            None => Ok(()),
        }
    }
}

fn walk(
    connection: &Connection,
    against: &Against,
    good: &mut u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Verified, ReadError> {
    // One snapshot, however much is written meanwhile.
    let snapshot = connection.unchecked_transaction()?;
    let mut found = Head::base(&snapshot)?;
    let base = found.clone();
    if base.tree.size() != base.records {
        return Err(ReadError::broken(base.records, Damage::Tree));
    }
    *good = base.records;
    let (mut pruned_by, mut tile) = (None, Vec::new());
    let mut failed = None;
    let name = origin(&meta::log_id(&snapshot)?);
    // What is wrong with the records themselves says more than a checkpoint that does not fit them.
    let mut expected = Expected::read(&snapshot, against, &base, &name).unwrap_or_else(|error| {
        failed = Some(error);
        Expected::default()
    });
    // What the kept part of the tree cannot tell is taken from its tiles.
    for (size, roots) in std::mem::take(&mut expected.roots) {
        if size > base.records {
            expected.roots.insert(size, roots);
            continue;
        }
        let root = merkle::root_at(size, &mut |height, place| tree::node(&snapshot, height, place))?;
        if let Some((_, place)) = roots.into_iter().find(|(expected, _)| *expected != root) {
            failed = failed.or(Some(ReadError::broken(base.records, Damage::Root { place, size })));
        }
    }
    let mut select = snapshot.prepare(&format!("{SELECT} ORDER BY idx"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let index = found.records;
        let stored = Stored::read(row, index)?;
        let hash = stored.check(index, &found.hash).map_err(|damage| ReadError::broken(index, damage))?;
        let leaf = merkle::leaf(&hash);
        if index.is_multiple_of(TILE) || index == base.records {
            tile = tree::read(&snapshot, 0, index / TILE)?;
        }
        let kept = usize::try_from(index % TILE).ok().and_then(|at| tile.get(at));
        if kept.is_some_and(|kept| *kept != leaf) {
            return Err(ReadError::broken(index, Damage::Tree));
        }
        (found.records, found.hash) = (index + 1, hash);
        found.tree.push(leaf);
        if pruned_by.is_none() && is_cut(&stored, &base) {
            pruned_by = Some(index);
        }
        *good = found.records;
        if let Err(error) = expected.check(&found.tree) {
            failed = failed.or(Some(error));
        }
        if found.records.is_multiple_of(PROGRESS_RECORDS) {
            progress(found.records);
        }
    }
    Head::read(&snapshot)?.expect(&found).map_err(ReadError::Broken)?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    expected.end(found.records)?;
    // Only a record that was signed counts: anybody who can write the file can add one to its end.
    let signed = if expected.key.is_some() { expected.signed } else { u64::MAX };
    if base.records > 0 && pruned_by.is_none_or(|index| index >= signed) {
        return Err(ReadError::broken(0, Damage::Unrecorded { next: base.records }));
    }
    whole(&snapshot, &base, &found)?;
    // The records are good; an index that leaves some of them out would still hide them from a search.
    let problem: String = snapshot.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if problem != "ok" {
        return Err(ReadError::broken(found.records, Damage::File { problem }));
    }
    Ok(Verified {
        first: base.records,
        records: found.records,
        head: found.hash,
        root: found.tree.root(),
        origin: name,
        key: expected.key,
        signed: expected.signed,
        signed_ms: expected.signed_ms,
    })
}

/// Whether this record says that all before the first that is there were removed.
fn is_cut(stored: &Stored, base: &Head) -> bool {
    if base.records == 0 || !stored.event.contains("audit_pruned") {
        return false;
    }
    matches!(
        serde_json::from_str(&stored.event),
        Ok(Event::AuditPruned { until, root, .. }) if until == base.records && root == base.tree.root()
    )
}

/// Holds the tiles against each other, and against the tree over what was removed.
fn whole(connection: &Connection, base: &Head, found: &Head) -> Result<(), ReadError> {
    for (height, place, hash) in base.tree.peaks() {
        if tree::node(connection, height, place)? != hash {
            return Err(ReadError::broken(place << height, Damage::Tree));
        }
    }
    let (mut level, mut entries) = (0_u8, found.records / TILE);
    while entries > 0 {
        let mut above = Vec::new();
        for place in 0..entries {
            if place.is_multiple_of(TILE) {
                above = tree::read(connection, level + 1, place / TILE)?;
            }
            let tile = tree::read(connection, level, place)?;
            let kept = usize::try_from(place % TILE).ok().and_then(|at| above.get(at));
            if tile.len() as u64 != TILE || kept != Some(&merkle::root_of(&tile)) {
                return Err(tree::lost(level + 1, place));
            }
        }
        (level, entries) = (level + 1, entries / TILE);
    }
    Ok(())
}

/// An engine that cannot make sense of the file found damage too.
fn damaged(error: ReadError, index: u64) -> ReadError {
    match error {
        ReadError::Engine(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            ) =>
        {
            ReadError::broken(index, Damage::File { problem: error.to_string() })
        }
        other => other,
    }
}
