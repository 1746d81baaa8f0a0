//! Hubs whose messages are the user's own.

use sluicegate_tests::{Frame, HubServer, WebSocket, frame};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

#[test]
fn an_echo_of_everything() {
    let server = HubServer::start(
        "path = \"/ws\"\nmode = \"echo\"\nlimits = { message = \"1MiB\", queue = \"64KiB\", rate = \"none\" }",
    );
    let mut socket = WebSocket::open(server.address(), "/ws");
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let text = "x".repeat(length);
        socket.text(&text);
        assert_eq!(socket.read(), Frame::Text(text));
        let bytes = vec![7; length];
        socket.binary(&bytes);
        assert_eq!(socket.read(), Frame::Binary(bytes));
    }
    socket.frame(0x01, b"in ");
    socket.frame(0x89, b"ping");
    socket.frame(0x80, b"pieces");
    assert_eq!(socket.read(), Frame::Pong(b"ping".to_vec()));
    assert_eq!(socket.read(), Frame::Text("in pieces".into()));
}

#[test]
fn bytes_one_by_one() {
    let server = HubServer::start("path = \"/ws\"\nmode = \"echo\"");
    let mut socket = WebSocket::open(server.address(), "/ws");
    for byte in frame(0x81, "ein Stück Text".as_bytes()) {
        socket.write([byte]);
        std::thread::yield_now();
    }
    assert_eq!(socket.read(), Frame::Text("ein Stück Text".into()));
}

#[test]
fn deflated_both_ways() {
    let server = HubServer::start("path = \"/ws\"\nmode = \"echo\"");
    let mut socket = WebSocket::open_with(server.address(), "/ws", DEFLATE);
    let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert!(socket.head.contains(answer), "{}", socket.head);
    let text = "again and again ".repeat(50);
    socket.text(&text);
    let Frame::Compressed(payload) = socket.read() else {
        panic!("not compressed");
    };
    assert!(payload.len() < 100);
    socket.frame(0xc1, &payload);
    assert_eq!(socket.read(), Frame::Compressed(payload));
    // What does not get smaller is sent as it is.
    socket.text("short");
    assert_eq!(socket.read(), Frame::Text("short".into()));
    let off = HubServer::start("path = \"/ws\"\nmode = \"echo\"\ndeflate = false");
    let socket = WebSocket::open_with(off.address(), "/ws", DEFLATE);
    assert!(!socket.head.contains("deflate"), "{}", socket.head);
}

#[test]
fn a_relay_is_for_the_others_on_the_same_path() {
    let server = HubServer::start("path = \"/r/{name}\"\nmode = \"relay\"");
    let mut one = WebSocket::open(server.address(), "/r/a");
    let mut two = WebSocket::open(server.address(), "/r/a");
    let mut elsewhere = WebSocket::open(server.address(), "/r/b");
    // Being there is not told in this mode: a message that comes says so.
    sluicegate_tests::wait_until("all are there", || {
        server
            .ask(server.hub().rooms(10))
            .iter()
            .map(|(_, count)| count)
            .sum::<usize>()
            == 3
    });
    one.text("to two");
    one.binary(b"\0\xff");
    assert_eq!(two.read(), Frame::Text("to two".into()));
    assert_eq!(two.read(), Frame::Binary(b"\0\xff".to_vec()));
    two.text("back");
    assert_eq!(one.read(), Frame::Text("back".into()));
    elsewhere.text("nobody hears this");
    elsewhere.frame(0x89, b"");
    assert_eq!(elsewhere.read(), Frame::Pong(Vec::new()));
}
