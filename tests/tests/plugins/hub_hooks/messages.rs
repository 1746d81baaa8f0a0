//! `on-message` and `on-disconnect`.

use super::{Action, Hub, Message, client, hub_probe, hub_probe_with, reply, text};

#[test]
fn everything_that_a_plugin_can_do_with_a_message() {
    for (step, expected) in [
        (r#"{ do = "reply", text = "x" }"#, reply("x")),
        (
            r#"{ do = "publish", room = "a", text = "x" }"#,
            Action::Publish("a".to_owned(), text("x")),
        ),
        (
            r#"{ do = "send-to", client = "bob", text = "x" }"#,
            Action::SendTo("bob".to_owned(), text("x")),
        ),
        (
            r#"{ do = "join", room = "a" }"#,
            Action::Join("a".to_owned()),
        ),
        (
            r#"{ do = "leave", room = "a" }"#,
            Action::Leave("a".to_owned()),
        ),
        (r#"{ do = "forward" }"#, Action::Forward),
        (
            r#"{ do = "replace", text = "x" }"#,
            Action::Replace(text("x")),
        ),
        (
            r#"{ do = "close", code = 4000, reason = "x" }"#,
            Action::Close(4000, "x".to_owned()),
        ),
        (
            r#"{ do = "show" }"#,
            reply("ann@chat rooms= in-a=false state= said=hi"),
        ),
    ] {
        let hub = Hub::with(&format!("message = [{step}]"));
        assert_eq!(hub.said("hi"), [expected], "{step}");
    }
    assert_eq!(Hub::with(r#"message = [{ do = "drop" }]"#).said("hi"), []);
}

#[test]
fn a_binary_message_is_passed_as_it_is() {
    let hub = Hub::with(r#"message = [{ do = "forward" }]"#);
    let bytes = Message::Binary(vec![0, 0xff].into());
    let result = super::now(super::Hooks::on_message(
        &hub.chain,
        client("ann", &[]),
        bytes,
    ));
    assert_eq!(result, Ok(vec![Action::Forward]));
}

#[test]
fn messages_pass_in_the_listed_order_as_the_plugin_before_left_them() {
    let plugins = [
        hub_probe(
            "one",
            r#"message = [{ do = "prefix", text = "1" }, { do = "reply", text = "out 1" }]"#,
        ),
        hub_probe(
            "two",
            r#"message = [{ do = "prefix", text = "2" }, { do = "reply", text = "out 2" }]"#,
        ),
        hub_probe(
            "three",
            r#"message = [{ do = "show" }, { do = "forward" }]"#,
        ),
    ];
    let hub = Hub::new(&plugins, r#""two", "one", "three""#);
    assert_eq!(
        hub.said("x"),
        [
            reply("ann@chat rooms= in-a=false state= said=12x"),
            Action::Replace(text("12x")),
            reply("out 1"),
            reply("out 2"),
        ]
    );
}

#[test]
fn the_first_plugin_that_does_not_forward_ends_it() {
    let last = hub_probe("last", r#"message = [{ do = "panic", text = "asked" }]"#);
    for (step, expected) in [
        (r#"{ do = "drop" }"#, vec![]),
        (r#"{ do = "reply", text = "no" }"#, vec![reply("no")]),
        (
            r#"{ do = "close", code = 1008, reason = "" }, { do = "forward" }"#,
            vec![Action::Close(1008, String::new())],
        ),
    ] {
        let first = hub_probe("first", &format!("message = [{step}]"));
        let hub = Hub::new(&[first, last.clone()], r#""first", "last""#);
        assert_eq!(hub.said("x"), expected, "{step}");
    }
}

#[test]
fn a_state_that_was_set_is_the_plugins_own() {
    let plugins = ["one", "two"].map(|name| {
        let config = format!(
            r#"message = [{{ do = "show" }}, {{ do = "set-state", text = "of {name}" }}, {{ do = "forward" }}]"#
        );
        hub_probe(name, &config)
    });
    let hub = Hub::new(&plugins, r#""one", "two""#);
    let mut ann = client("ann", &[]);
    let [Action::SetState(state), ..] = &hub.message(&ann, "x").unwrap()[..] else {
        panic!("no state");
    };
    ann.state = state.clone();
    let shown = |name: &str| {
        reply(&format!(
            "ann@chat rooms= in-a=false state=of {name} said=x"
        ))
    };
    let again = hub.message(&ann, "x").unwrap();
    assert_eq!(again[1..], [shown("one"), shown("two"), Action::Forward]);
}

#[test]
fn a_plugin_that_fails_ends_the_connection_or_is_skipped() {
    for step in [
        r#"{ do = "fail", text = "inside" }"#,
        r#"{ do = "panic", text = "inside" }"#,
    ] {
        let failing = format!(r#"message = [{{ do = "reply", text = "half" }}, {step}]"#);
        let hub = Hub::with(&failing);
        assert!(hub.message(&client("ann", &[]), "x").is_err(), "{step}");
        let plugins = [
            hub_probe("one", r#"message = [{ do = "prefix", text = "1" }]"#),
            hub_probe_with("p", r#"on_failure = "skip""#, &failing),
            hub_probe("two", r#"message = [{ do = "prefix", text = "2" }]"#),
        ];
        let hub = Hub::new(&plugins, r#""one", "p", "two""#);
        assert_eq!(hub.said("x"), [Action::Replace(text("21x"))], "{step}");
    }
}

#[test]
fn ends_pass_in_reverse_and_only_words_to_others_are_left() {
    let say = |name: &str| {
        hub_probe(
            name,
            &format!(
                r#"disconnect = [{{ do = "show-to", room = "{name}" }}, {{ do = "reply", text = "late" }}, {{ do = "join", room = "a" }}, {{ do = "send-to", client = "bob", text = "{name}" }}, {{ do = "close", code = 1000, reason = "" }}]"#
            ),
        )
    };
    let failing = hub_probe(
        "failing",
        r#"disconnect = [{ do = "panic", text = "inside" }]"#,
    );
    let hub = Hub::new(
        &[say("one"), failing, say("two")],
        r#""one", "failing", "two""#,
    );
    let shown = text("ann@chat rooms=a,b in-a=true state= said=1006 gone");
    let left = hub.gone(&client("ann", &["a", "b"]), 1006, "gone");
    assert_eq!(
        left,
        [
            Action::Publish("two".to_owned(), shown.clone()),
            Action::SendTo("bob".to_owned(), text("two")),
            Action::Publish("one".to_owned(), shown),
            Action::SendTo("bob".to_owned(), text("one")),
        ]
    );
}

#[test]
fn instances_are_reused_or_fresh_as_the_configuration_says() {
    let calls = r#"message = [{ do = "show-calls" }]"#;
    let reused = Hub::with(calls);
    assert_eq!(
        [reused.said("x"), reused.said("x")],
        [[reply("1")], [reply("2")]]
    );
    assert_eq!(reused.instances(), 1);
    let fresh = hub_probe_with("p", r#"isolation = "request""#, calls);
    let fresh = Hub::new(&[fresh], r#""p""#);
    assert_eq!(
        [fresh.said("x"), fresh.said("x")],
        [[reply("1")], [reply("1")]]
    );
    assert_eq!(fresh.instances(), 0);
}
