//! What h2spec asks of a server, as far as it concerns requests: the frames of each case, and how the stream or the connection
//! ends (RFC 9113, RFC 7541). Where a stream error is asked for, a connection error is one as well (section 5.4.2).

use sluicegate_tests::frames::Ended::{self, Closed, Connection, Status, Stream};
use sluicegate_tests::frames::{Frames, GET, POST, block, flag, frame, head, kind};
use sluicegate_tests::{Gateway, RawUpstream};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

/// Section and name, what is sent, and how it may end.
type Case = (&'static str, fn(&mut Frames), &'static [Ended]);

/// Of HPACK's errors the h2 crate says that they are the protocol's; the connection ends with either.
const HPACK: &[Ended] = &[Connection(COMPRESSION), Connection(PROTOCOL)];
const BAD_STREAM: &[Ended] = &[Stream(PROTOCOL), Connection(PROTOCOL)];
/// A malformed request may be answered as well (section 8.1.1).
const MALFORMED: &[Ended] = &[Stream(PROTOCOL), Connection(PROTOCOL), Status(400)];
const LATE: &[Ended] = &[
    Stream(STREAM_CLOSED),
    Connection(STREAM_CLOSED),
    Connection(PROTOCOL),
];
const BAD_CONNECTION: &[Ended] = &[Connection(PROTOCOL)];
const BAD_SIZE: &[Ended] = &[Connection(FRAME_SIZE), Connection(PROTOCOL)];

/// A request with these fields in place of, or behind, those of [`GET`].
fn with(frames: &mut Frames, fields: &[(&str, &str)]) {
    let mut all = GET.to_vec();
    all.extend_from_slice(fields);
    frames.request(1, &all, true);
}

fn settings(frames: &mut Frames, name: u16, value: u32) {
    let mut payload = name.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frames.write(kind::SETTINGS, 0, 0, &payload);
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("4.2 a DATA frame beyond the largest size", |f| {
        f.request(1, POST, false);
        f.wire.write(head(16_385, kind::DATA, 0, 1));
        f.wire.write(vec![0; 16_385]);
    }, BAD_SIZE),
    ("4.2 a HEADERS frame beyond the largest size", |f| f.wire.write(head(16_385, kind::HEADERS, 4, 1)), BAD_SIZE),
    ("4.3 a block that is none", |f| f.write(kind::HEADERS, 5, 1, &[0xff; 8]), HPACK),
    ("4.3 a PRIORITY frame within a block", |f| {
        f.write(kind::HEADERS, 1, 1, &block(GET));
        f.write(kind::PRIORITY, 0, 3, &[0; 5]);
    }, BAD_CONNECTION),
    ("4.3 another stream's HEADERS within a block", |f| {
        f.write(kind::HEADERS, 1, 1, &block(GET));
        f.request(3, GET, true);
    }, BAD_CONNECTION),
    ("5.1 DATA to an idle stream", |f| f.write(kind::DATA, 1, 1, b"x"), BAD_CONNECTION),
    ("5.1 RST_STREAM to an idle stream", |f| f.write(kind::RST_STREAM, 0, 1, &[0; 4]), BAD_CONNECTION),
    ("5.1 WINDOW_UPDATE to an idle stream", |f| f.write(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), BAD_CONNECTION),
    ("5.1 CONTINUATION to an idle stream", |f| f.write(kind::CONTINUATION, 4, 1, &block(GET)), BAD_CONNECTION),
    ("5.1 DATA behind the end", |f| { with(f, &[]); f.write(kind::DATA, 1, 1, b"x"); }, LATE),
    ("5.1 HEADERS behind the end", |f| { with(f, &[]); with(f, &[]); }, LATE),
    ("5.1 CONTINUATION behind the end", |f| { with(f, &[]); f.write(kind::CONTINUATION, 4, 1, &[]); }, LATE),
    ("5.1 DATA behind a reset", |f| {
        f.request(1, POST, false);
        f.write(kind::RST_STREAM, 0, 1, &[0; 4]);
        f.write(kind::DATA, 1, 1, b"x");
    }, LATE),
    ("5.1 HEADERS behind a reset", |f| {
        f.request(1, POST, false);
        f.write(kind::RST_STREAM, 0, 1, &[0; 4]);
        with(f, &[]);
    }, LATE),
    ("5.1.1 a stream of the server's", |f| f.request(2, GET, true), BAD_CONNECTION),
    ("5.1.1 a stream below the last", |f| { f.request(5, GET, true); f.request(3, GET, true); }, BAD_CONNECTION),
    ("5.5 an unknown frame within a block", |f| {
        f.write(kind::HEADERS, 1, 1, &block(GET));
        f.write(0x16, 0, 0, b"x");
    }, BAD_CONNECTION),
    ("6.1 DATA of no stream", |f| f.write(kind::DATA, 1, 0, b"x"), BAD_CONNECTION),
    ("6.1 more padding than payload", |f| {
        f.request(1, POST, false);
        f.write(kind::DATA, 9, 1, &[6, 0, 0]);
    }, BAD_CONNECTION),
    ("6.2 HEADERS of no stream", |f| f.request(0, GET, true), BAD_CONNECTION),
    ("6.2 a head with more padding than payload", |f| f.write(kind::HEADERS, 0xd, 1, &[255, 0x82]), BAD_CONNECTION),
    ("6.3 PRIORITY of no stream", |f| f.write(kind::PRIORITY, 0, 0, &[0; 5]), BAD_CONNECTION),
    ("6.3 PRIORITY of another length", |f| f.write(kind::PRIORITY, 0, 1, &[0; 4]), &[Stream(FRAME_SIZE), Connection(PROTOCOL), Connection(FRAME_SIZE)]),
    ("6.4 RST_STREAM of no stream", |f| f.write(kind::RST_STREAM, 0, 0, &[0; 4]), BAD_CONNECTION),
    ("6.4 RST_STREAM of another length", |f| { f.request(1, POST, false); f.write(kind::RST_STREAM, 0, 1, &[0; 3]); }, BAD_SIZE),
    ("6.5 an ACK with settings", |f| f.write(kind::SETTINGS, 1, 0, &[0; 6]), BAD_SIZE),
    ("6.5 SETTINGS of a stream", |f| f.write(kind::SETTINGS, 0, 1, &[]), BAD_CONNECTION),
    ("6.5 half a setting", |f| f.write(kind::SETTINGS, 0, 0, &[0; 3]), BAD_SIZE),
    ("6.5.2 ENABLE_PUSH of 2", |f| settings(f, 2, 2), BAD_CONNECTION),
    ("6.5.2 a window beyond 31 bits", |f| settings(f, 4, 1 << 31), &[Connection(FLOW_CONTROL), Connection(PROTOCOL)]),
    ("6.5.2 a frame size below 16384", |f| settings(f, 5, 16_383), BAD_CONNECTION),
    ("6.5.2 a frame size beyond 24 bits", |f| settings(f, 5, 1 << 24), BAD_CONNECTION),
    ("6.5.3 an ACK of nothing", |f| { f.ping(); f.write(kind::SETTINGS, 1, 0, &[]); }, BAD_CONNECTION),
    ("6.6 a promise of a client's", |f| {
        f.request(1, POST, false);
        f.write(kind::PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2][..], &block(GET)].concat());
    }, BAD_CONNECTION),
    ("6.7 PING of a stream", |f| f.write(kind::PING, 0, 1, &[0; 8]), BAD_CONNECTION),
    ("6.7 PING of another length", |f| f.write(kind::PING, 0, 0, &[0; 6]), BAD_SIZE),
    ("6.8 GOAWAY of a stream", |f| f.write(kind::GOAWAY, 0, 1, &[0; 8]), BAD_CONNECTION),
    ("6.9 WINDOW_UPDATE of 0", |f| f.write(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), BAD_CONNECTION),
    ("6.9 WINDOW_UPDATE of 0 for a stream", |f| { f.request(1, POST, false); f.write(kind::WINDOW_UPDATE, 0, 1, &[0; 4]); }, BAD_STREAM),
    ("6.9 WINDOW_UPDATE of another length", |f| f.write(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), BAD_SIZE),
    ("6.9.1 a connection's window beyond 31 bits", |f| {
        f.write(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]);
    }, &[Connection(FLOW_CONTROL)]),
    ("6.9.1 a stream's window beyond 31 bits", |f| {
        f.request(1, POST, false);
        f.write(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255]);
    }, &[Stream(FLOW_CONTROL), Connection(FLOW_CONTROL)]),
    ("6.9.2 a stream's window beyond 31 bits by a setting", |f| {
        f.request(1, POST, false);
        f.write(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 255, 0, 0]);
        settings(f, 4, 0x7fff_ffff);
    }, &[Connection(FLOW_CONTROL)]),
    ("6.10 CONTINUATION of no stream", |f| {
        f.write(kind::HEADERS, 1, 1, &block(GET));
        f.write(kind::CONTINUATION, 4, 0, &[]);
    }, BAD_CONNECTION),
    ("6.10 CONTINUATION behind DATA", |f| {
        f.request(1, POST, false);
        f.write(kind::DATA, 0, 1, b"x");
        f.write(kind::CONTINUATION, 4, 1, &[]);
    }, BAD_CONNECTION),
    ("8.1 trailers that are not the end", |f| {
        f.request(1, POST, false);
        f.write(kind::HEADERS, 4, 1, &block(&[("x", "y")]));
    }, BAD_STREAM),
    ("8.1.1 less than the content-length", |f| {
        f.request(1, &[POST, &[("content-length", "2")]].concat(), false);
        f.write(kind::DATA, 1, 1, b"x");
    }, BAD_STREAM),
    ("8.1.1 more than the content-length, in two frames", |f| {
        f.request(1, &[POST, &[("content-length", "1")]].concat(), false);
        f.write(kind::DATA, 0, 1, b"x");
        f.write(kind::DATA, 1, 1, b"x");
    }, BAD_STREAM),
    ("8.1.1 a content-length and no body", |f| with(f, &[("content-length", "1")]), BAD_STREAM),
    ("8.2.1 a name in upper case", |f| with(f, &[("X-Y", "z")]), MALFORMED),
    ("8.2.2 connection", |f| with(f, &[("connection", "keep-alive")]), MALFORMED),
    ("8.2.2 transfer-encoding", |f| with(f, &[("transfer-encoding", "chunked")]), MALFORMED),
    ("8.2.2 upgrade", |f| with(f, &[("upgrade", "websocket")]), MALFORMED),
    ("8.2.2 keep-alive", |f| with(f, &[("keep-alive", "1")]), MALFORMED),
    ("8.2.2 proxy-connection", |f| with(f, &[("proxy-connection", "x")]), MALFORMED),
    ("8.2.2 te of more than trailers", |f| with(f, &[("te", "trailers, deflate")]), MALFORMED),
    ("8.3 an unknown pseudo field", |f| with(f, &[(":test", "x")]), MALFORMED),
    ("8.3 a response's pseudo field", |f| with(f, &[(":status", "200")]), MALFORMED),
    ("8.3 a pseudo field behind others", |f| f.request(1, &[GET[0], GET[1], GET[2], ("x", "y"), GET[3]], true), MALFORMED),
    ("8.3.1 two paths", |f| with(f, &[(":path", "/x")]), MALFORMED),
    ("8.3.1 two methods", |f| with(f, &[(":method", "GET")]), MALFORMED),
    ("8.3.1 two schemes", |f| with(f, &[(":scheme", "http")]), MALFORMED),
    ("8.3.1 an empty path", |f| f.request(1, &[GET[0], GET[1], GET[2], (":path", "")], true), MALFORMED),
    ("8.3.1 no path", |f| f.request(1, &GET[..3], true), MALFORMED),
    ("8.3.1 no scheme", |f| f.request(1, &[GET[0], GET[2], GET[3]], true), MALFORMED),
    ("8.3.1 no method", |f| f.request(1, &GET[1..], true), MALFORMED),
    ("8.3.1 no authority and no host", |f| f.request(1, &[GET[0], GET[1], GET[3]], true), MALFORMED),
    ("8.5 CONNECT", |f| f.request(1, &[(":method", "CONNECT"), (":authority", "a:80")], false), &[Status(501)]),
    ("8.5 CONNECT with a path", |f| f.request(1, &[(":method", "CONNECT"), GET[1], GET[2], GET[3]], false), MALFORMED),
    ("RFC 8441, 4: :protocol of another method", |f| with(f, &[(":protocol", "websocket")]), MALFORMED),
    ("RFC 7541, 2.3.3: an index beyond the tables", |f| f.write(kind::HEADERS, 5, 1, &[0xbe + 60]), HPACK),
    ("RFC 7541, 6.1: index 0", |f| f.write(kind::HEADERS, 5, 1, &[0x80]), HPACK),
    ("RFC 7541, 4.2: a table beyond the setting", |f| f.write(kind::HEADERS, 5, 1, &[0x3f, 0xff, 0xff, 0x7f]), HPACK),
    ("RFC 7541, 5.2: padding of eight bits and more", |f| {
        f.write(kind::HEADERS, 5, 1, &[&block(GET)[..], &[0, 1, b'x', 0x85, 0xf1, 0xff, 0xff, 0xff, 0xff]].concat());
    }, HPACK),
    ("RFC 7541, 5.1: an integer without an end", |f| f.write(kind::HEADERS, 5, 1, &[0x7f, 255, 255, 255, 255, 255, 255, 255]), HPACK),
];

#[test]
fn what_breaks_a_rule_ends_its_stream_or_its_connection() {
    // So that no answer comes before the rule is broken.
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut beside = Frames::connect(gateway.address());
    let mut wrong = Vec::new();
    for (name, send, expected) in CASES {
        let mut frames = Frames::connect(gateway.address());
        send(&mut frames);
        let ended = frames.ended();
        if !expected.contains(&ended) {
            wrong.push(format!("{name}: {ended:?} in place of {expected:?}"));
        }
        match ended {
            Stream(_) | Status(_) => frames.ping(),
            Connection(_) => assert_eq!(frames.ended(), Closed, "{name}"),
            Closed => {}
        }
        beside.ping();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Section and name, and what is sent.
type Fine = (&'static str, fn(&mut Frames));

/// What is to be ignored, or taken.
#[rustfmt::skip]
const FINE: &[Fine] = &[
    ("4.1 an unknown frame", |f| { f.write(0x16, 0, 0, b"x"); with(f, &[]); }),
    ("4.1 unknown flags", |f| { f.write(kind::PING, 0x16, 0, &[0; 8]); with(f, &[]); }),
    ("4.1 the reserved bit", |f| f.wire.write(frame(kind::HEADERS, 5, 0x8000_0001, &block(GET)))),
    ("4.3 a head in many frames", |f| {
        let block = block(GET);
        f.write(kind::HEADERS, 1, 1, &block[..4]);
        f.write(kind::CONTINUATION, 0, 1, &block[4..9]);
        f.write(kind::CONTINUATION, 0, 1, &[]);
        f.write(kind::CONTINUATION, 4, 1, &block[9..]);
    }),
    ("5.1 PRIORITY to an idle stream", |f| { f.write(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 9]); with(f, &[]); }),
    ("5.1 WINDOW_UPDATE and PRIORITY behind the end", |f| {
        with(f, &[]);
        f.write(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]);
        f.write(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 9]);
    }),
    ("6.1 padding", |f| {
        f.request(1, POST, false);
        f.write(kind::DATA, 9, 1, &[2, b'x', 0, 0]);
    }),
    ("6.2 padding and priority", |f| {
        let payload = [&[2, 0, 0, 0, 3, 9][..], &block(GET), &[0, 0]].concat();
        f.write(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM | flag::PADDED | flag::PRIORITY, 1, &payload);
    }),
    ("6.5.2 an unknown setting", |f| { settings(f, 0x99, 1); with(f, &[]); }),
    ("6.7 an ACK of no PING", |f| { f.write(kind::PING, 1, 0, &[0; 8]); with(f, &[]); }),
    ("8.1 trailers", |f| {
        f.request(1, POST, false);
        f.write(kind::DATA, 0, 1, b"x");
        f.request(1, &[("x-sum", "1")], true);
    }),
    // Malformed by 8.1, but the h2 crate drops the field and does not tell; nothing of it goes upstream.
    ("8.1 trailers with a pseudo field", |f| {
        f.request(1, POST, false);
        f.request(1, &[(":path", "/x")], true);
    }),
    ("8.2.2 te of trailers", |f| with(f, &[("te", "trailers")])),
    ("8.3.1 a host in place of an authority", |f| f.request(1, &[GET[0], GET[1], GET[3], ("host", "a")], true)),
    ("RFC 7541, 6.3: a smaller table, and back", |f| {
        f.write(kind::HEADERS, 5, 1, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &block(GET)].concat());
    }),
];

#[test]
fn what_keeps_to_the_rules_is_answered() {
    let upstream = sluicegate_tests::Upstream::start(|_| sluicegate_tests::Answer::ok("fine"));
    let gateway = Gateway::in_front_of(&upstream).start();
    for (name, send) in FINE {
        let mut frames = Frames::connect(gateway.address());
        send(&mut frames);
        assert_eq!(frames.ended(), Status(200), "{name}");
        frames.ping();
    }
    assert_eq!(upstream.received().len(), FINE.len());
}

#[test]
fn windows_are_kept_to_however_they_change() {
    let upstream = sluicegate_tests::Upstream::start(|_| sluicegate_tests::Answer::ok("12345"));
    let gateway = Gateway::in_front_of(&upstream).start();
    // 6.9.2: from 3 bytes to 1 while 3 are under way is -2, then 2, and 2 more.
    let mut frames = Frames::connect_with(gateway.address(), &[(4, 3)]);
    with(&mut frames, &[]);
    assert_eq!(frames.read_until(kind::DATA).payload, b"123");
    settings(&mut frames, 4, 1);
    frames.write(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]);
    frames.ping();
    frames.write(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    assert_eq!(frames.read_until(kind::DATA).payload, b"4");
    settings(&mut frames, 4, 2);
    let last = frames.read_until(kind::DATA);
    assert_eq!(
        (last.payload.as_slice(), last.flags & flag::END_STREAM),
        (&b"5"[..], 1)
    );
}

#[test]
fn a_stream_beyond_the_limit_is_refused_and_may_come_again() {
    let upstream = RawUpstream::holding("", "HTTP/1.1 204 No Content\r\n\r\n");
    let gateway = Gateway::in_front_of_url(upstream.url())
        .server("limits = { streams = 2 }")
        .start();
    let mut frames = Frames::connect(gateway.address());
    for stream in [1, 3, 5] {
        frames.request(stream, GET, true);
    }
    let refused = frames.read_until(kind::RST_STREAM);
    assert_eq!((refused.stream, refused.number(0)), (5, 7));
    upstream.go_on();
    for _ in 0..2 {
        frames.read_until(kind::HEADERS);
    }
    frames.request(7, GET, true);
    assert_eq!(frames.read_until(kind::HEADERS).stream, 7);
}
