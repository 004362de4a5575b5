//! A command that prints until it is stopped.

use std::io::Write;

fn main() {
    let line = [b'x'; 1024];
    while std::io::stdout().write_all(&line).is_ok() {}
}
