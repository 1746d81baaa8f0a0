//! The other gateways of the hub, as far as they have been heard of, and who is in the rooms there.
//!
//! A gateway is given up when it has said nothing between [`LEASE`] heartbeats of one's own that have come back through
//! Redis. So it is not time that counts: while nothing comes, for Redis or the way to it is slow or lost, nobody is given up.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::super::attendance::Node;
use super::notice::{Entry, Notice, What, Word};
use super::presence::Presence;
use crate::observe::throttle::Throttle;

/// One's own heartbeats, of about a second, in which a gateway has to say something.
const LEASE: u32 = 4;
/// Other gateways that are listened to.
const NODES: usize = 256;
/// Members of rooms that one of them may have; more are not shown here.
const MEMBERS: usize = 200_000;
/// Lines about what is not taken, at once and a second.
static LINES: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(5, 1));

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Peers {
    hub: Arc<str>,
    me: Node,
    nodes: HashMap<Node, Peer>,
    /// What was not taken: notices that are none, gateways and members over the limits.
    dropped: u64,
}

#[derive(Debug, Default)]
struct Peer {
    /// One's own heartbeats since it was heard.
    missed: u32,
    /// For each room and client in it when it was named last: the snapshot in which, or after which.
    members: HashMap<Arc<str>, HashMap<Arc<str>, u64>>,
    count: usize,
    snapshots: u64,
    /// The one that is being told, by its number there.
    open: Option<u64>,
    /// Everything has been told since this gateway has been listening.
    is_whole: bool,
}

/// What is to be done about a notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// This gateway is to tell everything.
    Tell,
    /// That one is to be asked to.
    Ask(Node),
    /// One's own heartbeat has come back.
    Beaten,
}

impl Peers {
    pub(super) fn new(hub: &Arc<str>, me: Node) -> Self {
        Self {
            hub: Arc::clone(hub),
            me,
            nodes: HashMap::new(),
            dropped: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The connection is there again: what others have said meanwhile is unknown, and they will say all of it.
    pub(super) fn listen_anew(&mut self) {
        for peer in self.nodes.values_mut() {
            peer.missed = 0;
            peer.open = None;
            peer.is_whole = false;
        }
    }

    /// Something has come that is no notice.
    pub(super) fn drop_notice(&mut self) {
        self.complain("a notice that is none");
    }

    /// A gateway, which may be this one, has said something.
    pub(super) fn take(&mut self, notice: &Notice<'_>, presence: &Presence) -> Wish {
        let from = notice.from;
        if from == self.me {
            if notice.word != Word::Alive {
                return Wish::Nothing;
            }
            self.beat(presence);
            return Wish::Beaten;
        }
        if notice.word == Word::Bye {
            self.give_up(from, presence);
            return Wish::Nothing;
        }
        if !self.nodes.contains_key(&from) && self.nodes.len() >= NODES {
            self.complain("more gateways than are listened to");
            return Wish::Nothing;
        }
        let peer = self.nodes.entry(from).or_default();
        peer.missed = 0;
        match &notice.word {
            Word::Alive if !peer.is_whole && peer.open.is_none() => Wish::Ask(from),
            Word::Ask(None) => Wish::Tell,
            Word::Ask(Some(who)) if *who == self.me => Wish::Tell,
            Word::Begin(number) => {
                peer.snapshots += 1;
                peer.open = Some(*number);
                Wish::Nothing
            }
            Word::End(number) if peer.open == Some(*number) => {
                peer.open = None;
                peer.is_whole = true;
                peer.remove_unnamed(from, presence);
                Wish::Nothing
            }
            Word::News(entries) => {
                let over = peer.hear(from, entries, presence);
                if over > 0 {
                    self.complain("more members of one gateway than are shown");
                }
                Wish::Nothing
            }
            Word::Alive | Word::Ask(_) | Word::End(_) | Word::Bye => Wish::Nothing,
        }
    }

    /// One's own heartbeat has come back.
    fn beat(&mut self, presence: &Presence) {
        let mut silent = Vec::new();
        for (node, peer) in &mut self.nodes {
            peer.missed += 1;
            if peer.missed > LEASE {
                silent.push(*node);
            }
        }
        for node in silent {
            let hub = &self.hub;
            tracing::warn!(
                "hub \"{hub}\": gateway {:x} says nothing any more, its clients have left",
                node.0
            );
            self.give_up(node, presence);
        }
    }

    fn give_up(&mut self, node: Node, presence: &Presence) {
        let Some(peer) = self.nodes.remove(&node) else {
            return;
        };
        for (room, ids) in peer.members {
            for id in ids.into_keys() {
                presence.vanish(node, &room, &id);
            }
        }
    }

    fn complain(&mut self, what: &str) {
        self.dropped += 1;
        if LINES.admit().is_some() {
            let (hub, dropped) = (&self.hub, self.dropped);
            tracing::warn!(
                "hub \"{hub}\": {what} has come from Redis and was dropped, number {dropped}"
            );
        }
    }
}

impl Peer {
    /// Takes in who has come and gone; how many are too many.
    fn hear(&mut self, from: Node, entries: &[Entry<'_>], presence: &Presence) -> usize {
        let mut over = 0;
        for entry in entries {
            let What::Comes(info) = entry.what else {
                self.remove(from, entry, presence);
                continue;
            };
            let known = self.members.get_mut(entry.room);
            if let Some(named) = known.and_then(|ids| ids.get_mut(entry.id)) {
                *named = self.snapshots;
                continue;
            }
            if self.count >= MEMBERS {
                over += 1;
                continue;
            }
            let member = entry.member(info);
            let room = match self.members.get_key_value(entry.room) {
                Some((room, _)) => Arc::clone(room),
                None => Arc::from(entry.room),
            };
            self.count += 1;
            let ids = self.members.entry(Arc::clone(&room)).or_default();
            ids.insert(Arc::clone(&member.id), self.snapshots);
            presence.appear(from, &room, member);
        }
        over
    }

    fn remove(&mut self, from: Node, entry: &Entry<'_>, presence: &Presence) {
        let Some((room, ids)) = self.members.get_key_value(entry.room) else {
            return;
        };
        let Some((id, _)) = ids.get_key_value(entry.id) else {
            return;
        };
        let (room, id) = (Arc::clone(room), Arc::clone(id));
        self.count -= 1;
        if let Some(ids) = self.members.get_mut(&room) {
            ids.remove(&id);
            if ids.is_empty() {
                self.members.remove(&room);
            }
        }
        presence.vanish(from, &room, &id);
    }

    /// Who was not named since the snapshot began has gone.
    fn remove_unnamed(&mut self, from: Node, presence: &Presence) {
        let (now, count) = (self.snapshots, &mut self.count);
        self.members.retain(|room, ids| {
            ids.retain(|id, named| {
                let is_there = *named == now;
                if !is_there {
                    *count -= 1;
                    presence.vanish(from, room, id);
                }
                is_there
            });
            !ids.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice;
    use super::*;

    struct Bench {
        peers: Peers,
        presence: Presence,
    }

    const OTHER: Node = Node(2);

    fn bench() -> Bench {
        Bench {
            peers: Peers::new(&Arc::from("h"), Node(1)),
            presence: Presence::new(&Arc::default()),
        }
    }

    impl Bench {
        fn says(&mut self, who: Node, words: &str) -> Wish {
            let bytes = notice::write(who, words);
            let notice = notice::read(&bytes).unwrap();
            self.peers.take(&notice, &self.presence)
        }

        fn beats(&mut self, times: u32) {
            for _ in 0..times {
                assert_eq!(self.says(Node(1), "alive"), Wish::Beaten);
            }
        }

        fn members(&self) -> Vec<String> {
            let (members, _) = self.presence.members("a");
            let mut ids: Vec<String> = members.iter().map(|member| member.id.to_string()).collect();
            ids.sort();
            ids
        }
    }

    #[test]
    fn a_gateway_is_heard_until_it_is_silent_or_says_bye() {
        let mut bench = bench();
        assert_eq!(bench.says(OTHER, "alive"), Wish::Ask(OTHER));
        bench.says(OTHER, "begin 1");
        assert_eq!(bench.says(OTHER, "alive"), Wish::Nothing);
        bench.says(OTHER, "news + 1 1 - ax + 1 1 - ay");
        bench.says(OTHER, "end 1");
        assert_eq!(bench.says(OTHER, "alive"), Wish::Nothing);
        assert_eq!(bench.members(), ["x", "y"]);
        bench.says(OTHER, "news - 1 1 ax - 1 1 az");
        assert_eq!(bench.members(), ["y"]);
        bench.beats(LEASE);
        assert_eq!(bench.members(), ["y"]);
        bench.says(OTHER, "alive");
        bench.beats(LEASE);
        assert_eq!(bench.members(), ["y"]);
        bench.beats(1);
        assert!(bench.members().is_empty());
        assert_eq!(bench.says(OTHER, "alive"), Wish::Ask(OTHER));
        bench.says(OTHER, "news + 1 1 - ax");
        assert_eq!(bench.members(), ["x"]);
        bench.says(OTHER, "bye");
        assert!(bench.members().is_empty() && bench.peers.nodes.is_empty());
    }

    #[test]
    fn after_a_lost_connection_the_truth_is_what_is_told_anew() {
        let mut bench = bench();
        bench.says(OTHER, "begin 1");
        bench.says(OTHER, "news + 1 1 - ax + 1 1 - ay");
        bench.says(OTHER, "end 1");
        bench.beats(LEASE);
        bench.peers.listen_anew();
        bench.beats(LEASE);
        assert_eq!(bench.says(OTHER, "alive"), Wish::Ask(OTHER));
        // The end of what began before this gateway listened says nothing.
        bench.says(OTHER, "end 2");
        assert_eq!(bench.members(), ["x", "y"]);
        bench.says(OTHER, "begin 3");
        bench.says(OTHER, "news + 1 1 - ay + 1 1 - az");
        assert_eq!(bench.members(), ["x", "y", "z"]);
        bench.says(OTHER, "end 3");
        assert_eq!(bench.members(), ["y", "z"]);
        assert_eq!(bench.peers.nodes[&OTHER].count, 2);
    }

    #[test]
    fn who_asks_is_told() {
        let mut bench = bench();
        assert_eq!(bench.says(OTHER, "ask"), Wish::Tell);
        assert_eq!(bench.says(OTHER, "ask 1"), Wish::Tell);
        assert_eq!(bench.says(OTHER, "ask 3"), Wish::Nothing);
        assert_eq!(bench.says(Node(1), "ask"), Wish::Nothing);
    }

    #[test]
    fn what_others_say_is_bounded() {
        let mut bench = bench();
        for node in 0..2 * NODES as u64 {
            bench.says(Node(node + 2), "news + 1 1 - ax");
        }
        assert_eq!(bench.peers.nodes.len(), NODES);
        assert_eq!(bench.peers.dropped, NODES as u64);
        bench.peers.nodes.get_mut(&OTHER).unwrap().count = MEMBERS;
        bench.says(OTHER, "news + 1 1 - ay + 1 1 - ax");
        assert_eq!(bench.members(), ["x"]);
        assert_eq!(bench.peers.dropped, NODES as u64 + 1);
    }
}
