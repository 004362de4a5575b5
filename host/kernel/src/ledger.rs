//! What the kernel asks of whoever keeps the audit log.

use std::future::Future;

use loong_manifest::Code;

use crate::Event;

/// How long the kernel waits for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Handed to the writer; part of its next group.
    Queued,
    /// Committed, so that a full disk shows; it survives the end of the process, not of the machine.
    Written,
    /// On the disk: it survives the loss of power.
    Durable,
}

/// An event could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct LedgerError {
    /// Why.
    pub problem: String,
}

impl LedgerError {
    /// The public code.
    pub const fn code(&self) -> Code {
        Code::AuditUnavailable
    }
}

/// An append-only log of events.
pub trait Ledger: Send + Sync + 'static {
    /// Appends an event and waits as long as `durability` says. Once an append has failed, every later one
    /// fails too, until the log is opened again: a gap can never be papered over.
    fn append(
        &self,
        event: Event,
        durability: Durability,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Hands an event to the writer from where nothing can wait, such as a destructor.
    fn append_now(&self, event: Event) -> Result<(), LedgerError>;
}

impl<T: Ledger> Ledger for std::sync::Arc<T> {
    fn append(
        &self,
        event: Event,
        durability: Durability,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send {
        T::append(self, event, durability)
    }

    fn append_now(&self, event: Event) -> Result<(), LedgerError> {
        T::append_now(self, event)
    }
}
