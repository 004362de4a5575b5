//! What raises a risk, and that nothing lowers one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{CallFacts, PolicySet, Preset, Principal};

/// A profile with these members beside thresholds of 20 and 40.
fn profile(members: Value) -> RiskProfile {
    read(members).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "cases read better with the text in place")]
fn read(members: Value) -> Result<RiskProfile, RiskProfileError> {
    let mut document =
        json!({ "schema": "loong.risk-profile/1", "thresholds": { "write": 20, "irreversible": 40 } });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    RiskProfile::read(document.to_string().as_bytes())
}

#[expect(clippy::needless_pass_by_value, reason = "cases read better with the text in place")]
fn class(rules: Value) -> Value {
    json!({ "hits_max": 2, "rules": rules })
}

fn name(text: &str) -> OperationName {
    text.parse().unwrap()
}

fn shown(raised: &Raised) -> String {
    let reasons = raised.reasons.join(", ");
    if reasons.is_empty() {
        raised.risk.as_str().to_owned()
    } else {
        format!("{}: {reasons}", raised.risk.as_str())
    }
}

#[track_caller]
fn check_name(profile: &RiskProfile, operation: &str, expected: &str) {
    assert_eq!(shown(&profile.raise(&name(operation), Risk::Read, None)), expected, "{operation}");
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "cases read better with the text in place")]
fn check(profile: &RiskProfile, arguments: Value, expected: &str) {
    let raised = profile.raise(&name("a:b/c#d"), Risk::Read, Some(&arguments));
    assert_eq!(shown(&raised), expected, "{arguments}");
}

#[test]
fn words_are_whole_words_of_the_name() {
    let words = profile(json!({ "words": class(json!([
        { "word": "delete", "weight": 40 }, { "word": "force-push", "weight": 20 },
    ])) }));
    check_name(
        &words,
        "core:file/file@0.1.0#delete-all",
        "irreversible: the word `delete` in its name (+40)",
    );
    check_name(&words, "core:file/file#deleteAll", "irreversible: the word `delete` in its name (+40)");
    check_name(&words, "core:delete/file#all", "irreversible: the word `delete` in its name (+40)");
    check_name(&words, "core:git/git#force-push", "write: the word `force-push` in its name (+20)");
    check_name(&words, "core:file/file#undeletable", "read");
    check_name(&words, "core:file/file#deleted", "read");
    check_name(&words, "core:git/git#push-force", "read");
    check_name(&words, "#delete", "irreversible: the word `delete` in its name (+40)");
}

#[test]
fn names_are_covered_by_patterns() {
    let names = profile(json!({ "operations": class(json!([
        { "pattern": "core:git/git#tag", "weight": 20 }, { "pattern": "acme:*", "weight": 40 },
    ])) }));
    assert!(!names.needs_arguments());
    check_name(&names, "core:git/git@0.3.0#tag", "write: its name fits `core:git/git#tag` (+20)");
    check_name(&names, "acme:git/git#log", "irreversible: its name fits `acme:*` (+40)");
    check_name(&names, "core:git/git#tags", "read");
}

#[test]
fn arguments_are_named_at_any_depth_and_however_they_are_written() {
    let keys = profile(json!({ "keys": class(json!([{ "key": "dry-run", "weight": 20 }])) }));
    let hit = "write: the argument `dry-run` (+20)";
    for key in ["dry-run", "dry_run", "dryRun", "DRY_RUN"] {
        check(&keys, json!({ key: false, "a": 1 }), hit);
        check(&keys, json!({ "a": [{ "b": [{ key: 1, "c": 2 }] }] }), hit);
    }
    check(&keys, json!({ "dry": 1, "run": 2 }), "read");
    check(&keys, json!({ "x": "dry-run of it" }), "read");
    // Flags and the words of a command line are texts.
    check(&keys, json!({ "flags": ["verbose", "dry-run"] }), hit);
    check(&keys, json!({ "arguments": ["push", "--dry-run"] }), hit);
    check(&keys, json!(null), "read");
}

#[test]
fn an_option_that_is_not_set_is_not_there_but_a_case_is() {
    let keys = profile(json!({ "keys": class(json!([{ "key": "amount", "weight": 20 }])) }));
    check(&keys, json!({ "amount": null, "to": "x" }), "read");
    check(&keys, json!({ "amount": 0, "to": "x" }), "write: the argument `amount` (+20)");
    check(&keys, json!({ "mode": { "amount": null } }), "write: the argument `amount` (+20)");
}

#[test]
fn an_argument_may_have_to_have_a_value() {
    let keys = profile(json!({ "keys": class(json!([
        { "key": "force", "value": "true", "weight": 20 }, { "key": "path", "value": "/etc/*", "weight": 40 },
        { "key": "level", "value": "9", "weight": 20 },
    ])) }));
    check(&keys, json!({ "force": true, "a": 1 }), "write: the argument `force` is `true` (+20)");
    check(&keys, json!({ "force": false, "a": 1 }), "read");
    check(&keys, json!({ "force": "TRUE", "a": 1 }), "write: the argument `force` is `true` (+20)");
    check(&keys, json!({ "flags": ["force"] }), "read");
    check(&keys, json!({ "level": 9, "a": 1 }), "write: the argument `level` is `9` (+20)");
    check(&keys, json!({ "path": "/etc/passwd" }), "irreversible: the argument `path` is `/etc/*` (+40)");
    check(&keys, json!({ "path": ["/x", "/ETC/x"] }), "irreversible: the argument `path` is `/etc/*` (+40)");
    check(&keys, json!({ "path": "/x/etc/x" }), "read");
}

#[test]
fn arguments_are_pointed_at() {
    let keys = profile(json!({ "keys": class(json!([
        { "key": "/options/force", "weight": 20 }, { "key": "/items/*/a~1b", "weight": 20 },
    ])) }));
    check(&keys, json!({ "options": { "force": 1 } }), "write: the argument `/options/force` (+20)");
    check(&keys, json!({ "Options": { "force": 1 } }), "write: the argument `/options/force` (+20)");
    check(&keys, json!({ "force": 1, "options": {} }), "read");
    check(&keys, json!({ "x": { "options": { "force": 1 } } }), "read");
    check(&keys, json!({ "items": [1, { "a/b": 1 }] }), "write: the argument `/items/*/a~1b` (+20)");
    check(&keys, json!({ "items": { "a/b": 1 } }), "read");
}

#[test]
fn texts_fit_patterns_in_any_case() {
    let values = profile(json!({ "values": class(json!([{ "pattern": "*drop table*", "weight": 40 }])) }));
    let hit = "irreversible: a text fits `*drop table*` (+40)";
    check(&values, json!({ "sql": "DROP TABLE users; --" }), hit);
    check(&values, json!(["x", ["please drop table x"]]), hit);
    check(&values, json!({ "drop table": "x" }), "read");
    check(&values, json!({ "sql": "drop the table" }), "read");
}

#[test]
fn a_rule_counts_once_and_the_heaviest_of_a_class_count() {
    let both = profile(json!({
        "words": { "hits_max": 1, "rules": [{ "word": "get", "weight": 10 }, { "word": "all", "weight": 15 }] },
        "keys": { "hits_max": 1, "rules": [{ "key": "a", "weight": 5 }, { "key": "b", "weight": 5 }] },
    }));
    let raise = |operation: &str, arguments: Value| {
        shown(&both.raise(&name(operation), Risk::Read, Some(&arguments)))
    };
    assert_eq!(raise("a:b/c#get-all", json!({ "x": 1 })), "read");
    assert_eq!(raise("a:b/c#get", json!({ "a": 1, "b": [{ "a": 2, "b": 3 }] })), "read");
    assert_eq!(
        raise("a:b/c#get-all", json!({ "a": 1, "b": 1 })),
        "write: the word `all` in its name (+15), the argument `a` (+5)"
    );
}

#[test]
fn what_is_declared_is_never_lowered() {
    let words = profile(json!({ "words": class(json!([{ "word": "push", "weight": 20 }])) }));
    for (declared, expected) in [
        (Risk::Read, "write: the word `push` in its name (+20)"),
        (Risk::Write, "write"),
        (Risk::Irreversible, "irreversible"),
    ] {
        assert_eq!(shown(&words.raise(&name("core:git/git#push"), declared, None)), expected);
    }
}

#[test]
fn what_cannot_be_looked_through_is_irreversible() {
    let keys = profile(json!({
        "keys": class(json!([{ "key": "a", "weight": 20 }])),
        "values": class(json!([{ "pattern": "*x", "weight": 20 }, { "pattern": "*y", "weight": 20 }])),
    }));
    assert!(keys.needs_arguments());
    check_name(&keys, "a:b/c#d", "irreversible: its arguments cannot be seen");
    let mut deep = json!(1);
    for _ in 0..65 {
        deep = json!([deep]);
    }
    check(&keys, deep, "irreversible: its arguments are nested too deeply to look through");
    let mut nested = json!(1);
    for _ in 0..64 {
        nested = json!([nested]);
    }
    check(&keys, nested, "read");
    check(&keys, json!(vec![0; 100_000]), "irreversible: its arguments are too many to look through");
    check(&keys, json!(vec![0; 99_999]), "read");
    check(
        &keys,
        json!("z".repeat((32 << 20) + 1)),
        "irreversible: its arguments are too long to look through",
    );
    check(&keys, json!("z".repeat(32 << 20)), "read");
}

#[track_caller]
fn check_document(members: Value, expected: &str) {
    let said = read(members).map_or_else(|error| error.problem, |_| "accepted".to_owned());
    assert_eq!(said, expected);
}

#[test]
fn a_document_is_read_strictly() {
    let words = || class(json!([{ "word": "delete", "weight": 40 }]));
    check_document(json!({ "words": words() }), "accepted");
    check_document(json!({}), "no call could reach `thresholds.write`, so it raises nothing");
    check_document(
        json!({ "words": class(json!([{ "word": "delete", "weight": 19 }])) }),
        "no call could reach `thresholds.write`, so it raises nothing",
    );
    check_document(
        json!({ "words": words(), "schema": "loong.risk-profile/2" }),
        "`schema` is not `loong.risk-profile/1`",
    );
    let thresholds = "`thresholds.write` is 0, or above `thresholds.irreversible`";
    check_document(json!({ "words": words(), "thresholds": { "write": 0, "irreversible": 1 } }), thresholds);
    check_document(json!({ "words": words(), "thresholds": { "write": 2, "irreversible": 1 } }), thresholds);
    check_document(
        json!({ "words": words(), "thresholds": { "write": 2, "irreversible": 10_001 } }),
        "a threshold is above 10000",
    );
    check_document(
        json!({ "words": { "hits_max": 0, "rules": [{ "word": "a", "weight": 40 }] } }),
        "`hits_max` of `words` is not 1 to 16",
    );
    check_document(
        json!({ "words": class(json!([{ "word": "a", "weight": 0 }])) }),
        "a weight in `words` is not 1 to 10000",
    );
    check_document(json!({ "words": class(json!([{ "word": "-", "weight": 40 }])) }), "`-` holds no word");
    check_document(
        json!({ "keys": class(json!([{ "key": "…", "weight": 40 }])) }),
        "`…` is no name and no JSON pointer",
    );
    check_document(
        json!({ "values": class(json!([{ "pattern": "", "weight": 40 }])) }),
        "a word, key or pattern does not have 1 to 256 bytes",
    );
    check_document(
        json!({ "words": class(json!(vec![json!({ "word": "a", "weight": 1 }); 257])) }),
        "`words` has more than 256 rules",
    );
    let read = |bytes: &[u8]| RiskProfile::read(bytes).map_or_else(|error| error.problem, |_| String::new());
    assert_eq!(read(b"{\"schema\": \"a\", \"schema\": \"a\"}"), "line 1, column 24: duplicate key `schema`");
    assert_eq!(read(b"{\"x\": 1}").split(',').next(), Some("line 1"));
    assert_eq!(read(b"{\"\xff"), "the document is not UTF-8 at byte 2");
    assert_eq!(read(&vec![b' '; 65_537]), "it has 65537 bytes, the most is 65536");
    assert_eq!(RiskProfile::read(b"").unwrap_err().code(), Code::RiskProfileInvalid);
}

#[test]
fn a_set_has_another_digest_with_a_profile_and_leaves_the_undeclared_alone() {
    let words = |word: &str| profile(json!({ "words": class(json!([{ "word": word, "weight": 40 }])) }));
    let set = || PolicySet::builtin(Preset::Default).unwrap();
    let digests = [
        set().digest(),
        set().with_risk_profile(words("log")).digest(),
        set().with_risk_profile(words("logs")).digest(),
        set().with_risk_profile(words("logs")).with_risk_profile(words("log")).digest(),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());

    let set = set().with_risk_profile(words("logs")).with_risk_profile(words("log"));
    let mut facts = CallFacts {
        caller: Principal::Person,
        operation: name("core:git/git#log"),
        callee: "core:git".parse().unwrap(),
        callee_tier: loong_manifest::Tier::Official,
        callee_pure: false,
        risk: Some(Risk::Read),
        depth: 0,
        facts: std::collections::BTreeMap::new(),
    };
    assert_eq!(set.raise(&mut facts, None), ["the word `log` in its name (+40)"]);
    assert_eq!(facts.risk, Some(Risk::Irreversible));
    facts.risk = None;
    assert_eq!(set.raise(&mut facts, None), Vec::<String>::new());
    assert_eq!(facts.risk, None);
}

#[test]
fn the_profile_that_ships_leaves_reading_alone() {
    let balanced = RiskProfile::builtin().unwrap();
    let nothing = json!({});
    let raise = |operation: &str| shown(&balanced.raise(&name(operation), Risk::Read, Some(&nothing)));
    for read in
        ["core:git/git#log", "core:git/git#merge-base", "core:file/file#search", "core:text/text#diff"]
    {
        assert_eq!(raise(read), "read", "{read}");
    }
    assert_eq!(raise("acme:shop/cart#purchase"), "irreversible: the word `purchase` in its name (+40)");
}

const WORDS: [&str; 4] = ["delete", "log", "git", "force-push"];
const KEYS: [&str; 4] = ["force", "/a/b", "amount", "b"];

/// A rule of some class, as a member and its place in it.
fn any_rule() -> impl Strategy<Value = (&'static str, Value)> {
    let weight = 1..60_u32;
    prop_oneof![
        (0..4_usize, weight.clone())
            .prop_map(|(index, weight)| ("words", json!({ "word": WORDS[index], "weight": weight }))),
        (prop::sample::select(vec!["core:*", "core:git/git#log", "*#delete"]), weight.clone())
            .prop_map(|(pattern, weight)| ("operations", json!({ "pattern": pattern, "weight": weight }))),
        (0..4_usize, prop::option::of(Just("x*")), weight.clone()).prop_map(|(index, value, weight)| (
            "keys",
            json!({ "key": KEYS[index], "value": value, "weight": weight })
        )),
        (prop::sample::select(vec!["*x*", "y", "*"]), weight)
            .prop_map(|(pattern, weight)| ("values", json!({ "pattern": pattern, "weight": weight }))),
    ]
}

fn any_arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        prop::sample::select(vec!["x", "xyz", "y", "force", ""]).prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "force", "amount"]), inner, 0..4)
                .prop_map(|members| json!(members)),
        ]
    })
}

/// A profile of these rules; one rule that nothing hits makes it a valid one in any case.
fn of_rules(rules: &[(&'static str, Value)]) -> RiskProfile {
    let mut members = json!({ "words": class(json!([{ "word": "unheard-of", "weight": 10_000 }])) });
    for (name, rule) in rules {
        if members.get(name).is_none() {
            members[name] = class(json!([]));
        }
        members[name]["rules"].as_array_mut().unwrap().push(rule.clone());
    }
    profile(members)
}

proptest! {
    #[test]
    fn a_profile_never_lowers_and_says_why_it_raises(
        rules in prop::collection::vec(any_rule(), 0..12),
        arguments in prop::option::of(any_arguments()),
        operation in prop::sample::select(vec!["core:git/git#log", "a:b/c#delete", "a:b/c#forcePush"]),
        declared in prop::sample::select(vec![Risk::Read, Risk::Write, Risk::Irreversible]),
    ) {
        let profile = of_rules(&rules);
        let raised = profile.raise(&name(operation), declared, arguments.as_ref());
        prop_assert!(raised.risk >= declared);
        prop_assert_eq!(raised.reasons.is_empty(), raised.risk == declared);
        prop_assert_eq!(&raised, &profile.raise(&name(operation), declared, arguments.as_ref()));
        if profile.needs_arguments() {
            let blind = profile.raise(&name(operation), declared, None);
            prop_assert!(blind.risk >= raised.risk);
        }
    }

    #[test]
    fn a_rule_more_never_makes_a_risk_smaller(
        rules in prop::collection::vec(any_rule(), 0..12),
        more in any_rule(),
        arguments in any_arguments(),
        operation in prop::sample::select(vec!["core:git/git#log", "a:b/c#delete", "a:b/c#forcePush"]),
    ) {
        let before = of_rules(&rules).raise(&name(operation), Risk::Read, Some(&arguments));
        let more: Vec<_> = rules.into_iter().chain([more]).collect();
        let after = of_rules(&more).raise(&name(operation), Risk::Read, Some(&arguments));
        prop_assert!(after.risk >= before.risk);
    }

    #[test]
    fn no_document_makes_it_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(RiskProfile::read(&bytes).is_err());
    }
}
