//! WIT values → JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use wasmtime::component::types::Variant;
use wasmtime::component::{Type, Val};

use super::{SAFE_MAX, ValueError, ValueErrorKind, wit_text};

/// Writes one value of type `ty`. What is written is read back as the same value; all NaN are one.
///
/// # Errors
/// If the type is no value type, or the value is not of the type (which wasmtime never lets happen).
pub fn to_json(ty: &Type, value: &Val) -> Result<Value, ValueError> {
    Ok(match (ty, value) {
        (Type::Bool, Val::Bool(value)) => Value::Bool(*value),
        (Type::S8, Val::S8(value)) => Value::from(*value),
        (Type::U8, Val::U8(value)) => Value::from(*value),
        (Type::S16, Val::S16(value)) => Value::from(*value),
        (Type::U16, Val::U16(value)) => Value::from(*value),
        (Type::S32, Val::S32(value)) => Value::from(*value),
        (Type::U32, Val::U32(value)) => Value::from(*value),
        (Type::S64, Val::S64(value)) if value.unsigned_abs() <= SAFE_MAX => Value::from(*value),
        (Type::S64, Val::S64(value)) => Value::String(value.to_string()),
        (Type::U64, Val::U64(value)) if *value <= SAFE_MAX => Value::from(*value),
        (Type::U64, Val::U64(value)) => Value::String(value.to_string()),
        (Type::Float32, Val::Float32(value)) => float(short(*value)),
        (Type::Float64, Val::Float64(value)) => float(*value),
        (Type::Char, Val::Char(value)) => Value::String(value.to_string()),
        (Type::String, Val::String(value)) => Value::String(value.clone()),
        (Type::List(list), Val::List(items)) => match list.ty() {
            Type::U8 => Value::String(STANDARD.encode(bytes(items)?)),
            element => array(items.iter().map(|item| to_json(&element, item)))?,
        },
        (Type::FixedLengthList(list), Val::FixedLengthList(items)) => {
            let element = list.ty();
            array(items.iter().map(|item| to_json(&element, item)))?
        }
        (Type::Map(map), Val::Map(entries)) => {
            let (key, value) = (map.key(), map.value());
            if key == Type::String {
                object(entries.iter().map(|(k, v)| match k {
                    Val::String(name) => Ok((name.as_str(), to_json(&value, v)?)),
                    other => Err(unfitting(&key, other)),
                }))?
            } else {
                array(entries.iter().map(|(k, v)| array([to_json(&key, k), to_json(&value, v)])))?
            }
        }
        (Type::Record(record), Val::Record(fields)) if record.fields().len() == fields.len() => {
            object(record.fields().zip(fields).map(|(field, (name, value))| {
                let json = to_json(&field.ty, value).map_err(|error| error.under(name))?;
                if field.name == name { Ok((name.as_str(), json)) } else { Err(unfitting(ty, value)) }
            }))?
        }
        (Type::Tuple(tuple), Val::Tuple(items)) if tuple.types().len() == items.len() => {
            array(tuple.types().zip(items).map(|(ty, item)| to_json(&ty, item)))?
        }
        (Type::Variant(variant), Val::Variant(name, payload)) => case(variant, name, payload.as_deref())?,
        (Type::Enum(cases), Val::Enum(name)) if cases.names().any(|case| case == name) => {
            Value::String(name.clone())
        }
        (Type::Flags(flags), Val::Flags(set))
            if set.iter().all(|name| flags.names().any(|flag| flag == name)) =>
        {
            array(
                flags.names().filter(|flag| set.iter().any(|name| name == flag)).map(|flag| Ok(flag.into())),
            )?
        }
        (Type::Option(_), Val::Option(None)) => Value::Null,
        (Type::Option(option), Val::Option(Some(some))) => match option.ty() {
            nested @ Type::Option(_) => wrapped("some", to_json(&nested, some)?),
            ty => to_json(&ty, some)?,
        },
        (Type::Result(result), Val::Result(Ok(ok))) => {
            wrapped("ok", payload(ty, result.ok(), ok.as_deref())?)
        }
        (Type::Result(result), Val::Result(Err(err))) => {
            wrapped("err", payload(ty, result.err(), err.as_deref())?)
        }
        (Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext, _) => {
            return Err(ValueError::new(ValueErrorKind::NotAValue { ty: wit_text(ty) }));
        }
        _ => return Err(unfitting(ty, value)),
    })
}

/// Writes what a function returned: null if its type has no result.
///
/// # Errors
/// As [`to_json`].
pub fn results_to_json(types: impl IntoIterator<Item = Type>, values: &[Val]) -> Result<Value, ValueError> {
    let mut types = types.into_iter();
    match (types.next(), types.next(), values) {
        (None, _, []) => Ok(Value::Null),
        (Some(ty), None, [value]) => to_json(&ty, value),
        _ => {
            let expected = "at most one result".to_owned();
            Err(ValueError::new(ValueErrorKind::Unfitting { expected, found: "several" }))
        }
    }
}

fn case(variant: &Variant, name: &str, value: Option<&Val>) -> Result<Value, ValueError> {
    let ty = Type::Variant(variant.clone());
    match variant.cases().find(|case| case.name == name).map(|case| case.ty) {
        Some(None) if value.is_none() => Ok(Value::String(name.to_owned())),
        Some(some @ Some(_)) => {
            let json = payload(&ty, some, value).map_err(|error| error.under(name))?;
            Ok(wrapped(name, json))
        }
        _ => {
            Err(ValueError::new(ValueErrorKind::Unfitting { expected: wit_text(&ty), found: "another case" }))
        }
    }
}

fn payload(whole: &Type, ty: Option<Type>, value: Option<&Val>) -> Result<Value, ValueError> {
    match (ty, value) {
        (None, None) => Ok(Value::Null),
        (Some(ty), Some(value)) => to_json(&ty, value),
        _ => Err(ValueError::new(ValueErrorKind::Unfitting {
            expected: wit_text(whole),
            found: "another payload",
        })),
    }
}

fn wrapped(name: &str, json: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), json)]))
}

fn array(items: impl IntoIterator<Item = Result<Value, ValueError>>) -> Result<Value, ValueError> {
    let items = items.into_iter().enumerate();
    let items = items.map(|(index, item)| item.map_err(|error| error.under(index)));
    items.collect::<Result<_, _>>().map(Value::Array)
}

fn object<'k>(
    members: impl Iterator<Item = Result<(&'k str, Value), ValueError>>,
) -> Result<Value, ValueError> {
    members
        .map(|member| member.map(|(name, json)| (name.to_owned(), json)))
        .collect::<Result<_, _>>()
        .map(Value::Object)
}

fn bytes(items: &[Val]) -> Result<Vec<u8>, ValueError> {
    let byte = |item: &Val| match item {
        Val::U8(byte) => Ok(*byte),
        other => Err(unfitting(&Type::U8, other)),
    };
    items.iter().map(byte).collect()
}

/// The number that is written shortest and still read back as the same `f32`.
fn short(value: f32) -> f64 {
    let short = value.to_string().parse().unwrap_or(f64::NAN);
    #[expect(clippy::cast_possible_truncation, reason = "this is how it is read back")]
    let back = short as f32;
    if back.to_bits() == value.to_bits() { short } else { f64::from(value) }
}

fn float(value: f64) -> Value {
    let text = || {
        if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
    };
    Number::from_f64(value).map_or_else(|| Value::from(text()), Value::Number)
}

fn unfitting(ty: &Type, value: &Val) -> ValueError {
    let found = match value {
        Val::Bool(_) => "a bool",
        Val::S8(_)
        | Val::U8(_)
        | Val::S16(_)
        | Val::U16(_)
        | Val::S32(_)
        | Val::U32(_)
        | Val::S64(_)
        | Val::U64(_) => "an integer of another type or size",
        Val::Float32(_) | Val::Float64(_) => "a float",
        Val::Char(_) | Val::String(_) => "text",
        Val::List(_) | Val::FixedLengthList(_) | Val::Tuple(_) | Val::Map(_) => "a sequence",
        Val::Record(_) => "another record",
        Val::Variant(..) | Val::Enum(_) => "another case",
        Val::Option(_) => "an option",
        Val::Result(_) => "a result",
        Val::Flags(_) => "other flags",
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => "a handle",
    };
    ValueError::new(ValueErrorKind::Unfitting { expected: wit_text(ty), found })
}
