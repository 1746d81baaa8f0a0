//! What guests hand to the host: too much, too long, and with bytes in it that have no place there.

use sluicegate::observe::metrics::plugin_metric;

use sluicegate_tests::{Answer, Upstream};

use super::{LONG, Siege, assert_failed};
use crate::guests::{chain, probe_with};

/// Memory enough to say a lot.
const WIDE: &str = r#"limits = { time = "10s", wall = "10s", memory = "64MiB" }"#;

#[test]
fn values_names_and_lists_of_any_size_are_refused_and_the_guest_goes_on() {
    for (step, expected) in [
        (r#"{ do = "set-large", bytes = 4_000_000 }"#, "too-large"),
        (r#"{ do = "edit-many", count = 100_000 }"#, "too-large"),
        (r#"{ do = "names", bytes = 4_000_000 }"#, "invalid-name"),
    ] {
        let siege = Siege::with(WIDE, &format!("request = [{step}]"));
        for _ in 0..3 {
            let response = siege.send();
            if step.contains("edit-many") {
                // The edits before the refused one stay. The head is full then: the probe can't even say so, and fails.
                assert_failed(&response, step);
            } else {
                assert_eq!(response.status(), 200, "{step}");
            }
        }
        for received in siege.arrived() {
            assert_eq!(received.header("x-outcome"), Some(expected), "{step}");
            assert_eq!(received.header("x-large"), None);
        }
        siege.end();
    }
}

#[test]
fn the_same_on_the_way_out() {
    for step in [
        r#"{ do = "set-large", bytes = 4_000_000 }"#,
        r#"{ do = "names", bytes = 4_000_000 }"#,
    ] {
        let siege = Siege::with(WIDE, &format!("response = [{step}]"));
        for _ in 0..3 {
            let response = siege.send();
            assert_eq!((response.status(), response.text()), (200, "hello"));
            assert_eq!(response.header("x-large"), None);
        }
        siege.end();
    }
}

#[test]
fn an_answer_with_a_hundred_thousand_fields_or_with_fields_of_mebibytes() {
    for step in [
        r#"{ do = "reply-many", count = 100_000, bytes = 1 }"#,
        r#"{ do = "reply-many", count = 3, bytes = 1_000_000 }"#,
    ] {
        Siege::with(WIDE, &format!("request = [{step}]")).fails(step);
        Siege::with(WIDE, &format!("response = [{step}]")).fails(step);
    }
}

#[test]
fn an_answer_with_a_body_of_a_gibibyte_meets_the_memory_limit() {
    let step = r#"request = [{ do = "reply-large", bytes = 1_073_741_824 }]"#;
    Siege::with(LONG, step).fails(step);
}

#[test]
fn an_answer_with_framing_of_its_own_is_framed_by_the_host() {
    let config = r#"request = [{ do = "reply", status = 200, body = "four", headers = { content-length = "4000", transfer-encoding = "chunked", connection = "x-kept", x-kept = "yes", host = "elsewhere", upgrade = "h2c" } }]"#;
    let siege = Siege::with(LONG, config);
    let mut wire = siege.gateway.connect();
    for _ in 0..3 {
        // Over one connection: a wrong frame would be read as the next answer.
        let response = siege.gateway.get("/attack").send_over(&mut wire);
        assert_eq!((response.status(), response.text()), (200, "four"));
        assert_eq!(response.headers("content-length"), ["4"]);
        assert_eq!(response.header("x-kept"), Some("yes"));
        for name in ["transfer-encoding", "upgrade", "host"] {
            assert_eq!(response.header(name), None, "{name}");
        }
    }
    siege.end();
}

#[test]
fn line_ends_and_nul_in_values() {
    for bad in [r"a\r\nx-forged: 1", r"a\nx-forged: 1", r"a\u0000b", r"a\r"] {
        let edits = format!(
            r#"[{{ do = "set-header", name = "x-bad", value = "{bad}" }}, {{ do = "edit-headers", edits = [["append", "x-bad", "{bad}"]] }}]"#
        );
        let siege = Siege::with(LONG, &format!("request = {edits}\nresponse = {edits}"));
        let response = siege.send();
        assert_eq!(response.status(), 200, "{bad}");
        assert_eq!(response.headers("x-outcome"), ["invalid-value"; 2]);
        let arrived = siege.arrived();
        assert_eq!(arrived[0].headers("x-outcome"), ["invalid-value"; 2]);
        for name in ["x-bad", "x-forged"] {
            assert_eq!(response.header(name), None, "{bad}");
            assert_eq!(arrived[0].header(name), None, "{bad}");
        }
        siege.end();

        let reply = format!(
            r#"request = [{{ do = "reply", status = 200, headers = {{ x-a = "{bad}" }} }}]"#
        );
        Siege::with(LONG, &reply).fails(bad);
    }
}

#[test]
fn a_plugin_that_makes_metrics_without_end_leaves_room_for_others() {
    let greedy = probe_with(
        "greedy",
        LONG,
        r#"request = [{ do = "count-many", names = 5_000 }]"#,
    );
    let modest = probe_with(
        "modest",
        LONG,
        r#"request = [{ do = "count", metric = "hits" }]"#,
    );
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = chain(&[greedy, modest], r#""greedy", "modest""#, upstream.url()).start();
    for _ in 0..2 {
        assert_eq!(gateway.get("/").send().status(), 200);
    }
    assert_eq!(plugin_metric("greedy", "n0").unwrap().count, 2);
    assert_eq!(plugin_metric("greedy", "n4999"), None);
    assert_eq!(plugin_metric("modest", "hits").unwrap().count, 4);
}
