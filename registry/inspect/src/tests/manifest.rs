//! The manifest in a component.

use super::bytes;
use crate::{InspectError, MANIFEST_SECTION, inspect, manifest_section, with_manifest};

/// Component text in which each `@text` stands for a manifest of that text.
#[track_caller]
fn check(text: &str, expected: Result<Option<&str>, InspectError>) {
    let text = text
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(manifest) => format!(r#"(@custom "{MANIFEST_SECTION}" "{manifest}")"#),
            None => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    let expected = expected.map(|manifest| manifest.map(|text| text.as_bytes().to_vec()));
    assert_eq!(manifest_section(&bytes(&text)), expected, "{text}");
    assert_eq!(inspect(&bytes(&text)).map(|contents| contents.manifest), expected, "{text}");
}

#[test]
fn finds_the_manifest_that_counts() {
    check("(component )", Ok(None));
    check("(component @own )", Ok(Some("own")));
    check("(component (core module @inner ) )", Ok(Some("inner")));
    check("(component (core module @inner ) @own )", Ok(Some("own")));
    check("(component (component (core module @inner ) ) )", Ok(Some("inner")));
}

#[test]
fn passes_over_the_manifest_of_a_component_inside() {
    check("(component (component @other ) )", Ok(None));
    check("(component (component @other ) @own )", Ok(Some("own")));
}

#[test]
fn refuses_two_manifests_unless_they_are_the_same() {
    check("(component @a @a )", Ok(Some("a")));
    check("(component @a @b )", Err(InspectError::ManifestTwice));
    check("(component (core module @a ) (core module @a ) )", Ok(Some("a")));
    check("(component (core module @a ) (core module @b ) )", Err(InspectError::ManifestTwice));
    check("(component (core module @a @b ) )", Err(InspectError::ManifestTwice));
    check("(component (core module @a ) (core module @b ) @own )", Ok(Some("own")));
}

#[test]
fn packs_a_manifest_and_changes_nothing_else() {
    let plain = bytes(r#"(component (core module) (@custom "other" "x"))"#);
    let packed = with_manifest(&plain, b"{1}").unwrap();
    assert!(packed.starts_with(&plain));
    assert_eq!(manifest_section(&packed), Ok(Some(b"{1}".to_vec())));
    let again = with_manifest(&packed, b"{22}").unwrap();
    assert!(again.starts_with(&plain));
    assert_eq!(manifest_section(&again), Ok(Some(b"{22}".to_vec())));
    assert_eq!(again, with_manifest(&plain, b"{22}").unwrap());
}

#[test]
fn packs_a_manifest_over_the_one_that_the_sdk_left() {
    let plain = bytes(r#"(component (core module (@custom "loong.plugin.json" "inner")))"#);
    let packed = with_manifest(&plain, b"own").unwrap();
    assert_eq!(manifest_section(&packed), Ok(Some(b"own".to_vec())));
}

#[test]
fn packs_nothing_but_components() {
    assert_eq!(with_manifest(b"\0asm\x01\0\0\0", b"{}"), Err(InspectError::CoreModule));
    let plain = bytes("(component (core module))");
    assert_eq!(
        with_manifest(&plain[..plain.len() - 1], b"{}"),
        Err(InspectError::Truncated { offset: plain.len() - 1 })
    );
}

#[test]
fn refuses_a_manifest_that_is_too_large() {
    let plain = bytes("(component)");
    let error = with_manifest(&plain, &vec![b' '; (1 << 20) + 1]).unwrap_err();
    assert_eq!(error.to_string(), "the manifest is larger than 1048576 bytes");
    assert!(with_manifest(&plain, &vec![b' '; 1 << 20]).is_ok());
}
