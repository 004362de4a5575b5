//! `similarity`: the Levenshtein distance of two texts, as a number from 0 to 1.

use std::collections::HashMap;

use crate::{Error, bounded};

/// Longest text, in bytes. The work grows with the product of both lengths; two texts of this length
/// take about 10^7 steps of 60 instructions, which is what a component may do that nobody vouches for.
pub const TEXT_BYTES_MAX: usize = 24 << 10;

/// How alike two texts are: 1 - distance / length of the longer one, in characters. 1 is the same.
pub fn similarity(left: &str, right: &str) -> Result<f64, Error> {
    bounded("left-bytes", left.len(), TEXT_BYTES_MAX)?;
    bounded("right-bytes", right.len(), TEXT_BYTES_MAX)?;
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let longer = left.len().max(right.len());
    if longer == 0 {
        return Ok(1.0);
    }
    Ok(1.0 - distance(&left, &right) as f64 / longer as f64)
}

/// The Levenshtein distance by bit-parallel blocks: G. Myers, "A fast bit-vector algorithm for approximate
/// string matching based on dynamic programming", J. ACM 46(3), 1999, in the form of H. Hyyrö, 2003.
///
/// A block is 64 rows of the table of distances. Blocks are done one after the other; between them only
/// the horizontal steps (-1, 0 or 1) of the row they share are kept.
fn distance(rows: &[char], columns: &[char]) -> usize {
    let mut numbers = HashMap::new();
    let mut number = |character: &char| {
        let next = numbers.len();
        *numbers.entry(*character).or_insert(next)
    };
    let columns: Vec<usize> = columns.iter().map(&mut number).collect();
    let rows: Vec<usize> = rows.iter().map(&mut number).collect();

    // For each character, the rows of the block that hold it.
    let mut matches = vec![0_u64; numbers.len()];
    let mut steps = vec![1_i8; columns.len()];
    for block in rows.chunks(64) {
        for (row, character) in block.iter().enumerate() {
            if let Some(bits) = matches.get_mut(*character) {
                *bits |= 1 << row;
            }
        }
        let last = 1_u64 << (block.len() - 1);
        let (mut up, mut down) = (u64::MAX, 0_u64);
        for (character, step) in columns.iter().zip(&mut steps) {
            let equal = matches.get(*character).copied().unwrap_or(0);
            let vertical = equal | down;
            let equal = equal | u64::from(*step < 0);
            let horizontal = ((equal & up).wrapping_add(up) ^ up) | equal;
            let rise = down | !(horizontal | up);
            let fall = up & horizontal;
            let (from_above_rise, from_above_fall) = (u64::from(*step > 0), u64::from(*step < 0));
            *step = i8::from(rise & last != 0) - i8::from(fall & last != 0);
            let (rise, fall) = (rise << 1 | from_above_rise, fall << 1 | from_above_fall);
            up = fall | !(vertical | rise);
            down = rise & vertical;
        }
        for character in block {
            if let Some(bits) = matches.get_mut(*character) {
                *bits = 0;
            }
        }
    }
    // The last row begins with the number of rows.
    let across: isize = steps.iter().map(|step| isize::from(*step)).sum();
    rows.len().saturating_add_signed(across)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, row by row.
    fn by_definition(left: &[char], right: &[char]) -> usize {
        let mut row: Vec<usize> = (0..=right.len()).collect();
        for (i, a) in left.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, b) in right.iter().enumerate() {
                let best = (diagonal + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = row[j + 1];
                row[j + 1] = best;
            }
        }
        row[right.len()]
    }

    #[track_caller]
    fn check(left: &str, right: &str, expected: f64) {
        assert_eq!(similarity(left, right), Ok(expected));
    }

    #[test]
    fn goes_from_nothing_in_common_to_the_same() {
        check("", "", 1.0);
        check("abc", "abc", 1.0);
        check("abc", "", 0.0);
        check("", "abc", 0.0);
        check("abc", "xyz", 0.0);
        check("kitten", "sitting", 1.0 - 3.0 / 7.0);
        check("straße", "strasse", 1.0 - 2.0 / 7.0);
    }

    #[test]
    fn refuses_texts_over_the_cap() {
        let large = "x".repeat(TEXT_BYTES_MAX + 1);
        let refused = |name| Err(Error::TooLarge { name, maximum: 24_576, used: 24_577 });
        assert_eq!(similarity(&large, ""), refused("left-bytes"));
        assert_eq!(similarity("", &large), refused("right-bytes"));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(left in "[abc]{0,200}", right in "[abcd]{0,200}") {
            let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            prop_assert_eq!(distance(&left, &right), by_definition(&left, &right));
        }

        #[test]
        fn is_symmetric_and_between_0_and_1(left in "\\PC*", right in "\\PC*") {
            let value = similarity(&left, &right).unwrap();
            prop_assert!((0.0..=1.0).contains(&value));
            prop_assert_eq!(value, similarity(&right, &left).unwrap());
            prop_assert_eq!(value == 1.0, left == right);
        }
    }
}
