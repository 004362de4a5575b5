//! Runs one call: a fresh store and instance, limits armed, a deadline over everything.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use loong_kernel::{Active, Executor, Fault, Finished, Job, KvSpace, Measure, Nested, Offered, Usage};
use loong_manifest::{Access, Digest, LimitName, Meter, OperationName, PluginId, Risk};
use loong_policy::Admitted;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wasmtime::Store;
use wasmtime::component::Val;

use crate::artifact::Artifacts;
use crate::cpu::{self, Bill, Minutes};
use crate::egress::{Egress, EgressSettings};
use crate::engine::{CALLS_MAX, Engines};
use crate::fault::{self, Stop};
use crate::guest::{CommandLine, Guest, Probe, Services, Stdin};
use crate::limiter::{Budget, Limiter};
use crate::link;
use crate::measure;
use crate::plugin::{Export, LoadError, Plugin};
use crate::turns::{LONG_MAX, Turns};
use crate::values::{self, ConversionLimits};
use crate::watch::Watch;

/// Arguments of a call, in the form in which the caller has them. The result comes back in the same form.
pub enum Arguments {
    /// A JSON object with one member for each parameter.
    Json(serde_json::Value),
    /// Values from another component.
    Values(Vec<Val>),
    /// A command line for `wasi:cli/run`.
    Command {
        /// What follows the program's name.
        arguments: Vec<String>,
        /// Standard input.
        stdin: Stdin,
    },
}

/// The result of a call, in the form of its arguments; that of a command is JSON.
#[derive(Debug)]
pub enum Output {
    /// One JSON value; null where the function returns nothing.
    Json(serde_json::Value),
    /// Values for another component.
    Values(Vec<Val>),
}

/// What a runtime is made of.
pub struct Settings {
    /// Where compiled artifacts are kept and how they are made.
    pub artifacts: Artifacts,
    /// Key-value spaces of plugins.
    pub kv: Arc<dyn KvSpace>,
    /// Whoever watches.
    pub watch: Arc<dyn Watch>,
    /// The way to other machines.
    pub egress: EgressSettings,
    /// How programs are started.
    pub programs: Programs,
    /// Memory of all guests of the process together, in bytes.
    pub memory_bytes_max: u64,
}

/// What plugins answer instead of being run, in tests of those who call them. Everything else of a call stays as it is:
/// who may make it, what is recorded, which types it has.
pub trait Script: Send + Sync {
    /// The answer to this input; none where the plugin is run.
    fn answer(
        &self,
        plugin: &PluginId,
        operation: &OperationName,
        input: &Value,
    ) -> Option<Result<Value, Fault>>;
}

/// How programs of the machine are started.
pub struct Programs {
    /// The program `loong-sandbox`.
    pub sandbox: PathBuf,
    /// An empty folder, for programs that are started without one.
    pub empty_folder: PathBuf,
    /// Where a confined program gets a folder of its own while it runs.
    pub own_folders: PathBuf,
}

/// The executor of the host.
pub struct Runtime {
    engines: Engines,
    artifacts: Artifacts,
    services: Services,
    budget: Arc<Budget>,
    minutes: Minutes,
    /// Calls from outside that may be under way at once; the pools have room for these and what they nest.
    calls: Semaphore,
    turns: Turns,
    script: Option<Arc<dyn Script>>,
}

impl Runtime {
    /// A runtime. Engines are made when they are first needed.
    pub fn new(settings: Settings) -> Self {
        Self {
            engines: Engines::default(),
            artifacts: settings.artifacts,
            services: Services {
                kv: settings.kv,
                watch: settings.watch,
                egress: Egress::new(settings.egress),
                programs: Arc::new(settings.programs),
            },
            budget: Budget::new(settings.memory_bytes_max),
            minutes: Minutes::default(),
            calls: Semaphore::new(CALLS_MAX),
            turns: Turns::default(),
            script: None,
        }
    }

    /// The same, where some plugins answer what a test says.
    #[must_use]
    pub fn answering(self, script: Arc<dyn Script>) -> Self {
        Self { script: Some(script), ..self }
    }

    /// What a test says instead of running a call.
    fn scripted(&self, job: &Job<Self>) -> Option<Result<Output, Fault>> {
        let script = self.script.as_ref()?;
        let plugin = &job.plugin.plugin;
        let input = match self.arguments_json(plugin, &job.operation, &job.arguments) {
            Ok(input) => input,
            Err(fault) => return Some(Err(fault)),
        };
        let answer = script.answer(&job.plugin.id, &job.operation, &input)?;
        Some(answer.and_then(|json| self.output_of(plugin, &job.operation, &json, &job.arguments)))
    }

    /// Compiles, or takes from the cache, and links what was admitted. Runs nothing of it.
    pub async fn load(&self, admitted: &Admitted) -> Result<Plugin, LoadError> {
        let engine = self.engines.get(admitted.meter()).map_err(link::engine_error)?;
        let verified = admitted.verified();
        let component =
            self.artifacts.component(engine, admitted.meter(), verified.digest(), verified.bytes()).await?;
        let (linker, imports) = link::link(&component)?;
        let pre = linker.instantiate_pre(&component).map_err(link::engine_error)?;
        Ok(Plugin::new(pre, admitted.meter(), imports))
    }

    /// A store for one instance of a plugin, its limits armed.
    fn store(
        &self,
        active: &Active<Plugin>,
        nested: Nested<Self>,
        probe: &Probe,
        command_line: CommandLine,
        access_max: Access,
    ) -> Result<Store<Guest>, Fault> {
        let (plugin, limits) = (&active.plugin, &active.limits);
        let peak = Arc::clone(&probe.memory_peak_bytes);
        let limiter = Limiter::new(limits, active.digest, Arc::clone(&self.budget), peak);
        let guest = Guest::new(limiter, nested, self.services.clone(), probe, command_line, access_max)?;
        let mut store = Store::new(plugin.pre.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(usize::try_from(limits.host_copy_bytes_max).unwrap_or(usize::MAX));
        store.set_max_component_handles(limits.resources_max as usize);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        if plugin.meter == Meter::EpochAndFuel {
            store.set_fuel(limits.fuel_max).map_err(|error| host(&error))?;
        }
        Ok(store)
    }

    async fn run(&self, job: Job<Self>, probe: &Probe, fuel: &mut u64) -> Result<Output, Fault> {
        let active = Arc::clone(&job.plugin);
        let plugin = &active.plugin;
        let limits = &active.limits;
        let export = plugin.export(&job.operation)?;
        let is_command =
            job.operation.interface.as_ref().is_some_and(|interface| interface.path() == "wasi:cli/run");
        let (arguments, command_line, typed) = arguments(export, job.arguments)?;

        // What says that it only reads gets no way to write: its risk was decided by, so it is held to it.
        let reads = |offered: &Offered| offered.name == job.operation && offered.risk == Risk::Read;
        let access_max = if active.operations.iter().any(reads) { Access::Read } else { Access::Write };
        if access_max == Access::Write
            && let Some(folder) = active.grants.folders.iter().find(|folder| folder.access == Access::Write)
        {
            job.nested
                .journal()
                .cannot_repeat(|| format!("`{}` may have changed `/{}`", active.id, folder.name));
        }
        let mut store = self.store(&active, job.nested, probe, command_line, access_max)?;
        let stopped = store.data().reaching.stopped();
        // What happens beside the guest, in tasks of its requests, can stop it too.
        let ended = tokio::select! {
            biased;
            fault = stopped.wait() => Err(Stop(fault).into()),
            ended = call(&mut store, plugin, export, &arguments) => ended,
        };
        *fuel = if plugin.meter == Meter::EpochAndFuel {
            limits.fuel_max.saturating_sub(store.get_fuel().unwrap_or_default())
        } else {
            0
        };
        let results = match ended {
            Ok(results) => results,
            Err(error) => match fault::of(&error, limits) {
                Some(fault) => return Err(fault),
                // It ended itself with status 0: a command that is done. Any other function owes a result.
                None if is_command => return Ok(Output::Json(serde_json::Value::Null)),
                None => {
                    let message = "it exited with status 0 instead of returning".into();
                    return Err(Fault::Plugin { message });
                }
            },
        };
        if typed {
            return Ok(Output::Values(results));
        }
        let json = values::results_to_json(export.results.iter().cloned(), &results);
        json.map(Output::Json).map_err(|error| Fault::Result { problem: error.to_string() })
    }
}

async fn call(
    store: &mut Store<Guest>,
    plugin: &Plugin,
    export: &Export,
    arguments: &[Val],
) -> wasmtime::Result<Vec<Val>> {
    let instance = plugin.pre.instantiate_async(&mut *store).await?;
    let function = instance
        .get_func(&mut *store, export.index)
        .ok_or_else(|| wasmtime::Error::msg("the exported function is missing"))?;
    let mut results = vec![Val::Bool(false); export.results.len()];
    function.call_async(&mut *store, arguments, &mut results).await?;
    Ok(results)
}

/// Converts the arguments to values; says whether the result is wanted as values too.
fn arguments(export: &Export, arguments: Arguments) -> Result<(Vec<Val>, CommandLine, bool), Fault> {
    match arguments {
        Arguments::Values(values) => Ok((values, CommandLine::default(), true)),
        Arguments::Json(json) => {
            let parameters = export.parameters.iter().map(|(name, ty)| (name.as_str(), ty.clone()));
            let values = values::arguments_from_json(parameters, &json, &ConversionLimits::DEFAULT)
                .map_err(|error| Fault::Arguments { problem: error.to_string() })?;
            Ok((values, CommandLine::default(), false))
        }
        Arguments::Command { arguments, stdin } => {
            if !export.parameters.is_empty() {
                return Err(Fault::Arguments { problem: "the function is not a command".into() });
            }
            Ok((Vec::new(), CommandLine { arguments, stdin }, false))
        }
    }
}

fn host(error: &wasmtime::Error) -> Fault {
    Fault::Host { problem: fault::said(&format!("{error:#}")) }
}

impl Executor for Runtime {
    type Plugin = Plugin;
    type Arguments = Arguments;
    type Output = Output;

    async fn execute(&self, job: Job<Self>) -> Finished<Output> {
        if let Some(result) = self.scripted(&job) {
            return Finished { result, usage: Usage::default() };
        }
        let deadline = job.deadline;
        let mut bill = Bill::new(&self.minutes, Arc::clone(&job.plugin), Arc::clone(job.nested.run()));
        let allowance = bill.allowance();
        // Rounded up: a little of the time was over before the call came here.
        let allowed = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        let late = Fault::Deadline { deadline_ms: u64::try_from(allowed).unwrap_or(u64::MAX) };
        let probe = Probe::default();
        let mut fuel = 0;
        let full = |maximum: usize| Fault::Limit {
            limit: LimitName::ConcurrentCalls,
            maximum: maximum as u64,
            used: None,
        };
        // Only calls from outside wait for a place, and take turns: a nested one that waited for what its callers have
        // could wait for ever.
        let from_outside = job.nested.depth() == 0;
        let mut turn = self.turns.begin();
        let place = Mutex::new(None);
        let work = async {
            if from_outside {
                let short = self.calls.acquire().await.map_err(|_| full(CALLS_MAX))?;
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(short);
            }
            self.run(job, &probe, &mut fuel).await
        };
        let result = {
            let mut work = pin!(work);
            // The clock before every slice of the guest as well as a timer: timers are late while all threads are
            // busy with guests, and a guest that waits in a host call has no slices.
            let in_time = poll_fn(|context| {
                if Instant::now() >= deadline {
                    return Poll::Ready(Err(late.clone()));
                }
                if bill.us >= allowance.us {
                    return Poll::Ready(Err(allowance.exceeded()));
                }
                let Poll::Ready(_turn) = turn.poll(context) else { return Poll::Pending };
                let (polled, took) = cpu::measured(|| work.as_mut().poll(context));
                bill.us = bill.us.saturating_add(took.own_us);
                if polled.is_pending() && from_outside {
                    match turn.used(took.all_us) {
                        Ok(false) => {}
                        // Others that are short may have its place.
                        Ok(true) => drop(place.lock().unwrap_or_else(PoisonError::into_inner).take()),
                        Err(_) => return Poll::Ready(Err(full(LONG_MAX))),
                    }
                }
                polled
            });
            tokio::time::timeout_at(deadline.into(), in_time).await.unwrap_or(Err(late))
        };
        let usage = Usage {
            duration_us: 0,
            fuel,
            cpu_us: bill.us,
            memory_peak_bytes: probe.memory_peak_bytes.load(Ordering::Relaxed),
            output_bytes: probe.output_bytes.load(Ordering::Relaxed),
            ..Usage::default()
        };
        Finished { result, usage }
    }

    async fn instantiate(
        &self,
        active: Arc<Active<Plugin>>,
        deadline: Instant,
        nested: Nested<Self>,
    ) -> Result<(), Fault> {
        let mut store =
            self.store(&active, nested, &Probe::default(), CommandLine::default(), Access::Read)?;
        let work = active.plugin.pre.instantiate_async(&mut store);
        match tokio::time::timeout_at(deadline.into(), work).await {
            Err(_) => Err(Fault::Deadline { deadline_ms: active.limits.deadline_ms }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(fault::of(&error, &active.limits).unwrap_or_else(|| host(&error))),
        }
    }

    fn measure(&self, arguments: &Arguments) -> Measure {
        measure::arguments(arguments)
    }

    fn measure_output(&self, output: &Output) -> Measure {
        measure::output(output)
    }

    fn arguments_of(&self, json: Value) -> Arguments {
        Arguments::Json(json)
    }

    fn arguments_json(
        &self,
        plugin: &Plugin,
        operation: &OperationName,
        arguments: &Arguments,
    ) -> Result<Value, Fault> {
        let export = plugin.export(operation)?;
        let parameters = || export.parameters.iter().map(|(name, ty)| (name.as_str(), ty.clone()));
        let converted;
        let values = match arguments {
            Arguments::Values(values) => values,
            Arguments::Json(json) => {
                converted = values::arguments_from_json(parameters(), json, &ConversionLimits::DEFAULT)
                    .map_err(|error| Fault::Arguments { problem: error.to_string() })?;
                &converted
            }
            Arguments::Command { arguments, stdin } => {
                let stdin = match stdin {
                    Stdin::Empty => Value::Null,
                    Stdin::Bytes(bytes) => json!({ "bytes": bytes.len(), "digest": Digest::of(bytes) }),
                    Stdin::Inherited => json!("what is typed or piped into this command"),
                };
                return Ok(json!({ "arguments": arguments, "stdin": stdin }));
            }
        };
        let mut members = serde_json::Map::new();
        for ((name, ty), value) in parameters().zip(values) {
            let json = values::to_json(&ty, value)
                .map_err(|error| Fault::Arguments { problem: error.to_string() })?;
            members.insert(name.to_owned(), json);
        }
        Ok(Value::Object(members))
    }

    fn output_json(
        &self,
        plugin: &Plugin,
        operation: &OperationName,
        output: &Output,
    ) -> Result<Value, Fault> {
        match output {
            Output::Json(json) => Ok(json.clone()),
            Output::Values(values) => {
                let export = plugin.export(operation)?;
                values::results_to_json(export.results.iter().cloned(), values)
                    .map_err(|error| Fault::Result { problem: error.to_string() })
            }
        }
    }

    fn output_of(
        &self,
        plugin: &Plugin,
        operation: &OperationName,
        json: &Value,
        arguments: &Arguments,
    ) -> Result<Output, Fault> {
        if !matches!(arguments, Arguments::Values(_)) {
            return Ok(Output::Json(json.clone()));
        }
        let export = plugin.export(operation)?;
        let value = |ty| {
            values::from_json(ty, json, &ConversionLimits::DEFAULT)
                .map_err(|error| Fault::Result { problem: error.to_string() })
        };
        Ok(Output::Values(export.results.iter().map(value).collect::<Result<_, _>>()?))
    }
}
