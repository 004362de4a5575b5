//! The audit log on its way to sinks: real receivers, and what goes wrong between here and there.

mod budget;
mod file;
mod http;
mod syslog;

use std::fs;
use std::process::{Child, Stdio};

use loong_it::fixture::{guest, plugins};
use loong_it::sandbox::Sandbox;
use rusqlite::Connection;

/// A place whose settings name one sink.
fn place(sink: &str, settings: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let file = plugins().join(sink).with_extension("wasm");
    configure(
        &sandbox,
        &format!("[[sinks]]\nplugin = \"core:{sink}\"\nfile = \"{}\"\n{settings}", file.display()),
    );
    sandbox
}

fn configure(sandbox: &Sandbox, settings: &str) {
    fs::write(sandbox.loong_home().join("config/loong.toml"), settings).unwrap();
}

/// Calls something, which is recorded.
fn record(sandbox: &Sandbox, calls: u32) {
    guest("stranger");
    for number in 0..calls {
        let ended = sandbox.shell(&format!(
            "loong tools call $GUESTS/stranger.wasm add '{{\"left\": {number}, \"right\": 40}}'"
        ));
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }
}

fn database(sandbox: &Sandbox) -> Connection {
    Connection::open(sandbox.loong_home().join("data/loong.db")).unwrap()
}

fn number(sandbox: &Sandbox, sql: &str) -> u64 {
    database(sandbox).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

/// How many records there are.
fn records(sandbox: &Sandbox) -> u64 {
    number(sandbox, "SELECT count(*) FROM audit")
}

/// The first record that the sink has not.
fn next(sandbox: &Sandbox) -> u64 {
    number(sandbox, "SELECT coalesce(max(next), 0) FROM sink")
}

/// Starts `loong` and does not wait.
fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let loong = sandbox.work().with_file_name("bin").join("loong");
    sandbox.command(loong).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
