use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    message: 1000,
    deflate: false,
};
const DEFLATE: Rules = Rules {
    deflate: true,
    ..RULES
};

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(MASKED | length as u8),
        length @ 126..65_536 => {
            frame.push(MASKED | 0x7e);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 0x7f);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_bytes())
}

/// All events, up to the first violation, however the bytes are cut.
fn read(rules: Rules, bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Option<u16>) {
    let mut reader = Reader::new(rules);
    let mut events = Vec::new();
    let mut rest = bytes;
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        rest = after;
        let mut piece = piece.to_vec();
        let mut done = 0;
        while done < piece.len() {
            match reader.read(&mut piece[done..]) {
                Ok((taken, event)) => {
                    assert!(taken > 0);
                    done += taken;
                    match event {
                        Some(event) => events.push(describe(&event)),
                        None => assert_eq!(done, piece.len()),
                    }
                }
                Err(close) => return (events, Some(close.code)),
            }
        }
    }
    (events, None)
}

fn describe(event: &Event<'_>) -> String {
    match event {
        Event::Message(Kind::Text, payload) => {
            format!("text {}", std::str::from_utf8(payload).unwrap())
        }
        Event::Message(Kind::Binary, payload) => format!("binary {:?}", &**payload),
        Event::Ping(payload) => format!("ping {:?}", &**payload),
        Event::Pong => "pong".to_owned(),
        Event::Close(Some(close)) => format!("close {} {}", close.code, close.reason),
        Event::Close(None) => "close".to_owned(),
    }
}

fn whole(rules: Rules, bytes: &[u8]) -> (Vec<String>, Option<u16>) {
    read(rules, bytes, &[])
}

#[test]
fn a_message_in_one_frame_is_lent() {
    let mut bytes = text("Hello");
    let length = bytes.len();
    let mut reader = Reader::new(RULES);
    let (taken, event) = reader.read(&mut bytes).unwrap();
    assert_eq!(taken, length);
    let lent = Event::Message(Kind::Text, Payload::Lent(b"Hello"));
    assert_eq!(event, Some(lent));
    assert!(!reader.is_within());
}

#[test]
fn fragments_with_control_frames_between_them() {
    let bytes = [
        frame(TEXT, b"Hel"),
        frame(FIN | PING, b"p"),
        frame(CONTINUATION, b""),
        frame(FIN | PONG, b"x"),
        frame(FIN | CONTINUATION, b"lo"),
        frame(FIN | BINARY, b""),
        frame(FIN | CLOSE, b"\x03\xe8bye"),
    ]
    .concat();
    let events = [
        "ping [112]",
        "pong",
        "text Hello",
        "binary []",
        "close 1000 bye",
    ];
    assert_eq!(
        whole(RULES, &bytes),
        (events.map(String::from).into(), None)
    );
    let one_by_one = vec![1; bytes.len()];
    assert_eq!(
        read(RULES, &bytes, &one_by_one),
        (events.map(String::from).into(), None)
    );
}

#[test]
fn what_breaks_a_rule() {
    let unmasked = vec![0x81, 0x05, b'H', b'e', b'l', b'l', b'o'];
    let long_form = vec![0x81, MASKED | 0x7e, 0, 5, 0, 0, 0, 0];
    let longer_form = vec![0x82, MASKED | 0x7f, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0];
    let negative = vec![0x82, MASKED | 0x7f, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut within = frame(TEXT, b"a");
    within.extend(text("b"));
    for (what, bytes, code) in [
        ("no mask", unmasked, 1002),
        ("a length in too many bytes", long_form, 1002),
        ("a length in far too many bytes", longer_form, 1002),
        ("a length with its first bit set", negative, 1002),
        (
            "RSV1 without an agreement",
            frame(FIN | RSV1 | TEXT, b""),
            1002,
        ),
        ("RSV2", frame(FIN | 0x20 | TEXT, b""), 1002),
        ("RSV3", frame(FIN | 0x10 | PING, b""), 1002),
        ("a reserved opcode", frame(FIN | 0x3, b""), 1002),
        ("a reserved control opcode", frame(FIN | 0xb, b""), 1002),
        ("a ping in pieces", frame(PING, b""), 1002),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("nothing to continue", frame(FIN | CONTINUATION, b""), 1002),
        ("a message within a message", within, 1002),
        ("a close of one byte", frame(FIN | CLOSE, b"\x03"), 1002),
        ("a close with 1005", frame(FIN | CLOSE, b"\x03\xed"), 1002),
        (
            "a reason that is no text",
            frame(FIN | CLOSE, b"\x03\xe8\xff"),
            1007,
        ),
        ("text that is no text", frame(FIN | TEXT, b"\xff"), 1007),
        ("text that ends too early", frame(FIN | TEXT, b"\xc3"), 1007),
        ("too large", frame(FIN | TEXT, &[b'x'; 1001]), 1009),
    ] {
        assert_eq!(whole(RULES, &bytes), (Vec::new(), Some(code)), "{what}");
        let one_by_one = vec![1; bytes.len()];
        let cut = read(RULES, &bytes, &one_by_one);
        assert_eq!(cut, (Vec::new(), Some(code)), "{what}");
    }
}

#[test]
fn a_violation_is_told_before_the_frame_is_whole() {
    // Only the header of a frame that would be too large, and only the first bytes of text that can't be right.
    let large = frame(FIN | BINARY, &[0; 1001]);
    assert_eq!(whole(RULES, &large[..8]).1, Some(1009));
    let no_text = frame(FIN | TEXT, b"\xce\xba\xf4\x90\x80\x80");
    assert_eq!(whole(RULES, &no_text[..9]).1, None);
    assert_eq!(whole(RULES, &no_text[..10]).1, Some(1007));
}

#[test]
fn fragments_count_together() {
    let mut bytes = frame(BINARY, &[0; 600]);
    bytes.extend(frame(FIN | CONTINUATION, &[0; 400]));
    assert_eq!(whole(RULES, &bytes).1, None);
    let mut bytes = frame(BINARY, &[0; 600]);
    bytes.extend(frame(FIN | CONTINUATION, &[0; 401]));
    assert_eq!(whole(RULES, &bytes).1, Some(1009));
}

#[test]
fn deflated_messages_in_one_piece_and_in_several() {
    let payload = "all work and no play ".repeat(20);
    let deflated = deflate::deflate(payload.as_bytes(), deflate::Window::Full).unwrap();
    let one = frame(FIN | RSV1 | TEXT, &deflated);
    assert_eq!(whole(DEFLATE, &one).0, [format!("text {payload}")]);
    let (head, tail) = deflated.split_at(10);
    let mut two = frame(RSV1 | TEXT, head);
    two.extend(frame(FIN | CONTINUATION, tail));
    let expected = (vec![format!("text {payload}")], None);
    assert_eq!(whole(DEFLATE, &two), expected);
    // Only the first frame of a message says that it is deflated.
    let mut wrong = frame(RSV1 | TEXT, head);
    wrong.extend(frame(FIN | RSV1 | CONTINUATION, tail));
    assert_eq!(whole(DEFLATE, &wrong).1, Some(1002));
}

#[test]
fn deflated_data_is_bounded_and_checked() {
    let bomb = deflate::deflate(&[0; 1001], deflate::Window::Full).unwrap();
    assert_eq!(
        whole(DEFLATE, &frame(FIN | RSV1 | BINARY, &bomb)).1,
        Some(1009)
    );
    let no_text = deflate::deflate(&[0xff; 200], deflate::Window::Full).unwrap();
    assert_eq!(
        whole(DEFLATE, &frame(FIN | RSV1 | TEXT, &no_text)).1,
        Some(1007)
    );
    let corrupt = frame(FIN | RSV1 | BINARY, b"\xff\xff\xff\xff");
    assert_eq!(whole(DEFLATE, &corrupt).1, Some(1007));
}

#[test]
fn what_is_kept_grows_with_what_comes_and_not_with_what_is_announced() {
    let rules = Rules {
        message: 1 << 30,
        deflate: false,
    };
    let mut reader = Reader::new(rules);
    let mut header = vec![FIN | BINARY, MASKED | 0x7f];
    header.extend_from_slice(&(1_u64 << 30).to_be_bytes());
    header.extend_from_slice(&[0; 10]);
    let length = header.len();
    assert_eq!(reader.read(&mut header).unwrap(), (length, None));
    assert!(reader.message.as_ref().unwrap().bytes.capacity() < 100);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        Just(FIN | TEXT),
        Just(TEXT),
        Just(CONTINUATION),
        Just(FIN | CONTINUATION),
        Just(FIN | BINARY),
        Just(FIN | RSV1 | TEXT),
        Just(FIN | PING),
        Just(FIN | PONG),
        Just(FIN | CLOSE),
        any::<u8>(),
    ];
    let payload = prop_oneof![
        "[ab\u{e9}\u{20ac}]{0,10}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
        proptest::collection::vec(any::<u8>(), 120..130),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

proptest! {
    #[test]
    fn events_do_not_depend_on_where_the_bytes_are_cut(
        frames in proptest::collection::vec(any_frame(), 0..8),
        cuts in proptest::collection::vec(0_usize..20, 0..60),
        deflate: bool,
    ) {
        let bytes = frames.concat();
        let rules = Rules { deflate, ..RULES };
        prop_assert_eq!(read(rules, &bytes, &cuts), whole(rules, &bytes));
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), deflate: bool) {
        whole(Rules { deflate, ..RULES }, &bytes);
    }

    #[test]
    fn unmasking_is_the_definition_of_the_rfc(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        mask: [u8; 4],
    ) {
        let mut unmasked = bytes.clone();
        unmask(&mut unmasked, mask);
        let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        prop_assert_eq!(unmasked, expected);
    }
}
