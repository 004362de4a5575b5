//! What is to be read on a page of HTML.
//!
//! The tokenizer of html5ever reads the page, as browsers do; no tree is built, so the depth of a page does not
//! matter and what it takes is bounded by its length.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use url::Url;

use crate::address;
use crate::lines::{Lines, one_line};

/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 300;
/// Longest text of a link, in bytes.
pub const LINK_BYTES_MAX: usize = 200;
/// Most links.
pub const LINKS_MAX: usize = 200;
/// How much is read before the time is looked at, in bytes.
const PART_BYTES: usize = 8 << 10;
/// How much `main` or `article` has to hold to stand for the whole page, in bytes.
const INNER_BYTES_MIN: usize = 200;

/// What is to be read on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extract {
    /// The title.
    pub title: Option<String>,
    /// The text.
    pub text: String,
    /// The links.
    pub links: Vec<Link>,
    /// Whether there is more text or there are more links.
    pub truncated: bool,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is to be read there.
    pub text: String,
    /// Where it leads.
    pub url: String,
}

/// Reads a page that came from an address, for as long as it may go on: a tag of very many attributes takes long.
pub fn extract(html: &str, from: &Url, bytes_max: usize, go_on: impl Fn() -> bool) -> Extract {
    let sink = Sink(RefCell::new(Reading {
        base: from.clone(),
        from: from.clone(),
        whole: Lines::new(bytes_max),
        inner: Lines::new(bytes_max),
        inner_depth: 0,
        skipping: None,
        verbatim: 0,
        title: None,
        in_title: false,
        link: None,
        links: Vec::new(),
        more_links: false,
    }));
    let input = BufferQueue::default();
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let mut rest = html;
    while !rest.is_empty() && go_on() {
        let (part, more) = rest.split_at_checked(rest.floor_char_boundary(PART_BYTES)).unwrap_or((rest, ""));
        rest = more;
        input.push_back(StrTendril::from(part));
        while !input.is_empty() {
            let _ = tokenizer.feed(&input);
        }
    }
    tokenizer.end();
    let mut extract = tokenizer.sink.0.into_inner().end();
    extract.truncated |= !rest.is_empty();
    extract
}

struct Sink(RefCell<Reading>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reading = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => reading.text(&text),
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return reading.start(&tag),
            Token::TagToken(tag) => reading.end_of(&tag.name),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Reading a page, so far.
struct Reading {
    from: Url,
    base: Url,
    whole: Lines,
    /// Only what is in `main` or `article`.
    inner: Lines,
    inner_depth: usize,
    /// The element that is not read, and how many of its name are open.
    skipping: Option<(String, usize)>,
    verbatim: usize,
    title: Option<String>,
    in_title: bool,
    /// The link that is open.
    link: Option<(Url, Lines)>,
    links: Vec<(Link, bool)>,
    more_links: bool,
}

/// Elements without an end.
const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];
/// Elements that nobody reads: code, what leads around the site, what is filled in.
const SKIPPED: &[&str] = &[
    "script", "style", "template", "svg", "math", "iframe", "object", "canvas", "audio", "video", "noembed",
    "noframes", "nav", "aside", "footer", "button", "select", "datalist", "textarea",
];
/// Elements whose end may be left away, so that the next of their name ends them.
const OPEN_ENDED: &[&str] = &["p", "li", "dt", "dd", "tr", "td", "th", "option"];
/// Elements that stand on lines of their own, with empty ones around them.
const BLOCKS: &[&str] = &[
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "dl",
    "table",
    "pre",
    "blockquote",
    "figure",
    "hr",
    "article",
    "main",
    "section",
    "header",
];
/// Elements that stand on lines of their own.
const ROWS: &[&str] = &[
    "div",
    "li",
    "dt",
    "dd",
    "tr",
    "br",
    "address",
    "body",
    "caption",
    "details",
    "summary",
    "fieldset",
    "figcaption",
    "form",
    "legend",
    "center",
    "option",
    "title",
];

/// Elements whose line begins with a mark.
const MARKS: &[(&str, &str)] = &[
    ("li", "- "),
    ("h1", "# "),
    ("h2", "## "),
    ("h3", "### "),
    ("h4", "#### "),
    ("h5", "##### "),
    ("h6", "###### "),
];

impl Reading {
    fn start(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let foreign = matches!(&self.skipping, Some((skipped, _)) if skipped == "svg" || skipped == "math");
        if self.skips(tag) || (foreign && tag.self_closing) {
            return if foreign && tag.self_closing { TokenSinkResult::Continue } else { raw(name) };
        }
        match name {
            "title" if self.title.is_none() => self.in_title = true,
            "base" => {
                if let Some(base) =
                    attribute(tag, "href").and_then(|href| address::join(&self.from, href).ok())
                {
                    self.base = base;
                }
            }
            "main" | "article" => self.inner_depth += 1,
            "a" => self.open_link(tag),
            "pre" => self.verbatim += 1,
            _ => {}
        }
        self.layout(name, true);
        if let Some((_, mark)) = MARKS.iter().find(|(marked, _)| *marked == name) {
            self.each(|lines| lines.mark(mark));
        }
        if matches!(name, "td" | "th") {
            self.each(|lines| {
                if lines.begun() {
                    lines.words(" | ");
                }
            });
        }
        raw(name)
    }

    /// Whether an element is not read, or lies in one that is not.
    fn skips(&mut self, tag: &Tag) -> bool {
        let name: &str = &tag.name;
        if let Some((skipped, open)) = &mut self.skipping {
            let same = skipped == name;
            // What a page is about is in nothing that was forgotten to be closed.
            let ended = name == "main" || (same && *open == 1 && OPEN_ENDED.contains(&name));
            if !ended {
                *open += usize::from(same);
                return true;
            }
            self.skipping = None;
        }
        let hidden = attribute(tag, "hidden").is_some()
            || attribute(tag, "aria-hidden").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || attribute(tag, "style").is_some_and(hides);
        if (hidden || SKIPPED.contains(&name)) && !VOID.contains(&name) && !matches!(name, "html" | "body") {
            self.layout(name, true);
            self.skipping = Some((name.to_owned(), 1));
            return true;
        }
        hidden
    }

    fn end_of(&mut self, name: &str) {
        if let Some((skipped, open)) = &mut self.skipping {
            if skipped == name {
                *open -= 1;
            }
            if *open > 0 && name != "body" {
                return;
            }
            self.skipping = None;
            return;
        }
        match name {
            "title" => self.in_title = false,
            "main" | "article" => self.inner_depth = self.inner_depth.saturating_sub(1),
            "a" => self.close_link(),
            "pre" => self.verbatim = self.verbatim.saturating_sub(1),
            _ if MARKS.iter().any(|(marked, _)| *marked == name) => self.each(|lines| lines.mark("")),
            _ => {}
        }
        self.layout(name, false);
    }

    fn text(&mut self, text: &str) {
        if self.skipping.is_some() {
            return;
        }
        if self.in_title {
            let title = self.title.get_or_insert_default();
            if title.len() < 4 * TITLE_BYTES_MAX {
                title.push_str(text);
            }
            return;
        }
        if let Some((_, shown)) = &mut self.link {
            shown.words(text);
        }
        if self.verbatim > 0 {
            self.each(|lines| lines.verbatim(text));
        } else {
            self.words(text);
        }
    }

    fn words(&mut self, text: &str) {
        self.each(|lines| lines.words(text));
    }

    fn layout(&mut self, name: &str, start: bool) {
        if BLOCKS.contains(&name) {
            self.each(|lines| lines.line(1));
        } else if ROWS.contains(&name) && (start || name != "br") {
            self.each(|lines| lines.line(0));
        }
    }

    fn each(&mut self, write: impl Fn(&mut Lines)) {
        write(&mut self.whole);
        if self.inner_depth > 0 {
            write(&mut self.inner);
        }
    }

    fn open_link(&mut self, tag: &Tag) {
        self.close_link();
        let leads = attribute(tag, "href").and_then(|href| address::join(&self.base, href.trim()).ok());
        self.link = leads.filter(|url| *url != self.from).map(|url| (url, Lines::new(LINK_BYTES_MAX)));
    }

    fn close_link(&mut self) {
        let Some((url, shown)) = self.link.take() else { return };
        let inner = self.inner_depth > 0;
        let url = url.to_string();
        if let Some((known, in_inner)) = self.links.iter_mut().find(|(known, _)| known.url == url) {
            if known.text.is_empty() {
                known.text = shown.end().0;
            }
            *in_inner |= inner;
        } else if self.links.len() < 2 * LINKS_MAX {
            self.links.push((Link { text: shown.end().0, url }, inner));
        } else {
            self.more_links = true;
        }
    }

    fn end(mut self) -> Extract {
        self.close_link();
        let only_inner = self.inner.len() >= INNER_BYTES_MIN.min(self.whole.len()) && !self.inner.is_empty();
        let (text, cut) = if only_inner { self.inner.end() } else { self.whole.end() };
        let mut links: Vec<Link> =
            self.links.into_iter().filter(|(_, inner)| *inner || !only_inner).map(|(link, _)| link).collect();
        let more = links.len() > LINKS_MAX;
        links.truncate(LINKS_MAX);
        let title =
            self.title.map(|title| one_line(&title, TITLE_BYTES_MAX)).filter(|title| !title.is_empty());
        Extract { title, text, links, truncated: cut || more || self.more_links }
    }
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// Whether a style shows nothing.
fn hides(style: &str) -> bool {
    let style: String = style.chars().filter(|character| !character.is_whitespace()).collect();
    let style = style.to_ascii_lowercase();
    ["display:none", "visibility:hidden"].iter().any(|hidden| style.contains(hidden))
}

/// What the tokenizer does with the inside of an element.
fn raw(name: &str) -> TokenSinkResult<()> {
    match name {
        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => TokenSinkResult::RawData(RawKind::Rawtext),
        "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
        "plaintext" => TokenSinkResult::Plaintext,
        _ => TokenSinkResult::Continue,
    }
}

#[cfg(test)]
mod tests;
