//! `core:sink-syslog`, with rsyslog as the receiver.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loong_it::sandbox::Sandbox;
use serde_json::Value;

use super::{configure, next, place, record};

/// rsyslog in a folder of its own, on a free port. It ends with this value.
struct Rsyslog {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// The program; none where it is not installed. `.ci/run` installs it, and CI sets `LOONG_NEED_RSYSLOG` so that
/// nothing is passed over there.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "CI says by its environment that nothing is passed over; where something is, it is said"
)]
fn rsyslogd() -> Option<PathBuf> {
    let found = ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("LOONG_NEED_RSYSLOG").is_none(), "rsyslogd is needed and not installed");
        eprintln!("SKIPPED: rsyslogd is not installed, so sink-syslog was tried with no receiver");
    }
    found
}

impl Rsyslog {
    fn start(program: &Path, tls: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("loong-syslog-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = if tls {
            certificates(folder.path());
            format!(
                "global(defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{}\" \
                 defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\")\n",
                at("ca.pem"),
                at("server.pem"),
                at("server.key")
            )
        } else {
            String::new()
        };
        let mode = if tls {
            "streamDriver.Name=\"gtls\" streamDriver.Mode=\"1\" streamDriver.AuthMode=\"anon\""
        } else {
            ""
        };
        let configuration = format!(
            "global(workDirectory=\"{work}\" maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"off\")\n\
             {driver}module(load=\"imtcp\" {mode})\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             template(name=\"parsed\" type=\"string\" \
             string=\"%pri%|%protocol-version%|%timereported:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%\\n\")\n\
             ruleset(name=\"in\") {{\n  action(type=\"omfile\" file=\"{raw}\" template=\"raw\")\n  \
             action(type=\"omfile\" file=\"{parsed}\" template=\"parsed\")\n}}\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"in\")\n",
            work = folder.path().display(),
            raw = at("raw"),
            parsed = at("parsed"),
        );
        fs::write(folder.path().join("rsyslog.conf"), configuration).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program)
            .args(["-n", "-f", &at("rsyslog.conf"), "-i", &at("pid")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self { process, port, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = started.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "rsyslogd: {}", started.read("log"));
            std::thread::sleep(Duration::from_millis(20));
        }
        started
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What it wrote, once it has so many lines of both kinds.
    fn received(&self, lines: u64) -> (Vec<String>, Vec<String>) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let both =
                ["raw", "parsed"].map(|name| self.read(name).lines().map(str::to_owned).collect::<Vec<_>>());
            let [raw, parsed] = both;
            if raw.len() as u64 >= lines && parsed.len() as u64 >= lines {
                return (raw, parsed);
            }
            assert!(Instant::now() < deadline, "{} of {lines} arrived: {}", raw.len(), self.read("log"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An authority and a certificate for 127.0.0.1, made now.
fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &*authority).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn point_to(sandbox: &Sandbox, scheme: &str, port: u16, egress: &str, more: &str) {
    let file = loong_it::fixture::plugins().join("sink-syslog.wasm");
    configure(
        sandbox,
        &format!(
            "[[sinks]]\nplugin = \"core:sink-syslog\"\nfile = \"{}\"\nfail = \"closed\"\n\
             [egress]\nallow_private = [\"127.0.0.1:{port}\"]\n{egress}\
             [plugins.\"core:sink-syslog\"]\naddress = \"{scheme}://127.0.0.1:{port}\"\nhostname = \"here.example.com\"\n{more}",
            file.display()
        ),
    );
}

/// One message, read as RFC 5424 says and no other way.
#[derive(Debug)]
struct Message {
    priority: u8,
    time: String,
    hostname: String,
    app: String,
    process: String,
    kind: String,
    data: Vec<(String, String)>,
    text: String,
}

fn parse(line: &str) -> Message {
    let rest = line.strip_prefix('<').unwrap();
    let (priority, rest) = rest.split_once('>').unwrap();
    let rest = rest.strip_prefix("1 ").unwrap();
    let mut words = rest.splitn(6, ' ');
    let mut word = || words.next().unwrap().to_owned();
    let (time, hostname, app, process, kind) = (word(), word(), word(), word(), word());
    let mut rest = words.next().unwrap().strip_prefix("[loong@32473").unwrap();
    let mut data = Vec::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, after) = parameter.split_once("=\"").unwrap();
        let (mut value, mut characters) = (String::new(), after.char_indices());
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(characters.next().unwrap().1),
                (_, ']') => panic!("an unescaped bracket in {line}"),
                (_, other) => value.push(other),
            }
        };
        data.push((name.to_owned(), value));
        rest = &after[end..];
    }
    let text = rest.strip_prefix("] \u{feff}").unwrap().to_owned();
    Message { priority: priority.parse().unwrap(), time, hostname, app, process, kind, data, text }
}

/// Holds what rsyslog got against the log.
fn check(sandbox: &Sandbox, rsyslog: &Rsyslog) {
    let count = next(sandbox);
    assert!(count >= 12, "{count}");
    let (raw, parsed) = rsyslog.received(count);
    assert_eq!(raw.len() as u64, count, "none twice");
    let database = super::database(sandbox);
    for (at, (line, fields)) in raw.iter().zip(&parsed).enumerate() {
        let message = parse(line);
        let data = |name: &str| {
            message.data.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
        };
        let (event, hash): (String, String) = database
            .query_row("SELECT event, lower(hex(hash)) FROM audit WHERE idx = ?1", [at as i64], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(message.text, event);
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(data("index"), Some(at.to_string().as_str()));
        assert_eq!(data("hash"), Some(format!("sha256:{hash}").as_str()));
        assert_eq!(data("run"), event["run"].as_str());
        assert_eq!(Some(message.kind.as_str()), event["kind"].as_str());
        assert_eq!(message.priority / 8, 13);
        assert_eq!(
            (message.hostname.as_str(), message.app.as_str(), message.process.as_str()),
            ("here.example.com", "loong", "-")
        );
        // rsyslog reads it in the same way.
        let fields: Vec<&str> = fields.splitn(8, '|').collect();
        let own = [
            &message.priority.to_string(),
            "1",
            &message.time,
            &message.hostname,
            "loong",
            "-",
            &message.kind,
        ];
        assert!(
            fields[..7]
                .iter()
                .zip(own)
                .all(|(field, own)| *field == own
                    || field.trim_end_matches("+00:00") == own.trim_end_matches('Z')),
            "{fields:?} {own:?}"
        );
        assert!(fields[7].starts_with("[loong@32473 index=\""), "{fields:?}");
    }
}

#[test]
fn messages_arrive_over_tcp() {
    let Some(program) = rsyslogd() else { return };
    let rsyslog = Rsyslog::start(&program, false);
    let sandbox = place("sink-syslog", "");
    configure(&sandbox, "");
    record(&sandbox, 2);
    point_to(&sandbox, "tcp", rsyslog.port, "", "");
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    check(&sandbox, &rsyslog);
}

#[test]
fn messages_arrive_over_tls_from_an_authority_that_is_known() {
    let Some(program) = rsyslogd() else { return };
    let rsyslog = Rsyslog::start(&program, true);
    let sandbox = place("sink-syslog", "");
    configure(&sandbox, "");
    record(&sandbox, 2);
    // Nobody vouches for this receiver yet.
    point_to(&sandbox, "tls", rsyslog.port, "", "");
    let refused = sandbox.loong(["audit", "deliver"]);
    assert_eq!(refused.exit, 70, "{}", refused.stderr);
    assert_eq!(next(&sandbox), 0);
    let authority = format!("ca_file = \"{}\"\n", rsyslog.folder.path().join("ca.pem").display());
    point_to(&sandbox, "tls", rsyslog.port, &authority, "");
    let ended = sandbox.loong(["audit", "deliver"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    check(&sandbox, &rsyslog);
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let Some(program) = rsyslogd() else { return };
    let rsyslog = Rsyslog::start(&program, false);
    let sandbox = place("sink-syslog", "");
    configure(&sandbox, "");
    record(&sandbox, 2);
    point_to(&sandbox, "tcp", rsyslog.port, "", "message_bytes_max = \"480\"\n");
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    let (raw, _) = rsyslog.received(next(&sandbox));
    let cut = raw
        .iter()
        .map(|line| parse(line))
        .filter(|message| message.data.iter().any(|(name, _)| name == "truncated"))
        .count();
    assert!(cut > 0 && raw.iter().all(|line| line.len() <= 480), "{raw:?}");
}

#[test]
fn a_receiver_that_is_away_misses_nothing() {
    let Some(program) = rsyslogd() else { return };
    let rsyslog = Rsyslog::start(&program, false);
    let sandbox = place("sink-syslog", "");
    configure(&sandbox, "");
    record(&sandbox, 1);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    point_to(&sandbox, "tcp", nobody, "", "");
    let refused = sandbox.loong(["audit", "deliver"]);
    assert_eq!(refused.exit, 70, "{}", refused.stderr);
    configure(&sandbox, "");
    record(&sandbox, 1);
    point_to(&sandbox, "tcp", rsyslog.port, "", "");
    assert_eq!(sandbox.loong(["audit", "deliver"]).exit, 0);
    check(&sandbox, &rsyslog);
}
