//! What a line of source declares for others to use. It looks at single lines, not at programs.

use super::diff::{FileDiff, Side};
use super::facts::ChangeKind;
use super::text::clean;

/// Something that a line declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Item {
    /// What it is, in the words of its language: `fn`, `class`, `table`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

/// Something that was declared before, is declared now, or both in different words.
#[derive(Debug, Clone)]
pub(crate) struct ItemChange {
    pub(crate) item: Item,
    /// The line before.
    pub(crate) before: Option<String>,
    /// The line now.
    pub(crate) after: Option<String>,
}

/// Finds the declaration in a line of one language.
pub(crate) type Declares = fn(&str) -> Option<Item>;

/// Longest line of a declaration that is kept, in characters.
const LINE_CHARACTERS_MAX: usize = 160;

/// The language of a source file whose declarations can be found.
pub(crate) fn declares(path: &str) -> Option<(&'static str, Declares)> {
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension {
        "rs" => ("Rust", rust as Declares),
        "py" | "pyi" => ("Python", python),
        "js" | "mjs" | "cjs" | "jsx" | "ts" | "tsx" | "mts" => ("JavaScript or TypeScript", javascript),
        "go" => ("Go", go),
        "java" | "kt" | "cs" => ("Java, Kotlin or C#", java),
        _ => return None,
    })
}

/// What changed in the declarations of a file. The same line on both sides is none: it moved.
pub(crate) fn changes(file: &FileDiff, declares: Declares) -> Vec<ItemChange> {
    let mut removed: Vec<(Item, String)> = Vec::new();
    let mut added: Vec<(Item, String)> = Vec::new();
    for line in file.lines() {
        let side = match line.side {
            Side::Both => continue,
            Side::Old => &mut removed,
            Side::New => &mut added,
        };
        if let Some(item) = declares(line.text) {
            let text = match item.kind {
                // What a function does is not what it is to others.
                "fn" | "func" | "function" => line.text.split('{').next().unwrap_or_default(),
                _ => line.text.trim_end().trim_end_matches('{'),
            };
            side.push((item, clean(text, LINE_CHARACTERS_MAX)));
        }
    }
    removed.retain(|was| match added.iter().position(|is| is == was) {
        Some(index) => {
            added.remove(index);
            false
        }
        None => true,
    });
    let mut changes: Vec<ItemChange> = removed
        .into_iter()
        .map(|(item, before)| {
            let after = added.iter().position(|(other, _)| *other == item).map(|index| added.remove(index).1);
            ItemChange { item, before: Some(before), after }
        })
        .collect();
    changes.extend(added.into_iter().map(|(item, after)| ItemChange {
        item,
        before: None,
        after: Some(after),
    }));
    changes
}

impl ItemChange {
    pub(crate) fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (Some(_), Some(_)) => ChangeKind::Modified,
            (Some(_), None) => ChangeKind::Deleted,
            _ => ChangeKind::Added,
        }
    }
}

fn word(text: &str) -> &str {
    let end =
        text.find(|character: char| !(character.is_alphanumeric() || character == '_')).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn item(kind: &'static str, text: &str) -> Option<Item> {
    let name = word(text);
    (!name.is_empty()).then(|| Item { kind, name: clean(name, 80) })
}

/// The first of these words that the text begins with, and what follows it.
fn keyword<'a>(text: &'a str, words: &[&'static str]) -> Option<(&'static str, &'a str)> {
    let first = text.split([' ', '\t']).next()?;
    let found = words.iter().find(|word| **word == first)?;
    Some((found, text.get(first.len()..)?.trim_start()))
}

fn without<'a>(mut text: &'a str, words: &[&'static str]) -> &'a str {
    while let Some((_, rest)) = keyword(text, words) {
        text = rest;
    }
    text
}

/// A `pub` item of Rust. `pub(crate)` and the like are for nobody else.
pub(crate) fn rust(line: &str) -> Option<Item> {
    let mut text = line.trim_start().strip_prefix("pub ")?.trim_start();
    loop {
        let shorter = without(text, &["async", "unsafe", "default", "extern", "auto"]);
        let shorter = shorter.strip_prefix("\"C\"").unwrap_or(shorter).trim_start();
        // `const` is a kind of item too, unless one follows it.
        let shorter = match keyword(shorter, &["const"]) {
            Some((_, rest)) if keyword(rest, &["fn", "unsafe", "extern", "async"]).is_some() => rest,
            _ => shorter,
        };
        if shorter.len() == text.len() {
            break;
        }
        text = shorter;
    }
    let kinds = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union", "macro"];
    if let Some((kind, rest)) = keyword(text, &kinds) {
        return item(kind, rest.strip_prefix("mut ").unwrap_or(rest));
    }
    if let Some((_, rest)) = keyword(text, &["use"]) {
        let path = clean(rest.trim_end_matches([';', '{', ' ']), 80);
        return (!path.is_empty()).then_some(Item { kind: "use", name: path });
    }
    let name = word(text);
    let after = text.get(name.len()..)?.trim_start();
    if after.starts_with(':') && !after.starts_with("::") { item("field", name) } else { None }
}

/// A function or class at the top of a Python module.
fn python(line: &str) -> Option<Item> {
    let text = without(line, &["async"]);
    let (kind, rest) = keyword(text, &["def", "class"])?;
    item(kind, rest).filter(|item| !item.name.starts_with('_'))
}

/// An exported declaration of JavaScript or TypeScript.
fn javascript(line: &str) -> Option<Item> {
    let text = without(line.strip_prefix("export ")?, &["default", "async", "declare", "abstract"]);
    let kinds =
        ["function", "function*", "class", "const", "let", "var", "interface", "type", "enum", "namespace"];
    let (kind, rest) = keyword(text, &kinds)?;
    item(kind, rest)
}

/// An exported declaration of Go.
fn go(line: &str) -> Option<Item> {
    let (kind, mut rest) = keyword(line, &["func", "type", "const", "var"])?;
    if kind == "func" && rest.starts_with('(') {
        rest = rest.split_once(')')?.1.trim_start();
    }
    item(kind, rest).filter(|item| item.name.starts_with(char::is_uppercase))
}

/// A public type of Java, Kotlin or C#.
fn java(line: &str) -> Option<Item> {
    let text = line.trim_start().strip_prefix("public ")?;
    let text = without(text, &["static", "final", "abstract", "sealed", "partial", "data", "open"]);
    let (kind, rest) = keyword(text, &["class", "interface", "enum", "record", "struct"])?;
    item(kind, rest)
}

/// What a line of WIT declares.
pub(crate) fn wit(line: &str) -> Option<Item> {
    let text = line.trim();
    if let Some((kind, rest)) = keyword(text, &["package", "import", "export", "include", "use"]) {
        let name = clean(rest.trim_end_matches([';', '{', ' ']), 80);
        return (!name.is_empty()).then_some(Item { kind, name });
    }
    let kinds = ["interface", "world", "record", "variant", "enum", "flags", "resource", "type"];
    if let Some((kind, rest)) = keyword(text, &kinds) {
        return wit_item(kind, rest);
    }
    let (name, rest) = text.split_once(':')?;
    let rest = rest.trim_start();
    let is_function =
        ["func(", "func (", "static func", "async func"].iter().any(|start| rest.starts_with(start));
    is_function.then(|| wit_item("func", name))?
}

/// A member of a WIT type or a parameter of a function on a line of its own: it ends with a comma.
pub(crate) fn wit_member(line: &str) -> Option<Item> {
    let text = line.split("//").next()?.trim().strip_suffix(',')?;
    wit_item("member", text)
}

fn wit_item(kind: &'static str, text: &str) -> Option<Item> {
    let text = text.trim_start().trim_start_matches('%');
    let end = text
        .find(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
        .unwrap_or(text.len());
    let name = text.get(..end)?;
    (!name.is_empty()).then(|| Item { kind, name: clean(name, 80) })
}

/// What a line of a Protocol Buffers, Thrift or GraphQL file declares.
pub(crate) fn idl(line: &str) -> Option<Item> {
    let text = without(line.trim(), &["extend", "repeated", "optional", "required"]);
    let kinds = [
        "service",
        "message",
        "enum",
        "rpc",
        "oneof",
        "struct",
        "exception",
        "union",
        "type",
        "interface",
        "input",
        "scalar",
        "directive",
    ];
    if let Some((kind, rest)) = keyword(text, &kinds) {
        return item(kind, rest);
    }
    // A field of a message: `Type name = 3;`.
    let (declaration, number) = text.split_once('=')?;
    number.trim_start().starts_with(|first: char| first.is_ascii_digit()).then_some(())?;
    item("field", declaration.trim_end().rsplit(' ').next()?)
}

/// What a line of SQL makes, changes or drops.
pub(crate) fn sql(line: &str) -> Option<Item> {
    let lower = line.trim().to_ascii_lowercase();
    let (verb, rest) = keyword(&lower, &["create", "alter", "drop"])?;
    let rest = without(rest, &["or", "replace", "temp", "temporary", "unique", "virtual", "materialized"]);
    let kinds = ["table", "index", "view", "trigger", "type", "column", "constraint", "schema", "function"];
    let (kind, rest) = keyword(rest, &kinds)?;
    let name = without(rest, &["if", "not", "exists", "only", "concurrently"]);
    let name = word(name.trim_start_matches(['"', '`', '[']));
    let kind = match (verb, kind) {
        ("drop", "table") => "drop table",
        ("drop", "column") => "drop column",
        ("drop", _) => "drop",
        ("alter", _) => "alter",
        _ => kind,
    };
    item(kind, name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(declares: Declares, line: &str, expected: &str) {
        let found = declares(line).map(|item| format!("{} {}", item.kind, item.name));
        assert_eq!(found.as_deref().unwrap_or(""), expected, "{line}");
    }

    #[test]
    fn finds_public_items_of_rust() {
        check(rust, "pub fn run(x: u8) -> u8 {", "fn run");
        check(rust, "    pub async fn run<T>() {", "fn run");
        check(rust, "pub const fn a() {}", "fn a");
        check(rust, "pub const unsafe extern \"C\" fn b() {}", "fn b");
        check(rust, "pub unsafe trait T {", "trait T");
        check(rust, "pub const LIMIT: u8 = 1;", "const LIMIT");
        check(rust, "pub static mut X: u8 = 1;", "static X");
        check(rust, "pub struct Point;", "struct Point");
        check(rust, "    pub x: u8,", "field x");
        check(rust, "pub use a::b::{C, D};", "use a::b::{C, D}");
        check(rust, "pub mod kernel;", "mod kernel");
        check(rust, "pub(crate) fn x() {", "");
        check(rust, "pub(super) x: u8,", "");
        check(rust, "fn x() {", "");
        check(rust, "// pub fn x() {", "");
        check(rust, "pub ", "");
    }

    #[test]
    fn finds_exports_of_other_languages() {
        check(python, "def run(a):", "def run");
        check(python, "async def run(a):", "def run");
        check(python, "class A(B):", "class A");
        check(python, "def _own():", "");
        check(python, "    def method(self):", "");
        check(javascript, "export default async function go() {", "function go");
        check(javascript, "export const x = 1;", "const x");
        check(javascript, "export interface I {", "interface I");
        check(javascript, "const x = 1;", "");
        check(go, "func Run() error {", "func Run");
        check(go, "func (s *Server) Close() {", "func Close");
        check(go, "func run() {", "");
        check(java, "public final class A {", "class A");
        check(java, "    private class B {", "");
    }

    #[test]
    fn finds_what_contracts_declare() {
        check(wit, "    get: func(key: string) -> option<string>;", "func get");
        check(wit, "interface %stream {", "interface stream");
        check(wit, "    record key-page {", "record key-page");
        check(wit, "package loong:host@0.1.0;", "package loong:host@0.1.0");
        check(wit, "    /// A func: func(x)", "");
        check(wit, "    keys: list<string>,", "");
        check(wit_member, "    keys: list<string>,", "member keys");
        check(wit_member, "    denied(denial),", "member denied");
        check(wit_member, "    /// Keys, of course,", "");
        check(idl, "  rpc Get(A) returns (B);", "rpc Get");
        check(idl, "  repeated string name = 3;", "field name");
        check(idl, "message M {", "message M");
        check(sql, "CREATE TABLE IF NOT EXISTS \"t\" (", "table t");
        check(sql, "ALTER TABLE t ADD x;", "alter t");
        check(sql, "DROP TABLE t;", "drop table t");
        check(sql, "select 1", "");
    }

    fn changed(old: &str, new: &str) -> Vec<String> {
        let removed = old.lines().map(|text| super::super::diff::Line { side: Side::Old, text });
        let added = new.lines().map(|text| super::super::diff::Line { side: Side::New, text });
        let file = FileDiff { path: "x.rs".to_owned(), hunks: vec![removed.chain(added).collect()] };
        changes(&file, rust)
            .iter()
            .map(|change| format!("{:?} {}", change.kind(), change.item.name))
            .collect()
    }

    #[test]
    fn pairs_what_was_with_what_is() {
        assert_eq!(changed("pub fn a()", "pub fn a(x: u8)"), ["Modified a"]);
        assert_eq!(changed("pub fn a() {", "    pub fn a()"), Vec::<String>::new());
        assert_eq!(changed("pub fn a() { 1 }", "pub fn a() { 2 }"), Vec::<String>::new());
        assert_eq!(changed("pub fn a()", "pub fn b()"), ["Deleted a", "Added b"]);
        assert_eq!(changed("pub fn new() -> A\npub fn new() -> B", "pub fn new() -> B"), ["Deleted new"]);
    }

    proptest! {
        #[test]
        fn takes_any_line(line in "(pub |const |fn |export |func \\(|create table |record |\\PC){0,8}") {
            for declares in [rust, python, javascript, go, java, wit, wit_member, idl, sql] {
                declares(&line);
            }
        }
    }
}
