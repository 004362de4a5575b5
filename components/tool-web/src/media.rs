//! What a body is, and its characters.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// How much of a body is looked at to find out what it is, in bytes.
const HEAD_BYTES: usize = 1024;

/// What is done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is HTML.
    Html,
    /// It is a text that is given as it is.
    Text,
}

/// The header `content-type`, or what can be known without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The type without parameters, in lower case; empty if it is not said.
    pub essence: String,
    charset: Option<&'static Encoding>,
}

impl Media {
    /// Reads a header.
    pub fn read(header: Option<&str>) -> Self {
        let mut parts = header.unwrap_or_default().split(';');
        let essence: String = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        // What no media type looks like is as good as none.
        let essence =
            if essence.bytes().all(|byte| byte.is_ascii_graphic()) { essence } else { String::new() };
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let label = value.trim().trim_matches(['"', '\'']);
            name.trim().eq_ignore_ascii_case("charset").then(|| Encoding::for_label(label.as_bytes()))?
        });
        Self { essence, charset }
    }

    /// What is done with a body of this type; an error says what it is if it is no text. Without a type, and to be
    /// sure with one, the beginning of the body decides.
    pub fn form(&self, body: &[u8]) -> Result<Form, String> {
        let head = body.get(..HEAD_BYTES).unwrap_or(body);
        let form = self.said()?;
        // Of UTF-16 every other byte may be a NUL; its mark comes first.
        let wide = Encoding::for_bom(head).is_some()
            || self.charset.is_some_and(|charset| !charset.is_ascii_compatible());
        if head.starts_with(b"%PDF-") || (head.contains(&0) && !wide) {
            let essence = self.shown();
            let said = if essence.is_empty() { "without a type".to_owned() } else { format!("as {essence}") };
            return Err(format!("bytes that are no text, sent {said}"));
        }
        let start: Vec<u8> = head.trim_ascii_start().iter().take(15).map(u8::to_ascii_lowercase).collect();
        let looks = start.starts_with(b"<!doctype html") || start.starts_with(b"<html");
        Ok(form.unwrap_or(if looks { Form::Html } else { Form::Text }))
    }

    /// What the type says; nothing if there is none.
    fn said(&self) -> Result<Option<Form>, String> {
        let (family, sub) = self.essence.split_once('/').unwrap_or_default();
        match (family, sub) {
            ("", "") if self.essence.is_empty() => Ok(None),
            ("text", "html") | ("application", "xhtml+xml") => Ok(Some(Form::Html)),
            ("text", _)
            | (
                "application",
                "json"
                | "xml"
                | "javascript"
                | "ecmascript"
                | "x-ndjson"
                | "jsonl"
                | "yaml"
                | "x-yaml"
                | "toml"
                | "graphql"
                | "sql"
                | "x-sh"
                | "x-www-form-urlencoded",
            ) => Ok(Some(Form::Text)),
            ("application" | "image" | "model" | "message", sub)
                if ["+json", "+xml", "+yaml"].iter().any(|end| sub.ends_with(end)) =>
            {
                Ok(Some(Form::Text))
            }
            _ => Err(self.shown()),
        }
    }

    /// As much of the type as a message shows.
    fn shown(&self) -> String {
        self.essence.chars().take(100).collect()
    }

    /// The characters of a body: by its mark, by its type, by what HTML says of itself; else UTF-8 if it is, and
    /// windows-1252 if not. What is wrong becomes U+FFFD; a character that was cut at the end is left away.
    pub fn decode(&self, body: &[u8], form: Form, cut: bool) -> String {
        let head = body.get(..HEAD_BYTES).unwrap_or(body);
        let declared = self.charset.or_else(|| if form == Form::Html { declared(head) } else { None });
        let encoding = declared.unwrap_or_else(|| match std::str::from_utf8(body) {
            Ok(_) => UTF_8,
            Err(error) if cut && error.error_len().is_none() => UTF_8,
            Err(_) => WINDOWS_1252,
        });
        let mut decoder = encoding.new_decoder();
        let mut text = String::new();
        let mut rest = body;
        loop {
            // Without room for some characters the decoder would not go on.
            text.reserve(
                decoder.max_utf8_buffer_length(rest.len()).unwrap_or(rest.len()).clamp(16, 64 << 10),
            );
            let (result, read, _) = decoder.decode_to_string(rest, &mut text, !cut);
            rest = rest.get(read..).unwrap_or_default();
            if result == encoding_rs::CoderResult::InputEmpty {
                return text;
            }
        }
    }
}

/// The encoding that HTML declares in its `meta`.
fn declared(head: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let rest = head.split("charset=").nth(1)?.trim_start_matches(['"', '\'', ' ']);
    let end = rest.find(['"', '\'', ' ', ';', '>', '/']).unwrap_or(rest.len());
    let found = Encoding::for_label(rest.get(..end)?.as_bytes())?;
    // A document that says so in bytes of ASCII cannot be UTF-16.
    Some(if found.is_ascii_compatible() { found } else { UTF_8 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(header: &str, body: &[u8], expected: Result<Form, &str>) {
        let said = Media::read(Some(header)).form(body);
        assert_eq!(said.as_ref().map(|form| *form).map_err(String::as_str), expected, "{header}");
    }

    #[test]
    fn a_text_is_known_by_its_type() {
        check("text/html; charset=utf-8", b"x", Ok(Form::Html));
        check("Application/XHTML+XML", b"x", Ok(Form::Html));
        for header in [
            "text/plain",
            "text/markdown;charset=UTF-8",
            "application/json",
            "application/ld+json",
            "application/atom+xml",
            "image/svg+xml",
        ] {
            check(header, b"<html>", Ok(Form::Text));
        }
        for (header, said) in [
            ("application/pdf", "application/pdf"),
            ("image/png", "image/png"),
            ("application/octet-stream", "application/octet-stream"),
            ("x", "x"),
        ] {
            check(header, b"text", Err(said));
        }
    }

    #[test]
    fn the_bytes_have_the_last_word() {
        check("", b" \n<!DOCTYPE html><p>", Ok(Form::Html));
        check("", b"<HTML lang=en>", Ok(Form::Html));
        check("", b"just words", Ok(Form::Text));
        check("no type at all", b"just words", Ok(Form::Text));
        check("", b"\x89PNG\0\0", Err("bytes that are no text, sent without a type"));
        check("text/plain", b"%PDF-1.7", Err("bytes that are no text, sent as text/plain"));
        check("text/html", b"a\0b", Err("bytes that are no text, sent as text/html"));
        check("text/plain", b"\xff\xfea\0", Ok(Form::Text));
    }

    #[test]
    fn characters_are_read_as_they_are_declared() {
        let check = |header: Option<&str>, form, body: &[u8], expected: &str| {
            assert_eq!(Media::read(header).decode(body, form, false), expected);
        };
        check(None, Form::Text, "grüße".as_bytes(), "grüße");
        check(None, Form::Text, b"gr\xfc\xdfe \x80", "grüße €");
        check(Some("text/plain; charset=ISO-8859-1"), Form::Text, b"gr\xfc\xdfe", "grüße");
        check(Some("text/plain; Charset=\"GBK\""), Form::Text, b"\xc4\xe3\xba\xc3", "你好");
        check(Some("text/plain; charset=utf-8"), Form::Text, b"gr\xfc\xdfe", "gr\u{fffd}\u{fffd}e");
        check(Some("text/plain; charset=nonsense"), Form::Text, "ü".as_bytes(), "ü");
        check(None, Form::Html, b"<meta charset=\"shift_jis\">\x93\xfa", "<meta charset=\"shift_jis\">日");
        check(None, Form::Text, b"<meta charset=gbk>\xfc", "<meta charset=gbk>ü");
        check(None, Form::Html, b"<meta charset=utf-16>x", "<meta charset=utf-16>x");
        check(None, Form::Text, b"\xff\xfeh\0i\0", "hi");
        check(None, Form::Text, b"\xef\xbb\xbfhi", "hi");
    }

    #[test]
    fn a_character_that_was_cut_is_left_away() {
        let media = Media::read(None);
        assert_eq!(media.decode("aü".as_bytes().split_at(2).0, Form::Text, true), "a");
        assert_eq!(media.decode(b"a\xc3", Form::Text, false), "aÃ");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded(header in "\\PC{0,40}|text/(html|plain); ?charset=[a-z0-9-]{0,12}", body in prop::collection::vec(any::<u8>(), 0..2_000), cut: bool) {
            let media = Media::read(Some(&header));
            for form in [Form::Html, Form::Text] {
                let text = media.decode(&body, form, cut);
                prop_assert!(text.len() <= 3 * body.len() + 3);
            }
            let _ = media.form(&body);
        }
    }
}
