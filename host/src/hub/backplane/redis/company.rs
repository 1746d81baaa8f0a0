//! This gateway among the others of its hub: what it tells them of who is in the rooms here, and what it makes of what
//! they tell.
//!
//! Changes are told as they happen. Everything is told, a piece at a time, when the connection is new, when another gateway
//! asks, and when there were too many changes; what changes meanwhile is told after it and comes out right, for a
//! client that is in is put in where it is missing, and one that has left is taken out where it is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::attendance::Node;
use super::notice;
use super::peers::{Peers, Wish};
use super::presence::{Change, Next, Presence};
use super::resp;

/// Changes that are told at once.
const CHANGES: usize = 500;

/// See the module's documentation. All that is to be sent are commands.
#[derive(Debug)]
pub(super) struct Company {
    me: Node,
    channel: String,
    presence: Arc<Presence>,
    peers: Peers,
    /// How often everything has been told.
    told: u64,
    /// The next piece of everything.
    piece: Option<usize>,
    /// Everything is to be told, again.
    is_asked: bool,
    /// The last heartbeat has not come back yet.
    is_beating: bool,
}

/// What is to be told.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) commands: Vec<Vec<u8>>,
    /// Rooms that somebody has left.
    pub(super) left: BTreeSet<Arc<str>>,
}

impl Said {
    fn of(commands: Vec<Vec<u8>>) -> Self {
        let left = BTreeSet::new();
        Self { commands, left }
    }
}

impl Company {
    pub(super) fn new(hub: &Arc<str>, me: Node, channel: &str, presence: &Arc<Presence>) -> Self {
        Self {
            me,
            channel: channel.to_owned(),
            presence: Arc::clone(presence),
            peers: Peers::new(hub, me),
            told: 0,
            piece: None,
            is_asked: false,
            is_beating: false,
        }
    }

    /// The connection is there.
    pub(super) fn arrive(&mut self) -> Vec<u8> {
        self.peers.listen_anew();
        self.presence.forget_unsaid();
        self.piece = None;
        self.is_asked = true;
        self.is_beating = false;
        self.publish("ask")
    }

    /// A heartbeat. There is none while the last one is on its way: however long Redis is silent, it is one that comes back.
    pub(super) fn beat(&mut self) -> Option<Vec<u8>> {
        (!std::mem::replace(&mut self.is_beating, true)).then(|| self.publish("alive"))
    }

    /// The heartbeat will not come back.
    pub(super) fn skip_beat(&mut self) {
        self.is_beating = false;
    }

    /// Something has been said; what is answered.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Some(notice) = notice::read(bytes) else {
            self.peers.drop_notice();
            return None;
        };
        match self.peers.take(&notice, &self.presence) {
            Wish::Nothing => None,
            Wish::Tell => {
                self.is_asked = true;
                None
            }
            Wish::Ask(node) => Some(self.publish(&format!("ask {:x}", node.0))),
            Wish::Beaten => {
                self.is_beating = false;
                None
            }
        }
    }

    /// What is to be told next; `None`: there is nothing.
    pub(super) fn next(&mut self) -> Option<Said> {
        if let Some(piece) = self.piece {
            let Some(members) = self.presence.piece(piece) else {
                self.piece = None;
                return Some(Said::of(vec![self.publish(&format!("end {}", self.told))]));
            };
            self.piece = Some(piece + 1);
            let members: Vec<Change> = members
                .into_iter()
                .map(|(room, member)| Change::Enters(room, member))
                .collect();
            return Some(Said::of(self.news(&members)));
        }
        if std::mem::take(&mut self.is_asked) {
            self.piece = Some(0);
            self.told += 1;
            let begin = self.publish(&format!("begin {}", self.told));
            return Some(Said::of(vec![begin]));
        }
        match self.presence.next(CHANGES)? {
            Next::Whole => {
                self.is_asked = true;
                Some(Said::of(Vec::new()))
            }
            Next::Changes(changes) => {
                let commands = self.news(&changes);
                let left = changes.into_iter().filter_map(|change| match change {
                    Change::Leaves(room, _) => Some(room),
                    Change::Enters(..) => None,
                });
                let left = left.collect();
                Some(Said { commands, left })
            }
        }
    }

    /// How many others there are.
    pub(super) fn others(&self) -> usize {
        self.peers.len()
    }

    /// The gateway stops.
    pub(super) fn bye(&self) -> Vec<u8> {
        self.publish("bye")
    }

    fn news(&self, changes: &[Change]) -> Vec<Vec<u8>> {
        let news = notice::write_news(self.me, changes);
        let channel = self.channel.as_bytes();
        let commands = news
            .iter()
            .map(|news| resp::command(&[b"PUBLISH", channel, news]));
        commands.collect()
    }

    fn publish(&self, words: &str) -> Vec<u8> {
        let notice = notice::write(self.me, words);
        resp::command(&[b"PUBLISH", self.channel.as_bytes(), &notice])
    }
}
