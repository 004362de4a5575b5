//! A command that fails with the status it is given.

fn main() {
    let status = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    std::process::exit(status);
}
