//! Guests that are hostile while they are configured: they are refused, at the start and in a reload, and a reload
//! that is refused changes nothing.

use sluicegate_tests::{Answer, Upstream};

use super::Load;
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
