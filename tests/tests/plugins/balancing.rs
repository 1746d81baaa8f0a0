//! Which target gets a request, as a client sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, mpsc};

use sluicegate_tests::{Answer, Gateway, GatewayBuilder, RawUpstream, Refusing, Upstream};

use crate::guests::probe;

/// An upstream that answers with its name.
fn named(name: &'static str) -> Upstream {
    Upstream::start(move |_| Answer::ok(name))
}

fn balanced(balance: &str, targets: &[(String, u32)]) -> GatewayBuilder {
    let targets: Vec<String> = targets
        .iter()
        .map(|(url, weight)| format!("{{ url = \"{url}\", weight = {weight} }}"))
        .collect();
    Gateway::new()
        .toml(&format!(
            "[upstreams.u]\n{balance}\ntargets = [{}]",
            targets.join(", ")
        ))
        .route("/{*rest}", "u")
}

/// Who answers so many requests, each over a connection of its own.
fn answers(gateway: &Gateway, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| gateway.get("/").send().text().to_owned())
        .collect()
}

#[test]
fn weights_five_one_one_are_mixed_evenly_however_many_workers_there_are() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [(a.url(), 5), (b.url(), 1), (c.url(), 1)];
    for workers in [1, 2] {
        let gateway = balanced("balance = \"weighted-round-robin\"", &targets)
            .server(&format!("workers = {workers}"))
            .start();
        for _ in 0..3 {
            assert_eq!(
                answers(&gateway, 7).join(" "),
                "a a b a c a a",
                "{workers} workers"
            );
        }
    }
}

#[test]
fn round_robin_goes_around_however_many_workers_there_are() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [(a.url(), 1), (b.url(), 1), (c.url(), 1)];
    // Also the default.
    for (balance, workers) in [("balance = \"round-robin\"", 1), ("", 2)] {
        let gateway = balanced(balance, &targets)
            .server(&format!("workers = {workers}"))
            .start();
        assert_eq!(
            answers(&gateway, 7).join(" "),
            "a b c a b c a",
            "{workers} workers"
        );
    }
}

#[test]
fn random_reaches_every_target() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [(a.url(), 1), (b.url(), 1), (c.url(), 1)];
    let gateway = balanced("balance = \"random\"", &targets).start();
    let seen: BTreeSet<String> = answers(&gateway, 100).into_iter().collect();
    // One of them is left out by chance once in 10^17 runs.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}

/// Sends this key's request: how depends on what is hashed.
type Ask = fn(&Gateway, usize) -> String;

fn sticks(hash_on: &str, ask: Ask) {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [(a.url(), 1), (b.url(), 1), (c.url(), 1)];
    let gateway = balanced(
        &format!("balance = \"consistent-hash\"\nhash_on = \"{hash_on}\""),
        &targets,
    )
    .server("workers = 2")
    .start();
    let first: Vec<String> = (0..40).map(|key| ask(&gateway, key)).collect();
    let again: Vec<String> = (0..40).map(|key| ask(&gateway, key)).collect();
    assert_eq!(first, again, "{hash_on}");
    let used: BTreeSet<&String> = first.iter().collect();
    assert_eq!(used.len(), 3, "{hash_on}: {first:?}");
}

#[test]
fn the_same_key_goes_to_the_same_target() {
    sticks("header:x-user", |gateway, key| {
        gateway
            .get("/")
            .header("x-user", &format!("user-{key}"))
            .send()
            .text()
            .to_owned()
    });
    sticks("cookie:session", |gateway, key| {
        let cookie = format!("theme=dark; session=s{key}; x=y");
        gateway
            .get("/")
            .header("cookie", &cookie)
            .send()
            .text()
            .to_owned()
    });
    sticks("query:id", |gateway, key| {
        gateway
            .get(&format!("/?x=1&id={key}"))
            .send()
            .text()
            .to_owned()
    });
    sticks("path", |gateway, key| {
        gateway.get(&format!("/{key}?x=1")).send().text().to_owned()
    });
}

#[test]
fn a_client_sticks_by_its_address() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [(a.url(), 1), (b.url(), 1), (c.url(), 1)];
    let gateway = balanced(
        "balance = \"consistent-hash\"\nhash_on = \"client-ip\"",
        &targets,
    )
    .server("trusted_proxies = [\"127.0.0.1\"]")
    .start();
    let ask = |address: usize| {
        let field = format!("192.0.2.{address}");
        gateway
            .get("/")
            .header("x-forwarded-for", &field)
            .send()
            .text()
            .to_owned()
    };
    let first: Vec<String> = (1..40).map(ask).collect();
    let again: Vec<String> = (1..40).map(ask).collect();
    assert_eq!(first, again);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
    // Without the field the client is who is connected.
    assert_eq!(
        answers(&gateway, 20)
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
}

#[test]
fn a_plugin_gives_the_key() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [a.url(), b.url(), c.url()];
    let gateway = Gateway::new()
        .toml(&probe(
            "p",
            r#"request = [{ do = "set-balance-key", header = "x-tenant" }]"#,
        ))
        .upstream_with(
            "u",
            targets,
            "balance = \"consistent-hash\"\nhash_on = \"plugin\"",
        )
        .route_with("/{*rest}", "u", r#"plugins = ["p"]"#)
        .start();
    let ask = |key: usize| {
        gateway
            .get("/")
            .header("x-tenant", &format!("tenant-{key}"))
            .send()
            .text()
            .to_owned()
    };
    let first: Vec<String> = (0..40).map(ask).collect();
    let again: Vec<String> = (0..40).map(ask).collect();
    assert_eq!(first, again);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn only_the_keys_of_a_dead_target_move() {
    let (a, b) = (named("a"), named("b"));
    let dying = Upstream::start(|_| Answer::ok("c").and_close());
    let dead = dying.address();
    let targets = [(a.url(), 1), (b.url(), 1), (dying.url(), 1)];
    let gateway = balanced(
        "balance = \"consistent-hash\"\nhash_on = \"query:id\"\nretries = { attempts = 2, on = [\"connect-failure\"] }",
        &targets,
    )
    .start();
    let ask = |key: usize| gateway.get(&format!("/?id={key}")).send().text().to_owned();
    let before: BTreeMap<usize, String> = (0..60).map(|key| (key, ask(key))).collect();
    assert!(before.values().any(|target| target == "c"));

    drop(dying);
    sluicegate_tests::wait_until("the target refuses connections", || {
        std::net::TcpStream::connect(dead).is_err()
    });
    for (key, target) in before {
        let now = ask(key);
        if target == "c" {
            assert_ne!(now, "c");
        } else {
            assert_eq!(now, target, "key {key} had no reason to move");
        }
    }
}

#[test]
fn a_dead_target_costs_nobody_a_request_where_there_are_retries() {
    let (a, c) = (named("a"), named("c"));
    let dead = Refusing::start();
    let targets = [(a.url(), 1), (dead.url(), 1), (c.url(), 1)];
    for balance in [
        "balance = \"random\"",
        "balance = \"round-robin\"",
        "balance = \"weighted-round-robin\"",
        "balance = \"consistent-hash\"\nhash_on = \"query:id\"",
        "balance = \"maglev\"\nhash_on = \"query:id\"",
        "balance = \"consistent-hash\"\nhash_on = \"query:id\"\nbounded_load = 1.25",
        "balance = \"least-request\"",
    ] {
        let with = |attempts: u32| {
            let retries =
                format!("retries = {{ attempts = {attempts}, on = [\"connect-failure\"] }}");
            balanced(&format!("{balance}\n{retries}"), &targets).start()
        };
        let statuses = |gateway: &Gateway| -> Vec<u16> {
            (0..30)
                .map(|key| gateway.get(&format!("/?id={key}")).send().status())
                .collect()
        };
        assert!(
            statuses(&with(1)).iter().all(|status| *status == 200),
            "{balance}"
        );
        assert!(statuses(&with(0)).contains(&502), "{balance}");
    }
}

#[test]
fn least_request_leaves_a_busy_target_alone() {
    let (began, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    // Holds what comes with /hold, and answers all else.
    let holding = move |name: &'static str| {
        let (began, released) = (began.clone(), Arc::clone(&released));
        RawUpstream::start(move |wire| {
            while let Ok(head) = wire.try_read_head() {
                if head.target() == "/hold" {
                    began.send(name).unwrap();
                    let _ = released.lock().unwrap().recv();
                }
                wire.write(format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{name}"
                ));
            }
        })
    };
    let (a, b) = (holding("a"), holding("b"));
    let gateway = balanced("balance = \"least-request\"", &[(a.url(), 1), (b.url(), 1)])
        .server("workers = 2")
        .start();

    let mut held = gateway.connect();
    gateway.get("/hold").write(&mut held);
    let busy = begins.recv_timeout(sluicegate_tests::LIMIT).unwrap();
    let idle = if busy == "a" { "b" } else { "a" };

    // With two targets the two that are drawn are both of them: the idle one always wins.
    assert!(answers(&gateway, 20).iter().all(|name| name == idle));

    release.send(()).unwrap();
    assert_eq!(held.read_response("GET").text(), busy);
}

#[test]
fn a_target_that_fails_fast_does_not_attract_traffic_under_peak_ewma() {
    let slow = Upstream::start(|_| Answer::ok("slow").pause(std::time::Duration::from_millis(5)));
    let failing = Upstream::start(|_| Answer::status(503));
    let targets = [(failing.url(), 1), (slow.url(), 1)];
    let gateway = balanced("balance = \"peak-ewma\"", &targets).start();
    for _ in 0..60 {
        gateway.get("/").send();
    }
    // Answering at once it would get nearly all requests, were its failures not charged.
    let (failures, answers) = (failing.received().len(), slow.received().len());
    assert!(answers > 40, "{failures} {answers}");
}
