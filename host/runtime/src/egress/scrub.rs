//! Takes secrets out of what comes back from another machine, also where one is cut by the border of two parts.

use std::sync::Arc;

use zeroize::Zeroizing;

/// What stands where a secret stood.
const MARK: &[u8] = b"[secret]";

/// The values to take out.
pub(crate) type Values = Arc<[Zeroizing<Vec<u8>>]>;

/// Takes values out of a stream of bytes.
pub(crate) struct Scrubber {
    values: Values,
    /// The end of what came so far, as long as it may be the beginning of a value.
    held: Zeroizing<Vec<u8>>,
}

impl Scrubber {
    pub(crate) fn new(values: Values) -> Self {
        Self { values, held: Zeroizing::default() }
    }

    /// The next part of the stream, without values; what may be the beginning of one is kept back.
    pub(crate) fn part(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.scan(false)
    }

    /// What was kept back, at the end of the stream.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.scan(true)
    }

    /// A text that is there as a whole.
    pub(crate) fn whole(values: &Values, bytes: &[u8]) -> Vec<u8> {
        let mut scrubber = Self::new(Arc::clone(values));
        let mut out = scrubber.part(bytes);
        out.extend(scrubber.end());
        out
    }

    fn scan(&mut self, end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(rest) = self.held.get(at..)
            && let Some(first) = rest.first()
        {
            // A longer value may begin here; what decides that has not come yet.
            if !end && self.values.iter().any(|value| value.len() > rest.len() && value.starts_with(rest)) {
                break;
            }
            let found =
                self.values.iter().filter(|value| rest.starts_with(value)).map(|value| value.len()).max();
            match found.filter(|length| *length > 0) {
                Some(length) => {
                    out.extend_from_slice(MARK);
                    at += length;
                }
                None => {
                    out.push(*first);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(values: &[&str]) -> Values {
        values.iter().map(|value| Zeroizing::new(value.as_bytes().to_vec())).collect()
    }

    fn scrubbed(secrets: &[&str], parts: &[&str]) -> String {
        let mut scrubber = Scrubber::new(values(secrets));
        let mut out = Vec::new();
        for part in parts {
            out.extend(scrubber.part(part.as_bytes()));
        }
        out.extend(scrubber.end());
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(secrets: &[&str], parts: &[&str], expected: &str) {
        assert_eq!(scrubbed(secrets, parts), expected, "{parts:?}");
    }

    #[test]
    fn takes_values_out_wherever_they_are() {
        check(&["hunter22"], &["your token is hunter22!"], "your token is [secret]!");
        check(&["hunter22"], &["hunter22hunter22"], "[secret][secret]");
        check(&["hunter22"], &["hun", "ter", "22"], "[secret]");
        check(&["hunter22"], &["h", "u", "n", "t", "e", "r", "2", "2", "x"], "[secret]x");
        check(&["hunter22"], &["hunhunter22"], "hun[secret]");
        check(&["aab"], &["aa", "aab"], "aa[secret]");
        check(&["hunter22", "hunter2222"], &["hunter22", "22 hunter22"], "[secret] [secret]");
    }

    #[test]
    fn leaves_everything_else_as_it_is() {
        check(&["hunter22"], &["hunter2", " hunter"], "hunter2 hunter");
        check(&["hunter22"], &[], "");
        check(&[], &["hunter22"], "hunter22");
        check(&[""], &["a"], "a");
    }

    proptest! {
        #[test]
        fn the_borders_of_parts_do_not_matter(
            text in "[ab]{0,40}", secret in "[ab]{1,6}", other in "[ab]{1,6}", cuts in prop::collection::vec(0usize..40, 0..6)
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&text[from..cut]);
                from = cut;
            }
            parts.push(&text[from..]);
            let whole = scrubbed(&[&secret, &other], &[&text]);
            prop_assert_eq!(scrubbed(&[&secret, &other], &parts), &*whole);
            prop_assert!(!whole.contains(&*secret) && !whole.contains(&*other));
        }
    }
}
