//! What is installed, each with its tier or with what it is refused for.

use std::path::Path;

use loong_manifest::{Digest, PluginId, Tier};
use loong_repository::{Judged, Row, Verdict};
use loong_trust::TrustRoot;
use serde::Serialize;
use serde_json::Value;

use super::sources::now;
use crate::error::CommandError;
use crate::locate::{self, PluginPath};
use crate::ui::Ui;

/// A plugin that is installed, and what became of it when it was verified.
pub(super) type Judgement = (Row, Verdict);

/// What is installed and has all of these words, by id. What was verified before is not verified again while the trust
/// root is the same and nothing in it begins or ends, unless all is to be read `anew`; a load always verifies.
pub(super) fn installed(
    ui: &Ui,
    path: &PluginPath,
    root: &TrustRoot,
    words: &[String],
    anew: bool,
) -> Result<Vec<Judgement>, CommandError> {
    let now = now();
    let judged =
        Judged { root: Digest::of(root.to_json().as_bytes()), since: now, until: root.changes_after(now) };
    let rows = path.listing().rows((!anew).then_some(&judged), words)?;
    let unknown: Vec<&Row> = rows.iter().filter(|row| row.verdict.is_none()).collect();
    let mut verdicts = Vec::new();
    if !unknown.is_empty() {
        let spinner = ui.spinner();
        spinner.set_message(format!("verifying {}", super::counted(unknown.len(), "plugin", "plugins")));
        spinner.tick();
        verdicts = verify(path, &unknown, root, now.unix_s());
        path.listing().keep(&judged, &verdicts);
        spinner.finish_and_clear();
    }
    // Both are in the order of the rows.
    let mut verdicts = verdicts.into_iter().peekable();
    let judgement = |mut row: Row| {
        let verdict = match row.verdict.take() {
            Some(verdict) => verdict,
            None => verdicts.next_if(|(id, _, _)| *id == row.id)?.2,
        };
        Some((row, verdict))
    };
    Ok(rows.into_iter().filter_map(judgement).collect())
}

/// Verifies plugins, on every core.
fn verify(
    path: &PluginPath,
    rows: &[&Row],
    root: &TrustRoot,
    now_unix_s: u64,
) -> Vec<(PluginId, Digest, Verdict)> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let one = |row: &&Row| {
        let file = path.component(&row.id, &row.digest);
        (row.id.clone(), row.digest, verdict(&file, root, now_unix_s))
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = rows
            .chunks(rows.len().div_ceil(cores).max(1))
            .map(|share| scope.spawn(|| share.iter().map(one).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    })
}

/// Verifies the component in a file.
pub(super) fn verdict(file: &Path, root: &TrustRoot, now_unix_s: u64) -> Verdict {
    let verified =
        locate::candidate(file).and_then(|candidate| Ok(loong_trust::verify(candidate, root, now_unix_s)?));
    match verified {
        Ok(verified) => Ok(verified.tier()),
        Err(error) => Err(serde_json::to_string(&error).unwrap_or_default()),
    }
}

/// Why a plugin is refused, as it is shown in JSON.
pub(super) fn refused(error: &str) -> Value {
    serde_json::from_str(error).unwrap_or_default()
}

/// A verdict as it is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    tier: Option<Tier>,
    refused: Option<Value>,
}

impl Shown {
    pub(super) fn of(verdict: &Verdict) -> Self {
        Self {
            tier: verdict.as_ref().ok().copied(),
            refused: verdict.as_ref().err().map(|error| refused(error)),
        }
    }

    /// The tier, or the code of the error, as it is shown in a table.
    pub(super) fn text(&self) -> String {
        let code = || self.refused.as_ref()?.get("code")?.as_str();
        match self.tier {
            Some(tier) => tier.to_string(),
            None => format!("refused: {}", code().unwrap_or_default()),
        }
    }
}
