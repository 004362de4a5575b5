//! Which runs are under way, in whatever process.

use loong_store::{Process, RunningRun};

use crate::locate::read_bounded;

/// Longest state of a process that is read, in bytes.
const STAT_BYTES_MAX: u64 = 4096;

/// This process.
pub fn this_process() -> Process {
    let id = std::process::id();
    Process { id, start: start_of(id).unwrap_or(0) }
}

/// Whether the process of a run is still there; and not another one that got its number.
pub fn is_there(run: &RunningRun) -> bool {
    start_of(run.process.id) == Some(run.process.start)
}

/// When a process started, in clock ticks since the machine did: field 22 of `/proc/PID/stat` (proc(5)).
fn start_of(id: u32) -> Option<u64> {
    let stat = read_bounded(format!("/proc/{id}/stat").as_ref(), STAT_BYTES_MAX).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name before it may hold anything, but ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_one_that_started_at_another_time_is_not() {
        let run = |process| RunningRun { run: "r".into(), process, started_ms: 0, request: "x".into() };
        let this = this_process();
        assert!(this.start > 0 && is_there(&run(this)));
        assert!(!is_there(&run(Process { start: this.start + 1, ..this })));
        assert!(!is_there(&run(Process { id: u32::MAX, ..this })));
    }
}
