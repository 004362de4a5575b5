//! The Merkle tree in the database. The hashes of each 256 subtrees of one height lie together in a tile, so a proof
//! reads a few rows however long the log is. Tiles of leaves are written when they are full; until then their
//! leaves are found in the records themselves.

use loong_kernel::merkle::{self, Frontier};
use loong_manifest::Digest;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Damage, ReadError};

/// Hashes in a full tile: eight levels of the tree.
pub(crate) const TILE: u64 = 256;
const TILE_LEVELS: u8 = 8;

/// Adds a record, which is in its row already, to the tree.
pub(crate) fn push(connection: &Connection, tree: &mut Frontier, record: &Digest) -> Result<(), ReadError> {
    tree.push(merkle::leaf(record));
    if tree.size().is_multiple_of(TILE) {
        fill(connection, tree.size() / TILE - 1)?;
    }
    Ok(())
}

/// Writes a tile of leaves that has just become full, and its root into the tile above it.
fn fill(connection: &Connection, place: u64) -> Result<(), ReadError> {
    let hashes = entries(connection, 0, place * TILE, TILE)?;
    write(connection, 0, place, &hashes)?;
    let (mut level, mut place, mut root) = (1, place, merkle::root_of(&hashes));
    loop {
        let mut hashes = read(connection, level, place / TILE)?;
        if hashes.len() as u64 != place % TILE {
            return Err(lost(level, place));
        }
        hashes.push(root);
        place /= TILE;
        write(connection, level, place, &hashes)?;
        if hashes.len() as u64 != TILE {
            return Ok(());
        }
        root = merkle::root_of(&hashes);
        level += 1;
    }
}

/// Keeps the leaves of the tile that is not full yet, so that the records before `until` can be removed.
pub(crate) fn keep_leaves(connection: &Connection, until: u64) -> Result<(), ReadError> {
    let first = until - until % TILE;
    if first == until || read(connection, 0, first / TILE)?.len() as u64 >= until - first {
        return Ok(());
    }
    let hashes = entries(connection, 0, first, until - first)?;
    write(connection, 0, first / TILE, &hashes)
}

/// The root of a complete subtree, for [`merkle::inclusion`] and its like.
pub(crate) fn node(connection: &Connection, height: u8, place: u64) -> Result<Digest, ReadError> {
    let (level, within) = (height / TILE_LEVELS, height % TILE_LEVELS);
    Ok(merkle::root_of(&entries(connection, level, place << within, 1 << within)?))
}

/// Hashes of one tile; those of records that are in no tile yet are made of the records.
fn entries(connection: &Connection, level: u8, first: u64, count: u64) -> Result<Vec<Digest>, ReadError> {
    let mut hashes = read(connection, level, first / TILE)?;
    let at = usize::try_from(first % TILE).unwrap_or(0);
    let kept = hashes.len().saturating_sub(at).min(usize::try_from(count).unwrap_or(0));
    let mut hashes: Vec<Digest> = hashes.drain(at.min(hashes.len())..).take(kept).collect();
    if level == 0 && (hashes.len() as u64) < count {
        let mut select =
            connection.prepare_cached("SELECT hash FROM audit WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")?;
        let from = first + hashes.len() as u64;
        let mut rows = select.query(params![from.cast_signed(), (first + count).cast_signed()])?;
        while let Some(row) = rows.next()? {
            let hash: [u8; 32] = row.get(0).map_err(|_| lost(level, first))?;
            hashes.push(merkle::leaf(&Digest::from_bytes(hash)));
        }
    }
    if hashes.len() as u64 == count { Ok(hashes) } else { Err(lost(level, first)) }
}

/// What is in a tile so far.
pub(crate) fn read(connection: &Connection, level: u8, place: u64) -> Result<Vec<Digest>, ReadError> {
    let mut select = connection.prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND place = ?2")?;
    let bytes: Option<Vec<u8>> =
        select.query_row(params![level, place.cast_signed()], |row| row.get(0)).optional().map_err(
            |error| if error.sqlite_error().is_some() { error.into() } else { lost(level, place * TILE) },
        )?;
    let bytes = bytes.unwrap_or_default();
    match bytes.as_chunks::<32>() {
        (hashes, []) if hashes.len() as u64 <= TILE => {
            Ok(hashes.iter().copied().map(Digest::from_bytes).collect())
        }
        _ => Err(lost(level, place * TILE)),
    }
}

fn write(connection: &Connection, level: u8, place: u64, hashes: &[Digest]) -> Result<(), ReadError> {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    connection
        .prepare_cached(
            "INSERT INTO tile (level, place, hashes) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET hashes = excluded.hashes",
        )?
        .execute(params![level, place.cast_signed(), bytes])?;
    Ok(())
}

/// The tree has not the hashes that it should have; `place` is among the entries of its level.
pub(crate) fn lost(level: u8, place: u64) -> ReadError {
    let records_each = 1_u64.checked_shl(u32::from(level) * u32::from(TILE_LEVELS)).unwrap_or(u64::MAX);
    ReadError::broken(place.saturating_mul(records_each), Damage::Tree)
}
