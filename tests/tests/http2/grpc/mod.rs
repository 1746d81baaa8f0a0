//! gRPC from end to end: tonic on both sides, and the gateway between them.

mod service;

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Request as HttpRequest;
use http::uri::PathAndQuery;
use sluicegate_tests::http2::{Http2, read, until};
use sluicegate_tests::{Gateway, GatewayBuilder, RawUpstream, Refusing};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use self::service::{Plain, Server, client, framed};

fn in_front_of(server: &Server) -> GatewayBuilder {
    Gateway::new()
        .upstream_with("a", [&server.url], "protocol = \"h2\"")
        .route("/t/{*rest}", "a")
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

/// A call as HTTP/2 has it.
fn call(path: &str) -> http::request::Builder {
    HttpRequest::post(format!("http://a{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

#[test]
fn one_message_and_one_answer_with_metadata_of_both_kinds() {
    Http2::run(async {
        let server = Server::start().await;
        let gateway = in_front_of(&server).start();
        let mut client = client(gateway.address()).await;
        let mut request = Request::new(Bytes::from("abc"));
        let metadata = request.metadata_mut();
        metadata.insert("x-ascii", "plain".parse().unwrap());
        let bytes = MetadataValue::from_bytes(&[0, 1, 255]);
        metadata.insert_bin("x-bytes-bin", bytes.clone());
        request.set_timeout(Duration::from_secs(30));
        client.ready().await.unwrap();
        let answer = client.unary(request, path("/t/unary"), Plain).await;
        let answer = answer.unwrap();
        assert_eq!(answer.get_ref(), "cba");
        let metadata = answer.metadata();
        assert_eq!(metadata.get("x-got-x-ascii").unwrap(), "plain");
        assert_eq!(metadata.get_bin("x-got-bytes-bin"), Some(&bytes));
        assert_eq!(metadata.get("x-got-te").unwrap(), "trailers");
        assert!(metadata.contains_key("x-got-grpc-timeout"));
        // A message of more than a window.
        let large = Bytes::from(vec![7; 3 << 20]);
        client.ready().await.unwrap();
        let answer = client
            .unary(Request::new(large.clone()), path("/t/unary"), Plain)
            .await;
        assert!(answer.unwrap().get_ref() == &large);
    });
}

#[test]
fn streams_of_messages_in_each_direction() {
    Http2::run(async {
        let server = Server::start().await;
        let gateway = in_front_of(&server).start();
        let mut client = client(gateway.address()).await;
        let many = tokio_stream::iter(["a", "b", "c"].map(Bytes::from));
        client.ready().await.unwrap();
        let answer = client.client_streaming(Request::new(many), path("/t/collect"), Plain);
        assert_eq!(answer.await.unwrap().get_ref(), "a.b.c.");

        let request = Request::new(Bytes::from("xyz"));
        client.ready().await.unwrap();
        let answer = client.server_streaming(request, path("/t/expand"), Plain);
        let mut messages = answer.await.unwrap().into_inner();
        for byte in *b"xyz" {
            let message = messages.message().await.unwrap().unwrap();
            assert_eq!(message, vec![byte; 100]);
        }
        // What comes behind the messages.
        let failure = messages.message().await.unwrap_err();
        assert_eq!(
            (failure.code(), failure.message()),
            (Code::Aborted, "no more")
        );
        assert_eq!(failure.metadata().get("x-why").unwrap(), "1");
    });
}

#[test]
fn messages_in_both_directions_take_turns() {
    Http2::run(async {
        let server = Server::start().await;
        let gateway = in_front_of(&server).start();
        let mut client = client(gateway.address()).await;
        let (send, messages) = mpsc::channel(1);
        let request = Request::new(ReceiverStream::new(messages));
        client.ready().await.unwrap();
        let answer = client.streaming(request, path("/t/echo"), Plain).await;
        let mut answers = answer.unwrap().into_inner();
        for number in 0..100 {
            let message = Bytes::from(format!("{number}"));
            send.send(message.clone()).await.unwrap();
            assert_eq!(answers.message().await.unwrap(), Some(message));
        }
        drop(send);
        assert_eq!(answers.message().await.unwrap(), None);
    });
}

#[test]
fn an_error_without_a_message_passes_with_its_details() {
    Http2::run(async {
        let server = Server::start().await;
        let gateway = in_front_of(&server).start();
        let mut client = client(gateway.address()).await;
        let request = Request::new(Bytes::new());
        client.ready().await.unwrap();
        let failure = client.unary(request, path("/t/fail"), Plain).await;
        let failure = failure.unwrap_err();
        assert_eq!(
            (failure.code(), failure.message()),
            (Code::NotFound, "100 % n\u{e9}")
        );
        assert_eq!(failure.details(), [0, 255]);
        let bytes = failure.metadata().get_bin("x-why-bin").unwrap();
        assert_eq!(bytes.to_bytes().unwrap(), &[1, 0, 2][..]);
        let request = Request::new(Bytes::new());
        client.ready().await.unwrap();
        let failure = client.unary(request, path("/t/none"), Plain).await;
        assert_eq!(failure.unwrap_err().message(), "no such method");
    });
}

#[test]
fn a_deadline_ends_the_exchange_before_its_head_and_behind_it() {
    Http2::run(async {
        let server = Server::start().await;
        let gateway = in_front_of(&server).start();
        // tonic's client would end it by itself.
        let client = Http2::connect(gateway.address()).await;
        let request = call("/t/wait").header("grpc-timeout", "200m");
        let response = client.send(request.body(()).unwrap(), framed(b"x")).await;
        assert_eq!((response.status(), response.text()), (200, ""));
        assert_eq!(response.header("grpc-status"), Some("4"));
        assert_eq!(response.header("grpc-message"), Some("upstream timed out"));
        assert!(
            response
                .header("proxy-status")
                .unwrap()
                .contains("http_response_timeout")
        );
        until("the server knows", || server.given_up.is_given()).await;
    });
    Http2::run(async {
        let server = Server::start().await;
        let gateway = in_front_of(&server).start();
        let client = Http2::connect(gateway.address()).await;
        let request = call("/t/hang").header("grpc-timeout", "200m");
        let response = client.send(request.body(()).unwrap(), framed(b"x")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.header("grpc-status"), None);
        assert_eq!(response.body, framed(b"first"));
        assert_eq!(response.trailers.unwrap()["grpc-status"], "4");
        until("the server knows", || server.given_up.is_given()).await;
    });
}

#[test]
fn a_shorter_limit_of_the_route_holds_and_what_is_no_timeout_is_none() {
    Http2::run(async {
        let server = Server::start().await;
        let gateway = Gateway::new()
            .upstream_with("a", [&server.url], "protocol = \"h2\"")
            .route_with("/t/{*rest}", "a", "timeout = \"200ms\"")
            .start();
        let client = Http2::connect(gateway.address()).await;
        for timeout in ["1H", "x", "123456789m"] {
            let request = call("/t/wait").header("grpc-timeout", timeout);
            let response = client.send(request.body(()).unwrap(), framed(b"x")).await;
            assert_eq!(response.header("grpc-status"), Some("4"), "{timeout}");
        }
        let request = call("/t/unary").header("grpc-timeout", "0x");
        let response = client.send(request.body(()).unwrap(), framed(b"x")).await;
        assert_eq!(response.trailers.unwrap()["grpc-status"], "0");
    });
}

#[test]
fn a_call_that_is_given_up_is_given_up_at_the_server() {
    for path in ["/t/wait", "/t/hang"] {
        Http2::run(async {
            let server = Server::start().await;
            let gateway = in_front_of(&server).start();
            let client = Http2::connect(gateway.address()).await;
            let (response, mut body) = client.begin(call(path).body(()).unwrap()).await;
            body.send_data(framed(b"x"), false).unwrap();
            until("the call has come", || server.arrived.is_given()).await;
            assert!(!server.given_up.is_given());
            body.send_reset(Reason::CANCEL);
            drop(response);
            until("the server knows", || server.given_up.is_given()).await;
        });
    }
}

#[test]
fn what_the_gateway_answers_itself_is_a_status_of_grpc() {
    Http2::run(async {
        let server = Server::start().await;
        let refusing = Refusing::start();
        let gateway = in_front_of(&server)
            .upstream("down", [refusing.url()])
            .route("/down/{*rest}", "down")
            .server("limits = { body_bytes = \"1KiB\", headers = 20 }")
            .start();
        let mut tonic = client(gateway.address()).await;
        for (path, size, code) in [
            ("/none/x", 1, Code::Unimplemented),
            ("/down/x", 1, Code::Unavailable),
            ("/t/unary", 2000, Code::ResourceExhausted),
        ] {
            let request = Request::new(Bytes::from(vec![0; size]));
            tonic.ready().await.unwrap();
            let failure = tonic
                .unary(request, PathAndQuery::from_static(path), Plain)
                .await;
            let failure = failure.unwrap_err();
            assert_eq!(failure.code(), code, "{failure:?}");
            let metadata = failure.metadata();
            assert!(metadata.contains_key("x-request-id"), "{failure:?}");
            assert!(metadata.contains_key("proxy-status"), "{failure:?}");
        }
        // As it is on the wire: a head, and nothing behind it.
        let client = Http2::connect(gateway.address()).await;
        let mut many = call("/t/unary");
        for number in 0..30 {
            many = many.header(format!("x-{number}"), "y");
        }
        for (request, status) in [(call("/none"), "12"), (many, "8")] {
            let response = client.send(request.body(()).unwrap(), framed(b"x")).await;
            assert_eq!((response.status(), response.text()), (200, ""));
            assert_eq!(response.header("content-type"), Some("application/grpc"));
            assert_eq!(response.header("grpc-status"), Some(status));
            assert!(response.trailers.is_none());
        }
        // And others get what they always got.
        assert_eq!(client.get("http://a/none").await.status(), 404);
    });
}

#[test]
fn a_body_that_breaks_off_ends_with_a_status() {
    let upstream = RawUpstream::start(|wire| {
        let head = wire.read_head();
        let length = if head.target() == "/length" {
            "content-length: 100"
        } else {
            "transfer-encoding: chunked"
        };
        wire.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n{length}\r\n\r\n"
        ));
        wire.write_chunk(framed(b"first"));
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let (response, mut body) = client.begin(call("/t").body(()).unwrap()).await;
        body.send_data(framed(b"x"), true).unwrap();
        let response = read(response.await.unwrap()).await.unwrap();
        assert_eq!(response.body, framed(b"first"));
        let trailers = response.trailers.unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        assert_eq!(trailers["grpc-message"], "upstream failed");
        // There trailers would make a malformed response of it.
        let request = call("/length").body(()).unwrap();
        let broken = client.try_send(request, framed(b"x")).await.unwrap_err();
        assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR));
    });
}
