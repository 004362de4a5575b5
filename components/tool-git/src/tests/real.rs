//! What the operations say of ordinary repositories.

use super::repo::Repo;
use crate::Error;
use crate::change::{Change, Group, Kind};
use crate::repository::Query;

fn query(from: Option<&str>, limit: u32, first_parent: bool) -> Query {
    Query { from: from.map(str::to_owned), to: None, limit, first_parent }
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let (added, removed) = change.lines.map_or((-1, -1), |(a, r)| (i64::from(a), i64::from(r)));
            let old = change.old_path.as_ref().map(|old| format!("{old} -> ")).unwrap_or_default();
            format!("{:?} {old}{} +{added} -{removed}", change.kind, change.path)
        })
        .collect()
}

/// One release, then a branch that is merged, with something of every kind of change.
fn shop() -> Repo {
    let repo = Repo::empty();
    repo.write("src/lib.rs", "one\ntwo\nthree\nfour\n");
    repo.write("old.txt", "a\nb\nc\nd\ne\nf\n");
    repo.write("link", "x\n");
    repo.write("logo.png", b"\0\x01");
    repo.commit(0, "feat: first\n\nwith a body\n\nand more\n\n");
    repo.tag(0, "v1.0.0");
    repo.git("checkout -q -b side");
    repo.write("side.txt", "s\n");
    repo.commit(1, "side");
    repo.git("checkout -q main");
    repo.write("src/lib.rs", "one\nTWO\nthree\nfour\n");
    repo.git("mv old.txt new.txt");
    repo.write("logo.png", b"\0\x02");
    std::fs::remove_file(repo.path().join("link")).unwrap();
    std::os::unix::fs::symlink("src", repo.path().join("link")).unwrap();
    repo.commit(2, "fix: main");
    repo.merge(3, "side");
    repo
}

#[test]
fn lists_commits_the_newest_first() {
    let repo = shop();
    let log = repo.open().log(&query(None, 100, false)).unwrap();
    let subjects: Vec<_> = log.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(subjects, ["merge", "fix: main", "side", "feat: first"]);
    assert_eq!(log[0].id, repo.git("rev-parse HEAD"));
    assert_eq!(log[0].parents, [log[1].id.as_str(), log[2].id.as_str()]);
    let first = &log[3];
    assert_eq!((first.author.as_str(), first.email.as_str()), ("Ada", "ada@example.com"));
    assert_eq!((first.time, first.body.as_str()), (1_700_000_000, "with a body\n\nand more"));
    assert!(first.parents.is_empty());
}

#[test]
fn a_range_a_limit_and_first_parents_narrow_the_list() {
    let repo = shop();
    let count = |query| repo.open().log(&query).unwrap().len();
    assert_eq!(count(query(Some("v1.0.0"), 100, false)), 3);
    assert_eq!(count(query(Some("v1.0.0"), 100, true)), 2);
    assert_eq!(count(query(None, 1, false)), 1);
    assert_eq!(count(query(None, 0, false)), 0);
    assert_eq!(count(query(None, u32::MAX, false)), 4);
    assert_eq!(count(query(Some("HEAD"), 9, false)), 0);
}

#[test]
fn lists_what_changed_between_two_revisions() {
    let repo = shop();
    let changes = repo.open().changes(Some("v1.0.0"), "HEAD").unwrap();
    assert_eq!(
        lines(&changes),
        [
            "TypeChanged link +1 -1",
            "Modified logo.png +-1 --1",
            "Renamed old.txt -> new.txt +0 -0",
            "Added side.txt +1 -0",
            "Modified src/lib.rs +1 -1",
        ]
    );
    let changes = repo.open().changes(None, "v1.0.0").unwrap();
    assert!(changes.iter().all(|change| change.kind == Kind::Added) && changes.len() == 4);
    assert_eq!(repo.open().changes(Some("HEAD"), "HEAD"), Ok(vec![]));
}

#[test]
fn a_copy_names_where_it_came_from() {
    let repo = Repo::empty();
    let content: String = (0..50).map(|line| format!("line {line}\n")).collect();
    repo.write("a", &content);
    repo.commit(0, "a");
    repo.write("b", &content);
    repo.write("a", format!("{content}more\n"));
    repo.commit(1, "b");
    let changes = repo.open().changes(Some("HEAD~1"), "HEAD").unwrap();
    assert_eq!(lines(&changes), ["Modified a +1 -0", "Copied a -> b +0 -0"]);
}

#[test]
fn lists_what_each_commit_changed() {
    let repo = shop();
    repo.commit(4, "nothing");
    let said = |query| {
        let groups = repo.open().commit_files(&query).unwrap();
        groups.iter().map(|group: &Group| lines(&group.files).join("; ")).collect::<Vec<_>>()
    };
    let fix = "TypeChanged link +1 -1; Modified logo.png +-1 --1; Renamed old.txt -> new.txt +0 -0; Modified src/lib.rs +1 -1";
    assert_eq!(said(query(Some("v1.0.0"), 9, false)), ["", "", fix, "Added side.txt +1 -0"]);
    assert_eq!(said(query(Some("v1.0.0"), 9, true)), ["", "Added side.txt +1 -0", fix]);
    assert_eq!(said(query(None, 9, true)).len(), 4);
    let ids: Vec<_> = repo.open().commit_files(&query(None, 9, false)).unwrap();
    let ids: Vec<_> = ids.into_iter().filter_map(|group| group.commit).collect();
    let log: Vec<_> = repo.open().log(&query(None, 9, false)).unwrap();
    assert_eq!(ids, log.into_iter().map(|commit| commit.id).collect::<Vec<_>>());
}

#[test]
fn lists_tags_the_newest_first_and_follows_them_to_commits() {
    let repo = shop();
    repo.tag(5, "-a -m x v2.0.0 HEAD~1");
    repo.tag(6, "-a -m x again v2.0.0");
    let blob = repo.git("rev-parse HEAD:side.txt");
    repo.tag(7, &format!("blob {blob}"));
    let tags = repo.open().tags().unwrap();
    let found: Vec<_> = tags.iter().map(|tag| (tag.name.as_str(), tag.commit.clone())).collect();
    let commit = repo.git("rev-parse HEAD~1");
    let nested = ("again", commit.clone());
    let first = ("v1.0.0", repo.git("rev-parse v1.0.0"));
    // An older git follows a tag of a tag by one step only, and such a tag is left out.
    let found: Vec<_> = found.into_iter().filter(|tag| *tag != nested).collect();
    assert_eq!(found, [("v2.0.0", commit), first]);
    assert_eq!(tags.last().map(|tag| tag.time), Some(1_700_000_000));
}

#[test]
fn finds_the_nearest_tag() {
    let repo = Repo::empty();
    let name = |revision| repo.open().last_tag(revision).unwrap().map(|tag| tag.name);
    assert_eq!(name(None), None);
    repo.commit(0, "one");
    assert_eq!(name(None), None);
    repo.tag(0, "v1");
    repo.commit(1, "two");
    repo.tag(1, "-a -m x v2");
    repo.commit(2, "three");
    // Made later, but not reached from here.
    repo.git("checkout -q --orphan other");
    repo.commit(8, "other");
    repo.tag(9, "v9");
    repo.git("checkout -q main");
    assert_eq!(name(None).as_deref(), Some("v2"));
    assert_eq!(name(Some("v2~1")).as_deref(), Some("v1"));
    assert_eq!(repo.open().last_tag(None).unwrap().unwrap().commit, repo.git("rev-parse HEAD~1"));
    assert_eq!(repo.open().last_tag(Some("nope")), Err(Error::UnknownRevision("nope".into())));
}

#[test]
fn a_tag_that_was_stored_under_another_name_is_found() {
    let repo = Repo::empty();
    repo.commit(0, "one");
    repo.tag(0, "-a -m x inner");
    repo.tag(0, "outer inner");
    repo.git("tag -d inner");
    repo.commit(1, "two");
    let tag = repo.open().last_tag(None).unwrap().unwrap();
    assert_eq!((tag.name.as_str(), tag.commit), ("outer", repo.git("rev-parse HEAD~1")));
}

#[test]
fn shows_a_diff_of_chosen_paths_up_to_a_limit() {
    let repo = shop();
    let diff = |paths: &[&str], bytes_max| {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        repo.open().diff(Some("v1.0.0"), "HEAD", &paths, bytes_max).unwrap()
    };
    let all = diff(&[], u32::MAX);
    assert!(!all.truncated && all.text.contains("rename to new.txt") && all.text.contains("Binary files"));
    let one = diff(&["src/"], 10_000);
    assert!(one.text.starts_with("diff --git a/src/lib.rs b/src/lib.rs\n"), "{}", one.text);
    assert!(one.text.ends_with(" one\n-two\n+TWO\n three\n four\n") && !one.truncated);
    let cut = diff(&["src"], 20);
    assert_eq!((cut.text.as_str(), cut.truncated), ("diff --git a/src/lib", true));
    assert_eq!(diff(&["src"], 0).text, "");
    assert_eq!(diff(&["no/such"], 10).text, "");
    // Not a pattern.
    assert_eq!(diff(&["*"], 10).text, "");
    let whole = repo.open().diff(None, "v1.0.0", &[], 10_000).unwrap();
    assert!(whole.text.contains("new file mode"));
}

#[test]
fn shows_a_file_as_it_was() {
    let repo = shop();
    repo.write("big", vec![b'x'; (4 << 20) + 1]);
    repo.write("full", vec![b'x'; 4 << 20]);
    repo.write("empty", "");
    repo.write("latin", b"\xe9\n");
    repo.commit(4, "more");
    let show = |revision, path| repo.open().show_file(revision, path);
    assert_eq!(show("v1.0.0", "src/lib.rs").unwrap().as_deref(), Some("one\ntwo\nthree\nfour\n"));
    assert_eq!(show("HEAD", "src/lib.rs").unwrap().as_deref(), Some("one\nTWO\nthree\nfour\n"));
    assert_eq!(show("HEAD", "link").unwrap().as_deref(), Some("src"));
    assert_eq!(show("HEAD", "empty").unwrap().as_deref(), Some(""));
    assert_eq!(show("HEAD", "latin").unwrap().as_deref(), Some("\u{fffd}\n"));
    for absent in ["old.txt", "src", "src/lib.rs/x", "*", ":(top)src"] {
        assert_eq!(show("HEAD", absent), Ok(None), "{absent}");
    }
    assert_eq!(show("HEAD", "big"), Err(Error::TooLarge(4 << 20)));
    assert_eq!(show("HEAD", "full").unwrap().map(|text| text.len()), Some(4 << 20));
    assert_eq!(show("nope", "link"), Err(Error::UnknownRevision("nope".into())));
}

#[test]
fn resolves_what_names_one_commit() {
    let repo = shop();
    let open = repo.open();
    let head = repo.git("rev-parse HEAD");
    assert_eq!(open.head(), Ok(Some(head.clone())));
    for revision in ["HEAD", "main", "@", "refs/heads/main", head.get(..12).unwrap(), "HEAD^0"] {
        assert_eq!(open.resolve(revision).as_ref(), Ok(&head), "{revision}");
    }
    let tree = repo.git("rev-parse HEAD^{tree}");
    for revision in ["nope", "HEAD~99", tree.as_str(), "0123456789012345678901234567890123456789", "HEAD^@"] {
        assert_eq!(open.resolve(revision), Err(Error::UnknownRevision(revision.into())));
    }
    assert!(matches!(open.resolve("--all"), Err(Error::Invalid(_))));
    repo.git("checkout -q --detach HEAD~1");
    assert_eq!(open.head(), Ok(Some(repo.git("rev-parse main~1"))));
}

#[test]
fn an_empty_repository_has_nothing_in_it() {
    let repo = Repo::empty();
    let open = repo.open();
    assert_eq!(open.head(), Ok(None));
    assert_eq!(open.log(&query(None, 9, false)), Ok(vec![]));
    assert_eq!(open.commit_files(&query(None, 9, false)), Ok(vec![]));
    assert_eq!(open.tags(), Ok(vec![]));
    assert_eq!(open.last_tag(None), Ok(None));
    assert_eq!(open.resolve("HEAD"), Err(Error::UnknownRevision("HEAD".into())));
    assert_eq!(open.changes(None, "HEAD"), Err(Error::UnknownRevision("HEAD".into())));
}

#[test]
fn a_shallow_clone_ends_where_it_was_cut() {
    let repo = shop();
    repo.git(&format!("clone -q --depth 1 file://{} shallow", repo.path().display()));
    let open = repo.open_folder("shallow", u64::MAX);
    let log = open.log(&query(None, 9, false)).unwrap();
    assert!(log.len() == 1 && log[0].parents.is_empty());
    let files = open.commit_files(&query(None, 9, true)).unwrap();
    assert_eq!(files[0].files.len(), 5);
    assert!(matches!(open.resolve("HEAD~1"), Err(Error::UnknownRevision(_))));
}

#[test]
fn a_repository_with_sha256_ids_is_read_the_same() {
    let repo = Repo::nothing();
    repo.git("init -q -b main --object-format=sha256 .");
    repo.write("a", "x\n");
    let id = repo.commit(0, "one");
    repo.tag(0, "v1");
    let open = repo.open();
    assert_eq!((id.len(), open.head()), (64, Ok(Some(id))));
    assert_eq!(lines(&open.changes(None, "HEAD").unwrap()), ["Added a +1 -0"]);
    assert_eq!(open.last_tag(None).unwrap().unwrap().name, "v1");
    assert_eq!(open.show_file("v1", "a").unwrap().as_deref(), Some("x\n"));
    assert_eq!(open.commit_files(&query(None, 1, false)).unwrap()[0].files.len(), 1);
}

#[test]
fn a_linked_working_tree_is_a_workspace_too() {
    let repo = shop();
    repo.git("worktree add -q linked side");
    assert_eq!(repo.open_folder("linked", u64::MAX).head(), Ok(Some(repo.git("rev-parse side"))));
}

#[test]
fn says_too_large_rather_than_giving_a_part() {
    let repo = shop();
    let open = repo.open_folder("", 200);
    assert_eq!(open.log(&query(None, 100, false)), Err(Error::TooLarge(200)));
    assert_eq!(open.changes(None, "HEAD"), Err(Error::TooLarge(200)));
    assert_eq!(open.commit_files(&query(None, 100, false)), Err(Error::TooLarge(200)));
}
