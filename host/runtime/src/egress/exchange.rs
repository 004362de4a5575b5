//! One request and its response over a connection, both bounded in bytes and time, without the secrets that the
//! request carried.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use loong_manifest::{LimitName, Limits};
use tokio::time::Sleep;
use wasmtime_wasi_http::io::TokioIo;

use super::connect::{Duplex, millis};
use super::scrub::{Scrubber, Values};
use super::{EgressError, Patience};

/// The least that hyper takes as a buffer.
const BUFFER_MIN: usize = 8192;

/// A response whose body is still on its way, and what drives the connection meanwhile.
pub(crate) struct Answer {
    pub(crate) response: Response<Received>,
    pub(crate) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Sends a request and waits for the head of its response. The request has its final headers and a path as its
/// address.
pub(crate) async fn exchange<B>(
    stream: Box<dyn Duplex>,
    request: Request<B>,
    limits: &Limits,
    patience: Patience,
    values: Values,
) -> Result<Answer, EgressError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let header_bytes_max = limits.header_bytes_max;
    within(request.headers(), header_bytes_max)?;
    let over = Arc::new(AtomicBool::new(false));
    let request_bytes_max = limits.request_bytes_max;
    let request = request.map(|body| Sent { body, left: request_bytes_max, over: Arc::clone(&over) });
    let broken = |error: hyper::Error| {
        if over.load(Ordering::Relaxed) {
            let limit = LimitName::RequestBytes;
            return EgressError::Limit { limit, maximum: request_bytes_max, used: request_bytes_max + 1 };
        }
        EgressError::Broken { problem: said(&error) }
    };
    let buffer = usize::try_from(header_bytes_max).unwrap_or(usize::MAX).max(BUFFER_MIN);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(buffer)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut connection = Some(Box::pin(connection));
    let send = sender.send_request(request);
    let answered = async {
        tokio::pin!(send);
        loop {
            let Some(driver) = connection.as_mut() else { return send.await };
            tokio::select! {
                biased;
                answer = &mut send => return answer,
                _ = driver => connection = None,
            }
        }
    };
    let late = EgressError::Late { step: "the answer", allowed_ms: millis(patience.answer) };
    let response =
        tokio::time::timeout(patience.answer, answered).await.map_err(|_| late)?.map_err(broken)?;
    let (mut head, body) = response.into_parts();
    within(&head.headers, header_bytes_max)?;
    if !values.is_empty() {
        clean(&mut head.headers, &values)?;
    }
    let body = Received {
        body,
        left: limits.response_bytes_max,
        maximum: limits.response_bytes_max,
        between: patience.between,
        waiting: None,
        scrubber: (!values.is_empty()).then(|| Scrubber::new(Arc::clone(&values))),
        values,
        last: None,
        ended: false,
    };
    let driver = async move {
        // The sender lives as long as the connection, which ends when the body was read or dropped.
        let _sender = sender;
        if let Some(connection) = connection {
            let _ = connection.await;
        }
    };
    Ok(Answer { response: Response::from_parts(head, body), driver: Box::pin(driver) })
}

/// The engine's words for a failure; hyper names kinds, never contents.
fn said(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    crate::fault::said(&text)
}

/// Whether headers are within their limit.
fn within(headers: &HeaderMap, maximum: u64) -> Result<(), EgressError> {
    let used = headers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64 + 4).sum();
    if used > maximum {
        return Err(EgressError::Limit { limit: LimitName::HeaderBytes, maximum, used });
    }
    Ok(())
}

/// Takes values out of the headers of a response to a request that carried them.
fn clean(headers: &mut HeaderMap, values: &Values) -> Result<(), EgressError> {
    let packed = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if packed {
        // What is packed could hold a value that is not seen.
        return Err(EgressError::Malformed { problem: "the answer to a request with a secret is packed" });
    }
    // A mark is as long as no value.
    headers.remove(CONTENT_LENGTH);
    scrub_headers(headers, values);
    Ok(())
}

fn scrub_headers(headers: &mut HeaderMap, values: &Values) {
    let holds = |name: &str| {
        let held = |value: &[u8]| {
            name.as_bytes().windows(value.len().max(1)).any(|part| part.eq_ignore_ascii_case(value))
        };
        values.iter().any(|value| held(value))
    };
    let named: Vec<_> = headers.keys().filter(|name| holds(name.as_str())).cloned().collect();
    for name in named {
        headers.remove(name);
    }
    for value in headers.values_mut() {
        let clean = Scrubber::whole(values, value.as_bytes());
        if clean != value.as_bytes() {
            *value = HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
    }
}

/// The body of a request, ended when it is longer than it may be.
struct Sent<B> {
    body: B,
    left: u64,
    over: Arc<AtomicBool>,
}

impl<B> Body for Sent<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                self.over.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the request is longer than it may be".into())));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response: bounded in bytes and in the time between two parts, without secrets.
pub(crate) struct Received {
    body: Incoming,
    left: u64,
    maximum: u64,
    between: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    scrubber: Option<Scrubber>,
    values: Values,
    /// Trailers that come after what the scrubber kept back.
    last: Option<Frame<Bytes>>,
    ended: bool,
}

impl Received {
    /// What the scrubber lets go when no more data follows, then `last`.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.scrubber.as_mut().map(Scrubber::end).unwrap_or_default();
        if rest.is_empty() { self.last.take() } else { Some(Frame::data(rest.into())) }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        self.ended = true;
        self.scrubber = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        loop {
            if self.ended {
                return Poll::Ready(self.rest().map(Ok));
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => {
                    self.waiting = None;
                    frame
                }
                Poll::Pending => {
                    let between = self.between;
                    let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(between)));
                    ready!(waiting.as_mut().poll(context));
                    let late = EgressError::Late {
                        step: "the next part of the answer",
                        allowed_ms: millis(between),
                    };
                    return self.fail(late);
                }
            };
            match frame {
                None => self.ended = true,
                Some(Err(error)) => return self.fail(EgressError::Broken { problem: said(&error) }),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let maximum = self.maximum;
                        let Some(left) = self.left.checked_sub(data.len() as u64) else {
                            let used = maximum.saturating_add(1);
                            let limit = LimitName::ResponseBytes;
                            return self.fail(EgressError::Limit { limit, maximum, used });
                        };
                        self.left = left;
                        let data = match &mut self.scrubber {
                            None => data,
                            Some(scrubber) => scrubber.part(&data).into(),
                        };
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Err(other) => {
                        self.ended = true;
                        if let Ok(mut trailers) = other.into_trailers() {
                            scrub_headers(&mut trailers, &self.values);
                            self.last = Some(Frame::trailers(trailers));
                        }
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Whether the scrubber holds something back is known only after the end was seen.
        self.scrubber.is_none() && self.last.is_none() && (self.ended || self.body.is_end_stream())
    }
}
