//! The stock plugin `hub-guard` as it is built in, called as a hub calls it.

use crate::hub_hooks::{Hub, client, hub_of, now, reply, text};
use sluicegate::hub::hooks::{Action, Admission, Hooks, Message};

/// Signed with the secret below: `{"sub":"ann","exp":4102444800,"rooms":["team"]}`.
const GOOD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsInJvb21zIjpbInRlYW0iXX0.18NG5TG-r0WULv-lP89Z_AMCcXn0eEGzn0Fqa9G1GSI";
/// `{"sub":"ann","exp":1000000000}`
const OLD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjEwMDAwMDAwMDB9.cSYMQtYtrOebLAxOrfDNVWYnFwUMXgEf_tFzcyIOVIU";

const GUARD: &str = r#"
[plugins.p]
component = "builtin:hub-guard"
limits = { time = "10s", wall = "10s" }
[plugins.p.config]
token = { from = ["bearer", "subprotocol:bearer."], secrets = ["0123456789abcdef0123456789abcdef"] }
rooms = { enter = ["user:{id}"], join = ["hall"], publish = ["hall"], claim = "rooms" }
message = { max = "1KiB", words = { deny = ["darn"], then = "mask" } }
"#;

fn guarded() -> Hub {
    hub_of(&[GUARD.to_owned()], r#""p""#)
}

#[test]
fn a_good_token_lets_its_owner_in_with_its_rooms() {
    let bearer = format!("Bearer {GOOD}");
    let offered = format!("bearer.{GOOD}, chat.v1");
    for (name, value, subprotocol) in [
        ("authorization", bearer, None),
        ("sec-websocket-protocol", offered, Some("chat.v1")),
    ] {
        let hub = guarded();
        let Ok(Admission::Accept(welcome)) = hub.connect_with(&[(name, &value)]) else {
            panic!("{name}: not accepted");
        };
        assert_eq!(welcome.client_id.as_deref(), Some("ann"), "{name}");
        assert_eq!(welcome.subprotocol.as_deref(), subprotocol);
        assert_eq!(welcome.rooms, ["user:ann"]);
        let mut ann = client("ann", &["user:ann"]);
        ann.state = welcome.state;
        let allows = |message: &str| hub.message(&ann, message) == Ok(vec![Action::Forward]);
        assert!(allows(r#"{"type":"join","room":"team"}"#));
        assert!(allows(r#"{"type":"publish","room":"hall","data":"hello"}"#));
        assert!(!allows(
            r#"{"type":"publish","room":"user:ann","data":"hello"}"#
        ));
        assert!(!allows(r#"{"type":"join","room":"team","room":"cellar"}"#));
    }
}

#[test]
fn no_token_and_a_wrong_one_are_answered_401() {
    let other = GOOD.replace("eyJzdWIi", "eyJzdWIj");
    for (fields, challenge) in [
        (vec![], "Bearer"),
        (vec![("authorization", "Basic abc".to_owned())], "Bearer"),
        (
            vec![("authorization", format!("Bearer {OLD}"))],
            r#"Bearer error="invalid_token""#,
        ),
        (
            vec![("authorization", format!("Bearer {other}"))],
            r#"Bearer error="invalid_token""#,
        ),
        (
            vec![("authorization", "Bearer x".to_owned())],
            r#"Bearer error="invalid_token""#,
        ),
    ] {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let Ok(Admission::Reject(response)) = guarded().connect_with(&fields) else {
            panic!("{fields:?}: not rejected");
        };
        assert_eq!(response.status(), 401, "{fields:?}");
        assert_eq!(response.headers()["www-authenticate"], challenge);
        assert_eq!(response.body(), "a token is needed\n");
    }
}

#[test]
fn messages_that_break_a_rule_are_answered_dropped_or_the_end() {
    let rules = |on_violation: &str| {
        format!(
            "[plugins.p]\ncomponent = \"builtin:hub-guard\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n\
             config.message = {{ max = \"8B\", text_only = true, words = {{ deny = [\"darn\"] }}, on_violation = \"{on_violation}\" }}\n"
        )
    };
    let large = r#"{"code":"too-large","message":"the message is too large","type":"error"}"#;
    for (on_violation, expected) in [
        ("reply", vec![reply(large)]),
        ("drop", vec![]),
        (
            "close",
            vec![Action::Close(1009, "the message is too large".to_owned())],
        ),
    ] {
        let hub = hub_of(&[rules(on_violation)], r#""p""#);
        assert_eq!(hub.said("nine byte"), expected, "{on_violation}");
        assert_eq!(hub.said("fine"), [Action::Forward]);
    }
    let hub = hub_of(&[rules("close")], r#""p""#);
    let word = "the message has a word that is not wanted here";
    assert_eq!(hub.said("oh DARN"), [Action::Close(1008, word.to_owned())]);
    let binary = Message::Binary(vec![1].into());
    let closed = now(hub.chain.on_message(client("ann", &[]), binary)).unwrap();
    assert_eq!(
        closed,
        [Action::Close(1003, "only text is taken here".to_owned())]
    );
}

#[test]
fn a_denied_word_is_masked() {
    let mut ann = client("ann", &[]);
    let hub = guarded();
    let bearer = format!("Bearer {GOOD}");
    let Ok(Admission::Accept(welcome)) = hub.connect_with(&[("authorization", &bearer)]) else {
        panic!("not accepted");
    };
    ann.state = welcome.state;
    let said = r#"{"type":"publish","room":"hall","data":"d\u0061rn"}"#;
    let masked = r#"{"type":"publish","room":"hall","data":"****"}"#;
    assert_eq!(
        hub.message(&ann, said),
        Ok(vec![Action::Replace(text(masked))])
    );
}

#[test]
fn a_guard_that_only_looks_at_tokens_sees_no_messages_when_they_do_not_expire() {
    let plugin = "[plugins.p]\ncomponent = \"builtin:hub-guard\"\n\
        config.token = { tokens = [{ token = \"0123456789abcdef\", id = \"robot\" }] }\n";
    let hub = hub_of(&[plugin.to_owned()], r#""p""#);
    assert!(hub.chain.is_blind_to_messages() && hub.chain.is_blind_to_ends());
    let fields = [("authorization", "Bearer 0123456789abcdef")];
    let Ok(Admission::Accept(welcome)) = hub.connect_with(&fields) else {
        panic!("not accepted");
    };
    assert_eq!(welcome.client_id.as_deref(), Some("robot"));
    assert!(welcome.state.is_empty());
}
