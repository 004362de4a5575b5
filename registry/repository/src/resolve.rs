//! Which versions are to be installed for what is asked. Pure, and the same for the same input.

use std::collections::BTreeMap;

use loong_manifest::{InterfaceName, PluginId, SlotMode, Tier};

use crate::entry::Entry;
use crate::installed::{Lock, Locked};

/// Most plugins that one request brings with it.
const NEW_MAX: usize = 64;

/// An entry that could be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The registry that has it.
    pub registry: String,
    /// Its publisher's tier there.
    pub tier: Tier,
    /// The entry.
    pub entry: Entry,
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The plugin.
    pub id: PluginId,
    /// Exactly this version; the newest one otherwise.
    pub version: Option<semver::Version>,
    /// Whether an older version may take the place of a newer one.
    pub downgrade: bool,
}

/// Something that is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub offered: Offered,
    /// The version that it takes the place of.
    pub before: Option<semver::Version>,
    /// Whether a person asked for it; otherwise which interface is needed, and by whom.
    pub needed: Option<(InterfaceName, PluginId)>,
}

/// Why there is no way to install what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No registry has it.
    #[error("no registry has `{id}`{}", version.as_ref().map(|version| format!(" {version}")).unwrap_or_default())]
    Unknown {
        /// The plugin.
        id: PluginId,
        /// The version that was asked for.
        version: Option<semver::Version>,
    },
    /// Every version that would do was taken back.
    #[error("`{id}` {version} was taken back: {}", loong_manifest::escape(reason))]
    Yanked {
        /// The plugin.
        id: PluginId,
        /// The version.
        version: semver::Version,
        /// Why.
        reason: String,
    },
    /// Two registries have a version with different bytes.
    #[error("`{id}` {version} has other bytes in `{left}` than in `{right}`")]
    Differs {
        /// The plugin.
        id: PluginId,
        /// The version.
        version: semver::Version,
        /// A registry.
        left: String,
        /// Another one.
        right: String,
    },
    /// An older version would take the place of a newer one.
    #[error("`{id}` {to} is older than {from}, which is installed")]
    Downgrade {
        /// The plugin.
        id: PluginId,
        /// What is installed.
        from: semver::Version,
        /// What was asked for.
        to: semver::Version,
    },
    /// Nothing offers an interface.
    #[error("`{by}` needs `{interface}`, which nothing offers that is installed or in a registry")]
    Unsatisfied {
        /// The interface.
        interface: InterfaceName,
        /// Who needs it.
        by: PluginId,
    },
    /// Two plugins want a slot that one of them wants for itself.
    #[error("`{left}` and `{right}` both want the slot `{interface}`, which is exclusive")]
    Slot {
        /// The slot.
        interface: InterfaceName,
        /// The one that is installed, or comes first.
        left: PluginId,
        /// The other one.
        right: PluginId,
    },
    /// A plugin that stays needs what would go.
    #[error("`{by}` needs `{interface}`, which only `{id}` offers")]
    Needed {
        /// What would go.
        id: PluginId,
        /// Who needs it.
        by: PluginId,
        /// The interface.
        interface: InterfaceName,
    },
    /// It would bring too much with it.
    #[error("it would bring more than {NEW_MAX} plugins with it")]
    TooMany,
}

/// What has to be installed for a request, dependencies last.
///
/// # Errors
/// If there is no way, or two registries contradict one another.
pub fn resolve(
    installed: &Lock,
    offered: &[Offered],
    wanted: &[Wanted],
) -> Result<Vec<Step>, Box<ResolveError>> {
    let mut steps: Vec<Step> = Vec::new();
    for want in wanted {
        let chosen = choose(offered, want)?;
        let before = installed.plugins.get(&want.id);
        if let Some(before) = before {
            if before.digest == chosen.entry.digest {
                continue;
            }
            if before.version > chosen.entry.version && !want.downgrade {
                return Err(Box::new(ResolveError::Downgrade {
                    id: want.id.clone(),
                    from: before.version.clone(),
                    to: chosen.entry.version,
                }));
            }
        }
        let before = before.map(|before| before.version.clone());
        steps.push(Step { offered: chosen, before, needed: None });
    }
    while let Some((interface, by)) = missing(installed, &steps) {
        if steps.len() >= NEW_MAX {
            return Err(Box::new(ResolveError::TooMany));
        }
        let chosen = provider(offered, &interface)
            .ok_or(ResolveError::Unsatisfied { interface: interface.clone(), by: by.clone() })?;
        let before = installed.plugins.get(&chosen.entry.id).map(|before| before.version.clone());
        if steps.iter().any(|step| step.offered.entry.id == chosen.entry.id) {
            return Err(Box::new(ResolveError::Unsatisfied { interface, by }));
        }
        steps.push(Step { offered: chosen, before, needed: Some((interface, by)) });
    }
    check_slots(installed, &steps)?;
    Ok(steps)
}

/// The version that a request means: the one that is named, or the newest that is neither yanked nor a pre-release.
fn choose(offered: &[Offered], want: &Wanted) -> Result<Offered, Box<ResolveError>> {
    let fits = |offer: &&Offered| {
        let version = &offer.entry.version;
        offer.entry.id == want.id
            && want.version.as_ref().map_or(version.pre.is_empty(), |wanted| wanted == version)
    };
    let all: Vec<&Offered> = offered.iter().filter(fits).collect();
    let best = all.iter().filter(|offer| offer.entry.facts.yanked.is_none()).max_by(|left, right| {
        // The first registry of the same rank wins, so that their order decides.
        left.entry
            .version
            .cmp(&right.entry.version)
            .then(left.tier.cmp(&right.tier))
            .then(std::cmp::Ordering::Greater)
    });
    let Some(best) = best else {
        let yanked = all.iter().find_map(|offer| Some((offer, offer.entry.facts.yanked.as_ref()?)));
        return Err(Box::new(match yanked {
            Some((offer, yanked)) => ResolveError::Yanked {
                id: want.id.clone(),
                version: offer.entry.version.clone(),
                reason: yanked.reason.clone(),
            },
            None => ResolveError::Unknown { id: want.id.clone(), version: want.version.clone() },
        }));
    };
    let other = all
        .iter()
        .find(|other| other.entry.version == best.entry.version && other.entry.digest != best.entry.digest);
    match other {
        Some(other) => Err(Box::new(ResolveError::Differs {
            id: want.id.clone(),
            version: best.entry.version.clone(),
            left: best.registry.clone(),
            right: other.registry.clone(),
        })),
        None => Ok((*best).clone()),
    }
}

/// The newest version of the plugin of the highest tier, the first by name, that offers an interface.
fn provider(offered: &[Offered], wanted: &InterfaceName) -> Option<Offered> {
    let fits = |offer: &&Offered| {
        let entry = &offer.entry;
        entry.facts.yanked.is_none()
            && entry.version.pre.is_empty()
            && offer.tier > Tier::Unverified
            && entry.facts.offers.iter().any(|interface| interface.satisfies(wanted))
    };
    let best = offered.iter().filter(fits).min_by(|left, right| {
        let by_name = || left.entry.id.cmp(&right.entry.id);
        right
            .tier
            .cmp(&left.tier)
            .then_with(by_name)
            .then_with(|| right.entry.version.cmp(&left.entry.version))
    });
    best.cloned()
}

/// The first interface that nothing will offer, and who needs it.
fn missing(installed: &Lock, steps: &[Step]) -> Option<(InterfaceName, PluginId)> {
    let stays = |id: &PluginId| steps.iter().all(|step| step.offered.entry.id != *id);
    let kept: Vec<(&PluginId, &Locked)> = installed.plugins.iter().filter(|(id, _)| stays(id)).collect();
    let new = || steps.iter().map(|step| (&step.offered.entry.id, &step.offered.entry.facts));
    let has = |wanted: &InterfaceName| {
        kept.iter().flat_map(|(_, plugin)| &plugin.offers).any(|have| have.satisfies(wanted))
            || new().flat_map(|(_, facts)| &facts.offers).any(|have| have.satisfies(wanted))
    };
    let needs = new()
        .flat_map(|(id, facts)| facts.needs.iter().map(move |need| (need, id)))
        .chain(kept.iter().flat_map(|(id, plugin)| plugin.needs.iter().map(move |need| (need, *id))));
    needs.into_iter().find(|(need, _)| !has(need)).map(|(need, id)| (need.clone(), id.clone()))
}

fn check_slots(installed: &Lock, steps: &[Step]) -> Result<(), Box<ResolveError>> {
    let mut claims: BTreeMap<String, Vec<(&PluginId, SlotMode, &InterfaceName)>> = BTreeMap::new();
    let stays = |id: &PluginId| steps.iter().all(|step| step.offered.entry.id != *id);
    let kept = installed.plugins.iter().filter(|(id, _)| stays(id)).map(|(id, plugin)| (id, &plugin.slots));
    let new = steps.iter().map(|step| (&step.offered.entry.id, &step.offered.entry.facts.slots));
    for (id, slots) in kept.chain(new) {
        for slot in slots {
            claims.entry(slot.interface.to_string()).or_default().push((id, slot.mode, &slot.interface));
        }
    }
    for owners in claims.values() {
        if let [(left, _, interface), (right, ..), ..] = owners.as_slice()
            && owners.iter().any(|(_, mode, _)| *mode == SlotMode::Exclusive)
        {
            return Err(Box::new(ResolveError::Slot {
                interface: (*interface).clone(),
                left: (*left).clone(),
                right: (*right).clone(),
            }));
        }
    }
    Ok(())
}

/// What is left without some plugins: also without those that only they needed.
///
/// # Errors
/// If one that stays needs one that would go.
pub fn without(installed: &Lock, gone: &[PluginId]) -> Result<BTreeMap<PluginId, Locked>, Box<ResolveError>> {
    let mut left = installed.plugins.clone();
    left.retain(|id, _| !gone.contains(id));
    for id in gone {
        let Some(plugin) = installed.plugins.get(id) else {
            return Err(Box::new(ResolveError::Unknown { id: id.clone(), version: None }));
        };
        let offered = |wanted: &InterfaceName| {
            left.values().flat_map(|plugin| &plugin.offers).any(|have| have.satisfies(wanted))
        };
        for (by, other) in &left {
            let lost = other
                .needs
                .iter()
                .find(|need| plugin.offers.iter().any(|have| have.satisfies(need)) && !offered(need));
            if let Some(interface) = lost {
                let (id, by, interface) = (id.clone(), by.clone(), interface.clone());
                return Err(Box::new(ResolveError::Needed { id, by, interface }));
            }
        }
    }
    // What nobody asked for goes with the last one that needed it.
    loop {
        let needed = |plugin: &Locked| {
            left.values()
                .flat_map(|other| &other.needs)
                .any(|need| plugin.offers.iter().any(|have| have.satisfies(need)))
        };
        let orphan =
            left.iter().find(|(_, plugin)| !plugin.asked && !needed(plugin)).map(|(id, _)| id.clone());
        match orphan {
            Some(id) => drop(left.remove(&id)),
            None => return Ok(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use loong_manifest::{Digest, Kind, Slot};
    use loong_trust::UtcTime;

    use super::*;
    use crate::entry::{ENTRY_SCHEMA, EntryFacts, Yanked};

    /// `ID VERSION [tier] [offers=I] [needs=I] [slot=I] [shared=I] [yanked] [other]`
    fn offered(text: &str) -> Offered {
        let mut words = text.split(' ');
        let id: PluginId = words.next().unwrap().parse().unwrap();
        let version = words.next().unwrap().parse().unwrap();
        let mut bytes = text.split(' ').take(2).collect::<String>();
        let mut facts = EntryFacts {
            schema: ENTRY_SCHEMA.into(),
            kind: Kind::Tool,
            summary: "x".into(),
            tags: vec![],
            offers: vec![],
            needs: vec![],
            capabilities: vec![],
            slots: vec![],
            built: None,
            published: UtcTime::MAX,
            yanked: None,
        };
        let (mut tier, mut registry) = (Tier::VerifiedCommunity, "main".to_owned());
        for word in words {
            match word.split_once('=') {
                Some(("offers", name)) => facts.offers.push(name.parse().unwrap()),
                Some(("needs", name)) => facts.needs.push(name.parse().unwrap()),
                Some(("slot", name)) => {
                    facts.slots.push(Slot { interface: name.parse().unwrap(), mode: SlotMode::Exclusive });
                }
                Some(("shared", name)) => {
                    facts.slots.push(Slot { interface: name.parse().unwrap(), mode: SlotMode::Shared });
                }
                Some(("in", name)) => registry = name.to_owned(),
                _ if word == "official" => tier = Tier::Official,
                _ if word == "unverified" => tier = Tier::Unverified,
                _ if word == "yanked" => {
                    facts.yanked = Some(Yanked { reason: "bad".into(), since: UtcTime::MAX });
                }
                _ => bytes.push_str(word),
            }
        }
        let digest = Digest::of(bytes.as_bytes());
        Offered { registry, tier, entry: Entry { id, version, digest, size_bytes: 1, facts, files: vec![] } }
    }

    fn locked(lines: &[&str]) -> Lock {
        let mut lock = Lock::empty();
        for line in lines {
            let asked = !line.contains("implied");
            let Offered { registry, tier, entry } = offered(&line.replace(" implied", ""));
            let plugin = Locked {
                version: entry.version,
                digest: entry.digest,
                kind: Kind::Tool,
                summary: "x".into(),
                registry,
                tier,
                signed_by: None,
                asked,
                pinned: false,
                offers: entry.facts.offers,
                needs: entry.facts.needs,
                slots: entry.facts.slots,
                files: BTreeMap::new(),
            };
            lock.plugins.insert(entry.id, plugin);
        }
        lock
    }

    fn wanted(text: &str) -> Wanted {
        let (id, version) = text.split_once(' ').map_or((text, None), |(id, version)| (id, Some(version)));
        let downgrade = version.is_some_and(|version| version.ends_with('!'));
        let version = version.map(|version| version.trim_end_matches('!').parse().unwrap());
        Wanted { id: id.parse().unwrap(), version, downgrade }
    }

    #[track_caller]
    fn check(installed: &[&str], offers: &[&str], want: &str, expected: &str) {
        let offers: Vec<Offered> = offers.iter().map(|text| offered(text)).collect();
        let found = match resolve(&locked(installed), &offers, &[wanted(want)]) {
            Ok(steps) => {
                let words = steps
                    .iter()
                    .map(|step| format!("{} {}", step.offered.entry.id, step.offered.entry.version));
                words.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_newest_version_is_taken_unless_one_is_named() {
        let offers = ["a:x 1.0.0", "a:x 1.10.0", "a:x 1.9.0", "a:x 2.0.0-rc.1", "a:x 1.11.0 yanked"];
        check(&[], &offers, "a:x", "a:x 1.10.0");
        check(&[], &offers, "a:x 1.9.0", "a:x 1.9.0");
        check(&[], &offers, "a:x 2.0.0-rc.1", "a:x 2.0.0-rc.1");
        check(&[], &offers, "a:x 1.11.0", "`a:x` 1.11.0 was taken back: bad");
        check(&[], &offers, "a:x 3.0.0", "no registry has `a:x` 3.0.0");
        check(&[], &offers, "b:x", "no registry has `b:x`");
        check(&["a:x 1.10.0"], &offers, "a:x", "");
        check(&["a:x 1.9.0"], &offers, "a:x", "a:x 1.10.0");
    }

    #[test]
    fn an_older_version_is_taken_only_on_purpose() {
        let offers = ["a:x 1.0.0", "a:x 1.1.0"];
        check(&["a:x 1.1.0"], &offers, "a:x 1.0.0", "`a:x` 1.0.0 is older than 1.1.0, which is installed");
        check(&["a:x 1.1.0"], &offers, "a:x 1.0.0!", "a:x 1.0.0");
        check(&["a:x 1.2.0"], &offers, "a:x", "`a:x` 1.1.0 is older than 1.2.0, which is installed");
    }

    #[test]
    fn one_version_has_the_same_bytes_everywhere() {
        let same = ["a:x 1.0.0 in=one", "a:x 1.0.0 in=two"];
        check(&[], &same, "a:x", "a:x 1.0.0");
        let other = ["a:x 1.0.0 in=one", "a:x 1.0.0 other in=two"];
        check(&[], &other, "a:x", "`a:x` 1.0.0 has other bytes in `one` than in `two`");
    }

    #[test]
    fn what_is_needed_comes_along() {
        let offers = [
            "a:x 1.0.0 needs=k:store/kv@1.1.0",
            "z:kv 1.0.0 official offers=k:store/kv@1.2.0",
            "b:kv 1.0.0 offers=k:store/kv@1.1.0",
            "z:kv 1.1.0 official offers=k:store/kv@2.0.0",
            "a:kv 1.0.0 unverified offers=k:store/kv@1.1.0",
        ];
        check(&[], &offers, "a:x", "a:x 1.0.0, z:kv 1.0.0");
        check(&["b:kv 1.0.0 offers=k:store/kv@1.1.0"], &offers, "a:x", "a:x 1.0.0");
        check(&["b:kv 1.0.0 offers=k:store/kv@1.0.0"], &offers, "a:x", "a:x 1.0.0, z:kv 1.0.0");
        let none = "`a:x` needs `k:store/kv@1.1.0`, which nothing offers that is installed or in a registry";
        check(&[], &offers[..1], "a:x", none);
        check(&[], &[offers[0], offers[4]], "a:x", none);
        // An update must not take away what others need.
        let update = ["k:v 1.0.0 offers=k:store/kv@1.0.0", "k:v 2.0.0 offers=k:store/kv@2.0.0"];
        let installed = ["a:x 1.0.0 needs=k:store/kv@1.0.0", "k:v 1.0.0 offers=k:store/kv@1.0.0"];
        let lost = "`a:x` needs `k:store/kv@1.0.0`, which nothing offers that is installed or in a registry";
        check(&installed, &update, "k:v", lost);
    }

    #[test]
    fn an_exclusive_slot_has_one_owner() {
        let taken = "`a:x` and `a:y` both want the slot `s:s/s`, which is exclusive";
        check(&["a:x 1.0.0 slot=s:s/s"], &["a:y 1.0.0 slot=s:s/s"], "a:y", taken);
        check(&["a:x 1.0.0 shared=s:s/s"], &["a:y 1.0.0 slot=s:s/s"], "a:y", taken);
        check(&["a:x 1.0.0 slot=s:s/s"], &["a:y 1.0.0 shared=s:s/s"], "a:y", taken);
        check(&["a:x 1.0.0 shared=s:s/s"], &["a:y 1.0.0 shared=s:s/s"], "a:y", "a:y 1.0.0");
        check(&["a:x 1.0.0 slot=s:s/s"], &["a:x 1.1.0 slot=s:s/s"], "a:x", "a:x 1.1.0");
    }

    #[track_caller]
    fn check_without(installed: &[&str], gone: &str, expected: &str) {
        let found = match without(&locked(installed), &[gone.parse().unwrap()]) {
            Ok(left) => left.keys().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_nobody_needs_any_more_goes_too() {
        let installed = [
            "a:x 1.0.0 needs=k:s/kv",
            "b:y 1.0.0",
            "k:v 1.0.0 offers=k:s/kv needs=d:d/d implied",
            "l:w 1.0.0 offers=d:d/d implied",
        ];
        check_without(&installed, "a:x", "b:y");
        check_without(&installed, "b:y", "a:x, k:v, l:w");
        check_without(&installed, "k:v", "`a:x` needs `k:s/kv`, which only `k:v` offers");
        check_without(&installed, "n:n", "no registry has `n:n`");
        check_without(&["a:x 1.0.0 needs=k:s/kv", "k:v 1.0.0 offers=k:s/kv"], "a:x", "k:v");
    }
}
