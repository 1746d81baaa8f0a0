use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, Error};

use super::super::pem;
use super::super::testing::{Authority, Pair, named};
use super::*;
use crate::config::Origin;

fn origin() -> Origin {
    Origin {
        path: "upstreams.u".to_owned(),
        line: 3,
    }
}

#[test]
fn what_has_not_changed_goes_on_with_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, Authority::new().pem()).unwrap();
    let mut tls = UpstreamTls {
        ca: Some(named(path.clone(), "ca")),
        ..UpstreamTls::new(origin())
    };
    let load = |tls: &UpstreamTls, previous| {
        let mut loader = Loader::default();
        Connector::load(tls, &[HTTP_1_1], &mut loader, previous).unwrap()
    };
    let first = load(&tls, None);
    let same = load(&tls, Some(&first));
    assert!(Arc::ptr_eq(&first.config, &same.config));
    assert_eq!(first, same);
    std::fs::write(&path, Authority::new().pem()).unwrap();
    let other = load(&tls, Some(&first));
    assert_ne!(first, other);
    tls.client = Some(Pair::of(&["c"]).files(folder.path(), "c"));
    assert_ne!(load(&tls, Some(&other)), other);
    tls.verify = false;
    let unverified = load(&tls, Some(&other));
    assert_ne!(unverified, other);
    assert_ne!(
        load(&tls, None),
        load(
            &UpstreamTls {
                client: None,
                ..tls
            },
            None
        )
    );
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let verify = |pair: &Pair, trusted: &str, host: &str| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, trusted).unwrap();
        let mut loader = Loader::default();
        let roots = loader.roots(&named(path, "ca")).unwrap();
        let verifier = Verifier::new(roots).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let certificate = pem::certificates(pair.cert.as_bytes()).unwrap().remove(0);
        verifier
            .verify_server_cert(&certificate, &[], &name, &[], UnixTime::now())
            .map(|_| ())
    };
    let itself = Pair::of(&["a.example"]);
    let authority_itself = Pair::with(&["a.example"], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    for pair in [&itself, &authority_itself] {
        assert_eq!(verify(pair, &pair.cert, "a.example"), Ok(()));
        let error = verify(pair, &pair.cert, "b.example").unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
            ),
            "{error:?}"
        );
    }
    let error = verify(&itself, &Pair::of(&["a.example"]).cert, "a.example").unwrap_err();
    assert!(
        // Which of the two depends on whether it has the same name.
        matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        ),
        "{error:?}"
    );
    let old = Pair::with(&["a.example"], |params| {
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let error = verify(&old, &old.cert, "a.example").unwrap_err();
    assert_eq!(error, Error::InvalidCertificate(CertificateError::Expired));
    let new = Pair::with(&["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
    });
    let error = verify(&new, &new.cert, "a.example").unwrap_err();
    assert_eq!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidYet)
    );
}
