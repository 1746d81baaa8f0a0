//! A listener that sends everybody to https.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::LOCATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode};

use super::failure::{ClientFailure, REQUEST_ID};
use crate::config::Redirect;

/// 308 to the same host, path and query by https (RFC 9110, section 15.4.9): method and body stay as they are.
///
/// # Errors
/// The client has not said which host it means: then there is none to send it to.
pub fn to_https(
    redirect: Redirect,
    host: &HeaderValue,
    target: &PathAndQuery,
    request_id: &HeaderValue,
) -> Result<Response<Bytes>, ClientFailure> {
    let host = host.to_str().ok().map(without_port);
    let host = host
        .filter(|host| !host.is_empty())
        .ok_or(ClientFailure::Malformed("a redirect needs a Host"))?;
    let mut location = format!("https://{host}");
    if redirect.port != 443 {
        let _ = write!(location, ":{}", redirect.port);
    }
    // "*", of OPTIONS, is no path.
    if target.as_str().starts_with('/') {
        location.push_str(target.as_str());
    } else {
        location.push('/');
    }
    let location = HeaderValue::from_str(&location)
        .map_err(|_| ClientFailure::Malformed("a redirect needs a Host"))?;
    let mut response = Response::new(Bytes::from_static(b"308 this is spoken by https only\n"));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(REQUEST_ID.clone(), request_id.clone());
    Ok(response)
}

/// A colon inside of brackets belongs to the address.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_by_https() {
        let id = HeaderValue::from_static("id");
        for (port, host, target, expected) in [
            (443, "a.example", "/", "https://a.example/"),
            (
                443,
                "a.example:8080",
                "/x%2Fy?q=1",
                "https://a.example/x%2Fy?q=1",
            ),
            (
                8443,
                "a.example:80",
                "//b.example/..",
                "https://a.example:8443//b.example/..",
            ),
            (443, "[::1]:80", "/", "https://[::1]/"),
            (8443, "[::1]", "*", "https://[::1]:8443/"),
        ] {
            let host = HeaderValue::from_static(host);
            let target = PathAndQuery::from_static(target);
            let response = to_https(Redirect { port }, &host, &target, &id).unwrap();
            assert_eq!(response.status(), 308);
            assert_eq!(response.headers()["location"], expected);
        }
        let target = PathAndQuery::from_static("/");
        let nowhere = HeaderValue::from_static("");
        assert!(to_https(Redirect { port: 443 }, &nowhere, &target, &id).is_err());
    }
}
