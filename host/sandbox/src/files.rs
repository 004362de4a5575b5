//! Files, connections and signals: Landlock.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, RestrictSelf, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, make_bitflags, path_beneath_rules,
};
use loong_manifest::SandboxPlan;

/// The first that knows everything that `restricted` needs: files, truncating, TCP, devices, signals.
pub(crate) const ABI_MIN: u32 = 6;

/// What is asked for of a kernel that has it.
const ABI_MAX: ABI = ABI::V10;

/// Programs and libraries of the system: they may be read and run.
const PROGRAMS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs read of the system. None holds a secret, and none leads to other processes.
const FACTS: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/etc/alternatives",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/sys/devices/system/cpu",
];

/// What may be done in a folder that may be changed: no program may be run from it, and no device, socket or entry
/// of another folder's file system made in it.
const CHANGES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeFifo | MakeSym
        | Refer
});

/// Gives up all ways to more rights. Says whether that holds, and which Landlock the kernel has; 0 is none.
pub(crate) fn no_new_privs() -> (bool, u32) {
    match RestrictSelf::default().apply() {
        Ok(status) => match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => (status.no_new_privs, effective_abi as u32),
            _ => (status.no_new_privs, 0),
        },
        Err(_) => (false, 0),
    }
}

/// Forbids every file that the plan does not name and the system's programs do not need, every connection, and
/// signals to processes outside. As far as the kernel has it.
pub(crate) fn restrict(plan: &SandboxPlan) -> Result<(), RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    Ruleset::default()
        .handle_access(AccessFs::from_all(ABI_MAX))?
        .handle_access(AccessNet::from_all(ABI_MAX))?
        .scope(Scope::from_all(ABI_MAX))?
        .create()?
        .add_rules(path_beneath_rules(PROGRAMS, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(FACTS, read))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile | AccessFs::Truncate))?
        .add_rules(path_beneath_rules(&plan.read, read))?
        .add_rules(path_beneath_rules(&plan.write, CHANGES))?
        .restrict_self()?;
    Ok(())
}
