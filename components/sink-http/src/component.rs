//! The functions as a component exports them, and requests over `wasi:http`.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use audit_record::Record;
use loong_sdk::host::{config, kv};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::deliver::{Answer, World, deliver};
use crate::request::{Request, Settings};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/audit", "wit"],
        world: "core:sink-http/plugin",
        generate_all,
        with: {
            "loong:host/config@0.1.0": loong_sdk::host::config,
            "loong:host/kv@0.1.0": loong_sdk::host::kv,
            "loong:host/types@0.1.0": loong_sdk::host::types,
        },
    });
}

use bindings::exports::loong::audit::sink::{Entry, Failure, Guest};

/// Where it is remembered until when the collector asked to be let alone.
const SILENT_UNTIL: &str = "silent-until";
/// How much of an answer is read: its end shows that it is whole, and nothing else of it matters.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// How much is read at once.
const CHUNK_BYTES: u64 = 16 << 10;
/// Longest wait for a connection.
const CONNECT_MS_MAX: u64 = 10_000;

struct Component;

impl Guest for Component {
    fn deliver(records: Vec<Entry>) -> Result<(), Failure> {
        let settings = Settings::read(|key| config::get(key).ok().flatten())?;
        let records: Vec<Record> = records.into_iter().map(record).collect();
        Ok(deliver(&mut Network { begun: Instant::now() }, &settings, &records)?)
    }
}

struct Network {
    begun: Instant,
}

impl World for Network {
    fn send(&mut self, settings: &Settings, request: &Request, time_ms: u64) -> Result<Answer, String> {
        post(settings, request, time_ms)
    }

    fn elapsed_ms(&self) -> u64 {
        ms(self.begun.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "a component has the clock that its host gives it")]
    fn now_unix_ms(&self) -> u64 {
        ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn sleep(&mut self, time_ms: u64) {
        std::thread::sleep(Duration::from_millis(time_ms));
    }

    fn silent_until(&self) -> u64 {
        let value = kv::get(SILENT_UNTIL).ok().flatten();
        value.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0)
    }

    fn be_silent_until(&mut self, unix_ms: u64) {
        // Without it the collector is asked again too early, which is no reason to fail.
        let _ = kv::set(SILENT_UNTIL, unix_ms.to_string().as_bytes());
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn post(settings: &Settings, request: &Request, time_ms: u64) -> Result<Answer, String> {
    let headers: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let headers = Fields::from_list(&headers).map_err(|_| "its headers cannot be sent".to_owned())?;
    let outgoing = OutgoingRequest::new(headers);
    let scheme = if settings.tls { Scheme::Https } else { Scheme::Http };
    let made = outgoing
        .set_method(&Method::Post)
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(&settings.authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&settings.path)));
    let body = outgoing.body();
    let (Ok(()), Ok(body)) = (made, body) else { return Err("its address cannot be sent to".to_owned()) };
    let options = RequestOptions::new();
    let nanoseconds = |ms: u64| Some(ms.saturating_mul(1_000_000));
    let _ = options.set_connect_timeout(nanoseconds(time_ms.min(CONNECT_MS_MAX)));
    let _ = options.set_first_byte_timeout(nanoseconds(time_ms));
    let _ = options.set_between_bytes_timeout(nanoseconds(time_ms));
    let coming = outgoing_handler::handle(outgoing, Some(options)).map_err(|error| said(&error))?;
    // A collector that has heard enough answers before all is sent: its answer counts.
    let sent = write(body, request.body.as_bytes());
    coming.subscribe().block();
    match coming.get() {
        Some(Ok(Ok(response))) => {
            sent.map_err(|()| "the connection was closed while the records were sent".to_owned())
                .or_else(|problem| if is_good(&response) { Err(problem) } else { Ok(()) })?;
            answer(response)
        }
        Some(Ok(Err(error))) => Err(said(&error)),
        _ => Err("there was no answer".to_owned()),
    }
}

fn is_good(response: &IncomingResponse) -> bool {
    (200..300).contains(&response.status())
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), ()> {
    let stream = body.write()?;
    let written = write_all(&stream, bytes);
    // The stream belongs to the body and goes first.
    drop(stream);
    written.map_err(|_| ())?;
    // Everything was taken. Whether all of it arrived is for the collector to say: to send it again because the
    // connection ended behind its answer would deliver it twice.
    let _ = OutgoingBody::finish(body, None);
    Ok(())
}

fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX).min(bytes.len());
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        stream.write(now)?;
        bytes = later;
    }
    let _ = stream.blocking_flush();
    Ok(())
}

/// The answer, if it is whole: one that was cut off may be that of something in between.
fn answer(response: IncomingResponse) -> Result<Answer, String> {
    let status = response.status();
    let retry_after = response.headers().get("retry-after").into_iter().next();
    let retry_after = retry_after.and_then(|bytes| String::from_utf8(bytes).ok());
    let cut_off = || "the answer was cut off".to_owned();
    let body = response.consume().map_err(|()| cut_off())?;
    let stream = body.stream().map_err(|()| cut_off())?;
    let mut read = 0_u64;
    while read < ANSWER_BYTES_MAX {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(bytes) => read = read.saturating_add(bytes.len() as u64),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(cut_off()),
        }
    }
    Ok(Answer { status, retry_after })
}

/// What went wrong, without the words of whoever it went wrong with.
fn said(error: &ErrorCode) -> String {
    match error {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) => "the collector's name leads nowhere",
        ErrorCode::ConnectionRefused => "the collector refuses connections",
        ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable => "the collector cannot be reached",
        ErrorCode::DestinationIpProhibited | ErrorCode::HttpRequestDenied => {
            "policy does not let it reach the collector"
        }
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => "the collector took too long",
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => {
            "the collector's certificate is not accepted"
        }
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => "the connection was closed",
        ErrorCode::ConfigurationError => "the host is not set up for it",
        _ => "the request failed",
    }
    .to_owned()
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
