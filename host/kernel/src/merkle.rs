//! The Merkle tree over the audit log (RFC 6962, section 2.1): its leaves are the hashes of the records in the
//! hash chain. A root of 32 bytes stands for the whole log; a proof of a few hashes shows that a record is in
//! it, or that one log is the beginning of another.

use loong_manifest::Digest;

/// Most peaks that a tree has whose size fits into 64 bits, and most hashes in a path.
const PEAKS_MAX: usize = 64;
/// Most hashes in a proof.
pub const PATH_MAX: usize = 2 * PEAKS_MAX;

/// The root of a tree without leaves.
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// The hash of a leaf; its data is the hash of a record.
pub fn leaf(record: &Digest) -> Digest {
    prefixed(0, &[record.as_bytes()])
}

/// The hash of two subtrees beside each other.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    prefixed(1, &[left.as_bytes(), right.as_bytes()])
}

/// Leaves and nodes begin differently, so that no node can be shown as a leaf.
fn prefixed(prefix: u8, parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::with_capacity(65);
    bytes.push(prefix);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    Digest::of(&bytes)
}

/// The root over subtrees that are complete and of one height, such as the 256 of a full tile. A number that
/// is no power of two gives the root of that many leaves.
pub fn root_of(hashes: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

/// As much of a tree as is needed to make it grow: the roots of its complete subtrees, the largest first. There
/// is one for each bit that is set in its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Takes what [`Frontier::to_bytes`] gave; none unless it is as long as the size demands.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let expected = usize::try_from(size.count_ones()).ok()?;
        (rest.is_empty() && hashes.len() == expected)
            .then(|| Self { size, peaks: hashes.iter().copied().map(Digest::from_bytes).collect() })
    }

    /// The peaks, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|peak| *peak.as_bytes()).collect()
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf at the end.
    pub fn push(&mut self, leaf: Digest) {
        let mut last = leaf;
        // Each complete subtree at the end takes in its neighbour of the same height.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                last = node(&left, &last);
            }
        }
        self.peaks.push(last);
        self.size = self.size.saturating_add(1);
    }

    /// The root of the tree.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(last, |right, left| node(&left, &right))
    }

    /// The complete subtrees that it consists of, from left to right: height, place among the subtrees of this
    /// height, root.
    pub fn peaks(&self) -> impl Iterator<Item = (u8, u64, Digest)> {
        let mut start = 0_u64;
        let heights = (0..64_u8).rev().filter(|height| self.size >> height & 1 == 1);
        heights.zip(&self.peaks).map(move |(height, hash)| {
            let place = start >> height;
            start += 1 << height;
            (height, place, *hash)
        })
    }
}

/// Why a proof cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The record is not in the tree.
    #[error("record {index} is not in a tree of {size} records")]
    Index {
        /// The record.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// The smaller tree is larger.
    #[error("a tree of {from} records is not the beginning of one of {to}")]
    Sizes {
        /// The smaller tree.
        from: u64,
        /// The larger tree.
        to: u64,
    },
}

/// Gives the root of the complete subtree of this height (0: a leaf) at this place among those of its height.
pub type Nodes<'a, E> = &'a mut dyn FnMut(u8, u64) -> Result<Digest, E>;

/// The root of the tree over the first `size` leaves.
///
/// # Errors
/// Those of `nodes`.
pub fn root_at<E>(size: u64, nodes: Nodes<'_, E>) -> Result<Digest, E> {
    if size == 0 { Ok(empty_root()) } else { root_of_range(0, size, nodes) }
}

/// The frontier of the tree over the first `size` leaves.
///
/// # Errors
/// Those of `nodes`.
pub fn frontier_at<E>(size: u64, nodes: Nodes<'_, E>) -> Result<Frontier, E> {
    let (mut start, mut peaks) = (0_u64, Vec::new());
    for height in (0..64_u8).rev().filter(|height| size >> height & 1 == 1) {
        peaks.push(nodes(height, start >> height)?);
        start += 1 << height;
    }
    Ok(Frontier { size, peaks })
}

/// The root over `size` leaves from `start` on, where that is a subtree.
fn root_of_range<E>(start: u64, size: u64, nodes: Nodes<'_, E>) -> Result<Digest, E> {
    if size.is_power_of_two() {
        let height = size.trailing_zeros();
        return nodes(u8::try_from(height).unwrap_or(u8::MAX), start >> height);
    }
    let split = split(size);
    let left = root_of_range(start, split, nodes)?;
    let right = root_of_range(start + split, size - split, nodes)?;
    Ok(node(&left, &right))
}

/// The largest power of two below a size of at least two.
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The hashes that lead from a leaf to the root of the tree over the first `size` leaves, the lowest first.
///
/// # Errors
/// If the leaf is not in the tree, and those of `nodes`.
pub fn inclusion<E: From<RangeError>>(index: u64, size: u64, nodes: Nodes<'_, E>) -> Result<Vec<Digest>, E> {
    if index >= size {
        return Err(RangeError::Index { index, size }.into());
    }
    let (mut start, mut size, mut path) = (0, size, Vec::new());
    while size > 1 {
        let split = split(size);
        if index - start < split {
            path.push(root_of_range(start + split, size - split, nodes)?);
            size = split;
        } else {
            path.push(root_of_range(start, split, nodes)?);
            start += split;
            size -= split;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show that the first `from` leaves of the tree over `to` are those of the smaller tree.
///
/// # Errors
/// If the smaller tree is larger, and those of `nodes`.
pub fn consistency<E: From<RangeError>>(from: u64, to: u64, nodes: Nodes<'_, E>) -> Result<Vec<Digest>, E> {
    if from > to {
        return Err(RangeError::Sizes { from, to }.into());
    }
    // Nothing has to be shown of equal trees, and nothing can be of an empty one.
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let (mut start, mut size, mut path) = (0, to, Vec::new());
    let mut whole = true;
    while from - start != size {
        let split = split(size);
        if from - start <= split {
            path.push(root_of_range(start + split, size - split, nodes)?);
            size = split;
        } else {
            path.push(root_of_range(start, split, nodes)?);
            start += split;
            size -= split;
            whole = false;
        }
    }
    // Whoever checks knows the root of the smaller tree, so it is left out where it is a subtree.
    if !whole {
        path.push(root_of_range(start, size, nodes)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the path leads from this leaf to the root of a tree of this size (RFC 9162, section 2.1.3.2).
pub fn includes(leaf: &Digest, index: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether the path shows that a tree of `from` leaves with the first root is the beginning of a tree of `to`
/// leaves with the second (RFC 9162, section 2.1.4.2).
pub fn extends(from: u64, to: u64, from_root: &Digest, to_root: &Digest, path: &[Digest]) -> bool {
    if from > to {
        return false;
    }
    if from == to {
        return path.is_empty() && from_root == to_root;
    }
    if from == 0 {
        return path.is_empty() && *from_root == empty_root();
    }
    let mut steps = path.iter();
    let first = if from.is_power_of_two() { Some(from_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut at, mut last) = (from - 1, to - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut before, mut after) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            before = node(step, &before);
            after = node(step, &after);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = node(&after, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && before == *from_root && after == *to_root
}

#[cfg(test)]
mod tests;
