//! Puts the parts together: places, settings, policy, trust, store, runtime, kernel.

mod follow;
mod load;
mod resume;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loong_kernel::{Approver, Call, Caller, Executor, Kernel, Parts, Run, RunEnd, RunId};
use loong_manifest::{Code, Digest, Tier, escape};
use loong_policy::Token;
use loong_repository::scan::ScanRules;
use loong_runtime::artifact::Artifacts;
use loong_runtime::{Arguments, Output, Runtime, Script};
use loong_store::Store;
use loong_trust::TrustRoot;
use tokio::task::JoinSet;

use crate::approve::Prompt;
use crate::audit_key;
use crate::changes;
use crate::egress;
use crate::error::CommandError;
use crate::grant::LoadArgs;
use crate::locate::PluginPath;
use crate::places::Places;
use crate::programs;
use crate::running;
use crate::scanning;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::watch::Terminal;

pub use self::load::agree;
pub use crate::policies::policy;

/// How long one component may take to compile.
const COMPILE_DEADLINE: Duration = Duration::from_secs(120);
/// Memory of all guests of the process together, in bytes.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// How many slices of guests a thread runs before it looks at its timers and input. Each is 5 ms long at most,
/// and the default of 61 would be a third of a second.
const EVENT_INTERVAL: u32 = 4;
/// Threads: one for each core, and one more, which guests that take long leave to the others.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2) + 1
}

/// How long the end of a run waits for calls that were cut off to end on their own threads.
const SETTLE: Duration = Duration::from_secs(1);
/// Longest standard input that is kept for a run that stops, in bytes.
const INPUT_KEPT_BYTES_MAX: u64 = 4 << 20;

/// Whom this user trusts: those of the own trust root, and those whom the connected registries name.
pub fn trust_root(places: &Places) -> Result<TrustRoot, CommandError> {
    crate::registries::joined(own_trust_root(places)?, places)
}

/// The trust root of this user. Without one nobody is vouched for.
pub fn own_trust_root(places: &Places) -> Result<TrustRoot, CommandError> {
    let path = places.trust_root();
    match std::fs::read(&path) {
        Ok(bytes) => Ok(TrustRoot::read(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(TrustRoot::empty()),
        Err(error) => Err(CommandError::file(Code::RootInvalid, "read the trust root", &path, &error)),
    }
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the host's clock, handed to everything that needs one")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The database of this user, for a command that loads no component.
pub fn store(places: &Places) -> Result<Store, CommandError> {
    let settings = Settings::read(&places.settings())?;
    audit_key::open_store(places, &settings)
}

/// Waits for something on this thread, in a command that loads no component.
pub fn wait<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        CommandError::new(Code::HostFailed, format!("threads cannot be started: {error}"))
    })?;
    Ok(runtime.block_on(future))
}

/// The host of one command: everything that is needed to load components and call them.
pub struct Host {
    kernel: Arc<Kernel<Store, Runtime>>,
    store: Store,
    watch: Arc<Terminal>,
    root: TrustRoot,
    scan: ScanRules,
    settings: Settings,
    path: PluginPath,
    args: LoadArgs,
    places: Places,
    /// What the run was given on standard input, if it can be given it again.
    input: Mutex<Option<Vec<u8>>>,
    /// The last revocation that was taken over from the store.
    revocations_seen: AtomicI64,
    /// Components that a person named by their files: others never take their places.
    named: Mutex<BTreeSet<Digest>>,
    runtime: tokio::runtime::Runtime,
}

/// A run under way.
pub struct Session {
    run: Arc<Run>,
    token: Token,
}

impl Session {
    /// The run.
    pub const fn run(&self) -> &Arc<Run> {
        &self.run
    }
}

impl Host {
    /// Opens the store and reads policy and trust; loads nothing yet.
    pub fn open(ui: &Ui, places: &Places, args: &LoadArgs) -> Result<Self, CommandError> {
        let approver = Prompt::if_somebody_is_there(ui).map(|prompt| Arc::new(prompt) as Arc<dyn Approver>);
        Self::open_with(ui, places, args, approver, None)
    }

    /// The same, where somebody else is asked, and some plugins answer what a test says.
    pub fn open_with(
        ui: &Ui,
        places: &Places,
        args: &LoadArgs,
        approver: Option<Arc<dyn Approver>>,
        script: Option<Arc<dyn Script>>,
    ) -> Result<Self, CommandError> {
        let settings = Settings::read(&places.settings())?;
        let policy = policy(args.grant.policy.as_deref(), &settings, places)?;
        let root = trust_root(places)?;
        let store = audit_key::open_store(places, &settings)?;
        let watch = if ui.is_silent() {
            Arc::new(Terminal::keeping())
        } else {
            Arc::new(Terminal::new(ui.verbose(), ui.quiet()))
        };
        let spinner = ui.spinner();
        let progress = Box::new(move |digest: Option<&Digest>| match digest {
            Some(digest) => {
                spinner.set_message(format!("compiling {}", digest.short()));
                spinner.enable_steady_tick(Duration::from_millis(100));
            }
            None => spinner.finish_and_clear(),
        });
        let artifacts = Artifacts::open(
            &places.cache.join("artifacts"),
            &places.cache.join("artifact.key"),
            programs::compiler()?,
            COMPILE_DEADLINE,
            progress,
        )
        .map_err(|error| CommandError::new(error.code(), error.to_string()))?;
        let executor = Runtime::new(loong_runtime::Settings {
            artifacts,
            kv: Arc::new(store.clone()),
            watch: Arc::<Terminal>::clone(&watch),
            egress: egress::settings(&settings, places)?,
            programs: programs::settings(places)?,
            memory_bytes_max: MEMORY_BYTES_MAX,
        });
        let executor = match script {
            Some(script) => executor.answering(script),
            None => executor,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers())
            .event_interval(EVENT_INTERVAL)
            .enable_all()
            .build()
            .map_err(|error| {
                CommandError::new(Code::HostFailed, format!("threads cannot be started: {error}"))
            })?;
        let chosen = runtime.block_on(store.chosen()).map_err(unwritten)?;
        Ok(Self {
            kernel: Kernel::of(Parts {
                approvals: Some(Arc::new(store.clone())),
                approver,
                approval_life_ms: settings.approvals.life_ms(),
                record_arguments: settings.audit.record_arguments.into(),
                standings: Some(Arc::new(store.clone())),
                drain_ms: settings.swap.drain_ms(),
                ..Parts::new(policy, store.clone(), executor, Box::new(now_ms))
            }),
            places: places.clone(),
            input: Mutex::default(),
            revocations_seen: AtomicI64::default(),
            named: Mutex::default(),
            store,
            watch,
            root,
            scan: scanning::rules(places)?,
            settings,
            path: PluginPath::new(&args.plugins, places)?.choosing(chosen),
            args: args.clone(),
            runtime,
        })
    }

    /// The folders in which components are looked for.
    pub const fn path_mut(&mut self) -> &mut PluginPath {
        &mut self.path
    }

    /// What plugins printed on standard output where nobody is shown it.
    pub fn printed(&self) -> Vec<u8> {
        self.watch.printed()
    }

    /// The folders in which components are looked for.
    pub const fn path(&self) -> &PluginPath {
        &self.path
    }

    /// How long a new version has to prove itself, in milliseconds.
    pub fn probation_ms(&self) -> u64 {
        self.settings.swap.probation_ms()
    }

    /// The kernel.
    pub const fn kernel(&self) -> &Arc<Kernel<Store, Runtime>> {
        &self.kernel
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for something, on this thread.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Begins a run, or lets one go on that waited for an approval.
    pub fn start(&self, request: &str) -> Result<Session, CommandError> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|error| {
            CommandError::new(Code::HostFailed, format!("there are no random numbers: {error}"))
        })?;
        let (run, token) = self
            .wait(async {
                changes::note(self.kernel(), &self.store, &self.places).await?;
                self.take_revocations(None).await?;
                self.kernel.hear_of_standings().await?;
                match &self.args.resumed {
                    Some(waiting) => {
                        // Only one process gets it.
                        if self.store.take_run(&waiting.id).await?.resumed {
                            return Err(changes::resumed_already(&waiting.id));
                        }
                        let id = RunId::parse(&waiting.id).ok_or_else(|| {
                            CommandError::new(
                                Code::StoreCorrupt,
                                format!("`{}` is no name of a run", waiting.id),
                            )
                        })?;
                        Ok(self.kernel.resume(id, waiting.calls, waiting.journal.clone()).await?)
                    }
                    None => Ok(self.kernel.start(RunId::from_random(bits), escape(request)).await?),
                }
            })
            .map_err(|error: CommandError| error)?;
        let session = Session { run, token };
        let process = running::this_process();
        self.wait(self.store.begin_run(session.run.id().as_str(), process, &escape(request)))
            .map_err(unwritten)?;
        self.take_grants()?;
        self.load_extensions(&session)?;
        Ok(session)
    }

    /// Loads the policy extensions that the settings name. Without them nothing runs: they may deny.
    fn load_extensions(&self, session: &Session) -> Result<(), CommandError> {
        for name in &self.settings.extensions {
            let loaded = self.path.find(name).and_then(|path| {
                let plugin = self.wait(self.prepare(&path, session, Tier::VerifiedCommunity))?;
                Ok(self.wait(self.kernel.activate_extension(plugin, Some(&session.run)))?)
            });
            loaded.map_err(|error| {
                CommandError::new(
                    Code::ExtensionFailed,
                    format!("the policy extension `{name}` cannot be loaded"),
                )
                .detail(format!("{} [{}]", error.headline, error.code))
                .hint("install it, or take it out of `extensions` in loong.toml; nothing runs without it")
            })?;
        }
        Ok(())
    }

    /// Makes one call in the name of the person.
    pub fn call(
        &self,
        session: &Session,
        operation: &str,
        arguments: Arguments,
    ) -> Result<Output, CommandError> {
        let call: Call<Runtime> = Call {
            run: Arc::clone(&session.run),
            caller: Caller::<<Runtime as Executor>::Plugin>::Person,
            token: session.token.clone(),
            operation: operation.to_owned(),
            arguments,
            deadline: None,
            depth: 0,
        };
        self.same_components()?;
        // On a thread of its own, so that following what happens elsewhere never holds it up. A run that is
        // interrupted is dropped here, which ends its processes, and is written down as ended.
        let mut task = JoinSet::new();
        task.spawn_on(Arc::clone(&self.kernel).call(call), self.runtime.handle());
        let result = self.runtime.block_on(async {
            tokio::select! {
                ended = task.join_next() => match ended {
                    Some(Ok(result)) => result.map_err(CommandError::from),
                    _ => Err(CommandError::new(Code::HostFailed, "the call ended without an answer")),
                },
                () = interrupted() => Err(CommandError::new(Code::Interrupted, "the run was interrupted")),
                error = self.follow(session) => Err(error),
            }
        });
        self.watch.flush();
        result
    }

    /// Ends a run.
    pub fn end(&self, session: &Session, code: Option<Code>) -> Result<(), CommandError> {
        self.runtime.block_on(async {
            // Calls that were cut off still write down that they ended, and end their processes.
            let settled = async {
                while session.run.open_calls() > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            // What is still open then is left to the end of this process.
            let _ = tokio::time::timeout(SETTLE, settled).await;
            Ok(self.kernel.finish(&session.run, RunEnd { code }).await?)
        })
    }

    /// Ends a run and closes the store. The result is the command's, unless the end cannot be written down.
    pub fn finish(self, session: &Session, mut result: Result<(), CommandError>) -> Result<(), CommandError> {
        let settled = self.wait(self.settle(session, &mut result));
        let ended = self.end(session, result.as_ref().err().map(|error| error.code));
        let runs = vec![session.run.id().to_string()];
        let left = self.wait(async {
            self.store.end_runs(runs).await?;
            self.store.add_peaks(self.kernel.take_peaks()).await
        });
        let closed = self.close();
        result?;
        settled?;
        ended?;
        left.map_err(unwritten)?;
        closed
    }

    /// Writes everything that is queued and closes the store.
    pub fn close(self) -> Result<(), CommandError> {
        let store = self.store.clone();
        let closed = self.store.close();
        if let Some(problem) = store.problem() {
            self.watch.warn(&problem);
        }
        // A guest may have left a thread in a file operation that never ends, such as opening a pipe.
        self.runtime.shutdown_background();
        Ok(closed?)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
/// The database cannot be used.
pub fn unwritten(error: loong_kernel::LedgerError) -> CommandError {
    CommandError::new(error.code(), format!("the database cannot be used: {error}"))
}

/// Waits until somebody asks this process to end.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut ends: Vec<_> = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .collect();
    std::future::poll_fn(|context| {
        if ends.iter_mut().any(|end| end.poll_recv(context).is_ready()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
