//! Hubs as a part of the gateway: the same listener, limits, log, reload and shutdown as everything else.

use std::io::Write as _;

use sluicegate_tests::{Answer, End, Gateway, GatewayBuilder, Upstream, WebSocket, wait_until};

const ECHO: &str = "[hubs.echo]\npath = \"/echo\"\nmode = \"echo\"\n";
const ROOMS: &str = "[hubs.rooms]\npath = \"/rooms/{room}\"\n";

fn with_hubs(upstream: &Upstream) -> GatewayBuilder {
    Gateway::in_front_of(upstream).toml(ECHO).toml(ROOMS)
}

#[test]
fn a_hub_and_routes_share_a_listener() {
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let gateway = with_hubs(&upstream).start();
    let mut socket = WebSocket::open(gateway.address(), "/echo");
    socket.text("hello");
    assert_eq!(socket.read_text(), "hello");
    assert_eq!(gateway.get("/").send().text(), "page");
    // What the client sends together with its handshake is read as well.
    let mut wire = gateway.connect();
    let frame = sluicegate_tests::frame(0x81, b"early");
    let mut bytes =
        b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
    bytes.extend(frame);
    wire.write(bytes);
    let head = wire.read_head();
    assert_eq!(head.status(), 101);
    assert_eq!(
        head.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(wire.read_exact(7), b"\x81\x05early");
}

#[test]
fn what_is_no_websocket_is_told_so_and_the_connection_goes_on() {
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let gateway = with_hubs(&upstream).start();
    let mut wire = gateway.connect();
    let response = gateway.get("/echo").send_over(&mut wire);
    assert_eq!(response.status(), 426);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("sec-websocket-version"), Some("13"));
    assert!(response.header("proxy-status").is_some());
    let response = gateway
        .post("/echo")
        .body("no message")
        .send_over(&mut wire);
    assert_eq!(response.status(), 426);
    assert_eq!(gateway.get("/").send_over(&mut wire).text(), "page");
}

#[test]
fn a_shutdown_says_goodbye_to_clients() {
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let gateway = with_hubs(&upstream)
        .server("shutdown_grace = \"10s\"")
        .start();
    let mut sockets: Vec<WebSocket> = (0..5)
        .map(|_| WebSocket::open(gateway.address(), "/echo"))
        .collect();
    let stopping = std::thread::spawn(move || gateway.shut_down());
    for socket in &mut sockets {
        assert_eq!(socket.read_close().0, 1001);
    }
    drop(sockets);
    stopping.join().unwrap();
}

#[test]
fn clients_stay_through_a_reload_that_leaves_their_hub_as_it_is() {
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text = with_hubs(&upstream).text().clone();
    file.write_all(text.as_bytes()).unwrap();
    let loaded = sluicegate::config::load(file.path()).unwrap();
    let server = sluicegate::server::Server::start(&loaded.config, &mut |_| {}).unwrap();
    let address = server.addresses()[0];
    let (mut one, mut two) = (
        WebSocket::open(address, "/rooms/a"),
        WebSocket::open(address, "/rooms/a"),
    );
    for socket in [&mut one, &mut two] {
        assert!(socket.read_text().contains("welcome"));
        assert!(socket.read_text().contains("joined"));
    }
    let changed = text.replace("path = \"/echo\"", "path = \"/echo2\"");
    std::fs::write(file.path(), changed).unwrap();
    server.running().reload().unwrap();
    wait_until("the new path is there", || {
        WebSocket::handshake(address, "/echo2", "")
            .head
            .starts_with("HTTP/1.1 101 ")
    });
    // And those that were there before are still in their room with those that come now.
    let mut three = WebSocket::open(address, "/rooms/a");
    assert!(three.read_text().contains("welcome"));
    assert!(three.read_text().contains("joined"));
    one.text(r#"{"type":"publish","room":"a","data":"still here"}"#);
    for socket in [&mut one, &mut two, &mut three] {
        let text = socket.read_text();
        assert!(text.contains("still here"), "{text}");
    }
    server.shut_down();
}

#[test]
fn connections_of_hubs_count_as_client_connections() {
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let gateway = with_hubs(&upstream)
        .server("limits = { connections = 2 }")
        .start();
    let (one, _two) = (
        WebSocket::open(gateway.address(), "/echo"),
        WebSocket::open(gateway.address(), "/echo"),
    );
    let mut third = gateway.connect();
    assert_eq!(third.read_response("GET").status(), 503);
    assert_eq!(third.read_to_close().end, End::Closed);
    drop(one);
    wait_until("there is room again", || {
        let mut wire = gateway.connect();
        gateway.get("/").write(&mut wire);
        wire.try_read_response("GET")
            .is_ok_and(|response| response.status() == 200)
    });
}

#[test]
fn a_handshake_is_in_the_access_log_under_the_hubs_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let gateway = with_hubs(&upstream)
        .toml(&format!(
            "[access_log]\nformat = \"json\"\npath = \"{}\"\n",
            path.display()
        ))
        .start();
    let _socket = WebSocket::open(gateway.address(), "/echo");
    wait_until("the handshake is in the log", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    });
    let line = std::fs::read_to_string(&path).unwrap();
    for part in ["\"status\":101", "\"route\":\"echo\"", "\"aborted\":false"] {
        assert!(line.contains(part), "{line}");
    }
}
