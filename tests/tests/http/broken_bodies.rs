//! A response that breaks off after its head must never look whole.

use sluicegate_tests::{End, Gateway, RawUpstream, Signal};

/// A beginning of a response that promises more, and whether the upstream's connection ends by a reset.
const BEGINNINGS: [(&str, &str, bool); 6] = [
    (
        "a length that is not reached",
        "content-length: 100\r\n\r\nfirst",
        false,
    ),
    (
        "a length that is not reached, reset",
        "content-length: 100\r\n\r\nfirst",
        true,
    ),
    (
        "a chunk that is not whole",
        "transfer-encoding: chunked\r\n\r\n64\r\nfirst",
        false,
    ),
    (
        "no last chunk",
        "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        false,
    ),
    (
        "no empty line behind the last chunk",
        "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n",
        false,
    ),
    ("until the connection's end, but reset", "\r\nfirst", true),
];

/// Whatever the beginning: the client must not take what it has got for the whole.
#[track_caller]
fn break_off(request: &str) {
    for (name, beginning, by_reset) in BEGINNINGS {
        let seen = Signal::new();
        let upstream = RawUpstream::start({
            let seen = seen.clone();
            move |wire| {
                let _ = wire.read_head();
                wire.write(format!("HTTP/1.1 200 OK\r\n{beginning}"));
                seen.wait("the client has the beginning");
                if by_reset {
                    wire.reset_when_dropped();
                }
            }
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        wire.write(request);
        let head = wire.read_head();
        assert_eq!(head.status(), 200, "{name}");
        let mut body = Vec::new();
        while !body.ends_with(b"first") {
            body.extend(wire.read_exact(1));
        }
        seen.give();
        let rest = wire.read_to_close();
        match head.header("transfer-encoding") {
            // No last chunk, or a length that is not reached: the client can tell.
            Some(_) => assert!(!rest.text().contains("0\r\n\r\n"), "{name}: {rest:?}"),
            None if head.header("content-length").is_some() => {
                assert_eq!(rest.text(), "", "{name}");
            }
            // Only the way in which the connection ends can tell.
            None => assert_eq!(rest.end, End::Reset, "{name}: {rest:?}"),
        }
        if request.contains("HTTP/1.0") {
            assert_eq!(rest.end, End::Reset, "{name}: {rest:?}");
        }
    }
}

#[test]
fn a_kept_connection_ends_before_the_body() {
    break_off("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

#[test]
fn a_connection_that_was_to_be_closed_anyway_ends_before_the_body() {
    break_off("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
}

#[test]
fn a_client_of_http_1_0_can_tell_as_well() {
    break_off("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
}

#[test]
fn a_pipelined_request_behind_it_is_not_answered() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let transcript =
        gateway.raw("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(transcript.statuses().len() <= 1, "{}", transcript.text());
    let raw = String::from_utf8(upstream.raw()).unwrap();
    assert!(!raw.contains("/2"), "{raw}");
}

#[test]
fn a_silent_upstream_breaks_the_body_off_after_its_idle_timeout() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "timeouts = { idle = \"300ms\" }")
        .route("/{*rest}", "a")
        .start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_head().header("content-length"), Some("100"));
    assert_eq!(wire.read_to_close().bytes, b"first");
}

#[test]
fn malformed_chunks_of_an_upstream_break_the_body_off() {
    for chunks in [
        "xyz\r\nfirst\r\n0\r\n\r\n",
        "-1\r\nfirst\r\n0\r\n\r\n",
        "10000000000000000\r\nfirst\r\n0\r\n\r\n",
        "5\r\nfirstXX0\r\n\r\n",
    ] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
            ));
            let _ = wire.wait_for_close();
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let transcript = gateway.raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let text = transcript.text();
        assert!(!text.ends_with("0\r\n\r\n"), "{chunks:?}: {text}");
        // Without chunks there would have to be a length, and nobody knows one.
        assert!(
            text.is_empty() || text.contains("transfer-encoding: chunked"),
            "{chunks:?}: {text}"
        );
    }
}
