//! The response phase: what it sees, what it replaces, what it closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicegate_tests::{Answer, RawUpstream, Refusing, Upstream, Wire, wait_until};

use crate::guests::{chain, marker, probe, through};

const SHOW_STATUS: &str = r#"response = [{ do = "show", what = "status", header = "x-status" }]"#;

#[test]
fn a_modifier_sees_every_status_that_an_upstream_sends() {
    let upstream = Upstream::start(|request| {
        Answer::status(request.target().trim_start_matches('/').parse().unwrap())
    });
    let gateway = through(&probe("p", SHOW_STATUS), upstream.url()).start();
    for status in [
        "200", "204", "302", "304", "404", "500", "502", "503", "504",
    ] {
        let response = gateway.get(&format!("/{status}")).send();
        assert_eq!(response.status().to_string(), status);
        assert_eq!(response.header("x-status"), Some(status));
    }
}

#[test]
fn a_modifier_does_not_see_the_gateways_own_answers() {
    let silent = RawUpstream::start(|wire| {
        let _ = wire.try_read_head();
        // Until the gateway gives up.
        wire.wait_for_close();
    });
    let refusing = Refusing::start();
    let gateway = chain(&[marker("p")], r#""p""#, refusing.url())
        .upstream_with(
            "silent",
            [silent.url()],
            r#"timeouts = { response = "100ms" }"#,
        )
        .route_with("/silent", "silent", r#"plugins = ["p"]"#)
        .start();

    let refused = gateway.get("/").send();
    let timed_out = gateway.get("/silent").send();

    assert_eq!((refused.status(), refused.header("x-out")), (502, None));
    assert_eq!((timed_out.status(), timed_out.header("x-out")), (504, None));
    assert!(refused.header("proxy-status").is_some());
    assert!(timed_out.header("proxy-status").is_some());
}

#[test]
fn a_status_can_be_changed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugin = probe("p", r#"response = [{ do = "set-status", status = 418 }]"#);
    let response = through(&plugin, upstream.url()).start().get("/").send();
    assert_eq!((response.status(), response.text()), (418, "hello"));
    assert_eq!(response.headers("x-outcome"), ["ok"]);
}

#[test]
fn a_response_whose_new_status_has_no_body_has_none() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    for status in [204, 304] {
        let config = format!(r#"response = [{{ do = "set-status", status = {status} }}]"#);
        let gateway = through(&probe("p", &config), upstream.url()).start();
        let mut wire = gateway.connect();
        // A body that should not be there would be taken for the second response's head.
        for _ in 0..2 {
            let response = gateway.get("/").send_over(&mut wire);
            assert_eq!(response.status(), status);
            assert!(status != 204 || response.header("content-length").is_none());
        }
    }
}

#[test]
fn a_response_that_had_no_body_gets_no_length_with_its_new_status() {
    // A 304 may say how long a 200 would be.
    let upstream = Upstream::start(|_| Answer::status(304).header("content-length", "5"));
    let plugin = probe("p", r#"response = [{ do = "set-status", status = 200 }]"#);
    let gateway = through(&plugin, upstream.url()).start();
    let mut wire = gateway.connect();
    for _ in 0..2 {
        let response = gateway.get("/").send_over(&mut wire);
        assert_eq!((response.status(), response.text()), (200, ""));
    }
}

#[test]
fn an_answer_to_a_method_that_a_director_made_head_has_no_length_that_does_not_come() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugin = probe("p", r#"request = [{ do = "set-method", value = "HEAD" }]"#);
    let gateway = through(&plugin, upstream.url()).start();
    let mut wire = gateway.connect();
    for _ in 0..2 {
        let response = gateway.get("/").send_over(&mut wire);
        assert_eq!((response.status(), response.text()), (200, ""));
    }
    assert_eq!(upstream.received()[0].method(), "HEAD");
}

#[test]
fn the_answer_to_a_head_that_a_director_made_get_has_no_body() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugin = probe("p", r#"request = [{ do = "set-method", value = "GET" }]"#);
    let gateway = through(&plugin, upstream.url()).start();
    let mut wire = gateway.connect();
    for _ in 0..2 {
        let response = gateway.request("HEAD", "/").send_over(&mut wire);
        assert_eq!(response.status(), 200);
    }
    assert_eq!(upstream.received()[0].method(), "GET");
}

/// An upstream whose body has no end, and whether the gateway has closed it.
fn endless() -> (RawUpstream, Arc<AtomicBool>) {
    let closed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&closed);
    let upstream = RawUpstream::start(move |wire: &mut Wire| {
        let _ = wire.try_read_head();
        let mut sent = wire
            .try_write("HTTP/1.1 200 OK\r\nx-from: upstream\r\ntransfer-encoding: chunked\r\n\r\n");
        while sent.is_ok() {
            sent = wire.try_write("4\r\nmore\r\n");
        }
        flag.store(true, Ordering::SeqCst);
    });
    (upstream, closed)
}

#[test]
fn a_modifiers_reply_takes_the_responses_place_and_closes_its_body() {
    let (upstream, closed) = endless();
    let replier = probe(
        "replier",
        r#"response = [{ do = "reply", status = 200, body = "instead" }]"#,
    );
    let plugins = [marker("outer"), replier, marker("inner")];
    let gateway = chain(&plugins, r#""outer", "replier", "inner""#, upstream.url()).start();

    let response = gateway.get("/").send();

    assert_eq!((response.status(), response.text()), (200, "instead"));
    assert_eq!(response.header("x-from"), None);
    // What the inner one did is gone with the response that it did it to.
    assert_eq!(response.headers("x-out"), ["outer"]);
    wait_until("the upstream's body is closed", || {
        closed.load(Ordering::SeqCst)
    });
}

#[test]
fn a_modifiers_failure_is_answered_500_and_closes_the_upstreams_body() {
    for failing in [
        r#"response = [{ do = "fail", text = "inside" }]"#,
        r#"response = [{ do = "panic", text = "inside" }]"#,
    ] {
        let (upstream, closed) = endless();
        let gateway = through(&probe("p", failing), upstream.url()).start();

        let response = gateway.get("/").send();

        assert_eq!(response.status(), 500);
        assert_eq!(response.header("x-from"), None);
        assert!(!response.text().contains("inside"));
        wait_until("the upstream's body is closed", || {
            closed.load(Ordering::SeqCst)
        });
    }
}
