//! `loong:host/process`: programs of the machine, run to their end without a shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use loong_manifest::{Access, Code, Digest, ExecutionTier, SandboxPlan, SandboxReport};
use loong_policy::{FolderGrant, Grants};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use self::child::Child;
use self::folder::OwnFolder;
use super::{HostError, denied, limited, once};
use crate::bindings::host::{process, types};
use crate::guest::Guest;

mod child;
mod folder;

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
            None => None,
            Some(folder) => match inside(&plugin.grants, folder) {
                Ok(path) => Some(path),
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

        let maximum = plugin.limits.process_output_bytes_max;
        let kept = request.output_bytes_max.map_or(maximum, |asked| asked.min(maximum));
        let left = self.nested.deadline().saturating_duration_since(Instant::now());
        let allowed = request.deadline_ms.map_or(left, |asked| left.min(Duration::from_millis(asked.into())));
        let work = async {
            let programs = &self.services.programs;
            let tier = plugin.confinement.execution_tier;
            // Dropped last: when nothing runs in it any more.
            let own = match tier {
                ExecutionTier::Trusted => None,
                ExecutionTier::Restricted | ExecutionTier::Balanced => {
                    Some(OwnFolder::make(&programs.own_folders).map_err(|error| failed(&error.to_string()))?)
                }
            };
            let own_path = own.as_ref().map(OwnFolder::path);
            let plan = plan(&plugin.grants.folders, tier, own_path, allowed);
            let mut command = Command::new(&programs.sandbox);
            command
                .arg(serde_json::to_string(&plan).map_err(|error| failed(&error.to_string()))?)
                .arg(program)
                .args(&request.arguments)
                .current_dir(folder.as_deref().or(own_path).unwrap_or(&programs.empty_folder))
                .env_clear()
                .env("PATH", SEARCH_PATH)
                .env("LANG", "C.UTF-8")
                .envs(own_path.map(|path| ("TMPDIR", path)))
                .envs(&pattern.environment)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // A group of its own, so that its children can be ended with it.
                .process_group(0)
                .kill_on_drop(true);
            let (child, report) = Child::start(command, allowed).await?;
            match report {
                SandboxReport::Ready(mut confinement) => {
                    confinement.enforced.insert(0, "environment".to_owned());
                    self.nested.effect("process", target, confinement).await?;
                }
                SandboxReport::Refused(confinement) => {
                    let reason = format!("this machine cannot confine it: {confinement}");
                    self.nested.unconfined("process", target.clone(), confinement).await?;
                    return Err(denied(Code::ConfinementUnavailable, &target, &reason));
                }
                SandboxReport::Failed(problem) => return Err(failed(&problem)),
            }
            child.run(request.stdin.unwrap_or_default(), kept).await.map(Ended::from)
        };
        once(&self.nested, "process", &[what.as_bytes(), digest.as_bytes()], work).await.map(Ended::into)
    }
}

/// How a program is to be confined: it reaches the folders of its plugin, and one of its own. Pure but for the links
/// in the paths of the folders.
fn plan(granted: &[FolderGrant], tier: ExecutionTier, own: Option<&Path>, allowed: Duration) -> SandboxPlan {
    let folders = |access| {
        // What is trusted reaches every folder of the person.
        let named = move |granted: &&FolderGrant| tier != ExecutionTier::Trusted && granted.access == access;
        let granted = granted.iter().filter(named);
        granted.filter_map(|granted| granted.host.canonicalize().ok())
    };
    SandboxPlan {
        execution_tier: tier,
        read: folders(Access::Read).collect(),
        write: folders(Access::Write).chain(own.map(Path::to_owned)).collect(),
        deadline_s: allowed.as_secs().saturating_add(1),
    }
}

/// A program that could not be started.
fn failed(message: &str) -> HostError {
    types::Error::Failed(types::Failure { code: "process-failed".into(), message: message.to_owned() }).into()
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

    #[test]
    fn a_plan_names_the_granted_folders_and_the_own_one() {
        let folder =
            |name: &str, host: &str, access| FolderGrant { name: name.into(), host: host.into(), access };
        let folders = vec![
            folder("read", "/usr", Access::Read),
            folder("write", "/dev", Access::Write),
            folder("gone", "/does/not/exist", Access::Write),
        ];
        let planned = |tier, own, allowed_ms| {
            let plan = plan(&folders, tier, own, Duration::from_millis(allowed_ms));
            (plan.execution_tier, plan.read, plan.write, plan.deadline_s)
        };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let trusted = (ExecutionTier::Trusted, paths(&[]), paths(&[]), 1);
        assert_eq!(planned(ExecutionTier::Trusted, None, 0), trusted);
        let restricted = (ExecutionTier::Restricted, paths(&["/usr"]), paths(&["/dev", "/own"]), 3);
        assert_eq!(planned(ExecutionTier::Restricted, Some(Path::new("/own")), 2_500), restricted);
    }
}
