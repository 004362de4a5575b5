//! A record as a syslog message (RFC 5424), and its frame (RFC 6587, section 3.4.1, which RFC 5425 has too).

use audit_record::{Failure, Record, time_text};

use crate::settings::Settings;

/// The structured data: the number is the one that RFC 5612 keeps for what is not registered.
const SD_ID: &str = "loong@32473";
/// Marks a text as UTF-8.
const BOM: &str = "\u{feff}";
/// Longest value of a parameter: nothing that Loong writes is longer, and a header has to fit in a message.
const VALUE_BYTES_MAX: usize = 96;
/// Longest name of a kind of message.
const MSGID_BYTES_MAX: usize = 32;

/// What must not be overlooked: the log or the trust in it is at stake.
const CRITICAL: &[&str] = &["audit_broken", "audit_unavailable", "checkpoint_invalid", "store_corrupt"];
/// What the rules are made of changed, or somebody used what needs care.
const NOTICED: &[&str] = &[
    "approval_decided",
    "approval_expired",
    "approval_requested",
    "approval_used",
    "audit_pruned",
    "catalog_changed",
    "clock_went_back",
    "config_changed",
    "plugin_swapped",
    "plugin_unloaded",
    "policy_changed",
    "secret_used",
    "token_revoked",
];

/// How much a record matters, as syslog counts it.
pub fn severity(record: &Record) -> u8 {
    let refused = record.outcome.as_deref() == Some("deny") || record.kind == "plugin_refused";
    match record.code.as_deref() {
        Some(code) if CRITICAL.contains(&code) => 2,
        _ if refused => 4,
        _ if record.outcome.as_deref() == Some("needs_approval") => 5,
        Some(_) => 3,
        None if NOTICED.contains(&record.kind.as_str()) => 5,
        None => 6,
    }
}

/// All messages of a batch, each in its frame.
pub fn frames(settings: &Settings, records: &[Record]) -> Result<Vec<u8>, Failure> {
    let mut frames = Vec::new();
    for record in records {
        let message = message(settings, record)?;
        frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
        frames.extend_from_slice(message.as_bytes());
    }
    Ok(frames)
}

/// One message, never longer than the settings allow.
pub fn message(settings: &Settings, record: &Record) -> Result<String, Failure> {
    let text = escaped(&record.event);
    let whole = assembled(settings, record, &text, None);
    if whole.len() <= settings.message_bytes_max {
        return Ok(whole);
    }
    let head = assembled(settings, record, "", Some(record.event.len()));
    let room = settings.message_bytes_max.checked_sub(head.len()).ok_or_else(|| {
        Failure::Rejected(format!("the header of record {} is longer than a message may be", record.index))
    })?;
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(head + text.get(..end).unwrap_or_default())
}

fn assembled(settings: &Settings, record: &Record, text: &str, truncated: Option<usize>) -> String {
    let priority = u32::from(settings.facility) * 8 + u32::from(severity(record));
    let (time, hostname, kind) = (time_text(record.time_ms), &settings.hostname, msgid(&record.kind));
    let mut data = format!("[{SD_ID}");
    let mut parameter = |name: &str, value: &str| data.push_str(&format!(" {name}=\"{}\"", quoted(value)));
    parameter("index", &record.index.to_string());
    parameter("hash", &record.hash);
    let members = [
        ("run", &record.run),
        ("plugin", &record.plugin),
        ("outcome", &record.outcome),
        ("code", &record.code),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            parameter(name, value);
        }
    }
    if let Some(bytes) = truncated {
        parameter("truncated", &bytes.to_string());
    }
    data.push(']');
    format!("<{priority}>1 {time} {hostname} loong - {kind} {data} {BOM}{text}")
}

/// A kind of message is 1 to 32 visible characters of ASCII.
fn msgid(kind: &str) -> String {
    let id: String = kind.chars().filter(char::is_ascii_graphic).take(MSGID_BYTES_MAX).collect();
    if id.is_empty() { "-".to_owned() } else { id }
}

/// The value of a parameter. What has a meaning in it is escaped as RFC 5424 says in section 6.3.3, and what is
/// no text at all is left out; too much is cut off.
fn quoted(value: &str) -> String {
    let mut quoted = String::new();
    for character in value.chars().filter(|character| !odd(*character)) {
        if quoted.len() + character.len_utf8() + 1 > VALUE_BYTES_MAX {
            break;
        }
        if matches!(character, '"' | '\\' | ']') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// Whether a receiver's files or terminals may take a character for something else than text.
fn odd(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The JSON of an event without such characters: they are legal in JSON beyond ASCII, and the escape means the
/// same.
fn escaped(json: &str) -> String {
    if !json.contains(odd) {
        return json.to_owned();
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if odd(character) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(message_bytes_max: usize) -> Settings {
        Settings {
            tls: true,
            host: "log.example.com".into(),
            port: 6514,
            hostname: "here.example.com".into(),
            facility: 13,
            message_bytes_max,
            confirm: true,
        }
    }

    fn record(event: &str) -> Record {
        Record {
            index: 17,
            time_ms: 1_767_225_601_005,
            kind: "decision".into(),
            run: Some("3f9a2c41".into()),
            plugin: Some("core:git".into()),
            outcome: Some("deny".into()),
            code: Some("policy_denied".into()),
            hash: "sha256:ab".into(),
            event: event.into(),
        }
    }

    #[test]
    fn a_message_is_as_the_standard_says() {
        let message = message(&settings(8_192), &record(r#"{"kind":"decision"}"#)).unwrap();
        assert_eq!(
            message,
            "<108>1 2026-01-01T00:00:01.005Z here.example.com loong - decision \
             [loong@32473 index=\"17\" hash=\"sha256:ab\" run=\"3f9a2c41\" plugin=\"core:git\" outcome=\"deny\" \
             code=\"policy_denied\"] \u{feff}{\"kind\":\"decision\"}"
        );
        let frames = frames(&settings(8_192), &[record("{}"), record(r#"{"ü":1}"#)]).unwrap();
        // The length is that of bytes, not of characters.
        let text = String::from_utf8(frames).unwrap();
        let (length, rest) = text.split_once(' ').unwrap();
        let (first, second) = rest.split_at(length.parse().unwrap());
        assert!(first.ends_with("\u{feff}{}"), "{first}");
        let (length, rest) = second.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), rest.len());
    }

    #[test]
    fn severities_follow_what_happened() {
        let check = |kind: &str, outcome: Option<&str>, code: Option<&str>, expected: u8| {
            let record = Record {
                kind: kind.into(),
                outcome: outcome.map(str::to_owned),
                code: code.map(str::to_owned),
                ..record("{}")
            };
            assert_eq!(severity(&record), expected, "{kind} {outcome:?} {code:?}");
        };
        check("run_started", None, None, 6);
        check("decision", Some("allow"), None, 6);
        check("decision", Some("needs_approval"), Some("approval_required"), 5);
        check("decision", Some("deny"), Some("policy_denied"), 4);
        check("plugin_refused", None, Some("signature_invalid"), 4);
        check("call_finished", None, Some("trap"), 3);
        check("run_finished", None, Some("audit_unavailable"), 2);
        check("plugin_refused", None, Some("audit_broken"), 2);
        check("policy_changed", None, None, 5);
        check("secret_used", None, None, 5);
    }

    #[test]
    fn a_long_message_is_cut_between_characters_and_says_so() {
        let event = format!(r#"{{"kind":"{}"}}"#, "ü🐉".repeat(200));
        for bytes_max in 480..520 {
            let message = message(&settings(bytes_max), &record(&event)).unwrap();
            assert!(message.len() <= bytes_max && message.len() > bytes_max - 4, "{}", message.len());
            assert!(message.contains(&format!(" truncated=\"{}\"]", event.len())), "{message}");
            let text = message.split_once('\u{feff}').unwrap().1;
            assert!(event.starts_with(text) && !text.is_empty());
        }
        let whole = message(&settings(8_192), &record(&event)).unwrap();
        assert!(!whole.contains("truncated") && whole.ends_with(&event));
    }

    #[test]
    fn a_header_always_fits() {
        let long = "\"".repeat(5_000);
        let record = Record {
            run: Some(long.clone()),
            plugin: None,
            outcome: None,
            code: None,
            kind: "k".repeat(100),
            ..record("{}")
        };
        let message = message(&settings(480), &record).unwrap();
        assert!(message.len() <= 480);
        // Unless the settings leave no room: then it is said, and nothing is sent.
        let wide = Settings { hostname: "h".repeat(255), ..settings(480) };
        let full =
            Record { plugin: Some(long.clone()), outcome: Some(long.clone()), code: Some(long), ..record };
        assert!(matches!(super::message(&wide, &full), Err(Failure::Rejected(_))));
    }

    #[test]
    fn nothing_in_a_message_looks_like_another() {
        let hostile = Record {
            run: Some("a\"] [evil@1 x=\"y\\".into()),
            kind: "deci sion\n<0>1".into(),
            ..record("{\"a\":\"\u{7f}\u{85}\u{2028}\u{202e}\"}")
        };
        let message = message(&settings(8_192), &hostile).unwrap();
        assert!(message.contains(r#" run="a\"\] [evil@1 x=\"y\\" "#), "{message}");
        assert!(message.contains(" decision<0>1 [loong@32473 "), "{message}");
        assert!(message.ends_with(r#"{"a":"\u007f\u0085\u2028\u202e"}"#), "{message}");
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_record_the_message_is_bounded_and_on_one_line(
            event in "\\PC{0,600}", run in ".{0,200}", kind in ".{0,50}", bytes_max in 700_usize..2_000
        ) {
            let record = Record { run: Some(run), kind, ..record(&event) };
            let message = message(&settings(bytes_max), &record).unwrap();
            prop_assert!(message.len() <= bytes_max);
            prop_assert!(!message.contains(char::is_control));
            let data = message.split_once(" [loong@32473 ").unwrap().1;
            let end = format!("] {BOM}");
            prop_assert!(data.contains(&end));
        }
    }
}
