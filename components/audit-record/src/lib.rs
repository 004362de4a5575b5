//! One record of the audit log, as sinks hand it on.

/// A record, as `loong:audit/sink` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, counted from 0.
    pub index: u64,
    /// When it was handed to the log, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The kind of the event.
    pub kind: String,
    /// The run it belongs to.
    pub run: Option<String>,
    /// The plugin it is about.
    pub plugin: Option<String>,
    /// What was decided.
    pub outcome: Option<String>,
    /// Why it was refused or failed.
    pub code: Option<String>,
    /// The hash that chains it to its predecessor.
    pub hash: String,
    /// The event as JSON, as it was hashed.
    pub event: String,
}

/// Why records were not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Not now.
    Retry(String),
    /// Never as they are.
    Rejected(String),
}

impl Record {
    /// The record as one line of JSON without its end, of the schema `loong.audit.record/1`. The event stands in
    /// it byte for byte, so that its hash can be made again.
    pub fn json(&self) -> Result<String, Failure> {
        // JSON has no raw control characters; one of them would be a line more.
        if self.event.bytes().any(|byte| byte < 0x20) || !self.event.starts_with('{') {
            return Err(Failure::Rejected(format!(
                "the event of record {} is not JSON on one line",
                self.index
            )));
        }
        let Self { index, time_ms, event, .. } = self;
        let (time, hash) = (time_text(*time_ms), quoted(&self.hash));
        Ok(format!(
            r#"{{"schema":"loong.audit.record/1","index":{index},"time":"{time}","time_ms":{time_ms},"hash":{hash},"event":{event}}}"#
        ))
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..='\x1f' => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// A time in UTC with milliseconds, as RFC 3339 has it; the last one it can write when it is later.
pub fn time_text(time_ms: u64) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    let time_ms = time_ms.min(LAST_MS);
    let (seconds, ms) = (time_ms / 1_000, time_ms % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01. Counted in years that begin in March, a leap day is the
/// last day of its year, and 400 years are always equally long.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(event: &str) -> Record {
        Record {
            index: 7,
            time_ms: 1_700_000_000_123,
            kind: "decision".into(),
            run: None,
            plugin: None,
            outcome: None,
            code: None,
            hash: "sha256:00".into(),
            event: event.into(),
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |time_ms: u64, text: &str| assert_eq!(time_text(time_ms), text);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_799_999, "2000-02-29T23:59:59.999Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_767_225_601_000, "2026-01-01T00:00:01.000Z");
        check(4_107_542_399_000, "2100-02-28T23:59:59.000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(u64::MAX, "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_record_is_one_line_with_the_event_as_it_was() {
        let event = r#"{"kind":"run_started","request":"say \"ü\"\n","run":"r"}"#;
        assert_eq!(
            record(event).json().unwrap(),
            format!(
                r#"{{"schema":"loong.audit.record/1","index":7,"time":"2023-11-14T22:13:20.123Z","time_ms":1700000000123,"hash":"sha256:00","event":{event}}}"#
            )
        );
    }

    #[test]
    fn an_event_of_two_lines_is_refused() {
        for event in ["{\n}", "{\"a\":\"\u{1b}\"}", "", "7"] {
            assert!(matches!(record(event).json(), Err(Failure::Rejected(_))), "{event:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_hash_is_the_line_is_json(hash in ".*", index: u64, time_ms: u64) {
            let line = Record { index, time_ms, hash: hash.clone(), ..record(r#"{"kind":"x"}"#) }.json().unwrap();
            prop_assert!(!line.contains('\n'));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value["hash"].as_str(), Some(hash.as_str()));
            prop_assert_eq!(value["index"].as_u64(), Some(index));
        }

        #[test]
        fn later_times_come_later(a in 0..253_402_300_799_999_u64, b in 0..253_402_300_799_999_u64) {
            prop_assert_eq!(a.cmp(&b), time_text(a).cmp(&time_text(b)));
        }
    }
}
