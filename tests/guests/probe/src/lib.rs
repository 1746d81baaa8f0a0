//! One component for most of the tests: its configuration says, hook by hook, what it does.
//!
//! ```toml
//! config = { request = [{ do = "append-header", name = "x-in", value = "a" }], response_body = { plan = "collect", then = "replace", text = "new" } }
//! ```
//!
//! What a step came to is put where a test sees it: into header fields, which the upstream (on the way in) or the
//! client (on the way out) receives.

mod body;
mod hostile;
mod step;

use std::cell::Cell;

use body::Wish;
use sluicegate_plugin::prelude::*;
use step::{Done, Head, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// An error with this text refuses the configuration.
    refuse: Option<String>,
    /// While it is configured: only what misbehaves.
    #[serde(default)]
    configure: Vec<Step>,
    /// In `direct`.
    #[serde(default)]
    request: Vec<Step>,
    /// In `modify`.
    #[serde(default)]
    response: Vec<Step>,
    /// In the hooks of the request's body.
    request_body: Option<Wish>,
    /// In the hooks of the response's body.
    response_body: Option<Wish>,
}

struct Probe {
    config: Config,
    /// Calls of `direct` on this instance.
    calls: Cell<u64>,
}

impl Plugin for Probe {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        for step in &config.configure {
            hostile::misbehave(step)?;
        }
        match &config.refuse {
            Some(text) => Err(text.clone().into()),
            None => Ok(Self {
                config,
                calls: Cell::new(0),
            }),
        }
    }

    fn interest(&self, hook: Hook) -> Option<Interest> {
        match hook {
            Hook::RequestBody => body::interest(self.config.request_body.as_ref()),
            Hook::ResponseBody => body::interest(self.config.response_body.as_ref()),
            _ => None,
        }
    }
}

impl Director for Probe {
    fn direct(&self, request: &Request) -> Result<Direction> {
        self.calls.set(self.calls.get() + 1);
        let head = Head::Request(request);
        Ok(match step::run(&self.config.request, &head, &self.calls)? {
            Done::Forward => Direction::Forward,
            Done::Reply(reply) => reply.into(),
        })
    }
}

impl Modifier for Probe {
    fn modify(&self, request: &Request, response: &Response) -> Result<Change> {
        let head = Head::Response(request, response);
        Ok(
            match step::run(&self.config.response, &head, &self.calls)? {
                Done::Forward => Change::Forward,
                Done::Reply(reply) => reply.into(),
            },
        )
    }
}

impl RequestBody for Probe {
    fn open(&self, request: &Request, kind: BodyKind) -> Result<Plan> {
        body::open(self.config.request_body.as_ref(), request, kind)
    }

    fn receive(&self, request: &Request, body: Vec<u8>) -> Result<Verdict> {
        body::receive(self.config.request_body.as_ref(), request, &body)
    }
}

impl ResponseBody for Probe {
    fn open(&self, _: &Request, response: &Response, kind: BodyKind) -> Result<Plan> {
        body::open(self.config.response_body.as_ref(), response, kind)
    }

    fn receive(&self, _: &Request, response: &Response, body: Vec<u8>) -> Result<Verdict> {
        body::receive(self.config.response_body.as_ref(), response, &body)
    }
}

sluicegate_plugin::export!(Probe: Director, RequestBody, Modifier, ResponseBody);
