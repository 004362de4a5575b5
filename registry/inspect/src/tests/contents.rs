//! What is read out of sound components.

use serde_json::json;

use super::{SAMPLE, contents};
use crate::{ExternKind, InspectError, inspect};

#[test]
fn reads_imports_exports_and_operations() {
    let contents = contents(SAMPLE);
    let names = |externs: &[crate::Extern]| -> Vec<String> {
        externs
            .iter()
            .map(|e| format!("{} {:?} {:?} {:?}", e.name, e.kind, e.functions, e.resources))
            .collect()
    };
    assert_eq!(
        names(&contents.imports),
        [
            r#"wasi:io/streams@0.2.6 Interface ["[method]input-stream.read"] ["input-stream"]"#,
            r#"loong:host/log@0.1.0 Interface ["write"] []"#,
        ]
    );
    assert_eq!(
        names(&contents.exports),
        [r#"acme:add/add@1.2.0 Interface ["add"] []"#, "add Function [] []"]
    );
    let operations: Vec<String> =
        contents.operations.iter().map(|operation| operation.name.to_string()).collect();
    assert_eq!(operations, ["acme:add/add@1.2.0#add", "#add"]);
    assert_eq!(contents.skipped, []);
    assert_eq!(contents.manifest.as_deref(), Some(br#"{"id":"acme:add"}"#.as_slice()));
}

#[test]
fn describes_arguments_and_result() {
    let contents = contents(SAMPLE);
    let number = json!({ "type": "integer", "minimum": 0, "maximum": 0xffff_ffff_u32 });
    let input = json!({
        "type": "object",
        "properties": { "a": number, "b": number },
        "required": ["a", "b"],
        "additionalProperties": false,
    });
    assert_eq!((&contents.operations[0].input, &contents.operations[0].output), (&input, &number));
}

/// Names the operations that a component offers, and the functions that are none, with the reason.
#[track_caller]
fn check_offer(text: &str, expected: &[&str]) {
    let contents = contents(text);
    let mut found: Vec<String> =
        contents.operations.iter().map(|operation| operation.name.to_string()).collect();
    found.extend(contents.skipped.iter().map(|skipped| format!("{} {}", skipped.name, skipped.why)));
    assert_eq!(found, expected);
}

/// A component that exports an interface with these members under a name.
fn exporting(name: &str, members: &str) -> String {
    format!(r#"(component (import "x" (instance $i {members})) (export "{name}" (instance $i)))"#)
}

const HANDLE: &str = "takes or returns a handle; values cross, handles do not";

#[test]
fn offers_the_functions_of_interfaces_that_are_no_contracts() {
    let function = r#"(export "run" (func (result (result))))"#;
    check_offer(&exporting("acme:a/b", function), &["acme:a/b#run"]);
    check_offer(&exporting("acme:a/b@1.0.0-rc.1", function), &["acme:a/b@1.0.0-rc.1#run"]);
    check_offer(&exporting("wasi:cli/run@0.2.0", function), &[]);
    check_offer(&exporting("loong:plugin/lifecycle@0.1.0", function), &[]);
    check_offer(
        &exporting("plain", function),
        &["plain#run is in an interface whose name is not `namespace:package/interface` in lower case"],
    );
}

#[test]
fn offers_no_function_with_handles() {
    let members = r#"
        (export "r" (type $r (sub resource)))
        (type $own (own $r)) (type $list (list $own)) (type $option (option $list))
        (export "[constructor]r" (func (result $own)))
        (export "[static]r.count" (func (result u32)))
        (export "open" (func (param "name" string) (result $option)))
        (export "close" (func (param "r" (borrow $r))))
        (export "fine" (func (param "name" string)))
    "#;
    check_offer(
        &exporting("acme:a/b", members),
        &[
            "acme:a/b#fine",
            &format!("acme:a/b#[constructor]r {HANDLE}"),
            &format!("acme:a/b#[static]r.count {HANDLE}"),
            &format!("acme:a/b#open {HANDLE}"),
            &format!("acme:a/b#close {HANDLE}"),
        ],
    );
}

#[test]
fn offers_no_function_with_a_name_that_records_cannot_hold() {
    let name = "a".repeat(200);
    let members = format!(r#"(export "{name}" (func))"#);
    check_offer(&exporting("acme:a/b", &members), &[&format!("acme:a/b#{name} has a name that is too long")]);
}

#[test]
fn offers_no_function_with_a_type_nested_too_deeply() {
    let nested = |depth: usize| {
        let mut members = "(type $t0 (list u16))".to_owned();
        for level in 1..depth {
            members += &format!("(type $t{level} (list $t{}))", level - 1);
        }
        exporting("acme:a/b", &format!(r#"{members} (export "f" (func (param "a" $t{})))"#, depth - 1))
    };
    check_offer(&nested(24), &["acme:a/b#f"]);
    check_offer(&nested(25), &["acme:a/b#f has a type that is nested too deeply"]);
}

#[test]
fn reads_components_that_do_nothing() {
    let empty = contents("(component)");
    assert_eq!(
        (empty.imports, empty.exports, empty.operations, empty.manifest),
        (vec![], vec![], vec![], None)
    );
}

#[test]
fn reads_imports_and_exports_of_every_kind_and_form() {
    let contents = contents(
        r#"(component
            (import "f" (func (param "x" u8)))
            (import "r" (type (sub resource)))
            (type $record (record (field "a" u8)))
            (import "t" (type $t (eq $record)))
            (import "c" (component $c))
            (import "m" (core module $m))
            (import "a:b/c" (instance))
            (import "locked-dep=<a:b@1.0.0>,integrity=<sha256-AAAA>" (component))
            (import "unlocked-dep=<a:b@{>=1.0.0}>" (component))
            (import "url=<https://example.com/a>" (component))
            (import "integrity=<sha256-AAAA>" (component))
            (import "a:b/c-HTTP" (instance))
            (export "t2" (type $t))
            (export "c2" (component $c))
            (export "m2" (core module $m))
        )"#,
    );
    use ExternKind::*;
    let kinds: Vec<ExternKind> = contents.imports.iter().map(|import| import.kind).collect();
    assert_eq!(
        kinds,
        [
            Function, Resource, Type, Component, Module, Interface, Component, Component, Component,
            Component, Interface
        ]
    );
    let interfaces: Vec<String> =
        contents.imports.iter().filter_map(|import| Some(import.interface.as_ref()?.to_string())).collect();
    assert_eq!(interfaces, ["a:b/c"]);
    let kinds: Vec<ExternKind> = contents.exports.iter().map(|export| export.kind).collect();
    assert_eq!(kinds, [Type, Component, Module]);
}

#[test]
fn passes_over_what_a_component_inside_imports_and_exports() {
    let contents = contents(
        r#"(component
            (import "f" (func $f))
            (component (import "f" (func $f)) (import "g" (func)) (export "f" (func $f)) (export "h" (func $f)))
            (export "f2" (func $f))
        )"#,
    );
    let names = |externs: &[crate::Extern]| externs.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&contents.imports), names(&contents.exports)),
        (vec!["f".to_owned()], vec!["f2".to_owned()])
    );
}

#[test]
fn reads_a_package_of_wit_in_bytes() {
    let contents = contents(
        r#"(component
            (type $package (component (export "a:b/c" (instance (export "f" (func))))))
            (export "c" (type $package))
        )"#,
    );
    assert_eq!(contents.exports[0].kind, ExternKind::Type);
    assert!(contents.operations.is_empty());
}

/// The error that a file gives.
#[track_caller]
fn check_error(bytes: &[u8], code: &str, expected: &str) {
    let error = inspect(bytes).unwrap_err();
    assert_eq!((error.code().as_str(), error.to_string().as_str()), (code, expected));
}

#[test]
fn says_what_a_file_is_that_is_no_component() {
    let not_wasm =
        |bytes: &[u8], found| check_error(bytes, "not_wasm", &format!("not WebAssembly: this is {found}"));
    not_wasm(b"", "an empty file");
    not_wasm(b"\x7fELF\x02\x01\x01", "a native program or library (ELF)");
    not_wasm(b"PK\x03\x04....", "a zip archive");
    not_wasm(b"\n(component)", "WebAssembly text; turn it into bytes first (`wasm-tools parse`)");
    not_wasm(b"{\"id\":1}", "JSON");
    not_wasm(b"hello", "text");
    not_wasm("é".repeat(300).as_bytes(), "text");
    not_wasm(b"\x80\x81\x82\x83\x84", "binary data of an unknown kind");
    not_wasm(b"a\0b\0c", "binary data of an unknown kind");
    check_error(
        b"\0asm\x01\0\0\0",
        "component_core_module",
        "a core module, not a component; build for wasm32-wasip2 or run `loong plugins build`",
    );
    check_error(
        b"\0asm\x0c\0\x01\0",
        "component_unsupported",
        "uses what this host does not offer: WebAssembly of version 0x0001000c (at byte 4)",
    );
    check_error(
        b"\0as",
        "component_truncated",
        "cut off: the file ends at byte 3, in the middle of the component",
    );
}

#[test]
fn says_which_rule_a_component_breaks() {
    // An export of function 0, of which there is none.
    let component = b"\0asm\x0d\0\x01\0\x0b\x07\x01\0\x01f\x01\0\0";
    check_error(
        component,
        "component_invalid",
        "not a valid component: unknown function 0: function index out of bounds (at byte 11)",
    );
}

#[test]
fn says_what_the_host_does_not_offer() {
    for text in [
        r#"(component (import "f" (func async)))"#,
        r#"(component (type (stream u8)))"#,
        r#"(component (core module (memory 1 1 shared)))"#,
        r#"(component (core module (type (struct))))"#,
        r#"(component (type (map string u8)))"#,
    ] {
        let error = inspect(&super::bytes(text)).unwrap_err();
        assert!(matches!(error, InspectError::Unsupported { .. }), "{text}: {error:?}");
    }
}

#[test]
fn shows_no_more_than_a_line_of_what_a_file_says() {
    let error = InspectError::Invalid { offset: 1, message: "\u{1b}".repeat(9999) };
    assert!(error.to_string().len() < 3000);
    assert!(!error.to_string().contains('\u{1b}'));
}
