//! Clients that mean harm. Beside each of them somebody else is served.

use sluicegate_tests::frames::Ended::{Connection, Status, Stream};
use sluicegate_tests::frames::{Frames, GET, POST, PREFACE, block, flag, frame, kind};
use sluicegate_tests::{Answer, End, Gateway, RawUpstream, Signal, Upstream, wait_until};

const ENHANCE_YOUR_CALM: u32 = 11;

/// Somebody who is served in HTTP/1.1, over one connection, all the time.
fn is_served(gateway: &Gateway) {
    assert_eq!(gateway.get("/plain").send().status(), 200);
}

#[test]
fn requests_that_are_taken_back_at_once_end_the_connection() {
    // Answers the plain ones, and nobody else.
    let upstream = RawUpstream::start(|wire| {
        if wire.read_head().target() == "/plain" {
            return wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut frames = Frames::connect(gateway.address());
    let request = block(GET);
    let mut sent = 0;
    for stream in (1..20_000).step_by(2) {
        let mut bytes = frame(kind::HEADERS, 5, stream, &request);
        bytes.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if frames.wire.try_write(bytes).is_err() {
            break;
        }
        sent += 1;
    }
    let ended = frames.ended();
    assert!(ended.is_calmed(), "{ended:?}");
    is_served(&gateway);
    let taken = upstream.connections();
    assert!(taken < 1000, "{taken} connections for {sent} requests");
    assert_eq!(gateway.running().snapshot().upstreams.len(), 1);
}

#[test]
fn the_slow_form_of_it_too() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut frames = Frames::connect(gateway.address());
    // Each request has arrived before it is taken back.
    for stream in (1..4000).step_by(2) {
        let mut bytes = frame(kind::HEADERS, 5, stream, &block(GET));
        bytes.extend(frame(kind::PING, 0, 0, &[0; 8]));
        let _ = frames.wire.try_write(bytes);
        loop {
            match frames.read() {
                Some(frame) if frame.kind == kind::PING => break,
                Some(frame) if frame.kind == kind::GOAWAY => {
                    assert_eq!(frame.number(4), ENHANCE_YOUR_CALM);
                    assert!(stream > 300, "{stream}");
                    return;
                }
                Some(_) => {}
                None => panic!("closed without a word, at stream {stream}"),
            }
        }
        let code = 8_u32.to_be_bytes();
        let _ = frames
            .wire
            .try_write(frame(kind::RST_STREAM, 0, stream, &code));
    }
    panic!("all were taken");
}

#[test]
fn web_sockets_that_are_opened_and_reset_count_as_well() {
    let gateway = Gateway::from_toml("[hubs.echo]\npath = \"/\"\nmode = \"echo\"\n").start();
    let mut frames = Frames::connect(gateway.address());
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        GET[1],
        GET[2],
        GET[3],
        ("sec-websocket-version", "13"),
    ];
    for stream in (1..4000).step_by(2) {
        let _ = frames
            .wire
            .try_write(frame(kind::HEADERS, 4, stream, &block(&connect)));
        loop {
            match frames.read() {
                Some(frame) if frame.kind == kind::HEADERS => break,
                Some(frame) if frame.kind == kind::GOAWAY => {
                    assert_eq!(frame.number(4), ENHANCE_YOUR_CALM);
                    return;
                }
                Some(_) => {}
                None => panic!("closed without a word, at stream {stream}"),
            }
        }
        let reset = frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        let _ = frames.wire.try_write(reset);
    }
    panic!("all were taken");
}

#[test]
fn requests_that_the_gateway_is_made_to_reset_count_as_well() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut frames = Frames::connect(gateway.address());
    // "MadeYouReset" (CVE-2025-8671): it is the gateway that says RST_STREAM.
    for stream in (1..20_000).step_by(2) {
        let mut bytes = frame(kind::HEADERS, 5, stream, &block(GET));
        bytes.extend(frame(
            kind::WINDOW_UPDATE,
            0,
            stream,
            &[0x7f, 255, 255, 255],
        ));
        if frames.wire.try_write(bytes).is_err() {
            break;
        }
    }
    let mut resets = 0;
    let code = loop {
        match frames.read() {
            Some(frame) if frame.kind == kind::GOAWAY => break frame.number(4),
            Some(frame) if frame.kind == kind::RST_STREAM => resets += 1,
            Some(_) => {}
            None => panic!("closed without a word after {resets} resets"),
        }
    };
    assert_eq!(code, ENHANCE_YOUR_CALM);
    assert!(upstream.connections() < 1500, "{}", upstream.connections());
}

#[test]
fn a_head_without_an_end_is_bounded() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    let filled = block(&[("x", &"y".repeat(1000))]);
    for piece in [&b""[..], &filled] {
        let mut frames = Frames::connect(gateway.address());
        frames.write(kind::HEADERS, flag::END_STREAM, 1, &block(GET));
        frames.flood(&frame(kind::CONTINUATION, 0, 1, piece), 100_000);
        let ended = frames.ended();
        assert!(ended.is_calmed() || ended == Connection(9), "{ended:?}");
        is_served(&gateway);
    }
}

#[test]
fn a_head_that_is_too_large_is_answered_with_431_and_the_connection_goes_on() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream)
        .server("limits = { header_bytes = \"4KiB\" }")
        .start();
    let mut frames = Frames::connect(gateway.address());
    let long = "y".repeat(5000);
    frames.request(1, &[GET, &[("x", &long)]].concat(), true);
    assert_eq!(frames.ended(), Status(431));
    frames.ping();
    assert!(upstream.received().is_empty());
    frames.request(3, GET, true);
    assert_eq!(frames.ended(), Status(200));
}

#[test]
fn what_was_begun_and_is_not_gone_on_with_is_ended_in_time() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream)
        .server("limits = { header_timeout = \"200ms\", idle_timeout = \"300ms\" }")
        .start();
    // Half a preface, and one without settings.
    for bytes in [&PREFACE[..10], &PREFACE[..20], PREFACE] {
        let mut wire = gateway.connect();
        wire.write(bytes);
        let rest = wire.read_to_close();
        assert_eq!(rest.end, End::Closed, "{bytes:?}");
    }
    // Half a head, and half a frame.
    for bytes in [
        frame(kind::HEADERS, flag::END_STREAM, 1, &block(GET)),
        frame(kind::HEADERS, 5, 1, &block(GET))[..12].to_vec(),
        vec![0, 0],
        vec![],
    ] {
        let mut frames = Frames::connect(gateway.address());
        frames.wire.write(&bytes);
        assert_eq!(frames.read_to_end(), Some(0), "{bytes:?}");
    }
    // A body that never comes.
    let mut frames = Frames::connect(gateway.address());
    frames.request(1, POST, false);
    assert_eq!(frames.ended(), Status(408));
    assert!(upstream.received().is_empty());
}

#[test]
fn a_client_that_takes_nothing_of_its_response_is_given_up() {
    let closed = Signal::new();
    let upstream = RawUpstream::start({
        let closed = closed.clone();
        move |wire| {
            if wire.read_head().target() == "/plain" {
                return wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
            while wire.try_write([0; 16_384]).is_ok() {}
            closed.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { idle_timeout = \"300ms\" }")
        .start();
    // No window at all.
    let mut frames = Frames::connect_with(gateway.address(), &[(4, 0)]);
    frames.request(1, GET, true);
    assert_eq!(frames.ended(), Status(200));
    assert_eq!(frames.ended(), Stream(8));
    closed.wait("the upstream is free");
    is_served(&gateway);
}

#[test]
fn a_client_that_reads_nothing_at_all_is_given_up() {
    let closed = Signal::new();
    let upstream = RawUpstream::start({
        let closed = closed.clone();
        move |wire| {
            wire.read_head();
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
            while wire.try_write([0; 16_384]).is_ok() {}
            closed.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { idle_timeout = \"300ms\" }")
        .start();
    // All the window that there can be, and nobody at the socket.
    let mut frames = Frames::connect_with(gateway.address(), &[(4, 0x7fff_ffff)]);
    frames.write(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    frames.request(1, GET, true);
    closed.wait("the upstream is free");
    wait_until("the connection is closed", || {
        frames
            .wire
            .try_write(frame(kind::PING, 0, 0, &[0; 8]))
            .is_err()
    });
}

#[test]
fn a_client_that_reads_none_of_many_small_responses_is_given_up() {
    let upstream = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            if head.method() == "POST" {
                let _ = wire.wait_for_close();
                return;
            }
            let body = "x".repeat(60_000);
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{body}"
            ));
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { idle_timeout = \"700ms\" }")
        .start();
    let mut frames = Frames::connect_with(gateway.address(), &[(4, 0x7fff_ffff)]);
    let socket = socket2::SockRef::from(frames.wire.stream());
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    frames.write(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    // One that goes on, and others that have ended as soon as they are in the gateway's buffers.
    frames.request(1, POST, true);
    for stream in (3..200).step_by(2) {
        frames.request(stream, GET, true);
    }
    wait_until("the connection is closed", || {
        let ping = frame(kind::PING, 0, 0, &[0; 8]);
        frames.wire.try_write(ping).is_err()
    });
}

#[test]
fn exchanges_beside_others_count_as_connections() {
    let upstream = RawUpstream::start(|wire| {
        if wire.read_head().method() == "GET" {
            return wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { connections = 2 }")
        .start();
    let mut frames = Frames::connect(gateway.address());
    frames.request(1, POST, true);
    frames.request(3, POST, true);
    frames.request(5, GET, true);
    assert_eq!(frames.ended(), Status(503));
    assert_eq!(gateway.get("/").send().status(), 503);
    frames.write(kind::RST_STREAM, 0, 3, &8_u32.to_be_bytes());
    let mut stream = 5;
    wait_until("there is room again", || {
        stream += 2;
        frames.request(stream, GET, true);
        frames.read_until(kind::HEADERS).status() == Some(200)
    });
}
