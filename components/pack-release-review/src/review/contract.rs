//! Changes of what others rely on, and how much each weighs.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{FileDiff, Side};
use super::facts::{Change, ChangeKind, Crate, Facts, crate_folder};
use super::items::{self, ItemChange};
use super::path::{self, ContractKind};
use super::text::counted;
use super::version::Weight;

/// A change of one contract file.
#[derive(Debug)]
pub(crate) struct Contract<'a> {
    pub(crate) change: &'a Change,
    pub(crate) kind: ContractKind,
    pub(crate) items: Vec<ItemChange>,
    /// Nothing when nobody outside the repository can rely on it, or when its text was not read.
    pub(crate) weight: Option<Weight>,
    /// Why it weighs that, as one phrase.
    pub(crate) why: String,
}

/// Diffs by path.
pub(crate) type Diffs<'a> = BTreeMap<&'a str, &'a FileDiff<'a>>;

/// Finds the contract changes, the heaviest first.
pub(crate) fn contracts<'a>(facts: &'a Facts, diffs: &Diffs<'_>) -> Vec<Contract<'a>> {
    let mut contracts: Vec<Contract> = facts
        .changes
        .iter()
        .filter_map(|change| {
            let diff = diffs.get(change.path.as_str()).copied();
            let unread = facts.unread.contains(&change.path);
            if let Some(kind) = path::contract(&change.path) {
                return Some(file(change, kind, diff, unread));
            }
            // A contract that was moved to where none is looked for, such as into the tests, is gone.
            let old = change.old_path.as_deref().filter(|_| change.kind == ChangeKind::Renamed)?;
            let (weight, why) = (Some(Weight::Breaking), "the file is no contract any more".to_owned());
            Some(Contract { change, kind: path::contract(old)?, items: Vec::new(), weight, why })
        })
        .collect();
    contracts.extend(public_api(facts, diffs));
    contracts.sort_by(|left, right| {
        let rank = |contract: &Contract| (contract.weight, std::cmp::Reverse(contract.kind));
        rank(right).cmp(&rank(left)).then_with(|| left.change.path.cmp(&right.change.path))
    });
    contracts
}

/// A file that is a contract as a whole.
fn file<'a>(change: &'a Change, kind: ContractKind, diff: Option<&FileDiff>, unread: bool) -> Contract<'a> {
    let contract = |items, weight, why: &str| Contract { change, kind, items, weight, why: why.to_owned() };
    let items = diff.map(|diff| declared(kind, diff)).unwrap_or_default();
    match (change.kind, kind) {
        (ChangeKind::Deleted, _) => return contract(items, Some(Weight::Breaking), "the file was deleted"),
        (ChangeKind::Added | ChangeKind::Copied, _) => {
            return contract(items, Some(Weight::Feature), "the file is new");
        }
        (ChangeKind::Renamed, _) if diff.is_none_or(|diff| diff.lines().next().is_none()) && !unread => {
            return contract(items, Some(Weight::Patch), "the file has another path");
        }
        _ => {}
    }
    let Some(diff) = diff else {
        return contract(items, None, "its text was not looked at");
    };
    let (removed, added) = meaning(kind, diff);
    if removed == 0 && added == 0 {
        return contract(items, Some(Weight::Patch), "only comments or layout changed");
    }
    if kind == ContractKind::Migration {
        return contract(items, Some(Weight::Breaking), "a migration that may have run already was changed");
    }
    let grew = |item: &ItemChange| item.item.kind == "member" && item.before.is_none();
    let drops = |item: &ItemChange| item.item.kind.starts_with("drop") && item.after.is_some();
    if items.iter().any(drops) {
        return contract(items, Some(Weight::Breaking), "something is dropped");
    }
    if items.iter().any(|item| item.before.is_some()) {
        return contract(items, Some(Weight::Breaking), "what was declared was removed or changed");
    }
    if items.iter().any(grew) {
        return contract(items, Some(Weight::Breaking), "an existing type or parameter list grew");
    }
    if removed > 0 {
        let why = format!(
            "{} removed or changed",
            counted(removed, "line that mattered was", "lines that mattered were")
        );
        return contract(items, Some(Weight::Breaking), &why);
    }
    contract(items, Some(Weight::Feature), "only additions")
}

/// What a contract file declares otherwise than before.
fn declared(kind: ContractKind, diff: &FileDiff) -> Vec<ItemChange> {
    match kind {
        ContractKind::Wit => {
            let mut changes = items::changes(diff, items::wit);
            changes.extend(members(diff));
            changes
        }
        ContractKind::Interface => items::changes(diff, items::idl),
        ContractKind::Schema | ContractKind::Migration if diff.path.ends_with(".sql") => {
            items::changes(diff, items::sql)
        }
        _ => Vec::new(),
    }
}

/// Members of WIT types that stay: those whose opening line is neither added nor removed.
fn members(diff: &FileDiff) -> Vec<ItemChange> {
    let side = |wanted: Side| {
        let mut kept = Vec::new();
        for hunk in &diff.hunks {
            let mut opened_here = false;
            for line in hunk.iter().filter(|line| line.side == wanted || line.side == Side::Both) {
                let text = line.text.trim();
                if text.ends_with(['{', '(']) {
                    opened_here = line.side == wanted;
                } else if text.starts_with(['}', ')']) {
                    opened_here = false;
                } else if line.side == wanted && !opened_here && items::wit_member(text).is_some() {
                    kept.push(*line);
                }
            }
        }
        kept
    };
    let lines = side(Side::Old).into_iter().chain(side(Side::New)).collect();
    items::changes(&FileDiff { path: String::new(), hunks: vec![lines] }, items::wit_member)
}

/// Lines that were removed and added, less comments, layout and what is on both sides.
fn meaning(kind: ContractKind, diff: &FileDiff) -> (usize, usize) {
    let comments: &[&str] = match kind {
        ContractKind::Wit | ContractKind::Interface => &["//", "/*", "*", "#"],
        ContractKind::Migration => &["--", "//", "#"],
        ContractKind::Schema | ContractKind::PluginManifest | ContractKind::PublicApi => &[
            "--",
            "//",
            "#",
            "\"description\"",
            "\"title\"",
            "\"$comment\"",
            "\"examples\"",
            "description:",
            "title:",
            "summary:",
        ],
    };
    let lines = |side: Side| -> Vec<&str> {
        diff.lines()
            .filter(|line| line.side == side)
            .map(|line| line.text.trim().trim_end_matches(','))
            .filter(|text| !text.is_empty() && !comments.iter().any(|comment| text.starts_with(comment)))
            .collect()
    };
    let (mut removed, mut added) = (lines(Side::Old), lines(Side::New));
    // Counts of equal lines cancel out, in any order: a generator may write the same in another one.
    removed.sort_unstable();
    added.sort_unstable();
    let (before, after) = (removed.len(), added.len());
    let mut same = 0;
    let (mut old, mut new) = (removed.iter().peekable(), added.iter().peekable());
    while let (Some(left), Some(right)) = (old.peek(), new.peek()) {
        match left.cmp(right) {
            std::cmp::Ordering::Less => drop(old.next()),
            std::cmp::Ordering::Greater => drop(new.next()),
            std::cmp::Ordering::Equal => {
                same += 1;
                old.next();
                new.next();
            }
        }
    }
    (before - same, after - same)
}

/// Public declarations of source files that changed.
fn public_api<'a>(facts: &'a Facts, diffs: &Diffs<'_>) -> Vec<Contract<'a>> {
    let crates: BTreeMap<&str, &Crate> =
        facts.crates.iter().map(|found| (found.folder.as_str(), found)).collect();
    let mut files: Vec<(&Change, Option<&Crate>, Vec<ItemChange>)> = Vec::new();
    for change in &facts.changes {
        let known = crate_folder(&change.path).and_then(|folder| crates.get(folder)).copied();
        if !path::is_library_source(&change.path) || known.is_some_and(|known| !known.library) {
            continue;
        }
        if path::contract(&change.path).is_some() {
            continue;
        }
        if let (Some((_, declares)), Some(diff)) =
            (items::declares(&change.path), diffs.get(change.path.as_str()))
        {
            files.push((change, known, items::changes(diff, declares)));
        }
    }
    drop_what_moved(&mut files);
    files
        .into_iter()
        .filter(|(_, _, items)| !items.is_empty())
        .map(|(change, known, items)| {
            let broken = items.iter().filter(|item| item.before.is_some()).count();
            let weight = if broken > 0 { Weight::Breaking } else { Weight::Feature };
            let why = match broken {
                0 => counted(items.len(), "declaration was added", "declarations were added"),
                _ => counted(
                    broken,
                    "declaration was removed or changed",
                    "declarations were removed or changed",
                ),
            };
            let published = known.is_none_or(|known| known.published);
            let why = if published { why } else { format!("{why}; the crate is not published") };
            Contract {
                change,
                kind: ContractKind::PublicApi,
                items,
                weight: published.then_some(weight),
                why,
            }
        })
        .collect()
}

/// A declaration that left one file of a crate and came to another one unchanged is none.
fn drop_what_moved(files: &mut [(&Change, Option<&Crate>, Vec<ItemChange>)]) {
    let place = |change: &Change| {
        let folder =
            crate_folder(&change.path).or_else(|| change.path.rsplit_once('/').map(|(folder, _)| folder));
        folder.unwrap_or_default().to_owned()
    };
    let side = |wanted: ChangeKind,
                files: &[(&Change, Option<&Crate>, Vec<ItemChange>)]|
     -> BTreeSet<(String, String)> {
        files
            .iter()
            .flat_map(|(change, _, items)| {
                let place = place(change);
                items.iter().filter(move |item| item.kind() == wanted).filter_map(move |item| {
                    let line = item.before.as_ref().or(item.after.as_ref())?;
                    Some((place.clone(), line.clone()))
                })
            })
            .collect()
    };
    let (gone, come) = (side(ChangeKind::Deleted, files), side(ChangeKind::Added, files));
    for (change, _, items) in files.iter_mut() {
        let place = place(change);
        items.retain(|item| {
            let line = item.before.as_ref().or(item.after.as_ref()).cloned().unwrap_or_default();
            let key = (place.clone(), line);
            item.kind() == ChangeKind::Modified || !(gone.contains(&key) && come.contains(&key))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::diff::parse;

    /// One modified file whose hunk lines have their marks.
    #[track_caller]
    fn check(path: &str, hunk: &str, expected: Option<Weight>, why: &str) {
        let count = |marks: &[char]| hunk.lines().filter(|line| line.starts_with(marks)).count();
        let text = format!(
            "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{} +1,{} @@\n{hunk}\n",
            count(&['-', ' ']),
            count(&['+', ' '])
        );
        let crates = vec![
            Crate { folder: "program".to_owned(), library: false, published: true },
            Crate { folder: "inner".to_owned(), library: true, published: false },
        ];
        let change = Change {
            path: path.to_owned(),
            old_path: None,
            kind: ChangeKind::Modified,
            added: Some(1),
            removed: Some(1),
        };
        let facts = Facts { crates, changes: vec![change], ..Facts::default() };
        let files = parse(&text);
        let diffs: Diffs = files.iter().map(|file| (file.path.as_str(), file)).collect();
        let found = contracts(&facts, &diffs);
        let found: Vec<_> = found.iter().map(|contract| (contract.weight, contract.why.as_str())).collect();
        if why.is_empty() { assert_eq!(found, []) } else { assert_eq!(found, [(expected, why)], "{hunk}") }
    }

    const BREAKING: Option<Weight> = Some(Weight::Breaking);
    const FEATURE: Option<Weight> = Some(Weight::Feature);
    const PATCH: Option<Weight> = Some(Weight::Patch);
    const DECLARED: &str = "what was declared was removed or changed";

    #[test]
    fn weighs_changes_of_wit() {
        check("wit/a.wit", "+    get: func();", FEATURE, "only additions");
        check("wit/a.wit", "-    get: func();", BREAKING, DECLARED);
        check("wit/a.wit", "-    get: func();\n+    get: func(x: u8);", BREAKING, DECLARED);
        check("wit/a.wit", "-    /// Old.\n+    /// New.", PATCH, "only comments or layout changed");
        check(
            "wit/a.wit",
            "     record r {\n         a: u8,\n+        b: u8,",
            BREAKING,
            "an existing type or parameter list grew",
        );
        check(
            "wit/a.wit",
            "         a: u8,\n+        b: u8,",
            BREAKING,
            "an existing type or parameter list grew",
        );
        check(
            "wit/a.wit",
            "     x: u8,\n     }\n+    record r {\n+        a: u8,\n+    }",
            FEATURE,
            "only additions",
        );
        check("wit/a.wit", "     enum e {\n-        a,\n-        b,\n+        b,", BREAKING, DECLARED);
    }

    #[test]
    fn weighs_changes_of_schemas_and_migrations() {
        check(
            "x.schema.json",
            "-    \"a\",\n-    \"b\"\n+    \"b\",\n+    \"a\"",
            PATCH,
            "only comments or layout changed",
        );
        check("x.schema.json", "+  \"c\": {}", FEATURE, "only additions");
        check("x.schema.json", "-  \"c\": {}", BREAKING, "1 line that mattered was removed or changed");
        check(
            "migrations/1.sql",
            "+alter table t add x;",
            BREAKING,
            "a migration that may have run already was changed",
        );
        check("migrations/1.sql", "+-- why", PATCH, "only comments or layout changed");
        check("db/schema.sql", "+drop table t;", BREAKING, "something is dropped");
        check("a.proto", "-  string name = 1;", BREAKING, DECLARED);
        check("a.proto", "+  string name = 2;", FEATURE, "only additions");
    }

    #[test]
    fn weighs_changes_of_public_items() {
        check(
            "lib/src/a.rs",
            "-pub fn a();\n+pub fn a(x: u8);",
            BREAKING,
            "1 declaration was removed or changed",
        );
        check("lib/src/a.rs", "+pub fn a();\n+pub fn b();", FEATURE, "2 declarations were added");
        check("lib/src/a.rs", "-fn a();\n+pub(crate) fn a();", None, "");
        check("program/src/a.rs", "-pub fn a();", None, "");
        check(
            "inner/src/a.rs",
            "-pub fn a();",
            None,
            "1 declaration was removed or changed; the crate is not published",
        );
        check("lib/src/tests.rs", "-pub fn a();", None, "");
        check("pkg/a.py", "-def run(a):\n+def run(a, b):", BREAKING, "1 declaration was removed or changed");
    }

    #[test]
    fn follows_contracts_to_other_places() {
        let check = |kind: ChangeKind, from: &str, to: &str, expected: Option<(Option<Weight>, &str)>| {
            let (path, old_path) = (to.to_owned(), Some(from.to_owned()));
            let change = Change { path, old_path, kind, added: Some(0), removed: Some(0) };
            let facts = Facts { changes: vec![change], ..Facts::default() };
            let found = contracts(&facts, &Diffs::new());
            let found = found.first().map(|contract| (contract.weight, contract.why.as_str()));
            assert_eq!(found, expected, "{from} {to}");
        };
        check(ChangeKind::Copied, "wit/a.wit", "tests/wit-released/a.wit", None);
        check(ChangeKind::Copied, "wit/a.wit", "wit/b.wit", Some((FEATURE, "the file is new")));
        check(ChangeKind::Renamed, "wit/a.wit", "wit/b.wit", Some((PATCH, "the file has another path")));
        let gone = Some((BREAKING, "the file is no contract any more"));
        check(ChangeKind::Renamed, "wit/a.wit", "tests/a.wit", gone);
    }

    #[test]
    fn takes_no_move_inside_a_crate_for_a_change() {
        let text = "diff --git a/l/src/a.rs b/l/src/a.rs\n--- a/l/src/a.rs\n+++ b/l/src/a.rs\n@@ -1 +0,0 @@\n-pub fn x();\n\
                    diff --git a/l/src/b.rs b/l/src/b.rs\n--- a/l/src/b.rs\n+++ b/l/src/b.rs\n@@ -0,0 +1 @@\n+pub fn x();\n";
        let files = parse(text);
        let diffs: Diffs = files.iter().map(|file| (file.path.as_str(), file)).collect();
        let change = |path: &str| Change {
            path: path.to_owned(),
            old_path: None,
            kind: ChangeKind::Modified,
            added: None,
            removed: None,
        };
        let facts = Facts { changes: vec![change("l/src/a.rs"), change("l/src/b.rs")], ..Facts::default() };
        assert!(contracts(&facts, &diffs).is_empty());
    }
}
