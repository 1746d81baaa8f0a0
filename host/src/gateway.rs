//! The spine: one request's way through the gateway. `Way::admit` and `Way::pass` name every phase in
//! order; the same names are in the README's picture, in metrics and in traces.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use tokio::time::Instant;

use crate::exchange::body::{RequestBody, ResponseBody};
use crate::exchange::failure::{ClientFailure, Failure, Form, REQUEST_ID, RouteFailure};
use crate::exchange::head::Stage;
use crate::exchange::target::Target;
use crate::exchange::{
    Exchange, Notes, RequestHead, ResponseHead, forwarded, grpc, hop_by_hop, new_request_id,
    redirect,
};
use crate::http1::request::Request;
use crate::hub::{Accepted, NotAccepted, WorkerHub};
use crate::observe::failure_log;
use crate::observe::metrics::Metrics;
use crate::observe::record::{Record, Recorded};
use crate::plugin::chain::{Chain, Inbound};
use crate::route::{Lookup, Params};
use crate::server::connection::Context;
use crate::server::downstream::Downstream;
use crate::server::worker::Generation;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::attempt::Sending;
use crate::websocket::handshake::Handshake;
use crate::websocket::tunnel::Opening;
use crate::websocket::upgrade;

/// What a request leads to.
#[derive(Debug)]
pub struct Served {
    /// The response.
    pub response: Response<Recorded>,
    /// What the connection becomes behind it, where that is a 101.
    pub switch: Option<Switch>,
}

/// What a connection becomes behind a 101.
#[derive(Debug)]
pub enum Switch {
    /// Bytes to and from a target.
    Tunnel(Box<Opening>),
    /// A client of a hub.
    Hub(Rc<WorkerHub>, Box<Accepted>),
}

/// A response before it is recorded, and what the connection becomes behind it.
type Answered = (Response<ResponseBody>, Option<Switch>);

/// Serves one request. Always gives a response: what goes wrong becomes one here.
pub fn serve(
    context: &Rc<Context>,
    request: Request,
    downstream: Downstream,
) -> impl Future<Output = Served> + use<> {
    let generation = Rc::clone(&context.worker.generation.borrow());
    let client = forwarded::client(
        context.peer,
        context.scheme,
        &generation.snapshot.trusted_proxies,
        &request.headers,
    );
    let request_id = match request.headers.get(&REQUEST_ID) {
        Some(theirs) if client.trusted && theirs.len() <= 128 => theirs.clone(),
        _ => new_request_id(),
    };
    let protocol = downstream.protocol(request.version);
    let mut record = Record::begin(
        context,
        &generation,
        &request,
        client.address,
        &request_id,
        protocol,
    );
    let form = Form::asked_for(request.version, &request.headers);
    let way = Way {
        context: Rc::clone(context),
        downstream,
        generation,
    };
    let admitted = way.admit(request, client, request_id.clone(), &mut record);
    async move {
        let mut result = match admitted {
            Ok(Admitted::Route(admitted)) => way.pass(admitted).await,
            Ok(Admitted::Hub(admitted)) => Box::pin(admitted.join()).await,
            Ok(Admitted::Redirect(response)) => Ok((response, None)),
            Err(failure) => Err(failure),
        };
        if let Ok((response, None)) = &result
            && way.is_mistakable(response)
        {
            result = Err(Failure::NotSwitched(response.status()));
        }
        let (response, switch) = match result {
            Ok(answered) => answered,
            Err(failure) => {
                failure_log::failed(&request_id, &failure);
                record.failed(&failure);
                if matches!(failure, Failure::Client(_)) {
                    way.downstream.refuse();
                }
                let response = failure.respond(&request_id, form);
                (response.map(ResponseBody::whole), None)
            }
        };
        Served {
            response: record.attach(response),
            switch,
        }
    }
}

/// What a request passes through: first [`Way::admit`], which never waits, then [`Way::pass`].
struct Way {
    context: Rc<Context>,
    downstream: Downstream,
    generation: Rc<Generation>,
}

/// A request that has been read, checked and matched.
enum Admitted {
    /// To a route.
    Route(ToRoute),
    /// To a hub.
    Hub(Box<ToHub>),
    /// To the same place by https.
    Redirect(Response<ResponseBody>),
}

struct ToRoute {
    exchange: Box<Exchange>,
    body: RequestBody,
    version: Version,
    /// Of the whole exchange.
    limit: Option<ExchangeLimit>,
}

/// A WebSocket handshake on a hub's path. There is no upstream, and no chain: the hub's plugins have hooks of their own.
struct ToHub {
    exchange: Box<Exchange>,
    hub: Rc<WorkerHub>,
    handshake: Handshake,
}

impl ToHub {
    async fn join(self: Box<Self>) -> Result<Answered, Failure> {
        let request_id = self.exchange.request_id.clone();
        match self.hub.admit(self.handshake, self.exchange).await {
            Ok((response, accepted)) => {
                let switch = Switch::Hub(self.hub, Box::new(accepted));
                Ok((response.map(|()| ResponseBody::Empty), Some(switch)))
            }
            Err(NotAccepted::Reply(mut reply)) => {
                // So that whoever was refused can say when.
                let headers = reply.headers_mut();
                headers.entry(REQUEST_ID.clone()).or_insert(request_id);
                Ok((reply.map(ResponseBody::whole), None))
            }
            Err(NotAccepted::Failure(failure)) => Err(failure),
        }
    }
}

impl Way {
    /// Whether the client would take a response without a switch for one.
    fn is_mistakable(&self, response: &Response<ResponseBody>) -> bool {
        response.status().is_success() && self.downstream.is_connect()
    }

    /// The phases up to the first plugin, in order. They are not part of the future: it stays small.
    fn admit(
        &self,
        request: Request,
        client: crate::exchange::Client,
        request_id: HeaderValue,
        record: &mut Record,
    ) -> Result<Admitted, Failure> {
        let snapshot = &self.generation.snapshot;
        let Request {
            method,
            target,
            version,
            mut headers,
        } = request;

        // Validate and normalise: one reading of the target for routes, plugins and the upstream.
        let asked_for = self.context.redirect.map(|_| target.clone());
        let target = normalise(target)?;
        let host = headers
            .get(HOST)
            .cloned()
            .unwrap_or(HeaderValue::from_static(""));
        if let (Some(redirect), Some(asked_for)) = (self.context.redirect, asked_for) {
            let response = redirect::to_https(redirect, &host, &asked_for, &request_id)?;
            return Ok(Admitted::Redirect(response.map(ResponseBody::whole)));
        }
        let body = self.downstream.body(snapshot.limits.body_bytes)?;

        // Match route.
        let (index, params) = match_route(snapshot, &host, &target, &method)?;
        let mut handshake = None;
        let mut limit = None;
        if let Some(route) = snapshot.routes.get(index) {
            record.matched(index, &route.name);
            limit = exchange_limit(route, version, &headers);
            if let Some(limit) = limit {
                record.limit(limit.time);
            }
            if let Some(room) = &route.concurrency {
                match Arc::clone(room).try_acquire_owned() {
                    Ok(place) => record.keep(place),
                    Err(_) => return Err(Failure::Limit("too many requests")),
                }
            }
        } else {
            // Or a hub, whose handshake is told from hop-by-hop headers.
            let hubs = &self.generation.hubs;
            let hub = index
                .checked_sub(snapshot.routes.len())
                .and_then(|index| hubs.get(index))
                .ok_or_else(no_such)?;
            record.matched(index, &hub.hub.config.name);
            let checked = hub.check(&method, version, &headers)?;
            handshake = Some((Rc::clone(hub), checked));
        }

        // Strip hop-by-hop headers, before any plugin can add one that a client has named.
        let upgrade = match body {
            RequestBody::Empty => upgrade::asked_for(&headers, version),
            _ => None,
        };
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
            route: index,
            client,
            client_subject: self.context.client_subject.clone(),
            request_id,
            request: RequestHead {
                received_method: method.clone(),
                method,
                target,
                host,
                authority: None,
                headers,
                matched_path,
                params,
                upstream: None,
                balance_key: None,
                upgrade,
                stage: Stage::Inbound,
                added: 0,
            },
            response: None,
            notes: Notes::default(),
        });
        Ok(match handshake {
            None => Admitted::Route(ToRoute {
                exchange,
                body,
                version,
                limit,
            }),
            Some((hub, handshake)) => Admitted::Hub(Box::new(ToHub {
                exchange,
                hub,
                handshake,
            })),
        })
    }

    /// The phases from the first plugin on, in order.
    async fn pass(&self, admitted: ToRoute) -> Result<Answered, Failure> {
        let ToRoute {
            mut exchange,
            body,
            version,
            limit,
        } = admitted;
        let route = self
            .generation
            .snapshot
            .routes
            .get(exchange.route)
            .ok_or_else(no_such)?;
        let began = Instant::now();
        let deadline = began + limit.map_or(route.timeout, |limit| limit.time.min(route.timeout));
        let is_clients_deadline =
            limit.is_some_and(|limit| limit.is_clients && limit.time <= route.timeout);
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
                    .send(
                        &mut exchange,
                        route,
                        body,
                        version,
                        (began, deadline),
                        is_clients_deadline,
                    )
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
        respond(*exchange, body, || self.generation.snapshot.metrics.clone())
    }

    /// Sends the request to a target of its upstream; the response's head comes into the exchange.
    async fn send(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        body: RequestBody,
        version: Version,
        (began, deadline): (Instant, Instant),
        is_clients_deadline: bool,
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
            deadline,
            is_clients_deadline,
            interim: (version != Version::HTTP_10).then_some(&self.downstream),
        };
        let (parts, body) = sending.send(exchange, body).await?.into_parts();
        let mut headers = parts.headers;
        // Which protocol the connection switches to, plugins may know.
        let protocol = match parts.status {
            StatusCode::SWITCHING_PROTOCOLS => headers.get(UPGRADE).cloned(),
            _ => None,
        };
        hop_by_hop::strip(&mut headers);
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
        }
        exchange.response = Some(ResponseHead::new(parts.status, headers));
        Ok(ResponseBody::Source(body))
    }
}

fn no_such() -> Failure {
    Failure::Internal("the snapshot is inconsistent".to_owned())
}

/// How long an exchange may take.
#[derive(Debug, Clone, Copy)]
struct ExchangeLimit {
    time: Duration,
    /// It is the client that wants nothing any more then.
    is_clients: bool,
}

/// How long an exchange may take: by its route, and by a client of gRPC, to whom what comes later is of no use.
fn exchange_limit(route: &Route, version: Version, headers: &HeaderMap) -> Option<ExchangeLimit> {
    // There is no gRPC in HTTP/1.
    let theirs = if version == Version::HTTP_2 && grpc::is_message(headers) {
        grpc::timeout::of(headers)
    } else {
        None
    };
    let of = |time, is_clients| Some(ExchangeLimit { time, is_clients });
    match (route.exchange_timeout, theirs) {
        (Some(ours), Some(theirs)) => of(ours.min(theirs), theirs < ours),
        (Some(ours), None) => of(ours, false),
        (None, Some(theirs)) => of(theirs, true),
        (None, None) => None,
    }
}

fn normalise(target: PathAndQuery) -> Result<Target, Failure> {
    Target::from_client(target).map_err(|error| {
        ClientFailure::Malformed(match error {
            crate::exchange::target::TargetError::AboveRoot => "the path climbs above its root",
            _ => "malformed request target",
        })
        .into()
    })
}

/// The index of the route or hub, and the parameters of its path.
fn match_route(
    snapshot: &Snapshot,
    host: &HeaderValue,
    target: &Target,
    method: &http::Method,
) -> Result<(usize, Params), Failure> {
    let name = host_name(host.to_str().unwrap_or(""));
    let lookup = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        snapshot
            .table
            .find(&name.to_ascii_lowercase(), target.path(), method)
    } else {
        snapshot.table.find(name, target.path(), method)
    };
    match lookup {
        Lookup::Found { route, params } => Ok((route, params)),
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

fn respond(
    exchange: Exchange,
    body: ResponseBody,
    metrics: impl FnOnce() -> Option<Arc<Metrics>>,
) -> Result<Answered, Failure> {
    let mut head = exchange
        .response
        .ok_or_else(|| Failure::Internal("no response".to_owned()))?;
    // A plugin may have made a 204 of a response with a body (RFC 9110, section 8.6).
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
    let (body, switch) = if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let opening = match body {
            ResponseBody::Source(body) => body.into_opening(metrics()),
            _ => None,
        };
        let opening =
            opening.ok_or_else(|| Failure::Internal("101 without a tunnel".to_owned()))?;
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.remove(CONTENT_LENGTH);
        (ResponseBody::Empty, Some(Switch::Tunnel(Box::new(opening))))
    } else {
        if exchange.request.upgrade.is_some() {
            // A plugin has taken the switch back.
            head.headers.remove(UPGRADE);
        }
        (body, None)
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Ok((response, switch))
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
