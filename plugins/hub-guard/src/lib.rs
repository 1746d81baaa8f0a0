//! The stock plugin `hub-guard`: who may connect to a WebSocket hub, what messages have to be like, and whose rooms are whose.
//!
//! What the user writes is [`config::Config`]. [`token`], [`rooms`] and [`rules`] are its three parts, checked; they know
//! nothing of the gateway.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod config;
pub mod kept;
pub mod object;
pub mod place;
pub mod rooms;
pub mod rules;
pub mod token;
pub mod words;

use std::time::{SystemTime, UNIX_EPOCH};

use config::OnViolation;
use place::{Handshake, Place};
use rooms::{Purpose, Rooms};
use rules::{Passed, Rules, Violation};
use sluicegate_plugin::prelude::*;
use token::{Claims, Denial, Owner, Tokens};

/// The plugin: a part of it that is absent guards nothing.
pub struct HubGuard {
    tokens: Option<Tokens>,
    rooms: Option<Rooms>,
    rules: Rules,
}

impl Plugin for HubGuard {
    type Config = config::Config;

    fn new(config: config::Config) -> Result<Self> {
        Ok(Self {
            tokens: config.token.map(Tokens::new).transpose()?,
            rooms: config.rooms.map(Rooms::new).transpose()?,
            rules: config
                .message
                .map(Rules::new)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    fn needs(&self, hook: Hook) -> bool {
        match hook {
            Hook::HubConnect => self.tokens.is_some() || self.rooms.is_some(),
            Hook::HubMessage => {
                self.rooms.is_some() || !self.rules.is_empty() || self.closes_when_expired()
            }
            _ => false,
        }
    }
}

impl Hub for HubGuard {
    fn connect(&self, request: &Request) -> Result<Admission> {
        let handshake = self
            .tokens
            .as_ref()
            .map(|tokens| handshake(request, tokens.places()));
        let (owner, subprotocol) = match (&self.tokens, &handshake) {
            (Some(tokens), Some(handshake)) => {
                let mut places = tokens.places().iter();
                let Some(found) = places.find_map(|place| place.find(handshake)) else {
                    return Ok(unauthorized("Bearer").into());
                };
                match tokens.owner(found.token, now()) {
                    Ok(owner) => (owner, found.subprotocol),
                    Err(denial) => return Ok(denied(request, denial).into()),
                }
            }
            _ => (
                Owner {
                    id: None,
                    claims: Claims::new(),
                    until: None,
                },
                None,
            ),
        };
        let id = owner.id.as_deref();
        let mut welcome = Admission::accept();
        let mut access = None;
        if let Some(rooms) = &self.rooms {
            welcome = welcome.rooms(rooms.entered(id));
            let allowed = rooms.access(id, &owner.claims);
            // A hub whose path has {room} puts its clients there without a word of theirs.
            let own = request.path_parameter("room");
            if own.is_some_and(|room| !allowed.allows(Purpose::Join, &room)) {
                return Ok(Reply::text(403, "this room is not yours\n").into());
            }
            access = Some(allowed.to_text());
        }
        if access.is_some() || owner.until.is_some() {
            welcome = welcome.state(kept::to_bytes(owner.until, access.as_deref()));
        }
        if let Some(subprotocol) = subprotocol {
            welcome = welcome.subprotocol(subprotocol);
        }
        if let Some(id) = owner.id {
            welcome = welcome.id(id);
        }
        Ok(welcome.into())
    }

    fn message(&self, client: &Client, message: Message) -> Result<Vec<Action>> {
        let state = if self.rooms.is_some() || self.closes_when_expired() {
            client.state()
        } else {
            Vec::new()
        };
        let (until, access) = kept::from_bytes(&state);
        if self.closes_when_expired() && until != u64::MAX && now() >= until {
            return Ok(Action::close(1008, "the token has expired").into());
        }
        let access = self.rooms.is_some().then_some(access);
        Ok(match self.rules.check(&message, access) {
            Ok(Passed::AsItIs) => Action::Forward.into(),
            Ok(Passed::As(masked)) => Action::replace(masked).into(),
            Err(violation) => self.violated(violation, &message),
        })
    }
}

impl HubGuard {
    fn closes_when_expired(&self) -> bool {
        self.tokens.as_ref().is_some_and(Tokens::close_when_expired)
    }

    fn violated(&self, violation: Violation, message: &Message) -> Vec<Action> {
        match self.rules.on_violation {
            OnViolation::Reply => Action::reply_text(violation.reply(message)).into(),
            OnViolation::Drop => Action::Drop.into(),
            OnViolation::Close => Action::close(violation.close_code(), violation.reason()).into(),
        }
    }
}

/// What of a request may carry a token, as far as it is looked at.
fn handshake(request: &Request, places: &[Place]) -> Handshake {
    let mut handshake = Handshake::default();
    for place in places {
        match place {
            Place::Bearer => handshake.authorization = request.header_str("authorization"),
            Place::Query(_) => handshake.query = request.query(),
            Place::Subprotocol(_) => {
                let lists = request.header_values("sec-websocket-protocol");
                let texts = lists
                    .into_iter()
                    .filter_map(|list| String::from_utf8(list).ok());
                handshake.subprotocols = texts.collect();
            }
        }
    }
    handshake
}

fn unauthorized(challenge: &str) -> Reply {
    Reply::text(401, "a token is needed\n").header("www-authenticate", challenge)
}

/// The reason is for the log: to who guesses tokens all wrong ones look alike.
fn denied(request: &Request, denial: Denial) -> Reply {
    log::info!(
        "a token of {} was denied: {denial}",
        request.client_address()
    );
    unauthorized("Bearer error=\"invalid_token\"")
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

sluicegate_plugin::export!(HubGuard: Hub);
