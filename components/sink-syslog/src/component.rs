//! The functions as a component exports them.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use audit_record::Record;
use loong_sdk::host::config;
use loong_sdk::host::tcp::Connection;
use loong_sdk::host::types::Error;

use crate::message::frames;
use crate::settings::Settings;

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/audit", "wit"],
        world: "core:sink-syslog/plugin",
        generate_all,
        with: {
            "loong:host/config@0.1.0": loong_sdk::host::config,
            "loong:host/tcp@0.1.0": loong_sdk::host::tcp,
            "loong:host/types@0.1.0": loong_sdk::host::types,
        },
    });
}

use bindings::exports::loong::audit::sink::{Entry, Failure, Guest};

/// How much is handed over at once.
const CHUNK_BYTES: usize = 64 << 10;
/// How much is read at once of what a receiver says, which is nothing as a rule.
const ANSWER_BYTES: u32 = 4096;
/// How often something is read of it before the receiver is one that never closes.
const ANSWERS_MAX: u32 = 64;

struct Component;

impl Guest for Component {
    fn deliver(records: Vec<Entry>) -> Result<(), Failure> {
        let settings = Settings::read(|key| config::get(key).ok().flatten())?;
        let records: Vec<Record> = records.into_iter().map(record).collect();
        let frames = frames(&settings, &records)?;
        send(&settings, &frames).map_err(|error| Failure::Retry(said(&error).to_owned()))
    }
}

/// Sends everything over a connection of its own, and waits until the receiver has read it.
fn send(settings: &Settings, frames: &[u8]) -> Result<(), Error> {
    let connection = Connection::connect(&settings.host, settings.port, settings.tls)?;
    for chunk in frames.chunks(CHUNK_BYTES) {
        connection.write(chunk)?;
    }
    connection.close()?;
    if settings.confirm {
        for _ in 0..ANSWERS_MAX {
            match connection.read(ANSWER_BYTES) {
                Ok(bytes) if bytes.is_empty() => return Ok(()),
                Ok(_) => {}
                // The receiver closed in order and left out the goodbye of TLS, as rsyslog does.
                Err(Error::Failed(failure)) if failure.code == "connection-cut" => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        return Err(Error::Unavailable("the end of the connection".to_owned()));
    }
    Ok(())
}

/// What went wrong, without the words of whoever it went wrong with.
const fn said(error: &Error) -> &'static str {
    match error {
        Error::Denied(_) => "policy does not let it reach the receiver",
        Error::Invalid(_) => "the receiver's address cannot be connected to",
        Error::NotFound(_) => "the receiver's name leads nowhere",
        Error::Limit(_) => "the records are more than it may send",
        Error::Deadline(_) => "the receiver took too long",
        Error::Unavailable(_) => "the receiver did not say that it has everything",
        Error::Failed(_) => "the connection to the receiver failed",
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
