//! How what runs is confined: what the host asks of the program `loong-sandbox`, and the record of what holds.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ExecutionTier;

/// What confines a plugin, or a program that it started. One record for everything that runs.
///
/// The words of both lists: `wasm` (no way out but the imports that were linked), `fuel`, `epoch`, `memory` (the
/// engine's meters and the limit of all memories); `environment` (cleared), `rlimits`, `processes` (their number is
/// bounded), `no_new_privs`, `landlock:ABI` (files, connections, signals), `seccomp` (the filter of system calls).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// How tightly it is to be confined.
    pub execution_tier: ExecutionTier,
    /// What is enforced.
    pub enforced: Vec<String>,
    /// What the execution tier asks for and this machine does not enforce. Nothing runs `restricted` with one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl Confinement {
    /// Whether it may run: what is restricted runs only with everything.
    pub fn is_enough(&self) -> bool {
        self.missing.is_empty() || self.execution_tier != ExecutionTier::Restricted
    }
}

impl std::fmt::Display for Confinement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.execution_tier, self.enforced.join(" "))?;
        if self.missing.is_empty() { Ok(()) } else { write!(formatter, "; not {}", self.missing.join(", ")) }
    }
}

/// How `loong-sandbox` is to confine a program: its first argument, as JSON. The program and its arguments follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxPlan {
    /// How tightly.
    pub execution_tier: ExecutionTier,
    /// Files and folders that it may read, besides those of the system.
    pub read: Vec<PathBuf>,
    /// Folders that it may read and change.
    pub write: Vec<PathBuf>,
    /// Until its deadline, in seconds of the clock.
    pub deadline_s: u64,
}

/// What `loong-sandbox` says in one line of JSON, before the program starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxReport {
    /// It is confined, and the program starts when a line end comes on standard input.
    Ready(Confinement),
    /// This machine does not enforce what the execution tier asks for: the program does not start.
    Refused(Confinement),
    /// It failed otherwise.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(execution_tier: ExecutionTier, missing: &[&str], enough: bool, said: &str) {
        let missing = missing.iter().map(|&word| word.to_owned()).collect();
        let confinement = Confinement { execution_tier, enforced: vec!["rlimits".into()], missing };
        assert_eq!((confinement.is_enough(), confinement.to_string().as_str()), (enough, said));
    }

    #[test]
    fn what_is_restricted_runs_only_with_everything() {
        check(ExecutionTier::Restricted, &[], true, "restricted: rlimits");
        check(ExecutionTier::Restricted, &["seccomp"], false, "restricted: rlimits; not seccomp");
        check(
            ExecutionTier::Balanced,
            &["landlock", "seccomp"],
            true,
            "balanced: rlimits; not landlock, seccomp",
        );
        check(ExecutionTier::Trusted, &["no_new_privs"], true, "trusted: rlimits; not no_new_privs");
    }
}
