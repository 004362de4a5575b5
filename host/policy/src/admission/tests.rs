//! What is granted, and what refuses a component.

use super::*;
use crate::Preset;
use crate::ask::Destination;
use loong_manifest::Scheme;
use proptest::prelude::*;

const ALL: &str = r#"{"log":{"reason":"r"},"stream":{"reason":"r"},"kv":{"reason":"r"},
 "config":{"reason":"r","keys":["git.max","git.min"]},
 "process":{"reason":"r","commands":[{"command":"git","arguments":["log"],"options":["-z"],"operands_max":2}]},
 "filesystem":{"reason":"r","folders":[{"name":"workspace","access":"write"}]},
 "http":{"reason":"r","destinations":[{"host":"api.example.com","methods":["GET","POST"]}]},
 "tcp":{"reason":"r","destinations":[{"host":"siem.example.com","port":6514}]},
 "secrets":{"reason":"r","uses":[{"name":"token","hosts":["api.example.com"]}]},
 "tools":{"reason":"r","operations":["core:text/*"]}}"#;

fn manifest(capabilities: &str, limits: &str) -> Manifest {
    Manifest::read(
        format!(
            "{{\"id\":\"acme:x\",\"version\":\"1.0.0\",\"kind\":\"tool\",\"summary\":\"s\",
              \"capabilities\":{capabilities},\"limits\":{limits}}}"
        )
        .as_bytes(),
    )
    .unwrap()
}

fn offer(text: &str) -> Offer {
    let mut offer = Offer::default();
    for word in text.split_whitespace() {
        let folder = |access, by_flag| OfferedFolder { host: PathBuf::from("/w"), access, by_flag };
        match word.split_once('=') {
            Some(("dir", name)) => drop(offer.folders.insert(name.into(), folder(Access::Read, true))),
            Some(("dir-write", name)) => drop(offer.folders.insert(name.into(), folder(Access::Write, true))),
            Some(("default", name)) => drop(offer.folders.insert(name.into(), folder(Access::Read, false))),
            Some(("host", to)) => drop(offer.hosts.insert(to.parse().unwrap())),
            Some(("inside", to)) => drop(offer.inside.insert(to.parse().unwrap())),
            Some(("allow", name)) => drop(offer.allow.insert(name.into())),
            // A plus is a space in the value.
            Some((key, value)) => drop(offer.config.insert(key.into(), value.replace('+', " "))),
            None => panic!("{word}"),
        }
    }
    offer
}

fn weigh_with(preset: Preset, tier: Tier, manifest: Option<&Manifest>, offered: &str) -> Preview {
    let id = "acme:x".parse().unwrap();
    let subject = Subject {
        id: &id,
        version: "1.0.0".into(),
        digest: Digest::of(b"x"),
        tier,
        signer: (tier > Tier::Unverified).then_some("acme-2026"),
        manifest,
        component_bytes: 1_000,
    };
    weigh(&PolicySet::builtin(preset).unwrap(), &subject, &offer(offered))
}

fn said(preview: &Preview) -> String {
    if preview.denials.is_empty() {
        return preview.grants.names().join(" ");
    }
    let denials: Vec<String> =
        preview.denials.iter().map(|denial| format!("{}: {denial}", denial.code())).collect();
    denials.join("\n")
}

#[track_caller]
fn check(tier: Tier, capabilities: &str, offered: &str, expected: &str) {
    let manifest = manifest(capabilities, "{}");
    assert_eq!(said(&weigh_with(Preset::Default, tier, Some(&manifest), offered)), expected);
}

#[test]
fn official_components_get_everything_they_ask() {
    check(
        Tier::Official,
        ALL,
        "default=workspace",
        "log stream kv config process filesystem http tcp secrets tools",
    );
}

#[test]
fn community_components_get_no_process() {
    check(
        Tier::VerifiedCommunity,
        ALL,
        "default=workspace",
        "tier_too_low: `process` (git log, options -z, operands 2) needs tier official, the component is verified-community",
    );
    // A flag goes only as far as policy lets.
    check(
        Tier::VerifiedCommunity,
        ALL,
        "default=workspace allow=process",
        "tier_too_low: `process` (git log, options -z, operands 2) needs tier official, the component is verified-community",
    );
}

#[test]
fn unverified_components_get_what_is_their_own() {
    check(
        Tier::Unverified,
        ALL,
        "default=workspace",
        "capability_denied: `stream` is granted only to a run for which a person allows it\n\
         tier_too_low: `process` (git log, options -z, operands 2) needs tier official, the component is unverified\n\
         capability_denied: `filesystem` (workspace, write) is granted only to a run for which a person allows it\n\
         tier_too_low: `http` (https://api.example.com:443, GET POST) needs tier verified-community, the component is unverified\n\
         tier_too_low: `tcp` (tls://siem.example.com:6514) needs tier verified-community, the component is unverified\n\
         tier_too_low: `secrets` (token to api.example.com) needs tier verified-community, the component is unverified",
    );
    let own = r#"{"log":{"reason":"r"},"kv":{"reason":"r"},"config":{"reason":"r","keys":["a"]},
                  "tools":{"reason":"r","operations":["core:text/*"]}}"#;
    check(Tier::Unverified, own, "", "log kv config tools");
}

#[test]
fn a_flag_gives_an_unverified_component_what_policy_lets_it() {
    let wanted = r#"{"stream":{"reason":"r"},"filesystem":{"reason":"r","folders":[{"name":"data","access":"read"}]}}"#;
    check(Tier::Unverified, wanted, "allow=stream dir=data", "stream filesystem");
}

#[test]
fn a_folder_needs_a_folder_of_the_host() {
    let wanted = r#"{"filesystem":{"reason":"r","folders":[{"name":"data","access":"read"}]}}"#;
    check(
        Tier::Official,
        wanted,
        "default=workspace",
        "capability_denied: it asks for the folder `data` (read), which this run does not offer",
    );
}

#[test]
fn a_folder_is_opened_no_further_than_both_sides_say() {
    let folder = |access: &str, offered: &str| {
        let manifest = manifest(
            &format!(
                "{{\"filesystem\":{{\"reason\":\"r\",\"folders\":[{{\"name\":\"w\",\"access\":\"{access}\"}}]}}}}"
            ),
            "{}",
        );
        let preview = weigh_with(Preset::Default, Tier::Official, Some(&manifest), offered);
        let Outcome::Granted { narrowed, .. } = &preview.asked[0].outcome else { panic!("{preview:?}") };
        (preview.grants.folders[0].access, narrowed.clone())
    };
    assert_eq!(folder("read", "dir-write=w"), (Access::Read, None));
    assert_eq!(folder("write", "dir=w"), (Access::Read, Some("w, read".to_owned())));
    assert_eq!(folder("write", "dir-write=w"), (Access::Write, None));
}

#[test]
fn settings_are_those_that_were_asked_and_set() {
    let manifest = manifest(ALL, "{}");
    let preview =
        weigh_with(Preset::Default, Tier::Official, Some(&manifest), "default=workspace git.max=5 other=6");
    assert_eq!(preview.grants.config("git.max"), Some("5"));
    assert_eq!(preview.grants.config("git.min"), None);
    assert_eq!(preview.grants.config("other"), None);
}

#[test]
fn a_component_without_a_manifest_gets_only_folders_that_were_named() {
    let weigh = |offered| said(&weigh_with(Preset::Default, Tier::Unverified, None, offered));
    assert_eq!(weigh("default=workspace allow=process allow=kv a=b"), "");
    assert_eq!(weigh("default=workspace dir-write=data"), "filesystem");
    let preview = weigh_with(Preset::Default, Tier::Unverified, None, "default=workspace dir-write=data");
    assert_eq!(preview.grants.folders.len(), 1);
    assert_eq!(preview.grants.folders[0].name, "data");
}

#[test]
fn strict_and_ci_refuse_what_nobody_vouches_for() {
    for (preset, file) in [(Preset::Strict, "strict"), (Preset::Ci, "ci")] {
        let preview = weigh_with(preset, Tier::Unverified, None, "");
        assert_eq!(
            said(&preview),
            "unsigned_refused: loading it needs tier verified-community, the component is unverified"
        );
        assert_eq!(preview.denials[0].policies(), [format!("{file}.cedar:unverified-is-refused")]);
        assert_eq!(
            preview.denials[0].blame(),
            format!("refused: forbidden by {file}.cedar:unverified-is-refused")
        );
        assert_eq!(said(&weigh_with(preset, Tier::VerifiedCommunity, None, "")), "");
    }
}

#[test]
fn strict_starts_processes_only_if_a_person_offers_them() {
    let manifest = manifest(ALL, "{}");
    let weigh = |offered: &str| {
        let offered = format!("{offered} allow=http allow=tcp allow=secrets");
        said(&weigh_with(Preset::Strict, Tier::Official, Some(&manifest), &offered))
    };
    assert_eq!(
        weigh("default=workspace"),
        "capability_denied: `process` (git log, options -z, operands 2) is granted only to a run for which a person allows it"
    );
    assert_eq!(
        weigh("default=workspace allow=process"),
        "log stream kv config process filesystem http tcp secrets tools"
    );
}

#[test]
fn an_own_policy_can_refuse_a_publisher_by_name() {
    let mut sources = Preset::Default.sources();
    sources.push(crate::Source {
        name: "deny.cedar".into(),
        text: "@id(\"not-acme\") forbid (principal, action == Loong::Action::\"admit\", resource)
               when { [\"acme\", \"unverified/acme\"].contains(principal.namespace) };"
            .into(),
    });
    let policy = PolicySet::read(&sources, Preset::Default.tiers()).unwrap();
    let id = "acme:x".parse().unwrap();
    for tier in Tier::ALL {
        let subject = Subject {
            id: &id,
            version: "1.0.0".into(),
            digest: Digest::of(b"x"),
            tier,
            signer: None,
            manifest: None,
            component_bytes: 0,
        };
        assert_eq!(
            said(&weigh(&policy, &subject, &Offer::default())),
            "policy_denied: it may not be loaded: forbidden by deny.cedar:not-acme"
        );
    }
}

#[track_caller]
fn check_limits(tier: Tier, limits: &str, expected: &str) {
    let manifest = manifest("{}", limits);
    let preview = weigh_with(Preset::Default, tier, Some(&manifest), "");
    let said = if preview.denials.is_empty() {
        let Limits { deadline_ms, fuel_max, memory_bytes_max, processes_max, .. } = preview.limits;
        format!("{deadline_ms} {fuel_max} {memory_bytes_max} {processes_max} {}", preview.meter.as_str())
    } else {
        said(&preview)
    };
    assert_eq!(said, expected);
}

#[test]
fn limits_are_lowered_as_asked_and_never_raised() {
    check_limits(Tier::Official, "{}", "120000 100000000000 536870912 64 epoch");
    check_limits(Tier::Official, "{\"deadline_ms\":120000}", "120000 100000000000 536870912 64 epoch");
    check_limits(
        Tier::Official,
        "{\"deadline_ms\":1,\"processes_max\":1}",
        "1 100000000000 536870912 1 epoch",
    );
    check_limits(
        Tier::Official,
        "{\"deadline_ms\":120001}",
        "capability_denied: it asks for 120001 as `deadline_ms`, the most for tier official is 120000",
    );
    check_limits(
        Tier::Unverified,
        "{\"memory_bytes_max\":67108865,\"processes_max\":1}",
        "capability_denied: it asks for 67108865 as `memory_bytes_max`, the most for tier unverified is 67108864\n\
         capability_denied: it asks for 1 as `processes_max`, the most for tier unverified is 0",
    );
}

#[test]
fn asking_for_a_budget_of_fuel_turns_the_exact_meter_on() {
    check_limits(Tier::VerifiedCommunity, "{}", "30000 10000000000 134217728 16 epoch");
    check_limits(Tier::VerifiedCommunity, "{\"fuel_max\":7}", "30000 7 134217728 16 epoch-and-fuel");
    check_limits(Tier::Unverified, "{}", "10000 1000000000 67108864 0 epoch-and-fuel");
}

#[test]
fn a_component_is_no_larger_than_its_tier_allows() {
    let weigh = |bytes| {
        let id = "acme:x".parse().unwrap();
        let subject = Subject {
            id: &id,
            version: "1.0.0".into(),
            digest: Digest::of(b"x"),
            tier: Tier::Unverified,
            signer: None,
            manifest: None,
            component_bytes: bytes,
        };
        said(&weigh(&PolicySet::builtin(Preset::Default).unwrap(), &subject, &Offer::default()))
    };
    assert_eq!(weigh(8 << 20), "");
    assert_eq!(
        weigh((8 << 20) + 1),
        "component_too_large: the component has 8388609 bytes, the most for tier unverified is 8388608"
    );
}

#[test]
fn requests_fit_the_schema() {
    let schema = crate::source::schema().unwrap();
    let policy = PolicySet::builtin(Preset::Default).unwrap();
    let principal = Principal::Component {
        plugin: "acme:x".parse().unwrap(),
        digest: Digest::of(b"x"),
        tier: Tier::Unverified,
    };
    for signer in [None, Some("acme-2026")] {
        policy.asker.admit_request(&principal, signer, true, Some(&schema)).unwrap();
    }
    let capabilities = manifest(ALL, "{}").capabilities;
    let full = Scope {
        capability: "process",
        offered: true,
        command: capabilities.process.as_ref().unwrap().commands.first(),
        folder: Some("w"),
        write: Some(true),
        key: Some("k"),
        operations: Some("*"),
        to: Some(Destination {
            host: "api.example.com".into(),
            port: Some(443),
            scheme: Some("https"),
            methods: &capabilities.http.as_ref().unwrap().destinations[0].methods,
        }),
        secret: Some("token"),
    };
    policy.asker.grant_request(&principal, &full, Some(&schema)).unwrap();
    for capability in CAPABILITIES {
        let scope = Scope { capability, ..Scope::default() };
        policy.asker.grant_request(&principal, &scope, Some(&schema)).unwrap();
    }
}

const WEB: &str = r#"{"http":{"reason":"r","destinations":[
  {"host":"api.example.com","methods":["GET"]},{"setting":"siem.url","methods":["POST"]}]},
 "tcp":{"reason":"r","destinations":[{"setting":"siem.tcp"}]},
 "secrets":{"reason":"r","uses":[{"name":"token","setting":"siem.url"}]}}"#;

fn web(offered: &str) -> Preview {
    weigh_with(Preset::Default, Tier::VerifiedCommunity, Some(&manifest(WEB, "{}")), offered)
}

#[test]
fn a_setting_of_the_operator_says_what_is_reached() {
    let preview = web("siem.url=http://10.0.0.5:8088/services siem.tcp=tls://siem.example:6514");
    assert_eq!(said(&preview), "http tcp secrets");
    let scopes: Vec<&str> = preview.asked.iter().map(|asked| asked.scope.as_str()).collect();
    assert_eq!(
        scopes,
        [
            "https://api.example.com:443, GET",
            "http://10.0.0.5:8088, POST",
            "tls://siem.example:6514",
            "token to 10.0.0.5"
        ]
    );
    assert!(preview.grants.request(Scheme::Http, &"10.0.0.5:8088".parse().unwrap(), "POST"));
    assert!(!preview.grants.request(Scheme::Http, &"10.0.0.5:8088".parse().unwrap(), "GET"));
    assert!(preview.grants.inside.is_empty(), "what is inside is named apart");
}

#[test]
fn a_setting_that_is_not_set_opens_nothing() {
    for offered in ["", "siem.url=ftp://a.example siem.tcp=siem.example:6514", "siem.tcp=tls://siem.example"]
    {
        let preview = web(offered);
        assert_eq!(preview.grants.http.len(), 1, "{offered}");
        assert!(preview.grants.tcp.is_empty(), "{offered}");
        assert_eq!(said(&preview), if offered.starts_with("siem.url") { "http secrets" } else { "http" });
    }
}

#[test]
fn a_setting_may_name_several_sites_or_every_one() {
    let weigh = |tier, sites: &str| {
        weigh_with(Preset::Default, tier, Some(&manifest(WEB, "{}")), &format!("siem.url={sites}"))
    };
    let preview = weigh(Tier::Official, "https://a.example+http://*:8080");
    assert_eq!(preview.grants.http.len(), 3);
    assert!(preview.grants.request(Scheme::Https, &"a.example:443".parse().unwrap(), "POST"));
    assert!(preview.grants.request(Scheme::Http, &"b.example:8080".parse().unwrap(), "POST"));
    assert!(!preview.grants.request(Scheme::Https, &"b.example:443".parse().unwrap(), "POST"));
    assert!(!preview.grants.request(Scheme::Http, &"b.example:8080".parse().unwrap(), "GET"));
    assert!(!preview.grants.secret("token", &"a.example".parse().unwrap()), "a secret is for one host");
    assert_eq!(
        said(&weigh(Tier::VerifiedCommunity, "https://a.example+http://*:8080")),
        "tier_too_low: `http` (http://*:8080, POST) needs tier official, the component is verified-community"
    );
}

#[test]
fn a_wildcard_is_for_official_components() {
    let wild = r#"{"http":{"reason":"r","destinations":[{"host":"*.example.com","methods":["GET"]}]}}"#;
    let refused = "tier_too_low: `http` (https://*.example.com:443, GET) needs tier official, the component is verified-community";
    check(Tier::VerifiedCommunity, wild, "", refused);
    check(Tier::VerifiedCommunity, wild, "host=a.example.com:443 allow=http", refused);
    check(Tier::Official, wild, "", "http");
}

#[test]
fn the_strict_preset_wants_other_machines_named_by_a_person() {
    let strict = |offered: &str| {
        let wanted = manifest(
            r#"{"http":{"reason":"r","destinations":[{"host":"127.0.0.1","port":8088,"scheme":"http","methods":["GET"]}]},
                "secrets":{"reason":"r","uses":[{"name":"token","hosts":["127.0.0.1"]}]}}"#,
            "{}",
        );
        weigh_with(Preset::Strict, Tier::Official, Some(&wanted), offered)
    };
    assert_eq!(said(&strict("host=127.0.0.1:8088")), "http secrets");
    assert_eq!(strict("host=127.0.0.1:8088").grants.inside, ["127.0.0.1:8088".parse().unwrap()]);
    assert_eq!(
        said(&strict("host=127.0.0.1:8089 inside=127.0.0.1:8088")),
        "capability_denied: `http` (http://127.0.0.1:8088, GET) is granted only to a run for which a person allows it"
    );
}

/// A component of nothing but a manifest.
fn component(manifest: &str) -> Vec<u8> {
    let name = b"loong.plugin.json";
    let mut section = vec![u8::try_from(name.len()).unwrap()];
    section.extend(name);
    section.extend(manifest.as_bytes());
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // Section 0 with its length in LEB128 of two bytes.
    let length = section.len();
    bytes.extend([0, u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()]);
    bytes.extend(section);
    bytes
}

#[test]
fn admits_exactly_the_verified_bytes_or_nothing() {
    use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime, sign, verify};
    let bytes = component(
        "{\"id\":\"core:x\",\"version\":\"1.0.0\",\"kind\":\"tool\",\"summary\":\"s\",
          \"capabilities\":{\"log\":{\"reason\":\"r\"},\"process\":{\"reason\":\"r\",\"commands\":[{\"command\":\"git\"}]}}}",
    );
    let candidate = |bundle| Candidate::read(bytes.clone(), bundle, "x").unwrap();
    let policy = PolicySet::builtin(Preset::Default).unwrap();

    let unsigned = verify(candidate(None), &TrustRoot::empty(), 0).unwrap();
    let denial = admit(&policy, unsigned.clone(), &Offer::default()).unwrap_err();
    assert_eq!(denial.to_string(), "`process` (git) needs tier official, the component is unverified");
    let wider = Offer { execution_tier_max: Some(ExecutionTier::Trusted), ..Offer::default() };
    assert_eq!(preview(&policy, &unsigned, &wider).execution_tier, ExecutionTier::Restricted);
    assert_eq!(preview(&policy, &unsigned, &Offer::default()).denials, [denial]);

    let key = SigningKey::generate().unwrap();
    let bundle = sign(&key, &candidate(None)).unwrap();
    let root =
        TrustRoot::local(&key.public(), "built here", &["core"], Tier::Official, UtcTime::MAX).unwrap();
    let verified = verify(candidate(Some(bundle)), &root, 0).unwrap();
    let admitted = admit(&policy, verified, &Offer::default()).unwrap();
    assert_eq!(**admitted.verified().bytes(), *bytes);
    assert_eq!(admitted.grants().names(), ["log", "process"]);
    assert_eq!(admitted.execution_tier(), ExecutionTier::Trusted);
    let at_most = |verified, maximum| {
        let offer = Offer { execution_tier_max: Some(maximum), ..Offer::default() };
        admit(&policy, verified, &offer).unwrap().execution_tier()
    };
    for tier in [ExecutionTier::Restricted, ExecutionTier::Balanced, ExecutionTier::Trusted] {
        assert_eq!(at_most(admitted.verified().clone(), tier), tier);
    }
    assert_eq!(admitted.owner(), "core:x");
}

#[test]
fn what_nobody_vouches_for_owns_nothing_of_the_id_it_claims() {
    use loong_trust::{Candidate, TrustRoot, verify};
    let bytes = component("{\"id\":\"core:git\",\"version\":\"1.0.0\",\"kind\":\"tool\",\"summary\":\"s\"}");
    let candidate = Candidate::read(bytes.clone(), None, "x").unwrap();
    let verified = verify(candidate, &TrustRoot::empty(), 0).unwrap();
    let admitted = admit(&PolicySet::builtin(Preset::Default).unwrap(), verified, &Offer::default()).unwrap();
    assert_eq!(admitted.owner(), format!("unverified/{}", Digest::of(&bytes)));
    assert_eq!(admitted.meter(), Meter::EpochAndFuel);
}

fn any_capabilities() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::btree_set(
        prop::sample::select(vec![
            "\"log\":{\"reason\":\"r\"}",
            "\"stream\":{\"reason\":\"r\"}",
            "\"kv\":{\"reason\":\"r\"}",
            "\"config\":{\"reason\":\"r\",\"keys\":[\"a\"]}",
            "\"process\":{\"reason\":\"r\",\"commands\":[{\"command\":\"git\"}]}",
            "\"filesystem\":{\"reason\":\"r\",\"folders\":[{\"name\":\"w\",\"access\":\"read\"}]}",
            "\"tools\":{\"reason\":\"r\",\"operations\":[\"core:text/*\"]}",
            "\"http\":{\"reason\":\"r\",\"destinations\":[{\"host\":\"*.example.com\",\"methods\":[\"GET\"]},{\"setting\":\"b\",\"methods\":[\"GET\"]}]}",
            "\"tcp\":{\"reason\":\"r\",\"destinations\":[{\"host\":\"192.0.2.1\",\"port\":514,\"tls\":\"none\"}]}",
            "\"secrets\":{\"reason\":\"r\",\"uses\":[{\"name\":\"t\",\"hosts\":[\"a.example\"]}]}",
        ]),
        0..10,
    )
    .prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn grants_never_exceed_what_was_asked_offered_and_permitted(
        wanted in any_capabilities(),
        tier in prop::sample::select(Tier::ALL.to_vec()),
        preset in prop::sample::select(Preset::ALL.to_vec()),
        offered in prop::sample::select(vec![
            "", "a=1", "dir-write=w a=1", "dir=w dir-write=v b=2",
            "allow=log allow=stream allow=kv allow=config allow=process allow=filesystem allow=tools default=w",
        ]),
    ) {
        let manifest = manifest(&format!("{{{}}}", wanted.join(",")), "{}");
        let preview = weigh_with(preset, tier, Some(&manifest), offered);
        let offer = offer(offered);
        for name in preview.grants.names() {
            prop_assert!(manifest.capabilities.asks(&name));
            let permitted = preview.asked.iter().any(|asked| {
                asked.capability == name && matches!(asked.outcome, Outcome::Granted { .. })
            });
            prop_assert!(permitted || name == "config");
        }
        for folder in &preview.grants.folders {
            prop_assert_eq!(&folder.name, "w");
            prop_assert!(folder.access <= offer.folders["w"].access && folder.access == Access::Read);
        }
        for (key, value) in preview.grants.config.iter().flatten() {
            prop_assert!(key == "a" && offer.config.get(key) == Some(value));
        }
        // What nobody vouches for reaches no other machine, whatever is offered.
        let egress = !preview.grants.http.is_empty() || !preview.grants.tcp.is_empty() || !preview.grants.secrets.is_empty();
        prop_assert!(tier > Tier::Unverified || !egress);
        // Whoever has no process by tier has none by flag either.
        prop_assert!(tier == Tier::Official || preview.grants.commands.is_empty());
    }
}
