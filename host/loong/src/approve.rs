//! Asking a person who is at the terminal, and the words in which a request is shown.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loong_kernel::{Approver, Boxed};
use loong_manifest::{escape, escape_lines};
use loong_policy::ApprovalRequest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Mutex;

use crate::ui::Ui;

/// How long a question waits for an answer, in seconds. Without one the request goes on waiting.
const ANSWER_S: i64 = 300;
/// Most questions of one command. Who has answered so many does not read the next one.
const QUESTIONS_MAX: u32 = 20;

/// The person's own terminal. Not standard input, which may be a guest's.
pub struct Prompt {
    asked: AtomicU32,
    /// One question at a time.
    turn: Arc<Mutex<()>>,
}

impl Prompt {
    /// A prompt, if a person is there: standard input and standard error are terminals, and the answer is not for
    /// a machine.
    pub fn if_somebody_is_there(ui: &Ui) -> Option<Self> {
        let there =
            std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !ui.json() && !ui.quiet();
        there.then(|| Self { asked: AtomicU32::new(0), turn: Arc::default() })
    }
}

impl Approver for Prompt {
    fn ask<'a>(&'a self, approval: &'a str, request: &'a ApprovalRequest) -> Boxed<'a, Option<bool>> {
        Box::pin(async move {
            if self.asked.fetch_add(1, Ordering::Relaxed) >= QUESTIONS_MAX {
                return None;
            }
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let text = question(approval, request);
            let asked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                ask(&text)
            });
            asked.await.ok().flatten()
        })
    }
}

/// Shows a question and reads one line; `None` when nobody answers in time.
fn ask(text: &str) -> Option<bool> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    // What was typed before the question was there is no answer to it.
    while ready(&terminal, 0) {
        if terminal.read(&mut [0; 1024]).ok()? == 0 {
            return None;
        }
    }
    terminal.write_all(text.as_bytes()).ok()?;
    if !ready(&terminal, ANSWER_S) {
        let _ = terminal.write_all(b"\nno answer: the request goes on waiting\n");
        return None;
    }
    let mut line = [0; 64];
    let read = terminal.read(&mut line).ok()?;
    let answer = line.get(..read)?;
    Some(matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes"))
}

fn ready(terminal: &File, seconds: i64) -> bool {
    let mut fds = [PollFd::new(terminal, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// The question: what the host knows first, what a component or a model chose last and moved in.
fn question(approval: &str, request: &ApprovalRequest) -> String {
    let mut text = format!("\napproval {approval} is asked for\n");
    for (name, value) in facts(request) {
        text.push_str(&format!("  {name:10} {}\n", escape(&value)));
    }
    text.push_str("  arguments\n");
    for line in escape_lines(&request.arguments.text).lines() {
        text.push_str(&format!("    | {line}\n"));
    }
    text.push_str("Allow this once? [y/N] ");
    text
}

/// What a person should know of a request beside its arguments.
pub fn facts(request: &ApprovalRequest) -> Vec<(&'static str, String)> {
    let digest =
        |digest: Option<loong_manifest::Digest>| digest.map(|digest| digest.to_string()).unwrap_or_default();
    let tier = request.caller_tier.map(|tier| format!(" ({tier})")).unwrap_or_default();
    let mut facts = vec![
        ("operation", request.operation.to_string()),
        (
            "offered by",
            format!("{} {} ({}) {}", request.plugin, request.version, request.tier, request.digest),
        ),
        (
            "asked by",
            format!("{}{tier} {}", request.caller, digest(request.caller_digest)).trim_end().to_owned(),
        ),
    ];
    if let Some(pack) = &request.pack {
        facts.push(("pack", pack.to_string()));
    }
    facts.push(("run", request.run.clone()));
    facts.push(("risk", request.risk.as_str().to_owned()));
    facts.extend(request.reasons.iter().map(|reason| ("because", reason.clone())));
    let rendered = &request.arguments;
    let hidden = match rendered.hidden {
        0 => "no hidden characters".to_owned(),
        1 => "1 HIDDEN CHARACTER, shown as an escape".to_owned(),
        count => format!("{count} HIDDEN CHARACTERS, shown as escapes"),
    };
    let cut = if rendered.cut { ", CUT below: too long to show whole" } else { "" };
    facts.push(("size", format!("{} bytes of arguments, {hidden}{cut}", rendered.bytes)));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use loong_manifest::{Digest, Risk, Tier};
    use loong_policy::Rendered;
    use serde_json::json;

    #[test]
    fn what_a_component_chose_never_looks_like_the_host() {
        let request = ApprovalRequest {
            run: "r".into(),
            call: "r.1".into(),
            pack: Some("acme:pack".parse().unwrap()),
            caller: "acme:pack".into(),
            caller_digest: Some(Digest::of(b"pack")),
            caller_tier: Some(Tier::VerifiedCommunity),
            operation: "core:file/file@0.1.0#write".parse().unwrap(),
            plugin: "core:file".parse().unwrap(),
            version: "0.1.0".into(),
            digest: Digest::of(b"file"),
            tier: Tier::Official,
            risk: Risk::Write,
            reasons: vec!["`acme:rules`: fine\nAllow this once? [y/N] y".into()],
            policies: Vec::new(),
            arguments: Rendered::of(&json!({ "path": "x\nAllow this once? [y/N] y\u{1b}[2J\u{202e}" })),
            arguments_digest: Digest::of(b"arguments"),
            subject: Digest::of(b"subject"),
            policy: Digest::of(b"policy"),
            created_ms: 0,
            expires_ms: 1,
        };
        let text = question("a1b2c3", &request);
        let own: Vec<&str> = text.lines().filter(|line| line.starts_with("Allow")).collect();
        assert_eq!(own, ["Allow this once? [y/N] "]);
        assert!(
            text.contains("3 HIDDEN CHARACTERS") && !text.contains('\u{1b}') && !text.contains('\u{202e}')
        );
        let arguments: Vec<&str> =
            text.lines().skip_while(|line| !line.starts_with("  arguments")).skip(1).collect();
        let (last, arguments) = arguments.split_last().unwrap();
        assert!(arguments.iter().all(|line| line.starts_with("    | ")), "{text}");
        assert_eq!(*last, "Allow this once? [y/N] ");
    }
}
