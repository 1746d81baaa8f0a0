//! What operators do to the hubs of a whole gateway: on its admin listener, and by reloads.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::config;
use sluicegate::server::Server;
use sluicegate_tests::{Frame, Gateway, RequestBuilder, WebSocket, frame, wait_until};

fn read(socket: &mut WebSocket) -> Value {
    serde_json::from_str(&socket.read_text()).unwrap()
}

fn join(socket: &mut WebSocket, room: &str) -> String {
    let welcome = read(socket);
    socket.text(&json!({ "type": "join", "room": room }).to_string());
    assert_eq!(read(socket)["type"], "joined");
    welcome["client"].as_str().unwrap().to_owned()
}

#[test]
fn a_connection_that_has_served_requests_can_become_a_client() {
    let gateway = Gateway::from_toml("[hubs.echo]\npath = \"/ws\"\nmode = \"echo\"").start();
    let host = gateway.address();
    let handshake = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut bytes =
        format!("GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n{handshake}").into_bytes();
    bytes.extend(frame(0x81, b"early"));
    let mut wire = gateway.connect();
    wire.write(bytes);
    wait_until("the echo has come", || {
        let _ = wire
            .stream()
            .set_read_timeout(Some(Duration::from_millis(20)));
        let _ = wire.try_read_head();
        wire.seen().ends_with(b"\x81\x05early")
    });
    assert!(wire.seen().starts_with(b"HTTP/1.1 404 "));
}

#[test]
fn a_handshake_with_a_body_is_no_handshake() {
    let gateway = Gateway::from_toml("[hubs.echo]\npath = \"/ws\"\nmode = \"echo\"").start();
    for lines in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let socket = WebSocket::handshake(gateway.address(), "/ws", lines);
        assert!(socket.head.starts_with("HTTP/1.1 400 "), "{}", socket.head);
    }
}

#[test]
fn operators_see_reach_and_end_clients() {
    let gateway =
        Gateway::from_toml("[admin]\naddress = \"127.0.0.1:0\"\n[hubs.chat]\npath = \"/ws\"")
            .start();
    let mut socket = WebSocket::open(gateway.address(), "/ws");
    let id = join(&mut socket, "a");
    let ask = |method: &str, path: &str, body: &Value| -> Value {
        let request = RequestBuilder::new(gateway.admin_address().unwrap(), method, path);
        let request = if method == "GET" {
            request
        } else {
            request.body(body.to_string())
        };
        serde_json::from_str(request.send().text()).unwrap()
    };
    let clients = ask("GET", "/hubs/chat/clients?room=a", &json!(null));
    assert_eq!(clients["count"], 1);
    let client = &clients["clients"][0];
    assert_eq!(
        (&client["client"], &client["address"]),
        (&json!(id), &json!("127.0.0.1"))
    );
    assert_eq!(client["rooms"], json!(["a"]));
    let rooms = ask("GET", "/hubs/chat/rooms", &json!(null));
    assert_eq!(rooms["rooms"], json!([{ "room": "a", "connections": 1 }]));
    ask(
        "POST",
        "/hubs/chat/publish",
        &json!({ "room": "a", "data": { "n": 1 } }),
    );
    assert_eq!(
        read(&mut socket),
        json!({ "type": "message", "room": "a", "data": { "n": 1 }, "offset": 1 })
    );
    ask("POST", "/hubs/chat/publish", &json!({ "text": "to all" }));
    assert_eq!(
        read(&mut socket),
        json!({ "type": "broadcast", "data": "to all" })
    );
    let sent = ask(
        "POST",
        "/hubs/chat/send",
        &json!({ "client": id, "data": 2 }),
    );
    assert_eq!(sent, json!({ "sent": true }));
    assert_eq!(read(&mut socket), json!({ "type": "direct", "data": 2 }));
    let ended = ask(
        "POST",
        "/hubs/chat/disconnect",
        &json!({ "client": id, "reason": "enough" }),
    );
    assert_eq!(ended, json!({ "disconnected": 1 }));
    assert_eq!(socket.read_close(), (4004, "enough".to_owned()));
}

/// A gateway from a file that can be changed.
struct Reloaded {
    _folder: tempfile::TempDir,
    file: PathBuf,
    server: Server,
}

impl Reloaded {
    fn start(hubs: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        write(&file, hubs);
        let loaded = config::load(&file).unwrap();
        let server = Server::start(&loaded.config, &mut |_| {}).unwrap();
        Self {
            _folder: folder,
            file,
            server,
        }
    }

    fn reload(&self, hubs: &str) {
        write(&self.file, hubs);
        self.server.running().reload().unwrap();
    }

    fn open(&self, path: &str) -> WebSocket {
        WebSocket::open(self.server.addresses()[0], path)
    }
}

fn write(file: &PathBuf, hubs: &str) {
    let text = format!(
        "[server]\nworkers = 2\nwatch = false\nshutdown_grace = \"0s\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{hubs}"
    );
    std::fs::write(file, text).unwrap();
}

#[test]
fn clients_stay_through_a_reload() {
    let gateway = Reloaded::start("[hubs.chat]\npath = \"/ws\"");
    let mut before = gateway.open("/ws");
    join(&mut before, "a");
    gateway.reload(
        "[hubs.chat]\npath = \"/ws\"\nlimits.message = \"1KiB\"\n[hubs.other]\npath = \"/other\"",
    );
    let mut after = gateway.open("/ws");
    join(&mut after, "a");
    after.text(&json!({ "type": "publish", "room": "a", "data": "hello" }).to_string());
    assert_eq!(read(&mut before)["data"], "hello");
    // Each has the limits that it came with.
    let long = json!({ "type": "publish", "room": "a", "data": "x".repeat(2000) }).to_string();
    before.text(&long);
    assert_eq!(read(&mut before)["offset"], 2);
    after.text(&long);
    assert_eq!(after.read_close().0, 1009);
}

#[test]
fn clients_of_a_hub_that_is_replaced_or_gone_are_told() {
    let gateway = Reloaded::start("[hubs.a]\npath = \"/a\"\n[hubs.b]\npath = \"/b\"");
    let mut replaced = gateway.open("/a");
    let mut gone = gateway.open("/b");
    gateway.reload("[hubs.a]\npath = \"/a\"\nmode = \"echo\"");
    assert_eq!(replaced.read_close().0, 1012);
    assert_eq!(gone.read_close().0, 1012);
    let mut echo = gateway.open("/a");
    echo.text("new");
    assert_eq!(echo.read(), Frame::Text("new".into()));
}

#[test]
fn a_hub_with_workers_of_a_gateway_is_one_hub() {
    let gateway = Reloaded::start("[hubs.chat]\npath = \"/ws\"");
    // The system spreads them over both workers.
    let mut sockets: Vec<WebSocket> = (0..16).map(|_| gateway.open("/ws")).collect();
    for socket in &mut sockets {
        join(socket, "a");
    }
    sockets[0].text(&json!({ "type": "publish", "room": "a", "data": 1 }).to_string());
    for socket in &mut sockets {
        assert_eq!(read(socket)["data"], 1);
    }
}
