//! Which plugins are active: activation, replacement, draining, and what revoked keys do to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loong_manifest::Code;
use loong_policy::Token;
use serde_json::json;

use super::Kernel;
use super::review::Extension;
use crate::executor::NestedToken;
use crate::journal::Journal;
use crate::revoked::Revocation;
use crate::{Active, Durability, Event, Executor, Fault, Job, Ledger, Nested, PluginPhase, Run};

/// The interface by which a component says whether it works.
const LIFECYCLE: &str = "loong:plugin/lifecycle";
/// How long a check may take, whatever the plugin's own limit says.
const CHECK: Duration = Duration::from_secs(5);

impl<L: Ledger, E: Executor> Kernel<L, E> {
    /// Makes a plugin active, in place of an older version of itself. The load is written down first. The id of
    /// a plugin whose tier is lower is only its own claim, so it never takes the place of a better known one.
    pub async fn activate(
        self: &Arc<Self>,
        plugin: Active<E::Plugin>,
        run: Option<&Run>,
    ) -> Result<(), Fault> {
        self.well_known_enough(&plugin)?;
        self.replace(Arc::new(plugin), run.map(|run| run.id().to_string()), false).await
    }

    fn well_known_enough(&self, plugin: &Active<E::Plugin>) -> Result<(), Fault> {
        match self.catalog.load().plugin(&plugin.id) {
            Some(active) if active.tier > plugin.tier => {
                let reason =
                    format!("`{}` is active at tier {}; this one is {}", plugin.id, active.tier, plugin.tier);
                Err(Fault::Denied { code: Code::TierTooLow, reason, policies: Vec::new() })
            }
            _ => Ok(()),
        }
    }

    /// The same, and the version before stays active beside it, for those that were built for interfaces that only
    /// it offers.
    pub async fn activate_keeping(
        self: &Arc<Self>,
        plugin: Active<E::Plugin>,
        run: Option<&Run>,
    ) -> Result<(), Fault> {
        self.well_known_enough(&plugin)?;
        self.replace(Arc::new(plugin), run.map(|run| run.id().to_string()), true).await
    }

    /// Makes a plugin active. New calls reach it at once; those of the version before may end.
    pub(super) async fn replace(
        self: &Arc<Self>,
        plugin: Arc<Active<E::Plugin>>,
        run: Option<String>,
        keep: bool,
    ) -> Result<(), Fault> {
        let before = self.catalog.load().plugin(&plugin.id).cloned();
        let before = before.filter(|before| before.digest != plugin.digest);
        let event = match &before {
            Some(before) => Event::PluginSwapped {
                run: run.clone(),
                plugin: plugin.id.clone(),
                version: plugin.version.clone(),
                before: before.digest,
                digest: plugin.digest,
                tier: plugin.tier,
            },
            None => loaded(run.clone(), &plugin),
        };
        self.append(event, Durability::Written).await?;
        self.catalog.rcu(|catalog| {
            let catalog = catalog.with(Arc::clone(&plugin));
            match before.as_ref().filter(|_| keep) {
                Some(before) => catalog.with_beside(Arc::clone(before)),
                None => catalog,
            }
        });
        if let Some(before) = before.filter(|_| !keep) {
            self.supervised.before().insert(before.id.clone(), Arc::clone(&before));
            self.drain(before, run);
        }
        Ok(())
    }

    /// Makes another version of an active plugin active beside it, for those that were built for interfaces that only
    /// this one offers.
    pub async fn activate_beside(&self, plugin: Active<E::Plugin>, run: Option<&Run>) -> Result<(), Fault> {
        self.well_known_enough(&plugin)?;
        self.append(loaded(run.map(|run| run.id().to_string()), &plugin), Durability::Written).await?;
        let plugin = Arc::new(plugin);
        self.catalog.rcu(|catalog| catalog.with_beside(Arc::clone(&plugin)));
        Ok(())
    }

    /// Lets the calls of a plugin that is active no longer end, and ends those that take too long.
    fn drain(self: &Arc<Self>, plugin: Arc<Active<E::Plugin>>, run: Option<String>) {
        let kernel = Arc::clone(self);
        tokio::spawn(async move {
            let within = Duration::from_millis(kernel.parts.drain_ms);
            let late = tokio::time::timeout(within, plugin.traffic.empty()).await.is_err();
            let cut = if late { plugin.traffic.open() } else { 0 };
            if late {
                plugin.traffic.stop();
                plugin.traffic.empty().await;
            }
            let reason = (cut > 0).then(|| format!("{cut} calls were ended"));
            // The log refuses the next call by itself when it cannot be written.
            let _ = kernel.stands(run, &plugin, PluginPhase::Drained, reason).await;
        });
    }

    /// Instantiates a plugin that is not active, and asks it whether it works, if it offers `loong:plugin/lifecycle`.
    /// It can call nothing. What came of it is written down.
    pub async fn check(
        self: &Arc<Self>,
        plugin: Arc<Active<E::Plugin>>,
        run: &Arc<Run>,
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + CHECK.min(Duration::from_millis(plugin.limits.deadline_ms));
        let nested = self.apart(&plugin, run, format!("{}.check", run.id()), deadline);
        let health = plugin.operations.iter().map(|offered| &offered.name).find(|name| {
            name.function == "health"
                && name.interface.as_ref().is_some_and(|interface| interface.path() == LIFECYCLE)
        });
        let result = match health.cloned() {
            None => self.executor().instantiate(Arc::clone(&plugin), deadline, nested).await,
            Some(operation) => {
                let arguments = self.executor().arguments_of(json!({}));
                let job = Job {
                    plugin: Arc::clone(&plugin),
                    operation: operation.clone(),
                    arguments,
                    deadline,
                    nested,
                };
                let output = self.executor().execute(job).await.result;
                output.and_then(|output| {
                    let json = self.executor().output_json(&plugin.plugin, &operation, &output)?;
                    match json.get("err") {
                        None => Ok(()),
                        Some(said) => {
                            Err(Fault::Plugin { message: loong_manifest::escape(&said.to_string()) })
                        }
                    }
                })
            }
        };
        let (state, reason) = match &result {
            Ok(()) => (PluginPhase::Healthy, None),
            Err(fault) => (PluginPhase::Unhealthy, Some(fault.to_string())),
        };
        self.stands(Some(run.id().to_string()), &plugin, state, reason).await?;
        result
    }

    /// What a plugin is given that is asked something by the kernel itself: it can call nothing.
    pub(super) fn apart(
        self: &Arc<Self>,
        plugin: &Arc<Active<E::Plugin>>,
        run: &Arc<Run>,
        call: String,
        deadline: Instant,
    ) -> Nested<E> {
        // Of no generation that could call anything, and for no operation.
        let token = Token::issue(run.id().as_str(), self.revoked.generation(), 0);
        Nested {
            road: Arc::<Self>::clone(self),
            run: Arc::clone(run),
            plugin: Arc::clone(plugin),
            call,
            pack: Arc::new(plugin.id.clone()),
            token: NestedToken { callers: token, expires_ms: 0, own: std::sync::OnceLock::new() },
            journal: Arc::new(Journal::default()),
            // Deeper than any call, so that the executor gives it a place at once.
            depth: u32::MAX,
            deadline,
            durability: Durability::Queued,
        }
    }

    /// Makes a plugin a policy extension: from now on it reviews what policy allows. Nothing can call it, and
    /// it is in no catalog.
    pub async fn activate_extension(
        &self,
        plugin: Active<E::Plugin>,
        run: Option<&Run>,
    ) -> Result<(), Fault> {
        let extension = Extension::of(plugin)?;
        self.append(loaded(run.map(|run| run.id().to_string()), extension.plugin()), Durability::Written)
            .await?;
        let extension = Arc::new(extension);
        self.extensions.rcu(|extensions| {
            let mut extensions: Vec<_> = extensions.iter().cloned().collect();
            extensions.retain(|other| other.plugin().id != extension.plugin().id);
            extensions.push(Arc::clone(&extension));
            extensions.sort_by(|left, right| left.plugin().id.cmp(&right.plugin().id));
            extensions
        });
        Ok(())
    }

    /// Revokes tokens. Calls under way end; none of them can make another. Plugins that a revoked key signed are
    /// active no longer.
    pub async fn revoke(self: &Arc<Self>, revocation: &Revocation, reason: &str) -> Result<(), Fault> {
        // First, so that nothing uses what is about to be recorded as revoked.
        if !self.revoked.revoke(revocation) {
            return Ok(());
        }
        let (run, token, generation, key) = match revocation {
            Revocation::Token(token) => (None, Some(token.clone()), None, None),
            Revocation::Generation => (None, None, Some(self.revoked.generation()), None),
            Revocation::Key(key) => (None, None, None, Some(key.clone())),
            Revocation::Run(run) => (Some(run.clone()), None, None, None),
        };
        let reason = loong_manifest::escape(reason);
        let event = Event::TokenRevoked { run, token, generation, key, reason };
        self.append(event, Durability::Written).await?;
        for plugin in self.catalog.load_full().all().filter(|plugin| self.revoked.key(plugin.key.as_deref()))
        {
            self.catalog.rcu(|catalog| catalog.without(&plugin.digest));
            let event = Event::PluginUnloaded {
                run: None,
                plugin: plugin.id.clone(),
                digest: plugin.digest,
                reason: "the key that signed it was revoked".to_owned(),
            };
            self.append(event, Durability::Written).await?;
            self.drain(Arc::clone(plugin), None);
        }
        Ok(())
    }
}

fn loaded<P>(run: Option<String>, plugin: &Active<P>) -> Event {
    Event::PluginLoaded {
        run,
        plugin: plugin.id.clone(),
        version: plugin.version.clone(),
        digest: plugin.digest,
        tier: plugin.tier,
        key: plugin.key.clone(),
        grants: plugin.grants.names(),
        confinement: Some(plugin.confinement.clone()),
    }
}
