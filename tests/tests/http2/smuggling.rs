//! What HTTP/2 can carry and HTTP/1.1 would read as something else: a second request, another field, another target. An upstream
//! gets none of it.

use sluicegate_tests::frames::Ended::{Closed, Connection, Status, Stream};
use sluicegate_tests::frames::{Frames, GET, POST, block, kind};
use sluicegate_tests::{Answer, Gateway, Upstream};

const PROTOCOL: u32 = 1;

/// The pseudo fields, with one of them exchanged, or a field more.
fn get_with(name: &str, value: &str) -> Vec<u8> {
    let is_one = |field: &&(&str, &str)| field.0 == name;
    let mut fields: Vec<_> = GET.iter().filter(|field| !is_one(field)).copied().collect();
    fields.push((name, value));
    block(&fields)
}

#[test]
fn nothing_in_a_head_becomes_a_line_of_its_own() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    #[rustfmt::skip]
    let attacks = [
        ("x", "a\r\nsmuggled: 1"), ("x", "a\nsmuggled: 1"), ("x", "a\rsmuggled: 1"), ("x", "a\0smuggled"), ("x", "smuggled\x7f"),
        ("cookie", "a=1\r\nsmuggled: 1"), ("content-length", "0\r\nsmuggled: 1"), ("host", "a\r\nsmuggled: 1"), ("host", "smuggled"),
        ("x\r\nsmuggled", "1"), ("x: 1\r\nsmuggled", "1"), ("x:smuggled", "1"), ("smuggled ", "1"), (" smuggled", "1"), ("", "smuggled"),
        ("Smuggled", "1"), ("smuggled\u{e9}", "1"), ("transfer-encoding", "smuggled"), ("x", " smuggled"), ("x", "smuggled\t"),
        (":method", "GET /smuggled HTTP/1.1\r\nx:"), (":method", "GET /smuggled"), (":method", ""), (":method", "smuggled,"),
        (":path", "/ HTTP/1.1\r\nsmuggled: 1\r\n\r\n"), (":path", "/ smuggled"), (":path", "/\tsmuggled"), (":path", "/\0smuggled"),
        (":path", "smuggled"), (":path", "http://smuggled/"), (":path", "*"), (":path", "/../smuggled"),
        (":authority", "a\r\nsmuggled: 1"), (":authority", "a/smuggled"), (":authority", "smuggled@a"), (":authority", "smuggled a"),
        (":authority", "a:smuggled"), (":authority", ""),
        (":scheme", "http\r\nsmuggled: 1"), (":scheme", "http://smuggled/"), (":scheme", "smuggled"), (":scheme", ""),
    ];
    for (name, value) in attacks {
        let mut frames = Frames::connect(gateway.address());
        frames.write(kind::HEADERS, 5, 1, &get_with(name, value));
        let ended = frames.ended();
        assert!(
            [
                Stream(PROTOCOL),
                Connection(PROTOCOL),
                Status(400),
                Status(404)
            ]
            .contains(&ended),
            "{name:?}: {value:?}: {ended:?}"
        );
    }
    assert_eq!(upstream.received().len(), 0);
    // A fragment is cut off before the gateway sees it.
    let mut frames = Frames::connect(gateway.address());
    frames.write(kind::HEADERS, 5, 1, &get_with(":path", "/#smuggled"));
    assert_eq!(frames.ended(), Status(200));
    assert_eq!(upstream.only().target(), "/");
}

#[test]
fn no_body_becomes_a_request() {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of(&upstream).start();
    let inner = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let ended = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for (field, body) in [
        (Some(("content-length", "0")), &inner[..]),
        (Some(("content-length", "5")), ended),
        (Some(("transfer-encoding", "chunked")), ended),
        (Some(("te", "trailers")), ended),
        (Some(("expect", "100-continue")), ended),
        (None, ended),
    ] {
        let mut frames = Frames::connect(gateway.address());
        let fields = [POST, field.as_slice()].concat();
        frames.request(1, &fields, false);
        let _ = frames
            .wire
            .try_write(sluicegate_tests::frames::frame(kind::DATA, 1, 1, body));
        assert_ne!(frames.ended(), Closed);
    }
    // Trailers that would end a message, or begin one.
    for trailer in [
        ("x", "1\r\n\r\nGET /smuggled HTTP/1.1"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("host", "smuggled"),
        ("x-forwarded-for", "smuggled"),
    ] {
        let mut frames = Frames::connect(gateway.address());
        let fields = [POST, &[("trailer", trailer.0)]].concat();
        frames.request(1, &fields, false);
        frames.write(kind::DATA, 0, 1, b"x");
        frames.request(1, &[trailer], true);
        assert_ne!(frames.ended(), Closed);
    }
    // In a body of its own it may be anything.
    for request in upstream.received() {
        assert_eq!(request.target(), "/");
        for (name, value) in &request.head.fields {
            assert!(
                !name.contains("smuggled") && !value.contains("smuggled"),
                "{request:?}"
            );
        }
        for (name, value) in &request.body.trailers {
            assert!(!value.contains("smuggled"), "{request:?}");
            assert!(
                name != "content-length" && name != "transfer-encoding",
                "{request:?}"
            );
        }
    }
}
