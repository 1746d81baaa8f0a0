//! `on_failure`: what becomes of an exchange whose plugin fails.

use sluicegate_tests::{Answer, Upstream, wait_until};

use crate::guests::{chain, marker, probe, probe_with, through};

const FAILURES: [&str; 2] = [
    r#"{ do = "fail", text = "inside-text" }"#,
    r#"{ do = "panic", text = "inside-text" }"#,
];

#[test]
fn reject_answers_500_and_forwards_nothing_and_tells_nothing() {
    for failure in FAILURES {
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let failing = probe("inside-name", &format!("request = [{failure}]"));
        let plugins = [marker("one"), failing];
        let gateway = chain(&plugins, r#""one", "inside-name""#, upstream.url()).start();

        let response = gateway.get("/").send();

        assert_eq!(response.status(), 500);
        assert_eq!(
            response.header("proxy-status"),
            Some("sluicegate; error=proxy_internal_error")
        );
        assert!(response.header("x-request-id").is_some());
        let everything = format!("{:?} {}", response.head, response.text());
        assert!(!everything.contains("inside"), "{everything}");
        assert_eq!(upstream.connections(), 0);
    }
}

#[test]
fn skip_goes_on_as_if_the_plugin_were_not_listed() {
    for failure in FAILURES {
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let failing = probe_with(
            "failing",
            r#"on_failure = "skip""#,
            &format!("request = [{failure}]\nresponse = [{failure}]"),
        );
        let plugins = [marker("one"), failing, marker("two")];
        let listed = r#""one", "failing", "two""#;
        let gateway = chain(&plugins, listed, upstream.url()).start();

        for _ in 0..2 {
            let response = gateway.get("/").send();
            assert_eq!((response.status(), response.text()), (200, "hello"));
            assert_eq!(response.headers("x-out"), ["two", "one"]);
        }
        for received in upstream.received() {
            assert_eq!(received.headers("x-in"), ["one", "two"]);
        }
    }
}

#[test]
fn what_a_skipped_plugin_had_changed_before_it_failed_is_undone() {
    let upstream = Upstream::start(|_| Answer::ok("hello").header("x-from", "upstream"));
    let failing = probe_with(
        "p",
        r#"on_failure = "skip""#,
        r#"request = [
             { do = "set-header", name = "x-half", value = "done" },
             { do = "remove-header", name = "x-client" },
             { do = "set-path", value = "/elsewhere" },
             { do = "set-method", value = "DELETE" },
             { do = "fail", text = "half way" },
           ]
           response = [
             { do = "set-header", name = "x-half", value = "done" },
             { do = "remove-header", name = "x-from" },
             { do = "set-status", status = 418 },
             { do = "panic", text = "half way" },
           ]"#,
    );
    let gateway = through(&failing, upstream.url()).start();

    let response = gateway.get("/here").header("x-client", "1").send();

    let received = upstream.only();
    assert_eq!((received.method(), received.target()), ("GET", "/here"));
    assert_eq!(received.header("x-half"), None);
    assert_eq!(received.header("x-client"), Some("1"));
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("x-half"), None);
    assert_eq!(response.header("x-from"), Some("upstream"));
}

#[test]
fn a_plugin_that_was_skipped_on_the_way_in_is_not_called_on_the_way_out() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let failing = probe_with(
        "p",
        r#"on_failure = "skip""#,
        r#"request = [{ do = "only-with", header = "x-fail" }, { do = "fail", text = "no" }]
           response = [{ do = "set-header", name = "x-p", value = "was here" }]
           request_body = { plan = "collect", then = "suffix", text = "+p" }"#,
    );
    let gateway = through(&failing, upstream.url()).start();

    let skipped = gateway.post("/").header("x-fail", "1").body("body").send();
    let next = gateway.post("/").body("body").send();

    let received = upstream.received();
    assert_eq!((received[0].text(), skipped.header("x-p")), ("body", None));
    assert_eq!(
        (received[1].text(), next.header("x-p")),
        ("BODY+p", Some("was here"))
    );
}

#[test]
fn a_plugin_that_fails_on_the_way_out_is_answered_500_through_no_other_plugin() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let failing = probe("failing", &format!("response = [{}]", FAILURES[0]));
    let plugins = [marker("outer"), failing];
    let gateway = chain(&plugins, r#""outer", "failing""#, upstream.url()).start();

    let response = gateway.get("/").send();

    // The gateway's own answers are not for modifiers.
    assert_eq!((response.status(), response.header("x-out")), (500, None));
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_failure_of_one_exchange_is_none_of_the_next() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let config = format!(
        r#"request = [{{ do = "only-with", header = "x-fail" }}, {}]"#,
        FAILURES[1]
    );
    let gateway = through(&probe("p", &config), upstream.url()).start();
    let mut wire = gateway.connect();
    for _ in 0..3 {
        let failed = gateway.get("/").header("x-fail", "1").send_over(&mut wire);
        let good = gateway.get("/").send_over(&mut wire);
        assert_eq!((failed.status(), good.status()), (500, 200));
    }
}

#[test]
fn a_plugin_that_keeps_trapping_is_left_alone_until_it_has_recovered() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let lines = r#"on_failure = "skip"
        breaker = { failures = 3, rate = 0.5, pause = "500ms" }"#;
    let config = r#"request = [{ do = "append-header", name = "x-in", value = "p" }, { do = "only-with", header = "x-fail" }, { do = "panic", text = "gone" }]"#;
    let gateway = through(&probe_with("p", lines, config), upstream.url()).start();
    let was_called = |fail: bool| {
        let mut request = gateway.get("/");
        if fail {
            request = request.header("x-fail", "1");
        }
        assert_eq!(request.send().status(), 200);
        upstream.received().last().unwrap().header("x-in").is_some()
    };
    assert!(was_called(false));
    for _ in 0..3 {
        was_called(true);
    }
    // It would work, and is not asked.
    assert!(!was_called(false));
    wait_until("it is called again", || was_called(false));
    for _ in 0..5 {
        assert!(was_called(false));
    }
}

#[test]
fn errors_that_a_plugin_returns_do_not_take_it_from_others() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let lines = r"breaker = { failures = 1, rate = 0.0 }";
    let config =
        r#"request = [{ do = "only-with", header = "x-fail" }, { do = "fail", text = "no" }]"#;
    let gateway = through(&probe_with("p", lines, config), upstream.url()).start();
    for _ in 0..5 {
        assert_eq!(gateway.get("/").header("x-fail", "1").send().status(), 500);
    }
    assert_eq!(gateway.get("/").send().status(), 200);
}
