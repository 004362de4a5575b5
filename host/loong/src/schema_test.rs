//! Holds `registry/schema/` against the types it is made from. `BLESS=1 cargo test -p loong schema` rewrites it.

use std::path::Path;

use loong_manifest::{Code, Manifest};
use loong_trust::TrustRoot;

#[track_caller]
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../registry/schema").join(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by its environment to rewrite what it expects"
    )]
    let bless = std::env::var_os("BLESS").is_some();
    if bless {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "registry/schema/{name} is not what the types say; rewrite it with `BLESS=1 cargo test -p loong schema`"
    );
}

fn schema<T: schemars::JsonSchema>(title: &str) -> String {
    let mut schema =
        schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap())
}

#[test]
fn the_schema_of_manifests_is_that_of_their_type() {
    check("loong.plugin.schema.json", &schema::<Manifest>(loong_manifest::SCHEMA_ID));
}

#[test]
fn the_schema_of_trust_roots_is_that_of_their_type() {
    check("trust-root.schema.json", &schema::<TrustRoot>(loong_trust::ROOT_SCHEMA));
}

#[test]
fn the_schema_of_risk_profiles_is_that_of_their_type() {
    check(
        "risk-profile.schema.json",
        &schema::<loong_policy::RiskProfileDocument>(loong_policy::RISK_PROFILE_SCHEMA),
    );
}

#[test]
fn the_schema_of_audit_events_is_that_of_their_type() {
    check("audit-event.schema.json", &schema::<loong_kernel::Event>("loong.audit.event/1"));
}

/// The schema of an answer as [`Ui::document`](crate::ui::Ui::document) prints it: with its own name in it.
fn answer<T: schemars::JsonSchema>(name: &str) -> serde_json::Value {
    let mut schema: serde_json::Value = serde_json::from_str(&schema::<T>(name)).unwrap();
    schema["properties"]["schema"] = serde_json::json!({ "const": name });
    let required = schema["required"].as_array_mut().unwrap();
    if !required.contains(&"schema".into()) {
        required.insert(0, "schema".into());
    }
    schema
}

#[test]
fn the_schemas_of_answers_about_the_audit_log_are_those_of_their_types() {
    use crate::commands::audit::{documents, export};
    let check = |file: &str, schema: serde_json::Value| {
        check(file, &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
    };
    check("audit-recent.schema.json", answer::<documents::RecentDocument>("loong.audit.records/1"));
    check("audit-record.schema.json", answer::<documents::RecordDocument>("loong.audit.record/1"));
    check("audit-summary.schema.json", answer::<documents::SummaryDocument>("loong.audit.summary/1"));
    check("audit-discovery.schema.json", answer::<documents::DiscoveryDocument>("loong.audit.discovery/1"));
    check(
        "audit-token-trail.schema.json",
        answer::<documents::TokenTrailDocument>("loong.audit.token-trail/1"),
    );
    check("audit-show.schema.json", answer::<documents::ShowDocument>("loong.audit.show/1"));
    check("audit-exported.schema.json", answer::<export::ExportedRecord>("loong.audit.exported/1"));
}

#[test]
fn the_list_of_codes_is_complete() {
    let mut text = String::from(
        "# Codes\n\n\
         Every refusal and every fault carries one of these; they are stable. The exit code is that of a command that\n\
         ends for this reason. Made from `host/manifest/src/code.rs`; `BLESS=1 cargo test -p loong schema` rewrites it.\n\n\
         | code | exit | meaning |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        text.push_str(&format!("| `{code}` | {} | {} |\n", code.blame().exit_code(), code.meaning()));
    }
    check("codes.md", &text);
}
