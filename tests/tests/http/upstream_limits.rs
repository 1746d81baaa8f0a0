//! Upstreams and routes that have as much to do as they may have.

use sluicegate_tests::{Gateway, GatewayBuilder, Holding, RawUpstream, Response, wait_until};

fn limited(url: String, lines: &str) -> GatewayBuilder {
    Gateway::new()
        .upstream_with("a", [url], lines)
        .route("/{*rest}", "a")
}

/// An upstream that holds every response back, behind its head, until it is told to go on.
fn holding() -> Holding {
    RawUpstream::holding("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "body")
}

#[track_caller]
fn refused(response: &Response) {
    assert_eq!(response.status(), 503, "{response:?}");
    assert_eq!(
        response.header("proxy-status"),
        Some("sluicegate; error=connection_limit_reached")
    );
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[test]
fn beyond_an_upstreams_connections_and_those_who_wait_is_a_503() {
    let upstream = holding();
    let gateway = limited(
        upstream.url(),
        "limits = { connections = 2, pending = 1 }\ntimeouts = { connect = \"10s\" }",
    )
    .server("workers = 2")
    .start();
    let (mut one, mut two, mut waiting) = (gateway.connect(), gateway.connect(), gateway.connect());
    for wire in [&mut one, &mut two] {
        gateway.get("/").write(wire);
        assert_eq!(wire.read_head().status(), 200);
    }
    // Of two more one waits, whichever it is, and the other one is told so at once.
    gateway.get("/").write(&mut waiting);
    let mut other = gateway.connect();
    gateway.get("/").write(&mut other);
    let patience = std::time::Duration::from_millis(1);
    wait_until("one of them is refused", || {
        if !waiting.peek(patience).is_empty() {
            std::mem::swap(&mut waiting, &mut other);
        }
        !other.peek(patience).is_empty()
    });
    refused(&other.read_response("GET"));
    assert_eq!(upstream.connections(), 2);
    upstream.go_on();
    assert_eq!(one.read_exact(4), b"body");
    assert_eq!(waiting.read_response("GET").text(), "body");
    assert_eq!(two.read_exact(4), b"body");
    assert_eq!(gateway.get("/").send().text(), "body");
}

#[test]
fn who_waits_in_vain_for_a_connection_gets_a_503() {
    let upstream = holding();
    let gateway = limited(
        upstream.url(),
        "limits = { connections = 1 }\ntimeouts = { connect = \"100ms\" }",
    )
    .start();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    assert_eq!(wire.read_head().status(), 200);
    refused(&gateway.get("/").send());
}

#[test]
fn an_upstreams_place_is_free_again_when_a_client_goes_away_or_a_target_breaks() {
    let upstream = holding();
    let broken = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
    });
    for url in [upstream.url(), broken.url()] {
        let gateway = limited(url, "limits = { connections = 1, pending = 0 }").start();
        for _ in 0..3 {
            wait_until("the place is free", || {
                let mut wire = gateway.connect();
                gateway.get("/").write(&mut wire);
                // A response that breaks off at once may not even have a head.
                !matches!(wire.try_read_head(), Ok(head) if head.status() == 503)
            });
        }
    }
}

#[test]
fn beyond_a_routes_concurrency_is_a_503_until_one_ends() {
    let upstream = holding();
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route_with("/narrow", "a", "concurrency = 1")
        .route("/wide", "a")
        .server("workers = 2")
        .start();
    let mut wire = gateway.connect();
    gateway.get("/narrow").write(&mut wire);
    assert_eq!(wire.read_head().status(), 200);
    for _ in 0..4 {
        refused(&gateway.get("/narrow").send());
    }
    let mut other = gateway.connect();
    gateway.get("/wide").write(&mut other);
    assert_eq!(other.read_head().status(), 200);
    upstream.go_on();
    assert_eq!(wire.read_exact(4), b"body");
    wait_until("the place is free", || {
        gateway.get("/narrow").send().status() == 200
    });
}

#[test]
fn a_routes_place_is_free_again_when_a_client_goes_away() {
    let upstream = holding();
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route_with("/", "a", "concurrency = 1")
        .start();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    assert_eq!(wire.read_head().status(), 200);
    refused(&gateway.get("/").send());
    drop(wire);
    upstream.go_on();
    wait_until("the place is free", || {
        gateway.get("/").send().status() == 200
    });
}
