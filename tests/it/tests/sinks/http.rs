//! `core:sink-http`, and what the host does when a receiver fails.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loong_it::sandbox::Sandbox;
use serde_json::Value;

use super::{configure, next, place, record, records, start};
use crate::servers::{Server, Stream, request, respond};

/// A place whose log goes to a server.
fn with_server(server: &Server, fail: &str, more: &str) -> Sandbox {
    let sandbox = place("sink-http", "");
    point_to(&sandbox, server, fail, more);
    sandbox
}

fn point_to(sandbox: &Sandbox, server: &Server, fail: &str, more: &str) {
    let (file, at) = (loong_it::fixture::plugins().join("sink-http.wasm"), server.endpoint());
    configure(
        sandbox,
        &format!(
            "[[sinks]]\nplugin = \"core:sink-http\"\nfile = \"{}\"\nfail = \"{fail}\"\n\
             [egress]\nallow_private = [\"{at}\"]\n\
             [plugins.\"core:sink-http\"]\nurl = \"http://{at}/loong\"\n{more}",
            file.display()
        ),
    );
}

/// A place with records of two runs, which nobody delivered yet.
fn with_records(server: &Server, fail: &str, more: &str) -> Sandbox {
    let sandbox = with_server(server, fail, more);
    configure(&sandbox, "");
    record(&sandbox, 2);
    point_to(&sandbox, server, fail, more);
    sandbox
}

/// The header of a request.
fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split("\r\n\r\n").next().unwrap();
    let find = |line: &'a str| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    };
    head.lines().skip(1).find_map(find)
}

/// The indexes in a request.
fn indexes(request: &str) -> Vec<u64> {
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["schema"], "loong.audit.batch/1");
    body["records"].as_array().unwrap().iter().map(|record| record["index"].as_u64().unwrap()).collect()
}

/// A server that answers request by request with what this says of the request's number.
fn scripted(answer: impl Fn(u32, &mut dyn Stream, &str) + Send + Sync + 'static) -> Server {
    let count = AtomicU32::new(0);
    Server::start(move |stream| {
        let asked = request(stream);
        answer(count.fetch_add(1, Ordering::SeqCst), stream, &asked);
        asked
    })
}

#[test]
fn a_batch_arrives_with_the_secret_that_nobody_else_sees() {
    let server = scripted(|_, stream, _| respond(stream, "200 OK", "", "{}"));
    let sandbox =
        with_records(&server, "closed", "header = \"authorization: Bearer {{secret:sink-http-token}}\"\n");
    let set = sandbox.shell("printf %s hush-4711 | loong secrets set sink-http-token --host 127.0.0.1");
    assert_eq!(set.exit, 0, "{}", set.stderr);
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].starts_with("POST /loong HTTP/1.1\r\n"), "{}", heard[0]);
    assert_eq!(header(&heard[0], "authorization"), Some("Bearer hush-4711"));
    assert_eq!(header(&heard[0], "content-type"), Some("application/json"));
    let indexes = indexes(&heard[0]);
    assert!(indexes.iter().enumerate().all(|(at, index)| at as u64 == *index), "{indexes:?}");
    let last = indexes.last().unwrap();
    assert_eq!(header(&heard[0], "loong-records"), Some(format!("0-{last}").as_str()));
    assert_eq!(next(&sandbox), last + 1);
    let log = sandbox.loong(["audit", "recent", "--json", "--limit", "1000"]);
    assert!(log.stdout.contains("secret_used") && !log.stdout.contains("hush-4711"), "{}", log.stdout);
}

#[test]
fn what_goes_wrong_on_the_way_is_tried_again() {
    let server = scripted(|number, stream, _| match number {
        0 => respond(stream, "503 Service Unavailable", "", ""),
        // Closed without an answer, and in the middle of one.
        1 => {}
        2 => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        }
        3 => respond(stream, "429 Too Many Requests", "retry-after: 1\r\n", ""),
        _ => respond(stream, "204 No Content", "", ""),
    });
    let sandbox = with_records(&server, "closed", "");
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let heard = server.heard();
    assert_eq!(heard.len(), 5);
    let keys: Vec<_> = heard.iter().map(|request| header(request, "idempotency-key").unwrap()).collect();
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "{keys:?}");
    assert!(ended.elapsed.as_millis() >= 1_000, "it asked for a second: {:?}", ended.elapsed);
    assert_eq!(next(&sandbox), indexes(&heard[4]).last().unwrap() + 1);
}

#[test]
fn a_host_that_dies_before_it_knows_delivers_again() {
    let victim: Arc<Mutex<Option<u32>>> = Arc::default();
    let target = Arc::clone(&victim);
    let server = scripted(move |_, stream, _| {
        // The receiver has everything, and the host is gone before it hears so.
        if let Some(process) = target.lock().unwrap().take() {
            assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
        }
        respond(stream, "200 OK", "", "");
    });
    let sandbox = with_records(&server, "closed", "");
    let mut guard = victim.lock().unwrap();
    let mut process = start(&sandbox, &["audit", "deliver"]);
    *guard = Some(process.id());
    drop(guard);
    assert!(!process.wait().unwrap().success());
    assert_eq!(next(&sandbox), 0, "nobody said that it was delivered");
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let heard = server.heard();
    assert_eq!(heard.len(), 2, "twice, not once and not never");
    let (first, second) = (indexes(&heard[0]), indexes(&heard[1]));
    assert!(second.starts_with(&first), "{first:?} {second:?}");
    assert_eq!(next(&sandbox), second.last().unwrap() + 1);
    assert_eq!(sandbox.loong(["audit", "verify"]).exit, 0);
}

/// A receiver that never takes record 3.
fn without_three() -> Server {
    scripted(|_, stream, asked| {
        let status = if indexes(asked).contains(&3) { "422 Unprocessable Content" } else { "200 OK" };
        respond(stream, status, "", "");
    })
}

#[test]
fn one_record_that_is_refused_for_good_stops_none_of_the_others() {
    let server = without_three();
    let sandbox = with_records(&server, "open", "");
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let mut taken: Vec<u64> = server
        .heard()
        .iter()
        .map(|request| indexes(request))
        .filter(|some| !some.contains(&3))
        .flatten()
        .collect();
    taken.sort_unstable();
    let expected: Vec<u64> = (0..next(&sandbox)).filter(|index| *index != 3).collect();
    assert_eq!(taken, expected);
    let states = sandbox.loong(["audit", "recent", "--kind", "sink_state"]);
    assert!(states.stdout.contains("record 3 is refused for good"), "{}", states.stdout);
}

#[test]
fn a_sink_that_must_not_fail_leaves_nothing_out() {
    let server = without_three();
    let sandbox = with_records(&server, "closed", "");
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 70, "{}", ended.stderr);
    assert!(ended.stderr.contains("record 3 is refused for good"), "{}", ended.stderr);
    assert_eq!(next(&sandbox), 3);
    let refused = sandbox.shell("loong tools call $GUESTS/stranger.wasm add '{\"left\": 1, \"right\": 2}'");
    assert_eq!((refused.exit, refused.stdout.as_str()), (70, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("[sink_failed]"), "{}", refused.stderr);
}

#[test]
fn a_token_that_expired_loses_nothing() {
    let good = Arc::new(AtomicU32::new(401));
    let status = Arc::clone(&good);
    let server = scripted(move |_, stream, _| {
        respond(stream, &format!("{} X", status.load(Ordering::SeqCst)), "", "");
    });
    let sandbox = with_records(&server, "open", "");
    for _ in 0..3 {
        assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 70);
    }
    assert_eq!(next(&sandbox), 0);
    // A run goes on, with a warning, and does not ask again while the sink is let alone.
    let before = server.connections();
    let ended = sandbox.shell("loong tools call $GUESTS/stranger.wasm add '{\"left\": 1, \"right\": 2}'");
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, "3\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the collector answered 401"), "{}", ended.stderr);
    assert_eq!(server.connections(), before);
    good.store(200, Ordering::SeqCst);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let indexes = indexes(server.heard().last().unwrap());
    assert!(indexes.iter().enumerate().all(|(at, index)| at as u64 == *index), "{indexes:?}");
    let before = records(&sandbox);
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    assert_eq!(records(&sandbox), before, "deliveries over the network end too");
}

#[test]
fn lines_are_one_record_each() {
    let server = scripted(|_, stream, _| respond(stream, "200 OK", "", ""));
    let sandbox = with_records(&server, "open", "format = \"ndjson\"\n");
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let heard = server.heard();
    assert_eq!(header(&heard[0], "content-type"), Some("application/x-ndjson"));
    let body = heard[0].split_once("\r\n\r\n").unwrap().1;
    for (at, line) in body.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (record["schema"].as_str(), record["index"].as_u64()),
            (Some("loong.audit.record/1"), Some(at as u64))
        );
    }
    assert_eq!(body.lines().count() as u64, next(&sandbox));
}

#[test]
fn a_run_hears_of_what_another_process_revokes() {
    let place = Sandbox::new();
    let (revoke, done) = (place.work().join("revoke"), place.work().join("done"));
    let (asks, answers) = (revoke.clone(), done.clone());
    // Revoked between two deliveries of one run. The answer waits until the run must have heard of it.
    let server = scripted(move |number, stream, _| {
        if number == 0 {
            fs::write(&asks, "").unwrap();
            while !answers.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        respond(stream, "200 OK", "", "");
    });
    let sandbox = with_records(&server, "closed", "");
    let settings = fs::read_to_string(sandbox.loong_home().join("config/loong.toml")).unwrap();
    configure(&sandbox, &settings.replace("fail =", "batch_records = 5\nfail ="));
    let process = start(&sandbox, &["audit", "deliver"]);
    while !revoke.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let revoked = sandbox.loong(["sessions", "revoke", "--all", "--yes"]);
    assert_eq!(revoked.exit, 0, "{}", revoked.stderr);
    fs::write(&done, "").unwrap();
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(70), "{said}");
    assert!(said.contains("[token_revoked]"), "{said}");
    assert_eq!(
        (server.connections(), next(&sandbox)),
        (1, 5),
        "what was under way was done, and nothing after"
    );

    // What comes later is of another generation, however long it runs and however often it asks.
    let slow = scripted(|_, stream, _| {
        std::thread::sleep(Duration::from_millis(700));
        respond(stream, "200 OK", "", "");
    });
    point_to(&sandbox, &slow, "closed", "");
    let settings = fs::read_to_string(sandbox.loong_home().join("config/loong.toml")).unwrap();
    configure(&sandbox, &settings.replace("fail =", "batch_records = 9\nfail ="));
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(slow.connections() > 1, "it was not asked again");
}
