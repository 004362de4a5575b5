//! `loong audit`: what happened, and whether the record of it is whole. One file for each verb.

mod accept;
mod checkpoint;
mod deliver;
mod describe;
mod proof;
mod prove;
mod prune;
mod recent;
mod sinks;
pub mod verify;
mod verify_proof;

use std::path::Path;

use loong_manifest::Code;
use loong_store::{AuditFilter, AuditReader, StoreError};
use loong_trust::UtcTime;

use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Look at the audit log, and verify it
#[derive(clap::Subcommand)]
pub enum AuditCommand {
    Recent(recent::RecentArgs),
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

/// A time of the command line, in milliseconds since the Unix epoch.
pub(in crate::commands) fn time_ms(text: &str, now_ms: u64) -> Result<u64, CommandError> {
    let ago = || {
        let unit_ms: u64 = match text.chars().last()? {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        let count: u64 = text.get(..text.len() - 1)?.parse().ok()?;
        Some(now_ms.saturating_sub(count.checked_mul(unit_ms)?))
    };
    let at = |text: &str| text.parse::<UtcTime>().ok().map(|time| time.unix_s() * 1_000);
    ago().or_else(|| at(text)).or_else(|| at(&format!("{text}T00:00:00Z"))).ok_or_else(|| {
        CommandError::new(Code::CommandLineInvalid, format!("`{text}` is no time"))
            .hint("give `2026-07-26`, `2026-07-26T10:30:00Z`, or so long ago: `30s`, `10m`, `2h`, `7d`")
    })
}

/// The one run whose name begins so.
pub(in crate::commands) fn run_named(reader: &AuditReader, start: &str) -> Result<String, CommandError> {
    let filter = AuditFilter {
        kind: Some("run_started".into()),
        contains: Some(start.to_owned()),
        ..AuditFilter::any(1_000)
    };
    let records = reader.recent(&filter)?;
    let mut runs: Vec<&str> =
        records.iter().filter_map(|record| record.event.run()).filter(|run| run.starts_with(start)).collect();
    match (runs.pop(), runs.as_slice()) {
        (Some(run), []) => Ok(run.to_owned()),
        (Some(_), _) => Err(CommandError::new(
            Code::CommandLineInvalid,
            format!("more than one run begins with `{start}`"),
        )
        .hint("give more of its digits")),
        (None, _) => {
            Err(CommandError::new(Code::CommandLineInvalid, format!("no run begins with `{start}`"))
                .hint("`loong audit recent --kind run_started` lists the runs"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_people_write_them() {
        let now_ms = 1_800_000_000_000;
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(time_ms(text, now_ms).ok(), expected, "{text}");
        check("90s", Some(now_ms - 90_000));
        check("7d", Some(now_ms - 7 * 86_400_000));
        check("2026-01-01", Some(1_767_225_600_000));
        check("2026-01-01T00:00:01Z", Some(1_767_225_601_000));
        check("99999999999999999999d", None);
        check("18446744073709551615d", None);
        check("ünd", None);
        check("yesterday", None);
        check("", None);
    }
}
