//! The TLS of an upstream.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::tls::{Authority, Certificate};

/// Ends TLS, for HTTP/1.1, in front of whatever listens at an address. Stops when dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Shaken>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A handshake that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaken {
    /// The host that the gateway named.
    pub host: Option<String>,
    /// Whether it has shown a certificate.
    pub has_certificate: bool,
    /// Whether it went on with an older session.
    pub is_resumed: bool,
    /// The protocol that was agreed on.
    pub protocol: Option<String>,
}

impl TlsFront {
    /// With a certificate of its own; `clients`: who signs those of clients, which have to show one then.
    pub fn start(
        behind: SocketAddr,
        certificate: &Certificate,
        clients: Option<&Authority>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = match clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).unwrap();
                let roots = Arc::new(roots);
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .unwrap()
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificate.chain(), certificate.private_key())
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    let tls = stream.get_ref().1;
                    let shaken = Shaken {
                        host: tls.server_name().map(str::to_owned),
                        has_certificate: tls.peer_certificates().is_some(),
                        is_resumed: tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
                        protocol: tls
                            .alpn_protocol()
                            .map(|name| String::from_utf8_lossy(name).into_owned()),
                    };
                    log.lock().unwrap().push(shaken);
                    if let Ok(mut behind) = TcpStream::connect(behind).await {
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                    }
                });
            }
        });
        Self {
            address,
            seen,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its handshakes so far.
    pub fn seen(&self) -> Vec<Shaken> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
