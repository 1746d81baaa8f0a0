//! Bodies flow while they come, and no faster than they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluicegate_tests::{Gateway, RawUpstream, Signal};

const MIB: usize = 1 << 20;
/// Far more than all buffers between two ends of the gateway hold: the kernel's four socket buffers
/// can grow to some MiB each.
const OFFERED: usize = 256 * MIB;
const BUFFERED: usize = 48 * MIB;
/// Nobody has taken a byte for so long: they have stopped.
const STALLED: Duration = Duration::from_millis(700);

#[test]
fn the_upstream_sees_the_first_chunk_before_the_client_sends_the_last() {
    for (framing, first, last) in [
        (
            "transfer-encoding: chunked",
            "5\r\nfirst\r\n",
            "4\r\nlast\r\n0\r\n\r\n",
        ),
        ("content-length: 9", "first", "last"),
    ] {
        let seen = Signal::new();
        let upstream = RawUpstream::start({
            let seen = seen.clone();
            move |wire| {
                let head = wire.read_head();
                if head.header("content-length").is_some() {
                    assert_eq!(wire.read_exact(5), b"first");
                    seen.give();
                    assert_eq!(wire.read_exact(4), b"last");
                } else {
                    assert_eq!(wire.read_chunk().data, b"first");
                    seen.give();
                    assert_eq!(wire.read_chunk().data, b"last");
                }
                wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        wire.write(format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{first}"
        ));
        seen.wait("the upstream has the first chunk");
        wire.write(last);
        assert_eq!(wire.read_response("POST").status(), 200);
    }
}

/// The client must see the first piece while the upstream still holds the last one back.
#[track_caller]
fn flushed_at_once(fields: &'static str, pieces: [&'static str; 2], end: &'static str) {
    let seen = Signal::new();
    let upstream = RawUpstream::start({
        let seen = seen.clone();
        move |wire| {
            let _ = wire.read_head();
            wire.write(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            wire.write(pieces[0]);
            seen.wait("the client has the first piece");
            wire.write(pieces[1]);
            wire.write(end);
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(head.status(), 200);
    let first = if head.header("transfer-encoding").is_some() {
        wire.read_chunk().data
    } else {
        wire.read_exact(9)
    };
    assert_eq!(first, b"data: 1\n\n");
    seen.give();
    let rest = if head.header("transfer-encoding").is_some() {
        wire.try_read_chunked().unwrap().bytes
    } else {
        wire.read_exact(9)
    };
    assert_eq!(rest, b"data: 2\n\n");
}

#[test]
fn an_event_stream_is_flushed_at_once() {
    flushed_at_once(
        "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n",
        ["9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n"],
        "0\r\n\r\n",
    );
}

#[test]
fn a_body_of_unknown_length_is_flushed_at_once() {
    flushed_at_once("", ["data: 1\n\n", "data: 2\n\n"], "");
}

#[test]
fn a_body_of_known_length_is_flushed_at_once() {
    flushed_at_once("content-length: 18\r\n", ["data: 1\n\n", "data: 2\n\n"], "");
}

#[test]
fn the_head_is_passed_on_before_any_of_the_body_has_come() {
    for fields in [
        "",
        "content-length: 4\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            let _ = wire.wait_for_close();
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(wire.read_head().status(), 200, "{fields:?}");
    }
}

#[test]
fn both_directions_flow_at_the_same_time() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        loop {
            let chunk = wire.read_chunk();
            wire.write_chunk(&chunk.data);
            if chunk.data.is_empty() {
                return;
            }
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    for word in ["ping", "pong", "and so on"] {
        wire.write_chunk(word);
        assert_eq!(wire.read_chunk().data, word.as_bytes());
    }
    wire.write("0\r\n\r\n");
    assert_eq!(wire.read_chunk().data, b"");
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client() {
    let done = Signal::new();
    let upstream = RawUpstream::start({
        let done = done.clone();
        move |wire| {
            let _ = wire.read_head();
            done.wait("the client has stopped");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {OFFERED}\r\n\r\n"
    ));
    let taken = wire.write_until_stalled(OFFERED, STALLED);
    done.give();
    assert!(taken < BUFFERED, "{} MiB were taken", taken / MIB);
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let taken = Arc::new(AtomicUsize::new(0));
    let done = Signal::new();
    let upstream = RawUpstream::start({
        let (taken, done) = (Arc::clone(&taken), done.clone());
        move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {OFFERED}\r\n\r\n"
            ));
            taken.store(wire.write_until_stalled(OFFERED, STALLED), Ordering::SeqCst);
            done.give();
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    done.wait("the upstream has stopped");
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken < BUFFERED, "{} MiB were taken", taken / MIB);
}

#[test]
fn a_body_goes_on_after_its_reader_has_stalled() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            32 * MIB
        ));
        let stalled = wire.write_until_stalled(32 * MIB, STALLED);
        wire.write(vec![b'x'; 32 * MIB - stalled]);
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let _ = wire.read_head();
    std::thread::sleep(STALLED);
    assert!(wire.read_exact(32 * MIB).iter().all(|byte| *byte == b'x'));
}

#[test]
fn requests_that_are_sent_ahead_wait_with_the_client() {
    let done = Signal::new();
    let upstream = RawUpstream::start({
        let done = done.clone();
        move |wire| {
            let _ = wire.read_head();
            done.wait("the client has stopped");
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    // What follows is no request, which must not matter before its turn.
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let taken = wire.write_until_stalled(OFFERED, STALLED);
    done.give();
    assert!(taken < BUFFERED, "{} MiB were taken", taken / MIB);
}

#[test]
fn a_client_that_writes_all_before_it_reads_is_heard_to_the_end() {
    const LENGTH: usize = 32 * MIB;
    // Answers before it has the request, with more than all buffers hold, and reads meanwhile.
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let stream = wire.stream().try_clone().unwrap();
        let answering = std::thread::spawn(move || {
            use std::io::Write as _;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
            (&stream).write_all(head.as_bytes()).unwrap();
            (&stream).write_all(&vec![b'y'; LENGTH]).unwrap();
        });
        assert_eq!(wire.read_exact(LENGTH).len(), LENGTH);
        answering.join().unwrap();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    wire.write(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LENGTH}\r\n\r\n"
    ));
    for _ in 0..LENGTH / MIB {
        wire.write(vec![b'x'; MIB]);
    }
    assert_eq!(wire.read_head().status(), 200);
    assert!(wire.read_exact(LENGTH).iter().all(|byte| *byte == b'y'));
}
