//! Components made to harm whoever reads them.

use proptest::prelude::*;

use super::{bytes, sample};
use crate::{Bounds, InspectError, inspect, inspect_within, manifest_section, with_manifest};

#[test]
fn a_component_cut_off_anywhere_is_refused_or_offers_less() {
    let whole = sample();
    let contents = inspect(&whole).unwrap();
    let mut sound = 0;
    for length in 0..whole.len() {
        match inspect(&whole[..length]) {
            Ok(less) => {
                sound += 1;
                assert!(contents.imports.starts_with(&less.imports), "{length}");
                assert!(contents.exports.starts_with(&less.exports), "{length}");
                assert!(contents.operations.starts_with(&less.operations), "{length}");
            }
            Err(InspectError::NotWasm { .. }) => assert_eq!(length, 0),
            Err(InspectError::Truncated { offset }) => assert_eq!(offset, length),
            Err(error) => panic!("{length}: {error:?}"),
        }
    }
    // Between two sections nothing is missing.
    assert!(sound > 1 && sound < 30, "{sound}");
}

#[test]
fn refuses_a_file_that_is_too_large() {
    let whole = sample();
    let bounds = Bounds { component_bytes_max: whole.len() - 1, ..Bounds::WIDE };
    assert_eq!(
        inspect_within(&whole, &bounds).unwrap_err().to_string(),
        format!("the component is larger than {} bytes", whole.len() - 1)
    );
    assert!(inspect_within(&whole, &Bounds { component_bytes_max: whole.len(), ..Bounds::WIDE }).is_ok());
}

const TOO_LARGE: InspectError = InspectError::TooLarge {
    what: "what the component describes",
    bytes_max: Bounds::WIDE.contents_bytes_max,
};

#[test]
fn refuses_types_of_exponential_size() {
    let mut members = "(type $t0 (tuple u8 u8))".to_owned();
    for level in 1..16 {
        members += &format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1);
    }
    let text = format!(
        r#"(component (import "x" (instance $i {members} (export "f" (func (param "a" $t15)))))
        (export "acme:a/b" (instance $i)))"#
    );
    assert_eq!(inspect(&bytes(&text)), Err(TOO_LARGE));
}

#[test]
fn refuses_one_type_that_many_functions_name() {
    let fields: String = (0..200).map(|index| format!(r#"(field "f{index}" string)"#)).collect();
    let functions: String =
        (0..900).map(|index| format!(r#"(export "f{index}" (func (param "a" $e)))"#)).collect();
    let text = format!(
        r#"(component (import "x" (instance $i
            (type $t (record {fields})) (export "t" (type $e (eq $t))) {functions}))
        (export "acme:a/b" (instance $i)))"#
    );
    assert_eq!(inspect(&bytes(&text)), Err(TOO_LARGE));
}

#[test]
fn refuses_one_interface_imported_under_many_names() {
    let long = "x".repeat(99);
    let functions: String = (0..2000).map(|index| format!(r#"(export "f{index}-{long}" (func))"#)).collect();
    let imports: String =
        (0..300).map(|index| format!(r#"(import "a:b/c{index}" (instance (type $t)))"#)).collect();
    let text = format!("(component (type $t (instance {functions})) {imports})");
    assert_eq!(inspect(&bytes(&text)), Err(TOO_LARGE));
}

#[test]
fn refuses_components_nested_without_end() {
    let nested = |depth: usize| bytes(&format!("{}{}", "(component ".repeat(depth), ")".repeat(depth)));
    assert!(inspect(&nested(32)).is_ok());
    for error in [inspect(&nested(33)).map(drop), manifest_section(&nested(33)).map(drop)] {
        assert!(matches!(error, Err(InspectError::Unsupported { .. })), "{error:?}");
    }
}

/// Whatever the bytes are, all functions return.
fn look_at(bytes: &[u8]) {
    let contents = inspect(bytes);
    let section = manifest_section(bytes);
    if let Ok(contents) = contents {
        assert_eq!(contents.manifest, section.unwrap());
    }
    if let Ok(packed) = with_manifest(bytes, b"{}") {
        // Nested deeper than is looked at, or broken inside, it stays so.
        assert!(manifest_section(bytes).is_err() || manifest_section(&packed) == Ok(Some(b"{}".to_vec())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn survives_changed_bytes(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = sample();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        look_at(&bytes);
    }

    #[test]
    fn survives_bytes_left_out_or_repeated(from: prop::sample::Index, to: prop::sample::Index, again: bool) {
        let mut bytes = sample();
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let range = from.min(to)..from.max(to);
        if again {
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, copy);
        } else {
            bytes.drain(range);
        }
        look_at(&bytes);
    }

    #[test]
    fn survives_any_bytes_after_the_header(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        look_at(&[b"\0asm\x0d\0\x01\0".as_slice(), &tail].concat());
    }
}
