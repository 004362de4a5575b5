//! `loong`: the command line. One file per command; this one lists them.

#![allow(unreachable_pub, reason = "a program has no public interface; `pub` marks what its modules share")]

mod approve;
mod audit_key;
mod authority;
mod changes;
mod commands;
mod egress;
mod error;
mod grant;
mod grant_file;
mod host;
mod locate;
mod places;
mod policies;
mod programs;
mod registries;
mod risk;
mod running;
mod scanning;
#[cfg(test)]
mod schema_test;
mod secrets;
mod settings;
mod sinks;
mod ui;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::places::Places;
use crate::ui::Ui;

/// Run AI agents that are made of signed WebAssembly components
#[derive(Parser)]
#[command(
    name = "loong",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  loong run pack.wasm                       run a pack, or any wasi:cli command, under policy
  loong run pack.wasm --dry-run             show what it would be linked with and granted
  loong tools call tool.wasm greet '{\"name\": \"Ada\"}'
  loong plugins init my-tool --kind tool    start a component of your own
  loong audit recent                        what happened, and who decided it

Exit codes:
  0 done · 1 the request is wrong · 2 the command line is wrong · 3 refused by policy or trust
  4 the plugin failed · 5 a person must approve first · 70 a fault of the host itself")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: commands::Command,
}

/// Options of every command
#[derive(clap::Args, Clone)]
struct Global {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Show what plugins log, and more of what happens
    #[arg(long, short, global = true)]
    verbose: bool,
    /// Show nothing on standard error but errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ui::Color,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut ui = Ui::new(&cli.global);
    let ended = Places::from_environment().and_then(|places| commands::run(cli.command, &mut ui, &places));
    match ended {
        Ok(()) => ui.finish(),
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.code.blame().exit_code())
        }
    }
}

/// Help and version are answers; everything else that clap says is a wrong command line.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a closed terminal.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(loong_manifest::Blame::CommandLine.exit_code())
    } else {
        ExitCode::SUCCESS
    }
}

/// What these words of a command line mean, for a run that goes on.
fn parse(words: &[String]) -> Result<commands::Command, clap::Error> {
    let words = std::iter::once("loong").chain(words.iter().map(String::as_str));
    Cli::try_parse_from(words).map(|cli| cli.command)
}

/// The command line's own description, for completions and for tests of the help.
fn description() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::description().debug_assert();
    }
}
