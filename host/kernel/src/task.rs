//! The states of a call, as types: a step that the state machine does not have cannot be written down.
//!
//! ```text
//! Runnable ──send──▶ InSend ──sent──▶ InReply ──complete──▶ Completed
//!    └──────fault──────┴──────fault──────┴──────fault─────▶ Faulted
//! ```

use crate::Fault;

/// A call in one of its states.
#[derive(Debug)]
#[must_use]
pub(crate) struct Task<S> {
    /// The call's id.
    pub(crate) id: String,
    /// What is known in this state.
    pub(crate) state: S,
}

/// It has a name and nothing else has happened.
#[derive(Debug)]
pub(crate) struct Runnable;

/// It is being decided, reviewed, approved and recorded. Nothing of it was executed.
#[derive(Debug)]
pub(crate) struct InSend;

/// It was handed to the executor, whose answer is awaited.
#[derive(Debug)]
pub(crate) struct InReply;

/// It ended with a result.
#[derive(Debug)]
pub(crate) struct Completed<O>(pub(crate) O);

/// It ended with a fault.
#[derive(Debug)]
pub(crate) struct Faulted(pub(crate) Fault);

impl Task<Runnable> {
    pub(crate) const fn new(id: String) -> Self {
        Self { id, state: Runnable }
    }

    pub(crate) fn send(self) -> Task<InSend> {
        Task { id: self.id, state: InSend }
    }
}

impl Task<InSend> {
    pub(crate) fn sent(self) -> Task<InReply> {
        Task { id: self.id, state: InReply }
    }
}

impl Task<InReply> {
    /// Ends with what the executor answered.
    pub(crate) fn complete<O>(self, result: O) -> Task<Completed<O>> {
        Task { id: self.id, state: Completed(result) }
    }
}

/// A state in which a call can fail: every one but the last two.
pub(crate) trait Unfinished {}
impl Unfinished for Runnable {}
impl Unfinished for InSend {}
impl Unfinished for InReply {}

impl<S: Unfinished> Task<S> {
    pub(crate) fn fault(self, fault: Fault) -> Task<Faulted> {
        Task { id: self.id, state: Faulted(fault) }
    }
}

/// How a call ended: the only two states that have a caller's answer in them.
pub(crate) enum Ended<O> {
    Completed(Task<Completed<O>>),
    Faulted(Task<Faulted>),
}

impl<O> Ended<O> {
    pub(crate) fn into_result(self) -> Result<O, Fault> {
        match self {
            Self::Completed(task) => Ok(task.state.0),
            Self::Faulted(task) => Err(task.state.0),
        }
    }
}

impl<O> From<Task<Faulted>> for Ended<O> {
    fn from(task: Task<Faulted>) -> Self {
        Self::Faulted(task)
    }
}
