//! Getting a page: one request after the other, until one answers with something else than a redirect.

use url::Url;

use crate::ask::Ask;
use crate::extract::{Extract, Link, extract};
use crate::lines::plain;
use crate::media::{Form, Media};
use crate::redirect::{Way, is_redirect};
use crate::{Error, Kind, Redirect};

/// How much of a body is read, in bytes.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// What getting a page needs of the world.
pub trait World {
    /// The body of an answer, which is still to be read.
    type Body;
    /// Sends a request and waits for the head of its answer, for at most so many milliseconds.
    fn send(&mut self, url: &Url, ask: &Ask, time_ms: u64) -> Result<(Head, Self::Body), (Kind, String)>;
    /// Reads a body, of at most `bytes_max` bytes, for at most so many milliseconds.
    fn read(&mut self, body: Self::Body, bytes_max: usize, time_ms: u64) -> Result<Body, (Kind, String)>;
    /// A clock that only goes forward.
    fn elapsed_ms(&self) -> u64;
}

/// The head of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The header `content-type`.
    pub content_type: Option<String>,
    /// The header `content-encoding`.
    pub content_encoding: Option<String>,
    /// The header `location`.
    pub location: Option<Vec<u8>>,
}

/// The body of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether there is more.
    pub cut: bool,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The address that answered.
    pub url: String,
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The title.
    pub title: Option<String>,
    /// The text.
    pub text: String,
    /// The links.
    pub links: Vec<Link>,
    /// Whether there is more.
    pub truncated: bool,
    /// The redirects on the way.
    pub redirects: Vec<Redirect>,
}

/// Gets a page.
pub fn fetch<W: World>(world: &mut W, ask: &Ask) -> Result<Page, Error> {
    let begun = world.elapsed_ms();
    let mut way = Way::new(ask.url.clone(), ask.redirects_max);
    loop {
        let left = left(world, begun, ask, &way)?;
        let at = way.at.clone();
        let (head, body) = world.send(&at, ask, left).map_err(|(kind, said)| way.here(kind, &said))?;
        match &head.location {
            Some(location) if is_redirect(head.status) => way.follow(head.status, location)?,
            _ => {
                let body = if ask.head {
                    Body::default()
                } else {
                    may_be_text(&head, &way)?;
                    let left = self::left(world, begun, ask, &way)?;
                    world.read(body, BODY_BYTES_MAX, left).map_err(|(kind, said)| way.here(kind, &said))?
                };
                let spent = || world.elapsed_ms().saturating_sub(begun);
                return page(ask, way, &head, &body, || spent() < ask.time_ms_max);
            }
        }
    }
}

/// The time that is left.
fn left<W: World>(world: &W, begun: u64, ask: &Ask, way: &Way) -> Result<u64, Error> {
    let spent = world.elapsed_ms().saturating_sub(begun);
    match ask.time_ms_max.saturating_sub(spent) {
        0 => Err(way.here(Kind::Timeout, &format!("all of it took more than {} ms", ask.time_ms_max))),
        left => Ok(left),
    }
}

/// Refuses by its head what is not worth reading.
fn may_be_text(head: &Head, way: &Way) -> Result<(), Error> {
    if let Some(coding) = &head.content_encoding
        && !coding.trim().is_empty()
        && !coding.trim().eq_ignore_ascii_case("identity")
    {
        let coding: String = coding.chars().take(100).collect();
        return Err(
            way.here(Kind::NotText, &format!("it is packed ({coding}), although it was not asked for"))
        );
    }
    Media::read(head.content_type.as_deref())
        .form(b"")
        .map(drop)
        .map_err(|said| way.here(Kind::NotText, &format!("it is {said}")))
}

fn page(ask: &Ask, way: Way, head: &Head, body: &Body, go_on: impl Fn() -> bool) -> Result<Page, Error> {
    let media = Media::read(head.content_type.as_deref());
    let found = if ask.head {
        Extract::default()
    } else {
        let form =
            media.form(&body.bytes).map_err(|said| way.here(Kind::NotText, &format!("it is {said}")))?;
        let text = media.decode(&body.bytes, form, body.cut);
        match form {
            Form::Html => extract(&text, &way.at, ask.text_bytes_max, go_on),
            Form::Text => {
                let (text, truncated) = plain(&text, ask.text_bytes_max);
                Extract { text, truncated, ..Extract::default() }
            }
        }
    };
    Ok(Page {
        url: way.at.to_string(),
        status: head.status,
        content_type: media.essence,
        title: found.title,
        text: found.text,
        links: found.links,
        truncated: found.truncated || body.cut,
        redirects: way.redirects,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::Problem;
    use crate::ask::Given;

    /// Answers of a web without a network.
    #[derive(Default)]
    struct Script {
        answers: HashMap<&'static str, (Head, &'static [u8])>,
        asked: Vec<String>,
        elapsed_ms: u64,
        step_ms: u64,
    }

    impl World for Script {
        type Body = &'static [u8];

        fn send(&mut self, url: &Url, _: &Ask, _: u64) -> Result<(Head, Self::Body), (Kind, String)> {
            self.asked.push(url.to_string());
            self.elapsed_ms += self.step_ms;
            self.answers.get(url.as_str()).cloned().ok_or((Kind::Denied, "no".into()))
        }

        fn read(&mut self, body: Self::Body, bytes_max: usize, _: u64) -> Result<Body, (Kind, String)> {
            let bytes = body.get(..bytes_max).unwrap_or(body);
            Ok(Body { bytes: bytes.to_vec(), cut: bytes.len() < body.len() })
        }

        fn elapsed_ms(&self) -> u64 {
            self.elapsed_ms
        }
    }

    fn head(status: u16, content_type: &str) -> Head {
        Head { status, content_type: Some(content_type.into()), ..Head::default() }
    }

    fn to(location: &str) -> (Head, &'static [u8]) {
        (Head { status: 302, location: Some(location.into()), ..Head::default() }, b"moved")
    }

    fn web<const N: usize>(answers: [(&'static str, (Head, &'static [u8])); N]) -> Script {
        Script { answers: answers.into_iter().collect(), ..Script::default() }
    }

    fn get(script: &mut Script, url: &str, head: bool) -> Result<Page, Error> {
        let given = Given { url: url.into(), head, time_ms_max: Some(1_000), ..Given::default() };
        fetch(script, &Ask::read(given).unwrap())
    }

    #[test]
    fn a_page_is_read_at_the_end_of_its_redirects() {
        let html = b"<title>T</title><p>Hello <a href=x>you</a>";
        let mut script = web([
            ("http://a.example/", to("https://a.example/b/")),
            ("https://a.example/b/", (head(200, "text/html"), html)),
        ]);
        let page = get(&mut script, "http://a.example/", false).unwrap();
        assert_eq!(script.asked, ["http://a.example/", "https://a.example/b/"]);
        assert_eq!((page.url.as_str(), page.status), ("https://a.example/b/", 200));
        assert_eq!((page.title.as_deref(), page.text.as_str()), (Some("T"), "Hello you"));
        assert_eq!(page.links, [Link { text: "you".into(), url: "https://a.example/b/x".into() }]);
        assert_eq!(page.redirects, [Redirect { url: "http://a.example/".into(), status: 302 }]);
    }

    #[test]
    fn an_answer_that_is_no_redirect_is_a_page() {
        let mut script = web([
            ("https://a.example/404", (head(404, "text/plain"), b"not here")),
            ("https://a.example/304", (head(304, ""), b"")),
            ("https://a.example/302", (head(302, "text/plain"), b"nowhere")),
            ("https://a.example/json", (head(200, "application/json; charset=utf-8"), b"{\"a\": 1}\n")),
        ]);
        let mut check = |url: &str, status: u16, text: &str| {
            let page = get(&mut script, url, false).unwrap();
            assert_eq!((page.status, page.text.as_str(), page.truncated), (status, text, false), "{url}");
        };
        check("https://a.example/404", 404, "not here");
        check("https://a.example/304", 304, "");
        check("https://a.example/302", 302, "nowhere");
        check("https://a.example/json", 200, "{\"a\": 1}\n");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let packed = Head { content_encoding: Some("gzip".into()), ..head(200, "text/html") };
        let mut script = web([
            ("https://a.example/pdf", (head(200, "application/pdf"), b"%PDF-1.7")),
            ("https://a.example/bytes", (head(200, ""), b"\x7fELF\0\0")),
            ("https://a.example/packed", (packed, b"\x1f\x8b")),
        ]);
        let mut check = |url: &str, reason: &str| {
            let problem = Problem { url: url.into(), reason: reason.into(), redirects: Vec::new() };
            assert_eq!(get(&mut script, url, false), Err(Error::At(Kind::NotText, problem)));
        };
        check("https://a.example/pdf", "it is application/pdf");
        check("https://a.example/bytes", "it is bytes that are no text, sent without a type");
        check("https://a.example/packed", "it is packed (gzip), although it was not asked for");
        // Of its head alone, everything can be read.
        let page = get(&mut script, "https://a.example/pdf", true).unwrap();
        assert_eq!((page.content_type.as_str(), page.text.as_str()), ("application/pdf", ""));
    }

    #[test]
    fn a_refused_hop_is_named_with_the_way_to_it() {
        let mut script = web([("https://a.example/", to("https://b.example/"))]);
        let Err(Error::At(Kind::Denied, problem)) = get(&mut script, "https://a.example/", false) else {
            panic!()
        };
        assert_eq!((problem.url.as_str(), problem.reason.as_str()), ("https://b.example/", "no"));
        assert_eq!(problem.redirects, [Redirect { url: "https://a.example/".into(), status: 302 }]);
    }

    #[test]
    fn all_requests_together_have_a_time() {
        let mut script = web([
            ("https://a.example/", to("/1")),
            ("https://a.example/1", to("/2")),
            ("https://a.example/2", (head(200, "text/plain"), b"x")),
        ]);
        script.step_ms = 600;
        let Err(Error::At(Kind::Timeout, problem)) = get(&mut script, "https://a.example/", false) else {
            panic!()
        };
        assert_eq!(problem.url, "https://a.example/2");
        assert_eq!(script.asked.len(), 2);
    }

    #[test]
    fn a_body_is_read_so_far_and_no_further() {
        static LONG: [u8; BODY_BYTES_MAX + 1] = [b' '; BODY_BYTES_MAX + 1];
        let mut script = web([("https://a.example/", (head(200, "text/html"), &LONG))]);
        let page = get(&mut script, "https://a.example/", false).unwrap();
        assert!(page.truncated && page.text.is_empty());
    }
}
