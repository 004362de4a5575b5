//! Other machines for guests to reach: servers on loopback, each with a behaviour, over TCP or TLS. Keys and
//! certificates are made when the tests run.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The authority that vouches for the servers of this process.
static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
});

/// The certificate of the authority, in DER.
pub(crate) fn authority() -> Vec<u8> {
    AUTHORITY.der().to_vec()
}

/// How a server shows who it is.
fn tls(names: &[&str], stranger: bool) -> Arc<rustls::ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    let certificate =
        if stranger { params.self_signed(&key) } else { params.signed_by(&key, &*AUTHORITY) }.unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        );
    Arc::new(config.unwrap())
}

/// Anything that is read and written.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A server. Its threads end with the connections.
pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server that does this on every connection, and keeps what the function gives back.
    pub(crate) fn start(talk: impl Fn(&mut dyn Stream) -> String + Send + Sync + 'static) -> Self {
        Self::listen(None, talk)
    }

    /// The same over TLS, for these names.
    pub(crate) fn start_tls(
        names: &[&str],
        talk: impl Fn(&mut dyn Stream) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(tls(names, false)), talk)
    }

    /// The same, with a certificate that nobody vouches for.
    pub(crate) fn start_tls_by_a_stranger(
        names: &[&str],
        talk: impl Fn(&mut dyn Stream) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(tls(names, true)), talk)
    }

    fn listen(
        tls: Option<Arc<rustls::ServerConfig>>,
        talk: impl Fn(&mut dyn Stream) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heard: Arc::default(),
        };
        let (connections, heard) = (Arc::clone(&server.connections), Arc::clone(&server.heard));
        let talk = Arc::new(talk);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let (tls, talk, heard) = (tls.clone(), Arc::clone(&talk), Arc::clone(&heard));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    let said = match tls {
                        None => {
                            let said = talk(&mut stream);
                            let _ = stream.shutdown(Shutdown::Write);
                            said
                        }
                        Some(config) => {
                            let session = rustls::ServerConnection::new(config).unwrap();
                            let mut stream = rustls::StreamOwned::new(session, stream);
                            let said = talk(&mut stream);
                            stream.conn.send_close_notify();
                            let _ = stream.flush();
                            said
                        }
                    };
                    heard.lock().unwrap().push(said);
                });
            }
        });
        server
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What was said on the connections that have ended. A client can have its answer before this side is done, so
    /// those that were begun are waited for, some seconds at most.
    pub(crate) fn heard(&self) -> Vec<String> {
        let late = Instant::now() + Duration::from_secs(5);
        loop {
            let heard = self.heard.lock().unwrap().clone();
            if heard.len() >= self.connections.load(Ordering::SeqCst) || Instant::now() > late {
                return heard;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads one request, its body too where a length says how long it is.
pub(crate) fn request(stream: &mut dyn Stream) -> String {
    String::from_utf8_lossy(&request_bytes(stream)).into_owned()
}

/// The same, of a request whose body is no text.
pub(crate) fn request_bytes(stream: &mut dyn Stream) -> Vec<u8> {
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            _ => return text,
        }
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    if head.contains("transfer-encoding: chunked") {
        while !text.ends_with(b"0\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                _ => break,
            }
        }
    } else if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        let mut body = vec![0; length.trim().parse().unwrap()];
        if stream.read_exact(&mut body).is_ok() {
            text.extend(body);
        }
    }
    text
}

/// Writes a response with a body of known length.
pub(crate) fn respond(stream: &mut dyn Stream, status: &str, headers: &str, body: &str) {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.flush();
}

/// Answers every request with itself, as the body of a response.
pub(crate) fn echo(stream: &mut dyn Stream) -> String {
    let asked = request(stream);
    respond(stream, "200 OK", "x-server: echo\r\n", &asked);
    asked
}
