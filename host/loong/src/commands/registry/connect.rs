//! `loong registry connect|disconnect|list`: the registries that plugins are installed from.

use std::path::PathBuf;

use loong_manifest::{Code, Digest, Tier};
use loong_repository::{Repository as _, RepositoryError, source};
use serde_json::json;

use super::keep::now;
use crate::commands::plugins::counted;
use crate::error::CommandError;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::registries::{self, Registry};
use crate::ui::Ui;

/// Largest root document.
const ROOT_BYTES_MAX: u64 = 512 << 10;

/// Connect a registry, to install plugins from it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry connect main /srv/components --root main.root.json
  loong registry connect mine ./components --tier-max official
  loong registry connect acme https://components.acme.example/ --root acme.root.json

The root document is what everything is verified from; get it from those who keep the registry, by another
way than from the registry itself. Without --root the first one that is served is pinned, after you said yes.
The registry says who publishes at which tier; its word counts up to --tier-max.")]
pub struct ConnectArgs {
    /// What you call it
    name: String,
    /// The folder or the URL that it is served from
    #[arg(value_name = "FOLDER|URL")]
    location: String,
    /// The root document that it is trusted by
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The highest tier that its word counts for
    #[arg(long, value_name = "TIER", default_value = "verified-community", value_parser = crate::commands::tier())]
    tier_max: Tier,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Forget a registry; what was installed from it stays, and is trusted no more
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry disconnect main")]
pub struct DisconnectArgs {
    /// What you call it
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// List the registries that are connected
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry list
  loong registry list --json")]
pub struct ListArgs {}

pub(super) fn connect(ui: &mut Ui, places: &Places, args: &ConnectArgs) -> Result<(), CommandError> {
    let location = registries::location(&args.location)?;
    let root = match &args.root {
        Some(root) => locate::read_bounded(root, ROOT_BYTES_MAX)?,
        None => {
            let root = first_root(&location, places)?;
            let question =
                format!("The root document of {location} is trusted as it is served: {}", Digest::of(&root));
            ui.confirm(&question, args.yes)?;
            root
        }
    };
    let tier_max = args.tier_max;
    let registry = Registry::connect(places, &args.name, &location, tier_max, &root)?;
    let read = host::wait(async {
        let mut client = registry.refresh(places, now()).await?;
        registry.offered(&mut client, now()).await
    })?;
    let offered = match read {
        Ok(offered) => offered,
        Err(error) => {
            // A registry that does not hold is not connected.
            registry.disconnect(places)?;
            return Err(error);
        }
    };
    if ui.json() {
        let value = json!({ "registry": registry, "root": Digest::of(&root), "entries": offered.len() });
        ui.document("loong.registry.connect/1", &value);
    } else {
        ui.line(format!(
            "connected `{}`: {}, its word counts up to {tier_max}",
            registry.name,
            counted(offered.len(), "entry", "entries")
        ));
    }
    Ok(())
}

/// The first root document as a registry serves it. Nothing vouches for it but whoever says yes to it.
pub(super) fn first_root(location: &str, places: &Places) -> Result<Vec<u8>, CommandError> {
    let source = source(location, registries::access(location, places)?)?;
    let found =
        host::wait(source.fetch_metadata("1.root.json", ROOT_BYTES_MAX))?.map_err(RepositoryError::from)?;
    Ok(found.ok_or_else(|| RepositoryError::Absent { path: location.into() })?)
}

pub(super) fn disconnect(ui: &mut Ui, places: &Places, args: &DisconnectArgs) -> Result<(), CommandError> {
    let registry = registries::all(places)?.into_iter().find(|registry| registry.name == args.name);
    let registry = registry.ok_or_else(|| {
        CommandError::new(Code::RepositoryUnreachable, format!("no registry `{}` is connected", args.name))
            .hint("`loong registry list` shows those that are")
    })?;
    ui.confirm(&format!("What only `{}` vouches for will be unverified", registry.name), args.yes)?;
    registry.disconnect(places)?;
    if ui.json() {
        ui.document("loong.registry.disconnect/1", &json!({ "registry": registry }));
    } else {
        ui.line(format!("disconnected `{}`", registry.name));
    }
    Ok(())
}

pub(super) fn list(ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    let all = registries::all(places)?;
    if ui.json() {
        ui.document("loong.registry.list/1", &json!({ "registries": all }));
        return Ok(());
    }
    if all.is_empty() {
        ui.note("no registry is connected; `loong registry connect NAME FOLDER` connects one");
    }
    let row = |registry: &Registry| {
        vec![registry.name.clone(), registry.tier_max.to_string(), registry.location.clone()]
    };
    ui.table(0, &all.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
