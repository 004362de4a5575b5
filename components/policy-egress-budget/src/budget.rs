//! What a run may exchange with a host. Pure: facts and settings in, a verdict out.

/// Most hosts that have a budget of their own.
const HOSTS_MAX: usize = 1_000;

/// How much a run may exchange with one host; none where it is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Requests and connections.
    pub requests_max: Option<u64>,
    /// Bytes sent and received.
    pub bytes_max: Option<u64>,
}

/// All budgets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    usual: Budget,
    hosts: Vec<(String, Budget)>,
}

/// A request or a connection that somebody wants to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The host's name in lower case, or its address.
    pub host: &'a str,
    /// Bytes that are about to be sent, where that is known.
    pub bytes: Option<u64>,
    /// Requests and connections to this host in this run before this one.
    pub requests_so_far: u64,
    /// Bytes exchanged with this host in this run before this one.
    pub bytes_so_far: u64,
}

impl Budgets {
    /// Reads the settings. An error says which of them cannot be right.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |key: &str| match get(key) {
            None => Ok(None),
            Some(text) => bound(&text).ok_or_else(|| format!("the setting `{key}` is no number")),
        };
        let usual = Budget { requests_max: number("requests_max")?, bytes_max: number("bytes_max")? };
        let mut hosts: Vec<(String, Budget)> = Vec::new();
        let text = get("hosts").unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let number = at + 1;
            let entry = entry(line).ok_or_else(|| {
                format!("line {number} of the setting `hosts` is no `HOST = REQUESTS / BYTES`")
            })?;
            if hosts.iter().any(|(host, _)| *host == entry.0) {
                return Err(format!("line {number} of the setting `hosts` names a host a second time"));
            }
            hosts.push(entry);
            if hosts.len() > HOSTS_MAX {
                return Err(format!("the setting `hosts` names more than {HOSTS_MAX} hosts"));
            }
        }
        Ok(Self { usual, hosts })
    }

    /// Why it is denied, if it is.
    pub fn review(&self, wanted: &Wanted<'_>) -> Option<String> {
        let Budget { requests_max, bytes_max } = self.of(wanted.host);
        if let Some(maximum) = requests_max
            && wanted.requests_so_far >= maximum
        {
            let made = wanted.requests_so_far;
            return Some(format!(
                "this run has made {made} of the {maximum} requests that it may make to this host"
            ));
        }
        let maximum = bytes_max?;
        let coming = wanted.bytes.unwrap_or(0);
        let fits = wanted.bytes_so_far.checked_add(coming).is_some_and(|all| all <= maximum);
        // What the answer weighs is not known; when nothing is left, none may come.
        if fits && wanted.bytes_so_far < maximum {
            return None;
        }
        let used = wanted.bytes_so_far;
        let more = wanted.bytes.map_or_else(String::new, |more| format!(" and would send {more} more"));
        Some(format!("this run may exchange {maximum} bytes with this host: it has exchanged {used}{more}"))
    }

    /// The budget for a host: its own, else that of the longest name it is below, else the usual one.
    fn of(&self, host: &str) -> Budget {
        let own = self.hosts.iter().find(|(name, _)| name == host);
        let below = || {
            let covers = |name: &str| {
                name.strip_prefix('*').is_some_and(|end| host.len() > end.len() && host.ends_with(end))
            };
            self.hosts.iter().filter(|(name, _)| covers(name)).max_by_key(|(name, _)| name.len())
        };
        own.or_else(below).map_or(self.usual, |(_, budget)| *budget)
    }
}

/// `HOST = REQUESTS / BYTES`.
fn entry(line: &str) -> Option<(String, Budget)> {
    let (host, bounds) = line.split_once('=')?;
    let host = host.trim();
    let name = host.strip_prefix("*.").unwrap_or(host);
    // As hosts are written in what an extension is asked; one that is written otherwise would never match.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:_".contains(&byte);
    if name.is_empty() || name.starts_with('.') || name.ends_with('.') || !name.bytes().all(plain) {
        return None;
    }
    let (requests, bytes) = bounds.split_once('/')?;
    Some((host.to_owned(), Budget { requests_max: bound(requests)?, bytes_max: bound(bytes)? }))
}

/// A number, or `-` where there is no bound.
fn bound(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "-" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budgets(requests: Option<&str>, bytes: Option<&str>, hosts: Option<&str>) -> Result<Budgets, String> {
        Budgets::read(|key| match key {
            "requests_max" => requests.map(str::to_owned),
            "bytes_max" => bytes.map(str::to_owned),
            "hosts" => hosts.map(str::to_owned),
            _ => None,
        })
    }

    fn wanted(host: &str, requests_so_far: u64, bytes_so_far: u64, bytes: Option<u64>) -> Wanted<'_> {
        Wanted { host, bytes, requests_so_far, bytes_so_far }
    }

    #[test]
    fn what_is_not_set_is_not_bounded() {
        let none = budgets(None, None, None).unwrap();
        assert_eq!(none.review(&wanted("a.example", u64::MAX, u64::MAX, Some(u64::MAX))), None);
    }

    #[test]
    fn requests_are_counted() {
        let three = budgets(Some("3"), None, None).unwrap();
        let check = |so_far: u64, denied: bool| {
            let said = three.review(&wanted("a.example", so_far, u64::MAX, Some(u64::MAX)));
            assert_eq!(said.is_some(), denied, "{so_far}: {said:?}");
        };
        check(0, false);
        check(2, false);
        check(3, true);
        check(u64::MAX, true);
        assert!(budgets(Some("0"), None, None).unwrap().review(&wanted("a.example", 0, 0, None)).is_some());
    }

    #[test]
    fn bytes_are_counted_with_those_that_are_about_to_be_sent() {
        let hundred = budgets(None, Some("100"), None).unwrap();
        let check = |so_far: u64, bytes: Option<u64>, denied: bool| {
            let said = hundred.review(&wanted("a.example", 0, so_far, bytes));
            assert_eq!(said.is_some(), denied, "{so_far} and {bytes:?}: {said:?}");
        };
        check(0, None, false);
        check(0, Some(100), false);
        check(0, Some(101), true);
        check(99, None, false);
        check(99, Some(1), false);
        check(99, Some(2), true);
        check(100, None, true);
        check(100, Some(0), true);
        check(1, Some(u64::MAX), true);
        check(u64::MAX, Some(u64::MAX), true);
    }

    #[test]
    fn a_host_may_have_a_budget_of_its_own() {
        let hosts = "\n api.example.com = 5 / -\n*.example.com = 2/10\n*.b.example.com=0 / 0\n10.0.0.5 = - / 7\n2001:db8::1 = 1 / 1\n";
        let all = budgets(Some("1"), None, Some(hosts)).unwrap();
        let check = |host: &str, requests: Option<u64>, bytes: Option<u64>| {
            let expected = Budget { requests_max: requests, bytes_max: bytes };
            assert_eq!(all.of(host), expected, "{host}");
        };
        check("api.example.com", Some(5), None);
        check("other.example.com", Some(2), Some(10));
        check("a.api.example.com", Some(2), Some(10));
        check("a.b.example.com", Some(0), Some(0));
        check("10.0.0.5", None, Some(7));
        check("2001:db8::1", Some(1), Some(1));
        // Neither the name itself nor one that only ends alike is below it.
        check("example.com", Some(1), None);
        check("badexample.com", Some(1), None);
        check(".example.com", Some(1), None);
    }

    #[test]
    fn a_budget_that_cannot_be_read_is_an_error() {
        for wrong in ["", "x", "-1", "1.5", "1 MiB", "99999999999999999999", "+1"] {
            assert!(budgets(Some(wrong), None, None).unwrap_err().contains("`requests_max`"), "{wrong}");
            assert!(budgets(None, Some(wrong), None).unwrap_err().contains("`bytes_max`"), "{wrong}");
        }
        for wrong in [
            "a.example",
            "a.example = 1",
            "a.example = 1 / x",
            "= 1 / 1",
            "A.example = 1 / 1",
            "* = 1 / 1",
            "*. = 1 / 1",
            "a.*.example = 1 / 1",
            "a.example. = 1 / 1",
            "https://a.example = 1 / 1",
            "a.example = 1 / 1\na.example = 2 / 2",
        ] {
            assert!(budgets(None, None, Some(wrong)).unwrap_err().contains("`hosts`"), "{wrong}");
        }
        let many: String = (0..1_001).map(|n| format!("h{n}.example = 1 / 1\n")).collect();
        assert!(budgets(None, None, Some(&many)).unwrap_err().contains("more than 1000"));
    }

    proptest! {
        #[test]
        fn what_was_denied_stays_denied_when_more_was_used(
            requests_max: u64, bytes_max: u64, requests: u64, bytes: u64, coming: Option<u64>, more: u64
        ) {
            let all = budgets(Some(&requests_max.to_string()), Some(&bytes_max.to_string()), None).unwrap();
            let now = all.review(&wanted("a.example", requests, bytes, coming)).is_some();
            let later = wanted("a.example", requests.saturating_add(more), bytes.saturating_add(more), coming);
            prop_assert!(!now || all.review(&later).is_some());
        }
    }
}
