//! `wasi:http/outgoing-handler`: requests to other machines, over the one way that there is.

use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme as UriScheme, Uri};
use http::{Request, Response};
use http_body_util::BodyExt;
use loong_manifest::{Endpoint, LimitName, Scheme, Tls};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpHooks,
};

use crate::egress::{EgressError, Patience, Reaching, Wanted, exchange, has_placeholder, names, substitute};

/// Longest path with query, in bytes.
const PATH_BYTES_MAX: usize = 8192;

/// Headers that say how one hop works, besides those that nobody may set by default.
const HOPS: [HeaderName; 5] = [
    http::header::TE,
    http::header::TRAILER,
    http::header::EXPECT,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("forwarded"),
];

/// HTTP as one guest has it.
pub(crate) struct Http {
    hooks: Hooks,
    ctx: WasiHttpCtx,
}

struct Hooks {
    reaching: Arc<Reaching>,
}

impl Http {
    pub(crate) fn new(reaching: Arc<Reaching>) -> Self {
        let mut ctx = WasiHttpCtx::new();
        // The engine counts its own overhead too; what is sent is counted again, exactly.
        let bytes = reaching.limits().header_bytes_max.saturating_mul(4);
        ctx.set_field_size_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
        Self { hooks: Hooks { reaching }, ctx }
    }

    pub(crate) fn parts(&mut self) -> (&mut dyn WasiHttpHooks, &mut WasiHttpCtx) {
        (&mut self.hooks, &mut self.ctx)
    }
}

type Sending = dyn Future<Output = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>>
    + Send;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| {
            DEFAULT_FORBIDDEN_HEADERS.contains(name)
                || HOPS.contains(name)
                || name.as_str().starts_with("proxy-")
        })
    }

    fn set_host_header(&mut self) -> bool {
        // It is set from the address that was read and checked.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<Sending> {
        let reaching = Arc::clone(&self.reaching);
        Box::new(async move {
            let sent = send(&reaching, request, options.unwrap_or_default()).await;
            sent.map_err(|error| seen(reaching.failed(error)))
        })
    }
}

async fn send(
    reaching: &Reaching,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), EgressError> {
    let (mut head, body) = request.into_parts();
    let (scheme, to) = match destination(&head.uri) {
        Ok(found) => found,
        Err(reason) => {
            let target = crate::fault::said(&format!("{} {}", head.method, without_query(&head.uri)));
            return Err(reaching.refuse("http", target, reason).await);
        }
    };
    let tls = if scheme == Scheme::Https { Tls::Required } else { Tls::None };
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let authority = if to.port == scheme.port() {
        to.to_string().trim_end_matches(&format!(":{}", to.port)).to_owned()
    } else {
        to.to_string()
    };
    let method = head.method.as_str().to_owned();
    let target = crate::fault::said(&format!("{method} {scheme}://{authority}{}", path.path()));
    if path.as_str().len() > PATH_BYTES_MAX {
        return Err(EgressError::Malformed { problem: "the path is too long" });
    }
    if has_placeholder(path.as_str().as_bytes()) || has_placeholder(&unescaped(path.as_str())) {
        return Err(EgressError::Malformed { problem: "a secret goes into a header only" });
    }
    let values = reaching.secrets(names(&head.headers)?, &to).await?;
    let wanted = Wanted {
        capability: "http",
        action: method,
        to: to.clone(),
        tls,
        target,
        bytes: http_body::Body::size_hint(&body).exact(),
        connect: options.connect_timeout,
    };
    let connection = reaching.open(wanted).await?;
    reaching.use_secrets(&values, &to.host, &connection, tls).await?;
    let scrubbed = substitute(&mut head.headers, &values)?;
    let host =
        HeaderValue::from_str(&authority).map_err(|_| EgressError::Malformed { problem: "no such host" })?;
    head.headers.insert(HOST, host);
    head.uri = Uri::from(path);
    let limits = reaching.limits().clone();
    let patience = Patience {
        answer: reaching.clamp(options.first_byte_timeout, limits.wait_ms_max),
        between: reaching.clamp(options.between_bytes_timeout, limits.wait_ms_max),
    };
    let request = Request::from_parts(head, body);
    let answer = exchange(connection.stream, request, &limits, patience, scrubbed).await?;
    let driver = async move {
        answer.driver.await;
        Ok(())
    };
    let response = answer.response.map(|body| body.map_err(seen).boxed_unsync());
    Ok((response, Box::new(driver)))
}

/// Where a request goes. Read once; what is sent is made of this, not of the text.
fn destination(uri: &Uri) -> Result<(Scheme, Endpoint), String> {
    let scheme = match uri.scheme() {
        Some(scheme) if *scheme == UriScheme::HTTPS => Scheme::Https,
        Some(scheme) if *scheme == UriScheme::HTTP => Scheme::Http,
        _ => return Err("the address is neither https nor http".into()),
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let (host, port) = Endpoint::authority(&authority.to_ascii_lowercase())
        .map_err(|error| format!("the host of the address {error}"))?;
    Ok((scheme, Endpoint { host, port: port.unwrap_or_else(|| scheme.port()) }))
}

fn without_query(uri: &Uri) -> String {
    let text = uri.to_string();
    // Before an `@` may stand a password.
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

/// A path with its `%7B` and the like read.
fn unescaped(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

/// What the plugin sees of a failure.
fn seen(error: EgressError) -> Error {
    match error {
        EgressError::Denied { .. } | EgressError::Stop(_) => Error::HttpRequestDenied,
        EgressError::Inside { .. } => Error::DestinationIpProhibited,
        EgressError::Unresolved => Error::DnsError { rcode: None, info_code: None },
        EgressError::Late { step: "connecting", .. } => Error::ConnectionTimeout,
        EgressError::Late { step: "the answer", .. } => Error::HttpResponseTimeout,
        EgressError::Late { .. } => Error::ConnectionReadTimeout,
        EgressError::Broken { problem } => Error::InternalError(Some(problem)),
        EgressError::Tls { .. } => Error::TlsCertificateError,
        EgressError::Malformed { problem } => Error::InternalError(Some(problem.into())),
        EgressError::Limit { limit: LimitName::RequestBytes, maximum, .. } => {
            Error::HttpRequestBodySize(Some(maximum))
        }
        EgressError::Limit { limit: LimitName::ResponseBytes, maximum, .. } => {
            Error::HttpResponseBodySize(Some(maximum))
        }
        EgressError::Limit { limit: LimitName::HeaderBytes, maximum, .. } => {
            Error::HttpRequestHeaderSectionSize(Some(u32::try_from(maximum).unwrap_or(u32::MAX)))
        }
        EgressError::Limit { .. } => Error::ConnectionLimitReached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, expected: &str) {
        let said = match uri.parse::<Uri>() {
            Err(_) => "no address".to_owned(),
            Ok(uri) => {
                destination(&uri).map_or_else(|reason| reason, |(scheme, to)| format!("{scheme} {to}"))
            }
        };
        assert_eq!(said, expected, "{uri}");
    }

    #[test]
    fn an_address_is_read_once_and_strictly() {
        check("https://api.example.com/a?b", "https api.example.com:443");
        check("http://API.Example.com:8080", "http api.example.com:8080");
        check("https://[2001:db8::1]/", "https [2001:db8::1]:443");
        check("ftp://a.example/", "the address is neither https nor http");
        check("/path", "the address is neither https nor http");
        let character =
            "the host of the address holds something else than lower-case letters, digits, hyphens and dots";
        check("https://user@a.example/", character);
        let port = "the host of the address needs a port from 1 to 65535 after a colon";
        check("https://user:password@a.example/", port);
        check(
            "https://a.example.:443/",
            "the host of the address has an empty label, a dot at its end, or a label with a hyphen at its end",
        );
        let number = "the host of the address ends in a number but is not an address in its plain form";
        for host in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"] {
            check(&format!("http://{host}/"), number);
        }
        check("http://a.example:0/", port);
    }

    #[test]
    fn a_record_holds_neither_query_nor_password() {
        let said = |uri: &str| without_query(&uri.parse().unwrap());
        assert_eq!(said("https://a.example/p?q=1"), "https://a.example/p");
        assert_eq!(said("https://user:password@a.example/p"), "…@a.example/p");
    }

    #[test]
    fn a_placeholder_is_seen_under_its_escapes() {
        assert!(has_placeholder(&unescaped("/%7b%7Bsecret:a}}")));
        assert!(!has_placeholder(&unescaped("/%7bsecret:a%zz%")));
    }
}
