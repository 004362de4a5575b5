use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const SMALL: Settings = Settings { bytes_max: 1_024, files_max: 3 };

fn record(index: u64, size: usize) -> Record {
    Record {
        index,
        time_ms: index,
        kind: "effect".into(),
        run: None,
        plugin: None,
        outcome: None,
        code: None,
        hash: format!("sha256:{index:064x}"),
        event: format!(r#"{{"kind":"effect","target":"{}"}}"#, "x".repeat(size)),
    }
}

fn records(range: std::ops::Range<u64>, size: usize) -> Vec<Record> {
    range.map(|index| record(index, size)).collect()
}

/// The files with the indexes that are in them.
fn held(folder: &TempDir) -> Vec<(String, Vec<u64>)> {
    let mut held = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        let index = |line: &str| {
            let rest = line.split_once("\"index\":").unwrap().1;
            rest.split(',').next().unwrap().parse().unwrap()
        };
        held.push((entry.file_name().into_string().unwrap(), text.lines().map(index).collect()));
    }
    held.sort();
    held
}

fn retries(result: Result<(), Failure>, words: &str) {
    match result {
        Err(Failure::Retry(problem)) => assert!(problem.contains(words), "{problem}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_follow_one_another() {
    let folder = TempDir::new().unwrap();
    deliver(folder.path(), &SMALL, &records(0..2, 10)).unwrap();
    deliver(folder.path(), &SMALL, &[]).unwrap();
    deliver(folder.path(), &SMALL, &records(2..3, 10)).unwrap();
    assert_eq!(held(&folder), [("audit-00000001.jsonl".into(), vec![0, 1, 2])]);
    let text = fs::read_to_string(folder.path().join("audit-00000001.jsonl")).unwrap();
    let expected: String = records(0..3, 10).iter().map(|record| record.json().unwrap() + "\n").collect();
    assert_eq!(text, expected);
}

#[test]
fn a_full_file_is_followed_by_another_and_the_oldest_goes() {
    let folder = TempDir::new().unwrap();
    // Four of these lines are a file.
    let size = 1_024 / 4 - record(0, 0).json().unwrap().len() - 1 - 1;
    deliver(folder.path(), &SMALL, &records(0..6, size)).unwrap();
    assert_eq!(
        held(&folder),
        [("audit-00000001.jsonl".into(), vec![0, 1, 2, 3]), ("audit-00000002.jsonl".into(), vec![4, 5])]
    );
    deliver(folder.path(), &SMALL, &records(6..14, size)).unwrap();
    assert_eq!(
        held(&folder),
        [
            ("audit-00000002.jsonl".into(), vec![4, 5, 6, 7]),
            ("audit-00000003.jsonl".into(), vec![8, 9, 10, 11]),
            ("audit-00000004.jsonl".into(), vec![12, 13]),
        ]
    );
    for (name, _) in held(&folder) {
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= 1_024);
    }
}

#[test]
fn a_line_that_is_larger_than_a_file_has_one_of_its_own() {
    let folder = TempDir::new().unwrap();
    let all = [record(0, 10), record(1, 5_000), record(2, 10)];
    deliver(folder.path(), &SMALL, &all).unwrap();
    let indexes: Vec<Vec<u64>> = held(&folder).into_iter().map(|(_, indexes)| indexes).collect();
    assert_eq!(indexes, [vec![0], vec![1], vec![2]]);
}

#[test]
fn what_is_not_its_own_is_left_alone() {
    let folder = TempDir::new().unwrap();
    for name in ["audit-1.jsonl", "audit-000000x1.jsonl", "audit-00000001.json", "notes.txt"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let settings = Settings { files_max: 1, ..SMALL };
    deliver(folder.path(), &settings, &records(0..20, 200)).unwrap();
    let names: Vec<String> = held(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"notes.txt".to_owned()));
}

#[test]
fn a_line_that_was_cut_off_is_removed_and_comes_again() {
    let folder = TempDir::new().unwrap();
    deliver(folder.path(), &SMALL, &records(0..2, 10)).unwrap();
    let path = folder.path().join("audit-00000001.jsonl");
    let whole = fs::read(&path).unwrap();
    for cut in [whole.len() - 1, whole.len() - 40, whole.len() / 2 + 3] {
        fs::write(&path, &whole[..cut]).unwrap();
        deliver(folder.path(), &SMALL, &records(1..2, 10)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
    // Also when nothing of the file is a whole line, or the line is longer than what is read at once.
    fs::write(&path, "x".repeat(200_000)).unwrap();
    deliver(folder.path(), &SMALL, &records(0..2, 10)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_full_disk_is_tried_again_and_leaves_nothing_half() {
    let folder = TempDir::new().unwrap();
    deliver(folder.path(), &SMALL, &records(0..2, 10)).unwrap();
    // A device on which there is never room.
    let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = full.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    // The same through `append`, which takes back what it wrote.
    let link = folder.path().join("full");
    symlink("/dev/full", &link).unwrap();
    let (doing, error) = append(&link, 0, "x\n").unwrap_err();
    assert_eq!((doing, error.kind()), ("write", ErrorKind::StorageFull));
}

#[test]
fn what_cannot_be_written_to_is_tried_again() {
    let folder = TempDir::new().unwrap();
    retries(deliver(&folder.path().join("gone"), &SMALL, &records(0..1, 1)), "cannot list the folder");
    fs::create_dir(folder.path().join("audit-00000001.jsonl")).unwrap();
    retries(deliver(folder.path(), &SMALL, &records(0..1, 1)), "what has the name of a file is none");
    fs::remove_dir(folder.path().join("audit-00000001.jsonl")).unwrap();
    let outside = TempDir::new().unwrap();
    let target = outside.path().join("file");
    fs::write(&target, "kept\n").unwrap();
    symlink(&target, folder.path().join("audit-00000001.jsonl")).unwrap();
    retries(deliver(folder.path(), &SMALL, &records(0..1, 1)), "what has the name of a file is none");
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept\n");
    // The control: without the link it is written.
    fs::remove_file(folder.path().join("audit-00000001.jsonl")).unwrap();
    deliver(folder.path(), &SMALL, &records(0..1, 1)).unwrap();
}

#[test]
fn a_record_that_is_no_line_is_rejected_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let broken = Record { event: "{\n}".into(), ..record(1, 1) };
    let result = deliver(folder.path(), &SMALL, &[record(0, 1), broken]);
    assert!(matches!(result, Err(Failure::Rejected(_))), "{result:?}");
    assert!(held(&folder).is_empty());
}

#[test]
fn settings_that_cannot_be_right_stop_it() {
    let read = |bytes: Option<&str>, files: Option<&str>| {
        Settings::read(|key| match key {
            "bytes_max" => bytes.map(str::to_owned),
            "files_max" => files.map(str::to_owned),
            _ => None,
        })
    };
    assert_eq!(read(None, None).unwrap(), Settings { bytes_max: 16 << 20, files_max: 16 });
    assert_eq!(read(Some("1024"), Some("1")).unwrap(), Settings { bytes_max: 1_024, files_max: 1 });
    for bytes in ["", "1023", "-1", "16 MiB", "99999999999999999999"] {
        retries(read(Some(bytes), None).map(|_| ()), "`bytes_max`");
    }
    for files in ["0", "10001", "x"] {
        retries(read(None, Some(files)).map(|_| ()), "`files_max`");
    }
}
