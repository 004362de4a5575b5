//! Every command, one file each. A command parses its arguments, makes one call, and prints.

mod approvals;
pub(crate) mod audit;
mod completions;
mod doctor;
pub(crate) mod plugins;
mod policy;
mod registry;
mod run;
mod secrets;
mod sessions;
mod tools;
mod trust;

use loong_manifest::Tier;

use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// What the command line can do.
#[derive(clap::Subcommand)]
pub enum Command {
    Run(run::RunArgs),
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
    #[command(subcommand)]
    Plugins(plugins::PluginsCommand),
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Approvals(approvals::ApprovalsCommand),
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs a command.
pub fn run(command: Command, ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => run::run(ui, places, args),
        Command::Tools(command) => tools::run(ui, places, command),
        Command::Plugins(command) => plugins::run(ui, places, command),
        Command::Registry(command) => registry::run(ui, places, command),
        Command::Trust(command) => trust::run(ui, places, command),
        Command::Secrets(command) => secrets::run(ui, places, command),
        Command::Policy(command) => policy::run(ui, places, command),
        Command::Approvals(command) => approvals::run(ui, places, &command),
        Command::Sessions(command) => sessions::run(ui, places, command),
        Command::Audit(command) => audit::run(ui, places, command),
        Command::Doctor(args) => doctor::run(ui, places, &args),
        Command::Completions(args) => completions::run(ui, &args),
    }
}

/// Reads the name of a tier.
pub(crate) fn tier() -> impl clap::builder::TypedValueParser<Value = Tier> {
    use clap::builder::TypedValueParser as _;
    let names = Tier::ALL.iter().rev().map(|tier| tier.as_str());
    clap::builder::PossibleValuesParser::new(names)
        .map(|name| Tier::ALL.into_iter().find(|tier| tier.as_str() == name).unwrap_or(Tier::Unverified))
}
