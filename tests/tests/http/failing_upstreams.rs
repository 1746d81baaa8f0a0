//! Upstreams that fail again and again: ejection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicegate_tests::{
    Answer, Gateway, GatewayBuilder, RawUpstream, Refusing, Upstream, wait_until,
};

/// An upstream that answers with its name.
fn named(name: &'static str) -> Upstream {
    Upstream::start(move |_| Answer::ok(name))
}

/// An upstream that answers 503 as long as it is told to, and with "well" otherwise.
fn ailing() -> (Upstream, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(true));
    let upstream = Upstream::start({
        let ill = Arc::clone(&ill);
        move |_| {
            if ill.load(Ordering::SeqCst) {
                Answer::status(503)
            } else {
                Answer::ok("well")
            }
        }
    });
    (upstream, ill)
}

fn in_front_of(targets: impl IntoIterator<Item = impl AsRef<str>>, lines: &str) -> GatewayBuilder {
    Gateway::new()
        .upstream_with("a", targets, lines)
        .route("/{*rest}", "a")
}

/// The statuses of so many requests, each over a connection of its own.
fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    (0..count)
        .map(|_| gateway.get("/").send().status())
        .collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

#[test]
fn an_ejected_target_gets_no_requests_on_any_worker() {
    let ((bad, _), good) = (ailing(), named("good"));
    let gateway = in_front_of(
        [bad.url(), good.url()],
        "outliers = { failures = 3, ejection = \"1h\" }",
    )
    .server("workers = 2")
    .start();
    let statuses = statuses(&gateway, 40);
    assert_eq!(count(&statuses, 503), 3, "{statuses:?}");
    assert_eq!((bad.received().len(), good.received().len()), (3, 37));
}

#[test]
fn an_ejected_target_comes_back() {
    let ((bad, ill), good) = (ailing(), named("good"));
    let gateway = in_front_of(
        [bad.url(), good.url()],
        "outliers = { failures = 2, ejection = \"100ms\" }",
    )
    .start();
    wait_until("the target has failed twice", || {
        gateway.get("/").send();
        bad.received().len() >= 2
    });
    ill.store(false, Ordering::SeqCst);
    wait_until("the target serves again", || {
        gateway.get("/").send().text() == "well"
    });
}

#[test]
fn all_that_is_no_answer_counts_as_a_failure() {
    let silent = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let _ = wire.wait_for_close();
    });
    let hanging_up = RawUpstream::start(|wire| {
        let _ = wire.read_head();
    });
    let refusing = Refusing::start();
    let malformed = Upstream::start(|_| Answer::raw("HTTP/1.1 ok\r\n\r\n"));
    let in_two_ways = Upstream::start(|_| {
        Answer::raw("HTTP/1.1 200 ok\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n")
    });
    let answering = [502, 503, 504].map(|status| Upstream::start(move |_| Answer::status(status)));
    let mut urls = vec![
        silent.url(),
        hanging_up.url(),
        refusing.url(),
        malformed.url(),
        in_two_ways.url(),
    ];
    urls.extend(answering.iter().map(Upstream::url));
    for (case, url) in urls.into_iter().enumerate() {
        let good = named("good");
        let gateway = in_front_of(
            [url, good.url()],
            "outliers = { failures = 2, ejection = \"1h\" }\ntimeouts = { response = \"200ms\" }",
        )
        .start();
        let statuses = statuses(&gateway, 12);
        assert_eq!(count(&statuses, 200), 10, "case {case}: {statuses:?}");
    }
}

#[test]
fn an_answer_in_between_or_another_status_is_no_reason_to_eject() {
    let turn = AtomicBool::new(false);
    let moody = Upstream::start(move |_| {
        let fails = turn.fetch_xor(true, Ordering::SeqCst);
        Answer::status(if fails { 503 } else { 404 })
    });
    let failing = Upstream::start(|_| Answer::status(500));
    let gateway = in_front_of(
        [moody.url(), failing.url()],
        "outliers = { failures = 2, ejection = \"1h\" }",
    )
    .start();
    let statuses = statuses(&gateway, 40);
    assert_eq!((count(&statuses, 503), count(&statuses, 500)), (10, 20));
}

#[test]
fn no_more_than_the_share_is_ejected() {
    let targets: Vec<_> = (0..4).map(|_| ailing()).collect();
    let gateway = in_front_of(
        targets.iter().map(|(target, _)| target.url()),
        "outliers = { failures = 2, ejection = \"1h\", max_ejected = 0.5 }",
    )
    .start();
    statuses(&gateway, 48);
    let mut received: Vec<_> = targets
        .iter()
        .map(|(target, _)| target.received().len())
        .collect();
    received.sort_unstable();
    assert_eq!(&received[..2], [2, 2], "{received:?}");
    assert_eq!(received.iter().sum::<usize>(), 48);
    assert!(received[2] >= 20, "{received:?}");
}

#[test]
fn where_all_are_ejected_all_are_used() {
    let targets: Vec<_> = (0..3).map(|_| ailing()).collect();
    let gateway = in_front_of(
        targets.iter().map(|(target, _)| target.url()),
        "outliers = { failures = 1, ejection = \"1h\", max_ejected = 1.0 }",
    )
    .start();
    assert_eq!(count(&statuses(&gateway, 3), 503), 3);
    for (_, ill) in &targets {
        ill.store(false, Ordering::SeqCst);
    }
    assert_eq!(count(&statuses(&gateway, 9), 200), 9);
    for (target, _) in &targets {
        assert_eq!(target.received().len(), 4);
    }
}
