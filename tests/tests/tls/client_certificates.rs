//! Certificates that clients show.

use sluicegate_tests::{Answer, Authority, TlsClient, TlsWire, Upstream, wait_until};

use crate::gateway::{Live, configuration};

const PROBE: &str = env!("GUEST_PROBE");

/// A listener with this `client`, a plugin that shows the subject to the upstream, and an access log.
fn live(client: &str, upstream: &Upstream) -> Live {
    let listener =
        format!("tls = {{ certificates = [CERT], client_ca = \"CA\", client = \"{client}\" }}");
    let rest = format!(
        "plugins = [\"p\"]\n[access_log]\nformat = \"json\"\npath = \"access.log\"\n[plugins.p]\ncomponent = \"{PROBE}\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n[plugins.p.config]\nrequest = [{{ do = \"show\", what = \"client-subject\", header = \"x-subject\" }}, {{ do = \"show\", what = \"scheme\", header = \"x-scheme\" }}]"
    );
    Live::start(&configuration(&listener, &rest, upstream))
}

/// The request's status; an error where the gateway did not serve it.
fn ask(client: &TlsClient, live: &Live) -> std::io::Result<TlsWire> {
    let mut wire = client.connect(live.address(), "a.example")?;
    // Nothing that a client sends takes the place of a certificate.
    wire.write("GET / HTTP/1.1\r\nhost: a.example\r\nx-subject: CN=forged\r\nclient-subject: CN=forged\r\nx-client-subject: CN=forged\r\n\r\n")?;
    let (head, _) = wire.read_response()?;
    assert_eq!(head.status(), 200);
    Ok(wire)
}

#[test]
fn plugins_and_the_access_log_know_the_subject() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = live("optional", &upstream);
    let alice = live.authority.issue(&["alice"]);
    let nobody = TlsClient::trusting(&live.authority);
    let alice = TlsClient::showing(&live.authority, &alice);
    ask(&nobody, &live).unwrap();
    ask(&alice, &live).unwrap();
    // A resumed session is that of the same client.
    assert!(ask(&alice, &live).unwrap().is_resumed());
    let subjects: Vec<_> = upstream
        .received()
        .iter()
        .map(|received| {
            (
                received.header("x-subject").unwrap().to_owned(),
                received.header("x-scheme").unwrap().to_owned(),
            )
        })
        .collect();
    let pair = |subject: &str| (subject.to_owned(), "https".to_owned());
    assert_eq!(subjects, [pair("-"), pair("CN=alice"), pair("CN=alice")]);

    let log = live.folder.path().join("access.log");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("three lines", || read().lines().count() == 3);
    let logged = read();
    let lines: Vec<&str> = logged.lines().collect();
    assert!(!lines[0].contains("client_subject"), "{logged}");
    assert!(
        lines[1].contains(r#""client_subject":"CN=alice""#),
        "{logged}"
    );
}

#[test]
fn who_has_to_show_one_is_told_what_is_wrong_and_counted() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = live("required", &upstream);
    let alice = live.authority.issue(&["alice"]);
    ask(&TlsClient::showing(&live.authority, &alice), &live).unwrap();

    let error = ask(&TlsClient::trusting(&live.authority), &live).unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    live.wait_for_failed("no_client_certificate", 1);

    let foreign = Authority::new().issue(&["alice"]);
    let error = ask(&TlsClient::showing(&live.authority, &foreign), &live).unwrap_err();
    assert!(
        error.to_string().contains("received fatal alert"),
        "{error}"
    );
    let old = live.authority.issue_until(&["alice"], 2021);
    let error = ask(&TlsClient::showing(&live.authority, &old), &live).unwrap_err();
    assert!(error.to_string().contains("CertificateExpired"), "{error}");
    live.wait_for_failed("bad_client_certificate", 2);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_session_ends_where_other_authorities_are_named() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = live("required", &upstream);
    let alice = live.authority.issue(&["alice"]);
    let alice = TlsClient::showing(&live.authority, &alice);
    ask(&alice, &live).unwrap();
    assert!(ask(&alice, &live).unwrap().is_resumed());
    let ca = live.folder.path().join("ca.pem");
    std::fs::write(ca, Authority::new().pem()).unwrap();
    live.server.running().reload().unwrap();
    ask(&alice, &live).unwrap_err();
}
