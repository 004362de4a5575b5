//! `loong:host/process`: programs of the machine, run to their end without a shell.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use loong_manifest::{Code, Digest};
use loong_policy::Grants;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{HostError, denied, invalid, limited, once};
use crate::bindings::host::{process, types};
use crate::guest::Guest;

/// Where programs are looked up; the same for every plugin and every user.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl process::Host for Guest {
    async fn run(&mut self, request: process::Request) -> Result<process::Output, HostError> {
        let plugin = std::sync::Arc::clone(self.nested.plugin());
        let target = target(&request);
        let Some(pattern) = plugin.grants.command(&request.command, &request.arguments) else {
            self.nested.refused("process", target.clone(), Code::CapabilityDenied).await?;
            return Err(denied(
                Code::CapabilityDenied,
                &target,
                "no granted pattern covers this command line",
            ));
        };
        let folder = match &request.folder {
            None => self.services.empty_folder.to_path_buf(),
            Some(folder) => match inside(&plugin.grants, folder) {
                Ok(path) => path,
                Err(reason) => {
                    self.nested.refused("process", target, Code::CapabilityDenied).await?;
                    return Err(denied(Code::CapabilityDenied, folder, reason));
                }
            },
        };
        let processes = self.spent.processes + 1;
        if processes > plugin.limits.processes_max {
            return Err(limited("processes", u64::from(plugin.limits.processes_max), u64::from(processes)));
        }
        self.spent.processes = processes;
        let program =
            find(&request.command).ok_or_else(|| types::Error::NotFound(request.command.clone()))?;
        let digest = Digest::of(request.stdin.as_deref().unwrap_or_default());
        let what = (target.clone(), request.output_bytes_max, request.deadline_ms);
        let what = format!("{what:?}");

        let mut command = Command::new(program);
        command
            .args(&request.arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("LANG", "C.UTF-8")
            .envs(&pattern.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that its children can be ended with it.
            .process_group(0)
            .kill_on_drop(true);
        let maximum = plugin.limits.process_output_bytes_max;
        let kept = request.output_bytes_max.map_or(maximum, |asked| asked.min(maximum));
        let left = self.nested.deadline().saturating_duration_since(Instant::now());
        let allowed = request.deadline_ms.map_or(left, |asked| left.min(Duration::from_millis(asked.into())));
        let work = async {
            self.nested.effect("process", target).await?;
            run(command, request.stdin.unwrap_or_default(), kept, allowed).await.map(Ended::from)
        };
        once(&self.nested, "process", &[what.as_bytes(), digest.as_bytes()], work).await.map(Ended::into)
    }
}

/// How a program ended, as the journal of a run keeps it.
#[derive(Serialize, Deserialize)]
struct Ended {
    exited: bool,
    status: u32,
    #[serde(with = "super::base64_text")]
    stdout: Vec<u8>,
    #[serde(with = "super::base64_text")]
    stderr: Vec<u8>,
    stdout_truncated: bool,
    stderr_truncated: bool,
}

impl From<process::Output> for Ended {
    fn from(output: process::Output) -> Self {
        let (exited, status) = match output.status {
            process::Status::Exited(status) => (true, status),
            process::Status::Signalled(signal) => (false, signal),
        };
        let process::Output { stdout, stderr, stdout_truncated, stderr_truncated, .. } = output;
        Self { exited, status, stdout, stderr, stdout_truncated, stderr_truncated }
    }
}

impl From<Ended> for process::Output {
    fn from(ended: Ended) -> Self {
        let status = ended.status;
        let status =
            if ended.exited { process::Status::Exited(status) } else { process::Status::Signalled(status) };
        let Ended { stdout, stderr, stdout_truncated, stderr_truncated, .. } = ended;
        Self { status, stdout, stderr, stdout_truncated, stderr_truncated }
    }
}

/// The command line and its folder as they are recorded: no two look the same, and what is cut off to fit a line
/// is still bound by a digest of the whole.
fn target(request: &process::Request) -> String {
    let mut line = String::new();
    for word in std::iter::once(&request.command).chain(&request.arguments) {
        let plain = |character: char| !character.is_whitespace() && !matches!(character, '"' | '\\');
        let quoted = word.is_empty() || !word.chars().all(plain);
        line.push_str(&if quoted { format!("{word:?} ") } else { format!("{word} ") });
    }
    if let Some(folder) = &request.folder {
        line.push_str(&format!("in {folder:?}"));
    }
    let (line, said) = (line.trim_end(), crate::fault::said(line.trim_end()));
    if said == loong_manifest::escape(line) {
        said
    } else {
        format!("{said}… {}", Digest::of(line.as_bytes()))
    }
}

/// The host's path of a folder inside a granted one, symbolic links resolved.
fn inside(grants: &Grants, folder: &str) -> Result<PathBuf, &'static str> {
    const OUTSIDE: &str = "the folder is not inside a granted one";
    let rest = folder.strip_prefix('/').ok_or(OUTSIDE)?;
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let granted = grants.folders.iter().find(|granted| granted.name == name).ok_or(OUTSIDE)?;
    let root = granted.host.canonicalize().map_err(|_| "the granted folder cannot be read")?;
    let path = root.join(rest).canonicalize().map_err(|_| "the folder does not exist")?;
    if path.starts_with(&root) && path.is_dir() { Ok(path) } else { Err(OUTSIDE) }
}

/// Looks a program up by its plain name.
fn find(command: &str) -> Option<PathBuf> {
    if command.contains('/') {
        return None;
    }
    SEARCH_PATH.split(':').map(|folder| Path::new(folder).join(command)).find(|path| path.is_file())
}

/// Ends a program and its children when it is dropped, whatever the reason.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    /// Waits until the program has ended, and ends the children that it leaves behind. Before it is reaped,
    /// because until then its number is nobody else's.
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(leader) = self.leader {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let ended = tokio::task::spawn_blocking(move || waitid(WaitId::Pid(leader), options));
            ended.await.map_err(std::io::Error::other)??;
            let _ = kill_process_group(leader, Signal::KILL);
            self.leader = None;
        }
        self.child.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It fails only when the whole group has ended already.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn run(
    mut command: Command,
    stdin: Vec<u8>,
    kept: u64,
    allowed: Duration,
) -> Result<process::Output, HostError> {
    let child = command.spawn().map_err(|error| {
        types::Error::Failed(types::Failure {
            code: "process-failed".into(),
            message: error.kind().to_string(),
        })
    })?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group { child, leader };
    let (Some(mut input), Some(output), Some(errors)) =
        (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take())
    else {
        return Err(invalid("command", "has no standard streams"));
    };
    let write = async move {
        // A program that does not read its input closes the pipe; that is its choice.
        let _ = input.write_all(&stdin).await;
        drop(input);
    };
    let work = async {
        let (status, (), (stdout, stdout_truncated), (stderr, stderr_truncated)) =
            tokio::join!(group.wait(), write, read(output, kept), read(errors, kept));
        status.map(|status| process::Output {
            status: how(status),
            stdout,
            stderr,
            stdout_truncated,
            stderr_truncated,
        })
    };
    match tokio::time::timeout(allowed, work).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(types::Error::Unavailable(error.kind().to_string()).into()),
        Err(_) => {
            drop(group);
            Err(types::Error::Deadline(u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX)).into())
        }
    }
}

fn how(status: ExitStatus) -> process::Status {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => process::Status::Exited(code.unsigned_abs()),
        (None, signal) => process::Status::Signalled(signal.unwrap_or_default().unsigned_abs()),
    }
}

/// Keeps the first `kept` bytes and throws the rest away, so that the program can end.
async fn read(mut from: impl AsyncRead + Unpin, kept: u64) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut truncated = false;
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        let room = usize::try_from(kept).unwrap_or(usize::MAX).saturating_sub(bytes.len());
        let chunk = buffer.get(..count).unwrap_or_default();
        bytes.extend_from_slice(chunk.get(..room.min(count)).unwrap_or_default());
        truncated |= room < count;
    }
    (bytes, truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], folder: Option<&str>, expected: &str) {
        let mut words = words.iter().map(|&word| word.to_owned());
        let request = process::Request {
            command: words.next().unwrap(),
            arguments: words.collect(),
            folder: folder.map(str::to_owned),
            stdin: None,
            output_bytes_max: None,
            deadline_ms: None,
        };
        assert_eq!(target(&request), expected);
    }

    #[test]
    fn different_command_lines_are_recorded_differently() {
        check(&["git", "log", "--format=%H"], None, "git log --format=%H");
        check(&["git", "a b"], Some("/workspace"), r#"git "a b" in "/workspace""#);
        check(&["git", "a", "b", "in", r#""/workspace""#], None, r#"git a b in "\"/workspace\"""#);
        check(&["git", "", "\u{1b}"], None, r#"git "" \u{1b}"#);
    }

    #[test]
    fn what_is_cut_off_is_bound_by_a_digest() {
        let long = "x".repeat(600);
        let digest = Digest::of(format!("git {long} --tail").as_bytes());
        check(&["git", &long, "--tail"], None, &format!("git {}… {digest}", "x".repeat(496)));
    }
}
