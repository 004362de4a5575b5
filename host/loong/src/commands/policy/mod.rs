//! `loong policy`: whether policies are right, why they decide as they do, and what others would decide.

mod check;
mod decide;
mod explain;
mod recorded;
mod sign;
mod test;

use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Check policies, and ask why they decide as they do
#[derive(clap::Subcommand)]
pub enum PolicyCommand {
    Check(check::CheckArgs),
    Explain(Box<explain::ExplainArgs>),
    Test(test::TestArgs),
    Decide(decide::DecideArgs),
    Sign(sign::SignArgs),
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: PolicyCommand) -> Result<(), CommandError> {
    match command {
        PolicyCommand::Check(args) => check::run(ui, places, &args),
        PolicyCommand::Explain(args) => explain::run(ui, places, &args),
        PolicyCommand::Test(args) => test::run(ui, places, &args),
        PolicyCommand::Decide(args) => decide::run(ui, places, &args),
        PolicyCommand::Sign(args) => sign::run(ui, places, &args),
    }
}
