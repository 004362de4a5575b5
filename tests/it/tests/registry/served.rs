//! A repository behind a web server that behaves, and behind some that do not.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Fixture;
use crate::servers::{Server, Stream, authority, request};
use crate::web::pem;

/// What is done instead of answering with the file: true if it was done.
type Instead = Box<dyn Fn(&str, &[u8], &mut dyn Stream) -> bool + Send + Sync>;

/// A server of a folder, as far as `instead` lets it.
fn serve(fixture: &Fixture, tls: Option<&[&str]>, stranger: bool, instead: Instead) -> Server {
    let root = fixture.sandbox.work().join("repo");
    let talk = move |stream: &mut dyn Stream| {
        let asked = request(stream);
        let path = asked.split(' ').nth(1).unwrap_or_default().to_owned();
        let file = fs::read(root.join(path.trim_start_matches('/')));
        match file {
            Ok(bytes) if instead(&path, &bytes, stream) => {}
            Ok(bytes) => answer(stream, "200 OK", "", &bytes),
            Err(_) => answer(stream, "404 Not Found", "", b""),
        }
        path
    };
    match tls {
        Some(names) if stranger => Server::start_tls_by_a_stranger(names, talk),
        Some(names) => Server::start_tls(names, talk),
        None => Server::start(talk),
    }
}

fn answer(stream: &mut dyn Stream, status: &str, headers: &str, body: &[u8]) {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    // Whoever hung up does not want it.
    let _ =
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).and_then(|()| stream.flush());
}

/// What comes of connecting a registry that is served like this: the code it was refused with, or none.
fn connect(fixture: &Fixture, url: &str) -> Option<String> {
    let _ = fixture.run(false, &["registry", "disconnect", "web", "--yes"]);
    let ended =
        fixture.run(false, &["registry", "connect", "web", url, "--root", "repo/metadata/1.root.json"]);
    if ended.exit == 0 {
        return None;
    }
    let code = ended.stderr.split_once(" [").and_then(|(_, rest)| rest.split_once(']'));
    Some(code.map_or(ended.stderr.clone(), |(code, _)| code.to_owned()))
}

fn never() -> Instead {
    Box::new(|_, _, _| false)
}

#[test]
fn plugins_are_installed_from_a_web_server() {
    let fixture = Fixture::new();
    let config = fixture.sandbox.loong_home().join("config");
    fs::write(config.join("ca.pem"), pem(&authority())).unwrap();
    fs::write(config.join("loong.toml"), "[egress]\nca_file = \"ca.pem\"\n").unwrap();
    let server = serve(&fixture, Some(&["localhost"]), false, never());
    let url = format!("https://localhost:{}/", server.port());
    fixture.does(&["registry", "disconnect", "main", "--yes"]);
    assert_eq!(connect(&fixture, &url), None);
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
    fixture.does(&["registry", "verify", &url, "--root", "repo/metadata/1.root.json"]);
}

#[test]
fn a_server_that_cannot_show_who_it_is_is_not_read() {
    let fixture = Fixture::new();
    let config = fixture.sandbox.loong_home().join("config");
    fs::write(config.join("ca.pem"), pem(&authority())).unwrap();
    fs::write(config.join("loong.toml"), "[egress]\nca_file = \"ca.pem\"\n").unwrap();
    let unreachable = Some("repository_unreachable".to_owned());
    let other = serve(&fixture, Some(&["other.example"]), false, never());
    assert_eq!(
        connect(&fixture, &format!("https://localhost:{}/", other.port())),
        unreachable,
        "another name"
    );
    let stranger = serve(&fixture, Some(&["localhost"]), true, never());
    assert_eq!(
        connect(&fixture, &format!("https://localhost:{}/", stranger.port())),
        unreachable,
        "nobody vouches"
    );
    assert_eq!(connect(&fixture, "http://components.example/"), Some("repository_invalid".to_owned()));
    let good = serve(&fixture, Some(&["localhost"]), false, never());
    assert_eq!(connect(&fixture, &format!("https://localhost:{}/", good.port())), None);
}

#[test]
fn redirects_stay_on_the_server() {
    let fixture = Fixture::new();
    let elsewhere = serve(&fixture, None, false, never());
    let target = elsewhere.endpoint();
    let away = serve(
        &fixture,
        None,
        false,
        Box::new(move |path, _, stream| {
            answer(stream, "302 Found", &format!("location: http://{target}{path}\r\n"), b"");
            true
        }),
    );
    let unreachable = Some("repository_unreachable".to_owned());
    assert_eq!(connect(&fixture, &format!("http://{}/", away.endpoint())), unreachable);
    assert_eq!(elsewhere.connections(), 0, "nobody was sent there");
    let round = serve(
        &fixture,
        None,
        false,
        Box::new(|path, _, stream| {
            answer(stream, "302 Found", &format!("location: {path}\r\n"), b"");
            true
        }),
    );
    assert_eq!(connect(&fixture, &format!("http://{}/", round.endpoint())), unreachable, "a circle");
    let within = serve(
        &fixture,
        None,
        false,
        Box::new(|path, _, stream| {
            let moves = path.ends_with("timestamp.json");
            if moves {
                answer(stream, "302 Found", "location: /metadata/elsewhere.json\r\n", b"");
            }
            moves
        }),
    );
    let repo = fixture.sandbox.work().join("repo/metadata");
    fs::copy(repo.join("timestamp.json"), repo.join("elsewhere.json")).unwrap();
    assert_eq!(
        connect(&fixture, &format!("http://{}/", within.endpoint())),
        None,
        "another path of the same server"
    );
}

#[test]
fn a_server_in_trouble_is_asked_again_a_few_times() {
    let fixture = Fixture::new();
    let troubled = |status: &'static str, headers: &'static str, times: usize| {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let server = serve(
            &fixture,
            None,
            false,
            Box::new(move |path, _, stream| {
                let fails = path.ends_with("timestamp.json") && seen.fetch_add(1, Ordering::SeqCst) < times;
                if fails {
                    answer(stream, status, headers, b"not now");
                }
                fails
            }),
        );
        (connect(&fixture, &format!("http://{}/", server.endpoint())), count.load(Ordering::SeqCst))
    };
    let unreachable = Some("repository_unreachable".to_owned());
    // When it works, the timestamp is read once more for the entries or not at all: at least once after the failures.
    let (ended, asked) = troubled("500 Internal Server Error", "", 2);
    assert!(ended.is_none() && asked >= 3, "{ended:?} after {asked}");
    assert_eq!(troubled("503 Service Unavailable", "", 100), (unreachable.clone(), 3));
    let (ended, asked) = troubled("429 Too Many Requests", "retry-after: 1\r\n", 1);
    assert!(ended.is_none() && asked >= 2, "{ended:?} after {asked}");
    assert_eq!(troubled("429 Too Many Requests", "retry-after: 86400\r\n", 100), (unreachable.clone(), 1));
    assert_eq!(troubled("418 I'm a teapot", "", 100), (unreachable, 1));
}

#[test]
fn lengths_that_lie_and_files_that_never_end_are_refused() {
    let fixture = Fixture::new();
    let with = |instead: fn(&[u8], &mut dyn Stream)| {
        let server = serve(
            &fixture,
            None,
            false,
            Box::new(move |path, bytes, stream| {
                let is_it = path.ends_with("timestamp.json");
                if is_it {
                    instead(bytes, stream);
                }
                is_it
            }),
        );
        connect(&fixture, &format!("http://{}/", server.endpoint()))
    };
    let unreachable = Some("repository_unreachable".to_owned());
    let truncated = with(|bytes, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&bytes[..bytes.len() / 2]);
    });
    assert_eq!(truncated, unreachable, "cut off");
    let boasting = with(|_, stream| {
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\nconnection: close\r\n\r\n{");
    });
    assert_eq!(boasting, unreachable, "said to be huge");
    let endless = with(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = [b"1000\r\n".as_slice(), &[b' '; 4096], b"\r\n"].concat();
        // Ends when the client hangs up.
        while stream.write_all(&chunk).is_ok() {}
    });
    assert_eq!(endless, unreachable, "endless");
    let shorter = with(|bytes, stream| {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len() / 2);
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(bytes);
    });
    assert_eq!(shorter, Some("repository_invalid".to_owned()), "said to be shorter");
    let garbage = with(|_, stream| {
        let _ = stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n");
    });
    assert_eq!(garbage, unreachable, "not HTTP");
    assert_eq!(with(|bytes, stream| answer(stream, "200 OK", "", bytes)), None);
}
