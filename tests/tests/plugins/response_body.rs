//! Bodies of responses through plugins.

use std::sync::Mutex;
use std::sync::mpsc;

use sluicegate_tests::{Answer, End, Gateway, RawUpstream, Upstream};

use crate::guests::{chain, probe, probe_with, through};

fn wish(plan: &str, then: &str) -> String {
    format!(r#"response_body = {{ plan = "{plan}", then = "{then}", text = "+text" }}"#)
}

fn gateway(url: impl AsRef<str>, config: &str) -> Gateway {
    through(&probe("p", config), url).start()
}

#[test]
fn a_plugin_is_told_what_is_known_of_a_body() {
    let upstream = Upstream::start(|request| match request.target() {
        "/known" => Answer::ok("hello"),
        "/chunked" => Answer::status(200).chunks(["one"]),
        "/close" => Answer::status(200).until_close(["one"]),
        "/empty" => Answer::ok(""),
        path => Answer::status(path.trim_start_matches('/').parse().unwrap()),
    });
    let gateway = gateway(upstream.url(), &wish("pass", "unchanged"));
    for (method, path, kind) in [
        ("GET", "/known", "known-length"),
        ("GET", "/chunked", "streaming"),
        ("GET", "/close", "streaming"),
        ("GET", "/empty", "none"),
        ("GET", "/204", "none"),
        ("GET", "/304", "none"),
        ("HEAD", "/known", "none"),
        ("HEAD", "/chunked", "none"),
    ] {
        let response = gateway.request(method, path).send();
        assert_eq!(response.header("x-kind"), Some(kind), "{method} {path}");
    }
}

#[test]
fn a_plugin_that_said_for_which_bodies_it_is_is_not_asked_about_them() {
    let upstream = Upstream::start(|request| {
        let html = |answer: Answer| answer.header("content-type", "text/html; charset=utf-8");
        match request.target() {
            "/short" => html(Answer::ok("hello")),
            "/long" => html(Answer::ok("0123456789")),
            "/chunked" => html(Answer::status(200)).chunks(["hel", "lo"]),
            "/coded" => html(Answer::ok("hello")).header("content-encoding", "x-own"),
            "/part" => html(Answer::status(206).body("hello")),
            "/ranged" => html(Answer::ok("hello")).header("content-range", "bytes 0-4/9"),
            "/none" => html(Answer::ok("")),
            "/image" => Answer::ok("hello").header("content-type", "image/png"),
            _ => Answer::ok("hello"),
        }
    });
    let config = r#"response_body = { plan = "collect", then = "replace", text = "new", limit = 9, only_for = ["text/*"] }"#;
    let plugin = probe_with("p", r#"on_failure = "skip""#, config);
    let gateway = through(&plugin, upstream.url()).start();
    for (path, asked, received, text) in [
        ("/short", None, Some("5"), "new"),
        ("/long", Some("known-length"), None, "0123456789"),
        ("/chunked", Some("streaming"), Some("5"), "new"),
        ("/coded", Some("known-length"), Some("5"), "new"),
        ("/part", Some("known-length"), Some("5"), "new"),
        ("/ranged", Some("known-length"), Some("5"), "new"),
        ("/none", Some("none"), Some("0"), "new"),
        ("/image", None, None, "hello"),
        ("/untyped", None, None, "hello"),
    ] {
        let response = gateway.get(path).send();
        assert_eq!(
            (
                response.header("x-kind").filter(|_| path != "/long"),
                response.header("x-received"),
                response.text()
            ),
            (asked.filter(|_| path != "/long"), received, text),
            "{path}"
        );
        assert_eq!(
            response.header("content-length"),
            Some(text.len().to_string().as_str()),
            "{path}"
        );
    }
}

#[test]
fn a_body_that_is_passed_comes_as_it_was() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let response = gateway(upstream.url(), &wish("pass", "replace"))
        .get("/")
        .send();
    assert_eq!(
        (response.text(), response.header("content-length")),
        ("hello", Some("5"))
    );
}

#[test]
fn a_collected_body_is_replaced_with_the_right_length() {
    for answer in [
        Answer::ok("hello"),
        Answer::status(200)
            .chunks(["he", "llo"])
            .trailer("x-sum", "1"),
        Answer::status(200).until_close(["he", "llo"]),
    ] {
        let upstream = Upstream::start(move |_| answer.clone());
        let gateway = gateway(upstream.url(), &wish("collect", "suffix"));
        let mut wire = gateway.connect();
        for _ in 0..2 {
            let response = gateway.get("/").send_over(&mut wire);
            assert_eq!(response.text(), "HELLO+text");
            assert_eq!(response.headers("content-length"), ["10"]);
            assert_eq!(response.header("transfer-encoding"), None);
            assert_eq!(response.header("x-received"), Some("5"));
        }
    }
}

#[test]
fn a_collected_body_is_emptied_left_or_answered_for() {
    let upstream = Upstream::start(|_| Answer::ok("hello").header("x-from", "upstream"));
    for (then, status, body, from) in [
        ("swallow", 200, "", Some("upstream")),
        ("unchanged", 200, "hello", Some("upstream")),
        ("replace", 200, "+text", Some("upstream")),
        ("reply", 418, "+text", None),
    ] {
        let gateway = gateway(upstream.url(), &wish("collect", then));
        let response = gateway.get("/").send();
        assert_eq!(
            (response.status(), response.text()),
            (status, body),
            "{then}"
        );
        assert_eq!(
            response.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(response.header("x-from"), from);
    }
}

#[test]
fn a_streamed_body_is_chunked_and_keeps_its_trailers() {
    let upstream = Upstream::start(|request| match request.target() {
        "/known" => Answer::ok("hello"),
        _ => Answer::status(200)
            .header("trailer", "x-sum")
            .chunks(["he", "llo"])
            .trailer("x-sum", "1234"),
    });
    let gateway = gateway(upstream.url(), &wish("stream", "suffix"));
    let mut wire = gateway.connect();

    let known = gateway.get("/known").send_over(&mut wire);
    assert_eq!(known.text(), "HELLO+text");
    assert_eq!(known.header("content-length"), None);

    let chunked = gateway
        .get("/chunked")
        .header("te", "trailers")
        .send_over(&mut wire);
    assert_eq!(chunked.text(), "HELLO+text");
    assert_eq!(chunked.trailer("x-sum"), Some("1234"));
}

#[test]
fn nothing_may_be_left_of_a_streamed_body() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let response = gateway(upstream.url(), &wish("stream", "swallow"))
        .get("/")
        .send();
    assert_eq!((response.status(), response.text()), (200, ""));
}

#[test]
fn the_client_has_the_first_piece_before_the_upstream_has_sent_the_last() {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let upstream = RawUpstream::start(move |wire| {
        wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst");
        released.lock().unwrap().recv().unwrap();
        wire.write("last");
    });
    let gateway = gateway(upstream.url(), &wish("stream", "suffix"));
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    assert_eq!(wire.read_head().status(), 200);
    assert_eq!(wire.read_chunk().data, b"FIRST");
    release.send(()).unwrap();
    assert_eq!(wire.try_read_chunked().unwrap().bytes, b"LAST+text");
}

#[test]
fn a_response_without_a_body_stays_without_one_whatever_the_plan() {
    let upstream = Upstream::start(|request| match request.target() {
        "/" => Answer::ok("hello"),
        path => Answer::status(path.trim_start_matches('/').parse().unwrap()),
    });
    for plan in ["pass", "stream", "collect"] {
        let gateway = gateway(upstream.url(), &wish(plan, "replace"));
        let mut wire = gateway.connect();
        for (method, path) in [("HEAD", "/"), ("GET", "/204"), ("GET", "/304")] {
            // A body that should not be there would be taken for the next response's head.
            let response = gateway.request(method, path).send_over(&mut wire);
            assert_eq!(
                response.header("x-kind"),
                Some("none"),
                "{plan}, {method} {path}"
            );
            assert_eq!(
                response.header("transfer-encoding"),
                None,
                "{plan}, {method} {path}"
            );
        }
        // The length that GET would have is known only where nobody changes the body.
        let head = gateway.request("HEAD", "/").send_over(&mut wire);
        let length = (plan == "pass").then_some("5");
        assert_eq!(head.header("content-length"), length, "{plan}");
    }
}

#[test]
fn a_body_over_the_limit_of_a_collect_is_the_plugins_failure() {
    let upstream = Upstream::start(|request| match request.target() {
        "/known" => Answer::ok("123456789"),
        "/chunked" => Answer::status(200).chunks(["12345", "6789"]),
        _ => Answer::ok("12345678"),
    });
    let config = r#"response_body = { plan = "collect", limit = 8, then = "unchanged" }"#;
    let rejecting = through(&probe("p", config), upstream.url()).start();
    assert_eq!(rejecting.get("/known").send().status(), 500);
    assert_eq!(rejecting.get("/chunked").send().status(), 500);
    assert_eq!(rejecting.get("/").send().text(), "12345678");

    let plugin = probe_with("p", r#"on_failure = "skip""#, config);
    let skipping = through(&plugin, upstream.url()).start();
    // Its length said so before any of it was read.
    assert_eq!(skipping.get("/known").send().text(), "123456789");
}

#[test]
fn plugins_change_a_body_in_reverse_order() {
    let upstream = Upstream::start(|_| Answer::ok("body"));
    for (one, other) in [
        ("stream", "stream"),
        ("collect", "stream"),
        ("stream", "collect"),
        ("collect", "collect"),
    ] {
        let config = |plan: &str, text: &str| {
            format!(r#"response_body = {{ plan = "{plan}", then = "suffix", text = "{text}" }}"#)
        };
        let plugins = [
            probe("one", &config(one, "-one")),
            probe("two", &config(other, "-two")),
        ];
        let gateway = chain(&plugins, r#""one", "two""#, upstream.url()).start();
        let response = gateway.get("/").send();
        assert_eq!(response.text(), "BODY-TWO-one", "{one}, {other}");
    }
}

#[test]
fn body_hooks_see_the_body_of_a_plugins_reply() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let outer = probe("outer", &wish("collect", "suffix"));
    let replier = probe(
        "replier",
        r#"request = [{ do = "reply", status = 200, body = "own" }]"#,
    );
    let gateway = chain(&[outer, replier], r#""outer", "replier""#, upstream.url()).start();
    let response = gateway.get("/").send();
    assert_eq!(
        (response.text(), response.header("content-length")),
        ("OWN+text", Some("8"))
    );
}

#[test]
fn event_streams_pass_body_hooks_and_every_event_comes_at_once() {
    for plan in ["stream", "collect"] {
        let (event, events) = mpsc::channel::<&str>();
        let events = Mutex::new(events);
        let upstream = RawUpstream::start(move |wire| {
            wire.read_head();
            wire.write("HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\n\r\n");
            while let Ok(event) = events.lock().unwrap().recv() {
                wire.write(event);
            }
        });
        let config = format!(
            "response = [{{ do = \"set-header\", name = \"x-modified\", value = \"yes\" }}]\n{}",
            wish(plan, "suffix")
        );
        let gateway = gateway(upstream.url(), &config);
        let mut wire = gateway.connect();
        gateway.get("/").write(&mut wire);
        let head = wire.read_head();
        // Heads of event streams are changed like any other.
        assert_eq!(head.header("x-modified"), Some("yes"));
        assert_eq!(head.header("x-kind"), None, "{plan}");
        for data in ["data: one\n\n", "data: two\n\n"] {
            event.send(data).unwrap();
            assert_eq!(wire.read_chunk().data, data.as_bytes(), "{plan}");
        }
    }
}

#[test]
fn a_failure_before_the_response_is_sent_is_rejected_or_skipped() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    for (plan, then) in [("fail", "fail"), ("collect", "fail"), ("collect", "panic")] {
        let rejecting = gateway(upstream.url(), &wish(plan, then));
        let response = rejecting.get("/").send();
        assert_eq!(response.status(), 500);
        assert!(!response.text().contains("+text"));

        let plugin = probe_with("p", r#"on_failure = "skip""#, &wish(plan, then));
        let response = through(&plugin, upstream.url()).start().get("/").send();
        assert_eq!((response.status(), response.text()), (200, "hello"));
        assert_eq!(response.header("x-kind"), None, "{plan}, {then}");
    }
}

#[test]
fn a_plugin_that_fails_within_a_body_aborts_the_clients_connection() {
    let upstream = Upstream::start(|_| Answer::status(200).chunks(["one", "two"]));
    for (then, lines) in [
        ("fail", ""),
        ("panic", ""),
        ("spin", r#"limits = { time = "20ms" }"#),
        ("fail", r#"on_failure = "skip""#),
    ] {
        let gateway = through(
            &probe_with("p", lines, &wish("stream", then)),
            upstream.url(),
        )
        .start();
        let mut wire = gateway.connect();
        gateway.get("/").write(&mut wire);
        // The head may not even have been sent.
        let broken = wire.try_read_response("GET").unwrap_err();
        assert_ne!(broken.end, End::TimedOut, "{then}");
        // The next one has another instance.
        assert_eq!(gateway.request("HEAD", "/").send().status(), 200);
    }
}

#[test]
fn a_plugin_that_fails_within_a_body_that_another_collects_is_the_one_to_blame() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugins = [
        probe("collecting", &wish("collect", "unchanged")),
        probe("failing", &wish("stream", "fail")),
    ];
    let gateway = chain(&plugins, r#""collecting", "failing""#, upstream.url()).start();
    assert_eq!(gateway.get("/").send().status(), 500);
}

#[test]
fn a_body_that_breaks_off_upstream_breaks_off_behind_a_plugin() {
    let upstream = Upstream::start(|request| match request.target() {
        "/length" => Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        _ => Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    });
    for path in ["/length", "/chunked"] {
        let streaming = gateway(upstream.url(), &wish("stream", "suffix"));
        let mut wire = streaming.connect();
        streaming.get(path).write(&mut wire);
        let broken = wire.try_read_response("GET").unwrap_err();
        assert_ne!(broken.end, End::TimedOut, "{path}");

        // Nothing has been sent yet: the client can be told.
        let collecting = gateway(upstream.url(), &wish("collect", "suffix"));
        assert_eq!(collecting.get(path).send().status(), 502, "{path}");
    }
}

#[test]
fn a_body_that_falls_silent_while_it_is_collected_is_a_502_that_says_so() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .toml(&probe("p", &wish("collect", "unchanged")))
        .upstream_with("a", [upstream.url()], "timeouts = { idle = \"300ms\" }")
        .route_with("/{*rest}", "a", "plugins = [\"p\"]")
        .start();
    let response = gateway.get("/").send();
    assert_eq!(
        (response.status(), response.header("proxy-status")),
        (504, Some("sluicegate; error=connection_read_timeout"))
    );
}
