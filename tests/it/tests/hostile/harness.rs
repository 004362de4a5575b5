//! A host in a temporary folder and guests in it, over the true road: bytes → candidate → verified → admitted →
//! loaded → active → `Kernel::call`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use loong_it::fixture::{self, fixtures};
use loong_kernel::{Active, Call, Caller, Event, Executor, Fault, Kernel, Outcome, Run, RunId, Usage};
use loong_manifest::{Access, Code, ExecutionTier, PluginId, Tier};
use loong_policy::{Offer, OfferedFolder, PolicySet, Preset, Token};
use loong_runtime::artifact::Artifacts;
use loong_runtime::{
    Arguments, Channel, EgressSettings, Output, Plugin, Programs, Runtime, Secret, SecretError, Secrets,
    Stdin, Watch,
};
use loong_store::{AuditFilter, AuditReader, Store, StoreOptions};
use loong_trust::{Candidate, RootKey, SigningKey, TrustRoot, UtcTime};
use serde_json::{Value, json};

use crate::servers;

/// How much later than its deadline a call may end.
const LATE_MAX: Duration = Duration::from_millis(100);

/// A call that ended sooner than this is cheap, and is made again [`AGAIN`] times.
const CHEAP: Duration = Duration::from_millis(20);

/// How often a cheap call is made.
const AGAIN: usize = 50;

/// A component and what it says of itself.
#[derive(Clone)]
pub(crate) struct Guest {
    name: String,
    bytes: Vec<u8>,
    tier: Tier,
    manifest: Option<Value>,
    offer: Offer,
}

/// A guest of `tests/guests`. Nobody signed it and it has no manifest, until one of the methods says otherwise.
pub(crate) fn guest(name: &str) -> Guest {
    component(name, fs::read(fixture::guest(name)).unwrap())
}

/// A component that a test made.
pub(crate) fn component(name: &str, bytes: Vec<u8>) -> Guest {
    Guest {
        name: name.replace('_', "-"),
        bytes,
        tier: Tier::Unverified,
        manifest: None,
        offer: Offer::default(),
    }
}

impl Guest {
    /// Signed by a key that the trust root names, at this tier.
    pub(crate) fn signed(mut self, tier: Tier) -> Self {
        self.tier = tier;
        let publisher = if tier == Tier::VerifiedCommunity { "acme" } else { "core" };
        self.claims(publisher)
    }

    /// With a manifest that says it is of this publisher.
    pub(crate) fn claims(mut self, publisher: &str) -> Self {
        let id = format!("{publisher}:{}", self.name);
        let contents = loong_inspect::inspect(&self.bytes).unwrap();
        let commands = contents.exports.iter().filter(|export| export.name.starts_with("wasi:cli/run@"));
        let operations: Vec<Value> = contents
            .operations
            .iter()
            .map(|operation| operation.name.to_string())
            .chain(commands.map(|export| format!("{}#run", export.name)))
            .map(|name| json!({ "name": name, "risk": "read" }))
            .collect();
        self.manifest = Some(json!({
            "id": id, "version": "0.1.0", "kind": "tool", "summary": "A guest of the tests.",
            "capabilities": {}, "limits": {}, "operations": operations,
        }));
        self
    }

    /// Official: with everything its tier allows.
    pub(crate) fn official(self) -> Self {
        self.signed(Tier::Official)
    }

    /// Asks for a capability. Only after it has a manifest.
    pub(crate) fn asks(self, capability: &str, mut scope: Value) -> Self {
        scope["reason"] = json!("to test it");
        self.with(&["capabilities", capability], scope)
    }

    /// Asks for a limit. Only after it has a manifest.
    pub(crate) fn limit(self, name: &str, value: u64) -> Self {
        self.with(&["limits", name], json!(value))
    }

    /// Says how much its operations can break, instead of nothing.
    pub(crate) fn risk(mut self, risk: &str) -> Self {
        let operations = self.manifest.as_mut().unwrap()["operations"].as_array_mut().unwrap();
        operations.iter_mut().for_each(|operation| operation["risk"] = json!(risk));
        self
    }

    fn with(mut self, path: &[&str], value: Value) -> Self {
        let place = path.iter().fold(self.manifest.as_mut().unwrap(), |place, name| &mut place[*name]);
        *place = value;
        self
    }

    /// The operator offers a folder.
    pub(crate) fn folder(mut self, name: &str, host: &Path, access: Access) -> Self {
        let folder = OfferedFolder { host: host.to_owned(), access, by_flag: true };
        self.offer.folders.insert(name.to_owned(), folder);
        self
    }

    /// The operator names hosts that may be reached inside the own network.
    pub(crate) fn inside(mut self, endpoints: &[&str]) -> Self {
        self.offer.inside.extend(endpoints.iter().map(|endpoint| endpoint.parse().unwrap()));
        self
    }

    /// The operator chose settings.
    pub(crate) fn settings(mut self, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.offer.config = settings.collect::<BTreeMap<_, _>>();
        self
    }

    /// The bytes of the file, with its manifest.
    fn packed(&self) -> Vec<u8> {
        match &self.manifest {
            Some(manifest) => {
                loong_inspect::with_manifest(&self.bytes, manifest.to_string().as_bytes()).unwrap()
            }
            None => self.bytes.clone(),
        }
    }
}

/// A component that did not become a plugin: the code, and the words.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Code, pub(crate) String);

/// What guests printed.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) texts: Mutex<Vec<(String, Channel, Vec<u8>)>>,
}

impl Watch for Heard {
    fn text(&self, plugin: &PluginId, channel: Channel, bytes: &[u8]) {
        self.texts.lock().unwrap().push((plugin.to_string(), channel, bytes.to_owned()));
    }
}

impl Heard {
    /// All that was heard on a channel, joined.
    pub(crate) fn on(&self, channel: Channel) -> String {
        let texts = self.texts.lock().unwrap();
        let bytes = texts.iter().filter(|(_, other, _)| *other == channel).flat_map(|(_, _, bytes)| bytes);
        String::from_utf8(bytes.copied().collect()).unwrap()
    }
}

/// The secrets of a test: name, value, hosts.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<(String, String, Vec<String>)>>);

impl Kept {
    pub(crate) fn set(&self, name: &str, value: &str, hosts: &[&str]) {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.0.lock().unwrap().push((name.to_owned(), value.to_owned(), hosts));
    }
}

impl Secrets for Kept {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let kept = self.0.lock().unwrap();
        Ok(kept.iter().find(|(known, ..)| known == name).map(|(_, value, hosts)| Secret {
            value: value.clone().into_bytes().into(),
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        }))
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: Result<Value, Fault>,
    pub(crate) elapsed: Duration,
}

impl Ended {
    /// The result, or the code and the words of the fault.
    pub(crate) fn said(&self) -> String {
        match &self.result {
            Ok(value) => sorted(value).to_string(),
            Err(fault) => format!("{}: {fault}", fault.code()),
        }
    }
}

/// The value with the members of its objects in the order of their names: the host gives them in the order of the
/// type.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        _ => value.clone(),
    }
}

/// A host of its own, in a temporary folder. While it lives no other test of this sort runs, in this process or
/// another: two cores would not keep the times that are measured here.
pub(crate) struct World {
    pub(crate) kernel: Arc<Kernel<Arc<Store>, Runtime>>,
    pub(crate) tokio: tokio::runtime::Runtime,
    pub(crate) heard: Arc<Heard>,
    pub(crate) secrets: Arc<Kept>,
    pub(crate) folder: tempfile::TempDir,
    /// How often the compiler was started.
    pub(crate) compiled: Arc<AtomicU64>,
    official: SigningKey,
    community: SigningKey,
    trust: TrustRoot,
    run: Arc<Run>,
    token: Token,
    _alone: File,
}

/// Where tests of this sort keep what outlives them.
fn scratch() -> PathBuf {
    fixtures().target.join("it")
}

/// The compiler, which this program does not hold.
fn compiler() -> PathBuf {
    fixtures().loong.with_file_name("loong-compile")
}

#[expect(clippy::disallowed_methods, reason = "the host's clock, as host/loong hands it in")]
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A trust root in which a key signs for `core`, as official.
pub(crate) fn local_root(key: &SigningKey) -> TrustRoot {
    let expires = UtcTime::from_unix_s(now_ms() / 1000 + 3600);
    TrustRoot::local(&key.public(), "official", &["core"], Tier::Official, expires).unwrap()
}

impl World {
    /// A host with the default policies and one good component, `good-adds`.
    pub(crate) fn new() -> Self {
        // Artifacts are kept from one run of the tests to the next: compiling them is not what is tested.
        Self::with(&scratch().join("artifacts"), &scratch().join("artifact.key"), Duration::from_secs(60))
    }

    /// A host whose owner lets official components run at this execution tier.
    pub(crate) fn executing(tier: ExecutionTier) -> Self {
        let trusted = "[official]\nexecution_tier = \"trusted\"";
        let tiers = Preset::Default.tiers();
        assert!(tiers.contains(trusted));
        let tiers = tiers.replace(trusted, &format!("[official]\nexecution_tier = \"{tier}\""));
        let policy = PolicySet::read(&Preset::Default.sources(), &tiers).unwrap();
        let (artifacts, key) = (scratch().join("artifacts"), scratch().join("artifact.key"));
        Self::under(policy, &artifacts, &key, Duration::from_secs(60))
    }

    /// A host with its artifacts in this place, and so long for compiling.
    pub(crate) fn with(artifacts: &Path, key: &Path, deadline: Duration) -> Self {
        Self::under(PolicySet::builtin(Preset::Default).unwrap(), artifacts, key, deadline)
    }

    fn under(policy: PolicySet, artifacts: &Path, key: &Path, deadline: Duration) -> Self {
        fs::create_dir_all(scratch()).unwrap();
        let alone = File::create(scratch().join("alone.lock")).unwrap();
        alone.lock().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let compiled = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&compiled);
        let progress = Box::new(move |digest: Option<&loong_manifest::Digest>| {
            counter.fetch_add(u64::from(digest.is_some()), Ordering::Relaxed);
        });
        let artifacts = Artifacts::open(artifacts, key, compiler(), deadline, progress).unwrap();
        let store = Store::open(&folder.path().join("loong.db"), &StoreOptions::default(), Arc::new(now_ms));
        let store = Arc::new(store.unwrap());
        let empty_folder = folder.path().join("empty");
        fs::create_dir(&empty_folder).unwrap();
        let heard = Arc::new(Heard::default());
        let secrets = Arc::new(Kept::default());
        let executor = Runtime::new(loong_runtime::Settings {
            artifacts,
            kv: Arc::<Store>::clone(&store),
            watch: Arc::<Heard>::clone(&heard),
            egress: EgressSettings {
                roots: Arc::new(|| vec![servers::authority()]),
                secrets: Arc::<Kept>::clone(&secrets),
            },
            programs: Programs {
                sandbox: fixtures().loong.with_file_name("loong-sandbox"),
                empty_folder,
                own_folders: folder.path().join("programs"),
            },
            memory_bytes_max: 2 << 30,
        });
        // As in host/loong/src/host.rs.
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .event_interval(4)
            .enable_all()
            .build()
            .unwrap();
        let kernel = Kernel::new(policy, store, executor, Box::new(now_ms));
        let (run, token) =
            tokio.block_on(kernel.start(RunId::from_random([7; 16]), "a test".into())).unwrap();
        let (official, community) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let expires = UtcTime::from_unix_s(now_ms() / 1000 + 3600);
        let trust = TrustRoot::local(&official.public(), "official", &["core"], Tier::Official, expires)
            .and_then(|root| {
                let tier = Tier::VerifiedCommunity;
                root.with_key(RootKey::new(&community.public(), "community", &["acme", "evil"], tier, None))
            })
            .unwrap();
        let world = Self {
            kernel,
            tokio,
            heard,
            secrets,
            folder,
            compiled,
            official,
            community,
            trust,
            run,
            token,
            _alone: alone,
        };
        world.load(guest("good_adds").official());
        world
    }

    /// A host with this guest besides the good one.
    pub(crate) fn of(guest: Guest) -> Self {
        let world = Self::new();
        world.load(guest);
        world
    }

    /// Loads a guest.
    #[track_caller]
    pub(crate) fn load(&self, guest: Guest) {
        if let Err(Refused(code, words)) = self.try_load(guest) {
            panic!("refused: {code}: {words}");
        }
    }

    /// Loads a guest, or says why not.
    pub(crate) fn try_load(&self, guest: Guest) -> Result<(), Refused> {
        let plugin = self.prepare(guest)?;
        self.tokio
            .block_on(self.kernel.activate(plugin, Some(&self.run)))
            .map_err(|fault| Refused(fault.code(), fault.to_string()))
    }

    /// Makes a guest a policy extension.
    #[track_caller]
    pub(crate) fn extend(&self, guest: Guest) {
        let plugin = self.prepare(guest).unwrap();
        self.tokio.block_on(self.kernel.activate_extension(plugin, Some(&self.run))).unwrap();
    }

    /// Everything before a guest is active.
    fn prepare(&self, guest: Guest) -> Result<Active<Plugin>, Refused> {
        let bytes = guest.packed();
        let read = |bundle| {
            Candidate::read(bytes.clone(), bundle, &guest.name)
                .map_err(|error| Refused(error.code(), error.to_string()))
        };
        let bundle = match guest.tier {
            Tier::Unverified => None,
            tier => {
                let key = if tier == Tier::Official { &self.official } else { &self.community };
                Some(
                    loong_trust::sign(key, &read(None)?)
                        .map_err(|error| Refused(error.code(), error.to_string()))?,
                )
            }
        };
        let verified = loong_trust::verify(read(bundle)?, &self.trust, now_ms() / 1000)
            .map_err(|error| Refused(error.code(), error.to_string()))?;
        assert_eq!(verified.tier(), guest.tier);
        let admitted = loong_policy::admit(self.kernel.policy(), verified, &guest.offer)
            .map_err(|denial| Refused(denial.code(), denial.to_string()))?;
        let plugin = self
            .tokio
            .block_on(self.kernel.executor().load(&admitted))
            .map_err(|error| Refused(error.code(), error.to_string()))?;
        Ok(Active::new(&admitted, plugin))
    }

    /// One call by the person, not yet begun.
    fn start(
        &self,
        operation: &str,
        arguments: Arguments,
    ) -> impl Future<Output = Result<Value, Fault>> + Send + 'static {
        let call: Call<Runtime> = Call {
            run: Arc::clone(&self.run),
            caller: Caller::<<Runtime as Executor>::Plugin>::Person,
            token: self.token.clone(),
            operation: operation.to_owned(),
            arguments,
            deadline: None,
            depth: 0,
        };
        let kernel = Arc::clone(&self.kernel);
        async move {
            match kernel.call(call).await? {
                Output::Json(value) => Ok(value),
                Output::Values(values) => panic!("values where JSON was asked: {values:?}"),
            }
        }
    }

    /// Makes one call.
    pub(crate) fn call(&self, operation: &str, arguments: Value) -> Ended {
        self.ended(operation, Arguments::Json(arguments))
    }

    /// Runs a command.
    pub(crate) fn command(&self, operation: &str, arguments: &[&str], stdin: &str) -> Ended {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.ended(
            operation,
            Arguments::Command { arguments, stdin: Stdin::Bytes(stdin.as_bytes().to_owned()) },
        )
    }

    /// Makes one call with arguments of any form.
    pub(crate) fn ended(&self, operation: &str, arguments: Arguments) -> Ended {
        let work = self.start(operation, arguments);
        let begun = Instant::now();
        // On a worker, as in a server: what blocks a worker delays others and shows.
        let result = self.tokio.block_on(self.tokio.spawn(work)).unwrap();
        Ended { result, elapsed: begun.elapsed() }
    }

    /// Makes several calls at once.
    pub(crate) fn together(&self, calls: Vec<(&str, Value)>) -> Vec<Ended> {
        let calls = calls.into_iter().map(|(operation, arguments)| {
            let work = self.start(operation, Arguments::Json(arguments));
            self.tokio.spawn(async move {
                let begun = Instant::now();
                Ended { result: work.await, elapsed: begun.elapsed() }
            })
        });
        let calls: Vec<_> = calls.collect();
        calls.into_iter().map(|call| self.tokio.block_on(call).unwrap()).collect()
    }

    /// Does something while the good component is called all the time. Says how often it answered and what the
    /// longest wait for an answer was.
    pub(crate) fn beside<T>(&self, work: impl FnOnce() -> T) -> (T, u64, Duration) {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (kernel, run, token) = (Arc::clone(&self.kernel), Arc::clone(&self.run), self.token.clone());
        let neighbour = self.tokio.spawn(async move {
            let (mut answers, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let call: Call<Runtime> = Call {
                    run: Arc::clone(&run),
                    caller: Caller::<<Runtime as Executor>::Plugin>::Person,
                    token: token.clone(),
                    operation: "core:good-adds.add".into(),
                    arguments: Arguments::Json(json!({ "a": 2, "b": answers % 1000 })),
                    deadline: None,
                    depth: 0,
                };
                let Output::Json(sum) = Arc::clone(&kernel).call(call).await.unwrap() else {
                    panic!("values")
                };
                assert_eq!(sum, json!(2 + answers % 1000));
                answers += 1;
                longest = longest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (answers, longest)
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let (answers, longest) = self.tokio.block_on(neighbour).unwrap();
        (done, answers, longest)
    }

    /// The deadline of a plugin.
    pub(crate) fn deadline(&self, plugin: &str) -> Duration {
        let catalog = self.kernel.catalog();
        let active = catalog.plugin(&plugin.parse().unwrap()).expect("it is active");
        Duration::from_millis(active.limits.deadline_ms)
    }

    /// The events of the audit log, oldest first, after everything so far is in it.
    pub(crate) fn audit(&self) -> Vec<Event> {
        let flush = Event::PluginRefused {
            run: None,
            plugin: "flush".into(),
            digest: None,
            code: Code::HostFailed,
            reason: "a test reads the log".into(),
        };
        self.tokio.block_on(self.kernel.note(flush)).unwrap();
        let reader = AuditReader::open_read_only(&self.folder.path().join("loong.db")).unwrap();
        let records = reader.follow(&AuditFilter::any(u32::MAX), None).unwrap();
        records.into_iter().map(|record| record.event).collect()
    }

    /// Decisions and ends of the calls of one plugin, in the order of the log.
    pub(crate) fn calls_of(&self, plugin: &str) -> Vec<Recorded> {
        let mut calls: Vec<Recorded> = Vec::new();
        for event in self.audit() {
            match event {
                Event::Decision { call, caller, plugin: Some(id), outcome, depth, .. }
                    if id.to_string() == plugin =>
                {
                    calls.push(Recorded { call, caller, outcome, depth, ended: Vec::new() });
                }
                Event::CallFinished { call, code, usage, .. } => {
                    if let Some(recorded) = calls.iter_mut().find(|recorded| recorded.call == call) {
                        recorded.ended.push((code, usage));
                    }
                }
                _ => {}
            }
        }
        calls
    }
}

/// What the audit log says of one call.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) call: String,
    pub(crate) caller: String,
    pub(crate) outcome: Outcome,
    pub(crate) depth: u32,
    /// Every record of its end; there must be one.
    pub(crate) ended: Vec<(Option<Code>, Usage)>,
}

/// Calls a hostile guest beside a good one, and checks all that has to hold of every hostile guest: it ends as
/// the fault that is expected, not later than its deadline and a little; its neighbour answers meanwhile and
/// afterwards; the log holds its decision and its end with the right code; and nothing is used up by it.
#[track_caller]
pub(crate) fn check(world: &World, plugin: &str, function: &str, arguments: Value, expected: &str) {
    check_call(
        world,
        plugin,
        &format!("{plugin}.{function}"),
        || Arguments::Json(arguments.clone()),
        expected,
    );
}

/// [`check`] of a command.
#[track_caller]
pub(crate) fn check_command(world: &World, plugin: &str, arguments: &[&str], expected: &str) {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let command = || Arguments::Command { arguments: arguments.clone(), stdin: Stdin::Empty };
    check_call(world, plugin, &format!("{plugin}.run"), command, expected);
}

#[track_caller]
fn check_call(
    world: &World,
    plugin: &str,
    operation: &str,
    arguments: impl Fn() -> Arguments,
    expected: &str,
) {
    let before = world.calls_of(plugin).len();
    let deadline = world.deadline(plugin);
    // The first call of all pays for the engine and for warming up; that is not the guest's doing.
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");

    let (ended, answers, longest) = world.beside(|| world.ended(operation, arguments()));
    println!(
        "{plugin} → {} → {:?}; beside it {answers} answers, the slowest {longest:?}",
        ended.said(),
        ended.elapsed
    );
    assert_eq!(ended.said(), expected);
    assert!(ended.elapsed <= deadline + LATE_MAX, "{plugin} ended after {:?} of {deadline:?}", ended.elapsed);
    // It is asked about every two milliseconds; a tenth of that on a machine that has other things to do.
    let least = u64::try_from(ended.elapsed.as_millis() / 20).unwrap();
    assert!(answers >= least, "the neighbour answered {answers} times in {:?}", ended.elapsed);

    let mut made = 1;
    if ended.elapsed < CHEAP {
        for _ in 1..AGAIN {
            let again = world.ended(operation, arguments());
            assert_eq!(again.said(), expected, "call {made} ended otherwise than the first");
            made += 1;
        }
    }
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 3, "b": 4 })).said(), "7");

    let code = ended.result.err().map(|fault| fault.code());
    let recorded: Vec<Recorded> = world.calls_of(plugin).into_iter().skip(before).collect();
    let of_the_person: Vec<&Recorded> = recorded.iter().filter(|recorded| recorded.depth == 0).collect();
    assert_eq!(of_the_person.len(), made, "the log holds another number of decisions");
    for call in of_the_person {
        assert_eq!((call.outcome, call.caller.as_str()), (Outcome::Allow, "person"), "{call:?}");
        assert_eq!(call.ended.len(), 1, "the log holds another number of ends: {call:?}");
        assert_eq!(call.ended[0].0, code, "the log has another code: {call:?}");
    }
}
