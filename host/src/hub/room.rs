//! The clients of one worker that are in a room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::client::Client;
use super::codes;
use super::delivery::Audience;
use crate::config::SlowClients;
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
    Held(Held),
    /// Those after this one.
    After(u64),
}

/// Messages for a member whose entry is not through. They wait as others do: `limits.queue` bounds them, and `slow_clients` says
/// what happens beyond.
#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<(u64, Frame)>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, client: &Client, offset: u64, frame: &Frame) {
        if client.is_ending() {
            return;
        }
        while !self.messages.is_empty() && self.bytes + frame.len() > client.queue {
            match client.policy {
                SlowClients::Disconnect => {
                    *self = Self::default();
                    return client.end(codes::SLOW);
                }
                SlowClients::DropOldest => {
                    let oldest = self.messages.pop_front();
                    self.bytes -= oldest.map_or(0, |(_, frame)| frame.len());
                }
            }
        }
        self.bytes += frame.len();
        self.messages.push_back((offset, frame.clone()));
    }
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
            floor: Floor::Held(Held::default()),
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
            for (_, frame) in held.messages.iter().filter(|(at, _)| *at > offset) {
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
                (Floor::Held(held), Some(offset)) => held.push(&member.client, offset, frame),
                // Who is not in yet will be told who is there.
                (Floor::Held(_), None) => {}
                (Floor::After(_), _) => member.client.send(frame),
            }
        }
    }

    /// Messages are lost, or the stream is another one: who is in is told, and gets what comes after this place.
    pub(super) fn skip_to(&self, offset: u64, frame: Option<&Frame>) {
        for member in &mut *self.members.borrow_mut() {
            match &mut member.floor {
                // Where it comes in will be told by its answer.
                Floor::Held(held) => *held = Held::default(),
                Floor::After(floor) => {
                    *floor = offset;
                    if let Some(frame) = frame {
                        member.client.send(frame);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::client::Birth;
    use super::super::delivery::Serial;
    use super::*;

    fn client(serial: u64) -> Rc<Client> {
        client_with(serial, SlowClients::Disconnect)
    }

    fn client_with(serial: u64, policy: SlowClients) -> Rc<Client> {
        Rc::new(Client::new(Birth {
            serial: Serial(serial),
            id: "x".into(),
            address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            deflate: None,
            queue: 1000,
            policy,
            state: Bytes::new(),
        }))
    }

    /// Bytes that wait for a client, which are three for each message here.
    fn messages(client: &Client) -> usize {
        client.outbox.borrow().bytes() / 3
    }

    #[test]
    fn a_member_gets_what_comes_after_its_entry_and_nothing_twice() {
        let room = Rc::new(Room::new("a".into()));
        let client = client(1);
        let frame = Frame::text("m");
        room.enter(&client, false);
        // 4 and 5 were on their way when the stream was at 5; 6 came before the answer had been given.
        for offset in [4, 5, 6] {
            room.deliver(Audience::All, Some(offset), &frame);
        }
        assert_eq!(messages(&client), 0);
        room.settle(&client, 5);
        assert_eq!(messages(&client), 1);
        room.deliver(Audience::All, Some(5), &frame);
        assert_eq!(messages(&client), 1);
        room.deliver(Audience::All, Some(7), &frame);
        assert_eq!(messages(&client), 2);
    }

    #[test]
    fn what_waits_for_an_entry_is_bounded_as_what_waits_for_a_client_is() {
        let frame = Frame::text(&"x".repeat(398));
        for (policy, is_ended) in [
            (SlowClients::DropOldest, false),
            (SlowClients::Disconnect, true),
        ] {
            let room = Rc::new(Room::new("a".into()));
            let client = client_with(1, policy);
            room.enter(&client, false);
            for offset in 1..=2 {
                room.deliver(Audience::All, Some(offset), &frame);
            }
            assert!(client.take_fate().is_none());
            for offset in 3..=100 {
                room.deliver(Audience::All, Some(offset), &frame);
            }
            let Floor::Held(held) = &room.members.borrow()[0].floor else {
                panic!("it is in");
            };
            assert!(held.bytes <= client.queue, "{}", held.bytes);
            let last = held.messages.back().map(|(offset, _)| *offset);
            assert_eq!(last, (!is_ended).then_some(100));
            assert_eq!(client.take_fate(), is_ended.then_some(codes::SLOW));
        }
    }

    #[test]
    fn after_a_gap_comes_what_follows_it_even_with_smaller_numbers() {
        let room = Rc::new(Room::new("a".into()));
        let (client, late) = (client(1), client(2));
        let frame = Frame::text("m");
        room.enter(&client, false);
        room.settle(&client, 9);
        room.enter(&late, false);
        room.deliver(Audience::All, Some(9), &frame);
        room.skip_to(2, Some(&frame));
        assert_eq!(messages(&client), 1);
        for offset in [2, 3] {
            room.deliver(Audience::All, Some(offset), &frame);
        }
        assert_eq!(messages(&client), 2);
        // What was held for who comes in was of the stream before.
        room.settle(&late, 2);
        assert_eq!(messages(&late), 1);
    }

    #[test]
    fn audiences() {
        let room = Rc::new(Room::new("a".into()));
        let clients = [client(1), client(2)];
        for (number, client) in clients.iter().enumerate() {
            room.enter(client, number == 1);
            room.settle(client, 0);
        }
        let frame = Frame::text("m");
        room.deliver(Audience::Except(Serial(2)), Some(1), &frame);
        assert_eq!(
            [0, 1].map(|number: usize| messages(&clients[number])),
            [1, 0]
        );
        room.deliver(Audience::Watchers, None, &frame);
        assert_eq!(
            [0, 1].map(|number: usize| messages(&clients[number])),
            [1, 1]
        );
    }

    #[test]
    fn members_can_leave_in_any_order() {
        let (room, other) = (
            Rc::new(Room::new("a".into())),
            Rc::new(Room::new("b".into())),
        );
        let clients: Vec<Rc<Client>> = (0..6).map(client).collect();
        for client in &clients {
            other.enter(client, false);
        }
        for client in &clients {
            room.enter(client, false);
        }
        for (left, number) in [0, 5, 2, 1, 3, 4].into_iter().enumerate() {
            assert_eq!(room.leave(&clients[number]), Some(false));
            assert_eq!(room.leave(&clients[number]), None);
            assert_eq!(room.len(), 5 - left);
            assert!(clients[number].room("b").is_some());
        }
        assert!(room.is_empty());
        assert_eq!(other.len(), 6);
    }
}
