//! `loong registry init|publisher|role|add|yank|sign|publish|status`: keeping a repository in a folder.

use std::path::PathBuf;

use loong_manifest::{Code, PluginId, Tier};
use loong_repository::{Built, Folder, Package, RepositoryError, RoleKeys};
use loong_trust::{KeyId, PublicKey, SigningKey, UtcTime};
use serde_json::json;

use super::keys::{key_files, read_key};
use super::rebuild;
use crate::commands::plugins::counted;
use crate::error::CommandError;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// Largest file that is read: a component, or a draft.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Which repository
#[derive(clap::Args)]
pub struct InArgs {
    /// The folder of the repository
    #[arg(long = "repository", value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Which keys, and how many of them have to sign
#[derive(clap::Args)]
pub struct KeysArgs {
    /// A key: the name of one of yours, or somebody's public key (`loong registry keys list --json` shows yours)
    #[arg(long = "key", value_name = "KEY", default_value = "local")]
    keys: Vec<String>,
    /// How many of these keys have to sign
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    threshold: usize,
}

/// Begin a repository of components in a folder
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry init ./components
  loong registry init ./components --key alice --key MCowBQYDK2VwAyEA… --threshold 2

The repository is one in the sense of The Update Framework (TUF). All roles get these keys; `loong registry
role` gives one role others. Nothing is served before `loong registry publish`.")]
pub struct InitArgs {
    /// The folder
    folder: PathBuf,
    #[command(flatten)]
    keys: KeysArgs,
}

/// Say who may publish for a publisher, and at which tier
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry publisher acme --tier verified-community --key MCowBQYDK2VwAyEA…
  loong registry publisher core --tier official --key alice --key bob --threshold 2")]
pub struct PublisherArgs {
    /// The publisher: the part of an id before the colon
    publisher: String,
    /// The tier of its components in this repository
    #[arg(long, value_name = "TIER", value_parser = crate::commands::tier())]
    tier: Tier,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    repository: InArgs,
}

/// Give a role other keys
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry role timestamp --key online
  loong registry role root --key alice --key bob --key MCowBQYDK2VwAyEA… --threshold 2

A role is `root`, `targets`, `snapshot`, `timestamp`, a tier, or `publisher-NAME`. A new root has to be signed
by enough keys of the old one and of the new one.")]
pub struct RoleArgs {
    /// The role
    role: String,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    repository: InArgs,
}

/// Add signed components; they are served after the next publication
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry add word-count.wasm
  loong registry add dist/*.wasm --repository ./components
  loong registry add acme-weather-1.2.0.tar                    a package, as `loong plugins package` makes it
  loong registry add word-count.wasm --built-from tools/word-count

The manifest is taken from the component, the signature from the file beside it. A version is added once:
other bytes for it are refused.")]
pub struct AddArgs {
    /// The components, or packages of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The folder of the project below the root of its checkout, so that others can build it again
    #[arg(long, value_name = "FOLDER")]
    built_from: Option<String>,
    #[command(flatten)]
    repository: InArgs,
}

/// Say that a version should not be installed any more
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry yank acme:weather 1.2.0 --reason 'answers in the wrong unit'")]
pub struct YankArgs {
    /// The plugin
    id: PluginId,
    /// The version
    #[arg(value_name = "VERSION")]
    which: semver::Version,
    /// Why, in a line
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    repository: InArgs,
}

/// Sign drafts, or take signatures that were made elsewhere
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry sign                                  with every key of yours that counts
  loong registry sign --key alice
  loong registry sign --import publisher-acme.json     a draft that came back signed

What waits for signatures is in `drafts/`: one file for each role. Copy the repository to the machine of
another key, sign there, and bring the draft back.")]
pub struct SignArgs {
    /// Only with this key of yours
    #[arg(long = "key", value_name = "NAME")]
    keys: Vec<String>,
    /// Take the signatures of this file
    #[arg(long, value_name = "FILE")]
    import: Vec<PathBuf>,
    #[command(flatten)]
    repository: InArgs,
}

/// Sign what is left to sign, and put every draft online
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry publish
  loong registry publish --key online                  in a job that runs every day

A timestamp holds for 14 days: publish again before, with or without changes, or clients refuse what may be
held back from them. What would be served is read first as a client reads it.")]
pub struct PublishArgs {
    /// Only with this key of yours
    #[arg(long = "key", value_name = "NAME")]
    keys: Vec<String>,
    #[command(flatten)]
    repository: InArgs,
}

/// Show the roles of a repository, and what waits for signatures
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry status
  loong registry status --repository ./components --json")]
pub struct StatusArgs {
    #[command(flatten)]
    repository: InArgs,
}

pub(super) fn now() -> UtcTime {
    UtcTime::from_unix_s(host::now_ms() / 1000)
}

impl From<RepositoryError> for CommandError {
    fn from(error: RepositoryError) -> Self {
        Self::caused(error.code(), &error)
    }
}

impl KeysArgs {
    fn read(&self, places: &Places) -> Result<RoleKeys, CommandError> {
        let key = |text: &String| match text.parse::<PublicKey>() {
            Ok(key) => Ok(key),
            Err(_) => read_key(places, text).map(|key| key.public()),
        };
        let keys = self.keys.iter().map(key).collect::<Result<_, _>>()?;
        Ok(RoleKeys { keys, threshold: self.threshold })
    }
}

/// The keys of this user that are named, or all of them.
fn own_keys(places: &Places, names: &[String]) -> Result<Vec<SigningKey>, CommandError> {
    if !names.is_empty() {
        return names.iter().map(|name| read_key(places, name)).collect();
    }
    let files = key_files(places)?;
    files.iter().filter(|(_, _, key)| key.is_ok()).map(|(name, _, _)| read_key(places, name)).collect()
}

pub(super) fn init(ui: &mut Ui, places: &Places, args: &InitArgs) -> Result<(), CommandError> {
    Folder::init(&args.folder, &args.keys.read(places)?, now())?;
    if ui.json() {
        ui.document("loong.registry.init/1", &json!({ "repository": args.folder }));
    } else {
        let folder = args.folder.display();
        ui.line(format!("began a repository in {folder}"));
        ui.note(format!("next: `loong registry publisher NAME --tier TIER --repository {folder}`, then `add` and `publish`"));
    }
    Ok(())
}

pub(super) fn publisher(ui: &mut Ui, places: &Places, args: &PublisherArgs) -> Result<(), CommandError> {
    let tier = args.tier;
    let folder = Folder::open(&args.repository.folder)?;
    folder.set_publisher(&args.publisher, tier, &args.keys.read(places)?, now())?;
    drafted(ui, &folder, &format!("`{}` may publish as {tier}", args.publisher))
}

pub(super) fn role(ui: &mut Ui, places: &Places, args: &RoleArgs) -> Result<(), CommandError> {
    let folder = Folder::open(&args.repository.folder)?;
    folder.set_keys(&args.role, &args.keys.read(places)?, now())?;
    drafted(ui, &folder, &format!("`{}` has other keys", args.role))
}

pub(super) fn add(ui: &mut Ui, args: &AddArgs) -> Result<(), CommandError> {
    let folder = Folder::open(&args.repository.folder)?;
    let built = match &args.built_from {
        Some(source) if args.files.len() == 1 => {
            let source = source.trim_end_matches('/').to_owned();
            let toolchain = rebuild::toolchain(rebuild::plain(&source)?);
            Some(Built { source, toolchain })
        }
        Some(_) => {
            let error = CommandError::new(Code::CommandLineInvalid, "`--built-from` is for one component");
            return Err(error.hint("add the others by themselves"));
        }
        None => None,
    };
    let (mut lines, mut adding) = (Vec::new(), folder.adding(now()));
    for path in &args.files {
        let named =
            |error: RepositoryError| CommandError::from(error).detail(format!("in `{}`", path.display()));
        let Package { component, bundles, .. } = locate::package(path)?;
        let (id, version, added) = adding.add(component, bundles, built.clone()).map_err(named)?;
        lines.push(format!("`{id}` {version} {}", if added { "added" } else { "is there already" }));
    }
    adding.finish()?;
    drafted(ui, &folder, &lines.join("\n"))
}

pub(super) fn yank(ui: &mut Ui, args: &YankArgs) -> Result<(), CommandError> {
    let folder = Folder::open(&args.repository.folder)?;
    folder.yank(&args.id, &args.which, &args.reason, now())?;
    drafted(ui, &folder, &format!("`{}` {} is yanked", args.id, args.which))
}

pub(super) fn sign(ui: &mut Ui, places: &Places, args: &SignArgs) -> Result<(), CommandError> {
    let folder = Folder::open(&args.repository.folder)?;
    let mut lines = Vec::new();
    for path in &args.import {
        let (role, count) = folder.import(&locate::read_bounded(path, FILE_BYTES_MAX)?)?;
        lines.push(format!("took {} of {role}", counted(count, "signature", "signatures")));
    }
    if args.import.is_empty() || !args.keys.is_empty() {
        for key in own_keys(places, &args.keys)? {
            for role in folder.sign(&key)? {
                lines.push(format!("signed {role} with {}", key.key_id().short()));
            }
        }
    }
    let text = if lines.is_empty() { "nothing to sign for these keys".to_owned() } else { lines.join("\n") };
    drafted(ui, &folder, &text)
}

/// Says what was done, and what has to be signed before it can be served.
fn drafted(ui: &mut Ui, folder: &Folder, text: &str) -> Result<(), CommandError> {
    let (missing, drafts) = (folder.missing()?, folder.draft_files()?);
    if ui.json() {
        let done: Vec<&str> = text.lines().collect();
        ui.document(
            "loong.registry.drafts/1",
            &json!({ "done": done, "drafts": drafts, "missing": missing }),
        );
        return Ok(());
    }
    ui.line(text);
    if drafts.is_empty() {
        ui.note("no drafts: everything is served");
    } else {
        ui.note(format!(
            "{} not served yet; `loong registry publish` signs and serves",
            counted(drafts.len(), "draft is", "drafts are")
        ));
    }
    Ok(())
}

pub(super) fn publish(ui: &mut Ui, places: &Places, args: &PublishArgs) -> Result<(), CommandError> {
    let folder = Folder::open(&args.repository.folder)?;
    let keys = own_keys(places, &args.keys)?;
    let published = host::wait(folder.publish(&keys, now()))??;
    if ui.json() {
        ui.document("loong.registry.publish/1", &published);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = published
        .roles
        .iter()
        .map(|served| vec![served.role.clone(), format!("version {}", served.version)])
        .collect();
    ui.line(format!(
        "published {}; holds until {}",
        counted(rows.len(), "document", "documents"),
        published.expires
    ));
    ui.table(2, &rows);
    Ok(())
}

pub(super) fn status(ui: &mut Ui, args: &StatusArgs) -> Result<(), CommandError> {
    let folder = Folder::open(&args.repository.folder)?;
    let (roles, missing) = (folder.status()?, folder.missing()?);
    if ui.json() {
        ui.document("loong.registry.status/1", &json!({ "roles": roles, "missing": missing }));
        return Ok(());
    }
    let now = now();
    let rows: Vec<Vec<String>> = roles
        .iter()
        .map(|role| {
            let keys: Vec<String> = role.keys.iter().map(KeyId::short).collect();
            let expires = match role.expires {
                Some(expires) if expires <= now => format!("expired {expires}"),
                Some(expires) => format!("until {expires}"),
                None => "not served".to_owned(),
            };
            vec![
                role.role.clone(),
                role.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
                expires,
                format!("{} of {}", role.threshold, keys.join(", ")),
                if role.draft { "draft".to_owned() } else { String::new() },
            ]
        })
        .collect();
    ui.table(0, &rows);
    for missing in &missing {
        let open: Vec<String> = missing.may_sign.iter().map(KeyId::short).collect();
        ui.note(format!(
            "{} has {} of {} signatures; may be signed by {}",
            missing.role,
            missing.signed,
            missing.threshold,
            open.join(", ")
        ));
    }
    Ok(())
}
