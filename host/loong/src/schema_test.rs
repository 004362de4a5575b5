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
