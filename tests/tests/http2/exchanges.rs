//! Requests and responses.

use http::Request;
use sluicegate_tests::http2::{Http2, read};
use sluicegate_tests::{Answer, Gateway, RawUpstream, Signal, Upstream};

#[test]
fn a_request_arrives_as_one_of_http_1_and_its_response_comes_back() {
    let upstream = Upstream::start(|request| Answer::ok(format!("got {}", request.text())));
    let gateway = Gateway::in_front_of(&upstream).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::post("http://a.example:81/x?y=1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(());
        let response = client.send(request.unwrap(), "hello").await;
        assert_eq!((response.status(), response.text()), (200, "got hello"));
        assert_eq!(response.header("connection"), None);
        assert!(response.header("date").is_some());
    });
    let received = upstream.only();
    assert_eq!((received.method(), received.target()), ("POST", "/x?y=1"));
    assert_eq!(received.header("x-forwarded-host"), Some("a.example:81"));
    assert_eq!(received.headers("cookie"), ["a=1; b=2"]);
    assert_eq!(received.text(), "hello");
}

#[test]
fn many_exchanges_go_on_at_the_same_time() {
    let upstream = RawUpstream::holding("", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let mut waiting = Vec::new();
        for number in 0..20 {
            let uri = format!("http://a/{number}");
            let mut send = client.ready().await;
            let request = Request::get(uri).body(()).unwrap();
            waiting.push(send.send_request(request, true).unwrap().0);
        }
        while upstream.connections() < 20 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        upstream.go_on();
        for response in waiting {
            let response = read(response.await.unwrap()).await.unwrap();
            assert_eq!((response.status(), response.text()), (200, "ok"));
        }
    });
}

#[test]
fn a_response_that_breaks_off_resets_its_stream_and_no_other() {
    let upstream = RawUpstream::start(|wire| {
        let head = wire.read_head();
        if head.target() == "/broken" {
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        } else {
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfull");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::get("http://a/broken").body(()).unwrap();
        let broken = client.try_send(request, "").await.unwrap_err();
        assert!(broken.is_reset(), "{broken:?}");
        assert_eq!(client.get("http://a/whole").await.text(), "full");
    });
}

#[test]
fn trailers_pass_in_both_directions() {
    let upstream = Upstream::start(|request| {
        let sum = request.body.trailers.iter();
        let sum = sum.map(|(_, value)| value.clone()).collect::<String>();
        Answer::status(200)
            .header("trailer", "x-sum")
            .chunks(["body"])
            .trailer("x-sum", &sum)
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::post("http://a/").header("trailer", "x-sum");
        let (response, mut body) = client.begin(request.body(()).unwrap()).await;
        body.send_data("data".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let response = read(response.await.unwrap()).await.unwrap();
        assert_eq!(response.text(), "body");
        assert_eq!(response.trailers.unwrap()["x-sum"], "7");
    });
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked_when_the_upstream_asks() {
    let asked = Signal::new();
    let upstream = RawUpstream::start({
        let asked = asked.clone();
        move |wire| {
            wire.read_head();
            asked.wait("the test has seen that nothing came");
            wire.write("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(wire.read_exact(5), b"hello");
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let request = Request::post("http://a/")
            .header("expect", "100-continue")
            .header("content-length", "5");
        let (mut response, mut body) = client.begin(request.body(()).unwrap()).await;
        asked.give();
        let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        assert_eq!(interim.unwrap().unwrap().status(), 100);
        body.send_data("hello".into(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
}

#[test]
fn heads_that_are_none_are_refused_on_their_stream() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream)
        .server("limits = { headers = 10 }")
        .start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let mut many = Request::get("http://a/");
        for number in 0..20 {
            many = many.header(format!("x-{number}"), "y");
        }
        for (request, status) in [
            (Request::get("http://a/").header("host", "b"), 400),
            (Request::get("http://a/../..").header("x", "y"), 400),
            (many, 431),
        ] {
            let response = client.send(request.body(()).unwrap(), "").await;
            assert_eq!(response.status(), status);
            assert!(response.header("x-request-id").is_some());
            assert!(response.header("proxy-status").is_some());
        }
        assert_eq!(client.get("http://a/").await.status(), 200);
    });
    assert_eq!(upstream.received().len(), 1);
}
