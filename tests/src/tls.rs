//! Certificates, and the client's end of TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::head::{Head, find};
use crate::wait::LIMIT;

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Signs a certificate for these hosts and addresses, whose subject is `CN=` the first.
    pub fn issue(&self, hosts: &[&str]) -> Certificate {
        self.issue_until(hosts, 2999)
    }

    /// As [`Self::issue`], until the begin of a year.
    pub fn issue_until(&self, hosts: &[&str], year: i32) -> Certificate {
        self.issue_with(hosts, |params| params.not_after = date_time_ymd(year, 1, 1))
    }

    /// As [`Self::issue`], until this time; TLS knows whole seconds.
    pub fn issue_until_time(&self, hosts: &[&str], end: SystemTime) -> Certificate {
        let since_epoch = end.duration_since(UNIX_EPOCH).unwrap();
        self.issue_with(hosts, |params| {
            params.not_after = date_time_ymd(1970, 1, 1) + since_epoch;
        })
    }

    fn issue_with(
        &self,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, *hosts.first().unwrap_or(&"nobody"));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Certificate {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// Writes `NAME.pem` and `NAME.key`, and says how a configuration names them.
    pub fn write(&self, folder: &Path, name: &str) -> String {
        let cert = folder.join(format!("{name}.pem"));
        let key = folder.join(format!("{name}.key"));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        let (cert, key) = (cert.display(), key.display());
        format!("{{ cert = \"{cert}\", key = \"{key}\" }}")
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.cert.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A client that resumes its sessions.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// One that believes an authority.
    pub fn trusting(authority: &Authority) -> Self {
        Self::with(authority, None, true)
    }

    /// One that shows a certificate.
    pub fn showing(authority: &Authority, own: &Certificate) -> Self {
        Self::with(authority, Some(own), true)
    }

    /// One that knows no TLS 1.3.
    pub fn of_tls_1_2(authority: &Authority) -> Self {
        Self::with(authority, None, false)
    }

    fn with(authority: &Authority, own: Option<&Certificate>, is_new: bool) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        let versions = if is_new { vec![&TLS13] } else { vec![&TLS12] };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some(own) => builder
                .with_client_auth_cert(own.chain(), own.private_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            config: Arc::new(config),
        }
    }

    /// Connects, and shakes hands for this host.
    pub fn connect(&self, address: SocketAddr, host: &str) -> io::Result<TlsWire> {
        self.connect_with(address, host, b"")
    }

    /// As [`Self::connect`], behind bytes that are not encrypted.
    pub fn connect_with(
        &self,
        address: SocketAddr,
        host: &str,
        before: &[u8],
    ) -> io::Result<TlsWire> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_write_timeout(Some(LIMIT))?;
        socket.write_all(before)?;
        let name = host.to_owned().try_into().expect("a host");
        let connection = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsWire {
            stream,
            held: Vec::new(),
        })
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct TlsWire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    held: Vec<u8>,
}

impl TlsWire {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }

    /// What was agreed on.
    pub fn tls(&self) -> &ClientConnection {
        &self.stream.conn
    }

    /// Whether a session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The certificate that the gateway has shown, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        let certificates = self.stream.conn.peer_certificates();
        certificates.unwrap()[0].to_vec()
    }

    /// Sends.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends a GET request and reads its response, which has to have a length.
    pub fn get(&mut self, target: &str, host: &str) -> io::Result<(Head, String)> {
        self.write(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"))?;
        self.read_response()
    }

    /// The next response, which has to have a length.
    pub fn read_response(&mut self) -> io::Result<(Head, String)> {
        let end = loop {
            if let Some(end) = find(&self.held, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill()?;
        };
        let head = Head::parse(&self.held.drain(..end).collect::<Vec<u8>>());
        let length = head
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        while self.held.len() < length {
            self.fill()?;
        }
        let body = self.held.drain(..length).collect();
        Ok((head, String::from_utf8(body).unwrap()))
    }

    /// Says that nothing more comes, as TLS has it.
    pub fn close(&mut self) -> io::Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()
    }

    /// Everything up to the end of the connection, which has to be in order.
    pub fn read_to_end(&mut self) -> io::Result<String> {
        let mut rest = std::mem::take(&mut self.held);
        self.stream.read_to_end(&mut rest)?;
        Ok(String::from_utf8(rest).unwrap())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.held.extend_from_slice(&space[..read]);
                Ok(())
            }
        }
    }
}
