//! What gateways tell each other of themselves and of who is in the rooms there: `NODE WORD …`.
//!
//! | | |
//! |---|---|
//! | `alive` | every second |
//! | `ask [NODE]` | all gateways, or one, are to tell everything |
//! | `begin N`, `end N` | around everything: who is not named in between is not there |
//! | `news` and entries | somebody comes in (`+`) or leaves (`-`): lengths, then the room, the client and what it says of itself |
//! | `bye` | the gateway stops, its clients have gone |

use std::io::Write as _;
use std::sync::Arc;

use super::super::Member;
use super::super::attendance::Node;
use super::presence::Change;
use crate::hub::name::is_name;
use crate::hub::protocol::command::LONGEST_INFO;

/// Bytes of a notice after which another is begun.
const PART: usize = 32 << 10;
/// And that are read: an entry more.
const LONGEST: usize = PART + (4 << 10);

/// A notice that has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice<'b> {
    pub(super) from: Node,
    pub(super) word: Word<'b>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'b> {
    Alive,
    /// `None`: of all.
    Ask(Option<Node>),
    Begin(u64),
    End(u64),
    News(Vec<Entry<'b>>),
    Bye,
}

/// Who has come or gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'b> {
    pub(super) room: &'b str,
    pub(super) id: &'b str,
    pub(super) what: What<'b>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What<'b> {
    /// With what the client says of itself.
    Comes(Option<&'b str>),
    Goes,
}

impl Entry<'_> {
    pub(super) fn member(&self, info: Option<&str>) -> Member {
        Member {
            id: Arc::from(self.id),
            info: info.map(Arc::from),
        }
    }
}

/// A notice of one word, and what may follow it.
pub(super) fn write(from: Node, words: &str) -> Vec<u8> {
    format!("{:x} {words}", from.0).into_bytes()
}

/// Notices of changes, each of a bounded size.
pub(super) fn write_news<'c>(
    from: Node,
    changes: impl IntoIterator<Item = &'c Change>,
) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = write(from, "news");
    let empty = part.len();
    for change in changes {
        // Writing to memory does not fail.
        let _ = match change {
            Change::Enters(room, member) => {
                let id = &member.id;
                let (room_length, length) = (room.len(), id.len());
                match &member.info {
                    Some(info) => {
                        let more = info.len();
                        write!(part, " + {room_length} {length} {more} {room}{id}{info}")
                    }
                    None => write!(part, " + {room_length} {length} - {room}{id}"),
                }
            }
            Change::Leaves(room, id) => {
                write!(part, " - {} {} {room}{id}", room.len(), id.len())
            }
        };
        if part.len() > PART {
            all.push(std::mem::replace(&mut part, write(from, "news")));
        }
    }
    if part.len() > empty {
        all.push(part);
    }
    all
}

/// Reads a notice. `None`: it is none, or something in it can't be shown to clients.
pub(super) fn read(bytes: &[u8]) -> Option<Notice<'_>> {
    if bytes.len() > LONGEST {
        return None;
    }
    let mut text = std::str::from_utf8(bytes).ok()?;
    let from = node(next(&mut text)?)?;
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let word = match (first, rest) {
        ("alive", "") => Word::Alive,
        ("ask", "") => Word::Ask(None),
        ("ask", who) => Word::Ask(Some(node(who)?)),
        ("begin", number) => Word::Begin(number.parse().ok()?),
        ("end", number) => Word::End(number.parse().ok()?),
        ("bye", "") => Word::Bye,
        ("news", entries) => Word::News(read_entries(entries)?),
        _ => return None,
    };
    Some(Notice { from, word })
}

fn read_entries(mut text: &str) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    loop {
        let comes = match next(&mut text)? {
            "+" => true,
            "-" => false,
            _ => return None,
        };
        let room: usize = next(&mut text)?.parse().ok()?;
        let id: usize = next(&mut text)?.parse().ok()?;
        let info = match comes.then(|| next(&mut text)) {
            None | Some(Some("-")) => None,
            Some(length) => Some(length?.parse::<usize>().ok()?),
        };
        let (room, rest) = text.split_at_checked(room)?;
        let (id, rest) = rest.split_at_checked(id)?;
        let (info, rest) = match info {
            None => (None, rest),
            Some(length) => {
                let (info, rest) = rest.split_at_checked(length)?;
                (Some(info), rest)
            }
        };
        // It is put into what clients are sent as it is.
        let is_sound = info.is_none_or(|info| {
            info.len() <= LONGEST_INFO
                && serde_json::from_str::<serde::de::IgnoredAny>(info).is_ok()
        });
        if !is_sound || !is_name(room) || !is_name(id) {
            return None;
        }
        let what = if comes { What::Comes(info) } else { What::Goes };
        entries.push(Entry { room, id, what });
        match rest.strip_prefix(' ') {
            Some(more) => text = more,
            None if rest.is_empty() => return Some(entries),
            None => return None,
        }
    }
}

fn next<'b>(text: &mut &'b str) -> Option<&'b str> {
    let (word, rest) = text.split_once(' ')?;
    *text = rest;
    Some(word)
}

fn node(text: &str) -> Option<Node> {
    u64::from_str_radix(text, 16).ok().map(Node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enters(room: &str, id: &str, info: Option<&str>) -> Change {
        let info = info.map(Arc::from);
        let id = id.into();
        Change::Enters(room.into(), Member { id, info })
    }

    #[test]
    fn notices_come_as_they_went() {
        let me = Node(0xab);
        for (words, word) in [
            ("alive", Word::Alive),
            ("ask", Word::Ask(None)),
            ("ask c", Word::Ask(Some(Node(12)))),
            ("begin 7", Word::Begin(7)),
            ("end 7", Word::End(7)),
            ("bye", Word::Bye),
        ] {
            let bytes = write(me, words);
            assert_eq!(read(&bytes), Some(Notice { from: me, word }), "{words}");
        }
        let changes = [
            enters("a b", "x - y", Some("{\"n\": 1}")),
            enters("ü", "+", None),
            Change::Leaves("a b".into(), "x".into()),
        ];
        let news = write_news(me, &changes);
        assert_eq!(news.len(), 1);
        let expected = [
            ("a b", "x - y", What::Comes(Some("{\"n\": 1}"))),
            ("ü", "+", What::Comes(None)),
            ("a b", "x", What::Goes),
        ];
        let expected = expected.map(|(room, id, what)| Entry { room, id, what });
        let word = Word::News(expected.into());
        assert_eq!(read(&news[0]), Some(Notice { from: me, word }));
    }

    #[test]
    fn many_changes_are_several_notices_none_of_them_too_long() {
        let info = format!("\"{}\"", "x".repeat(LONGEST_INFO - 2));
        let name = "n".repeat(128);
        let changes: Vec<Change> = (0..200)
            .map(|_| enters(&name, &name, Some(&info)))
            .collect();
        let news = write_news(Node(u64::MAX), &changes);
        assert!(news.len() > 5);
        let read = news.iter().map(|bytes| match read(bytes).unwrap().word {
            Word::News(entries) => entries.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(read.sum::<usize>(), 200);
        assert!(write_news(Node(1), &[]).is_empty());
    }

    #[test]
    fn what_could_harm_clients_is_no_notice() {
        let long = format!("1 news + 1 1 1100 ax\"{}\"", "x".repeat(1098));
        let large = format!("1 alive{}", " ".repeat(LONGEST));
        for text in [
            "",
            "1",
            "x alive",
            "1 alive x",
            "1 begin",
            "1 begin -1",
            "1 ask x",
            "1 news",
            "1 news ",
            "1 news + 1 1 - a",
            "1 news + 1 1 - axy",
            "1 news + 1 9 - ax",
            "1 news + 99999999999999999999 1 - ax",
            "1 news + 1 1 2 ax{]",
            "1 news + 1 1 4 ax1,\"b",
            "1 news + 0 1 - x",
            "1 news + 1 1 - a\n",
            "1 news + 1 1 - ü",
            "1 news * 1 1 ax",
            "1 news - 1 1 ax + ",
            &long,
            &large,
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(read(b"1 news - 1 1 a\xff"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_entries_do_harm(text in "1 news( [+-] [0-9]{1,2} [0-9]{1,2} ([0-9] |- )?[a-zü]{0,6}){1,3}") {
            let _ = read(text.as_bytes());
        }
    }
}
