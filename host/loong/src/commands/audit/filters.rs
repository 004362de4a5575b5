//! Which records a command is about: the options that all of them share.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use loong_kernel::{EventKind, Outcome, Triage};
use loong_manifest::{Code, Tier};
use loong_store::{AuditFilter, AuditReader};

use super::{named, time_range};
use crate::error::CommandError;
use crate::host;

/// Said below the examples of each command that takes times.
pub const TIMES: &str = "\
Times are UTC, and both ends are included: `2026-07-26` is the whole day, `2026-07-26T10:30:00Z` the whole
second; or so long ago: `30s`, `10m`, `2h`, `7d`.";

/// Which records
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Which records")]
pub struct FilterArgs {
    /// Only this kind of event
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(EventKind::ALL.map(|kind| kind.0)), hide_possible_values = true)]
    kind: Option<String>,
    /// Only what a person should look at for this reason; may be given more than once
    #[arg(long, value_name = "LABEL", value_parser = labels(), hide_possible_values = true)]
    triage: Vec<Triage>,
    /// Only this run; the first digits of its name are enough
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only what names this plugin
    #[arg(long, value_name = "ID")]
    plugin: Option<String>,
    /// Only decisions in runs of this pack
    #[arg(long, value_name = "ID")]
    pack: Option<String>,
    /// Only what this one did: `person` or a plugin
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only what names this token; its first digits are enough
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Only what names this approval
    #[arg(long, value_name = "APPROVAL")]
    approval: Option<String>,
    /// Only where this tier was asked for
    #[arg(long, value_name = "TIER", value_parser = tiers())]
    tier_requested: Option<Tier>,
    /// Only where this tier was found or used
    #[arg(long, value_name = "TIER", value_parser = tiers())]
    tier: Option<Tier>,
    /// Only what was decided so
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<OutcomeArg>,
    /// Only what was refused or failed with this code
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<Code>,
    /// Only the record at this place
    #[arg(long, value_name = "INDEX")]
    event: Option<u64>,
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only records that hold this text; they are read one by one, so give a time too where the log is long
    #[arg(long, value_name = "TEXT", value_parser = text)]
    text: Option<String>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OutcomeArg {
    /// It was allowed
    Allow,
    /// It was refused
    Deny,
    /// A person had to approve it first
    NeedsApproval,
}

/// Longest text that is looked for, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;

fn labels() -> impl TypedValueParser<Value = Triage> {
    let values = Triage::ALL.iter().map(|label| PossibleValue::new(label.as_str()).help(label.meaning()));
    PossibleValuesParser::new(values).try_map(|text| known(Triage::ALL, Triage::as_str, &text))
}

fn tiers() -> impl TypedValueParser<Value = Tier> {
    PossibleValuesParser::new(Tier::ALL.map(Tier::as_str))
        .try_map(|text| known(&Tier::ALL, Tier::as_str, &text))
}

fn code(text: &str) -> Result<Code, String> {
    known(Code::ALL, Code::as_str, text)
        .map_err(|_| "not one of the codes of registry/schema/codes.md".to_owned())
}

fn known<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str) -> Result<T, String> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| format!("`{text}` is not known"))
}

fn text(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(format!("a text has 1 to {TEXT_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
}

impl FilterArgs {
    /// The filter; `limit` is the command's.
    pub fn filter(&self, reader: Option<&AuditReader>, limit: u32) -> Result<AuditFilter, CommandError> {
        let now_ms = host::now_ms();
        let time = |text: &Option<String>| text.as_deref().map(|text| time_range(text, now_ms)).transpose();
        let begins = |what, start: &Option<String>, names: fn(&AuditReader, &str) -> _| {
            let found = start.as_deref().map(|start| match reader {
                Some(reader) => named(what, start, names(reader, start)?),
                None => Ok(start.to_owned()),
            });
            found.transpose()
        };
        Ok(AuditFilter {
            index: self.event,
            kind: self.kind.clone(),
            triage: self.triage.clone(),
            run: begins("run", &self.run, AuditReader::run_named)?,
            plugin: self.plugin.clone(),
            pack: self.pack.clone(),
            agent: self.agent.clone(),
            token: begins("token", &self.token, AuditReader::token_named)?,
            tier_requested: self.tier_requested,
            tier: self.tier,
            outcome: self.outcome.map(|outcome| match outcome {
                OutcomeArg::Allow => Outcome::Allow,
                OutcomeArg::Deny => Outcome::Deny,
                OutcomeArg::NeedsApproval => Outcome::NeedsApproval,
            }),
            code: self.code,
            approval: begins("approval", &self.approval, AuditReader::approval_named)?,
            since_ms: time(&self.since)?.map(|range| *range.start()),
            until_ms: time(&self.until)?.map(|range| *range.end()),
            contains: self.text.clone(),
            limit,
        })
    }
}
