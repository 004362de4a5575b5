//! `loong:host/tcp`: connections to other machines.

use std::sync::Arc;
use std::time::Duration;

use loong_manifest::{Endpoint, LimitName, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::component::Resource;

use super::{HostError, denied, invalid, limited};
use crate::bindings::host::{tcp, types};
use crate::egress::{Connection, EgressError, Wanted};
use crate::guest::Guest;

/// Most bytes of one read.
const READ_BYTES_MAX: u32 = 64 << 10;

/// A connection of a guest, and what went over it.
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Open {
    connection: Connection,
    sent: u64,
    received: u64,
}

/// What the plugin sees of a failure.
fn seen(error: &EgressError, target: &str) -> HostError {
    let failed = |code: &str, message: String| {
        types::Error::Failed(types::Failure { code: code.to_owned(), message }).into()
    };
    match error {
        EgressError::Denied { reason } | EgressError::Inside { reason } => {
            denied(error.code(), target, reason)
        }
        EgressError::Late { allowed_ms, .. } => types::Error::Deadline(*allowed_ms).into(),
        EgressError::Limit { limit, maximum, used } => {
            limited(&limit.as_str().replace('_', "-"), *maximum, *used)
        }
        EgressError::Unresolved => types::Error::NotFound(crate::fault::said(target)).into(),
        EgressError::Broken { .. } | EgressError::Malformed { .. } => {
            failed("egress-failed", error.to_string())
        }
        EgressError::Tls { .. } => failed("tls-failed", crate::fault::said(&error.to_string())),
        EgressError::Stop(fault) => HostError::Stop(fault.clone()),
    }
}

fn broken(error: &std::io::Error) -> HostError {
    let problem = error.kind().to_string();
    seen(&EgressError::Broken { problem }, "")
}

/// One step on a connection, no longer than a step may take.
async fn step<T>(allowed: Duration, work: impl Future<Output = std::io::Result<T>>) -> Result<T, HostError> {
    match tokio::time::timeout(allowed, work).await {
        Ok(done) => done.map_err(|error| broken(&error)),
        Err(_) => Err(types::Error::Deadline(millis(allowed)).into()),
    }
}

impl Guest {
    /// A connection, and how long a step on it may take.
    fn open(&mut self, connection: &Resource<Open>) -> Result<(&mut Open, Duration), HostError> {
        let allowed = self.reaching.clamp(None, self.reaching.limits().wait_ms_max);
        let open = self.table.get_mut(connection);
        open.map(|open| (open, allowed)).map_err(|_| invalid("connection", "is none of this plugin"))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl tcp::Host for Guest {}

impl tcp::HostConnection for Guest {
    async fn connect(&mut self, host: String, port: u16, tls: bool) -> Result<Resource<Open>, HostError> {
        let tls = if tls { Tls::Required } else { Tls::None };
        let host = match host.parse() {
            Ok(host) if port != 0 => host,
            Ok(_) => return Err(invalid("port", "is 0")),
            Err(error) => {
                let error: loong_manifest::HostError = error;
                return Err(invalid("host", &error.to_string()));
            }
        };
        let to = Endpoint { host, port };
        let target = format!("{}://{to}", tls.scheme());
        let wanted = Wanted {
            capability: "tcp",
            action: "connect".into(),
            to,
            tls,
            target: target.clone(),
            bytes: None,
            connect: None,
        };
        // In a task of its own: its work may go deeper than the stack of a guest allows.
        let reaching = Arc::clone(&self.reaching);
        let opened = super::aside(async move { reaching.open(wanted).await }).await?;
        let connection = opened.map_err(|error| seen(&error, &target))?;
        let open = Open { connection, sent: 0, received: 0 };
        self.table.push(open).map_err(|_| {
            let maximum = u64::from(self.reaching.limits().resources_max);
            HostError::Stop(loong_kernel::Fault::Limit { limit: LimitName::Resources, maximum, used: None })
        })
    }

    async fn write(&mut self, connection: Resource<Open>, bytes: Vec<u8>) -> Result<(), HostError> {
        let maximum = self.reaching.limits().request_bytes_max;
        let (open, allowed) = self.open(&connection)?;
        let used = open.sent.saturating_add(bytes.len() as u64);
        if used > maximum {
            return Err(limited("request-bytes", maximum, used));
        }
        open.sent = used;
        let stream = &mut open.connection.stream;
        let work = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        step(allowed, work).await
    }

    async fn read(&mut self, connection: Resource<Open>, max: u32) -> Result<Vec<u8>, HostError> {
        let maximum = self.reaching.limits().response_bytes_max;
        let (open, allowed) = self.open(&connection)?;
        let mut bytes = vec![0; max.min(READ_BYTES_MAX) as usize];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let read = async {
            match open.connection.stream.read(&mut bytes).await {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
                other => other.map(Some),
            }
        };
        // Some never say goodbye as TLS wants it; what that means, the plugin knows.
        let Some(count) = step(allowed, read).await? else {
            let (code, message) = ("connection-cut", "the connection ended without the end that TLS has");
            let failure = types::Failure { code: code.to_owned(), message: message.to_owned() };
            return Err(types::Error::Failed(failure).into());
        };
        open.received = open.received.saturating_add(count as u64);
        if open.received > maximum {
            return Err(limited("response-bytes", maximum, open.received));
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    async fn close(&mut self, connection: Resource<Open>) -> Result<(), HostError> {
        let (open, allowed) = self.open(&connection)?;
        step(allowed, open.connection.stream.shutdown()).await
    }

    async fn drop(&mut self, connection: Resource<Open>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}
