//! Connections that never come to HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sluicegate_tests::{Answer, LIMIT, Signal, TlsClient, Upstream, Wire};

use crate::gateway::{Live, configuration};

fn live() -> (Upstream, Live) {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    (upstream, live)
}

#[test]
fn a_request_that_is_not_encrypted_gets_a_readable_answer() {
    let (_upstream, live) = live();
    let mut wire = Wire::new(TcpStream::connect(live.address()).unwrap());
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let response = wire.read_response("GET");
    assert_eq!(response.status(), 400);
    assert!(
        response
            .text()
            .contains("this port speaks https, and the request was not encrypted"),
        "{response:?}"
    );
    live.wait_for_failed("plain_http", 1);
}

#[test]
fn nonsense_is_counted_and_closed() {
    let (_upstream, live) = live();
    for nonsense in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x16\x03\x01\xff\xff",
        b"\0\0\0\0\0\0\0\0",
        b"\x80\x2e\x01\x00\x02",
    ] {
        let mut stream = TcpStream::connect(live.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(nonsense).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        // An alert at most, and then the end.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() <= 7, "{answer:?}");
    }
    let sum = || {
        ["malformed", "closed"]
            .map(|reason| {
                live.metric(&format!(
                    "sluicegate_failed_handshakes_total{{reason=\"{reason}\"}}"
                ))
            })
            .iter()
            .sum::<u64>()
    };
    sluicegate_tests::wait_until("all of them counted", || sum() == 4);
    // And nobody else has noticed.
    let client = TlsClient::trusting(&live.authority);
    let mut wire = client.connect(live.address(), "a.example").unwrap();
    assert_eq!(wire.get("/", "a.example").unwrap().1, "hello");
}

#[test]
fn who_dawdles_is_closed_and_keeps_nobody_waiting() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let text = configuration("tls = { certificates = [CERT] }", "", &upstream);
    let live = Live::start(&text.replace("LIMITS", "limits = { handshake_timeout = \"700ms\" }"));
    let idle: Vec<TcpStream> = (0..40)
        .map(|number| {
            let mut stream = TcpStream::connect(live.address()).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"\x16\x03\x01\x02\x00").unwrap();
            }
            stream
        })
        .collect();
    let client = TlsClient::trusting(&live.authority);
    let mut wire = client.connect(live.address(), "a.example").unwrap();
    assert_eq!(wire.get("/", "a.example").unwrap().1, "hello");
    for mut stream in idle {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    live.wait_for_failed("timeout", 40);
    // The time is over with the handshake.
    assert_eq!(wire.get("/", "a.example").unwrap().1, "hello");
}

#[test]
fn who_dawdles_does_not_hold_the_gateway_up_when_it_stops() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let text = configuration("tls = { certificates = [CERT] }", "", &upstream);
    let text = text.replace("shutdown_grace = \"0s\"", "shutdown_grace = \"1h\"");
    let live = Live::start(&text.replace("LIMITS", "limits = { handshake_timeout = \"1h\" }"));
    let _silent = TcpStream::connect(live.address()).unwrap();
    let stopped = Signal::new();
    std::thread::spawn({
        let stopped = stopped.clone();
        move || {
            live.server.shut_down();
            stopped.give();
        }
    });
    stopped.wait("the gateway has stopped");
}
