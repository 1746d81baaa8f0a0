//! Who is in a room, at this gateway and at others, and what of it has not been told to those who watch.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::delivery::Audience;
use super::super::directory::Directory;
use super::super::protocol::event;
use super::{MEMBERS, Member};

/// Another gateway of the same hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Node(pub(super) u64);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    members: HashMap<Arc<str>, Present>,
    /// Connections of this gateway that are told who comes and goes.
    watchers: usize,
    changes: Changes,
}

#[derive(Debug)]
struct Present {
    info: Option<Arc<str>>,
    /// Connections at this gateway.
    here: usize,
    elsewhere: Vec<Node>,
}

/// What has not been told to watchers. It is told in one message for however many there are: when a thousand clients
/// leave at once, those who stay get a few messages and not a thousand.
#[derive(Debug, Default)]
struct Changes {
    joined: Vec<Member>,
    left: Vec<Arc<str>>,
    is_announced: bool,
}

impl Changes {
    fn join(&mut self, member: Member) {
        match self.left.iter().position(|id| *id == member.id) {
            Some(place) => {
                self.left.swap_remove(place);
            }
            None => self.joined.push(member),
        }
    }

    fn leave(&mut self, id: &Arc<str>) {
        match self.joined.iter().position(|member| member.id == *id) {
            Some(place) => {
                self.joined.swap_remove(place);
            }
            None => self.left.push(Arc::clone(id)),
        }
    }
}

impl Attendance {
    /// A connection of this gateway comes in; whether it is the client's first here.
    pub(super) fn enter(&mut self, member: Member, watches: bool) -> bool {
        let is_first = self.add(member, |present| {
            present.here += 1;
            present.here == 1
        });
        self.watchers += usize::from(watches);
        is_first
    }

    /// A connection of this gateway has left; whether it was the client's last here.
    pub(super) fn leave(&mut self, id: &Arc<str>, watched: bool) -> bool {
        let Some(present) = self.members.get_mut(id).filter(|present| present.here > 0) else {
            return false;
        };
        present.here -= 1;
        let is_last = present.here == 0;
        self.watchers -= usize::from(watched).min(self.watchers);
        self.remove_if_gone(id);
        is_last
    }

    /// A client is in at another gateway.
    pub(super) fn appear(&mut self, node: Node, member: Member) {
        self.add(member, |present| {
            if !present.elsewhere.contains(&node) {
                present.elsewhere.push(node);
            }
        });
    }

    /// And is not any more.
    pub(super) fn vanish(&mut self, node: Node, id: &Arc<str>) {
        if let Some(present) = self.members.get_mut(id) {
            present.elsewhere.retain(|other| *other != node);
            self.remove_if_gone(id);
        }
    }

    fn add<T>(&mut self, member: Member, place: impl FnOnce(&mut Present) -> T) -> T {
        if let Some(present) = self.members.get_mut(&member.id) {
            return place(present);
        }
        let mut present = Present {
            info: member.info.clone(),
            here: 0,
            elsewhere: Vec::new(),
        };
        let placed = place(&mut present);
        self.members.insert(Arc::clone(&member.id), present);
        if self.watchers > 0 {
            self.changes.join(member);
        }
        placed
    }

    fn remove_if_gone(&mut self, id: &Arc<str>) {
        let is_gone = self
            .members
            .get(id)
            .is_some_and(|present| present.here == 0 && present.elsewhere.is_empty());
        if is_gone {
            self.members.remove(id);
            if self.watchers > 0 {
                self.changes.leave(id);
            }
        }
    }

    /// Whether nobody is in.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Some of those who are in, and how many there are.
    pub(super) fn list(&self) -> (Vec<Member>, usize) {
        let members = self.members.iter().take(MEMBERS);
        let members = members.map(|(id, present)| present.member(id));
        (members.collect(), self.members.len())
    }

    /// Those who are in at this gateway.
    pub(super) fn here(&self) -> impl Iterator<Item = Member> {
        let here = self.members.iter().filter(|(_, present)| present.here > 0);
        here.map(|(id, present)| present.member(id))
    }

    /// Has the watchers told, once for all changes up to then.
    pub(super) fn changed(&mut self, room: &Arc<str>, directory: &Directory) {
        let changes = &mut self.changes;
        if changes.is_announced || changes.joined.is_empty() && changes.left.is_empty() {
            return;
        }
        changes.is_announced = directory.announce(room);
        if !changes.is_announced {
            *changes = Changes::default();
        }
    }

    /// Tells the watchers.
    pub(super) fn announce(&mut self, room: &Arc<str>, directory: &Directory) {
        let changes = std::mem::take(&mut self.changes);
        if !changes.joined.is_empty() || !changes.left.is_empty() {
            let frame = event::presence(room, &changes.joined, &changes.left);
            directory.to_room(room, Audience::Watchers, None, &frame);
        }
    }
}

impl Present {
    fn member(&self, id: &Arc<str>) -> Member {
        Member {
            id: Arc::clone(id),
            info: self.info.clone(),
        }
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

    fn told(attendance: &mut Attendance) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let changes = std::mem::take(&mut attendance.changes);
        let joined = changes.joined.into_iter().map(|member| member.id);
        (joined.collect(), changes.left)
    }

    #[test]
    fn a_client_is_in_as_long_as_it_is_in_somewhere() {
        let (one, two) = (Node(1), Node(2));
        let mut room = Attendance::default();
        assert!(room.enter(member("w"), true));
        let id: Arc<str> = "a".into();
        room.appear(one, member("a"));
        room.appear(one, member("a"));
        room.appear(two, member("a"));
        assert!(room.enter(member("a"), false));
        assert!(!room.enter(member("a"), false));
        assert_eq!(told(&mut room), (vec![id.clone()], vec![]));
        room.vanish(one, &id);
        assert!(!room.leave(&id, false));
        assert!(room.leave(&id, false));
        assert!(!room.leave(&id, false));
        assert_eq!(told(&mut room), (vec![], vec![]));
        room.vanish(one, &id);
        assert_eq!(room.list().1, 2);
        room.vanish(two, &id);
        assert_eq!(told(&mut room), (vec![], vec![id]));
        assert_eq!(room.here().count(), 1);
    }
}
