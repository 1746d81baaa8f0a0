//! What a client sees of failures.

use http::header::{ALLOW, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, Version};

use super::respond::PROXY_STATUS;
use super::*;

#[test]
fn inside_texts_do_not_reach_the_client() {
    let failures = [
        Failure::Plugin("secret".into()),
        Failure::Internal("secret".into()),
        Failure::Upstream(UpstreamFailure::NoTarget {
            upstream: "secret".into(),
        }),
        Failure::Upstream(UpstreamFailure::Connect {
            target: "secret".into(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        }),
    ];
    for failure in failures {
        for form in [Form::Text, Form::Json, Form::Grpc] {
            let response = failure.respond(&HeaderValue::from_static("id"), form);
            assert!(!format!("{response:?}").contains("secret"), "{response:?}");
            assert!(response.headers().contains_key(&PROXY_STATUS));
            assert_eq!(response.headers().get(&REQUEST_ID).unwrap(), "id");
        }
    }
}

#[test]
fn each_timeout_has_a_status_of_its_own() {
    let (target, limit) = (String::new, Duration::from_secs(1));
    let timeouts = [
        UpstreamFailure::ConnectTimeout {
            target: target(),
            limit,
        },
        UpstreamFailure::ResponseTimeout {
            target: target(),
            limit,
        },
        UpstreamFailure::RouteTimeout {
            target: target(),
            limit,
        },
        UpstreamFailure::IdleTimeout { limit },
    ];
    let expected = [
        "connection_timeout",
        "http_response_timeout",
        "http_response_timeout; details=\"route timeout\"",
        "connection_read_timeout",
    ];
    for (timeout, expected) in timeouts.into_iter().zip(expected) {
        let response = Failure::from(timeout).respond(&HeaderValue::from_static("id"), Form::Text);
        assert_eq!(response.status(), 504);
        let status = response.headers().get(&PROXY_STATUS).unwrap();
        assert_eq!(status, &format!("sluicegate; error={expected}"));
    }
}

#[test]
fn a_body_breaks_off_for_a_reason() {
    let reason = |error: BodyError| Failure::of_response_body(&error).error_type();
    assert_eq!(reason("broken".into()), "http_response_incomplete");
    let silence = Silence(Duration::from_secs(1));
    assert_eq!(reason(silence.into()), "connection_read_timeout");
    let plugin = BrokeBody("name".into());
    assert_eq!(reason(plugin.into()), "proxy_internal_error");
}

#[test]
fn a_503_says_when_to_come_back_and_a_405_what_is_allowed() {
    let id = HeaderValue::from_static("id");
    let response = Failure::Limit("too many").respond(&id, Form::Text);
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
    let failure = RouteFailure::MethodNotAllowed {
        allow: "GET, HEAD".into(),
    };
    let response = Failure::from(failure).respond(&id, Form::Json);
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers().get(ALLOW).unwrap(), "GET, HEAD");
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["request_id"], "id");
}

#[test]
fn a_client_of_grpc_reads_a_status_in_the_head() {
    let respond = |failure: Failure| -> Response<_> {
        failure.respond(&HeaderValue::from_static("id"), Form::Grpc)
    };
    let limit = Duration::from_secs(1);
    for (failure, code, message) in [
        (RouteFailure::NotFound.into(), "12", "no route"),
        (
            UpstreamFailure::IdleTimeout { limit }.into(),
            "4",
            "upstream timed out",
        ),
        (
            Failure::BrokenBody("secret".into()),
            "14",
            "upstream failed",
        ),
        (
            Failure::Limit("too many requests"),
            "14",
            "too many requests",
        ),
        (Failure::Plugin("secret".into()), "13", "plugin failed"),
        (
            ClientFailure::BodyTooLarge.into(),
            "8",
            "request body too large",
        ),
    ] {
        let response = respond(failure);
        assert_eq!(
            (response.status(), response.body().len()),
            (StatusCode::OK, 0)
        );
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["grpc-status"], code);
        assert_eq!(headers["grpc-message"], message);
    }
}

#[test]
fn an_answer_has_the_form_that_its_client_reads() {
    let form = |version, name, value| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Form::asked_for(version, &headers)
    };
    let (old, new) = (Version::HTTP_11, Version::HTTP_2);
    assert_eq!(
        form(new, "content-type", "application/grpc+proto"),
        Form::Grpc
    );
    assert_eq!(form(old, "content-type", "application/grpc"), Form::Text);
    assert_eq!(form(new, "accept", "application/json, */*"), Form::Json);
    assert_eq!(form(old, "accept", "text/html"), Form::Text);
}
