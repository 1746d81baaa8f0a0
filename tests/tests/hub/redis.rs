//! Hubs of several gateways, with a real Redis between them that is killed and brought back.

mod direct;
mod failures;
mod presence;

use serde_json::{Value, json};
use sluicegate::hub::api::ApiError;
use sluicegate::hub::backplane::Refused;
use sluicegate::hub::hooks::Message;
use sluicegate_tests::{Frame, HubServer, Process, RedisServer, WebSocket, wait_until};

fn hub(redis: &RedisServer, more: &str) -> HubServer {
    let url = redis.url();
    HubServer::start(&format!(
        "path = \"/ws\"\nlimits.rate = \"none\"\nping.interval = \"5m\"\nbackplane = \"{url}\"\n{more}"
    ))
}

fn is_connected(server: &HubServer) -> bool {
    server.hub().shared.backplane.is_connected()
}

#[track_caller]
fn connected(server: &HubServer) {
    wait_until("the hub is connected", || is_connected(server));
}

/// Two gateways of one hub.
#[track_caller]
fn two(redis: &RedisServer, more: &str) -> [HubServer; 2] {
    let servers = [hub(redis, more), hub(redis, more)];
    servers.iter().for_each(connected);
    servers
}

#[track_caller]
fn read(socket: &mut WebSocket) -> Value {
    serde_json::from_str(&socket.read_text()).unwrap()
}

#[track_caller]
fn ask(socket: &mut WebSocket, command: &Value) -> Value {
    socket.text(&command.to_string());
    read(socket)
}

#[track_caller]
fn connect(server: &HubServer) -> WebSocket {
    let mut socket = WebSocket::open(server.address(), "/ws");
    assert_eq!(read(&mut socket)["type"], "welcome");
    socket
}

#[track_caller]
fn join(server: &HubServer, room: &str) -> (WebSocket, Value) {
    let mut socket = connect(server);
    let joined = ask(&mut socket, &json!({ "type": "join", "room": room }));
    assert_eq!(joined["type"], "joined", "{joined}");
    (socket, joined)
}

fn publish(socket: &mut WebSocket, data: &Value) {
    let command = json!({ "type": "publish", "room": "a", "data": data });
    socket.text(&command.to_string());
}

/// The next message's data and number.
#[track_caller]
fn message(socket: &mut WebSocket) -> (Value, u64) {
    let message = read(socket);
    assert_eq!(message["type"], "message", "{message}");
    (message["data"].clone(), message["offset"].as_u64().unwrap())
}

/// A gateway in a process of its own, with more in its configuration.
#[track_caller]
fn process(url: &str, more: &str) -> (Process, std::net::SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let text = format!(
        "[server]\nworkers = 1\nshutdown_grace = \"0s\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [hubs.h]\npath = \"/ws\"\nbackplane = \"{url}\"\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    let mut process = Process::gateway(["run".as_ref(), "--config".as_ref(), file.as_os_str()]);
    let address = process.address();
    (process, address)
}

#[track_caller]
fn disconnected(server: &HubServer) {
    wait_until("the hub knows that Redis has gone", || {
        !is_connected(server)
    });
}

#[test]
fn all_gateways_see_one_order_whoever_publishes() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let (mut one, joined) = join(&servers[0], "a");
    let (mut other, again) = join(&servers[1], "a");
    assert_eq!(joined["epoch"], again["epoch"]);
    for number in 0..200 {
        publish(&mut one, &json!(["one", number]));
        publish(&mut other, &json!(["other", number]));
    }
    let seen: Vec<_> = (0..400).map(|_| message(&mut one)).collect();
    let there: Vec<_> = (0..400).map(|_| message(&mut other)).collect();
    assert_eq!(seen, there);
    let offsets: Vec<u64> = seen.iter().map(|(_, offset)| *offset).collect();
    assert_eq!(offsets, (1..=400).collect::<Vec<u64>>());
    // And each publisher's own stand in the order in which it has sent them.
    for who in ["one", "other"] {
        let own = seen.iter().filter(|(data, _)| data[0] == who);
        let numbers: Vec<u64> = own.map(|(data, _)| data[1].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<u64>>());
    }
}

#[test]
fn a_client_resumes_at_another_gateway_and_is_told_when_it_cannot() {
    let redis = RedisServer::start();
    let servers = two(&redis, "history.messages = 5");
    let (mut one, joined) = join(&servers[0], "a");
    for number in 1..=4 {
        publish(&mut one, &json!(number));
        assert_eq!(message(&mut one), (json!(number), number));
    }
    let mut since = json!({ "offset": 2, "epoch": joined["epoch"] });
    let mut other = connect(&servers[1]);
    let command = json!({ "type": "join", "room": "a", "since": since });
    let resumed = ask(&mut other, &command);
    assert_eq!(
        (&resumed["recovered"], &resumed["offset"]),
        (&json!(true), &json!(4)),
        "{resumed}"
    );
    assert_eq!(message(&mut other), (json!(3), 3));
    assert_eq!(message(&mut other), (json!(4), 4));
    for number in 5..=9 {
        publish(&mut one, &json!(number));
        assert_eq!(message(&mut other), (json!(number), number));
    }
    // Five are kept: 5 to 9.
    let history = json!({ "type": "history", "room": "a", "limit": 2 });
    let page = ask(&mut other, &history);
    let offsets = |page: &Value| -> Vec<u64> {
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|m| m["offset"].as_u64().unwrap()).collect()
    };
    assert_eq!(
        (offsets(&page), &page["complete"]),
        (vec![8, 9], &json!(true))
    );
    let page = ask(
        &mut other,
        &json!({ "type": "history", "room": "a", "since": since }),
    );
    assert_eq!(
        (offsets(&page), &page["complete"]),
        (vec![5, 6, 7, 8, 9], &json!(false))
    );
    since["offset"] = json!(3);
    let mut late = connect(&servers[1]);
    let command = json!({ "type": "join", "room": "a", "since": since });
    assert_eq!(ask(&mut late, &command)["recovered"], false);
}

#[test]
fn a_broadcast_reaches_the_clients_of_all_gateways() {
    let mut redis = RedisServer::start();
    let servers = two(&redis, "");
    let mut sockets = servers.each_ref().map(connect);
    let message = Message::Text("{\"n\":1}".to_owned());
    servers[0].hub().broadcast(&message).unwrap();
    for socket in &mut sockets {
        let expected = json!({ "type": "broadcast", "data": { "n": 1 } });
        assert_eq!(read(socket), expected);
    }
    redis.kill();
    disconnected(&servers[0]);
    let refused = servers[0].hub().broadcast(&message);
    assert_eq!(refused, Err(ApiError::Refused(Refused::Busy)));
}

#[test]
fn rooms_of_all_gateways_count() {
    let redis = RedisServer::start();
    let servers = two(&redis, "limits.rooms = 2");
    let _one = join(&servers[0], "a");
    let _two = join(&servers[1], "b");
    let mut socket = connect(&servers[1]);
    let error = ask(&mut socket, &json!({ "type": "join", "room": "c" }));
    assert_eq!(error["code"], "hub-full", "{error}");
    assert_eq!(
        ask(&mut socket, &json!({ "type": "join", "room": "a" }))["type"],
        "joined"
    );
}

#[test]
fn rooms_that_are_only_kept_for_their_histories_give_way() {
    let redis = RedisServer::start();
    let servers = two(&redis, "limits.rooms = 2");
    let (mut one, _) = join(&servers[0], "a");
    let (mut kept, _) = join(&servers[1], "b");
    let join_room = |room: &str| json!({ "type": "join", "room": room });
    let leave = |socket: &mut WebSocket, room: &str| {
        let left = ask(socket, &json!({ "type": "leave", "room": room, "id": 1 }));
        assert_eq!(left["type"], "left");
    };
    publish(&mut one, &json!("of a"));
    assert_eq!(message(&mut one), (json!("of a"), 1));
    // Somebody is in it, at another gateway and though it has not been used for longer.
    assert_eq!(ask(&mut one, &join_room("b"))["type"], "joined");
    leave(&mut one, "b");
    leave(&mut one, "a");
    let mut late = connect(&servers[1]);
    wait_until("Redis knows that nobody is in room a", || {
        ask(&mut late, &join_room("c"))["type"] == "joined"
    });
    for socket in [&mut one, &mut late] {
        assert_eq!(ask(socket, &join_room("d"))["code"], "hub-full");
    }
    assert_eq!(ask(&mut one, &join_room("c"))["type"], "joined");
    // What was in `a` is forgotten: it begins anew.
    leave(&mut late, "c");
    leave(&mut one, "c");
    let mut position = 9;
    wait_until("there is room for a", || {
        let joined = ask(&mut one, &join_room("a"));
        position = joined["offset"].as_u64().unwrap_or(9);
        joined["type"] == "joined"
    });
    assert_eq!(position, 0);
    assert_eq!(
        ask(&mut kept, &json!({ "type": "members", "room": "b" }))["count"],
        1
    );
    assert!(
        redis
            .command(&["EXISTS", "sluicegate:{h}:room:b"])
            .contains('1')
    );
}

#[test]
fn what_was_said_while_the_connection_was_lost_comes_after_it() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let (mut one, _) = join(&servers[0], "a");
    let (mut other, _) = join(&servers[1], "a");
    for number in 1..=20 {
        // Both lose it again and again; what one says once it is back comes to the other, in order.
        redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        loop {
            let command = json!({ "type": "publish", "room": "a", "data": number, "id": 1 });
            one.text(&command.to_string());
            let answers = [read(&mut one)];
            if answers[0]["type"] != "error" {
                assert!(["published", "message"].contains(&answers[0]["type"].as_str().unwrap()));
                read(&mut one);
                break;
            }
            assert_eq!(answers[0]["code"], "busy");
            connected(&servers[0]);
        }
        let (data, _) = message(&mut other);
        assert_eq!(data, json!(number));
    }
}

#[test]
fn clients_stay_while_redis_is_away_and_are_told_of_the_gap() {
    let mut redis = RedisServer::start();
    let servers = two(&redis, "");
    let (mut one, joined) = join(&servers[0], "a");
    let (mut other, _) = join(&servers[1], "a");
    publish(&mut one, &json!("before"));
    assert_eq!(message(&mut one), (json!("before"), 1));
    assert_eq!(message(&mut other), (json!("before"), 1));
    redis.kill();
    servers.iter().for_each(disconnected);
    for command in [
        json!({ "type": "publish", "room": "a", "data": 1, "id": 7 }),
        json!({ "type": "history", "room": "a", "id": 7 }),
        json!({ "type": "join", "room": "b", "id": 7 }),
    ] {
        let error = ask(&mut one, &command);
        assert_eq!(
            (&error["code"], &error["id"]),
            (&json!("busy"), &json!(7)),
            "{error}"
        );
    }
    assert_eq!(ask(&mut one, &json!({ "type": "ping" }))["type"], "pong");
    // It comes back empty: the room's stream is another, and its numbers begin anew.
    redis.bring_back();
    for socket in [&mut one, &mut other] {
        let gap = read(socket);
        assert_eq!(
            (&gap["type"], &gap["room"], &gap["offset"]),
            (&json!("gap"), &json!("a"), &json!(0))
        );
        assert_ne!(gap["epoch"], joined["epoch"]);
    }
    publish(&mut one, &json!("after"));
    assert_eq!(message(&mut one), (json!("after"), 1));
    assert_eq!(message(&mut other), (json!("after"), 1));
}

#[test]
fn a_gateway_starts_without_redis_and_a_silent_one_is_no_connection() {
    let mut redis = RedisServer::absent();
    let server = hub(&redis, "");
    let mut socket = connect(&server);
    let command = json!({ "type": "join", "room": "a" });
    assert_eq!(ask(&mut socket, &command)["code"], "busy");
    redis.bring_back();
    connected(&server);
    assert_eq!(ask(&mut socket, &command)["type"], "joined");
    redis.signal("STOP");
    disconnected(&server);
    redis.signal("CONT");
    connected(&server);
    publish(&mut socket, &json!(1));
    assert_eq!(message(&mut socket), (json!(1), 1));
}

#[test]
fn a_relay_spares_the_sender_and_nobody_else() {
    let redis = RedisServer::start();
    let servers = two(&redis, "mode = \"relay\"");
    let [mut one, mut other] = servers
        .each_ref()
        .map(|server| WebSocket::open(server.address(), "/ws"));
    for socket in [&mut one, &mut other] {
        // Nothing is read of a client before it is in its room.
        socket.frame(0x89, b"");
        assert_eq!(socket.read(), Frame::Pong(Vec::new()));
    }
    one.text("one");
    assert_eq!(other.read_text(), "one");
    other.binary(b"\xff");
    assert_eq!(one.read(), Frame::Binary(b"\xff".to_vec()));
    one.text("two");
    assert_eq!(other.read_text(), "two");
}

#[test]
fn who_comes_while_redis_is_away_is_in_the_room_of_its_path_once_it_is_back() {
    let mut redis = RedisServer::absent();
    let server = hub(&redis, "mode = \"relay\"");
    let mut sockets = [(); 2].map(|()| WebSocket::open(server.address(), "/ws"));
    // It is read when the client is in.
    sockets[0].frame(0x89, b"");
    redis.bring_back();
    assert_eq!(sockets[0].read(), Frame::Pong(Vec::new()));
    sockets[1].frame(0x89, b"");
    assert_eq!(sockets[1].read(), Frame::Pong(Vec::new()));
    sockets[0].text("one");
    assert_eq!(sockets[1].read_text(), "one");
}

#[test]
fn who_cannot_be_let_into_the_room_of_its_path_is_told_to_come_later() {
    let redis = RedisServer::start();
    let server = hub(&redis, "mode = \"relay\"\nlimits.rooms = 1");
    connected(&server);
    let url = redis.url();
    let other = HubServer::start(&format!(
        "path = \"/other\"\nmode = \"relay\"\nlimits.rooms = 1\nbackplane = \"{url}\""
    ));
    connected(&other);
    let mut first = WebSocket::open(server.address(), "/ws");
    first.frame(0x89, b"");
    assert_eq!(first.read(), Frame::Pong(Vec::new()));
    let (code, reason) = WebSocket::open(other.address(), "/other").read_close();
    assert_eq!(code, 1013, "{reason}");
}

#[test]
fn a_wrong_password_is_no_connection_and_the_right_one_is() {
    let redis = RedisServer::start();
    redis.command(&["CONFIG", "SET", "requirepass", "s3cret"]);
    let with = |password: &str| {
        let url = redis
            .url()
            .replace("redis://", &format!("redis://:{password}@"));
        HubServer::start(&format!("path = \"/ws\"\nbackplane = \"{url}/3\""))
    };
    connected(&with("s3cret"));
    let server = with("wrong");
    let mut socket = connect(&server);
    let error = ask(&mut socket, &json!({ "type": "join", "room": "a" }));
    assert_eq!(error["code"], "busy");
    assert!(!is_connected(&server));
}
