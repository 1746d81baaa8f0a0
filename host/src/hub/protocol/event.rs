//! What the hub says. Each function writes one message; `data`, `info` and `id` are JSON texts that are put in as they are.

use std::io::Write as _;
use std::sync::Arc;

use super::super::backplane::{Member, Page, Position};
use super::problem::Problem;
use crate::websocket::frame::{Draft, Frame, Kind};

/// A JSON object in the making.
struct Object(Draft);

impl Object {
    fn new(kind: &str, capacity: usize) -> Self {
        let mut draft = Draft::with_capacity(48 + capacity);
        let _ = write!(draft.payload(), "{{\"type\":\"{kind}\"");
        Self(draft)
    }

    /// A member whose value is JSON.
    fn raw(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        // Writing to memory does not fail.
        let _ = write!(self.0.payload(), ",\"{name}\":{value}");
        self
    }

    fn raw_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.raw(name, value),
            None => self,
        }
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.0.payload(), ",\"{name}\":");
        string(self.0.payload(), value);
        self
    }

    fn list<T>(
        mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        write_one: impl Fn(&mut Vec<u8>, T),
    ) -> Self {
        let payload = self.0.payload();
        let _ = write!(payload, ",\"{name}\":[");
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                payload.push(b',');
            }
            write_one(payload, item);
        }
        payload.push(b']');
        self
    }

    fn position(self, position: Position) -> Self {
        self.raw("offset", position.offset)
            .raw("epoch", format_args!("\"{:016x}\"", position.epoch))
    }

    fn finish(mut self) -> Frame {
        self.0.payload().push(b'}');
        self.0.finish(Kind::Text)
    }
}

fn string(payload: &mut Vec<u8>, value: &str) {
    let _ = serde_json::to_writer(payload, value);
}

fn member(payload: &mut Vec<u8>, member: &Member) {
    payload.extend_from_slice(b"{\"id\":");
    string(payload, &member.id);
    if let Some(info) = &member.info {
        let _ = write!(payload, ",\"info\":{info}");
    }
    payload.push(b'}');
}

/// The first message: who the client is.
pub fn welcome(client: &str) -> Frame {
    Object::new("welcome", client.len())
        .text("client", client)
        .text("protocol", super::NAME)
        .finish()
}

/// The client is in a room, by its own wish or a plugin's. `missed`: how many messages follow that the client has missed, where it asked and they are
/// there.
pub fn joined(
    id: Option<&str>,
    room: &str,
    position: Position,
    asked: bool,
    missed: Option<usize>,
) -> Frame {
    let object = Object::new("joined", room.len() + 128)
        .raw_if("id", id)
        .text("room", room)
        .position(position);
    let object = if asked {
        object
            .raw("recovered", missed.is_some())
            .raw("missed", missed.unwrap_or(0))
    } else {
        object
    };
    object.finish()
}

/// The client is not in a room any more, by its own wish or a plugin's.
pub fn left(id: Option<&str>, room: &str) -> Frame {
    Object::new("left", room.len() + 64)
        .raw_if("id", id)
        .text("room", room)
        .finish()
}

/// A message to a room; its offset comes last, when it is known.
pub fn message(room: &str, from: Option<&str>, data: &str) -> Draft {
    let object = Object::new("message", room.len() + data.len() + 96).text("room", room);
    let object = match from {
        Some(from) => object.text("from", from),
        None => object,
    };
    object.raw("data", data).0
}

/// The answer to a publish.
pub fn published(id: &str, room: &str, position: Position) -> Frame {
    Object::new("published", room.len() + 96)
        .raw("id", id)
        .text("room", room)
        .position(position)
        .finish()
}

/// A message to one client.
pub fn direct(from: Option<&str>, data: &str) -> Frame {
    let object = Object::new("direct", data.len() + 64);
    let object = match from {
        Some(from) => object.text("from", from),
        None => object,
    };
    object.raw("data", data).finish()
}

/// The answer to a direct message.
pub fn delivered(id: &str) -> Frame {
    Object::new("delivered", 64).raw("id", id).finish()
}

/// A message to all clients.
pub fn broadcast(data: &str) -> Frame {
    Object::new("broadcast", data.len())
        .raw("data", data)
        .finish()
}

/// The answer to a question for the members.
pub fn members(id: Option<&str>, room: &str, list: &[Member], count: usize) -> Frame {
    Object::new("members", room.len() + 64 * list.len() + 64)
        .raw_if("id", id)
        .text("room", room)
        .raw("count", count)
        .list("members", list, member)
        .finish()
}

/// Who has come and gone.
pub fn presence(room: &str, joined: &[Member], left: &[Arc<str>]) -> Frame {
    Object::new("presence", room.len() + 64 * (joined.len() + left.len()))
        .text("room", room)
        .list("joined", joined, member)
        .list("left", left, |payload, id| string(payload, id))
        .finish()
}

/// Messages of a room are lost.
pub fn gap(room: &str, position: Position) -> Frame {
    Object::new("gap", room.len() + 96)
        .text("room", room)
        .position(position)
        .finish()
}

/// The answer to a question for the history.
pub fn history(id: Option<&str>, room: &str, page: &Page) -> Frame {
    let bytes: usize = page.messages.iter().map(|message| message.len() + 1).sum();
    Object::new("history", room.len() + bytes + 128)
        .raw_if("id", id)
        .text("room", room)
        .position(page.position)
        .raw("complete", page.is_complete)
        .list("messages", &page.messages, |payload, message| {
            payload.extend_from_slice(message);
        })
        .finish()
}

/// The answer to a ping.
pub fn pong(id: Option<&str>) -> Frame {
    Object::new("pong", 64).raw_if("id", id).finish()
}

/// Something is wrong with a command.
pub fn error(id: Option<&str>, problem: Problem) -> Frame {
    Object::new("error", 192)
        .raw_if("id", id)
        .text("code", problem.code())
        .text("message", &problem.to_string())
        .finish()
}
