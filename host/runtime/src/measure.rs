//! Digests of arguments and results, for records. One pass, no copy of what is measured.

use loong_kernel::Measure;
use loong_manifest::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Val;

use crate::executor::{Arguments, Output};
use crate::guest::Stdin;

/// Measures arguments in the form in which the caller has them.
pub(crate) fn arguments(arguments: &Arguments) -> Measure {
    match arguments {
        Arguments::Json(json) => of_json(json),
        Arguments::Values(values) => of_values(values),
        Arguments::Command { arguments, stdin } => {
            let mut meter = Meter::new(b"loong.arguments.command/1");
            meter.count(arguments.len());
            arguments.iter().for_each(|argument| meter.put(argument.as_bytes()));
            match stdin {
                Stdin::Empty => meter.put(b"empty"),
                Stdin::Bytes(bytes) => {
                    meter.put(b"bytes");
                    meter.put(bytes);
                }
                Stdin::Inherited => meter.put(b"inherited"),
            }
            meter.finish()
        }
    }
}

/// Measures a result in the form in which it is handed on.
pub(crate) fn output(output: &Output) -> Measure {
    match output {
        Output::Json(json) => of_json(json),
        Output::Values(values) => of_values(values),
    }
}

fn of_json(json: &Value) -> Measure {
    let mut meter = Meter::new(b"loong.value.json/1");
    meter.json(json);
    meter.finish()
}

fn of_values(values: &[Val]) -> Measure {
    let mut meter = Meter::new(b"loong.value.wit/1");
    meter.values(values);
    meter.finish()
}

/// Length-prefixed and tagged, so that no two values read the same.
struct Meter {
    hash: Sha256,
    bytes: u64,
}

impl Meter {
    fn new(domain: &[u8]) -> Self {
        let mut meter = Self { hash: Sha256::new(), bytes: 0 };
        meter.put(domain);
        meter.bytes = 0;
        meter
    }

    fn finish(self) -> Measure {
        Measure { digest: Digest::from_bytes(self.hash.finalize().into()), bytes: self.bytes }
    }

    fn tag(&mut self, tag: u8) {
        self.hash.update([tag]);
    }

    fn count(&mut self, count: usize) {
        self.hash.update((count as u64).to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.hash.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    fn fixed<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        self.tag(tag);
        self.hash.update(bytes);
        self.bytes = self.bytes.saturating_add(N as u64);
    }

    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.tag(b'0'),
            Value::Bool(value) => self.fixed(b'b', [u8::from(*value)]),
            Value::Number(number) => {
                self.tag(b'n');
                self.put(number.to_string().as_bytes());
            }
            Value::String(text) => {
                self.tag(b's');
                self.put(text.as_bytes());
            }
            Value::Array(items) => {
                self.tag(b'a');
                self.count(items.len());
                items.iter().for_each(|item| self.json(item));
            }
            Value::Object(members) => {
                self.tag(b'o');
                self.count(members.len());
                let mut members: Vec<_> = members.iter().collect();
                members.sort_unstable_by_key(|(key, _)| key.as_bytes());
                for (key, member) in members {
                    self.put(key.as_bytes());
                    self.json(member);
                }
            }
        }
    }

    fn values(&mut self, values: &[Val]) {
        self.count(values.len());
        values.iter().for_each(|value| self.value(value));
    }

    fn value(&mut self, value: &Val) {
        match value {
            Val::Bool(value) => self.fixed(1, [u8::from(*value)]),
            Val::S8(value) => self.fixed(2, value.to_be_bytes()),
            Val::U8(value) => self.fixed(3, value.to_be_bytes()),
            Val::S16(value) => self.fixed(4, value.to_be_bytes()),
            Val::U16(value) => self.fixed(5, value.to_be_bytes()),
            Val::S32(value) => self.fixed(6, value.to_be_bytes()),
            Val::U32(value) => self.fixed(7, value.to_be_bytes()),
            Val::S64(value) => self.fixed(8, value.to_be_bytes()),
            Val::U64(value) => self.fixed(9, value.to_be_bytes()),
            Val::Float32(value) => self.fixed(10, value.to_bits().to_be_bytes()),
            Val::Float64(value) => self.fixed(11, value.to_bits().to_be_bytes()),
            Val::Char(value) => self.fixed(12, u32::from(*value).to_be_bytes()),
            Val::String(text) | Val::Enum(text) => {
                self.tag(13);
                self.put(text.as_bytes());
            }
            Val::List(items) if matches!(items.first(), Some(Val::U8(_))) => self.list_of_bytes(items),
            Val::List(items) | Val::FixedLengthList(items) | Val::Tuple(items) => {
                self.tag(15);
                self.values(items);
            }
            Val::Record(fields) => {
                self.tag(16);
                self.count(fields.len());
                for (name, field) in fields {
                    self.put(name.as_bytes());
                    self.value(field);
                }
            }
            Val::Variant(name, payload) => {
                self.tag(17);
                self.put(name.as_bytes());
                self.payload(payload.as_deref());
            }
            Val::Option(some) => {
                self.tag(18);
                self.payload(some.as_deref());
            }
            Val::Result(result) => {
                let (tag, payload) = match result {
                    Ok(ok) => (19, ok.as_deref()),
                    Err(err) => (20, err.as_deref()),
                };
                self.tag(tag);
                self.payload(payload);
            }
            Val::Flags(names) => {
                self.tag(21);
                self.count(names.len());
                names.iter().for_each(|name| self.put(name.as_bytes()));
            }
            Val::Map(entries) => {
                self.tag(22);
                self.count(entries.len());
                for (key, value) in entries {
                    self.value(key);
                    self.value(value);
                }
            }
            // Handles never cross, so none is measured.
            Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => self.tag(23),
        }
    }

    /// Bytes in pieces: one update for each would cost more than the hash.
    fn list_of_bytes(&mut self, items: &[Val]) {
        self.tag(14);
        self.count(items.len());
        let mut piece = [0; 1024];
        for chunk in items.chunks(piece.len()) {
            let mut length = 0;
            for (slot, item) in piece.iter_mut().zip(chunk) {
                if let Val::U8(byte) = item {
                    *slot = *byte;
                    length += 1;
                }
            }
            self.hash.update(piece.get(..length).unwrap_or_default());
        }
        self.bytes = self.bytes.saturating_add(items.len() as u64);
    }

    fn payload(&mut self, payload: Option<&Val>) {
        match payload {
            None => self.tag(0),
            Some(value) => {
                self.tag(1);
                self.value(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn different_values_measure_differently_and_the_order_of_members_means_nothing() {
        let text = |text: &str| Val::String(text.to_owned());
        let values = [
            Val::U8(1),
            Val::S8(1),
            Val::U32(1),
            Val::Bool(true),
            text("a"),
            Val::List(vec![]),
            Val::List(vec![text("ab"), text("c")]),
            Val::List(vec![text("a"), text("bc")]),
            Val::List(vec![Val::U8(1), Val::U8(2)]),
            Val::List(vec![Val::U8(12)]),
            Val::Option(None),
            Val::Option(Some(Box::new(Val::Option(None)))),
            Val::Result(Ok(None)),
            Val::Result(Err(None)),
            Val::Variant("a".into(), None),
            Val::Flags(vec!["a".into()]),
            Val::Record(vec![("a".into(), text("b"))]),
            Val::Map(vec![(text("a"), text("b"))]),
        ];
        let digests: std::collections::BTreeSet<_> =
            values.iter().map(|value| of_values(std::slice::from_ref(value)).digest).collect();
        assert_eq!(digests.len(), values.len());
        let (one, other): (Value, Value) = (json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 1 }));
        assert_eq!(of_json(&one), of_json(&other));
        assert_ne!(of_json(&json!("1")).digest, of_json(&json!(1)).digest);
        assert_eq!(of_values(&[text("abc")]).bytes, 3);
    }
}
