//! The life of a connection, and its many ends.

use std::time::{Duration, Instant};

use sluicegate_tests::{Frame, HubServer, LIMIT, Process, WebSocket, frame, wait_until};

fn echo(lines: &str) -> HubServer {
    HubServer::start(&format!("path = \"/ws\"\nmode = \"echo\"\n{lines}"))
}

#[test]
fn a_close_is_answered_with_its_code() {
    let server = echo("");
    let mut socket = WebSocket::open(server.address(), "/ws");
    socket.frame(0x88, b"\x03\xe8bye");
    assert_eq!(socket.read(), Frame::Close(1000, String::new()));
    assert_eq!(socket.read(), Frame::End);
    let mut socket = WebSocket::open(server.address(), "/ws");
    socket.frame(0x88, b"");
    assert_eq!(socket.read(), Frame::Close(1005, String::new()));
    assert_eq!(socket.read(), Frame::End);
}

#[test]
fn each_violation_has_its_code_and_others_don_t_notice() {
    let server = echo("limits.message = \"1KiB\"");
    let mut bystander = WebSocket::open(server.address(), "/ws");
    for (bytes, code) in [
        (vec![0x81, 0x01, b'x'], 1002),
        (frame(0xc1, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x88, b"\x03\xed"), 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x82, &[0; 1025]), 1009),
    ] {
        let mut socket = WebSocket::open(server.address(), "/ws");
        socket.write(&bytes);
        assert_eq!(socket.read_close().0, code, "{bytes:x?}");
        bystander.text("still here");
        assert_eq!(bystander.read_text(), "still here");
    }
}

#[test]
fn a_bomb_of_zeros_is_too_large() {
    let server = echo("limits.message = \"1KiB\"");
    let big = echo("limits.message = \"1MiB\"");
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut socket = WebSocket::open_with(big.address(), "/ws", deflate);
    socket.binary(&vec![0; 1 << 20]);
    let Frame::Compressed(bomb) = socket.read() else {
        panic!("not compressed");
    };
    assert!(bomb.len() < 20_000);
    let mut socket = WebSocket::open_with(server.address(), "/ws", deflate);
    socket.frame(0xc2, &bomb[..1000]);
    assert_eq!(socket.read_close().0, 1009);
}

#[test]
fn who_is_silent_is_pinged_and_then_gone() {
    let server = echo("ping = { interval = \"100ms\", timeout = \"300ms\" }");
    let mut socket = WebSocket::open(server.address(), "/ws");
    for _ in 0..3 {
        assert_eq!(socket.read(), Frame::Ping(Vec::new()));
        socket.frame(0x8a, b"");
    }
    assert_eq!(socket.read(), Frame::Ping(Vec::new()));
    assert_eq!(socket.read_close().0, 4000);
    wait_until("it is gone", || {
        server.hub().shared.directory.connections() == 0
    });
}

#[test]
fn who_has_nothing_to_say_is_idle_whatever_it_answers() {
    let server = echo("idle_timeout = \"300ms\"\nping.interval = \"50ms\"");
    let mut socket = WebSocket::open(server.address(), "/ws");
    loop {
        match socket.read() {
            Frame::Ping(_) => socket.frame(0x8a, b""),
            Frame::Close(code, _) => break assert_eq!(code, 4001),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_flood_is_ended() {
    let server = echo("limits.rate = \"5/s\"");
    let mut socket = WebSocket::open(server.address(), "/ws");
    for _ in 0..7 {
        let _ = socket.try_write(frame(0x81, b"x"));
    }
    assert_eq!(socket.read_close().0, 4003);
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let server = echo("limits = { rate = \"none\", queue = \"64KiB\", message = \"16KiB\" }");
    let mut socket = WebSocket::open(server.address(), "/ws");
    socket
        .stream()
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let message = frame(0x82, &[1; 16 * 1024]);
    let mut sent = 0;
    // Buffers of the system are some megabytes on both sides; the hub does not add to them without end.
    while socket.try_write(&message).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the hub takes everything");
    }
    assert!(server.hub().shared.directory.connections() == 1);
}

#[test]
fn who_does_not_take_what_others_publish_is_told_so_and_ended() {
    let server =
        HubServer::start("path = \"/ws\"\nlimits = { rate = \"none\", queue = \"64KiB\" }");
    let mut slow = WebSocket::open(server.address(), "/ws");
    slow.text("{\"type\":\"join\",\"room\":\"a\"}");
    let mut fast = WebSocket::open(server.address(), "/ws");
    fast.text("{\"type\":\"join\",\"room\":\"a\"}");
    fast.read_text();
    fast.read_text();
    let data = "x".repeat(30_000);
    let publish = format!("{{\"type\":\"publish\",\"room\":\"a\",\"data\":\"{data}\"}}");
    let end = Instant::now() + LIMIT;
    while server.hub().shared.directory.connections() == 2 {
        assert!(Instant::now() < end, "the slow one stays");
        fast.text(&publish);
        assert!(fast.read_text().contains("\"message\""));
    }
    // Those who read are served on.
    fast.text("{\"type\":\"ping\"}");
    assert_eq!(fast.read_text(), "{\"type\":\"pong\"}");
}

#[test]
fn oldest_messages_are_dropped_where_that_is_wanted() {
    let server = HubServer::start(
        "path = \"/ws\"\nslow_clients = \"drop-oldest\"\nlimits = { rate = \"none\", queue = \"64KiB\" }\nhistory.messages = 0",
    );
    let mut slow = WebSocket::open(server.address(), "/ws");
    slow.text("{\"type\":\"join\",\"room\":\"a\"}");
    slow.read_text();
    slow.read_text();
    let mut fast = WebSocket::open(server.address(), "/ws");
    fast.text("{\"type\":\"join\",\"room\":\"a\"}");
    fast.read_text();
    fast.read_text();
    let data = "x".repeat(60_000);
    let publish = format!("{{\"type\":\"publish\",\"room\":\"a\",\"data\":\"{data}\"}}");
    let count = 300;
    for _ in 0..count {
        fast.text(&publish);
        fast.read_text();
    }
    let mut offsets = Vec::new();
    while offsets.last() != Some(&count) {
        let text = slow.read_text();
        let (_, offset) = text.rsplit_once("\"offset\":").unwrap();
        offsets.push(offset.trim_end_matches('}').parse::<usize>().unwrap());
    }
    assert!(offsets.is_sorted());
    assert!(offsets.len() < count, "nothing was dropped");
}

#[test]
fn at_a_shutdown_everyone_is_told() {
    let mut server = echo("");
    let mut sockets: Vec<WebSocket> = (0..20)
        .map(|_| WebSocket::open(server.address(), "/ws"))
        .collect();
    let reading = std::thread::spawn(move || {
        sockets
            .iter_mut()
            .map(|socket| socket.read_close().0)
            .collect::<Vec<u16>>()
    });
    server.drain(Duration::from_secs(1));
    assert_eq!(reading.join().unwrap(), [1001; 20]);
}

#[test]
fn who_goes_without_a_word_is_forgotten() {
    let server = HubServer::start("path = \"/ws\"");
    let mut socket = WebSocket::open(server.address(), "/ws");
    socket.text("{\"type\":\"join\",\"room\":\"a\"}");
    socket.read_text();
    socket.read_text();
    let directory = &server.hub().shared.directory;
    assert_eq!(
        (
            directory.connections(),
            directory.clients(),
            directory.rooms()
        ),
        (1, 1, 1)
    );
    drop(socket);
    wait_until("it is forgotten", || {
        (
            directory.connections(),
            directory.clients(),
            directory.rooms(),
        ) == (0, 0, 0)
    });
}

#[test]
fn the_log_says_whom_the_hub_has_disconnected_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let text = "[server]\nworkers = 1\nshutdown_grace = \"0s\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                [hubs.h]\npath = \"/ws\"\nlimits.message = \"125B\"\n";
    std::fs::write(&file, text).unwrap();
    let mut process = Process::gateway(["run".as_ref(), "--config".as_ref(), file.as_os_str()]);
    let address = process.address();
    let mut gone = WebSocket::open(address, "/ws");
    gone.frame(0x88, b"\x03\xe8");
    assert_eq!(gone.read_close().0, 1000);
    let mut socket = WebSocket::open(address, "/ws");
    let welcome: serde_json::Value = serde_json::from_str(&socket.read_text()).unwrap();
    socket.text(&"x".repeat(126));
    assert_eq!(socket.read_close().0, 1009);
    let client = welcome["client"].as_str().unwrap();
    let mut lines = String::new();
    wait_until("the log has its end", || {
        let log = process.stderr();
        let ended = log.lines().filter(|line| line.contains("connection ended"));
        lines = ended.collect::<Vec<&str>>().join("\n");
        lines.contains(client)
    });
    assert!(lines.contains("1009"), "{lines}");
    assert_eq!(lines.lines().count(), 1, "{lines}");
}
