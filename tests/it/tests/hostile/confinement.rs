//! Programs that want more than their plugin was granted, at each execution tier. They are scripts for `perl`, which
//! every Debian has; each prints `yes` when it could do what it is for.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use loong_it::fixture::fixtures;
use loong_kernel::{Event, Outcome};
use loong_manifest::{Access, Code, Confinement, ExecutionTier, SandboxReport};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch, apply_filter};
use serde_json::{Value, json};

use super::harness::{World, guest};
use super::process::{check_gone, request, run, text};

const TIERS: [ExecutionTier; 3] =
    [ExecutionTier::Restricted, ExecutionTier::Balanced, ExecutionTier::Trusted];

/// Numbers of system calls that perl has no name for: ptrace, mmap, setrlimit.
const CALLS: (u32, u32, u32) = if cfg!(target_arch = "x86_64") { (101, 9, 160) } else { (117, 222, 164) };

/// Whether this kernel has what `restricted` asks for. If not, every test of this file says so and ends.
fn can_confine() -> bool {
    let sandbox = fixtures().loong.with_file_name("loong-sandbox");
    let output = Command::new(sandbox).args(["--probe", "restricted"]).output().unwrap();
    let can = matches!(serde_json::from_slice(&output.stdout).unwrap(), SandboxReport::Ready(_));
    if !can {
        println!("skipped: {}", String::from_utf8_lossy(&output.stdout));
    }
    can
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A plugin that may run these scripts, change `/changed` and read `/given`; and the folder that both are in.
fn world(tier: ExecutionTier, scripts: &[String]) -> (World, PathBuf) {
    let world = World::executing(tier);
    let folder = world.folder.path().join("folders");
    for name in ["changed", "given", "other"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("file"), name).unwrap();
    }
    let place = folder.display().to_string();
    let commands: Vec<Value> = scripts
        .iter()
        .map(|script| json!({ "command": "perl", "arguments": ["-e", script.replace("FOLDER", &place)] }))
        .collect();
    let folders = json!({ "folders": [
        { "name": "changed", "access": "write" }, { "name": "given", "access": "read" },
    ] });
    world.load(
        guest("passes_process")
            .official()
            .asks("process", json!({ "commands": commands }))
            .asks("filesystem", folders)
            .limit("deadline_ms", 10_000)
            .folder("changed", &folder.join("changed"), Access::Write)
            .folder("given", &folder.join("given"), Access::Read),
    );
    (world, folder)
}

/// What a script prints, or how it ended if it did not end well.
fn printed(world: &World, folder: &std::path::Path, script: &str) -> String {
    let script = script.replace("FOLDER", &folder.display().to_string());
    let request = request("perl", &["-e", &script]);
    let ended = world.call("core:passes-process.process-run", json!({ "request": request }));
    match &ended.result {
        Ok(value) if value["ok"]["status"]["exited"] == 0 => text(&value["ok"]["stdout"]),
        Ok(value) if value["ok"].is_object() => {
            format!("{} {}", value["ok"]["status"], text(&value["ok"]["stderr"]))
        }
        _ => ended.said(),
    }
}

/// The scripts and whether they do what they are for: restricted, balanced, trusted.
#[track_caller]
fn check(cases: &[(&str, [bool; 3])]) {
    if !can_confine() {
        return;
    }
    let word = |is: bool| if is { "yes" } else { "no" };
    let scripts: Vec<String> = cases.iter().map(|(condition, _)| asking(condition)).collect();
    for (place, tier) in TIERS.into_iter().enumerate() {
        let (world, folder) = world(tier, &scripts);
        for (script, (condition, expected)) in scripts.iter().zip(cases) {
            assert_eq!(printed(&world, &folder, script), word(expected[place]), "{tier}: {condition}");
        }
    }
}

fn asking(condition: &str) -> String {
    format!("use POSIX; use Socket; print((do {{ {condition} }}) ? 'yes' : 'no')")
}

#[test]
fn files_outside_the_granted_folders_are_out_of_reach() {
    check(&[
        ("open(my $f, '<', 'FOLDER/other/file')", [false, false, true]),
        ("opendir(my $d, 'FOLDER/other')", [false, false, true]),
        ("open(my $f, '>', 'FOLDER/other/new')", [false, false, true]),
        ("unlink('FOLDER/other/file')", [false, false, true]),
        (
            "symlink('FOLDER/other', 'FOLDER/changed/link'); opendir(my $d, 'FOLDER/changed/link')",
            [false, false, true],
        ),
        ("open(my $f, '<', '/proc/' . getppid() . '/environ')", [false, false, true]),
        ("open(my $f, '<', '/etc/fstab') || opendir(my $d, '/etc')", [false, false, true]),
        ("chmod(0700, 'FOLDER/other')", [false, false, true]),
        ("utime(0, 0, 'FOLDER/other')", [false, false, true]),
        ("chown(-1, -1, 'FOLDER/other')", [false, false, true]),
        // Its mode, where only reading was granted.
        ("open(my $f, '<', 'FOLDER/given/file'); chmod(0600, $f)", [false, true, true]),
        // What was granted can be done at every tier, and no more than was granted.
        ("open(my $f, '<', 'FOLDER/changed/file')", [true; 3]),
        ("open(my $f, '>', 'FOLDER/changed/new') && unlink('FOLDER/changed/new')", [true; 3]),
        ("open(my $f, '<', 'FOLDER/given/file')", [true; 3]),
        ("open(my $f, '>', 'FOLDER/given/new')", [false, false, true]),
        ("open(my $f, '>', '/dev/null') && open(my $g, '<', '/etc/passwd')", [true; 3]),
        // A folder of its own, in which it is when it asked for none.
        ("open(my $f, '>', \"$ENV{TMPDIR}/new\") && $ENV{TMPDIR} eq getcwd()", [true, true, false]),
    ]);
}

#[test]
fn a_program_that_it_wrote_cannot_be_run() {
    if !can_confine() {
        return;
    }
    let script = "open(my $f, '>', 'FOLDER/changed/run'); print $f \"#!/bin/echo yes\\n\"; close $f; \
                  chmod(0700, 'FOLDER/changed/run'); exec('FOLDER/changed/run') || print('no')";
    for (tier, expected) in TIERS.into_iter().zip(["no", "no", "yes"]) {
        let (world, folder) = world(tier, &[script.to_owned()]);
        let said = printed(&world, &folder, script);
        assert!(said.starts_with(expected), "{tier}: {said}");
    }
}

#[test]
fn no_connection_is_made() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _unix = UnixListener::bind(&path).unwrap();
    let to = |port: u16| format!("sockaddr_in({port}, inet_aton('127.0.0.1'))");
    let tcp = to(tcp.local_addr().unwrap().port());
    let udp = to(udp.local_addr().unwrap().port());
    check(&[
        (&format!("socket(S, PF_INET, SOCK_STREAM, 0) && connect(S, {tcp})"), [false, false, true]),
        (&format!("socket(S, PF_INET, SOCK_DGRAM, 0) && send(S, 'x', 0, {udp})"), [false, false, true]),
        (
            &format!("socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un('{}'))", path.display()),
            [false, false, true],
        ),
        (
            "socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, sockaddr_in(0, INADDR_LOOPBACK))",
            [false, false, true],
        ),
        // Between two ends of its own.
        ("socketpair(A, B, PF_UNIX, SOCK_STREAM, 0) && syswrite(A, 'x')", [true; 3]),
    ]);
}

#[test]
fn other_processes_are_out_of_reach() {
    let (ptrace, ..) = CALLS;
    check(&[
        (&format!("syscall({ptrace}, 0, 0, 0, 0) == 0"), [false, false, true]),
        ("kill(0, getppid())", [false, false, true]),
        ("kill(0, $$)", [true; 3]),
        ("my $p = fork; exit if defined $p && !$p; defined $p && waitpid($p, 0) == $p", [false, true, true]),
        // Leaving the group that is ended with it.
        (
            "my $p = fork; if (defined $p && !$p) { exit(POSIX::setsid() > 0 ? 0 : 1) } \
             defined $p && waitpid($p, 0) == $p && $? == 0",
            [false, false, true],
        ),
        (
            "my $p = fork; if (defined $p && !$p) { exit(setpgrp(0, 0) ? 0 : 1) } \
             defined $p && waitpid($p, 0) == $p && $? == 0",
            [false, false, true],
        ),
    ]);
}

#[test]
fn memory_and_files_have_a_limit() {
    let (_, mmap, setrlimit) = CALLS;
    let map =
        |gibibytes: u64| format!("my $n = syscall({mmap}, 0, {gibibytes} << 30, 3, 0x22, -1, 0); $n != -1");
    let grow = |mebibytes: u64| {
        format!(
            "$SIG{{XFSZ}} = 'IGNORE'; open(my $f, '>', 'FOLDER/changed/big'); \
             my $done = truncate($f, {mebibytes} << 20); unlink('FOLDER/changed/big'); $done"
        )
    };
    check(&[
        (&map(2), [false, true, true]),
        (&map(5), [false, false, true]),
        (&grow(32), [true; 3]),
        (&grow(128), [false, true, true]),
        (&grow(2048), [false, false, true]),
        // The superuser could lift them, so nobody sets one: here that of core files, which is 0, to 0.
        (&format!("my $l = pack('QQ', 0, 0); syscall({setrlimit}, 4, $l) == 0"), [false, false, true]),
    ]);
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_with_the_program() {
    if !can_confine() {
        return;
    }
    let script = "my $n = 0; while ($n < 300) { my $p = fork; last if !defined $p; \
                  if (!$p) { exec('sleep', '67.25') } $n++ } print $n";
    for tier in TIERS {
        let (world, folder) = world(tier, &[script.to_owned()]);
        let forked: u64 = printed(&world, &folder, script).parse().unwrap();
        match tier {
            ExecutionTier::Restricted => assert_eq!(forked, 0),
            // Linux does not count the processes of the superuser; the record says that it does not.
            ExecutionTier::Balanced if !is_root() => assert!((1..300).contains(&forked), "{forked}"),
            ExecutionTier::Balanced | ExecutionTier::Trusted => assert_eq!(forked, 300),
        }
        check_gone("67.25");
    }
}

#[test]
fn a_grandchild_cannot_outlive_the_deadline_in_a_session_of_its_own() {
    if !can_confine() {
        return;
    }
    let script =
        "use POSIX; if (!fork) { setsid(); close STDOUT; close STDERR; exec('sleep', '66.75') } sleep 60";
    let (world, folder) = world(ExecutionTier::Balanced, &[script.to_owned()]);
    let mut request = request("perl", &["-e", &script.replace("FOLDER", &folder.display().to_string())]);
    request["deadline-ms"] = json!(400);
    assert_eq!(run(&world, &request), r#"{"err":{"deadline":400}}"#);
    check_gone("66.75");
}

#[test]
fn what_is_printed_is_capped() {
    if !can_confine() {
        return;
    }
    let script = "1 while print 'x' x 4096";
    for tier in [ExecutionTier::Restricted, ExecutionTier::Balanced] {
        let (world, _) = world(tier, &[script.to_owned()]);
        let mut request = request("perl", &["-e", script]);
        request["deadline-ms"] = json!(200);
        assert_eq!(run(&world, &request), r#"{"err":{"deadline":200}}"#);
    }
}

/// What the audit log says of the programs that were started, or were not.
fn recorded(world: &World) -> Vec<(Outcome, Option<Code>, Option<Confinement>)> {
    let of = |event| match event {
        Event::Effect { capability, outcome, code, confinement, .. } if capability == "process" => {
            Some((outcome, code, confinement))
        }
        _ => None,
    };
    world.audit().into_iter().filter_map(of).collect()
}

#[test]
fn what_confined_a_program_is_in_the_audit_log() {
    if !can_confine() {
        return;
    }
    let script = "print 'yes'".to_owned();
    for tier in TIERS {
        let (world, folder) = world(tier, std::slice::from_ref(&script));
        assert_eq!(printed(&world, &folder, &script), "yes");
        let found = recorded(&world);
        let [(Outcome::Allow, None, Some(confinement))] = &found[..] else { panic!("{tier}: {found:?}") };
        assert_eq!(confinement.execution_tier, tier);
        let mut words: Vec<&str> = vec!["environment", "rlimits", "no_new_privs"];
        if tier != ExecutionTier::Trusted {
            let landlock = confinement.enforced.iter().find(|word| word.starts_with("landlock:"));
            words.extend([landlock.unwrap(), "seccomp"]);
        }
        let counted = tier == ExecutionTier::Restricted || tier == ExecutionTier::Balanced && !is_root();
        words.extend(counted.then_some("processes"));
        assert_eq!(confinement.enforced, words);
        let missing: &[&str] =
            if tier == ExecutionTier::Balanced && is_root() { &["processes"] } else { &[] };
        assert_eq!(confinement.missing, missing);
        // The same record says what confines the component that started it.
        let loaded: BTreeMap<String, Confinement> = world
            .audit()
            .into_iter()
            .filter_map(|event| match event {
                Event::PluginLoaded { plugin, confinement, .. } => Some((plugin.to_string(), confinement?)),
                _ => None,
            })
            .collect();
        let component = &loaded["core:passes-process"];
        assert_eq!(component.to_string(), format!("{tier}: wasm memory epoch"));
        // What it had to itself is gone.
        drop(world.tokio);
        let own = world.folder.path().join("programs");
        assert_eq!(fs::read_dir(own).map_or(0, Iterator::count), 0);
    }
}

/// From here on, in this thread and in those that it starts, the kernel has no Landlock.
fn without_landlock() {
    let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

#[test]
fn restricted_programs_do_not_start_where_the_kernel_lacks_something() {
    if !can_confine() {
        return;
    }
    without_landlock();
    let script = "print 'yes'".to_owned();
    let (world, folder) = world(ExecutionTier::Restricted, std::slice::from_ref(&script));
    let said = printed(&world, &folder, &script);
    assert!(said.starts_with(r#"{"err":{"denied":{"code":"confinement-unavailable""#), "{said}");
    assert!(said.contains("not landlock"), "{said}");
    let found = recorded(&world);
    let [(Outcome::Deny, Some(Code::ConfinementUnavailable), Some(confinement))] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(confinement.missing, ["landlock"]);
    drop(world);
    // `balanced` does what the kernel can, and the record says what is missing.
    let (world, folder) = self::world(ExecutionTier::Balanced, std::slice::from_ref(&script));
    assert_eq!(printed(&world, &folder, &script), "yes");
    let found = recorded(&world);
    let [(Outcome::Allow, None, Some(confinement))] = &found[..] else { panic!("{found:?}") };
    assert!(confinement.missing.contains(&"landlock".to_owned()), "{confinement}");
}
