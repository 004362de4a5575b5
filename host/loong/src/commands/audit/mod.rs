//! `loong audit`: what happened, and whether the record of it is whole. One file for each verb.

mod accept;
mod attention;
mod checkpoint;
mod deliver;
mod describe;
mod discovery;
pub(crate) mod documents;
pub(crate) mod export;
mod filters;
mod proof;
mod prove;
mod prune;
mod recent;
mod show;
mod sinks;
mod summary;
mod token_trail;
pub mod verify;
mod verify_proof;

pub(in crate::commands) use describe::time_text;

use std::ops::RangeInclusive;
use std::path::Path;

use loong_manifest::Code;
use loong_store::{AuditReader, Named, StoreError};
use loong_trust::UtcTime;

use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Look at the audit log, and verify it
#[derive(clap::Subcommand)]
pub enum AuditCommand {
    Recent(Box<recent::RecentArgs>),
    Summary(Box<summary::SummaryArgs>),
    Discovery(Box<discovery::DiscoveryArgs>),
    TokenTrail(token_trail::TokenTrailArgs),
    Show(show::ShowArgs),
    Export(Box<export::ExportArgs>),
    Sinks(sinks::SinksArgs),
    Deliver(deliver::DeliverArgs),
    Verify(verify::VerifyArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Prove(prove::ProveArgs),
    VerifyProof(verify_proof::VerifyProofArgs),
    Prune(prune::PruneArgs),
    Accept(accept::AcceptArgs),
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: AuditCommand) -> Result<(), CommandError> {
    match command {
        AuditCommand::Recent(args) => recent::run(ui, &places.database(), &args),
        AuditCommand::Summary(args) => summary::run(ui, &places.database(), &args),
        AuditCommand::Discovery(args) => discovery::run(ui, &places.database(), &args),
        AuditCommand::TokenTrail(args) => token_trail::run(ui, &places.database(), &args),
        AuditCommand::Show(args) => show::run(ui, &places.database(), &args),
        AuditCommand::Export(args) => export::run(ui, &places.database(), &args),
        AuditCommand::Sinks(args) => sinks::run(ui, places, &args),
        AuditCommand::Deliver(args) => deliver::run(ui, places, &args),
        AuditCommand::Verify(args) => verify::run(ui, places, &args),
        AuditCommand::Checkpoint(args) => checkpoint::run(ui, places, &args),
        AuditCommand::Prove(args) => prove::run(ui, places, &args),
        AuditCommand::VerifyProof(args) => verify_proof::run(ui, places, &args),
        AuditCommand::Prune(args) => prune::run(ui, places, &args),
        AuditCommand::Accept(args) => accept::run(ui, places, &args),
    }
}

/// The log; none where there is none yet.
pub(in crate::commands) fn open(database: &Path) -> Result<Option<AuditReader>, CommandError> {
    match AuditReader::open_read_only(database) {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A time of the command line, in milliseconds since the Unix epoch: its first and its last one.
pub(in crate::commands) fn time_range(text: &str, now_ms: u64) -> Result<RangeInclusive<u64>, CommandError> {
    let ago = || {
        let unit_ms: u64 = match text.chars().last()? {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        let count: u64 = text.get(..text.len() - 1)?.parse().ok()?;
        let ms = now_ms.saturating_sub(count.checked_mul(unit_ms)?);
        Some(ms..=ms)
    };
    let at = |text: &str, long_ms: u64| {
        let start_ms = text.parse::<UtcTime>().ok()?.unix_s() * 1_000;
        Some(start_ms..=start_ms + long_ms - 1)
    };
    let day = || at(&format!("{text}T00:00:00Z"), 86_400_000);
    ago().or_else(|| at(text, 1_000)).or_else(day).ok_or_else(|| {
        CommandError::new(Code::CommandLineInvalid, format!("`{text}` is no time"))
            .hint("give `2026-07-26`, `2026-07-26T10:30:00Z`, or so long ago: `30s`, `10m`, `2h`, `7d`")
    })
}

/// The one run whose name begins so.
pub(in crate::commands) fn run_named(reader: &AuditReader, start: &str) -> Result<String, CommandError> {
    named("run", start, reader.run_named(start)?)
}

/// The one thing that was found by the start of its name.
fn named(what: &str, start: &str, found: Named) -> Result<String, CommandError> {
    let error = |text: String| CommandError::new(Code::CommandLineInvalid, text);
    match found {
        Named::One(name) => Ok(name),
        Named::Several => {
            Err(error(format!("more than one {what} begins with `{start}`")).hint("give more of its digits"))
        }
        Named::None => {
            let kind = match what {
                "run" => "run_started",
                "token" => "token_issued",
                _ => "approval_requested",
            };
            Err(error(format!("no {what} begins with `{start}`"))
                .hint(format!("`loong audit recent --kind {kind} --json` lists them")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_people_write_them() {
        let now_ms = 1_800_000_000_000;
        let check = |text: &str, expected: Option<RangeInclusive<u64>>| {
            assert_eq!(time_range(text, now_ms).ok(), expected, "{text}");
        };
        check("90s", Some(now_ms - 90_000..=now_ms - 90_000));
        check("7d", Some(now_ms - 7 * 86_400_000..=now_ms - 7 * 86_400_000));
        check("2026-01-01", Some(1_767_225_600_000..=1_767_311_999_999));
        check("2026-01-01T00:00:01Z", Some(1_767_225_601_000..=1_767_225_601_999));
        check("99999999999999999999d", None);
        check("18446744073709551615d", None);
        check("ünd", None);
        check("yesterday", None);
        check("", None);
    }
}
