//! What the runtime does for good components, over the true road and in this process.

mod artifact;
mod calls;
mod capability;
mod command;
pub(crate) mod egress;
mod link;
