//! Requests and connections of a guest to servers on loopback: what is granted works, everything next to it is
//! refused, and the log says both.

use loong_kernel::{Event, Outcome};
use loong_manifest::Code;
use serde_json::{Value, json};

use crate::hostile::harness::{Guest, World, guest};
use crate::servers::{Server, echo, request, respond};

const CLIENT: &str = "core:net-client";

/// The guest that asks other machines, with these destinations.
#[expect(clippy::needless_pass_by_value, reason = "they are written where they are given")]
pub(crate) fn client(http: Value, tcp: Value) -> Guest {
    guest("net_client")
        .official()
        .asks("filesystem", json!({ "folders": [] }))
        .asks("http", json!({ "destinations": http }))
        .asks("tcp", json!({ "destinations": tcp }))
}

/// One that may ask this server with these methods, although it is on this machine.
fn client_of(server: &Server, methods: &[&str]) -> Guest {
    let http = json!([
        { "scheme": "http", "host": "127.0.0.1", "port": server.port(), "methods": methods },
    ]);
    let tcp = json!([{ "host": "127.0.0.1", "port": server.port(), "tls": "none" }]);
    client(http, tcp).inside(&[&server.endpoint()])
}

fn ask(world: &World, method: &str, url: &str, headers: &[&str], body: &str) -> String {
    let arguments = json!({ "method": method, "url": url, "headers": headers, "body": body });
    world.call(&format!("{CLIENT}.request"), arguments).said()
}

fn talk(world: &World, host: &str, port: u16, tls: bool, text: &str) -> String {
    let arguments = json!({ "host": host, "port": port, "tls": tls, "text": text, "close": true });
    world.call(&format!("{CLIENT}.talk"), arguments).said()
}

/// Effects on other machines as the log has them: what, and how it was decided.
fn effects(world: &World) -> Vec<String> {
    let of = |event| match event {
        Event::Effect { capability, target, outcome, code, .. } => {
            let said = code.map_or_else(String::new, |code: Code| format!(" {code}"));
            let outcome = if outcome == Outcome::Allow { "allow" } else { "deny" };
            Some(format!("{capability} {target}: {outcome}{said}"))
        }
        Event::SecretUsed { secret, host, .. } => Some(format!("secret {secret} to {host}")),
        _ => None,
    };
    world.audit().into_iter().filter_map(of).collect()
}

#[test]
fn a_granted_request_carries_bodies_both_ways() {
    let server = Server::start(|stream| {
        let asked = request(stream);
        respond(stream, "201 Created", "x-said: yes\r\n", "the answer");
        asked
    });
    let world = World::of(client_of(&server, &["POST"]));
    let url = format!("http://{}/a/b?c=d", server.endpoint());
    let said = ask(&world, "POST", &url, &["x-own: 1"], "the question");
    assert!(said.contains(r#""body":"the answer""#) && said.contains(r#""status":201"#), "{said}");
    assert!(said.contains("x-said: yes"), "{said}");
    let heard = server.heard().join("");
    assert!(heard.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{heard}");
    assert!(
        heard.contains(&format!("host: {}\r\n", server.endpoint())) && heard.contains("x-own: 1\r\n"),
        "{heard}"
    );
    assert!(heard.contains("the question"), "{heard}");
    // A query may hold anything; it is not written down.
    let target = format!("http POST http://{}/a/b: allow", server.endpoint());
    assert_eq!(effects(&world), [target]);
}

#[test]
fn a_request_holds_no_other_request() {
    let server = Server::start(|stream| {
        let mut asked = request(stream);
        respond(stream, "200 OK", "", "");
        // Whatever came behind it.
        let _ = std::io::Read::read_to_string(stream, &mut asked);
        asked
    });
    let world = World::of(client_of(&server, &["POST"]));
    let url = format!("http://{}/a", server.endpoint());
    let hidden = "bodyDELETE /hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    // The body ends where its length says, whatever the guest wrote behind that.
    let said = ask(&world, "POST", &url, &["content-length: 4"], hidden);
    assert!(said.contains(r#""status":200"#), "{said}");
    let heard = server.heard();
    assert!(heard.len() == 1 && heard[0].ends_with("\r\n\r\nbody"), "{heard:?}");
    // And there is one length, in one way.
    for (headers, refused) in [
        (&["content-length: 4", "content-length: 47"][..], "content-length: HeaderError::InvalidSyntax"),
        (&["content-length: +4"], "content-length: HeaderError::InvalidSyntax"),
        (&["transfer-encoding: chunked", "content-length: 4"], "transfer-encoding: HeaderError::Forbidden"),
        (&["connection: keep-alive", "content-length: 4"], "connection: HeaderError::Forbidden"),
        (&["x-own: 1\r\ncontent-length: 4"], "x-own: HeaderError::InvalidSyntax"),
    ] {
        assert_eq!(ask(&world, "POST", &url, headers, hidden), format!("{{\"err\":\"{refused}\"}}"));
    }
    assert_eq!(server.connections(), 1);
    assert!(ask(&world, "POST", &url, &[], hidden).contains(r#""status":200"#));
    assert!(server.heard().last().unwrap().contains("DELETE /hidden"), "the control has it in its body");
}

#[test]
fn a_granted_connection_carries_bytes_both_ways() {
    let server = Server::start(|stream| {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(stream, &mut text);
        let _ = write!(stream, "you said {text}");
        text
    });
    let world = World::of(client_of(&server, &["GET"]));
    assert_eq!(talk(&world, "127.0.0.1", server.port(), false, "hello"), r#"{"ok":"you said hello"}"#);
    assert_eq!(effects(&world), [format!("tcp tcp://{}: allow", server.endpoint())]);
}

#[test]
fn what_is_not_granted_is_refused_and_never_reached() {
    let server = Server::start(echo);
    let other = Server::start(echo);
    let world = World::of(client_of(&server, &["GET"]).inside(&[&other.endpoint()]));
    let denied = r#"{"err":"ErrorCode::HttpRequestDenied"}"#;
    let url = format!("http://{}/", server.endpoint());
    for (method, url) in [
        ("POST", url.as_str()),
        ("DELETE", &url),
        ("CONNECT", &url),
        ("GET", &format!("http://{}/", other.endpoint())),
        ("GET", &format!("https://{}/", server.endpoint())),
        ("GET", &format!("http://localhost:{}/", server.port())),
        ("GET", &format!("http://2130706433:{}/", server.port())),
        ("GET", &format!("http://127.1:{}/", server.port())),
        ("GET", &format!("http://user@{}/", server.endpoint())),
        ("GET", &format!("http://[::ffff:127.0.0.1]:{}/", server.port())),
    ] {
        assert_eq!(ask(&world, method, url, &[], ""), denied, "{method} {url}");
    }
    assert!(talk(&world, "127.0.0.1", other.port(), false, "").contains("egress-denied"));
    assert!(talk(&world, "127.0.0.1", server.port(), true, "").contains("egress-denied"));
    assert_eq!((server.connections(), other.connections()), (0, 0));
    let effects = effects(&world);
    assert_eq!(effects.len(), 12);
    assert!(effects.iter().all(|effect| effect.ends_with(": deny egress_denied")), "{effects:#?}");
    // The control: the same guest, the same server.
    assert!(ask(&world, "GET", &url, &[], "").contains(r#""status":200"#));
}

/// One that may ask this server over TLS, under this name.
fn secured(server: &Server, host: &str) -> Guest {
    let http = json!([{ "host": host, "port": server.port(), "methods": ["GET"] }]);
    let tcp = json!([{ "host": host, "port": server.port() }]);
    client(http, tcp).inside(&[&server.endpoint(), &format!("{host}:{}", server.port())])
}

#[test]
fn tls_is_for_the_name_that_was_asked() {
    let server = Server::start_tls(&["localhost"], echo);
    let url = |host: &str| format!("https://{host}:{}/", server.port());
    let world = World::of(secured(&server, "localhost"));
    let said = ask(&world, "GET", &url("localhost"), &[], "");
    assert!(said.contains(r#""status":200"#), "{said}");
    drop(world);
    // The same server under a name that its certificate is not for.
    let world = World::of(secured(&server, "127.0.0.1"));
    assert_eq!(ask(&world, "GET", &url("127.0.0.1"), &[], ""), r#"{"err":"ErrorCode::TlsCertificateError"}"#);
    let said = talk(&world, "127.0.0.1", server.port(), true, "hello");
    assert!(said.contains("tls-failed"), "{said}");
    assert!(server.heard().iter().all(|heard| !heard.contains("hello")), "{:?}", server.heard());
}

#[test]
fn tls_needs_an_authority_that_the_operator_trusts() {
    let stranger = Server::start_tls_by_a_stranger(&["localhost"], echo);
    let world = World::of(secured(&stranger, "localhost"));
    let url = format!("https://localhost:{}/", stranger.port());
    assert_eq!(ask(&world, "GET", &url, &[], ""), r#"{"err":"ErrorCode::TlsCertificateError"}"#);
}

#[test]
fn a_connection_over_tls_carries_bytes_both_ways() {
    let server = Server::start_tls(&["localhost"], |stream| {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(stream, &mut text);
        let _ = write!(stream, "you said {text}");
        text
    });
    let world = World::of(secured(&server, "localhost"));
    assert_eq!(talk(&world, "localhost", server.port(), true, "hello"), r#"{"ok":"you said hello"}"#);
}

const VALUE: &str = "hunter2-is-a-secret";

fn with_secret(guest: Guest, hosts: &[&str]) -> Guest {
    guest.asks("secrets", json!({ "uses": [{ "name": "token", "hosts": hosts }] }))
}

#[test]
fn a_secret_is_put_into_a_header_and_never_comes_back() {
    let server = Server::start(|stream| {
        let asked = request(stream);
        let token =
            asked.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
        let head = format!(
            "x-echo: you are {token}\r\nx-basic: dTpodW50ZXIyLWlzLWEtc2VjcmV0\r\nx-{}: 1\r\ntransfer-encoding: chunked\r\ntrailer: x-last\r\n",
            token.to_lowercase()
        );
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n");
        // Cut in the middle of the value, wherever that is.
        for part in [
            format!("begin {token} "),
            token[..5].to_owned(),
            token[5..].to_owned(),
            format!(" {}", &token[..4]),
            String::new(),
        ] {
            let _ = write!(stream, "{:x}\r\n{part}\r\n", part.len());
            let _ = stream.flush();
            if part.is_empty() {
                break;
            }
        }
        asked
    });
    let world = World::of(with_secret(client_of(&server, &["GET"]), &["127.0.0.1"]));
    world.secrets.set("token", VALUE, &["127.0.0.1"]);
    let url = format!("http://{}/", server.endpoint());
    let said =
        ask(&world, "GET", &url, &["authorization: Bearer {{secret:token}}", "accept-encoding: gzip"], "");
    let heard = server.heard().join("");
    assert!(heard.contains(&format!("authorization: Bearer {VALUE}\r\n")), "{heard}");
    assert!(heard.contains("accept-encoding: identity\r\n") && !heard.contains("gzip"), "{heard}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains("x-echo: you are [secret]"), "{said}");
    // `u:` and the value, in base64.
    assert!(said.contains("x-basic: dTp[secret]"), "{said}");
    assert!(said.contains(r#""body":"begin [secret] [secret] hunt""#), "{said}");
    let log = format!("{:?}", world.audit());
    assert!(!log.contains("hunter2"), "{log}");
    let effects = effects(&world);
    assert_eq!(
        effects,
        [format!("http GET http://{}/: allow", server.endpoint()), "secret token to 127.0.0.1".into()]
    );
}

#[test]
fn a_secret_goes_only_where_manifest_and_operator_say() {
    let server = Server::start(echo);
    let url = format!("http://{}/", server.endpoint());
    let header = ["authorization: {{secret:token}}"];
    let denied = r#"{"err":"ErrorCode::HttpRequestDenied"}"#;
    let world = |manifest: &[&str], bound: &[&str]| {
        let world = World::of(with_secret(client_of(&server, &["GET"]), manifest));
        world.secrets.set("token", VALUE, bound);
        world
    };
    {
        let world = world(&["a.example"], &["127.0.0.1"]);
        assert_eq!(ask(&world, "GET", &url, &header, ""), denied);
        assert_eq!(effects(&world), ["secrets token to 127.0.0.1: deny egress_denied"]);
    }
    assert_eq!(ask(&world(&["127.0.0.1"], &["a.example"]), "GET", &url, &header, ""), denied);
    // Bound to another port of this host.
    assert_eq!(ask(&world(&["127.0.0.1"], &["127.0.0.1:1"]), "GET", &url, &header, ""), denied);
    {
        // A secret that is not asked for by name is not to be had.
        let world = world(&["127.0.0.1"], &["127.0.0.1"]);
        world.secrets.set("other", VALUE, &["127.0.0.1"]);
        assert_eq!(ask(&world, "GET", &url, &["authorization: {{secret:other}}"], ""), denied);
        // Half a placeholder, one in the address, and a part of the answer are refused, never sent.
        for (url, header) in [
            (url.clone(), "authorization: {{secret:token"),
            (format!("{url}%7B%7Bsecret:token}}}}"), "x-own: 1"),
        ] {
            let said = ask(&world, "GET", &url, &[header], "");
            assert!(said.starts_with(r#"{"err":"ErrorCode::InternalError"#), "{said}");
        }
        let said = ask(&world, "GET", &url, &["authorization: {{secret:token}}", "range: bytes=0-3"], "");
        assert!(said.contains("a part of the answer"), "{said}");
        assert!(server.heard().iter().all(|heard| !heard.contains("hunter2") && !heard.contains("{{secret")));
        // The control.
        assert!(ask(&world, "GET", &url, &header, "").contains("[secret]"));
    }
    let said = ask(&world(&["127.0.0.1"], &[&server.endpoint()]), "GET", &url, &header, "");
    assert!(said.contains("[secret]"), "{said}");
}

#[test]
fn a_secret_that_nobody_set_ends_the_call() {
    let server = Server::start(echo);
    let world = World::of(with_secret(client_of(&server, &["GET"]), &["127.0.0.1"]));
    let url = format!("http://{}/", server.endpoint());
    let said = ask(&world, "GET", &url, &["authorization: {{secret:token}}"], "");
    let expected = "secret_unknown: denied: the plugin needs the secret `token` for 127.0.0.1, and none of this name is set";
    assert_eq!(said, expected);
    assert_eq!(effects(&world), ["secrets token to 127.0.0.1: deny secret_unknown"]);
    assert_eq!(server.connections(), 0);
    world.secrets.set("token", VALUE, &["127.0.0.1"]);
    assert!(ask(&world, "GET", &url, &["authorization: {{secret:token}}"], "").contains("[secret]"));
}
