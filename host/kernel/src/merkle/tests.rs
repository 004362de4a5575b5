//! The tree against the published vectors, against the definition written down as it stands in the standard, and
//! against whoever would lie with it.

use proptest::prelude::*;

use super::*;

/// The roots over the first one to eight of the leaves that implementations of RFC 6962 are tested with.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Their leaves.
fn published() -> Vec<Digest> {
    let data: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    data.into_iter().map(|data| prefixed(0, &[data])).collect()
}

fn hex(text: &str) -> Digest {
    Digest::from_hex(text).unwrap()
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|n| leaf(&Digest::of(&n.to_be_bytes()))).collect()
}

/// The definition, as it stands in section 2.1.
fn defined(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(split(more.len() as u64) as usize);
            node(&defined(left), &defined(right))
        }
    }
}

/// Complete subtrees of these leaves; asking for any other is a mistake.
fn nodes(leaves: &[Digest]) -> impl FnMut(u8, u64) -> Result<Digest, RangeError> + '_ {
    |height, place| Ok(defined(&leaves[(place << height) as usize..((place + 1) << height) as usize]))
}

fn proof_of(leaves: &[Digest], index: u64) -> Vec<Digest> {
    inclusion(index, leaves.len() as u64, &mut nodes(leaves)).unwrap()
}

fn proof_between(leaves: &[Digest], from: u64) -> Vec<Digest> {
    consistency(from, leaves.len() as u64, &mut nodes(leaves)).unwrap()
}

#[test]
fn roots_are_those_that_are_published() {
    let leaves = published();
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    for (at, root) in ROOTS.into_iter().enumerate() {
        frontier.push(leaves[at]);
        assert_eq!(frontier.root(), hex(root), "{at}");
        assert_eq!(root_at(at as u64 + 1, &mut nodes(&leaves)).unwrap(), hex(root), "{at}");
    }
}

#[test]
fn proofs_are_those_that_are_published() {
    let leaves = published();
    let check = |path: Vec<Digest>, expected: &[&str]| {
        assert_eq!(path, expected.iter().map(|step| hex(step)).collect::<Vec<_>>());
    };
    check(proof_of(&leaves[..1], 0), &[]);
    check(
        proof_of(&leaves, 0),
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    );
    check(proof_of(&leaves[..3], 2), &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]);
    check(proof_between(&leaves[..1], 1), &[]);
    check(
        proof_between(&leaves[..8], 6),
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    );
    check(
        proof_between(&leaves[..5], 2),
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    );
}

#[test]
fn what_is_out_of_range_is_refused() {
    let leaves = leaves(3);
    let none: Result<Vec<Digest>, RangeError> = inclusion(3, 3, &mut nodes(&leaves));
    assert_eq!(none.unwrap_err().to_string(), "record 3 is not in a tree of 3 records");
    let none: Result<Vec<Digest>, RangeError> = consistency(4, 3, &mut nodes(&leaves));
    assert_eq!(none.unwrap_err().to_string(), "a tree of 4 records is not the beginning of one of 3");
    let root = defined(&leaves);
    assert!(!includes(&leaves[0], 0, 0, &[], &root));
    assert!(!includes(&leaves[0], 3, 3, &[], &root));
    assert!(!extends(3, 2, &root, &root, &[]));
    // Nothing is shown of an empty tree but that it is empty.
    assert!(extends(0, 3, &empty_root(), &root, &[]));
    assert!(!extends(0, 3, &root, &root, &[]));
    // Sizes at the end of the range end in an answer.
    let long = vec![root; PATH_MAX];
    assert!(!includes(&root, u64::MAX - 1, u64::MAX, &long, &root));
    assert!(!extends(1, u64::MAX, &root, &root, &long));
    assert!(!extends(u64::MAX - 1, u64::MAX, &root, &root, &long));
}

#[test]
fn a_frontier_is_as_long_as_its_size_demands() {
    let mut frontier = Frontier::default();
    for leaf in leaves(11) {
        frontier.push(leaf);
    }
    let bytes = frontier.to_bytes();
    assert_eq!(bytes.len(), 3 * 32);
    assert_eq!(Frontier::from_bytes(11, &bytes), Some(frontier));
    for (size, bytes) in
        [(10, &bytes[..]), (11, &bytes[1..]), (11, &[]), (0, &bytes[..32]), (u64::MAX, &bytes)]
    {
        assert_eq!(Frontier::from_bytes(size, bytes), None);
    }
    assert_eq!(Frontier::from_bytes(0, &[]), Some(Frontier::default()));
}

proptest! {
    #[test]
    fn the_frontier_has_the_root_that_is_defined(count in 0..200_u64) {
        let leaves = leaves(count);
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!(frontier.root(), defined(&leaves));
        prop_assert_eq!(root_of(&leaves), defined(&leaves));
        prop_assert_eq!(root_at(count, &mut nodes(&leaves)).unwrap(), defined(&leaves));
        for (height, place, hash) in frontier.peaks() {
            prop_assert_eq!(nodes(&leaves)(height, place).unwrap(), hash);
        }
        prop_assert_eq!(&frontier_at(count, &mut nodes(&leaves)).unwrap(), &frontier);
        let again = Frontier::from_bytes(count, &frontier.to_bytes());
        prop_assert_eq!(again, Some(frontier));
    }

    #[test]
    fn every_record_is_proved_and_no_other_is(count in 1..200_u64, index in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
        let leaves = leaves(count);
        let index = index.index(leaves.len()) as u64;
        let (root, path) = (defined(&leaves), proof_of(&leaves, index));
        prop_assert!(path.len() <= PATH_MAX);
        let own = &leaves[index as usize];
        prop_assert!(includes(own, index, count, &path, &root));
        let other = other.index(leaves.len());
        prop_assert_eq!(includes(&leaves[other], index, count, &path, &root), other as u64 == index);
        prop_assert_eq!(includes(own, other as u64, count, &path, &root), other as u64 == index);
        prop_assert!(!includes(own, index, count, &path, &node(own, &root)));
        let longer = [path.clone(), vec![root]].concat();
        prop_assert!(!includes(own, index, count, &longer, &root));
        if let Some((_, shorter)) = path.split_last() {
            prop_assert!(!includes(own, index, count, shorter, &root));
        }
        for at in 0..path.len() {
            let mut changed = path.clone();
            changed[at] = root;
            prop_assert!(!includes(own, index, count, &changed, &root));
        }
    }

    #[test]
    fn every_earlier_tree_is_shown_to_be_the_beginning_and_no_other_is(count in 1..200_u64, from in any::<prop::sample::Index>()) {
        let leaves = leaves(count);
        let from = from.index(leaves.len() + 1) as u64;
        let (root, path) = (defined(&leaves), proof_between(&leaves, from));
        prop_assert!(path.len() <= PATH_MAX);
        let before = defined(&leaves[..from as usize]);
        prop_assert!(extends(from, count, &before, &root, &path));
        prop_assert!(!extends(from, count, &node(&root, &root), &root, &path));
        if from > 0 {
            prop_assert!(!extends(from, count, &before, &node(&root, &root), &path));
        }
        let longer = [path.clone(), vec![root]].concat();
        prop_assert!(!extends(from, count, &before, &root, &longer));
        for at in 0..path.len() {
            let mut changed = path.clone();
            changed[at] = node(&root, &root);
            prop_assert!(!extends(from, count, &before, &root, &changed));
        }
        if from > 1 && from < count {
            // The same number of records, one of which was another.
            let mut lied = leaves;
            lied[0] = root;
            let lied_root = defined(&lied);
            prop_assert!(!extends(from, count, &before, &lied_root, &proof_between(&lied, from)));
        }
    }
}
