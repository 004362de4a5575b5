//! `loong completions`: what a shell needs to complete command lines.

use clap_complete::Shell;
use serde_json::json;

use crate::error::CommandError;
use crate::ui::Ui;

/// Print a script that lets your shell complete loong's commands
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong completions bash > ~/.local/share/bash-completion/completions/loong
  loong completions zsh > ~/.zfunc/_loong
  loong completions fish > ~/.config/fish/completions/loong.fish")]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Runs the command.
pub fn run(ui: &mut Ui, args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::description(), "loong", &mut script);
    let script = String::from_utf8_lossy(&script);
    if ui.json() {
        ui.document("loong.completions/1", &json!({ "shell": args.shell.to_string(), "script": script }));
    } else {
        ui.line(script.trim_end());
    }
    Ok(())
}
