//! Who is in the rooms of several gateways.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use sluicegate_tests::Process;

use super::*;

/// Joins with presence.
#[track_caller]
fn watch(server: &HubServer) -> WebSocket {
    let mut socket = connect(server);
    let command = json!({ "type": "join", "room": "a", "presence": true });
    assert_eq!(ask(&mut socket, &command)["type"], "joined");
    socket
}

#[track_caller]
fn presence(socket: &mut WebSocket) -> (Value, Value) {
    let event = read(socket);
    assert_eq!(event["type"], "presence", "{event}");
    (event["joined"].clone(), event["left"].clone())
}

/// What is said by [`presence`] of one who has come.
fn one_came(id: &Value) -> (Value, Value) {
    (json!([{ "id": id }]), json!([]))
}

fn one_left(id: &Value) -> (Value, Value) {
    (json!([]), json!([id]))
}

/// A client's identifier, and its socket in room `a`.
#[track_caller]
fn come(address: std::net::SocketAddr) -> (Value, WebSocket) {
    let mut socket = WebSocket::open(address, "/ws");
    let id = read(&mut socket)["client"].clone();
    let joined = ask(&mut socket, &json!({ "type": "join", "room": "a" }));
    assert_eq!(joined["type"], "joined", "{joined}");
    (id, socket)
}

#[track_caller]
fn members(socket: &mut WebSocket) -> u64 {
    let answer = ask(socket, &json!({ "type": "members", "room": "a" }));
    assert_eq!(answer["type"], "members", "{answer}");
    answer["count"].as_u64().unwrap()
}

/// What gateways say, in lines: some of them only, for those that run go on with their heartbeats.
fn spy(redis: &RedisServer) -> impl Iterator<Item = String> + use<> {
    let address = redis.url().replace("redis://", "");
    let mut spy = TcpStream::connect(address).unwrap();
    write!(spy, "SUBSCRIBE sluicegate:{{h}}:gateways:0\r\n").unwrap();
    BufReader::new(spy).lines().map(Result::unwrap).take(100)
}

/// A gateway in a process of its own, which can be killed, and is connected.
pub(super) fn process(redis: &RedisServer) -> (Process, std::net::SocketAddr) {
    let (process, address) = super::process(&redis.url(), "");
    wait_until("it is connected to its backplane", || {
        process.stderr().contains("is connected to its backplane")
    });
    (process, address)
}

#[test]
fn members_are_those_of_all_gateways_and_watchers_are_told_of_them() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let mut watcher = watch(&servers[0]);
    let mut other = connect(&servers[1]);
    let join = json!({ "type": "join", "room": "a", "info": { "name": "Ada" } });
    assert_eq!(ask(&mut other, &join)["type"], "joined");
    let (joined, left) = presence(&mut watcher);
    assert_eq!(
        (&joined[0]["info"], &left),
        (&json!({ "name": "Ada" }), &json!([]))
    );
    assert_eq!(members(&mut watcher), 2);
    // A newcomer is told everything.
    let late = hub(&redis, "");
    connected(&late);
    let (id, mut third) = come(late.address());
    assert_eq!(presence(&mut watcher), one_came(&id));
    wait_until("the newcomer knows all", || members(&mut third) == 3);
    let answer = ask(&mut third, &json!({ "type": "members", "room": "a" }));
    let listed = answer["members"].as_array().unwrap();
    assert!(listed.contains(&joined[0]), "{answer}");
    assert_eq!(
        ask(
            &mut other,
            &json!({ "type": "leave", "room": "a", "id": 1 })
        )["type"],
        "left"
    );
    assert_eq!(presence(&mut watcher), one_left(&joined[0]["id"]));
    drop(third);
    assert_eq!(presence(&mut watcher), one_left(&id));
    assert_eq!(members(&mut watcher), 1);
}

#[test]
fn the_clients_of_a_gateway_that_is_killed_have_left_and_those_of_a_silent_one_come_back() {
    let redis = RedisServer::start();
    let server = hub(&redis, "");
    connected(&server);
    let mut watcher = watch(&server);
    let (killed, address) = process(&redis);
    let (id, _socket) = come(address);
    assert_eq!(presence(&mut watcher), one_came(&id));
    killed.signal("KILL");
    assert_eq!(presence(&mut watcher), one_left(&id));
    assert_eq!(members(&mut watcher), 1);
    let (silent, address) = process(&redis);
    let (id, socket) = come(address);
    assert_eq!(presence(&mut watcher), one_came(&id));
    silent.signal("STOP");
    assert_eq!(presence(&mut watcher), one_left(&id));
    silent.signal("CONT");
    assert_eq!(presence(&mut watcher), one_came(&id));
    drop(socket);
    assert_eq!(presence(&mut watcher), one_left(&id));
}

#[test]
fn nobody_has_left_while_redis_is_away_but_who_has_left_meanwhile() {
    let mut redis = RedisServer::start();
    let servers = two(&redis, "");
    let mut watcher = watch(&servers[0]);
    let (stays, mut staying) = come(servers[1].address());
    assert_eq!(presence(&mut watcher), one_came(&stays));
    let (leaves, leaving) = come(servers[1].address());
    assert_eq!(presence(&mut watcher), one_came(&leaves));
    // Longer than a gateway may be silent.
    redis.signal("STOP");
    servers.iter().for_each(disconnected);
    assert_eq!(members(&mut watcher), 3);
    drop(leaving);
    wait_until("its own gateway knows", || members(&mut staying) == 2);
    assert_eq!(members(&mut watcher), 3);
    redis.kill();
    redis.bring_back();
    // Of all that was said meanwhile there is this alone, and the gap.
    let events = [read(&mut watcher), read(&mut watcher)];
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(of("presence")["left"], json!([leaves]));
    assert_eq!(of("presence")["joined"], json!([]));
    assert_eq!(of("gap")["room"], "a");
    assert_eq!(members(&mut watcher), 2);
    drop(staying);
    assert_eq!(presence(&mut watcher), one_left(&stays));
}

#[test]
fn a_gateway_that_stops_says_so_and_nonsense_is_dropped() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let mut watcher = watch(&servers[0]);
    let channel = "sluicegate:{h}:gateways:0";
    for nonsense in [
        "",
        "x alive",
        "7 news + 1 1 3 ax\"]",
        "7 news",
        "\u{ff}\n\n",
    ] {
        redis.command(&["PUBLISH", channel, nonsense]);
    }
    redis.command(&["PUBLISH", channel, "7 news + 1 1 - ax"]);
    assert_eq!(presence(&mut watcher), one_came(&json!("x")));
    redis.command(&["PUBLISH", channel, "7 bye"]);
    assert_eq!(presence(&mut watcher), one_left(&json!("x")));
    let mut lines = spy(&redis);
    assert!(lines.any(|line| line.ends_with(" alive")));
    let [_one, other] = servers;
    drop(other);
    assert!(lines.any(|line| line.ends_with(" bye")));
}

#[test]
fn a_process_that_stops_says_so_before_it_ends_also_with_an_admin_listener() {
    let redis = RedisServer::start();
    let server = hub(&redis, "");
    connected(&server);
    let (process, _) = super::process(&redis.url(), "[admin]\naddress = \"127.0.0.1:0\"");
    wait_until("it is connected to its backplane", || {
        process.stderr().contains("is connected to its backplane")
    });
    let mut lines = spy(&redis);
    assert!(lines.any(|line| line.ends_with(" alive")));
    process.signal("TERM");
    assert!(lines.any(|line| line.ends_with(" bye")));
}
