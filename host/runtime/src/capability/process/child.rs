//! One program from its start to its end: `loong-sandbox` first, then the program in its place.

use std::process::ExitStatus;
use std::time::Duration;

use loong_manifest::SandboxReport;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use super::super::HostError;
use super::failed;
use crate::bindings::host::{process, types};

/// Longest report of the sandbox, in bytes. It is one line of some words.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// A program that is confined and waits for the word to start.
pub(super) struct Child {
    group: Group,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    until: Instant,
    allowed: Duration,
}

impl Child {
    /// Starts the sandbox, and returns when it has said what is enforced.
    pub(super) async fn start(
        mut command: Command,
        allowed: Duration,
    ) -> Result<(Self, SandboxReport), HostError> {
        let until = Instant::now() + allowed;
        let child = command.spawn().map_err(|error| failed(&format!("loong-sandbox: {}", error.kind())))?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut group = Group { child, leader };
        let (Some(input), Some(mut output), Some(errors)) =
            (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take())
        else {
            return Err(failed("it has no standard streams"));
        };
        let report = timeout_at(until, report(&mut output)).await.map_err(|_| late(allowed))?;
        Ok((Self { group, input, output, errors, until, allowed }, report))
    }

    /// Lets the program start, and runs it to its end or its deadline.
    pub(super) async fn run(self, stdin: Vec<u8>, kept: u64) -> Result<process::Output, HostError> {
        let Self { mut group, mut input, output, errors, until, allowed } = self;
        let write = async move {
            // A program that does not read its input closes the pipe; that is its choice.
            if input.write_all(b"\n").await.is_ok() {
                let _ = input.write_all(&stdin).await;
            }
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
        match timeout_at(until, work).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(types::Error::Unavailable(error.kind().to_string()).into()),
            Err(_) => {
                drop(group);
                Err(late(allowed))
            }
        }
    }
}

fn late(allowed: Duration) -> HostError {
    types::Error::Deadline(u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX)).into()
}

/// The first line, which is of the sandbox: the program that comes after it has not started.
async fn report(from: &mut ChildStdout) -> SandboxReport {
    let mut line = Vec::new();
    let mut bytes = from.take(REPORT_BYTES_MAX);
    while !line.ends_with(b"\n") && matches!(bytes.read_buf(&mut line).await, Ok(1..)) {}
    serde_json::from_slice(&line)
        .unwrap_or_else(|error| SandboxReport::Failed(format!("loong-sandbox said nothing: {error}")))
}

/// Ends a program and its children when it is dropped, whatever the reason.
struct Group {
    child: tokio::process::Child,
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
