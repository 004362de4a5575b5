//! Takes secrets out of what comes back from another machine, also where one is cut by the border of two parts.

use std::sync::Arc;

use zeroize::Zeroizing;

/// What stands where a secret stood.
const MARK: &[u8] = b"[secret]";

/// The values to take out.
pub(crate) type Values = Arc<[Zeroizing<Vec<u8>>]>;

/// A shorter value is looked for only as it is: its other forms would be found where they are not.
const WRITTEN_BYTES_MIN: usize = 8;

/// A value as it is, and as servers write what they were sent: in addresses, in JSON, in HTML, in base64 (alone or
/// behind a user name).
pub(crate) fn written(value: &Zeroizing<Vec<u8>>) -> Vec<Zeroizing<Vec<u8>>> {
    let mut all = vec![value.clone()];
    if value.len() < WRITTEN_BYTES_MIN {
        return all;
    }
    let forms: [fn(u8) -> Option<String>; 5] = [
        |byte| (!plain(byte)).then(|| format!("%{byte:02X}")),
        |byte| (!plain(byte)).then(|| format!("%{byte:02x}")),
        |byte| b"\"\\".contains(&byte).then(|| format!("\\{}", char::from(byte))),
        |byte| b"\"\\/".contains(&byte).then(|| format!("\\{}", char::from(byte))),
        |byte| match byte {
            b'&' => Some("&amp;".to_owned()),
            b'<' => Some("&lt;".to_owned()),
            b'>' => Some("&gt;".to_owned()),
            b'"' => Some("&quot;".to_owned()),
            b'\'' => Some("&#39;".to_owned()),
            _ => None,
        },
    ];
    for form in forms {
        let mut text = Zeroizing::new(Vec::new());
        for byte in value.iter() {
            match form(*byte) {
                Some(escaped) => text.extend_from_slice(escaped.as_bytes()),
                None => text.push(*byte),
            }
        }
        all.push(text);
    }
    for (before, alphabet) in (0..3).flat_map(|before| [(before, b"+/"), (before, b"-_")]) {
        all.push(base64(value, before, *alphabet));
    }
    all.sort_unstable_by(|one, other| one.as_slice().cmp(other));
    all.dedup();
    all
}

/// What stands for itself in an address.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// The characters of base64 that a value alone decides, wherever it begins: behind 0, 1 or 2 bytes.
fn base64(value: &[u8], before: usize, last: [u8; 2]) -> Zeroizing<Vec<u8>> {
    let letters: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last).collect();
    let mut text = Zeroizing::new(Vec::new());
    let (mut bits, mut count) = (0_u32, 0);
    for byte in std::iter::repeat_n(&0, before).chain(value) {
        (bits, count) = ((bits << 8 | u32::from(*byte)) & 0xffff, count + 8);
        while count >= 6 {
            count -= 6;
            text.extend(letters.get((bits >> count & 63) as usize));
        }
    }
    // The first of them hold bits of what stands before.
    let foreign = (before * 8).div_ceil(6).min(text.len());
    text.drain(..foreign);
    text
}

/// Takes values out of a stream of bytes.
pub(crate) struct Scrubber {
    values: Values,
    /// Whether a value begins with a byte.
    begins: [bool; 256],
    /// The end of what came so far, as long as it may be the beginning of a value.
    held: Zeroizing<Vec<u8>>,
}

impl Scrubber {
    pub(crate) fn new(values: Values) -> Self {
        let mut begins = [false; 256];
        for first in values.iter().filter_map(|value| value.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*first)) {
                *begins = true;
            }
        }
        Self { values, begins, held: Zeroizing::default() }
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
            if !self.begins.get(usize::from(*first)).copied().unwrap_or(true) {
                out.push(*first);
                at += 1;
                continue;
            }
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

    const MARK_TEXT: &str = "[secret]";

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
    fn takes_values_out_however_they_are_written() {
        let secret = "a+b/c==\"\\&d";
        let forms: Values = written(&Zeroizing::new(secret.as_bytes().to_vec())).into();
        let check = |text: &str, expected: &str| {
            let said = Scrubber::whole(&forms, text.as_bytes());
            assert_eq!(String::from_utf8(said).unwrap(), expected, "{text}");
        };
        check(secret, MARK_TEXT);
        check("?token=a%2Bb%2Fc%3D%3D%22%5C%26d&x", "?token=[secret]&x");
        check("?token=a%2bb%2fc%3d%3d%22%5c%26d&x", "?token=[secret]&x");
        check(r#"{"token":"a+b/c==\"\\&d"}"#, r#"{"token":"[secret]"}"#);
        check(r#"{"token":"a+b\/c==\"\\&d"}"#, r#"{"token":"[secret]"}"#);
        check("<p>a+b/c==&quot;\\&amp;d</p>", "<p>[secret]</p>");
        // base64 of the value: alone, behind `u:`, between `me:` and something else, behind `x`. A character
        // that holds bits of something else stays.
        check("YStiL2M9PSJcJmQ=", "[secret]Q=");
        check("dTphK2IvYz09IlwmZA==", "dTp[secret]A==");
        check("bWU6YStiL2M9PSJcJmQ7", "bWU6[secret]Q7");
        check("eGErYi9jPT0iXCZk", "eG[secret]");
    }

    #[test]
    fn a_short_value_is_taken_out_as_it_is() {
        let forms = written(&Zeroizing::new(b"a+b".to_vec()));
        assert_eq!(forms.len(), 1);
        let forms = written(&Zeroizing::new(b"hunter22".to_vec()));
        assert_eq!(forms.len(), 4, "as it is, and in base64 behind nothing, one byte and two");
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
