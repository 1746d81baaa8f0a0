//! How long instances live, and how many there are.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate_tests::{Answer, Gateway, RawUpstream, Upstream};

use crate::guests::{probe_with, through};

const COUNT: &str = r#"request = [{ do = "show-calls", header = "x-calls" }, { do = "only-with", header = "x-fail" }, { do = "panic", text = "gone" }]
    response = [{ do = "show-calls", header = "x-calls" }]"#;

fn counting(upstream: &Upstream, lines: &str) -> Gateway {
    through(&probe_with("p", lines, COUNT), upstream.url()).start()
}

fn calls(upstream: &Upstream) -> Vec<String> {
    let received = upstream.received();
    let calls = received
        .iter()
        .map(|request| request.header("x-calls").unwrap());
    calls.map(str::to_owned).collect()
}

#[test]
fn a_reused_instance_keeps_its_memory_until_it_traps() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = counting(&upstream, "");
    for _ in 0..3 {
        gateway.get("/").send();
    }
    assert_eq!(gateway.get("/").header("x-fail", "1").send().status(), 500);
    for _ in 0..2 {
        gateway.get("/").send();
    }
    assert_eq!(calls(&upstream), ["1", "2", "3", "1", "2"]);
}

#[test]
fn with_isolation_by_request_each_exchange_has_an_instance_of_its_own_for_all_its_hooks() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = counting(&upstream, r#"isolation = "request""#);
    for _ in 0..3 {
        // A third one, for `modify`, would not have counted the call of `direct`.
        assert_eq!(gateway.get("/").send().header("x-calls"), Some("1"));
    }
    assert_eq!(calls(&upstream), ["1", "1", "1"]);
}

#[test]
fn instances_of_finished_exchanges_are_free_again_whatever_the_isolation() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    for isolation in ["reuse", "request"] {
        let lines = format!(
            "isolation = \"{isolation}\"\nlimits = {{ instances = 1, time = \"10s\", wall = \"10s\" }}"
        );
        let gateway = counting(&upstream, &lines);
        for round in 0..5 {
            let fail = gateway.get("/").header("x-fail", "1").send();
            assert_eq!(fail.status(), 500, "{isolation}, {round}");
            assert_eq!(
                gateway.get("/").send().status(),
                200,
                "{isolation}, {round}"
            );
        }
    }
}

/// An upstream whose responses begin, and end when they are told to.
fn held() -> (RawUpstream, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let upstream = RawUpstream::start(move |wire| {
        while wire.try_read_head().is_ok() {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            if wire.try_write(head).is_err() || released.lock().unwrap().recv().is_err() {
                return;
            }
            if wire.try_write("4\r\nlast\r\n0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    (upstream, release)
}

const STREAM: &str = r#"response_body = { plan = "stream", then = "suffix", text = "!" }"#;

#[test]
fn a_second_stream_waits_for_the_only_instance() {
    let (upstream, release) = held();
    let lines = r#"limits = { instances = 1, time = "10s", wall = "10s" }"#;
    let gateway = through(&probe_with("p", lines, STREAM), upstream.url()).start();
    let (mut one, mut other) = (gateway.connect(), gateway.connect());

    gateway.get("/").write(&mut one);
    assert_eq!(one.read_head().status(), 200);
    assert_eq!(one.read_chunk().data, b"FIRST");
    gateway.get("/").write(&mut other);
    assert_eq!(other.peek(Duration::from_millis(200)), b"");

    release.send(()).unwrap();
    assert_eq!(one.read_chunk().data, b"LAST");
    assert_eq!(one.read_chunk().data, b"!");
    release.send(()).unwrap();
    assert_eq!(other.read_response("GET").text(), "FIRSTLAST!");
}

#[test]
fn who_waits_for_an_instance_for_too_long_is_answered_500() {
    let (upstream, release) = held();
    let lines = r#"limits = { instances = 1, time = "100ms", wall = "100ms" }"#;
    let gateway = through(&probe_with("p", lines, STREAM), upstream.url()).start();
    let mut one = gateway.connect();

    gateway.get("/").write(&mut one);
    assert_eq!(one.read_head().status(), 200);
    assert_eq!(gateway.get("/").send().status(), 500);

    release.send(()).unwrap();
    assert_eq!(one.try_read_chunked().unwrap().bytes, b"FIRSTLAST!");
}

#[test]
fn an_instance_whose_client_has_gone_is_free_again() {
    let (upstream, release) = held();
    let lines = r#"limits = { instances = 1, time = "10s", wall = "10s" }"#;
    let gateway = through(&probe_with("p", lines, STREAM), upstream.url()).start();

    let mut gone = gateway.connect();
    gateway.get("/").write(&mut gone);
    assert_eq!(gone.read_head().status(), 200);
    gone.reset_when_dropped();
    drop(gone);

    let mut next = gateway.connect();
    gateway.get("/").write(&mut next);
    assert_eq!(next.read_head().status(), 200);
    // One for each connection that the upstream may still be waiting on.
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(next.try_read_chunked().unwrap().bytes, b"FIRSTLAST!");
}
