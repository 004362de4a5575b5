//! `loong plugins publish`: from a project to an entry that others install, through every step that is needed, and
//! nothing served unless all of them went well.

use std::path::PathBuf;

use loong_repository::Folder;
use serde_json::json;

use super::doctor::{self, Profile};
use super::sources::now;
use super::{BYTES_MAX, build, pack, sign, test};
use crate::commands::registry;
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// Build, test, sign and check a project, and publish it in a repository
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins publish --repository ./components --key acme
  loong plugins publish tools/weather --repository ./components --key acme --push oci://ghcr.io/acme/components
  loong plugins publish --repository ./components --dry-run        everything but adding and publishing

What `loong plugins doctor --profile marketplace` says has to hold. Where others sign too, `loong registry add`,
`sign` and `publish` are the steps by themselves.")]
pub struct PublishArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The folder of the repository
    #[arg(long, value_name = "FOLDER")]
    repository: PathBuf,
    /// Which of your keys signs, the component and the documents of the repository
    #[arg(long, value_name = "NAME", default_value = "local")]
    key: String,
    /// Then push the repository there too
    #[arg(long, value_name = "oci://HOST/NAME")]
    push: Option<String>,
    /// Stop before anything is added to the repository
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &PublishArgs) -> Result<(), CommandError> {
    // What is missing there shows before anything is built.
    let folder = Folder::open(&args.repository)?;
    let key = registry::read_key(places, &args.key)?;
    let built = build::build(&args.dir, ui.quiet())?;
    let output = args.dir.join("target/loong/");
    let component = pack::write_packed(&built.manifest, &built.component, &built.name, &output)?;
    let tests = test::all(ui, places, &component, &args.dir.join("tests"))?;
    step(ui, &format!("built {}, {} passed", component.display(), super::counted(tests, "test", "tests")));
    let root = host::trust_root(places)?;
    sign::write(&component, &key, &root)?;
    step(ui, &format!("signed with `{}`", args.key));
    let profile = Profile::Marketplace;
    let (_, all) = doctor::diagnose(ui, places, &args.dir, profile, &GrantArgs::default())?;
    if let Some(error) = doctor::blocked(&all, profile) {
        if !ui.json() {
            doctor::show(ui, &all);
        }
        return Err(error);
    }
    let (id, version) = (built.manifest.id, built.manifest.version);
    let mut published = None;
    if !args.dry_run {
        let mut adding = folder.adding(now());
        let bytes = locate::read_bounded(&component, BYTES_MAX)?;
        adding.add(bytes, locate::bundles(&component)?, None)?;
        adding.finish()?;
        published = Some(host::wait(folder.publish(&[key], now()))??);
        step(ui, &format!("published `{id}` {version} in {}", args.repository.display()));
        if let Some(to) = &args.push {
            registry::push_to(ui, places, &args.repository, to)?;
            step(ui, &format!("pushed to {to}"));
        }
    }
    if ui.json() {
        let value = json!({
            "id": id, "version": version, "component": component, "tests": tests, "checks": all,
            "published": published, "pushed": args.push.as_ref().filter(|_| !args.dry_run),
        });
        ui.document("loong.plugins.publish/1", &value);
    } else if args.dry_run {
        ui.note("nothing was added to the repository");
    } else {
        ui.note(format!("others install it with `loong plugins install {id}`"));
    }
    Ok(())
}

fn step(ui: &mut Ui, text: &str) {
    if !ui.json() {
        ui.line(text);
    }
}
