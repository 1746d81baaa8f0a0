//! Targets that are spoken to in HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use http::{HeaderMap, Request, Response};
use sluicegate_tests::http2::{Http2, Http2Upstream, Reply};
use sluicegate_tests::{Gateway, GatewayBuilder, RawUpstream, wait_until};

fn in_front_of(upstream: &Http2Upstream) -> GatewayBuilder {
    Gateway::new()
        .upstream_with("a", [upstream.url()], "protocol = \"h2\"")
        .route("/{*rest}", "a")
}

#[test]
fn a_request_arrives_whole_and_its_response_comes_back() {
    let upstream = Http2Upstream::start(100, async |request: Request<Vec<u8>>| {
        Reply::ok([b"got ", &**request.body()].concat())
    });
    let gateway = in_front_of(&upstream).start();
    let response = gateway.post("/x?y=1").header("a", "b").body("hello").send();
    assert_eq!((response.status(), response.text()), (200, "got hello"));
    let response = gateway.head("/").send();
    assert_eq!((response.status(), response.text()), (200, ""));
    let received = upstream.received();
    let first = &received[0];
    assert_eq!(first.uri().path_and_query().unwrap(), "/x?y=1");
    assert_eq!(
        first.uri().authority().unwrap().as_str(),
        &upstream.url()[7..]
    );
    assert_eq!(first.headers()["a"], "b");
    assert_eq!(first.headers()["content-length"], "5");
    assert_eq!(first.headers().get("host"), None);
    assert!(first.headers().contains_key("x-forwarded-for"));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn many_exchanges_share_a_connection_and_more_than_it_takes_share_two() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let upstream = Http2Upstream::start(10, {
        let waiting = Arc::clone(&waiting);
        move |_| {
            let waiting = Arc::clone(&waiting);
            async move {
                waiting.fetch_add(1, Ordering::SeqCst);
                while waiting.load(Ordering::SeqCst) < 15 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Reply::ok("ok")
            }
        }
    });
    let gateway = in_front_of(&upstream).start();
    // The first one learns how many streams the target takes.
    waiting.store(100, Ordering::SeqCst);
    gateway.get("/").send();
    waiting.store(0, Ordering::SeqCst);
    let clients: Vec<_> = (0..15)
        .map(|_| {
            let request = gateway.get("/");
            std::thread::spawn(move || request.send().status())
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn who_comes_while_a_connection_is_being_made_waits_for_it() {
    let upstream = Http2Upstream::start(100, async |_| Reply::ok("ok"));
    let gateway = in_front_of(&upstream).start();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let request = gateway.get("/");
            std::thread::spawn(move || request.send().status())
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn what_a_target_has_not_worked_on_is_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Http2Upstream::start(100, {
        let count = Arc::clone(&count);
        move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                if number == 1 {
                    Reply::Reset(Reason::REFUSED_STREAM)
                } else {
                    Reply::ok("ok")
                }
            }
        }
    });
    let gateway = in_front_of(&upstream).start();
    gateway.get("/").send();
    let response = gateway.post("/").body("").send();
    assert_eq!((response.status(), response.text()), (200, "ok"));
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn what_a_target_may_have_worked_on_is_not() {
    for last in [|| Reply::GoAway, || Reply::Reset(Reason::INTERNAL_ERROR)] {
        let count = Arc::new(AtomicUsize::new(0));
        let upstream = Http2Upstream::start(100, {
            let count = Arc::clone(&count);
            move |_| {
                let number = count.fetch_add(1, Ordering::SeqCst);
                async move { if number == 1 { last() } else { Reply::ok("ok") } }
            }
        });
        let gateway = in_front_of(&upstream).start();
        gateway.get("/").send();
        assert_eq!(gateway.post("/").body("once").send().status(), 502);
        assert_eq!(count.load(Ordering::SeqCst), 2);
        // And the next one finds a connection.
        assert_eq!(gateway.get("/").send().status(), 200);
    }
}

#[test]
fn trailers_pass_between_two_sides_of_http_2_without_having_been_announced() {
    let upstream = Http2Upstream::start(100, async |_| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("content-length", "7".parse().unwrap());
        Reply::Answer {
            head: Box::default(),
            body: "message".into(),
            trailers: Some(trailers),
        }
    });
    let gateway = in_front_of(&upstream).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::post("http://a/").header("te", "trailers").body(());
        let response = client.send(request.unwrap(), "x").await;
        assert_eq!(response.text(), "message");
        let trailers = response.trailers.unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers.len(), 1);
    });
    assert_eq!(upstream.received()[0].headers()["te"], "trailers");
}

#[test]
fn a_large_body_passes_in_both_directions() {
    let upstream = Http2Upstream::start(100, async |request: Request<Vec<u8>>| {
        Reply::ok(request.into_body())
    });
    let gateway = in_front_of(&upstream).start();
    let body: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let response = gateway.post("/").body(&body).send();
    assert_eq!(response.status(), 200);
    assert!(response.body.bytes == body);
}

#[test]
fn a_target_that_speaks_http_1_is_a_502() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.try_read_head();
        let _ = wire.try_write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "protocol = \"h2\"")
        .route("/{*rest}", "a")
        .start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 502);
}

#[test]
fn a_target_that_does_not_answer_in_time_gets_no_more_requests_over_that_connection() {
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Http2Upstream::start(100, {
        let count = Arc::clone(&count);
        move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                if number == 0 {
                    std::future::pending::<()>().await;
                }
                Reply::ok("ok")
            }
        }
    });
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [upstream.url()],
            "protocol = \"h2\"\ntimeouts = { response = \"200ms\" }",
        )
        .route("/{*rest}", "a")
        .start();
    assert_eq!(gateway.get("/").send().status(), 504);
    assert_eq!(gateway.get("/").send().status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_upgrade_goes_to_the_same_target_in_http_1() {
    let upstream = RawUpstream::start(|wire| {
        let head = wire.read_head();
        assert_eq!(head.header("upgrade"), Some("x"));
        wire.write(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhi",
        );
        let _ = wire.try_read_head();
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "protocol = \"h2\"")
        .route("/{*rest}", "a")
        .start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(wire.read_exact(2), b"hi");
    wait_until("it was one connection", || upstream.connections() == 1);
}

#[test]
fn health_checks_speak_what_requests_speak() {
    let upstream = Http2Upstream::start(100, async |request: Request<Vec<u8>>| {
        let mut head = Box::new(Response::new(()));
        if request.uri().path() == "/healthz" {
            *head.status_mut() = http::StatusCode::NO_CONTENT;
        }
        Reply::Answer {
            head,
            body: "".into(),
            trailers: None,
        }
    });
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [upstream.url()],
            "protocol = \"h2\"\nhealth = { path = \"/healthz\", interval = \"20ms\", status = 204 }",
        )
        .route("/{*rest}", "a")
        .start();
    wait_until("the target has been checked", || {
        upstream.received().len() >= 3
    });
    let received = upstream.received();
    assert!(
        received
            .iter()
            .all(|request| request.uri().path() == "/healthz")
    );
    assert_eq!(received[0].headers()["user-agent"], "sluicegate-health");
    assert_eq!(gateway.get("/").send().status(), 200);
}

/// Far more than all buffers between two ends of the gateway hold.
const LARGE: usize = 64 << 20;

#[test]
fn clients_that_read_nothing_do_not_stop_the_others_of_their_connection() {
    let large = bytes::Bytes::from(vec![b'x'; LARGE]);
    let upstream = Http2Upstream::start(100, move |request: Request<Vec<u8>>| {
        let large = large.clone();
        async move {
            match request.uri().path() {
                "/large" => Reply::ok(large),
                _ => Reply::ok("small"),
            }
        }
    });
    let gateway = in_front_of(&upstream).start();
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut wire = gateway.connect();
        wire.write("GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(wire.read_head().status(), 200);
        stalled.push(wire);
    }
    for _ in 0..20 {
        assert_eq!(gateway.get("/").send().text(), "small");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_target_that_resets_every_stream_is_asked_twice_at_most() {
    for (reason, method) in [
        (Reason::REFUSED_STREAM, "POST"),
        (Reason::INTERNAL_ERROR, "GET"),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let upstream = Http2Upstream::start(100, {
            let count = Arc::clone(&count);
            move |_| {
                let number = count.fetch_add(1, Ordering::SeqCst);
                async move {
                    if number == 0 {
                        Reply::ok("ok")
                    } else {
                        Reply::Reset(reason)
                    }
                }
            }
        });
        let gateway = in_front_of(&upstream).start();
        gateway.get("/").send();
        assert_eq!(gateway.request(method, "/").send().status(), 502);
        let sent = count.load(Ordering::SeqCst) - 1;
        // Only what was not worked on is sent again.
        assert_eq!(sent, if method == "POST" { 2 } else { 1 }, "{reason:?}");
    }
}

#[test]
fn a_switch_of_protocols_over_http_2_is_a_502_and_never_passed_on() {
    let upstream = RawUpstream::start(|wire| {
        // A connection preface, SETTINGS, and HEADERS with status 101 for stream 1.
        let _ = wire.read_exact(24);
        wire.write(b"\0\0\0\x04\0\0\0\0\0");
        wire.write(b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03101");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "protocol = \"h2\"")
        .route("/{*rest}", "a")
        .start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_head().status(), 502);
}

#[test]
fn a_client_whose_own_time_is_up_is_no_failure_of_the_target() {
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Http2Upstream::start(100, {
        let count = Arc::clone(&count);
        move |request: Request<Vec<u8>>| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                if request.uri().path() == "/late" {
                    std::future::pending::<()>().await;
                }
                Reply::ok("ok")
            }
        }
    });
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [upstream.url()],
            "protocol = \"h2\"\noutliers = { failures = 2, max_ejected = 1.0 }",
        )
        .route("/{*rest}", "a")
        .start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        for _ in 0..5 {
            let request = Request::post("http://a/late")
                .header("content-type", "application/grpc")
                .header("grpc-timeout", "20m")
                .body(());
            let response = client.send(request.unwrap(), "x").await;
            assert_eq!(response.header("grpc-status"), Some("4"));
        }
        assert_eq!(client.get("http://a/").await.status(), 200);
    });
    assert_eq!(upstream.connections(), 1);
    let running = gateway.running().snapshot();
    assert_eq!(running.upstreams[0].ejections(0), 0);
}

#[test]
fn more_than_a_new_connection_takes_at_once_wait_for_another() {
    let upstream = Http2Upstream::start(100, async |_| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Reply::ok("ok")
    });
    let gateway = in_front_of(&upstream).start();
    let clients: Vec<_> = (0..150)
        .map(|_| {
            let request = gateway.get("/");
            std::thread::spawn(move || request.send().status())
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
}
