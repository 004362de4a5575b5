//! Redirects: which ones are followed.

use url::Url;

use crate::{Error, Kind, Problem, Redirect, address};

/// The way so far.
#[derive(Debug, Clone)]
pub struct Way {
    /// Where it is now.
    pub at: Url,
    /// The redirects that led there.
    pub redirects: Vec<Redirect>,
    most: usize,
}

/// Whether a status is one of a redirect that can be followed.
pub const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

impl Way {
    /// The beginning.
    pub const fn new(at: Url, most: usize) -> Self {
        Self { at, redirects: Vec::new(), most }
    }

    /// Goes on to where a redirect leads, or refuses to.
    pub fn follow(&mut self, status: u16, location: &[u8]) -> Result<(), Error> {
        // What no header may hold is seen as what it is not.
        let location = String::from_utf8_lossy(location);
        let to = location.trim();
        let Ok(next) = address::join(&self.at, to) else {
            let reason = address::join(&self.at, to).err().unwrap_or_default();
            return Err(self.refused(shown(to), reason));
        };
        let reason = if self.redirects.len() >= self.most {
            return Err(self.problem(
                Kind::TooManyRedirects,
                next.as_str(),
                &format!("it would be redirect {}, and at most {} are followed", self.most + 1, self.most),
            ));
        } else if self.at.scheme() == "https" && next.scheme() == "http" {
            "it leads from https to http"
        } else if next == self.at || self.redirects.iter().any(|before| before.url == next.as_str()) {
            "it leads in a circle"
        } else {
            self.redirects.push(Redirect { url: self.at.to_string(), status });
            self.at = next;
            return Ok(());
        };
        Err(self.refused(next.as_str(), reason))
    }

    fn refused(&self, url: &str, reason: &str) -> Error {
        self.problem(Kind::RedirectRefused, url, &format!("{} redirects there, and {reason}", self.at))
    }

    /// Something that went wrong at an address on this way.
    pub fn problem(&self, kind: Kind, url: &str, reason: &str) -> Error {
        let redirects = self.redirects.clone();
        Error::At(kind, Problem { url: url.to_owned(), reason: reason.to_owned(), redirects })
    }

    /// Something that went wrong where it is now.
    pub fn here(&self, kind: Kind, reason: &str) -> Error {
        self.problem(kind, self.at.as_str(), reason)
    }
}

/// What is shown of something that is no address: no more than a line of it.
fn shown(text: &str) -> &str {
    text.get(..text.floor_char_boundary(200)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows redirects from an address, at most three.
    fn walk(from: &str, locations: &[&str]) -> Result<String, (Kind, String)> {
        let mut way = Way::new(address::read(from).unwrap(), 3);
        for location in locations {
            match way.follow(302, location.as_bytes()) {
                Ok(()) => {}
                Err(Error::At(kind, problem)) => {
                    return Err((kind, format!("{}: {}", problem.url, problem.reason)));
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        Ok(way.redirects.iter().map(|before| format!("{} > ", before.url)).collect::<String>()
            + way.at.as_str())
    }

    #[track_caller]
    fn check(from: &str, locations: &[&str], expected: &str) {
        assert_eq!(walk(from, locations).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn refused(from: &str, locations: &[&str], kind: Kind, expected: &str) {
        assert_eq!(walk(from, locations), Err((kind, expected.to_owned())));
    }

    #[test]
    fn a_redirect_is_followed_from_where_it_was() {
        check("https://a.example/b/c?d", &["e"], "https://a.example/b/c?d > https://a.example/b/e");
        check("https://a.example/b", &["//b.example/#x"], "https://a.example/b > https://b.example/");
        check("http://a.example/", &["https://a.example/"], "http://a.example/ > https://a.example/");
        check(
            "http://a.example/",
            &["/1", " /2 ", "?3"],
            "http://a.example/ > http://a.example/1 > http://a.example/2 > http://a.example/2?3",
        );
    }

    #[test]
    fn a_redirect_never_leaves_tls() {
        refused(
            "https://a.example/",
            &["http://a.example/"],
            Kind::RedirectRefused,
            "http://a.example/: https://a.example/ redirects there, and it leads from https to http",
        );
    }

    #[test]
    fn a_redirect_leads_in_no_circle() {
        for locations in [&["/1", "/"][..], &["/"], &["/1", "/2", "/1"], &["#top"]] {
            let (kind, said) = walk("https://a.example/", locations).unwrap_err();
            assert!(kind == Kind::RedirectRefused && said.ends_with("it leads in a circle"), "{said}");
        }
    }

    #[test]
    fn a_redirect_leads_to_what_can_be_asked() {
        let from = "https://a.example/";
        let said = |to: &str, reason: &str| format!("{to}: https://a.example/ redirects there, and {reason}");
        let check = |to: &str, reason: &str| refused(from, &[to], Kind::RedirectRefused, &said(to, reason));
        check("ftp://b.example/", "it is neither https nor http");
        check("file:///etc/passwd", "it is neither https nor http");
        check("javascript:alert(1)", "it is neither https nor http");
        check("https://user:password@b.example/", "it holds a user name or a password");
        check("https://", "it is no address");
    }

    #[test]
    fn there_are_no_more_redirects_than_asked_for() {
        check(
            "http://a.example/",
            &["/1", "/2", "/3"],
            "http://a.example/ > http://a.example/1 > http://a.example/2 > http://a.example/3",
        );
        refused(
            "http://a.example/",
            &["/1", "/2", "/3", "/4"],
            Kind::TooManyRedirects,
            "http://a.example/4: it would be redirect 4, and at most 3 are followed",
        );
    }

    proptest! {
        #[test]
        fn any_location_is_followed_or_refused(locations in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)) {
            let mut way = Way::new(address::read("https://a.example/").unwrap(), 3);
            for location in locations {
                let _ = way.follow(301, &location);
                prop_assert!(way.at.scheme() == "https" && way.redirects.len() <= 3);
            }
        }
    }
}
