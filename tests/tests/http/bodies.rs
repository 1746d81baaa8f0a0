//! Bodies: how their lengths and trailers pass, and which responses have none.

use sluicegate_tests::{Answer, Gateway, RawUpstream, Upstream, Wire};

const MIB: usize = 1 << 20;

/// FNV-1a: enough to see a byte that is lost, doubled or out of order.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// So many bytes that do not repeat at a power of two.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn large_bodies_arrive_whole_in_both_directions() {
    let body = sample(64 * MIB);
    let upstream = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            let length: usize = head.header("content-length").unwrap().parse().unwrap();
            let body = wire.read_exact(length);
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-sum: {}\r\n\r\n",
                checksum(&body)
            ));
            wire.write(body);
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let response = gateway.post("/").body(&body).send();
    let sum = checksum(&body).to_string();
    assert_eq!(response.header("x-sum"), Some(&*sum));
    assert!(response.body.bytes == body);
}

#[test]
fn large_chunked_bodies_arrive_whole_in_both_directions() {
    let body = sample(64 * MIB);
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let body = wire.try_read_chunked().unwrap().bytes;
        wire.write(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-sum: {}\r\n\r\n",
            checksum(&body)
        ));
        for piece in body.chunks(999_983) {
            wire.write_chunk(piece);
        }
        wire.write("0\r\n\r\n");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let response = gateway.post("/").chunks(body.chunks(1_000_003)).send();
    let sum = checksum(&body).to_string();
    assert_eq!(response.header("x-sum"), Some(&*sum));
    assert!(response.body.bytes == body);
}

#[test]
fn framing_is_passed_on_as_it_came() {
    let upstream = Upstream::start(|request| match request.target() {
        "/length" => Answer::ok("four"),
        _ => Answer::status(200).chunks(["fo", "ur"]),
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let known = gateway.post("/length").body("four").send();
    assert_eq!(known.headers("content-length"), ["4"]);
    assert_eq!(known.header("transfer-encoding"), None);
    let streamed = gateway.post("/chunked").chunks(["fo", "ur"]).send();
    assert_eq!(streamed.headers("transfer-encoding"), ["chunked"]);
    assert_eq!(streamed.header("content-length"), None);
    assert_eq!(streamed.text(), "four");
    let received = upstream.received();
    assert_eq!(received[0].headers("content-length"), ["4"]);
    assert_eq!(received[0].header("transfer-encoding"), None);
    assert_eq!(received[1].headers("transfer-encoding"), ["chunked"]);
    assert_eq!(received[1].header("content-length"), None);
    assert_eq!(received[1].text(), "four");
}

#[test]
fn a_post_without_a_body_does_not_get_one() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    assert_eq!(gateway.post("/").body("").send().status(), 200);
    assert_eq!(gateway.post("/").send().status(), 200);
    let received = upstream.received();
    assert_eq!(received[0].headers("content-length"), ["0"]);
    assert_eq!(received[1].header("content-length"), None);
    for received in received {
        assert_eq!(received.header("transfer-encoding"), None);
    }
}

#[test]
fn a_get_with_a_body_keeps_it() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    gateway.get("/").body("query").send();
    gateway.get("/").chunks(["que", "ry"]).send();
    for received in upstream.received() {
        assert_eq!(received.text(), "query");
    }
}

/// Sends a request, then a second one over the same connection, which must be answered as usual.
#[track_caller]
fn then_another(wire: &mut Wire, request: &str, method: &str) -> sluicegate_tests::Response {
    wire.write(request);
    let first = wire.read_response(method);
    wire.write("GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    let second = wire.read_response("GET");
    assert_eq!((second.status(), second.text()), (200, "next"));
    first
}

#[test]
fn a_head_response_has_the_length_but_not_the_body() {
    let upstream = Upstream::start(|request| match request.target() {
        "/length" => Answer::ok("hello"),
        "/chunked" => Answer::status(200).chunks(["hello"]),
        _ => Answer::ok("next"),
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    let response = then_another(
        &mut wire,
        "HEAD /length HTTP/1.1\r\nhost: a\r\n\r\n",
        "HEAD",
    );
    assert_eq!(response.headers("content-length"), ["5"]);
    let response = then_another(
        &mut wire,
        "HEAD /chunked HTTP/1.1\r\nhost: a\r\n\r\n",
        "HEAD",
    );
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-length"), None);
    assert_eq!(upstream.received()[0].method(), "HEAD");
}

#[test]
fn responses_without_bodies_leave_the_connection_usable() {
    let upstream = Upstream::start(|request| match request.target() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304)
            .header("etag", "\"a\"")
            .header("content-length", "5"),
        "/205" => Answer::status(205),
        "/empty" => Answer::ok(""),
        _ => Answer::ok("next"),
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let response = then_another(&mut wire, &request("/204"), "GET");
    assert_eq!(response.status(), 204);
    // RFC 9110, section 8.6, and RFC 9112, section 6.1.
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("transfer-encoding"), None);
    let response = then_another(&mut wire, &request("/304"), "GET");
    assert_eq!(response.status(), 304);
    assert_eq!(response.header("etag"), Some("\"a\""));
    assert_eq!(response.header("transfer-encoding"), None);
    let response = then_another(&mut wire, &request("/205"), "GET");
    assert_eq!(response.status(), 205);
    let response = then_another(&mut wire, &request("/empty"), "GET");
    assert_eq!(response.headers("content-length"), ["0"]);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_body_that_an_upstream_sends_with_204_or_to_head_reaches_nobody() {
    for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200)] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 {status} X\r\ncontent-length: 36\r\n\r\nHTTP/1.1 200 OK\r\nx-injected: yes\r\n\r\n"
            ));
            let _ = wire.wait_for_close();
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        wire.write(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(wire.read_response(method).status(), status);
        wire.write("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
        // The second connection to the upstream gets the same script.
        let second = wire.read_response("HEAD");
        assert_eq!(second.status(), status, "{method}");
        assert_eq!(second.header("x-injected"), None);
        assert_eq!(upstream.connections(), 2, "{method} {status}");
    }
}

#[test]
fn trailers_pass_in_both_directions() {
    let upstream = Upstream::start(|_| {
        Answer::status(200)
            .header("trailer", "x-sum, grpc-status")
            .chunks(["a", "b"])
            .trailer("x-sum", "2")
            .trailer("grpc-status", "0")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write(
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntrailer: x-end\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-end: 3\r\n\r\n",
    );
    let response = wire.read_response("POST");
    assert_eq!(response.text(), "ab");
    assert_eq!(response.trailer("x-sum"), Some("2"));
    assert_eq!(response.trailer("grpc-status"), Some("0"));
    let received = upstream.only();
    assert_eq!(received.text(), "abc");
    assert_eq!(
        received.body.trailers,
        [("x-end".to_owned(), "3".to_owned())]
    );
}

#[test]
fn trailers_can_not_smuggle_framing_or_routing_fields() {
    let upstream = Upstream::start(|_| {
        Answer::status(200)
            .header("trailer", "content-length, transfer-encoding, x-sum")
            .chunks(["a"])
            .trailer("content-length", "100")
            .trailer("transfer-encoding", "gzip")
            .trailer("x-sum", "1")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write(
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\
         trailer: content-length, host, authorization, x-end\r\ntransfer-encoding: chunked\r\n\r\n\
         1\r\na\r\n0\r\ncontent-length: 100\r\nhost: evil\r\nx-end: 1\r\n\r\n",
    );
    let response = wire.read_response("POST");
    assert_eq!(response.trailer("content-length"), None);
    assert_eq!(response.trailer("transfer-encoding"), None);
    let received = upstream.only();
    let names: Vec<&str> = received
        .body
        .trailers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        !names.contains(&"host") && !names.contains(&"content-length"),
        "{names:?}"
    );
}

#[test]
fn a_trailer_passes_only_where_it_was_announced_and_says_nothing_that_is_the_gateways() {
    let upstream = Upstream::start(|_| {
        Answer::status(200)
            .header("trailer", "x-sum, location")
            .chunks(["a"])
            .trailer("x-sum", "1")
            .trailer("x-more", "1")
            .trailer("location", "/evil")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write(
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: x-hop\r\n\
         trailer: x-end, x-hop, x-forwarded-for, x-request-id, forwarded, cookie\r\ntransfer-encoding: chunked\r\n\r\n\
         1\r\na\r\n0\r\nx-end: 1\r\nx-other: 1\r\nx-hop: 1\r\nx-forwarded-for: 1.1.1.1\r\nx-request-id: evil\r\n\
         forwarded: for=1.1.1.1\r\ncookie: a=b\r\n\r\n",
    );
    let response = wire.read_response("POST");
    assert_eq!(response.trailer("x-sum"), Some("1"));
    assert_eq!(response.trailer("x-more"), None);
    assert_eq!(response.trailer("location"), None);
    assert_eq!(
        upstream.only().body.trailers,
        [("x-end".to_owned(), "1".to_owned())]
    );
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let upstream = Upstream::start(|_| Answer::status(200).chunks(["hello ", "world"]));
    let gateway = Gateway::in_front_of(&upstream).start();
    let transcript = gateway.raw("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let text = transcript.text();
    assert!(!text.to_lowercase().contains("transfer-encoding"), "{text}");
    assert!(text.ends_with("\r\n\r\nhello world"), "{text}");
    // The next hop speaks 1.1, whatever the client does.
    assert!(upstream.only().head.start_line.ends_with("HTTP/1.1"));
}

#[test]
fn an_answer_before_the_request_has_ended_passes_at_once() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nfirst");
    let response = wire.read_response("POST");
    assert_eq!((response.status(), response.text()), (403, "no"));
}

#[test]
fn an_upstream_that_refuses_a_long_body_is_heard() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 413 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        wire.half_close();
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    for _ in 0..20 {
        let mut wire = gateway.connect();
        let stream = wire.stream().try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            use std::io::Write as _;
            let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8388608\r\n\r\n";
            // Nobody wants to have all of it.
            let _ = (&stream).write_all(head.as_bytes());
            let _ = (&stream).write_all(&vec![b'x'; 8 * MIB]);
        });
        let response = wire.read_response("POST");
        assert_eq!((response.status(), response.text()), (413, "no"));
        drop(wire);
        sending.join().unwrap();
    }
}

#[test]
fn an_upstream_of_http_1_0_is_understood() {
    for (answer, expected) in [
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
            "hello",
        ),
    ] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(answer);
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        for _ in 0..2 {
            let response = gateway.get("/").send_over(&mut wire);
            assert_eq!(response.head.start_line, "HTTP/1.1 200 OK");
            assert_eq!(response.text(), expected);
        }
    }
}
