//! The road of a call, with a scripted ledger and a scripted executor.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loong_manifest::{Code, Tier};
use loong_policy::{Offer, PolicySet, Preset};
use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime};

use super::*;
use crate::{Durability, Event, Executor, Fault, Finished, Job, Ledger, LedgerError, RunId, Usage};

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
struct Script {
    executed: Mutex<Vec<String>>,
}

impl Executor for Script {
    type Plugin = ();
    type Arguments = &'static str;
    type Output = String;

    async fn execute(&self, job: Job<Self>) -> Finished<String> {
        self.executed.lock().unwrap().push(job.operation.to_string());
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
            Some(("fail", message)) => Err(Fault::Plugin { message: message.to_owned() }),
            _ => Ok("done".to_owned()),
        };
        Finished { result, usage: Usage { fuel: 7, ..Usage::default() } }
    }
}

/// A component that exports `look` and `change` of one interface.
fn component(publisher: &str, name: &str, tools: &str) -> Vec<u8> {
    let interface = format!("{publisher}:{name}/{name}@1.0.0");
    let text = format!(
        r#"(component
          (core module $m (func (export "look")) (func (export "change")) (func (export "burn")))
          (core instance $i (instantiate $m))
          (func $look (canon lift (core func $i "look")))
          (func $change (canon lift (core func $i "change")))
          (func $burn (canon lift (core func $i "burn")))
          (instance $w (export "look" (func $look)) (export "change" (func $change)) (export "burn" (func $burn)))
          (export "{interface}" (instance $w)))"#
    );
    let manifest = format!(
        r#"{{"id":"{publisher}:{name}","version":"1.0.0","kind":"tool","summary":"s",
            "capabilities":{{"tools":{{"reason":"r","operations":[{tools}]}}}},
            "operations":[{{"name":"{interface}#look","risk":"read"}},{{"name":"{interface}#change","risk":"write"}},
              {{"name":"{interface}#burn","risk":"irreversible"}}]}}"#
    );
    loong_inspect::with_manifest(&wat::parse_str(&text).unwrap(), manifest.as_bytes()).unwrap()
}

fn root(key: &SigningKey, publisher: &str) -> TrustRoot {
    let expires = UtcTime::from_unix_s(2_000_000_000);
    TrustRoot::local(&key.public(), "built here", &[publisher], Tier::Official, expires).unwrap()
}

struct Bench {
    kernel: Arc<Kernel<Arc<Paper>, Script>>,
    paper: Arc<Paper>,
}

impl Bench {
    /// A kernel with `core:a`, which may call everything of `core`, and `core:b`, which may call nothing.
    async fn new(fails_from: Option<usize>) -> Self {
        let paper = Arc::new(Paper { fails_from, ..Paper::default() });
        let policy = PolicySet::builtin(Preset::Default).unwrap();
        let script = Script { executed: Mutex::default() };
        let kernel = Kernel::new(policy, Arc::clone(&paper), script, Box::new(|| 1_800_000_000_000));
        let bench = Self { kernel, paper };
        bench.activate("core", "a", "\"core:*\"", true).await.ok();
        bench.activate("core", "b", "", true).await.ok();
        bench
    }

    async fn activate(&self, publisher: &str, name: &str, tools: &str, signed: bool) -> Result<(), Fault> {
        let key = SigningKey::generate().unwrap();
        let root = root(&key, publisher);
        let bytes = component(publisher, name, tools);
        let candidate = Candidate::read(bytes.clone(), None, name).unwrap();
        let bundle = signed.then(|| loong_trust::sign(&key, &candidate).unwrap());
        let verified =
            loong_trust::verify(Candidate::read(bytes, bundle, name).unwrap(), &root, 1_800_000_000).unwrap();
        let admitted = loong_policy::admit(self.kernel.policy(), verified, &Offer::default()).unwrap();
        self.kernel.activate(Active::new(&admitted, ()), None, None).await
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
    struct Clock(Mutex<Vec<Instant>>);
    impl Executor for Clock {
        type Plugin = ();
        type Arguments = u32;
        type Output = ();
        async fn execute(&self, job: Job<Self>) -> Finished<()> {
            self.0.lock().unwrap().push(job.deadline);
            let result =
                if job.arguments > 0 { job.nested.call("a.look", job.arguments - 1).await } else { Ok(()) };
            Finished { result, usage: Usage::default() }
        }
    }
    let policy = PolicySet::builtin(Preset::Default).unwrap();
    let paper = Arc::new(Paper::default());
    let kernel = Kernel::new(policy, paper, Clock(Mutex::default()), Box::new(|| 1_800_000_000_000));
    let key = SigningKey::generate().unwrap();
    let root = root(&key, "core");
    let bytes = component("core", "a", "\"core:*\"");
    let bundle = loong_trust::sign(&key, &Candidate::read(bytes.clone(), None, "a").unwrap()).unwrap();
    let verified =
        loong_trust::verify(Candidate::read(bytes, Some(bundle), "a").unwrap(), &root, 1_800_000_000)
            .unwrap();
    let admitted = loong_policy::admit(kernel.policy(), verified, &Offer::default()).unwrap();
    kernel.activate(Active::new(&admitted, ()), None, None).await.unwrap();
    let (run, token) = kernel.start(RunId::from_random([1; 16]), "test".into()).await.unwrap();
    let deadline = Some(Instant::now() + Duration::from_millis(500));
    let call = Call {
        run,
        caller: Caller::Person,
        token,
        operation: "a.look".into(),
        arguments: 3,
        deadline,
        depth: 0,
    };
    Arc::clone(&kernel).call(call).await.unwrap();
    let given = kernel.executor().0.lock().unwrap();
    assert_eq!(given.len(), 4);
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
    bench.kernel.revoke_tokens();
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
