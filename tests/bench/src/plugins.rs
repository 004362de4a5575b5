//! What ten thousand installed plugins cost: the start, the list and a search.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use loong_manifest::{Digest, PluginId};
use loong_repository::{Installed, Locked};
use loong_trust::{Candidate, UtcTime};
use serde_json::{Value, json};

use crate::bench::{Row, Samples, compare, number};
use crate::{ECHO, Host, beside};

const FEW: usize = 10;
const MANY: usize = 10_000;
const ROUNDS: usize = 15;
/// What is searched for: in the ids of 111 of ten thousand.
const WORD: &str = "p77";

/// The start with many plugins against that with few; a list and a search against a program that reads the same rows
/// from SQLite and prints the same.
pub fn measure(host: &Host) -> Vec<Row> {
    let [few, many] = [FEW, MANY].map(|count| {
        let home = host.folder.path().join(format!("home-{count}"));
        install(host, &home, count);
        home
    });
    let loong = |home: &Path, words: &[&str]| {
        let mut command = Command::new(beside("loong"));
        command.args(words).env("LOONG_HOME", home);
        command
    };
    let table = host.folder.path().join("rows.db");
    // The first list verifies everything.
    let begun = Instant::now();
    let listed = output(loong(&many, &["plugins", "list", "--json"]));
    let first_ms = begun.elapsed().as_secs_f64() * 1_000.0;
    write_rows(&table, &serde_json::from_slice(&listed).unwrap());
    let rows = |words: &[&str]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--rows").arg(&table).args(words);
        command
    };
    let count = |bytes: &[u8], member: &str| {
        let document: Value = serde_json::from_slice(bytes).unwrap();
        document[member].as_array().unwrap().len()
    };
    assert_eq!((count(&listed, "plugins"), count(&output(rows(&[])), "plugins")), (MANY, MANY));
    let search = ["plugins", "search", "--installed", "--json", WORD];
    assert_eq!(count(&output(loong(&many, &search)), "entries"), count(&output(rows(&[WORD])), "plugins"));
    let call = ["tools", "call", "p7.echo", "{\"text\": \"x\"}"];
    let mut samples = [const { Samples::new() }; 6];
    for round in 0..=ROUNDS {
        let commands = [
            loong(&many, &call),
            loong(&few, &call),
            loong(&many, &["plugins", "list", "--json"]),
            rows(&[]),
            loong(&many, &search),
            rows(&[WORD]),
        ];
        for (mut command, samples) in commands.into_iter().zip(&mut samples) {
            let begun = Instant::now();
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            assert!(status.success());
            // The first call compiles.
            if round > 0 {
                samples.add(begun.elapsed());
            }
        }
    }
    let [start, start_few, list, list_rows, search, search_rows] = samples;
    let rows = "reading and printing the same rows from SQLite";
    vec![
        compare(
            "P14",
            "`loong tools call` with 10,000 plugins installed",
            "the same with 10",
            &start,
            &start_few,
            Some(1.2),
        ),
        compare("P14", "`loong plugins list` of 10,000", rows, &list, &list_rows, Some(2.0)),
        compare("P14", "`loong plugins search` in 10,000", rows, &search, &search_rows, Some(2.0)),
        number("P14", "the first list of 10,000, which verifies them", "", first_ms, " ms", None),
    ]
}

/// Installs so many signed plugins, each with an interface of its own.
fn install(host: &Host, home: &Path, count: usize) {
    std::fs::create_dir_all(home.join("config")).unwrap();
    std::fs::write(home.join("config/trust-root.json"), host.root.to_json()).unwrap();
    let installed = Installed::new(home.join("data/installed"));
    let change = installed.change().unwrap();
    let mut plugins: BTreeMap<PluginId, Locked> = BTreeMap::new();
    for number in 0..count {
        let name = format!("p{number}");
        let interface = format!("bench:{name}/echo@1.0.0");
        let text = ECHO.replace("bench:echo/echo@1.0.0", &interface);
        let summary = format!("Gives back the text it gets, number {number} of many");
        let manifest = json!({
            "id": format!("bench:{name}"), "version": "1.0.0", "kind": "tool", "summary": summary,
            "tags": ["text", "measuring"], "capabilities": {},
            "operations": [{ "name": format!("{interface}#echo"), "risk": "read" }],
        })
        .to_string();
        let component =
            loong_inspect::with_manifest(&wat::parse_str(text).unwrap(), manifest.as_bytes()).unwrap();
        let candidate = Candidate::read(component.clone(), None, &name).unwrap();
        let bundle = loong_trust::sign(&host.key, &candidate).unwrap();
        let digest = Digest::of(&component);
        let files = BTreeMap::from([
            (format!("{name}.wasm"), component),
            (format!("{name}.wasm.sigstore.json"), bundle),
            ("loong.plugin.json".to_owned(), manifest.into_bytes()),
        ]);
        change.put(&digest, &files).unwrap();
        let digests: BTreeMap<&String, Digest> =
            files.iter().map(|(name, bytes)| (name, Digest::of(bytes))).collect();
        let locked = json!({
            "version": "1.0.0", "digest": digest, "kind": "tool", "summary": summary, "registry": "main",
            "tier": "official", "signed_by": host.key.key_id(), "asked": true, "offers": [interface],
            "files": digests,
        });
        plugins.insert(format!("bench:{name}").parse().unwrap(), serde_json::from_value(locked).unwrap());
    }
    change.commit(plugins, "install", UtcTime::from_unix_s(1_800_000_000)).unwrap();
}

fn output(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const COLUMNS: [&str; 8] = ["id", "version", "kind", "summary", "tags", "path", "operations", "tier"];

fn write_rows(path: &Path, listed: &Value) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE plugin (id TEXT PRIMARY KEY, version TEXT, kind TEXT, summary TEXT, tags TEXT, \
             path TEXT, operations TEXT, tier TEXT) WITHOUT ROWID; BEGIN;",
        )
        .unwrap();
    let mut insert =
        connection.prepare("INSERT INTO plugin VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)").unwrap();
    for plugin in listed["plugins"].as_array().unwrap() {
        let column = |name: &str| match &plugin[name] {
            Value::Array(words) => {
                words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join("\n")
            }
            value => value.as_str().unwrap().to_owned(),
        };
        insert.execute(COLUMNS.map(column)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// Reads the rows and prints them, those with the word in their id or summary where there is one.
pub fn rows(path: &str, word: Option<&str>) -> String {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(path, flags).unwrap();
    let mut asked = connection
        .prepare("SELECT * FROM plugin WHERE ?1 IS NULL OR instr(id || ' ' || summary, ?1) > 0 ORDER BY id")
        .unwrap();
    let rows = asked.query_map([word], |row| {
        let mut plugin = serde_json::Map::new();
        for (column, name) in COLUMNS.iter().enumerate() {
            let text: String = row.get(column)?;
            let value = match *name {
                "tags" | "operations" => text.lines().map(Value::from).collect(),
                _ => Value::from(text),
            };
            plugin.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(plugin))
    });
    let plugins: Vec<Value> = rows.unwrap().map(Result::unwrap).collect();
    serde_json::to_string_pretty(&json!({ "schema": "rows", "plugins": plugins })).unwrap()
}
