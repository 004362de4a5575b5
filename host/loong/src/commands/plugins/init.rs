//! `loong plugins init`: a project that builds at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loong_manifest::{Code, PluginId};
use loong_trust::UNSIGNED_PUBLISHER;
use serde_json::json;

use super::template::{self, Kind, Language};
use crate::error::CommandError;
use crate::ui::Ui;

/// Start a component of your own
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins init word-count                    a tool in ./word-count
  loong plugins init daily-report --kind pack      a pack in ./daily-report
  loong plugins init count --kind command          a program in ./count
  loong plugins init greet --language python
  loong plugins init word-count --publisher acme tools/word-count

The project needs nothing of Loong's sources: it holds copies of the WIT it uses. One in Rust also builds with
`cargo build --release --target wasm32-wasip2`, and all but a command with `cargo component build`.")]
pub struct InitArgs {
    /// Its name: lower-case letters, digits and single hyphens
    name: String,
    /// Where to put it; a new or an empty folder [default: ./NAME]
    dir: Option<PathBuf>,
    /// What kind of component it is
    #[arg(long, default_value = "tool")]
    kind: Kind,
    /// What it is written in
    #[arg(long, default_value = "rust")]
    language: Language,
    /// Who publishes it: the part of its id before the colon
    #[arg(long, default_value = "local")]
    publisher: String,
}

/// Words of Rust, which modules of the project would be named by.
const RUST_WORDS: [&str; 50] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while",
];
/// Words of Python that are none of Rust.
const PYTHON_WORDS: [&str; 19] = [
    "and", "assert", "class", "def", "del", "elif", "except", "finally", "from", "global", "import", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "with",
];
/// Words of JavaScript that are none of Rust.
const JAVASCRIPT_WORDS: [&str; 23] = [
    "arguments",
    "case",
    "catch",
    "class",
    "debugger",
    "default",
    "delete",
    "eval",
    "export",
    "extends",
    "finally",
    "function",
    "implements",
    "import",
    "instanceof",
    "interface",
    "new",
    "null",
    "package",
    "switch",
    "throw",
    "void",
    "with",
];
/// Names of crates that every project has already.
const CRATES: [&str; 7] = ["alloc", "core", "proc-macro", "std", "test", "wit-bindgen", "yield"];

pub(super) fn run(ui: &mut Ui, args: &InitArgs) -> Result<(), CommandError> {
    if args.language != Language::Rust && args.kind != Kind::Tool {
        let problem =
            format!("there is no {} in {} to start from", args.kind.as_str(), args.language.as_str());
        return Err(CommandError::new(Code::CommandLineInvalid, problem)
            .hint("write it in Rust, or start a tool; `loong plugins pack` takes what any language makes"));
    }
    let id = id_of(&args.publisher, &args.name, args.language)?;
    let files = template::project(args.kind, args.language, &id);
    check_wit(&files, &id)?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let made = check_empty(&dir)?;
    if let Err(error) = write(&dir, &files) {
        if made {
            // Best effort: the error that is reported is the one that made it necessary.
            let _ = std::fs::remove_dir_all(&dir);
        }
        return Err(error);
    }
    let component = format!("target/loong/{}.wasm", id.name());
    let mut next: Vec<String> = args.language.set_up().map(str::to_owned).into_iter().collect();
    next.push("loong plugins build".to_owned());
    if args.language == Language::Python {
        // The interpreter is inside, and nobody loads so much from somebody unknown.
        next.push("loong registry keys generate".to_owned());
        next.push(format!("loong plugins sign {component}"));
    }
    next.extend([format!("loong plugins check {component}"), args.kind.call(&id)]);
    if dir != Path::new(".") {
        next.insert(0, format!("cd {}", quoted(&dir.display().to_string())));
    }
    if ui.json() {
        let names: Vec<&String> = files.keys().collect();
        let value = json!({
            "id": id, "kind": args.kind.as_str(), "language": args.language.as_str(), "dir": dir, "files": names,
            "next": next,
        });
        ui.document("loong.plugins.init/1", &value);
        return Ok(());
    }
    ui.line(format!("made the {} `{id}` in {} ({} files)", args.kind.as_str(), dir.display(), files.len()));
    ui.line("\nnext:");
    for command in next {
        ui.line(format!("  {command}"));
    }
    Ok(())
}

/// An id whose parts can also name a WIT package, a crate and a module.
fn id_of(publisher: &str, name: &str, language: Language) -> Result<PluginId, CommandError> {
    let refused = |problem: String| {
        CommandError::new(Code::CommandLineInvalid, problem)
            .hint("for example `loong plugins init word-count --publisher acme`")
    };
    let id = PluginId::new(publisher, name).map_err(|error| refused(error.to_string()))?;
    if [UNSIGNED_PUBLISHER, "wasi", "loong"].contains(&publisher) {
        return Err(refused(format!("`{publisher}` is no publisher: the name has a meaning of its own")));
    }
    for word in [publisher, name] {
        if RUST_WORDS.contains(&word) {
            return Err(refused(format!("`{word}` is a word of Rust, so no module can be named by it")));
        }
    }
    let words: &[&str] = match language {
        Language::Rust => &[],
        Language::Python => &PYTHON_WORDS,
        Language::JavaScript => &JAVASCRIPT_WORDS,
    };
    if words.contains(&name) {
        return Err(refused(format!("`{name}` is a word of the language, so nothing can be named by it")));
    }
    if language == Language::Rust && CRATES.contains(&name) {
        return Err(refused(format!("`{name}` is the name of a crate that the project needs")));
    }
    Ok(id)
}

/// Names may be good for an id and yet no names of WIT: its own words, or words that begin with a digit.
fn check_wit(files: &BTreeMap<String, String>, id: &PluginId) -> Result<(), CommandError> {
    // A command has none.
    let Some(text) = files.get("wit/world.wit") else { return Ok(()) };
    let mut map = wit_parser::SourceMap::default();
    map.push_str("wit/world.wit", text);
    map.parse().map(drop).map_err(|_| {
        CommandError::new(Code::CommandLineInvalid, format!("`{id}` makes no names of WIT")).hint(
            "every word of a name begins with a letter, and none is a word of WIT such as `list` or `world`",
        )
    })
}

/// Whether the folder has to be made; refuses one in which there is something.
fn check_empty(dir: &Path) -> Result<bool, CommandError> {
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(CommandError::file(Code::FileUnwritable, "make a project in", dir, &error)),
        Ok(true) => Ok(false),
        Ok(false) => Err(CommandError::new(
            Code::FileUnwritable,
            format!("the folder `{}` is not empty", dir.display()),
        )
        .hint("name another folder: `loong plugins init NAME DIR`")),
    }
}

fn write(dir: &Path, files: &BTreeMap<String, String>) -> Result<(), CommandError> {
    for (name, text) in files {
        let path = dir.join(name);
        let failed = |error: std::io::Error| CommandError::file(Code::FileUnwritable, "write", &path, &error);
        std::fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(failed)?;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(failed)?;
    }
    Ok(())
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if text.bytes().all(plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[track_caller]
    fn check(publisher: &str, name: &str, expected: &str) {
        let made = id_of(publisher, name, Language::Rust).and_then(|id| {
            for kind in Kind::value_variants() {
                check_wit(&template::project(*kind, Language::Rust, &id), &id)?;
            }
            Ok(id.to_string())
        });
        assert_eq!(made.unwrap_or_else(|error| error.headline), expected);
    }

    #[test]
    fn takes_names_that_are_good_everywhere() {
        check("local", "word-count", "local:word-count");
        check("core", "sha256", "core:sha256");
    }

    #[test]
    fn refuses_names_that_mean_something_already() {
        check("loong", "x", "`loong` is no publisher: the name has a meaning of its own");
        check("unsigned", "x", "`unsigned` is no publisher: the name has a meaning of its own");
        check("local", "match", "`match` is a word of Rust, so no module can be named by it");
        check("local", "core", "`core` is the name of a crate that the project needs");
        check("local", "list", "`local:list` makes no names of WIT");
        check("local", "plugin", "`local:plugin` makes no names of WIT");
    }

    #[test]
    fn refuses_words_of_the_language() {
        assert!(id_of("local", "lambda", Language::Python).is_err());
        assert!(id_of("local", "lambda", Language::JavaScript).is_ok());
        assert!(id_of("local", "function", Language::JavaScript).is_err());
        assert!(id_of("local", "test", Language::Python).is_ok());
    }

    #[test]
    fn refuses_names_that_are_no_ids() {
        const FORM: &str =
            "is not a plugin id (`publisher:name`, lower-case letters, digits and single hyphens)";
        check("local", "Word", &format!("`local:Word` {FORM}"));
        check("local", "../x", &format!("`local:../x` {FORM}"));
        check("", "x", &format!("`:x` {FORM}"));
    }

    #[test]
    fn quotes_what_a_shell_would_take_apart() {
        assert_eq!(quoted("a/b-c.d"), "a/b-c.d");
        assert_eq!(quoted("it's here"), "'it'\\''s here'");
    }
}
