//! What the gateway refuses because of its own limits and routes.

use std::time::Duration;

use sluicegate_tests::{Answer, End, Gateway, GatewayBuilder, Transcript, Upstream, wait_until};

fn limited(upstream: &Upstream, limits: &str) -> GatewayBuilder {
    Gateway::in_front_of(upstream).server(&format!("limits = {{ {limits} }}"))
}

/// One answer that says goodbye, and then the connection's end.
#[track_caller]
fn refused(transcript: &Transcript, status: u16) {
    assert_eq!(transcript.statuses(), [status], "{}", transcript.text());
    assert_eq!(transcript.end, End::Closed);
    let text = transcript.text().to_ascii_lowercase();
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    assert!(
        text.contains("\r\nproxy-status: sluicegate; error="),
        "{text}"
    );
    assert!(text.contains("\r\nx-request-id: "), "{text}");
}

#[test]
fn no_route_is_a_404_and_a_wrong_method_a_405_with_allow() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route_with("/a", "a", "methods = [\"GET\", \"POST\"]")
        .route_with("/b", "a", "host = \"b.example\"")
        .start();
    let mut wire = gateway.connect();
    let response = gateway.get("/nothing").send_over(&mut wire);
    assert_eq!(response.status(), 404);
    assert!(response.header("proxy-status").is_some());
    let response = gateway.get("/b").send_over(&mut wire);
    assert_eq!(response.status(), 404, "another host");
    let response = gateway.get("/b").host("B.example.:80").send_over(&mut wire);
    assert_eq!(response.status(), 200);
    let response = gateway.request("DELETE", "/a").send_over(&mut wire);
    assert_eq!(response.status(), 405);
    let allow = response.header("allow").unwrap_or_default();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    // A refused body must not be read as the next request.
    wire.write(
        "PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 37\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nhost: abcd\r\n\r\n",
    );
    assert_eq!(wire.read_response("PUT").status(), 405);
    let paths: Vec<String> = upstream
        .received()
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert_eq!(paths, ["/b"]);
}

#[test]
fn a_body_that_is_known_to_be_too_long_is_a_413_and_not_forwarded() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "body_bytes = \"1KiB\"").start();
    assert_eq!(gateway.post("/").body([b'x'; 1024]).send().status(), 200);
    let response = gateway.post("/").body([b'x'; 1025]).send();
    assert_eq!(response.status(), 413);
    let mut wire = gateway.connect();
    wire.write(
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 99999\r\n\r\n",
    );
    let response = wire.read_response("POST");
    assert_eq!(response.status(), 413);
    assert!(response.interim.is_empty());
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_body_that_turns_out_to_be_too_long_is_a_413_and_never_looks_whole() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "body_bytes = \"1KiB\"").start();
    let within = gateway.post("/").chunks([[b'x'; 512], [b'x'; 512]]);
    assert_eq!(within.send().status(), 200);
    let beyond = gateway
        .post("/")
        .chunks([[b'x'; 512], [b'x'; 512], [b'x'; 512]]);
    assert_eq!(beyond.send().status(), 413);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn too_many_connections_are_a_503_until_one_ends() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "connections = 2").start();
    let (mut one, mut two) = (gateway.connect(), gateway.connect());
    assert_eq!(gateway.get("/").send_over(&mut one).status(), 200);
    assert_eq!(gateway.get("/").send_over(&mut two).status(), 200);
    let mut third = gateway.connect();
    let response = third.read_response("GET");
    assert_eq!(response.status(), 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(third.read_to_close().bytes, b"");
    drop(one);
    wait_until("there is room again", || {
        let mut wire = gateway.connect();
        gateway.get("/").write(&mut wire);
        wire.try_read_response("GET")
            .is_ok_and(|response| response.status() == 200)
    });
    assert_eq!(gateway.get("/").send_over(&mut two).status(), 200);
}

#[test]
fn a_head_that_is_too_large_is_a_431() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "header_bytes = \"2KiB\", headers = 10").start();
    let filler = "a".repeat(3000);
    for head in [
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {filler}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {filler}"),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{filler}"),
        format!("GET /{filler} HTTP/1.1\r\nhost: a\r\n\r\n"),
        filler.clone(),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(10)),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}", "x: y\r\n".repeat(10)),
    ] {
        refused(&gateway.raw(&head), 431);
    }
    let fits = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(9));
    let mut wire = gateway.connect();
    wire.write(fits);
    assert_eq!(wire.read_response("GET").status(), 200);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn the_default_limits_take_what_browsers_send_and_refuse_a_flood() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::in_front_of(&upstream).start();
    let cookie = "c".repeat(60_000);
    let response = gateway.get("/").header("cookie", &cookie).send();
    assert_eq!(response.status(), 200);
    assert_eq!(upstream.only().header("cookie"), Some(&*cookie));
    let flood = "x: y\r\n".repeat(200_000);
    refused(
        &gateway.raw(format!("GET / HTTP/1.1\r\nhost: a\r\n{flood}")),
        431,
    );
}

#[test]
fn a_head_that_takes_too_long_is_a_408() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "header_timeout = \"300ms\"").start();
    refused(&gateway.raw("GET / HTTP/1.1\r\nhost: a\r\nx: y"), 408);
    refused(&gateway.raw("G"), 408);
    // A byte now and then does not win more time.
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\nx: ");
    wait_until("the gateway loses its patience", || {
        std::thread::sleep(Duration::from_millis(20));
        wire.try_write("y").is_err() || !wire.peek(Duration::from_millis(1)).is_empty()
    });
    assert_eq!(wire.read_head().status(), 408);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_second_head_that_takes_too_long_is_a_408_as_well() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "header_timeout = \"300ms\"").start();
    let transcript =
        gateway.raw("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n");
    assert_eq!(transcript.statuses(), [200, 408], "{}", transcript.text());
    assert_eq!(upstream.only().target(), "/1");
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_closed_without_a_word() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "header_timeout = \"300ms\"").start();
    let transcript = gateway.raw("");
    assert_eq!(
        (transcript.text().as_str(), transcript.end),
        ("", End::Closed)
    );
    let transcript = gateway.raw("\r\n\r\n");
    assert_eq!(
        (transcript.text().as_str(), transcript.end),
        ("", End::Closed)
    );
}

#[test]
fn a_body_that_stops_coming_is_a_408_and_never_looks_whole() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = limited(&upstream, "idle_timeout = \"300ms\"").start();
    for begun in [
        "content-length: 10\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let transcript = gateway.raw(format!("POST / HTTP/1.1\r\nhost: a\r\n{begun}"));
        assert_eq!(transcript.statuses(), [408], "{}", transcript.text());
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn other_versions_are_a_505_and_connect_and_unknown_codings_a_501() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::in_front_of(&upstream).start();
    for line in [
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / HTTP/0.9",
        "GET / HTTP/3.0",
    ] {
        refused(&gateway.raw(format!("{line}\r\nhost: a\r\n\r\n")), 505);
    }
    refused(
        &gateway.raw("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n"),
        501,
    );
    refused(
        &gateway
            .raw("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        501,
    );
    assert_eq!(upstream.connections(), 0);
}
