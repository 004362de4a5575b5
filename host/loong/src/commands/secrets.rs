//! `loong secrets`: values that the host puts into requests of components, which never see them.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use loong_manifest::{Binding, Code};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::CommandError;
use crate::places::Places;
use crate::secrets::{SecretFiles, VALUE_BYTES_MAX, check_name};
use crate::ui::Ui;

/// Secrets that components use without seeing them
#[derive(clap::Subcommand)]
pub enum SecretsCommand {
    Set(SetArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Set a secret; its value is read from standard input
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong secrets set siem-token --host siem.example.com:443      asks for the value, without showing it
  printf %s \"$TOKEN\" | loong secrets set siem-token --host siem.example.com

A component writes {{secret:siem-token}} into a header of a request. The value is put there after the request
was allowed, only for the hosts that are named here, and only if its manifest asks for the secret and policy
grants it. It goes over TLS only, or to this very machine.")]
pub struct SetArgs {
    /// What to call it
    name: String,
    /// A host it may go to, on every port or on one (may be repeated)
    #[arg(long, value_name = "HOST[:PORT]", required = true)]
    host: Vec<String>,
}

/// List the names of the secrets and where they may go, never a value
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong secrets list
  loong secrets list --json")]
pub struct ListArgs {}

/// Remove a secret
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong secrets remove siem-token --yes")]
pub struct RemoveArgs {
    /// Its name
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: SecretsCommand) -> Result<(), CommandError> {
    let files = SecretFiles::new(places.secrets());
    match command {
        SecretsCommand::Set(args) => set(ui, &files, &args),
        SecretsCommand::List(ListArgs {}) => list(ui, &files),
        SecretsCommand::Remove(args) => {
            check_name(&args.name)?;
            ui.confirm(&format!("the secret `{}` is removed", args.name), args.yes)?;
            files.remove(&args.name)?;
            ui.note(format!("removed the secret `{}`", args.name));
            Ok(())
        }
    }
}

fn set(ui: &Ui, files: &SecretFiles, args: &SetArgs) -> Result<(), CommandError> {
    check_name(&args.name)?;
    let hosts = args.host.iter().map(|text| {
        text.parse::<Binding>().map_err(|error| {
            CommandError::new(
                Code::CommandLineInvalid,
                format!("`--host {}` {error}", loong_manifest::escape(text)),
            )
        })
    });
    let hosts: Vec<Binding> = hosts.collect::<Result<_, _>>()?;
    let value = read_value(ui, &args.name)?;
    let known = files.set(&args.name, &hosts, &value)?;
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let done = if known { "replaced" } else { "set" };
    ui.note(format!("{done} the secret `{}` for {}", args.name, hosts.join(", ")));
    Ok(())
}

/// The value: standard input to its end, or one line that a person types unseen.
fn read_value(ui: &Ui, name: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let input = std::io::stdin();
    let unseen = if input.is_terminal() {
        ui.note(format!("type the value of `{name}` and press Enter; it is not shown"));
        Some(Unseen::new()?)
    } else {
        None
    };
    // One allocation that is never grown, and no buffer between, so that no copy is left behind.
    let mut value = Zeroizing::new(vec![0; VALUE_BYTES_MAX + 2]);
    let mut length = 0;
    while let Some(room) = value.get_mut(length..)
        && !room.is_empty()
    {
        let count = rustix::io::read(input.as_fd(), &mut *room).map_err(|error| {
            CommandError::new(Code::FileUnreadable, "the value cannot be read from standard input")
                .detail(error.to_string())
        })?;
        let line = unseen.is_some() && room.get(..count).is_some_and(|read| read.ends_with(b"\n"));
        length += count;
        if count == 0 || line {
            break;
        }
    }
    value.truncate(length);
    if value.ends_with(b"\n") {
        value.pop();
    }
    if value.ends_with(b"\r") {
        value.pop();
    }
    Ok(value)
}

/// A terminal that does not show what is typed, until it is dropped.
struct Unseen {
    before: rustix::termios::Termios,
}

impl Unseen {
    fn new() -> Result<Self, CommandError> {
        let stdin = std::io::stdin();
        let failed = |error: rustix::io::Errno| {
            CommandError::new(Code::SetupInvalid, "this terminal cannot hide what is typed")
                .detail(error.to_string())
                .hint("give the value on standard input, from a file or a pipe")
        };
        let before = tcgetattr(stdin.as_fd()).map_err(failed)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &hidden).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

fn list(ui: &mut Ui, files: &SecretFiles) -> Result<(), CommandError> {
    let all = files.list()?;
    if ui.json() {
        ui.document("loong.secrets/1", &json!({ "secrets": all }));
        return Ok(());
    }
    if all.is_empty() {
        ui.note("no secrets are set");
        return Ok(());
    }
    let mut rows = vec![vec!["NAME".to_owned(), "MAY GO TO".to_owned()]];
    for bound in all {
        let hosts: Vec<String> = bound.hosts.iter().map(ToString::to_string).collect();
        rows.push(vec![bound.name, hosts.join(", ")]);
    }
    ui.table(0, &rows);
    Ok(())
}
