//! The answers as JSON. `registry/schema/audit-*.schema.json` is made from these types.

use std::collections::BTreeMap;

use loong_kernel::{Event, Triage};
use loong_manifest::{Code, Digest};
use loong_store::{CallMade, Discovery, Group, Place, Record, SearchGroup, Summary, TokenTrail};
use schemars::JsonSchema;
use serde::Serialize;

use super::attention::Attention;
use super::describe::time_text;

/// One record of the log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDocument {
    /// Its place in the log, counted from 0.
    pub index: u64,
    /// Its time, in UTC.
    pub time: String,
    /// Its time, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Why a person should look at it, if one should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triage: Option<Triage>,
    /// What happened.
    pub event: Event,
    /// Its hash, which includes that of the record before.
    pub hash: Digest,
}

impl RecordDocument {
    /// Of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            index: record.index,
            time: time_text(record.time_ms),
            time_ms: record.time_ms,
            triage: record.event.facets().triage,
            event: record.event.clone(),
            hash: record.hash,
        }
    }

    /// Of each record.
    pub fn all(records: &[Record]) -> Vec<Self> {
        records.iter().map(Self::of).collect()
    }
}

/// A record's place and time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceDocument {
    /// Its place in the log.
    pub index: u64,
    /// Its time, in UTC.
    pub time: String,
}

impl PlaceDocument {
    fn of(place: Place) -> Self {
        Self { index: place.index, time: time_text(place.time_ms) }
    }
}

/// `loong audit recent`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecentDocument {
    /// The records, the newest last.
    pub records: Vec<RecordDocument>,
    /// The last of them that a person should look at.
    pub attention: Option<Attention>,
}

impl RecentDocument {
    /// Of records in their order.
    pub fn of(records: &[Record]) -> Self {
        Self {
            records: RecordDocument::all(records),
            attention: records.iter().rev().find_map(Attention::of),
        }
    }
}

/// `loong audit summary`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SummaryDocument {
    /// What the records are grouped by, if by anything.
    pub group_by: Option<String>,
    /// How many groups there are; the first of them are given.
    pub groups_total: u64,
    /// The groups, the largest first; one without a name where records are not grouped.
    pub groups: Vec<GroupDocument>,
}

/// Records that have something in common.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupDocument {
    /// What they have in common.
    pub name: Option<String>,
    /// How many they are.
    pub records: u64,
    /// How many there are of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// How many have each outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// How many have each triage label.
    pub triage: BTreeMap<String, u64>,
    /// The first of them.
    pub first: PlaceDocument,
    /// The last of them.
    pub last: PlaceDocument,
    /// The last of them that a person should look at.
    pub attention: Option<Attention>,
}

impl SummaryDocument {
    /// Of what was counted.
    pub fn of(summary: Summary, group_by: Option<&str>) -> Self {
        let group = |group: Group| GroupDocument {
            attention: group.attention.as_ref().and_then(Attention::of),
            name: group.name,
            records: group.records,
            kinds: group.kinds,
            outcomes: group.outcomes,
            triage: group.triage,
            first: PlaceDocument::of(group.first),
            last: PlaceDocument::of(group.last),
        };
        Self {
            group_by: group_by.map(str::to_owned),
            groups_total: summary.groups_total,
            groups: summary.groups.into_iter().map(group).collect(),
        }
    }
}

/// `loong audit discovery`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryDocument {
    /// What the searches are grouped by, if by anything.
    pub group_by: Option<String>,
    /// How many groups there are; the first of them are given.
    pub groups_total: u64,
    /// The groups, those with most searches first; one without a name where searches are not grouped.
    pub groups: Vec<SearchesDocument>,
}

/// Searches for tools that have something in common.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchesDocument {
    /// What they have in common.
    pub name: Option<String>,
    /// How many they are.
    pub searches: u64,
    /// How many tools they were given in all.
    pub returned: u64,
    /// How many tools were left out because of their tier.
    pub filtered: u64,
    /// How many found nothing.
    pub empty: u64,
    /// How many found nothing because of the tiers they ask for.
    pub empty_by_tier: u64,
    /// How many asked for a tier that they were not given.
    pub conflicts: u64,
    /// How many asked for each tier.
    pub tiers_requested: BTreeMap<String, u64>,
    /// How many looked through each tier.
    pub tiers_effective: BTreeMap<String, u64>,
    /// The most frequent queries.
    pub queries: Vec<CountDocument>,
    /// The tools that were found most often.
    pub tools: Vec<CountDocument>,
    /// The first search.
    pub first: PlaceDocument,
    /// The last search.
    pub last: PlaceDocument,
    /// The last search that a person should look at.
    pub attention: Option<Attention>,
}

/// How often something was there.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountDocument {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
}

impl DiscoveryDocument {
    /// Of what was counted.
    pub fn of(discovery: Discovery, group_by: Option<&str>) -> Self {
        let counts = |counts: Vec<(String, u64)>| {
            counts.into_iter().map(|(name, count)| CountDocument { name, count }).collect()
        };
        let group = |group: SearchGroup| SearchesDocument {
            attention: group.attention.as_ref().and_then(Attention::of),
            name: group.name,
            searches: group.searches,
            returned: group.returned,
            filtered: group.filtered,
            empty: group.empty,
            empty_by_tier: group.empty_by_tier,
            conflicts: group.conflicts,
            tiers_requested: group.tiers_requested,
            tiers_effective: group.tiers_effective,
            queries: counts(group.queries),
            tools: counts(group.tools),
            first: PlaceDocument::of(group.first),
            last: PlaceDocument::of(group.last),
        };
        Self {
            group_by: group_by.map(str::to_owned),
            groups_total: discovery.groups_total,
            groups: discovery.groups.into_iter().map(group).collect(),
        }
    }
}

/// `loong audit token-trail`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenTrailDocument {
    /// The token.
    pub token: String,
    /// The record of its issue, if it is in the log.
    pub issued: Option<RecordDocument>,
    /// When it expires, in UTC.
    pub expires: Option<String>,
    /// What revoked it, by name or by generation.
    pub revoked: Vec<RecordDocument>,
    /// How many decisions it was shown for, by outcome.
    pub decisions: BTreeMap<String, u64>,
    /// The first time it was shown.
    pub first: Option<PlaceDocument>,
    /// The last time it was shown.
    pub last: Option<PlaceDocument>,
    /// The last decisions against it.
    pub denials: Vec<RecordDocument>,
    /// Its first calls and the calls that those made, in their order.
    pub calls: Vec<CallDocument>,
    /// The last of these records that a person should look at.
    pub attention: Option<Attention>,
}

/// A call, as its decision and its end tell it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallDocument {
    /// Whether the token itself was shown for it; otherwise one of those calls made it.
    pub own: bool,
    /// The decision.
    pub decision: RecordDocument,
    /// Whether it ended.
    pub ended: bool,
    /// The code of the fault it ended with.
    pub code: Option<Code>,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
}

impl TokenTrailDocument {
    /// Of what belongs to the token.
    pub fn of(trail: &TokenTrail) -> Self {
        let expires = trail.issued.as_ref().and_then(|issued| match &issued.event {
            Event::TokenIssued { expires_ms, .. } => Some(time_text(*expires_ms)),
            _ => None,
        });
        let call = |call: &CallMade| CallDocument {
            own: call.own,
            decision: RecordDocument::of(&call.decision),
            ended: call.ended.is_some(),
            code: call.ended.and_then(|(code, _)| code),
            duration_us: call.ended.map(|(_, duration_us)| duration_us),
        };
        let mut said: Vec<&Record> = trail.revoked.iter().chain(&trail.denials).collect();
        said.sort_by_key(|record| record.index);
        Self {
            token: trail.token.clone(),
            issued: trail.issued.as_ref().map(RecordDocument::of),
            expires,
            revoked: RecordDocument::all(&trail.revoked),
            decisions: trail.decisions.clone(),
            first: trail.first.map(PlaceDocument::of),
            last: trail.last.map(PlaceDocument::of),
            denials: RecordDocument::all(&trail.denials),
            calls: trail.calls.iter().map(call).collect(),
            attention: said.into_iter().rev().find_map(Attention::of),
        }
    }
}

/// `loong audit show`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowDocument {
    /// The records that were asked for.
    pub records: Vec<RecordDocument>,
    /// The other records of the same call, in their order; none where all of them were asked for.
    pub neighbours: Vec<RecordDocument>,
    /// The last record that a person should look at, of those that were asked for.
    pub attention: Option<Attention>,
}
