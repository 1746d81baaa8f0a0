//! Stopping: clients are told by GOAWAY, what is in flight ends, and nothing new begins.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sluicegate_tests::frames::{Frames, GET, PREFACE, flag, kind};
use sluicegate_tests::{Answer, Gateway, RawUpstream, Signal, Upstream, wait_until};

#[test]
fn an_exchange_in_flight_ends_and_then_its_connection() {
    let upstream = RawUpstream::holding("", "HTTP/1.1 204 No Content\r\n\r\n");
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("shutdown_grace = \"30s\"")
        .start();
    let address = gateway.address();
    let mut frames = Frames::connect(address);
    frames.request(1, GET, true);
    upstream.wait_for_request();
    let stopping = std::thread::spawn(move || gateway.shut_down());
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
    // RFC 9113, section 6.8: first that it ends, and when the client must have heard of it, with which stream.
    let warning = frames.read_until(kind::GOAWAY);
    assert_eq!((warning.number(0), warning.number(4)), (0x7fff_ffff, 0));
    let ping = frames.read_until(kind::PING);
    frames.write(kind::PING, 1, 0, &ping.payload);
    let last = frames.read_until(kind::GOAWAY);
    assert_eq!((last.number(0), last.number(4)), (1, 0));
    // Too late: neither answered nor a mistake.
    frames.request(3, GET, true);
    upstream.go_on();
    assert_eq!(frames.read_until(kind::HEADERS).stream, 1);
    assert_eq!(frames.read_to_end(), None);
    stopping.join().unwrap();
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn idle_connections_do_not_hold_the_gateway_up() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let gateway = Gateway::in_front_of(&upstream)
        .server("shutdown_grace = \"1h\"")
        .start();
    let mut used = Frames::connect(gateway.address());
    used.request(1, GET, true);
    used.read_until(kind::DATA);
    // Neither of them ever answers a PING.
    let mut unused = Frames::connect(gateway.address());
    let stopped = Signal::new();
    std::thread::spawn({
        let stopped = stopped.clone();
        move || {
            gateway.shut_down();
            stopped.give();
        }
    });
    assert_eq!(used.read_to_end(), Some(0));
    assert_eq!(unused.read_to_end(), Some(0));
    drop((used, unused));
    stopped.wait("the gateway has stopped");
}

#[test]
fn a_reload_leaves_connections_alone() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let builder = Gateway::in_front_of(&upstream);
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(builder.text().as_bytes()).unwrap();
    let loaded = sluicegate::config::load(file.path()).unwrap();
    let server = sluicegate::server::Server::start(&loaded.config, &mut |_| {}).unwrap();
    let mut frames = Frames::connect(server.addresses()[0]);
    frames.request(1, GET, true);
    frames.read_until(kind::DATA);
    let changed = builder.text().replace("/{*rest}", "/only");
    std::fs::write(file.path(), changed).unwrap();
    server.running().reload().unwrap();
    // The same connection, and the new routes.
    let mut stream = 1;
    loop {
        stream += 2;
        frames.request(stream, GET, true);
        let head = frames.read_until(kind::HEADERS);
        assert_eq!(head.stream, stream);
        frames.read_until(kind::DATA);
        if head.status() == Some(404) {
            break;
        }
        assert!(stream < 1001, "still the old routes");
    }
    server.shut_down();
}

#[test]
fn responses_that_wait_for_their_client_are_not_cut() {
    // Each fits into the gateway's buffers, and their exchanges end at once; all of them are far more than the system holds.
    const EACH: usize = 60_000;
    const COUNT: u32 = 100;
    let upstream = Upstream::start(|_| Answer::ok("x".repeat(EACH)));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let gateway = Gateway::in_front_of(&upstream)
        .server("shutdown_grace = \"1h\"")
        .toml(&format!("[access_log]\npath = \"{}\"\n", log.display()))
        .start();
    let address = gateway.address();
    let mut frames = Frames::connect_with(address, &[(4, 0x7fff_ffff)]);
    let socket = socket2::SockRef::from(frames.wire.stream());
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    frames.write(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    for number in 0..COUNT {
        frames.request(2 * number + 1, GET, true);
    }
    wait_until("all exchanges have ended", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().count() == COUNT as usize
    });
    let stopped = Signal::new();
    let stopping = std::thread::spawn({
        let stopped = stopped.clone();
        move || {
            gateway.shut_down();
            stopped.give();
        }
    });
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
    // Longer than an idle client is given.
    let began = Instant::now();
    wait_until("some time has passed", || {
        stopped.is_given() || began.elapsed() > Duration::from_millis(1500)
    });
    let socket = socket2::SockRef::from(frames.wire.stream());
    socket.set_recv_buffer_size(4 << 20).unwrap();
    let (mut bytes, mut ends) = (0, 0);
    while let Some(frame) = frames.read() {
        if frame.kind == kind::DATA {
            bytes += frame.payload.len();
            ends += u32::from(frame.flags & flag::END_STREAM);
        }
    }
    assert_eq!((ends, bytes), (COUNT, COUNT as usize * EACH));
    stopping.join().unwrap();
}

#[test]
fn who_has_not_begun_does_not_hold_the_gateway_up() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let gateway = Gateway::in_front_of(&upstream)
        .server("shutdown_grace = \"1h\"\nlimits = { header_timeout = \"1h\" }")
        .start();
    let mut wire = gateway.connect();
    wire.write(&PREFACE[..20]);
    // Its settings: it waits for the rest.
    wire.read_exact(9);
    let stopped = Signal::new();
    std::thread::spawn({
        let stopped = stopped.clone();
        move || {
            gateway.shut_down();
            stopped.give();
        }
    });
    stopped.wait("the gateway has stopped");
}
