//! JSON Schemas (draft 2020-12) of the JSON that `loong_runtime::values` reads and writes. The mapping is
//! documented there; the two must say the same, and a test of `loong-compile` holds them together.

use serde_json::{Map, Value, json};

use crate::shape::{Named, Shape, Signature};

/// The largest integer that every JSON reader keeps exactly, 2^53 - 1 (RFC 8259, section 6).
const SAFE_MAX: i64 = (1 << 53) - 1;

/// Which way a value goes: what is read is described more widely than what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// The schema of the object that holds the arguments, and that of the result.
pub(crate) fn schemas(signature: &Signature) -> (Value, Value) {
    let input = record(&signature.parameters, Way::In);
    let output =
        signature.result.as_ref().map_or_else(|| json!({ "type": "null" }), |shape| schema(shape, Way::Out));
    (input, output)
}

/// The schema without its texts, so that one derived from a component can be compared with one derived from
/// its source. Every `description` that is text goes: a property of that name is a schema, never text.
pub fn without_descriptions(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(key, value)| !(key.as_str() == "description" && value.is_string()))
            .map(|(key, value)| (key.clone(), without_descriptions(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_descriptions).collect(),
        other => other.clone(),
    }
}

fn schema(shape: &Shape, way: Way) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::S64 => {
            wide(way, json!(i64::MIN), json!(i64::MAX), json!(-SAFE_MAX), "^(0|-?[1-9][0-9]{0,18})$")
        }
        Shape::U64 => wide(way, json!(0), json!(u64::MAX), json!(0), "^(0|[1-9][0-9]{0,19})$"),
        Shape::Float => json!({ "type": ["number", "string"], "pattern": "^(NaN|-?Infinity)$" }),
        Shape::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json!({ "type": "string" }),
        Shape::Bytes if way == Way::In => {
            json!({ "type": ["string", "array"], "contentEncoding": "base64", "items": schema(&Shape::U8, way) })
        }
        Shape::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Shape::List(element) => json!({ "type": "array", "items": schema(element, way) }),
        Shape::FixedList(element, length) => {
            json!({ "type": "array", "items": schema(element, way), "minItems": length, "maxItems": length })
        }
        Shape::Map(key, value) if key.is_string() => {
            json!({ "type": "object", "additionalProperties": schema(value, way) })
        }
        Shape::Map(key, value) => json!({ "type": "array", "items": tuple(&[key, value], way) }),
        Shape::Record(fields) => record(fields, way),
        Shape::Tuple(items) => tuple(&items.iter().collect::<Vec<_>>(), way),
        Shape::Variant(cases) => variant(cases, way),
        Shape::Enum(cases) => listed(json!({ "type": "string", "enum": names(cases) }), cases),
        Shape::Flags(flags) => listed(
            json!({ "type": "array", "items": { "type": "string", "enum": names(flags) }, "uniqueItems": true }),
            flags,
        ),
        Shape::Option(inner) if inner.is_option() => {
            nullable(one_of(&Map::from_iter([("some".to_owned(), schema(inner, way))])))
        }
        Shape::Option(inner) => nullable(schema(inner, way)),
        Shape::Result(ok, err) => {
            let side =
                |side: &Option<Box<Shape>>| side.as_ref().map_or_else(nothing, |shape| schema(shape, way));
            one_of(&Map::from_iter([("ok".to_owned(), side(ok)), ("err".to_owned(), side(err))]))
        }
        Shape::Described(doc, inner) => described(schema(inner, way), Some(doc)),
    }
}

fn nothing() -> Value {
    json!({ "type": "null" })
}

/// A 64-bit integer: a number where every JSON reader keeps it, decimal text otherwise; either is read.
fn wide(way: Way, min: Value, max: Value, safe_min: Value, pattern: &str) -> Value {
    let (min, max) = if way == Way::In { (min, max) } else { (safe_min, json!(SAFE_MAX)) };
    json!({ "type": ["integer", "string"], "minimum": min, "maximum": max, "pattern": pattern })
}

/// An object whose options may be left out when it is read, and are always written.
fn record(fields: &[Named<Shape>], way: Way) -> Value {
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| way == Way::Out || !field.of.is_option())
        .map(|field| field.name.as_str())
        .collect();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.clone(), described(schema(&field.of, way), field.doc.as_deref())))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn tuple(items: &[&Shape], way: Way) -> Value {
    let schemas: Vec<Value> = items.iter().map(|item| schema(item, way)).collect();
    let length = schemas.len();
    json!({ "type": "array", "prefixItems": schemas, "items": false, "minItems": length, "maxItems": length })
}

/// `"case"` for a case without a payload (read as `{"case": null}` too), `{"case": payload}` for one with.
fn variant(cases: &[Named<Option<Shape>>], way: Way) -> Value {
    let plain: Vec<&Named<_>> = cases.iter().filter(|case| case.of.is_none()).collect();
    let members: Map<String, Value> = cases
        .iter()
        .filter(|case| way == Way::In || case.of.is_some())
        .map(|case| {
            let payload = case.of.as_ref().map_or_else(nothing, |shape| schema(shape, way));
            (case.name.clone(), described(payload, case.doc.as_deref()))
        })
        .collect();
    let mut forms = Vec::new();
    if !plain.is_empty() {
        let names: Vec<&str> = plain.iter().map(|case| case.name.as_str()).collect();
        forms.push(listed(json!({ "type": "string", "enum": names }), plain));
    }
    if !members.is_empty() {
        forms.push(one_of(&members));
    }
    json!({ "anyOf": forms })
}

/// An object with exactly one of these members.
fn one_of(members: &Map<String, Value>) -> Value {
    json!({ "type": "object", "properties": members, "minProperties": 1, "maxProperties": 1, "additionalProperties": false })
}

fn names(cases: &[Named<()>]) -> Vec<&str> {
    cases.iter().map(|case| case.name.as_str()).collect()
}

/// Adds what the cases mean; JSON Schema has no place for the text of one member of an `enum`.
fn listed<'a, T: 'a>(schema: Value, cases: impl IntoIterator<Item = &'a Named<T>>) -> Value {
    let lines: Vec<String> = cases
        .into_iter()
        .filter_map(|case| case.doc.as_ref().map(|doc| format!("`{}`: {}", case.name, doc.trim())))
        .collect();
    described(schema, Some(&lines.join("\n")))
}

/// Puts a text before the one that is there.
fn described(mut schema: Value, doc: Option<&str>) -> Value {
    let doc = doc.map(str::trim).filter(|doc| !doc.is_empty());
    if let (Some(members), Some(doc)) = (schema.as_object_mut(), doc) {
        let text = match members.get("description").and_then(Value::as_str) {
            Some(before) => format!("{doc}\n{before}"),
            None => doc.to_owned(),
        };
        members.insert("description".to_owned(), Value::String(text));
    }
    schema
}

/// The schema, or null; without another level where one can be saved, for whoever reads it.
fn nullable(mut schema: Value) -> Value {
    let is_enum = schema.get("enum").is_some();
    if let Some(forms) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(nothing());
        return schema;
    }
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(single) if !is_enum => *single = json!([single, "null"]),
        _ => return json!({ "anyOf": [schema, nothing()] }),
    }
    schema
}
