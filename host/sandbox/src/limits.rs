//! The limits of one process: `setrlimit`.

use std::os::unix::fs::MetadataExt as _;

use loong_manifest::ExecutionTier;
use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

const MIB: u64 = 1 << 20;

/// Processes and threads that a confined program may have at once, besides those that the user has already.
const PROCESSES_MAX: u64 = 256;

/// What each tier allows a process. Pure.
fn limits(tier: ExecutionTier, deadline_s: u64) -> Vec<(Resource, u64)> {
    // Processor time counts every thread, so several cores use it up faster than the clock.
    let (cores, memory, file, files) = match tier {
        ExecutionTier::Restricted => (2, Some(1024 * MIB), 64 * MIB, 64),
        ExecutionTier::Balanced => (8, Some(4096 * MIB), 1024 * MIB, 256),
        // What a person's own programs need, such as git with a large repository: no limit of memory.
        ExecutionTier::Trusted => (64, None, 16 * 1024 * MIB, 4096),
    };
    let mut limits = vec![
        (Resource::Core, 0),
        (Resource::Cpu, deadline_s.saturating_add(1).saturating_mul(cores)),
        (Resource::Fsize, file),
        (Resource::Nofile, files),
    ];
    limits.extend(memory.map(|bytes| (Resource::As, bytes)));
    limits
}

/// Sets the limits of a tier, never higher than they are. Says whether all hold.
pub(crate) fn set(tier: ExecutionTier, deadline_s: u64) -> bool {
    limits(tier, deadline_s)
        .into_iter()
        .fold(true, |all, (resource, maximum)| lower(resource, maximum) && all)
}

/// Bounds the number of processes and threads. It is one number for everything the user runs, so it counts from
/// what runs now. Says whether it holds: Linux does not count those of the superuser.
pub(crate) fn set_processes(tier: ExecutionTier) -> bool {
    if tier == ExecutionTier::Trusted {
        return false;
    }
    let user = getuid();
    lower(Resource::Nproc, running(user.as_raw()).saturating_add(PROCESSES_MAX)) && !user.is_root()
}

fn lower(resource: Resource, maximum: u64) -> bool {
    let maximum = getrlimit(resource).maximum.map_or(maximum, |hard| hard.min(maximum));
    setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) }).is_ok()
}

/// Threads of all processes of a user: a folder of `/proc` each.
fn running(user: u32) -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let threads = processes.filter_map(|entry| {
        let facts = std::fs::metadata(entry.path().join("task")).ok()?;
        // Its links are itself, its parent, and one for each folder in it.
        (facts.uid() == user).then(|| facts.nlink().saturating_sub(2))
    });
    threads.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tier_allows_at_least_what_the_one_below_it_does() {
        let tiers = [ExecutionTier::Restricted, ExecutionTier::Balanced, ExecutionTier::Trusted];
        for pair in tiers.windows(2) {
            let (tight, wide) = (limits(pair[0], 10), limits(pair[1], 10));
            for (resource, more) in &wide {
                let less = tight.iter().find(|(other, _)| other == resource);
                assert!(less.is_some_and(|(_, less)| less <= more), "{resource:?} of {}", pair[0]);
            }
        }
    }

    #[track_caller]
    fn check(tier: ExecutionTier, deadline_s: u64, expected: &[(Resource, u64)]) {
        assert_eq!(limits(tier, deadline_s), expected);
    }

    #[test]
    fn limits_follow_from_tier_and_deadline() {
        use Resource::{As, Core, Cpu, Fsize, Nofile};
        check(
            ExecutionTier::Restricted,
            10,
            &[(Core, 0), (Cpu, 22), (Fsize, 64 << 20), (Nofile, 64), (As, 1 << 30)],
        );
        check(
            ExecutionTier::Balanced,
            0,
            &[(Core, 0), (Cpu, 8), (Fsize, 1 << 30), (Nofile, 256), (As, 4 << 30)],
        );
        check(
            ExecutionTier::Trusted,
            u64::MAX,
            &[(Core, 0), (Cpu, u64::MAX), (Fsize, 16 << 30), (Nofile, 4096)],
        );
    }

    #[test]
    fn threads_of_this_user_are_counted() {
        let before = running(getuid().as_raw());
        assert!(before >= 1);
        assert_eq!(running(u32::MAX - 7), 0);
    }
}
