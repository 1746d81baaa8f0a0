//! The rooms that somebody here is in: what comes for them, in order and without gaps, or with gaps that are told.

use std::sync::Arc;

use super::super::envelope::{self, Direct};
use super::super::request::{Answer, Look, Since};
use super::super::resp::Value;
use super::super::{MISSED, resp};
use super::{Link, TOUCHED};
use crate::config::HubMode;
use crate::hub::backplane::{Position, Refused};
use crate::hub::delivery::{Audience, Delivery};
use crate::hub::protocol::event;

/// Where a room's stream is, as far as it has been delivered here.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) position: Position,
    /// The stream has been asked for: what comes before the answer is in it.
    pub(super) is_resuming: bool,
    /// Something has been left out, because a worker did not keep up.
    pub(super) is_behind: bool,
}

impl Link {
    /// Asks for all that has not been delivered.
    pub(super) fn resume(&mut self, room: &Arc<str>) {
        let Some(known) = self.rooms.get_mut(room) else {
            return;
        };
        known.is_resuming = true;
        let since = Since::All(known.position, MISSED);
        let command = self.shared.look_command(room, since, true);
        self.ask(&command, Answer::Resumed(Arc::clone(room)));
    }

    pub(super) fn resumed(&mut self, room: &Arc<str>, look: Result<Look, Refused>) {
        let Some(known) = self.rooms.get_mut(room) else {
            return;
        };
        known.is_resuming = false;
        known.is_behind = look.is_err() || !self.directory.has_room(room);
        let Ok(look) = look else {
            return;
        };
        if known.is_behind {
            return;
        }
        if look.is_complete {
            for (offset, frame) in look.messages {
                self.directory
                    .to_room(room, Audience::All, Some(offset), &frame);
            }
        } else {
            let has_words = self.shared.mode == HubMode::Rooms;
            let frame = has_words.then(|| event::gap(room, look.position));
            self.directory
                .gap(room, look.position.offset, frame.as_ref());
        }
        known.position = look.position;
    }

    /// A message has been published, here or at another gateway.
    pub(super) fn message(&mut self, mut bytes: &[u8]) {
        if let Some(frame) = envelope::read_broadcast(bytes) {
            self.directory.to_workers(&Delivery::Everyone(frame));
            return;
        }
        if let Some(direct) = envelope::read_direct(bytes) {
            self.direct(&direct);
            return;
        }
        let mut number = || envelope::word(&mut bytes)?.parse::<u64>().ok();
        let (Some(offset), Some(epoch)) = (number(), number()) else {
            return;
        };
        let Some(message) = envelope::read(self.shared.node, bytes) else {
            return;
        };
        // Who comes in will be told where the stream is then.
        let Some((room, _)) = self.rooms.get_key_value(message.room) else {
            return;
        };
        let room = Arc::clone(room);
        let Some(known) = self.rooms.get_mut(&room) else {
            return;
        };
        let is_known = epoch == known.position.epoch && offset <= known.position.offset;
        if known.is_resuming || is_known {
            return;
        }
        if !self.directory.has_room(&room) {
            known.is_behind = true;
            return;
        }
        let next = known.position.offset.checked_add(1);
        if epoch != known.position.epoch || next != Some(offset) {
            self.resume(&room);
            return;
        }
        known.position.offset = offset;
        let frame = message.finish(offset);
        self.directory
            .to_room(&room, message.audience, Some(offset), &frame);
    }

    /// A gateway sends to a client that may be here.
    fn direct(&mut self, direct: &Direct<'_>) {
        // This gateway has looked among its own clients before it has asked others.
        if direct.node == self.shared.node {
            return;
        }
        let directory = &self.directory;
        let is_here =
            directory.is_here(direct.to) && directory.to_client(direct.to, &direct.frame()) > 0;
        if direct.number > 0 {
            let channel = self.shared.answers_of(direct.node);
            let answer = format!("{} {}", if is_here { "yes" } else { "no" }, direct.number);
            let command = resp::command(&[b"PUBLISH", channel.as_bytes(), answer.as_bytes()]);
            self.ask(&command, Answer::Nothing);
        }
    }

    /// Somebody here has left a room: if nobody here is in it any more, it is to be known.
    pub(super) fn vacate(&mut self, room: &str) {
        if !self.directory.is_occupied(room) {
            self.rooms.remove(room);
            let command = self.shared.vacate_command(room);
            self.ask(&command, Answer::Nothing);
        }
    }

    pub(super) fn look_after_rooms(&mut self, touches: bool) {
        let behind = self
            .rooms
            .iter()
            .filter(|(_, known)| known.is_behind && !known.is_resuming);
        let behind: Vec<Arc<str>> = behind.map(|(room, _)| Arc::clone(room)).collect();
        for room in behind {
            if self.directory.has_room(&room) {
                self.resume(&room);
            }
        }
        if !touches {
            return;
        }
        let directory = Arc::clone(&self.directory);
        self.rooms.retain(|room, _| directory.is_occupied(room));
        let rooms: Vec<Arc<str>> = self.rooms.keys().map(Arc::clone).collect();
        for some in rooms.chunks(TOUCHED) {
            let command = self.shared.touch_command(some);
            self.ask(&command, Answer::Nothing);
        }
    }

    pub(super) fn look(&self, value: &Value<'_>) -> Result<Look, Refused> {
        let position = position(value)?;
        let Some([_, _, complete, messages]) = value.items() else {
            return Err(Refused::Busy);
        };
        let messages = messages.items().unwrap_or_default();
        let messages = messages
            .as_chunks::<2>()
            .0
            .iter()
            .filter_map(|[offset, message]| {
                let offset = offset.number()?;
                let message = envelope::read(self.shared.node, message.bytes()?)?;
                Some((offset, message.finish(offset)))
            });
        Ok(Look {
            position,
            is_complete: complete.number() == Some(1),
            messages: messages.collect(),
        })
    }
}

/// What every answer of a script begins with; 0 in place of it: there are too many rooms.
pub(super) fn position(value: &Value<'_>) -> Result<Position, Refused> {
    match value.items() {
        Some([offset, epoch, ..]) => match (offset.number(), epoch.number()) {
            (Some(offset), Some(epoch)) => Ok(Position { offset, epoch }),
            _ => Err(Refused::Busy),
        },
        _ if *value == Value::Integer(0) => Err(Refused::TooManyRooms),
        _ => Err(Refused::Busy),
    }
}
