//! HTTP proxies that answer oddly.

use std::time::{Duration, Instant};

use sluicegate_tests::{
    Answer, Gateway, GatewayBuilder, RawUpstream, Refusing, Response, Signal, Upstream, Wire,
    wait_until,
};

/// A target that nobody may connect to except through a proxy.
const TARGET: &str = "http://origin.invalid:8080/base";
/// "user:pass" of RFC 7617.
const CREDENTIALS: &str = "Basic dXNlcjpwYXNz";

fn through(proxy: &str, lines: &str) -> GatewayBuilder {
    Gateway::new()
        .upstream_with("a", [TARGET], &format!("via = \"{proxy}\"\n{lines}"))
        .route("/{*rest}", "a")
}

/// Host and port with credentials in front of them.
fn with_credentials(url: &str) -> String {
    url.replace("http://", "http://user:pass@")
}

/// Reads a CONNECT, answers it with `answer`, and serves one request through the tunnel where `serves`.
fn tunnelling(answer: &'static str, serves: bool) -> RawUpstream {
    RawUpstream::start(move |wire| {
        if wire.try_read_head().is_err() {
            return;
        }
        wire.write(answer);
        if serves {
            serve(wire);
        }
    })
}

fn serve(wire: &mut Wire) {
    while wire.try_read_head().is_ok() {
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthere!");
    }
}

/// The gateway says that it is the proxy's fault.
#[track_caller]
fn refused(response: &Response, proxy: &RawUpstream, error: &str, rest: &str) {
    let next_hop = proxy.address();
    let expected = format!("sluicegate; error={error}; next-hop=\"{next_hop}\"{rest}");
    assert_eq!(response.status(), 502, "{response:?}");
    assert_eq!(response.header("proxy-status"), Some(&*expected));
    assert_eq!(response.header("proxy-authenticate"), None);
}

#[test]
fn requests_to_http_targets_go_in_absolute_form() {
    let proxy = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = through(&with_credentials(&proxy.url()), "").start();
    for (method, body) in [("GET", ""), ("GET", ""), ("POST", "body")] {
        let response = gateway
            .request(method, "/x/?q=1")
            .host("client.example")
            .header("proxy-authorization", "Basic Y2xpZW50")
            .header("proxy-connection", "keep-alive")
            .header("proxy-features", "x")
            .header("x-mine", "kept")
            .body(body)
            .send();
        assert_eq!((response.status(), response.text()), (200, body));
    }
    let received = proxy.received();
    assert_eq!(received.len(), 3);
    for request in received {
        let expected = "http://origin.invalid:8080/base/x/?q=1";
        assert_eq!(request.target(), expected);
        assert_eq!(request.headers("host"), ["origin.invalid:8080"]);
        assert_eq!(request.headers("proxy-authorization"), [CREDENTIALS]);
        assert_eq!(request.header("x-mine"), Some("kept"));
        for name in ["proxy-connection", "proxy-features"] {
            assert_eq!(request.header(name), None, "{name}");
        }
        assert_eq!(request.connection, 0);
    }
}

#[test]
fn a_proxy_that_closes_each_connection_and_does_not_say_so_loses_no_request() {
    let proxy = RawUpstream::start(|wire| {
        let Ok(head) = wire.try_read_head() else {
            return;
        };
        let body = wire.try_read_request_body(&head).unwrap();
        let length = body.bytes.len();
        wire.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ));
        wire.write(body.bytes);
        // It closes when the next request is on its way.
        let _ = wire.try_read_exact(1);
    });
    // A connection that stays open for a while is taken for one that stays open; here it has not the time to.
    wait_until("this machine is fast enough for one try", || {
        let gateway = through(&proxy.url(), "").start();
        let began = Instant::now();
        // The second one can be sent again when its connection closes.
        for _ in 0..2 {
            assert_eq!(gateway.get("/").send().status(), 200);
        }
        let response = gateway.post("/").body("once").send();
        let is_fast = began.elapsed() < Duration::from_millis(500);
        if is_fast {
            assert_eq!((response.status(), response.text()), (200, "once"));
        }
        is_fast
    });
}

#[test]
fn the_clients_host_is_not_what_a_proxy_connects_to() {
    let proxy = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::new()
        .upstream_with("a", [TARGET], &format!("via = \"{}\"", proxy.url()))
        .route_with("/{*rest}", "a", "preserve_host = true")
        .start();
    let response = gateway.get("/").host("evil.example").send();
    assert_eq!(response.status(), 200);
    assert_eq!(proxy.only().target(), "http://origin.invalid:8080/base/");
    assert_eq!(proxy.only().header("host"), Some("origin.invalid:8080"));
    assert_eq!(proxy.only().header("proxy-authorization"), None);
}

#[test]
fn via_mode_connect_opens_a_tunnel_and_keeps_it() {
    let proxy = tunnelling("HTTP/1.1 200 Connection established\r\n\r\n", true);
    let gateway = through(
        &with_credentials(&proxy.url()),
        "via_mode = \"connect\"\nhealth = { path = \"/healthz\", interval = \"1h\" }",
    )
    .start();
    for _ in 0..2 {
        let request = gateway.get("/x").header("proxy-authorization", "mine");
        assert_eq!(request.send().text(), "there!");
    }
    let raw = String::from_utf8(proxy.raw()).unwrap();
    let head = |start: &str| {
        let from = raw.find(start).unwrap_or_else(|| panic!("{raw}"));
        let end = raw[from..].find("\r\n\r\n").unwrap();
        raw[from..from + end].to_ascii_lowercase()
    };
    // Requests and checks have a tunnel each.
    let asked = format!(
        "CONNECT origin.invalid:8080 HTTP/1.1\r\nhost: origin.invalid:8080\r\nproxy-authorization: {CREDENTIALS}\r\n\r\n"
    );
    assert_eq!(raw.matches(&asked).count(), 2, "{raw}");
    assert_eq!(proxy.connections(), 2);
    for start in ["GET /base/x HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\n"] {
        let head = head(start);
        assert!(head.contains("host: origin.invalid:8080"), "{head}");
        assert!(!head.contains("proxy-"), "{head}");
    }
    assert_eq!(raw.matches("GET /base/x").count(), 2);
}

#[test]
fn any_2xx_is_a_tunnel_and_what_it_says_of_a_body_means_nothing() {
    for answer in [
        "HTTP/1.0 200 x\r\n\r\n",
        "HTTP/1.1 201 Created\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let proxy = tunnelling(answer, true);
        let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
        assert_eq!(gateway.get("/").send().text(), "there!", "{answer}");
    }
}

#[test]
fn an_answer_may_come_byte_by_byte_and_be_long() {
    let filler = format!("x-filler: {}\r\n", "y".repeat(1014)).repeat(9);
    assert!(filler.len() >= 9 * 1024);
    let proxy = RawUpstream::start(move |wire| {
        let _ = wire.read_head();
        wire.write_byte_by_byte("HTTP/1.1 200 OK\r\nserver: slow\r\n\r\n");
        serve(wire);
    });
    let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
    assert_eq!(gateway.get("/").send().text(), "there!");
    let proxy = RawUpstream::start(move |wire| {
        let _ = wire.read_head();
        wire.write(format!("HTTP/1.1 200 OK\r\n{filler}\r\n"));
        serve(wire);
    });
    let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
    assert_eq!(gateway.get("/").send().text(), "there!");
}

#[test]
fn bytes_behind_the_proxys_head_are_the_targets() {
    // The proxy has read ahead, and sends the answer with its own.
    let proxy = tunnelling(
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly",
        false,
    );
    let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
    assert_eq!(gateway.get("/").send().text(), "early");
}

#[test]
fn a_407_is_the_gateways_failure_and_never_passed_on() {
    for (mode, proxy_closes) in [("auto", false), ("auto", true), ("connect", true)] {
        let proxy = RawUpstream::start(move |wire| {
            while wire.try_read_head().is_ok() {
                wire.write("HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"inside\"\r\ncontent-length: 6\r\n\r\nsecret");
                if proxy_closes {
                    return;
                }
            }
        });
        for url in [proxy.url(), with_credentials(&proxy.url())] {
            let gateway = through(&url, &format!("via_mode = \"{mode}\"")).start();
            for _ in 0..2 {
                let response = gateway.get("/").send();
                refused(
                    &response,
                    &proxy,
                    "proxy_configuration_error",
                    "; received-status=407",
                );
                assert!(!response.text().contains("secret"));
            }
        }
    }
}

#[test]
fn a_targets_own_407_comes_through_a_tunnel() {
    let proxy = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\n\r\n");
        let _ = wire.read_head();
        wire.write("HTTP/1.1 407 x\r\ncontent-length: 0\r\n\r\n");
    });
    let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
    assert_eq!(gateway.get("/").send().status(), 407);
}

#[test]
fn a_tunnel_that_is_refused_is_a_502_with_the_proxys_status() {
    for (status, error) in [
        (403, "http_request_denied"),
        (503, "destination_unavailable"),
        (302, "destination_unavailable"),
    ] {
        let proxy = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nno"
            ));
        });
        let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
        let rest = format!("; received-status={status}");
        refused(&gateway.get("/").send(), &proxy, error, &rest);
        // Nothing is tried in another way.
        assert_eq!(proxy.connections(), 1);
        assert!(proxy.raw().starts_with(b"CONNECT "));
    }
}

#[test]
fn a_proxy_that_is_no_proxy_is_a_502() {
    for (answer, error) in [
        ("SSH-2.0-x\r\n", "http_protocol_error"),
        ("\u{5}\u{0}", "http_protocol_error"),
        ("HTTP/1.1 2", "connection_terminated"),
        ("", "connection_terminated"),
    ] {
        let proxy = tunnelling(answer, false);
        let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
        refused(&gateway.get("/").send(), &proxy, error, "");
    }
    let proxy = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.reset_when_dropped();
    });
    let gateway = through(&proxy.url(), "via_mode = \"connect\"").start();
    let response = gateway.get("/").send();
    refused(&response, &proxy, "connection_terminated", "");
}

#[test]
fn a_proxy_that_is_silent_or_floods_is_waited_for_no_longer_than_for_a_connection() {
    let done = Signal::new();
    let silent = RawUpstream::start({
        let done = done.clone();
        move |wire| {
            let _ = wire.read_head();
            done.wait("the test ends");
        }
    });
    let lines = "via_mode = \"connect\"\ntimeouts = { connect = \"200ms\" }";
    let gateway = through(&silent.url(), lines).start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 504);
    let status = response.header("proxy-status");
    assert_eq!(status, Some("sluicegate; error=connection_timeout"));
    done.give();
    let flooding = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        while wire.try_write("HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    });
    let gateway = through(&flooding.url(), "via_mode = \"connect\"").start();
    let response = gateway.get("/").send();
    refused(&response, &flooding, "http_protocol_error", "");
}

#[test]
fn a_proxy_that_is_not_there_is_a_502() {
    let refusing = Refusing::start();
    for mode in ["auto", "connect"] {
        let gateway = through(&refusing.url(), &format!("via_mode = \"{mode}\"")).start();
        let response = gateway.get("/").send();
        assert_eq!(response.status(), 502);
        let status = response.header("proxy-status").unwrap();
        let address = refusing.url().replace("http://", "");
        let expected = format!("sluicegate; error=connection_refused; next-hop=\"{address}\"");
        assert_eq!(status, expected);
    }
    let gateway = through("http://does-not-exist.invalid:3128", "").start();
    let response = gateway.get("/").send();
    let status = response.header("proxy-status").unwrap();
    assert_eq!(
        status,
        "sluicegate; error=dns_error; next-hop=\"does-not-exist.invalid:3128\""
    );
}

#[test]
fn upgrades_go_through_a_tunnel_and_requests_after_a_refused_one_are_as_that_tunnel_wants_them() {
    let proxy = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            if head.method() == "CONNECT" {
                wire.write("HTTP/1.1 200 OK\r\n\r\n");
                continue;
            }
            let line = head.start_line.clone();
            let credentials = head.header("proxy-authorization").unwrap_or("none");
            let body = format!("{line} {credentials}");
            let length = body.len();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        }
    });
    let gateway = through(&with_credentials(&proxy.url()), "").start();
    let plain = format!("GET http://origin.invalid:8080/base/x HTTP/1.1 {CREDENTIALS}");
    assert_eq!(gateway.get("/x").send().text(), plain);
    let asking = gateway
        .get("/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    // The target does not switch: the answer comes from it, not from the proxy.
    assert_eq!(asking.send().text(), "GET /base/ws HTTP/1.1 none");
    assert_eq!(proxy.connections(), 2);
    // Both connections are kept, and each gets what it can take.
    let mut answers = Vec::new();
    wait_until("the tunnel is used again", || {
        answers.push(gateway.get("/x").send().text().to_owned());
        answers.last().unwrap() == "GET /base/x HTTP/1.1 none" || answers.len() > 20
    });
    assert!(answers.len() <= 20, "{answers:?}");
    assert_eq!(proxy.connections(), 2);
    let raw = String::from_utf8(proxy.raw()).unwrap();
    for head in raw
        .split("\r\n\r\n")
        .filter(|head| head.starts_with("GET /"))
    {
        assert!(!head.contains("proxy-authorization"), "{head}");
    }
}

#[test]
fn no_proxy_targets_are_connected_to_directly() {
    let upstream = Upstream::start(|_| Answer::ok("direct"));
    let proxy = Upstream::start(|_| Answer::ok("proxy"));
    for (list, expected) in [
        ("\"127.0.0.0/8\"", "direct"),
        ("\"*\"", "direct"),
        ("\"127.0.0.1:1\", \"10.0.0.0/8\", \"localhost\"", "proxy"),
    ] {
        let gateway = Gateway::new()
            .upstream_with(
                "a",
                [upstream.url()],
                &format!("via = \"{}\"\nno_proxy = [{list}]", proxy.url()),
            )
            .route("/{*rest}", "a")
            .start();
        assert_eq!(gateway.get("/").send().text(), expected, "{list}");
    }
}

#[test]
fn health_checks_go_the_same_way() {
    let proxy = Upstream::start(|_| Answer::ok("ok"));
    let gateway = through(
        &with_credentials(&proxy.url()),
        "health = { path = \"/healthz\", interval = \"1h\" }",
    )
    .start();
    let check = proxy.wait_for(1).remove(0);
    assert_eq!(check.target(), "http://origin.invalid:8080/healthz");
    assert_eq!(check.header("host"), Some("origin.invalid:8080"));
    assert_eq!(check.header("proxy-authorization"), Some(CREDENTIALS));
    drop(gateway);
    // One that only connects needs a tunnel: that the proxy is there says nothing of the target.
    let proxy = tunnelling("HTTP/1.1 503 x\r\n\r\n", false);
    let gateway = through(
        &proxy.url(),
        "health = { connect = true, interval = \"10ms\", unhealthy = 1 }",
    )
    .start();
    let is_down = || {
        let snapshot = gateway.running().snapshot();
        snapshot
            .upstreams
            .iter()
            .any(|upstream| upstream.is_down(0))
    };
    wait_until("the target is down", is_down);
}

#[test]
fn credentials_are_never_in_messages() {
    let refusing = Refusing::start();
    let url = refusing.url().replace("http://", "http://ann:hunter2@");
    let gateway = through(&url, "").start();
    let response = gateway.get("/").send();
    assert!(!format!("{response:?}").contains("hunter2"));
    assert!(!format!("{:?}", gateway.running().snapshot().upstreams).contains("hunter2"));
    let error = through("http://ann:hunter2@h:x", "")
        .try_start()
        .unwrap_err();
    assert!(error.contains("via: found a port"), "{error}");
    assert!(
        !error.contains("hunter2") && !error.contains("ann"),
        "{error}"
    );
}

#[test]
fn a_slow_tunnel_is_a_part_of_connecting() {
    let proxy = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        // Longer than the limit for a response, shorter than that for a connection.
        std::thread::sleep(Duration::from_millis(300));
        wire.write("HTTP/1.1 200 OK\r\n\r\n");
        serve(wire);
    });
    let lines = "via_mode = \"connect\"\ntimeouts = { connect = \"10s\", response = \"250ms\" }";
    let gateway = through(&proxy.url(), lines).start();
    assert_eq!(gateway.get("/").send().text(), "there!");
}
