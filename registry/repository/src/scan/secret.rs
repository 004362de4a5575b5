//! Texts in a component's data that look like secrets. What is found is described and never repeated.

use super::Severity;

/// Shortest run of characters that is weighed.
const RUN_MIN: usize = 20;
/// Longest run that is looked at as one; longer ones are data.
const RUN_MAX: usize = 512;
/// Bits for each character from which on a run looks random: texts have about 4, base64 of random bytes nearly 6.
const ENTROPY_MIN: f64 = 4.8;

/// Tokens that services give out: how they begin, how many characters follow at least, whose they are.
const KNOWN: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "an access key of AWS"),
    ("ghp_", 36, "a token of GitHub"),
    ("github_pat_", 40, "a token of GitHub"),
    ("glpat-", 20, "a token of GitLab"),
    ("sk-ant-", 32, "an API key of Anthropic"),
    ("sk_live_", 24, "an API key of Stripe"),
    ("xoxb-", 24, "a token of Slack"),
    ("xoxp-", 24, "a token of Slack"),
    ("AIza", 35, "an API key of Google"),
    ("npm_", 36, "a token of npm"),
];

/// Looks at one piece of data, once from its beginning to its end.
pub(super) fn look(data: &[u8], found: &mut impl FnMut(Severity, &'static str, String)) {
    private_keys(data, found);
    for run in data.split(|byte| !is_token(*byte)) {
        if run.len() < RUN_MIN {
            continue;
        }
        let Ok(text) = std::str::from_utf8(run) else { continue };
        if let Some((begin, _, whose)) = KNOWN.iter().find(|(begin, rest, _)| {
            text.strip_prefix(begin).is_some_and(|tail| {
                tail.len() >= *rest
                    && tail
                        .bytes()
                        .take(*rest)
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            })
        }) {
            let message =
                format!("its data holds what looks like {whose}: `{begin}…`, {} characters", run.len());
            found(Severity::High, "secret_in_data", message);
        } else if run.len() >= 32 && run.len() <= RUN_MAX && is_mixed(run) && entropy(run) >= ENTROPY_MIN {
            let message = format!("its data holds a text of {} characters that looks random", run.len());
            found(Severity::Low, "high_entropy_data", message);
        }
    }
}

fn private_keys(data: &[u8], found: &mut impl FnMut(Severity, &'static str, String)) {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"PRIVATE KEY-----";
    for (at, _) in data.windows(BEGIN.len()).enumerate().filter(|(_, window)| *window == BEGIN) {
        let rest = data.get(at + BEGIN.len()..).unwrap_or_default();
        let line = rest.get(..rest.len().min(64)).unwrap_or_default();
        // A program that reads keys holds the words; a key follows them with a line of base64.
        let after = line
            .windows(END.len())
            .position(|window| window == END)
            .and_then(|end| rest.get(end + END.len()..));
        let body = after.map(|after| after.iter().skip_while(|byte| byte.is_ascii_whitespace()).take(40));
        if body.is_some_and(|mut body| {
            let all: Vec<u8> = body.by_ref().copied().collect();
            all.len() == 40
                && all.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte))
        }) {
            found(Severity::High, "secret_in_data", "its data holds a private key".to_owned());
        }
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/' | b'=' | b'.')
}

/// Whether a run has digits and letters of both cases, as encoded random bytes have.
fn is_mixed(run: &[u8]) -> bool {
    run.iter().any(u8::is_ascii_digit)
        && run.iter().any(u8::is_ascii_uppercase)
        && run.iter().any(u8::is_ascii_lowercase)
}

/// Shannon entropy, in bits for each byte.
fn entropy(run: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in run {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = f64::from(u32::try_from(run.len()).unwrap_or(u32::MAX));
    counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(|count| {
            let share = f64::from(count) / length;
            -share * share.log2()
        })
        .sum()
}
