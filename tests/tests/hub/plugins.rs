//! Hubs with plugins, over real sockets.

use std::sync::Arc;

use serde_json::{Value, json};
use sluicegate::hub::hooks::Message;
use sluicegate::plugin::host_hub_publish::{Hubs, Receivers, Refusal};
use sluicegate::plugin::running_hubs::RunningHubs;
use sluicegate_tests::{Frame, HubServer, WebSocket, wait_until};

/// Does in each hook of a hub what its configuration says.
const HUB_PROBE: &str = env!("GUEST_HUB_PROBE");

/// A hub of this mode with one plugin.
fn probed(mode: &str, config: &str) -> HubServer {
    HubServer::start(&lines(mode, config))
}

fn lines(mode: &str, config: &str) -> String {
    format!(
        "path = \"/ws\"\nmode = \"{mode}\"\nplugins = [\"p\"]\nlimits.rate = \"none\"\n\
         [plugins.p]\ncomponent = \"{HUB_PROBE}\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\nconfig = {{ {config} }}"
    )
}

fn open(server: &HubServer) -> WebSocket {
    WebSocket::open(server.address(), "/ws")
}

#[test]
fn a_plugin_decides_how_a_connection_begins() {
    let server = probed(
        "hooks",
        r#"connect = { id = "ann", rooms = ["a"], subprotocol = "v2", state = "kept", greetings = ["hello", "there"], show = true }, message = [{ do = "show" }]"#,
    );
    let offers = "Sec-WebSocket-Protocol: v1, v2\r\nX-User: me\r\n";
    let mut socket = WebSocket::open_with(server.address(), "/ws", offers);
    let head = socket.head.to_ascii_lowercase();
    assert!(head.contains("sec-websocket-protocol: v2\r\n"), "{head}");
    let shown = socket.read_text();
    assert!(shown.starts_with("GET /ws 127.0.0.1 me Err("), "{shown}");
    assert_eq!(socket.read_text(), "hello");
    assert_eq!(socket.read_text(), "there");
    socket.text("hi");
    assert_eq!(
        socket.read_text(),
        "ann@h rooms=a in-a=true state=kept said=hi"
    );
}

#[test]
fn a_plugin_that_rejects_answers_the_handshake_and_one_that_fails_is_a_500() {
    let handshake = |connect: &str| {
        let server = probed(
            "hooks",
            &format!("connect = {{ {connect} }}, message = [{{ do = \"forward\" }}]"),
        );
        WebSocket::handshake(server.address(), "/ws", "").head
    };
    let rejected = handshake("reject = 403").to_ascii_lowercase();
    assert!(rejected.starts_with("http/1.1 403 "), "{rejected}");
    assert!(rejected.contains("x-why: probe\r\n"), "{rejected}");
    let failed = handshake(r#"first = { do = "panic", text = "inside" }"#);
    assert!(
        failed.starts_with("HTTP/1.1 500 ") && !failed.contains("inside"),
        "{failed}"
    );
}

#[test]
fn a_plugin_decides_what_becomes_of_a_message() {
    let server = probed(
        "hooks",
        r#"connect = { rooms = ["lobby"] }, message = [{ do = "only-with", text = "enter" }, { do = "leave", room = "lobby" }, { do = "join", room = "a" }, { do = "set-state", text = "in" }, { do = "publish", room = "a", text = "somebody came" }, { do = "show" }]"#,
    );
    let mut one = open(&server);
    let mut two = open(&server);
    for socket in [&mut one, &mut two] {
        socket.text("nobody hears this in this mode");
        socket.text("enter");
    }
    // What was said is done in its order, and the next message sees it.
    let first = one.read_text();
    assert!(first.contains("rooms=lobby in-a=false state= said=enter") || first == "somebody came");
    one.text("enter again");
    wait_until("the state and the rooms are the new ones", || {
        one.read_text()
            .contains("rooms=a in-a=true state=in said=enter again")
    });
    wait_until("the other one hears of it", || {
        two.read_text() == "somebody came"
    });
}

#[test]
fn a_message_goes_on_as_it_is_or_as_another() {
    let server = probed(
        "echo",
        r#"message = [{ do = "only-with", text = "change" }, { do = "prefix", text = "changed: " }, { do = "reply", text = "after" }]"#,
    );
    let mut socket = open(&server);
    socket.text("as it is");
    assert_eq!(socket.read_text(), "as it is");
    socket.binary(&[0, 0xff]);
    assert_eq!(socket.read(), Frame::Binary(vec![0, 0xff]));
    socket.text("to change");
    assert_eq!(socket.read_text(), "changed: to change");
    assert_eq!(socket.read_text(), "after");
}

#[test]
fn a_plugin_that_closes_or_fails_ends_that_connection_alone() {
    for (step, code, reason) in [
        (
            r#"{ do = "close", code = 4321, reason = "enough" }"#,
            4321,
            "enough",
        ),
        (
            r#"{ do = "panic", text = "inside" }"#,
            1011,
            "internal error",
        ),
        (
            r#"{ do = "fail", text = "inside" }"#,
            1011,
            "internal error",
        ),
        (r#"{ do = "many", count = 1001 }"#, 1011, "internal error"),
        (r#"{ do = "join", room = "" }"#, 1011, "internal error"),
    ] {
        let config = format!(r#"message = [{{ do = "only-with", text = "attack" }}, {step}]"#);
        let server = probed("echo", &config);
        let mut other = open(&server);
        let mut socket = open(&server);
        socket.text("attack");
        assert_eq!(socket.read_close(), (code, reason.to_owned()), "{step}");
        other.text("peace");
        assert_eq!(other.read_text(), "peace", "{step}");
    }
}

#[test]
fn a_plugin_is_told_who_has_gone_and_from_where() {
    let server = probed(
        "hooks",
        r#"connect = { rooms = ["a"] }, message = [{ do = "reply", text = "here" }], disconnect = [{ do = "show-to", room = "a" }]"#,
    );
    let mut stays = open(&server);
    let mut goes = open(&server);
    for socket in [&mut stays, &mut goes] {
        socket.text("?");
        assert_eq!(socket.read_text(), "here");
    }
    goes.frame(0x88, &[&1000_u16.to_be_bytes()[..], b"bye"].concat());
    goes.read_close();
    let heard = stays.read_text();
    assert!(
        heard.ends_with("@h rooms=a in-a=true state= said=1000 bye"),
        "{heard}"
    );
    drop(goes);
    let breaks = open(&server);
    drop(breaks);
    let heard = stays.read_text();
    assert!(heard.contains("said=1006"), "{heard}");
}

#[test]
fn plugins_of_a_new_configuration_decide_about_who_is_connected_already() {
    let state = r#"message = [{ do = "set-state", text = "old" }, { do = "reply", text = "old" }]"#;
    let mut server = probed("echo", state);
    let mut socket = open(&server);
    socket.text("x");
    assert_eq!(socket.read_text(), "old");
    server.reload(&lines("echo", r#"message = [{ do = "show" }]"#));
    socket.text("x");
    let shown = socket.read_text();
    // Its plugin is another one by now, of the same name: what it kept is there.
    assert!(shown.ends_with("state=old said=x"), "{shown}");
    server.reload("path = \"/ws\"\nmode = \"echo\"");
    socket.text("alone again");
    assert_eq!(socket.read_text(), "alone again");
}

const GUARDED: &str = r#"
path = "/ws"
plugins = ["guard"]
limits.rate = "none"
[plugins.guard]
component = "builtin:hub-guard"
limits = { time = "10s", wall = "10s" }
[plugins.guard.config]
token = { from = ["query:token"], tokens = [{ token = "token-of-ann-0123", id = "ann", claims = { rooms = ["team"] } }, { token = "token-of-bob-0123", id = "bob" }] }
rooms = { join = ["hall"], publish = ["hall"], claim = "rooms" }
message = { words = { deny = ["darn"], then = "mask" } }
"#;

struct Guarded(WebSocket);

impl Guarded {
    fn open(server: &HubServer, token: &str) -> Self {
        let mut client = Self(WebSocket::open(
            server.address(),
            &format!("/ws?token={token}"),
        ));
        assert_eq!(client.read()["type"], "welcome");
        client
    }

    fn read(&mut self) -> Value {
        serde_json::from_str(&self.0.read_text()).unwrap()
    }

    fn ask(&mut self, command: &Value) -> Value {
        self.0.text(&command.to_string());
        self.read()
    }
}

#[test]
fn a_guarded_hub() {
    let server = HubServer::start(GUARDED);
    for token in ["", "?token=token-of-eve-0123"] {
        let refused = WebSocket::handshake(server.address(), &format!("/ws{token}"), "").head;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    }
    let mut ann = Guarded::open(&server, "token-of-ann-0123");
    let mut bob = Guarded::open(&server, "token-of-bob-0123");
    let team = json!({ "type": "join", "room": "team", "id": 7 });
    assert_eq!(ann.ask(&team)["type"], "joined");
    let refused = bob.ask(&team);
    assert_eq!(
        (&refused["type"], &refused["code"]),
        (&json!("error"), &json!("forbidden"))
    );
    assert_eq!(refused["id"], 7);
    for client in [&mut ann, &mut bob] {
        assert_eq!(
            client.ask(&json!({ "type": "join", "room": "hall" }))["type"],
            "joined"
        );
    }
    let said = json!({ "type": "publish", "room": "hall", "data": "oh darn" });
    ann.0.text(&said.to_string());
    let heard = bob.read();
    assert_eq!(
        (&heard["data"], &heard["from"]),
        (&json!("oh ****"), &json!("ann"))
    );
}

#[test]
fn a_room_that_stands_in_the_path_is_guarded_as_well() {
    for mode in ["rooms", "relay"] {
        let lines = GUARDED.replace("\"/ws\"", "\"/{room}\"");
        let server = HubServer::start(&format!("mode = \"{mode}\"{lines}"));
        let status = |room: &str, name: &str| {
            let path = format!("/{room}?token=token-of-{name}-0123");
            let head = WebSocket::handshake(server.address(), &path, "").head;
            head.get(9..12).unwrap_or_default().to_owned()
        };
        for (room, name, expected) in [
            ("team", "ann", "101"),
            ("te%61m", "ann", "101"),
            ("team", "bob", "403"),
            ("te%61m", "bob", "403"),
            ("hall", "bob", "101"),
            ("hall%2Fteam", "bob", "403"),
            ("team", "eve", "401"),
        ] {
            assert_eq!(status(room, name), expected, "{mode} {room} {name}");
        }
    }
}

#[test]
fn plugins_on_routes_send_into_running_hubs() {
    let server = HubServer::start(GUARDED);
    let hubs = RunningHubs(vec![Arc::clone(server.hub())]);
    let mut ann = Guarded::open(&server, "token-of-ann-0123");
    assert_eq!(
        ann.ask(&json!({ "type": "join", "room": "team" }))["type"],
        "joined"
    );
    let text = |text: &str| Message::Text(text.to_owned());
    let room = || Receivers::Room("team".to_owned());
    assert_eq!(hubs.send("h", room(), text("one")), Ok(()));
    assert_eq!(ann.read()["data"], "one");
    assert_eq!(
        hubs.send("h", Receivers::Client("ann".to_owned()), text("two")),
        Ok(())
    );
    assert_eq!(ann.read()["data"], "two");
    assert_eq!(hubs.send("h", Receivers::Everyone, text("three")), Ok(()));
    assert_eq!(ann.read()["data"], "three");
    assert_eq!(
        hubs.send("other", room(), text("x")),
        Err(Refusal::UnknownHub)
    );
    assert_eq!(
        hubs.send("h", room(), text(&"x".repeat(100_000))),
        Err(Refusal::TooLarge)
    );
    let binary = hubs.send("h", room(), Message::Binary(vec![1].into()));
    assert!(matches!(binary, Err(Refusal::Unavailable(_))), "{binary:?}");
}
