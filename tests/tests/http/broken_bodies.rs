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

/// A response to a client of HTTP/1.0 that only the connection's end would end: its beginning is with the client.
fn endless(then: impl Fn() + Send + Sync + 'static) -> RawUpstream {
    RawUpstream::start(move |wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\n\r\nfirst");
        then();
        let _ = wire.wait_for_close();
    })
}

#[test]
fn a_response_that_the_gateway_cuts_off_itself_ends_by_a_reset() {
    // By the end of a shutdown's grace.
    let upstream = endless(|| {});
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("shutdown_grace = \"200ms\"")
        .start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let _ = wire.read_head();
    assert_eq!(wire.read_exact(5), b"first");
    gateway.shut_down();
    assert_eq!(wire.read_to_close().end, End::Reset);

    // Because the client seems to have gone.
    let upstream = endless(|| {});
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let _ = wire.read_head();
    assert_eq!(wire.read_exact(5), b"first");
    wire.half_close();
    assert_eq!(wire.read_to_close().end, End::Reset);
}

#[test]
fn one_that_is_whole_ends_in_order() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\n\r\nall of it");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let transcript = gateway.raw("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert_eq!(transcript.end, End::Closed);
    assert!(transcript.text().ends_with("\r\n\r\nall of it"));
}

#[test]
fn the_time_for_a_head_is_not_the_time_for_a_body() {
    let upstream = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
            if head.target() == "/late" {
                std::thread::sleep(std::time::Duration::from_millis(700));
                wire.write("late");
            } else {
                let _ = wire.wait_for_close();
            }
        }
    });
    let gateway = |timeouts: &str| {
        Gateway::new()
            .upstream_with(
                "a",
                [upstream.url()],
                &format!("timeouts = {{ {timeouts} }}"),
            )
            .route("/{*rest}", "a")
            .start()
    };
    // The head at once, and a body that takes longer than a head may.
    let patient = gateway("response = \"300ms\", idle = \"20s\"");
    assert_eq!(patient.get("/late").send().text(), "late");
    // The head at once, and then nothing for longer than a body may pause.
    let impatient = gateway("response = \"20s\", idle = \"300ms\"");
    let began = std::time::Instant::now();
    let mut wire = impatient.connect();
    wire.write("GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    assert_eq!(wire.read_to_close().bytes, b"");
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn an_early_response_survives_a_body_that_breaks_off_behind_it() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        assert_eq!(wire.read_chunk().data, b"first");
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst");
        // What the gateway can't pass on of the request.
        let _ = wire.try_read_chunk();
        wire.write("last");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { body_bytes = \"8B\" }")
        .start();
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    assert_eq!(wire.read_head().status(), 200);
    assert_eq!(wire.read_exact(5), b"first");
    // Too long, which is found out now.
    wire.write("9\r\nthe second\r\n");
    let rest = wire.read_to_close();
    assert!(matches!(&*rest.bytes, b"last" | b""), "{}", rest.text());
    // Neither connection is used again.
    gateway.get("/").write(&mut gateway.connect());
    sluicegate_tests::wait_until("there is another connection", || {
        upstream.connections() == 2
    });
}

#[test]
fn an_exchange_that_takes_longer_than_its_route_allows_is_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    // Never silent, and never at an end.
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while wire.try_write("5\r\nagain\r\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route_with("/{*rest}", "a", "exchange_timeout = \"400ms\"")
        .toml(&format!(
            "[access_log]\nformat = \"json\"\npath = \"{}\"\n",
            path.display()
        ))
        .start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    let rest = wire.read_to_close();
    assert!(rest.text().contains("again"), "{}", rest.text());
    assert!(!rest.text().ends_with("0\r\n\r\n"), "{}", rest.text());
    sluicegate_tests::wait_until("it is in the log", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    });
    let line = std::fs::read_to_string(&path).unwrap();
    for part in ["\"error\":\"exchange_timeout\"", "\"aborted\":true"] {
        assert!(line.contains(part), "{line}");
    }
    // It is the limit for a head as well, where it is the shorter one.
    let silent = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream("a", [silent.url()])
        .route_with("/{*rest}", "a", "exchange_timeout = \"200ms\"")
        .start();
    assert_eq!(gateway.get("/").send().status(), 504);
}
