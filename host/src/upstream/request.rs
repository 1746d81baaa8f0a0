//! The request as a target gets it.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, UPGRADE};
use http::{HeaderName, Method};
use http_body::Body as _;

use super::attempt::Sending;
use super::connection::{Connection, Form};
use super::target::Target;
use crate::exchange::Exchange;
use crate::exchange::body::RequestBody;
use crate::exchange::client_body::Gate;
use crate::exchange::trailers::announced;
use crate::http1::grammar::members;
use crate::http1::outbox::{Encoder, Outbox};

impl Sending<'_> {
    /// Begins the exchange on a connection to this target. What comes back is to be opened when the target
    /// asks for the body.
    pub(super) fn begin(
        &self,
        connection: &mut Connection,
        exchange: &Exchange,
        target: &Target,
        mut body: RequestBody,
    ) -> Option<Rc<Gate>> {
        let head = &exchange.request;
        let absolute = target.way.absolute().filter(|_| connection.is_to_proxy);
        let host = match &head.authority {
            // A proxy puts the URL's host into it anyway (RFC 9112, section 3.2.2).
            _ if absolute.is_some() => &target.host,
            Some(authority) => authority,
            None if self.preserve_host => &head.host,
            None => &target.host,
        };
        // HTTP/1.0 knows no interim responses, so such a client waits for none (RFC 9110, section 10.1.1).
        let is_expecting = self.interim.is_some()
            && head.headers.get(EXPECT).is_some_and(|value| {
                members(value.as_bytes()).any(|value| value.eq_ignore_ascii_case(b"100-continue"))
            });
        let is_1_0 = self.interim.is_none();
        let gate = match &mut body {
            // Where the client waits to be asked for its body, the body waits for the upstream to ask.
            RequestBody::Source(body) if is_expecting => Some(body.hold()),
            // The body is here already, or a plugin is reading it: nobody has to ask for it.
            _ => None,
        };
        let encoder = if body.is_end_stream() {
            Encoder::None
        } else {
            body.size_hint()
                .exact()
                .map_or(Encoder::Chunked, Encoder::Length)
        };
        let is_proxied = target.way.proxied.is_some();
        let put_head = |out: &mut Outbox| {
            out.put(head.method.as_str().as_bytes());
            out.put(b" ");
            if let Some(absolute) = absolute {
                out.put(absolute.origin.as_bytes());
            }
            for part in head.target.written(&target.base_path) {
                out.put(part.as_bytes());
            }
            out.put(b" HTTP/1.1\r\n");
            out.put_field(&HOST, host);
            if let Some(credentials) = absolute.and_then(|absolute| absolute.authorization) {
                out.put_field(&PROXY_AUTHORIZATION, credentials);
            }
            for (name, value) in &head.headers {
                let is_done_with = name == EXPECT && gate.is_none() && (is_expecting || is_1_0);
                if name == HOST
                    || name == CONTENT_LENGTH
                    || is_done_with
                    || (is_proxied && is_for_proxy(name))
                {
                    continue;
                }
                out.put_field(name, value);
            }
            match encoder {
                Encoder::Length(length) => out.put_length(length),
                Encoder::Chunked => out.put(b"transfer-encoding: chunked\r\n"),
                // An empty body that the client has announced.
                _ if head.headers.contains_key(CONTENT_LENGTH) => out.put_length(0),
                _ => {}
            }
            if let Some(protocols) = &head.upgrade {
                out.put(b"connection: upgrade\r\n");
                out.put_field(&UPGRADE, protocols);
            }
            out.put(b"\r\n");
        };
        let body = if encoder == Encoder::None {
            RequestBody::Empty
        } else {
            body
        };
        let form = Form {
            encoder,
            announced: match encoder {
                Encoder::Chunked => announced(&head.headers),
                _ => Vec::new(),
            },
            is_head: head.method == Method::HEAD,
        };
        connection.begin(put_head, body, form);
        gate
    }
}

/// Whether a field is for a proxy. One of the client's must not speak for us to ours.
fn is_for_proxy(name: &HeaderName) -> bool {
    name.as_str().starts_with("proxy-")
}
