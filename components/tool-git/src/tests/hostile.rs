//! Repositories that were made to do harm, and places that are none.

use std::os::unix::ffi::OsStrExt;

use super::repo::Repo;
use crate::Error;
use crate::repository::Query;

/// Calls every operation; what they say does not matter.
fn call_everything(repo: &Repo) {
    let open = repo.open();
    let query = Query { from: None, to: Some("HEAD".into()), limit: 10, first_parent: false };
    open.log(&query).unwrap();
    open.commit_files(&query).unwrap();
    open.tags().unwrap();
    open.last_tag(None).unwrap();
    open.changes(None, "HEAD").unwrap();
    open.changes(Some("HEAD~1"), "HEAD").unwrap();
    open.diff(Some("HEAD~1"), "HEAD", &[], 10_000).unwrap();
    open.show_file("HEAD", "a.bin").unwrap();
}

/// Two commits in which `a.bin` changes.
fn two_commits() -> Repo {
    let repo = Repo::empty();
    repo.write("a.bin", "one\n");
    repo.commit(0, "one");
    repo.write("a.bin", "two\n");
    repo.write(".gitattributes", "*.bin diff=evil filter=evil merge=evil\n");
    repo.commit(1, "two");
    repo
}

#[test]
fn nothing_that_a_repository_configures_is_run() {
    let repo = two_commits();
    let trap = repo.home().join("trap.sh");
    let sprung = repo.home().join("sprung");
    std::fs::write(&trap, format!("#!/bin/sh\ntouch {}\ncat 2>/dev/null\n", sprung.display())).unwrap();
    std::fs::set_permissions(&trap, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let trap = trap.to_str().unwrap();
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "core.askPass",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.smudge",
        "filter.evil.clean",
        "filter.evil.process",
        "merge.evil.driver",
        "gpg.program",
        "gpg.ssh.program",
        "pager.log",
        "pager.diff-tree",
        "trailer.x.command",
        "credential.helper",
        "alias.log",
        "alias.rev-parse",
    ] {
        repo.git(&format!("config {key} {trap}"));
    }
    repo.git("config log.showSignature true");
    repo.git("config diff.evil.cachetextconv true");
    for hook in ["post-checkout", "fsmonitor-watchman", "post-index-change", "reference-transaction"] {
        std::fs::copy(trap, repo.path().join(".git/hooks").join(hook)).unwrap();
    }
    call_everything(&repo);
    assert!(!sprung.exists());
    // The trap is real: without the options it is sprung.
    repo.git("diff HEAD~1 HEAD");
    assert!(sprung.exists());
}

#[test]
fn the_settings_of_a_repository_do_not_change_what_is_read() {
    let repo = two_commits();
    repo.tag(0, "v1");
    let open = repo.open();
    let query = Query { from: None, to: None, limit: 10, first_parent: false };
    let read = || {
        let diff = open.diff(Some("v1"), "HEAD", &[], 10_000).unwrap();
        (open.log(&query).unwrap(), open.commit_files(&query).unwrap(), open.tags().unwrap(), diff)
    };
    let before = read();
    std::fs::write(repo.path().join("mailmap"), "Eve <eve@x> <ada@example.com>\n").unwrap();
    for setting in [
        "color.ui always",
        "color.diff always",
        "diff.noprefix true",
        "diff.mnemonicPrefix true",
        "diff.renames false",
        "diff.context 0",
        "diff.algorithm patience",
        "diff.submodule log",
        "diff.orderFile /dev/zero",
        "diff.relative true",
        "diff.wordRegex .",
        "log.showRoot false",
        "log.date iso",
        "log.decorate full",
        "log.diffMerges on",
        "log.mailmap true",
        "log.follow true",
        "mailmap.file mailmap",
        "format.pretty oneline",
        "format.notes *",
        "notes.displayRef refs/notes/*",
        "core.quotePath true",
        "core.attributesFile /dev/zero",
        "i18n.logOutputEncoding UTF-16",
        "tag.sort refname",
    ] {
        let (name, value) = setting.split_once(' ').unwrap();
        repo.git(&format!("config {name} {value}"));
    }
    assert_eq!(read(), before);
}

#[test]
fn replaced_objects_and_grafts_do_not_rewrite_history() {
    let repo = two_commits();
    let (first, second) = (repo.git("rev-parse HEAD~1"), repo.git("rev-parse HEAD"));
    let before = repo.open().log(&Query { limit: 9, ..Query::default() }).unwrap();
    repo.write("evil", "x");
    let other = repo.commit(2, "evil");
    repo.git(&format!("reset -q --hard {second}"));
    repo.git(&format!("replace {second} {other}"));
    std::fs::write(repo.path().join(".git/info/grafts"), format!("{first} {other}\n")).unwrap();
    assert_eq!(repo.open().log(&Query { limit: 9, ..Query::default() }), Ok(before));
}

#[test]
fn a_submodule_that_says_ignore_me_is_seen() {
    let repo = two_commits();
    let (first, second) = (repo.git("rev-parse HEAD~1"), repo.git("rev-parse HEAD"));
    repo.write(".gitmodules", "[submodule \"s\"]\n\tpath = s\n\turl = x\n\tignore = all\n");
    repo.git("add .gitmodules");
    repo.git(&format!("update-index --add --cacheinfo 160000,{first},s"));
    repo.git("commit -q -m s");
    repo.git(&format!("update-index --cacheinfo 160000,{second},s"));
    repo.git("commit -q -m moved");
    repo.git("config submodule.s.ignore all");
    let changes = repo.open().changes(Some("HEAD~1"), "HEAD").unwrap();
    assert_eq!(changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["s"]);
    assert!(repo.open().diff(Some("HEAD~1"), "HEAD", &[], 999).unwrap().text.contains("+Subproject commit"));
    assert_eq!(repo.open().show_file("HEAD", "s"), Ok(None));
}

#[test]
fn odd_names_are_read_and_can_be_asked_for() {
    let repo = Repo::empty();
    let names = ["-x", "--output=y", "a\tb", "a\nb", ":x", "ä \"q\"", "1\t2\tx", "*"];
    for name in names {
        repo.write(name, "1\n");
    }
    std::fs::write(repo.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "1\n").unwrap();
    repo.commit(0, "names");
    let open = repo.open();
    let changes = open.changes(None, "HEAD").unwrap();
    let mut found: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    assert!(changes.iter().all(|change| change.lines == Some((1, 0))));
    let mut expected = [&names[..], &["\u{fffd}"]].concat();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for name in names {
        assert_eq!(open.show_file("HEAD", name).unwrap().as_deref(), Some("1\n"), "{name:?}");
        let diff = open.diff(None, "HEAD", &[name.to_owned()], 9_999).unwrap();
        assert_eq!(diff.text.matches("diff --git").count(), 1, "{name:?}");
    }
    assert!(!repo.path().join("y").exists());
}

#[test]
fn a_file_with_the_name_of_a_commit_is_no_commit() {
    let repo = two_commits();
    let (first, second) = (repo.git("rev-parse HEAD~1"), repo.git("rev-parse HEAD"));
    for name in [first.clone(), second.clone(), format!("{first}..{second}")] {
        repo.write(&name, "");
    }
    call_everything(&repo);
}

#[test]
fn a_message_of_any_bytes_is_read() {
    let repo = Repo::empty();
    let tree = repo.git("write-tree");
    let mut bytes = format!("tree {tree}\nauthor J").into_bytes();
    bytes.extend(
        b"\xf6rg <j@x> 99999999999999999999 +0000\ncommitter c <c@x> 1 +0000\n\ns\xff\n\nb\x1b[31m\n",
    );
    bytes.extend(vec![b'y'; 100_000]);
    repo.write("raw", &bytes);
    let id = repo.git("hash-object -t commit --literally -w raw");
    repo.git(&format!("update-ref refs/heads/main {id}"));
    let log = repo.open().log(&Query { limit: 9, ..Query::default() }).unwrap();
    assert_eq!((log[0].author.as_str(), log[0].subject.as_str()), ("J\u{fffd}rg", "s\u{fffd}"));
    assert!(log[0].body.starts_with("b\u{1b}[31m\nyyy") && log[0].body.ends_with("y…"));
}

#[test]
fn only_the_top_of_a_working_tree_is_a_repository() {
    let none = Repo::nothing();
    assert_eq!(none.open().head(), Err(Error::NotARepository));
    assert_eq!(none.open().tags(), Err(Error::NotARepository));
    let repo = two_commits();
    repo.write("sub/x", "");
    // The repository around it is not what was given to the plugin.
    assert_eq!(repo.open_folder("sub", u64::MAX).head(), Err(Error::NotARepository));
    assert_eq!(repo.open_folder(".git", u64::MAX).head(), Err(Error::NotARepository));
    assert_eq!(repo.open_folder(".git/refs", u64::MAX).head(), Err(Error::NotARepository));
    repo.git("clone -q --bare . bare");
    assert_eq!(repo.open_folder("bare", u64::MAX).head(), Err(Error::NotARepository));
    repo.git("config core.worktree /");
    assert_eq!(repo.open().head(), Err(Error::NotARepository));
}

#[test]
fn a_repository_of_another_user_is_not_read() {
    let repo = two_commits();
    assert_eq!(repo.open_as_another_user().head(), Err(Error::DubiousOwnership));
    assert_eq!(repo.open_as_another_user().tags(), Err(Error::DubiousOwnership));
}

#[test]
fn a_partial_clone_fetches_nothing() {
    let repo = two_commits();
    repo.git("config uploadpack.allowFilter true");
    let url = format!("file://{}", repo.path().display());
    repo.git(&format!("clone -q --filter=blob:none --no-checkout {url} partial"));
    let open = repo.open_folder("partial", u64::MAX);
    let query = Query { limit: 9, ..Query::default() };
    assert_eq!(open.log(&query).unwrap().len(), 2);
    assert!(matches!(open.show_file("HEAD", "a.bin"), Err(Error::ObjectMissing(_))));
    let said = open.changes(Some("HEAD~1"), "HEAD");
    assert!(matches!(said, Err(Error::ObjectMissing(_))), "{said:?}");
    let said = open.diff(Some("HEAD~1"), "HEAD", &[], 99);
    assert!(matches!(said, Err(Error::ObjectMissing(_))), "{said:?}");
}
