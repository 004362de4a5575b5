//! What the kernel asks of whoever keeps approvals, and of a person who is there to be asked.
//!
//! Nothing that a component can reach leads here: the traits are implemented by the store and by the person's own
//! terminal, and only the kernel calls them.

use loong_manifest::Digest;
use loong_policy::ApprovalRequest;

use crate::LedgerError;
use crate::executor::Boxed;

/// An approval that was used up by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The request or the grant.
    pub approval: String,
    /// How many uses are left; none where they are not counted.
    pub uses_left: Option<u64>,
}

/// What became of a request for an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// One use was taken of what a person allowed.
    Taken(Taken),
    /// A person denied exactly this.
    Denied {
        /// The request.
        approval: String,
    },
    /// Nobody decided yet.
    Open,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub approval: String,
    /// What it is bound to, the nonce included.
    pub binding: Digest,
    /// Whether it was made just now, rather than found.
    pub new: bool,
    /// Requests and grants that were found to be stale or expired on the way, with the reason.
    pub ended: Vec<(String, crate::ApprovalEnd)>,
}

/// Keeps requests for approvals and what was decided, so that neither the end of a process nor a second one changes
/// what a person said.
pub trait Approvals: Send + Sync + 'static {
    /// Looks for what a person allowed or denied that fits the request, and takes one use of it. It reaches the disk
    /// with the record of the use, which the kernel writes before anything is done.
    fn take<'a>(&'a self, request: &'a ApprovalRequest) -> Boxed<'a, Result<Standing, LedgerError>>;

    /// Puts a request before whoever decides; finds the one that waits already for the same. None when so many wait
    /// that one more would only tire them.
    fn ask<'a>(&'a self, request: &'a ApprovalRequest) -> Boxed<'a, Result<Option<Waiting>, LedgerError>>;

    /// Notes what a person decided about a request that waits.
    fn decide<'a>(&'a self, approval: &'a str, allow: bool) -> Boxed<'a, Result<(), LedgerError>>;
}

/// A person who is there now.
pub trait Approver: Send + Sync + 'static {
    /// Asks about one request. `None` when there was no answer in time; then the request goes on waiting.
    fn ask<'a>(&'a self, approval: &'a str, request: &'a ApprovalRequest) -> Boxed<'a, Option<bool>>;
}
