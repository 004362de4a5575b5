//! Shows what plugins print and log while they work.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use loong_manifest::{PluginId, escape};
use loong_runtime::{Channel, Watch};

/// Prints to the terminal of the person who started the run.
pub struct Terminal {
    verbose: bool,
    quiet: bool,
    stdout_is_terminal: bool,
    /// What was printed on standard output, where nobody is shown it.
    printed: Option<Mutex<Vec<u8>>>,
    /// The last bytes of each plugin that are not yet a whole character or line.
    rest: Mutex<BTreeMap<(PluginId, &'static str), Vec<u8>>>,
}

/// Most of a plugin's standard output that is kept where nobody is shown it, in bytes.
const PRINTED_BYTES_MAX: usize = 4 << 20;
/// Longest line of a plugin that is kept back until its end, in bytes.
const LINE_BYTES_MAX: usize = 4096;

impl Terminal {
    /// `verbose` shows every message, `quiet` none that is not the plugin's standard output.
    pub fn new(verbose: bool, quiet: bool) -> Self {
        use std::io::IsTerminal;
        let stdout_is_terminal = std::io::stdout().is_terminal();
        Self { verbose, quiet, stdout_is_terminal, printed: None, rest: Mutex::new(BTreeMap::new()) }
    }

    /// Shows nothing, and keeps what is printed on standard output.
    pub fn keeping() -> Self {
        Self { printed: Some(Mutex::new(Vec::new())), ..Self::new(false, true) }
    }

    /// What was printed on standard output, as far as it is kept.
    pub fn printed(&self) -> Vec<u8> {
        let printed = self.printed.as_ref();
        printed
            .map(|printed| printed.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// Whole lines of what a plugin printed; the rest is kept until more comes.
    fn lines(&self, plugin: &PluginId, name: &'static str, bytes: &[u8]) -> Vec<String> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = rest.entry((plugin.clone(), name)).or_default();
        kept.extend_from_slice(bytes);
        let end = match kept.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if kept.len() > LINE_BYTES_MAX => kept.len(),
            None => return Vec::new(),
        };
        let whole: Vec<u8> = kept.drain(..end).collect();
        String::from_utf8_lossy(&whole).lines().map(escape).collect()
    }

    /// What was kept back, once nothing more can come.
    pub fn flush(&self) {
        let kept = std::mem::take(&mut *self.rest.lock().unwrap_or_else(PoisonError::into_inner));
        for ((plugin, name), bytes) in kept {
            if !bytes.is_empty() {
                self.show(&plugin, name, &escape(&String::from_utf8_lossy(&bytes)));
            }
        }
    }

    /// Something of the host itself that may need an action.
    pub fn warn(&self, problem: &str) {
        if !self.quiet {
            // When standard error is gone, nobody is left to tell.
            let _ = writeln!(std::io::stderr().lock(), "warning: {}", escape(problem));
        }
    }

    /// Every line with the plugin's name, so that none of them can pass for the host's.
    fn message(&self, plugin: &PluginId, level: &str, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines() {
            self.show(plugin, level, &escape(line));
        }
    }

    fn show(&self, plugin: &PluginId, name: &str, line: &str) {
        // When the terminal is gone, there is nobody left to show it to.
        if name == "stdout" {
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        } else {
            let _ = writeln!(std::io::stderr().lock(), "{plugin} {name}: {line}");
        }
    }
}

impl Watch for Terminal {
    fn text(&self, plugin: &PluginId, channel: Channel, bytes: &[u8]) {
        if let (Channel::Stdout, Some(printed)) = (channel, &self.printed) {
            let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
            let room = PRINTED_BYTES_MAX.saturating_sub(printed.len());
            printed.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            return;
        }
        let name = match channel {
            // A pipe gets a command's output as it is: it may not be text.
            Channel::Stdout if !self.stdout_is_terminal => {
                let _ = std::io::stdout().lock().write_all(bytes);
                return;
            }
            Channel::Stdout => "stdout",
            Channel::Stderr if !self.quiet => "stderr",
            Channel::Log(level @ ("warn" | "error")) if !self.quiet => {
                return self.message(plugin, level, bytes);
            }
            Channel::Log(level) if self.verbose => return self.message(plugin, level, bytes),
            Channel::Stream if self.verbose => "stream",
            Channel::Stderr | Channel::Log(_) | Channel::Stream => return,
        };
        for line in self.lines(plugin, name, bytes) {
            self.show(plugin, name, &line);
        }
    }
}
