//! Upgraded connections: after a 101 the gateway passes bytes, and nothing but bytes.

use std::time::Duration;

use sluicegate_tests::{Answer, End, Gateway, RawUpstream, Signal, Upstream, Wire};

const ASKING: &str = "GET /chat?x=1 HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     sec-websocket-protocol: one, two\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: two\r\n\r\n";

/// An upstream that switches, and then does something with the connection.
fn switching(then: impl Fn(&mut Wire) + Send + Sync + 'static) -> RawUpstream {
    RawUpstream::start(move |wire| {
        let head = wire.read_head();
        assert_eq!(head.header("upgrade"), Some("websocket"));
        assert_eq!(head.header("connection"), Some("upgrade"));
        wire.write(SWITCHING);
        then(wire);
    })
}

fn open(gateway: &Gateway) -> Wire {
    let mut wire = gateway.connect();
    wire.write(ASKING);
    assert_eq!(wire.read_head().status(), 101);
    wire
}

#[test]
fn the_handshake_passes_as_it_is_and_then_all_bytes_do() {
    let upstream = RawUpstream::start(|wire| {
        let head = wire.read_head();
        assert_eq!(head.start_line, "GET /chat?x=1 HTTP/1.1");
        for (name, value) in [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "one, two"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ] {
            assert_eq!(head.header(name), Some(value));
        }
        // What comes right behind the head belongs to the tunnel.
        wire.write(format!("{SWITCHING}early"));
        assert_eq!(wire.read_exact(4), b"ping");
        wire.write("pong");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    let head = wire.read_head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("connection"), Some("upgrade"));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("sec-websocket-protocol"), Some("two"));
    assert_eq!(
        head.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(wire.read_exact(5), b"early");
    wire.write("ping");
    assert_eq!(wire.read_exact(4), b"pong");
}

#[test]
fn what_a_client_sends_behind_its_head_goes_through_the_tunnel() {
    let upstream = switching(|wire| {
        assert_eq!(wire.read_exact(5), b"early");
        wire.write("taken");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(format!("{ASKING}early"));
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(wire.read_exact(5), b"taken");
}

#[test]
fn either_end_may_stop_sending_and_go_on_reading() {
    let upstream = switching(|wire| {
        let all = wire.read_to_close();
        assert_eq!(all.bytes, b"everything");
        wire.write("the answer");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = open(&gateway);
    wire.write("everything");
    wire.half_close();
    assert_eq!(wire.read_to_close().bytes, b"the answer");

    let said = Signal::new();
    let upstream = switching({
        let said = said.clone();
        move |wire| {
            wire.write("all that I have");
            wire.half_close();
            assert_eq!(wire.read_exact(4), b"more");
            said.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = open(&gateway);
    assert_eq!(wire.read_exact(15), b"all that I have");
    assert_eq!(wire.read_to_close().end, End::Closed);
    wire.write("more");
    said.wait("the upstream has what came later");
}

#[test]
fn a_reset_is_passed_on_as_one() {
    let upstream = switching(|wire| {
        let _ = wire.read_exact(2);
        wire.reset_when_dropped();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = open(&gateway);
    wire.write("go");
    assert_eq!(wire.read_to_close().end, End::Reset);
}

#[test]
fn an_end_that_does_not_read_stops_the_other() {
    const OFFERED: usize = 256 << 20;
    let done = Signal::new();
    let upstream = switching({
        let done = done.clone();
        move |_| done.wait("the client has stopped")
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = open(&gateway);
    let taken = wire.write_until_stalled(OFFERED, Duration::from_millis(700));
    done.give();
    assert!(taken < 48 << 20, "{} MiB were taken", taken >> 20);
}

#[test]
fn many_bytes_arrive_whole_in_both_directions_at_once() {
    const LENGTH: usize = 16 << 20;
    let upstream = switching(|wire| {
        // Back as they come.
        let mut left = LENGTH;
        while left > 0 {
            let piece = wire.read_exact(left.min(1 << 16));
            left -= piece.len();
            wire.write(piece);
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = open(&gateway);
    let sent: Vec<u8> = (0..LENGTH).map(|n| (n * n % 251) as u8).collect();
    let stream = wire.stream().try_clone().unwrap();
    let sending = std::thread::spawn({
        let sent = sent.clone();
        move || std::io::Write::write_all(&mut &stream, &sent).unwrap()
    });
    assert!(wire.read_exact(LENGTH) == sent);
    sending.join().unwrap();
}

#[test]
fn any_other_answer_is_a_response_like_all() {
    let upstream = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            let is_asking = head.header("upgrade").is_some();
            let status = if is_asking { "403 No" } else { "200 OK" };
            wire.write(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nab"));
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(ASKING);
    let response = wire.read_response("GET");
    assert_eq!((response.status(), response.text()), (403, "ab"));
    assert_eq!(gateway.get("/").send_over(&mut wire).status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn any_protocol_can_be_asked_for_but_h2c() {
    let upstream = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            match head.header("upgrade") {
                Some(protocol) => wire.write(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\nhello"
                )),
                None => wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            }
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let ask = |protocol: &str| {
        let mut wire = gateway.connect();
        wire.write(format!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: {protocol}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
        ));
        let head = wire.read_head();
        (head.status(), wire)
    };
    let (status, mut wire) = ask("my-own/2");
    assert_eq!(status, 101);
    assert_eq!(wire.read_exact(5), b"hello");
    for protocol in ["h2c", "H2C, websocket"] {
        assert_eq!(ask(protocol).0, 200, "{protocol}");
    }
    let raw = String::from_utf8(upstream.raw())
        .unwrap()
        .to_ascii_lowercase();
    assert!(
        !raw.contains("h2c") && !raw.contains("http2-settings"),
        "{raw}"
    );
}

#[test]
fn a_switch_to_something_else_is_a_502() {
    for answered in ["upgrade: x\r\n", "", "upgrade: websocket, x\r\n"] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{answered}\r\nsecret"
            ));
            let _ = wire.wait_for_close();
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        wire.write(ASKING);
        let response = wire.read_response("GET");
        assert_eq!(response.status(), 502, "{answered:?}");
        assert!(!response.text().contains("secret"));
    }
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed_at_last() {
    let upstream = switching(|wire| {
        let _ = wire.read_exact(1);
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [upstream.url()],
            "timeouts = { idle = \"50ms\", tunnel = \"600ms\" }",
        )
        .route("/{*rest}", "a")
        .start();
    let mut wire = open(&gateway);
    // Longer than the silence that a body may have.
    assert_eq!(wire.peek(Duration::from_millis(200)), b"");
    wire.write("x");
    assert_eq!(wire.read_to_close().bytes, b"");
}

#[test]
fn a_request_with_a_body_asks_for_no_switch() {
    let upstream = Upstream::start(|request| Answer::ok(request.text()));
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 4\r\n\r\nbody");
    let response = wire.read_response("POST");
    assert_eq!((response.status(), response.text()), (200, "body"));
    assert_eq!(upstream.only().header("upgrade"), None);
}

#[test]
fn a_tunnel_holds_a_shutdown_up_until_the_grace_is_over() {
    let upstream = switching(|wire| {
        assert_eq!(wire.read_exact(4), b"ping");
        wire.write("pong");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("shutdown_grace = \"1500ms\"")
        .start();
    let address = gateway.address();
    let mut wire = open(&gateway);
    let stopping = std::thread::spawn(move || gateway.shut_down());
    sluicegate_tests::wait_until("nobody listens", || {
        std::net::TcpStream::connect(address).is_err()
    });
    wire.write("ping");
    assert_eq!(wire.read_exact(4), b"pong");
    assert_eq!(wire.read_to_close().bytes, b"");
    stopping.join().unwrap();
}

#[test]
fn a_tunnel_is_recorded_and_counted_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let upstream = switching(|wire| {
        wire.write("12345");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .toml(&format!(
            "[access_log]\nformat = \"json\"\npath = \"{}\"\n",
            path.display()
        ))
        .start();
    let mut wire = open(&gateway);
    assert_eq!(wire.read_exact(5), b"12345");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    wire.half_close();
    assert_eq!(wire.read_to_close().end, End::Closed);
    sluicegate_tests::wait_until("the tunnel is in the log", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    });
    let line = std::fs::read_to_string(&path).unwrap();
    for part in ["\"status\":101", "\"bytes\":5,", "\"aborted\":false"] {
        assert!(line.contains(part), "{line}");
    }
}
