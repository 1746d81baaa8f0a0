//! A request's head as it comes in HTTP/2, held to the rules of HTTP/1.1: what is passed on must mean the same to whoever
//! reads it there (RFC 9113, section 8.3 and 10.3).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use h2::ext::Protocol;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version};

use crate::exchange::failure::ClientFailure;
use crate::http1::grammar::{self, members};
use crate::http1::request::{Request, is_host, is_target};

/// A request that came in HTTP/2.
#[derive(Debug)]
pub struct Received {
    /// As HTTP/1.1 would have it. An extended CONNECT (RFC 8441) is the `Upgrade` that it stands for.
    pub request: Request,
    /// It is an extended CONNECT: what comes behind its head is no body.
    pub is_connect: bool,
    /// Of its body, where that is said.
    pub length: Option<u64>,
    /// Whether the client waits with the body until it is asked for it.
    pub expects_continue: bool,
}

/// Reads a head of at most `most_fields` fields.
///
/// # Errors
/// What the client is to be refused for.
pub fn read(parts: Parts, most_fields: usize) -> Result<Received, ClientFailure> {
    let Parts {
        method,
        uri,
        mut headers,
        mut extensions,
        ..
    } = parts;
    if headers.len() > most_fields {
        return Err(ClientFailure::HeadTooLarge);
    }
    let protocol = extensions.remove::<Protocol>();
    let is_connect = method == Method::CONNECT;
    if is_connect && protocol.is_none() {
        return Err(ClientFailure::NotImplemented("this is no forward proxy"));
    }
    if headers.values().any(is_padded) {
        return Err(ClientFailure::Malformed("malformed field"));
    }
    if let Some(scheme) = uri.scheme_str()
        && !["http", "https"].contains(&scheme)
    {
        return Err(ClientFailure::Malformed("malformed request target"));
    }
    let target = match uri.path_and_query() {
        Some(target) if is_target(target.as_str().as_bytes()) => target.clone(),
        _ => return Err(ClientFailure::Malformed("malformed request target")),
    };
    check_path(&target, &method)?;
    host(
        &mut headers,
        uri.authority().map(http::uri::Authority::as_str),
    )?;
    join_cookies(&mut headers);
    let length = length(&headers)?;
    let expects_continue = headers.get_all(EXPECT).iter().any(|value| {
        members(value.as_bytes()).any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    });
    let mut request = Request {
        method,
        target,
        version: Version::HTTP_2,
        headers,
    };
    if let Some(protocol) = protocol {
        upgrade(&mut request, &protocol)?;
    }
    Ok(Received {
        request,
        is_connect,
        length,
        expects_continue,
    })
}

/// RFC 9113, section 8.2.1.
fn is_padded(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.trim_ascii().len() != bytes.len()
}

fn check_path(target: &PathAndQuery, method: &Method) -> Result<(), ClientFailure> {
    match target.as_str() {
        "*" if method == Method::OPTIONS => Ok(()),
        path if path.starts_with('/') => Ok(()),
        _ => Err(ClientFailure::Malformed("malformed request target")),
    }
}

/// One Host, from `:authority` or in its place.
fn host(headers: &mut HeaderMap, authority: Option<&str>) -> Result<(), ClientFailure> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(ClientFailure::Malformed("more than one Host"));
    }
    let is_same = |host: &HeaderValue| {
        authority.is_none_or(|authority| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    };
    if host.is_some_and(|host| !is_same(host)) {
        return Err(ClientFailure::Malformed(":authority and Host disagree"));
    }
    let host = match (host, authority) {
        (Some(host), _) => host.clone(),
        (None, Some(authority)) => HeaderValue::from_str(authority)
            .map_err(|_| ClientFailure::Malformed("malformed Host"))?,
        (None, None) => return Err(ClientFailure::Malformed("no Host")),
    };
    if !is_host(host.as_bytes()) {
        return Err(ClientFailure::Malformed("malformed Host"));
    }
    headers.insert(HOST, host);
    Ok(())
}

/// HTTP/2 lets a client send its cookies one by one; everywhere else they are one field (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, ClientFailure> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let malformed = ClientFailure::Malformed("malformed Content-Length");
    if values.next().is_some() {
        return Err(ClientFailure::Malformed("more than one Content-Length"));
    }
    grammar::length(value.as_bytes()).map(Some).ok_or(malformed)
}

/// Makes of an extended CONNECT the request that asks for the same in HTTP/1.1 (RFC 8441, section 5).
fn upgrade(request: &mut Request, protocol: &Protocol) -> Result<(), ClientFailure> {
    let malformed = ClientFailure::Malformed("malformed :protocol");
    let name = protocol.as_str();
    if !grammar::is_tokens(name.as_bytes()) || name.is_empty() {
        return Err(malformed);
    }
    if name.eq_ignore_ascii_case("h2c") {
        // See `websocket::upgrade`.
        return Err(ClientFailure::NotImplemented("no such protocol"));
    }
    let name = HeaderValue::from_str(name).map_err(|_| malformed)?;
    let headers = &mut request.headers;
    if name.as_bytes().eq_ignore_ascii_case(b"websocket") {
        // There is no key in HTTP/2: the handshake proves nothing there. An upstream in HTTP/1.1 wants one.
        let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
        let key = HeaderValue::from_str(&key).map_err(|_| malformed)?;
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    headers.remove(CONTENT_LENGTH);
    headers.insert(UPGRADE, name);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.method = Method::GET;
    request.version = Version::HTTP_11;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request as HttpRequest;

    fn parts(method: &str, uri: &str, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = HttpRequest::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in fields {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let received = read(parts("GET", "https://a.example:8443/x?y", &[]), 100).unwrap();
        assert_eq!(received.request.headers[HOST], "a.example:8443");
        assert_eq!(received.request.target, "/x?y");
        assert_eq!(received.request.version, Version::HTTP_2);
        assert!(!received.is_connect && received.length.is_none());
    }

    #[test]
    fn cookies_become_one_field() {
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let received = read(parts("GET", "http://a/", &fields), 100).unwrap();
        let cookies: Vec<_> = received.request.headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn what_is_refused() {
        for (method, uri, fields, reason) in [
            (
                "GET",
                "http://a/",
                &[("host", "b")][..],
                ":authority and Host disagree",
            ),
            (
                "GET",
                "http://a/",
                &[("host", "a"), ("host", "a")],
                "more than one Host",
            ),
            ("GET", "/", &[], "no Host"),
            ("GET", "/", &[("host", "a b")], "malformed Host"),
            ("GET", "ftp://a/", &[], "malformed request target"),
            ("GET", "http://a/", &[("x", " y")], "malformed field"),
            (
                "GET",
                "http://a/",
                &[("content-length", "+1")],
                "malformed Content-Length",
            ),
            (
                "POST",
                "http://a/",
                &[("content-length", "1"), ("content-length", "1")],
                "more than one Content-Length",
            ),
        ] {
            let refused = read(parts(method, uri, fields), 100).unwrap_err();
            assert_eq!(
                refused,
                ClientFailure::Malformed(reason),
                "{uri} {fields:?}"
            );
        }
        let two = [("a", "1"), ("b", "2")];
        let refused = read(parts("GET", "http://a/", &two), 1).unwrap_err();
        assert_eq!(refused, ClientFailure::HeadTooLarge);
        let refused = read(parts("CONNECT", "a:80", &[]), 100).unwrap_err();
        assert!(matches!(refused, ClientFailure::NotImplemented(_)));
    }

    #[test]
    fn an_extended_connect_is_the_upgrade_that_it_stands_for() {
        let fields = [("sec-websocket-version", "13"), ("origin", "https://a")];
        let mut parts = parts("CONNECT", "https://a/chat", &fields);
        parts.extensions.insert(Protocol::from_static("websocket"));
        let received = read(parts, 100).unwrap();
        let Request {
            method,
            version,
            headers,
            ..
        } = received.request;
        assert!(received.is_connect);
        assert_eq!((method, version), (Method::GET, Version::HTTP_11));
        assert_eq!(headers[UPGRADE], "websocket");
        assert_eq!(headers[SEC_WEBSOCKET_KEY].len(), 24);
        assert_eq!(
            crate::websocket::upgrade::asked_for(&headers, version).unwrap(),
            "websocket"
        );
    }
}
