//! A repository that one user keeps and another installs from, each with a home of its own.

mod clock;
mod first_party;
mod installed;
mod oci;
mod served;
mod signatures;
mod taken_back;
mod workflow;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use loong_it::sandbox::{Ended, Sandbox};
use serde_json::{Value, json};

/// A publisher `acme` whose repository is in the working folder, and an operator who connected it.
struct Fixture {
    sandbox: Sandbox,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { sandbox: Sandbox::new() };
        let key = [
            "registry",
            "keys",
            "generate",
            "--name",
            "acme",
            "--publisher",
            "acme",
            "--tier",
            "verified-community",
        ];
        fixture.ok(true, &key);
        fixture.ok(true, &["registry", "init", "repo", "--key", "acme"]);
        fixture.ok(
            true,
            &[
                "registry",
                "publisher",
                "acme",
                "--tier",
                "verified-community",
                "--key",
                "acme",
                "--repository",
                "repo",
            ],
        );
        fixture.add(&component("acme:greet", "1.0.0", &json!({})));
        fixture.publish();
        fixture.ok(false, &["registry", "connect", "main", "repo", "--root", "repo/metadata/1.root.json"]);
        fixture
    }

    fn run(&self, publisher: bool, arguments: &[&str]) -> Ended {
        let mut command = self.sandbox.command(self.sandbox.path("bin/loong"));
        if publisher {
            command.env("LOONG_HOME", self.sandbox.path("publisher"));
        }
        self.sandbox.run(command.args(arguments))
    }

    #[track_caller]
    fn ok(&self, publisher: bool, arguments: &[&str]) -> String {
        let ended = self.run(publisher, arguments);
        assert_eq!(ended.exit, 0, "{arguments:?}\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Signs a component and adds it to the repository.
    #[track_caller]
    fn add(&self, bytes: &[u8]) {
        fs::write(self.sandbox.work().join("new.wasm"), bytes).unwrap();
        self.ok(true, &["plugins", "sign", "new.wasm", "--key", "acme"]);
        self.ok(true, &["registry", "add", "new.wasm", "--repository", "repo"]);
    }

    #[track_caller]
    fn publish(&self) {
        self.ok(true, &["registry", "publish", "--repository", "repo"]);
    }

    /// What the operator does; it has to work.
    #[track_caller]
    fn does(&self, arguments: &[&str]) -> String {
        self.ok(false, arguments)
    }

    /// What the operator may not do.
    #[track_caller]
    fn refused(&self, arguments: &[&str], code: &str, exit: i32) -> String {
        let ended = self.run(false, arguments);
        assert!(
            ended.stderr.contains(&format!("[{code}]")),
            "{arguments:?}\n{}{}",
            ended.stdout,
            ended.stderr
        );
        assert_eq!(ended.exit, exit);
        ended.stderr
    }

    /// `ID VERSION` of everything that is installed.
    fn installed(&self) -> Vec<String> {
        let lock: Value = serde_json::from_str(&self.lock()).unwrap();
        let plugins = lock["plugins"].as_object().unwrap();
        plugins.iter().map(|(id, plugin)| format!("{id} {}", plugin["version"].as_str().unwrap())).collect()
    }

    fn lock(&self) -> String {
        let empty = || r#"{"plugins": {}}"#.to_owned();
        fs::read_to_string(self.home("installed/loong.lock")).unwrap_or_else(|_| empty())
    }

    fn home(&self, part: &str) -> PathBuf {
        self.sandbox.loong_home().join("data").join(part)
    }
}

/// A component that does nothing, with a manifest of these members.
fn component(id: &str, version: &str, more: &Value) -> Vec<u8> {
    component_of("(component)", id, version, more)
}

fn component_of(text: &str, id: &str, version: &str, more: &Value) -> Vec<u8> {
    let mut manifest = json!({
        "id": id, "version": version, "kind": "tool", "summary": "Greets people", "licence": "Apache-2.0",
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    loong_inspect::with_manifest(&wat::parse_str(text).unwrap(), manifest.to_string().as_bytes()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_plugin_is_installed_updated_pinned_and_removed() {
    let fixture = Fixture::new();
    let plan = fixture.does(&["plugins", "install", "acme:greet", "--dry-run"]);
    assert!(plan.contains("acme in main"), "who signed it is in the plan: {plan}");
    assert!(fixture.installed().is_empty(), "a dry run changes nothing");
    fixture.refused(&["plugins", "install", "acme:greet"], "approval_required", 5);
    assert!(fixture.installed().is_empty());
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
    assert!(fixture.does(&["plugins", "list"]).contains("verified-community"));

    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    fixture.does(&["plugins", "pin", "acme:greet"]);
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"], "pinned");
    fixture.does(&["plugins", "unpin", "acme:greet"]);
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"]);

    fixture.refused(&["plugins", "install", "acme:greet@1.0.0", "--yes"], "downgrade_refused", 3);
    fixture.does(&["plugins", "install", "acme:greet@1.0.0", "--yes", "--downgrade"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
    fixture.does(&["plugins", "remove", "acme:greet", "--yes"]);
    assert!(fixture.installed().is_empty());
    fixture.refused(&["plugins", "remove", "acme:greet", "--yes"], "plugin_unknown", 1);
    fixture.does(&["plugins", "undo", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
    fixture.does(&["plugins", "undo", "--to", "0", "--yes"]);
    assert!(fixture.installed().is_empty());

    let events = fixture.does(&["audit", "recent", "--kind", "catalog_changed", "--json"]);
    for change in
        ["+acme:greet 1.0.0", "acme:greet 1.0.0 → 1.1.0", "acme:greet 1.1.0 → 1.0.0", "-acme:greet 1.0.0"]
    {
        assert!(events.contains(change), "{change} is not in {events}");
    }
}

/// The version of `acme:greet` that calls reach.
fn active(fixture: &Fixture) -> Value {
    let status: Value =
        serde_json::from_str(&fixture.does(&["plugins", "status", "acme:greet", "--json"])).unwrap();
    status["plugins"][0]["version"].clone()
}

#[test]
fn a_version_that_is_installed_takes_the_place_of_the_one_before() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    let told = fixture.does(&["plugins", "diff", "acme:greet"]);
    assert!(told.contains("1.0.0 → 1.1.0"), "{told}");
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(active(&fixture), "1.1.0");
    let swapped = fixture.does(&["audit", "recent", "--kind", "plugin_swapped", "--json"]);
    assert!(swapped.contains("\"version\": \"1.1.0\""), "{swapped}");
    fixture.does(&["plugins", "undo", "--yes"]);
    assert_eq!(active(&fixture), "1.0.0");

    // One that cannot be instantiated never serves, and what was installed before is installed again.
    let text =
        "(component (core module $m (func $f unreachable) (start $f)) (core instance (instantiate $m)))";
    fixture.add(&component_of(text, "acme:greet", "1.2.0", &json!({})));
    fixture.publish();
    let said = fixture.refused(&["plugins", "update", "--yes"], "health_failed", 3);
    assert!(said.contains("what was installed before is installed again"), "{said}");
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
    assert_eq!(active(&fixture), "1.0.0");
    let history = fixture.does(&["plugins", "history"]);
    assert!(history.contains("acme:greet could not take over"), "{history}");
}

#[test]
fn a_name_that_is_easily_taken_for_another_is_shown() {
    let fixture = Fixture::new();
    let other = ["registry", "publisher", "acne", "--tier", "verified-community", "--key", "acne"];
    let key = ["keys", "generate", "--name", "acne", "--publisher", "acne", "--tier", "verified-community"];
    fixture.ok(true, &[&["registry"], &key[..]].concat());
    fixture.ok(true, &[&other[..], &["--repository", "repo"]].concat());
    fs::write(fixture.sandbox.work().join("other.wasm"), component("acne:greeet", "1.0.0", &json!({})))
        .unwrap();
    fixture.ok(true, &["plugins", "sign", "other.wasm", "--key", "acne"]);
    fixture.ok(true, &["registry", "add", "other.wasm", "--repository", "repo"]);
    fixture.publish();
    let plan = fixture.does(&["plugins", "install", "acne:greeet", "--dry-run"]);
    assert!(plan.contains("! acne:greeet is easily taken for acme:greet"), "{plan}");
}

#[test]
fn an_entry_is_looked_at_before_it_is_installed() {
    let fixture = Fixture::new();
    let asks = json!({ "capabilities": { "kv": { "reason": "remembers whom it greeted" } } });
    fixture.add(&component("acme:greet", "1.1.0", &asks));
    fixture.publish();
    let info = fixture.does(&["plugins", "info", "acme:greet"]);
    assert!(info.contains("acme:greet 1.1.0") && info.contains("registry `main`"), "{info}");
    let info = fixture.does(&["plugins", "info", "acme:greet@1.0.0", "--json"]);
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&info["version"], &info["registry"]), (&json!("1.0.0"), &json!("main")));
    let told = fixture.does(&["plugins", "diff", "acme:greet@1.0.0", "acme:greet@1.1.0"]);
    assert!(told.contains("!  asks for kv"), "{told}");
    assert!(fixture.installed().is_empty());
    fixture.refused(&["plugins", "info", "acme:greet@9.0.0"], "entry_unknown", 1);
    fixture.refused(&["plugins", "diff", "acme:nobody"], "plugin_unknown", 1);
}

#[test]
fn contracts_are_compared_before_anything_is_installed() {
    let fixture = Fixture::new();
    let asks = json!({ "capabilities": { "kv": { "reason": "remembers whom it greeted" } } });
    let importing = |version: &str| {
        format!(
            r#"(component (import "loong:host/kv@{version}" (instance (export "f" (func)))) (import "wasi:io/poll@0.2.99" (instance)))"#
        )
    };
    fixture.add(&component_of(&importing("0.1.0"), "acme:greet", "1.1.0", &asks));
    fixture.publish();
    let compat = fixture.does(&["plugins", "compat", "acme:greet@1.1.0"]);
    assert!(compat.contains("loong:host  0.1.0") && compat.contains("wasi:io"), "{compat}");
    assert!(
        compat.lines().any(|line| line.contains("0.2.99") && line.trim_end().ends_with("newer")),
        "{compat}"
    );
    let plan = fixture.does(&["plugins", "install", "acme:greet@1.1.0", "--dry-run"]);
    assert!(plan.contains("! acme:greet is built for wasi:io@0.2.99, which is newer"), "{plan}");
    let own = fixture.does(&["plugins", "compat"]);
    assert!(own.contains("loong:provider") && own.contains("wasi:sockets"), "{own}");

    let newer = component_of(&importing("0.2.0"), "acme:greet", "2.0.0", &asks);
    fs::write(fixture.sandbox.work().join("newer.wasm"), newer).unwrap();
    for command in [&["plugins", "compat", "newer.wasm"][..], &["plugins", "info", "newer.wasm"]] {
        let said = fixture.refused(command, "contract_unsupported", 1);
        assert!(said.contains("loong:host/kv@0.2.0") && said.contains("loong:host@0.1.0"), "{said}");
    }
}

#[test]
fn more_authority_is_shown_before_it_is_given() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    let asks = json!({ "capabilities": { "kv": { "reason": "remembers whom it greeted" } } });
    fixture.add(&component("acme:greet", "1.1.0", &asks));
    fixture.publish();
    let plan = fixture.does(&["plugins", "update", "--dry-run"]);
    assert!(plan.contains("! acme:greet asks for kv"), "{plan}");
    let verified = fixture.does(&["registry", "verify", "repo"]);
    assert!(verified.contains("unlike 1.0.0, it asks for kv"), "{verified}");
}

#[test]
fn setup_is_shown_and_nothing_of_it_is_done() {
    let fixture = Fixture::new();
    let setup = json!({
        "setup": { "programs": ["git"], "env": ["ACME_REGION"], "docs_url": "https://acme.example/docs" },
        "slots": [{ "interface": "acme:memory/store@1.0.0", "mode": "exclusive" }],
        "tier": "official",
    });
    fixture.add(&component("acme:other", "1.0.0", &setup));
    fixture.publish();
    let plan = fixture.does(&["plugins", "install", "acme:other", "--dry-run"]);
    for line in [
        "install `git`",
        "set the variable `ACME_REGION`",
        "read https://acme.example/docs",
        "acme:other takes the slot acme:memory/store@1.0.0, alone",
        // What it says of its own tier counts for nothing.
        "verified-community",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    let verified = fixture.does(&["registry", "verify", "repo", "--json"]);
    assert!(verified.contains("tier_claimed"), "{verified}");
}

#[test]
fn what_a_plugin_needs_comes_along_and_goes_with_it() {
    let fixture = Fixture::new();
    let plugins = fixture
        .sandbox
        .command("true")
        .get_envs()
        .find(|(name, _)| *name == "PLUGINS")
        .unwrap()
        .1
        .unwrap()
        .to_owned();
    let plugins = PathBuf::from(plugins);
    fixture.ok(true, &["registry", "keys", "generate", "--name", "core", "--publisher", "core"]);
    fixture.ok(
        true,
        &["registry", "publisher", "core", "--tier", "official", "--key", "core", "--repository", "repo"],
    );
    for name in ["tool-git.wasm", "pack-release-review.wasm"] {
        let to = fixture.sandbox.work().join(name);
        fs::write(&to, fs::read(plugins.join(name)).unwrap()).unwrap();
        fixture.ok(true, &["plugins", "sign", name, "--key", "core"]);
        fixture.ok(true, &["registry", "add", name, "--repository", "repo"]);
    }
    fixture.publish();
    let plan = fixture.does(&["plugins", "install", "core:release-review", "--yes"]);
    assert!(plan.contains("core:git is needed by core:release-review"), "{plan}");
    assert_eq!(fixture.installed(), ["core:git 0.1.0", "core:release-review 0.1.0"]);
    fixture.refused(&["plugins", "remove", "core:git", "--yes"], "dependency_needed", 3);
    fixture.does(&["plugins", "remove", "core:release-review", "--yes"]);
    assert!(fixture.installed().is_empty());
}

#[test]
fn a_yanked_version_is_not_installed_and_a_lock_file_still_brings_it() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    let lock = fixture.lock();
    fs::write(fixture.sandbox.work().join("kept.lock"), &lock).unwrap();
    fixture.does(&["plugins", "remove", "acme:greet", "--yes"]);
    fixture.ok(
        true,
        &[
            "registry",
            "yank",
            "acme:greet",
            "1.0.0",
            "--reason",
            "greets the wrong people",
            "--repository",
            "repo",
        ],
    );
    fixture.publish();
    let said = fixture.refused(&["plugins", "install", "acme:greet", "--yes"], "entry_yanked", 3);
    assert!(said.contains("greets the wrong people"), "{said}");
    // From nothing: another store, the same bytes.
    fs::remove_dir_all(fixture.home("installed")).unwrap();
    fixture.does(&["plugins", "install", "--locked", "kept.lock", "--yes"]);
    let plugins = |text: &str| serde_json::from_str::<Value>(text).unwrap()["plugins"].clone();
    assert_eq!(plugins(&fixture.lock()), plugins(&lock));
    // With its files here it needs no registry.
    fixture.does(&["plugins", "undo", "--to", "0", "--yes"]);
    fs::rename(fixture.sandbox.work().join("repo"), fixture.sandbox.work().join("gone")).unwrap();
    fixture.does(&["plugins", "install", "--locked", "kept.lock", "--yes"]);
    assert_eq!(plugins(&fixture.lock()), plugins(&lock));
}

#[test]
fn what_was_changed_in_the_store_is_not_loaded() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    fixture.does(&["plugins", "info", "acme:greet"]);
    let lock: Value = serde_json::from_str(&fixture.lock()).unwrap();
    let digest =
        lock["plugins"]["acme:greet"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let file = fixture.home("installed/store").join(digest).join("greet.wasm");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o444);
    let good = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, component("acme:greet", "1.0.0", &json!({ "tags": ["evil"] }))).unwrap();
    fixture.refused(&["plugins", "info", "acme:greet"], "store_incomplete", 3);
    fs::write(&file, good).unwrap();
    fixture.does(&["plugins", "info", "acme:greet"]);
}

#[test]
fn a_registry_that_went_back_or_is_not_signed_gives_nothing() {
    let fixture = Fixture::new();
    let work = fixture.sandbox.work();
    copy(&work.join("repo"), &work.join("old"));
    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"]);
    fs::rename(work.join("repo"), work.join("new")).unwrap();
    fs::rename(work.join("old"), work.join("repo")).unwrap();
    fixture.refused(&["plugins", "update", "--yes"], "repository_rollback", 3);
    fs::remove_dir_all(work.join("repo")).unwrap();
    copy(&work.join("new"), &work.join("repo"));
    let timestamp = work.join("repo/metadata/timestamp.json");
    let text = fs::read_to_string(&timestamp).unwrap();
    fs::write(&timestamp, text.replace("2.", "3.").replace("\"version\": 2", "\"version\": 3")).unwrap();
    fixture.refused(&["plugins", "update", "--yes"], "repository_unsigned", 3);
    fs::write(&timestamp, text).unwrap();
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"]);
}

#[test]
fn an_unverified_publisher_is_installed_only_on_purpose() {
    let fixture = Fixture::new();
    fixture.ok(
        true,
        &[
            "registry",
            "publisher",
            "someone",
            "--tier",
            "unverified",
            "--key",
            "acme",
            "--repository",
            "repo",
        ],
    );
    fs::write(fixture.sandbox.work().join("some.wasm"), component("someone:thing", "1.0.0", &json!({})))
        .unwrap();
    fixture.ok(true, &["registry", "add", "some.wasm", "--repository", "repo"]);
    fixture.publish();
    fixture.refused(&["plugins", "install", "someone:thing", "--yes"], "tier_too_low", 3);
    fixture.does(&["plugins", "install", "someone:thing", "--yes", "--allow-unverified"]);
    assert!(fixture.does(&["plugins", "list"]).contains("unverified"));
}

#[test]
fn a_registry_that_is_disconnected_vouches_for_nobody() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert!(fixture.does(&["plugins", "list"]).contains("verified-community"));
    fixture.does(&["registry", "disconnect", "main", "--yes"]);
    assert!(fixture.does(&["plugins", "list"]).contains("unverified"));
    fixture.refused(&["plugins", "install", "acme:greet", "--yes"], "repository_unreachable", 1);
}

#[test]
fn installs_at_the_same_time_follow_one_another() {
    let fixture = Fixture::new();
    for number in 0..4 {
        fixture.add(&component(&format!("acme:tool-{number}"), "1.0.0", &json!({})));
    }
    fixture.publish();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                fixture.does(&["plugins", "install", &format!("acme:tool-{number}"), "--yes"])
            });
        }
    });
    assert_eq!(fixture.installed().len(), 4);
}

#[test]
fn a_kill_at_any_point_leaves_the_old_installation_or_the_new_one() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    let mut seen = Vec::new();
    for delay in 0..20 {
        let mut command = fixture.sandbox.command(fixture.sandbox.path("bin/loong"));
        let mut child = command.args(["plugins", "install", "acme:greet", "--yes"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay * 5));
        let _ = child.kill();
        child.wait().unwrap();
        let installed = fixture.installed();
        assert!(
            ["acme:greet 1.0.0", "acme:greet 1.1.0"].contains(&installed.join(", ").as_str()),
            "{installed:?}"
        );
        assert!(fixture.does(&["plugins", "list"]).contains("acme:greet"));
        if !seen.contains(&installed) {
            seen.push(installed);
        }
    }
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"], "after {seen:?}");
}

#[test]
fn a_full_or_read_only_store_changes_nothing() {
    let fixture = Fixture::new();
    fixture.does(&["plugins", "install", "acme:greet", "--yes"]);
    fixture.add(&component("acme:greet", "1.1.0", &json!({})));
    fixture.publish();
    // A file where a folder has to be: root writes everywhere, so permissions alone would stop nobody here.
    let store = fixture.home("installed/store");
    fs::rename(&store, fixture.home("installed/kept")).unwrap();
    fs::write(&store, "").unwrap();
    let ended = fixture.run(false, &["plugins", "update", "--yes"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("[file_unwritable]"), "{}", ended.stderr);
    fs::remove_file(&store).unwrap();
    fs::rename(fixture.home("installed/kept"), &store).unwrap();
    assert_eq!(fixture.installed(), ["acme:greet 1.0.0"]);
    fixture.does(&["plugins", "update", "--yes"]);
    assert_eq!(fixture.installed(), ["acme:greet 1.1.0"]);
}
