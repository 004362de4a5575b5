//! Hostile guests: each ends as a typed fault within its deadline and a little, while a good component beside it
//! keeps answering, and is in the audit log. [`harness::check`] is all of that; the tests say which guest, and
//! which fault.

pub(crate) mod harness;

mod calls;
mod compile;
mod cpu;
mod host_calls;
mod memory;
mod process;
mod reach;
mod results;
