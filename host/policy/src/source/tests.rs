//! Mistakes in policy files, and where they are said to be.

use crate::{PolicySet, Preset, Source};

#[track_caller]
fn check(text: &str, expected: &str) {
    let source = Source { name: "mine.cedar".into(), text: text.into() };
    let findings: Vec<String> = PolicySet::check(std::slice::from_ref(&source))
        .iter()
        .map(|finding| format!("{:?} {finding}", finding.severity))
        .collect();
    assert_eq!(findings.join("\n"), expected);
    let read = PolicySet::read(&[source], Preset::Default.tiers());
    assert_eq!(read.is_err(), expected.contains("Error "));
}

#[test]
fn what_ships_has_no_findings() {
    for preset in Preset::ALL {
        assert_eq!(PolicySet::check(&preset.sources()), []);
        let read = PolicySet::read(&preset.sources(), preset.tiers()).unwrap();
        assert_eq!(read.digest(), PolicySet::builtin(preset).unwrap().digest());
    }
}

#[test]
fn every_policy_that_ships_says_why() {
    for source in Preset::ALL.iter().flat_map(|preset| preset.sources()) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("@id")) {
            assert!(lines[index - 1].starts_with("// "), "{}: {line}", source.name);
        }
        assert!(lines.iter().all(|line| line.len() <= 110), "{}", source.name);
    }
}

#[test]
fn accepts_a_policy_that_fits() {
    check("@id(\"a\") permit (principal, action == Loong::Action::\"call\", resource);", "");
    check("// nothing yet\n", "");
}

#[test]
fn says_where_the_syntax_is_wrong() {
    check(
        "@id(\"a\")\npermit (principal, action, resource)\n  when { 1 + };",
        "Error mine.cedar:3:14: unexpected token `}`",
    );
}

#[test]
fn says_where_a_name_is_wrong() {
    check(
        "// ä\n@id(\"a\") permit (principal, action == Loong::Action::\"cal\", resource);",
        "Error mine.cedar:2:39: unrecognized action `Loong::Action::\"cal\"` (did you mean `Loong::Action::\"call\"`?)",
    );
    check(
        "@id(\"a\")\nforbid (principal, action == Loong::Action::\"call\", resource)\nwhen { resource.risc > 1 };",
        "Error mine.cedar:3:8: attribute `risc` on entity type `Loong::Operation` not found (did you mean `risk`?)",
    );
    check(
        "@id(\"a\") forbid (principal is Loong::Person, action == Loong::Action::\"call\", resource)\nwhen { context.facts.path == \"x\" };",
        "Error mine.cedar:2:8: unable to guarantee safety of access to optional attribute `facts.path` in context for \
         Loong::Action::\"call\" (try testing for the attribute's presence with `context.facts has path && ..`)",
    );
    check(
        "@id(\"a\") forbid (principal, action == Loong::Action::\"call\", resource) when { resource.risk == \"read\" };",
        "Error mine.cedar:1:79: the types Long and String are not compatible (both operands to a `==` expression \
         must have compatible types. Types must be exactly equal to be compatible)",
    );
}

#[test]
fn every_policy_has_an_id_of_its_own() {
    let policy = "permit (principal, action == Loong::Action::\"call\", resource);";
    check(&format!("\n  {policy}"), "Error mine.cedar:2:3: the policy has no `@id`");
    check(
        &format!("@id(\"A b\") {policy}"),
        "Error mine.cedar:1:1: the `@id` is not lower-case letters, digits and hyphens",
    );
    check(
        &format!("@id(\"a\") {policy}\n@id(\"a\") forbid (principal, action, resource);"),
        "Error mine.cedar:2:1: an earlier policy of the file has the same `@id`",
    );
}

#[test]
fn refuses_templates() {
    check(
        "\n@id(\"a\") permit (principal == ?principal, action, resource);",
        "Error mine.cedar:2:1: a template permits nothing by itself",
    );
}

#[test]
fn warns_of_policies_that_never_apply_but_accepts_them() {
    check(
        "@id(\"a\") permit (principal is Loong::Person, action == Loong::Action::\"grant\", resource);",
        "Warning mine.cedar:1:1: unable to find an applicable action given the policy scope constraints\n\
         Warning mine.cedar:1:1: policy is impossible: the policy expression evaluates to false for all valid requests",
    );
}

#[test]
fn finds_every_mistake_of_every_file() {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let sources = [
        source("a.cedar", "permit"),
        source("b.cedar", "\nforbid (principal, action, resource);"),
        source("b.cedar", ""),
        source("../c", ""),
    ];
    let said: Vec<String> = PolicySet::check(&sources).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "a.cedar:1:7: unexpected end of input",
            "b.cedar:2:1: the policy has no `@id`",
            "b.cedar:1:1: an earlier file has the same name",
            "../c:1:1: the file's name is not made of letters, digits, `-`, `_` and `.`",
        ]
    );
    let error = PolicySet::read(&sources, Preset::Default.tiers()).unwrap_err();
    assert_eq!(error.code(), loong_manifest::Code::PolicyInvalid);
    assert_eq!(error.to_string(), "a.cedar:1:7: unexpected end of input (and 3 more)");
}

#[test]
fn the_digest_covers_everything_that_decides() {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let tiers = Preset::Default.tiers();
    let digest = |sources: &[Source], tiers: &str| PolicySet::read(sources, tiers).unwrap().digest();
    let (a, b) = (source("a.cedar", "//b"), source("b.cedar", "//"));
    assert_eq!(digest(&[a.clone(), b.clone()], tiers), digest(&[b.clone(), a.clone()], tiers));
    let others = [
        digest(std::slice::from_ref(&a), tiers),
        digest(&[a.clone(), b.clone()], tiers),
        digest(&[a, b], &format!("{tiers}\n")),
        digest(&[source("a.cedar", "//"), source("b.cedar", "//b")], tiers),
    ];
    let distinct: std::collections::BTreeSet<_> = others.iter().collect();
    assert_eq!(distinct.len(), others.len());
}

#[test]
fn a_policy_is_found_in_its_file_with_its_comment() {
    let text = "// For the whole file.\n\n// Reading is\n//   free.\n@id(\"a\")\npermit (principal, action, resource);\n@id(\"b\") forbid (principal, action, resource);";
    let source = Source { name: "mine.cedar".into(), text: text.into() };
    let set = PolicySet::read(&[source], Preset::Default.tiers()).unwrap();
    let place = |id: &str| {
        let place = set.place(id).unwrap();
        format!("{}:{} {}", place.file, place.line, place.comment)
    };
    assert_eq!(place("mine.cedar:a"), "mine.cedar:5 Reading is free.");
    assert_eq!(place("mine.cedar:b"), "mine.cedar:7 ");
    assert_eq!(set.place("mine.cedar:c"), None);
    // Every policy that ships has a place and says why.
    for preset in Preset::ALL {
        let set = PolicySet::builtin(preset).unwrap();
        for id in preset.sources().iter().flat_map(|source| {
            let name = source.name.clone();
            let ids = source.text.lines().filter_map(|line| line.strip_prefix("@id(\"")?.split('"').next());
            ids.map(move |id| format!("{name}:{id}")).collect::<Vec<_>>()
        }) {
            assert!(!set.place(&id).unwrap().comment.is_empty(), "{id}");
        }
    }
}
