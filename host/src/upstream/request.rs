//! The request as a target gets it.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, UPGRADE};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body as _;

use super::attempt::Sending;
use super::connect::proxied::Absolute;
use super::connection::Form;
use super::link::Link;
use super::target::Target;
use crate::exchange::body::RequestBody;
use crate::exchange::client_body::Gate;
use crate::exchange::trailers::announced;
use crate::exchange::{Exchange, Failure, RequestHead};
use crate::http1::grammar::members;
use crate::http1::outbox::{Encoder, Outbox};

impl Sending<'_> {
    /// Begins the exchange on a connection to this target. What comes back is to be opened when the target
    /// asks for the body.
    pub(super) fn begin(
        &self,
        link: &mut Link,
        exchange: &Exchange,
        target: &Target,
        mut body: RequestBody,
    ) -> Result<Option<Rc<Gate>>, Failure> {
        let head = &exchange.request;
        let absolute = match link {
            Link::Http1(connection) if connection.is_to_proxy => target.way.absolute(),
            _ => None,
        };
        let is_http2 = matches!(link, Link::Http2(_));
        let host = match &head.authority {
            // A proxy puts the URL's host into it anyway (RFC 9112, section 3.2.2).
            _ if absolute.is_some() => &target.host,
            Some(authority) => authority,
            // HTTP/2 has no request without a host; HTTP/1.0 does.
            None if self.preserve_host && !(is_http2 && head.host.is_empty()) => &head.host,
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
        let body = if encoder == Encoder::None {
            RequestBody::Empty
        } else {
            body
        };
        let is_proxied = target.way.proxied.is_some();
        let is_done_with = |name: &HeaderName| {
            let is_expect = name == EXPECT && gate.is_none() && (is_expecting || is_1_0);
            let is_for_proxy = is_proxied && is_for_proxy(name);
            name == HOST || name == CONTENT_LENGTH || is_expect || is_for_proxy
        };
        let connection = match link {
            Link::Http1(connection) => connection,
            Link::Http2(stream) => {
                let mut request = Request::new(());
                *request.method_mut() = head.method.clone();
                *request.uri_mut() = uri(head, host, target)?;
                for (name, value) in &head.headers {
                    if !is_done_with(name) {
                        request.headers_mut().append(name, value.clone());
                    }
                }
                let length = match encoder {
                    Encoder::Length(length) => Some(length),
                    Encoder::None if head.headers.contains_key(CONTENT_LENGTH) => Some(0),
                    _ => None,
                };
                if let Some(length) = length {
                    request.headers_mut().insert(CONTENT_LENGTH, length.into());
                }
                stream.begin(request, body);
                return Ok(gate);
            }
        };
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
            if let Some(credentials) = absolute.and_then(Absolute::authorization) {
                out.put_field(&PROXY_AUTHORIZATION, credentials);
            }
            for (name, value) in &head.headers {
                if !is_done_with(name) {
                    out.put_field(name, value);
                }
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
        let form = Form {
            encoder,
            announced: match encoder {
                Encoder::Chunked => announced(&head.headers),
                _ => Vec::new(),
            },
            is_head: head.method == Method::HEAD,
        };
        connection.begin(put_head, body, form);
        Ok(gate)
    }
}

/// Whether a field is for a proxy. One of the client's must not speak for us to ours.
fn is_for_proxy(name: &HeaderName) -> bool {
    name.as_str().starts_with("proxy-")
}

/// The target of a request as HTTP/2 has it.
fn uri(head: &RequestHead, host: &HeaderValue, target: &Target) -> Result<Uri, Failure> {
    let path: String = head.target.written(&target.base_path).collect();
    let made = Uri::builder()
        .scheme(target.scheme())
        .authority(host.as_bytes())
        .path_and_query(path)
        .build();
    made.map_err(|error| Failure::Internal(format!("no HTTP/2 target: {error}")))
}
