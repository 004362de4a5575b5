//! `loong plugins diff`: what one version may do, offers and asks for that another does not. Nothing is changed.

use std::path::PathBuf;

use loong_manifest::Code;
use serde_json::json;

use super::subject::{Finder, Subject};
use super::{counted, side, swap};
use crate::authority::differences;
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::places::Places;
use crate::ui::Ui;

/// Show what differs between two versions of a component
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins diff acme:weather                        what is here, and the newest in the registries
  loong plugins diff acme:weather@1.1.0 acme:weather@1.2.0
  loong plugins diff old/weather.wasm weather.wasm --json

Lines with `!` let the component do more, or trust somebody else; `--json` also has schemas that differ.")]
pub struct DiffArgs {
    /// The one version
    #[arg(value_name = "FILE|ID[@VERSION]")]
    before: String,
    /// The other version [default: the newest in the connected registries]
    #[arg(value_name = "FILE|ID[@VERSION]")]
    after: Option<String>,
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &DiffArgs) -> Result<(), CommandError> {
    let (before, after) = {
        let mut finder = Finder::new(ui, places, &args.plugins)?;
        let before = finder.find(&args.before)?;
        let after = match &args.after {
            Some(text) => finder.find(text)?,
            None => finder.newest(before.verified.id())?,
        };
        (before, after)
    };
    if before.verified.id() != after.verified.id() {
        let problem = format!("`{}` is no version of `{}`", after.verified.id(), before.verified.id());
        return Err(CommandError::new(Code::CommandLineInvalid, problem));
    }
    let (from, to) = (document(&before), document(&after));
    let title = format!(
        "{} {} ({}) → {} ({})",
        before.verified.id(),
        before.verified.version(),
        before.place(),
        after.verified.version(),
        after.place()
    );
    let is_same = before.verified.digest() == after.verified.digest();
    let side = |verified| side(&args.grants, places, verified);
    let lines = differences(&side(before.verified)?, &side(after.verified)?);
    if ui.json() {
        let value = json!({ "from": from, "to": to, "same_bytes": is_same, "differences": lines });
        ui.document("loong.plugins.diff/1", &value);
        return Ok(());
    }
    ui.line(title);
    if is_same {
        ui.line("they are the same bytes");
    } else if lines.is_empty() {
        ui.line("other bytes, and nothing differs in what it may do, offers and asks for");
    } else {
        swap::show(ui, &lines);
        let more = lines.iter().filter(|line| line.more).count();
        ui.note(match more {
            0 => "nothing of it lets the component do more".to_owned(),
            _ => format!("{} it do more, or trust somebody else", counted(more, "line lets", "lines let")),
        });
    }
    Ok(())
}

fn document(subject: &Subject) -> serde_json::Value {
    json!({
        "id": subject.verified.id(), "version": subject.verified.version(), "digest": subject.verified.digest(),
        "path": subject.path, "registry": subject.offered.as_ref().map(|offered| &offered.registry),
    })
}
