//! A message on its way through Redis: `NODE SERIAL KIND LENGTH ROOM…BODY`, in front of it its number when it comes back.

use crate::hub::backplane::{Numbering, Publication};
use crate::hub::delivery::{Audience, Serial};
use crate::websocket::frame::{Draft, Frame, Kind};

/// A message that has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope<'b> {
    pub(super) room: &'b str,
    pub(super) audience: Audience,
    kind: Kind,
    numbering: Numbering,
    body: &'b [u8],
}

/// A message that goes; `node` is this gateway's own number.
pub(super) fn write(node: u64, room: &str, publication: &Publication) -> Vec<u8> {
    let serial = match publication.audience {
        Audience::Except(Serial(serial)) => serial.to_string(),
        Audience::All | Audience::Watchers => "-".to_owned(),
    };
    let kind = match (publication.kind, publication.numbering) {
        (Kind::Text, Numbering::None) => "t",
        (Kind::Text, Numbering::Json) => "j",
        (Kind::Binary, _) => "b",
    };
    let mut bytes = format!("{node:x} {serial} {kind} {} {room}", room.len()).into_bytes();
    bytes.extend_from_slice(publication.draft.body());
    bytes
}

/// Reads what [`write`] has written, here or at another gateway.
pub(super) fn read(node: u64, bytes: &[u8]) -> Option<Envelope<'_>> {
    let mut rest = bytes;
    let from = u64::from_str_radix(word(&mut rest)?, 16).ok()?;
    let serial = word(&mut rest)?;
    let (kind, numbering) = match word(&mut rest)? {
        "t" => (Kind::Text, Numbering::None),
        "j" => (Kind::Text, Numbering::Json),
        "b" => (Kind::Binary, Numbering::None),
        _ => return None,
    };
    let length: usize = word(&mut rest)?.parse().ok()?;
    let (room, body) = rest.split_at_checked(length)?;
    // A text that is none would end the connections of all who get it.
    let is_sound = kind == Kind::Binary || std::str::from_utf8(body).is_ok();
    // Numbers of connections are each gateway's own.
    let audience = match serial.parse() {
        Ok(serial) if from == node => Audience::Except(Serial(serial)),
        _ => Audience::All,
    };
    is_sound.then_some(Envelope {
        room: std::str::from_utf8(room).ok()?,
        audience,
        kind,
        numbering,
        body,
    })
}

/// A message for all clients, which has no number.
pub(super) fn write_broadcast(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = match kind {
        Kind::Text => b"all t ".to_vec(),
        Kind::Binary => b"all b ".to_vec(),
    };
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads what [`write_broadcast`] has written; `None`: it is something else.
pub(super) fn read_broadcast(bytes: &[u8]) -> Option<Frame> {
    let (kind, payload) = if let Some(text) = bytes.strip_prefix(b"all t ") {
        std::str::from_utf8(text).ok()?;
        (Kind::Text, text)
    } else {
        (Kind::Binary, bytes.strip_prefix(b"all b ")?)
    };
    Some(Frame::new(kind, payload))
}

/// A message for one client, wherever it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Direct<'b> {
    /// Where it comes from.
    pub(super) node: u64,
    /// Of the question whether the client is there; 0: nobody asks.
    pub(super) number: u64,
    pub(super) to: &'b str,
    kind: Kind,
    payload: &'b [u8],
}

/// What a message for one client begins with.
const DIRECT: &[u8] = b"to ";

/// A message for one client: `to NODE NUMBER KIND LENGTH CLIENT…PAYLOAD`.
pub(super) fn write_direct(node: u64, number: u64, to: &str, frame: &Frame) -> Vec<u8> {
    let kind = match frame.kind() {
        Kind::Text => "t",
        Kind::Binary => "b",
    };
    let mut bytes = DIRECT.to_vec();
    bytes.extend_from_slice(format!("{node:x} {number} {kind} {} {to}", to.len()).as_bytes());
    bytes.extend_from_slice(&frame.payload());
    bytes
}

/// Reads what [`write_direct`] has written; `None`: it is something else.
pub(super) fn read_direct(bytes: &[u8]) -> Option<Direct<'_>> {
    let mut rest = bytes.strip_prefix(DIRECT)?;
    let node = u64::from_str_radix(word(&mut rest)?, 16).ok()?;
    let number = word(&mut rest)?.parse().ok()?;
    let kind = match word(&mut rest)? {
        "t" => Kind::Text,
        "b" => Kind::Binary,
        _ => return None,
    };
    let length: usize = word(&mut rest)?.parse().ok()?;
    let (to, payload) = rest.split_at_checked(length)?;
    let is_sound = kind == Kind::Binary || std::str::from_utf8(payload).is_ok();
    is_sound.then_some(Direct {
        node,
        number,
        to: std::str::from_utf8(to).ok()?,
        kind,
        payload,
    })
}

impl Direct<'_> {
    pub(super) fn frame(&self) -> Frame {
        Frame::new(self.kind, self.payload)
    }
}

/// The word up to the next space.
pub(super) fn word<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    let end = memchr::memchr(b' ', rest)?;
    let (word, after) = rest.split_at_checked(end)?;
    *rest = after.get(1..)?;
    std::str::from_utf8(word).ok()
}

impl Envelope<'_> {
    /// The message with its number.
    pub(super) fn finish(&self, offset: u64) -> Frame {
        let mut draft = Draft::with_capacity(self.body.len() + 32);
        draft.payload().extend_from_slice(self.body);
        let publication = Publication {
            kind: self.kind,
            draft,
            numbering: self.numbering,
            audience: self.audience,
        };
        publication.finish(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_they_went() {
        let mut draft = Draft::with_capacity(0);
        draft.payload().extend_from_slice(b"{\"x\":\" 1\"");
        let publication = Publication {
            kind: Kind::Text,
            draft,
            numbering: Numbering::Json,
            audience: Audience::Except(Serial(7)),
        };
        let bytes = write(0xab, "a b", &publication);
        assert_eq!(bytes, b"ab 7 j 3 a b{\"x\":\" 1\"");
        let here = read(0xab, &bytes).unwrap();
        assert_eq!(
            (here.room, here.audience),
            ("a b", Audience::Except(Serial(7)))
        );
        assert_eq!(here.finish(5).payload(), "{\"x\":\" 1\",\"offset\":5}");
        assert_eq!(read(0xcd, &bytes).unwrap().audience, Audience::All);
    }

    #[test]
    fn broadcasts_come_as_they_went() {
        for (kind, payload) in [(Kind::Text, &b"a b"[..]), (Kind::Binary, b"\xff")] {
            let frame = read_broadcast(&write_broadcast(kind, payload)).unwrap();
            assert_eq!((frame.kind(), &frame.payload()[..]), (kind, payload));
        }
        assert!(read_broadcast(b"all t \xff").is_none());
        assert!(read_broadcast(b"1 2 ab - t 1 a").is_none());
    }

    #[test]
    fn messages_for_one_come_as_they_went() {
        let frame = Frame::text("{}");
        let bytes = write_direct(0xab, 7, "a b", &frame);
        assert_eq!(bytes, b"to ab 7 t 3 a b{}");
        let direct = read_direct(&bytes).unwrap();
        assert_eq!((direct.node, direct.number, direct.to), (0xab, 7, "a b"));
        assert_eq!(direct.frame().payload(), "{}");
        for bytes in [
            &b"to "[..],
            b"to ab 7 t 3 a",
            b"to ab 7 t 1 a\xff",
            b"to ab 7 t 1 \xff",
            b"to ab -7 t 1 a",
            b"all t a",
        ] {
            assert_eq!(read_direct(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_nobody_here_has_written_is_left_alone() {
        for bytes in [
            &b""[..],
            b"ab 7 j 3",
            b"ab 7 j 30 a b",
            b"ab 7 x 1 a",
            b"zz 7 j 1 a",
            b"ab 7 t 1 a\xff",
            b"ab 7 t 1 \xff",
        ] {
            assert_eq!(read(0, bytes), None, "{bytes:?}");
        }
        assert!(read(0, b"ab - b 1 a\xff").is_some());
    }
}
