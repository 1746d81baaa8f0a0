//! What hostile and idle clients of HTTP/2 cost in memory. Tests of one process share that, so these have a process of their own
//! and run one after the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicegate_tests::frames::Ended::{Connection, Status};
use sluicegate_tests::frames::{Frames, GET, POST, block, flag, frame, kind};
use sluicegate_tests::{Answer, Gateway, RawUpstream, Signal, Upstream};

const ENHANCE_YOUR_CALM: u32 = 11;

/// Nobody else allocates as long as what this returns is kept.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The resident memory of this process, the gateway's as well, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

/// Somebody who is served in HTTP/1.1, over one connection, all the time.
fn is_served(gateway: &Gateway) {
    assert_eq!(gateway.get("/plain").send().status(), 200);
}

#[test]
fn floods_of_frames_that_are_to_be_answered_wait_for_their_answers_to_be_read() {
    let _alone = alone();
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    is_served(&gateway);
    let before = memory();
    for one in [
        frame(kind::SETTINGS, 0, 0, &[]),
        frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(kind::PING, 0, 0, &[0; 8]),
        frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 9]),
        frame(0x77, 0, 0, &[0; 8]),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ] {
        let frames = Frames::connect(gateway.address());
        let many = one.repeat(1000);
        let stream = frames.wire.stream().try_clone().unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let done = Signal::new();
        let flooding = std::thread::spawn({
            let done = done.clone();
            move || {
                let mut sent = 0;
                while sent < 32 << 20 && !done.is_given() {
                    if std::io::Write::write_all(&mut &stream, &many).is_err() {
                        break;
                    }
                    sent += many.len();
                }
            }
        });
        for _ in 0..20 {
            is_served(&gateway);
        }
        done.give();
        flooding.join().unwrap();
        drop(frames);
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

#[test]
fn empty_pieces_of_a_body_fill_no_memory() {
    let _alone = alone();
    let upstream = RawUpstream::start(|wire| {
        if wire.read_head().target() == "/plain" {
            return wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        // Takes no body.
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    is_served(&gateway);
    let before = memory();
    for piece in [
        frame(kind::DATA, 0, 1, &[]),
        frame(kind::DATA, flag::PADDED, 1, &[0]),
        frame(kind::DATA, 0, 1, b"x"),
    ] {
        let mut frames = Frames::connect(gateway.address());
        frames.request(1, POST, false);
        let many = piece.repeat(1000);
        frames.flood(&many, 500);
        // Sent more than is taken for a body's sake.
        let ended = frames.ended();
        assert!(ended.is_calmed(), "{ended:?}");
        is_served(&gateway);
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

#[test]
fn small_blocks_that_become_large_heads_are_refused() {
    let _alone = alone();
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    // A field of 4 KB goes into the table; each further byte is that field again (RFC 7541, section 6.1).
    let mut bomb = block(GET);
    bomb.push(0x40);
    let field = block(&[("x", &"y".repeat(4000))]);
    bomb.extend_from_slice(&field[1..]);
    bomb.extend_from_slice(&[0xbe; 8000]);
    let mut frames = Frames::connect(gateway.address());
    let before = memory();
    frames.write(kind::HEADERS, 5, 1, &bomb);
    assert_eq!(frames.ended(), Connection(ENHANCE_YOUR_CALM));
    let grown = memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{} KiB more", grown >> 10);
    is_served(&gateway);
}

#[test]
fn many_idle_connections_cost_little() {
    let _alone = alone();
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    is_served(&gateway);
    let before = memory();
    let mut idle: Vec<_> = (0..300)
        .map(|_| {
            let mut frames = Frames::connect(gateway.address());
            frames.request(1, GET, true);
            assert_eq!(frames.ended(), Status(200));
            frames
        })
        .collect();
    let each = memory().saturating_sub(before) / idle.len();
    assert!(each < 128 << 10, "{} KiB each", each >> 10);
    is_served(&gateway);
    for frames in &mut idle {
        frames.ping();
    }
}
