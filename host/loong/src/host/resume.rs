//! Runs that stop for an approval and go on, and what reaches a run from outside while it goes on.

use std::sync::PoisonError;

use loong_kernel::{Event, Outcome};
use loong_manifest::Code;
use loong_store::{RunRequest, WaitingRun};

use super::{Host, INPUT_KEPT_BYTES_MAX, Session, now_ms, unwritten};
use crate::error::CommandError;
use crate::{changes, grant_file};

impl Host {
    /// Notes what a file or standard input held, so that the run can be given it again.
    pub fn keep_input(&self, session: &Session, input: &[u8]) {
        if input.len() as u64 > INPUT_KEPT_BYTES_MAX {
            session
                .run
                .journal()
                .cannot_repeat(|| format!("its input is larger than {INPUT_KEPT_BYTES_MAX} bytes"));
            return;
        }
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = Some(input.to_vec());
    }

    /// What the run that goes on was given.
    pub fn kept_input(&self) -> Option<Vec<u8>> {
        self.args.resumed.as_ref()?.input.clone()
    }

    /// Keeps the grants of the grant files that were named.
    pub(super) fn take_grants(&self) -> Result<(), CommandError> {
        for path in &self.args.grant_files {
            let signed = grant_file::read(path, &self.root)?;
            for (name, grant) in signed.grants() {
                let by = format!("grant file signed by {}", signed.signer.key_id.short());
                let policy = self.kernel.policy().digest();
                let (_, new) = self.wait(self.store.add_grant(&name, &grant, policy, &by))?;
                if !new {
                    continue;
                }
                let (run, approval, outcome, scope) = (None, name, Outcome::Allow, grant.scope());
                self.wait(self.kernel.note(Event::ApprovalDecided { run, approval, outcome, scope, by }))?;
            }
        }
        Ok(())
    }

    /// A run that goes on does so with the components that it began with: others would not find in its journal
    /// what they had done.
    pub(super) fn same_components(&self) -> Result<(), CommandError> {
        let Some(waiting) = &self.args.resumed else { return Ok(()) };
        let catalog = self.kernel.catalog();
        for (id, digest) in &waiting.request.components {
            let now =
                catalog.plugins().find(|plugin| plugin.id.to_string() == *id).map(|plugin| plugin.digest);
            if now != Some(*digest) {
                let now = now.map_or_else(|| "not there".to_owned(), |now| now.to_string());
                return Err(CommandError::new(
                    Code::ResumeUnsafe,
                    format!("`{id}` is another component than when the run stopped"),
                )
                .detail(format!("then {digest}"))
                .detail(format!("now  {now}"))
                .hint("nothing was done; run it anew, or put the component back"));
            }
        }
        Ok(())
    }

    /// Keeps a run that stopped for an approval, so that it can go on, and says how. One that went on and is over is
    /// forgotten.
    pub(super) async fn settle(
        &self,
        session: &Session,
        result: &mut Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let run = &session.run;
        let earlier = self.args.resumed.as_deref();
        match result {
            Err(error) if error.code == Code::ApprovalRequired && error.approval.is_some() => {
                let approval = error.approval.clone().unwrap_or_default();
                let (journal, unrepeatable) = run.journal().take();
                let words = earlier.map(|run| run.request.words.clone()).or_else(changes::words);
                let (Some(words), None) = (words, &unrepeatable) else {
                    let why = unrepeatable.unwrap_or_else(|| "its command line is not UTF-8".to_owned());
                    error.details.push(format!("the run cannot go on later: {why}"));
                    error.hint = Some(format!(
                        "look at it with `loong approvals show {approval}`; what is like it can be allowed in advance with \
                         `loong approvals grant`, and then be run again"
                    ));
                    if earlier.is_some() {
                        self.store.remove_run(run.id().as_str()).await.map_err(unwritten)?;
                    }
                    return Ok(());
                };
                let folder = std::env::current_dir().unwrap_or_default();
                let components = self
                    .kernel
                    .catalog()
                    .plugins()
                    .map(|plugin| (plugin.id.to_string(), plugin.digest))
                    .collect();
                let now_ms = now_ms();
                let kept = self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
                let waiting = WaitingRun {
                    id: run.id().to_string(),
                    created_ms: now_ms,
                    expires_ms: now_ms.saturating_add(self.settings.approvals.life_ms()),
                    calls: run.calls(),
                    approval: error.approval.clone(),
                    request: RunRequest { words, folder: folder.to_string_lossy().into_owned(), components },
                    input: kept.or_else(|| self.kept_input()),
                    journal,
                    resumed: false,
                };
                self.store.save_run(waiting).await.map_err(unwritten)?;
                let name = run.id().as_str();
                error.hint = Some(format!(
                    "look at it with `loong approvals show {approval}`, allow it with `loong approvals approve {approval}`, \
                     then let the run go on with `loong run --resume {}`",
                    name.get(..12).unwrap_or(name)
                ));
            }
            // Nothing was begun again, so it can be tried once more.
            Err(_) if earlier.is_some_and(|earlier| run.calls() == earlier.calls) => {
                if let Some(earlier) = earlier {
                    self.store.save_run(earlier.clone()).await.map_err(unwritten)?;
                }
            }
            _ if earlier.is_some() => self.store.remove_run(run.id().as_str()).await.map_err(unwritten)?,
            _ => {}
        }
        Ok(())
    }
}
