//! Points in time as they are written in a trust root: `YYYY-MM-DDTHH:MM:SSZ`, the form of RFC 3339 that TUF
//! uses too. UTC only, whole seconds, no leap seconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DAY_S: u64 = 86_400;
/// Days from the year 0 to 1970, in the proleptic Gregorian calendar whose years begin in March.
const DAYS_TO_1970: u64 = 719_468;
/// Days of the 400 years after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;

/// A point in time between 1970 and 9999, in whole seconds, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(u64);

impl UtcTime {
    /// The last second of the year 9999.
    pub const MAX: Self = Self(253_402_300_799);

    /// The time this many seconds after 1970-01-01T00:00:00Z; at most [`UtcTime::MAX`].
    pub const fn from_unix_s(seconds: u64) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_s(self) -> u64 {
        self.0
    }
}

/// Howard Hinnant's `days_from_civil`, for years from 1970.
const fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_1970
}

/// The inverse of [`days_of`].
const fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl fmt::Display for UtcTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / DAY_S);
        let second = self.0 % DAY_S;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Debug for UtcTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A text that is not a time of the one form that is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected `YYYY-MM-DDTHH:MM:SSZ` between 1970 and 9999")]
pub struct UtcTimeError;

impl FromStr for UtcTime {
    type Err = UtcTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |range: std::ops::Range<usize>| -> u64 {
            text.get(range).and_then(|digits| digits.parse().ok()).unwrap_or_default()
        };
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(UtcTimeError);
        }
        let time = Self(days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second);
        // Writing it back shows every other flaw at once: signs, digits and separators, 30 February, 24:00.
        if time.to_string() == text { Ok(time) } else { Err(UtcTimeError) }
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for UtcTime {
    fn schema_name() -> Cow<'static, str> {
        "UtcTime".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: u64) {
        assert_eq!(text.parse::<UtcTime>().unwrap().unix_s(), expected);
        assert_eq!(UtcTime::from_unix_s(expected).to_string(), text);
    }

    #[test]
    fn knows_the_calendar() {
        // Expected values from `date -u -d TEXT +%s`.
        check("1970-01-01T00:00:00Z", 0);
        check("2000-02-29T23:59:59Z", 951_868_799);
        check("2024-02-29T12:34:56Z", 1_709_210_096);
        check("2038-01-19T03:14:08Z", 2_147_483_648);
        check("2100-03-01T00:00:00Z", 4_107_542_400);
        check("9999-12-31T23:59:59Z", 253_402_300_799);
        assert_eq!(UtcTime::from_unix_s(u64::MAX), UtcTime::MAX);
    }

    #[test]
    fn refuses_every_other_form() {
        let good = "2026-01-31T10:20:30Z";
        assert!(good.parse::<UtcTime>().is_ok());
        for bad in [
            "",
            "2026-01-31",
            "2026-01-31T10:20:30",
            "2026-01-31t10:20:30z",
            "2026-01-31 10:20:30Z",
            "2026-01-31T10:20:30.0Z",
            "2026-01-31T10:20:30+00:00",
            "2026-1-31T10:20:30Z",
            "+026-01-31T10:20:30Z",
            "2026-01-31T10:20:+3Z",
            "2026-02-29T10:20:30Z",
            "2026-04-31T10:20:30Z",
            "2026-00-10T10:20:30Z",
            "2026-13-10T10:20:30Z",
            "2026-01-00T10:20:30Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T10:60:30Z",
            "2026-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "٢٠٢٦-01-31T10:20:30Z",
        ] {
            assert!(bad.parse::<UtcTime>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_every_second(seconds in 0..=UtcTime::MAX.0) {
            let time = UtcTime::from_unix_s(seconds);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
