//! What is not there for a component: the inside of other namespaces.

use loong_manifest::Tier;

use crate::ask::Qualified;
use crate::{CallFacts, PolicySet, Principal, Verdict};

impl PolicySet {
    /// Whether the callee is to look to the caller as if it did not exist: it is of another namespace, not
    /// official, and no approval would open it. A refusal that says more would say that something is there.
    pub fn hides(&self, facts: &CallFacts) -> bool {
        is_foreign(facts) && self.decide(facts).verdict == Verdict::Deny
    }
}

/// Whether a component calls into another namespace, which is not offered to everyone. What a component that
/// nobody vouches for claims as its namespace is not the namespace of that name.
fn is_foreign(facts: &CallFacts) -> bool {
    let Principal::Component { plugin, tier, .. } = &facts.caller else { return false };
    facts.callee_tier != Tier::Official
        && Qualified::of(plugin, *tier).namespace != Qualified::of(&facts.callee, facts.callee_tier).namespace
}

#[cfg(test)]
mod tests {
    use loong_manifest::{Digest, PluginId};
    use proptest::prelude::*;

    use super::*;
    use crate::call::tests::{any_facts, facts, set};
    use crate::{Preset, Source};

    #[track_caller]
    fn check(set: &PolicySet, line: &str, expected: bool) {
        assert_eq!(set.hides(&facts(line)), expected, "{line}");
    }

    #[test]
    fn another_namespace_is_not_there() {
        let set = set(Preset::Default);
        check(set, "community acme:pack -> community evil:git read", true);
        check(set, "official core:pack -> community evil:git read pure", true);
        check(set, "unverified acme:pack -> community acme:git read pure", true);
        check(set, "community acme:pack -> unverified acme:git read pure", true);
        check(set, "community acme:pack -> community acme:git read", false);
        check(set, "community acme:pack -> official core:git write", false);
        check(set, "unverified a:p -> official core:git write", false);
        check(set, "person -> unverified evil:git irreversible", false);
    }

    #[test]
    fn an_owner_may_open_a_namespace_and_close_what_is_official() {
        let source = |text: &str| Source { name: "mine.cedar".into(), text: text.into() };
        let read = |sources: &[Source]| PolicySet::read(sources, Preset::Default.tiers()).unwrap();
        let across = "community acme:pack -> community evil:git read";
        // What is allowed, or may be approved, is there.
        let permit = "@id(\"a\") permit (principal, action == Loong::Action::\"call\", resource)";
        check(&read(&[source(&format!("{permit};"))]), across, false);
        check(&read(&[source(&format!("{permit} when {{ context.approved }};"))]), across, false);
        let elsewhere = format!("{permit} when {{ resource.namespace == \"acme\" }};");
        check(&read(&[source(&elsewhere)]), across, true);
        // A permit opens nothing that a forbid closes.
        let mut sources = Preset::Default.sources();
        sources.push(source(&format!("{permit};")));
        check(&read(&sources), across, true);
        // What an owner forbids of the official plugins is denied, with the owner's own policy as the reason.
        let mut sources = Preset::Default.sources();
        sources.push(source(
            "@id(\"no-git\") forbid (principal is Loong::Component, action == Loong::Action::\"call\", resource)
             when { resource.plugin == \"core:git\" && principal.namespace != \"core\" };",
        ));
        let closed = read(&sources);
        let call = facts("community acme:pack -> official core:git read");
        assert_eq!(closed.decide(&call).policies, ["mine.cedar:no-git"]);
        assert_eq!(closed.decide(&call).verdict, Verdict::Deny);
        assert!(!closed.hides(&call));
        let own = facts("official core:pack -> official core:git read");
        assert_eq!(closed.decide(&own).verdict, Verdict::Allow);
    }

    fn any_name() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?"
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// No name, risk, tier, depth or approval opens another namespace.
        #[test]
        fn no_namespace_meets_another(
            publishers in (any_name(), any_name()),
            names in (any_name(), any_name()),
            facts in any_facts(),
        ) {
            let (Ok(caller), Ok(callee)) =
                (PluginId::new(&publishers.0, &names.0), PluginId::new(&publishers.1, &names.1))
            else {
                return Ok(());
            };
            let Principal::Component { tier, .. } = facts.caller else { return Ok(()) };
            let digest = Digest::of(names.0.as_bytes());
            let facts = CallFacts { caller: Principal::Component { plugin: caller, digest, tier }, callee, ..facts };
            for preset in Preset::ALL {
                let set = set(preset);
                let (decision, approved) = (set.decide(&facts), set.decide_approved(&facts));
                if is_foreign(&facts) {
                    prop_assert_eq!(decision.verdict, Verdict::Deny);
                    prop_assert_eq!(approved.verdict, Verdict::Deny);
                    prop_assert!(set.hides(&facts));
                } else {
                    prop_assert!(!set.hides(&facts));
                }
            }
        }

        #[test]
        fn what_is_hidden_is_never_done(facts in any_facts()) {
            let set = set(Preset::Default);
            prop_assert!(!set.hides(&facts) || set.decide_approved(&facts).verdict == Verdict::Deny);
        }
    }
}
