//! Makes a test of every folder in `tests/cases`, so that adding a case is copying a folder.

use std::{env, fs, path::Path};

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script where to write in the environment")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases = Path::new("../cases");
    println!("cargo::rerun-if-changed={}", cases.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(cases)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?);
        }
    }
    names.sort();
    let tests: String = names
        .iter()
        .map(|name| format!("#[test]\nfn {name}() {{\n    loong_it::case::run({name:?});\n}}\n"))
        .collect();
    fs::write(Path::new(&env::var("OUT_DIR")?).join("cases.rs"), tests)?;
    Ok(())
}
