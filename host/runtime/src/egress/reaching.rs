//! What one call reaches: its grants, its limits, its records.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use loong_kernel::{Fault, Nested, Reach};
use loong_manifest::{Code, Endpoint, HostName, LimitName, Limits, Scheme, Tls};
use tokio::sync::{Notify, Semaphore};
use zeroize::Zeroizing;

use super::connect::check;
use super::{Connection, Egress, EgressError, SecretError};
use crate::executor::Runtime;

/// What a plugin wants to reach.
pub(crate) struct Wanted {
    /// `http` or `tcp`.
    pub(crate) capability: &'static str,
    /// An HTTP method, or `connect`.
    pub(crate) action: String,
    /// Where.
    pub(crate) to: Endpoint,
    /// How.
    pub(crate) tls: Tls,
    /// What is recorded: never a query, a body or a secret.
    pub(crate) target: String,
    /// Bytes that will be sent, where that is known.
    pub(crate) bytes: Option<u64>,
    /// How long connecting may take, if the plugin said so.
    pub(crate) connect: Option<Duration>,
}

/// What one call reaches.
pub(crate) struct Reaching {
    nested: Arc<Nested<Runtime>>,
    egress: Arc<Egress>,
    stop: Arc<Stopped>,
    requests: AtomicU32,
    at_once: Arc<Semaphore>,
}

/// A fault that stops a call from outside of its guest.
#[derive(Default)]
pub(crate) struct Stopped {
    fault: OnceLock<Fault>,
    told: Notify,
}

impl Stopped {
    fn stop(&self, fault: Fault) {
        let _ = self.fault.set(fault);
        self.told.notify_one();
    }

    /// Waits until something stops the call.
    pub(crate) async fn wait(&self) -> Fault {
        loop {
            if let Some(fault) = self.fault.get() {
                return fault.clone();
            }
            self.told.notified().await;
        }
    }
}

impl Reaching {
    pub(crate) fn new(nested: Arc<Nested<Runtime>>, egress: Arc<Egress>) -> Arc<Self> {
        let at_once = Semaphore::new(nested.plugin().limits.requests_at_once_max as usize);
        Arc::new(Self {
            nested,
            egress,
            stop: Arc::default(),
            requests: AtomicU32::new(0),
            at_once: Arc::new(at_once),
        })
    }

    /// What stops the call.
    pub(crate) fn stopped(&self) -> Arc<Stopped> {
        Arc::clone(&self.stop)
    }

    /// The limits of the plugin.
    pub(crate) fn limits(&self) -> &Limits {
        &self.nested.plugin().limits
    }

    /// A time that the plugin asked for, no longer than its limit and what is left of the call.
    pub(crate) fn clamp(&self, asked: Option<Duration>, maximum_ms: u64) -> Duration {
        let left = self.nested.deadline().saturating_duration_since(Instant::now());
        left.min(Duration::from_millis(maximum_ms)).min(asked.unwrap_or(Duration::MAX))
    }

    /// Hands an error on; if it is a fault, the call is stopped by it, whatever its guest does.
    pub(crate) fn failed(&self, error: EgressError) -> EgressError {
        if let EgressError::Stop(fault) = &error {
            self.stop.stop(fault.clone());
        }
        error
    }

    /// Writes down that something was refused, and says it to the plugin.
    pub(crate) async fn refuse(
        &self,
        capability: &'static str,
        target: String,
        reason: String,
    ) -> EgressError {
        match self.nested.refused(capability, target, Code::EgressDenied).await {
            Ok(()) => EgressError::Denied { reason },
            Err(fault) => fault.into(),
        }
    }

    /// Looks at the grants, counts, writes down, connects.
    pub(crate) async fn open(&self, wanted: Wanted) -> Result<Connection, EgressError> {
        let plugin = Arc::clone(self.nested.plugin());
        let Wanted { capability, action, to, tls, target, bytes, connect } = wanted;
        let granted = match capability {
            "http" => {
                let scheme = if tls == Tls::Required { Scheme::Https } else { Scheme::Http };
                plugin.grants.request(scheme, &to, &action)
            }
            _ => plugin.grants.connection(&to, tls),
        };
        if !granted {
            let reason = format!("no granted destination covers {target}");
            return Err(self.refuse(capability, target, reason).await);
        }
        self.count()?;
        let place = self.place()?;
        let inside = plugin.grants.inside_of(&to);
        // An address says by itself whether it lies inside; nothing has to be asked for that.
        if let Some(address) = to.host.address() {
            let found = [(address, to.port).into()];
            if let Err(error) = check(&to, &found, inside) {
                return Err(self.refuse_inside(capability, target, error).await);
            }
        }
        let host = to.host.to_string();
        let reach =
            Reach { capability, action, host: host.clone(), port: to.port, target: target.clone(), bytes };
        self.nested.reach(&reach).await?;
        let counted = Arc::clone(&self.nested);
        let meter = Arc::new(move |bytes| counted.reached(&host, bytes));
        let allowed = self.clamp(connect, self.limits().connect_ms_max);
        match self.egress.connect(&to, tls, inside, allowed, meter, place).await {
            Err(error @ EgressError::Inside { .. }) => {
                Err(self.refuse_inside(capability, target, error).await)
            }
            other => other,
        }
    }

    async fn refuse_inside(
        &self,
        capability: &'static str,
        target: String,
        error: EgressError,
    ) -> EgressError {
        let target = crate::fault::said(&format!("{target}: {error}"));
        match self.nested.refused(capability, target, Code::EgressDenied).await {
            Ok(()) => error,
            Err(fault) => fault.into(),
        }
    }

    fn count(&self) -> Result<(), EgressError> {
        let used = self.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let maximum = self.limits().requests_max;
        if used > maximum {
            let fault =
                Fault::Limit { limit: LimitName::Requests, maximum: maximum.into(), used: Some(used.into()) };
            return Err(fault.into());
        }
        Ok(())
    }

    fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit, EgressError> {
        // It does not wait: the one who would have to let go is the plugin itself.
        Arc::clone(&self.at_once).try_acquire_owned().map_err(|_| {
            let maximum = u64::from(self.limits().requests_at_once_max);
            EgressError::Limit { limit: LimitName::RequestsAtOnce, maximum, used: maximum + 1 }
        })
    }

    /// The values of secrets that a request to a host asks for. Each has to be granted to the plugin for that host,
    /// and bound to it by the operator.
    pub(crate) async fn secrets(
        &self,
        names: Vec<String>,
        to: &Endpoint,
    ) -> Result<Vec<(String, Zeroizing<Vec<u8>>)>, EgressError> {
        let mut values = Vec::new();
        let host = &to.host;
        for name in names {
            let target = format!("{name} to {host}");
            if !self.nested.plugin().grants.secret(&name, host) {
                let reason = format!("the secret `{name}` is not granted for {host}");
                return Err(self.refuse("secrets", target, reason).await);
            }
            let (store, asked) = (Arc::clone(&self.egress.secrets), name.clone());
            let read = tokio::task::spawn_blocking(move || store.secret(&asked)).await;
            let unreadable = |problem: String| Fault::Denied {
                code: Code::SetupInvalid,
                reason: format!("the secrets cannot be read: {problem}"),
                policies: Vec::new(),
            };
            let found = match read {
                Ok(Ok(found)) => found,
                Ok(Err(SecretError::Unreadable { problem })) => return Err(unreadable(problem).into()),
                Err(error) => return Err(unreadable(error.to_string()).into()),
            };
            let Some(secret) = found else {
                self.nested.refused("secrets", target, Code::SecretUnknown).await?;
                let reason =
                    format!("the plugin needs the secret `{name}` for {host}, and none of this name is set");
                return Err(Fault::Denied { code: Code::SecretUnknown, reason, policies: Vec::new() }.into());
            };
            if !secret.hosts.iter().any(|bound| bound.covers(to)) {
                let reason = format!("the secret `{name}` is not bound to {to}");
                return Err(self.refuse("secrets", target, reason).await);
            }
            values.push((name, secret.value));
        }
        Ok(values)
    }

    /// Writes down, before they are sent, that secrets go to a host. Only over TLS, or to this very machine.
    pub(crate) async fn use_secrets(
        &self,
        values: &[(String, Zeroizing<Vec<u8>>)],
        host: &HostName,
        connection: &Connection,
        tls: Tls,
    ) -> Result<(), EgressError> {
        for (name, _) in values {
            if tls == Tls::None && !connection.address.is_loopback() {
                let reason = format!("the secret `{name}` goes over TLS only");
                return Err(self.refuse("secrets", format!("{name} to {host}, without TLS"), reason).await);
            }
            self.nested.secret_used(name, &host.to_string()).await?;
        }
        Ok(())
    }
}
