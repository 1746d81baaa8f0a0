//! Interim responses (1xx), and the clients that wait for one.

use std::time::Duration;

use sluicegate_tests::{Answer, Gateway, Head, RawUpstream, Signal, Upstream};

const ASKING: &str =
    "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";

#[test]
fn the_upstreams_100_reaches_the_client_and_the_body_comes_only_then() {
    let upstream = RawUpstream::start(|wire| {
        let head = wire.read_head();
        assert_eq!(head.header("expect"), Some("100-continue"));
        assert_eq!(wire.peek(Duration::from_millis(100)), b"");
        wire.write("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.read_exact(4), b"body");
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    assert_eq!(wire.read_head().status(), 100);
    wire.write("body");
    let response = wire.read_response("POST");
    assert_eq!((response.status(), response.text()), (200, "ok"));
    assert!(response.interim.is_empty(), "one 100 is enough");
}

#[test]
fn the_client_is_not_asked_before_the_upstream_has_asked() {
    let asked = Signal::new();
    let upstream = RawUpstream::start({
        let asked = asked.clone();
        move |wire| {
            let _ = wire.read_head();
            asked.wait("the client has looked");
            wire.write("HTTP/1.1 100 Continue\r\n\r\n");
            let _ = wire.read_exact(4);
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    assert_eq!(wire.peek(Duration::from_millis(200)), b"");
    asked.give();
    assert_eq!(wire.read_head().status(), 100);
    wire.write("body");
    assert_eq!(wire.read_response("POST").status(), 200);
}

#[test]
fn an_upstream_that_refuses_by_the_head_is_not_sent_the_body() {
    for status in [401, 417] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno"
            ));
            let _ = wire.wait_for_close();
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        wire.write(ASKING);
        let response = wire.read_response("POST");
        assert_eq!((response.status(), response.text()), (status, "no"));
        assert!(response.interim.is_empty(), "the body was asked for");
        // A client that waits sends nothing; one that does not would now be misread.
        let rest = wire.read_to_close();
        assert_eq!(rest.bytes, b"");
        let raw = String::from_utf8(upstream.raw()).unwrap();
        assert!(raw.ends_with("\r\n\r\n"), "{raw}");
    }
}

#[test]
fn the_body_is_sent_unasked_to_an_upstream_that_does_not_know_expect() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        assert_eq!(wire.read_exact(4), b"body");
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    assert_eq!(wire.read_head().status(), 100);
    wire.write("body");
    assert_eq!(wire.read_response("POST").text(), "ok");
}

#[test]
fn a_client_that_does_not_wait_for_100_is_served_as_well() {
    let upstream = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write(format!("{ASKING}body"));
    let response = wire.read_response("POST");
    assert_eq!((response.status(), response.text()), (200, "body"));
    wire.write("GET /next HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nnext");
    assert_eq!(wire.read_response("GET").text(), "next");
}

#[test]
fn early_hints_pass() {
    let upstream = Upstream::start(|_| {
        Answer::ok("page")
            .interim(103, &[("link", "</style.css>; rel=preload")])
            .interim(
                103,
                &[
                    ("link", "</app.js>; rel=preload"),
                    ("connection", "x-hop"),
                    ("x-hop", "1"),
                ],
            )
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let response = wire.read_response("GET");
    assert_eq!((response.status(), response.text()), (200, "page"));
    assert_eq!(response.header("link"), None);
    let statuses: Vec<u16> = response.interim.iter().map(Head::status).collect();
    assert_eq!(statuses, [103, 103]);
    let link = response.interim[0].header("link");
    assert_eq!(link, Some("</style.css>; rel=preload"));
    assert_eq!(response.interim[1].header("x-hop"), None);
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_response("GET").interim.len(), 2);
}

#[test]
fn early_hints_come_before_the_upstream_has_an_answer() {
    let seen = Signal::new();
    let upstream = RawUpstream::start({
        let seen = seen.clone();
        move |wire| {
            let _ = wire.read_head();
            wire.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
            seen.wait("the client has the hints");
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_head().status(), 103);
    seen.give();
    assert_eq!(wire.read_head().status(), 200);
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_response() {
    let upstream = Upstream::start(|_| Answer::ok("page").interim(103, &[("link", "</a>")]));
    let gateway = Gateway::in_front_of(&upstream).start();
    let transcript = gateway.raw("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert_eq!(transcript.status(), 200);
    assert!(!transcript.text().contains("103"), "{}", transcript.text());
    let transcript = gateway
        .raw("POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nbody");
    assert_eq!(transcript.status(), 200, "{}", transcript.text());
}

#[test]
fn nothing_is_put_into_a_final_response_that_has_begun() {
    // Asks and answers at once.
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        );
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    let response = wire.read_response("POST");
    assert_eq!((response.status(), response.text()), (200, "hello"));
    assert_eq!(wire.read_to_close().bytes, b"");

    // Answers early and slowly: longer than a body is held back for.
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        wire.write_chunk("first");
        std::thread::sleep(Duration::from_millis(1500));
        wire.write_chunk("last");
        wire.write("0\r\n\r\n");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    let response = wire.read_response("POST");
    assert_eq!((response.status(), response.text()), (200, "firstlast"));
    assert_eq!(wire.read_to_close().bytes, b"");
}

#[test]
fn only_100_continue_makes_a_body_wait() {
    let upstream = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = Gateway::in_front_of(&upstream).start();
    for (version, expect, passed) in [
        ("1.1", "something-else", Some("something-else")),
        ("1.0", "100-continue", None),
    ] {
        let mut wire = gateway.connect();
        let began = std::time::Instant::now();
        wire.write(format!(
            "POST / HTTP/{version}\r\nhost: a\r\nexpect: {expect}\r\ncontent-length: 4\r\n\r\nbody"
        ));
        assert_eq!(wire.read_response("POST").text(), "body");
        // Nobody was waited for.
        assert!(began.elapsed() < Duration::from_millis(900), "{expect}");
        let received = upstream.received();
        assert_eq!(received.last().unwrap().header("expect"), passed);
    }
}
