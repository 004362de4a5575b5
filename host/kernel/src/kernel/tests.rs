//! The road of a call, with a scripted ledger and a scripted executor.

mod supervision;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loong_manifest::{Code, Digest, LimitName, OperationName, Tier};
use loong_policy::{ApprovalRequest, Offer, PolicySet, Preset};
use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime};

use serde_json::Value;

use super::*;
use crate::executor::Boxed;
use crate::{
    Approvals, Durability, Event, Executor, Fault, Finished, Job, Ledger, LedgerError, Measure, Revocation,
    RunId, Standing, Taken, Usage, Waiting,
};

/// A ledger that keeps what it is given, and fails from a given event on.
#[derive(Default)]
struct Paper {
    events: Mutex<Vec<(Event, Durability)>>,
    fails_from: Option<usize>,
}

impl Paper {
    fn keep(&self, event: Event, durability: Durability) -> Result<(), LedgerError> {
        let mut events = self.events.lock().unwrap();
        if self.fails_from.is_some_and(|from| events.len() >= from) {
            return Err(LedgerError { problem: "the disk is full".into() });
        }
        events.push((event, durability));
        Ok(())
    }
}

impl Ledger for Arc<Paper> {
    async fn append(&self, event: Event, durability: Durability) -> Result<(), LedgerError> {
        self.keep(event, durability)
    }

    fn append_now(&self, event: Event) -> Result<(), LedgerError> {
        self.keep(event, Durability::Queued)
    }
}

/// What the scripted plugin does when it is called; the text says which.
#[derive(Default)]
struct Script {
    executed: Mutex<Vec<String>>,
    deadlines: Mutex<Vec<Instant>>,
    /// What the extension says, as JSON.
    verdict: Mutex<String>,
}

impl Executor for Script {
    type Plugin = ();
    type Arguments = &'static str;
    type Output = String;

    async fn execute(&self, job: Job<Self>) -> Finished<String> {
        self.executed.lock().unwrap().push(job.operation.to_string());
        self.deadlines.lock().unwrap().push(job.deadline);
        let result = match job.arguments.split_once(' ') {
            Some(("call", operation)) => job.nested.call(operation, "return").await,
            Some(("call-itself", operation)) => {
                let arguments: &'static str = job.arguments;
                job.nested.call(operation, arguments).await
            }
            Some(("sleep", _)) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(String::new())
            }
            Some(("ask", target)) => loop {
                let refused = job.nested.refused("config", target.into(), Code::CapabilityDenied).await;
                if let Err(fault) = refused {
                    break Err(fault);
                }
            },
            Some(("trap", message)) => Err(Fault::Trap { message: message.to_owned() }),
            Some(("fail", message)) => Err(Fault::Plugin { message: message.to_owned() }),
            // Two changes one after the other, and its own effect before each.
            Some(("twice", operation)) => {
                let key = job.nested.effect_key("count", &[]);
                for _ in 0..2 {
                    if job.nested.journal().answer(&key).is_none() {
                        self.executed.lock().unwrap().push("effect".to_owned());
                        job.nested.journal().effect(key, || Value::Null);
                    }
                    if let Err(fault) = job.nested.call(operation, "return").await {
                        return Finished { result: Err(fault), usage: Usage::default() };
                    }
                }
                Ok("twice".to_owned())
            }
            _ if job.operation.function == "review" => Ok(self.verdict.lock().unwrap().clone()),
            _ => Ok("done".to_owned()),
        };
        Finished { result, usage: Usage { fuel: 7, ..Usage::default() } }
    }

    async fn instantiate(&self, plugin: Arc<Active<()>>, _: Instant, _: Nested<Self>) -> Result<(), Fault> {
        self.executed.lock().unwrap().push(format!("instance of {}", plugin.id));
        Ok(())
    }

    fn measure(&self, arguments: &&'static str) -> Measure {
        Measure { digest: Digest::of(arguments.as_bytes()), bytes: arguments.len() as u64 }
    }

    fn measure_output(&self, output: &String) -> Measure {
        Measure { digest: Digest::of(output.as_bytes()), bytes: output.len() as u64 }
    }

    fn arguments_of(&self, json: Value) -> &'static str {
        Box::leak(json.to_string().into_boxed_str())
    }

    fn arguments_json(&self, (): &(), _: &OperationName, arguments: &&'static str) -> Result<Value, Fault> {
        match *arguments {
            "unfit" => Err(Fault::Arguments { problem: "unfit".into() }),
            fit => Ok(Value::from(fit)),
        }
    }

    fn output_json(&self, (): &(), _: &OperationName, output: &String) -> Result<Value, Fault> {
        Ok(serde_json::from_str(output).unwrap_or_else(|_| Value::from(output.as_str())))
    }

    fn output_of(&self, (): &(), _: &OperationName, json: &Value, _: &&'static str) -> Result<String, Fault> {
        Ok(json.as_str().unwrap_or_default().to_owned())
    }
}

/// A component that exports `look`, `change`, `burn` and `review` of one interface.
fn component(publisher: &str, name: &str, tools: &str) -> Vec<u8> {
    let interface = match name {
        "extension" => "loong:policy/extension@0.1.0".to_owned(),
        _ => format!("{publisher}:{name}/{name}@1.0.0"),
    };
    let text = format!(
        r#"(component
          (core module $m (func (export "look")) (func (export "change")) (func (export "burn")) (func (export "review")))
          (core instance $i (instantiate $m))
          (func $look (canon lift (core func $i "look")))
          (func $change (canon lift (core func $i "change")))
          (func $burn (canon lift (core func $i "burn")))
          (func $review (canon lift (core func $i "review")))
          (instance $w (export "look" (func $look)) (export "change" (func $change)) (export "burn" (func $burn)) (export "review" (func $review)))
          (export "{interface}" (instance $w)))"#
    );
    let manifest = format!(
        r#"{{"id":"{publisher}:{name}","version":"1.0.0","kind":"tool","summary":"s",
            "capabilities":{{"tools":{{"reason":"r","operations":[{tools}]}}}},
            "operations":[{{"name":"{interface}#look","risk":"read"}},{{"name":"{interface}#change","risk":"write"}},
              {{"name":"{interface}#burn","risk":"irreversible"}},{{"name":"{interface}#review","risk":"read"}}]}}"#
    );
    loong_inspect::with_manifest(&wat::parse_str(&text).unwrap(), manifest.as_bytes()).unwrap()
}

fn root(key: &SigningKey, publisher: &str) -> TrustRoot {
    let expires = UtcTime::from_unix_s(2_000_000_000);
    TrustRoot::local(&key.public(), "built here", &[publisher], Tier::Official, expires).unwrap()
}

/// A book of approvals that a test writes in.
#[derive(Default)]
struct Book {
    /// Requests that wait, with what was decided about each.
    requests: Mutex<Vec<(ApprovalRequest, Option<bool>)>>,
}

impl Approvals for Book {
    fn take<'a>(&'a self, request: &'a ApprovalRequest) -> Boxed<'a, Result<Standing, LedgerError>> {
        let mut requests = self.requests.lock().unwrap();
        let found =
            requests.iter().position(|(other, answer)| other.subject == request.subject && answer.is_some());
        let standing = found.map_or(Standing::Open, |at| match requests.remove(at).1 {
            Some(true) => Standing::Taken(Taken { approval: "a1".into(), uses_left: Some(0) }),
            _ => Standing::Denied { approval: "a1".into() },
        });
        Box::pin(std::future::ready(Ok(standing)))
    }

    fn ask<'a>(&'a self, request: &'a ApprovalRequest) -> Boxed<'a, Result<Option<Waiting>, LedgerError>> {
        self.requests.lock().unwrap().push((request.clone(), None));
        let waiting =
            Waiting { approval: "a1".into(), binding: request.subject, new: true, ended: Vec::new() };
        Box::pin(std::future::ready(Ok(Some(waiting))))
    }

    fn decide<'a>(&'a self, _: &'a str, allow: bool) -> Boxed<'a, Result<(), LedgerError>> {
        self.answer(allow);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Book {
    /// Answers the request that was made last.
    fn answer(&self, allow: bool) {
        self.requests.lock().unwrap().last_mut().unwrap().1 = Some(allow);
    }
}

struct Bench {
    kernel: Arc<Kernel<Arc<Paper>, Script>>,
    paper: Arc<Paper>,
    book: Arc<Book>,
    saved: Mutex<Option<Vec<Entry>>>,
}

impl Bench {
    /// A kernel with `core:a`, which may call everything of `core`, and `core:b`, which may call nothing.
    async fn new(fails_from: Option<usize>) -> Self {
        Self::with(fails_from, |_| {}).await
    }

    /// The same with other parts.
    async fn with(fails_from: Option<usize>, change: impl FnOnce(&mut Parts<Arc<Paper>, Script>)) -> Self {
        let paper = Arc::new(Paper { fails_from, ..Paper::default() });
        let policy = PolicySet::builtin(Preset::Default).unwrap();
        let script = Script::default();
        let mut parts = Parts::new(policy, Arc::clone(&paper), script, Box::new(|| 1_800_000_000_000));
        let book = Arc::new(Book::default());
        parts.approvals = Some(Arc::<Book>::clone(&book));
        change(&mut parts);
        let bench = Self { kernel: Kernel::of(parts), paper, book, saved: Mutex::default() };
        bench.activate("core", "a", "\"core:*\"", true).await.ok();
        bench.activate("core", "b", "", true).await.ok();
        bench
    }

    async fn activate(&self, publisher: &str, name: &str, tools: &str, signed: bool) -> Result<(), Fault> {
        let plugin = self.admitted(publisher, name, tools, signed);
        self.kernel.activate(plugin, None).await
    }

    /// Makes `core:extension` review everything, and say this.
    async fn extend(&self, verdict: &str) {
        *self.kernel.executor().verdict.lock().unwrap() = verdict.to_owned();
        self.kernel.activate_extension(self.admitted("core", "extension", "", true), None).await.unwrap();
    }

    fn admitted(&self, publisher: &str, name: &str, tools: &str, signed: bool) -> Active<()> {
        let key = SigningKey::generate().unwrap();
        let root = root(&key, publisher);
        let bytes = component(publisher, name, tools);
        let candidate = Candidate::read(bytes.clone(), None, name).unwrap();
        let bundle = signed.then(|| loong_trust::sign(&key, &candidate).unwrap());
        let verified =
            loong_trust::verify(Candidate::read(bytes, bundle, name).unwrap(), &root, 1_800_000_000).unwrap();
        let admitted = loong_policy::admit(self.kernel.policy(), verified, &Offer::default()).unwrap();
        Active::new(&admitted, ())
    }

    async fn run(&self) -> (Arc<Run>, Token) {
        self.kernel.start(RunId::from_random([1; 16]), "test".into()).await.unwrap()
    }

    async fn call(&self, operation: &str, arguments: &'static str) -> Result<String, Fault> {
        let (run, token) = self.run().await;
        self.call_in(&run, token, operation, arguments, None).await
    }

    async fn call_in(
        &self,
        run: &Arc<Run>,
        token: Token,
        operation: &str,
        arguments: &'static str,
        deadline: Option<Instant>,
    ) -> Result<String, Fault> {
        let run = Arc::clone(run);
        let operation = operation.to_owned();
        let call = Call { run, caller: Caller::Person, token, operation, arguments, deadline, depth: 0 };
        Arc::clone(&self.kernel).call(call).await
    }

    /// Decisions as `caller operation outcome code`, and ends as `end operation code`.
    fn trail(&self) -> Vec<String> {
        let line = |(event, durability): &(Event, Durability)| match event {
            Event::Decision { caller, operation, outcome, code, .. } => {
                let code = code.map_or("-", Code::as_str);
                Some(format!("{durability:?} {caller} {operation} {outcome:?} {code}"))
            }
            Event::CallFinished { operation, code, .. } => {
                Some(format!("{durability:?} end {operation} {}", code.map_or("-", Code::as_str)))
            }
            _ => None,
        };
        self.paper.events.lock().unwrap().iter().filter_map(line).collect()
    }

    fn executed(&self) -> usize {
        self.kernel.executor().executed.lock().unwrap().len()
    }
}

#[track_caller]
fn code(result: Result<String, Fault>) -> Code {
    result.unwrap_err().code()
}

#[tokio::test]
async fn a_reading_call_is_decided_recorded_executed_and_recorded() {
    let bench = Bench::new(None).await;
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    assert_eq!(
        bench.trail(),
        ["Queued person core:a/a@1.0.0#look Allow -", "Queued end core:a/a@1.0.0#look -"]
    );
}

#[tokio::test]
async fn a_writing_call_is_on_the_disk_before_it_is_executed() {
    let bench = Bench::new(None).await;
    bench.call("a.change", "return").await.unwrap();
    assert_eq!(
        bench.trail(),
        ["Durable person core:a/a@1.0.0#change Allow -", "Durable end core:a/a@1.0.0#change -"]
    );
}

#[tokio::test]
async fn what_needs_a_person_is_not_executed() {
    let bench = Bench::new(None).await;
    assert_eq!(code(bench.call("a.burn", "return").await), Code::ApprovalRequired);
    assert_eq!(bench.trail(), ["Queued person core:a/a@1.0.0#burn NeedsApproval approval_required"]);
    assert_eq!(bench.executed(), 0);
}

#[tokio::test]
async fn nothing_is_executed_that_could_not_be_recorded() {
    // Two plugins, a token and the run's start are written; the decision is the fifth event.
    let bench = Bench::new(Some(4)).await;
    assert_eq!(code(bench.call("a.look", "return").await), Code::AuditUnavailable);
    assert_eq!(bench.executed(), 0);
}

#[tokio::test]
async fn a_run_that_cannot_be_recorded_does_not_begin() {
    let bench = Bench::new(Some(3)).await;
    let started = bench.kernel.start(RunId::from_random([1; 16]), "test".into()).await;
    assert_eq!(started.err().map(|fault| fault.code()), Some(Code::AuditUnavailable));
}

#[tokio::test]
async fn a_plugin_calls_within_its_grants_under_its_own_name() {
    let bench = Bench::new(None).await;
    assert_eq!(bench.call("a.look", "call b.look").await.unwrap(), "done");
    assert_eq!(
        bench.trail(),
        [
            "Queued person core:a/a@1.0.0#look Allow -",
            "Queued core:a core:b/b@1.0.0#look Allow -",
            "Queued end core:b/b@1.0.0#look -",
            "Queued end core:a/a@1.0.0#look -",
        ]
    );
}

#[tokio::test]
async fn to_a_plugin_what_it_may_not_call_and_what_does_not_exist_look_the_same() {
    let bench = Bench::new(None).await;
    let hidden = bench.call("b.look", "call a.look").await.unwrap_err();
    let absent = bench.call("b.look", "call c.look").await.unwrap_err();
    assert_eq!(hidden, Fault::Unknown { operation: "a.look".into() });
    assert_eq!(absent, Fault::Unknown { operation: "c.look".into() });
    let trail = bench.trail();
    assert!(trail.contains(&"Queued core:b a.look Deny capability_denied".to_owned()), "{trail:?}");
    assert!(trail.contains(&"Queued core:b c.look Deny operation_unknown".to_owned()), "{trail:?}");
}

#[tokio::test]
async fn a_plugin_that_changes_something_through_another_needs_a_person() {
    let bench = Bench::new(None).await;
    assert_eq!(code(bench.call("a.look", "call b.change").await), Code::ApprovalRequired);
    assert_eq!(bench.executed(), 1);
}

#[tokio::test]
async fn calls_that_nest_for_ever_end_at_a_depth() {
    let bench = Bench::new(None).await;
    assert_eq!(code(bench.call("a.look", "call-itself a.look").await), Code::DepthExceeded);
    let depth_max = bench.kernel.policy().tiers().row(Tier::Official).limits.depth_max as usize;
    assert_eq!(bench.executed(), depth_max + 1);
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_is_still_recorded_as_ended() {
    let bench = Bench::new(None).await;
    let call = bench.call("a.look", "sleep long");
    assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    assert_eq!(bench.trail().last().unwrap(), "Queued end core:a/a@1.0.0#look interrupted");
}

#[tokio::test]
async fn a_callee_gets_no_more_time_than_its_caller_has() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    let deadline = Some(Instant::now() + Duration::from_millis(500));
    bench.call_in(&run, token, "a.look", "call a.look", deadline).await.unwrap();
    let given = bench.kernel.executor().deadlines.lock().unwrap();
    assert_eq!(given.len(), 2);
    assert!(given.iter().all(|given| Some(*given) <= deadline));
}

#[tokio::test]
async fn a_token_of_another_run_opens_nothing() {
    let bench = Bench::new(None).await;
    let (run, _) = bench.run().await;
    let (_, other) = bench.kernel.start(RunId::from_random([2; 16]), "test".into()).await.unwrap();
    assert_eq!(code(bench.call_in(&run, other, "a.look", "return", None).await), Code::TokenInvalid);
    assert_eq!((bench.executed(), run.denied()), (0, 1));
}

#[tokio::test]
async fn raising_the_generation_revokes_every_token() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    bench.kernel.revoke(&Revocation::Generation, "a new session").await.unwrap();
    assert_eq!(code(bench.call_in(&run, token, "a.look", "return", None).await), Code::TokenRevoked);
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
}

#[tokio::test]
async fn an_unverified_component_never_takes_the_place_of_a_signed_one() {
    let bench = Bench::new(None).await;
    let refused = bench.activate("core", "a", "", false).await;
    assert_eq!(refused.err().map(|fault| fault.code()), Some(Code::TierTooLow));
    assert_eq!(bench.kernel.catalog().plugins().filter(|plugin| plugin.tier == Tier::Official).count(), 2);
}

#[tokio::test]
async fn a_failing_plugin_is_recorded_with_what_it_used() {
    let bench = Bench::new(None).await;
    assert_eq!(code(bench.call("a.look", "fail badly").await), Code::PluginFailed);
    let events = bench.paper.events.lock().unwrap();
    let (last, _) = events.last().unwrap();
    assert!(
        matches!(last, Event::CallFinished { code: Some(Code::PluginFailed), usage, .. } if usage.fuel == 7),
        "{last:?}"
    );
}

#[tokio::test]
async fn every_event_is_read_back_as_it_was_written() {
    let bench = Bench::new(None).await;
    let _ = bench.call("a.look", "call b.look").await;
    let _ = bench.call("a.burn", "return").await;
    for (event, _) in bench.paper.events.lock().unwrap().iter() {
        let json = serde_json::to_value(event).unwrap();
        assert_eq!(json["kind"], event.kind().0);
        assert_eq!(&serde_json::from_value::<Event>(json).unwrap(), event);
    }
    assert!(matches!(bench.paper.events.lock().unwrap()[0].0, Event::PluginLoaded { .. }));
}

#[tokio::test]
async fn a_plugin_cannot_fill_the_log_with_its_refusals() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    let asked = bench.call_in(&run, token.clone(), "a.look", "ask again", None).await.unwrap_err();
    let limit = LimitName::Refusals;
    assert_eq!(asked, Fault::Limit { limit, maximum: 1000, used: Some(1001) });
    assert_eq!(run.denied(), 1000);
    // Nor by calling what does not exist.
    let events = bench.paper.events.lock().unwrap().len();
    assert_eq!(code(bench.call_in(&run, token, "no.such", "", None).await), Code::LimitExceeded);
    assert_eq!(bench.paper.events.lock().unwrap().len(), events);
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
}

#[tokio::test]
async fn a_run_knows_which_of_its_calls_are_still_open() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    let call = bench.call_in(&run, token, "a.look", "sleep long", None);
    let call = tokio::time::timeout(Duration::from_millis(20), async {
        let open = async {
            while run.open_calls() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(call, open)
    });
    assert!(call.await.is_err());
    assert_eq!(run.open_calls(), 0);
    assert!(bench.trail().last().unwrap().starts_with("Queued end "), "{:?}", bench.trail());
}

#[tokio::test]
async fn what_needs_a_person_waits_and_is_done_once_when_approved() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    let burn = || bench.call_in(&run, token.clone(), "a.burn", "return", None);
    let fault = burn().await.unwrap_err();
    assert!(matches!(&fault, Fault::NeedsApproval { approval: Some(id), .. } if id == "a1"), "{fault:?}");
    assert_eq!(bench.executed(), 0);
    bench.book.answer(true);
    assert_eq!(burn().await.unwrap(), "done");
    // The one use is gone.
    assert_eq!(code(burn().await), Code::ApprovalRequired);
    assert_eq!(bench.executed(), 1);
    bench.book.answer(false);
    assert_eq!(code(burn().await), Code::ApprovalDenied);
    let kinds: Vec<&str> =
        bench.paper.events.lock().unwrap().iter().map(|(event, _)| event.kind().0).collect();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!((count("approval_requested"), count("approval_used"), count("call_started")), (2, 1, 1));
    let events = bench.paper.events.lock().unwrap();
    let used = events.iter().find(|(event, _)| event.kind().0 == "approval_used").unwrap();
    assert_eq!(used.1, Durability::Durable);
}

#[tokio::test]
async fn an_approval_is_for_these_arguments_of_this_caller_in_this_run() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    let call = |arguments| bench.call_in(&run, token.clone(), "a.burn", arguments, None);
    assert_eq!(code(call("one").await), Code::ApprovalRequired);
    bench.book.answer(true);
    assert_eq!(code(call("onf").await), Code::ApprovalRequired);
    // By a plugin rather than by the person.
    let nested = bench.call_in(&run, token.clone(), "a.look", "call a.burn", None).await;
    assert_eq!(code(nested), Code::ApprovalRequired);
    let (other, its) = bench.kernel.start(RunId::from_random([2; 16]), "test".into()).await.unwrap();
    assert_eq!(code(bench.call_in(&other, its, "a.burn", "one", None).await), Code::ApprovalRequired);
    assert_eq!(call("one").await.unwrap(), "done");
    // Nobody is asked about arguments that do not fit.
    let asked = bench.book.requests.lock().unwrap().len();
    assert_eq!(code(call("unfit").await), Code::ArgumentsInvalid);
    assert_eq!(bench.book.requests.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn a_run_that_goes_on_does_nothing_twice() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    let stopped = bench.call_in(&run, token, "a.look", "twice b.change", None).await;
    assert_eq!(code(stopped), Code::ApprovalRequired);
    for round in 1..=2 {
        bench.book.answer(true);
        let (entries, unrepeatable) = run_journal(&bench, &run);
        assert_eq!(unrepeatable, None);
        let text = serde_json::to_string(&entries).unwrap();
        let id = run.id().clone();
        let entries = serde_json::from_str(&text).unwrap();
        let (again, token) = bench.kernel.resume(id, run.calls(), entries).await.unwrap();
        let result = bench.call_in(&again, token, "a.look", "twice b.change", None).await;
        if round == 1 {
            // The first change is done, the second one waits.
            assert_eq!(code(result), Code::ApprovalRequired);
            let (entries, _) = run_journal(&bench, &again);
            *bench.saved.lock().unwrap() = Some(entries);
        } else {
            assert_eq!(result.unwrap(), "twice");
        }
    }
    let executed = bench.kernel.executor().executed.lock().unwrap().clone();
    let count = |what: &str| executed.iter().filter(|found| found.as_str() == what).count();
    // The pack itself began three times; everything that changes something happened as often as it should.
    assert_eq!(
        (count("core:a/a@1.0.0#look"), count("core:b/b@1.0.0#change"), count("effect")),
        (3, 2, 2),
        "{executed:?}"
    );
}

/// What the run left, or what the test saved of the run that went on.
fn run_journal(bench: &Bench, run: &Run) -> (Vec<Entry>, Option<String>) {
    match bench.saved.lock().unwrap().take() {
        Some(entries) => (entries, None),
        None => run.journal().take(),
    }
}

#[tokio::test]
async fn an_extension_can_deny_and_ask_and_never_allow() {
    let bench = Bench::new(None).await;
    bench.extend("\"abstain\"").await;
    assert_eq!(bench.call("a.look", "return").await.unwrap(), "done");
    assert_eq!(code(bench.call("a.burn", "return").await), Code::ApprovalRequired);
    bench.extend(r#"{"deny":"spent"}"#).await;
    let fault = bench.call("a.look", "return").await.unwrap_err();
    assert_eq!(fault.to_string(), "denied: `core:extension` denies it: spent");
    assert_eq!(fault.code(), Code::ExtensionDenied);
    bench.extend(r#"{"require-approval":"large"}"#).await;
    assert_eq!(code(bench.call("a.look", "return").await), Code::ApprovalRequired);
    for nonsense in ["\"allow\"", "{}", r#"{"allow":"yes"}"#] {
        bench.extend(nonsense).await;
        assert_eq!(code(bench.call("a.look", "return").await), Code::ExtensionFailed, "{nonsense}");
    }
    // It is in no catalog: nobody can call it or find it.
    assert_eq!(code(bench.call("extension.review", "return").await), Code::OperationUnknown);
}

#[tokio::test]
async fn what_policy_denies_no_extension_and_no_approval_opens() {
    let bench = Bench::new(None).await;
    bench.activate("acme", "c", "\"core:*\",\"other:*\"", true).await.unwrap();
    bench.activate("other", "d", "", true).await.unwrap();
    bench.extend("\"abstain\"").await;
    // Policy lets nobody into a closed namespace, and asks nobody about it either.
    bench.activate("shut", "e", "", false).await.unwrap();
    let fault = bench.call("c.look", "call e.look").await.unwrap_err();
    assert_eq!(fault.code(), Code::OperationUnknown);
    assert!(bench.book.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_revoked_token_or_key_ends_what_hangs_on_it() {
    let bench = Bench::new(None).await;
    let (run, token) = bench.run().await;
    bench.kernel.revoke(&Revocation::Token(token.id()), "lost").await.unwrap();
    assert_eq!(code(bench.call_in(&run, token, "a.look", "return", None).await), Code::TokenRevoked);
    let (run, token) = bench.kernel.start(RunId::from_random([2; 16]), "test".into()).await.unwrap();
    assert_eq!(bench.call_in(&run, token.clone(), "a.look", "return", None).await.unwrap(), "done");
    let key = bench.kernel.catalog().plugin(&"core:a".parse().unwrap()).unwrap().key.clone().unwrap();
    bench.kernel.revoke(&Revocation::Key(key), "stolen").await.unwrap();
    let call = |operation| bench.call_in(&run, token.clone(), operation, "return", None);
    assert_eq!(code(call("a.look").await), Code::OperationUnknown);
    assert_eq!(call("b.look").await.unwrap(), "done");
    let kinds: Vec<&str> =
        bench.paper.events.lock().unwrap().iter().map(|(event, _)| event.kind().0).collect();
    assert!(kinds.contains(&"token_revoked") && kinds.contains(&"plugin_unloaded"), "{kinds:?}");
}
