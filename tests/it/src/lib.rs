//! What the integration tests are made of: what is built once, a place to run `loong` in, and golden cases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests stop at the first thing that is not as expected, and read their environment"
)]

pub mod case;
pub mod fixture;
pub mod released;
pub mod sandbox;

use std::path::{Path, PathBuf};

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/it is two folders below the root")
        .to_owned()
}
