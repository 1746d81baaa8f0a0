//! Answers of the admin listener.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    allow: Option<&'static str>,
    body: String,
}

impl Answer {
    pub(super) fn text(body: &str) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "text/plain; charset=utf-8",
            allow: None,
            body: body.to_owned(),
        }
    }

    pub(super) fn metrics(body: String) -> Self {
        Self {
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body,
            ..Self::text("")
        }
    }

    pub(super) fn json(value: &Value) -> Self {
        Self {
            content_type: "application/json",
            body: format!("{value:#}\n"),
            ..Self::text("")
        }
    }

    pub(super) fn error(status: StatusCode, error: &str) -> Self {
        Self::errors(status, &[error])
    }

    pub(super) fn errors(status: StatusCode, errors: &[&str]) -> Self {
        Self::json(&serde_json::json!({ "status": status.as_u16(), "errors": errors }))
            .with_status(status)
    }

    pub(super) fn not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::error(StatusCode::METHOD_NOT_ALLOWED, "another method is needed")
        }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The status alone.
    pub(super) fn without_details(self) -> Self {
        let text = if self.status.is_success() {
            "ready\n"
        } else {
            "not ready\n"
        };
        Self::text(text).with_status(self.status)
    }
}

impl From<Answer> for Response<Full<Bytes>> {
    fn from(answer: Answer) -> Self {
        let mut response = Response::new(Full::new(Bytes::from(answer.body)));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = answer.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
