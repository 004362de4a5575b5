//! What the log by itself cannot show, and what is kept outside it does: an older copy, another key, another log.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use loong_it::fixture::guest;
use loong_it::sandbox::{Ended, Sandbox};
use rusqlite::Connection;

/// A signed log, and a copy of its database from before its last run.
struct Signed {
    sandbox: Sandbox,
}

impl Signed {
    fn new() -> Self {
        guest("stranger");
        let signed = Self { sandbox: Sandbox::new() };
        signed.call();
        signed.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        fs::copy(signed.database(), signed.sandbox.work().join("older.db")).unwrap();
        signed.call();
        signed.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        signed
    }

    fn run(&self) -> Ended {
        self.sandbox.shell("loong tools call $GUESTS/stranger.wasm add '{\"left\": 1, \"right\": 1}'")
    }

    fn call(&self) {
        let ended = self.run();
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }

    fn database(&self) -> PathBuf {
        self.sandbox.loong_home().join("data/loong.db")
    }

    fn key(&self) -> PathBuf {
        self.sandbox.loong_home().join("config/keys/audit/audit.key")
    }

    /// The file that is kept of the log beside the key.
    fn kept(&self, extension: &str) -> PathBuf {
        let folder = fs::read_dir(self.key().parent().unwrap()).unwrap();
        let mut paths = folder.map(|entry| entry.unwrap().path());
        paths.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
    }

    fn sql(&self, statements: &str) {
        Connection::open(self.database()).unwrap().execute_batch(statements).unwrap();
    }

    fn remove(&self) {
        for name in ["loong.db", "loong.db-wal", "loong.db-shm"] {
            let _ = fs::remove_file(self.database().with_file_name(name));
        }
    }

    fn put_back_the_older(&self) {
        self.remove();
        fs::copy(self.sandbox.work().join("older.db"), self.database()).unwrap();
    }

    fn verify(&self, arguments: &str) -> Ended {
        self.sandbox.shell(&format!("loong audit verify {arguments}"))
    }

    /// Expects verification to find it, nothing to run, the doctor to name it, and all to be well once a person
    /// accepted it.
    #[track_caller]
    fn is_found(&self, words: &str) {
        let ended = self.verify("");
        assert_eq!(ended.exit, 3, "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("[audit_broken]") && ended.stderr.contains(words), "{}", ended.stderr);
        let ended = self.run();
        assert_eq!(ended.exit, 3, "{}{}", ended.stdout, ended.stderr);
        let doctor = self.sandbox.loong(["doctor"]);
        assert_eq!(doctor.exit, 1);
        assert!(is_bad(&doctor, "audit log"), "{}", doctor.stdout);
        let accepted = self.sandbox.loong(["audit", "accept", "--yes"]);
        assert_eq!(accepted.exit, 0, "{}", accepted.stderr);
        self.call();
        let ended = self.verify("");
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }
}

/// Whether the doctor says so of this check.
fn is_bad(doctor: &Ended, check: &str) -> bool {
    doctor.stdout.lines().any(|line| line.starts_with("bad ") && line.contains(check))
}

#[test]
fn an_older_copy_that_was_put_back_is_found() {
    let signed = Signed::new();
    signed.put_back_the_older();
    signed.is_found("records were signed");
}

#[test]
fn an_older_copy_is_found_by_a_checkpoint_that_somebody_else_keeps() {
    let signed = Signed::new();
    let ended =
        signed.sandbox.shell("loong audit checkpoint > witness && loong audit verify --checkpoint witness");
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    signed.put_back_the_older();
    fs::remove_dir_all(signed.key().parent().unwrap()).unwrap();
    // Whoever put it back also removed what was kept here.
    assert_eq!(signed.verify("").exit, 0);
    let ended = signed.verify("--checkpoint witness");
    assert_eq!(ended.exit, 3, "{}", ended.stdout);
    assert!(ended.stderr.contains("the checkpoint in `witness` shows"), "{}", ended.stderr);
}

#[test]
fn a_log_that_is_gone_is_found() {
    let signed = Signed::new();
    signed.remove();
    signed.is_found("the audit log is gone");
}

#[test]
fn another_log_in_its_place_is_found() {
    let (signed, other) = (Signed::new(), Signed::new());
    signed.remove();
    fs::copy(other.database(), signed.database()).unwrap();
    signed.is_found("the database names the audit key");
}

#[test]
fn a_log_that_was_signed_again_with_another_key_is_found() {
    let signed = Signed::new();
    let kept = signed.kept("vkey");
    let pinned = fs::read_to_string(&kept).unwrap();
    // Somebody without the key makes one, binds the log to it and signs it.
    let aside = signed.sandbox.work().join("aside");
    fs::rename(signed.key().parent().unwrap(), &aside).unwrap();
    let ended = signed.sandbox.loong(["audit", "accept", "--yes"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    signed.call();
    fs::remove_dir_all(signed.key().parent().unwrap()).unwrap();
    fs::rename(&aside, signed.key().parent().unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), pinned);
    signed.is_found("the database names the audit key");
}

/// Changes the key file, and expects nothing to run until it is as it was.
#[track_caller]
fn check_key(change: impl FnOnce(&std::path::Path), words: &str) {
    let signed = Signed::new();
    let (key, copy) = (signed.key(), signed.sandbox.work().join("copy.key"));
    fs::copy(&key, &copy).unwrap();
    change(&key);
    let ended = signed.run();
    assert_eq!(ended.exit, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    let doctor = signed.sandbox.loong(["doctor"]);
    assert_eq!(doctor.exit, 1, "{}", doctor.stdout);
    assert!(is_bad(&doctor, "audit key"), "{}", doctor.stdout);
    fs::remove_file(&key).unwrap();
    fs::copy(&copy, &key).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    signed.call();
}

#[test]
fn a_key_that_lies_open_or_is_no_key_is_refused() {
    check_key(|key| fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap(), "(mode 0644)");
    check_key(|key| fs::write(key, "no key").unwrap(), "[key_invalid]");
    check_key(
        |key| {
            let real = key.with_file_name("real.key");
            fs::rename(key, &real).unwrap();
            symlink(real, key).unwrap();
        },
        "audit.key",
    );
}

/// Changes the database file, and expects whatever writes to say so with this code, and the doctor to name it.
#[track_caller]
fn check_database(code: &str, change: impl FnOnce(&std::path::Path)) {
    let signed = Signed::new();
    change(&signed.database());
    let ended = signed.run();
    assert!(ended.exit != 0 && ended.stderr.contains(&format!("[{code}]")), "{code}: {}", ended.stderr);
    let doctor = signed.sandbox.loong(["doctor"]);
    assert_eq!(doctor.exit, 1, "{code}: {}{}", doctor.stdout, doctor.stderr);
    assert!(doctor.stdout.lines().any(|line| line.starts_with("bad ")), "{code}: {}", doctor.stdout);
}

#[test]
fn a_database_that_is_damaged_foreign_or_open_to_others_is_named() {
    let mode = |mode| Permissions::from_mode(mode);
    check_database("audit_broken", |database| fs::write(database, "").unwrap());
    check_database("audit_broken", |database| fs::write(database, "x").unwrap());
    check_database("file_unreadable", |database| fs::write(database, "x".repeat(9_000)).unwrap());
    check_database("store_corrupt", |database| {
        fs::OpenOptions::new().write(true).open(database).unwrap().set_len(5_000).unwrap();
    });
    check_database("store_corrupt", |database| {
        let mut bytes = fs::read(database).unwrap();
        bytes[4_096..].fill(7);
        fs::write(database, bytes).unwrap();
    });
    check_database("file_unreadable", |database| fs::set_permissions(database, mode(0o666)).unwrap());
    check_database("file_unreadable", |database| {
        fs::set_permissions(database.parent().unwrap(), mode(0o777)).unwrap();
    });
}

#[test]
fn a_database_that_another_process_holds_is_named() {
    let signed = Signed::new();
    let holder = Connection::open(signed.database()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ended = signed.run();
    assert_eq!(ended.exit, 70, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("locked"), "{}", ended.stderr);
    holder.execute_batch("ROLLBACK").unwrap();
    signed.call();
}

#[test]
fn checkpoints_go_where_the_settings_say() {
    let signed = Signed::new();
    let settings = signed.sandbox.loong_home().join("config/loong.toml");
    let set = |path: &str, required: bool| {
        let text = format!("[audit]\ncheckpoint_file = \"{path}\"\ncheckpoint_required = {required}\n");
        fs::write(&settings, text).unwrap();
    };
    let folder = signed.sandbox.work().join("safe");
    fs::create_dir(&folder).unwrap();
    set(&folder.display().to_string(), true);
    signed.call();
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let ended = signed.sandbox.shell("loong audit checkpoint");
    assert_eq!(fs::read_to_string(file).unwrap(), ended.stdout);
    // It is a witness by itself.
    let ended = signed.verify("--json");
    assert!(ended.stdout.contains("\"witnesses\": 2"), "{}", ended.stdout);

    let nowhere = folder.join("none/log.checkpoint").display().to_string();
    set(&nowhere, false);
    let ended = signed.run();
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("warning: ") && ended.stderr.contains("none/log.checkpoint"),
        "{}",
        ended.stderr
    );
    set(&nowhere, true);
    let ended = signed.run();
    assert_eq!(ended.exit, 70, "{}", ended.stderr);
    assert!(ended.stderr.contains("[audit_unavailable]"), "{}", ended.stderr);
    set(&signed.database().with_file_name("inside").display().to_string(), false);
    let ended = signed.run();
    assert!(ended.stderr.contains("[config_invalid]"), "{}", ended.stderr);
}
