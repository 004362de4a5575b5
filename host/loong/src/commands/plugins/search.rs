//! `loong plugins search`: what the connected registries offer.

use loong_manifest::Tier;
use loong_repository::{Installed, Offered};
use serde_json::{Value, json};

use super::sources::Sources;
use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Search the connected registries
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins search weather
  loong plugins search weather --tier official
  loong plugins search core:text --all              every version, those that were taken back too

All words have to be found in the id, the summary, the tags, or the interfaces that are offered.")]
pub struct SearchArgs {
    /// The words
    words: Vec<String>,
    /// Only of this tier or a higher one
    #[arg(long, value_name = "TIER", value_parser = crate::commands::tier())]
    tier: Option<Tier>,
    /// Every version
    #[arg(long)]
    all: bool,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &SearchArgs) -> Result<(), CommandError> {
    let lock = Installed::new(places.installed()).lock()?;
    let words: Vec<String> = args.words.iter().map(|word| word.to_lowercase()).collect();
    let mut found: Vec<Offered> = Sources::open(ui, places)?.offered;
    found.retain(|offer| {
        args.tier.is_none_or(|tier| offer.tier >= tier)
            && (args.all || offer.entry.facts.yanked.is_none())
            && words.iter().all(|word| says(offer, word))
    });
    found.sort_by(|left, right| {
        let by_name = || left.entry.id.cmp(&right.entry.id);
        right
            .tier
            .cmp(&left.tier)
            .then_with(by_name)
            .then_with(|| right.entry.version.cmp(&left.entry.version))
    });
    if !args.all {
        found.dedup_by(|next, kept| next.entry.id == kept.entry.id);
    }
    let installed =
        |offer: &Offered| lock.plugins.get(&offer.entry.id).map(|plugin| plugin.version.to_string());
    if ui.json() {
        let entries: Vec<Value> = found
            .iter()
            .map(|offer| {
                json!({
                    "registry": offer.registry, "tier": offer.tier, "entry": offer.entry,
                    "installed": installed(offer),
                })
            })
            .collect();
        ui.document("loong.plugins.search/1", &json!({ "entries": entries }));
        return Ok(());
    }
    let row = |offer: &Offered| {
        let entry = &offer.entry;
        let state = match (&entry.facts.yanked, installed(offer)) {
            (Some(_), _) => "yanked".to_owned(),
            (None, Some(version)) if version == entry.version.to_string() => "installed".to_owned(),
            (None, Some(version)) => format!("installed {version}"),
            (None, None) => String::new(),
        };
        vec![
            entry.id.to_string(),
            entry.version.to_string(),
            offer.tier.to_string(),
            offer.registry.clone(),
            state,
            entry.facts.summary.clone(),
        ]
    };
    if found.is_empty() {
        ui.note("nothing was found");
        return Ok(());
    }
    let mut rows =
        vec![["ID", "VERSION", "TIER", "REGISTRY", "STATE", "SUMMARY"].map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(row));
    ui.table(0, &rows);
    Ok(())
}

fn says(offer: &Offered, word: &str) -> bool {
    let facts = &offer.entry.facts;
    let has = |text: &str| text.to_lowercase().contains(word);
    has(&offer.entry.id.to_string())
        || has(&facts.summary)
        || facts.tags.iter().any(|tag| has(tag))
        || facts.offers.iter().any(|interface| has(&interface.to_string()))
}
