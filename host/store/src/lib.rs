//! What the host keeps between runs, in one SQLite file: the audit log and the key-value spaces of plugins.
//!
//! [`Store`] writes: it implements the kernel's [`Ledger`](loong_kernel::Ledger) and
//! [`KvSpace`](loong_kernel::KvSpace) with one thread that owns the one writing connection. [`AuditReader`]
//! reads and verifies, from any process, while others write. Several processes may share a file: the chain
//! stays one line because a record's place and its predecessor are read inside the transaction that adds it.

mod approvals;
mod audit;
mod checkpoint;
mod connect;
mod error;
mod facets;
mod group;
mod kv;
mod meta;
mod prove;
mod prune;
mod queue;
mod record;
mod running;
mod sink;
mod standing;
mod store;
mod tree;
mod verify;
mod waiting;

pub use approvals::{ApprovalRow, ApprovalState, DecideError, GrantRow};
pub use audit::{
    AuditFilter, AuditReader, CallMade, Discovery, Group, GroupBy, Named, Place, Record, SearchGroup,
    Summary, TokenTrail,
};
pub use checkpoint::{Keep, Kept, Publish, Signing};
pub use error::{Broken, Damage, StoreError};
pub use prove::{Links, ProveError};
pub use prune::{Cut, Pruned, Retention};
pub use running::{Process, RunningRun};
pub use sink::{RawRecord, SinkCursor};
pub use standing::{Chosen, StandingRow, Swap, SwapError, SwapStep, Version};
pub use store::{Store, StoreOptions};
pub use verify::{Against, Verified, VerifyError, Witness};
pub use waiting::{RunRequest, WaitingRun};

#[cfg(test)]
mod tests;
