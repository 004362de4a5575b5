//! `loong audit token-trail`: the life of one token.

use std::path::Path;

use loong_kernel::Event;
use loong_store::{AuditReader, CallMade, TokenTrail};

use super::attention::Attention;
use super::describe::{cells, time_text};
use super::documents::TokenTrailDocument;
use super::named;
use super::summary::listed;
use crate::error::CommandError;
use crate::ui::Ui;

/// Show the life of one token: its issue, its calls, what was refused, and its end
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit recent --kind token_issued --json     the tokens that there are
  loong audit token-trail 9c4be01f                  one of them, by its first digits
  loong audit token-trail 9c4be01f --json

Calls that are made in a call of the token have tokens of their own; they are shown below it, moved in.")]
pub struct TokenTrailArgs {
    /// The token; its first digits are enough
    token: String,
    /// Most calls, and most denials
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &TokenTrailArgs) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(database)?;
    let token = named("token", &args.token, reader.token_named(&args.token)?)?;
    let trail = reader.token_trail(&token, args.limit)?;
    let document = TokenTrailDocument::of(&trail);
    if ui.json() {
        ui.document("loong.audit.token-trail/1", &document);
        return Ok(());
    }
    ui.line(format!("token {}", trail.token));
    ui.table(2, &life(&trail));
    if !trail.calls.is_empty() {
        ui.line("");
        ui.table(0, &trail.calls.iter().map(call).collect::<Vec<_>>());
    }
    if let Some(attention) =
        trail.denials.iter().chain(&trail.revoked).filter_map(Attention::of).max_by_key(|one| one.index)
    {
        ui.line("");
        attention.show(ui, 0);
    }
    Ok(())
}

fn life(trail: &TokenTrail) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |what: &str, text: String| rows.push(vec![what.to_owned(), text]);
    match &trail.issued {
        Some(record) => {
            if let Event::TokenIssued { holder, run, expires_ms, generation, .. } = &record.event {
                row("issued", format!("{} for {holder}, generation {generation}", time_text(record.time_ms)));
                row("run", run.clone());
                row("expires", time_text(*expires_ms));
            }
        }
        None => row("issued", "not recorded".to_owned()),
    }
    for record in &trail.revoked {
        let [time, _, _, what, ..] = cells(record);
        row("revoked", format!("{time} {what}"));
    }
    if let (Some(first), Some(last)) = (trail.first, trail.last) {
        row("shown", format!("{} to {}", time_text(first.time_ms), time_text(last.time_ms)));
    }
    row("decisions", if trail.decisions.is_empty() { "none".to_owned() } else { listed(&trail.decisions) });
    rows
}

/// One call in a line: when, what, how it was decided, how it ended.
fn call(made: &CallMade) -> Vec<String> {
    let [time, _, _, what, outcome, code] = cells(&made.decision);
    let ended = match made.ended {
        None => String::new(),
        Some((code, duration_us)) => {
            let how = code.map_or_else(|| "ok".to_owned(), |code| format!("failed [{code}]"));
            format!("{how} ({}.{:03} ms)", duration_us / 1_000, duration_us % 1_000)
        }
    };
    let what = if made.own { what } else { format!("  {what}") };
    vec![time, what, format!("{outcome} {code}").trim().to_owned(), ended]
}
