//! The program as the host starts it, with kernels that have everything and with such that lack something.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use loong_manifest::{Confinement, ExecutionTier, SandboxPlan, SandboxReport};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};

const SANDBOX: &str = env!("CARGO_BIN_EXE_loong-sandbox");

fn plan(execution_tier: ExecutionTier) -> String {
    let plan = SandboxPlan { execution_tier, read: Vec::new(), write: Vec::new(), deadline_s: 10 };
    serde_json::to_string(&plan).unwrap()
}

fn run(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(SANDBOX)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not start the program does not read either.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

/// Its report, and what the program printed.
fn said(output: &Output) -> (SandboxReport, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (report, rest) = text.split_once('\n').unwrap();
    (serde_json::from_str(report).unwrap(), rest.to_owned())
}

/// Does something in a thread, and in programs that it starts, for which these system calls do not exist.
fn without<T: Send + 'static>(calls: &[libc::c_long], work: impl FnOnce() -> T + Send + 'static) -> T {
    // Reading a limit is the same call as setting one.
    let sets = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0).unwrap();
    let when = |number| match number {
        libc::SYS_prlimit64 => vec![SeccompRule::new(vec![sets.clone()]).unwrap()],
        _ => Vec::new(),
    };
    let rules: BTreeMap<i64, _> = calls.iter().map(|&number| (number, when(number))).collect();
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    let thread = std::thread::spawn(move || {
        apply_filter(&program).unwrap();
        work()
    });
    thread.join().unwrap()
}

fn landlock_here() -> bool {
    let SandboxReport::Ready(Confinement { missing, .. }) = said(&run(&["--probe", "restricted"], b"")).0
    else {
        return false;
    };
    missing.is_empty()
}

#[test]
fn the_program_gets_the_rest_of_standard_input() {
    let output = run(&[&plan(ExecutionTier::Trusted), "/bin/cat"], b"\nhello");
    let (report, printed) = said(&output);
    let enforced = ["rlimits", "no_new_privs"].map(str::to_owned).to_vec();
    let tier = ExecutionTier::Trusted;
    let expected = Confinement { execution_tier: tier, enforced, missing: Vec::new() };
    assert_eq!((report, printed.as_str()), (SandboxReport::Ready(expected), "hello"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nothing_starts_until_the_host_says_so() {
    for stdin in [b"".as_slice(), b"x"] {
        let output = run(&[&plan(ExecutionTier::Trusted), "/bin/echo", "started"], stdin);
        assert_eq!((said(&output).1.as_str(), output.status.code()), ("", Some(70)));
    }
}

#[test]
fn a_plan_that_is_none_is_refused() {
    let output = run(&[r#"{"execution_tier":"trusted"}"#, "/bin/echo"], b"\n");
    assert!(matches!(said(&output), (SandboxReport::Failed(_), rest) if rest.is_empty()));
    assert_eq!(output.status.code(), Some(70));
    assert_eq!(run(&[], b"").status.code(), Some(2));
}

#[test]
fn a_program_that_cannot_be_run_is_said() {
    let output = run(&[&plan(ExecutionTier::Trusted), "/does/not/exist"], b"\n");
    assert_eq!(output.status.code(), Some(126));
}

#[test]
fn restricted_fails_closed_where_the_kernel_lacks_something() {
    let cases: &[(&[libc::c_long], &[&str])] = &[
        (&[libc::SYS_landlock_create_ruleset], &["landlock"]),
        (&[libc::SYS_landlock_restrict_self], &["landlock"]),
        (&[libc::SYS_seccomp], &["seccomp", "processes"]),
        (&[libc::SYS_prlimit64], &["rlimits"]),
    ];
    for &(calls, expected) in cases {
        let output =
            without(calls, || run(&[&plan(ExecutionTier::Restricted), "/bin/echo", "started"], b"\n"));
        let (report, printed) = said(&output);
        let SandboxReport::Refused(confinement) = report else { panic!("{calls:?}: {report:?}") };
        for word in expected {
            assert!(confinement.missing.iter().any(|missing| missing == word), "{calls:?}: {confinement}");
        }
        assert_eq!((printed.as_str(), output.status.code()), ("", Some(70)), "{calls:?}");
    }
}

#[test]
fn balanced_says_what_is_missing_and_goes_on() {
    let calls = [libc::SYS_landlock_create_ruleset];
    let output = without(&calls, || run(&[&plan(ExecutionTier::Balanced), "/bin/echo", "started"], b"\n"));
    let (report, printed) = said(&output);
    let SandboxReport::Ready(confinement) = report else { panic!("{report:?}") };
    assert!(confinement.missing.contains(&"landlock".to_owned()), "{confinement}");
    assert!(confinement.enforced.contains(&"seccomp".to_owned()), "{confinement}");
    assert_eq!(printed, "started\n");
}

#[test]
fn restricted_runs_where_the_kernel_has_everything() {
    if !landlock_here() {
        println!("skipped: this kernel cannot confine");
        return;
    }
    let output = run(&[&plan(ExecutionTier::Restricted), "/bin/echo", "started"], b"\n");
    let (report, printed) = said(&output);
    assert!(matches!(&report, SandboxReport::Ready(found) if found.missing.is_empty()), "{report:?}");
    assert_eq!(printed, "started\n");
    // The program itself is outside of what the plan lets it read.
    let output = run(&[&plan(ExecutionTier::Restricted), "/bin/cat", SANDBOX], b"\n");
    assert_eq!((said(&output).1.as_str(), output.status.code()), ("", Some(1)));
}
