//! `WebSocket`s over streams (RFC 8441): what is an upgrade in HTTP/1.1 is an extended CONNECT here.

use std::time::Duration;

use h2::Reason;
use sluicegate_tests::http2::{Http2, Tunnel, until};
use sluicegate_tests::{Answer, End, Gateway, RawUpstream, Signal, Upstream, Wire, frame};

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-accept: x\r\nsec-websocket-protocol: two\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n";
const HUBS: &str =
    "[hubs.echo]\npath = \"/echo\"\nmode = \"echo\"\n\n[hubs.rooms]\npath = \"/rooms/{room}\"\n";

/// An upstream that switches, and then does something with the connection.
fn switching(then: impl Fn(&mut Wire) + Send + Sync + 'static) -> RawUpstream {
    RawUpstream::start(move |wire| {
        wire.read_head();
        wire.write(SWITCHING);
        then(wire);
    })
}

async fn open(gateway: &Gateway) -> (Http2, Tunnel) {
    let client = Http2::connect(gateway.address()).await;
    let tunnel = client.web_socket("http://a/chat", &[]).await;
    (client, tunnel)
}

#[test]
fn the_upstream_gets_an_upgrade_and_the_client_hears_of_no_key() {
    let upstream = RawUpstream::start(|wire| {
        let head = wire.read_head();
        assert_eq!(head.start_line, "GET /chat?x=1 HTTP/1.1");
        assert_eq!(head.header("sec-websocket-key").unwrap().len(), 24);
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "one, two"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ] {
            assert_eq!(head.headers(name), [value]);
        }
        assert_eq!(head.header("content-length"), None);
        assert_eq!(head.header("transfer-encoding"), None);
        wire.write(format!("{SWITCHING}early"));
        assert_eq!(wire.read_exact(4), b"ping");
        wire.write("pong");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let fields = [
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "one, two"),
            ("sec-websocket-extensions", "permessage-deflate"),
            // Nobody asked for one.
            ("sec-websocket-key", "mine"),
        ];
        let uri = "http://a/chat?x=1";
        let (head, mut tunnel) = client.connect_to("websocket", uri, &fields).await;
        assert_eq!(head.status(), 200);
        for name in [
            "sec-websocket-accept",
            "sec-websocket-key",
            "upgrade",
            "connection",
        ] {
            assert_eq!(head.headers().get(name), None);
        }
        assert_eq!(head.headers()["sec-websocket-protocol"], "two");
        let extensions = &head.headers()["sec-websocket-extensions"];
        assert_eq!(extensions, "permessage-deflate");
        assert_eq!(tunnel.read_exact(5).await, b"early");
        tunnel.write("ping");
        assert_eq!(tunnel.read_exact(4).await, b"pong");
    });
}

#[test]
fn either_end_may_stop_sending_and_go_on_reading() {
    let upstream = switching(|wire| {
        assert_eq!(wire.read_to_close().bytes, b"everything");
        wire.write("the answer");
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let (_client, mut tunnel) = open(&gateway).await;
        tunnel.write("everything");
        tunnel.half_close();
        assert_eq!(tunnel.read_to_end().await.unwrap(), b"the answer");
    });

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
    Http2::run(async {
        let (_client, mut tunnel) = open(&gateway).await;
        assert_eq!(tunnel.read_to_end().await.unwrap(), b"all that I have");
        tunnel.write("more");
        until("the upstream has what came later", || said.is_given()).await;
    });
}

#[test]
fn a_reset_of_one_end_reaches_the_other() {
    let upstream = switching(|wire| {
        let _ = wire.read_exact(2);
        wire.reset_when_dropped();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let (_client, mut tunnel) = open(&gateway).await;
        tunnel.write("go");
        let reset = tunnel.read_to_end().await.unwrap_err();
        assert_eq!(reset.reason(), Some(Reason::CONNECT_ERROR));
    });

    let ended = Signal::new();
    let upstream = switching({
        let ended = ended.clone();
        move |wire| {
            assert_eq!(wire.wait_for_close(), End::Reset);
            ended.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let (_client, tunnel) = open(&gateway).await;
        tunnel.reset();
        until("the upstream is reset", || ended.is_given()).await;
    });
}

#[test]
fn what_a_target_answers_instead_passes_but_a_success_does_not() {
    let upstream = Upstream::start(|request| match request.target() {
        "/403" => Answer::status(403).body("no"),
        "/200" => Answer::ok("secret"),
        _ => Answer::status(204),
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        for (path, status) in [("/403", 403), ("/200", 502), ("/204", 502)] {
            let uri = format!("http://a{path}");
            let (head, mut tunnel) = client.connect_to("websocket", &uri, &[]).await;
            assert_eq!(head.status(), status);
            let text_of = String::from_utf8(tunnel.read_to_end().await.unwrap()).unwrap();
            assert!(!text_of.contains("secret"), "{path}: {text_of}");
            if status == 403 {
                assert_eq!(text_of, "no");
            } else {
                assert!(head.headers().contains_key("proxy-status"), "{head:?}");
                assert!(head.headers().contains_key("x-request-id"), "{head:?}");
            }
        }
        assert_eq!(client.get("http://a/x").await.status(), 204);
    });
}

#[test]
fn h2c_is_no_protocol_to_connect_to() {
    let upstream = Upstream::start(|_| Answer::ok("secret"));
    let gateway = Gateway::in_front_of(&upstream).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        for protocol in ["h2c", "H2C"] {
            let (head, _) = client.connect_to(protocol, "http://a/", &[]).await;
            assert_eq!(head.status(), 501, "{protocol}");
        }
        let (head, _) = client.connect_to("a b", "http://a/", &[]).await;
        assert_eq!(head.status(), 400);
    });
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_hub_greets_echoes_and_says_goodbye() {
    let upstream = Upstream::start(|_| Answer::ok("page"));
    let gateway = Gateway::in_front_of(&upstream).toml(HUBS).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let mut echo = client.web_socket("http://a/echo", &[]).await;
        echo.write(frame(0x81, b"hello"));
        assert_eq!(echo.read_exact(7).await, b"\x81\x05hello");
        // RFC 6455, section 7.1: the one who is told answers, then the stream ends in order.
        echo.write(frame(0x88, &1000_u16.to_be_bytes()));
        assert_eq!(echo.read_to_end().await.unwrap(), b"\x88\x02\x03\xe8");

        let mut room = client.web_socket("http://a/rooms/a", &[]).await;
        let mut other = client.web_socket("http://a/rooms/a", &[]).await;
        room.write(frame(
            0x81,
            br#"{"type":"publish","room":"a","data":"to all"}"#,
        ));
        for socket in [&mut room, &mut other] {
            let mut text = String::new();
            while !text.contains("to all") {
                text.push(char::from(socket.read_exact(1).await[0]));
            }
        }
        // Who resets a stream has left.
        other.write(frame(
            0x81,
            br#"{"type":"join","room":"b","presence":true}"#,
        ));
        room.write(frame(0x81, br#"{"type":"join","room":"b"}"#));
        let mut text = String::new();
        while !text.contains("presence") {
            text.push(char::from(other.read_exact(1).await[0]));
        }
        room.reset();
        let mut text = String::new();
        while !text.contains("\"left\":[\"") {
            text.push(char::from(other.read_exact(1).await[0]));
        }
        assert_eq!(client.get("http://a/").await.text(), "page");
        let no_socket = client.get("http://a/echo").await;
        assert_eq!(no_socket.status(), 426);
        assert_eq!(no_socket.header("upgrade"), None);
    });
}

#[test]
fn a_hub_agrees_on_compression_as_it_does_elsewhere() {
    let gateway = Gateway::from_toml(HUBS).start();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let fields = [
            ("sec-websocket-version", "13"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("origin", "http://a"),
        ];
        let (head, mut socket) = client
            .connect_to("websocket", "http://a/echo", &fields)
            .await;
        assert_eq!(head.status(), 200);
        let extensions = head.headers()["sec-websocket-extensions"].to_str().unwrap();
        assert!(extensions.starts_with("permessage-deflate"), "{extensions}");
        // "Hello" (RFC 7692, section 7.2.3.1).
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        socket.write(frame(0xc1, &hello));
        assert_eq!(socket.read_exact(1).await[0] & 0x8f, 0x81);
        let fields = [("sec-websocket-version", "13"), ("origin", "http://evil")];
        let (head, _) = client
            .connect_to("websocket", "http://a/echo", &fields)
            .await;
        assert_eq!(head.status(), 403);
    });
}

#[test]
fn a_shutdown_says_goodbye_to_a_hubs_clients() {
    let gateway = Gateway::from_toml(HUBS)
        .server("shutdown_grace = \"10s\"")
        .start();
    Http2::run(async {
        let mut client = Http2::connect(gateway.address()).await;
        let mut echo = client.web_socket("http://a/echo", &[]).await;
        let stopping = std::thread::spawn(move || gateway.shut_down());
        let close = echo.read_exact(4).await;
        assert_eq!((close[0], &close[2..]), (0x88, &b"\x03\xe9"[..]));
        echo.read_exact(usize::from(close[1]) - 2).await;
        echo.write(frame(0x88, &1001_u16.to_be_bytes()));
        assert_eq!(echo.read_to_end().await.unwrap(), b"");
        drop(echo);
        client.closed().await.unwrap();
        until("the gateway has stopped", || stopping.is_finished()).await;
    });
}

#[test]
fn an_end_that_does_not_read_stops_the_other_and_no_other_stream() {
    const OFFERED: usize = 64 << 20;
    let done = Signal::new();
    let upstream = RawUpstream::start({
        let done = done.clone();
        move |wire| {
            if wire.read_head().header("upgrade").is_none() {
                return wire.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
            wire.write(SWITCHING);
            let taken = wire.write_until_stalled(OFFERED, Duration::from_millis(700));
            assert!(taken < OFFERED / 2, "{} MiB were taken", taken >> 20);
            done.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    Http2::run(async {
        let (client, _tunnel) = open(&gateway).await;
        until("the upstream has stopped", || done.is_given()).await;
        assert_eq!(client.get("http://a/").await.text(), "ok");
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_ended_at_last() {
    let upstream = switching(|wire| {
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "timeouts = { tunnel = \"200ms\" }")
        .route("/{*rest}", "a")
        .start();
    Http2::run(async {
        let (_client, mut tunnel) = open(&gateway).await;
        let end = tunnel.read_to_end().await.unwrap_err();
        assert!(end.is_reset(), "{end:?}");
    });
}
