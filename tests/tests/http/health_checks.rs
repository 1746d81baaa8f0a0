//! Active health checks: targets that are down get no requests, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicegate_tests::{Answer, Gateway, GatewayBuilder, Refusing, Upstream, wait_until};

/// An upstream that answers with its name, and its checks as it is told.
fn checked(name: &'static str) -> (Upstream, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let upstream = Upstream::start({
        let well = Arc::clone(&well);
        move |request| match request.target() {
            "/healthz" if well.load(Ordering::SeqCst) => Answer::ok("fine"),
            "/healthz" => Answer::status(500),
            _ => Answer::ok(name),
        }
    });
    (upstream, well)
}

fn in_front_of(targets: impl IntoIterator<Item = impl AsRef<str>>, health: &str) -> GatewayBuilder {
    Gateway::new()
        .upstream_with("a", targets, &format!("health = {{ {health} }}"))
        .route("/{*rest}", "a")
}

fn names(gateway: &Gateway, count: usize) -> Vec<String> {
    let name = |_| gateway.get("/").send().text().to_owned();
    (0..count).map(name).collect()
}

const QUICK: &str = r#"path = "/healthz", interval = "10ms", timeout = "5s", healthy = 2, unhealthy = 2, slow_start = "0s""#;

#[test]
fn a_target_whose_checks_fail_gets_no_requests_until_they_pass_again() {
    let ((one, one_is_well), (two, _)) = (checked("one"), checked("two"));
    let gateway = in_front_of([one.url(), two.url()], QUICK)
        .server("workers = 2")
        .start();
    assert!(names(&gateway, 4).contains(&"one".to_owned()));
    one_is_well.store(false, Ordering::SeqCst);
    wait_until("it is down", || names(&gateway, 4) == ["two"; 4]);
    assert_eq!(names(&gateway, 20), ["two"; 20]);
    one_is_well.store(true, Ordering::SeqCst);
    wait_until("it is up", || {
        names(&gateway, 4).contains(&"one".to_owned())
    });
    let check = one
        .received()
        .into_iter()
        .find(|request| request.target() == "/healthz");
    assert_eq!(
        check.unwrap().header("user-agent"),
        Some("sluicegate-health")
    );
}

#[test]
fn a_target_that_takes_no_connections_is_found_without_a_request() {
    let (dead, (alive, _)) = (Refusing::start(), checked("alive"));
    let gateway = in_front_of(
        [dead.url(), alive.url()],
        r#"connect = true, interval = "10ms", unhealthy = 1"#,
    )
    .start();
    wait_until("it is down", || {
        (0..4).all(|_| gateway.get("/").send().status() == 200)
    });
    assert_eq!(names(&gateway, 20), ["alive"; 20]);
}

#[test]
fn where_all_are_down_all_are_used() {
    let ((one, one_is_well), (two, two_is_well)) = (checked("one"), checked("two"));
    one_is_well.store(false, Ordering::SeqCst);
    let gateway = in_front_of([one.url(), two.url()], QUICK).start();
    wait_until("one is down", || names(&gateway, 4) == ["two"; 4]);
    two_is_well.store(false, Ordering::SeqCst);
    wait_until("both are used", || {
        names(&gateway, 4).contains(&"one".to_owned())
    });
    for name in names(&gateway, 20) {
        assert!(name == "one" || name == "two", "{name}");
    }
}

#[test]
fn where_only_one_that_warms_up_is_left_it_gets_all_requests() {
    let ((one, one_is_well), ill) = (checked("one"), Arc::new(AtomicBool::new(false)));
    let two = Upstream::start({
        let ill = Arc::clone(&ill);
        move |request| match request.target() {
            "/healthz" => Answer::ok("fine"),
            _ if ill.load(Ordering::SeqCst) => Answer::status(503),
            _ => Answer::ok("two"),
        }
    });
    one_is_well.store(false, Ordering::SeqCst);
    let lines = r#"health = { path = "/healthz", interval = "10ms", timeout = "5s", healthy = 1, unhealthy = 1, slow_start = "1h" }
        outliers = { failures = 1, ejection = "1h" }"#;
    let gateway = Gateway::new()
        .upstream_with("a", [one.url(), two.url()], lines)
        .route("/{*rest}", "a")
        .start();
    let upstream = || Arc::clone(&gateway.running().snapshot().upstreams[0]);
    wait_until("one is down", || upstream().is_down(0));
    one_is_well.store(true, Ordering::SeqCst);
    wait_until("one warms up", || upstream().is_warming_up(0));
    ill.store(true, Ordering::SeqCst);
    wait_until("two is ejected", || {
        gateway.get("/").send();
        upstream().is_ejected(1)
    });
    assert_eq!(names(&gateway, 30), ["one"; 30]);
}

#[test]
fn checks_are_made_once_for_all_workers() {
    let (one, _) = checked("one");
    let gateway = in_front_of([one.url()], r#"path = "/healthz", interval = "1h""#)
        .server("workers = 3")
        .start();
    let checks = || {
        let received = one.received();
        let checks = received
            .iter()
            .filter(|request| request.target() == "/healthz");
        checks.count()
    };
    wait_until("it has been checked", || checks() > 0);
    assert_eq!(names(&gateway, 20), ["one"; 20]);
    assert_eq!(checks(), 1);
}

#[test]
fn an_answer_that_is_not_the_expected_one_or_comes_too_late_fails_a_check() {
    let slow = Upstream::start(|request| match request.target() {
        "/healthz" => Answer::nothing(),
        _ => Answer::ok("slow"),
    });
    let (other, _) = checked("other");
    for health in [
        r#"path = "/healthz", timeout = "50ms", interval = "10ms", unhealthy = 1"#,
        r#"path = "/healthz", status = 200, timeout = "50ms", interval = "10ms", unhealthy = 1"#,
    ] {
        let gateway = in_front_of([slow.url(), other.url()], health).start();
        wait_until("the slow one is down", || {
            names(&gateway, 4) == ["other"; 4]
        });
    }
    let gateway = in_front_of(
        [other.url(), slow.url()],
        r#"path = "/healthz", status = 204, timeout = "50ms", interval = "10ms", unhealthy = 1"#,
    )
    .start();
    // 200 is not 204: both are down, and so both are used.
    wait_until("both are used", || {
        let names = names(&gateway, 4);
        names.contains(&"other".to_owned()) && names.contains(&"slow".to_owned())
    });
}
