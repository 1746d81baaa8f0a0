//! Guests that do what no plugin should: their own call fails, and the next one does not notice.

use super::{Hub, client, hub_probe_with, reply};

/// For what has no end of its own but this.
const SHORT: &str = r#"limits = { time = "20ms", wall = "10s", memory = "8MiB" }"#;
/// For what has to end by something else than its time, on however slow a machine.
const LONG: &str = r#"limits = { time = "10s", wall = "10s", memory = "8MiB" }"#;

const MISDEEDS: [(&str, &str); 4] = [
    (LONG, r#"{ do = "panic", text = "inside" }"#),
    (SHORT, r#"{ do = "spin" }"#),
    (LONG, r#"{ do = "grow", bytes = 1_000_000_000 }"#),
    (SHORT, r#"{ do = "sleep", milliseconds = 60_000 }"#),
];

/// Answers that are too much, or make no sense.
const ANSWERS: [&str; 10] = [
    r#"{ do = "many", count = 1001 }"#,
    r#"{ do = "many", count = 200_000 }"#,
    r#"{ do = "reply-large", bytes = 65537 }"#,
    r#"{ do = "set-large", bytes = 16385 }"#,
    r#"{ do = "join-long", bytes = 129 }"#,
    r#"{ do = "join", room = "" }"#,
    r#"{ do = "publish", room = "a\nb", text = "x" }"#,
    r#"{ do = "close", code = 1006, reason = "" }"#,
    r#"{ do = "close-long", bytes = 124 }"#,
    r#"{ do = "forward" }, { do = "forward" }"#,
];

#[test]
fn what_goes_wrong_in_a_message_is_the_end_of_that_connection_alone() {
    let answers = ANSWERS.map(|answer| (LONG, answer));
    for (limits, step) in MISDEEDS.into_iter().chain(answers) {
        let config = format!(r#"message = [{{ do = "only-with", text = "attack" }}, {step}]"#);
        let hub = Hub::new(&[hub_probe_with("p", limits, &config)], r#""p""#);
        // A plugin that has missed two deadlines is left alone.
        let times = if limits == SHORT { 1 } else { 3 };
        for _ in 0..times {
            assert!(
                hub.message(&client("ann", &[]), "attack").is_err(),
                "{step}"
            );
            assert_eq!(hub.said("peace"), [super::Action::Forward], "{step}");
        }
        assert_eq!(hub.instances(), 1, "{step}");
    }
}

#[test]
fn what_goes_wrong_when_a_client_goes_is_nobodys_trouble() {
    for (limits, step) in MISDEEDS {
        let config =
            format!(r#"message = [{{ do = "reply", text = "x" }}], disconnect = [{step}]"#);
        let hub = Hub::new(&[hub_probe_with("p", limits, &config)], r#""p""#);
        assert_eq!(hub.gone(&client("ann", &[]), 1000, ""), [], "{step}");
        assert_eq!(hub.said("x"), [reply("x")], "{step}");
    }
}

#[test]
fn what_goes_wrong_in_a_handshake_is_its_own_500() {
    for (limits, step) in MISDEEDS {
        let config = format!("connect = {{ first = {step} }}");
        let hub = Hub::new(&[hub_probe_with("p", limits, &config)], r#""p""#);
        for _ in 0..3 {
            assert!(hub.connect_with(&[]).is_err(), "{step}");
        }
    }
    for connect in [
        r#"id = """#,
        r#"id = "a\u0000""#,
        r#"rooms = ["a", ""]"#,
        "many_rooms = 1001",
        "many_greetings = 1001",
        "state_bytes = 16385",
        r#"subprotocol = "never-offered""#,
        "reject = 101",
        "reject = 600",
    ] {
        let hub = Hub::with(&format!("connect = {{ {connect} }}"));
        assert!(
            hub.connect_with(&[("sec-websocket-protocol", "v1")])
                .is_err(),
            "{connect}"
        );
    }
}

#[test]
fn a_plugin_that_keeps_trapping_is_left_alone() {
    let lines = r#"on_failure = "skip"
        breaker = { failures = 3, rate = 0.5, pause = "1m" }"#;
    let config =
        r#"message = [{ do = "only-with", text = "attack" }, { do = "panic", text = "x" }]"#;
    let hub = Hub::new(&[hub_probe_with("p", lines, config)], r#""p""#);
    let layer = &hub.pools[0].layer;
    for _ in 0..3 {
        assert!(!layer.breaker.is_open());
        hub.said("attack");
    }
    assert!(layer.breaker.is_open());
    assert_eq!(hub.said("attack"), [super::Action::Forward]);
}

#[test]
fn errors_that_a_plugin_returns_are_no_failures_of_the_plugin_itself() {
    let lines = "breaker = { failures = 1, rate = 0.0, pause = \"1m\" }";
    let config =
        r#"message = [{ do = "only-with", text = "attack" }, { do = "fail", text = "x" }]"#;
    let hub = Hub::new(&[hub_probe_with("p", lines, config)], r#""p""#);
    for _ in 0..3 {
        assert!(hub.message(&client("ann", &[]), "attack").is_err());
    }
    assert_eq!(hub.said("peace"), [super::Action::Forward]);
}
