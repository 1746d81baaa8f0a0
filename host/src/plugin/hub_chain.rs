//! The layers of a hub around its connections and their messages: connections and messages pass them in the listed order, and
//! the first that rejects or does not forward ends it; the end of a connection passes them in reverse.
//!
//! A plugin that fails is treated by its `on_failure`: `reject` is a 500 for who wants to connect and the end of the
//! connection whose message it was; `skip` goes on as if the plugin were not listed. The end of a connection can't be
//! rejected. Whatever happens, nothing of a call that failed takes effect.

mod answer;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Response, StatusCode};

use self::answer::{Bounds, Onward, Steps};
use super::bindings::sluicegate::plugin::http::Reply;
use super::bindings::sluicegate::plugin::hub_types::Message as WitMessage;
use super::failure::{Hook, HookFailure, report, report_of_hub};
use super::host_hub::Caller;
use super::hub_state;
use super::instance::{Admission as WitAdmission, Instance};
use super::pool::LayerPool;
use super::reply;
use super::undo::Before;
use crate::config::OnFailure;
use crate::exchange::Exchange;
use crate::exchange::head::Stage;
use crate::hub::hooks::{Action, Admission, Answer, ClientView, Hooks, Message, Rejected, Welcome};
use crate::snapshot::Snapshot;

/// The hub's plugins on one worker.
#[derive(Debug, Clone)]
pub struct HubChain(Rc<Layers>);

#[derive(Debug)]
struct Layers {
    hub: Arc<str>,
    bounds: Bounds,
    /// Those that have the hook, in the listed order.
    on_connect: Vec<Rc<LayerPool>>,
    on_message: Vec<Rc<LayerPool>>,
    on_disconnect: Vec<Rc<LayerPool>>,
}

impl HubChain {
    /// The chain of a hub: `layers` are indices into the worker's `pools`, in the listed order; `largest` is the hub's
    /// `limits.message`, which holds for what its plugins send as well.
    pub fn new(hub: &str, pools: &[Rc<LayerPool>], layers: &[usize], largest: usize) -> Self {
        let with = |has: fn(&LayerPool) -> bool| {
            layers
                .iter()
                .filter_map(|layer| pools.get(*layer))
                .filter(|pool| has(pool))
                .cloned()
                .collect()
        };
        Self(Rc::new(Layers {
            hub: hub.into(),
            bounds: Bounds { message: largest },
            on_connect: with(|pool| pool.layer.hooks.hub_connect),
            on_message: with(|pool| pool.layer.hooks.hub_message),
            on_disconnect: with(|pool| pool.layer.hooks.hub_disconnect),
        }))
    }

    /// The chain of a hub of a snapshot, on the worker that has these pools; `None` where no plugin is listed.
    pub fn of(snapshot: &Snapshot, hub: usize, pools: &[Rc<LayerPool>]) -> Option<Self> {
        let layers = snapshot.hub_layers.get(hub)?;
        let config = &snapshot.hubs.get(hub)?.config;
        let chain = Self::new(&config.name, pools, layers, config.limits.message);
        (!layers.is_empty()).then_some(chain)
    }
}

impl Hooks for HubChain {
    fn on_connect(&self, exchange: Box<Exchange>) -> Answer<Admission> {
        let layers = Rc::clone(&self.0);
        Box::pin(async move { layers.connect(exchange).await })
    }

    fn on_message(&self, client: ClientView, message: Message) -> Answer<Vec<Action>> {
        let layers = Rc::clone(&self.0);
        Box::pin(async move { layers.message(client, message).await })
    }

    fn on_disconnect(&self, client: ClientView, code: u16, reason: String) -> Answer<Vec<Action>> {
        let layers = Rc::clone(&self.0);
        Box::pin(async move { Ok(layers.disconnect(client, code, &reason).await) })
    }

    fn is_blind_to_messages(&self) -> bool {
        self.0.on_message.is_empty()
    }

    fn is_blind_to_ends(&self) -> bool {
        self.0.on_disconnect.is_empty()
    }
}

async fn run<T>(
    pool: &Rc<LayerPool>,
    call: impl FnOnce(&mut Instance) -> Result<T, HookFailure>,
) -> Result<T, HookFailure> {
    pool.lease().await?.run(call)
}

impl Layers {
    async fn connect(&self, mut exchange: Box<Exchange>) -> Result<Admission, Rejected> {
        // It goes nowhere: there is nothing to edit.
        exchange.request.stage = Stage::Sent;
        let mut welcome = Welcome::default();
        for pool in &self.on_connect {
            let layer = &*pool.layer;
            let before = Before::keep(&exchange, layer.on_failure);
            let admission = run(pool, |instance| instance.connect(&mut exchange)).await;
            let result = match admission {
                Ok(WitAdmission::Accept(theirs)) => {
                    let offered = |name: &str| is_offered(&exchange, name);
                    self.bounds
                        .welcome(&mut welcome, theirs, &layer.name, offered)
                }
                Ok(WitAdmission::Reject(reply)) => match response(&exchange, reply) {
                    Ok(response) => return Ok(Admission::Reject(response)),
                    Err(failure) => Err(failure),
                },
                Err(failure) => Err(failure),
            };
            if let Err(failure) = result {
                report(layer, Hook::HubConnect, &exchange.request_id, &failure);
                before.ok_or(Rejected)?.restore(&mut exchange);
            }
        }
        Ok(Admission::Accept(welcome))
    }

    async fn message(&self, client: ClientView, message: Message) -> Result<Vec<Action>, Rejected> {
        let mut message = WitMessage::from(message);
        let mut steps = Steps::default();
        for pool in &self.on_message {
            let layer = &*pool.layer;
            let caller = self.caller(&client, &layer.name);
            let answer = run(pool, |instance| instance.message(caller, &message)).await;
            let onward = match answer.and_then(|actions| self.bounds.actions(actions)) {
                Ok(actions) => steps.add(&layer.name, actions),
                Err(failure) => {
                    report_of_hub(layer, Hook::HubMessage, &self.hub, &client.id, &failure);
                    match layer.on_failure {
                        OnFailure::Skip => continue,
                        OnFailure::Reject => return Err(Rejected),
                    }
                }
            };
            match onward {
                Onward::Same => {}
                Onward::Replaced(with) => message = with,
                Onward::Ends => return Ok(steps.finish(&client.state)),
            }
        }
        steps.pass(message);
        Ok(steps.finish(&client.state))
    }

    async fn disconnect(&self, client: ClientView, code: u16, reason: &str) -> Vec<Action> {
        let mut left = Vec::new();
        for pool in self.on_disconnect.iter().rev() {
            let layer = &*pool.layer;
            let caller = self.caller(&client, &layer.name);
            let answer = run(pool, |instance| instance.disconnect(caller, code, reason)).await;
            match answer.and_then(|actions| self.bounds.actions(actions)) {
                Ok(actions) => left.extend(answer::of_who_has_gone(actions)),
                Err(failure) => {
                    report_of_hub(layer, Hook::HubDisconnect, &self.hub, &client.id, &failure);
                }
            }
        }
        left
    }

    fn caller(&self, client: &ClientView, plugin: &str) -> Caller {
        Caller {
            hub: Arc::clone(&self.hub),
            client: client.clone(),
            state: hub_state::of(&client.state, plugin),
        }
    }
}

/// Whether the client has named this subprotocol (RFC 6455, section 11.3.4).
fn is_offered(exchange: &Exchange, subprotocol: &str) -> bool {
    exchange
        .request
        .headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|offer| offer.trim_ascii() == subprotocol.as_bytes())
}

/// A plugin's own answer to a handshake.
fn response(exchange: &Exchange, reply: Reply) -> Result<Response<Bytes>, HookFailure> {
    let (mut head, body) = reply::checked(reply, exchange.snapshot.head_budget)?;
    let body = match head.status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Bytes::new(),
        _ => {
            let length = HeaderValue::from(body.len());
            head.headers.insert(CONTENT_LENGTH, length);
            Bytes::from(body)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Ok(response)
}

impl From<Message> for WitMessage {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}
