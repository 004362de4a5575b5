//! The functions as a component exports them.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use std::path::Path;

use audit_record::Record;
use loong_sdk::host::config;

use crate::journal::{self, Settings};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/audit", "wit"],
        world: "core:sink-file/plugin",
        generate_all,
        with: {
            "loong:host/config@0.1.0": loong_sdk::host::config,
            "loong:host/types@0.1.0": loong_sdk::host::types,
        },
    });
}

use bindings::exports::loong::audit::sink::{Entry, Failure, Guest};

/// Where the host puts the folder that it is given.
const FOLDER: &str = "/audit";

struct Component;

impl Guest for Component {
    fn deliver(records: Vec<Entry>) -> Result<(), Failure> {
        let settings = Settings::read(|key| config::get(key).ok().flatten())?;
        let records: Vec<Record> = records.into_iter().map(record).collect();
        Ok(journal::deliver(Path::new(FOLDER), &settings, &records)?)
    }
}

fn record(entry: Entry) -> Record {
    let Entry { index, time_ms, kind, run, plugin, outcome, code, hash, event_json } = entry;
    Record { index, time_ms, kind, run, plugin, outcome, code, hash, event: event_json }
}

impl From<audit_record::Failure> for Failure {
    fn from(failure: audit_record::Failure) -> Self {
        match failure {
            audit_record::Failure::Retry(problem) => Self::Retry(problem),
            audit_record::Failure::Rejected(problem) => Self::Rejected(problem),
        }
    }
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
