//! The one road of a call: resolve, decide, record, execute, record.
//!
//! Everything that happens in Loong is one [`Kernel::call`]. The kernel is written against two traits:
//! [`Ledger`] keeps the audit log, [`Executor`] runs components. It names neither a database nor an engine.

mod approval;
pub mod breaker;
mod catalog;
pub mod chain;
pub mod checkpoint;
mod event;
mod executor;
mod fault;
pub mod journal;
mod kernel;
mod kv;
mod ledger;
pub mod merkle;
mod revoked;
mod run;
mod standing;
mod task;

pub use approval::{Approvals, Approver, Standing, Taken, Waiting};
pub use catalog::{Active, Catalog, Offered, ResolveError, ToolSummary};
pub use event::{
    ApprovalEnd, Asked, Event, EventKind, Facets, Outcome, PluginPhase, Review, Severity, SinkPhase, Triage,
    Usage,
};
pub use executor::{Boxed, Executor, Finished, Job, Measure, Nested, Reach, Road, Within};
pub use fault::Fault;
pub use kernel::{APPROVALS_MAX, Call, Found, Kernel, Parts, RecordArguments};
pub use kv::{KV_KEY_BYTES_MAX, KV_PAGE_KEYS_MAX, KV_VALUE_BYTES_MAX, KvError, KvPage, KvSpace};
pub use ledger::{Durability, Ledger, LedgerError};
pub use revoked::Revocation;
pub use run::{Caller, Egress, Run, RunEnd, RunId};
pub use standing::{Noted, Peak, Peaks, Standings, Traffic};
