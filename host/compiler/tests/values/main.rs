//! JSON ⇄ WIT values. These tests are here because the types come from components, and only this crate can
//! make a component out of text.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test stops at the first thing that is not as expected"
)]

mod model;

use loong_runtime::values::{
    ConversionLimits, ValueErrorKind, arguments_from_json, from_json, results_to_json, to_json, wit_text,
};
use model::{Ty, any_type, any_value, component, engine_types, list, names, option, plain, record, variant};
use proptest::prelude::*;
use serde_json::{Value, json};
use wasmtime::component::{Type, Val};

const LIMITS: ConversionLimits = ConversionLimits::DEFAULT;

fn engine_type(ty: &Ty) -> Type {
    engine_types(std::slice::from_ref(ty)).remove(0)
}

/// Reads JSON as a type and writes it again; an error is written as its text.
#[track_caller]
fn check(ty: Ty, input: &str, expected: &str) {
    let ty = engine_type(&ty);
    let json: Value = serde_json::from_str(input).unwrap();
    let found = match from_json(&ty, &json, &LIMITS) {
        Ok(value) => to_json(&ty, &value).unwrap().to_string(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(found, expected, "{input} as {}", wit_text(&ty));
}

#[track_caller]
fn check_same(ty: Ty, input: &str) {
    check(ty, input, input);
}

#[test]
fn reads_booleans() {
    check_same(plain("bool"), "true");
    check(plain("bool"), "0", "error: expected bool, found 0");
    check(plain("bool"), r#""true""#, r#"error: expected bool, found "true""#);
}

#[test]
fn reads_small_integers_in_their_range_only() {
    for (ty, min, max) in [
        ("u8", 0_i64, 0xff_i64),
        ("u16", 0, 0xffff),
        ("u32", 0, 0xffff_ffff),
        ("s8", -0x80, 0x7f),
        ("s16", -0x8000, 0x7fff),
        ("s32", -0x8000_0000, 0x7fff_ffff),
    ] {
        check_same(plain(ty), &min.to_string());
        check_same(plain(ty), &max.to_string());
        let (below, above) = (min - 1, max + 1);
        check(plain(ty), &below.to_string(), &format!("error: expected {ty}, found {below}"));
        check(plain(ty), &above.to_string(), &format!("error: expected {ty}, found {above}"));
    }
    check(plain("u32"), "1.0", "error: expected u32, found 1.0");
    check(plain("u32"), "1e3", "error: expected u32, found 1000.0");
    check(plain("u32"), r#""1""#, r#"error: expected u32, found "1""#);
    check(plain("s8"), "18446744073709551615", "error: expected s8, found 18446744073709551615");
}

#[test]
fn writes_large_integers_as_text_and_reads_both_forms() {
    check_same(plain("u64"), "9007199254740991");
    check(plain("u64"), "9007199254740992", r#""9007199254740992""#);
    check_same(plain("u64"), r#""18446744073709551615""#);
    check(plain("u64"), "18446744073709551615", r#""18446744073709551615""#);
    check(plain("u64"), r#""7""#, "7");
    check_same(plain("s64"), "-9007199254740991");
    check(plain("s64"), "-9007199254740992", r#""-9007199254740992""#);
    check_same(plain("s64"), r#""-9223372036854775808""#);
}

#[test]
fn refuses_large_integers_that_are_out_of_range_or_oddly_written() {
    for text in ["18446744073709551616", "-1", "+1", "01", " 1", "1.0", "0x10", "", "1_000"] {
        check(plain("u64"), &json!(text).to_string(), &format!("error: expected u64, found {text:?}"));
    }
    check(plain("u64"), "-1", "error: expected u64, found -1");
    check(plain("u64"), "1.5", "error: expected u64, found 1.5");
    check(plain("u64"), "18446744073709551616", "error: expected u64, found 1.8446744073709552e+19");
    check(plain("s64"), r#""-0""#, r#"error: expected s64, found "-0""#);
    check(plain("s64"), "9223372036854775808", "error: expected s64, found 9223372036854775808");
}

#[test]
fn reads_floats_and_keeps_what_is_no_number() {
    for ty in ["f32", "f64"] {
        check(plain(ty), "1", "1.0");
        check_same(plain(ty), "0.1");
        check_same(plain(ty), "-0.0");
        check_same(plain(ty), r#""NaN""#);
        check_same(plain(ty), r#""Infinity""#);
        check_same(plain(ty), r#""-Infinity""#);
        check(plain(ty), r#""nan""#, &format!(r#"error: expected {ty}, found "nan""#));
        check(plain(ty), r#""1.5""#, &format!(r#"error: expected {ty}, found "1.5""#));
        check(plain(ty), "null", &format!("error: expected {ty}, found null"));
    }
    check_same(plain("f64"), "1e+300");
    check(plain("f32"), "1e300", "error: expected f32, found 1e+300");
    check_same(plain("f32"), "1e-45");
    check(plain("f32"), "16777217", "16777216.0");
}

#[test]
fn reads_a_char_as_one_scalar_value() {
    check_same(plain("char"), r#""世""#);
    check_same(plain("char"), r#""🎉""#);
    check(plain("char"), r#""""#, r#"error: expected char, found """#);
    check(plain("char"), r#""ab""#, r#"error: expected char, found "ab""#);
}

#[test]
fn reads_bytes_as_base64_or_numbers() {
    check_same(list(plain("u8")), r#""""#);
    check_same(list(plain("u8")), r#""AP+A""#);
    check(list(plain("u8")), "[0, 255, 128]", r#""AP+A""#);
    check(list(plain("u8")), r#""AP-A""#, r#"error: expected list<u8> as padded base64, found "AP-A""#);
    check(list(plain("u8")), r#""AA""#, r#"error: expected list<u8> as padded base64, found "AA""#);
    check(list(plain("u8")), "[0, 256]", "error: at `/1`: expected u8, found 256");
    check(list(plain("s8")), r#""AA==""#, r#"error: expected list<s8>, found "AA==""#);
}

#[test]
fn reads_sequences() {
    check_same(list(plain("string")), r#"["a","b"]"#);
    check(list(plain("string")), "{}", "error: expected list<string>, found an object with 0 members");
    let pair = || Ty::Tuple(vec![plain("u8"), plain("string")]);
    check_same(pair(), r#"[1,"a"]"#);
    check(pair(), "[1]", "error: expected tuple<u8, string>, found an array of 1");
    check(pair(), r#"[1,"a",2]"#, "error: expected tuple<u8, string>, found an array of 3");
    check(pair(), r#"["a",1]"#, r#"error: at `/0`: expected u8, found "a""#);
    let three = || Ty::FixedList(Box::new(plain("u8")), 3);
    check_same(three(), "[1,2,3]");
    check(three(), "[1,2]", "error: expected list<u8, 3>, found an array of 2");
}

#[test]
fn reads_maps() {
    let by_name = || Ty::Map(Box::new(plain("string")), Box::new(plain("u8")));
    check_same(by_name(), r#"{"a":1,"b":2}"#);
    check(by_name(), r#"{"a/b":-1}"#, "error: at `/a~1b`: expected u8, found -1");
    check(by_name(), "[]", "error: expected map<string, u8>, found an array of 0");
    let by_number = || Ty::Map(Box::new(plain("u8")), Box::new(plain("string")));
    check_same(by_number(), r#"[[1,"a"],[2,"b"]]"#);
    check(
        by_number(),
        "[[1]]",
        "error: at `/0`: expected an array of a key and a value, found an array of 1",
    );
    check(by_number(), r#"[[1,2]]"#, "error: at `/0/1`: expected string, found 2");
}

#[test]
fn reads_records_with_every_field_known() {
    // The fields are in the order of the alphabet because serde_json may be built to keep it or to sort.
    let person = || record([("age", option(plain("u8"))), ("name", plain("string"))]);
    check(person(), r#"{"name":"Ada","age":36}"#, r#"{"age":36,"name":"Ada"}"#);
    check(person(), r#"{"name":"Ada"}"#, r#"{"age":null,"name":"Ada"}"#);
    check(person(), r#"{"age":1}"#, "error: `name` is missing; it is string");
    check(
        person(),
        r#"{"name":"Ada","agee":1}"#,
        "error: `agee` is not a member of record { age: option<u8>, name: string }",
    );
    check(person(), r#"{"name":1}"#, "error: at `/name`: expected string, found 1");
    check(
        list(person()),
        r#"[{"name":"a"},{"name":"b","age":-1}]"#,
        "error: at `/1/age`: expected u8, found -1",
    );
}

#[test]
fn reads_variants_in_either_form() {
    let shape =
        || variant([("none", None), ("circle", Some(plain("f64"))), ("maybe", Some(option(plain("u8"))))]);
    let wit = "variant { none, circle(f64), maybe(option<u8>) }";
    check_same(shape(), r#""none""#);
    check(shape(), r#"{"none":null}"#, r#""none""#);
    check_same(shape(), r#"{"circle":1.5}"#);
    check_same(shape(), r#"{"maybe":null}"#);
    check_same(shape(), r#"{"maybe":3}"#);
    check(
        shape(),
        r#"{"none":1}"#,
        "error: at `/none`: expected null, because the case has no payload, found 1",
    );
    check(
        shape(),
        r#""circle""#,
        r#"error: expected an object with the member `circle` of type f64, found "circle""#,
    );
    check(shape(), r#"{"circle":"big"}"#, r#"error: at `/circle`: expected f64, found "big""#);
    check(shape(), r#""square""#, &format!(r#"error: expected {wit}, found "square""#));
    check(shape(), "{}", &format!("error: expected {wit}, found an object with 0 members"));
    check(
        shape(),
        r#"{"circle":1,"maybe":1}"#,
        &format!("error: expected {wit}, found an object with 2 members"),
    );
}

#[test]
fn reads_enums_and_flags() {
    let colour = || Ty::Enum(names(["red", "green"]));
    check_same(colour(), r#""green""#);
    check(colour(), r#""Green""#, r#"error: expected enum { red, green }, found "Green""#);
    check(colour(), "1", "error: expected enum { red, green }, found 1");
    let rights = || Ty::Flags(names(["read", "write", "list"]));
    check_same(rights(), "[]");
    check(rights(), r#"["list","read"]"#, r#"["read","list"]"#);
    check(
        rights(),
        r#"["read","own"]"#,
        r#"error: at `/1`: expected flags { read, write, list }, found "own""#,
    );
    check(rights(), r#"["read","read"]"#, r#"error: at `/1`: expected each flag once, found "read""#);
    check(rights(), r#""read""#, r#"error: expected flags { read, write, list }, found "read""#);
}

#[test]
fn reads_options_without_losing_a_level() {
    check_same(option(plain("u8")), "null");
    check_same(option(plain("u8")), "3");
    let twice = || option(option(plain("u8")));
    check_same(twice(), "null");
    check_same(twice(), r#"{"some":null}"#);
    check_same(twice(), r#"{"some":3}"#);
    check(twice(), "3", "error: expected option<option<u8>>, found 3");
    check(twice(), r#"{"some":"a"}"#, r#"error: at `/some`: expected u8, found "a""#);
    check_same(option(twice()), r#"{"some":{"some":3}}"#);
    check_same(option(record([("a", plain("u8"))])), r#"{"a":1}"#);
}

#[test]
fn reads_results() {
    let result = |ok: Option<Ty>, err: Option<Ty>| Ty::Result(ok.map(Box::new), err.map(Box::new));
    check_same(result(Some(plain("u8")), Some(plain("string"))), r#"{"ok":1}"#);
    check_same(result(Some(plain("u8")), Some(plain("string"))), r#"{"err":"no"}"#);
    check_same(result(None, None), r#"{"ok":null}"#);
    check_same(result(None, Some(plain("string"))), r#"{"ok":null}"#);
    check(
        result(None, Some(plain("u8"))),
        r#"{"ok":1}"#,
        "error: at `/ok`: expected null, because the case has no payload, found 1",
    );
    check(result(None, Some(plain("u8"))), "null", "error: expected result<_, u8>, found null");
    check(
        result(Some(plain("u8")), None),
        r#"{"ok":1,"err":null}"#,
        "error: expected result<u8>, found an object with 2 members",
    );
}

#[test]
fn shows_what_was_found_short_and_escaped() {
    let long = format!("\u{1b}[31m{}", "x".repeat(99));
    let shown = format!(r#"error: expected bool, found "\u{{1b}}[31m{}…""#, "x".repeat(35));
    check(plain("bool"), &json!(long).to_string(), &shown);
    let map = Ty::Map(Box::new(plain("string")), Box::new(plain("bool")));
    check(map, "{\"a\\u001bb\": 1}", "error: at `/a\\u{1b}b`: expected bool, found 1");
}

#[test]
fn shortens_types_of_exponential_size() {
    let mut ty = plain("u8");
    for _ in 0..12 {
        ty = Ty::Tuple(vec![ty.clone(), ty]);
    }
    assert!(wit_text(&engine_type(&ty)).len() < 200);
}

/// Reads arguments for the parameters `path: string, depth: option<u8>`; shows what was understood.
#[track_caller]
fn check_arguments(input: &str, expected: &str) {
    let types = engine_types(&[plain("string"), option(plain("u8"))]);
    let parameters = ["path", "depth"].into_iter().zip(types);
    let json: Value = serde_json::from_str(input).unwrap();
    let found = match arguments_from_json(parameters, &json, &LIMITS) {
        Ok(values) => format!("{values:?}"),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn reads_arguments_by_name() {
    check_arguments(r#"{"depth":1,"path":"/"}"#, r#"[String("/"), Option(Some(U8(1)))]"#);
    check_arguments(r#"{"path":"/"}"#, r#"[String("/"), Option(None)]"#);
    check_arguments("{}", "error: `path` is missing; it is string");
    check_arguments("null", "error: `path` is missing; it is string");
    check_arguments(
        r#"{"path":"/","deep":1}"#,
        "error: `deep` is not a member of the arguments (path, depth)",
    );
    check_arguments(r#"{"path":"/","depth":900}"#, "error: at `/depth`: expected u8, found 900");
    check_arguments(r#"["/"]"#, "error: expected an object with the arguments, found an array of 1");
}

#[test]
fn reads_no_arguments() {
    let read = |json: Value| arguments_from_json(std::iter::empty(), &json, &LIMITS);
    assert_eq!(read(json!({})), Ok(vec![]));
    assert_eq!(read(json!(null)), Ok(vec![]));
    let error = read(json!({ "a": 1 })).unwrap_err();
    assert_eq!(error.to_string(), "`a` is not a member of the arguments, of which there are none");
}

#[test]
fn writes_results() {
    assert_eq!(results_to_json([], &[]), Ok(json!(null)));
    assert_eq!(results_to_json([Type::U8], &[Val::U8(3)]), Ok(json!(3)));
    assert!(results_to_json([Type::U8], &[]).is_err());
    assert!(results_to_json([], &[Val::U8(3)]).is_err());
}

#[test]
fn refuses_to_write_a_value_of_another_type() {
    let check = |ty: Ty, value: Val, expected: &str| {
        let error = to_json(&engine_type(&ty), &value).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.code().as_str(), "result_invalid");
    };
    check(plain("u8"), Val::U16(1), "expected a value of type u8, got an integer of another type or size");
    check(
        list(plain("u8")),
        Val::List(vec![Val::S8(1)]),
        "expected a value of type u8, got an integer of another type or size",
    );
    check(
        Ty::Enum(names(["a"])),
        Val::Enum("b".into()),
        "expected a value of type enum { a }, got another case",
    );
    check(
        record([("a", plain("u8"))]),
        Val::Record(vec![]),
        "expected a value of type record { a: u8 }, got another record",
    );
}

#[test]
fn refuses_handles() {
    let text =
        r#"(component (import "r" (type $r (sub resource))) (import "f" (func (param "r" (own $r)))))"#;
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let component = component.component_type();
    let function = component.imports(&engine).find_map(|(_, import)| match import.ty {
        wasmtime::component::types::ComponentItem::ComponentFunc(function) => Some(function),
        _ => None,
    });
    let error = arguments_from_json(function.unwrap().params(), &json!({ "r": 1 }), &LIMITS).unwrap_err();
    assert_eq!(error.to_string(), "at `/r`: own<resource> is not a value; values cross, handles do not");
}

#[test]
fn stops_at_the_limit_of_elements() {
    let limits = ConversionLimits { elements_max: 10, ..LIMITS };
    let check = |ty: Ty, json: Value, fits: bool| {
        let found = from_json(&engine_type(&ty), &json, &limits).map_err(|error| error.kind);
        assert_eq!(found.is_ok(), fits, "{json}");
        assert!(fits || found == Err(ValueErrorKind::TooMany { elements_max: 10 }));
    };
    check(list(plain("u16")), json!(vec![0; 9]), true);
    check(list(plain("u16")), json!(vec![0; 10]), false);
    check(list(list(plain("u16"))), json!([vec![0; 4], vec![0; 3]]), true);
    check(list(list(plain("u16"))), json!([vec![0; 4], vec![0; 4]]), false);
    check(list(plain("u8")), json!("AAAAAAAAAAAA"), true);
    check(list(plain("u8")), json!("AAAAAAAAAAAAAAAA"), false);
    // What is left out takes room too: its name.
    let sparse = |name: &str| list(record([(name, option(plain("u8")))]));
    check(sparse("a"), json!([{}, {}, {}]), true);
    check(sparse(&"a".repeat(96)), json!([{}, {}, {}]), false);
}

#[test]
fn stops_at_the_limit_of_depth() {
    let limits = ConversionLimits { depth_max: 2, ..LIMITS };
    let ty = engine_type(&list(list(list(plain("u16")))));
    assert!(from_json(&ty, &json!([[[]]]), &limits).is_ok());
    let error = from_json(&ty, &json!([[[1]]]), &limits).unwrap_err();
    assert_eq!(error.to_string(), "at `/0/0/0`: nested more than 2 deep");
}

fn typed_value() -> impl Strategy<Value = (Ty, Val)> {
    any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty)))
}

/// Whether JSON Schema cannot say all that this type demands.
fn is_loosely_described(ty: &Ty) -> bool {
    match ty {
        Ty::Plain(name) => matches!(*name, "u64" | "s64" | "f32"),
        Ty::List(element) if **element == plain("u8") => true,
        Ty::List(inner) | Ty::FixedList(inner, _) | Ty::Option(inner) => is_loosely_described(inner),
        Ty::Map(key, value) => is_loosely_described(key) || is_loosely_described(value),
        Ty::Record(fields) => fields.iter().any(|(_, ty)| is_loosely_described(ty)),
        Ty::Tuple(items) => items.iter().any(is_loosely_described),
        Ty::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).any(is_loosely_described),
        Ty::Enum(_) | Ty::Flags(_) => false,
        Ty::Result(ok, err) => [ok, err].into_iter().flatten().any(|ty| is_loosely_described(ty)),
    }
}

/// Changes one place of a JSON value in one of several ways, so that it still nearly fits.
fn change_json(json: &mut Value, change: u8, place: &mut usize) {
    if *place > 0 {
        *place -= 1;
        match json {
            Value::Array(items) => items.iter_mut().for_each(|item| change_json(item, change, place)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| change_json(member, change, place));
            }
            _ => {}
        }
        return;
    }
    *place = usize::MAX;
    *json = match (change, json.take()) {
        (0, _) => Value::Null,
        (1, Value::String(text)) => json!({ text: null }),
        (1, Value::Object(members)) => members.keys().next().map_or(Value::Null, |key| json!(key)),
        (2, Value::Array(items)) => items.into_iter().skip(1).collect(),
        (2, Value::Object(members)) => members.into_iter().skip(1).collect(),
        (3, Value::Array(items)) => items.first().cloned().into_iter().chain(items).collect(),
        (3, Value::Object(members)) => {
            members.into_iter().chain([("extra".to_owned(), Value::Null)]).collect()
        }
        (4, Value::Number(_)) => json!(300),
        (4, Value::String(text)) => json!(text.to_lowercase()),
        (5, inner) => json!({ "some": inner }),
        (6, _) => json!([0, 255]),
        (7, _) => json!(-1),
        (_, unchanged) => unchanged,
    };
}

fn has_whole_float(json: &Value) -> bool {
    match json {
        Value::Number(number) => {
            number.is_f64() && number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        Value::Array(items) => items.iter().any(has_whole_float),
        Value::Object(members) => members.values().any(has_whole_float),
        _ => false,
    }
}

/// The schemas that `loong-inspect` derives for functions that take and return these types: input, output.
fn schemas(types: &[Ty]) -> Vec<(jsonschema::Validator, jsonschema::Validator)> {
    // The engine refuses to export again what is imported, but describing it is fine.
    let bytes = component(types, r#"(export "test:t/t" (instance $i))"#);
    let contents = loong_inspect::inspect(&bytes).unwrap();
    assert_eq!(contents.operations.len(), types.len());
    let validator = |schema| jsonschema::draft202012::new(schema).unwrap();
    contents
        .operations
        .iter()
        .map(|operation| (validator(&operation.input), validator(&operation.output)))
        .collect()
}

#[test]
fn reads_what_the_derived_schema_admits_and_nothing_else() {
    let result = |ok: Option<Ty>, err: Option<Ty>| Ty::Result(ok.map(Box::new), err.map(Box::new));
    let mut types: Vec<Ty> = model::PLAIN.iter().copied().map(plain).collect();
    types.extend([
        Ty::Enum(names(["a", "b"])),
        Ty::Flags(names(["a", "b"])),
        list(plain("u8")),
        list(plain("s8")),
        Ty::Tuple(vec![plain("s8"), option(plain("s8"))]),
        record([("a", plain("s8"))]),
        record([("a", plain("s8")), ("b", option(plain("s8")))]),
        record([("some", option(option(plain("s8"))))]),
        variant([("a", None), ("b", Some(plain("s8")))]),
        variant([("a", None), ("b", None)]),
        variant([("a", Some(plain("s8"))), ("b", Some(option(plain("s8"))))]),
        result(Some(plain("s8")), Some(plain("bool"))),
        result(None, Some(plain("s8"))),
        result(None, None),
    ]);
    types.extend(types.clone().into_iter().map(option).collect::<Vec<_>>());
    types.extend(types.clone().into_iter().map(option).collect::<Vec<_>>());
    let inputs = r#"
        null true 0 1 -1 127 128 256 65535 65536 -2147483649 4294967296 9007199254740993 9223372036854775808 -9223372036854775808 1.5 1e300
        "" "a" "b" "ab" "7" "NaN" "Infinity" "-Infinity" "AAAA"
        [] [0] [1,2] [1,null] [1,2,3] [null] [null,1] [256] [-1] ["a"] ["b","a"] ["a","a"] ["c"]
        {} {"a":1} {"a":null} {"b":1} {"b":null} {"a":1,"b":1} {"a":null,"b":null} {"a":"x"} {"c":null} {"a":1,"c":1}
        {"some":null} {"some":1} {"some":{"some":1}} {"some":{"a":1}} {"some":"a"} {"some":null,"a":1}
        {"ok":1} {"ok":null} {"err":true} {"err":1} {"err":null} {"ok":1,"err":true} {"some":{"ok":1}}
    "#;
    let inputs: Vec<Value> =
        serde_json::Deserializer::from_str(inputs).into_iter().map(Result::unwrap).collect();
    for ((ty, engine_type), (schema, _)) in types.iter().zip(engine_types(&types)).zip(schemas(&types)) {
        for input in &inputs {
            let json = json!({ "value": input });
            let read =
                arguments_from_json([("value", engine_type.clone())].into_iter(), &json, &LIMITS).is_ok();
            let fits = schema.is_valid(&json);
            assert!(
                read == fits || fits && is_loosely_described(ty),
                "{ty:?}: {input}: reads {read}, fits {fits}"
            );
        }
        let left_out = arguments_from_json([("value", engine_type)].into_iter(), &json!({}), &LIMITS).is_ok();
        assert_eq!(left_out, schema.is_valid(&json!({})), "{ty:?} left out");
    }
}

proptest! {
    #[test]
    fn reads_back_what_it_wrote((ty, value) in typed_value()) {
        let ty = engine_type(&ty);
        let text = to_json(&ty, &value).unwrap().to_string();
        let back = from_json(&ty, &serde_json::from_str(&text).unwrap(), &LIMITS).unwrap();
        // All NaN are equal here, and zeros of different sign are not.
        prop_assert_eq!(back, value, "{}", text);
    }

    #[test]
    fn keeps_every_f32(bits: u32) {
        let value = f32::from_bits(bits);
        let text = to_json(&Type::Float32, &Val::Float32(value)).unwrap().to_string();
        let back = from_json(&Type::Float32, &serde_json::from_str(&text).unwrap(), &LIMITS).unwrap();
        let Val::Float32(back) = back else { panic!("{back:?}") };
        prop_assert!(back.to_bits() == bits || back.is_nan() && value.is_nan(), "{text}");
    }

    #[test]
    fn what_it_writes_fits_the_derived_schema((ty, value) in typed_value()) {
        let json = to_json(&engine_type(&ty), &value).unwrap();
        let (input, output) = schemas(&[ty]).remove(0);
        prop_assert!(output.is_valid(&json), "{json}");
        prop_assert!(input.is_valid(&json!({ "value": json })), "{json}");
    }

    #[test]
    fn it_reads_exactly_what_fits_the_derived_schema(
        (other, value) in typed_value(),
        ty in any_type(),
        (change, mut place) in (0..9u8, 0..6usize),
    ) {
        let types = [other, ty];
        let engine_types = engine_types(&types);
        let mut json = to_json(&engine_types[0], &value).unwrap();
        change_json(&mut json, change, &mut place);
        let json = json!({ "value": json });
        for ((ty, engine_type), (input, _)) in types.iter().zip(engine_types).zip(schemas(&types)) {
            let read = arguments_from_json([("value", engine_type)].into_iter(), &json, &LIMITS);
            let fits = input.is_valid(&json);
            prop_assert!(fits || read.is_err(), "{ty:?} reads {json}");
            let exact = !is_loosely_described(ty) && !has_whole_float(&json);
            prop_assert!(read.is_ok() || !fits || !exact, "{ty:?} does not read {json}");
        }
    }
}
