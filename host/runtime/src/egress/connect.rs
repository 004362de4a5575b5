//! Resolves a host once, checks every address, and connects to one that was checked.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use loong_manifest::{Endpoint, HostName, Tls};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;

use super::address;
use super::{Egress, EgressError};

/// Most addresses that one name may have.
const ADDRESSES_MAX: usize = 64;

/// How long the steps may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until the head of a response.
    pub(crate) answer: Duration,
    /// Between two parts of a response.
    pub(crate) between: Duration,
}

/// Told how many bytes were sent or received.
pub(crate) type Meter = Arc<dyn Fn(u64) + Send + Sync>;

/// Anything that is read and written.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A connection to an address that was checked.
pub(crate) struct Connection {
    /// The bytes.
    pub(crate) stream: Box<dyn Duplex>,
    /// The address.
    pub(crate) address: IpAddr,
}

impl Egress {
    /// Connects. `inside` is what the operator named of the own network.
    pub(crate) async fn connect(
        &self,
        to: &Endpoint,
        tls: Tls,
        inside: &[Endpoint],
        allowed: Duration,
        meter: Meter,
        place: OwnedSemaphorePermit,
    ) -> Result<Connection, EgressError> {
        let late = EgressError::Late { step: "connecting", allowed_ms: millis(allowed) };
        let until = Instant::now().checked_add(allowed);
        let work = async {
            let broken =
                |error: &io::Error| EgressError::Broken { problem: format!("no connection: {error}") };
            let of_process = Arc::clone(&self.connections).acquire_owned().await.map_err(|_| late.clone())?;
            let (addresses, of_process) = resolve(to, of_process).await?;
            check(to, &addresses, inside)?;
            let mut failed = EgressError::Unresolved;
            let mut left = addresses.len();
            for address in addresses {
                // An address that does not answer leaves the others a fair share of the time.
                let share = until
                    .map_or(allowed, |until| until.saturating_duration_since(Instant::now()))
                    .checked_div(u32::try_from(left).unwrap_or(u32::MAX))
                    .unwrap_or_default();
                left -= 1;
                match tokio::time::timeout(share, TcpStream::connect(address)).await {
                    Ok(Ok(socket)) => {
                        let _ = socket.set_nodelay(true);
                        let counted = Counted { socket, meter, _places: (place, of_process) };
                        return Ok((counted, address.ip()));
                    }
                    Ok(Err(error)) => failed = broken(&error),
                    Err(_) => failed = late.clone(),
                }
            }
            Err(failed)
        };
        let secured = async {
            let (socket, address) = work.await?;
            let stream: Box<dyn Duplex> = match tls {
                Tls::None => Box::new(socket),
                Tls::Required => {
                    let connector = TlsConnector::from(self.tls().await?);
                    let stream = connector.connect(server_name(&to.host)?, socket).await;
                    Box::new(
                        stream
                            .map_err(|error| EgressError::Tls { problem: format!("TLS failed: {error}") })?,
                    )
                }
            };
            Ok(Connection { stream, address })
        };
        tokio::time::timeout(allowed, secured).await.unwrap_or(Err(late.clone()))
    }
}

/// All addresses of a host, asked for once. The system cannot be stopped while it looks for a name, so the place is
/// kept until it has found it, also when nobody waits any more: names that are looked for are never more than places.
async fn resolve(
    to: &Endpoint,
    place: OwnedSemaphorePermit,
) -> Result<(Vec<SocketAddr>, OwnedSemaphorePermit), EgressError> {
    let name = match &to.host {
        HostName::Address(address) => return Ok((vec![SocketAddr::new(*address, to.port)], place)),
        HostName::Name(name) => name.clone(),
    };
    let port = to.port;
    let look = move || ((name.as_str(), port).to_socket_addrs(), place);
    let Ok((Ok(found), place)) = tokio::task::spawn_blocking(look).await else {
        return Err(EgressError::Unresolved);
    };
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX + 1).collect();
    if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
        return Err(EgressError::Unresolved);
    }
    Ok((addresses, place))
}

/// Refuses a host of which one address lies inside, unless the operator named the host or that address.
pub(crate) fn check(to: &Endpoint, addresses: &[SocketAddr], inside: &[Endpoint]) -> Result<(), EgressError> {
    if inside.contains(to) {
        return Ok(());
    }
    for address in addresses {
        let named = Endpoint { host: HostName::Address(address.ip()), port: to.port };
        if let Some(reason) = address::refusal(address.ip())
            && !inside.contains(&named)
        {
            return Err(EgressError::Inside {
                reason: format!("`{}` may not be reached: {reason}", address.ip()),
            });
        }
    }
    Ok(())
}

fn server_name(host: &HostName) -> Result<ServerName<'static>, EgressError> {
    match host {
        HostName::Address(address) => Ok(ServerName::from(*address)),
        HostName::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| EgressError::Tls { problem: "no certificate can be for this name".into() }),
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A socket that says how much went through it, and holds its places among the connections that may be open.
struct Counted {
    socket: TcpStream,
    meter: Meter,
    _places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        (self.meter)(buffer.filled().len().saturating_sub(before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(context, bytes))?;
        (self.meter)(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn judge(to: &str, addresses: &[&str], inside: &[&str], expected: &str) {
        let to: Endpoint = to.parse().unwrap();
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), to.port)).collect();
        let inside: Vec<Endpoint> = inside.iter().map(|named| named.parse().unwrap()).collect();
        let said =
            check(&to, &addresses, &inside).map_or_else(|error| error.to_string(), |()| "reached".into());
        assert_eq!(said, expected, "{to} {addresses:?} {inside:?}");
    }

    #[test]
    fn every_address_of_a_name_has_to_lie_outside() {
        judge("a.example:443", &["1.1.1.1"], &[], "reached");
        judge("a.example:443", &["1.1.1.1", "10.0.0.1"], &[], "`10.0.0.1` may not be reached: it is private");
        judge("a.example:443", &["2606:4700::1", "::1"], &[], "`::1` may not be reached: it is this machine");
    }

    #[test]
    fn what_the_operator_named_is_reached_on_that_port() {
        let refused = "`10.0.0.1` may not be reached: it is private";
        judge("a.example:443", &["10.0.0.1"], &["a.example:443"], "reached");
        judge("a.example:443", &["10.0.0.1"], &["10.0.0.1:443"], "reached");
        judge("a.example:443", &["10.0.0.1"], &["a.example:80"], refused);
        judge("a.example:443", &["10.0.0.1"], &["10.0.0.1:80", "10.0.0.2:443", "b.example:443"], refused);
        judge("a.example:443", &["10.0.0.1", "10.0.0.2"], &["10.0.0.2:443"], refused);
    }
}
