//! The hash chain over the audit log: each record carries the SHA-256 of its own canonical encoding,
//! which includes the hash of its predecessor.

use loong_manifest::{Digest, canonical};
use serde_json::Value;

/// Begins every encoding, so that a hash over a record is never a hash over anything else.
const DOMAIN: &[u8] = b"loong.audit.record/1";

/// The predecessor of the first record.
pub const GENESIS: Digest = Digest::from_bytes([0; 32]);

/// The hash of a record: its place (from 0), its time in milliseconds since the Unix epoch, its predecessor's
/// hash, and the event as JSON.
pub fn hash(index: u64, time_ms: u64, previous: &Digest, event: &Value) -> Digest {
    let mut bytes = Vec::with_capacity(512);
    canonical::part(&mut bytes, DOMAIN);
    bytes.extend_from_slice(&index.to_be_bytes());
    bytes.extend_from_slice(&time_ms.to_be_bytes());
    bytes.extend_from_slice(previous.as_bytes());
    encode(&mut bytes, event);
    Digest::of(&bytes)
}

/// The canonical encoding of a JSON value: a type byte, then either nothing, a length-prefixed text, or a
/// count and that many values. Members of an object are in the order of their keys' bytes. Injective: two
/// different values never share an encoding.
pub fn encode(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(b'0'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Number(number) => {
            bytes.push(b'n');
            canonical::part(bytes, number.to_string().as_bytes());
        }
        Value::String(text) => {
            bytes.push(b's');
            canonical::part(bytes, text.as_bytes());
        }
        Value::Array(items) => {
            bytes.push(b'a');
            bytes.extend_from_slice(&(items.len() as u64).to_be_bytes());
            for item in items {
                encode(bytes, item);
            }
        }
        Value::Object(members) => {
            bytes.push(b'o');
            bytes.extend_from_slice(&(members.len() as u64).to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.as_bytes());
            for (key, member) in members {
                canonical::part(bytes, key.as_bytes());
                encode(bytes, member);
            }
        }
    }
}

/// One digest for a list of parts.
pub fn fingerprint(parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::with_capacity(256);
    parts.iter().for_each(|part| canonical::part(&mut bytes, part));
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes, value);
        bytes
    }

    #[test]
    fn neighbours_that_plain_concatenation_would_confuse_stay_apart() {
        let values = [
            json!(null),
            json!(false),
            json!(0),
            json!("0"),
            json!(""),
            json!([]),
            json!({}),
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!([["a"], "bc"]),
            json!({"a": "b"}),
            json!({"ab": ""}),
            json!(["a", "b"]),
        ];
        for (at, left) in values.iter().enumerate() {
            for right in values.iter().skip(at + 1) {
                assert_ne!(encoded(left), encoded(right), "{left} {right}");
            }
        }
    }

    #[test]
    fn the_hash_of_a_known_record_never_changes() {
        let event = json!({"kind": "run_started", "run": "r", "request": "x"});
        assert_eq!(
            hash(7, 1_700_000_000_000, &GENESIS, &event).to_hex(),
            "f7e01d13844195192e50bf4df830916e37e3ed3110adaff1f4e2a9107f11b0c6"
        );
        assert_ne!(
            hash(8, 1_700_000_000_000, &GENESIS, &event),
            hash(7, 1_700_000_000_000, &GENESIS, &event)
        );
    }
}
