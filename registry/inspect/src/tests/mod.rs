//! Tests over component text and WIT source.

mod contents;
mod hostile;
mod manifest;
mod source;

use crate::{Contents, inspect};

/// The bytes of component text.
fn bytes(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn contents(text: &str) -> Contents {
    inspect(&bytes(text)).unwrap()
}

/// The bytes of [`SAMPLE`].
fn sample() -> Vec<u8> {
    static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| bytes(SAMPLE));
    BYTES.clone()
}

/// A component with a bit of everything: imports, resources, nested modules and components, code.
const SAMPLE: &str = r#"(component
    (import "wasi:io/streams@0.2.6" (instance $streams
        (export "input-stream" (type $stream (sub resource)))
        (export "[method]input-stream.read" (func (param "self" (borrow $stream)) (result (list u8))))
    ))
    (import "loong:host/log@0.1.0" (instance (export "write" (func (param "line" string)))))
    (core module $module
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (@custom "loong.plugin.json" "{\"id\":\"acme:add\"}")
    )
    (core instance $core (instantiate $module))
    (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "add")))
    (component $inner (core module))
    (instance $exported (export "add" (func $add)))
    (export "acme:add/add@1.2.0" (instance $exported))
    (export "add" (func $add))
)"#;
