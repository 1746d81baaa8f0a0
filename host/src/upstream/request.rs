//! The request as a target gets it.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;

use super::attempt::Sending;
use super::target::Target;
use crate::exchange::Exchange;
use crate::exchange::body::RequestBody;
use crate::exchange::client_body::Gate;
use crate::exchange::failure::Failure;

impl Sending<'_> {
    /// The request as it goes to this target.
    pub(super) fn request(
        &self,
        exchange: &Exchange,
        target: &Target,
        mut body: RequestBody,
    ) -> Result<Request<RequestBody>, Failure> {
        let head = &exchange.request;
        let path = head
            .target
            .join(&target.base_path)
            .map_err(|error| Failure::Internal(format!("request target: {error}")))?;
        let host = match &head.authority {
            Some(authority) => authority,
            None if self.preserve_host => &head.host,
            None => &target.host,
        };
        let mut headers = head.headers.clone();
        headers.insert(HOST, host.clone());
        let gate = hold_for_continue(&mut headers, &mut body);
        // hyper drops a body of unknown length from GET and HEAD unless it is told how to frame it.
        if !body.is_end_stream()
            && body.size_hint().exact().is_none()
            && !headers.contains_key(CONTENT_LENGTH)
        {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        if let Some(interim) = &self.interim {
            let interim = Arc::clone(interim);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    // hyper's server sends its own 100 when the body is asked for.
                    if let Some(gate) = &gate {
                        gate.open();
                    }
                } else {
                    interim.push(response.status(), response.headers());
                }
            });
        }
        Ok(request)
    }
}

/// Where the client waits to be asked for its body, the body waits for the upstream to ask.
fn hold_for_continue(headers: &mut HeaderMap, body: &mut RequestBody) -> Option<Arc<Gate>> {
    if !headers.contains_key(EXPECT) {
        return None;
    }
    if let RequestBody::Source(body) = body {
        return Some(body.hold());
    }
    // The body is here already, or a plugin is reading it: nobody has to ask for it.
    headers.remove(EXPECT);
    None
}
