//! A hub is one hub, however many workers it has.

use std::collections::HashSet;

use serde_json::{Value, json};
use sluicegate_tests::{HubServer, WebSocket, wait_until};

fn read(socket: &mut WebSocket) -> Value {
    serde_json::from_str(&socket.read_text()).unwrap()
}

fn join(server: &HubServer, worker: usize, command: &Value) -> WebSocket {
    let mut socket = WebSocket::open(server.addresses()[worker], "/ws");
    read(&mut socket);
    socket.text(&command.to_string());
    let joined = read(&mut socket);
    assert_eq!(joined["type"], "joined", "{joined}");
    socket
}

#[test]
fn messages_cross_workers_in_one_order() {
    let server = HubServer::with_workers(3, "path = \"/ws\"\nlimits.rate = \"none\"");
    let command = json!({ "type": "join", "room": "a" });
    let sockets: Vec<WebSocket> = (0..9)
        .map(|number| join(&server, number % 3, &command))
        .collect();
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            std::thread::spawn(move || {
                for number in 0..100 {
                    let publish = json!({ "type": "publish", "room": "a", "data": number });
                    socket.text(&publish.to_string());
                }
                (0..900).map(|_| read(&mut socket)).collect::<Vec<Value>>()
            })
        })
        .collect();
    let seen: Vec<Vec<Value>> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    for (number, message) in seen[0].iter().enumerate() {
        assert_eq!(message["offset"], number + 1);
    }
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[test]
fn nobody_who_joins_in_a_stream_misses_or_repeats_anything() {
    let server = HubServer::with_workers(2, "path = \"/ws\"\nlimits.rate = \"none\"");
    let command = json!({ "type": "join", "room": "a" });
    let mut publisher = join(&server, 0, &command);
    let last = 2000;
    let publishing = std::thread::spawn(move || {
        for number in 1..=last {
            let publish = json!({ "type": "publish", "room": "a", "data": number });
            publisher.text(&publish.to_string());
            read(&mut publisher);
        }
    });
    let joining: Vec<_> = (0..8)
        .map(|number| {
            let mut socket = WebSocket::open(server.addresses()[number % 2], "/ws");
            let command = command.clone();
            std::thread::spawn(move || {
                read(&mut socket);
                socket.text(&command.to_string());
                let joined = read(&mut socket);
                let mut expected = joined["offset"].as_i64().unwrap();
                while expected < last {
                    expected += 1;
                    assert_eq!(read(&mut socket)["offset"], expected);
                }
            })
        })
        .collect();
    for thread in joining {
        thread.join().unwrap();
    }
    publishing.join().unwrap();
}

#[test]
fn presence_and_direct_messages_cross_workers() {
    let server = HubServer::with_workers(2, "path = \"/ws\"");
    let watch = json!({ "type": "join", "room": "a", "presence": true });
    let mut one = join(&server, 0, &watch);
    let mut two = WebSocket::open(server.addresses()[1], "/ws");
    let id = read(&mut two)["client"].as_str().unwrap().to_owned();
    two.text(&json!({ "type": "join", "room": "a" }).to_string());
    read(&mut two);
    assert_eq!(read(&mut one)["joined"][0]["id"], id.as_str());
    one.text(&json!({ "type": "direct", "to": id, "data": 5 }).to_string());
    assert_eq!(read(&mut two)["data"], 5);
    drop(two);
    assert_eq!(read(&mut one)["left"][0], id.as_str());
}

#[test]
fn limits_are_those_of_all_workers() {
    let server = HubServer::with_workers(2, "path = \"/ws\"\nlimits.connections = 2");
    let _one = WebSocket::open(server.addresses()[0], "/ws");
    let _two = WebSocket::open(server.addresses()[1], "/ws");
    for address in server.addresses() {
        let refused = WebSocket::handshake(*address, "/ws", "");
        assert!(
            refused.head.starts_with("HTTP/1.1 503 "),
            "{}",
            refused.head
        );
    }
}

#[test]
fn operators_see_and_reach_all() {
    let server = HubServer::with_workers(2, "path = \"/ws\"");
    let command = json!({ "type": "join", "room": "a" });
    let mut sockets: Vec<WebSocket> = (0..4)
        .map(|number| join(&server, number % 2, &command))
        .collect();
    let clients = server.ask(server.hub().clients(Some("a"), 100));
    let ids: HashSet<_> = clients.iter().map(|client| client.id.clone()).collect();
    assert_eq!(ids.len(), 4);
    assert!(server.ask(server.hub().clients(Some("b"), 100)).is_empty());
    assert_eq!(server.ask(server.hub().clients(None, 3)).len(), 3);
    assert_eq!(server.ask(server.hub().rooms(10)), [("a".into(), 4)]);
    let message = sluicegate::hub::hooks::Message::Text("{\"x\":1}".into());
    server.ask(server.hub().publish("a", &message)).unwrap();
    server.hub().broadcast(&message).unwrap();
    for socket in &mut sockets {
        assert_eq!(
            read(socket),
            json!({ "type": "message", "room": "a", "data": { "x": 1 }, "offset": 1 })
        );
        assert_eq!(
            read(socket),
            json!({ "type": "broadcast", "data": { "x": 1 } })
        );
    }
    drop(sockets);
    wait_until("all have gone", || {
        server.ask(server.hub().rooms(10)).is_empty()
    });
}
