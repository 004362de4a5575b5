//! Types and values in a few words, for messages.

use serde_json::Value;
use wasmtime::component::Type;

/// Bytes of type or JSON quoted in a message.
const TYPE_BYTES_MAX: usize = 160;
const QUOTE_CHARS_MAX: usize = 40;

/// The type as WIT would say it without names of its own: `record { name: string, tags: list<string> }`.
/// Cut after a line's length, because a small component can have a type of exponential size.
pub fn wit_text(ty: &Type) -> String {
    let mut text = String::new();
    write_type(&mut text, ty);
    if text.len() > TYPE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TYPE_BYTES_MAX));
        text.push('…');
    }
    text
}

fn write_type(text: &mut String, ty: &Type) {
    match ty {
        Type::Bool => text.push_str("bool"),
        Type::S8 => text.push_str("s8"),
        Type::U8 => text.push_str("u8"),
        Type::S16 => text.push_str("s16"),
        Type::U16 => text.push_str("u16"),
        Type::S32 => text.push_str("s32"),
        Type::U32 => text.push_str("u32"),
        Type::S64 => text.push_str("s64"),
        Type::U64 => text.push_str("u64"),
        Type::Float32 => text.push_str("f32"),
        Type::Float64 => text.push_str("f64"),
        Type::Char => text.push_str("char"),
        Type::String => text.push_str("string"),
        Type::List(list) => angled(text, "list", [Some(list.ty())]),
        Type::FixedLengthList(list) => {
            text.push_str("list<");
            write_type(text, &list.ty());
            text.push_str(&format!(", {}>", list.len()));
        }
        Type::Map(map) => angled(text, "map", [Some(map.key()), Some(map.value())]),
        Type::Record(record) => braced(text, "record", record.fields(), |text, field| {
            text.push_str(field.name);
            text.push_str(": ");
            write_type(text, &field.ty);
        }),
        Type::Tuple(tuple) => angled(text, "tuple", tuple.types().map(Some)),
        Type::Variant(variant) => braced(text, "variant", variant.cases(), |text, case| {
            text.push_str(case.name);
            if let Some(ty) = case.ty {
                text.push('(');
                write_type(text, &ty);
                text.push(')');
            }
        }),
        Type::Enum(cases) => braced(text, "enum", cases.names(), |text, name| text.push_str(name)),
        Type::Flags(flags) => braced(text, "flags", flags.names(), |text, name| text.push_str(name)),
        Type::Option(option) => angled(text, "option", [Some(option.ty())]),
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => text.push_str("result"),
            (ok, None) => angled(text, "result", [ok]),
            (ok, err) => angled(text, "result", [ok, err]),
        },
        Type::Own(_) => text.push_str("own<resource>"),
        Type::Borrow(_) => text.push_str("borrow<resource>"),
        Type::Future(future) => angled(text, "future", [future.ty()]),
        Type::Stream(stream) => angled(text, "stream", [stream.ty()]),
        Type::ErrorContext => text.push_str("error-context"),
    }
}

fn angled(text: &mut String, name: &str, types: impl IntoIterator<Item = Option<Type>>) {
    text.push_str(name);
    listed(text, '<', types, |text, ty| match ty {
        Some(ty) => write_type(text, &ty),
        None => text.push('_'),
    });
    text.push('>');
}

fn braced<T>(text: &mut String, name: &str, items: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) {
    text.push_str(name);
    text.push(' ');
    listed(text, '{', items, |text, item| {
        text.push_str(if text.ends_with('{') { " " } else { "" });
        write(text, item);
    });
    text.push_str(" }");
}

fn listed<T>(
    text: &mut String,
    open: char,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    text.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if text.len() > TYPE_BYTES_MAX {
            return;
        }
        if index > 0 {
            text.push_str(", ");
        }
        write(text, item);
    }
}

/// What a piece of JSON is, in a few words.
pub(super) fn json_text(json: &Value) -> String {
    match json {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", shortened(text)),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(members) => match members.keys().next() {
            Some(first) if members.len() == 1 => format!("an object with the member `{}`", shortened(first)),
            _ => format!("an object with {} members", members.len()),
        },
    }
}

/// The beginning of a text.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
