//! The clients of one worker that are in a room.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::client::Client;
use super::delivery::Audience;
use crate::websocket::frame::Frame;

/// See the module's documentation.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: Arc<str>,
    members: RefCell<Vec<Member>>,
}

#[derive(Debug)]
struct Member {
    client: Rc<Client>,
    /// Whether it is told who comes and goes.
    watches: bool,
    floor: Floor,
}

/// Which of the room's messages a member gets.
#[derive(Debug)]
enum Floor {
    /// Where the room's stream is as it comes in is not known yet: what comes is held.
    Held(Vec<(u64, Frame)>),
    /// Those after this one.
    After(u64),
}

impl Room {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            members: RefCell::default(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.borrow().len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.borrow().is_empty()
    }

    /// Puts a client in. It gets nothing until [`Self::settle`].
    pub(super) fn enter(self: &Rc<Self>, client: &Rc<Client>, watches: bool) {
        let mut members = self.members.borrow_mut();
        let mut rooms = client.rooms.borrow_mut();
        rooms.push((Rc::clone(self), members.len()));
        client.forget_names();
        members.push(Member {
            client: Rc::clone(client),
            watches,
            floor: Floor::Held(Vec::new()),
        });
    }

    /// The client's answer has been queued: it gets what comes after this place in the stream.
    pub(super) fn settle(&self, client: &Client, offset: u64) {
        let mut members = self.members.borrow_mut();
        let place = self.place(client);
        let Some(member) = place.and_then(|place| members.get_mut(place)) else {
            return;
        };
        let before = std::mem::replace(&mut member.floor, Floor::After(offset));
        if let Floor::Held(held) = before {
            for (_, frame) in held.iter().filter(|(at, _)| *at > offset) {
                client.send(frame);
            }
        }
    }

    /// Takes a client out; whether it watched, if it was in.
    pub(super) fn leave(&self, client: &Client) -> Option<bool> {
        let place = self.place(client)?;
        let mut members = self.members.borrow_mut();
        if place >= members.len() {
            return None;
        }
        let member = members.swap_remove(place);
        // The last one has come to its place.
        if let Some(moved) = members.get(place) {
            let mut rooms = moved.client.rooms.borrow_mut();
            let mut its = rooms.iter_mut();
            if let Some((_, at)) = its.find(|(room, _)| std::ptr::eq(&raw const **room, self)) {
                *at = place;
            }
        }
        let mut rooms = client.rooms.borrow_mut();
        rooms.retain(|(room, _)| !std::ptr::eq(&raw const **room, self));
        client.forget_names();
        Some(member.watches)
    }

    fn place(&self, client: &Client) -> Option<usize> {
        let rooms = client.rooms.borrow();
        let mut its = rooms.iter();
        its.find(|(room, _)| std::ptr::eq(&raw const **room, self))
            .map(|(_, place)| *place)
    }

    /// Queues a message for those whom it is for.
    pub(super) fn deliver(&self, audience: Audience, offset: Option<u64>, frame: &Frame) {
        for member in &mut *self.members.borrow_mut() {
            let is_meant = match audience {
                Audience::All => true,
                Audience::Except(serial) => member.client.serial != serial,
                Audience::Watchers => member.watches,
            };
            if !is_meant {
                continue;
            }
            match (&mut member.floor, offset) {
                (Floor::After(floor), Some(offset)) if offset <= *floor => {}
                (Floor::Held(held), Some(offset)) => held.push((offset, frame.clone())),
                // Who is not in yet will be told who is there.
                (Floor::Held(_), None) => {}
                (Floor::After(_), _) => member.client.send(frame),
            }
        }
    }
}
