//! `core:web`: pages of servers on loopback as text, and where it does not follow a redirect.

use std::fs;
use std::time::Duration;

use loong_it::fixture::plugins;
use loong_it::sandbox::{Ended, Sandbox};
use serde_json::{Value, json};

use crate::servers::{Server, authority, request, respond};

/// A place whose settings name these sites, and these hosts inside the own network.
fn place(sites: &str, inside: &[String]) -> Sandbox {
    let sandbox = Sandbox::new();
    let inside = json!(inside);
    let settings = format!(
        "[egress]\nallow_private = {inside}\nca_file = \"ca.pem\"\n[plugins.\"core:web\"]\nsites = \"{sites}\"\n"
    );
    fs::write(sandbox.loong_home().join("config/loong.toml"), settings).unwrap();
    fs::write(sandbox.loong_home().join("config/ca.pem"), pem(&authority())).unwrap();
    sandbox
}

/// A certificate as a file of the settings has it.
pub(crate) fn pem(der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (number, bytes) in der.chunks(3).enumerate() {
        let bits =
            bytes.iter().chain([&0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let letter =
            |at: usize| if at <= bytes.len() { char::from(LETTERS[bits >> (18 - 6 * at) & 63]) } else { '=' };
        text.extend((0..4).map(letter));
        if number % 16 == 15 {
            text.push('\n');
        }
    }
    text + "\n-----END CERTIFICATE-----\n"
}

/// A place that reads this server only.
fn place_of(server: &Server) -> Sandbox {
    place(&format!("http://{}", server.endpoint()), &[server.endpoint()])
}

/// A server that answers by path.
fn site(answer: impl Fn(&str) -> (&'static str, String, String) + Send + Sync + 'static) -> Server {
    Server::start(move |stream| {
        let asked = request(stream);
        let (status, headers, body) = answer(asked.split(' ').nth(1).unwrap_or_default());
        respond(stream, status, &headers, &body);
        asked
    })
}

fn html(body: &str) -> (&'static str, String, String) {
    ("200 OK", "content-type: text/html; charset=utf-8\r\n".into(), body.into())
}

fn to(location: &str) -> (&'static str, String, String) {
    ("302 Found", format!("location: {location}\r\n"), "moved".into())
}

fn call(sandbox: &Sandbox, request: &Value) -> Ended {
    let file = plugins().join("tool-web.wasm");
    let arguments = json!({ "request": request }).to_string();
    sandbox.loong(["tools", "call", file.to_str().unwrap(), "fetch", &arguments])
}

/// What the component answers: `ok` and a page, or the kind of error and what is said of it.
fn fetch(sandbox: &Sandbox, request: &Value) -> (String, Value) {
    let ended = call(sandbox, request);
    let said: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{} {}", ended.stdout, ended.stderr));
    if let Some(page) = said.get("ok") {
        assert_eq!(ended.exit, 0);
        return ("ok".into(), page.clone());
    }
    assert_eq!(ended.exit, 4);
    let (kind, problem) = said["err"].as_object().unwrap().iter().next().unwrap();
    (kind.clone(), problem.clone())
}

/// The requests that the log has, in their order, each with its outcome.
fn effects(sandbox: &Sandbox) -> Vec<String> {
    let log = sandbox.loong(["audit", "recent", "--json", "--limit", "200"]);
    let log: Value = serde_json::from_str(&log.stdout).unwrap();
    let effect = |record: &Value| {
        let event = &record["event"];
        (event["kind"] == "effect")
            .then(|| format!("{} {}", event["target"].as_str().unwrap(), event["outcome"].as_str().unwrap()))
    };
    log["records"].as_array().unwrap().iter().filter_map(effect).collect()
}

#[test]
fn a_page_comes_back_readable() {
    let server = site(|_| {
        html(
            "<!doctype html><title>Notes &amp; news</title><script>steal()</script><nav><a href=/>Home</a></nav>\
             <main><h1>Release</h1><p>See <a href='notes?v=2#x'>the notes</a>.<ul><li>fast<li>small</ul></main>",
        )
    });
    let sandbox = place_of(&server);
    let url = format!("http://{}/docs/", server.endpoint());
    let (kind, page) = fetch(&sandbox, &json!({ "url": url }));
    assert_eq!(kind, "ok", "{page}");
    assert_eq!(page["title"], "Notes & news");
    assert_eq!(page["text"], "# Release\n\nSee the notes.\n\n- fast\n- small");
    assert_eq!(page["links"], json!([{ "text": "the notes", "url": format!("{url}notes?v=2") }]));
    assert_eq!((&page["url"], &page["status"]), (&json!(url), &json!(200)));
    assert_eq!((&page["content-type"], &page["truncated"]), (&json!("text/html"), &json!(false)));
    let heard = server.heard().join("");
    assert!(heard.starts_with("GET /docs/ HTTP/1.1\r\n"), "{heard}");
    for header in ["accept-encoding: identity\r\n", "user-agent: loong-web/", "accept: text/html"] {
        assert!(heard.contains(header), "{heard}");
    }
    assert!(!heard.contains("cookie") && !heard.contains("referer"), "{heard}");
}

#[test]
fn redirects_are_followed_and_each_hop_is_on_record() {
    let server = site(|path| match path {
        "/1" => to("/2?q=secret"),
        "/2?q=secret" => to("3"),
        _ => html("<p>here"),
    });
    let sandbox = place_of(&server);
    let at = |path: &str| format!("http://{}{path}", server.endpoint());
    let (kind, page) = fetch(&sandbox, &json!({ "url": at("/1") }));
    assert_eq!((kind.as_str(), &page["url"], &page["text"]), ("ok", &json!(at("/3")), &json!("here")));
    let redirects = json!([{ "url": at("/1"), "status": 302 }, { "url": at("/2?q=secret"), "status": 302 }]);
    assert_eq!(page["redirects"], redirects);
    let on_record = ["/1", "/2", "/3"].map(|path| format!("GET {} allow", at(path)));
    assert_eq!(effects(&sandbox), on_record);
    // As many as were asked for, and not one more.
    let (kind, problem) = fetch(&sandbox, &json!({ "url": at("/1"), "redirects-max": 1 }));
    assert_eq!((kind.as_str(), &problem["url"]), ("too-many-redirects", &json!(at("/3"))));
    let (kind, _) = fetch(&sandbox, &json!({ "url": at("/1"), "redirects-max": 2 }));
    assert_eq!(kind, "ok");
}

#[test]
fn a_policy_extension_reviews_each_hop() {
    let server = site(|path| match path {
        "/1" => to("/2"),
        "/2" => to("/3"),
        _ => html("here"),
    });
    let url = format!("http://{}/1", server.endpoint());
    let with_budget = |requests_max: u32| {
        let sandbox = place_of(&server);
        // The extension lies beside the tool.
        let path = sandbox.loong_home().join("config/loong.toml");
        let settings = fs::read_to_string(&path).unwrap();
        let budget = format!("[plugins.\"core:egress-budget\"]\nrequests_max = \"{requests_max}\"\n");
        fs::write(&path, format!("extensions = [\"core:egress-budget\"]\n{settings}{budget}")).unwrap();
        let before = server.connections();
        let ended = call(&sandbox, &json!({ "url": url }));
        (ended, server.connections() - before)
    };
    let (ended, requests) = with_budget(3);
    assert_eq!((ended.exit, requests), (0, 3), "{}", ended.stderr);
    let (ended, requests) = with_budget(2);
    assert_eq!((ended.exit, requests), (3, 2), "{}", ended.stderr);
    assert!(ended.stderr.contains("[extension_denied]"), "{}", ended.stderr);
    assert!(ended.stderr.contains("has made 2 of the 2 requests"), "{}", ended.stderr);
}

#[test]
fn a_redirect_inside_is_refused_by_the_host() {
    let other = site(|_| html("inside"));
    let inside = other.endpoint();
    let outside = Server::start(move |stream| {
        let asked = request(stream);
        let location = match asked.split(' ').nth(1).unwrap_or_default() {
            "/metadata" => "http://169.254.169.254/latest/".to_owned(),
            "/mapped" => "http://[64:ff9b::a9fe:a9fe]/".to_owned(),
            "/private" => "http://10.1.2.3/".to_owned(),
            "/number" => "http://2130706433/".to_owned(),
            _ => format!("http://{inside}/"),
        };
        respond(stream, "307 Temporary Redirect", &format!("location: {location}\r\n"), "");
        asked
    });
    // Every host that there is, on these ports; but what another plugin may reach inside, this one may not.
    let sites = format!("http://{} http://* https://* http://*:{}", outside.endpoint(), other.port());
    let sandbox = place(&sites, &[outside.endpoint(), other.endpoint()]);
    for (path, leads, reason) in [
        ("/metadata", "169.254.169.254", "the metadata service of a cloud"),
        ("/mapped", "64:ff9b::a9fe:a9fe", "the metadata service of a cloud"),
        ("/private", "10.1.2.3", "it is private"),
        ("/number", "127.0.0.1", "it is this machine"),
        ("/other", "127.0.0.1", "it is this machine"),
    ] {
        let url = format!("http://{}{path}", outside.endpoint());
        let (kind, problem) = fetch(&sandbox, &json!({ "url": url }));
        assert_eq!(kind, "denied", "{path} {problem}");
        assert!(problem["url"].as_str().unwrap().contains(leads), "{path} {problem}");
        assert_eq!(problem["redirects"], json!([{ "url": url, "status": 307 }]));
        let effects = effects(&sandbox);
        let [.., first, second] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(*first, format!("GET {url} allow"));
        assert!(second.contains(reason) && second.ends_with(" deny"), "{path} {second}");
    }
    assert_eq!(other.connections(), 0);
    // The control: the operator names it for this plugin.
    let sandbox = place(
        &format!("http://{} http://{}", outside.endpoint(), other.endpoint()),
        &[outside.endpoint(), other.endpoint()],
    );
    let (kind, page) = fetch(&sandbox, &json!({ "url": format!("http://{}/other", outside.endpoint()) }));
    assert_eq!((kind.as_str(), &page["text"]), ("ok", &json!("inside")));
}

#[test]
fn a_redirect_to_a_site_that_is_not_named_is_refused() {
    let other = site(|_| html("other"));
    let location = format!("http://{}/", other.endpoint());
    let server = site(move |_| to(&location));
    let sandbox = place(&format!("http://{}", server.endpoint()), &[server.endpoint(), other.endpoint()]);
    let (kind, problem) = fetch(&sandbox, &json!({ "url": format!("http://{}/", server.endpoint()) }));
    assert_eq!((kind.as_str(), &problem["url"]), ("denied", &json!(format!("http://{}/", other.endpoint()))));
    assert_eq!(other.connections(), 0);
    assert!(effects(&sandbox).last().unwrap().ends_with(" deny"));
}

#[test]
fn redirects_that_lead_nowhere_good_are_refused() {
    let server = site(|path| match path {
        "/circle" => to("/back"),
        "/back" => to("/circle"),
        "/file" => to("file:///etc/passwd"),
        "/user" => to("http://user:password@a.example/"),
        "/long" => to(&format!("/{}", "a".repeat(5_000))),
        _ => to("/to/nowhere/../../circle"),
    });
    let sandbox = place_of(&server);
    for (path, reason, requests) in [
        ("/circle", "it leads in a circle", 2),
        ("/file", "it is neither https nor http", 1),
        ("/user", "it holds a user name or a password", 1),
        ("/long", "it is longer than an address may be", 1),
    ] {
        let before = server.connections();
        let (kind, problem) =
            fetch(&sandbox, &json!({ "url": format!("http://{}{path}", server.endpoint()) }));
        assert_eq!(kind, "redirect-refused", "{path} {problem}");
        assert!(problem["reason"].as_str().unwrap().ends_with(reason), "{path} {problem}");
        assert_eq!(server.connections() - before, requests, "{path}");
    }
}

#[test]
fn a_redirect_never_leaves_tls() {
    let open = site(|_| html("in the open"));
    let location = format!("http://{}/", open.endpoint());
    let secured = Server::start_tls(&["localhost"], move |stream| {
        let asked = request(stream);
        match asked.split(' ').nth(1) {
            Some("/leave") => respond(stream, "301 Moved", &format!("location: {location}\r\n"), ""),
            _ => respond(stream, "200 OK", "content-type: text/plain\r\n", "secured"),
        }
        asked
    });
    let base = format!("https://localhost:{}", secured.port());
    let entry = base.clone();
    let begin = site(move |_| to(&format!("{entry}/")));
    let sites = format!("{base} http://{} http://{}", open.endpoint(), begin.endpoint());
    let inside = [format!("localhost:{}", secured.port()), open.endpoint(), begin.endpoint()];
    let sandbox = place(&sites, &inside);
    let (kind, problem) = fetch(&sandbox, &json!({ "url": format!("{base}/leave") }));
    assert_eq!(kind, "redirect-refused", "{problem}");
    assert!(problem["reason"].as_str().unwrap().ends_with("it leads from https to http"), "{problem}");
    assert_eq!(open.connections(), 0);
    // The other way is followed.
    let (kind, page) = fetch(&sandbox, &json!({ "url": format!("http://{}/", begin.endpoint()) }));
    assert_eq!((kind.as_str(), &page["text"]), ("ok", &json!("secured")), "{page}");
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let server = site(|path| match path {
        "/short" => html(&format!("<p>{}", "word ".repeat(100))),
        "/long" => ("200 OK", "content-type: text/plain\r\n".into(), "0123456789".repeat(600_000)),
        // More than the host lets in, but the component stops before.
        _ => ("200 OK", "content-type: text/html\r\n".into(), " ".repeat(9 << 20)),
    });
    let sandbox = place_of(&server);
    let get = |path: &str, bytes_max: u32| {
        let url = format!("http://{}{path}", server.endpoint());
        let (kind, page) = fetch(&sandbox, &json!({ "url": url, "bytes-max": bytes_max }));
        assert_eq!(kind, "ok", "{page}");
        (page["text"].as_str().unwrap().len(), page["truncated"].as_bool().unwrap())
    };
    assert_eq!(get("/short", 499), (499, false));
    assert_eq!(get("/short", 14), (14, true));
    assert_eq!(get("/long", 1 << 20), (1 << 20, true));
    assert_eq!(get("/blank", 1_000), (0, true));
    let url = format!("http://{}/", server.endpoint());
    let (kind, excess) = fetch(&sandbox, &json!({ "url": url, "bytes-max": (1 << 20) + 1 }));
    assert_eq!((kind.as_str(), &excess["name"]), ("too-large", &json!("bytes-max")));
}

#[test]
fn what_is_no_text_is_refused() {
    let server = site(|path| match path {
        "/pdf" => ("200 OK", "content-type: application/pdf\r\n".into(), "%PDF-1.7".into()),
        "/disguised" => ("200 OK", "content-type: text/html\r\n".into(), "%PDF-1.7".into()),
        "/packed" => {
            ("200 OK", "content-type: text/html\r\ncontent-encoding: gzip\r\n".into(), "\u{1f}".into())
        }
        "/bytes" => ("200 OK", String::new(), "\u{7f}ELF\0\0".into()),
        _ => ("200 OK", "content-type: application/json\r\n".into(), "{\"a\": [1]}".into()),
    });
    let sandbox = place_of(&server);
    for (path, reason) in [
        ("/pdf", "it is application/pdf"),
        ("/disguised", "it is bytes that are no text, sent as text/html"),
        ("/packed", "it is packed (gzip), although it was not asked for"),
        ("/bytes", "it is bytes that are no text, sent without a type"),
    ] {
        let url = format!("http://{}{path}", server.endpoint());
        let (kind, problem) = fetch(&sandbox, &json!({ "url": url }));
        assert_eq!((kind.as_str(), &problem["reason"]), ("not-text", &json!(reason)), "{path}");
    }
    let url = format!("http://{}/json", server.endpoint());
    let (_, page) = fetch(&sandbox, &json!({ "url": url, "accept": "application/json" }));
    assert_eq!((&page["text"], &page["content-type"]), (&json!("{\"a\": [1]}"), &json!("application/json")));
    assert!(server.heard().last().unwrap().contains("accept: application/json\r\n"));
    let url = format!("http://{}/pdf", server.endpoint());
    let (_, page) = fetch(&sandbox, &json!({ "url": url, "method": "head" }));
    assert_eq!((&page["text"], &page["content-type"]), (&json!(""), &json!("application/pdf")));
    assert!(server.heard().last().unwrap().starts_with("HEAD /pdf "));
}

#[test]
fn a_slow_server_is_not_waited_for() {
    let server = Server::start(|stream| {
        let asked = request(stream);
        if asked.starts_with("GET /silent") {
            std::thread::sleep(Duration::from_secs(8));
            return asked;
        }
        // Never silent for long, and never done.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
        for _ in 0..80 {
            if stream.write_all(b"x").and_then(|()| stream.flush()).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        asked
    });
    let sandbox = place_of(&server);
    for path in ["/silent", "/drip"] {
        let url = format!("http://{}{path}", server.endpoint());
        let began = std::time::Instant::now();
        let (kind, problem) = fetch(&sandbox, &json!({ "url": url, "time-ms-max": 1_500 }));
        assert_eq!((kind.as_str(), &problem["url"]), ("timeout", &json!(url)), "{path} {problem}");
        assert!(began.elapsed() < Duration::from_secs(7), "{path} {:?}", began.elapsed());
    }
}

#[test]
fn a_page_that_takes_long_to_read_is_cut() {
    let server = site(|_| {
        // Each attribute is compared with all before it.
        let many: String = (0..500_000).map(|number| format!("a{number} ")).collect();
        html(&format!("<p>begin</p><p {many}>end"))
    });
    let sandbox = place_of(&server);
    let url = format!("http://{}/", server.endpoint());
    let (kind, page) = fetch(&sandbox, &json!({ "url": url, "time-ms-max": 5_000 }));
    assert_eq!((kind.as_str(), &page["text"], &page["truncated"]), ("ok", &json!("begin"), &json!(true)));
}

#[test]
fn nothing_is_reached_unless_the_operator_says_where() {
    let server = site(|_| html("x"));
    let url = format!("http://{}/", server.endpoint());
    for sites in ["", "no address", &format!("https://{}", server.endpoint()), "http://*"] {
        let sandbox = place(sites, &[server.endpoint()]);
        assert_eq!(fetch(&sandbox, &json!({ "url": url })).0, "denied", "{sites}");
    }
    // A secret of the operator goes nowhere.
    let sandbox = place_of(&server);
    for request in [
        json!({ "url": url, "accept": "{{secret:token}}" }),
        json!({ "url": format!("{url}?q={{{{secret:token}}}}") }),
    ] {
        assert_ne!(fetch(&sandbox, &request).0, "ok", "{request}");
    }
    assert_eq!(server.connections(), 0);
}
