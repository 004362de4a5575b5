//! A repository in an OCI registry: Debian's docker-registry, which has no referrers, and servers that lie.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use loong_manifest::Digest;
use serde_json::{Value, json};

use super::{Fixture, component};
use crate::servers::{Server, Stream, request, request_bytes, respond};

/// `ada`, whose password is `open sesame`.
const LOGIN: &str = "ada:$2b$04$Kozn5mgR8zfzSCnWMocjlOUJ5KWhJiCuCTAizbhPn9VYvaQxexXaK";

/// A registry in a folder of its own, on a free port. It ends with this value.
struct Registry {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program; none where it is not installed. `.ci/run` installs it, and CI sets `LOONG_NEED_OCI` so that nothing is
/// passed over there.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "CI says by its environment that nothing is passed over; where something is, it is said"
)]
fn program() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/bin/docker-registry");
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("LOONG_NEED_OCI").is_none(), "docker-registry is needed and not installed");
    eprintln!("SKIPPED: docker-registry is not installed, so nothing was pushed to an OCI registry");
    None
}

impl Registry {
    fn start(program: &Path, login: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("loong-oci-").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let auth = if login {
            fs::write(at("logins"), LOGIN).unwrap();
            format!("auth:\n  htpasswd:\n    realm: here\n    path: {}\n", at("logins"))
        } else {
            String::new()
        };
        let settings = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\n{auth}",
            at("data")
        );
        fs::write(at("settings.yml"), settings).unwrap();
        let process = Command::new(program)
            .args(["serve", &at("settings.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut started = Self { process, port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = started.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "docker-registry did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        started
    }

    fn location(&self) -> String {
        format!("oci://127.0.0.1:{}/acme/components", self.port)
    }

    /// What it answers to a request, head and body.
    fn get(port: u16, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request.as_ref()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

const ROOT: [&str; 2] = ["--root", "repo/metadata/1.root.json"];

#[test]
fn a_repository_is_pushed_to_an_oci_registry_and_installed_from_it() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, false);
    let fixture = Fixture::new();
    let location = registry.location();
    let said = fixture.ok(true, &["registry", "push", "repo", &location]);
    assert!(said.contains("1 entry"), "{said}");
    let again = fixture.ok(true, &["registry", "push", "repo", &location]);
    assert!(again.contains(": 0 blobs sent"), "{again}");
    fixture.does(&[["registry", "verify", &location].as_slice(), &ROOT].concat());

    fixture.does(&["registry", "disconnect", "main", "--yes"]);
    fixture.does(&[["registry", "connect", "oci", &location].as_slice(), &ROOT].concat());
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);

    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"], "it was not pushed yet");
    fs::rename(fixture.sandbox.work().join("repo"), fixture.sandbox.work().join("newer")).unwrap();
    fixture.ok(true, &["registry", "push", "newer", &location]);
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"]);

    let pulled = fixture.does(&["registry", "pull", &format!("{location}/acme/greet:1.1.0")]);
    assert!(pulled.contains("1 signature"), "{pulled}");
    let checked = fixture.does(&["plugins", "check", "greet.wasm"]);
    assert!(checked.contains("verified-community"), "{checked}");
    fixture.refused(
        &["registry", "pull", &format!("{location}/acme/greet:9.9.9")],
        "repository_unreachable",
        1,
    );
    fixture.refused(&["registry", "pull", "oci://127.0.0.1/x"], "command_line_invalid", 2);
}

#[test]
fn a_project_is_published_and_pushed_in_one_go() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, false);
    let fixture = Fixture::new();
    // What the template needs came with the first-party components.
    loong_it::fixture::plugins();
    let location = registry.location();
    fixture.ok(true, &["plugins", "init", "word-count", "--publisher", "acme"]);
    let publish = ["plugins", "publish", "word-count", "--repository", "repo", "--key", "acme", "--push"];
    let said = fixture.ok(true, &[publish.as_slice(), &[location.as_str()]].concat());
    assert!(said.contains(&format!("pushed to {location}")), "{said}");
    fixture.does(&["registry", "disconnect", "main", "--yes"]);
    fixture.does(&[["registry", "connect", "oci", &location].as_slice(), &ROOT].concat());
    fixture.does(&["plugins", "install", "acme:word-count", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:word-count 0.1.0"]);
}

#[test]
fn nothing_older_is_pushed() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, false);
    let fixture = Fixture::new();
    super::copy(&fixture.sandbox.work().join("repo"), &fixture.sandbox.work().join("old"));
    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    fixture.ok(true, &["registry", "push", "repo", &registry.location()]);
    fixture.refused(&["registry", "push", "old", &registry.location()], "repository_invalid", 3);
}

#[test]
fn a_login_is_used_where_it_is_asked_for() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, true);
    let fixture = Fixture::new();
    let location = registry.location();
    let push = ["registry", "push", "repo", &location];
    fixture.refused(&push, "repository_unreachable", 1);
    let logins = |auth: &str| {
        let text = format!("{{\"auths\":{{\"127.0.0.1:{}\":{{\"auth\":\"{auth}\"}}}}}}", registry.port);
        fs::write(fixture.sandbox.work().join("config.json"), text).unwrap();
    };
    let mut command = fixture.sandbox.command(fixture.sandbox.path("bin/loong"));
    logins("YWRhOm9wZW4gc2VzYW1l");
    command.env("DOCKER_CONFIG", fixture.sandbox.work()).args(push);
    let ended = fixture.sandbox.run(&mut command);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    logins("YWRhOndyb25n");
    let ended = fixture.sandbox.run(&mut command);
    assert_eq!(ended.exit, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(!ended.stderr.contains("wrong"), "no password is printed: {}", ended.stderr);
}

/// A server before the registry that knows what lies beside a manifest (distribution specification 1.1, "Listing
/// Referrers"), as Debian's does not yet.
fn with_referrers(port: u16) -> Server {
    let known: Mutex<BTreeMap<String, Vec<Value>>> = Mutex::default();
    Server::start(move |stream: &mut dyn Stream| {
        let asked = request_bytes(stream);
        let end = asked.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(asked.len(), |at| at + 4);
        let (head, body) = asked.split_at(end);
        let head = String::from_utf8_lossy(head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if let Some((_, subject)) = path.split_once("/referrers/") {
            let manifests = known.lock().unwrap().get(subject).cloned().unwrap_or_default();
            let index = json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
            });
            respond(stream, "200 OK", "connection: close\r\n", &index.to_string());
            return head;
        }
        let mut truth =
            Registry::get(port, [head.replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes(), body].concat());
        let manifest: Value = serde_json::from_slice(body).unwrap_or_default();
        let subject = manifest["subject"]["digest"].as_str();
        if let Some(subject) =
            subject.filter(|_| head.starts_with("PUT") && truth.starts_with(b"HTTP/1.0 201"))
        {
            known.lock().unwrap().entry(subject.to_owned()).or_default().push(json!({
                "mediaType": manifest["mediaType"], "digest": Digest::of(body), "size": body.len(),
                "artifactType": manifest["artifactType"],
            }));
            let first = truth.windows(2).position(|bytes| bytes == b"\r\n").unwrap() + 2;
            truth.splice(first..first, format!("OCI-Subject: {subject}\r\n").into_bytes());
        }
        let _ = stream.write_all(&truth).and_then(|()| stream.flush());
        head
    })
}

#[test]
fn signatures_are_found_by_the_referrers_of_a_registry_that_knows_them() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, false);
    let fixture = Fixture::new();
    let server = with_referrers(registry.port);
    let location = format!("oci://{}/acme/components", server.endpoint());
    fixture.ok(true, &["registry", "push", "repo", &location]);
    let tags = "GET /v2/acme/components/acme/greet/tags/list HTTP/1.0\r\nhost: here\r\n\r\n";
    let tags = String::from_utf8(Registry::get(registry.port, tags)).unwrap();
    assert!(tags.contains("\"1.0.0\"") && !tags.contains("sha256-"), "no tag stands in for them: {tags}");
    let component = format!("{location}/acme/greet:1.0.0");
    fixture.does(&["registry", "pull", &component, "pulled.wasm"]);
    assert!(fixture.sandbox.work().join("pulled.wasm.sigstore.json").is_file());
    assert!(fixture.does(&["plugins", "check", "pulled.wasm"]).contains("verified-community"));
}

/// A server before the registry that wants a token from its service, which gives one to `ada`.
fn guarded(port: u16, token: &'static str) -> Server {
    Server::start(move |stream: &mut dyn Stream| {
        let asked = request(stream);
        let header = |name: &str| {
            let mut lines = asked.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
        };
        let (path, host) = (asked.split(' ').nth(1).unwrap_or_default(), header("host"));
        let is_known = header("authorization") == "Bearer let-me-in";
        let answer = if path.starts_with("/token?") {
            let asked_for = path.contains("service=here") && path.contains("repository%3Aacme");
            let status = if asked_for && header("authorization") == "Basic YWRhOm9wZW4gc2VzYW1l" {
                "200 OK"
            } else {
                "401 Unauthorized"
            };
            let length = token.len();
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{token}")
                .into_bytes()
        } else if is_known {
            let accept = header("accept");
            Registry::get(port, format!("GET {path} HTTP/1.0\r\nhost: here\r\naccept: {accept}\r\n\r\n"))
        } else {
            format!(
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\
                 www-authenticate: Bearer realm=\"http://{host}/token\",service=\"here\",scope=\"x\"\r\n\r\n"
            )
            .into_bytes()
        };
        let _ = stream.write_all(&answer).and_then(|()| stream.flush());
        path.to_owned()
    })
}

#[test]
fn a_token_is_got_from_the_service_that_the_registry_names() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, false);
    let fixture = Fixture::new();
    fixture.ok(true, &["registry", "push", "repo", &registry.location()]);
    let verify = |token: &'static str, auth: &str| {
        let server = guarded(registry.port, token);
        let login = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", server.endpoint());
        fs::write(fixture.sandbox.work().join("config.json"), login).unwrap();
        let location = format!("oci://{}/acme/components", server.endpoint());
        let mut command = fixture.sandbox.command(fixture.sandbox.path("bin/loong"));
        command
            .env("DOCKER_CONFIG", fixture.sandbox.work())
            .args(["registry", "verify", &location])
            .args(ROOT);
        fixture.sandbox.run(&mut command)
    };
    let ada = "YWRhOm9wZW4gc2VzYW1l";
    for token in [
        r#"{"token":"let-me-in"}"#,
        r#"{"access_token":"let-me-in","expires_in":300}"#,
        r#"{"token":"let-me-in","access_token":"let-me-in"}"#,
    ] {
        let ended = verify(token, ada);
        assert_eq!(ended.exit, 0, "{token} {}{}", ended.stdout, ended.stderr);
    }
    for (token, auth) in [
        ("{}", ada),
        ("let-me-in", ada),
        (r#"{"token":"x"}"#, ada),
        (r#"{"token":"let-me-in"}"#, "YWRhOndyb25n"),
    ] {
        let ended = verify(token, auth);
        assert_eq!(ended.exit, 1, "{token} {}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("[repository_unreachable]"), "{}", ended.stderr);
    }
}

/// A server before the registry that answers something else to a path that holds a text.
fn lying(port: u16, part: &'static str, answer: fn(&[u8], &mut dyn Stream)) -> Server {
    Server::start(move |stream: &mut dyn Stream| {
        let asked = request(stream);
        let path = asked.split(' ').nth(1).unwrap_or_default().to_owned();
        let accept =
            asked.lines().find(|line| line.to_lowercase().starts_with("accept:")).unwrap_or("accept: */*");
        let truth = Registry::get(port, format!("GET {path} HTTP/1.0\r\nhost: here\r\n{accept}\r\n\r\n"));
        if path.contains(part) {
            answer(&truth, stream);
        } else {
            let _ = stream.write_all(&truth).and_then(|()| stream.flush());
        }
        path
    })
}

#[test]
fn a_registry_that_lies_gives_nothing() {
    let Some(program) = program() else { return };
    let registry = Registry::start(&program, false);
    let fixture = Fixture::new();
    fixture.ok(true, &["registry", "push", "repo", &registry.location()]);
    let verify = |part: &'static str, answer: fn(&[u8], &mut dyn Stream)| {
        let server = lying(registry.port, part, answer);
        let location = format!("oci://{}/acme/components", server.endpoint());
        let ended = fixture.run(false, &[["registry", "verify", &location].as_slice(), &ROOT].concat());
        assert!(ended.exit == 0 || ended.stderr.contains("[repository_"), "{}", ended.stderr);
        ended.exit
    };
    let honest = verify("nothing has this", |_, _| {});
    assert_eq!(honest, 0);
    for part in ["/tuf/manifests/timestamp.json", "/tuf/blobs/", "/acme/greet/blobs/"] {
        let other_bytes = verify(part, |truth, stream| {
            let mut changed = truth.to_vec();
            if let Some(last) = changed.iter_mut().rev().find(|byte| byte.is_ascii_digit()) {
                *last = if *last == b'1' { b'2' } else { b'1' };
            }
            let _ = stream.write_all(&changed);
        });
        assert_ne!(other_bytes, 0, "other bytes at {part}");
        let endless = verify(part, |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            // Until the other side has enough.
            while stream.write_all(&[b' '; 65_536]).is_ok() {}
        });
        assert_ne!(endless, 0, "no end at {part}");
        let elsewhere = verify(part, |_, stream| {
            let _ = stream.write_all(
                b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://blobs.example/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        });
        assert_ne!(elsewhere, 0, "sent elsewhere at {part}");
    }
}
