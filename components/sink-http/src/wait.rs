//! How long to wait before the next attempt: as long as the collector says, else longer each time.

/// The first pause.
const PAUSE_MS: u64 = 500;
/// The longest pause between two attempts of one delivery.
const PAUSE_MS_MAX: u64 = 8_000;
/// Longest time that a collector may ask to be let alone, so that a mistake there does not silence the log.
pub const ASKED_MS_MAX: u64 = 60 * 60 * 1_000;

/// The pause after so many attempts. `salt` makes batches differ, so that those who failed together do not all
/// come back together.
pub fn pause_ms(attempts: u32, salt: u64) -> u64 {
    let doubled = PAUSE_MS.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(PAUSE_MS_MAX);
    // Between one half and the whole. The factor spreads neighbouring numbers.
    let part = salt.wrapping_add(u64::from(attempts)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    doubled / 2 + doubled * part / 512
}

/// What `Retry-After` asks for, in milliseconds from now: a number of seconds or a date (RFC 9110, section
/// 10.2.3). None where it is neither.
pub fn asked_ms(text: &str, now_unix_ms: u64) -> Option<u64> {
    let text = text.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => u64::MAX,
        Err(_) => date_unix_s(text)?.saturating_mul(1_000).saturating_sub(now_unix_ms),
    };
    Some(asked.min(ASKED_MS_MAX))
}

/// A date such as `Sun, 06 Nov 1994 08:49:37 GMT`, in seconds since the Unix epoch.
fn date_unix_s(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let number = |word: Option<&str>| word?.parse::<u64>().ok();
    let day = number(words.next())?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year = number(words.next())?;
    let mut time = words.next()?.split(':');
    let (hour, minute, second) = (number(time.next())?, number(time.next())?, number(time.next())?);
    let known = words.next() == Some("GMT") && words.next().is_none() && time.next().is_none();
    if !known
        || !(1970..=9999).contains(&year)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Years that begin in March: a leap day is the last day of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_jitter_and_have_an_end() {
        for attempts in 1..50 {
            let whole = (PAUSE_MS << (attempts - 1).min(16)).min(PAUSE_MS_MAX);
            for salt in [0, 1, 7, u64::MAX] {
                let pause = pause_ms(attempts, salt);
                assert!((whole / 2..=whole).contains(&pause), "{attempts} {salt}: {pause}");
            }
        }
        assert!((1..20).any(|salt| pause_ms(3, salt) != pause_ms(3, 0)), "there is no jitter");
    }

    #[test]
    fn what_a_collector_asks_for_is_a_number_or_a_date() {
        let now_ms = 784_111_777_000;
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(asked_ms(text, now_ms), expected, "{text}");
        check("0", Some(0));
        check(" 120 ", Some(120_000));
        check("3601", Some(ASKED_MS_MAX));
        check("99999999999999999999999", Some(ASKED_MS_MAX));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30_000));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("Tue, 29 Feb 2028 00:00:00 GMT", Some(ASKED_MS_MAX));
        for wrong in [
            "",
            "soon",
            "-1",
            "1.5",
            "06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 18446744073709551615 Nov 1994 08:49:37 GMT",
        ] {
            check(wrong, None);
        }
    }
}
