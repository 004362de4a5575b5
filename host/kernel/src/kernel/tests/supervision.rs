//! Plugins that fail, and versions that take each other's places.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::breaker::{Breaker, Change};
use crate::{Noted, PluginPhase, Standings};

/// How plugins stand, in memory.
#[derive(Default)]
struct Book {
    breakers: Mutex<BTreeMap<Digest, Breaker>>,
    /// The version that comes back.
    before: Mutex<Option<Digest>>,
    now_ms: AtomicU64,
}

impl Book {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000 + self.now_ms.load(Ordering::Relaxed)
    }
}

impl Standings for Book {
    fn all(&self) -> Boxed<'_, Result<BTreeMap<Digest, Breaker>, LedgerError>> {
        Box::pin(async { Ok(self.breakers.lock().unwrap().clone()) })
    }

    fn note<'a>(
        &'a self,
        _: &'a PluginId,
        digest: &'a Digest,
        failure: Option<&'a str>,
    ) -> Boxed<'a, Result<Noted, LedgerError>> {
        let mut breakers = self.breakers.lock().unwrap();
        let breaker = breakers.entry(*digest).or_default();
        let change = match failure {
            None => breaker.succeeded(self.now_ms()),
            Some(reason) => breaker.failed(self.now_ms(), reason),
        };
        let back_to = self.before.lock().unwrap().filter(|_| change == Change::RollBack);
        let noted = Noted { breaker: breaker.clone(), change, back_to };
        Box::pin(std::future::ready(Ok(noted)))
    }
}

async fn supervised(drain_ms: u64) -> (Bench, Arc<Book>) {
    let book = Arc::new(Book::default());
    let bench = Bench::with(None, |parts| {
        let clock = Arc::clone(&book);
        parts.clock = Box::new(move || clock.now_ms());
        parts.standings = Some(Arc::<Book>::clone(&book));
        parts.drain_ms = drain_ms;
    })
    .await;
    (bench, book)
}

/// What was written down of how plugins stand.
fn states(bench: &Bench) -> Vec<PluginPhase> {
    let state = |(event, _): &(Event, Durability)| match event {
        Event::PluginState { state, .. } => Some(*state),
        _ => None,
    };
    bench.paper.events.lock().unwrap().iter().filter_map(state).collect()
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_is_left_alone_and_tried_later() {
    let (bench, book) = supervised(1_000).await;
    for _ in 0..5 {
        assert_eq!(code(bench.call("a.look", "trap x").await), Code::Trap);
    }
    let executed = bench.executed();
    assert_eq!(code(bench.call("a.look", "return").await), Code::CircuitOpen);
    assert_eq!(bench.executed(), executed, "nothing was executed");
    assert_eq!(bench.call("b.look", "return").await.unwrap(), "done", "others go on");
    book.now_ms.store(10_000, Ordering::Relaxed);
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    assert_eq!(states(&bench), [PluginPhase::Open, PluginPhase::Closed]);
    assert!(bench.trail().contains(&"Queued person core:a/a@1.0.0#look Deny circuit_open".to_owned()));
}

#[tokio::test]
async fn what_a_plugin_answers_and_what_it_is_refused_is_no_failure() {
    let (bench, book) = supervised(1_000).await;
    for _ in 0..10 {
        assert_eq!(code(bench.call("a.look", "fail no such file").await), Code::PluginFailed);
        assert_eq!(code(bench.call("a.burn", "return").await), Code::ApprovalRequired);
        assert_eq!(code(bench.call("a.look", "call nothing").await), Code::OperationUnknown);
    }
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    assert!(book.breakers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_others_noted_is_taken_over() {
    let (bench, book) = supervised(1_000).await;
    let digest = bench.kernel.catalog().plugin(&"core:a".parse().unwrap()).unwrap().digest;
    book.breakers.lock().unwrap().entry(digest).or_default().quarantine("waits for a fix");
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    bench.kernel.hear_of_standings().await.unwrap();
    let fault = bench.call("a.look", "return").await.unwrap_err();
    assert_eq!(fault.code(), Code::PluginQuarantined);
    assert!(fault.to_string().contains("waits for a fix"), "{fault}");
    book.breakers.lock().unwrap().clear();
    bench.kernel.hear_of_standings().await.unwrap();
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
}

#[tokio::test]
async fn a_version_that_fails_on_probation_goes_by_itself() {
    let (bench, book) = supervised(1_000).await;
    let id = "core:a".parse().unwrap();
    let old = bench.kernel.catalog().plugin(&id).unwrap().digest;
    let new = bench.admitted("core", "a", "\"core:b\"", true);
    let digest = new.digest;
    assert_ne!(old, digest);
    bench
        .kernel
        .check(Arc::new(bench.admitted("core", "a", "\"core:b\"", true)), &bench.run().await.0)
        .await
        .unwrap();
    bench.kernel.activate(new, None).await.unwrap();
    *book.before.lock().unwrap() = Some(old);
    book.breakers.lock().unwrap().insert(digest, Breaker::on_probation(book.now_ms() + 60_000));
    bench.kernel.hear_of_standings().await.unwrap();
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    for _ in 0..3 {
        assert_eq!(bench.kernel.catalog().plugin(&id).unwrap().digest, digest);
        assert_eq!(code(bench.call("a.look", "trap x").await), Code::Trap);
    }
    assert_eq!(bench.kernel.catalog().plugin(&id).unwrap().digest, old);
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    assert!(states(&bench).contains(&PluginPhase::RolledBack), "{:?}", states(&bench));
}

#[tokio::test]
async fn calls_of_the_version_before_may_end_and_are_ended_when_they_do_not() {
    let (bench, _) = supervised(1_000).await;
    let begin = |deadline_ms: u64| {
        let kernel = Arc::clone(&bench.kernel);
        let deadline = Some(Instant::now() + Duration::from_millis(deadline_ms));
        async move {
            let (run, token) = kernel.start(RunId::from_random([2; 16]), "test".into()).await.unwrap();
            let operation = "a.look".to_owned();
            let arguments = "sleep long";
            kernel
                .call(Call { run, caller: Caller::Person, token, operation, arguments, deadline, depth: 0 })
                .await
        }
    };
    let long = tokio::spawn(begin(600_000));
    tokio::time::sleep(Duration::from_millis(10)).await;
    bench.kernel.activate(bench.admitted("core", "a", "\"core:b\"", true), None).await.unwrap();
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done", "new calls do not wait");
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(!long.is_finished(), "it may end");
    assert!(!states(&bench).contains(&PluginPhase::Drained));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(code(long.await.unwrap()), Code::PluginUnloaded);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(states(&bench), [PluginPhase::Drained]);
}
