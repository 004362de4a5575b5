//! Which records are about deliveries themselves.
//!
//! A delivery writes records: that it was decided, began, reached a host, ended. Were they delivered as soon
//! as they are there, there would never be an end. So they are delivered with the next records of something
//! else, and lead to no delivery by themselves, whichever process wrote them.

use std::collections::BTreeMap;

use loong_kernel::EventKind;
use loong_store::{AuditFilter, AuditReader, RawRecord, StoreError};

/// What the request of a run begins with that delivers. Requests of other runs begin with the command that a
/// person typed, and no component chooses one.
const REQUEST: &str = "audit sink ";
/// Most runs of which it is remembered what they are.
const RUNS_MAX: usize = 1024;

/// The request of a run that delivers to a sink.
pub(super) fn request(plugin: &loong_manifest::PluginId) -> String {
    format!("{REQUEST}{plugin}")
}

/// Which runs are deliveries, as far as it was looked up.
#[derive(Debug, Default)]
pub struct OwnRuns {
    known: BTreeMap<String, bool>,
}

impl OwnRuns {
    /// Whether a record is a reason to deliver.
    pub(super) fn is_news(&mut self, reader: &AuditReader, record: &RawRecord) -> Result<bool, StoreError> {
        // A token is always issued for a run, and the run's own record says what it is; it may not be there yet.
        if ["sink_state", "token_issued"].contains(&record.kind.as_str()) {
            return Ok(false);
        }
        let Some(run) = &record.run else { return Ok(true) };
        if let Some(own) = self.known.get(run) {
            return Ok(!own);
        }
        let own = is_delivery(reader, run)?;
        if self.known.len() >= RUNS_MAX {
            self.known.clear();
        }
        self.known.insert(run.clone(), own);
        Ok(!own)
    }
}

/// Whether a run delivers. One whose beginning is no longer in the log counts as another: at worst something is
/// delivered once that could have waited.
fn is_delivery(reader: &AuditReader, run: &str) -> Result<bool, StoreError> {
    let kind = EventKind("run_started").0;
    let filter =
        AuditFilter { kind: Some(kind.to_owned()), run: Some(run.to_owned()), ..AuditFilter::any(1) };
    let started = reader.follow(&filter, None)?;
    Ok(started.iter().any(|record| match &record.event {
        loong_kernel::Event::RunStarted { request, .. } => request.starts_with(REQUEST),
        _ => false,
    }))
}
