//! Hostile guests: each ends as a typed fault within its deadline and a little, while a good component beside it
//! keeps answering, and is in the audit log. [`harness::check`] is all of that; the tests say which guest, and
//! which fault.

#![expect(
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "tests read better with values in place; the times that were measured are worth reading"
)]

pub(crate) mod harness;

mod calls;
mod compile;
mod confinement;
mod cpu;
mod egress;
mod extensions;
mod host_calls;
mod lies;
mod membranes;
mod memory;
mod process;
mod reach;
mod results;
