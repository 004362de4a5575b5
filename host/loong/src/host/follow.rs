//! What reaches a run from outside while it goes on: revocations, cancelling, other versions of its plugins, and how
//! plugins stand.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use loong_kernel::{Active, Event, PluginPhase, Revocation};
use loong_manifest::{Code, Digest, InterfaceName, PluginId, Tier};
use loong_runtime::Plugin;
use loong_store::Version;

use super::{Host, Session, unwritten};
use crate::authority::{self, Side};
use crate::error::CommandError;
use crate::locate;

/// How often a run asks what others did.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it looks at the folders of plugins.
const LOOK: Duration = Duration::from_secs(1);

/// What a run already did about versions that others chose.
#[derive(Default)]
struct Seen {
    /// Versions that could not be loaded: they are not tried again.
    bad: BTreeSet<Digest>,
    /// The folders of plugins, as they were looked at.
    files: Option<Vec<(PathBuf, Option<SystemTime>, u64)>>,
    looked: Option<Instant>,
}

impl Host {
    /// Takes over what was revoked since this was last asked. What it takes over again would revoke what is new.
    pub(super) async fn take_revocations(&self, session: Option<&Session>) -> Result<(), CommandError> {
        loop {
            let seen = self.revocations_seen.load(Ordering::Acquire);
            let news = self.store.revocations(seen).await.map_err(unwritten)?;
            if news.is_empty() {
                return Ok(());
            }
            for (number, revocation, reason) in news {
                self.kernel.revoke_again(&revocation);
                self.revocations_seen.store(number, Ordering::Release);
                if let (Revocation::Run(run), Some(session)) = (&revocation, session)
                    && session.run().id().as_str() == run
                {
                    let error = CommandError::new(Code::RunCancelled, "the run was cancelled from outside");
                    return Err(error.detail(reason));
                }
            }
        }
    }

    /// Follows what others do, as long as the run goes on. Ends only when it has to end.
    pub(super) async fn follow(&self, session: &Session) -> CommandError {
        let mut seen = Seen::default();
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.take_revocations(Some(session)).await {
                return error;
            }
            if let Err(fault) = self.kernel.hear_of_standings().await {
                return fault.into();
            }
            if let Err(error) = self.follow_chosen(session, &mut seen).await {
                return error;
            }
            if seen.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                seen.looked = Some(Instant::now());
                self.look_for_versions(session, &mut seen).await;
            }
        }
    }

    /// Makes the versions active that were chosen by others, where another version is.
    async fn follow_chosen(&self, session: &Session, seen: &mut Seen) -> Result<(), CommandError> {
        for (id, chosen) in self.store.chosen().await.map_err(unwritten)? {
            let Ok(id) = id.parse::<PluginId>() else { continue };
            let active = self.kernel.catalog().plugin(&id).map(|active| (active.digest, active.tier));
            let Some((digest, tier)) = active.filter(|(digest, _)| *digest != chosen.now.digest) else {
                continue;
            };
            if seen.bad.contains(&chosen.now.digest) || self.is_named(&digest) {
                continue;
            }
            let Err(error) = self.swap_in(session, &id, &chosen.now, tier).await else { continue };
            // The version that is active goes on serving here.
            seen.bad.insert(chosen.now.digest);
            let problem = format!("{} [{}]", error.headline, error.code);
            self.watch.warn(&format!("`{id}` {} was not taken over: {problem}", chosen.now.version));
            // And everywhere, where it is the version that fails, and not this run that may not or cannot load it.
            if error.code == Code::HealthFailed && self.kernel.is_on_probation(&chosen.now.digest) {
                let (run, plugin) = (Some(session.run().id().to_string()), id.clone());
                let (digest, state) = (chosen.now.digest, PluginPhase::RolledBack);
                let event = Event::PluginState { run, plugin, digest, state, reason: Some(problem.clone()) };
                self.kernel.note(event).await?;
                // Somebody else may have been faster; then there is nothing to do.
                let _ = self.store.roll_back(&id, &digest, &problem).await;
            }
        }
        Ok(())
    }

    /// Loads a version, checks it in an instance that nothing depends on, and makes it active.
    async fn swap_in(
        &self,
        session: &Session,
        id: &PluginId,
        version: &Version,
        tier_min: Tier,
    ) -> Result<(), CommandError> {
        let path = self.path.by_digest(id, &version.digest)?;
        let plugin = Arc::new(self.prepare(&path, session, tier_min).await?);
        self.check(session, &plugin).await?;
        let active = Arc::into_inner(plugin)
            .ok_or_else(|| CommandError::new(Code::HostFailed, "a check did not give its plugin back"))?;
        let catalog = self.kernel.catalog();
        let offers = |plugin: &Active<Plugin>, wanted: &InterfaceName| {
            let mut interfaces =
                plugin.operations.iter().filter_map(|operation| operation.name.interface.as_ref());
            interfaces.any(|interface| interface.satisfies(wanted))
        };
        // Those that are active and were built for what only the version before offers go on with that.
        let needed = catalog.plugin(id).is_some_and(|before| {
            let mut imports = catalog.all().flat_map(|importer| importer.plugin.imports());
            imports.any(|import| offers(before, &import.interface) && !offers(&active, &import.interface))
        });
        if needed {
            return Ok(self.kernel.activate_keeping(active, Some(session.run())).await?);
        }
        Ok(self.kernel.activate(active, Some(session.run())).await?)
    }

    /// Takes newer versions over that were put into the folders of plugins, where policy lets that happen by itself:
    /// official ones that want no more than the version that is active.
    async fn look_for_versions(&self, session: &Session, seen: &mut Seen) {
        let before = seen.files.replace(self.path.files());
        if before.is_none() || before == seen.files {
            return;
        }
        for entry in self.path.all_entries() {
            let catalog = self.kernel.catalog();
            let Some(active) = catalog.plugin(&entry.manifest.id) else { continue };
            let newer = active.version.parse().is_ok_and(|version| entry.manifest.version > version);
            if !newer || active.tier != Tier::Official || self.is_named(&active.digest) {
                continue;
            }
            // One that was rolled back is newer too.
            if entry.digest().is_none_or(|digest| self.kernel.is_quarantined(&digest)) {
                continue;
            }
            let Err(error) = self.choose(session, &entry, active.digest, seen).await else { continue };
            let (id, version) = (&entry.manifest.id, &entry.manifest.version);
            self.watch.warn(&format!(
                "`{id}` {version} was not taken over by itself: {} [{}]",
                error.headline, error.code
            ));
        }
    }

    /// Chooses a version that was found, for everybody.
    async fn choose(
        &self,
        session: &Session,
        entry: &locate::Entry,
        active: Digest,
        seen: &mut Seen,
    ) -> Result<(), CommandError> {
        let id = &entry.manifest.id;
        let (before, after) = (self.path.by_digest(id, &active)?, entry.path.clone());
        let (before, after) = (self.side(&before)?, self.side(&after)?);
        let digest = *after.verified.digest();
        if !seen.bad.insert(digest) {
            return Ok(());
        }
        let lines = authority::differences(&before, &after);
        if after.verified.tier() < before.verified.tier() || lines.iter().any(|line| line.more) {
            let error = CommandError::new(Code::SwapRefused, "it wants more than the version that is active");
            return Err(
                error.hint(format!("see what with `loong plugins swap {id} {}`", entry.manifest.version))
            );
        }
        let version = |side: &Side| Version {
            version: side.verified.version().to_string(),
            digest: *side.verified.digest(),
        };
        let (old, new) = (version(&before), version(&after));
        let number = self.store.begin_swap(id, Some(old.digest), new.clone()).await?;
        match self.swap_in(session, id, &new, before.verified.tier()).await {
            Ok(()) => Ok(self.store.switch(number, Some(old), self.settings.swap.probation_ms()).await?),
            Err(error) => {
                self.store.refuse_swap(number, &error.headline).await?;
                Err(error)
            }
        }
    }

    /// Whether a version that is not active works, in an instance that nothing depends on.
    pub async fn check(&self, session: &Session, plugin: &Arc<Active<Plugin>>) -> Result<(), CommandError> {
        self.kernel.check(Arc::clone(plugin), session.run()).await.map_err(|fault| {
            let headline = format!("`{}` {} did not pass its check", plugin.id, plugin.version);
            CommandError::new(Code::HealthFailed, headline).detail(format!("{fault} [{}]", fault.code()))
        })
    }

    /// A component, verified, and what it would be granted.
    pub fn side(&self, path: &std::path::Path) -> Result<Side, CommandError> {
        let verified = loong_trust::verify(locate::candidate(path)?, &self.root, super::now_ms() / 1000)?;
        let offer = self.args.grant.offer(&self.settings, &self.places, &verified)?;
        let preview = loong_policy::preview(self.kernel.policy(), &verified, &offer);
        Ok(Side { verified, preview })
    }
}
