//! Operations read from WIT source, and that the component built from it offers the same.

use serde_json::{Value, json};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::{Offer, inspect, operations_from_wit, without_descriptions};

/// The operations of the world `w` in WIT source, and those of a component built for it.
fn both(wit: &str) -> (Offer, Offer) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let offer = operations_from_wit(&resolve, world).unwrap();

    let abi = ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, abi);
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .unwrap();
    let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let contents = inspect(&component).unwrap();
    (offer, Offer { operations: contents.operations, skipped: contents.skipped })
}

const WEATHER: &str = "
    package acme:weather@1.2.0;

    interface types {
        /// A place on earth.
        record place {
            /// Degrees north.
            latitude: f64,
            /// Degrees east.
            longitude: f64,
            name: option<string>,
        }
        /// Where something is.
        type location = place;
    }

    interface weather {
        use types.{location};

        /// How warm it is.
        enum feeling {
            /// Below freezing.
            cold,
            mild,
        }
        flags parts { wind, rain }
        variant when {
            /// At this moment.
            now,
            /// This many days ahead.
            days(u8),
        }
        resource station {
            constructor(name: string);
            read: func() -> f32;
        }

        /// The weather at a place.
        /// As it is measured.
        current: func(at: location, parts: option<parts>) -> result<feeling, string>;
        forecast: func(at: list<location>, %when: when) -> list<tuple<u64, option<f32>>>;
        raw: func(key: list<u8>, nested: option<option<u8>>) -> list<u8>;
        stations: func() -> list<station>;
    }

    world w {
        import wasi-like;
        export weather;
        export other: interface { f: func(); }
        /// Does nothing.
        export nothing: func();
    }

    interface wasi-like { f: func(a: u8); }
";

#[test]
fn a_component_offers_what_its_source_says() {
    let (source, mut component) = both(WEATHER);
    let names: Vec<String> = source.operations.iter().map(|operation| operation.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "#nothing",
            "acme:weather/weather@1.2.0#current",
            "acme:weather/weather@1.2.0#forecast",
            "acme:weather/weather@1.2.0#raw",
        ]
    );
    // The order of exports is that of the file, which tools choose.
    let mut stripped = source;
    for operation in &mut stripped.operations {
        operation.doc = None;
        operation.input = without_descriptions(&operation.input);
        operation.output = without_descriptions(&operation.output);
    }
    for offer in [&mut stripped, &mut component] {
        offer.operations.sort_by(|a, b| a.name.cmp(&b.name));
        offer.skipped.sort_by(|a, b| a.name.cmp(&b.name));
    }
    assert_eq!(stripped, component);
    assert_eq!(component.skipped.len(), 4);
}

#[track_caller]
fn check(name: &str, input: &Value, output: &Value) {
    let (source, _) = both(WEATHER);
    let operation = source.operations.into_iter().find(|operation| operation.name.function == name).unwrap();
    assert_eq!(&operation.input["properties"], input);
    assert_eq!(&operation.output, output);
}

fn place(required: &Value, names: &Value) -> Value {
    json!({
        "description": "Where something is.",
        "type": "object",
        "properties": {
            "latitude": { "description": "Degrees north.", "type": ["number", "string"], "pattern": "^(NaN|-?Infinity)$" },
            "longitude": { "description": "Degrees east.", "type": ["number", "string"], "pattern": "^(NaN|-?Infinity)$" },
            "name": names,
        },
        "required": required,
        "additionalProperties": false,
    })
}

#[test]
fn takes_texts_and_types_from_the_source() {
    let parts = json!({ "type": ["array", "null"], "items": { "type": "string", "enum": ["wind", "rain"] }, "uniqueItems": true });
    let feeling = json!({
        "description": "How warm it is.\n`cold`: Below freezing.", "type": "string", "enum": ["cold", "mild"],
    });
    check(
        "current",
        &json!({
            "at": place(&json!(["latitude", "longitude"]), &json!({ "type": ["string", "null"] })),
            "parts": parts,
        }),
        &json!({
            "type": "object",
            "properties": { "ok": feeling, "err": { "type": "string" } },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        }),
    );
}

#[test]
fn describes_variants_tuples_and_large_integers() {
    let when = json!({ "anyOf": [
        { "description": "`now`: At this moment.", "type": "string", "enum": ["now"] },
        {
            "type": "object",
            "properties": {
                "now": { "description": "At this moment.", "type": "null" },
                "days": { "description": "This many days ahead.", "type": "integer", "minimum": 0, "maximum": 255 },
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        },
    ] });
    let pair = json!({
        "type": "array",
        "prefixItems": [
            { "type": ["integer", "string"], "minimum": 0, "maximum": 9_007_199_254_740_991_u64, "pattern": "^(0|[1-9][0-9]{0,19})$" },
            { "type": ["number", "string", "null"], "pattern": "^(NaN|-?Infinity)$" },
        ],
        "items": false,
        "minItems": 2,
        "maxItems": 2,
    });
    let at = place(&json!(["latitude", "longitude"]), &json!({ "type": ["string", "null"] }));
    check(
        "forecast",
        &json!({ "at": { "type": "array", "items": at }, "when": when }),
        &json!({ "type": "array", "items": pair }),
    );
}

#[test]
fn describes_bytes_and_nested_options() {
    let byte = json!({ "type": "integer", "minimum": 0, "maximum": 255 });
    let byte_or_null = json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 255 });
    check(
        "raw",
        &json!({
            "key": { "type": ["string", "array"], "contentEncoding": "base64", "items": byte },
            "nested": {
                "type": ["object", "null"],
                "properties": { "some": byte_or_null },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": false,
            },
        }),
        &json!({ "type": "string", "contentEncoding": "base64" }),
    );
}

#[test]
fn takes_the_text_of_an_operation() {
    let (source, _) = both(WEATHER);
    let doc = |name: &str| source.operations.iter().find(|o| o.name.function == name).unwrap().doc.clone();
    assert_eq!(doc("current").as_deref(), Some("The weather at a place.\nAs it is measured."));
    assert_eq!(doc("nothing").as_deref(), Some("Does nothing."));
    assert_eq!(doc("raw"), None);
}

#[test]
fn strips_texts_but_not_members_that_are_named_so() {
    let schema = json!({
        "description": "text",
        "properties": { "description": { "description": "text", "type": "string" } },
        "anyOf": [{ "description": "text" }],
    });
    let stripped = json!({ "properties": { "description": { "type": "string" } }, "anyOf": [{}] });
    assert_eq!(without_descriptions(&schema), stripped);
}

#[test]
fn follows_names_of_types_without_end() {
    let names: String = (1..3000).map(|index| format!("type t{index} = t{};", index - 1)).collect();
    let wit = format!(
        "package a:b; interface i {{ type t0 = u8; {names} f: func(a: t2999); }} world w {{ export i; }}"
    );
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    assert_eq!(operations_from_wit(&resolve, world).unwrap().operations.len(), 1);
}
