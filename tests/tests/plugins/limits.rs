//! Limits of computing, memory and waiting. The limits are small, and what would go over them has
//! no end: no test depends on how fast the machine is.

use sluicegate_tests::{Answer, Gateway, Upstream};

use crate::guests::{probe_with, through};

/// A gateway whose plugin takes this step in `direct` for requests with `x-bad`.
fn misbehaving(upstream: &Upstream, limits: &str, step: &str) -> Gateway {
    let config = format!(r#"request = [{{ do = "only-with", header = "x-bad" }}, {step}]"#);
    let lines = format!("limits = {{ {limits} }}");
    through(&probe_with("p", &lines, &config), upstream.url()).start()
}

#[test]
fn an_endless_loop_ends_with_its_time_and_the_worker_goes_on() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = misbehaving(&upstream, r#"time = "20ms""#, r#"{ do = "spin" }"#);
    for _ in 0..2 {
        assert_eq!(gateway.get("/").header("x-bad", "1").send().status(), 500);
        assert_eq!(gateway.get("/").send().text(), "hello");
    }
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn an_endless_loop_on_the_way_out_ends_with_its_time() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let config = r#"response = [{ do = "spin" }]"#;
    let plugin = probe_with("p", r#"limits = { time = "20ms" }"#, config);
    let gateway = through(&plugin, upstream.url()).start();
    assert_eq!(gateway.get("/").send().status(), 500);
}

#[test]
fn memory_ends_at_its_limit_and_the_next_instance_has_all_of_it() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let step = r#"{ do = "grow", bytes = 8_000_000 }"#;
    let limits = |memory: &str| format!(r#"memory = "{memory}", time = "10s", wall = "10s""#);
    let tight = misbehaving(&upstream, &limits("4MiB"), step);
    for _ in 0..3 {
        assert_eq!(tight.get("/").header("x-bad", "1").send().status(), 500);
        assert_eq!(tight.get("/").send().status(), 200);
    }
    let wide = misbehaving(&upstream, &limits("16MiB"), step);
    assert_eq!(wide.get("/").header("x-bad", "1").send().status(), 200);
}

#[test]
fn a_guest_that_sleeps_fails_and_the_worker_does_not_wait_for_it() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let an_hour = r#"{ do = "sleep", milliseconds = 3_600_000 }"#;
    let gateway = misbehaving(&upstream, r#"time = "10ms""#, an_hour);
    assert_eq!(gateway.get("/").header("x-bad", "1").send().status(), 500);
    assert_eq!(gateway.get("/").send().text(), "hello");
}

#[test]
fn a_head_grows_only_up_to_the_gateways_limits() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let large = "x".repeat(2000);
    let config = format!(
        r#"request = [{{ do = "set-header", name = "x-large", value = "{large}" }}, {{ do = "set-path", value = "/{large}" }}, {{ do = "set-query", value = "{large}" }}]"#
    );
    let gateway = through(&probe_with("p", "", &config), upstream.url())
        .server(r#"limits = { header_bytes = "1KiB" }"#)
        .start();

    gateway.get("/short").send();

    let received = upstream.only();
    assert_eq!(received.headers("x-outcome"), ["too-large"; 3]);
    assert_eq!(
        (received.target(), received.header("x-large")),
        ("/short", None)
    );
}
