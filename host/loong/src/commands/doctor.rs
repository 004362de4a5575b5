//! `loong doctor`: whether everything that Loong needs on this machine is there and as it should be.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use loong_manifest::{Code, ExecutionTier, SandboxReport};
use loong_store::{Against, AuditReader, Verified};
use loong_trust::UtcTime;
use serde::Serialize;
use serde_json::json;

use super::audit::verify;
use crate::error::CommandError;
use crate::places::Places;
use crate::settings::Settings;
use crate::sinks::{self, Fail};
use crate::ui::Ui;
use crate::{audit_key, host, locate, policies, programs, risk};

/// Less room than this on the disk stops the audit log soon, in bytes.
const ROOM_BYTES_MIN: u64 = 16 << 20;
/// Less room than this is worth a note, in bytes.
const ROOM_BYTES_LOW: u64 = 1 << 30;
/// A trust root that expires sooner than this is worth a note, in seconds.
const EXPIRY_SOON_S: u64 = 30 * 86_400;
/// Areas of memory that one process may map: the usual setting of Linux. Instances take some each.
const MAPS_MIN: u64 = 65_530;
/// The smallest component: a header and nothing else.
const EMPTY_COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];

/// Check that everything Loong needs on this machine is in order
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong doctor
  loong doctor --json

Nothing is changed. The exit code is 1 if something is bad; notes are for information.")]
pub struct DoctorArgs {}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Ok,
    Note,
    Bad,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), hint: None }
    }

    fn note(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, status: Status::Note, found: found.into(), hint: Some(hint.into()) }
    }

    fn bad(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, status: Status::Bad, found: found.into(), hint: Some(hint.into()) }
    }

    fn failed(name: &'static str, error: CommandError) -> Self {
        let found = std::iter::once(error.headline).chain(error.details).collect::<Vec<_>>().join("; ");
        Self { name, status: Status::Bad, found, hint: error.hint }
    }
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, _args: &DoctorArgs) -> Result<(), CommandError> {
    let mut checks = vec![Check::ok("version", concat!("loong ", env!("CARGO_PKG_VERSION")))];
    checks.extend(
        [("config", &places.config), ("data", &places.data), ("cache", &places.cache)]
            .map(|(name, path)| folder(name, path)),
    );
    checks.push(room(&places.data));
    checks.extend(keys(places));
    checks.push(trust_root(places, host::now_ms() / 1_000));
    checks.extend(settings_and_policy(places));
    checks.extend(audit(ui, places));
    checks.extend(sinks(places));
    checks.push(compiler());
    checks.extend([ExecutionTier::Restricted, ExecutionTier::Balanced].map(confinement));
    checks.extend([target("wasm32-unknown-unknown"), target("wasm32-wasip2"), git()]);
    checks.extend(kernel());
    let bad: Vec<&Check> = checks.iter().filter(|check| check.status == Status::Bad).collect();
    if ui.json() {
        ui.document("loong.doctor/1", &json!({ "ok": bad.is_empty(), "checks": checks }));
    } else {
        let mut rows = Vec::new();
        for check in &checks {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Note => "note",
                Status::Bad => "bad",
            };
            rows.push(vec![status.to_owned(), check.name.to_owned(), check.found.clone()]);
            rows.extend(
                check.hint.as_ref().map(|hint| vec![String::new(), String::new(), format!("→ {hint}")]),
            );
        }
        ui.table(0, &rows);
    }
    let Some(first) = bad.first() else { return Ok(()) };
    let error = CommandError::new(
        Code::SetupInvalid,
        super::plugins::counted(bad.len(), "check is bad", "checks are bad"),
    )
    .detail(format!("{}: {}", first.name, first.found));
    Err(match &first.hint {
        Some(hint) => error.hint(hint.clone()),
        None => error,
    })
}

fn folder(name: &'static str, path: &Path) -> Check {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Check::ok(name, format!("{shown} (not there yet)"))
        }
        Err(error) => Check::bad(name, format!("{shown}: {error}"), "make it a folder of your own"),
        Ok(facts) if !facts.is_dir() => {
            Check::bad(name, format!("{shown} is no folder"), "move the file away")
        }
        Ok(facts) => match facts.permissions().mode() & 0o777 {
            mode if mode & 0o022 != 0 => Check::bad(
                name,
                format!("{shown} can be changed by others (mode {mode:04o})"),
                format!("chmod 700 {shown}"),
            ),
            mode => Check::ok(name, format!("{shown} (mode {mode:04o})")),
        },
    }
}

/// Room on the disk that holds the data: without any, nothing can be written down, so nothing runs.
fn room(data: &Path) -> Check {
    let there = data.ancestors().find(|folder| folder.exists()).unwrap_or(data);
    match rustix::fs::statvfs(there) {
        Err(error) => Check::bad(
            "disk",
            format!("{}: {error}", there.display()),
            "make the data folder one that can be used",
        ),
        Ok(facts) => {
            let free = facts.f_bavail.saturating_mul(facts.f_frsize);
            let found = format!("{} MiB free for the audit log", free >> 20);
            let hint =
                "make room on the disk that holds the data folder; nothing runs without its audit trail";
            match free {
                0..ROOM_BYTES_MIN => Check::bad("disk", found, hint),
                ROOM_BYTES_MIN..ROOM_BYTES_LOW => Check::note("disk", found, hint),
                _ => Check::ok("disk", found),
            }
        }
    }
}

fn keys(places: &Places) -> Vec<Check> {
    let files = match super::registry::key_files(places) {
        Ok(files) => files,
        Err(error) => return vec![Check::failed("keys", error)],
    };
    if files.is_empty() {
        return vec![Check::note("keys", "you have no signing key", "loong registry keys generate")];
    }
    files
        .into_iter()
        .map(|(name, _, key_id)| match key_id {
            Ok(key) => Check::ok("keys", format!("`{name}` {}", key.key_id().short())),
            Err(error) => Check::failed("keys", error),
        })
        .collect()
}

fn trust_root(places: &Places, now_unix_s: u64) -> Check {
    let root = match host::trust_root(places) {
        Ok(root) => root,
        Err(error) => return Check::failed("trust root", error),
    };
    let usable = root.keys().iter().filter(|key| root.revocation(&key.key_id).is_none()).count();
    if usable == 0 {
        return Check::note(
            "trust root",
            "it names no key, so every component is unverified",
            "loong registry keys generate",
        );
    }
    let found = format!(
        "version {}, {}, expires {}",
        root.version(),
        super::plugins::counted(usable, "key", "keys"),
        root.expires()
    );
    if root.expires() <= UtcTime::from_unix_s(now_unix_s) {
        return Check::bad(
            "trust root",
            format!("{found}: it has expired"),
            "every signed component is refused; get or make a new trust root",
        );
    }
    if root.expires() <= UtcTime::from_unix_s(now_unix_s + EXPIRY_SOON_S) {
        return Check::note("trust root", found, "get or make a new trust root before it expires");
    }
    Check::ok("trust root", found)
}

fn settings_and_policy(places: &Places) -> Vec<Check> {
    let settings = match Settings::read(&places.settings()) {
        Ok(settings) => settings,
        Err(error) => return vec![Check::failed("settings", error)],
    };
    let policy = match policies::policy(None, &settings, places) {
        Ok(_) => {
            Check::ok("policy", format!("`{}` can be used", settings.policy.as_deref().unwrap_or("default")))
        }
        Err(error) => Check::failed("policy", error),
    };
    let found = if places.settings().exists() {
        places.settings().display().to_string()
    } else {
        "none, so all are the usual ones".to_owned()
    };
    let mut checks = vec![Check::ok("settings", found), policy];
    // One that cannot be used is what is wrong with the policy.
    if let Ok(Some(pinned)) = risk::profile(&settings, places) {
        let signer = pinned.signer.map_or_else(
            || "ships with loong".to_owned(),
            |signer| format!("signed by `{}` {}", signer.label, signer.key_id.short()),
        );
        checks.push(Check::ok("risk profile", format!("`{}` {signer}", pinned.name)));
    }
    checks
}

/// The audit log, its key, its newest checkpoint, and whether the clock is behind it.
fn audit(ui: &Ui, places: &Places) -> Vec<Check> {
    // Wrong settings are named by themselves.
    let settings = Settings::read(&places.settings()).unwrap_or_default().audit;
    let mut checks = vec![log_key(places)];
    let against = match verify::against(places, &settings) {
        Ok(against) => against,
        Err(error) => {
            checks.push(Check::failed("audit log", error));
            return checks;
        }
    };
    let database = places.database();
    if !database.exists() && against.witnesses.is_empty() {
        checks.push(Check::ok("audit log", "nothing recorded yet"));
        return checks;
    }
    if let Some(mode) = std::fs::metadata(&database).ok().map(|facts| facts.permissions().mode() & 0o777)
        && mode & 0o077 != 0
    {
        let shown = database.display();
        checks.push(Check::bad(
            "database",
            format!("{shown} is open to other users (mode {mode:04o}), so nothing runs"),
            format!("chmod 600 {shown}"),
        ));
    }
    let verified = match verify::check(ui, places, &against) {
        Ok(Ok(verified)) => verified,
        Ok(Err(broken)) => {
            checks.push(Check::bad(
                "audit log",
                format!("it was changed: {broken}"),
                "keep the file as evidence; `loong audit accept` says how to begin anew",
            ));
            return checks;
        }
        Err(error) => {
            checks.push(Check::failed("audit log", error));
            return checks;
        }
    };
    checks.push(Check::ok(
        "audit log",
        format!("{} records, head {}", verified.records, verified.head.short()),
    ));
    let now_ms = host::now_ms();
    checks.push(checkpoint(&verified, &against, now_ms));
    checks.extend(clock(&database, now_ms));
    checks
}

fn log_key(places: &Places) -> Check {
    let path = audit_key::key_path(places);
    if std::fs::symlink_metadata(&path).is_err() {
        return Check::ok("audit key", "made at the first run");
    }
    match loong_trust::SigningKey::read_file(&path) {
        Ok(key) => Check::ok("audit key", format!("{} in {}", key.key_id().short(), path.display())),
        Err(error) => Check::failed(
            "audit key",
            CommandError::caused(error.code(), &error).hint(
                "make it a file of your own with mode 0600; without it nothing is recorded, so nothing runs",
            ),
        ),
    }
}

fn checkpoint(verified: &Verified, against: &Against, now_ms: u64) -> Check {
    let Some(signed_ms) = verified.signed_ms else {
        return Check::note("checkpoint", "the log is not signed yet", "any run signs it");
    };
    let age_s = now_ms.saturating_sub(signed_ms) / 1_000;
    let found = format!("over {} records, {age_s} s old", verified.signed);
    if against.witnesses.is_empty() {
        return Check::note(
            "checkpoint",
            format!("{found}, and none is kept outside the database"),
            "any run keeps one",
        );
    }
    if verified.signed < verified.records {
        let open = verified.records - verified.signed;
        return Check::note(
            "checkpoint",
            format!("{found}; {open} records came after it"),
            "they are being written now, or a run was killed; the next run signs them",
        );
    }
    Check::ok("checkpoint", found)
}

/// A clock that is behind the last record makes records that seem to be of a later time than they are.
fn clock(database: &Path, now_ms: u64) -> Option<Check> {
    let last_ms = AuditReader::open_read_only(database).and_then(|reader| reader.last_time_ms()).ok()?;
    let behind_s = last_ms.saturating_sub(now_ms) / 1_000;
    Some(if behind_s > 0 {
        Check::bad(
            "clock",
            format!("it is {behind_s} s behind the last record [{}]", Code::ClockInvalid),
            "set the clock of this machine; records keep the later time until it has caught up",
        )
    } else {
        Check::ok("clock", "not behind the last record")
    })
}

/// Whether audit sinks have what they should have.
fn sinks(places: &Places) -> Vec<Check> {
    let standings = Settings::read(&places.settings())
        .map_or_else(|_| Ok(Vec::new()), |settings| sinks::standings(places, &settings));
    let standings = match standings {
        Ok(standings) => standings,
        Err(error) => return vec![Check::failed("audit sink", error)],
    };
    let check = |standing: sinks::Standing| {
        let found = format!("{}, fail {}: {}", standing.plugin, standing.fail.as_str(), standing.words());
        let hint = format!("loong audit deliver {}", standing.plugin);
        match standing.fail {
            _ if standing.caught_up => Check::ok("audit sink", found),
            Fail::Closed if standing.failures > 0 => Check::bad("audit sink", found, hint),
            Fail::Closed | Fail::Open => Check::note("audit sink", found, hint),
        }
    };
    standings.into_iter().map(check).collect()
}

/// Whether the compiler is there, and compiles.
fn compiler() -> Check {
    const HINT: &str = "build it: cargo build -p loong-compile; it belongs beside `loong`";
    let path = match programs::compiler() {
        Ok(path) => path,
        Err(error) => return Check::failed("compiler", error),
    };
    let run = || -> std::io::Result<std::process::Output> {
        let mut child = Command::new(&path)
            .args(["epoch", "10"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&EMPTY_COMPONENT)?;
        }
        child.wait_with_output()
    };
    match run() {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            Check::ok("compiler", path.display().to_string())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Check::bad(
                "compiler",
                format!("{} does not compile: {} {}", path.display(), output.status, said.trim()),
                HINT,
            )
        }
        Err(error) => Check::bad("compiler", format!("{} cannot be run: {error}", path.display()), HINT),
    }
}

/// What this machine enforces on programs that plugins start.
fn confinement(tier: ExecutionTier) -> Check {
    const HINT: &str = "build it: cargo build -p loong-sandbox; it belongs beside `loong`";
    let name = tier.as_str();
    let path = match programs::sandbox() {
        Ok(path) => path,
        Err(error) => return Check::failed(name, error),
    };
    let output = match Command::new(&path).args(["--probe", name]).stderr(Stdio::null()).output() {
        Ok(output) => output.stdout,
        Err(error) => return Check::bad(name, format!("{} cannot be run: {error}", path.display()), HINT),
    };
    match serde_json::from_slice(&output) {
        Ok(SandboxReport::Ready(found) | SandboxReport::Refused(found)) => {
            let enforced = found.enforced.join(" ");
            let missing = found.missing.join(", ");
            let hint = if found.is_enough() {
                "programs of plugins of this execution tier run with what there is, and it is recorded"
            } else {
                "programs of plugins of this execution tier are refused on this machine"
            };
            match missing.as_str() {
                "" => Check::ok(name, enforced),
                "processes" => {
                    Check::ok(name, format!("{enforced}; not processes, which are not counted for root"))
                }
                _ => Check::note(name, format!("{enforced}; not {missing}"), hint),
            }
        }
        Ok(SandboxReport::Failed(problem)) => Check::bad(name, problem, HINT),
        Err(_) => Check::bad(name, format!("{} does not answer", path.display()), HINT),
    }
}

/// What an author of components needs; nobody else does.
fn target(name: &'static str) -> Check {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", name])
        .stderr(Stdio::null())
        .output();
    match output {
        Err(_) => {
            Check::note(name, "Rust is not installed", "only needed to build components: https://rustup.rs")
        }
        Ok(output) if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() => {
            Check::ok(name, "Rust can build for it")
        }
        Ok(_) => Check::note(
            name,
            "Rust cannot build for it",
            format!("only needed to build components: rustup target add {name}"),
        ),
    }
}

fn git() -> Check {
    match Command::new("git").arg("--version").stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            Check::ok("git", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => {
            Check::note("git", "it cannot be run", "components that read the history of a repository need it")
        }
    }
}

/// Settings of Linux that decide how many instances fit into one process.
fn kernel() -> Option<Check> {
    let text = locate::read_bounded(Path::new("/proc/sys/vm/max_map_count"), 64).ok()?;
    let maps: u64 = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
    let found = format!("vm.max_map_count is {maps}");
    Some(if maps < MAPS_MIN {
        Check::note(
            "kernel",
            found,
            format!("few instances fit into one process: sysctl vm.max_map_count={MAPS_MIN}"),
        )
    } else {
        Check::ok("kernel", found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_change_is_bad() {
        let folder_mode = |mode: u32| {
            let path = std::env::temp_dir().join(format!("loong-doctor-{}-{mode:o}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let status = folder("data", &path).status;
            std::fs::remove_dir(&path).unwrap();
            status
        };
        assert_eq!(folder_mode(0o700), Status::Ok);
        assert_eq!(folder_mode(0o755), Status::Ok);
        assert_eq!(folder_mode(0o775), Status::Bad);
        assert_eq!(folder_mode(0o777), Status::Bad);
    }
}
