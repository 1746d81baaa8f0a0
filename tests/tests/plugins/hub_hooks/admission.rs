//! `on-connect`.

use super::{Admission, Hooks, Hub, hub_probe, hub_probe_with, text};

#[test]
fn a_plugin_lets_a_client_in_with_an_id_rooms_a_state_and_greetings() {
    let hub = Hub::with(
        r#"connect = { id = "ann", rooms = ["a", "b"], subprotocol = "v2", state = "guest", greetings = ["hello", "you"] }, message = [{ do = "show" }]"#,
    );
    let offered = [("sec-websocket-protocol", "v1, v2")];
    let Ok(Admission::Accept(welcome)) = hub.connect_with(&offered) else {
        panic!("not accepted");
    };
    assert_eq!(welcome.client_id.as_deref(), Some("ann"));
    assert_eq!(welcome.rooms, ["a", "b"]);
    assert_eq!(welcome.subprotocol.as_deref(), Some("v2"));
    assert_eq!(welcome.greetings, [text("hello"), text("you")]);
    // What is kept comes back with the client's messages.
    let mut client = super::client("ann", &["a", "b"]);
    client.state = welcome.state;
    let shown = "ann@chat rooms=a,b in-a=true state=guest said=hi";
    assert_eq!(hub.message(&client, "hi").unwrap(), [super::reply(shown)]);
}

#[test]
fn a_plugin_reads_the_request_and_can_t_edit_it() {
    let hub = Hub::with("connect = { show = true }");
    let Ok(Admission::Accept(welcome)) = hub.connect_with(&[("x-user", "ann")]) else {
        panic!("not accepted");
    };
    let [super::Message::Text(shown)] = &welcome.greetings[..] else {
        panic!("{welcome:?}");
    };
    assert!(shown.starts_with("GET / 0.0.0.0 ann Err("), "{shown}");
}

#[test]
fn a_plugin_rejects_with_an_answer_of_its_own_and_later_ones_are_not_asked() {
    let plugins = [
        hub_probe("first", r#"connect = { note = "not you" }"#),
        hub_probe("second", "connect = { reject = 403 }"),
        hub_probe(
            "third",
            r#"connect = { first = { do = "panic", text = "asked" } }"#,
        ),
    ];
    let hub = Hub::new(&plugins, r#""first", "second", "third""#);
    let Ok(Admission::Reject(response)) = hub.connect_with(&[]) else {
        panic!("not rejected");
    };
    assert_eq!(
        (response.status().as_u16(), &response.body()[..]),
        (403, &b"not you"[..])
    );
    assert_eq!(response.headers()["x-why"], "probe");
    assert_eq!(response.headers()["content-length"], "7");
}

#[test]
fn a_rejection_with_a_status_that_has_no_body_has_none() {
    let plugins = [
        hub_probe("first", r#"connect = { note = "words" }"#),
        hub_probe("second", "connect = { reject = 304 }"),
    ];
    let hub = Hub::new(&plugins, r#""first", "second""#);
    let Ok(Admission::Reject(response)) = hub.connect_with(&[]) else {
        panic!("not rejected");
    };
    assert!(response.body().is_empty() && !response.headers().contains_key("content-length"));
}

#[test]
fn of_several_plugins_the_first_id_counts_and_all_rooms_and_greetings() {
    let plugins = [
        hub_probe(
            "one",
            r#"connect = { rooms = ["a"], greetings = ["1"], state = "s1" }, message = [{ do = "show" }, { do = "forward" }]"#,
        ),
        hub_probe(
            "two",
            r#"connect = { id = "ann", rooms = ["a", "b"], greetings = ["2"], state = "s2" }, message = [{ do = "show" }]"#,
        ),
        hub_probe("three", r#"connect = { id = "bob" }"#),
    ];
    let hub = Hub::new(&plugins, r#""one", "two", "three""#);
    let welcome = hub.welcome();
    assert_eq!(welcome.client_id.as_deref(), Some("ann"));
    assert_eq!(welcome.rooms, ["a", "b"]);
    assert_eq!(welcome.greetings, [text("1"), text("2")]);
    // Each plugin has a state of its own.
    let mut client = super::client("ann", &["b"]);
    client.state = welcome.state;
    let shown = |state: &str| {
        super::reply(&format!(
            "ann@chat rooms=b in-a=false state={state} said=hi"
        ))
    };
    assert_eq!(
        hub.message(&client, "hi").unwrap(),
        [shown("s1"), shown("s2")]
    );
}

#[test]
fn a_plugin_that_fails_rejects_or_is_skipped_with_all_that_it_did() {
    for first in [
        r#"{ do = "fail", text = "inside" }"#,
        r#"{ do = "panic", text = "inside" }"#,
    ] {
        let failing = format!(r#"connect = {{ first = {first}, rooms = ["lost"] }}"#);
        let hub = Hub::with(&failing);
        assert!(hub.connect_with(&[]).is_err(), "{first}");
        let plugins = [
            hub_probe("one", r#"connect = { rooms = ["a"] }"#),
            hub_probe_with("p", r#"on_failure = "skip""#, &failing),
            hub_probe("two", r#"connect = { rooms = ["b"] }"#),
        ];
        let hub = Hub::new(&plugins, r#""one", "p", "two""#);
        assert_eq!(hub.welcome().rooms, ["a", "b"], "{first}");
    }
}

#[test]
fn a_hub_without_hooks_for_connections_lets_everybody_in() {
    let hub = Hub::with(r#"message = [{ do = "forward" }]"#);
    assert_eq!(hub.welcome(), super::Welcome::default());
    assert!(!hub.chain.is_blind_to_messages() && hub.chain.is_blind_to_ends());
    let hub = Hub::with("connect = {}");
    assert!(hub.chain.is_blind_to_messages());
}
