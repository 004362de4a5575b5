//! Whole reviews: facts in, text out.

use std::path::Path;

use proptest::prelude::*;

use super::facts::{Change, ChangeKind, Commit, Crate, Facts, OwnVersion, Start};
use super::text::is_hidden;
use super::{json, markdown, missing_at_end, review};

/// Compares with a file of `tests/golden/`; `BLESS=1` writes it instead.
#[track_caller]
fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if option_env!("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs; BLESS=1 writes it anew", path.display());
}

fn commit(number: u8, subject: &str, body: &str) -> Commit {
    Commit {
        id: format!("{number:02x}").repeat(20),
        parents: 1,
        author: "Ann".to_owned(),
        email: "ann@example.org".to_owned(),
        time: 1_760_000_000 + i64::from(number) * 86_400,
        subject: subject.to_owned(),
        body: body.to_owned(),
    }
}

fn change(path: &str, kind: ChangeKind, added: u64, removed: u64) -> Change {
    Change { path: path.to_owned(), old_path: None, kind, added: Some(added), removed: Some(removed) }
}

/// A release with something of everything.
fn full() -> Facts {
    let mut commits = vec![
        commit(12, "Merge pull request #7 from x/y", ""),
        commit(11, "Revert \"feat: guess the range\"", "This reverts commit 0303030303030303."),
        commit(
            10,
            "feat(api)!: take a query instead of a name",
            "BREAKING CHANGE: `get` takes a query\n\nCo-authored-by: Cid <cid@example.org>",
        ),
        commit(9, "fix: stop at the end of the list (#12)", ""),
        commit(8, "fix(net): check the length (CVE-2026-0001)", ""),
        commit(7, "kernel: add a road for <b>nested</b> calls", ""),
        commit(6, "kernel: decide before the effect", ""),
        commit(5, "docs: say what [it](http://evil.example) is", ""),
        commit(4, "chore(deps): bump serde", ""),
        commit(3, "feat: guess the range", ""),
        commit(2, "fixup! fix: stop", ""),
        commit(1, "innocent\u{202e}txet\u{1b}[31m | `code` *bold*", ""),
    ];
    commits[0].parents = 2;
    commits[3].author = "Bob <script>".to_owned();
    commits[3].email = "bob@example.org".to_owned();
    let mut binary = change("tools/helper.bin", ChangeKind::Added, 0, 0);
    (binary.added, binary.removed) = (None, None);
    let changes = vec![
        change("Cargo.lock", ChangeKind::Modified, 6, 1),
        change("Cargo.toml", ChangeKind::Modified, 2, 1),
        change(".ci/run", ChangeKind::Modified, 3, 1),
        change("db/migrations/0002_more.sql", ChangeKind::Added, 2, 0),
        change("policies/default.cedar", ChangeKind::Modified, 4, 0),
        change("src/lib.rs", ChangeKind::Modified, 4, 2),
        change("src/main.rs", ChangeKind::Modified, 1, 0),
        change("tests/old.rs", ChangeKind::Deleted, 0, 40),
        binary,
        change("web/yarn.lock", ChangeKind::Modified, 100, 90),
        change("wit/api.wit", ChangeKind::Modified, 3, 1),
    ];
    Facts {
        start: Start::LastTag,
        to: "HEAD".to_owned(),
        to_id: Some("0c".repeat(20)),
        last_tag: Some("v1.4.2".to_owned()),
        commits,
        commits_more: false,
        changes,
        changes_more: false,
        diffs: vec![FULL_DIFF.to_owned()],
        unread: vec!["src/huge.rs".to_owned()],
        crates: vec![Crate { folder: String::new(), library: true, published: true }],
        own_version: Some(OwnVersion { path: "Cargo.toml".to_owned(), version: "1.4.2".to_owned() }),
    }
}

const FULL_DIFF: &str = "\
diff --git a/Cargo.lock b/Cargo.lock
--- a/Cargo.lock
+++ b/Cargo.lock
@@ -1,4 +1,9 @@
 [[package]]
 name = \"serde\"
-version = \"1.0.1\"
+version = \"1.0.2\"
 source = \"registry+https://example.org\"
+
+[[package]]
+name = \"left\"
+version = \"0.1.0\"
+source = \"git+https://example.org/left\"
diff --git a/Cargo.toml b/Cargo.toml
--- a/Cargo.toml
+++ b/Cargo.toml
@@ -1,1 +1,2 @@
-old = \"0.3\"
+serde = \"1.0.2\"
+left = { git = \"https://example.org/left\" }
diff --git a/db/migrations/0002_more.sql b/db/migrations/0002_more.sql
new file mode 100644
--- /dev/null
+++ b/db/migrations/0002_more.sql
@@ -0,0 +1,2 @@
+create table more (id integer);
+alter table less add column x;
diff --git a/src/lib.rs b/src/lib.rs
--- a/src/lib.rs
+++ b/src/lib.rs
@@ -1,3 +1,5 @@
-pub fn get(name: &str) -> Option<Item> {
-pub struct Gone;
+pub fn get(query: Query) -> Option<Item> {
+pub struct Query;
+    unsafe { std::hint::unreachable_unchecked() }
+// unsafe in a comment
 
diff --git a/src/main.rs b/src/main.rs
--- a/src/main.rs
+++ b/src/main.rs
@@ -1 +1,2 @@
 fn main() {
+    let x = \"\u{2066}hidden\u{2069}\";
diff --git a/wit/api.wit b/wit/api.wit
--- a/wit/api.wit
+++ b/wit/api.wit
@@ -1,3 +1,5 @@ interface api {
     record item {
         name: string,
+        size: u64,
     }
-    get: func(name: string) -> option<item>;
+    get: func(query: string) -> option<item>;
+    put: func(item: item);
";

#[test]
fn reviews_a_release_with_something_of_everything() {
    let review = review(&full());
    golden("full.md", &markdown(&review));
    golden("full.json", &json(&review));
}

#[test]
fn reviews_a_small_first_release() {
    let facts = Facts {
        start: Start::NoTag(50),
        to: "HEAD".to_owned(),
        to_id: Some("01".repeat(20)),
        commits: vec![commit(1, "Say hello", "")],
        changes: vec![change("hello.txt", ChangeKind::Added, 1, 0)],
        ..Facts::default()
    };
    let review = review(&facts);
    golden("small.md", &markdown(&review));
    golden("small.json", &json(&review));
}

#[test]
fn reviews_a_range_without_commits() {
    let facts = Facts {
        start: Start::LastTag,
        to: "HEAD".to_owned(),
        to_id: Some("01".repeat(20)),
        last_tag: Some("v1.0.0".to_owned()),
        ..Facts::default()
    };
    golden("nothing-since-tag.md", &markdown(&review(&facts)));
    let empty = Facts { to: "HEAD".to_owned(), ..Facts::default() };
    golden("empty-repository.md", &markdown(&review(&empty)));
}

/// Commits, contract and version: what is suggested.
#[track_caller]
fn check_version(tag: Option<&str>, own: Option<&str>, subject: &str, expected: (Option<&str>, &str)) {
    let facts = Facts {
        start: Start::LastTag,
        last_tag: tag.map(str::to_owned),
        commits: vec![commit(1, subject, "")],
        own_version: own
            .map(|version| OwnVersion { path: "Cargo.toml".to_owned(), version: version.to_owned() }),
        ..Facts::default()
    };
    let version = review(&facts).version;
    assert_eq!(
        (version.next.as_deref(), version.bump.map_or("", super::version::Bump::name)),
        expected,
        "{subject}"
    );
}

#[test]
fn suggests_versions() {
    check_version(Some("v1.2.3"), None, "feat!: x", (Some("v2.0.0"), "major"));
    check_version(Some("v1.2.3"), None, "feat: x", (Some("v1.3.0"), "minor"));
    check_version(Some("v1.2.3"), None, "net: add a guard", (Some("v1.3.0"), "minor"));
    check_version(Some("v1.2.3"), None, "fix: x", (Some("v1.2.4"), "patch"));
    check_version(Some("name-v0.2.3"), None, "feat!: x", (Some("name-v0.3.0"), "minor"));
    check_version(Some("0.2.3"), None, "feat: x", (Some("0.2.4"), "patch"));
    check_version(Some("nightly"), None, "feat: x", (None, ""));
    check_version(None, None, "feat: x", (Some("0.1.0"), ""));
    check_version(None, Some("0.4.0"), "feat: x", (Some("0.4.0"), ""));
}

#[test]
fn a_change_that_was_taken_back_counts_for_nothing() {
    let facts = Facts {
        start: Start::LastTag,
        last_tag: Some("v1.0.0".to_owned()),
        commits: vec![
            commit(2, "Revert \"feat!: x\"", &format!("This reverts commit {}.", "01".repeat(20))),
            commit(1, "feat!: x", ""),
        ],
        ..Facts::default()
    };
    let review = review(&facts);
    assert_eq!(review.version.next.as_deref(), Some("v1.0.1"));
    assert!(review.changelog.sections.is_empty());
}

#[test]
fn long_lists_end() {
    let commits = (0..60).map(|number| commit(number, &format!("fix: number {number}"), "")).collect();
    let changes =
        (0..300).map(|number| change(&format!("wit/{number}.wit"), ChangeKind::Deleted, 0, 1)).collect();
    let facts = Facts {
        start: Start::LastTag,
        last_tag: Some("1.0.0".to_owned()),
        commits,
        changes,
        ..Facts::default()
    };
    let text = markdown(&review(&facts));
    assert!(text.contains("- and 48 more\n"), "{text}");
    assert!(text.contains("100 contract changes are not listed."), "{text}");
    assert!(text.lines().count() < 250);
}

#[test]
fn knows_what_a_diff_that_was_cut_does_not_have() {
    let asked = ["Cargo.lock", "Cargo.toml", "src/lib.rs", "zzz"];
    let cut = FULL_DIFF.split("diff --git a/db/").next().unwrap();
    assert_eq!(missing_at_end(cut, asked.into_iter()), ["Cargo.toml", "src/lib.rs", "zzz"]);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(feat|fix|!|\\(|\\)|: |`|\\[|\\]|<|BREAKING CHANGE: |\n|\u{202e}|\u{1b}|pub fn |\"|\\\\|\\PC){0,24}",
    ]
}

prop_compose! {
    fn any_facts()(
        texts in proptest::collection::vec((any_text(), any_text(), any_text(), any::<i64>()), 0..5),
        paths in proptest::collection::vec((any_text(), "(wit/a.wit|src/a.rs|Cargo.toml|a.schema.json|\\PC{0,9})", any::<u64>()), 0..5),
        diff in "(diff --git a/x b/x\n|--- a/src/a.rs\n|[+][+][+] b/src/a.rs\n|[+][+][+] b/wit/a.wit\n|@@ -9 [+]9 @@\n|[-+ ]pub fn a\n|[-+ ]a: func\\(\n|\\PC{0,9}\n){0,30}",
        name in any_text(),
    ) -> Facts {
        let commits = texts.iter().map(|(subject, body, author, time)| Commit {
            id: subject.clone(), parents: body.len() % 3, author: author.clone(), email: author.clone(),
            time: *time, subject: subject.clone(), body: body.clone(),
        }).collect();
        let kinds = [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted, ChangeKind::Renamed];
        let changes = paths.iter().map(|(old, path, lines)| Change {
            path: path.clone(), old_path: Some(old.clone()), kind: kinds[old.len() % 4],
            added: Some(*lines), removed: Some(*lines),
        }).collect();
        Facts {
            start: Start::Revision(name.clone()), to: name.clone(), to_id: Some(name.clone()), last_tag: Some(name.clone()),
            commits, commits_more: true, changes, changes_more: true, diffs: vec![diff], unread: vec![name.clone()],
            crates: Vec::new(), own_version: Some(OwnVersion { path: name.clone(), version: name }),
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_repository_says_is_shown_safely(facts in any_facts()) {
        let review = review(&facts);
        for text in [markdown(&review), json(&review)] {
            let bad = text.chars().find(|character| (character.is_control() && *character != '\n') || is_hidden(*character));
            prop_assert_eq!(bad, None, "{}", text);
        }
        let text = markdown(&review);
        prop_assert!(!text.contains("<script"));
        // Headings and fences are ours alone.
        let fences = text.lines().filter(|line| line.starts_with("````")).count();
        prop_assert!(fences == 0 || fences == 2);
        let document: serde_json::Value = serde_json::from_str(&json(&review)).unwrap();
        prop_assert_eq!(&document["schema"], super::document::SCHEMA);
    }
}
