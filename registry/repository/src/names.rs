//! Names that are easily taken for one another. Ids are plain ASCII, so what is left are letters that look alike, one
//! letter more, less or other, and two that changed places. Pure.

use std::collections::{BTreeMap, BTreeSet};

use loong_manifest::PluginId;

/// Shortest name of which one letter may be mistaken: shorter ones are too often near to each other by chance.
const LETTERS_MIN: usize = 5;

/// The others that an id is easily taken for.
pub fn similar_to<'i>(id: &PluginId, others: impl Iterator<Item = &'i PluginId>) -> Vec<PluginId> {
    let mut found: Vec<PluginId> = others.filter(|other| similar(id, other)).cloned().collect();
    found.sort();
    found.dedup();
    found
}

/// Ids of different publishers that are easily taken for one another, each pair once, the later one first.
pub fn similar_names(ids: &[PluginId]) -> Vec<(PluginId, PluginId)> {
    // Those that look alike or share a rest, so that ten thousand names are not compared with each other.
    let mut together: BTreeMap<String, Vec<&PluginId>> = BTreeMap::new();
    for id in ids {
        let mut keys = rests(id.name());
        keys.insert(look(id.name()));
        for key in keys {
            together.entry(key).or_default().push(id);
        }
    }
    let mut pairs = BTreeSet::new();
    for near in together.values() {
        for (at, left) in near.iter().enumerate() {
            for right in near.iter().skip(at + 1).filter(|right| similar(left, right)) {
                pairs.insert(((*left.max(right)).clone(), (*left.min(right)).clone()));
            }
        }
    }
    pairs.into_iter().collect()
}

/// One's own names are no matter; the same name of another publisher says whose it is, unless the publishers are
/// easily taken for one another.
fn similar(left: &PluginId, right: &PluginId) -> bool {
    left.publisher() != right.publisher()
        && if left.name() == right.name() {
            near(left.publisher(), right.publisher())
        } else {
            near(left.name(), right.name())
        }
}

fn near(left: &str, right: &str) -> bool {
    look(left) == look(right) || !rests(left).is_disjoint(&rests(right))
}

/// What is left of a name without one of its letters, and the name; nothing of a short one.
fn rests(name: &str) -> BTreeSet<String> {
    if name.len() < LETTERS_MIN {
        return BTreeSet::new();
    }
    let without =
        |at: usize| name.char_indices().filter(|(place, _)| *place != at).map(|(_, letter)| letter).collect();
    (0..name.len()).map(without).chain([name.to_owned()]).collect()
}

/// What a name looks like at a glance.
fn look(name: &str) -> String {
    name.replace('-', "")
        .replace("rn", "m")
        .replace("vv", "w")
        .replace(['1', 'i'], "l")
        .replace('0', "o")
        .replace('5', "s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: &[(&str, &str)]) {
        let ids: Vec<PluginId> = names.iter().map(|name| name.parse().unwrap()).collect();
        let found: Vec<(String, String)> =
            similar_names(&ids).iter().map(|(left, right)| (left.to_string(), right.to_string())).collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect();
        assert_eq!(found, expected);
        // Asked for one of them, the answer is the same.
        for id in &ids {
            let like = similar_to(id, ids.iter()).len();
            let pairs = found.iter().filter(|(left, right)| [left, right].contains(&&id.to_string())).count();
            assert_eq!(like, pairs, "{id}");
        }
    }

    #[test]
    fn names_that_look_alike_are_found() {
        check(&["core:weather", "evil:weathor"], &[("evil:weathor", "core:weather")]);
        check(&["core:weather", "evil:wheather"], &[("evil:wheather", "core:weather")]);
        check(&["core:weather", "evil:weahter"], &[("evil:weahter", "core:weather")]);
        check(&["core:git-log", "evil:gitlog"], &[("evil:gitlog", "core:git-log")]);
        check(&["core:mail", "evil:rnail"], &[("evil:rnail", "core:mail")]);
        check(&["core:tool", "evil:t00l"], &[("evil:t00l", "core:tool")]);
    }

    #[test]
    fn publishers_that_look_alike_are_found() {
        check(&["acme:weather", "acrne:weather"], &[("acrne:weather", "acme:weather")]);
        check(&["example:git", "exarnple:git"], &[("exarnple:git", "example:git")]);
        check(&["example:git", "exemple:git"], &[("exemple:git", "example:git")]);
    }

    #[test]
    fn others_are_not() {
        check(&["core:weather", "core:weathor"], &[]);
        check(&["core:weather", "acme:weather"], &[]);
        check(&["core:git", "acme:get"], &[]);
        check(&["core:weather", "acme:calendar"], &[]);
    }
}
