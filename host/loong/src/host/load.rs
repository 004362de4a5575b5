//! From a file to an active plugin: verify, admit, compile, link, activate.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use loong_kernel::{Active, Event};
use loong_manifest::{Code, Digest, OperationName, Tier, escape};
use loong_repository::scan::Severity;
use loong_runtime::Plugin;
use loong_trust::{Candidate, Verified};

use super::{Host, Session, now_ms};
use crate::error::CommandError;
use crate::locate::{self, Entry};
use crate::scanning;
use crate::ui::Ui;

/// Most components that one run loads.
const PLUGINS_MAX: usize = 64;

impl Host {
    /// Reads and verifies a component file; a refusal is written down.
    async fn verify(&self, path: &Path, session: &Session) -> Result<Verified, CommandError> {
        let candidate = locate::candidate(path);
        let digest = candidate.as_ref().ok().map(|candidate| *candidate.digest());
        let verified = candidate.and_then(|candidate: Candidate| {
            let digest = *candidate.digest();
            loong_trust::verify(candidate, &self.root, now_ms() / 1000).map_err(|error| {
                CommandError::from(error)
                    .detail(format!("in `{}`", path.display()))
                    .detail(digest.to_string())
            })
        });
        match verified {
            Ok(verified) => Ok(verified),
            Err(error) => Err(self.refused(&path.display().to_string(), digest, error, session).await),
        }
    }

    /// Writes a refusal down and hands it on.
    async fn refused(
        &self,
        plugin: &str,
        digest: Option<Digest>,
        error: CommandError,
        session: &Session,
    ) -> CommandError {
        let event = Event::PluginRefused {
            run: Some(session.run.id().to_string()),
            plugin: escape(plugin),
            digest,
            code: error.code,
            reason: error.headline.clone(),
        };
        match self.kernel.note(event).await {
            Ok(()) => error,
            Err(fault) => fault.into(),
        }
    }

    /// Loads a component, and whatever it imports from other components.
    pub fn load(&self, ui: &Ui, path: &Path, session: &Session) -> Result<Arc<Active<Plugin>>, CommandError> {
        for extra in &self.args.with {
            self.name(self.load_one(extra, session, Tier::Unverified)?.digest);
        }
        let first = self.load_one(path, session, Tier::Unverified)?;
        if !self.path.holds(path) {
            self.name(first.digest);
        }
        if first.tier == Tier::Unverified {
            ui.note(format!(
                "note: `{}` is unverified, nobody in your trust root signed it: it runs restricted",
                first.id
            ));
        }
        self.load_callable(ui, session);
        self.load_imports(session)?;
        Ok(first)
    }

    fn name(&self, digest: Digest) {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// Whether a person named this component by its file.
    pub(super) fn is_named(&self, digest: &Digest) -> bool {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    /// Verifies, admits, compiles, links and activates one component.
    pub fn load_one(
        &self,
        path: &Path,
        session: &Session,
        tier_min: Tier,
    ) -> Result<Arc<Active<Plugin>>, CommandError> {
        let plugin = self.wait(self.prepare(path, session, tier_min))?;
        let id = plugin.id.clone();
        self.wait(self.kernel.activate(plugin, Some(&session.run)))?;
        let catalog = self.kernel.catalog();
        catalog
            .plugin(&id)
            .cloned()
            .ok_or_else(|| CommandError::new(Code::HostFailed, format!("`{id}` was not activated")))
    }

    /// Verifies, admits, compiles and links one component, unless it is below `tier_min`: what nobody
    /// asked for by name is never activated unverified.
    pub async fn prepare(
        &self,
        path: &Path,
        session: &Session,
        tier_min: Tier,
    ) -> Result<Active<Plugin>, CommandError> {
        let verified = self.verify(path, session).await?;
        let id = verified.id().clone();
        let run = session.run.id().to_string();
        self.kernel
            .note(Event::PluginVerified {
                run: Some(run.clone()),
                plugin: id.clone(),
                version: verified.version().to_string(),
                digest: *verified.digest(),
                tier: verified.tier(),
                tier_requested: tier_min,
                key: verified.signer().map(|signer| signer.key_id.to_string()),
            })
            .await?;
        let digest = Some(*verified.digest());
        let name = id.to_string();
        let refused = |error: CommandError| {
            self.refused(&name, digest, error.detail(format!("in `{}`", path.display())), session)
        };
        if verified.tier() < tier_min {
            let error = CommandError::new(
                Code::TierTooLow,
                format!("`{id}` is {} and was not asked for by name, so it is not loaded", verified.tier()),
            );
            let error = error.hint(
                "sign it with `loong plugins sign`, or name it with `--with FILE` to load it all the same",
            );
            return Err(refused(error).await);
        }
        if let Err(error) = self.scan(&verified, path, &run).await {
            return Err(refused(error).await);
        }
        let offer = self.args.grant.offer(&self.settings, &self.places, &verified)?;
        let admitted = match loong_policy::admit(self.kernel.policy(), verified, &offer) {
            Ok(admitted) => admitted,
            Err(denial) => return Err(refused(denial.into()).await),
        };
        self.kernel
            .note(Event::PluginAdmitted {
                run: Some(run),
                plugin: id.clone(),
                digest: *admitted.verified().digest(),
                tier: admitted.verified().tier(),
                grants: admitted.grants().names(),
            })
            .await?;
        match self.kernel.executor().load(&admitted).await {
            Ok(plugin) => Ok(Active::new(&admitted, plugin)),
            Err(error) => {
                let error = CommandError::from(error).detail(format!("`{id}` cannot be loaded"));
                Err(refused(error).await)
            }
        }
    }

    /// Scans a component, and writes down what was found.
    async fn scan(&self, verified: &Verified, path: &Path, run: &str) -> Result<(), CommandError> {
        let report = scanning::scan(verified, path, &self.scan)?;
        let count = |severity| report.count(severity) as u64;
        let mut findings: Vec<String> = report.findings.iter().map(|finding| finding.id.clone()).collect();
        findings.sort();
        let event = Event::ScanEvaluated {
            run: Some(run.to_owned()),
            plugin: verified.id().clone(),
            digest: *verified.digest(),
            tier: verified.tier(),
            high: count(Severity::High),
            medium: count(Severity::Medium),
            low: count(Severity::Low),
            blocked: report.blocked,
            categories: report.categories(),
            findings,
        };
        self.kernel.note(event).await?;
        if report.blocked { Err(scanning::refusal(verified, &report)) } else { Ok(()) }
    }

    /// Loads components until every import is satisfied, and compares the types on both sides.
    fn load_imports(&self, session: &Session) -> Result<(), CommandError> {
        for _ in 0..PLUGINS_MAX {
            let catalog = self.kernel.catalog();
            let mut missing = None;
            for importer in catalog.all() {
                for import in importer.plugin.imports() {
                    match catalog.offering(&import.interface).first() {
                        None => missing = Some((importer.id.clone(), import.interface.clone())),
                        Some(offering) => agree(importer, import, offering)?,
                    }
                }
            }
            let Some((importer, interface)) = missing else { return Ok(()) };
            let entries = self.path.offering(&interface);
            let Some(entry) = entries.first() else {
                let error = CommandError::new(
                    Code::ImportUnknown,
                    format!("`{importer}` imports `{interface}`, which no component here offers"),
                );
                return Err(self.wait(self.refused(&importer.to_string(), None, error, session)));
            };
            self.load_import(entry, session)
                .map_err(|error| error.detail(format!("`{importer}` imports `{interface}` from it")))?;
        }
        Err(CommandError::new(
            Code::ImportUnknown,
            format!("more than {PLUGINS_MAX} components would have to be loaded"),
        ))
    }

    /// Loads a component that another one imports from. Where its id leads to another version, it is active beside that.
    fn load_import(&self, entry: &Entry, session: &Session) -> Result<(), CommandError> {
        let id = &entry.manifest.id;
        let digest = entry.digest();
        let is_other = self.path.chosen(id).is_some_and(|chosen| Some(chosen.now.digest) != digest)
            || self.kernel.catalog().plugin(id).is_some_and(|active| Some(active.digest) != digest);
        if !is_other {
            return self.load_one(&entry.path, session, Tier::VerifiedCommunity).map(drop);
        }
        let plugin = self.wait(self.prepare(&entry.path, session, Tier::VerifiedCommunity))?;
        Ok(self.wait(self.kernel.activate_beside(plugin, Some(&session.run)))?)
    }

    /// Loads every component on the path that offers what the loaded ones may call by name.
    fn load_callable(&self, ui: &Ui, session: &Session) {
        let catalog = self.kernel.catalog();
        if catalog.plugins().all(|plugin| plugin.grants.operations().is_empty()) {
            return;
        }
        let may_call = |name: &OperationName| catalog.plugins().any(|plugin| plugin.grants.operation(name));
        for entry in self.path.entries_with(may_call) {
            let mut names = entry.manifest.operations.iter().map(|operation| &operation.name);
            if names.any(may_call)
                && catalog.plugin(&entry.manifest.id).is_none()
                && let Err(error) = self.load_one(&entry.path, session, Tier::VerifiedCommunity)
            {
                ui.warning(format!(
                    "`{}` is not loaded: {} [{}]",
                    entry.manifest.id, error.headline, error.code
                ));
            }
        }
    }
}

/// Whether what is offered has the types that the importer was built for.
pub fn agree(
    importer: &Active<Plugin>,
    import: &loong_runtime::Import,
    offering: &Active<Plugin>,
) -> Result<(), CommandError> {
    for function in &import.functions {
        let offered = offering
            .operations
            .iter()
            .find(|operation| {
                operation.name.function == function.name
                    && operation
                        .name
                        .interface
                        .as_ref()
                        .is_some_and(|interface| interface.satisfies(&import.interface))
            })
            .and_then(|operation| offering.plugin.signature(&operation.name));
        if offered.as_ref() != Some(&function.signature) {
            return Err(CommandError::new(
                Code::AbiMismatch,
                format!(
                    "`{}` and `{}` do not agree on `{}#{}`",
                    importer.id, offering.id, import.interface, function.name
                ),
            )
            .detail(format!("wanted:  {}", function.signature))
            .detail(format!("offered: {}", offered.unwrap_or_else(|| "nothing".to_owned())))
            .hint("build both against the same WIT"));
        }
    }
    Ok(())
}
