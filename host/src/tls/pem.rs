//! Certificates and private keys from PEM files (RFC 7468).

use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

/// Bytes of a file. The roots of a whole system are a quarter of a mebibyte.
const MOST: u64 = 4 << 20;

/// Why a file can't be used. What is in it is not repeated: it may be a key.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// A folder, a pipe or a device.
    #[error("is not a file")]
    NoFile,
    /// More than any certificate.
    #[error("is larger than 4 MiB")]
    TooLarge,
    /// No section at all, or a broken one.
    #[error("is not PEM: {0}")]
    NotPem(&'static str),
    /// Other sections than the one that belongs here.
    #[error("{0}")]
    Misplaced(&'static str),
}

/// The bytes of a file of a sensible size.
///
/// # Errors
/// [`PemError`]
pub fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    // Asked before it is opened: to open a pipe would wait for somebody to write to it.
    let about = std::fs::metadata(path).map_err(PemError::Unreadable)?;
    if !about.is_file() {
        return Err(PemError::NoFile);
    }
    let file = std::fs::File::open(path).map_err(PemError::Unreadable)?;
    let mut bytes = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut bytes);
    if read.map_err(PemError::Unreadable)? as u64 > MOST {
        return Err(PemError::TooLarge);
    }
    Ok(bytes)
}

/// The certificates in a file, at least one, in its order. Keys beside them are left alone, as in files that hold both.
///
/// # Errors
/// [`PemError`]
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let sections = sections(pem)?;
    let certificates: Vec<_> = sections
        .iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der.clone()))
        .collect();
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    Err(match sections.first() {
        None if is_encrypted(pem) => {
            PemError::Misplaced("holds an encrypted private key, and no certificate")
        }
        None => nothing(pem),
        Some((
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
            _,
        )) => PemError::Misplaced("holds a private key, and no certificate"),
        Some((SectionKind::Csr, _)) => {
            PemError::Misplaced("holds a request for a certificate, and not the certificate itself")
        }
        Some(_) => PemError::Misplaced("holds no certificate"),
    })
}

/// The first private key in a file: PKCS #8, PKCS #1 or SEC 1.
///
/// # Errors
/// [`PemError`]
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    if is_encrypted(pem) {
        return Err(PemError::Misplaced(
            "holds an encrypted private key, for which there is no passphrase; \"openssl pkey\" writes it without",
        ));
    }
    let sections = sections(pem)?;
    let is_certificate = |(kind, _): &(SectionKind, Vec<u8>)| *kind == SectionKind::Certificate;
    let has_certificate = sections.iter().any(is_certificate);
    let is_empty = sections.is_empty();
    let key = sections.into_iter().find_map(|(kind, der)| match kind {
        SectionKind::PrivateKey => Some(PrivatePkcs8KeyDer::from(der).into()),
        SectionKind::RsaPrivateKey => Some(PrivatePkcs1KeyDer::from(der).into()),
        SectionKind::EcPrivateKey => Some(PrivateSec1KeyDer::from(der).into()),
        _ => None,
    });
    key.ok_or_else(|| {
        if has_certificate {
            PemError::Misplaced("holds a certificate, and no private key")
        } else if is_empty {
            nothing(pem)
        } else {
            PemError::Misplaced("holds no private key")
        }
    })
}

fn sections(pem: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, PemError> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        // The parser's own words can quote a line.
        .map_err(|_| PemError::NotPem("a section is broken"))
}

/// Both forms: PKCS #8's own, and RFC 1421's header.
fn is_encrypted(pem: &[u8]) -> bool {
    let holds = |mark: &[u8]| memchr::memmem::find(pem, mark).is_some();
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

fn nothing(pem: &[u8]) -> PemError {
    // A SEQUENCE with a long length: what certificates and keys begin with in DER.
    if pem.starts_with(&[0x30, 0x82]) {
        return PemError::NotPem(
            "it is DER; \"openssl x509 -inform der\" or \"openssl pkey -inform der\" writes PEM",
        );
    }
    PemError::NotPem("there is no \"-----BEGIN\" in it")
}

#[cfg(test)]
mod tests {
    use super::super::testing::Pair;
    use super::*;

    #[test]
    fn what_is_in_a_file_is_told_without_quoting_it() {
        let pair = Pair::of(&["a.example"]);
        let (cert, key_pem) = (pair.cert.as_bytes(), pair.key.as_bytes());
        let both = [cert, key_pem].concat();
        assert_eq!(certificates(cert).unwrap().len(), 1);
        assert_eq!(certificates(&both).unwrap().len(), 1);
        assert!(key(key_pem).is_ok());
        assert!(key(&both).is_ok());
        let der = certificates(cert).unwrap().remove(0);
        for (pem, expected) in [
            (key_pem, "holds a private key, and no certificate"),
            (b"", "is not PEM: there is no \"-----BEGIN\" in it"),
            (b"hello", "is not PEM: there is no \"-----BEGIN\" in it"),
            (
                &der,
                "is not PEM: it is DER; \"openssl x509 -inform der\" or \"openssl pkey -inform der\" writes PEM",
            ),
            (
                b"-----BEGIN CERTIFICATE-----\nsecret!\n-----END CERTIFICATE-----\n",
                "is not PEM: a section is broken",
            ),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n",
                "is not PEM: a section is broken",
            ),
            (
                b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
                "holds a request for a certificate, and not the certificate itself",
            ),
            (
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "holds an encrypted private key, and no certificate",
            ),
        ] {
            assert_eq!(certificates(pem).unwrap_err().to_string(), expected);
        }
        for (pem, expected) in [
            (cert, "holds a certificate, and no private key"),
            (b"", "is not PEM: there is no \"-----BEGIN\" in it"),
            (
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "holds an encrypted private key, for which there is no passphrase; \"openssl pkey\" writes it without",
            ),
            (
                b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
                "holds an encrypted private key, for which there is no passphrase; \"openssl pkey\" writes it without",
            ),
            (
                b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                "holds no private key",
            ),
        ] {
            assert_eq!(key(pem).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(PemError::NoFile)));
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(PemError::NoFile)
        ));
        let path = folder.path().join("large");
        std::fs::File::create(&path)
            .unwrap()
            .set_len(MOST + 1)
            .unwrap();
        assert!(matches!(read(&path), Err(PemError::TooLarge)));
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(MOST)
            .unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MOST);
        assert!(matches!(
            read(&folder.path().join("none")),
            Err(PemError::Unreadable(_))
        ));
    }
}
