//! Answers that plugins make themselves, and which responses have a body for plugins at all.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use super::bindings::sluicegate::plugin::http::Reply;
use super::failure::HookFailure;
use super::host_log::printable;
use crate::exchange::body::ResponseBody;
use crate::exchange::edit::Budget;
use crate::exchange::{Exchange, ResponseHead, edit, representation};
use crate::http1::response;

/// Puts a plugin's own answer into the exchange; returns its body.
pub(super) fn accept(exchange: &mut Exchange, reply: Reply) -> Result<ResponseBody, HookFailure> {
    let (head, body) = checked(reply, exchange.snapshot.head_budget)?;
    exchange.response = Some(head);
    if has_no_body(exchange) {
        return Ok(ResponseBody::Empty);
    }
    if let Some(response) = &mut exchange.response {
        representation::collected(&mut response.headers, body.len());
    }
    Ok(ResponseBody::whole(body))
}

/// A plugin's own answer as a head and a body, if it is one that can be sent.
pub(super) fn checked(
    reply: Reply,
    budget: Budget,
) -> Result<(ResponseHead, Vec<u8>), HookFailure> {
    let status = edit::status(reply.status)
        .map_err(|_| HookFailure::BadAnswer(format!("status {}", reply.status)))?;
    let bytes: usize = reply
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if reply.headers.len() > budget.fields || bytes > budget.bytes {
        let fields = reply.headers.len();
        let what = format!("{fields} fields of {bytes} bytes");
        return Err(HookFailure::BadAnswer(what));
    }
    // `with_capacity` panics beyond what a map can hold, which the limits may allow.
    let mut headers = HeaderMap::try_with_capacity(reply.headers.len())
        .map_err(|_| HookFailure::BadAnswer("too many fields".to_owned()))?;
    for (name, value) in reply.headers {
        let bad = |what: &str| {
            HookFailure::BadAnswer(format!("{what} of field \"{}\"", printable(&name)))
        };
        match edit::field_name(&name) {
            // The host frames the answer; what a plugin says about that is ignored.
            Err(edit::EditError::Forbidden(_)) => {}
            Err(_) => return Err(bad("name")),
            Ok(field) => {
                let value = HeaderValue::try_from(value).map_err(|_| bad("value"))?;
                headers
                    .try_append(field, value)
                    .map_err(|_| bad("number"))?;
            }
        }
    }
    Ok((ResponseHead::new(status, headers), reply.body))
}

/// Whether this response has no body whatever its head says (RFC 9112, section 6.3).
pub fn has_no_body(exchange: &Exchange) -> bool {
    let is_head = exchange.request.received_method == Method::HEAD;
    let status = exchange.response.as_ref().map(|response| response.status);
    status.map_or(is_head, |status| response::has_no_body(status, is_head))
}

/// Whether this response makes a tunnel of its connection: it has no body, and never gets one.
pub(super) fn is_switch(exchange: &Exchange) -> bool {
    let response = exchange.response.as_ref();
    response.is_some_and(|response| response.status == StatusCode::SWITCHING_PROTOCOLS)
}

pub(super) fn is_event_stream(exchange: &Exchange) -> bool {
    exchange
        .response
        .as_ref()
        .and_then(|response| response.headers.get(CONTENT_TYPE))
        .is_some_and(|value| {
            let media_type = value
                .as_bytes()
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or(&[]);
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(b"text/event-stream")
        })
}
