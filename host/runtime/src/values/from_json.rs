//! JSON → WIT values.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use wasmtime::component::types::{Flags, Record, Variant};
use wasmtime::component::{Type, Val};

use super::text::{json_text, shortened};
use super::{ConversionLimits, ValueError, ValueErrorKind, wit_text};

/// Reads one value of type `ty`.
///
/// # Errors
/// If the JSON is not of the type, the type is no value type, or a limit is exceeded.
pub fn from_json(ty: &Type, json: &Value, limits: &ConversionLimits) -> Result<Val, ValueError> {
    Reader::new(limits).value(ty, json, 0)
}

/// Reads the arguments of a function from an object whose members are named like the parameters. Null stands
/// for no arguments; a missing argument of an `option` type is none.
///
/// # Errors
/// As [`from_json`]; also for an unknown or a missing argument. The limits count over all arguments.
pub fn arguments_from_json<'a>(
    parameters: impl Iterator<Item = (&'a str, Type)>,
    json: &Value,
    limits: &ConversionLimits,
) -> Result<Vec<Val>, ValueError> {
    let none = Map::new();
    let members = match json {
        Value::Object(members) => members,
        Value::Null => &none,
        other => {
            let kind = ValueErrorKind::Mismatch {
                expected: "an object with the arguments".to_owned(),
                found: json_text(other),
            };
            return Err(ValueError::new(kind));
        }
    };
    let mut names = Vec::new();
    let parameters = parameters.inspect(|(name, _)| names.push(*name));
    let arguments = Reader::new(limits).members(parameters, members, 0)?;
    let arguments: Vec<Val> = arguments.into_iter().map(|(_, value)| value).collect();
    refuse_unknown(members, &names, || match names.len() {
        0 => "the arguments, of which there are none".to_owned(),
        _ => format!("the arguments ({})", shortened(&names.join(", "))),
    })?;
    Ok(arguments)
}

/// Carries what is left of the limits.
struct Reader<'l> {
    limits: &'l ConversionLimits,
    elements: usize,
}

impl<'l> Reader<'l> {
    const fn new(limits: &'l ConversionLimits) -> Self {
        Self { limits, elements: 0 }
    }

    /// Counts `count` values with a name of `name_bytes` in all.
    fn count(&mut self, count: usize, name_bytes: usize) -> Result<(), ValueError> {
        const NAME_BYTES_PER_ELEMENT: usize = 32;
        let elements_max = self.limits.elements_max;
        self.elements =
            self.elements.saturating_add(count).saturating_add(name_bytes / NAME_BYTES_PER_ELEMENT);
        if self.elements > elements_max {
            return Err(ValueError::new(ValueErrorKind::TooMany { elements_max }));
        }
        Ok(())
    }

    fn value(&mut self, ty: &Type, json: &Value, depth: usize) -> Result<Val, ValueError> {
        let depth_max = self.limits.depth_max;
        if depth > depth_max {
            return Err(ValueError::new(ValueErrorKind::TooDeep { depth_max }));
        }
        self.count(1, 0)?;
        let inner = depth + 1;
        let wrong = || mismatch(wit_text(ty), json);
        Ok(match ty {
            Type::Bool => Val::Bool(json.as_bool().ok_or_else(wrong)?),
            Type::S8 => Val::S8(narrow(json).ok_or_else(wrong)?),
            Type::U8 => Val::U8(narrow(json).ok_or_else(wrong)?),
            Type::S16 => Val::S16(narrow(json).ok_or_else(wrong)?),
            Type::U16 => Val::U16(narrow(json).ok_or_else(wrong)?),
            Type::S32 => Val::S32(narrow(json).ok_or_else(wrong)?),
            Type::U32 => Val::U32(narrow(json).ok_or_else(wrong)?),
            Type::S64 => Val::S64(json.as_i64().or_else(|| decimal(json)).ok_or_else(wrong)?),
            Type::U64 => Val::U64(json.as_u64().or_else(|| decimal(json)).ok_or_else(wrong)?),
            Type::Float32 => Val::Float32(float32(json).ok_or_else(wrong)?),
            Type::Float64 => Val::Float64(float64(json).ok_or_else(wrong)?),
            Type::Char => {
                let mut characters = json.as_str().ok_or_else(wrong)?.chars();
                let (Some(character), None) = (characters.next(), characters.next()) else {
                    return Err(wrong());
                };
                Val::Char(character)
            }
            Type::String => Val::String(json.as_str().ok_or_else(wrong)?.to_owned()),
            Type::List(list) => match (list.ty(), json) {
                (Type::U8, Value::String(text)) => Val::List(self.bytes(text, json)?),
                (element, Value::Array(items)) => Val::List(self.items(&element, items, inner)?),
                _ => return Err(wrong()),
            },
            Type::FixedLengthList(list) => match json {
                Value::Array(items) if usize::try_from(list.len()) == Ok(items.len()) => {
                    Val::FixedLengthList(self.items(&list.ty(), items, inner)?)
                }
                _ => return Err(wrong()),
            },
            Type::Map(map) => Val::Map(match (map.key(), json) {
                (Type::String, Value::Object(members)) => self.keyed(&map.value(), members, inner)?,
                (Type::String, _) => return Err(wrong()),
                (key, Value::Array(pairs)) => self.pairs(&key, &map.value(), pairs, inner)?,
                _ => return Err(wrong()),
            }),
            Type::Record(record) => {
                Val::Record(self.record(record, json.as_object().ok_or_else(wrong)?, inner)?)
            }
            Type::Tuple(tuple) => match json {
                Value::Array(items) if items.len() == tuple.types().len() => {
                    Val::Tuple(self.each(tuple.types().zip(items), inner)?)
                }
                _ => return Err(wrong()),
            },
            Type::Variant(variant) => self.variant(variant, json, inner)?.ok_or_else(wrong)?,
            Type::Enum(cases) => {
                let name = json
                    .as_str()
                    .and_then(|text| cases.names().find(|name| *name == text))
                    .ok_or_else(wrong)?;
                self.count(0, name.len())?;
                Val::Enum(name.to_owned())
            }
            Type::Flags(flags) => Val::Flags(self.flags(flags, json.as_array().ok_or_else(wrong)?)?),
            Type::Option(option) => match (option.ty(), json) {
                (_, Value::Null) => Val::Option(None),
                (nested @ Type::Option(_), _) => {
                    let Some(("some", some)) = single(json) else { return Err(wrong()) };
                    let some = self.value(&nested, some, inner).map_err(|error| error.under("some"))?;
                    Val::Option(Some(Box::new(some)))
                }
                (some, _) => Val::Option(Some(Box::new(self.value(&some, json, inner)?))),
            },
            Type::Result(result) => Val::Result(match single(json) {
                Some(("ok", ok)) => Ok(self.payload("ok", result.ok(), ok, inner)?),
                Some(("err", err)) => Err(self.payload("err", result.err(), err, inner)?),
                _ => return Err(wrong()),
            }),
            Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                return Err(ValueError::new(ValueErrorKind::NotAValue { ty: wit_text(ty) }));
            }
        })
    }

    fn bytes(&mut self, text: &str, json: &Value) -> Result<Vec<Val>, ValueError> {
        // Three bytes take four characters.
        self.count(text.len() / 4 * 3, 0)?;
        let bytes =
            STANDARD.decode(text).map_err(|_| mismatch("list<u8> as padded base64".to_owned(), json))?;
        Ok(bytes.into_iter().map(Val::U8).collect())
    }

    fn items(&mut self, ty: &Type, items: &[Value], depth: usize) -> Result<Vec<Val>, ValueError> {
        // Refused before room is made for them.
        self.count(items.len(), 0)?;
        self.elements -= items.len();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            values.push(self.value(ty, item, depth).map_err(|error| error.under(index))?);
        }
        Ok(values)
    }

    fn each<'v>(
        &mut self,
        items: impl Iterator<Item = (Type, &'v Value)>,
        depth: usize,
    ) -> Result<Vec<Val>, ValueError> {
        let values = items.enumerate();
        values
            .map(|(index, (ty, item))| self.value(&ty, item, depth).map_err(|error| error.under(index)))
            .collect()
    }

    fn keyed(
        &mut self,
        ty: &Type,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Result<Vec<(Val, Val)>, ValueError> {
        let mut entries = Vec::new();
        for (key, value) in members {
            self.count(1, 0)?;
            let value = self.value(ty, value, depth).map_err(|error| error.under(key))?;
            entries.push((Val::String(key.clone()), value));
        }
        Ok(entries)
    }

    fn pairs(
        &mut self,
        key: &Type,
        value: &Type,
        pairs: &[Value],
        depth: usize,
    ) -> Result<Vec<(Val, Val)>, ValueError> {
        let mut entries = Vec::new();
        for (index, pair) in pairs.iter().enumerate() {
            let Some([a, b]) = pair.as_array().map(Vec::as_slice) else {
                return Err(mismatch("an array of a key and a value".to_owned(), pair).under(index));
            };
            let a = self.value(key, a, depth).map_err(|error| error.under(0).under(index))?;
            let b = self.value(value, b, depth).map_err(|error| error.under(1).under(index))?;
            entries.push((a, b));
        }
        Ok(entries)
    }

    fn record(
        &mut self,
        record: &Record,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Result<Vec<(String, Val)>, ValueError> {
        let fields = self.members(record.fields().map(|field| (field.name, field.ty)), members, depth)?;
        let names: Vec<&str> = record.fields().map(|field| field.name).collect();
        refuse_unknown(members, &names, || wit_text(&Type::Record(record.clone())))?;
        Ok(fields)
    }

    fn members<'n>(
        &mut self,
        wanted: impl Iterator<Item = (&'n str, Type)>,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Result<Vec<(String, Val)>, ValueError> {
        let mut found = Vec::new();
        for (name, ty) in wanted {
            self.count(0, name.len())?;
            let value = match (members.get(name), &ty) {
                (Some(member), _) => self.value(&ty, member, depth).map_err(|error| error.under(name))?,
                (None, Type::Option(_)) => self.value(&ty, &Value::Null, depth)?,
                (None, _) => {
                    let kind = ValueErrorKind::Missing { name: shortened(name), expected: wit_text(&ty) };
                    return Err(ValueError::new(kind));
                }
            };
            found.push((name.to_owned(), value));
        }
        Ok(found)
    }

    /// None if the JSON names no case.
    fn variant(&mut self, variant: &Variant, json: &Value, depth: usize) -> Result<Option<Val>, ValueError> {
        let (name, payload) = match (json, single(json)) {
            (Value::String(name), _) => (name.as_str(), None),
            (_, Some((name, payload))) => (name, Some(payload)),
            _ => return Ok(None),
        };
        let Some(case) = variant.cases().find(|case| case.name == name) else { return Ok(None) };
        self.count(0, name.len())?;
        let payload = match (payload, case.ty) {
            (None, None) => None,
            (None, Some(ty)) => {
                let expected =
                    format!("an object with the member `{}` of type {}", shortened(name), wit_text(&ty));
                return Err(mismatch(expected, json));
            }
            (Some(payload), ty) => self.payload(name, ty, payload, depth)?,
        };
        Ok(Some(Val::Variant(name.to_owned(), payload)))
    }

    /// The payload of a case, null where it has none.
    fn payload(
        &mut self,
        name: &str,
        ty: Option<Type>,
        json: &Value,
        depth: usize,
    ) -> Result<Option<Box<Val>>, ValueError> {
        match ty {
            Some(ty) => Ok(Some(Box::new(self.value(&ty, json, depth).map_err(|error| error.under(name))?))),
            None if json.is_null() => Ok(None),
            None => Err(mismatch("null, because the case has no payload".to_owned(), json).under(name)),
        }
    }

    fn flags(&mut self, flags: &Flags, items: &[Value]) -> Result<Vec<String>, ValueError> {
        let mut set = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let wrong = |expected| mismatch(expected, item).under(index);
            let name = item
                .as_str()
                .and_then(|text| flags.names().find(|name| *name == text))
                .ok_or_else(|| wrong(wit_text(&Type::Flags(flags.clone()))))?;
            self.count(1, name.len())?;
            if !set.insert(name) {
                return Err(wrong("each flag once".to_owned()));
            }
        }
        Ok(flags.names().filter(|name| set.contains(name)).map(str::to_owned).collect())
    }
}

fn mismatch(expected: String, json: &Value) -> ValueError {
    ValueError::new(ValueErrorKind::Mismatch { expected, found: json_text(json) })
}

fn refuse_unknown(
    members: &Map<String, Value>,
    known: &[&str],
    expected: impl Fn() -> String,
) -> Result<(), ValueError> {
    let known: HashSet<&str> = known.iter().copied().collect();
    match members.keys().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(ValueError::new(ValueErrorKind::Unknown { name: shortened(name), expected: expected() }))
        }
    }
}

/// The one member of an object that has one.
fn single(json: &Value) -> Option<(&str, &Value)> {
    let members = json.as_object().filter(|members| members.len() == 1)?;
    members.iter().next().map(|(name, value)| (name.as_str(), value))
}

fn narrow<T: TryFrom<i64>>(json: &Value) -> Option<T> {
    T::try_from(json.as_i64()?).ok()
}

/// An integer as decimal text, in the one way to write it.
fn decimal<T: std::str::FromStr + ToString>(json: &Value) -> Option<T> {
    let text = json.as_str()?;
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn float64(json: &Value) -> Option<f64> {
    match json {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn float32(json: &Value) -> Option<f32> {
    let wide = float64(json)?;
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is what is wanted")]
    let number = wide as f32;
    // A finite number that is too large is not infinity.
    (number.is_infinite() == wide.is_infinite()).then_some(number)
}
