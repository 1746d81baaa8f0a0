//! Certificates for the tests of this room.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use crate::config::{CertificateFiles, NamedFile, Origin};

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Pair {
    /// Signed by itself, for these hosts.
    pub(super) fn of(hosts: &[&str]) -> Self {
        Self::with(hosts, |_| {})
    }

    /// As [`Self::of`], with something changed before it is signed.
    pub(super) fn with(hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params(hosts, change).self_signed(&key).unwrap();
        Self {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        super::pem::certificates(self.cert.as_bytes())
            .unwrap()
            .remove(0)
    }

    /// Writes both files, `NAME.pem` and `NAME.key`.
    pub(super) fn files(&self, folder: &Path, name: &str) -> CertificateFiles {
        let cert = folder.join(format!("{name}.pem"));
        let key = folder.join(format!("{name}.key"));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        CertificateFiles {
            cert: named(cert, &format!("{name}.cert")),
            key: named(key, &format!("{name}.key")),
        }
    }
}

/// Who signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn issue(
        &self,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params(hosts, change).signed_by(&key, &self.0).unwrap();
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn params(hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    change(&mut params);
    params
}

pub(super) fn named(path: PathBuf, key: &str) -> NamedFile {
    NamedFile {
        path,
        origin: Origin {
            path: key.to_owned(),
            line: 7,
        },
    }
}
