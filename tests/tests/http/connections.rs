//! How connections are kept, shared, cancelled and closed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluicegate_tests::{Answer, End, Gateway, RawUpstream, Signal, Upstream, wait_until};

#[test]
fn requests_in_a_row_share_one_connection_to_the_upstream() {
    let upstream = Upstream::start(|request| match request.target() {
        "/chunked" => Answer::status(200).chunks(["a"]),
        "/trailers" => Answer::status(200).chunks(["a"]).trailer("x-end", "1"),
        "/none" => Answer::status(204),
        _ => Answer::ok("a"),
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    for path in ["/length", "/chunked", "/trailers", "/none"] {
        gateway.get(path).send_over(&mut wire);
        gateway.head(path).send_over(&mut wire);
        // Another client's request over the same upstream connection.
        gateway.post(path).body("x").send();
    }
    assert_eq!(upstream.received().len(), 12);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn requests_at_the_same_time_have_connections_of_their_own() {
    let both = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::start({
        let both = Arc::clone(&both);
        move |_| {
            both.fetch_add(1, Ordering::SeqCst);
            wait_until("both requests are here", || {
                both.load(Ordering::SeqCst) == 2
            });
            Answer::ok("")
        }
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let (mut one, mut two) = (gateway.connect(), gateway.connect());
    gateway.get("/1").write(&mut one);
    gateway.get("/2").write(&mut two);
    assert_eq!(one.read_response("GET").status(), 200);
    assert_eq!(two.read_response("GET").status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_connection_that_the_upstream_wants_closed_is_not_used_again() {
    let upstream = Upstream::start(|_| Answer::ok("a").and_close());
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    for _ in 0..3 {
        let response = gateway.get("/").send_over(&mut wire);
        assert_eq!(response.status(), 200);
        // That is between the gateway and the upstream.
        assert_eq!(response.header("connection"), None);
    }
    assert_eq!(upstream.connections(), 3);
}

/// An upstream whose first connection serves one request, and then ends: at once, or when the
/// second request has come in.
fn forgetful(reads_second: bool, answered: &Signal) -> RawUpstream {
    let answered = answered.clone();
    RawUpstream::start_counting(move |wire, number| {
        let mut served = 0;
        while let Ok(head) = wire.try_read_head() {
            let body = wire.try_read_request_body(&head).unwrap();
            if number == 0 && served == 1 {
                return;
            }
            let length = body.bytes.len();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ));
            wire.write(&body.bytes);
            served += 1;
            if number == 0 && !reads_second {
                wire.half_close();
                answered.give();
                return;
            }
        }
    })
}

#[test]
fn a_get_on_a_connection_that_has_just_died_is_repeated_silently() {
    for reads_second in [true, false] {
        let answered = Signal::new();
        let upstream = forgetful(reads_second, &answered);
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        assert_eq!(gateway.get("/1").send().status(), 200);
        assert_eq!(gateway.get("/2").send().status(), 200, "{reads_second}");
        assert_eq!(upstream.connections(), 2);
    }
}

#[test]
fn a_post_on_a_connection_that_has_just_died_is_never_sent_twice() {
    for body in ["pay", ""] {
        let upstream = forgetful(true, &Signal::new());
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        assert_eq!(gateway.get("/1").send().status(), 200);
        // The upstream has read all of it, and may have acted on it.
        let response = gateway.post("/2").body(body).send();
        let status = response.status();
        assert!(matches!(status, 200 | 502), "{status}");
        assert_eq!(posts(&upstream), 1, "{body:?}");
    }
}

fn posts(upstream: &RawUpstream) -> usize {
    String::from_utf8_lossy(&upstream.raw())
        .matches("POST /2 ")
        .count()
}

#[test]
fn a_post_finds_out_that_a_kept_connection_was_closed_before_it_is_sent() {
    let closed = Signal::new();
    let upstream = forgetful(false, &closed);
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    assert_eq!(gateway.get("/1").send().status(), 200);
    closed.wait("the upstream has closed the connection");
    let response = gateway.post("/2").body("pay").send();
    assert_eq!((response.status(), response.text()), (200, "pay"));
    assert_eq!(posts(&upstream), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream =
        Upstream::start(|request| Answer::ok(format!("{} {}", request.target(), request.text())));
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write(
        "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n\
         POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntwo\
         POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n\
         HEAD /4 HTTP/1.1\r\nhost: a\r\n\r\n\
         \r\nGET /5 HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    assert_eq!(wire.read_response("GET").text(), "/1 ");
    assert_eq!(wire.read_response("POST").text(), "/2 two");
    assert_eq!(wire.read_response("POST").text(), "/3 three");
    assert_eq!(
        wire.read_response("HEAD").header("content-length"),
        Some("3")
    );
    assert_eq!(wire.read_response("GET").text(), "/5 ");
}

#[test]
fn very_many_pipelined_requests_are_all_answered() {
    let upstream = Upstream::start(|request| Answer::ok(request.target()));
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    let mut requests = String::new();
    for number in 0..1000 {
        let _ = write!(requests, "GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    wire.write(requests);
    for number in 0..1000 {
        assert_eq!(wire.read_response("GET").text(), format!("/{number}"));
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let upstream = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write_byte_by_byte(
        "POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nthree\r\n0\r\nx-end: 1\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    assert_eq!(wire.read_response("POST").text(), "three");
    assert_eq!(wire.read_response("GET").text(), "");
}

#[test]
fn a_client_that_goes_before_the_answer_cancels_the_request() {
    let (arrived, cancelled) = (Signal::new(), Signal::new());
    let upstream = RawUpstream::start({
        let (arrived, cancelled) = (arrived.clone(), cancelled.clone());
        move |wire| {
            let _ = wire.read_head();
            arrived.give();
            let _ = wire.wait_for_close();
            cancelled.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    arrived.wait("the upstream has the request");
    drop(wire);
    cancelled.wait("the upstream sees the end of its connection");
}

#[test]
fn a_client_that_goes_within_the_answer_cancels_it() {
    let cancelled = Signal::new();
    let upstream = RawUpstream::start({
        let cancelled = cancelled.clone();
        move |wire| {
            let _ = wire.read_head();
            wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while wire.try_write("5\r\nevent\r\n").is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            cancelled.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    let _ = wire.read_head();
    assert_eq!(wire.read_chunk().data, b"event");
    drop(wire);
    cancelled.wait("the upstream can't go on");
}

#[test]
fn a_client_that_goes_within_its_body_cancels_the_request() {
    let (arrived, cancelled) = (Signal::new(), Signal::new());
    let upstream = RawUpstream::start({
        let (arrived, cancelled) = (arrived.clone(), cancelled.clone());
        move |wire| {
            let _ = wire.read_head();
            assert_eq!(wire.read_chunk().data, b"first");
            arrived.give();
            assert!(wire.try_read_chunk().is_err(), "the body looks whole");
            cancelled.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    arrived.wait("the upstream has the first chunk");
    drop(wire);
    cancelled.wait("the upstream sees the end of its connection");
}

#[test]
fn close_is_honoured_in_both_versions() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let gateway = Gateway::in_front_of(&upstream).start();
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: x, Close\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let transcript = gateway.raw(request);
        assert_eq!(transcript.end, End::Closed, "{request:?}");
        assert_eq!(transcript.statuses(), [200], "{request:?}");
    }
}

#[test]
fn a_client_of_http_1_0_can_keep_its_connection() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    for _ in 0..2 {
        wire.write("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
        let response = wire.read_response("GET");
        assert_eq!((response.status(), response.text()), (200, "a"));
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let gateway = Gateway::in_front_of(&upstream)
        .server("limits = { idle_timeout = \"300ms\" }")
        .start();
    let mut wire = gateway.connect();
    assert_eq!(gateway.get("/").send_over(&mut wire).status(), 200);
    let rest = wire.read_to_close();
    assert_eq!((rest.text().as_str(), rest.end), ("", End::Closed));
}

#[test]
fn an_exchange_may_take_longer_than_the_idle_timeout() {
    let upstream = Upstream::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(600));
        Answer::ok("late")
    });
    let gateway = Gateway::in_front_of(&upstream)
        .server("limits = { idle_timeout = \"200ms\", header_timeout = \"200ms\" }")
        .start();
    assert_eq!(gateway.get("/").send().text(), "late");
    assert_eq!(gateway.post("/").body("x").send().text(), "late");
}

#[test]
fn a_client_that_takes_nothing_of_its_response_is_let_go() {
    const LENGTH: usize = 64 << 20;
    let cancelled = Signal::new();
    let upstream = RawUpstream::start({
        let cancelled = cancelled.clone();
        move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"
            ));
            // More than all buffers hold: it is taken only if the gateway reads on for nobody.
            assert!(wire.try_write(vec![b'x'; LENGTH]).is_err());
            cancelled.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { idle_timeout = \"300ms\" }")
        .start();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    cancelled.wait("the gateway has hung up on the upstream");
    drop(wire);
}

#[test]
fn the_rest_of_a_refused_body_is_no_request() {
    // Refused before its body is read: a short rest is dropped, and the connection goes on behind it.
    let upstream = Upstream::start(|request| Answer::ok(request.target()));
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route("/a", "a")
        .start();
    let mut wire = gateway.connect();
    let body = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
    wire.write(format!(
        "POST /none HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(wire.read_response("POST").status(), 404);
    wire.write("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_response("GET").status(), 200);
    assert_eq!(upstream.received().len(), 1);
}
