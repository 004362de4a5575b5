//! Asks other machines what a test says, in whatever way.

mod bindings {
    wit_bindgen::generate!({ path: ["../../../../wit/host", "wit"], world: "test:net/guest", generate_all });
}

use bindings::exports::test::net::client::{Answer, Guest};
use bindings::loong::host::tcp::Connection;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Client;

fn said(error: ErrorCode) -> String {
    format!("{error:?}")
}

fn request(method: &str, url: &str, headers: &[String]) -> Result<OutgoingRequest, String> {
    let fields = Fields::new();
    for header in headers {
        let (name, value) = header.split_once(": ").ok_or("a header has no colon")?;
        fields.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "the method is refused")?;
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme is refused")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    request.set_authority(Some(authority)).map_err(|()| "the authority is refused")?;
    request.set_path_with_query(Some(path)).map_err(|()| "the path is refused")?;
    Ok(request)
}

fn begin(request: OutgoingRequest) -> Result<FutureIncomingResponse, String> {
    outgoing_handler::handle(request, None).map_err(said)
}

/// A body; where its other end has gone, the response says why.
fn write(stream: &OutputStream, mut bytes: u64, mut next: impl FnMut(usize) -> Vec<u8>) {
    while bytes > 0 {
        stream.subscribe().block();
        let Ok(room) = stream.check_write() else { return };
        let count = usize::try_from(room.min(bytes)).unwrap_or(usize::MAX).min(16 << 10);
        if stream.write(&next(count)).is_err() {
            return;
        }
        bytes -= count as u64;
    }
    let _ = stream.blocking_flush();
}

fn finish(future: FutureIncomingResponse) -> Result<Answer, String> {
    future.subscribe().block();
    let response = future.get().ok_or("no answer")?.map_err(|()| "asked twice")?.map_err(said)?;
    let status = response.status();
    let mut headers: Vec<String> = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value)))
        .collect();
    headers.sort();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                let code = code.map_or_else(|| error.to_debug_string(), said);
                return Err(format!("{code} after {} bytes", bytes.len()));
            }
        }
    }
    drop(stream);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    if let Some(Ok(Ok(Some(fields)))) = trailers.get() {
        for (name, value) in fields.entries() {
            headers.push(format!("trailer {name}: {}", String::from_utf8_lossy(&value)));
        }
    }
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

fn failed(error: bindings::loong::host::types::Error) -> String {
    format!("{error:?}")
}

impl Guest for Client {
    fn request(method: String, url: String, headers: Vec<String>, body: String) -> Result<Answer, String> {
        let request = request(&method, &url, &headers)?;
        let sent = (!body.is_empty()).then(|| request.body().map_err(|()| "no body")).transpose()?;
        let future = begin(request)?;
        if let Some(sent) = sent {
            let stream = sent.write().map_err(|()| "no stream")?;
            let mut rest = body.into_bytes();
            write(&stream, rest.len() as u64, |count| rest.drain(..count).collect());
            drop(stream);
            let _ = OutgoingBody::finish(sent, None);
        }
        finish(future)
    }

    fn together(count: u32, url: String) -> Vec<String> {
        let begun: Vec<_> = (0..count).map(|_| request("GET", &url, &[]).and_then(begin)).collect();
        begun
            .into_iter()
            .map(|future| match future.and_then(finish) {
                Ok(answer) => answer.status.to_string(),
                Err(error) => error,
            })
            .collect()
    }

    fn upload(url: String, bytes: u64) -> Result<Answer, String> {
        let request = request("POST", &url, &[])?;
        let sent = request.body().map_err(|()| "no body")?;
        let future = begin(request)?;
        let stream = sent.write().map_err(|()| "no stream")?;
        write(&stream, bytes, |count| vec![b'x'; count]);
        drop(stream);
        let _ = OutgoingBody::finish(sent, None);
        finish(future)
    }

    fn talk(host: String, port: u16, tls: bool, text: String, close: bool) -> Result<String, String> {
        let connection = Connection::connect(&host, port, tls).map_err(failed)?;
        connection.write(text.as_bytes()).map_err(failed)?;
        if close {
            connection.close().map_err(failed)?;
        }
        let mut all = Vec::new();
        loop {
            let part = connection.read(4096).map_err(|error| format!("{} after {} bytes", failed(error), all.len()))?;
            if part.is_empty() {
                return Ok(String::from_utf8_lossy(&all).into_owned());
            }
            all.extend(part);
        }
    }

    fn hold(host: String, port: u16, count: u32) -> Result<u32, String> {
        let mut held = Vec::new();
        for number in 0..count {
            match Connection::connect(&host, port, false) {
                Ok(connection) => held.push(connection),
                Err(error) => return Err(format!("{number}: {}", failed(error))),
            }
        }
        Ok(count)
    }
}

bindings::export!(Client with_types_in bindings);
