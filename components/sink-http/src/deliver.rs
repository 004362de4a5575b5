//! One delivery: attempts until the collector has the batch, refuses it, or the time is up.

use audit_record::{Failure, Record};

use crate::request::{Request, Settings};
use crate::wait::{ASKED_MS_MAX, asked_ms, pause_ms};

/// How long a delivery takes attempts. The host's own deadline is a third later.
const TIME_MS_MAX: u64 = 20_000;
/// Most attempts of one delivery.
const ATTEMPTS_MAX: u32 = 6;

/// What a delivery needs of the world.
pub trait World {
    /// Sends a request and waits for the whole answer, for at most so many milliseconds.
    fn send(&mut self, settings: &Settings, request: &Request, time_ms: u64) -> Result<Answer, String>;
    /// A clock that only goes forward.
    fn elapsed_ms(&self) -> u64;
    /// The time, in milliseconds since the Unix epoch.
    fn now_unix_ms(&self) -> u64;
    /// Waits.
    fn sleep(&mut self, time_ms: u64);
    /// Until when the collector asked to be let alone, in milliseconds since the Unix epoch.
    fn silent_until(&self) -> u64;
    /// Remembers that for the next delivery.
    fn be_silent_until(&mut self, unix_ms: u64);
}

/// What the collector answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

/// Delivers a batch.
pub fn deliver(world: &mut impl World, settings: &Settings, records: &[Record]) -> Result<(), Failure> {
    let request = Request::new(settings, records)?;
    let salt = records.first().map_or(0, |record| record.index);
    let now = world.now_unix_ms();
    // A time that is further away than anybody may ask for is that of a clock that was set back.
    if let Some(rest) = world.silent_until().checked_sub(now).filter(|rest| (1..=ASKED_MS_MAX).contains(rest))
    {
        return Err(Failure::Retry(format!(
            "the collector asked to be let alone for {} s more",
            rest.div_ceil(1_000)
        )));
    }
    let begun = world.elapsed_ms();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let left = TIME_MS_MAX.saturating_sub(world.elapsed_ms().saturating_sub(begun));
        let (problem, asked) = match world.send(settings, &request, left) {
            Ok(Answer { status: 200..=299, .. }) => return Ok(()),
            Ok(Answer { status: status @ (400 | 413 | 422), .. }) => {
                return Err(Failure::Rejected(format!("the collector answered {status}")));
            }
            Ok(Answer { status, retry_after }) => {
                let problem = match status {
                    300..=399 => format!("the collector answered {status}, and a redirect is not followed"),
                    401 | 403 => format!("the collector answered {status}: it does not accept who asks"),
                    _ => format!("the collector answered {status}"),
                };
                // What is wrong with the settings stays so while this delivery lasts.
                if !matches!(status, 408 | 425 | 429 | 500..=599) {
                    return Err(Failure::Retry(problem));
                }
                (problem, retry_after.and_then(|text| asked_ms(&text, world.now_unix_ms())))
            }
            Err(problem) => (problem, None),
        };
        let pause = asked.unwrap_or(0).max(pause_ms(attempts, salt));
        let left = TIME_MS_MAX.saturating_sub(world.elapsed_ms().saturating_sub(begun));
        if attempts >= ATTEMPTS_MAX || pause >= left {
            if let Some(asked) = asked {
                let until = world.now_unix_ms().saturating_add(asked);
                world.be_silent_until(until);
            }
            return Err(Failure::Retry(problem));
        }
        world.sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::request::record;

    /// Answers in their order; an attempt takes 10 ms.
    #[derive(Default)]
    struct Script {
        answers: VecDeque<Result<Answer, String>>,
        elapsed_ms: u64,
        sent: Vec<Request>,
        slept: Vec<u64>,
        silent_until: u64,
    }

    const NOW_MS: u64 = 1_700_000_000_000;

    impl World for Script {
        fn send(&mut self, _: &Settings, request: &Request, time_ms: u64) -> Result<Answer, String> {
            assert!(time_ms <= TIME_MS_MAX);
            self.sent.push(request.clone());
            self.elapsed_ms += 10;
            self.answers.pop_front().unwrap_or_else(|| Err("no answer".into()))
        }
        fn elapsed_ms(&self) -> u64 {
            self.elapsed_ms
        }
        fn now_unix_ms(&self) -> u64 {
            NOW_MS + self.elapsed_ms
        }
        fn sleep(&mut self, time_ms: u64) {
            self.slept.push(time_ms);
            self.elapsed_ms += time_ms;
        }
        fn silent_until(&self) -> u64 {
            self.silent_until
        }
        fn be_silent_until(&mut self, unix_ms: u64) {
            self.silent_until = unix_ms;
        }
    }

    fn status(status: u16) -> Result<Answer, String> {
        Ok(Answer { status, retry_after: None })
    }

    fn later(status: u16, after: &str) -> Result<Answer, String> {
        Ok(Answer { status, retry_after: Some(after.into()) })
    }

    fn run(answers: impl IntoIterator<Item = Result<Answer, String>>) -> (Result<(), Failure>, Script) {
        let mut script = Script { answers: answers.into_iter().collect(), ..Script::default() };
        let result = again(&mut script);
        (result, script)
    }

    fn again(script: &mut Script) -> Result<(), Failure> {
        let settings = Settings::read(|key| (key == "url").then(|| "https://example.com/".into())).unwrap();
        deliver(script, &settings, &[record(3), record(4)])
    }

    #[track_caller]
    fn check(answers: impl IntoIterator<Item = Result<Answer, String>>, attempts: usize, expected: &str) {
        let (result, script) = run(answers);
        let said = match result {
            Ok(()) => "delivered".to_owned(),
            Err(Failure::Retry(problem)) => format!("retry: {problem}"),
            Err(Failure::Rejected(problem)) => format!("rejected: {problem}"),
        };
        assert_eq!((script.sent.len(), said.as_str()), (attempts, expected));
        assert!(script.sent.windows(2).all(|pair| pair[0] == pair[1]), "an attempt is the same request");
        assert!(script.elapsed_ms <= TIME_MS_MAX);
    }

    #[test]
    fn what_an_answer_means() {
        check([status(200)], 1, "delivered");
        check([status(204)], 1, "delivered");
        check([status(503), Err("it was cut off".into()), status(202)], 3, "delivered");
        check([status(400)], 1, "rejected: the collector answered 400");
        check([status(503), status(413)], 2, "rejected: the collector answered 413");
        check([status(422)], 1, "rejected: the collector answered 422");
        check([status(302)], 1, "retry: the collector answered 302, and a redirect is not followed");
        check([status(401)], 1, "retry: the collector answered 401: it does not accept who asks");
        check([status(404)], 1, "retry: the collector answered 404");
        check([status(408), status(429), status(425), status(500), status(200)], 5, "delivered");
    }

    #[test]
    fn attempts_have_an_end() {
        check((0..100).map(|_| status(503)), 6, "retry: the collector answered 503");
        check([], 6, "retry: no answer");
    }

    #[test]
    fn pauses_grow() {
        let (_, script) = run((0..100).map(|_| status(500)));
        assert_eq!(script.slept.len(), 5);
        assert!(script.slept.iter().all(|pause| *pause >= 250), "{:?}", script.slept);
        assert!(script.slept.last() > script.slept.first());
    }

    #[test]
    fn a_collector_that_asks_for_time_gets_it() {
        // As long as there is time, within the delivery.
        let (result, script) = run([later(429, "3"), status(200)]);
        assert_eq!((result, script.slept), (Ok(()), vec![3_000]));
        // And beyond it.
        let (result, mut script) = run([later(503, "60")]);
        assert_eq!(result, Err(Failure::Retry("the collector answered 503".into())));
        assert_eq!(script.slept, [0; 0]);
        assert_eq!(script.silent_until, NOW_MS + 10 + 60_000);
        script.elapsed_ms = 30_000;
        script.answers.push_back(status(200));
        let words = "the collector asked to be let alone for 31 s more";
        assert_eq!(again(&mut script), Err(Failure::Retry(words.into())));
        assert_eq!(script.sent.len(), 1, "it was let alone");
        script.elapsed_ms = 60_011;
        assert_eq!(again(&mut script), Ok(()));
        // A clock that was set back does not silence the log for ever.
        let mut script = Script { silent_until: NOW_MS + 2 * ASKED_MS_MAX, ..Script::default() };
        script.answers.push_back(status(200));
        assert_eq!(again(&mut script), Ok(()));
    }
}
