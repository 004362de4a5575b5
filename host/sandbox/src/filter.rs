//! System calls: seccomp.

use std::collections::BTreeMap;

use libc::c_long;
use loong_manifest::ExecutionTier;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The crate that has the others does not have these on every architecture.
#[cfg(target_arch = "x86_64")]
const SETRLIMIT: c_long = 160;
#[cfg(not(target_arch = "x86_64"))]
const SETRLIMIT: c_long = 164;
const FCHMODAT2: c_long = 452;
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const FILE_SETATTR: c_long = 469;

/// Changes the flags of a file (`chattr`) and the attributes of XFS.
const FLAGS_OF_FILES: [u64; 2] = [0x4008_6602, 0x401c_5820];

/// What no program of a plugin needs, and what leads out of its confinement or deep into the kernel.
const FORBIDDEN: &[c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Its own limits, and the group that is ended with it.
    SETRLIMIT,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // The kernel and the machine.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_fanotify_init,
    // What does other system calls without being seen.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    // What a file is besides its bytes: Landlock, which forbids to read and to write it, does not forbid this.
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
    // Memory and messages that other programs of the user share by a number.
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // Keys of the user.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Every network, and sockets of other programs of the user: a program that may do what it likes listens on some.
    // A pair of sockets that are connected to each other is another system call.
    libc::SYS_socket,
];

/// What only some architectures have.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[c_long] = &[];

/// The old ways to another process.
#[cfg(target_arch = "x86_64")]
const FORKS: &[c_long] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: &[c_long] = &[];

/// Flags of `clone` that make a namespace. That of time is for `clone3` only.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Installs the filter of a tier. Says whether it holds.
pub(crate) fn install(tier: ExecutionTier) -> bool {
    let Ok(programs) = programs(tier) else { return false };
    // All that are installed are asked about each system call, and the strictest answer holds.
    programs.iter().all(|program| apply_filter(program).is_ok())
}

fn programs(tier: ExecutionTier) -> Result<Vec<BpfProgram>, BackendError> {
    let compile = |rules: Rules, errno: libc::c_int| -> Result<BpfProgram, BackendError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        let refuse = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
    };
    // Its flags are behind a pointer, where no filter looks; libraries try `clone` when it does not exist.
    let absent = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let mut programs = vec![compile(absent, libc::ENOSYS)?, compile(rules(tier)?, libc::EPERM)?];
    if cfg!(target_arch = "x86_64") {
        programs.push(only_one_numbering());
    }
    Ok(programs)
}

/// The system calls that a tier forbids; an empty list of rules forbids whatever the arguments.
fn rules(tier: ExecutionTier) -> Result<Rules, BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let when = |argument, length, operator, value| -> Result<SeccompRule, BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, operator, value)?])
    };
    let all = FORBIDDEN.iter().chain(FORBIDDEN_HERE);
    let mut rules: Rules = all.map(|&number| (number, Vec::new())).collect();
    // Reading a limit is harmless.
    rules.insert(libc::SYS_prlimit64, vec![when(2, Qword, SeccompCmpOp::Ne, 0)?]);
    // Typing into a terminal.
    let mut ioctl = Vec::new();
    for request in [libc::TIOCSTI, libc::TIOCLINUX].into_iter().chain(FLAGS_OF_FILES) {
        ioctl.push(when(1, Dword, SeccompCmpOp::Eq, request)?);
    }
    rules.insert(libc::SYS_ioctl, ioctl);
    // The times of a file that it has open are its own business, those of a file that it names are not.
    rules.insert(libc::SYS_utimensat, vec![when(1, Qword, SeccompCmpOp::Ne, 0)?]);
    let mut clone = Vec::new();
    for flag in NAMESPACES {
        let flag = u64::from(flag.unsigned_abs());
        clone.push(when(0, Qword, SeccompCmpOp::MaskedEq(flag), flag)?);
    }
    if tier == ExecutionTier::Restricted {
        rules.extend(FORKS.iter().map(|&number| (number, Vec::new())));
        // Tools that write a file often set its mode; one that is open for reading only can be changed so, too.
        rules.insert(libc::SYS_fchmod, Vec::new());
        // Threads only.
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        clone.push(when(0, Qword, SeccompCmpOp::MaskedEq(thread), 0)?);
    }
    rules.insert(libc::SYS_clone, clone);
    Ok(rules)
}

/// x86-64 has a second numbering of the same system calls, x32, that a list of numbers does not see.
fn only_one_numbering() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF_NOT_LESS: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let refuse = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    let allow = u32::from(SeccompAction::Allow);
    [(LOAD, 0, 0, 0), (JUMP_IF_NOT_LESS, 0, 1, X32), (RETURN, 0, 0, refuse), (RETURN, 0, 0, allow)]
        .map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k })
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: c_long, balanced: bool, restricted: bool) {
        let whatever = |tier| rules(tier).unwrap().get(&number).is_some_and(Vec::is_empty);
        let found = (whatever(ExecutionTier::Balanced), whatever(ExecutionTier::Restricted));
        assert_eq!(found, (balanced, restricted), "system call {number}");
    }

    #[test]
    fn system_calls_are_forbidden_by_tier() {
        check(libc::SYS_ptrace, true, true);
        check(libc::SYS_socket, true, true);
        check(libc::SYS_io_uring_setup, true, true);
        check(libc::SYS_setsid, true, true);
        check(libc::SYS_fchmodat, true, true);
        check(libc::SYS_fchmod, false, true);
        check(libc::SYS_utimensat, false, false);
        check(libc::SYS_socketpair, false, false);
        check(libc::SYS_execve, false, false);
        check(libc::SYS_clone, false, false);
        check(libc::SYS_prlimit64, false, false);
        for &fork in FORKS {
            check(fork, false, true);
        }
    }

    #[test]
    fn filters_compile() {
        for tier in [ExecutionTier::Balanced, ExecutionTier::Restricted] {
            assert!(programs(tier).unwrap().len() >= 2);
        }
    }
}
