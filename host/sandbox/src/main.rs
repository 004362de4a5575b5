//! `loong-sandbox PLAN PROGRAM [ARGUMENT...]`: confines itself as the plan says and becomes the program.
//!
//! A program of its own, so that the host runs no code between fork and exec. It says in one line what is enforced
//! and waits for the host to write that down: only when a line end comes on standard input does the program start.
//! `loong-sandbox --probe TIER` says what this machine can enforce.
//!
//! Exit codes: those of the program · 70 it was not started · 126 it cannot be run.

#![expect(clippy::print_stdout, reason = "this program speaks to the host through its standard streams")]
#![expect(clippy::print_stderr, reason = "this program speaks to the host through its standard streams")]

mod files;
mod filter;
mod limits;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use loong_manifest::{Confinement, ExecutionTier, SandboxPlan, SandboxReport};

/// The program was not started.
const NOT_STARTED: u8 = 70;
/// The program cannot be run.
const CANNOT_RUN: u8 = 126;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let plan = arguments.next().and_then(|plan| plan.into_string().ok());
    match (plan.as_deref(), arguments.next()) {
        (Some("--probe"), Some(tier)) => match tier.to_str().and_then(plan_of) {
            Some(plan) => {
                report(&confined(&plan));
                ExitCode::SUCCESS
            }
            None => usage(),
        },
        (Some(plan), Some(program)) => match serde_json::from_str(plan) {
            Ok(plan) => start(&plan, program, arguments),
            Err(error) => {
                report(&SandboxReport::Failed(format!("the plan cannot be read: {error}")));
                ExitCode::from(NOT_STARTED)
            }
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: loong-sandbox PLAN PROGRAM [ARGUMENT...] | loong-sandbox --probe TIER");
    ExitCode::from(2)
}

/// The plan of a program that is granted nothing.
fn plan_of(tier: &str) -> Option<SandboxPlan> {
    let tiers = [ExecutionTier::Restricted, ExecutionTier::Balanced, ExecutionTier::Trusted];
    let execution_tier = tiers.into_iter().find(|known| known.as_str() == tier)?;
    Some(SandboxPlan { execution_tier, read: Vec::new(), write: Vec::new(), deadline_s: 1 })
}

fn start(plan: &SandboxPlan, program: OsString, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let said = confined(plan);
    report(&said);
    let SandboxReport::Ready(_) = said else { return ExitCode::from(NOT_STARTED) };
    // One byte and no more: what follows is for the program. `Stdin` would read ahead.
    let mut go = [0];
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
    match stdin.and_then(|mut stdin| stdin.read_exact(&mut go)) {
        Ok(()) if go == *b"\n" => {}
        _ => return ExitCode::from(NOT_STARTED),
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("cannot be run: {error}");
    ExitCode::from(CANNOT_RUN)
}

/// Confines this process. What fails is missing, and missing something may be enough to refuse.
fn confined(plan: &SandboxPlan) -> SandboxReport {
    let tier = plan.execution_tier;
    let mut confinement = Confinement { execution_tier: tier, enforced: Vec::new(), missing: Vec::new() };
    let mut note = |what: &str, holds: bool| {
        let list = if holds { &mut confinement.enforced } else { &mut confinement.missing };
        list.push(what.to_owned());
    };
    // In this order: the filter at the end forbids what the others need.
    note("rlimits", limits::set(tier, plan.deadline_s));
    let processes = limits::set_processes(tier);
    let (no_new_privs, abi) = files::no_new_privs();
    note("no_new_privs", no_new_privs);
    if tier != ExecutionTier::Trusted {
        match files::restrict(plan) {
            Ok(()) if abi >= files::ABI_MIN => note(&format!("landlock:{abi}"), true),
            Ok(()) if abi > 0 => {
                note(&format!("landlock:{abi}"), true);
                note(&format!("landlock:{}", files::ABI_MIN), false);
            }
            _ => note("landlock", false),
        }
        let filtered = filter::install(tier);
        note("seccomp", filtered);
        note("processes", if tier == ExecutionTier::Restricted { filtered } else { processes });
    }
    if confinement.is_enough() {
        SandboxReport::Ready(confinement)
    } else {
        SandboxReport::Refused(confinement)
    }
}

fn report(report: &SandboxReport) {
    let line = serde_json::to_string(report).unwrap_or_default();
    println!("{line}");
    let _ = std::io::stdout().flush();
}
