//! Counts in its key-value space and writes the count into a file, twice.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "local:two-changes/plugin", generate_all });
}

use bindings::core::file::file;
use bindings::exports::loong::pack::pack::{Error, Failure, Guest, Request, Response};
use bindings::loong::host::kv;

struct Component;

fn failed(message: String) -> Error {
    Error::Failed(Failure { code: "two-changes".to_owned(), message })
}

fn count() -> Result<u8, Error> {
    let said = |error: kv::Error| failed(format!("{error:?}"));
    let count = kv::get("count").map_err(said)?.and_then(|bytes| bytes.first().copied()).unwrap_or(0) + 1;
    kv::set("count", &[count]).map_err(said)?;
    Ok(count)
}

impl Guest for Component {
    fn run(_: Request) -> Result<Response, Error> {
        for number in 1..=2 {
            let text = format!("CHANGED {}\n", count()?);
            file::write(&format!("{number}.txt"), &text, None).map_err(|error| failed(format!("{error:?}")))?;
        }
        Ok(Response { output: "both are changed\n".to_owned(), media_type: "text/plain".to_owned() })
    }
}

#[cfg(target_family = "wasm")]
bindings::export!(Component with_types_in bindings);

/// The manifest travels inside the component.
#[cfg(target_family = "wasm")]
#[unsafe(link_section = "loong.plugin.json")]
#[used]
static MANIFEST: [u8; include_bytes!("../loong.plugin.json").len()] =
    *include_bytes!("../loong.plugin.json");
