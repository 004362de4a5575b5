//! The integration tests. One binary: every file here is a module of it.
//!
//! `audit` tampers with the log, `author` does what authors of components do, `case` runs the folders of `tests/cases`, `contract` compares `wit/` with what was
//! released, `hostile` and `runtime` call guests in this process, `kinds` builds the examples of other languages,
//! `random` throws random files at the host, `readme` runs what the README promises, `registry` publishes and installs,
//! `scan` hides secrets in components, `servers` are what guests reach,
//! `sinks` follows the log to its receivers, `swap` lets versions take each other's places, `web` reads pages, `tidy` reads
//! the tree itself. A test that needs more than the words of a case uses `loong_it::sandbox::Sandbox`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first thing that is not as expected"
)]

mod audit;
mod author;
mod contract;
mod hostile;
mod kinds;
mod random;
mod readme;
mod registry;
mod runtime;
mod scan;
mod servers;
mod sinks;
mod swap;
mod tidy;
mod web;

/// One test for each folder of `tests/cases`.
mod case {
    include!(concat!(env!("OUT_DIR"), "/cases.rs"));
}
