//! Upstreams that are not there, or don't answer.

use sluicegate_tests::{Answer, End, Gateway, RawUpstream, Refusing, Response, Upstream};

#[track_caller]
fn own_answer(response: &Response, status: u16, error: &str) {
    assert_eq!(response.status(), status, "{response:?}");
    let proxy_status = response.header("proxy-status");
    assert_eq!(proxy_status, Some(&*format!("sluicegate; error={error}")));
    assert!(response.header("x-request-id").is_some());
    assert!(!response.body.bytes.is_empty());
    assert!(
        !String::from_utf8_lossy(&response.body.bytes).contains("127.0.0.1"),
        "no address of the inside: {response:?}"
    );
}

#[test]
fn a_target_that_refuses_is_a_502_and_the_others_serve() {
    let refusing = Refusing::start();
    let upstream = Upstream::start(|_| Answer::ok("here"));
    let gateway = Gateway::new()
        .upstream("down", [refusing.url()])
        .upstream("up", [upstream.url()])
        .route("/down", "down")
        .route("/up", "up")
        .start();
    let mut wire = gateway.connect();
    let response = gateway.get("/down").send_over(&mut wire);
    own_answer(&response, 502, "connection_refused");
    // Nothing is wrong with the client's connection.
    assert_eq!(gateway.get("/up").send_over(&mut wire).text(), "here");
    let response = gateway.post("/down").body("unread").send_over(&mut wire);
    own_answer(&response, 502, "connection_refused");
}

#[test]
fn a_name_that_does_not_exist_is_a_502() {
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            ["http://does-not-exist.invalid"],
            "timeouts = { connect = \"8s\" }",
        )
        .route("/{*rest}", "a")
        .start();
    own_answer(&gateway.get("/").send(), 502, "dns_error");
}

#[test]
fn a_silent_upstream_is_a_504() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "timeouts = { response = \"200ms\" }")
        .upstream("b", [upstream.url()])
        .route("/upstream", "a")
        .route_with("/route", "b", "timeout = \"200ms\"")
        .start();
    for (path, error) in [
        ("/upstream", "http_response_timeout"),
        ("/route", "http_response_timeout; details=\"route timeout\""),
    ] {
        let response = gateway.get(path).send();
        own_answer(&response, 504, error);
        let response = gateway.post(path).body("body").send();
        own_answer(&response, 504, error);
    }
}

#[test]
fn a_timeout_is_counted_from_the_last_byte_of_the_request() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "timeouts = { response = \"400ms\" }")
        .route("/{*rest}", "a")
        .start();
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        wire.write_chunk("slowly");
    }
    wire.write("0\r\n\r\n");
    assert_eq!(wire.read_response("POST").status(), 200);
}

#[test]
fn a_target_that_takes_no_connection_in_time_is_a_504() {
    // A queue for one connection, and as many connections as fit: the next one hangs.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let limit = std::time::Duration::from_millis(300);
    let mut filling = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, limit) {
        filling.push(stream);
        assert!(filling.len() < 100, "the queue does not fill up");
    }
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [format!("http://{address}")],
            "timeouts = { connect = \"200ms\" }",
        )
        .route("/{*rest}", "a")
        .route_with("/route", "a", "timeout = \"100ms\"")
        .start();
    own_answer(&gateway.get("/").send(), 504, "connection_timeout");
    let response = gateway.get("/route").send();
    own_answer(
        &response,
        504,
        "http_response_timeout; details=\"route timeout\"",
    );
}

#[test]
fn an_upstream_that_hangs_up_is_a_502() {
    for by_reset in [false, true] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            if by_reset {
                wire.reset_when_dropped();
            }
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let response = gateway.get("/").send();
        own_answer(&response, 502, "connection_terminated");
        let response = gateway.post("/").body("body").send();
        own_answer(&response, 502, "connection_terminated");
        // A fresh connection that breaks is the upstream's failure: not repeated.
        assert_eq!(upstream.connections(), 2);
    }
}

#[test]
fn half_a_head_is_a_502() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ncontent-le");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 502);
}

#[test]
fn the_gateways_own_answers_are_json_for_who_asks_for_it_and_have_no_body_for_head() {
    let refusing = Refusing::start();
    let gateway = Gateway::in_front_of_url(refusing.url()).start();
    let response = gateway.get("/").header("accept", "application/json").send();
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.text().contains("\"status\":502"));
    let mut wire = gateway.connect();
    wire.write("HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(head.status(), 502);
    let rest = wire.read_to_close();
    assert_eq!((rest.text().as_str(), rest.end), ("", End::Closed));
}

#[test]
fn retries_go_on_to_the_next_target_that_takes_a_connection() {
    let refusing = Refusing::start();
    let upstream = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [refusing.url(), upstream.url()],
            "retries = { attempts = 2, on = [\"connect-failure\"] }",
        )
        .route("/{*rest}", "a")
        .start();
    for _ in 0..4 {
        // Nothing has been sent yet when a connection fails: a body is no obstacle.
        let response = gateway.post("/").body("body").send();
        assert_eq!((response.status(), response.text()), (200, "body"));
    }
}
