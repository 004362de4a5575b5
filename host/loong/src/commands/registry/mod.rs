//! `loong registry`: keys, and repositories of components.

mod connect;
mod index;
mod keep;
mod keys;
mod oci;
mod rebuild;
mod tuf;
mod verify;

use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

pub use keys::{key_files, read_key, write_root};
pub use oci::push_to;

/// Keep repositories of components, verify them, and keep the keys that sign
#[derive(clap::Subcommand)]
pub enum RegistryCommand {
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    Init(keep::InitArgs),
    Publisher(keep::PublisherArgs),
    Role(keep::RoleArgs),
    Add(keep::AddArgs),
    Yank(keep::YankArgs),
    Sign(keep::SignArgs),
    Publish(keep::PublishArgs),
    Status(keep::StatusArgs),
    Verify(verify::VerifyArgs),
    Index(index::IndexArgs),
    Push(oci::PushArgs),
    Pull(oci::PullArgs),
    Connect(connect::ConnectArgs),
    Disconnect(connect::DisconnectArgs),
    List(connect::ListArgs),
    Tuf(tuf::TufArgs),
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: RegistryCommand) -> Result<(), CommandError> {
    match command {
        RegistryCommand::Keys(command) => keys::run(ui, places, command),
        RegistryCommand::Init(args) => keep::init(ui, places, &args),
        RegistryCommand::Publisher(args) => keep::publisher(ui, places, &args),
        RegistryCommand::Role(args) => keep::role(ui, places, &args),
        RegistryCommand::Add(args) => keep::add(ui, &args),
        RegistryCommand::Yank(args) => keep::yank(ui, &args),
        RegistryCommand::Sign(args) => keep::sign(ui, places, &args),
        RegistryCommand::Publish(args) => keep::publish(ui, places, &args),
        RegistryCommand::Status(args) => keep::status(ui, &args),
        RegistryCommand::Verify(args) => verify::run(ui, places, &args),
        RegistryCommand::Index(args) => index::write(ui, places, &args),
        RegistryCommand::Push(args) => oci::push(ui, places, &args),
        RegistryCommand::Pull(args) => oci::pull(ui, places, &args),
        RegistryCommand::Connect(args) => connect::connect(ui, places, &args),
        RegistryCommand::Disconnect(args) => connect::disconnect(ui, places, &args),
        RegistryCommand::List(_) => connect::list(ui, places),
        RegistryCommand::Tuf(args) => tuf::run(places, &args),
    }
}
