//! `loong plugins`: make, build, check, sign, install, swap and look at components.

mod bench;
mod build;
mod check;
mod check_list;
mod compat;
mod diff;
mod doctor;
mod info;
mod init;
mod install;
mod installed;
mod judged;
mod list;
mod pack;
mod package;
mod plan;
mod project;
mod publish;
mod refresh;
mod script;
mod search;
mod sign;
mod sources;
mod status;
mod subject;
mod swap;
mod template;
mod test;

use std::path::Path;

use loong_policy::{Offer, PolicySet};
use loong_trust::Verified;

use crate::authority::Side;
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;

/// Largest component that is read, in bytes: the most that any tier allows.
const BYTES_MAX: u64 = 128 << 20;

/// Make, build, check, sign, install, swap and look at components
#[derive(clap::Subcommand)]
pub enum PluginsCommand {
    Init(init::InitArgs),
    Build(build::BuildArgs),
    Bench(bench::BenchArgs),
    Pack(pack::PackArgs),
    Test(test::TestArgs),
    Check(check::CheckArgs),
    Doctor(doctor::DoctorArgs),
    Sign(sign::SignArgs),
    Package(package::PackageArgs),
    Publish(publish::PublishArgs),
    Search(search::SearchArgs),
    Install(install::InstallArgs),
    Update(install::UpdateArgs),
    Refresh(refresh::RefreshArgs),
    Remove(install::RemoveArgs),
    Pin(installed::PinArgs),
    Unpin(installed::UnpinArgs),
    History(installed::HistoryArgs),
    Undo(installed::UndoArgs),
    List(list::ListArgs),
    Info(info::InfoArgs),
    Diff(diff::DiffArgs),
    Compat(compat::CompatArgs),
    Status(status::StatusArgs),
    Swap(swap::SwapArgs),
    Rollback(swap::RollbackArgs),
    Quarantine(status::QuarantineArgs),
    Clear(status::ClearArgs),
}

pub fn run(ui: &mut Ui, places: &Places, command: PluginsCommand) -> Result<(), CommandError> {
    match command {
        PluginsCommand::Init(args) => init::run(ui, &args),
        PluginsCommand::Build(args) => build::run(ui, &args),
        PluginsCommand::Bench(args) => bench::run(ui, places, args),
        PluginsCommand::Pack(args) => pack::run(ui, &args),
        PluginsCommand::Test(args) => test::run(ui, places, &args),
        PluginsCommand::Check(args) => check::run(ui, places, &args),
        PluginsCommand::Doctor(args) => doctor::run(ui, places, &args),
        PluginsCommand::Sign(args) => sign::run(ui, places, &args),
        PluginsCommand::Package(args) => package::run(ui, places, &args),
        PluginsCommand::Publish(args) => publish::run(ui, places, &args),
        PluginsCommand::Search(args) => search::run(ui, places, &args),
        PluginsCommand::Install(args) => install::run(ui, places, &args),
        PluginsCommand::Update(args) => install::update(ui, places, &args),
        PluginsCommand::Refresh(_) => refresh::run(ui, places),
        PluginsCommand::Remove(args) => install::remove(ui, places, &args),
        PluginsCommand::Pin(args) => installed::pin(ui, places, &args),
        PluginsCommand::Unpin(args) => installed::unpin(ui, places, &args),
        PluginsCommand::History(_) => installed::history(ui, places),
        PluginsCommand::Undo(args) => installed::undo(ui, places, &args),
        PluginsCommand::List(args) => list::run(ui, places, &args),
        PluginsCommand::Info(args) => info::run(ui, places, &args),
        PluginsCommand::Diff(args) => diff::run(ui, places, &args),
        PluginsCommand::Compat(args) => compat::run(ui, places, &args),
        PluginsCommand::Status(args) => status::run(ui, places, &args),
        PluginsCommand::Swap(args) => swap::run(ui, places, &args),
        PluginsCommand::Rollback(args) => swap::roll_back(ui, places, &args),
        PluginsCommand::Quarantine(args) => status::quarantine(ui, places, &args),
        PluginsCommand::Clear(args) => status::clear(ui, places, &args),
    }
}

/// The policies in force, and what the operator offers to the component.
fn weighing(
    grant: &GrantArgs,
    places: &Places,
    component: &Verified,
) -> Result<(PolicySet, Offer), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let policy = host::policy(grant.policy.as_deref(), &settings, places)?;
    Ok((policy, grant.offer(&settings, places, component)?))
}

/// A version with what it would be granted, to be compared with another one.
fn side(grant: &GrantArgs, places: &Places, verified: Verified) -> Result<Side, CommandError> {
    let (policy, offer) = weighing(grant, places, &verified)?;
    let preview = loong_policy::preview(&policy, &verified, &offer);
    Ok(Side { verified, preview })
}

/// What a component without a manifest is named by.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// How many bytes, as a person reads it.
fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => match bytes % 1_048_576 * 10 / 1_048_576 {
            0 => format!("{} MiB", bytes / 1_048_576),
            tenths => format!("{}.{tenths} MiB", bytes / 1_048_576),
        },
    }
}

/// A word for one, another for every other number.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

#[cfg(test)]
mod tests {
    use super::bytes_text;

    #[test]
    fn bytes_are_rounded_for_people() {
        assert_eq!(bytes_text(1_023), "1023 bytes");
        assert_eq!(bytes_text(1_025), "2 KiB");
        assert_eq!(bytes_text(3 << 19), "1.5 MiB");
        assert_eq!(bytes_text(64 << 20), "64 MiB");
    }
}
