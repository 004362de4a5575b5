//! Approvals: one use is one use, whoever takes it, and what was asked for something else opens nothing.

use loong_kernel::journal::Entry;
use loong_kernel::{ApprovalEnd, Approvals, Standing};
use loong_manifest::{Digest, Risk, Tier};
use loong_policy::{ApprovalRequest, Grant, Rendered};
use serde_json::json;
use tempfile::TempDir;

use super::{open, wait};
use crate::{ApprovalState, DecideError, RunRequest, Store, WaitingRun};

/// What is asked for, with these arguments in this run, under these policies.
fn request(run: &str, arguments: &str, policy: &str) -> ApprovalRequest {
    let digest = Digest::of(b"component");
    ApprovalRequest {
        run: run.to_owned(),
        call: format!("{run}.1"),
        pack: None,
        caller: "person".to_owned(),
        caller_digest: None,
        caller_tier: None,
        operation: "core:file/file@0.1.0#write".parse().unwrap(),
        plugin: "core:file".parse().unwrap(),
        version: "0.1.0".to_owned(),
        digest,
        tier: Tier::Official,
        risk: Risk::Write,
        reasons: vec!["r".to_owned()],
        policies: vec!["p".to_owned()],
        arguments: Rendered::of(&json!(arguments)),
        arguments_digest: Digest::of(arguments.as_bytes()),
        subject: Digest::of(format!("{run} {arguments}").as_bytes()),
        policy: Digest::of(policy.as_bytes()),
        created_ms: 1_700_000_000_000,
        expires_ms: u64::MAX / 4,
    }
}

fn grant(operations: &str, uses: Option<u64>) -> Grant {
    Grant {
        operations: operations.parse().unwrap(),
        component: None,
        run: None,
        uses,
        expires_ms: u64::MAX / 4,
    }
}

fn take(store: &Store, request: &ApprovalRequest) -> Standing {
    wait(store.take(request)).unwrap()
}

fn ask(store: &Store, request: &ApprovalRequest) -> String {
    wait(store.ask(request)).unwrap().unwrap().approval
}

fn taken(standing: &Standing) -> Option<u64> {
    match standing {
        Standing::Taken(taken) => taken.uses_left,
        _ => None,
    }
}

#[test]
fn an_approval_is_used_once_and_for_nothing_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("loong.db");
    let store = open(&path);
    let wanted = request("aaaa", "one", "p");
    let id = ask(&store, &wanted);
    assert_eq!(ask(&store, &wanted), id, "the same question is asked once");
    assert_eq!(take(&store, &wanted), Standing::Open);
    wait(store.decide_approval(&id, true, "command")).unwrap();
    for other in [request("aaaa", "onf", "p"), request("bbbb", "one", "p"), request("aaaa", "one", "q")] {
        assert_eq!(take(&store, &other), Standing::Open);
    }
    // What was approved outlives the process, and so does that it was used.
    store.close().unwrap();
    let store = open(&path);
    assert_eq!(taken(&take(&store, &wanted)), Some(0));
    store.close().unwrap();
    let store = open(&path);
    assert_eq!(take(&store, &wanted), Standing::Open);
    assert_eq!(wait(store.approval(&id)).unwrap().state, ApprovalState::Used);
    let again = wait(store.decide_approval(&id, true, "command"));
    assert_eq!(again, Err(DecideError::Over { id, state: ApprovalState::Used }));
}

#[test]
fn what_was_denied_stays_denied_whatever_was_granted() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("loong.db"));
    let wanted = request("aaaa", "one", "p");
    let id = ask(&store, &wanted);
    wait(store.decide_approval(&id, false, "command")).unwrap();
    wait(store.add_grant("g", &grant("*", None), wanted.policy, "command")).unwrap();
    for _ in 0..2 {
        assert_eq!(take(&store, &wanted), Standing::Denied { approval: id.clone() });
    }
    assert!(matches!(take(&store, &request("aaaa", "two", "p")), Standing::Taken(_)));
}

#[test]
fn uses_are_counted_down_across_restarts_and_processes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("loong.db");
    let wanted = request("aaaa", "one", "p");
    let (first, second) = (open(&path), open(&path));
    wait(first.add_grant("g", &grant("core:file/*", Some(6)), wanted.policy, "command")).unwrap();
    // A grant file that is used again is not new.
    wait(second.add_grant("g", &grant("core:file/*", Some(6)), wanted.policy, "command")).unwrap();
    let mut left = Vec::new();
    for store in [&first, &second, &first, &second] {
        left.push(taken(&take(store, &wanted)).unwrap());
    }
    first.close().unwrap();
    second.close().unwrap();
    let store = open(&path);
    left.push(taken(&take(&store, &wanted)).unwrap());
    left.push(taken(&take(&store, &wanted)).unwrap());
    assert_eq!(left, [5, 4, 3, 2, 1, 0]);
    assert_eq!(take(&store, &wanted), Standing::Open);
    assert!(wait(store.grants(false)).unwrap().is_empty());
}

#[test]
fn many_takers_at_once_get_no_more_uses_than_there_are() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("loong.db");
    let wanted = request("aaaa", "one", "p");
    let store = open(&path);
    wait(store.add_grant("g", &grant("*", Some(10)), wanted.policy, "command")).unwrap();
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let (path, wanted) = (path.clone(), wanted.clone());
            std::thread::spawn(move || {
                let store = open(&path);
                (0..8).filter(|_| matches!(take(&store, &wanted), Standing::Taken(_))).count()
            })
        })
        .collect();
    let taken: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
    assert_eq!(taken, 10);
}

#[test]
fn a_grant_ends_when_it_is_taken_back_and_never_reaches_other_policies() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("loong.db"));
    let wanted = request("aaaa", "one", "p");
    wait(store.add_grant("g", &grant("core:git/*", None), wanted.policy, "command")).unwrap();
    assert_eq!(take(&store, &wanted), Standing::Open);
    wait(store.add_grant("h", &grant("core:file/file#write", None), wanted.policy, "command")).unwrap();
    assert_eq!(take(&store, &request("aaaa", "one", "q")), Standing::Open);
    assert!(matches!(take(&store, &wanted), Standing::Taken(_)));
    wait(store.revoke_grant("h")).unwrap();
    assert_eq!(take(&store, &wanted), Standing::Open);
    assert_eq!(wait(store.revoke_grant("i")), Err(DecideError::Unknown("i".into())));
}

#[test]
fn what_ran_out_or_belongs_to_other_code_or_policies_is_over() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("loong.db"));
    let asked = request("aaaa", "one", "p");
    let stale = ask(&store, &asked);
    wait(store.decide_approval(&stale, true, "command")).unwrap();
    let changed = ApprovalRequest {
        digest: Digest::of(b"another component"),
        subject: Digest::of(b"another subject"),
        ..asked.clone()
    };
    let waiting = wait(store.ask(&changed)).unwrap().unwrap();
    assert_eq!(waiting.ended, [(stale.clone(), ApprovalEnd::Stale)]);
    assert_eq!(take(&store, &asked), Standing::Open);
    assert_eq!(wait(store.approval(&stale)).unwrap().state, ApprovalState::Stale);
    // The clock of these tests is past this one's end.
    let short = ApprovalRequest { expires_ms: 1_700_000_000_001, ..request("bbbb", "one", "p") };
    let late = ask(&store, &short);
    assert!(matches!(wait(store.decide_approval(&late, true, "command")), Err(DecideError::Over { .. })));
    assert_eq!(wait(store.approval(&late)).unwrap().state, ApprovalState::Expired);
    assert_eq!(take(&store, &short), Standing::Open);
}

#[test]
fn nobody_is_asked_without_end() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("loong.db"));
    let asked =
        (0..100).filter(|n| wait(store.ask(&request("aaaa", &n.to_string(), "p"))).unwrap().is_some());
    assert_eq!(asked.count(), 32);
    assert!(wait(store.ask(&request("bbbb", "one", "p"))).unwrap().is_some());
    assert_eq!(wait(store.approvals(false, 1_000)).unwrap().len(), 33);
}

#[test]
fn a_waiting_run_is_taken_by_one_and_gone_when_it_is_over() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("loong.db"));
    let run = WaitingRun {
        id: "0123456789abcdef0123456789abcdef".into(),
        created_ms: 1,
        expires_ms: u64::MAX / 4,
        calls: 3,
        approval: Some("a1".into()),
        request: RunRequest {
            words: vec!["run".into(), "pack.wasm".into()],
            folder: "/w".into(),
            components: [("core:pack".to_owned(), Digest::of(b"pack"))].into(),
        },
        input: Some(vec![0, 255]),
        journal: vec![Entry::Effect { key: Digest::of(b"k"), answer: json!(1) }],
        resumed: false,
    };
    wait(store.save_run(run.clone())).unwrap();
    assert_eq!(wait(store.waiting_runs()).unwrap(), std::slice::from_ref(&run));
    assert_eq!(wait(store.take_run("0123456789")).unwrap(), run);
    assert!(wait(store.take_run("0123456789")).unwrap().resumed, "the second one sees that it is taken");
    assert!(wait(store.take_run("ffff")).is_err());
    assert!(wait(store.take_run("0' OR 1")).is_err());
    wait(store.remove_run(&run.id)).unwrap();
    assert!(wait(store.take_run("0123456789")).is_err());
}
