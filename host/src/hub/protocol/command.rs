//! What clients say.

use std::borrow::Cow;

use serde::Deserialize;

use super::super::backplane::Position;
use super::super::name::is_name;
use super::fields;
use super::problem::Problem;

/// Bytes of the identifier that a client gives to a command.
const LONGEST_ID: usize = 64;
/// Bytes of what a client says of itself to a room.
pub const LONGEST_INFO: usize = 1024;
/// Messages of a history that are asked for without a number.
const HISTORY: usize = 50;

/// A command, and what the client calls it: the text of a JSON string or number, that stands in the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'m> {
    /// Without one there is no acknowledgement, only errors.
    pub id: Option<&'m str>,
    /// The command.
    pub command: Result<Command<'m>, Problem>,
}

/// What a client can want.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'m> {
    /// To be in a room.
    Join {
        /// The room.
        room: Cow<'m, str>,
        /// Where it was in the room's stream.
        since: Option<Position>,
        /// What others are told of it: JSON.
        info: Option<&'m str>,
        /// Whether it is told who comes and goes.
        watches: bool,
    },
    /// Not to be in a room any more.
    Leave {
        /// The room.
        room: Cow<'m, str>,
    },
    /// To tell everyone in a room.
    Publish {
        /// The room.
        room: Cow<'m, str>,
        /// What: JSON.
        data: &'m str,
    },
    /// To tell one client.
    Direct {
        /// The client.
        to: Cow<'m, str>,
        /// What: JSON.
        data: &'m str,
    },
    /// To know who is in a room.
    Members {
        /// The room.
        room: Cow<'m, str>,
    },
    /// To know what was published to a room.
    History {
        /// The room.
        room: Cow<'m, str>,
        /// From where on.
        since: Option<Position>,
        /// How many at most.
        limit: usize,
    },
    /// To know whether the hub is there.
    Ping,
}

/// A place in a stream, as clients write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since<'m> {
    offset: u64,
    #[serde(borrow)]
    epoch: Cow<'m, str>,
}

/// Reads a message.
pub fn read(text: &str) -> Envelope<'_> {
    let Some(fields) = fields::split(text) else {
        return Envelope {
            id: None,
            command: Err(Problem::Malformed("a JSON object is expected")),
        };
    };
    let mut fields = Fields(fields);
    let id = match fields.take("id") {
        None => None,
        Some(id) if id.len() <= LONGEST_ID && !id.starts_with(['{', '[', 't', 'f', 'n']) => {
            Some(id)
        }
        Some(_) => {
            return Envelope {
                id: None,
                command: Err(Problem::Malformed(
                    "id: a number or a short string is expected",
                )),
            };
        }
    };
    Envelope {
        id,
        command: fields.command(),
    }
}

/// Those that nobody has asked for yet.
struct Fields<'m>(Vec<(Cow<'m, str>, &'m str)>);

impl<'m> Fields<'m> {
    fn take(&mut self, name: &str) -> Option<&'m str> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn command(mut self) -> Result<Command<'m>, Problem> {
        let kind = self.take("type").and_then(fields::string);
        let kind = kind.ok_or(Problem::Malformed("type: a string is expected"))?;
        let command = match &*kind {
            "join" => Command::Join {
                room: self.name("room")?,
                since: self.since()?,
                info: self.info()?,
                watches: match self.take("presence") {
                    None | Some("false") => false,
                    Some("true") => true,
                    Some(_) => {
                        return Err(Problem::Malformed("presence: true or false is expected"));
                    }
                },
            },
            "leave" => Command::Leave {
                room: self.name("room")?,
            },
            "publish" => Command::Publish {
                room: self.name("room")?,
                data: self.data()?,
            },
            "direct" => Command::Direct {
                to: self.name("to")?,
                data: self.data()?,
            },
            "members" => Command::Members {
                room: self.name("room")?,
            },
            "history" => Command::History {
                room: self.name("room")?,
                since: self.since()?,
                limit: match self.take("limit") {
                    None => HISTORY,
                    Some(limit) => limit
                        .parse()
                        .ok()
                        .filter(|limit| (1..=10_000).contains(limit))
                        .ok_or(Problem::Malformed(
                            "limit: a whole number from 1 to 10000 is expected",
                        ))?,
                },
            },
            "ping" => Command::Ping,
            _ => return Err(Problem::UnknownType),
        };
        if self.0.is_empty() {
            Ok(command)
        } else {
            Err(Problem::Malformed(
                "a member that this type does not have, or one twice",
            ))
        }
    }

    fn name(&mut self, field: &str) -> Result<Cow<'m, str>, Problem> {
        let missing = match field {
            "to" => "to: the identifier of a client is expected",
            _ => "room: the name of a room is expected",
        };
        let name = self.take(field).and_then(fields::string);
        let name = name.ok_or(Problem::Malformed(missing))?;
        if is_name(&name) {
            Ok(name)
        } else {
            Err(Problem::BadName)
        }
    }

    fn data(&mut self) -> Result<&'m str, Problem> {
        self.take("data")
            .ok_or(Problem::Malformed("data: something to be sent is expected"))
    }

    fn info(&mut self) -> Result<Option<&'m str>, Problem> {
        let info = self.take("info");
        if info.is_some_and(|info| info.len() > LONGEST_INFO) {
            return Err(Problem::Malformed("info: at most 1024 bytes are expected"));
        }
        Ok(info)
    }

    fn since(&mut self) -> Result<Option<Position>, Problem> {
        const EXPECTED: Problem =
            Problem::Malformed("since: the offset and epoch of an earlier answer are expected");
        let Some(text) = self.take("since").filter(|text| *text != "null") else {
            return Ok(None);
        };
        let since: Since<'_> = serde_json::from_str(text).map_err(|_| EXPECTED)?;
        // An epoch that is none of ours is one of another stream.
        let epoch = u64::from_str_radix(&since.epoch, 16).unwrap_or(0);
        Ok(Some(Position {
            offset: since.offset,
            epoch,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Command<'_> {
        read(text).command.unwrap()
    }

    fn problem(text: &str) -> Problem {
        read(text).command.unwrap_err()
    }

    #[test]
    fn commands() {
        assert_eq!(
            command(
                r#"{"type":"join","room":"a b","since":{"offset":7,"epoch":"00ff"},"info":{"n": 1},"presence":true}"#
            ),
            Command::Join {
                room: "a b".into(),
                since: Some(Position {
                    offset: 7,
                    epoch: 255
                }),
                info: Some(r#"{"n": 1}"#),
                watches: true,
            }
        );
        assert_eq!(
            command(r#"{"data": [1, 2.50] , "room":"\u0061","type":"publish"}"#),
            Command::Publish {
                room: "a".into(),
                data: "[1, 2.50]"
            }
        );
        assert_eq!(
            command(r#"{"type":"direct","to":"x","data":null}"#),
            Command::Direct {
                to: "x".into(),
                data: "null"
            }
        );
        assert_eq!(
            command(r#"{"type":"history","room":"a","limit":3,"since":null}"#),
            Command::History {
                room: "a".into(),
                since: None,
                limit: 3
            }
        );
        assert_eq!(command(r#"{"type":"ping"}"#), Command::Ping);
    }

    #[test]
    fn identifiers_are_kept_as_they_are() {
        for id in ["1", "-2.5e3", r#""a\u0062""#] {
            let text = format!(r#"{{"id":{id},"type":"ping"}}"#);
            assert_eq!(read(&text).id, Some(id));
        }
        for id in [
            "null",
            "true",
            "[1]",
            "{}",
            &format!("\"{}\"", "x".repeat(63)),
        ] {
            let text = format!(r#"{{"id":{id},"type":"ping"}}"#);
            assert_eq!(read(&text).id, None);
            assert_eq!(problem(&text).code(), "malformed");
        }
        // What is wrong is told under the identifier that there is.
        assert_eq!(read(r#"{"id":5,"type":"x"}"#).id, Some("5"));
    }

    #[test]
    fn what_is_wrong() {
        let long = format!(r#"{{"type":"join","room":"{}"}}"#, "x".repeat(129));
        let info = format!(
            r#"{{"type":"join","room":"a","info":"{}"}}"#,
            "x".repeat(1024)
        );
        for (text, code) in [
            ("", "malformed"),
            ("[]", "malformed"),
            ("{}", "malformed"),
            (r#"{"type":1}"#, "malformed"),
            (r#"{"type":"shout"}"#, "unknown-type"),
            (r#"{"type":"join"}"#, "malformed"),
            (r#"{"type":"join","room":""}"#, "bad-name"),
            (r#"{"type":"join","room":"a\n"}"#, "bad-name"),
            (&long, "bad-name"),
            (&info, "malformed"),
            (r#"{"type":"join","room":"a","presence":1}"#, "malformed"),
            (r#"{"type":"join","room":"a","since":7}"#, "malformed"),
            (
                r#"{"type":"join","room":"a","since":{"offset":-1,"epoch":""}}"#,
                "malformed",
            ),
            (r#"{"type":"join","room":"a","rom":"b"}"#, "malformed"),
            (r#"{"type":"join","room":"a","room":"b"}"#, "malformed"),
            (r#"{"type":"publish","room":"a"}"#, "malformed"),
            (r#"{"type":"history","room":"a","limit":0}"#, "malformed"),
            (r#"{"type":"history","room":"a","limit":1.5}"#, "malformed"),
        ] {
            assert_eq!(problem(text).code(), code, "{text}");
        }
    }
}
