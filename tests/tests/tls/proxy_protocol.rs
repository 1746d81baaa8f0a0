//! The PROXY protocol in front of HTTP and TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use sluicegate_tests::{Answer, LIMIT, TlsClient, Upstream, Wire};

use crate::gateway::{Live, configuration};

const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n";
const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x01\x02\x01\x03";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.9\r\nconnection: close\r\n\r\n";

/// Who the upstream is told has asked; the answer, if there is one.
fn asked(address: SocketAddr, upstream: &Upstream, before: &[u8]) -> Option<String> {
    let seen = upstream.received().len();
    let mut wire = Wire::new(TcpStream::connect(address).unwrap());
    let _ = wire.try_write([before, REQUEST].concat());
    wire.try_read_head().ok()?;
    let received = upstream.received();
    let last = received.get(seen)?;
    Some(last.headers("x-forwarded-for").join(", "))
}

#[test]
fn who_is_behind_the_proxy_is_the_client() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::start(&configuration("proxy_protocol = true", "", &upstream));
    for (header, client) in [
        (VERSION_1, "192.0.2.7"),
        (VERSION_2, "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "2001:db8::7"),
        (LOCAL, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let asked = asked(live.address(), &upstream, header);
        assert_eq!(asked.as_deref(), Some(client));
    }
}

#[test]
fn it_comes_before_tls() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::start(&configuration(
        "proxy_protocol = [\"127.0.0.0/8\"]\ntls = { certificates = [CERT] }",
        "",
        &upstream,
    ));
    let client = TlsClient::trusting(&live.authority);
    for header in [VERSION_1, VERSION_2] {
        let mut wire = client
            .connect_with(live.address(), "a.example", header)
            .unwrap();
        assert_eq!(wire.get("/", "a.example").unwrap().1, "hello");
    }
    for received in upstream.received() {
        assert_eq!(received.header("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    }
    assert!(client.connect(live.address(), "a.example").is_err());
    live.wait_for_failed("proxy_protocol", 1);
    let response = {
        let mut wire = Wire::new(TcpStream::connect(live.address()).unwrap());
        wire.write([VERSION_2, REQUEST].concat());
        wire.read_response("GET")
    };
    assert_eq!(response.status(), 400);
}

#[test]
fn a_connection_without_it_is_closed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::start(&configuration("proxy_protocol = true", "", &upstream));
    for wrong in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n",
        &[&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        assert_eq!(asked(live.address(), &upstream, wrong), None, "{wrong:?}");
    }
    live.wait_for_failed("proxy_protocol", 6);
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn nobody_else_than_the_listed_is_served() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::start(&configuration(
        "proxy_protocol = [\"192.0.2.0/24\"]",
        "",
        &upstream,
    ));
    assert_eq!(asked(live.address(), &upstream, VERSION_1), None);
    live.wait_for_failed("untrusted_proxy", 1);
}

#[test]
fn half_a_header_does_not_wait_forever() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let text = configuration("proxy_protocol = true", "", &upstream);
    let live = Live::start(&text.replace("LIMITS", "limits = { handshake_timeout = \"300ms\" }"));
    let mut stream = TcpStream::connect(live.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(&VERSION_2[..20]).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    live.wait_for_failed("timeout", 1);
}
