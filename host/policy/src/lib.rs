//! Pure decisions: which component is loaded and what it is granted ([`admit`]), which call is allowed
//! ([`PolicySet::decide`]), and what a token is good for ([`Token`]). Nothing here reads a file, a clock or
//! the environment, and nothing waits.
//!
//! Rules are [Cedar](https://docs.cedarpolicy.com) policies, checked against `policies/schema.cedarschema`:
//! what none permits is denied, a forbid wins over every permit, and a policy that fails while it is
//! evaluated denies. Numbers per tier are in `tiers.toml`.

mod admission;
mod approval;
mod ask;
mod call;
mod denial;
mod explain;
mod grants;
mod membrane;
mod place;
mod replay;
mod risk;
mod set;
mod source;
mod tiers;
mod token;

pub use admission::{Admitted, Asked, Offer, OfferedFolder, Outcome, Preview, admit, preview};
pub use approval::{ApprovalRequest, Grant, Rendered, Subject, binding};
pub use call::{CallFacts, Decision, FACTS, Principal, Verdict};
pub use denial::{Denial, Refusal};
pub use explain::{Answer, Change, Explanation};
pub use grants::{FolderGrant, Grants, HttpGrant, TcpGrant};
pub use place::Place;
pub use replay::{Recorded, Replayed};
pub use risk::{
    RISK_PROFILE_BYTES_MAX, RISK_PROFILE_SCHEMA, Raised, RiskProfile, RiskProfileDocument, RiskProfileError,
};
pub use set::{PolicySet, Preset};
pub use source::{Finding, PolicyError, Severity, Source};
pub use tiers::{TierRow, Tiers};
pub use token::{Token, TokenDenial, TokenUse};
