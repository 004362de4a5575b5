//! JSON that is read as a value of a type is written as JSON that is read as the same value. The first byte of the
//! input chooses the type, the others are the JSON.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use loong_runtime::values::{ConversionLimits, from_json, to_json};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type};
use wasmtime::{Config, Engine};

/// One function for each type, which is that of its parameter.
const TYPES: &str = r#"(component
  (import "fuzz:types/types" (instance
    (type $record (record (field "a" u8) (field "b" (option string)) (field "c" (list s64))))
    (export "record" (type $r (eq $record)))
    (type $variant (variant (case "none") (case "text" string) (case "record" $r) (case "maybe" (option (option bool)))))
    (export "variant" (type $v (eq $variant)))
    (type $enum (enum "red" "green" "blue"))
    (export "enum" (type $e (eq $enum)))
    (type $flags (flags "read" "write" "execute"))
    (export "flags" (type $f (eq $flags)))
    (export "f1" (func (param "x" $r)))
    (export "f2" (func (param "x" $v)))
    (export "f3" (func (param "x" $e)))
    (export "f4" (func (param "x" $f)))
    (export "f5" (func (param "x" (list u8))))
    (export "f6" (func (param "x" (list f64))))
    (export "f7" (func (param "x" (list f32))))
    (export "f8" (func (param "x" (tuple char bool u64 s8))))
    (export "f9" (func (param "x" (result (list $v) (error $e)))))
    (export "f10" (func (param "x" (option (option (option u16))))))
    (export "f11" (func (param "x" (result))))
    (export "f12" (func (param "x" string)))
    (export "f13" (func (param "x" (list (list (list $f))))))
  )))"#;

static PARAMETERS: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, wat::parse_str(TYPES).unwrap()).unwrap();
    let component = component.component_type();
    let (_, import) = component.imports(&engine).next().unwrap();
    let ComponentItem::ComponentInstance(types) = import.ty else { panic!("not an interface") };
    let functions = types.exports(&engine).filter_map(|(_, export)| match export.ty {
        ComponentItem::ComponentFunc(function) => function.params().next().map(|(_, ty)| ty),
        _ => None,
    });
    functions.collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let ty = &PARAMETERS[usize::from(*choice) % PARAMETERS.len()];
    let Ok(json) = serde_json::from_slice(text) else { return };
    let Ok(value) = from_json(ty, &json, &ConversionLimits::DEFAULT) else { return };
    let written = to_json(ty, &value).unwrap();
    let again = from_json(ty, &written, &ConversionLimits::DEFAULT).unwrap();
    // Not the values: NaN is not equal to itself.
    assert_eq!(to_json(ty, &again).unwrap(), written);
});
