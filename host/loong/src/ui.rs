//! The terminal: data goes to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use loong_manifest::{escape, escape_json, escape_lines};
use serde::Serialize;

use crate::Global;
use crate::error::CommandError;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What commands print with.
pub struct Ui {
    json: bool,
    verbose: bool,
    quiet: bool,
    color: bool,
    stdout_is_terminal: bool,
    /// The other end of standard output was closed; whoever reads has seen enough.
    closed: bool,
    /// The answer was printed as JSON; what comes after is for people only.
    answered: bool,
    /// Standard output failed otherwise, a full disk for instance.
    failed: Option<std::io::Error>,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let stderr_is_terminal = std::io::stderr().is_terminal();
        #[expect(
            clippy::disallowed_methods,
            reason = "the terminal's settings are read here and nowhere else"
        )]
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match global.color {
            Color::Auto => stderr_is_terminal && !no_color,
            Color::Always => true,
            Color::Never => false,
        };
        Self {
            json: global.json,
            verbose: global.verbose,
            quiet: global.quiet,
            color,
            stdout_is_terminal: std::io::stdout().is_terminal(),
            closed: false,
            answered: false,
            failed: None,
        }
    }

    /// Whether it shows nothing.
    pub const fn is_silent(&self) -> bool {
        self.closed && self.answered
    }

    /// One that shows nothing, for what is done on the way to an answer.
    pub const fn silent(&self) -> Self {
        Self {
            json: true,
            verbose: false,
            quiet: true,
            color: false,
            stdout_is_terminal: false,
            closed: true,
            answered: true,
            failed: None,
        }
    }

    /// Whether the answer is wanted as JSON.
    pub const fn json(&self) -> bool {
        self.json
    }

    /// Whether more than usual is to be shown.
    pub const fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether nothing but errors is to be shown on standard error.
    pub const fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether whoever reads the answer has gone, although nothing may have been written since.
    pub fn closed(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdout = std::io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let gone = poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        self.closed || self.failed.is_some() || gone
    }

    /// Lines of the answer in columns as wide as their widest cell. Control characters are shown, not obeyed.
    pub fn table(&mut self, indent: usize, rows: &[Vec<String>]) {
        for line in columns(rows) {
            self.line(format!("{:indent$}{line}", ""));
        }
    }

    /// A line of the answer. Control characters in it are shown, not obeyed.
    pub fn line(&mut self, text: impl AsRef<str>) {
        let mut text = escape_lines(text.as_ref());
        text.push('\n');
        self.write(text.as_bytes());
    }

    /// The answer as one JSON document with a `schema` field.
    pub fn document(&mut self, schema: &str, value: &impl Serialize) {
        let text =
            self.with_schema(schema, value).and_then(|document| serde_json::to_string_pretty(&document));
        self.json_text(text);
    }

    /// A result of a plugin, as JSON without a `schema` field.
    pub fn result(&mut self, value: &serde_json::Value) {
        self.json_text(serde_json::to_string_pretty(value));
    }

    /// One of many JSON documents, on a line of its own.
    pub fn json_line(&mut self, schema: &str, value: &impl Serialize) {
        let text = self.with_schema(schema, value).and_then(|document| serde_json::to_string(&document));
        self.json_text(text);
    }

    fn with_schema(&mut self, schema: &str, value: &impl Serialize) -> serde_json::Result<serde_json::Value> {
        self.answered = true;
        let mut document = serde_json::Map::from_iter([("schema".to_owned(), schema.into())]);
        match serde_json::to_value(value)? {
            serde_json::Value::Object(members) => document.extend(members),
            other => drop(document.insert("value".into(), other)),
        }
        Ok(document.into())
    }

    fn json_text(&mut self, text: serde_json::Result<String>) {
        match text {
            Ok(text) => self.write(format!("{}\n", escape_json(&text)).as_bytes()),
            Err(error) => self.failed = Some(std::io::Error::other(error)),
        }
    }

    /// Bytes that a plugin made. On a terminal they are shown without effect; a pipe gets them as they are.
    pub fn plugin_output(&mut self, bytes: &[u8]) {
        if self.stdout_is_terminal {
            let text = escape_lines(&String::from_utf8_lossy(bytes));
            self.write(text.as_bytes());
        } else {
            self.write(bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.closed || self.failed.is_some() {
            return;
        }
        match std::io::stdout().lock().write_all(bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => self.failed = Some(error),
        }
    }

    /// Something the person should know, on standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.complain(&escape_lines(text.as_ref()));
        }
    }

    /// Something that may need an action, on standard error.
    pub fn warning(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let label = self.paint("warning:", "1;33");
            self.complain(&format!("{label} {}", escape_lines(text.as_ref())));
        }
    }

    /// Lets a person who is there stop a change that was just shown. Without one, or with `yes`, it goes on.
    pub fn confirm(&self, change: &str, yes: bool) -> Result<(), CommandError> {
        if yes || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Ok(());
        }
        // When standard error is gone, no answer will be `y`.
        let _ = write!(std::io::stderr().lock(), "{}. Go on? [y/N] ", escape_lines(change));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(CommandError::new(loong_manifest::Code::ApprovalRequired, "nothing was changed")
            .hint("`--yes` skips the question"))
    }

    /// Facts, then blame, then a hint; as JSON too when that is wanted.
    pub fn error(&mut self, error: &CommandError) {
        if self.json && !self.answered {
            let document = serde_json::json!({ "error": error });
            self.document("loong.error/1", &document);
        }
        let mut text =
            format!("{} {} [{}]", self.paint("error:", "1;31"), inner_lines(&error.headline), error.code);
        for detail in &error.details {
            text.push_str("\n  ");
            text.push_str(&inner_lines(detail));
        }
        if let Some(hint) = &error.hint {
            text.push_str(&format!("\n\n{} {}", self.paint("hint:", "1;36"), escape_lines(hint)));
        }
        self.complain(&text);
    }

    /// A spinner for work that takes longer than a moment; nothing where nobody watches.
    pub fn spinner(&self) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        ProgressBar::no_length().with_style(style)
    }

    /// The exit code once everything was printed.
    pub fn finish(&self) -> ExitCode {
        match &self.failed {
            None => ExitCode::SUCCESS,
            Some(error) => {
                self.complain(&format!(
                    "error: standard output cannot be written: {error} [file_unwritable]"
                ));
                ExitCode::from(loong_manifest::Code::FileUnwritable.blame().exit_code())
            }
        }
    }

    fn complain(&self, text: &str) {
        // When standard error is gone, there is nobody left to tell.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn paint(&self, text: &str, style: &str) -> String {
        if self.color { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Text that may be a plugin's, with its further lines moved in: at the left only the host speaks.
fn inner_lines(text: &str) -> String {
    escape_lines(text).replace('\n', "\n    ")
}

/// Rows as lines whose columns begin below each other. The last cell of a row is not padded.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > column + 1).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or_default()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{columns, inner_lines};

    #[test]
    fn a_plugin_cannot_write_lines_that_look_like_the_hosts() {
        assert_eq!(inner_lines("no\n\nhint: run\u{1b}[1m x"), "no\n    \n    hint: run\\u{1b}[1m x");
    }

    #[test]
    fn columns_begin_below_each_other_and_cells_stay_on_their_line() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["a", "ökü", "x"]), row(&["bbb", "", "y\nz"]), row(&["a long one by itself"])];
        assert_eq!(columns(&rows), ["a    ökü  x", "bbb       y\\nz", "a long one by itself"]);
    }
}
