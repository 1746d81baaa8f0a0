//! Stopping: what is in flight ends, and nothing new begins.

use std::io::Write as _;
use std::net::TcpStream;

use sluicegate_tests::{
    Answer, End, Gateway, Process, RawUpstream, Signal, Upstream, Wire, wait_until,
};

#[test]
fn a_response_in_flight_ends_and_new_connections_are_refused() {
    let head_and_half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst";
    let upstream = RawUpstream::holding(head_and_half, "last");
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("shutdown_grace = \"30s\"")
        .start();
    let address = gateway.address();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    assert_eq!(wire.read_head().status(), 200);
    let stopping = std::thread::spawn(move || gateway.shut_down());
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
    upstream.go_on();
    assert_eq!(wire.read_exact(9), b"firstlast");
    let rest = wire.read_to_close();
    assert_eq!((rest.text().as_str(), rest.end), ("", End::Closed));
    stopping.join().unwrap();
}

#[test]
fn an_idle_connection_does_not_hold_the_gateway_up() {
    let upstream = Upstream::start(|_| Answer::ok("a"));
    let gateway = Gateway::in_front_of(&upstream)
        .server("shutdown_grace = \"1h\"")
        .start();
    let (mut used, mut unused) = (gateway.connect(), gateway.connect());
    assert_eq!(gateway.get("/").send_over(&mut used).status(), 200);
    let stopped = Signal::new();
    std::thread::spawn({
        let stopped = stopped.clone();
        move || {
            gateway.shut_down();
            stopped.give();
        }
    });
    assert_eq!(used.read_to_close().bytes, b"");
    assert_eq!(unused.read_to_close().bytes, b"");
    // Closing waits a moment for the other end, and here that has gone.
    drop((used, unused));
    stopped.wait("the gateway has stopped");
}

#[test]
fn what_does_not_end_in_time_is_cut_off() {
    let arrived = Signal::new();
    let upstream = RawUpstream::start({
        let arrived = arrived.clone();
        move |wire| {
            let _ = wire.read_head();
            arrived.give();
            let _ = wire.wait_for_close();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("shutdown_grace = \"300ms\"")
        .start();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    arrived.wait("the exchange is going on");
    gateway.shut_down();
    assert_eq!(wire.read_to_close().bytes, b"");
}

fn configuration(builder: &sluicegate_tests::GatewayBuilder) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(builder.text().as_bytes()).unwrap();
    file
}

#[test]
fn the_process_ends_with_0_after_the_last_response() {
    for signal in ["TERM", "INT"] {
        let upstream = RawUpstream::holding("", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        let file = configuration(
            &Gateway::in_front_of_url(upstream.url()).server("shutdown_grace = \"30s\""),
        );
        let mut process =
            Process::gateway(["run".as_ref(), "--config".as_ref(), file.path().as_os_str()]);
        let address = process.address();
        let mut wire = Wire::new(TcpStream::connect(address).unwrap());
        wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        upstream.wait_for_request();
        process.signal(signal);
        wait_until("nobody listens", || TcpStream::connect(address).is_err());
        assert!(process.is_running());
        upstream.go_on();
        let response = wire.read_response("GET");
        assert_eq!((response.status(), response.text()), (200, "late"));
        drop(wire);
        let finished = process.wait();
        assert_eq!(finished.code(), 0, "{finished:?}");
    }
}

#[test]
fn a_response_that_begins_during_a_drain_announces_the_end_of_its_connection() {
    let upstream = RawUpstream::holding("", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("shutdown_grace = \"30s\"")
        .start();
    let address = gateway.address();
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    upstream.wait_for_request();
    let stopping = std::thread::spawn(move || gateway.shut_down());
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
    upstream.go_on();
    let head = wire.read_head();
    assert_eq!(
        (head.status(), head.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(wire.read_exact(2), b"ok");
    assert_eq!(wire.read_to_close().end, End::Closed);
    stopping.join().unwrap();
}
