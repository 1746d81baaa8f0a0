//! A failure as the response that a client gets.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode, Version};

use super::{Failure, REQUEST_ID, RouteFailure, UpstreamFailure};
use crate::exchange::grpc;

pub(super) static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A line of text.
    Text,
    /// An object of JSON.
    Json,
    /// No body: gRPC's status in the head, for a client that reads nothing else.
    Grpc,
}

impl Form {
    /// What a client that sends this head can read.
    pub fn asked_for(version: Version, headers: &HeaderMap) -> Self {
        // There is no gRPC in HTTP/1.
        if version == Version::HTTP_2 && grpc::is_message(headers) {
            return Self::Grpc;
        }
        match headers.get(ACCEPT) {
            Some(accept) if accept.as_bytes().starts_with(b"application/json") => Self::Json,
            _ => Self::Text,
        }
    }
}

impl Failure {
    /// The response that the gateway makes of it: status, `proxy-status`, `x-request-id`, and a short body in the form that
    /// the client reads. To gRPC it is 200, and the status is gRPC's.
    pub fn respond(&self, request_id: &HeaderValue, form: Form) -> Response<Bytes> {
        let answer = self.answer();
        let mut body = String::new();
        let id = request_id.to_str().unwrap_or("-");
        let status = answer.status.as_u16();
        let reason = answer.reason;
        let content_type = match form {
            Form::Json => {
                let value =
                    serde_json::json!({ "status": status, "error": reason, "request_id": id });
                let _ = writeln!(body, "{value}");
                "application/json"
            }
            Form::Text => {
                body.reserve(128);
                let _ = writeln!(body, "{status} {reason}\nrequest id: {id}");
                "text/plain; charset=utf-8"
            }
            Form::Grpc => "application/grpc",
        };
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(REQUEST_ID.clone(), request_id.clone());
        // There is one error type for a response that is late; whose patience was at its end is a detail.
        let details = match self {
            Self::Upstream(UpstreamFailure::RouteTimeout { .. }) => {
                "; details=\"route timeout\"".to_owned()
            }
            // Whose forward proxy it is that says no can tell what to do about it by its name only.
            Self::Upstream(UpstreamFailure::Proxy { source, .. }) => source.parameters(),
            _ => String::new(),
        };
        let error = answer.error;
        if let Ok(value) = HeaderValue::from_str(&format!("sluicegate; error={error}{details}")) {
            headers.insert(PROXY_STATUS.clone(), value);
        }
        self.add_own_fields(headers);
        match form {
            Form::Grpc => self.add_grpc_status(headers),
            Form::Text | Form::Json => *response.status_mut() = answer.status,
        }
        response
    }

    /// Adds gRPC's status and message, to a head or to trailers.
    pub fn add_grpc_status(&self, headers: &mut HeaderMap) {
        let answer = self.answer();
        grpc::status::write(headers, answer.status, answer.reason);
    }

    fn add_own_fields(&self, headers: &mut HeaderMap) {
        if let Self::Route(RouteFailure::MethodNotAllowed { allow }) = self
            && let Ok(allow) = HeaderValue::from_str(allow)
        {
            headers.insert(ALLOW, allow);
        }
        if let Self::Handshake(refusal) = self {
            refusal.add_fields(headers);
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }
}
