//! Other machines that are slow, endless or liars, and guests that want more of them than they may have.

use std::time::Duration;

use loong_kernel::Event;
use serde_json::json;

use super::harness::{Guest, World, check};
use crate::runtime::egress::client;
use crate::servers::{Server, Stream, echo, request, respond};

const CLIENT: &str = "core:net-client";

/// One that may ask this server, although it is on this machine.
fn client_of(server: &Server) -> Guest {
    let http = json!([
        { "scheme": "http", "host": "127.0.0.1", "port": server.port(), "methods": ["GET", "POST"] },
    ]);
    let tcp = json!([{ "host": "127.0.0.1", "port": server.port(), "tls": "none" }]);
    client(http, tcp).inside(&[&server.endpoint()])
}

fn get(server: &Server) -> serde_json::Value {
    json!({ "method": "GET", "url": format!("http://{}/", server.endpoint()), "headers": [], "body": "" })
}

fn talk(server: &Server) -> serde_json::Value {
    json!({ "host": "127.0.0.1", "port": server.port(), "tls": false, "text": "hello", "close": false })
}

/// Waits until the other side has gone.
fn until_gone(stream: &mut dyn Stream) -> String {
    let mut byte = [0; 64];
    while matches!(stream.read(&mut byte), Ok(count) if count > 0) {}
    "gone".into()
}

/// The servers are told within a moment that nobody listens any more.
fn all_gone(server: &Server) {
    for _ in 0..500 {
        if server.heard().len() == server.connections() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("of {} connections {} have ended", server.connections(), server.heard().len());
}

#[test]
fn a_server_that_never_answers() {
    let server = Server::start(until_gone);
    let world = World::of(client_of(&server).limit("deadline_ms", 1000));
    check(&world, CLIENT, "request", get(&server), "deadline: the call did not end within 1000 ms");
    check(&world, CLIENT, "talk", talk(&server), "deadline: the call did not end within 1000 ms");
    all_gone(&server);
}

#[test]
fn a_server_that_sends_one_byte_at_a_time() {
    let server = Server::start(|stream| {
        let _ = request(stream);
        while stream.write_all(b"H").and_then(|()| stream.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        "gone".into()
    });
    let world = World::of(client_of(&server).limit("deadline_ms", 1000));
    let said = world.call(&format!("{CLIENT}.request"), get(&server)).said();
    // Whatever comes first: the head is no head, or time is over.
    assert!(said.starts_with("deadline: ") || said.contains("InternalError"), "{said}");
    all_gone(&server);
}

fn endless(stream: &mut dyn Stream) -> String {
    let _ = request(stream);
    let part = [b'x'; 16 << 10];
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    while stream.write_all(&part).is_ok() {}
    "gone".into()
}

#[test]
fn a_body_without_an_end() {
    let server = Server::start(endless);
    let world = World::of(client_of(&server).limit("response_bytes_max", 1 << 20));
    let said = world.call(&format!("{CLIENT}.request"), get(&server)).said();
    assert!(
        said.starts_with(r#"{"err":"HTTP response body size exceeds limit: 1048576 bytes after "#),
        "{said}"
    );
    all_gone(&server);
    drop(world);
    // The control: what fits comes through.
    let small = Server::start(|stream| {
        let asked = request(stream);
        respond(stream, "200 OK", "", &"x".repeat(1 << 20));
        asked
    });
    let world = World::of(client_of(&small).limit("response_bytes_max", 1 << 20));
    let said = world.call(&format!("{CLIENT}.request"), get(&small)).said();
    assert!(said.len() > 1 << 20, "{said:.200}");
}

#[test]
fn a_connection_without_an_end() {
    let server = Server::start(|stream| {
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        "gone".into()
    });
    let world = World::of(client_of(&server).limit("response_bytes_max", 100_000));
    let said = world.call(&format!("{CLIENT}.talk"), talk(&server)).said();
    assert!(said.contains("response-bytes") && said.contains("100000"), "{said}");
    all_gone(&server);
}

#[test]
fn headers_without_an_end() {
    let server = Server::start(|stream| {
        let _ = request(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let mut number = 0;
        while stream.write_all(format!("x-{number}: {}\r\n", "y".repeat(1000)).as_bytes()).is_ok() {
            number += 1;
        }
        "gone".into()
    });
    let world = World::of(client_of(&server));
    let said = world.call(&format!("{CLIENT}.request"), get(&server)).said();
    assert!(said.starts_with(r#"{"err":"ErrorCode::"#), "{said}");
    all_gone(&server);
}

#[test]
fn a_redirect_is_followed_by_nobody() {
    let other = Server::start(echo);
    let to = format!("http://{}/secret", other.endpoint());
    let location = format!("location: {to}\r\n");
    let server = Server::start(move |stream| {
        let asked = request(stream);
        respond(stream, "302 Found", &location, "");
        asked
    });
    let world = World::of(client_of(&server).inside(&[&other.endpoint()]));
    let said = world.call(&format!("{CLIENT}.request"), get(&server)).said();
    assert!(said.contains(r#""status":302"#) && said.contains("location: "), "{said}");
    // What the guest does with it is a request of its own.
    let again = json!({ "method": "GET", "url": to, "headers": [], "body": "" });
    let said = world.call(&format!("{CLIENT}.request"), again).said();
    assert_eq!(said, r#"{"err":"ErrorCode::HttpRequestDenied"}"#);
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_name_that_leads_inside() {
    let server = Server::start(echo);
    let (port, url) = (server.port(), format!("http://localhost:{}/", server.port()));
    let http = |host: &str| json!([{ "scheme": "http", "host": host, "port": port, "methods": ["GET"] }]);
    let tcp = |host: &str| json!([{ "host": host, "port": port, "tls": "none" }]);
    let inside = r#"{"err":"ErrorCode::DestinationIpProhibited"}"#;
    let ask = |world: &World, url: &str| {
        let arguments = json!({ "method": "GET", "url": url, "headers": [], "body": "" });
        world.call(&format!("{CLIENT}.request"), arguments).said()
    };
    {
        // The grant covers it, and what it resolves to is the machine itself.
        let world = World::of(client(http("localhost"), tcp("localhost")));
        assert_eq!(ask(&world, &url), inside);
        let arguments = json!({ "host": "localhost", "port": port, "tls": false, "text": "", "close": true });
        let said = world.call(&format!("{CLIENT}.talk"), arguments).said();
        assert!(said.contains("egress-denied") && said.contains("it is this machine"), "{said}");
        assert_eq!(server.connections(), 0);
        let refused = world.audit().into_iter().any(|event| match event {
            Event::Effect { target, code: Some(code), .. } => {
                code.as_str() == "egress_denied" && target.contains("it is this machine")
            }
            _ => false,
        });
        assert!(refused, "the log does not say that it was refused");
    }
    for (host, address) in [
        ("127.0.0.1", format!("127.0.0.1:{port}")),
        ("::1", format!("[::1]:{port}")),
        ("::ffff:127.0.0.1", format!("[::ffff:127.0.0.1]:{port}")),
        ("169.254.169.254", "169.254.169.254".to_owned()),
    ] {
        let mut destination = http(host);
        if host.starts_with("169") {
            destination[0]["port"] = json!(80);
        }
        let world = World::of(client(destination, tcp(host)));
        assert_eq!(ask(&world, &format!("http://{address}/")), inside, "{host}");
    }
    assert_eq!(server.connections(), 0);
    // The control: the operator names the host, on that port.
    let world = World::of(
        client(http("localhost"), tcp("localhost"))
            .inside(&[&format!("127.0.0.1:{port}"), &format!("[::1]:{port}")]),
    );
    assert!(ask(&world, &url).contains(r#""status":200"#));
}

#[test]
fn more_requests_than_it_may_make() {
    let server = Server::start(echo);
    let world = World::of(client_of(&server).limit("requests_max", 3));
    let several = |count: u32| {
        let url = format!("http://{}/", server.endpoint());
        world.call(&format!("{CLIENT}.together"), json!({ "count": count, "url": url })).said()
    };
    assert_eq!(several(3), r#"["200","200","200"]"#);
    assert_eq!(several(4), "limit_exceeded: the plugin exceeded its limit of 3 requests, 4 asked");
    assert_eq!(several(3), r#"["200","200","200"]"#);
}

#[test]
fn more_connections_at_once_than_it_may_hold() {
    let server = Server::start(until_gone);
    let world = World::of(client_of(&server));
    let hold = |count: u32| {
        let arguments = json!({ "host": "127.0.0.1", "port": server.port(), "count": count });
        world.call(&format!("{CLIENT}.hold"), arguments).said()
    };
    assert_eq!(hold(64), r#"{"ok":64}"#);
    let said = hold(65);
    assert!(said.starts_with(r#"{"err":"64: "#) && said.contains("requests-at-once"), "{said}");
    all_gone(&server);
    assert_eq!(hold(64), r#"{"ok":64}"#);
}

#[test]
fn more_than_it_may_send() {
    let server = Server::start(|stream| {
        let asked = request(stream);
        respond(stream, "200 OK", "", &asked.len().to_string());
        String::new()
    });
    let world = World::of(client_of(&server).limit("request_bytes_max", 100_000));
    let upload = |bytes: u64| {
        let url = format!("http://{}/", server.endpoint());
        world.call(&format!("{CLIENT}.upload"), json!({ "url": url, "bytes": bytes })).said()
    };
    assert!(upload(100_000).contains(r#""status":200"#));
    assert_eq!(upload(100_001), r#"{"err":"ErrorCode::HttpRequestBodySize(Some(100000))"}"#);
    let mut arguments = talk(&server);
    arguments["text"] = json!("x".repeat(100_001));
    let said = world.call(&format!("{CLIENT}.talk"), arguments).said();
    assert!(said.contains("request-bytes") && said.contains("100001"), "{said}");
}

#[test]
fn headers_that_belong_to_the_host() {
    let server = Server::start(echo);
    let world = World::of(client_of(&server));
    let ask = |header: &str| {
        let mut arguments = get(&server);
        arguments["headers"] = json!([header]);
        world.call(&format!("{CLIENT}.request"), arguments).said()
    };
    for name in [
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
        "proxy-connection",
        "proxy-x",
        "http2-settings",
        "Host",
    ] {
        assert_eq!(ask(&format!("{name}: x")), format!(r#"{{"err":"{name}: HeaderError::Forbidden"}}"#));
    }
    assert_eq!(server.connections(), 0);
    assert!(ask("x-own: x").contains(r#""status":200"#));
    // A value cannot end a header and begin another one.
    assert_eq!(ask("x-own: a\r\nhost: b"), r#"{"err":"x-own: HeaderError::InvalidSyntax"}"#);
}
