//! The stock plugin `body-mutate`: changes the bodies of requests and responses.
//!
//! What the user writes is [`config::Config`]; [`side::Side`] is one direction's part of it, checked and compiled: it
//! decides from the head what is wanted of a body ([`side::Intent`]) and changes one that it is given. How a body is
//! changed is in [`literal`], [`json`] and [`side`]; [`coding`] takes its compression off, [`streamed`] does both
//! chunk by chunk, and [`head`] is about answers without a body.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod coding;
pub mod config;
pub mod head;
pub mod json;
pub mod literal;
pub mod media;
pub mod side;
pub mod streamed;

use coding::{CONTENT_ENCODING, DecodeError};
use side::{Failure, Intent, Outcome, Side};
use sluicegate_plugin::prelude::*;
use streamed::Streamed;

/// The plugin: the rules of either direction.
pub struct BodyMutate {
    request: Side,
    response: Side,
}

impl Plugin for BodyMutate {
    type Config = config::Config;

    fn new(config: config::Config) -> Result<Self> {
        Ok(Self {
            request: Side::for_request(config.request)
                .map_err(|error| format!("request.{error}"))?,
            response: Side::for_response(config.response)
                .map_err(|error| format!("response.{error}"))?,
        })
    }

    fn needs(&self, hook: Hook) -> bool {
        match hook {
            Hook::RequestBody => !self.request.is_empty(),
            Hook::ResponseBody => !self.response.is_empty(),
            _ => true,
        }
    }

    fn interest(&self, hook: Hook) -> Option<Interest> {
        match hook {
            Hook::RequestBody => self.request.interest(),
            Hook::ResponseBody => self.response.interest(),
            _ => None,
        }
    }
}

impl RequestBody for BodyMutate {
    fn open(&self, request: &Request, body: BodyKind) -> Result<Plan> {
        if body == BodyKind::None {
            return Ok(Plan::Pass);
        }
        let intent = self.request.intent(request, body);
        // A part of a representation (RFC 9110 section 14.5) is none to search in.
        if intent != Intent::Pass && request.header("content-range").is_some() {
            return Ok(Plan::Pass);
        }
        Ok(match intent {
            Intent::Pass => Plan::Pass,
            Intent::Collect(limit) => Plan::Collect(limit),
            Intent::Stream { kind, coding } => {
                let around = self.request.around(kind, request);
                if coding.is_some() {
                    request.remove_header(CONTENT_ENCODING);
                }
                Plan::stream(Streamed::new(&self.request, around, coding))
            }
        })
    }

    fn receive(&self, request: &Request, body: Vec<u8>) -> Result<Verdict> {
        Ok(match self.request.change(&body, request, request) {
            Ok(Outcome::Unchanged) => Verdict::Unchanged,
            Ok(Outcome::Changed { body, decoded }) => {
                if decoded {
                    request.remove_header(CONTENT_ENCODING);
                }
                Verdict::Replace(body)
            }
            Err(Failure::Decode(DecodeError::TooLarge)) => {
                Reply::text(413, "the decoded body is too large\n").into()
            }
            Err(failure) => {
                log::warn!("request body left as it is: {failure}");
                Verdict::Unchanged
            }
        })
    }
}

impl ResponseBody for BodyMutate {
    fn open(&self, request: &Request, response: &Response, body: BodyKind) -> Result<Plan> {
        if body == BodyKind::None {
            self.adapt_bodiless(request, response);
            return Ok(Plan::Pass);
        }
        let intent = self.response.intent(response, body);
        if intent != Intent::Pass && response.status() == 206 {
            return Ok(Plan::Pass);
        }
        Ok(match intent {
            Intent::Pass => Plan::Pass,
            Intent::Collect(limit) => Plan::Collect(limit),
            Intent::Stream { kind, coding } => {
                let around = self.response.around(kind, &(request, response));
                if coding.is_some() {
                    response.remove_header(CONTENT_ENCODING);
                }
                Plan::stream(Streamed::new(&self.response, around, coding))
            }
        })
    }

    fn receive(&self, request: &Request, response: &Response, body: Vec<u8>) -> Result<Verdict> {
        Ok(
            match self.response.change(&body, response, &(request, response)) {
                Ok(Outcome::Unchanged) => Verdict::Unchanged,
                Ok(Outcome::Changed { body, decoded }) => {
                    if decoded {
                        response.remove_header(CONTENT_ENCODING);
                    }
                    Verdict::Replace(body)
                }
                // Passing it on would hand out what the rules are there to change.
                Err(failure @ Failure::Decode(DecodeError::TooLarge)) => return Err(failure.into()),
                Err(failure) => {
                    log::warn!("response body left as it is: {failure}");
                    Verdict::Unchanged
                }
            },
        )
    }
}

impl BodyMutate {
    /// The head of an answer without a body says what it would have said with one.
    fn adapt_bodiless(&self, request: &Request, response: &Response) {
        if response.status() == 304 {
            if let Some(etag) = response.header("etag")
                && let Some(weak) =
                    head::weak_if_held(&etag, &request.header_values("if-none-match"))
                && let Err(error) = response.set_header("etag", &weak)
            {
                log::debug!("etag left as it is: {error}");
            }
        } else if request.method() == "HEAD" {
            // Whether a rule would find something in the body is not known: the validator is weak either way, and
            // the length is that of the upstream's body.
            let decoded = match self.response.intent(response, BodyKind::Streaming) {
                Intent::Pass => return,
                Intent::Stream { coding, .. } => coding.is_some(),
                Intent::Collect(_) => self.response.would_decode(response),
            };
            head::adapt(response, decoded);
        }
    }
}

sluicegate_plugin::export!(BodyMutate: RequestBody, ResponseBody);
