//! Every question about the log is answered as going through all records would answer it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use loong_kernel::{ApprovalEnd, Triage};
use proptest::prelude::*;

use super::*;
use crate::{Group, GroupBy, Named};

const RECORDS: u64 = 600;
const START_MS: u64 = 1_700_000_000_000;

/// The n-th event of a log of three packs, two agents, and searches, calls and approvals.
fn various(n: u64) -> Event {
    let run = format!("{:02x}{}", n / 20, "0".repeat(30));
    let (pack, token) =
        (["acme:one", "acme:two", "umbra:pack"][(n / 20) as usize % 3], format!("t{}", n / 20));
    let call = format!("{run}.{}", n % 20);
    let tier = [Tier::Official, Tier::Unverified][usize::from(n.is_multiple_of(13))];
    match n % 10 {
        0 => {
            Event::TokenIssued { run, token, holder: "person".to_owned(), expires_ms: 9, generation: n / 200 }
        }
        1 | 4 | 7 => Event::Decision {
            run: run.clone(),
            call,
            parent: (n % 10 == 7).then(|| format!("{run}.{}", n % 20 - 3)),
            token: if n % 10 == 7 { format!("{token}-child") } else { token },
            caller: if n % 10 == 1 { "person" } else { pack }.to_owned(),
            caller_digest: None,
            operation: "core:git/git@0.1.0#log".to_owned(),
            plugin: Some(plugin("core:git")),
            digest: None,
            tier: Some(tier),
            risk: Some(Risk::Read),
            outcome: [Outcome::Allow, Outcome::Deny, Outcome::NeedsApproval][(n % 17 / 6) as usize],
            code: (n % 17 >= 6).then_some(Code::PolicyDenied),
            policies: Vec::new(),
            depth: 0,
            pack: (n % 10 != 1).then(|| plugin(pack)),
            raised: Vec::new(),
            reviews: Vec::new(),
            approval: (n % 17 == 12).then(|| format!("a{n}")),
            asked: None,
        },
        2 | 5 => Event::SearchEvaluated {
            run,
            call: Some(call),
            caller: pack.to_owned(),
            query: format!("query {}", n % 4),
            tiers_requested: [vec![], vec![Tier::Official], Tier::ALL.to_vec()][(n % 3) as usize].clone(),
            tiers_effective: [vec![Tier::Official], vec![Tier::Official, Tier::Unverified]][(n % 2) as usize]
                .clone(),
            returned: n % 3,
            filtered: n % 5,
            top: (0..n % 3).map(|tool| format!("tool-{tool}")).collect(),
        },
        3 => Event::CallFinished {
            run,
            call,
            operation: "core:git/git@0.1.0#log".parse().unwrap(),
            code: (n % 30 == 3).then_some(Code::Trap),
            usage: Usage { duration_us: n, ..Usage::default() },
            arguments: None,
            result: None,
            journaled: false,
        },
        6 => Event::ApprovalExpired {
            run: Some(run),
            approval: format!("a{}", n - 1),
            reason: ApprovalEnd::Stale,
        },
        8 => Event::PluginVerified {
            run: Some(run),
            plugin: plugin(pack),
            version: "1.0.0".to_owned(),
            digest: Digest::of(b"pack"),
            tier,
            tier_requested: Tier::VerifiedCommunity,
            key: None,
        },
        _ => Event::TokenRevoked {
            run: None,
            token: None,
            generation: Some(n / 200 + 1),
            key: None,
            reason: "100% \"sure\"".to_owned(),
        },
    }
}

/// The log, and a reader that asks it.
fn log() -> AuditReader {
    static LOG: OnceLock<Store> = OnceLock::new();
    LOG.get_or_init(|| memory((0..RECORDS).map(various))).reader().unwrap()
}

/// Whether a filter lets a record through, by the meaning of its fields.
fn lets_through(filter: &AuditFilter, n: u64) -> bool {
    let event = various(n);
    let facets = event.facets();
    let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
    let text = serde_json::to_string(&event).unwrap().to_lowercase();
    let time_ms = START_MS + n;
    filter.index.is_none_or(|index| index == n)
        && is(&filter.kind, Some(event.kind().0))
        && (filter.triage.is_empty() || facets.triage.is_some_and(|label| filter.triage.contains(&label)))
        && is(&filter.run, facets.run)
        && is(&filter.plugin, facets.plugin.as_deref())
        && is(&filter.pack, facets.pack.as_deref())
        && is(&filter.agent, facets.agent.as_deref())
        && is(&filter.token, facets.token)
        && is(&filter.approval, facets.approval)
        && filter.tier.is_none_or(|tier| facets.tiers.contains(&tier))
        && filter.tier_requested.is_none_or(|tier| facets.tiers_requested.contains(&tier))
        && filter.outcome.is_none_or(|outcome| facets.outcome == Some(outcome))
        && filter.code.is_none_or(|code| facets.code == Some(code))
        && filter.since_ms.is_none_or(|since| time_ms >= since)
        && filter.until_ms.is_none_or(|until| time_ms <= until)
        && filter.contains.as_ref().is_none_or(|wanted| {
            let quoted = serde_json::to_string(&wanted.to_lowercase()).unwrap();
            text.contains(&quoted[1..quoted.len() - 1])
        })
}

fn wanted(filter: &AuditFilter) -> Vec<u64> {
    (0..RECORDS).filter(|n| lets_through(filter, *n)).collect()
}

/// Of a list, one or none, none more often.
fn maybe<T: Clone + std::fmt::Debug + 'static>(of: Vec<T>) -> impl Strategy<Value = Option<T>> {
    prop_oneof![4 => Just(None), 1 => proptest::sample::select(of).prop_map(Some)]
}

fn texts(texts: &[&str]) -> impl Strategy<Value = Option<String>> + use<> {
    maybe(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn filters() -> impl Strategy<Value = AuditFilter> {
    let who = (
        texts(&["decision", "search_evaluated", "token_revoked", "effect"]),
        texts(&["core:git", "acme:one", "nobody:at-all"]),
        texts(&["acme:one", "umbra:pack"]),
        texts(&["person", "acme:two"]),
        texts(&["t3", "t3-child", "t99"]),
        texts(&["a12", "a45", "a5"]),
    );
    let how = (
        prop_oneof![3 => Just(Vec::new()), 1 => proptest::sample::subsequence(Triage::ALL, 0..6)],
        maybe(Tier::ALL.to_vec()),
        maybe(Tier::ALL.to_vec()),
        maybe(vec![Outcome::Allow, Outcome::Deny, Outcome::NeedsApproval]),
        maybe(vec![Code::PolicyDenied, Code::Trap]),
        texts(&["QUERY 3", "100% \"SURE\"", "_", "acme"]),
    );
    let when = (
        maybe((0..RECORDS / 20).map(|run| format!("{run:02x}{}", "0".repeat(30))).collect()),
        maybe((0..700).map(|ms| START_MS + ms - 50).collect()),
        maybe((0..700).map(|ms| START_MS + ms - 50).collect()),
        maybe((0..RECORDS + 1).collect::<Vec<_>>()),
        prop_oneof![Just(3_u32), Just(50), Just(10_000)],
    );
    (who, how, when).prop_map(|(who, how, when)| AuditFilter {
        kind: who.0,
        plugin: who.1,
        pack: who.2,
        agent: who.3,
        token: who.4,
        approval: who.5,
        triage: how.0,
        tier: how.1,
        tier_requested: how.2,
        outcome: how.3,
        code: how.4,
        contains: how.5,
        run: when.0,
        since_ms: when.1,
        until_ms: when.2,
        index: when.3,
        limit: when.4,
    })
}

fn counted<'a>(words: impl Iterator<Item = Option<&'a str>>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in words.flatten() {
        *counts.entry(word.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// What a record is grouped by.
fn name(event: &Event, by: GroupBy) -> Option<String> {
    let facets = event.facets();
    match by {
        GroupBy::Pack => facets.pack.map(|name| name.into_owned()),
        GroupBy::Agent => facets.agent.map(|name| name.into_owned()),
        GroupBy::Plugin => facets.plugin.map(|name| name.into_owned()),
        GroupBy::Token => facets.token.map(str::to_owned),
        GroupBy::Kind => Some(event.kind().0.to_owned()),
        GroupBy::Triage => facets.triage.map(|label| label.to_string()),
    }
}

fn outcome(event: &Event) -> Option<&'static str> {
    event.facets().outcome.map(|outcome| match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::NeedsApproval => "needs_approval",
    })
}

/// Whether a group says of its records what they say.
fn is_right(group: &Group, places: &[u64]) {
    let events: Vec<Event> = places.iter().map(|n| various(*n)).collect();
    assert_eq!(group.records, places.len() as u64);
    assert_eq!((group.first.index, group.last.index), (places[0], places[places.len() - 1]));
    assert_eq!(group.first.time_ms, START_MS + places[0]);
    assert_eq!(group.kinds, counted(events.iter().map(|event| Some(event.kind().0))));
    assert_eq!(group.outcomes, counted(events.iter().map(outcome)));
    let label = |event: &Event| event.facets().triage.map(Triage::as_str);
    assert_eq!(group.triage, counted(events.iter().map(label)));
    let attention = places.iter().rev().find(|n| various(**n).facets().triage.is_some());
    assert_eq!(group.attention.as_ref().map(|record| &record.index), attention);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_records_that_are_found_are_those_that_the_filter_lets_through(filter in filters()) {
        let wanted = wanted(&filter);
        let log = log();
        let indexes = |records: Vec<Record>| records.iter().map(|record| record.index).collect::<Vec<_>>();
        let last = wanted.len().saturating_sub(filter.limit as usize);
        prop_assert_eq!(indexes(log.recent(&filter).unwrap()), &wanted[last..]);
        let first = wanted.len().min(filter.limit as usize);
        prop_assert_eq!(indexes(log.follow(&filter, None).unwrap()), &wanted[..first]);
        let mut found = Vec::new();
        let count = log.each(&filter, &mut |record, _| { found.push(record.index); ControlFlow::Continue(()) }).unwrap();
        prop_assert_eq!(&found, &wanted[..first]);
        prop_assert_eq!(count, first as u64);
    }

    #[test]
    fn what_is_counted_is_what_the_filter_lets_through(
        filter in filters(),
        by in maybe(vec![GroupBy::Pack, GroupBy::Agent, GroupBy::Token, GroupBy::Plugin, GroupBy::Kind, GroupBy::Triage]),
    ) {
        let mut groups: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
        for n in wanted(&filter) {
            match by {
                None => groups.entry(None).or_default().push(n),
                Some(by) => {
                    if let Some(name) = name(&various(n), by) {
                        groups.entry(Some(name)).or_default().push(n);
                    }
                }
            }
        }
        let found = log().summary(&filter, by).unwrap();
        prop_assert_eq!(found.groups_total, groups.len() as u64);
        prop_assert_eq!(found.groups.len(), groups.len().min(filter.limit as usize));
        prop_assert!(found.groups.is_sorted_by_key(|group| std::cmp::Reverse(group.records)));
        for group in &found.groups {
            is_right(group, &groups[&group.name]);
        }
    }

    #[test]
    fn the_searches_that_are_counted_are_those_that_the_filter_lets_through(mut filter in filters()) {
        (filter.kind, filter.pack) = (None, None);
        let searches: Vec<_> = wanted(&filter)
            .into_iter()
            .filter_map(|n| match various(n) {
                Event::SearchEvaluated { returned, filtered, tiers_requested, query, .. } =>
                    Some((returned, filtered, tiers_requested, query)),
                _ => None,
            })
            .collect();
        let found = log().discovery(&filter, None).unwrap();
        prop_assert_eq!(found.groups_total, u64::from(!searches.is_empty()));
        for group in &found.groups {
            prop_assert_eq!(group.searches, searches.len() as u64);
            prop_assert_eq!(group.returned, searches.iter().map(|search| search.0).sum::<u64>());
            prop_assert_eq!(group.filtered, searches.iter().map(|search| search.1).sum::<u64>());
            prop_assert_eq!(group.empty, searches.iter().filter(|search| search.0 == 0).count() as u64);
            let tiers = searches.iter().flat_map(|search| &search.2).map(|tier| Some(tier.as_str()));
            prop_assert_eq!(&group.tiers_requested, &counted(tiers));
            let queries = counted(searches.iter().map(|search| Some(search.3.as_str())));
            prop_assert_eq!(group.queries.iter().cloned().collect::<BTreeMap<_, _>>(), queries);
        }
    }
}

#[test]
fn searches_are_those_of_the_pack_of_their_run() {
    let log = log();
    let found = log.discovery(&AuditFilter::any(10), Some(GroupBy::Pack)).unwrap();
    let names: Vec<_> = found.groups.iter().map(|group| (group.name.as_deref(), group.searches)).collect();
    assert_eq!(names, [(Some("acme:one"), 40), (Some("acme:two"), 40), (Some("umbra:pack"), 40)]);
    let filter = AuditFilter { pack: Some("acme:two".to_owned()), ..AuditFilter::any(10) };
    let found = log.discovery(&filter, Some(GroupBy::Agent)).unwrap();
    assert_eq!(found.groups.len(), 1);
    assert_eq!((found.groups[0].name.as_deref(), found.groups[0].searches), (Some("acme:two"), 40));
    assert!(found.groups[0].attention.is_some() && found.groups[0].conflicts > 0);
}

#[test]
fn a_token_has_its_issue_its_calls_and_those_that_they_made() {
    let log = log();
    let trail = log.token_trail("t3", 100).unwrap();
    assert_eq!(trail.issued.as_ref().map(|record| record.index), Some(60));
    assert_eq!((trail.first.unwrap().index, trail.last.unwrap().index), (61, 74));
    assert_eq!(trail.decisions.values().sum::<u64>(), 4);
    // 61, 64, 71 and 74 are its own; 67 and 77 were made by 64 and 74.
    let calls: Vec<_> = trail.calls.iter().map(|call| (call.decision.index, call.own)).collect();
    assert_eq!(calls, [(61, true), (64, true), (67, false), (71, true), (74, true), (77, false)]);
    // Its generation was 0, and the first revocation of that one is record 69.
    assert_eq!(trail.revoked.first().map(|record| record.index), Some(69));
    let unknown = log.token_trail("t9999", 100).unwrap();
    assert!(unknown.issued.is_none() && unknown.calls.is_empty() && unknown.first.is_none());
    assert_eq!(log.token_trail("t3", 2).unwrap().calls.len(), 3);
}

#[test]
fn a_few_digits_name_what_begins_with_them() {
    let log = log();
    assert_eq!(log.run_named("1a").unwrap(), Named::One(format!("1a{}", "0".repeat(30))));
    assert_eq!(log.run_named("1").unwrap(), Named::Several);
    assert_eq!(log.run_named("ff").unwrap(), Named::None);
    assert_eq!(log.run_named("%").unwrap(), Named::None);
    // A whole name is meant, although another begins with it.
    assert_eq!(log.token_named("t3").unwrap(), Named::One("t3".to_owned()));
    assert_eq!(log.approval_named("a1").unwrap(), Named::Several);
}

#[test]
fn the_records_of_a_call_and_of_an_approval_are_together() {
    let log = log();
    let of = |records: Vec<Record>| records.iter().map(|record| record.index).collect::<Vec<_>>();
    assert_eq!(of(log.of_call(&format!("03{}.3", "0".repeat(30)), 10).unwrap()), [63]);
    assert_eq!(of(log.of_approval("a45", 10).unwrap()), [46]);
    assert_eq!(log.at(5).unwrap().unwrap().event, various(5));
    assert_eq!(log.at(RECORDS).unwrap(), None);
    assert_eq!(log.newest().unwrap(), Some(RECORDS - 1));
}

#[test]
fn another_party_can_compute_the_chain_from_what_each_gives() {
    let (mut previous, mut place) = (loong_kernel::chain::GENESIS, 0);
    log()
        .each(&AuditFilter::any(u32::MAX), &mut |record, text| {
            let event = serde_json::from_str(text).unwrap();
            assert_eq!(record.index, place);
            assert_eq!(record.hash, loong_kernel::chain::hash(place, record.time_ms, &previous, &event));
            (previous, place) = (record.hash, place + 1);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(place, RECORDS);
}

#[test]
fn a_log_in_memory_is_the_same_log_and_is_bounded() {
    let store = memory((0..500).map(various));
    assert_eq!(store.reader().unwrap().verify(&mut |_| ()).unwrap().records, 500);
    let other = memory([]);
    assert_eq!(other.reader().unwrap().newest().unwrap(), None);

    let options = StoreOptions { audit_bytes_max: Some(256 * 1024), ..StoreOptions::default() };
    let store = Store::open_in_memory(&options, clock()).unwrap();
    let written = wait(async {
        let mut written = 0;
        while store.append(various(written), Durability::Written).await.is_ok() {
            written += 1;
        }
        written
    });
    assert!((50..2_000).contains(&written), "{written}");
    assert_eq!(store.reader().unwrap().verify(&mut |_| ()).unwrap().records, written);
}
