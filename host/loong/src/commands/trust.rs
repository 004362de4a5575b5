//! `loong trust`: who may vouch for components, and the verification of signatures as others' test suites ask for it.

mod check;

use std::path::PathBuf;

use loong_manifest::{Code, Tier};
use loong_trust::{
    KeyId, Namespace, ProvenanceRule, Quorum, Require, RootIdentity, Subject, TrustRoot, UtcTime,
};
use serde_json::json;

use super::registry::{read_key, write_root};
use crate::error::CommandError;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// Largest trusted root of a Sigstore.
const SIGSTORE_BYTES_MAX: u64 = 1 << 20;

/// See and change who may vouch for components; verify signatures
#[derive(clap::Subcommand)]
pub enum TrustCommand {
    List(ListArgs),
    Identity(IdentityArgs),
    Quorum(QuorumArgs),
    Provenance(ProvenanceArgs),
    Sigstore(SigstoreArgs),
    VerifyBundle(check::VerifyBundleArgs),
    VerifyEd25519(check::VerifyEd25519Args),
}

/// List the keys, identities, quorums and builders that your trust root names
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong trust list
  loong trust list --json")]
pub struct ListArgs {}

/// Let an identity sign without a key of its own (Sigstore keyless)
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong trust identity 'acme releases' --issuer https://token.actions.githubusercontent.com \\
      --subject https://github.com/acme/weather/.github/workflows/release.yml@refs/heads/main \\
      --publisher acme --tier verified-community
  loong trust identity 'acme on GitHub' --issuer https://token.actions.githubusercontent.com \\
      --within https://github.com/acme/ --publisher acme --tier verified-community

What it signs lies beside the component as NAME.wasm.sigstore.json: a bundle over the component itself, as
`cosign sign-blob --bundle` makes it. It is verified offline, against the trusted root of the public good Sigstore
or the one that `loong trust sigstore` pinned.")]
pub struct IdentityArgs {
    /// What to call it
    #[arg(value_name = "LABEL")]
    label: String,
    /// The issuer of its identity tokens, exactly
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Its subject, exactly
    #[arg(long, value_name = "SUBJECT", conflicts_with = "within", required_unless_present = "within")]
    subject: Option<String>,
    /// The beginning of its subjects, ending with `/`
    #[arg(long, value_name = "BEGINNING/")]
    within: Option<String>,
    /// The publishers it may sign for alone
    #[arg(long, value_name = "PUBLISHER", value_delimiter = ',')]
    publisher: Vec<String>,
    /// The tier of what it signs
    #[arg(long, value_name = "TIER", default_value = "verified-community", value_parser = super::tier())]
    tier: Tier,
    /// From when on it may sign
    #[arg(long, value_name = "TIME")]
    not_before: Option<UtcTime>,
    /// From when on it may not sign any more
    #[arg(long, value_name = "TIME")]
    expires: Option<UtcTime>,
}

/// Let several signers together give a tier
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong trust quorum --publisher acme --tier official --require 2 --signer alice,bob,'acme releases'
  loong trust quorum --publisher acme --tier verified-community --require all --signer alice,bob

A signer is the label or the id of a key or an identity that `loong trust list` shows. Whoever signs twice is one.")]
pub struct QuorumArgs {
    /// The publisher of the components
    #[arg(long, value_name = "PUBLISHER")]
    publisher: String,
    /// What the components are when enough have signed
    #[arg(long, value_name = "TIER", value_parser = super::tier())]
    tier: Tier,
    /// How many have to sign: `all`, `any`, or a number
    #[arg(long, value_name = "HOW_MANY", value_parser = require)]
    require: Require,
    /// Who counts
    #[arg(long, value_name = "SIGNER", value_delimiter = ',', required = true)]
    signer: Vec<String>,
}

/// Refuse a publisher's components unless a builder says where they were built (SLSA provenance)
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  loong trust provenance --publisher acme --signer 'acme releases' \\
      --builder https://github.com/actions/runner/github-hosted --within https://github.com/acme/

The builder's bundle lies beside the component as NAME.wasm.sigstore.2.json (up to 16).")]
pub struct ProvenanceArgs {
    /// The publisher of the components
    #[arg(long, value_name = "PUBLISHER")]
    publisher: String,
    /// Whose word counts
    #[arg(long, value_name = "SIGNER", value_delimiter = ',', required = true)]
    signer: Vec<String>,
    /// The builder, exactly
    #[arg(long, value_name = "URI")]
    builder: String,
    /// The source, exactly
    #[arg(long, value_name = "URI", conflicts_with = "within", required_unless_present = "within")]
    source: Option<String>,
    /// The beginning of sources, ending with `/`
    #[arg(long, value_name = "BEGINNING/")]
    within: Option<String>,
}

/// Pin the trusted root of the Sigstore whose certificates are believed
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  loong trust sigstore trusted_root.json

Without one, identities are verified against the public good instance, as it was when this loong was built.")]
pub struct SigstoreArgs {
    /// The trusted root (application/vnd.dev.sigstore.trustedroot+json)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: TrustCommand) -> Result<(), CommandError> {
    match command {
        TrustCommand::List(ListArgs {}) => list(ui, places),
        TrustCommand::Identity(args) => identity(ui, places, args),
        TrustCommand::Quorum(args) => quorum(ui, places, &args),
        TrustCommand::Provenance(args) => provenance(ui, places, &args),
        TrustCommand::Sigstore(args) => sigstore(ui, places, &args),
        TrustCommand::VerifyBundle(args) => check::verify_bundle(ui, &args),
        TrustCommand::VerifyEd25519(args) => check::verify_ed25519(ui, &args),
    }
}

fn require(text: &str) -> Result<Require, String> {
    match text {
        "all" => Ok(Require::All),
        "any" => Ok(Require::Any),
        count => count.parse().map(Require::AtLeast).map_err(|_| "not `all`, `any` or a number".to_owned()),
    }
}

fn subject(exact: Option<&String>, within: Option<&String>) -> Subject {
    within.map_or_else(
        || Subject::Is(exact.cloned().unwrap_or_default()),
        |within| Subject::Within(within.clone()),
    )
}

/// The ids of signers that a person names.
fn signers(names: &[String], root: &TrustRoot, places: &Places) -> Result<Vec<KeyId>, CommandError> {
    let one = |name: &String| {
        let keys = root.keys().iter().filter(|key| key.label == *name).map(|key| key.key_id);
        let identities = root.identities().iter().filter(|one| one.label == *name).map(RootIdentity::id);
        let mut named: Vec<KeyId> = keys.chain(identities).collect();
        match (named.pop(), named.is_empty()) {
            (Some(id), true) => return Ok(id),
            (Some(_), false) => {
                let error = CommandError::new(Code::CommandLineInvalid, format!("`{name}` is two signers"));
                return Err(error.hint("give the id instead; `loong trust list --json` shows it"));
            }
            (None, _) => {}
        }
        name.parse::<KeyId>().or_else(|_| {
            let hint = "give a label or an id that `loong trust list` shows, or the name of a key of yours";
            read_key(places, name).map(|key| key.key_id()).map_err(|error| error.hint(hint))
        })
    };
    names.iter().map(one).collect()
}

/// Writes the changed root and says so.
fn changed(ui: &mut Ui, places: &Places, root: &TrustRoot, what: &str) -> Result<(), CommandError> {
    write_root(places, root)?;
    if ui.json() {
        let value = json!({ "trust_root": places.trust_root(), "version": root.version() });
        ui.document("loong.trust.changed/1", &value);
    } else {
        ui.line(format!("{what}; the trust root is now version {}", root.version()));
    }
    Ok(())
}

fn identity(ui: &mut Ui, places: &Places, args: IdentityArgs) -> Result<(), CommandError> {
    let IdentityArgs { label, issuer, subject: exact, within, publisher, tier, not_before, expires } = args;
    let namespaces = publisher.into_iter().map(|publisher| Namespace { publisher, tier }).collect();
    let subject = subject(exact.as_ref(), within.as_ref());
    let identity = RootIdentity { label, issuer, subject, not_before, expires, namespaces };
    let what = format!("`{}` may sign, as {}", identity.label, identity.id().short());
    let root = host::own_trust_root(places)?.with_identity(identity)?;
    changed(ui, places, &root, &what)
}

fn quorum(ui: &mut Ui, places: &Places, args: &QuorumArgs) -> Result<(), CommandError> {
    let root = host::own_trust_root(places)?;
    let signers = signers(&args.signer, &root, places)?;
    let quorum =
        Quorum { publisher: args.publisher.clone(), tier: args.tier, require: args.require, signers };
    let (needed, of) = (quorum.needed(), quorum.signers.len());
    let root = root.with_quorum(quorum)?;
    let what = format!("{needed} of {of} make components of `{}` {}", args.publisher, args.tier);
    changed(ui, places, &root, &what)
}

fn provenance(ui: &mut Ui, places: &Places, args: &ProvenanceArgs) -> Result<(), CommandError> {
    let root = host::own_trust_root(places)?;
    let rule = ProvenanceRule {
        publisher: args.publisher.clone(),
        signers: signers(&args.signer, &root, places)?,
        builder: args.builder.clone(),
        source: subject(args.source.as_ref(), args.within.as_ref()),
    };
    let root = root.with_provenance(rule)?;
    changed(ui, places, &root, &format!("components of `{}` need a provenance", args.publisher))
}

fn sigstore(ui: &mut Ui, places: &Places, args: &SigstoreArgs) -> Result<(), CommandError> {
    let bytes = locate::read_bounded(&args.file, SIGSTORE_BYTES_MAX)?;
    let document = serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::new(Code::RootInvalid, format!("`{}` is no trusted root", args.file.display()))
            .detail(error.to_string())
    })?;
    let root = host::own_trust_root(places)?.with_sigstore(document)?;
    changed(ui, places, &root, "pinned the Sigstore")
}

fn list(ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    let root = host::own_trust_root(places)?;
    if ui.json() {
        let identities: Vec<_> =
            root.identities().iter().map(|one| json!({ "id": one.id(), "label": one.label })).collect();
        let value = json!({ "path": places.trust_root(), "document": root, "identities": identities });
        ui.document("loong.trust/1", &value);
        return Ok(());
    }
    ui.line(format!("trust root, version {}, expires {}", root.version(), root.expires()));
    let state = |id: &KeyId, expires: Option<UtcTime>| match (root.revocation(id), expires) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(expires)) => format!("until {expires}"),
        (None, None) => String::new(),
    };
    let spaces = |namespaces: &[Namespace]| {
        let spaces: Vec<String> =
            namespaces.iter().map(|space| format!("{} as {}", space.publisher, space.tier)).collect();
        if spaces.is_empty() { "nobody alone".to_owned() } else { spaces.join(", ") }
    };
    let mut rows = Vec::new();
    for key in root.keys() {
        let row = [key.key_id.short(), "key".into(), key.label.clone(), spaces(&key.namespaces)];
        let place = key.replaces.map(|old| format!("in the place of {}", old.short()));
        let state = [Some(state(&key.key_id, key.expires)), place].into_iter().flatten();
        let state: Vec<String> = state.filter(|text| !text.is_empty()).collect();
        rows.push([row.as_slice(), &[state.join(", ")]].concat());
    }
    for one in root.identities() {
        let (Subject::Is(subject) | Subject::Within(subject)) = &one.subject;
        let row = [one.id().short(), "identity".into(), one.label.clone(), spaces(&one.namespaces)];
        let from = format!("{subject} of {} {}", one.issuer, state(&one.id(), one.expires));
        rows.push([row.as_slice(), &[from]].concat());
    }
    ui.table(2, &rows);
    for quorum in root.quorums() {
        let names: Vec<String> = quorum.signers.iter().map(KeyId::short).collect();
        ui.line(format!(
            "{} of {} make `{}` {}: {}",
            quorum.needed(),
            names.len(),
            quorum.publisher,
            quorum.tier,
            names.join(", ")
        ));
    }
    for rule in root.provenance() {
        let (Subject::Is(source) | Subject::Within(source)) = &rule.source;
        ui.line(format!("`{}` needs a provenance: built by {} from {source}", rule.publisher, rule.builder));
    }
    let pinned =
        if root.sigstore().is_some() { "pinned in the trust root" } else { "the public good instance" };
    ui.line(format!("Sigstore: {pinned}"));
    Ok(())
}
