//! Base64 as everything here writes it and the only form that is read: the standard alphabet with padding,
//! canonical, without line breaks (RFC 4648, section 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// None unless `encode` of the result would give the text back.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_one_canonical_form() {
        assert_eq!(decode("aGk=").unwrap(), b"hi");
        assert_eq!(decode("").unwrap(), b"");
        // Missing and surplus padding, white space, stray bits in the last digit, the other alphabet.
        for bad in ["aGk", "aGk==", "aGk=\n", " aGk=", "aG k=", "aGl=", "-_8=", "aGk=aGk="] {
            assert!(decode(bad).is_none(), "{bad:?}");
        }
    }
}
