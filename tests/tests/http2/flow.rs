//! Bodies flow while they come, and no faster than they are taken.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::Request;
use sluicegate_tests::http2::{Http2, read, until};
use sluicegate_tests::{Answer, Gateway, RawUpstream, Signal, Upstream};

const MIB: usize = 1 << 20;
/// Far more than all buffers between two ends hold.
const OFFERED: usize = 256 * MIB;
const BUFFERED: usize = 48 * MIB;
const STALLED: Duration = Duration::from_millis(700);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Sends as much as the other end takes, at most `most`, until it takes nothing for some time.
async fn send_until_stalled(body: &mut SendStream<Bytes>, most: usize) -> usize {
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut sent = 0;
    while sent < most {
        body.reserve_capacity(piece.len());
        let capacity = tokio::time::timeout(STALLED, poll_fn(|cx| body.poll_capacity(cx))).await;
        let Ok(Some(Ok(size))) = capacity else {
            break;
        };
        let size = size.min(piece.len());
        body.send_data(piece.slice(..size), false).unwrap();
        sent += size;
    }
    sent
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream_and_no_other_stream() {
    let stopped = Signal::new();
    let upstream = RawUpstream::start({
        let stopped = stopped.clone();
        move |wire| {
            if wire.read_head().target() != "/large" {
                return wire.write(OK);
            }
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {OFFERED}\r\n\r\n"
            ));
            let taken = wire.write_until_stalled(OFFERED, STALLED);
            assert!(taken < BUFFERED, "{} MiB were taken", taken >> 20);
            stopped.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::get("http://a/large").body(()).unwrap();
        let (response, _) = client.ready().await.send_request(request, true).unwrap();
        let _unread = response.await.unwrap();
        until("the upstream has stopped", || stopped.is_given()).await;
        assert_eq!(client.get("http://a/").await.text(), "ok");
    });
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client_and_no_other_stream() {
    let done = Signal::new();
    let upstream = RawUpstream::start({
        let done = done.clone();
        move |wire| {
            if wire.read_head().method() == "GET" {
                return wire.write(OK);
            }
            done.wait("the client has stopped");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let (_response, mut body) = client.begin(request).await;
        let sent = send_until_stalled(&mut body, OFFERED).await;
        assert!(sent < BUFFERED, "{} MiB were taken", sent >> 20);
        assert_eq!(client.get("http://a/").await.text(), "ok");
        done.give();
    });
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    const LENGTH: usize = 100 * MIB;
    let byte = |at: usize| (at % 251) as u8;
    let upstream = RawUpstream::start(move |wire| {
        let head = wire.read_head();
        if head.method() == "POST" {
            assert_eq!(head.header("content-length"), Some(&*LENGTH.to_string()));
            let mut at = 0;
            while at < LENGTH {
                let piece = wire.read_exact((LENGTH - at).min(251 * 1024));
                let expected = piece.iter().enumerate();
                let is_right = expected.fold(true, |all, (n, &b)| all & (b == byte(at + n)));
                assert!(is_right, "at {at}");
                at += piece.len();
            }
            return wire.write(OK);
        }
        wire.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"
        ));
        let period: Vec<u8> = (0..251 * 1024).map(byte).collect();
        let mut left = LENGTH;
        while left > 0 {
            let size = left.min(period.len());
            wire.write(&period[..size]);
            left -= size;
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let period = Bytes::from((0..251 * 1024).map(byte).collect::<Vec<u8>>());
        let request = Request::post("http://a/").header("content-length", LENGTH);
        let (response, mut body) = client.begin(request.body(()).unwrap()).await;
        let mut at = 0;
        while at < LENGTH {
            let from = at % period.len();
            let most = (period.len() - from).min(LENGTH - at);
            body.reserve_capacity(most);
            let size = poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
            let size = size.min(most);
            body.send_data(period.slice(from..from + size), at + size == LENGTH)
                .unwrap();
            at += size;
        }
        assert_eq!(response.await.unwrap().status(), 200);

        let request = Request::get("http://a/").body(()).unwrap();
        let (response, _) = client.ready().await.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut at = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            let from = at % 251;
            assert!(data == period.slice(from..from + data.len()), "at {at}");
            at += data.len();
        }
        assert_eq!(at, LENGTH);
    });
}

#[test]
fn a_body_that_is_too_large_is_refused_and_not_read_on() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream)
        .server("limits = { body_bytes = \"1MiB\" }")
        .start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        // Known from its head, and never asked for.
        let request = Request::post("http://a/")
            .header("content-length", 2 * MIB)
            .header("expect", "100-continue");
        let (mut response, mut body) = client.begin(request.body(()).unwrap()).await;
        assert!(
            poll_fn(|cx| response.poll_informational(cx))
                .await
                .is_none()
        );
        let response = response.await.unwrap();
        assert_eq!(response.status(), 413);
        assert!(response.headers().contains_key("x-request-id"));
        read(response).await.unwrap();
        // RFC 9113, section 8.1: nothing else of it is wanted.
        let reset = poll_fn(|cx| body.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, Reason::NO_ERROR);
        // Known while it comes.
        let request = Request::post("http://a/").body(()).unwrap();
        let (response, mut body) = client.begin(request).await;
        let sent = send_until_stalled(&mut body, OFFERED).await;
        assert!(sent < 4 * MIB, "{} MiB were taken", sent >> 20);
        assert_eq!(response.await.unwrap().status(), 413);
        assert_eq!(client.get("http://a/").await.status(), 200);
    });
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_response_before_the_whole_request_is_a_whole_response() {
    let upstream = RawUpstream::start(|wire| {
        wire.read_head();
        wire.write("HTTP/1.1 403 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let (response, mut body) = client.begin(request).await;
        body.send_data("some".into(), false).unwrap();
        let response = read(response.await.unwrap()).await.unwrap();
        assert_eq!((response.status(), response.text()), (403, "no"));
    });
}

#[test]
fn heads_without_bodies_and_bodies_without_lengths() {
    let upstream = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            match head.target() {
                "/head" | "/304" => wire.write(format!(
                    "HTTP/1.1 {} X\r\ncontent-length: 7\r\netag: \"x\"\r\n\r\n",
                    if head.target() == "/304" { 304 } else { 200 }
                )),
                "/204" => wire.write("HTTP/1.1 204 No Content\r\n\r\n"),
                "/empty" => wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
                "/chunked" => wire.write(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                ),
                "/early" => wire.write(format!(
                    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x\r\n\r\n{OK}"
                )),
                _ => return wire.write("HTTP/1.0 200 OK\r\n\r\nuntil the end"),
            }
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let head = Request::head("http://a/head").body(()).unwrap();
        let response = client.send(head, "").await;
        assert_eq!((response.status(), response.text()), (200, ""));
        assert_eq!(response.header("content-length"), Some("7"));
        for (path, status, length, text) in [
            ("304", 304, Some("7"), ""),
            ("204", 204, None, ""),
            ("empty", 200, Some("0"), ""),
            ("chunked", 200, None, "ab"),
            ("close", 200, None, "until the end"),
        ] {
            let response = client.get(&format!("http://a/{path}")).await;
            assert_eq!(
                (response.status(), response.text()),
                (status, text),
                "{path}"
            );
            assert_eq!(response.header("content-length"), length, "{path}");
            for name in ["connection", "transfer-encoding", "keep-alive", "x-hop"] {
                assert_eq!(response.header(name), None, "{path}");
            }
        }
        let request = Request::get("http://a/early").body(()).unwrap();
        let (mut response, _) = client.ready().await.send_request(request, true).unwrap();
        let early = poll_fn(|cx| response.poll_informational(cx)).await;
        let early = early.unwrap().unwrap();
        assert_eq!(
            (early.status().as_u16(), &early.headers()["link"]),
            (103, &"</a>".parse().unwrap())
        );
        assert_eq!(early.headers().get("connection"), None);
        assert_eq!(read(response.await.unwrap()).await.unwrap().text(), "ok");
    });
}

#[test]
fn a_routes_times_hold() {
    let upstream = RawUpstream::start(|wire| {
        if wire.read_head().target() == "/endless" {
            wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
        }
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route_with("/endless", "a", "exchange_timeout = \"300ms\"")
        .route_with("/silent", "a", "timeout = \"200ms\"")
        .start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let silent = client.get("http://a/silent").await;
        assert_eq!(silent.status(), 504);
        let request = Request::get("http://a/endless").body(()).unwrap();
        let broken = client.try_send(request, "").await.unwrap_err();
        assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR));
    });
}

#[test]
fn stalled_uploads_leave_room_for_others() {
    let done = Signal::new();
    let upstream = RawUpstream::start({
        let done = done.clone();
        move |wire| {
            let head = wire.read_head();
            if head.target() == "/" {
                wire.try_read_request_body(&head).unwrap();
                return wire.write(OK);
            }
            done.wait("the others have been served");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let mut stalling = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let request = Request::post("http://a/stalled").body(()).unwrap();
            let (response, mut body) = client.begin(request).await;
            stalling.spawn(async move {
                let sent = send_until_stalled(&mut body, OFFERED).await;
                assert!(sent < BUFFERED, "{} MiB were taken", sent >> 20);
                (response, body)
            });
        }
        let _stalled = stalling.join_all().await;
        let request = Request::post("http://a/").body(()).unwrap();
        assert_eq!(client.send(request, vec![b'x'; 100_000]).await.text(), "ok");
        done.give();
    });
}
