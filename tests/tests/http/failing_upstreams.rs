//! Upstreams that fail: ejection, retries.

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
fn a_target_whose_ejection_has_ended_warms_up() {
    let ((bad, ill), good) = (ailing(), named("good"));
    let gateway = in_front_of(
        [bad.url(), good.url()],
        "outliers = { failures = 1, ejection = \"50ms\", slow_start = \"1h\" }",
    )
    .start();
    wait_until("the target has failed", || {
        gateway.get("/").send();
        !bad.received().is_empty()
    });
    ill.store(false, Ordering::SeqCst);
    wait_until("the target serves again", || {
        gateway.get("/").send().text() == "well"
    });
    assert!(gateway.running().snapshot().upstreams[0].is_warming_up(0));
    let before = bad.received().len();
    assert_eq!(count(&statuses(&gateway, 400), 200), 400);
    // A tenth of its half: twenty, with a standard deviation of four.
    let served = bad.received().len() - before;
    assert!((1..60).contains(&served), "{served}");
}

#[test]
fn a_request_that_is_sent_again_takes_a_target_that_warms_up() {
    let ((bad, ill), (other, other_ill)) = (ailing(), ailing());
    other_ill.store(false, Ordering::SeqCst);
    let lines = format!(
        "{RETRIES}\noutliers = {{ failures = 1, ejection = \"50ms\", slow_start = \"1h\" }}"
    );
    let gateway = in_front_of([bad.url(), other.url()], &lines).start();
    wait_until("the target has failed", || {
        gateway.get("/").send();
        !bad.received().is_empty()
    });
    ill.store(false, Ordering::SeqCst);
    wait_until("the target warms up", || {
        gateway.get("/").send();
        gateway.running().snapshot().upstreams[0].is_warming_up(0)
    });
    // The one that most requests go to fails once: whoever meets that is answered by the other one.
    other_ill.store(true, Ordering::SeqCst);
    assert_eq!(statuses(&gateway, 20), [200; 20]);
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

const RETRIES: &str = "retries = { attempts = 1, on = [\"502\", \"503\", \"504\"], budget = 1.0 }";

#[test]
fn an_idempotent_request_is_sent_again_to_another_target() {
    let ((bad, _), good) = (ailing(), named("good"));
    let gateway = in_front_of([bad.url(), good.url()], RETRIES)
        .server("workers = 2")
        .start();
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "GET", "HEAD"] {
        assert_eq!(
            gateway.request(method, "/").send().status(),
            200,
            "{method}"
        );
    }
    // Round robin: every other one.
    assert_eq!((bad.received().len(), good.received().len()), (4, 7));
}

#[test]
fn what_is_not_idempotent_or_has_a_body_is_not_sent_again() {
    let ((bad, _), good) = (ailing(), named("good"));
    let gateway = in_front_of([bad.url(), good.url()], RETRIES).start();
    for request in [
        gateway.post("/"),
        gateway.post("/").body("body"),
        gateway.request("PATCH", "/"),
        gateway.request("PUT", "/").body("body"),
        gateway.request("PUT", "/").chunks(["body"]),
    ] {
        let statuses = [request.send().status(), request.send().status()];
        assert_eq!(statuses, [503, 200], "{request:?}");
    }
    assert_eq!((bad.received().len(), good.received().len()), (5, 5));
}

#[test]
fn a_request_is_sent_again_where_a_target_breaks_or_is_silent_only_if_its_method_is_idempotent() {
    let silent = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let _ = wire.wait_for_close();
    });
    let hanging_up = RawUpstream::start(|wire| {
        let _ = wire.read_head();
    });
    for (url, status) in [(silent.url(), 504), (hanging_up.url(), 502)] {
        let good = named("good");
        let lines = format!("{RETRIES}\ntimeouts = {{ response = \"200ms\" }}");
        let gateway = in_front_of([url, good.url()], &lines).start();
        assert_eq!(statuses(&gateway, 4), [200; 4], "{status}");
        let posted = [
            gateway.post("/").send().status(),
            gateway.post("/").send().status(),
        ];
        assert_eq!(posted, [status, 200]);
        assert_eq!(good.received().len(), 5);
    }
}

#[test]
fn only_what_is_listed_is_a_reason_to_try_again() {
    let ((bad, _), good, refusing) = (ailing(), named("good"), Refusing::start());
    let ask = |bad: String, on: &str| {
        let lines = format!("retries = {{ attempts = 1, on = [{on}] }}");
        statuses(&in_front_of([bad, good.url()], &lines).start(), 2)
    };
    assert_eq!(ask(bad.url(), "\"502\""), [503, 200]);
    assert_eq!(ask(bad.url(), "\"connect-failure\""), [503, 200]);
    assert_eq!(ask(refusing.url(), "\"502\", \"503\""), [502, 200]);
    assert_eq!(
        ask(refusing.url(), "\"connect-failure\", \"503\""),
        [200, 200]
    );
}

#[test]
fn without_another_target_the_last_answer_is_passed_on() {
    let overloaded = Upstream::start(|_| {
        Answer::status(503)
            .header("retry-after", "120")
            .body("not now")
    });
    let gateway = in_front_of([overloaded.url()], RETRIES).start();
    let response = gateway.get("/").send();
    assert_eq!((response.status(), response.text()), (503, "not now"));
    assert_eq!(response.header("retry-after"), Some("120"));
    assert_eq!(overloaded.received().len(), 1);
}

#[test]
fn attempts_bound_the_targets_of_one_request() {
    let targets: Vec<_> = (0..4).map(|_| ailing()).collect();
    let gateway = in_front_of(
        targets.iter().map(|(target, _)| target.url()),
        "retries = { attempts = 2, on = [\"503\"] }",
    )
    .start();
    assert_eq!(gateway.get("/").send().status(), 503);
    let received = || targets.iter().map(|(target, _)| target.received().len());
    assert_eq!((received().sum::<usize>(), received().max()), (3, Some(1)));
}

#[test]
fn the_budget_bounds_retries() {
    let targets = [ailing(), ailing()];
    let gateway = in_front_of(
        targets.iter().map(|(target, _)| target.url()),
        "retries = { attempts = 1, on = [\"503\"], budget = 0.1 }",
    )
    .server("workers = 2")
    .start();
    assert_eq!(count(&statuses(&gateway, 100), 503), 100);
    let received: usize = targets
        .iter()
        .map(|(target, _)| target.received().len())
        .sum();
    // Ten, and a tenth of a hundred; a few more where the window has moved on meanwhile.
    assert!((115..=135).contains(&received), "{received}");

    let without = in_front_of(
        targets.iter().map(|(target, _)| target.url()),
        "retries = { attempts = 1, on = [\"503\"], budget = 0 }",
    )
    .start();
    statuses(&without, 10);
    let after: usize = targets
        .iter()
        .map(|(target, _)| target.received().len())
        .sum();
    assert_eq!(after, received + 10);
}

#[test]
fn connections_that_could_not_be_made_use_up_no_budget() {
    let (refusing, good) = (Refusing::start(), named("good"));
    let gateway = in_front_of(
        [refusing.url(), good.url()],
        "retries = { attempts = 1, on = [\"connect-failure\", \"503\"], budget = 0 }",
    )
    .start();
    assert_eq!(statuses(&gateway, 40), [200; 40]);
}

#[test]
fn a_discarded_answer_keeps_its_connection_if_it_is_short_and_is_not_waited_for() {
    // Head and body in one piece.
    let bad = RawUpstream::start(|wire| {
        while wire.try_read_head().is_ok() {
            wire.write("HTTP/1.1 503 no\r\ncontent-length: 5\r\n\r\nshort");
        }
    });
    let good = named("good");
    let gateway = in_front_of([bad.url(), good.url()], RETRIES).start();
    assert_eq!(statuses(&gateway, 10), [200; 10]);
    assert_eq!(good.received().len(), 10);
    assert_eq!(bad.connections(), 1);

    let endless = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 503 no\r\ncontent-length: 1000\r\n\r\nhalf");
        let _ = wire.wait_for_close();
    });
    let gateway = in_front_of([endless.url(), good.url()], RETRIES).start();
    assert_eq!(statuses(&gateway, 4), [200; 4]);
    assert_eq!(endless.connections(), 2);
}
