//! The function as a component exports it, and requests over `wasi:http`.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use std::time::{Duration, Instant};

use url::Url;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

use crate::address;
use crate::ask::{Ask, Given};
use crate::fetch::{Body, Head, World, fetch};
use crate::{Kind, extract};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin" });
}

use bindings::exports::core::web::web::{
    Error, Excess, Guest, Invalid, Link, Method as Wanted, Page, Problem, Redirect, Request,
};

/// How much is read at once.
const CHUNK_BYTES: u64 = 64 << 10;
/// Longest wait for a connection.
const CONNECT_MS_MAX: u64 = 10_000;
/// Who asks.
const AGENT: &str = concat!("loong-web/", env!("CARGO_PKG_VERSION"));

struct Component;

impl Guest for Component {
    fn fetch(request: Request) -> Result<Page, Error> {
        let Request { url, method, accept, bytes_max, redirects_max, time_ms_max } = request;
        let head = matches!(method, Some(Wanted::Head));
        let ask = Ask::read(Given { url, head, accept, bytes_max, redirects_max, time_ms_max })?;
        Ok(fetch(&mut Network { begun: Instant::now() }, &ask)?.into())
    }
}

struct Network {
    begun: Instant,
}

/// An answer whose body is not read. The order is that in which they are let go.
struct Unread {
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl World for Network {
    type Body = Unread;

    fn send(&mut self, url: &Url, ask: &Ask, time_ms: u64) -> Result<(Head, Unread), (Kind, String)> {
        let unavailable = |said: &str| (Kind::Unavailable, said.to_owned());
        let headers = [
            ("accept".to_owned(), ask.accept.clone().into_bytes()),
            // What is packed would have to be unpacked, and a small answer could become a large one.
            ("accept-encoding".to_owned(), b"identity".to_vec()),
            ("user-agent".to_owned(), AGENT.into()),
        ];
        let headers = Fields::from_list(&headers).map_err(|_| unavailable("its headers cannot be sent"))?;
        let outgoing = OutgoingRequest::new(headers);
        let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
        let made = outgoing
            .set_method(if ask.head { &Method::Head } else { &Method::Get })
            .and_then(|()| outgoing.set_scheme(Some(&scheme)))
            .and_then(|()| outgoing.set_authority(Some(&address::authority(url))))
            .and_then(|()| outgoing.set_path_with_query(Some(&address::path(url))));
        let body = outgoing.body();
        let (Ok(()), Ok(body)) = (made, body) else {
            return Err(unavailable("its address cannot be sent to"));
        };
        let options = RequestOptions::new();
        let nanoseconds = |ms: u64| Some(ms.saturating_mul(1_000_000));
        let _ = options.set_connect_timeout(nanoseconds(time_ms.min(CONNECT_MS_MAX)));
        let _ = options.set_first_byte_timeout(nanoseconds(time_ms));
        let _ = options.set_between_bytes_timeout(nanoseconds(time_ms));
        let coming = outgoing_handler::handle(outgoing, Some(options)).map_err(|error| said(&error))?;
        OutgoingBody::finish(body, None).map_err(|error| said(&error))?;
        coming.subscribe().block();
        let response = match coming.get() {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(error))) => return Err(said(&error)),
            _ => return Err(unavailable("there was no answer")),
        };
        let headers = response.headers();
        let get = |name: &str| headers.get(name).into_iter().next();
        let text = |name: &str| get(name).map(|value| String::from_utf8_lossy(&value).into_owned());
        let head = Head {
            status: response.status(),
            content_type: text("content-type"),
            content_encoding: text("content-encoding"),
            location: get("location"),
        };
        drop(headers);
        let body = response.consume().map_err(|()| unavailable("there was no answer"))?;
        let stream = body.stream().map_err(|()| unavailable("there was no answer"))?;
        Ok((head, Unread { stream, _body: body, _response: response }))
    }

    fn read(&mut self, body: Unread, bytes_max: usize, time_ms: u64) -> Result<Body, (Kind, String)> {
        let begun = Instant::now();
        let mut read = Body::default();
        loop {
            let left = (bytes_max.saturating_sub(read.bytes.len()) as u64).saturating_add(1);
            match body.stream.blocking_read(left.min(CHUNK_BYTES)) {
                Ok(bytes) => read.bytes.extend(bytes),
                Err(StreamError::Closed) => return Ok(read),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(wasip2::http::types::http_error_code(&error).map_or_else(
                        || (Kind::Unavailable, "the answer was cut off".to_owned()),
                        |error| said(&error),
                    ));
                }
            }
            if read.bytes.len() > bytes_max {
                read.bytes.truncate(bytes_max);
                read.cut = true;
                return Ok(read);
            }
            if begun.elapsed() > Duration::from_millis(time_ms) {
                return Err((Kind::Timeout, "the answer does not end in time".to_owned()));
            }
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What went wrong, without the words of whoever it went wrong with.
fn said(error: &ErrorCode) -> (Kind, String) {
    let (kind, said) = match error {
        ErrorCode::HttpRequestDenied => {
            (Kind::Denied, "the host lets no request go there: it is none of `sites`, or policy forbids it")
        }
        ErrorCode::DestinationIpProhibited => {
            (Kind::Denied, "the host lets no request go there: it lies in a network that is not public")
        }
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => (Kind::Timeout, "the server took too long"),
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) => (Kind::Unavailable, "the name leads nowhere"),
        ErrorCode::ConnectionRefused => (Kind::Unavailable, "the server refuses connections"),
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => {
            (Kind::Unavailable, "the server's certificate is not accepted")
        }
        ErrorCode::HttpRequestHeaderSectionSize(_) => {
            (Kind::Unavailable, "the head of the answer is too long")
        }
        _ => (Kind::Unavailable, "the connection failed"),
    };
    (kind, said.to_owned())
}

fn redirects(redirects: Vec<crate::Redirect>) -> Vec<Redirect> {
    redirects.into_iter().map(|crate::Redirect { url, status }| Redirect { url, status }).collect()
}

impl From<crate::fetch::Page> for Page {
    fn from(page: crate::fetch::Page) -> Self {
        let crate::fetch::Page { url, status, content_type, title, text, links, truncated, redirects } = page;
        let links = links.into_iter().map(|extract::Link { text, url }| Link { text, url }).collect();
        let redirects = self::redirects(redirects);
        Self { url, status, content_type, title, text, links, truncated, redirects }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        let (kind, problem) = match error {
            crate::Error::Invalid { argument, reason } => {
                return Self::Invalid(Invalid { argument: argument.to_owned(), reason: reason.to_owned() });
            }
            crate::Error::TooLarge { name, maximum, used } => {
                return Self::TooLarge(Excess { name: name.to_owned(), maximum, used });
            }
            crate::Error::At(kind, crate::Problem { url, reason, redirects }) => {
                (kind, Problem { url, reason, redirects: self::redirects(redirects) })
            }
        };
        match kind {
            Kind::Denied => Self::Denied(problem),
            Kind::RedirectRefused => Self::RedirectRefused(problem),
            Kind::TooManyRedirects => Self::TooManyRedirects(problem),
            Kind::NotText => Self::NotText(problem),
            Kind::Timeout => Self::Timeout(problem),
            Kind::Unavailable => Self::Unavailable(problem),
        }
    }
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
