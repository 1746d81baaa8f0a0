//! Who is in the rooms, at all gateways, and what of it the others have not been told yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::Member;
use super::super::attendance::{Attendance, Node};
use crate::hub::directory::{Directory, Sharded};

/// Changes that wait to be told. Where there are more, everything is told anew in their place.
const UNSAID: usize = 10_000;

/// See the module's documentation. Shared by the workers and the link.
#[derive(Debug)]
pub(super) struct Presence {
    directory: Arc<Directory>,
    rooms: Sharded<Attendance>,
    unsaid: Mutex<Unsaid>,
    /// There is something to be told.
    pub(super) wake: Notify,
}

/// Somebody has come into a room here, or has left it.
#[derive(Debug)]
pub(super) enum Change {
    Enters(Arc<str>, Member),
    Leaves(Arc<str>, Arc<str>),
}

/// In the order in which it has happened.
#[derive(Debug, Default)]
struct Unsaid {
    changes: VecDeque<Change>,
    /// There were too many.
    is_over: bool,
}

/// What is to be told next.
#[derive(Debug)]
pub(super) enum Next {
    Changes(Vec<Change>),
    /// Everything.
    Whole,
}

impl Presence {
    pub(super) fn new(directory: &Arc<Directory>) -> Self {
        Self {
            directory: Arc::clone(directory),
            rooms: Sharded::default(),
            unsaid: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn enter(&self, room: &Arc<str>, member: Member, watches: bool) {
        let mut shard = self.rooms.of(room);
        let attendance = shard.entry(Arc::clone(room)).or_default();
        if attendance.enter(member.clone(), watches) {
            // Under the room's lock: so what is told is in the order in which it has happened.
            self.say(Change::Enters(Arc::clone(room), member));
        }
        attendance.changed(room, &self.directory);
    }

    pub(super) fn leave(&self, room: &Arc<str>, id: &Arc<str>, watched: bool) {
        let mut shard = self.rooms.of(room);
        let Some(attendance) = shard.get_mut(room) else {
            return;
        };
        if attendance.leave(id, watched) {
            self.say(Change::Leaves(Arc::clone(room), Arc::clone(id)));
        }
        attendance.changed(room, &self.directory);
        if attendance.is_empty() {
            shard.remove(room);
        }
    }

    /// Another gateway has somebody in a room.
    pub(super) fn appear(&self, node: Node, room: &Arc<str>, member: Member) {
        let mut shard = self.rooms.of(room);
        let attendance = shard.entry(Arc::clone(room)).or_default();
        attendance.appear(node, member);
        attendance.changed(room, &self.directory);
    }

    /// And has not any more.
    pub(super) fn vanish(&self, node: Node, room: &Arc<str>, id: &Arc<str>) {
        let mut shard = self.rooms.of(room);
        let Some(attendance) = shard.get_mut(room) else {
            return;
        };
        attendance.vanish(node, id);
        attendance.changed(room, &self.directory);
        if attendance.is_empty() {
            shard.remove(room);
        }
    }

    pub(super) fn members(&self, room: &str) -> (Vec<Member>, usize) {
        let shard = self.rooms.of(room);
        shard
            .get(room)
            .map_or_else(Default::default, Attendance::list)
    }

    pub(super) fn announce(&self, room: &Arc<str>) {
        if let Some(attendance) = self.rooms.of(room).get_mut(room) {
            attendance.announce(room, &self.directory);
        }
    }

    /// Those who are in rooms here, a piece of the map at a time; `None`: there is no such piece.
    pub(super) fn piece(&self, number: usize) -> Option<Vec<(Arc<str>, Member)>> {
        let shard = self.rooms.all().nth(number)?;
        let here = shard.iter().flat_map(|(room, attendance)| {
            let here = attendance.here();
            here.map(|member| (Arc::clone(room), member))
        });
        Some(here.collect())
    }

    /// What is to be told next, so many changes at most.
    pub(super) fn next(&self, most: usize) -> Option<Next> {
        let mut unsaid = self.unsaid();
        if std::mem::take(&mut unsaid.is_over) {
            return Some(Next::Whole);
        }
        let count = unsaid.changes.len().min(most);
        let changes: Vec<Change> = unsaid.changes.drain(..count).collect();
        (!changes.is_empty()).then_some(Next::Changes(changes))
    }

    /// Everything will be told anew.
    pub(super) fn forget_unsaid(&self) {
        *self.unsaid() = Unsaid::default();
    }

    fn say(&self, change: Change) {
        let mut unsaid = self.unsaid();
        if unsaid.is_over {
            return;
        }
        if unsaid.changes.len() == UNSAID {
            unsaid.changes.clear();
            unsaid.is_over = true;
        } else {
            unsaid.changes.push_back(change);
        }
        drop(unsaid);
        self.wake.notify_one();
    }

    fn unsaid(&self) -> MutexGuard<'_, Unsaid> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Member {
        Member {
            id: id.into(),
            info: None,
        }
    }

    #[test]
    fn what_is_too_much_to_be_told_one_by_one_is_told_anew() {
        let presence = Presence::new(&Arc::default());
        let (room, id) = (Arc::from("a"), Arc::from("x"));
        for _ in 0..UNSAID {
            presence.enter(&room, member("x"), false);
            presence.leave(&room, &id, false);
        }
        presence.enter(&room, member("x"), false);
        assert!(matches!(presence.next(10), Some(Next::Whole)));
        assert!(presence.next(10).is_none());
        let mut told = 0;
        for number in 0.. {
            let Some(piece) = presence.piece(number) else {
                break;
            };
            told += piece.len();
        }
        assert_eq!(told, 1);
        presence.enter(&room, member("x"), false);
        assert!(
            presence.next(10).is_none(),
            "a second connection is no change"
        );
        presence.leave(&room, &id, false);
        presence.leave(&room, &id, false);
        let next = presence.next(10);
        assert!(matches!(&next, Some(Next::Changes(changes)) if changes.len() == 1));
        assert!(presence.rooms.of("a").is_empty());
    }
}
