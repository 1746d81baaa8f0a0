//! The spine: one request's way through the gateway. `Way::admit` and `Way::pass` name every phase in
//! order; the same names are in the README's picture, in metrics and in traces.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::exchange::body::{RequestBody, ResponseBody};
use crate::exchange::client_body::ClientBody;
use crate::exchange::failure::{ClientFailure, Failure, REQUEST_ID, RouteFailure};
use crate::exchange::head::Stage;
use crate::exchange::target::Target;
use crate::exchange::{
    Exchange, Notes, RequestHead, ResponseHead, forwarded, hop_by_hop, new_request_id,
};
use crate::observe::failure_log;
use crate::observe::record::{Record, Recorded};
use crate::plugin::chain::{Chain, Inbound};
use crate::route::Lookup;
use crate::server::connection::Context;
use crate::server::worker::Generation;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::attempt::Sending;
use crate::websocket::handshake::Refusal;

/// Serves one request. Always gives a response: what goes wrong becomes one here.
///
/// # Errors
/// None.
pub fn serve(
    context: &Rc<Context>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Recorded>, Infallible>> + use<> {
    let generation = Rc::clone(&context.worker.generation.borrow());
    let client = forwarded::client(
        context.peer,
        context.scheme,
        &generation.snapshot.trusted_proxies,
        request.headers(),
    );
    let request_id = match request.headers().get(&REQUEST_ID) {
        Some(theirs) if client.trusted && theirs.len() <= 128 => theirs.clone(),
        _ => new_request_id(),
    };
    let mut record = Record::begin(context, &generation, &request, client.address, &request_id);
    let json = asks_for_json(&request);
    let way = Way {
        context: Rc::clone(context),
        generation,
    };
    let admitted = way.admit(request, client, request_id.clone(), &mut record);
    async move {
        let result = match admitted {
            Ok(admitted) => way.pass(admitted).await,
            Err(failure) => Err(failure),
        };
        let response = match result {
            Ok(response) => response,
            Err(failure) => {
                failure_log::failed(&request_id, &failure);
                record.failed(&failure);
                if matches!(failure, Failure::Client(_)) {
                    way.context.signals.answer_refusal();
                }
                failure.respond(&request_id, json).map(ResponseBody::whole)
            }
        };
        Ok(record.attach(response))
    }
}

/// What a request passes through: first [`Way::admit`], which never waits, then [`Way::pass`].
struct Way {
    context: Rc<Context>,
    generation: Rc<Generation>,
}

/// A request that has been read, checked and matched.
struct Admitted {
    exchange: Box<Exchange>,
    body: RequestBody,
    version: Version,
}

impl Way {
    /// The phases up to the first plugin, in order. They are not part of the future: it stays small.
    fn admit(
        &self,
        request: Request<Incoming>,
        client: crate::exchange::Client,
        request_id: HeaderValue,
        record: &mut Record,
    ) -> Result<Admitted, Failure> {
        let snapshot = &self.generation.snapshot;
        let version = request.version();
        let (parts, incoming) = request.into_parts();

        // Validate and normalise: one reading of the target for routes, plugins and the upstream.
        let target = normalise(&parts)?;
        let host = parts
            .headers
            .get(HOST)
            .cloned()
            .unwrap_or(HeaderValue::from_static(""));
        let body = accept_body(incoming, snapshot)?;

        // Match route.
        let (route, params) = match_route(snapshot, &host, &target, &parts.method)?;
        record.matched(route.0, &route.1.name);
        if let Some(room) = &route.1.concurrency {
            match Arc::clone(room).try_acquire_owned() {
                Ok(place) => record.keep(place),
                Err(_) => return Err(Failure::Limit("too many requests")),
            }
        }

        // Strip hop-by-hop headers, before any plugin can add one that a client has named.
        let mut headers = parts.headers;
        hop_by_hop::strip(&mut headers);
        self.context.forwarded.write(&mut headers, &client, &host);
        headers.insert(REQUEST_ID.clone(), request_id.clone());

        let matched_path = if params.is_empty() {
            Box::default()
        } else {
            target.path().into()
        };
        let exchange = Box::new(Exchange {
            snapshot: Arc::clone(snapshot),
            route: route.0,
            client,
            request_id,
            request: RequestHead {
                received_method: parts.method.clone(),
                method: parts.method,
                target,
                host,
                authority: None,
                headers,
                matched_path,
                params,
                upstream: None,
                balance_key: None,
                stage: Stage::Inbound,
                added: 0,
            },
            response: None,
            notes: Notes::default(),
        });
        Ok(Admitted {
            exchange,
            body,
            version,
        })
    }

    /// The phases from the first plugin on, in order.
    async fn pass(&self, admitted: Admitted) -> Result<Response<ResponseBody>, Failure> {
        let Admitted {
            mut exchange,
            body,
            version,
        } = admitted;
        let route = self
            .generation
            .snapshot
            .routes
            .get(exchange.route)
            .ok_or_else(no_such)?;
        let began = Instant::now();
        let mut chain = Chain::new(&self.generation.layers, &route.layers);

        // Director chain, in order. Every edit is validated when it is made, so what comes out is
        // as valid as what went in: a plugin can't set framing or write a second request.
        let inbound = if chain.is_empty() {
            Inbound::Forward(body)
        } else {
            // Boxed, as all that most requests don't need: it would make every future larger.
            Box::pin(chain.inbound(&mut exchange, body)).await?
        };
        exchange.request.stage = Stage::Sent;

        let (body, layers) = match inbound {
            Inbound::Reply { passed, body } => (body, passed),
            Inbound::Forward(body) => {
                // Pick target, send, strip hop-by-hop headers.
                let body = self
                    .send(&mut exchange, route, body, version, began)
                    .await?;
                (body, chain.len())
            }
        };

        // Modify-response chain, in reverse.
        let body = if layers == 0 {
            body
        } else {
            Box::pin(chain.outbound(&mut exchange, body, layers)).await?
        };

        // Write.
        respond(*exchange, body)
    }

    /// Sends the request to a target of its upstream; the response's head comes into the exchange.
    async fn send(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        body: RequestBody,
        version: Version,
        began: Instant,
    ) -> Result<ResponseBody, Failure> {
        let upstream = self
            .generation
            .snapshot
            .upstreams
            .get(exchange.request.upstream.unwrap_or(route.upstream))
            .ok_or_else(no_such)?;
        let sending = Sending {
            pool: &self.generation.pool,
            upstream,
            preserve_host: route.preserve_host,
            began,
            deadline: began + route.timeout,
            interim: (version != Version::HTTP_10)
                .then(|| Arc::clone(&self.context.signals.interim)),
        };
        let (parts, body) = sending.send(exchange, body).await?.into_parts();
        let mut headers = parts.headers;
        hop_by_hop::strip(&mut headers);
        exchange.response = Some(ResponseHead::new(parts.status, headers));
        Ok(ResponseBody::Source(body))
    }
}

fn no_such() -> Failure {
    Failure::Internal("the snapshot is inconsistent".to_owned())
}

fn normalise(parts: &http::request::Parts) -> Result<Target, Failure> {
    let path = parts
        .uri
        .path_and_query()
        .cloned()
        .ok_or(ClientFailure::Malformed("malformed request target"))?;
    Target::from_client(path).map_err(|error| {
        ClientFailure::Malformed(match error {
            crate::exchange::target::TargetError::AboveRoot => "the path climbs above its root",
            _ => "malformed request target",
        })
        .into()
    })
}

/// A body that is known to be too large is refused before any of it is read.
fn accept_body(incoming: Incoming, snapshot: &Snapshot) -> Result<RequestBody, Failure> {
    let limit = snapshot.limits.body_bytes;
    if let (Some(limit), Some(length)) = (limit, incoming.size_hint().exact())
        && length > limit
    {
        return Err(ClientFailure::BodyTooLarge.into());
    }
    Ok(if incoming.is_end_stream() {
        RequestBody::Empty
    } else {
        RequestBody::Source(ClientBody::new(incoming, limit))
    })
}

type Matched<'a> = ((usize, &'a Route), crate::route::Params);

fn match_route<'a>(
    snapshot: &'a Snapshot,
    host: &HeaderValue,
    target: &Target,
    method: &http::Method,
) -> Result<Matched<'a>, Failure> {
    let name = host_name(host.to_str().unwrap_or(""));
    let lookup = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        snapshot
            .table
            .find(&name.to_ascii_lowercase(), target.path(), method)
    } else {
        snapshot.table.find(name, target.path(), method)
    };
    match lookup {
        Lookup::Found { route, .. } if snapshot.hub(route).is_some() => {
            Err(Refusal::NoUpgrade.into())
        }
        Lookup::Found { route, params } => {
            let entry = snapshot.routes.get(route).ok_or_else(no_such)?;
            Ok(((route, entry), params))
        }
        Lookup::MethodNotAllowed { allow } => {
            let names: Vec<&str> = allow.iter().map(http::Method::as_str).collect();
            Err(RouteFailure::MethodNotAllowed {
                allow: names.join(", "),
            }
            .into())
        }
        Lookup::NotFound => Err(RouteFailure::NotFound.into()),
    }
}

/// A Host without its port, and without the dot that may end a full name.
fn host_name(host: &str) -> &str {
    let end = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => colon,
        _ => host.len(),
    };
    let name = host.get(..end).unwrap_or(host);
    name.strip_suffix('.').unwrap_or(name)
}

fn asks_for_json(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"))
}

fn respond(exchange: Exchange, body: ResponseBody) -> Result<Response<ResponseBody>, Failure> {
    let mut head = exchange
        .response
        .ok_or_else(|| Failure::Internal("no response".to_owned()))?;
    // A plugin may have made a 204 of a response with a body (RFC 9110, section 8.6).
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_host_is_matched_without_port_and_final_dot() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example.", "a.example"),
            ("a.example.:80", "a.example"),
            ("a.example:80", "a.example"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(host), name);
        }
    }
}
