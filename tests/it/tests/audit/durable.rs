//! What cannot be written down does not happen.

use std::fs;

use loong_it::fixture::plugins;
use loong_it::sandbox::Sandbox;
use rusqlite::Connection;

/// Whether the log holds the decision that allowed the write, as a reader of the file finds it.
fn is_recorded(sandbox: &Sandbox) -> bool {
    let log = Connection::open(sandbox.loong_home().join("data/loong.db")).unwrap();
    let found: i64 = log
        .query_row(
            "SELECT count(*) FROM audit WHERE kind = 'decision' AND outcome = 'allow' AND event LIKE '%#write%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    found > 0
}

#[test]
fn a_disk_that_fills_up_at_any_record_lets_nothing_happen_that_is_not_recorded() {
    plugins();
    let sandbox = Sandbox::new();
    let warm = sandbox.shell("loong tools call $PLUGINS/tool-file.wasm list '{\"path\": \".\"}'");
    assert_eq!(warm.exit, 0, "{}", warm.stderr);
    let kept = sandbox.work().join("kept");
    loong_it::sandbox::copy(&sandbox.loong_home().join("data"), &kept);
    let (mut refused, mut done) = (0, 0);
    // The journal is what grows; where it may not, the write of a record fails, or the flush after it.
    let journal = fs::metadata(kept.join("loong.db-wal")).unwrap().len();
    for limit in (journal / 512..journal / 512 + 600).step_by(24) {
        let data = sandbox.loong_home().join("data");
        fs::remove_dir_all(&data).unwrap();
        loong_it::sandbox::copy(&kept, &data);
        fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let witness = sandbox.loong_home().join("config/keys/audit");
        for entry in fs::read_dir(&witness).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "checkpoint") {
                fs::remove_file(path).unwrap();
            }
        }
        let _ = fs::remove_file(sandbox.work().join("new.txt"));
        let call = "loong tools call $PLUGINS/tool-file.wasm write '{\"path\": \"new.txt\", \"content\": \"two\"}' --allow-write";
        // A shell's unit is 512 bytes.
        let ended = sandbox.shell(&format!("trap '' XFSZ; ulimit -f {limit}; exec {call}"));
        let happened = sandbox.work().join("new.txt").exists();
        match ended.exit {
            0 => done += 1,
            70 => {
                refused += 1;
                assert!(ended.stderr.contains("_unavailable]"), "{limit}: {}", ended.stderr);
            }
            other => panic!("{limit}: {other} {}", ended.stderr),
        }
        assert!(happened || ended.exit != 0, "{limit}");
        if happened {
            assert!(is_recorded(&sandbox), "{limit}: the file was written and no record says so");
        }
    }
    assert!(
        refused >= 2 && done >= 2,
        "{refused} refused, {done} done: the limit did not move over the records"
    );
}
