//! The protocol `sluicegate.hub.v1`.

use serde_json::{Value, json};
use sluicegate_tests::{HubServer, WebSocket, wait_until};

const HUB: &str = "path = \"/ws\"\nlimits.rate = \"none\"";

struct Client {
    socket: WebSocket,
    id: String,
}

impl Client {
    #[track_caller]
    fn connect(server: &HubServer) -> Self {
        Self::connect_to(server, "/ws")
    }

    #[track_caller]
    fn connect_to(server: &HubServer, path: &str) -> Self {
        let mut client = Self {
            socket: WebSocket::open(server.address(), path),
            id: String::new(),
        };
        let welcome = client.read();
        assert_eq!(welcome["type"], "welcome");
        assert_eq!(welcome["protocol"], "sluicegate.hub.v1");
        client.id.push_str(welcome["client"].as_str().unwrap());
        client
    }

    #[track_caller]
    fn say(&mut self, command: &Value) {
        self.socket.text(&command.to_string());
    }

    #[track_caller]
    fn read(&mut self) -> Value {
        serde_json::from_str(&self.socket.read_text()).unwrap()
    }

    #[track_caller]
    fn ask(&mut self, command: &Value) -> Value {
        self.say(command);
        self.read()
    }

    #[track_caller]
    fn join(&mut self, room: &str) -> Value {
        let joined = self.ask(&json!({ "type": "join", "room": room }));
        assert_eq!(joined["type"], "joined", "{joined}");
        joined
    }

    #[track_caller]
    fn publish(&mut self, room: &str, data: &Value) {
        self.say(&json!({ "type": "publish", "room": room, "data": data }));
    }

    #[track_caller]
    fn problem(&mut self, text: &str) -> String {
        self.socket.text(text);
        let error = self.read();
        assert_eq!(error["type"], "error", "{error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
        error["code"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_message_reaches_everyone_in_the_room_and_nobody_else() {
    let server = HubServer::start(HUB);
    let mut one = Client::connect(&server);
    let mut two = Client::connect(&server);
    let mut other = Client::connect(&server);
    one.join("a");
    two.join("a");
    other.join("b");
    let data = json!({ "text": "hello", "n": [1, 2.5, null] });
    let ack = {
        one.say(&json!({ "type": "publish", "room": "a", "data": data, "id": 7 }));
        let answers = [one.read(), one.read()];
        let ack = answers.iter().find(|answer| answer["type"] == "published");
        ack.unwrap().clone()
    };
    assert_eq!((&ack["id"], &ack["offset"]), (&json!(7), &json!(1)));
    assert_eq!(
        two.read(),
        json!({ "type": "message", "room": "a", "from": one.id, "data": data, "offset": 1 })
    );
    assert_eq!(
        other.ask(&json!({ "type": "ping" })),
        json!({ "type": "pong" })
    );
}

#[test]
fn data_is_passed_on_byte_for_byte() {
    let server = HubServer::start(HUB);
    let mut one = Client::connect(&server);
    one.join("a");
    let data = r#"{"z":1.50,"a":12345678901234567890123,"z" : "é\u00e9"}"#;
    one.socket
        .text(&format!(r#"{{"room":"a","data":{data},"type":"publish"}}"#));
    let text = one.socket.read_text();
    assert!(text.contains(&format!("\"data\":{data},")), "{text}");
}

#[test]
fn messages_come_in_one_order_for_all() {
    let server = HubServer::start(HUB);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.join("a");
    }
    for number in 0..50 {
        for client in &mut clients {
            client.publish("a", &json!(number));
        }
    }
    let seen: Vec<Vec<Value>> = clients
        .iter_mut()
        .map(|client| (0..200).map(|_| client.read()).collect())
        .collect();
    for (number, message) in seen[0].iter().enumerate() {
        assert_eq!(message["offset"], number + 1);
    }
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[test]
fn direct_messages() {
    let server = HubServer::start(HUB);
    let mut one = Client::connect(&server);
    let mut two = Client::connect(&server);
    let ack = one.ask(&json!({ "type": "direct", "to": two.id, "data": "psst", "id": "d" }));
    assert_eq!(ack, json!({ "type": "delivered", "id": "d" }));
    assert_eq!(
        two.read(),
        json!({ "type": "direct", "from": one.id, "data": "psst" })
    );
    let error = one.ask(&json!({ "type": "direct", "to": "nobody", "data": 1, "id": "e" }));
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("no-such-client"), &json!("e"))
    );
}

#[test]
fn presence_is_told_to_those_who_ask_for_it() {
    let server = HubServer::start(HUB);
    let mut watcher = Client::connect(&server);
    watcher.ask(&json!({ "type": "join", "room": "a", "presence": true }));
    let mut guest = Client::connect(&server);
    guest.ask(&json!({ "type": "join", "room": "a", "info": { "name": "Ada" } }));
    assert_eq!(
        watcher.read(),
        json!({ "type": "presence", "room": "a", "joined": [{ "id": guest.id, "info": { "name": "Ada" } }], "left": [] })
    );
    let answer = watcher.ask(&json!({ "type": "members", "room": "a", "id": 1 }));
    assert_eq!(
        (&answer["type"], &answer["count"]),
        (&json!("members"), &json!(2))
    );
    let members = answer["members"].as_array().unwrap();
    assert!(members.contains(&json!({ "id": guest.id, "info": { "name": "Ada" } })));
    assert!(members.contains(&json!({ "id": watcher.id })));
    let left = guest.ask(&json!({ "type": "leave", "room": "a", "id": 2 }));
    assert_eq!(left, json!({ "type": "left", "id": 2, "room": "a" }));
    let gone = json!({ "type": "presence", "room": "a", "joined": [], "left": [guest.id] });
    assert_eq!(watcher.read(), gone);
    // Who goes without a word has left as well.
    guest.join("a");
    watcher.read();
    drop(guest);
    assert_eq!(watcher.read(), gone);
}

#[test]
fn a_crowd_that_leaves_is_told_in_few_messages() {
    let server = HubServer::start(HUB);
    let mut watcher = Client::connect(&server);
    watcher.ask(&json!({ "type": "join", "room": "a", "presence": true }));
    let mut crowd: Vec<Client> = (0..200).map(|_| Client::connect(&server)).collect();
    for client in &mut crowd {
        client.join("a");
    }
    let mut joined = 0;
    while joined < 200 {
        joined += watcher.read()["joined"].as_array().unwrap().len();
    }
    drop(crowd);
    let (mut left, mut messages) = (0, 0);
    while left < 200 {
        left += watcher.read()["left"].as_array().unwrap().len();
        messages += 1;
    }
    assert_eq!(left, 200);
    assert!(messages < 200, "{messages}");
}

#[test]
fn the_history_of_a_room() {
    let server = HubServer::start(&format!("{HUB}\nhistory.messages = 5"));
    let mut one = Client::connect(&server);
    one.join("a");
    for number in 1..=8 {
        one.publish("a", &json!(number));
        one.read();
    }
    let history = one.ask(&json!({ "type": "history", "room": "a", "id": 1 }));
    let data = |answer: &Value| -> Vec<i64> {
        let messages = answer["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|message| message["data"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(data(&history), [4, 5, 6, 7, 8]);
    assert_eq!(
        (&history["offset"], &history["complete"]),
        (&json!(8), &json!(true))
    );
    let latest = one.ask(&json!({ "type": "history", "room": "a", "limit": 2 }));
    assert_eq!(data(&latest), [7, 8]);
    let epoch = &history["epoch"];
    let since = |offset: u64| json!({ "offset": offset, "epoch": epoch });
    let rest = one.ask(&json!({ "type": "history", "room": "a", "since": since(6) }));
    assert_eq!((data(&rest), &rest["complete"]), (vec![7, 8], &json!(true)));
    let lost = one.ask(&json!({ "type": "history", "room": "a", "since": since(2) }));
    assert_eq!(
        (data(&lost), &lost["complete"]),
        (vec![4, 5, 6, 7, 8], &json!(false))
    );
}

#[test]
fn who_comes_back_gets_what_it_has_missed_or_is_told_that_it_cannot() {
    let server = HubServer::start(&format!("{HUB}\nhistory.messages = 5"));
    let mut stays = Client::connect(&server);
    stays.join("a");
    let mut goes = Client::connect(&server);
    let joined = goes.join("a");
    let since = json!({ "offset": joined["offset"], "epoch": joined["epoch"] });
    drop(goes);
    for number in 1..=3 {
        stays.publish("a", &json!(number));
        stays.read();
    }
    let back = json!({ "type": "join", "room": "a", "since": since });
    let mut goes = Client::connect(&server);
    let joined = goes.ask(&back);
    assert_eq!(
        (&joined["recovered"], &joined["missed"]),
        (&json!(true), &json!(3))
    );
    for number in 1..=3 {
        let message = goes.read();
        assert_eq!(
            (&message["offset"], &message["data"]),
            (&json!(number), &json!(number))
        );
    }
    drop(goes);
    for number in 4..=9 {
        stays.publish("a", &json!(number));
        stays.read();
    }
    let mut goes = Client::connect(&server);
    let joined = goes.ask(&back);
    assert_eq!(
        (&joined["recovered"], &joined["missed"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(joined["offset"], 9);
    // Another stream, with whatever numbers, is no place to come back to.
    let other = json!({ "type": "join", "room": "b", "since": since });
    assert_eq!(goes.ask(&other)["recovered"], false);
    stays.publish("a", &json!("live"));
    assert_eq!(goes.read()["data"], "live");
}

#[test]
fn a_room_that_is_forgotten_begins_another_stream() {
    let server = HubServer::start(&format!("{HUB}\nhistory.messages = 0"));
    let mut one = Client::connect(&server);
    let before = one.join("a");
    one.say(&json!({ "type": "leave", "room": "a" }));
    let after = one.join("a");
    assert_ne!(before["epoch"], after["epoch"]);
}

#[test]
fn what_is_wrong_is_told_with_a_code_and_the_connection_goes_on() {
    let server = HubServer::start(
        "path = \"/ws\"\nlimits = { rate = \"none\", rooms_per_client = 2, rooms = 3 }\nhistory.messages = 0",
    );
    let mut one = Client::connect(&server);
    let long = format!(r#"{{"type":"join","room":"{}"}}"#, "x".repeat(129));
    for (text, code) in [
        ("nonsense", "malformed"),
        ("{\"type\":\"join\"}", "malformed"),
        ("{\"type\":\"dance\"}", "unknown-type"),
        (&long, "bad-name"),
        (
            "{\"type\":\"publish\",\"room\":\"a\",\"data\":1}",
            "not-joined",
        ),
        ("{\"type\":\"members\",\"room\":\"a\"}", "not-joined"),
        ("{\"type\":\"history\",\"room\":\"a\"}", "not-joined"),
        ("{\"type\":\"leave\",\"room\":\"a\"}", "not-joined"),
    ] {
        assert_eq!(one.problem(text), code, "{text}");
    }
    one.join("a");
    assert_eq!(
        one.problem("{\"type\":\"join\",\"room\":\"a\"}"),
        "already-joined"
    );
    one.join("b");
    assert_eq!(
        one.problem("{\"type\":\"join\",\"room\":\"c\"}"),
        "too-many-rooms"
    );
    let mut two = Client::connect(&server);
    two.join("c");
    assert_eq!(
        two.problem("{\"type\":\"join\",\"room\":\"d\"}"),
        "hub-full"
    );
    two.say(&json!({ "type": "leave", "room": "c" }));
    two.join("d");
}

#[test]
fn what_is_over_the_rate_is_not_taken() {
    let server = HubServer::start("path = \"/ws\"\nlimits.rate = \"5/s\"");
    let mut one = Client::connect(&server);
    for _ in 0..7 {
        one.say(&json!({ "type": "ping" }));
    }
    let answers: Vec<Value> = (0..7).map(|_| one.read()).collect();
    let pongs = answers
        .iter()
        .filter(|answer| answer["type"] == "pong")
        .count();
    let errors = answers
        .iter()
        .filter(|answer| answer["code"] == "rate-limited")
        .count();
    assert_eq!(pongs + errors, 7);
    assert!(errors >= 1, "{answers:?}");
}

#[test]
fn binary_is_not_part_of_it() {
    let server = HubServer::start(HUB);
    let mut one = Client::connect(&server);
    one.socket.binary(b"x");
    assert_eq!(one.socket.read_close().0, 1003);
}

#[test]
fn a_room_in_the_path_is_joined_from_the_start() {
    let server = HubServer::start("path = \"/rooms/{room}\"");
    let mut one = Client::connect_to(&server, "/rooms/a%20b");
    let joined = one.read();
    assert_eq!(
        (&joined["type"], &joined["room"]),
        (&json!("joined"), &json!("a b"))
    );
    let mut two = Client::connect_to(&server, "/rooms/a%20b");
    two.read();
    two.publish("a b", &json!(1));
    assert_eq!(one.read()["data"], 1);
    let refused = WebSocket::handshake(server.address(), "/rooms/a%0Ab", "");
    assert!(
        refused.head.starts_with("HTTP/1.1 400 "),
        "{}",
        refused.head
    );
}

#[test]
fn deflated_messages_are_the_same_messages() {
    let server = HubServer::start(HUB);
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut socket = WebSocket::open_with(server.address(), "/ws", deflate);
    socket.read();
    socket.text("{\"type\":\"join\",\"room\":\"a\"}");
    socket.read();
    let mut plain = Client::connect(&server);
    plain.join("a");
    let data = "again and again ".repeat(20);
    plain.publish("a", &json!(data));
    assert_eq!(plain.read()["data"], data.as_str());
    let sluicegate_tests::Frame::Compressed(payload) = socket.read() else {
        panic!("not compressed");
    };
    assert!(payload.len() < 200, "{}", payload.len());
    wait_until("both are there", || {
        server.hub().shared.directory.clients() == 2
    });
}
