//! The one way to other machines: look at the grants, write down, resolve once, check every address, connect to
//! the address that was checked. Redirects are not followed and proxies of the environment are not asked: what a
//! plugin does next is a request of its own.

mod address;
mod connect;
mod exchange;
mod reaching;
mod scrub;
mod secret;

use std::sync::Arc;

use loong_kernel::Fault;
use loong_manifest::{Code, LimitName};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OnceCell, Semaphore};

pub(crate) use connect::{Connection, Patience};
pub(crate) use exchange::exchange;
pub(crate) use reaching::{Reaching, Wanted};
pub use secret::{Secret, SecretError, Secrets};
pub(crate) use secret::{has_placeholder, names, substitute};

/// Connections of all plugins of the process together.
const CONNECTIONS_MAX: usize = 256;

/// What the way to other machines is made of.
pub struct EgressSettings {
    /// The certificates in DER by which other machines are recognised. Asked for once, before the first
    /// connection over TLS; it may read files.
    pub roots: Arc<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
    /// The operator's secrets.
    pub secrets: Arc<dyn Secrets>,
}

/// The way to other machines, one for a process.
pub(crate) struct Egress {
    roots: Arc<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
    secrets: Arc<dyn Secrets>,
    tls: OnceCell<Arc<rustls::ClientConfig>>,
    connections: Arc<Semaphore>,
}

/// Why another machine was not reached, or did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressError {
    /// No grant covers it.
    #[error("{reason}")]
    Denied {
        /// Why.
        reason: String,
    },
    /// One of its addresses may not be reached.
    #[error("{reason}")]
    Inside {
        /// Why.
        reason: String,
    },
    /// Nothing has this name.
    #[error("the name does not resolve")]
    Unresolved,
    /// It took too long.
    #[error("{step} took more than {allowed_ms} ms")]
    Late {
        /// What took so long.
        step: &'static str,
        /// How long it might take.
        allowed_ms: u64,
    },
    /// No connection was made, or it broke.
    #[error("{problem}")]
    Broken {
        /// What happened.
        problem: String,
    },
    /// The other side does not prove who it is.
    #[error("{problem}")]
    Tls {
        /// What happened.
        problem: String,
    },
    /// A limit that the plugin sees.
    #[error("the limit of {maximum} {limit} is reached")]
    Limit {
        /// Which.
        limit: LimitName,
        /// The most that is allowed.
        maximum: u64,
        /// What was used or asked for.
        used: u64,
    },
    /// The request or the response is not one that the host passes on.
    #[error("{problem}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
    },
    /// The plugin is stopped.
    #[error(transparent)]
    Stop(#[from] Fault),
}

impl EgressError {
    /// The public code, for records.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Denied { .. } | Self::Inside { .. } => Code::EgressDenied,
            Self::Unresolved | Self::Broken { .. } | Self::Tls { .. } | Self::Malformed { .. } => {
                Code::EgressFailed
            }
            Self::Late { .. } => Code::Deadline,
            Self::Limit { .. } => Code::LimitExceeded,
            Self::Stop(fault) => fault.code(),
        }
    }
}

impl Egress {
    pub(crate) fn new(settings: EgressSettings) -> Arc<Self> {
        Arc::new(Self {
            roots: settings.roots,
            secrets: settings.secrets,
            tls: OnceCell::new(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// The configuration of connections over TLS. The provider is named here, never looked up in the process.
    async fn tls(&self) -> Result<Arc<rustls::ClientConfig>, EgressError> {
        let broken = |problem: String| EgressError::Tls { problem };
        let made = self.tls.get_or_try_init(|| async {
            let read = Arc::clone(&self.roots);
            let certificates = tokio::task::spawn_blocking(move || read())
                .await
                .map_err(|error| broken(format!("the certificates cannot be read: {error}")))?;
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
            Ok(Arc::new(config))
        });
        made.await.cloned()
    }
}
