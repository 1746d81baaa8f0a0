//! The hubs: who is there, and what can be done to them.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /hubs` | all hubs with their counts |
//! | `GET /hubs/NAME` | one of them |
//! | `GET /hubs/NAME/rooms?limit=N` | rooms and how many connections are in them, the fullest first |
//! | `GET /hubs/NAME/clients?room=R&limit=N` | clients, the oldest first |
//! | `POST /hubs/NAME/publish` | `{"room": …, "data": …}`, to all clients without a room |
//! | `POST /hubs/NAME/send` | `{"client": …, "data": …}` |
//! | `POST /hubs/NAME/disconnect` | `{"client": …, "code": …, "reason": …}` |
//!
//! In place of `data`, which is any JSON, there may be `text`, or `binary` in base64 where the hub's messages are raw.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::Answer;
use crate::config::HubMode;
use crate::hub::api::ApiError;
use crate::hub::backplane::Refused;
use crate::hub::hooks::Message;
use crate::hub::protocol::fields;
use crate::hub::{Hub, codes};
use crate::snapshot::Snapshot;
use crate::websocket::close::{Close, may_be_sent};

/// Entries of a list that no number was asked of.
const LIST: usize = 100;
/// And at most.
const LONGEST_LIST: usize = 10_000;
/// What a request may have around its message: names, escapes, base64.
const AROUND: usize = 64 * 1024;

/// What is answered where something is wrong: a code, and words.
type Wrong = (StatusCode, &'static str, Cow<'static, str>);

/// Answers a request for `/hubs` or below; `rest` is the path after that.
pub(super) async fn answer(snapshot: &Snapshot, rest: &str, request: Request<Incoming>) -> Answer {
    match respond(snapshot, rest, request).await {
        Ok(answer) => answer,
        Err((status, code, words)) => Answer::json(&json!({
            "status": status.as_u16(),
            "code": code,
            "errors": [words],
        }))
        .with_status(status),
    }
}

async fn respond(
    snapshot: &Snapshot,
    rest: &str,
    request: Request<Incoming>,
) -> Result<Answer, Wrong> {
    let asks = request.method() == Method::GET || request.method() == Method::HEAD;
    let mut parts = rest.split('/').skip(1).filter(|part| !part.is_empty());
    let Some(name) = parts.next() else {
        let hubs: Vec<Value> = snapshot.hubs.iter().map(|hub| summary(hub)).collect();
        return if asks {
            Ok(Answer::json(&Value::Array(hubs)))
        } else {
            Ok(Answer::not_allowed("GET, HEAD"))
        };
    };
    let hub = snapshot.hub_named(name).ok_or((
        StatusCode::NOT_FOUND,
        "no-such-hub",
        Cow::from(format!("no hub named {name:?}")),
    ))?;
    match (parts.next(), parts.next()) {
        (None, _) if asks => Ok(Answer::json(&summary(hub))),
        (Some("rooms"), None) if asks => rooms(hub, request.uri().query()).await,
        (Some("clients"), None) if asks => clients(hub, request.uri().query()).await,
        (None | Some("rooms" | "clients"), None) => Ok(Answer::not_allowed("GET, HEAD")),
        (Some("publish" | "send" | "disconnect"), None) if request.method() != Method::POST => {
            Ok(Answer::not_allowed("POST"))
        }
        (Some(what @ ("publish" | "send" | "disconnect")), None) => {
            let most = hub.config.limits.message.saturating_mul(2) + AROUND;
            let text = body(request.into_body(), most).await?;
            let mut fields = Fields::read(&text)?;
            match what {
                "publish" => publish(hub, &mut fields).await,
                "send" => send(hub, &mut fields).await,
                _ => disconnect(hub, &mut fields),
            }
        }
        _ => Err((StatusCode::NOT_FOUND, "no-such-path", "no such path".into())),
    }
}

fn summary(hub: &Hub) -> Value {
    let directory = &hub.shared.directory;
    json!({
        "name": &*hub.config.name,
        "path": hub.config.path,
        "mode": match hub.config.mode {
            HubMode::Rooms => "rooms",
            HubMode::Echo => "echo",
            HubMode::Relay => "relay",
            HubMode::Hooks => "hooks",
        },
        "connections": directory.connections(),
        "clients": directory.clients(),
        "rooms": directory.rooms(),
    })
}

async fn rooms(hub: &Hub, query: Option<&str>) -> Result<Answer, Wrong> {
    let most = limit(query)?;
    let list = hub.rooms(most).await.into_iter();
    let list =
        list.map(|(room, connections)| json!({ "room": &*room, "connections": connections }));
    let list: Vec<Value> = list.collect();
    let count = hub.shared.directory.rooms();
    Ok(Answer::json(&json!({ "count": count, "rooms": list })))
}

async fn clients(hub: &Hub, query: Option<&str>) -> Result<Answer, Wrong> {
    let most = limit(query)?;
    let room = parameter(query, "room");
    let list = hub.clients(room.as_deref(), most).await.into_iter();
    let list = list.map(|client| {
        let since = client.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "client": &*client.id,
            "address": client.address.to_string(),
            "connected_since": since.as_secs_f64(),
            "rooms": client.rooms.iter().map(|room| &**room).collect::<Vec<&str>>(),
            "queued_bytes": client.queued,
        })
    });
    let list: Vec<Value> = list.collect();
    let count = hub.shared.directory.clients();
    Ok(Answer::json(&json!({ "count": count, "clients": list })))
}

async fn publish(hub: &Hub, fields: &mut Fields<'_>) -> Result<Answer, Wrong> {
    let room = fields.text("room")?;
    let message = fields.message(hub.config.mode)?;
    fields.finish("room, data, text, binary")?;
    let Some(room) = room else {
        hub.broadcast(&message).map_err(wrong)?;
        return Ok(Answer::json(&json!({ "published": true })));
    };
    let position = hub.publish(&room, &message).await.map_err(wrong)?;
    Ok(Answer::json(&json!({
        "published": true,
        "offset": position.offset,
        "epoch": format!("{:016x}", position.epoch),
    })))
}

async fn send(hub: &Hub, fields: &mut Fields<'_>) -> Result<Answer, Wrong> {
    let client = fields.client()?;
    let message = fields.message(hub.config.mode)?;
    fields.finish("client, data, text, binary")?;
    if hub.send_to(&client, &message).await.map_err(wrong)? {
        Ok(Answer::json(&json!({ "sent": true })))
    } else {
        Err(no_such_client())
    }
}

fn disconnect(hub: &Hub, fields: &mut Fields<'_>) -> Result<Answer, Wrong> {
    let client = fields.client()?;
    let code = match fields.take("code") {
        None => codes::OPERATOR.code,
        Some(code) => code
            .parse()
            .ok()
            .filter(|code| may_be_sent(*code))
            .ok_or_else(|| malformed("code: a close code that may be sent is expected"))?,
    };
    let reason = fields.text("reason")?;
    fields.finish("client, code, reason")?;
    let reason = reason.unwrap_or(codes::OPERATOR.reason);
    let close = Close::with_reason(code, reason.into_owned());
    match hub.disconnect(&client, &close) {
        0 => Err(no_such_client()),
        count => Ok(Answer::json(&json!({ "disconnected": count }))),
    }
}

fn no_such_client() -> Wrong {
    (
        StatusCode::NOT_FOUND,
        "no-such-client",
        "no client of that identifier is connected".into(),
    )
}

fn malformed(words: impl Into<Cow<'static, str>>) -> Wrong {
    (StatusCode::BAD_REQUEST, "malformed", words.into())
}

fn wrong(error: ApiError) -> Wrong {
    let (status, code) = match error {
        ApiError::BadName => (StatusCode::BAD_REQUEST, "bad-name"),
        ApiError::NoBinary => (StatusCode::BAD_REQUEST, "no-binary"),
        ApiError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        ApiError::Refused(Refused::TooManyRooms) => (StatusCode::SERVICE_UNAVAILABLE, "hub-full"),
        ApiError::Refused(Refused::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    };
    (status, code, error.to_string().into())
}

async fn body(body: Incoming, most: usize) -> Result<String, Wrong> {
    let collected = Limited::new(body, most).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            wrong(ApiError::TooLarge)
        } else {
            malformed("the body broke off")
        }
    })?;
    String::from_utf8(collected.to_bytes().into())
        .map_err(|_| malformed("a JSON object is expected"))
}

/// The members of the request's object that nobody has asked for yet, as they stand in its text.
struct Fields<'b>(Vec<(Cow<'b, str>, &'b str)>);

impl<'b> Fields<'b> {
    fn read(text: &'b str) -> Result<Self, Wrong> {
        let fields = fields::split(text).ok_or_else(|| malformed("a JSON object is expected"))?;
        Ok(Self(fields))
    }

    fn take(&mut self, name: &str) -> Option<&'b str> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<Cow<'b, str>>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(text) => match fields::string(text) {
                Some(text) => Ok(Some(text)),
                None => Err(malformed(format!("{name}: a string is expected"))),
            },
        }
    }

    fn client(&mut self) -> Result<Cow<'b, str>, Wrong> {
        self.text("client")?
            .ok_or_else(|| malformed("client: the identifier of a client is expected"))
    }

    /// One of `data`, `text`, `binary`.
    fn message(&mut self, mode: HubMode) -> Result<Message, Wrong> {
        let expected = || malformed("one of data, text and binary is expected");
        match (self.take("data"), self.text("text")?, self.text("binary")?) {
            (Some(data), None, None) => Ok(Message::Text(data.to_owned())),
            (None, Some(text), None) if mode == HubMode::Rooms => {
                Ok(Message::Text(Value::from(&*text).to_string()))
            }
            (None, Some(text), None) => Ok(Message::Text(text.into_owned())),
            (None, None, Some(binary)) => BASE64
                .decode(&*binary)
                .map(|bytes| Message::Binary(bytes.into()))
                .map_err(|_| malformed("binary: base64 is expected")),
            _ => Err(expected()),
        }
    }

    fn finish(&self, allowed: &str) -> Result<(), Wrong> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(malformed(format!(
                "{name:?} is not known, or there twice; allowed: {allowed}"
            ))),
        }
    }
}

fn limit(query: Option<&str>) -> Result<usize, Wrong> {
    let Some(text) = parameter(query, "limit") else {
        return Ok(LIST);
    };
    text.parse()
        .ok()
        .filter(|limit| (1..=LONGEST_LIST).contains(limit))
        .ok_or_else(|| malformed(format!("limit: 1 to {LONGEST_LIST} is expected")))
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(other, _)| *other == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}
