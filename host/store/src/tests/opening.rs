//! Which files are opened, and how they are left.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rusqlite::Connection;

use super::*;
use crate::{Broken, VerifyError, connect};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What opening for writing and for reading says of the file that `make` makes.
#[track_caller]
fn refuses(make: impl FnOnce(&Path), code: Code, words: &str) {
    let (_folder, path) = place();
    make(&path);
    let writing = Store::open(&path, &StoreOptions::default(), clock()).err().unwrap();
    assert_eq!(writing.code(), code, "{writing}");
    assert!(writing.to_string().contains(words), "{writing}");
}

#[track_caller]
fn refuses_to_read(make: impl FnOnce(&Path), code: Code, words: &str) {
    let (_folder, path) = place();
    make(&path);
    let reading = AuditReader::open_read_only(&path).err().unwrap();
    assert_eq!(reading.code(), code, "{reading}");
    assert!(reading.to_string().contains(words), "{reading}");
}

#[test]
fn a_new_database_is_for_its_owner_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data/loong/loong.db");
    let store = open(&path);
    wait(store.append(event(0), Durability::Durable)).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(folder.path().join("data").as_path()), 0o700);
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_log_without_records_is_good_and_a_missing_one_is_not() {
    let (_folder, path) = place();
    open(&path).close().unwrap();
    assert_eq!(verified(&path), 0);
    refuses_to_read(|_| (), Code::FileUnreadable, "does not exist");
    refuses_to_read(|path| fs::write(path, "").unwrap(), Code::FileUnreadable, "not a database of Loong");
}

#[test]
fn refuses_what_is_not_a_file() {
    let link = |path: &Path| {
        let target = path.with_file_name("target.db");
        fill(&target, 1);
        symlink(target, path).unwrap();
    };
    refuses(link, Code::FileUnreadable, "a symbolic link");
    refuses_to_read(link, Code::FileUnreadable, "a symbolic link");
    let dangling = |path: &Path| symlink("nowhere", path).unwrap();
    refuses(dangling, Code::FileUnreadable, "a symbolic link");
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    refuses(folder, Code::FileUnreadable, "a folder");
    refuses_to_read(folder, Code::FileUnreadable, "a folder");
}

#[test]
fn follows_a_link_to_the_folder() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    fill(&folder.path().join("link/loong.db"), 3);
    assert_eq!(verified(&folder.path().join("real/loong.db")), 3);
}

#[test]
fn refuses_other_files() {
    let text = |path: &Path| {
        fs::write(path, "dear diary, ".repeat(100)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    };
    refuses(text, Code::FileUnreadable, "not a database of Loong");
    refuses_to_read(text, Code::FileUnreadable, "not a database of Loong");
    let other = |path: &Path| {
        Connection::open(path).unwrap().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    };
    refuses(other, Code::FileUnreadable, "not a database of Loong");
    refuses_to_read(other, Code::FileUnreadable, "not a database of Loong");
    let other_application = |path: &Path| {
        Connection::open(path).unwrap().execute_batch("PRAGMA application_id = -7").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    };
    refuses(other_application, Code::FileUnreadable, "not a database of Loong");
}

#[test]
fn refuses_a_newer_format() {
    let newer = |path: &Path| {
        fill(path, 1);
        Connection::open(path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    };
    refuses(newer, Code::FileUnreadable, "has format 99");
    refuses_to_read(newer, Code::FileUnreadable, "has format 99");
}

#[test]
fn refuses_what_others_could_change() {
    let file = |path: &Path| {
        fill(path, 1);
        fs::set_permissions(path, Permissions::from_mode(0o620)).unwrap();
    };
    refuses(file, Code::FileUnreadable, "its mode is 620");
    let sticky = |path: &Path| {
        fill(path, 1);
        fs::set_permissions(path, Permissions::from_mode(0o1604)).unwrap();
    };
    refuses(sticky, Code::FileUnreadable, "its mode is 1604");
    let folder =
        |path: &Path| fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
    refuses(folder, Code::FileUnreadable, "its mode is 777");
    let (shared, path) = place();
    fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).unwrap();
    fill(&path, 1);
}

#[test]
fn does_not_continue_a_log_whose_end_was_changed() {
    for (sql, words) in [
        ("DELETE FROM audit WHERE idx = 9", "10 records were written, and 9 are there"),
        ("DELETE FROM audit", "10 records were written, and 0 are there"),
        ("UPDATE audit SET time_ms = 1 WHERE idx = 9", "record 9: its hash"),
        ("UPDATE audit SET event = 'x' WHERE idx = 9", "record 9: its event"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE idx = 9", "record 9"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE idx = 8", "record 9: its hash"),
        ("UPDATE head SET records = 0, hash = zeroblob(32)", "0 records were written, and 10 are there"),
        ("DELETE FROM head", "does not say"),
    ] {
        let (_folder, path) = place();
        fill(&path, 10);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = Store::open(&path, &StoreOptions::default(), clock()).err().unwrap();
        assert_eq!(error.code(), Code::AuditBroken, "{sql}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(words), "{sql}: {source}");
    }
}

#[test]
fn nothing_that_the_file_says_is_executed() {
    let (_folder, path) = place();
    fill(&path, 3);
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER forget AFTER INSERT ON audit BEGIN DELETE FROM audit WHERE idx < 3; END",
        )
        .unwrap();
    fill(&path, 3);
    assert_eq!(verified(&path), 6);
}

#[test]
fn a_long_journal_is_emptied_on_closing() {
    let (_folder, path) = place();
    fill(&path, 5000);
    assert_eq!(fs::metadata(path.with_file_name("loong.db-wal")).map_or(0, |journal| journal.len()), 0);
    assert_eq!(verified(&path), 5000);
}

/// A log as a Loong of format 1 left it.
fn of_format_1(path: &Path, records: u64) {
    let newer = path.with_file_name("newer.db");
    fill(&newer, records);
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(connect::FORMAT_1).unwrap();
    connection.execute("ATTACH ?1 AS newer", [newer.to_str().unwrap()]).unwrap();
    connection
        .execute_batch(
            "PRAGMA application_id = 0x4c4f4f4e; PRAGMA user_version = 1;
             INSERT INTO audit SELECT idx, time_ms, kind, run, plugin, outcome, code, event, hash FROM newer.audit;
             UPDATE head SET (records, hash) = (SELECT records, hash FROM newer.head);",
        )
        .unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_log_of_the_first_format_goes_on_and_its_tree_is_made() {
    for records in [0, 1, 300] {
        let (_folder, path) = place();
        of_format_1(&path, records);
        let older = AuditReader::open_read_only(&path).err().unwrap();
        assert!(older.to_string().contains("of an earlier Loong"), "{older}");
        let newer = Connection::open(path.with_file_name("newer.db")).unwrap();
        let peaks = |connection: &Connection| -> Vec<u8> {
            connection.query_row("SELECT peaks FROM head", [], |row| row.get(0)).unwrap()
        };
        let store = open(&path);
        assert_eq!(peaks(&Connection::open(&path).unwrap()), peaks(&newer));
        wait(store.append(event(records), Durability::Written)).unwrap();
        store.close().unwrap();
        assert_eq!(verified(&path), records + 1);
    }
}

#[test]
fn the_columns_of_an_older_log_are_filled_in() {
    let (_folder, path) = place();
    of_format_1(&path, 2_500);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE audit SET event = 'x' WHERE idx = 2006").unwrap();
    open(&path).close().unwrap();
    let sql = "SELECT count(*) FROM audit WHERE agent = 'person' AND token = 'token' AND tier = 'official'";
    let found: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(found, 499);
    // What was damaged before is found as it would have been.
    let error = reader(&path).verify(&mut |_| ()).unwrap_err();
    assert!(matches!(error, VerifyError::Broken(Broken { index: 2006, .. })), "{error:?}");
}

#[test]
fn facts_about_the_database_are_kept() {
    let (_folder, path) = place();
    let store = open(&path);
    wait(async {
        let log_id = store.meta_get("log_id").await.unwrap().unwrap();
        assert_eq!(log_id.len(), 16, "{log_id}");
        assert_eq!(store.meta_get("policy").await, Ok(None));
        store.meta_set("policy", "one").await.unwrap();
        store.meta_set("policy", "two").await.unwrap();
        assert!(store.meta_set("policy", &"x".repeat(70_000)).await.is_err());
    });
    store.close().unwrap();
    assert_eq!(wait(open(&path).meta_get("policy")), Ok(Some("two".to_owned())));
}
