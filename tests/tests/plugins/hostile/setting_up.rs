//! Guests that are hostile while they are configured: they are refused, at the start and in a reload, and a reload
//! that is refused changes nothing. Those that are slow, or turn hostile once they have been accepted, keep no worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluicegate_tests::{Answer, Upstream, wait_until};

use super::{Load, Siege, assert_failed};
use crate::guests::{marker, probe_with};
use crate::reload::{Live, configuration};

const LONG: &str = r#"limits = { time = "10s", wall = "10s", memory = "8MiB" }"#;

/// What is done in `configure`, under which limits, and what the refusal says of it.
const MISDEEDS: [(&str, &str, &str); 7] = [
    (
        r#"{ do = "spin" }"#,
        r#"limits = { time = "10ms", wall = "300ms" }"#,
        "time limit",
    ),
    (r#"{ do = "panic", text = "no" }"#, LONG, "unreachable"),
    (r#"{ do = "recurse" }"#, LONG, "it trapped"),
    (
        r#"{ do = "grow", bytes = 1_000_000_000 }"#,
        LONG,
        "it trapped",
    ),
    (r#"{ do = "exit" }"#, LONG, "it trapped"),
    (
        r#"{ do = "sleep", milliseconds = 3_600_000 }"#,
        LONG,
        "asked WASI to wait",
    ),
    (
        r#"{ do = "fail-large", bytes = 500_000 }"#,
        LONG,
        "refuses it",
    ),
];

fn text(plugin: &str, url: &str) -> String {
    let plain = "[[routes]]\npath = \"/plain\"\nupstream = \"a\"\n";
    configuration(1, plugin, url, "/{*rest}") + plain
}

#[test]
fn in_configure_it_is_refused_and_the_old_configuration_serves_on() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let url = upstream.url();
    let live = Live::start(&text(&marker("p"), &url));
    let load = Load::start(live.server.addresses()[0]);
    for (step, limits, expected) in MISDEEDS {
        let hostile = probe_with("p", limits, &format!("configure = [{step}]"));
        let error = live.reload(&text(&hostile, &url)).unwrap_err();
        assert!(error.contains("plugins.p.config"), "{step}: {error}");
        assert!(error.contains(expected), "{step}: {error}");
        assert!(error.len() < 16 * 1024, "{step}: {}", error.len());
        assert_eq!(live.get("/").send().header("x-out"), Some("p"), "{step}");
    }
    live.reload(&text("", &url)).unwrap();
    assert_eq!(live.get("/").send().header("x-out"), None);
    load.end();
}

/// What happens for requests with `x-bad`: the instance is lost.
const TRAP: &str =
    r#"request = [{ do = "only-with", header = "x-bad" }, { do = "panic", text = "inside" }]"#;

impl Siege {
    /// Loses the plugin's instance, and asks for the plugin and for the plain route at the same time: the plain one is answered
    /// while another instance is made. Returns the status of the other answer.
    fn serves_while_an_instance_is_made(&self) -> u16 {
        let lost = self.gateway.get("/attack").header("x-bad", "1").send();
        assert_failed(&lost, "a lost instance");
        let (mut slow, mut plain) = (self.gateway.connect(), self.gateway.connect());
        // Both connections are with the worker, before it has anything to do for the plugin.
        let request = self.gateway.get("/plain");
        assert_eq!(request.send_over(&mut slow).status(), 200);
        assert_eq!(request.send_over(&mut plain).status(), 200);
        self.gateway.get("/attack").write(&mut slow);
        for _ in 0..3 {
            assert_eq!(request.send_over(&mut plain).status(), 200);
        }
        assert_eq!(slow.peek(Duration::from_millis(1)), b"", "nobody waited");
        slow.read_response("GET").status()
    }
}

#[test]
fn a_component_that_takes_long_to_configure_keeps_no_worker() {
    let config = format!("configure = [{{ do = \"compute\", milliseconds = 800 }}]\n{TRAP}");
    let siege = Siege::with(
        r#"limits = { time = "20ms", wall = "10s" }
           isolation = "reuse""#,
        &config,
    );
    assert_eq!(siege.serves_while_an_instance_is_made(), 200);
    siege.end();
    let config = config.as_str();
    let siege = Siege::with(
        r#"limits = { time = "20ms", wall = "10s" }
           isolation = "request""#,
        config,
    );
    assert_eq!(siege.serves_while_an_instance_is_made(), 200);
    siege.end();
}

#[test]
fn a_reload_to_one_that_takes_long_to_configure_keeps_no_worker() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let url = upstream.url();
    let live = Live::start(&text(&marker("p"), &url));
    let load = Load::start(live.server.addresses()[0]);
    let config = "configure = [{ do = \"compute\", milliseconds = 800 }]";
    let slow = probe_with("p", r#"limits = { time = "20ms", wall = "10s" }"#, config);
    let before = live.server.running().snapshot();
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| live.reload(&text(&slow, &url)));
        wait_until("the worker is told", || {
            !Arc::ptr_eq(&live.server.running().snapshot(), &before)
        });
        // It serves on by the old configuration while it makes its instance for the new one.
        let response = live.get("/").send();
        assert_eq!(response.header("x-out"), Some("p"));
        assert!(!reload.is_finished());
        reload.join().unwrap().unwrap();
    });
    let response = live.get("/").send();
    assert_eq!((response.status(), response.header("x-out")), (200, None));
    load.end();
}

#[test]
fn many_who_wait_for_an_instance_wait_for_the_same_one() {
    let config = format!("configure = [{{ do = \"compute\", milliseconds = 300 }}]\n{TRAP}");
    let siege = Siege::with(r#"limits = { time = "20ms", wall = "10s" }"#, &config);
    let made = || {
        let snapshot = siege.gateway.running().snapshot();
        snapshot.registry.layers[0]
            .counts
            .made
            .load(Ordering::Relaxed)
    };
    assert_eq!(made(), 1);
    let lost = siege.gateway.get("/attack").header("x-bad", "1").send();
    assert_failed(&lost, "a lost instance");
    let mut wires = [(); 5].map(|()| {
        let mut wire = siege.gateway.connect();
        siege.gateway.get("/attack").write(&mut wire);
        wire
    });
    for wire in &mut wires {
        assert_eq!(wire.read_response("GET").status(), 200);
    }
    assert_eq!(made(), 2);
    siege.end();
}

#[test]
fn one_that_is_quick_to_configure_until_it_is_accepted_keeps_no_worker() {
    let soon = SystemTime::now() + Duration::from_secs(5);
    let since_1970 = soon.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let siege = Siege::with(
        r#"limits = { time = "20ms", wall = "800ms" }"#,
        &format!("configure = [{{ do = \"spin-after\", milliseconds = {since_1970} }}]\n{TRAP}"),
    );
    assert_eq!(siege.send().status(), 200);
    while SystemTime::now() <= soon {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(siege.serves_while_an_instance_is_made(), 500);
    siege.end();
}
