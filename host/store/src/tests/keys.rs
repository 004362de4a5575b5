//! Key-value spaces: whose they are and how much they hold.

use std::collections::BTreeMap;

use loong_kernel::{KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX, KvError, KvPage, KvSpace};
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

const MANY: u64 = 1 << 20;

fn page(keys: &[&str], more: bool) -> KvPage {
    KvPage { keys: keys.iter().map(|key| (*key).to_owned()).collect(), more }
}

fn limit(limit: &'static str, maximum: u64, used: u64) -> Result<(), KvError> {
    Err(KvError::Limit { limit, maximum, used })
}

#[test]
fn keeps_values_across_runs() {
    let (_folder, path) = place();
    let owner = plugin("core:git");
    let store = open(&path);
    wait(async {
        assert_eq!(store.get(&owner, "cursor").await, Ok(None));
        store.set(&owner, "cursor", b"one".to_vec(), MANY).await.unwrap();
        store.set(&owner, "cursor", vec![0, 255], MANY).await.unwrap();
        store.set(&owner, "empty", Vec::new(), MANY).await.unwrap();
    });
    store.close().unwrap();
    let store = open(&path);
    wait(async {
        assert_eq!(store.get(&owner, "cursor").await, Ok(Some(vec![0, 255])));
        assert_eq!(store.get(&owner, "empty").await, Ok(Some(Vec::new())));
        assert_eq!(store.delete(&owner, "cursor").await, Ok(true));
        assert_eq!(store.delete(&owner, "cursor").await, Ok(false));
        assert_eq!(store.get(&owner, "cursor").await, Ok(None));
    });
}

#[test]
fn no_plugin_sees_what_another_keeps() {
    let (_folder, path) = place();
    let store = open(&path);
    let owners = ["core:git", "core:gi", "core:git-t", "acme:git", "git:core"].map(plugin);
    wait(async {
        for owner in &owners {
            store.set(owner, "key", owner.to_string().into_bytes(), MANY).await.unwrap();
        }
        for owner in &owners {
            assert_eq!(store.get(owner, "key").await, Ok(Some(owner.to_string().into_bytes())));
            assert_eq!(store.list(owner, "", None, 100).await, Ok(page(&["key"], false)));
        }
        assert_eq!(store.delete(&owners[0], "key").await, Ok(true));
        for owner in owners.iter().skip(1) {
            assert!(store.get(owner, "key").await.unwrap().is_some());
        }
    });
}

#[test]
fn a_space_holds_as_much_as_its_owner_may_have_and_no_more() {
    let (_folder, path) = place();
    let store = open(&path);
    let (owner, other) = (plugin("core:git"), plugin("core:other"));
    wait(async {
        store.set(&owner, "a", vec![0; 49], 100).await.unwrap();
        assert_eq!(store.set(&owner, "b", vec![0; 50], 100).await, limit("kv-bytes-max", 100, 101));
        assert_eq!(store.get(&owner, "b").await, Ok(None));
        store.set(&owner, "b", vec![0; 49], 100).await.unwrap();
        assert_eq!(store.set(&owner, "c", Vec::new(), 100).await, limit("kv-bytes-max", 100, 101));
        // Another's space is another's.
        store.set(&other, "a", vec![0; 99], 100).await.unwrap();
        // Replacing counts the difference, removing gives back.
        store.set(&owner, "a", vec![1; 49], 100).await.unwrap();
        store.delete(&owner, "b").await.unwrap();
        store.set(&owner, "a", vec![0; 99], 100).await.unwrap();
        // Under a smaller maximum a space may shrink but not grow.
        store.set(&owner, "a", vec![0; 60], 10).await.unwrap();
        assert_eq!(store.set(&owner, "a", vec![0; 61], 10).await, limit("kv-bytes-max", 10, 62));
    });
}

#[test]
fn keys_and_values_are_bounded() {
    let (_folder, path) = place();
    let store = open(&path);
    let owner = plugin("core:git");
    let (key_max, value_max) = (KV_KEY_BYTES_MAX as usize, KV_VALUE_BYTES_MAX as usize);
    wait(async {
        assert_eq!(store.set(&owner, "", Vec::new(), MANY).await, Err(KvError::KeyEmpty));
        assert_eq!(store.get(&owner, "").await, Err(KvError::KeyEmpty));
        let key = "k".repeat(key_max);
        store.set(&owner, &key, vec![0; value_max], MANY).await.unwrap();
        let long = "k".repeat(key_max + 1);
        let too_long = limit("kv-key-bytes-max", KV_KEY_BYTES_MAX, KV_KEY_BYTES_MAX + 1);
        assert_eq!(store.set(&owner, &long, Vec::new(), MANY).await, too_long);
        assert_eq!(store.get(&owner, &long).await.map(|_| ()), too_long);
        assert_eq!(store.delete(&owner, &long).await.map(|_| ()), too_long);
        assert_eq!(
            store.set(&owner, "v", vec![0; value_max + 1], MANY).await,
            limit("kv-value-bytes-max", KV_VALUE_BYTES_MAX, KV_VALUE_BYTES_MAX + 1)
        );
    });
}

#[test]
fn lists_in_pages_by_prefix() {
    let (_folder, path) = place();
    let store = open(&path);
    let owner = plugin("core:git");
    wait(async {
        for key in ["b/2", "a", "b/1", "b/%", "b", "b/é", "c\u{10ffff}", "b/\0", "B"] {
            store.set(&owner, key, Vec::new(), MANY).await.unwrap();
        }
        let list = async |prefix, after, limit| store.list(&owner, prefix, after, limit).await.unwrap();
        let all = ["B", "a", "b", "b/\0", "b/%", "b/1", "b/2", "b/é", "c\u{10ffff}"];
        assert_eq!(list("", None, 100).await, page(&all, false));
        assert_eq!(list("b/", None, 100).await, page(&all[3..8], false));
        assert_eq!(list("b/", None, 2).await, page(&all[3..5], true));
        assert_eq!(list("b/", Some("b/%"), 2).await, page(&all[5..7], true));
        assert_eq!(list("b/", Some("b/2"), 2).await, page(&["b/é"], false));
        assert_eq!(list("b/", Some("b/2"), 1).await, page(&["b/é"], false));
        assert_eq!(list("b/", Some("zzz"), 2).await, page(&[], false));
        assert_eq!(list("b/", Some("A"), 1).await, page(&["b/\0"], true));
        assert_eq!(list("b/%", None, 9).await, page(&["b/%"], false));
        assert_eq!(list("c\u{10ffff}", None, 9).await, page(&["c\u{10ffff}"], false));
        assert_eq!(list("", None, 0).await, page(&[], false));
    });
}

#[test]
fn gives_at_most_a_thousand_keys_at_once() {
    let (_folder, path) = place();
    let store = open(&path);
    let owner = plugin("core:git");
    wait(async {
        for n in 0..1001 {
            store.set(&owner, &format!("{n:04}"), Vec::new(), MANY).await.unwrap();
        }
        let page = store.list(&owner, "", None, u32::MAX).await.unwrap();
        assert_eq!((page.keys.len(), page.more), (1000, true));
    });
}

#[test]
fn nothing_is_kept_once_the_audit_log_has_failed() {
    let (_folder, path) = place();
    let store = open(&path);
    let owner = plugin("core:git");
    wait(async {
        store.append(event(0), Durability::Written).await.unwrap();
        Connection::open(&path).unwrap().execute_batch("DELETE FROM head").unwrap();
        store.append(event(1), Durability::Queued).await.unwrap();
        // The event that says what is about to happen comes first, and fails.
        let error = store.set(&owner, "key", Vec::new(), MANY).await.unwrap_err();
        assert_eq!(error.code(), Code::StoreUnavailable);
        assert!(error.to_string().contains("audit log"), "{error}");
    });
}

#[test]
fn is_not_available_after_closing() {
    let (_folder, path) = place();
    let store = open(&path);
    let other = store.clone();
    store.close().unwrap();
    let error = wait(other.get(&plugin("core:git"), "key")).unwrap_err();
    assert_eq!(error.code(), Code::StoreUnavailable);
}

#[derive(Debug, Clone)]
enum Step {
    Set(String, usize),
    Delete(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => ("[ab]{1,2}", 0..40_usize).prop_map(|(key, bytes)| Step::Set(key, bytes)),
        1 => "[ab]{1,2}".prop_map(Step::Delete),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_map_with_a_total(steps in proptest::collection::vec(step(), 1..40)) {
        let (_folder, path) = place();
        let store = open(&path);
        let owner = plugin("core:git");
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        wait(async {
            for step in steps {
                match step {
                    Step::Set(key, bytes) => {
                        let mut after = model.clone();
                        after.insert(key.clone(), vec![7; bytes]);
                        let used = |map: &BTreeMap<String, Vec<u8>>| -> usize {
                            map.iter().map(|(key, value)| key.len() + value.len()).sum()
                        };
                        let fits = used(&after) <= 100 || used(&after) <= used(&model);
                        assert_eq!(store.set(&owner, &key, vec![7; bytes], 100).await.is_ok(), fits);
                        if fits {
                            model = after;
                        }
                    }
                    Step::Delete(key) => {
                        assert_eq!(store.delete(&owner, &key).await.unwrap(), model.remove(&key).is_some());
                    }
                }
                let keys = store.list(&owner, "", None, 100).await.unwrap().keys;
                assert_eq!(keys, model.keys().cloned().collect::<Vec<_>>());
            }
            for (key, value) in &model {
                assert_eq!(store.get(&owner, key).await.unwrap().as_ref(), Some(value));
            }
        });
    }
}
