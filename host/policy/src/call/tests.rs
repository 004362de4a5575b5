//! Decisions about calls, as tables.

use std::sync::LazyLock;

use super::*;
use crate::{Preset, Source};
use proptest::prelude::*;

/// The presets, read once.
pub(crate) fn set(preset: Preset) -> &'static PolicySet {
    static SETS: LazyLock<Vec<PolicySet>> =
        LazyLock::new(|| Preset::ALL.map(|preset| PolicySet::builtin(preset).unwrap()).into());
    &SETS[Preset::ALL.iter().position(|other| *other == preset).unwrap()]
}

fn tier(word: &str) -> Tier {
    match word {
        "official" => Tier::Official,
        "community" => Tier::VerifiedCommunity,
        "unverified" => Tier::Unverified,
        _ => panic!("{word}"),
    }
}

/// `person -> official core:git read`, `unverified acme:a -> official core:text read pure`; the risk may be
/// `undeclared`.
pub(crate) fn facts(line: &str) -> CallFacts {
    let (caller, callee) = line.split_once(" -> ").unwrap();
    let caller = match caller.split_once(' ') {
        None => Principal::Person,
        Some((word, id)) => Principal::Component {
            plugin: id.parse().unwrap(),
            digest: Digest::of(id.as_bytes()),
            tier: tier(word),
        },
    };
    let words: Vec<&str> = callee.split(' ').collect();
    CallFacts {
        depth: u32::from(caller != Principal::Person),
        caller,
        operation: "core:git/git@0.1.0#log".parse().unwrap(),
        callee: words[1].parse().unwrap(),
        callee_tier: tier(words[0]),
        callee_pure: words.get(3) == Some(&"pure"),
        risk: match words[2] {
            "read" => Some(Risk::Read),
            "write" => Some(Risk::Write),
            "irreversible" => Some(Risk::Irreversible),
            "undeclared" => None,
            word => panic!("{word}"),
        },
        facts: BTreeMap::new(),
    }
}

#[track_caller]
fn check_with(preset: Preset, line: &str, expected: &str) {
    let decision = set(preset).decide(&facts(line));
    let said = format!("{}: {}", decision.verdict.as_str(), decision.policies.join(" "));
    assert_eq!(said.trim_end_matches([' ', ':']), expected, "{line}");
}

#[track_caller]
fn check(line: &str, expected: &str) {
    check_with(Preset::Default, line, expected);
}

#[test]
fn a_person_reads_through_everything() {
    check("person -> official core:git read", "allow: default.cedar:person-reads");
    check("person -> community acme:git read", "allow: default.cedar:person-reads");
    check("person -> unverified acme:git read", "allow: default.cedar:person-reads");
}

#[test]
fn a_person_writes_through_official_plugins_only() {
    check("person -> official core:file write", "allow: default.cedar:person-writes-through-official");
    check("person -> community acme:file write", "needs-approval: default.cedar:person-approves-the-rest");
    check("person -> unverified acme:file write", "needs-approval: default.cedar:person-approves-the-rest");
}

#[test]
fn a_person_approves_everything_that_is_irreversible() {
    for callee in ["official core:pay", "community acme:pay", "unverified acme:pay"] {
        check(
            &format!("person -> {callee} irreversible"),
            "needs-approval: default.cedar:person-approves-the-rest",
        );
    }
}

#[test]
fn a_person_runs_what_was_not_written_for_loong() {
    check("person -> unverified local:hello undeclared", "allow: default.cedar:person-runs-undeclared");
    check("person -> official core:hello undeclared", "allow: default.cedar:person-runs-undeclared");
}

#[test]
fn a_component_reads_in_its_namespace_and_what_is_official() {
    check("official core:pack -> official core:git read", "allow: default.cedar:component-reads");
    check("community acme:pack -> official core:git read", "allow: default.cedar:component-reads");
    check("community acme:pack -> community acme:git read", "allow: default.cedar:component-reads");
    check("unverified a:p -> unverified a:q read pure", "allow: default.cedar:component-reads");
}

#[test]
fn a_component_changes_nothing_unapproved() {
    let expected = "needs-approval: default.cedar:component-changes-when-approved";
    for risk in ["write", "irreversible", "undeclared"] {
        check(&format!("official core:pack -> official core:file {risk}"), expected);
        check(&format!("community acme:pack -> official core:file {risk}"), expected);
        check(&format!("community acme:pack -> community acme:file {risk}"), expected);
    }
}

#[test]
fn no_namespace_reaches_into_another() {
    let expected = "deny: default.cedar:namespaces-are-closed";
    for risk in ["read", "write", "irreversible", "undeclared"] {
        check(&format!("community acme:pack -> community evil:git {risk} pure"), expected);
        check(&format!("official core:pack -> community acme:git {risk} pure"), expected);
        check(&format!("official core:pack -> unverified core:git {risk} pure"), expected);
        check(&format!("community acme:pack -> unverified acme:git {risk} pure"), expected);
    }
}

#[test]
fn an_unverified_caller_reaches_pure_operations_only() {
    let expected = "deny: default.cedar:unverified-reaches-pure-operations";
    check("unverified a:p -> official core:text read pure", "allow: default.cedar:component-reads");
    check("unverified a:p -> official core:git read", expected);
    check("unverified core:p -> official core:git read", expected);
    check("unverified a:p -> official core:text write pure", expected);
    check("unverified a:p -> official core:text undeclared pure", expected);
}

#[test]
fn a_claimed_namespace_is_not_a_namespace() {
    check("unverified acme:p -> community acme:text read pure", "deny: default.cedar:namespaces-are-closed");
}

#[test]
fn strict_asks_a_person_for_every_change() {
    let strict = |line, expected| check_with(Preset::Strict, line, expected);
    strict("person -> official core:git read", "allow: default.cedar:person-reads");
    strict(
        "person -> official core:file write",
        "needs-approval: default.cedar:person-approves-the-rest default.cedar:person-writes-through-official",
    );
    strict("person -> official core:hello undeclared", "allow: default.cedar:person-runs-undeclared");
    strict("official core:pack -> official core:git read", "allow: default.cedar:component-reads");
}

#[test]
fn ci_changes_what_was_typed_and_nothing_for_good() {
    let ci = |line, expected| check_with(Preset::Ci, line, expected);
    ci("person -> official core:git read", "allow: default.cedar:person-reads");
    ci("person -> official core:file write", "allow: default.cedar:person-writes-through-official");
    ci("person -> official core:pay irreversible", "deny: ci.cedar:nothing-irreversible");
    ci("official core:pack -> official core:git read", "allow: default.cedar:component-reads");
    ci("official core:pack -> official core:file write", "deny: ci.cedar:components-change-nothing");
}

#[test]
fn an_empty_set_denies_and_says_so() {
    let empty = PolicySet::read(&[], Preset::Default.tiers()).unwrap();
    let decision = empty.decide(&facts("person -> official core:git read"));
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.reason, "no policy permits it");
    assert_eq!(decision.code(), Some(Code::PolicyDenied));
}

#[test]
fn facts_reach_the_policies_and_unknown_facts_deny() {
    let mut sources = Preset::Default.sources();
    sources.push(Source {
        name: "mine.cedar".into(),
        text: "@id(\"no-etc\") forbid (principal, action == Loong::Action::\"call\", resource)
               when { context.facts has path && context.facts.path like \"/etc/*\" };"
            .into(),
    });
    let set = PolicySet::read(&sources, Preset::Default.tiers()).unwrap();
    let decide = |name: &str, value: &str| {
        let mut facts = facts("person -> official core:file read");
        facts.facts.insert(name.into(), value.into());
        set.decide(&facts).reason
    };
    assert_eq!(decide("path", "/home/x"), "permitted by default.cedar:person-reads");
    assert_eq!(decide("path", "/etc/passwd"), "forbidden by mine.cedar:no-etc");
    assert_eq!(
        decide("phase", "new"),
        "denied because a question to the policies failed: the host states a fact that policies do not know: phase"
    );
}

#[test]
fn a_policy_that_fails_denies() {
    let mut sources = Preset::Default.sources();
    // Integer overflow is an error of evaluation that no schema excludes. Cedar alone would skip the forbid.
    sources.push(Source {
        name: "mine.cedar".into(),
        text: "@id(\"overflows\") forbid (principal, action == Loong::Action::\"call\", resource)
               when { context.depth + 9223372036854775807 > 0 };"
            .into(),
    });
    let set = PolicySet::read(&sources, Preset::Default.tiers()).unwrap();
    let mut facts = facts("person -> official core:git read");
    assert_eq!(set.decide(&facts).reason, "forbidden by mine.cedar:overflows");
    facts.depth = 1;
    let decision = set.decide(&facts);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(set.explain(&facts).now.failed.is_some());
    assert!(
        decision.reason.contains("mine.cedar:overflows") && decision.reason.contains("overflow"),
        "{}",
        decision.reason
    );
}

#[test]
fn decisions_are_remembered_by_their_exact_inputs_and_bounded() {
    let set = PolicySet::builtin(Preset::Default).unwrap();
    let mut facts = facts("official core:pack -> official core:file write");
    for depth in 0..=u32::try_from(DECISIONS_MAX).unwrap() {
        facts.depth = depth;
        assert_eq!(set.decide(&facts), set.decide(&facts));
    }
    assert_eq!(set.remembered().len(), 1);
    facts.risk = Some(Risk::Read);
    assert_eq!(set.decide(&facts).verdict, Verdict::Allow);
    facts.facts.insert("path".into(), "x".repeat(FACTS_BYTES_MAX + 1));
    assert_eq!(set.decide(&facts).verdict, Verdict::Allow);
    assert_eq!(set.remembered().len(), 2);
}

#[test]
fn explains_what_decided_and_what_would_change_it() {
    let explain = |line: &str| {
        let explanation = set(Preset::Default).explain(&facts(line));
        let changes: Vec<String> = explanation.changes.iter().map(ToString::to_string).collect();
        format!("{}; {}", explanation.decision.reason, changes.join("; "))
    };
    assert_eq!(explain("person -> official core:git read"), "permitted by default.cedar:person-reads; ");
    assert_eq!(
        explain("person -> community acme:file write"),
        "permitted by default.cedar:person-approves-the-rest once a person approves it; \
         allowed if a person approves it; allowed if acme:file were official; \
         allowed if its risk were read"
    );
    assert_eq!(
        explain("community acme:pack -> community evil:git read"),
        "forbidden by default.cedar:namespaces-are-closed; \
         allowed if evil:git were official; allowed if a person called it directly"
    );
    assert_eq!(
        explain("unverified a:p -> official core:file write"),
        "forbidden by default.cedar:unverified-reaches-pure-operations; \
         allowed if a person called it directly; open to approval if the caller a:p were verified-community; \
         open to approval if the caller a:p were official"
    );
}

/// Every request that typed facts can make fits the schema, so policies that pass it never miss an attribute.
#[test]
fn requests_fit_the_schema() {
    let schema = crate::source::schema().unwrap();
    let set = set(Preset::Default);
    let mut facts = facts("unverified a:p -> official core:text read pure");
    set.asker.call_request(&facts, false, Some(&schema)).unwrap();
    facts.facts = FACTS.iter().map(|&fact| (fact.to_owned(), "x".to_owned())).collect();
    set.asker.call_request(&facts, true, Some(&schema)).unwrap();
    facts.caller = Principal::Person;
    set.asker.call_request(&facts, true, Some(&schema)).unwrap();
}

pub(crate) fn any_facts() -> impl Strategy<Value = CallFacts> {
    let tiers = || prop::sample::select(Tier::ALL.to_vec());
    let plugins = || prop::sample::select(vec!["core:a", "core:b", "acme:a", "evil:a"]);
    let risks =
        prop::sample::select(vec![None, Some(Risk::Read), Some(Risk::Write), Some(Risk::Irreversible)]);
    let caller = prop::option::of((plugins(), tiers()));
    (caller, plugins(), tiers(), risks, any::<bool>(), 0..4_u32).prop_map(
        |(caller, callee, callee_tier, risk, callee_pure, depth)| CallFacts {
            caller: caller.map_or(Principal::Person, |(id, tier)| Principal::Component {
                plugin: id.parse().unwrap(),
                digest: Digest::of(id.as_bytes()),
                tier,
            }),
            operation: "core:a/a@0.1.0#f".parse().unwrap(),
            callee: callee.parse().unwrap(),
            callee_tier,
            callee_pure,
            risk,
            depth,
            facts: BTreeMap::new(),
        },
    )
}

/// Conditions for random policies, each valid against the schema for every kind of caller.
const CONDITIONS: [&str; 7] = [
    "resource.risk > 0",
    "resource.tier < 2",
    "!resource.declared",
    "context.approved",
    "!context.approved",
    "context.depth > 1",
    "resource.namespace == \"acme\"",
];

fn with(effect: &str, condition: usize) -> Source {
    Source {
        name: format!("{effect}-{condition}.cedar"),
        text: format!(
            "@id(\"x\") {effect} (principal, action == Loong::Action::\"call\", resource) when {{ {} }};",
            CONDITIONS[condition]
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_forbid_more_never_opens_anything(
        permit in 0..CONDITIONS.len(),
        forbid in 0..CONDITIONS.len(),
        cases in prop::collection::vec(any_facts(), 8),
    ) {
        let mut sources = Preset::Default.sources();
        sources.push(with("permit", permit));
        let before = PolicySet::read(&sources, Preset::Default.tiers()).unwrap();
        sources.push(with("forbid", forbid));
        let after = PolicySet::read(&sources, Preset::Default.tiers()).unwrap();
        for facts in &cases {
            prop_assert!(after.decide(facts).verdict <= before.decide(facts).verdict);
        }
    }

    #[test]
    fn approval_never_takes_anything_away(cases in prop::collection::vec(any_facts(), 32)) {
        for preset in Preset::ALL {
            let set = set(preset);
            for facts in &cases {
                let (now, approved) = (set.asker.call(facts, false).allowed, set.asker.call(facts, true).allowed);
                prop_assert!(!now || approved);
                let expected = match (now, approved) {
                    (true, _) => Verdict::Allow,
                    (false, true) => Verdict::NeedsApproval,
                    (false, false) => Verdict::Deny,
                };
                prop_assert_eq!(set.decide(facts).verdict, expected);
            }
        }
    }

    #[test]
    fn the_presets_are_no_looser_than_the_default(cases in prop::collection::vec(any_facts(), 32)) {
        let default = set(Preset::Default);
        for preset in [Preset::Strict, Preset::Ci] {
            let set = set(preset);
            for facts in &cases {
                prop_assert!(set.decide(facts).verdict <= default.decide(facts).verdict);
            }
        }
    }

    #[test]
    fn a_higher_tier_of_the_callee_never_closes_anything_for_a_person(facts in any_facts()) {
        let set = set(Preset::Default);
        let mut facts = CallFacts { caller: Principal::Person, ..facts };
        let verdicts = Tier::ALL.map(|tier| {
            facts.callee_tier = tier;
            set.decide(&facts).verdict
        });
        prop_assert!(verdicts.is_sorted());
    }
}

/// `cargo test -p loong-policy -- --ignored --nocapture times`: what the start and a call cost here.
#[test]
#[ignore = "prints times, checks nothing"]
fn times() {
    use std::time::Instant;
    let per = |name: &str, count: u32, run: &mut dyn FnMut()| {
        let begun = Instant::now();
        (0..count).for_each(|_| run());
        eprintln!("{name}: {:.2} us", begun.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    };
    let sources = Preset::Default.sources();
    per("builtin", 200, &mut || drop(PolicySet::builtin(Preset::Default).unwrap()));
    per("read (validated)", 50, &mut || drop(PolicySet::read(&sources, Preset::Default.tiers()).unwrap()));
    per("schema", 50, &mut || drop(crate::source::schema().unwrap()));
    per("parse policies", 200, &mut || {
        let _ = crate::source::parse(&sources);
    });
    per("tiers", 200, &mut || {
        let _ = crate::Tiers::read(Preset::Default.tiers()).unwrap();
    });
    let set = set(Preset::Default);
    let facts = facts("official core:pack -> official core:git read");
    per("one question", 10_000, &mut || drop(set.asker.call(&facts, false)));
    per("decide afresh", 10_000, &mut || drop(set.decide_afresh(&facts)));
    per("decide", 100_000, &mut || drop(set.decide(&facts)));
}
