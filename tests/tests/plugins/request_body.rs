//! Bodies of requests through plugins.

use sluicegate_tests::{Answer, Gateway, RawUpstream, Upstream};

use crate::guests::{chain, probe, probe_with, through};

fn wish(plan: &str, then: &str) -> String {
    format!(r#"request_body = {{ plan = "{plan}", then = "{then}", text = "+text" }}"#)
}

fn gateway(upstream: &Upstream, config: &str) -> Gateway {
    through(&probe("p", config), upstream.url()).start()
}

#[test]
fn a_plugin_is_told_what_is_known_of_a_body() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("pass", "unchanged"));
    gateway.get("/").send();
    gateway.post("/").body("").send();
    gateway.post("/").body("four").send();
    gateway.post("/").chunks(["one", "two"]).send();

    let received = upstream.received();
    let kinds: Vec<_> = received
        .iter()
        .map(|request| request.header("x-kind").unwrap())
        .collect();
    assert_eq!(kinds, ["none", "none", "known-length", "streaming"]);
}

#[test]
fn a_body_that_is_passed_goes_on_as_it_came() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("pass", "replace"));
    gateway.post("/").body("four").send();
    gateway.post("/").chunks(["one", "two"]).send();

    let received = upstream.received();
    assert_eq!(
        (received[0].text(), received[0].header("content-length")),
        ("four", Some("4"))
    );
    assert_eq!(received[1].body.bytes, b"onetwo");
    assert_eq!(received[1].header("content-length"), None);
}

#[test]
fn a_collected_body_is_replaced_with_the_right_length() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("collect", "suffix"));
    gateway.post("/").body("four").send();
    gateway.post("/").chunks(["one", "two"]).send();

    for (received, body) in upstream.received().iter().zip(["FOUR+text", "ONETWO+text"]) {
        assert_eq!(received.text(), body);
        assert_eq!(received.headers("content-length"), [body.len().to_string()]);
        assert_eq!(received.header("transfer-encoding"), None);
        // The head could still be changed when the body was there.
        assert_eq!(
            received.header("x-received"),
            Some((body.len() - 5).to_string().as_str())
        );
    }
}

#[test]
fn a_collected_body_that_is_left_as_it_was_goes_on() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("collect", "unchanged"));
    gateway.post("/").chunks(["one", "two"]).send();
    assert_eq!(upstream.only().text(), "onetwo");
}

#[test]
fn a_request_without_a_body_does_not_get_one_by_being_collected() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("collect", "unchanged"));
    gateway.get("/").send();

    let received = upstream.only();
    assert_eq!(received.header("x-received"), Some("0"));
    assert_eq!(received.header("content-length"), None);
    assert_eq!(received.header("transfer-encoding"), None);
}

#[test]
fn a_plugin_can_give_a_request_a_body_and_take_it_away() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    gateway(&upstream, &wish("collect", "replace"))
        .request("PUT", "/")
        .send();
    gateway(&upstream, &wish("collect", "swallow"))
        .post("/")
        .body("four")
        .send();

    let received = upstream.received();
    assert_eq!(
        (received[0].text(), received[0].header("content-length")),
        ("+text", Some("5"))
    );
    assert_eq!(
        (received[1].text(), received[1].header("content-length")),
        ("", Some("0"))
    );
}

#[test]
fn a_body_over_the_limit_of_a_collect_is_answered_413_and_not_forwarded() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let config = r#"request_body = { plan = "collect", limit = 8, then = "unchanged" }"#;
    for lines in ["", r#"on_failure = "skip""#] {
        let gateway = through(&probe_with("p", lines, config), upstream.url()).start();
        assert_eq!(gateway.post("/").body("123456789").send().status(), 413);
        assert_eq!(
            gateway.post("/").chunks(["12345", "6789"]).send().status(),
            413
        );
        assert_eq!(upstream.connections(), 0);
    }
    let gateway = through(&probe("p", config), upstream.url()).start();
    assert_eq!(gateway.post("/").body("12345678").send().status(), 200);
}

#[test]
fn a_plugin_can_answer_when_it_has_the_body() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("collect", "reply"));
    let response = gateway.post("/").body("four").send();
    assert_eq!((response.status(), response.text()), (418, "+text"));
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_streamed_body_goes_on_piece_by_piece_and_with_its_end() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("stream", "suffix"));
    gateway.post("/").body("four").send();
    gateway.post("/").chunks(["one", "two"]).send();
    gateway.get("/").send();

    let received = upstream.received();
    for (received, body) in received.iter().zip(["FOUR+text", "ONETWO+text"]) {
        assert_eq!(received.text(), body);
        assert_eq!(received.header("content-length"), None);
        assert_eq!(received.headers("transfer-encoding"), ["chunked"]);
    }
    // There is nothing to stream where there is no body.
    assert_eq!(received[2].text(), "");
    assert_eq!(received[2].header("transfer-encoding"), None);
}

#[test]
fn the_upstream_has_the_first_piece_before_the_client_has_sent_the_last() {
    let (first, had_first) = std::sync::mpsc::channel();
    let upstream = RawUpstream::start(move |wire| {
        let head = wire.read_head();
        let chunk = wire.read_chunk();
        first.send(chunk.data).unwrap();
        let rest = wire.try_read_request_body(&head).unwrap();
        wire.write(format!(
            "HTTP/1.1 200 OK\r\nx-rest: {}\r\ncontent-length: 0\r\n\r\n",
            String::from_utf8_lossy(&rest.bytes)
        ));
    });
    let gateway = through(&probe("p", &wish("stream", "suffix")), upstream.url()).start();
    let mut wire = gateway.connect();

    wire.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    wire.write_chunk("first");
    let limit = sluicegate_tests::LIMIT;
    assert_eq!(had_first.recv_timeout(limit).unwrap(), b"FIRST");
    wire.write("4\r\nlast\r\n0\r\n\r\n");

    assert_eq!(
        wire.read_response("POST").header("x-rest"),
        Some("LAST+text")
    );
}

#[test]
fn trailers_pass_a_streaming_plugin() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("stream", "suffix"));
    let mut wire = gateway.connect();
    wire.write(
        "POST / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    wire.write("3\r\none\r\n0\r\nx-sum: 1234\r\n\r\n");
    assert_eq!(wire.read_response("POST").status(), 200);

    let received = upstream.only();
    assert_eq!(received.text(), "ONE+text");
    assert_eq!(
        received.body.trailers,
        [("x-sum".to_owned(), "1234".to_owned())]
    );
}

#[test]
fn plugins_change_a_body_one_after_the_other() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    for (one, other) in [
        ("stream", "stream"),
        ("collect", "stream"),
        ("stream", "collect"),
        ("collect", "collect"),
    ] {
        let config = |plan: &str, text: &str| {
            format!(r#"request_body = {{ plan = "{plan}", then = "suffix", text = "{text}" }}"#)
        };
        let plugins = [
            probe("one", &config(one, "-one")),
            probe("two", &config(other, "-two")),
        ];
        let gateway = chain(&plugins, r#""one", "two""#, upstream.url()).start();
        gateway.post("/").body("body").send();
        assert_eq!(
            upstream.received().last().unwrap().text(),
            "BODY-ONE-two",
            "{one}, {other}"
        );
    }
}

#[test]
fn a_failure_before_the_body_is_sent_is_rejected_or_skipped() {
    for (plan, then) in [("fail", "fail"), ("collect", "fail"), ("collect", "panic")] {
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let rejecting = gateway(&upstream, &wish(plan, then));
        assert_eq!(rejecting.post("/").body("four").send().status(), 500);
        assert_eq!(upstream.connections(), 0);

        let skipping = probe_with("p", r#"on_failure = "skip""#, &wish(plan, then));
        let skipping = through(&skipping, upstream.url()).start();
        assert_eq!(skipping.post("/").body("four").send().status(), 200);
        let received = upstream.only();
        assert_eq!(
            (received.text(), received.header("content-length")),
            ("four", Some("4"))
        );
        assert_eq!(received.header("x-kind"), None, "{plan}, {then}");
    }
}

#[test]
fn a_plugin_that_fails_within_a_body_breaks_the_request_off() {
    for then in ["fail", "panic"] {
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let gateway = gateway(&upstream, &wish("stream", then));
        let response = gateway.post("/").chunks(["one", "two"]).send();
        assert_eq!(response.status(), 500, "{then}");
        assert!(!response.text().contains("+text"));
        // Whatever came of it was no whole request.
        assert_eq!(upstream.received().len(), 0);
        assert_eq!(gateway.get("/").send().status(), 200);
    }
}

#[test]
fn a_plugin_that_fails_within_a_body_that_another_collects_is_the_one_to_blame() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugins = [
        probe("one", &wish("stream", "fail")),
        probe("two", &wish("collect", "unchanged")),
    ];
    let gateway = chain(&plugins, r#""one", "two""#, upstream.url()).start();
    assert_eq!(gateway.post("/").body("four").send().status(), 500);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_loop_within_a_body_ends_with_its_time() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    for plan in ["collect", "stream"] {
        let plugin = probe_with("p", r#"limits = { time = "20ms" }"#, &wish(plan, "spin"));
        let gateway = through(&plugin, upstream.url()).start();
        assert_eq!(
            gateway.post("/").body("four").send().status(),
            500,
            "{plan}"
        );
        assert_eq!(
            gateway.get("/path").header("x-a", "1").send().status(),
            if plan == "collect" { 500 } else { 200 }
        );
    }
}

#[test]
fn a_client_that_asks_before_it_sends_is_asked_by_a_plugin_that_collects() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = gateway(&upstream, &wish("collect", "suffix"));
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(wire.read_head().status(), 100);
    wire.write("four");
    assert_eq!(wire.read_response("POST").status(), 200);
    assert_eq!(upstream.only().text(), "FOUR+text");
}

#[test]
fn a_plugin_that_said_for_which_bodies_it_is_is_not_asked_about_them() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let config = r#"request_body = { plan = "pass", then = "replace", text = "new", limit = 9, only_for = ["+json"] }"#;
    let gateway = through(&probe("p", config), upstream.url()).start();
    for (kind, body) in [
        ("application/x+json", "{}"),
        ("application/x+json", "0123456789"),
        ("text/plain", "{}"),
    ] {
        let request = gateway.post("/").header("content-type", kind).body(body);
        assert_eq!(request.send().status(), 200, "{kind}");
    }
    let received = upstream.received();
    let seen: Vec<_> = received
        .iter()
        .map(|request| (request.header("x-kind"), request.text()))
        .collect();
    assert_eq!(
        seen,
        [
            (None, "new"),
            (Some("known-length"), "0123456789"),
            (None, "{}")
        ]
    );
}

#[test]
fn a_collected_body_is_sent_again_to_another_target() {
    let bad = Upstream::start(|_| Answer::status(503));
    let good = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = Gateway::new()
        .toml(&probe("p", &wish("collect", "suffix")))
        .upstream_with(
            "a",
            [bad.url(), good.url()],
            "retries = { attempts = 1, on = [\"503\"] }",
        )
        .route_with("/{*rest}", "a", r#"plugins = ["p"]"#)
        .start();
    for _ in 0..2 {
        let response = gateway.request("PUT", "/").body("four").send();
        assert_eq!((response.status(), response.text()), (200, "FOUR+text"));
    }
    assert_eq!(bad.only().text(), "FOUR+text");
    // Not idempotent.
    assert_eq!(gateway.post("/").body("four").send().status(), 503);
}
