//! `loong policy check`: every mistake in policy files and in the risk profile, with its place.

use loong_manifest::Code;
use loong_policy::{Finding, PolicySet, Severity};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::{policies, risk};

/// Check policy files for mistakes, with the place of each
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong policy check                 the policies in force
  loong policy check strict          a preset, and your own policies in addition
  loong policy check ./policies      a folder of .cedar files, with its tiers.toml if there is one

The risk profile that the settings name is checked too: its pin, its signature and its rules.")]
pub struct CheckArgs {
    /// A preset (default, balanced, strict, ci) or a folder; what is in force when it is left out
    #[arg(value_name = "PRESET|DIR")]
    policy: Option<String>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &CheckArgs) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let name = policies::name(args.policy.as_deref(), &settings);
    let files = policies::files(name, places)?;
    let mut findings = files.findings.clone();
    findings.extend(PolicySet::check(&files.sources));
    if findings.iter().all(|finding| finding.severity != Severity::Error) {
        // What is left to go wrong is in tiers.toml.
        if let Err(error) = PolicySet::read(&files.sources, &files.tiers) {
            findings.extend(std::iter::once(error.first).chain(error.more));
        }
    }
    let errors: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let pinned = risk::profile(&settings, places);
    let digest = match &pinned {
        Ok(pinned) if errors.is_empty() => {
            let set = files.set()?;
            let profile = pinned.as_ref().map(|pinned| pinned.profile.clone());
            Some(profile.into_iter().fold(set, PolicySet::with_risk_profile).digest())
        }
        _ => None,
    };
    let names: Vec<&str> = files.sources.iter().map(|source| source.name.as_str()).collect();
    let builtin = match files.preset {
        Some(preset) => preset.risk_profile()?,
        None => None,
    };
    let mut profiles: Vec<Value> = Vec::new();
    profiles.extend(
        builtin.map(|profile| json!({ "name": "balanced", "digest": profile.digest(), "signer": null })),
    );
    if let Ok(Some(pinned)) = &pinned {
        let signer =
            pinned.signer.as_ref().map(|signer| json!({ "key_id": signer.key_id, "label": signer.label }));
        profiles.push(json!({ "name": pinned.name, "digest": pinned.profile.digest(), "signer": signer }));
    }
    if ui.json() {
        let value = json!({
            "policy": name, "ok": errors.is_empty() && pinned.is_ok(), "files": names, "digest": digest,
            "findings": findings, "risk_profiles": profiles, "risk_profile_error": pinned.as_ref().err(),
        });
        ui.document("loong.policy.check/1", &value);
    } else {
        ui.line(format!("{name}: {}", names.join(", ")));
        for finding in &findings {
            let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
            let Finding { file, line, column, message, .. } = finding;
            ui.line(format!("{file}:{line}:{column}: {severity}: {message}"));
        }
        for profile in &profiles {
            let text =
                |member: &str| profile.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
            let signer = match profile.pointer("/signer/label").and_then(Value::as_str) {
                Some(label) => format!("signed by `{label}`"),
                None => "ships with loong".to_owned(),
            };
            ui.line(format!("risk profile {}: {signer}, {}", text("name"), text("digest")));
        }
        if let Some(digest) = digest {
            ui.line(format!("no mistakes, {digest}"));
        }
    }
    let Some(first) = errors.first() else { return pinned.map(drop) };
    Err(CommandError::new(
        Code::PolicyInvalid,
        format!(
            "the policies `{name}` cannot be used: {} found",
            crate::commands::plugins::counted(errors.len(), "mistake", "mistakes")
        ),
    )
    .detail(first.to_string())
    .hint("nothing is allowed until all of them are mended"))
}
