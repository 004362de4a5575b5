//! The Merkle tree in the database against the one over its records in memory.

use loong_kernel::merkle::{self, Frontier};
use rusqlite::Connection;

use super::*;
use crate::{ProveError, tree};

#[test]
fn the_tiles_are_those_of_the_tree_over_the_records() {
    let (_folder, path) = place();
    fill(&path, 70_000);
    let connection = Connection::open(&path).unwrap();
    let leaves: Vec<Digest> = all(&path).iter().map(|record| merkle::leaf(&record.hash)).collect();
    let memory = |height: u8, place: u64| -> Result<Digest, merkle::RangeError> {
        let range = (place << height) as usize..((place + 1) << height) as usize;
        Ok(merkle::root_of(&leaves[range]))
    };
    for size in [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 69_999, 70_000] {
        let root =
            merkle::root_at(size, &mut |height, place| tree::node(&connection, height, place)).unwrap();
        let mut frontier = Frontier::default();
        leaves[..size as usize].iter().for_each(|leaf| frontier.push(*leaf));
        assert_eq!(root, frontier.root(), "{size}");
    }
    for (height, place) in [(0, 0), (0, 69_999), (3, 8_191), (7, 512), (8, 255), (9, 100), (16, 0)] {
        assert_eq!(tree::node(&connection, height, place).unwrap(), memory(height, place).unwrap());
    }
    let reader = reader(&path);
    for (index, size) in [(0, 70_000), (69_999, 70_000), (65_536, 65_537), (300, 301)] {
        let (root, path) = (reader.root(size).unwrap(), reader.inclusion(index, size).unwrap());
        assert!(merkle::includes(&leaves[index as usize], index, size, &path, &root));
    }
    for (from, to) in [(1, 70_000), (65_535, 69_999), (300, 300)] {
        let path = reader.consistency(from, to).unwrap();
        assert!(merkle::extends(from, to, &reader.root(from).unwrap(), &reader.root(to).unwrap(), &path));
    }
    assert!(matches!(reader.inclusion(70_000, 70_000), Err(ProveError::Range(_))));
    assert!(matches!(reader.consistency(2, 1), Err(ProveError::Range(_))));
    assert!(matches!(reader.root(70_001), Err(ProveError::Range(_))));
    // Three hundred rows in all: one for each full tile of leaves, and those above.
    let tiles: i64 = connection.query_row("SELECT count(*) FROM tile", [], |row| row.get(0)).unwrap();
    assert_eq!(tiles, 70_000 / 256 + 2 + 1);
}
