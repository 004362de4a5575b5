//! `loong registry keys`: the keys of this user, and which keys the trust root lets sign for whom.

mod change;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use loong_manifest::{Code, PluginId, Tier};
use loong_trust::{KeyId, PublicKey, RootKey, SigningKey, TrustRoot, UNSIGNED_PUBLISHER, UtcTime, file};
use serde_json::json;

use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::ui::Ui;

/// How long a trust root that is made here holds, in seconds: ten years.
const ROOT_LIFE_S: u64 = 10 * 365 * 86_400;

/// Make, list, replace and revoke signing keys
#[derive(clap::Subcommand)]
pub enum KeysCommand {
    Generate(GenerateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
    Rotate(change::RotateArgs),
    Expire(change::ExpireArgs),
}

/// Make a signing key of your own, and let it sign for some publishers
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry keys generate
  loong registry keys generate --if-missing            does nothing if the key is there
  loong registry keys generate --name acme --publisher acme --tier verified-community

The key is written to keys/NAME.key in the configuration folder, readable by you only; it never
leaves this machine. The trust root says which publishers it may sign for, and at which tier.")]
pub struct GenerateArgs {
    /// What to call the key
    #[arg(long, value_name = "NAME", default_value = "local")]
    name: String,
    /// The publishers it may sign for
    #[arg(long, value_name = "PUBLISHER", value_delimiter = ',', default_value = "core,local")]
    publisher: Vec<String>,
    /// The tier of what it signs
    #[arg(long, value_name = "TIER", default_value = "official")]
    tier: TierArg,
    /// Do nothing if the key is there already and may sign for all of these
    #[arg(long)]
    if_missing: bool,
}

/// A tier that a key can give.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TierArg {
    /// What you vouch for yourself
    Official,
    /// What somebody vouches for whom you know
    VerifiedCommunity,
}

/// List your keys and the keys that the trust root names
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry keys list
  loong registry keys list --json")]
pub struct ListArgs {}

/// Refuse everything that a key signed, from the next load on
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry keys revoke local --reason 'the laptop was stolen'
  loong registry keys revoke 4f1c…(64 digits) --reason 'left the project' --yes

A revoked key is refused for good, older signatures included: nothing proves when they were made.")]
pub struct RevokeArgs {
    /// The id of a key (64 digits), or the name of one of yours
    key: String,
    /// Why, in a line; shown whenever a signature is refused for it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub(super) fn run(ui: &mut Ui, places: &Places, command: KeysCommand) -> Result<(), CommandError> {
    match command {
        KeysCommand::Generate(args) => generate(ui, places, &args),
        KeysCommand::List(ListArgs {}) => list(ui, places),
        KeysCommand::Revoke(args) => revoke(ui, places, &args),
        KeysCommand::Rotate(args) => change::rotate(ui, places, &args),
        KeysCommand::Expire(args) => change::expire(ui, places, &args),
    }
}

/// The file of a key.
fn key_path(places: &Places, name: &str) -> Result<PathBuf, CommandError> {
    PluginId::new("key", name).map_err(|_| {
        CommandError::new(Code::CommandLineInvalid, format!("`{name}` is no name of a key"))
            .hint("a name has lower-case letters, digits and single hyphens")
    })?;
    Ok(places.keys().join(format!("{name}.key")))
}

/// A key of this user.
pub fn read_key(places: &Places, name: &str) -> Result<SigningKey, CommandError> {
    let path = key_path(places, name)?;
    if !path.exists() {
        return Err(CommandError::new(Code::FileUnreadable, format!("there is no key `{name}`"))
            .detail(format!("looked for `{}`", path.display()))
            .hint("make one with `loong registry keys generate`"));
    }
    SigningKey::read_file(&path).map_err(|error| match CommandError::from(error) {
        error if error.headline.contains(&*path.to_string_lossy()) => error,
        error => error.detail(format!("in `{}`", path.display())),
    })
}

fn generate(ui: &mut Ui, places: &Places, args: &GenerateArgs) -> Result<(), CommandError> {
    let tier = match args.tier {
        TierArg::Official => Tier::Official,
        TierArg::VerifiedCommunity => Tier::VerifiedCommunity,
    };
    let mut publishers: Vec<&str> = Vec::new();
    for publisher in &args.publisher {
        if PluginId::new(publisher, "any").is_err() || publisher == UNSIGNED_PUBLISHER {
            return Err(CommandError::new(
                Code::CommandLineInvalid,
                format!("`{publisher}` is no publisher that a key can sign for"),
            )
            .hint("a publisher has lower-case letters, digits and single hyphens"));
        }
        if !publishers.contains(&publisher.as_str()) {
            publishers.push(publisher);
        }
    }
    let path = key_path(places, &args.name)?;
    let root = host::own_trust_root(places)?;
    let there = path.exists();
    if there && !args.if_missing {
        return Err(CommandError::new(
            Code::FileUnwritable,
            format!("the key `{}` is there already", args.name),
        )
        .detail(format!("in `{}`", path.display()))
        .hint("name another with `--name`; `--if-missing` makes this no error"));
    }
    let key = if there { read_key(places, &args.name)? } else { SigningKey::generate()? };
    if root.revocation(&key.key_id()).is_some() {
        return Err(CommandError::new(
            Code::SignatureKeyRevoked,
            format!("the key `{}` was revoked", args.name),
        )
        .hint("make another one: `loong registry keys generate --name NAME`"));
    }
    let missing: Vec<&str> = match root.key(&key.key_id()) {
        Some(known) => publishers
            .iter()
            .filter(|publisher| known.namespaces.iter().all(|space| space.publisher != **publisher))
            .copied()
            .collect(),
        None => Vec::new(),
    };
    if !missing.is_empty() {
        return Err(CommandError::new(
            Code::SignatureNamespace,
            format!("the key `{}` may not sign for {}", args.name, missing.join(", ")),
        )
        .hint(format!(
            "make a key for it: `loong registry keys generate --name {0} --publisher {0}`",
            missing.first().copied().unwrap_or_default()
        )));
    }
    // Made before anything is written, so that what cannot be in a root leaves no key behind.
    let changed = match root.key(&key.key_id()) {
        Some(_) => None,
        None => Some(with_key(places, &root, &key, &args.name, &publishers, tier)?),
    };
    make_private_folder(&places.config)?;
    make_private_folder(&places.keys())?;
    if !there {
        key.create_file(&path)?;
    }
    if let Some(root) = &changed
        && let Err(error) = write_root(places, root)
    {
        if !there {
            // Best effort: a key that no root names signs nothing that anybody trusts.
            let _ = std::fs::remove_file(&path);
        }
        return Err(error);
    }
    if ui.json() {
        let value = json!({
            "name": args.name, "key_id": key.key_id(), "path": path, "made": !there, "trust_root": places.trust_root(),
            "trust_root_changed": changed.is_some(), "publishers": publishers, "tier": tier,
        });
        ui.document("loong.registry.keys.generate/1", &value);
        return Ok(());
    }
    ui.line(format!(
        "{} the key `{}` {}",
        if there { "kept" } else { "made" },
        args.name,
        key.key_id().short()
    ));
    let mut rows = vec![vec!["key".to_owned(), path.display().to_string()]];
    if changed.is_some() {
        rows.push(vec![
            "trust root".to_owned(),
            format!("{}: signs for {} as {tier}", places.trust_root().display(), publishers.join(", ")),
        ]);
    }
    ui.table(2, &rows);
    Ok(())
}

/// The trust root with one key more; a new one where there is none.
fn with_key(
    places: &Places,
    root: &TrustRoot,
    key: &SigningKey,
    name: &str,
    publishers: &[&str],
    tier: Tier,
) -> Result<TrustRoot, CommandError> {
    let label = if name == "local" { "built here".to_owned() } else { format!("built here, key {name}") };
    if places.trust_root().exists() {
        return Ok(root.with_key(RootKey::new(&key.public(), &label, publishers, tier, None))?);
    }
    let expires = UtcTime::from_unix_s(host::now_ms() / 1000 + ROOT_LIFE_S);
    Ok(TrustRoot::local(&key.public(), &label, publishers, tier, expires)?)
}

/// Puts a trust root in the place of the one that is there.
pub fn write_root(places: &Places, root: &TrustRoot) -> Result<(), CommandError> {
    make_private_folder(&places.config)?;
    file::write_atomically(&places.trust_root(), root.to_json().as_bytes(), 0o644)?;
    Ok(())
}

/// Makes a folder that only its owner may look into. One that is there is left as it is.
fn make_private_folder(path: &Path) -> Result<(), CommandError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", path, &error))
}

/// A key file, by its name, and the key in it or what is wrong with it.
pub type KeyFile = (String, PathBuf, Result<PublicKey, CommandError>);

/// The key files of this user, by name.
pub fn key_files(places: &Places) -> Result<Vec<KeyFile>, CommandError> {
    let folder = places.keys();
    let failed =
        |error: std::io::Error| CommandError::file(Code::FileUnreadable, "list the keys in", &folder, &error);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let Some(name) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".key"))
        else {
            continue;
        };
        let key = SigningKey::read_file(&path).map(|key| key.public()).map_err(CommandError::from);
        keys.push((name.to_owned(), path, key));
    }
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(keys)
}

fn list(ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    let root = host::own_trust_root(places)?;
    let files = key_files(places)?;
    let root_path = places.trust_root();
    let has_root = root_path.exists();
    if ui.json() {
        let keys: Vec<_> = files
            .iter()
            .map(|(name, path, key)| {
                json!({
                    "name": name, "path": path, "key_id": key.as_ref().ok().map(PublicKey::key_id),
                    "public_key": key.as_ref().ok(), "error": key.as_ref().err(),
                })
            })
            .collect();
        let value = json!({ "keys": keys, "trust_root": has_root.then(|| json!({ "path": root_path, "document": root })) });
        ui.document("loong.registry.keys/1", &value);
        return Ok(());
    }
    ui.line(format!("your keys, in {}", places.keys().display()));
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|(name, _, key)| {
            let state = match key.as_ref().map(PublicKey::key_id) {
                Ok(key_id) => {
                    format!("{key_id}{}", if root.revocation(&key_id).is_some() { "  revoked" } else { "" })
                }
                Err(error) => format!("not usable: {}", error.headline),
            };
            vec![name.clone(), state]
        })
        .collect();
    table_or_none(ui, &rows);
    if !has_root {
        ui.line(format!("\nno trust root in {}: every component is unverified", root_path.display()));
        return Ok(());
    }
    ui.line(format!(
        "\ntrust root, version {}, expires {}, in {}",
        root.version(),
        root.expires(),
        root_path.display()
    ));
    let rows: Vec<Vec<String>> = root.keys().iter().map(|key| root_row(key, &root)).collect();
    table_or_none(ui, &rows);
    if !root.revoked().is_empty() {
        ui.line("\nrevoked");
        let rows: Vec<Vec<String>> = root
            .revoked()
            .iter()
            .map(|revoked| vec![revoked.key_id.short(), revoked.since.to_string(), revoked.reason.clone()])
            .collect();
        ui.table(2, &rows);
    }
    Ok(())
}

fn root_row(key: &RootKey, root: &TrustRoot) -> Vec<String> {
    let spaces: Vec<String> =
        key.namespaces.iter().map(|space| format!("{} as {}", space.publisher, space.tier)).collect();
    let state = match (root.revocation(&key.key_id), key.expires) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(expires)) => format!("until {expires}"),
        (None, None) => String::new(),
    };
    vec![key.key_id.short(), key.label.clone(), spaces.join(", "), state]
}

fn table_or_none(ui: &mut Ui, rows: &[Vec<String>]) {
    if rows.is_empty() {
        ui.line("  none");
    } else {
        ui.table(2, rows);
    }
}

/// The key of an id, or of a name of this user's.
fn named(places: &Places, name: &str) -> Result<KeyId, CommandError> {
    if let Ok(key_id) = name.parse::<KeyId>() {
        return Ok(key_id);
    }
    let hint =
        "give the 64 digits of an id, or the name of a key of yours; `loong registry keys list` shows both";
    Ok(read_key(places, name).map_err(|error| error.hint(hint))?.key_id())
}

fn revoke(ui: &mut Ui, places: &Places, args: &RevokeArgs) -> Result<(), CommandError> {
    let root = host::own_trust_root(places)?;
    let key_id = named(places, &args.key)?;
    if let Some(revocation) = root.revocation(&key_id) {
        return Err(CommandError::new(
            Code::SignatureKeyRevoked,
            format!("key {} is revoked already", key_id.short()),
        )
        .detail(format!("since {}: {}", revocation.since, revocation.reason))
        .hint("`loong registry keys list` shows the trust root"));
    }
    let next = root.revoke(key_id, &args.reason, host::now_ms() / 1000)?;
    let label = root
        .key(&key_id)
        .map_or_else(|| "which the trust root does not name".to_owned(), |key| format!("`{}`", key.label));
    ui.confirm(
        &format!("Everything that key {} ({label}) signed will be refused from now on", key_id.short()),
        args.yes,
    )?;
    make_private_folder(&places.config)?;
    write_root(places, &next)?;
    if ui.json() {
        let value = json!({ "key_id": key_id, "reason": args.reason, "trust_root": places.trust_root(), "version": next.version() });
        ui.document("loong.registry.keys.revoke/1", &value);
    } else {
        ui.line(format!(
            "revoked key {} ({label}); the trust root is now version {}",
            key_id.short(),
            next.version()
        ));
    }
    Ok(())
}
