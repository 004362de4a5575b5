//! The encoding of what is signed, approved or chained.

/// Adds a part, with its length in bytes before it as 64 bits, the most significant first: so no two lists of parts
/// read the same, which they would if they were only written one behind the other.
pub fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
    bytes.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn encoded(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| super::part(&mut bytes, part));
        bytes
    }

    proptest! {
        #[test]
        fn only_equal_lists_read_the_same(
            left in prop::collection::vec(prop::collection::vec(0..3_u8, 0..4), 0..4),
            right in prop::collection::vec(prop::collection::vec(0..3_u8, 0..4), 0..4),
        ) {
            prop_assert_eq!(encoded(&left) == encoded(&right), left == right);
        }
    }
}
