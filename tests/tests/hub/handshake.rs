//! From a request to a connection, or not.

use sluicegate_tests::{Frame, HubServer, WebSocket};

const ECHO: &str = "path = \"/ws\"\nmode = \"echo\"";

fn status(server: &HubServer, lines: &str) -> String {
    WebSocket::handshake(server.address(), "/ws", lines)
        .head
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn the_answer_that_makes_it_a_connection() {
    let server = HubServer::start(ECHO);
    let mut socket = WebSocket::open(server.address(), "/ws");
    let head = socket.head.to_ascii_lowercase();
    assert!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    socket.text("hi");
    assert_eq!(socket.read(), Frame::Text("hi".into()));
}

#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    let server = HubServer::start(ECHO);
    let address = server.address();
    let mut request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    // A frame of text whose mask is zeros is text itself.
    request.push_str("\u{1}\u{0}");
    let text = request.len() - 2;
    let mut bytes = request.into_bytes();
    bytes[text] = 0x81;
    bytes[text + 1] = 0x85;
    bytes.extend_from_slice(b"\0\0\0\0early");
    let stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut &stream, &bytes).unwrap();
    stream
        .set_read_timeout(Some(sluicegate_tests::LIMIT))
        .unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\x81\x05early") {
        let mut buffer = [0; 1024];
        let size = std::io::Read::read(&mut &stream, &mut buffer).unwrap();
        assert!(size > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..size]);
    }
}

#[test]
fn what_is_no_websocket_is_told_what_is_needed() {
    let server = HubServer::start(ECHO);
    let socket = WebSocket::raw(server.address(), "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = socket.head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 426 "), "{head}");
    assert!(head.contains("upgrade: websocket"), "{head}");
    assert!(head.contains("x-request-id: "), "{head}");
}

#[test]
fn origins() {
    let server = HubServer::start(&format!("{ECHO}\norigins = [\"https://a.example\"]"));
    assert!(status(&server, "Origin: https://a.example\r\n").contains("101"));
    assert!(status(&server, "").contains("101"));
    assert!(status(&server, "Origin: https://b.example\r\n").contains("403"));
    let own = format!("Origin: http://{}\r\n", server.address());
    assert!(status(&server, &own).contains("101"));
}

#[test]
fn there_are_as_many_connections_as_there_may_be() {
    let server = HubServer::start(&format!("{ECHO}\nlimits.connections = 2"));
    let first = WebSocket::open(server.address(), "/ws");
    let _second = WebSocket::open(server.address(), "/ws");
    assert!(status(&server, "").contains("503"));
    drop(first);
    sluicegate_tests::wait_until("there is room again", || {
        status(&server, "").contains("101")
    });

    let server = HubServer::start(&format!("{ECHO}\nlimits.connections_per_address = 1"));
    let _first = WebSocket::open(server.address(), "/ws");
    assert!(status(&server, "").contains("429"));
}

#[test]
fn subprotocols() {
    let rooms = HubServer::start("path = \"/ws\"");
    let offer = "Sec-WebSocket-Protocol: x, sluicegate.hub.v1\r\n";
    let socket = WebSocket::open_with(rooms.address(), "/ws", offer);
    let answer = "sec-websocket-protocol: sluicegate.hub.v1\r\n";
    assert!(socket.head.contains(answer), "{}", socket.head);
    let raw = HubServer::start(&format!("{ECHO}\nsubprotocols = [\"b\", \"a\"]"));
    let offer = "Sec-WebSocket-Protocol: a, b\r\n";
    let socket = WebSocket::open_with(raw.address(), "/ws", offer);
    assert!(
        socket.head.contains("sec-websocket-protocol: b\r\n"),
        "{}",
        socket.head
    );
    let socket = WebSocket::open_with(raw.address(), "/ws", "Sec-WebSocket-Protocol: c\r\n");
    assert!(
        !socket.head.contains("sec-websocket-protocol"),
        "{}",
        socket.head
    );
}
