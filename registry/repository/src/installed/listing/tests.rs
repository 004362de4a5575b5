use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;

/// A plugin whose component is its id, that offers `NAME:NAME/api` and needs what follows.
fn plugin(id: &str, needs: &[&str]) -> (PluginId, Locked) {
    let id: PluginId = id.parse().unwrap();
    let digest = Digest::of(id.to_string().as_bytes());
    let file = format!("{}.wasm", id.name());
    let locked = serde_json::json!({
        "version": "1.0.0", "digest": digest, "kind": "tool", "summary": format!("does {}", id.name()),
        "registry": "main", "tier": "official", "asked": true,
        "offers": [format!("{}:{}/api@1.0.0", id.publisher(), id.name())], "needs": needs,
        "files": { file: digest },
    });
    (id, serde_json::from_value(locked).unwrap())
}

fn install(installed: &Installed, plugins: &[(PluginId, Locked)]) {
    let change = installed.change().unwrap();
    for (id, plugin) in plugins {
        let name = crate::component_name(id);
        let manifest = serde_json::json!({
            "id": id, "version": "1.0.0", "kind": "tool", "summary": "s", "tags": ["one", "two"],
            "capabilities": {}, "operations": [{ "name": format!("{}:{}/api@1.0.0#go", id.publisher(), id.name()), "risk": "read" }],
        });
        let files = BTreeMap::from([
            (name, id.to_string().into_bytes()),
            ("loong.plugin.json".to_owned(), manifest.to_string().into_bytes()),
        ]);
        change.put(&plugin.digest, &files).unwrap();
    }
    let plugins: BTreeMap<PluginId, Locked> = plugins.iter().cloned().collect();
    change.commit(plugins, "test", UtcTime::from_unix_s(1)).unwrap();
}

fn judged(root: &str, since: u64, until: u64) -> Judged {
    let at = UtcTime::from_unix_s;
    Judged { root: Digest::of(root.as_bytes()), since: at(since), until: at(until) }
}

fn ids(found: Result<Vec<(PluginId, Locked)>, RepositoryError>) -> String {
    let ids: Vec<String> = found.unwrap().iter().map(|(id, _)| id.to_string()).collect();
    ids.join(" ")
}

fn three() -> (TempDir, Installed) {
    let folder = TempDir::new().unwrap();
    let installed = Installed::new(folder.path().to_owned());
    let plugins = [plugin("acme:a", &[]), plugin("acme:b", &["acme:a/api@1.0.0"]), plugin("core:a", &[])];
    install(&installed, &plugins);
    (folder, installed)
}

#[test]
fn answers_about_one_plugin_and_about_all() {
    let (_folder, installed) = three();
    let listing = installed.listing().unwrap();
    assert_eq!(ids(listing.all()), "acme:a acme:b core:a");
    assert_eq!(ids(listing.named("a")), "acme:a core:a");
    assert_eq!(ids(listing.named("core:a")), "core:a");
    assert_eq!(ids(listing.offering("acme:a/api")), "acme:a");
    assert_eq!(ids(listing.needing("acme:a/api")), "acme:b");
    let lock = installed.lock().unwrap();
    for (id, plugin) in &lock.plugins {
        assert_eq!(listing.plugin(id).unwrap().as_ref(), Some(plugin));
    }
    assert_eq!(listing.plugin(&"acme:c".parse().unwrap()).unwrap(), None);
    let rows = listing.rows(Some(&judged("root", 5, 9)), &[]).unwrap();
    assert_eq!(
        (rows[0].tags.join(" "), rows[0].operations.join(" ")),
        ("one two".into(), "acme:a/api@1.0.0#go".into())
    );
    let having = |words: &str| -> Vec<String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let rows = listing.rows(None, &words).unwrap();
        rows.into_iter().map(|row| row.id.to_string()).collect()
    };
    assert_eq!(having("does a"), ["acme:a", "acme:b", "core:a"]);
    assert_eq!(having("does:a/api"), [""; 0]);
    assert_eq!(having("core:a/api@1 two"), ["core:a"]);
    assert_eq!(having("%"), [""; 0]);
    let none = Installed::new("/nonexistent/installed".into()).listing().unwrap();
    assert_eq!((ids(none.all()), none.versions(None).unwrap().len()), (String::new(), 0));
}

#[test]
fn follows_every_change_and_keeps_what_was_there_before() {
    let (_folder, installed) = three();
    drop(installed.listing().unwrap());
    install(&installed, &[plugin("acme:a", &["core:a/api@1.0.0"]), plugin("acme:c", &[])]);
    let stamp = stamp_now(&installed).unwrap();
    assert!(current(&path(&installed), &stamp).is_some(), "the tables follow the change");
    let listing = installed.listing().unwrap();
    assert_eq!(ids(listing.all()), "acme:a acme:c");
    assert_eq!(
        (ids(listing.needing("core:a/api")), ids(listing.offering("acme:b/api"))),
        ("acme:a".into(), String::new())
    );
    let versions = listing.versions(None).unwrap();
    assert_eq!(versions.len(), 4, "{versions:?}");
    assert_eq!(listing.versions(Some("b")).unwrap().len(), 1);
}

#[test]
fn is_made_anew_from_another_lock_file_and_when_it_is_damaged() {
    let (folder, installed) = three();
    drop(installed.listing().unwrap());
    let tables = folder.path().join("listing.db");
    // Somebody else's lock file in its place.
    let mut lock = installed.lock().unwrap();
    lock.plugins.remove(&"acme:b".parse().unwrap());
    std::fs::write(installed.lock_path(), lock.to_json()).unwrap();
    assert_eq!(ids(installed.listing().unwrap().all()), "acme:a core:a");
    for damage in ["", "not a database", "SQLite format 3\0"] {
        std::fs::write(&tables, damage).unwrap();
        assert_eq!(ids(installed.listing().unwrap().all()), "acme:a core:a", "{damage}");
    }
    // Rows that nobody wrote, under a stamp that is right.
    let listing = installed.listing().unwrap();
    Connection::open(&tables).unwrap().execute_batch("UPDATE plugin SET locked = '{'").unwrap();
    assert_eq!(ids(listing.all()), "acme:a core:a");
    assert_eq!(ids(installed.listing().unwrap().all()), "acme:a core:a");
    // A folder in its place, so that nothing can be written there.
    std::fs::remove_file(&tables).unwrap();
    std::fs::create_dir(&tables).unwrap();
    assert_eq!(ids(installed.listing().unwrap().all()), "acme:a core:a");
}

#[test]
fn verdicts_hold_for_their_trust_root_and_their_time() {
    let (_folder, installed) = three();
    let listing = installed.listing().unwrap();
    let said = |id: &str, verdict: Verdict| (id.parse().unwrap(), Digest::of(id.as_bytes()), verdict);
    let verdicts = [said("acme:a", Ok(Tier::Official)), said("core:a", Err("{\"code\":\"x\"}".to_owned()))];
    listing.keep(&judged("root", 5, 9), &verdicts);
    let known = |judged: Judged| -> Vec<Option<Verdict>> {
        listing.rows(Some(&judged), &[]).unwrap().into_iter().map(|row| row.verdict).collect()
    };
    let all = vec![Some(verdicts[0].2.clone()), None, Some(verdicts[1].2.clone())];
    assert_eq!(known(judged("root", 5, 9)), all);
    assert_eq!(known(judged("root", 8, 9)), all);
    for other in [judged("root", 9, 20), judged("root", 4, 9), judged("other", 6, 9)] {
        assert_eq!(known(other), [None, None, None], "{other:?}");
    }
    // What is new is judged beside what is known; another root begins anew.
    let other_bytes = ("acme:b".parse().unwrap(), Digest::of(b"another"), Ok(Tier::Official));
    listing.keep(&judged("root", 6, 9), &[other_bytes]);
    assert_eq!(known(judged("root", 6, 9)), all);
    listing.keep(&judged("root", 6, 9), &[said("acme:b", Ok(Tier::Unverified))]);
    assert_eq!(known(judged("root", 6, 9)).iter().flatten().count(), 3);
    listing.keep(&judged("other", 6, 9), &[said("acme:b", Ok(Tier::Unverified))]);
    assert_eq!(known(judged("other", 6, 9)), [None, Some(Ok(Tier::Unverified)), None]);
    // Other bytes are another matter.
    install(&installed, &[plugin("acme:b", &["core:a/api@1.0.0"])]);
    let listing = installed.listing().unwrap();
    assert_eq!(listing.rows(Some(&judged("other", 6, 9)), &[]).unwrap()[0].verdict, None);
}
