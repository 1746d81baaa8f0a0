//! What is wrong with a command.

use super::super::backplane::Refused;

/// A code, and words for who develops the client. The connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a JSON object, or not one of the protocol.
    #[error("{0}")]
    Malformed(&'static str),
    /// `type` is none of those that there are.
    #[error("type: one of join, leave, publish, direct, members, history, ping is expected")]
    UnknownType,
    /// A name that can't be one.
    #[error("a name has 1 to 128 bytes and no control characters")]
    BadName,
    /// The client is not in the room.
    #[error("you are not in this room: join it first")]
    NotJoined,
    /// The client is in the room already.
    #[error("you are in this room already")]
    AlreadyJoined,
    /// `limits.rooms_per_client`
    #[error("you are in as many rooms as one client may be in")]
    TooManyRooms,
    /// `limits.rooms`
    #[error("there are as many rooms as there may be")]
    HubFull,
    /// Nobody of that name is connected.
    #[error("no such client")]
    NoSuchClient,
    /// `limits.rate`
    #[error("too many messages; this one was not taken")]
    RateLimited,
    /// Too much is waiting.
    #[error("the hub is busy; this message was not taken")]
    Busy,
}

impl Problem {
    /// The code, which stays the same whatever the words are.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownType => "unknown-type",
            Self::BadName => "bad-name",
            Self::NotJoined => "not-joined",
            Self::AlreadyJoined => "already-joined",
            Self::TooManyRooms => "too-many-rooms",
            Self::HubFull => "hub-full",
            Self::NoSuchClient => "no-such-client",
            Self::RateLimited => "rate-limited",
            Self::Busy => "busy",
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooManyRooms => Self::HubFull,
            Refused::Busy => Self::Busy,
        }
    }
}
