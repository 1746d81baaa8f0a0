use std::path::Path;

use rustls::{ClientConnection, Error, ServerConnection};

use super::super::HTTP_1_1;
use super::super::client::Connector;
use super::super::testing::{Authority, Pair, named};
use super::*;
use crate::config::{CertificateFiles, Origin, UpstreamTls};

fn listener(certificates: Vec<CertificateFiles>) -> ListenerTls {
    ListenerTls {
        certificates,
        client: ClientCertificates::None,
        min_version: TlsVersion::Tls12,
    }
}

fn acceptor(tls: &ListenerTls, previous: Option<&Acceptor>) -> Acceptor {
    let mut loader = Loader::default();
    let acceptor = Acceptor::load(tls, &[HTTP_1_1], &mut loader, previous);
    let (problems, _) = loader.into_findings();
    assert_eq!(problems, []);
    acceptor.unwrap()
}

fn connector(tls: &UpstreamTls) -> Connector {
    let mut loader = Loader::default();
    let connector = Connector::load(tls, &[HTTP_1_1], &mut loader, None);
    let (problems, _) = loader.into_findings();
    assert_eq!(problems, []);
    connector.unwrap()
}

/// Trusts an authority.
fn trusting(folder: &Path, pem: &str) -> UpstreamTls {
    let path = folder.join("trusted.pem");
    std::fs::write(&path, pem).unwrap();
    UpstreamTls {
        ca: Some(named(path, "ca")),
        ..UpstreamTls::new(Origin {
            path: "upstreams.u".to_owned(),
            line: 1,
        })
    }
}

/// Both ends of a handshake in memory, and some more turns, so that tickets arrive; the error of the end that had one.
fn shake(
    acceptor: &Acceptor,
    connector: &Connector,
    host: &str,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let name = host.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(&connector.config), name)?;
    let mut server = ServerConnection::new(Arc::clone(&acceptor.config))?;
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = &*wire;
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = &*wire;
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((server, client))
}

fn is_resumed(server: &ServerConnection) -> bool {
    server.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

#[test]
fn a_handshake_with_a_certificate_an_authority_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = authority
        .issue(&["a.example", "127.0.0.1"], |_| {})
        .files(folder.path(), "a");
    let acceptor = acceptor(&listener(vec![files]), None);
    let connector = connector(&trusting(folder.path(), &authority.pem()));
    for host in ["a.example", "127.0.0.1"] {
        let (server, _) = shake(&acceptor, &connector, host).unwrap();
        assert_eq!(server.alpn_protocol(), Some(HTTP_1_1));
        assert_eq!(
            server.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    }
    let error = shake(&acceptor, &connector, "b.example").unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error:?}");
}

#[test]
fn sessions_go_on_over_a_change_of_certificates_but_not_of_who_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let issue = || {
        authority
            .issue(&["a.example"], |_| {})
            .files(folder.path(), "a")
    };
    let mut tls = listener(vec![issue()]);
    let first = acceptor(&tls, None);
    let connector = connector(&trusting(folder.path(), &authority.pem()));
    let resumed = |acceptor: &Acceptor| {
        let (server, _) = shake(acceptor, &connector, "a.example").unwrap();
        is_resumed(&server)
    };
    assert!(!resumed(&first));
    assert!(resumed(&first));

    let same = acceptor(&tls, Some(&first));
    assert!(Arc::ptr_eq(&same.config, &first.config));
    issue();
    let renewed = acceptor(&tls, Some(&same));
    assert!(!Arc::ptr_eq(&renewed.config, &first.config));
    assert!(resumed(&renewed));

    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    tls.client = ClientCertificates::Optional(named(ca.clone(), "client_ca"));
    let asking = acceptor(&tls, Some(&renewed));
    assert!(!resumed(&asking));
    assert!(resumed(&asking));
    std::fs::write(&ca, Authority::new().pem()).unwrap();
    let others = acceptor(&tls, Some(&asking));
    assert!(!resumed(&others));
}

#[test]
fn clients_show_a_certificate_where_they_have_to() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let own = authority
        .issue(&["a.example"], |_| {})
        .files(folder.path(), "a");
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let ca = named(ca, "client_ca");
    let acceptor_with = |client| {
        let tls = ListenerTls {
            client,
            ..listener(vec![own.clone()])
        };
        acceptor(&tls, None)
    };
    let (none, optional, required) = (
        acceptor_with(ClientCertificates::None),
        acceptor_with(ClientCertificates::Optional(ca.clone())),
        acceptor_with(ClientCertificates::Required(ca)),
    );
    let connector_with = |client| {
        connector(&UpstreamTls {
            client,
            ..trusting(folder.path(), &authority.pem())
        })
    };
    let known = authority
        .issue(&["client"], |_| {})
        .files(folder.path(), "known");
    let unknown = Pair::of(&["client"]).files(folder.path(), "unknown");
    let nobody = connector_with(None);
    let known = connector_with(Some(known));
    let unknown = connector_with(Some(unknown));
    for (acceptor, connector, expected) in [
        (&none, &nobody, Some(false)),
        (&none, &known, Some(false)),
        (&optional, &nobody, Some(false)),
        (&optional, &known, Some(true)),
        (&optional, &unknown, None),
        (&required, &nobody, None),
        (&required, &known, Some(true)),
        (&required, &unknown, None),
    ] {
        let shown = shake(acceptor, connector, "a.example");
        let shown = shown
            .ok()
            .map(|(server, _)| server.peer_certificates().is_some());
        assert_eq!(shown, expected);
    }
}

#[test]
fn the_least_version() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::of(&["a.example"]);
    let files = pair.files(folder.path(), "a");
    let old = |acceptor: &Acceptor| {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(super::super::verifier::Unverified))
            .with_no_client_auth();
        config.alpn_protocols = vec![];
        let name = "a.example".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&acceptor.config)).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        server.process_new_packets().map(|_| ())
    };
    let mut tls = listener(vec![files]);
    assert!(old(&acceptor(&tls, None)).is_ok());
    tls.min_version = TlsVersion::Tls13;
    assert!(matches!(
        old(&acceptor(&tls, None)),
        Err(Error::PeerIncompatible(_))
    ));
}
