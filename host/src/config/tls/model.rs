//! The validated types of `listeners[].tls` and `upstreams.NAME.tls`.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

use crate::config::Origin;

/// A file that the configuration names. Two are equal that are the same file, wherever they are named.
#[derive(Debug, Clone)]
pub struct NamedFile {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Where it is named.
    pub origin: Origin,
}

impl PartialEq for NamedFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for NamedFile {}

/// `{ cert = "site.pem", key = "site.key" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to a root.
    pub cert: NamedFile,
    /// Its private key.
    pub key: NamedFile,
}

/// `listeners[].tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// `certificates`, at least one; the first is for clients that name no host, or one that none is for.
    pub certificates: Vec<CertificateFiles>,
    /// `client` and `client_ca`
    pub client: ClientCertificates,
    /// `min_version`
    pub min_version: TlsVersion,
}

impl ListenerTls {
    /// All files that it names.
    pub fn files(&self) -> impl Iterator<Item = &NamedFile> {
        let pairs = self.certificates.iter();
        pairs
            .flat_map(|pair| [&pair.cert, &pair.key])
            .chain(self.client.authorities())
    }
}

/// `listeners[].tls.client`: whether clients have to show a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// "none": they are not asked for one.
    None,
    /// "optional": who shows one must show a good one.
    Optional(NamedFile),
    /// "required"
    Required(NamedFile),
}

impl ClientCertificates {
    /// `client_ca`: who has signed them.
    pub fn authorities(&self) -> Option<&NamedFile> {
        match self {
            Self::None => None,
            Self::Optional(ca) | Self::Required(ca) => Some(ca),
        }
    }
}

/// `min_version`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// "1.2" (the default)
    #[default]
    Tls12,
    /// "1.3"
    Tls13,
}

/// `upstreams.NAME.tls`
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// `ca`; `None`: the system's roots.
    pub ca: Option<NamedFile>,
    /// `server_name`; `None`: the host of the target's URL.
    pub server_name: Option<ServerName<'static>>,
    /// `verify`
    pub verify: bool,
    /// `client`: what the gateway shows of itself.
    pub client: Option<CertificateFiles>,
    /// Where it stands in the file, or the upstream that goes without.
    pub origin: Origin,
}

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        (&self.ca, &self.server_name, self.verify, &self.client)
            == (&other.ca, &other.server_name, other.verify, &other.client)
    }
}

impl Eq for UpstreamTls {}

impl UpstreamTls {
    /// With the system's roots.
    pub fn new(origin: Origin) -> Self {
        Self {
            ca: None,
            server_name: None,
            verify: true,
            client: None,
            origin,
        }
    }

    /// All files that it names.
    pub fn files(&self) -> impl Iterator<Item = &NamedFile> {
        let pair = self.client.iter();
        pair.flat_map(|pair| [&pair.cert, &pair.key])
            .chain(&self.ca)
    }
}
