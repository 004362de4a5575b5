//! `loong plugins search`: what the connected registries offer, and what is installed.

use std::collections::{BTreeMap, BTreeSet};

use loong_manifest::{Code, PluginId, Tier};
use loong_repository::{Entry, Offered};
use serde::Serialize;

use super::judged;
use super::sources::Sources;
use crate::error::CommandError;
use crate::host;
use crate::locate::PluginPath;
use crate::places::Places;
use crate::registries;
use crate::ui::Ui;

/// So many of what is found are named in the summary.
const TOP: usize = 3;

/// Search the connected registries and what is installed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins search weather
  loong plugins search weather --tier official
  loong plugins search weather tier:official tier:verified-community
  loong plugins search core:text --all              every version, those that were taken back too
  loong plugins search --installed                  without asking any registry

All words have to be found in the id, the summary, the tags, or the interfaces that are offered. `tier:TIER` among
them asks for that tier. What tier a plugin has is computed from who signed it, never from what it says.")]
pub struct SearchArgs {
    /// The words; `tier:TIER` asks for a tier
    words: Vec<String>,
    /// Only of this tier or a higher one
    #[arg(long, value_name = "TIER", value_parser = crate::commands::tier())]
    tier: Option<Tier>,
    /// Every version
    #[arg(long)]
    all: bool,
    /// Only what is installed
    #[arg(long)]
    installed: bool,
}

/// What was found.
#[derive(Serialize)]
struct Found {
    id: PluginId,
    version: semver::Version,
    tier: Tier,
    registry: String,
    summary: String,
    /// The version that is installed.
    installed: Option<semver::Version>,
    /// What the registry says of it; none of what is only installed.
    entry: Option<Entry>,
}

/// Which tiers were looked through, and what that left out.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TierFilter {
    /// Those that the words ask for; empty where they do not care.
    in_words: BTreeSet<Tier>,
    /// Those that `--tier` asks for.
    by_flag: BTreeSet<Tier>,
    /// Those of both.
    effective: BTreeSet<Tier>,
    /// The words and the flag have no tier in common.
    conflicting: bool,
    /// How many had the words, by tier, and were left out for their tier.
    left_out: BTreeMap<Tier, usize>,
}

#[derive(Serialize)]
struct Summary {
    headline: String,
    query: String,
    returned: usize,
    top: Vec<String>,
}

#[derive(Serialize)]
struct Document {
    summary: Summary,
    tier_filter: TierFilter,
    entries: Vec<Found>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &SearchArgs) -> Result<(), CommandError> {
    let (words, mut filter) = query(&args.words, args.tier)?;
    let mut found = candidates(ui, places, args, &words)?;
    found.retain(|found| {
        let is_meant = filter.effective.contains(&found.tier);
        if !is_meant {
            *filter.left_out.entry(found.tier).or_default() += 1;
        }
        is_meant
    });
    found.sort_by(|left, right| {
        let by_name = || left.id.cmp(&right.id);
        right.tier.cmp(&left.tier).then_with(by_name).then_with(|| right.version.cmp(&left.version))
    });
    if !args.all {
        found.dedup_by(|next, kept| next.id == kept.id);
    }
    let top = found.iter().take(TOP).map(|found| format!("{} {}", found.id, found.version));
    let left_out = left_out_text(&filter);
    let summary = Summary {
        headline: match (found.len(), &left_out) {
            _ if filter.conflicting => "the words and `--tier` have no tier in common".to_owned(),
            (0, None) => "nothing was found".to_owned(),
            (0, Some(left_out)) => format!("nothing was found of the tiers that were asked for; {left_out}"),
            (count, None) => super::counted(count, "plugin was found", "plugins were found"),
            (count, Some(left_out)) => {
                format!("{}; {left_out}", super::counted(count, "plugin was found", "plugins were found"))
            }
        },
        query: args.words.join(" "),
        returned: found.len(),
        top: top.collect(),
    };
    if ui.json() {
        ui.document("loong.plugins.search/1", &Document { summary, tier_filter: filter, entries: found });
        return Ok(());
    }
    if !found.is_empty() {
        let mut rows =
            vec![["ID", "VERSION", "TIER", "REGISTRY", "STATE", "SUMMARY"].map(str::to_owned).to_vec()];
        rows.extend(found.into_iter().map(row));
        ui.table(0, &rows);
    }
    if summary.returned == 0 || left_out.is_some() {
        ui.note(summary.headline);
    }
    Ok(())
}

fn row(found: Found) -> Vec<String> {
    let yanked = found.entry.as_ref().is_some_and(|entry| entry.facts.yanked.is_some());
    let state = match found.installed {
        Some(version) if version == found.version && yanked => "installed, yanked".to_owned(),
        _ if yanked => "yanked".to_owned(),
        Some(version) if version == found.version => "installed".to_owned(),
        Some(version) => format!("installed {version}"),
        None => String::new(),
    };
    let (id, version) = (found.id.to_string(), found.version.to_string());
    vec![id, version, found.tier.to_string(), found.registry, state, found.summary]
}

/// The words in lower case, and the tiers that are asked for.
fn query(words: &[String], least: Option<Tier>) -> Result<(Vec<String>, TierFilter), CommandError> {
    let (mut plain, mut in_words) = (Vec::new(), BTreeSet::new());
    for word in words {
        let Some(name) = word.strip_prefix("tier:").or_else(|| word.strip_prefix("trust:")) else {
            plain.push(word.to_lowercase());
            continue;
        };
        let tier = Tier::ALL.into_iter().find(|tier| tier.as_str() == name).ok_or_else(|| {
            let names = Tier::ALL.map(Tier::as_str).join(", ");
            CommandError::new(Code::CommandLineInvalid, format!("`{name}` is no tier"))
                .hint(format!("there are {names}"))
        })?;
        in_words.insert(tier);
    }
    let by_flag: BTreeSet<Tier> = match least {
        Some(least) => Tier::ALL.into_iter().filter(|tier| *tier >= least).collect(),
        None => BTreeSet::new(),
    };
    let asks = |asked: &BTreeSet<Tier>, tier: &Tier| asked.is_empty() || asked.contains(tier);
    let effective: BTreeSet<Tier> =
        Tier::ALL.into_iter().filter(|tier| asks(&in_words, tier) && asks(&by_flag, tier)).collect();
    let conflicting = effective.is_empty();
    Ok((plain, TierFilter { in_words, by_flag, effective, conflicting, left_out: BTreeMap::new() }))
}

fn left_out_text(filter: &TierFilter) -> Option<String> {
    let (highest_first, total) = (filter.left_out.iter().rev(), filter.left_out.values().sum::<usize>());
    let each: Vec<String> = highest_first.map(|(tier, count)| format!("{count} {tier}")).collect();
    (total > 0).then(|| format!("left out for their tier: {}", each.join(", ")))
}

/// What has the words, of every tier.
fn candidates(
    ui: &Ui,
    places: &Places,
    args: &SearchArgs,
    words: &[String],
) -> Result<Vec<Found>, CommandError> {
    let path = PluginPath::new(&[], places)?;
    let offline = args.installed || (registries::all(places)?.is_empty() && path.listing().is_some());
    if offline && !args.installed {
        ui.note("no registry is connected: this is what is installed");
    }
    let offered = if offline { Vec::new() } else { Sources::open(ui, places)?.offered };
    // What the registries say of their keys is known by now.
    let installed = judged::installed(ui, &path, &host::trust_root(places)?, words, false)?;
    let mut found = Vec::new();
    for Offered { registry, tier, entry } in offered {
        let (id, facts) = (entry.id.to_string(), &entry.facts);
        let offers: Vec<String> = facts.offers.iter().map(ToString::to_string).collect();
        if !says(words, &id, &facts.summary, &facts.tags, &offers) {
            continue;
        }
        let version = path.listing().plugin(&entry.id)?.map(|plugin| plugin.version);
        if args.all || facts.yanked.is_none() || version.as_ref() == Some(&entry.version) {
            found.push(Found {
                id: entry.id.clone(),
                version: entry.version.clone(),
                tier,
                registry,
                summary: facts.summary.clone(),
                installed: version,
                entry: Some(entry),
            });
        }
    }
    let is_there: BTreeSet<(PluginId, semver::Version)> =
        found.iter().map(|found| (found.id.clone(), found.version.clone())).collect();
    for (row, verdict) in installed {
        if !is_there.contains(&(row.id.clone(), row.version.clone())) {
            found.push(Found {
                id: row.id,
                version: row.version.clone(),
                // What is refused is trusted by nobody.
                tier: verdict.unwrap_or(Tier::Unverified),
                registry: row.registry,
                summary: row.summary,
                installed: Some(row.version),
                entry: None,
            });
        }
    }
    Ok(found)
}

fn says(words: &[String], id: &str, summary: &str, tags: &[String], offers: &[String]) -> bool {
    words.iter().all(|word| {
        let has = |text: &str| text.to_lowercase().contains(word);
        has(id) || has(summary) || tags.iter().any(|tag| has(tag)) || offers.iter().any(|name| has(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, least: Option<Tier>, expected: Result<(&str, &str), Code>) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let said = query(&words, least).map_err(|error| error.code).map(|(plain, filter)| {
            let tiers: Vec<&str> = filter.effective.iter().map(|tier| tier.as_str()).collect();
            assert_eq!(filter.conflicting, tiers.is_empty());
            (plain.join(" "), tiers.join(" "))
        });
        assert_eq!(said, expected.map(|(words, tiers)| (words.to_owned(), tiers.to_owned())));
    }

    #[test]
    fn words_and_the_flag_ask_for_tiers() {
        let all = "unverified verified-community official";
        check("Weather now", None, Ok(("weather now", all)));
        check("tier:official Weather", None, Ok(("weather", "official")));
        check("trust:unverified tier:official", None, Ok(("", "unverified official")));
        check("x", Some(Tier::VerifiedCommunity), Ok(("x", "verified-community official")));
        check("x tier:official", Some(Tier::VerifiedCommunity), Ok(("x", "official")));
        check("x tier:unverified", Some(Tier::Official), Ok(("x", "")));
        check("x tier:gold", None, Err(Code::CommandLineInvalid));
        check("tier:", None, Err(Code::CommandLineInvalid));
    }
}
