use loong_trust::{Candidate, TrustRoot};
use proptest::prelude::*;

use super::*;

fn verified(wat: &str, manifest: &str) -> Verified {
    let bytes = wat::parse_str(wat).unwrap();
    let bytes = if manifest.is_empty() {
        bytes
    } else {
        loong_inspect::with_manifest(&bytes, manifest.as_bytes()).unwrap()
    };
    loong_trust::verify(Candidate::read(bytes, None, "x").unwrap(), &TrustRoot::empty(), 0).unwrap()
}

fn rules() -> ScanRules {
    ScanRules::read(ScanRules::DEFAULT).unwrap()
}

/// `severity category` of each finding.
#[track_caller]
fn check_with(wat: &str, rules: &ScanRules, expected: &[&str]) {
    let report = scan(&verified(wat, ""), None, rules).unwrap();
    let found: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{} {}", finding.severity.as_str(), finding.category))
        .collect();
    assert_eq!(found, expected, "{:?}", report.findings);
    assert_eq!(report.blocked, expected.iter().any(|line| line.starts_with("high")));
}

#[track_caller]
fn check(wat: &str, expected: &[&str]) {
    check_with(wat, &rules(), expected);
}

fn data(text: &str) -> String {
    format!(r#"(component (core module (memory 1) (data (i32.const 0) "{text}")))"#)
}

#[test]
fn what_is_in_order_has_no_findings() {
    check("(component)", &[]);
    check(&data("hello, world; a text like any other, with 42 numbers"), &[]);
    check(
        r#"(component (@custom "name" "x") (@custom "producers" "x") (@custom "component-type:y" "x"))"#,
        &[],
    );
    check(r#"(component (import "wasi:io/error@0.2.6" (instance)))"#, &[]);
}

#[test]
fn a_tier_that_a_manifest_claims_counts_for_nothing_and_is_said() {
    let claims = |tier: &str| {
        let manifest = format!(
            r#"{{"id":"acme:x","version":"1.0.0","kind":"tool","summary":"s","operations":[]{tier}}}"#
        );
        let verified = verified("(component)", &manifest);
        assert_eq!(verified.tier(), Tier::Unverified);
        scan(&verified, None, &rules()).unwrap()
    };
    assert_eq!(claims("").findings, []);
    let report = claims(r#","tier":"official""#);
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!((finding.severity, finding.category, report.blocked), (Severity::Low, "tier_claimed", false));
    assert!(finding.message.contains("\"official\""), "{}", finding.message);
}

#[test]
fn secrets_in_data_are_found_and_not_repeated() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ0123456789";
    check(&data(token), &["high secret_in_data"]);
    check(&data("AKIAIOSFODNN7EXAMPLE"), &["high secret_in_data"]);
    check(&data("AKIAIOSFODNN7"), &[]);
    check(&data("ghp_short"), &[]);
    let header = |rest: &str| ["-----BEGIN PRIVATE", " KEY-----", rest].concat();
    let key = header(&[r"\0a", &"TWFueSBoYW5kcyBtYWtl".repeat(3), r"\0a"].concat());
    check(&data(&key), &["high secret_in_data"]);
    check(&data(&header(" is how a key begins, says the documentation")), &[]);
    check(&data("Zm9vYmFyQmF6MTIzNDU2Nzg5MGFiY2RlZkdISUpLTE1OT1BRUlM"), &["low high_entropy_data"]);
    let report = scan(&verified(&data(token), ""), None, &rules()).unwrap();
    assert!(!format!("{report:?}").contains("0123456789abcdef"));
}

#[test]
fn a_tier_may_be_spared_the_search_at_each_load() {
    let mut spared = rules();
    spared.unverified.secrets = false;
    check_with(&data("AKIAIOSFODNN7EXAMPLE"), &spared, &[]);
    check_with(&data("AKIAIOSFODNN7EXAMPLE"), &spared.thorough(), &["high secret_in_data"]);
}

#[test]
fn sizes_and_counts_are_held_against_the_tier() {
    let mut tight = rules();
    (tight.unverified.modules_max, tight.unverified.functions_max) = (1, 1);
    (tight.unverified.data_bytes_max, tight.unverified.custom_bytes_max) = (4, 4);
    let one = r#"(component (core module (func) (memory 1) (data "abcd")) (@custom "name" "abcd"))"#;
    check_with(one, &tight, &[]);
    let two = r#"(component (core module (func) (func) (memory 1) (data "abcde")) (core module) (@custom "name" "abcde"))"#;
    let report = scan(&verified(two, ""), None, &tight).unwrap();
    let expected = ["custom_sections_too_large", "data_too_large", "functions_too_many", "modules_too_many"];
    assert_eq!(report.categories(), expected);
    assert!(report.blocked);
    tight.unverified.block_on_high = false;
    assert!(!scan(&verified(two, ""), None, &tight).unwrap().blocked);
}

#[test]
fn imports_are_held_against_the_tier() {
    let mut tight = rules();
    tight.unverified.wasi_allowed = vec!["wasi:io/".into()];
    tight.unverified.imports_blocked = vec!["wasi:io/poll".into()];
    let import = |name: &str| format!(r#"(component (import "{name}" (instance)))"#);
    check_with(&import("wasi:io/error@0.2.6"), &tight, &[]);
    check_with(&import("wasi:clocks/wall-clock@0.2.6"), &tight, &["high wasi_not_allowed"]);
    check_with(&import("wasi:io/poll@0.2.6"), &tight, &["high import_blocked"]);
}

#[test]
fn custom_sections_that_no_tool_writes_are_named() {
    check(r#"(component (@custom "payload" "x"))"#, &["low custom_section_unknown"]);
}

#[test]
fn pins_and_the_list_of_bad_ones_decide_by_digest() {
    let manifest = r#"{"id": "acme:x", "version": "1.0.0", "kind": "tool", "summary": "x"}"#;
    let component = verified("(component)", manifest);
    let categories = |rules: &ScanRules, file: Option<&str>| {
        scan(&component, file.map(Path::new), rules).unwrap().categories()
    };
    let mut rules = rules();
    assert!(categories(&rules, None).is_empty());
    rules.known_bad = vec![*component.digest()];
    assert_eq!(categories(&rules, None), ["known_bad_digest"]);
    rules.known_bad = vec![Digest::of(b"other")];
    rules.unverified.pins_required = true;
    assert_eq!(categories(&rules, None), ["digest_not_pinned"]);
    rules.pins.insert(component.id().clone(), Digest::of(b"other"));
    assert_eq!(categories(&rules, None), ["digest_differs_from_pin"]);
    rules.pins.insert(component.id().clone(), *component.digest());
    assert!(categories(&rules, None).is_empty());
    rules.unverified.folders = vec!["/srv/components".into()];
    assert!(categories(&rules, Some("/srv/components/x.wasm")).is_empty());
    assert_eq!(categories(&rules, Some("/tmp/x.wasm")), ["path_not_allowed"]);
    assert_eq!(categories(&rules, Some("/srv/components-other/x.wasm")), ["path_not_allowed"]);
}

#[test]
fn a_finding_has_the_same_id_wherever_the_file_lies() {
    let mut rules = rules();
    rules.unverified.folders = vec!["/srv".into()];
    let component = verified(&data("AKIAIOSFODNN7EXAMPLE"), "");
    let ids = |file: &str| -> Vec<String> {
        scan(&component, Some(Path::new(file)), &rules)
            .unwrap()
            .findings
            .into_iter()
            .map(|finding| finding.id)
            .collect()
    };
    assert_eq!(ids("/opt/x.wasm"), ids("/tmp/y.wasm"));
    assert_eq!(ids("/opt/x.wasm").len(), 2);
}

#[test]
fn rules_are_read_strictly() {
    let good = ScanRules::DEFAULT;
    for (from, to) in [
        ("known_bad", "knownbad"),
        ("modules_max = 16", ""),
        ("[official]", "[oficial]"),
        ("[pins]", "[pins]\n\"A\" = 1"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(ScanRules::read(&bad).is_err(), "{to}");
    }
}

proptest! {
    #[test]
    fn any_data_is_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut count = 0;
        secret::look(&bytes, &mut |_, _, _| count += 1);
        prop_assert!(count <= bytes.len());
    }

    #[test]
    fn many_findings_are_bounded(count in 0_usize..400) {
        let mut found = Found { digest: Digest::of(b""), findings: Vec::new(), more: 0 };
        for number in 0..count {
            found.add(Severity::Low, "x", &number.to_string());
        }
        let report = found.report(true);
        prop_assert!(report.findings.len() <= FINDINGS_MAX + 1);
        prop_assert_eq!(report.blocked, count > FINDINGS_MAX);
    }
}
