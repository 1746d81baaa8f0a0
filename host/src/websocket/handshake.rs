//! The opening handshake (RFC 6455, section 4.2): whether a request may become a connection, and the answer that makes
//! it one. Nothing here does I/O or knows of hubs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use sha1::{Digest as _, Sha1};

use super::extension::{self, Agreement};

/// The one version there is.
const VERSION: &str = "13";
/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a request is measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Which web pages may connect.
    pub origins: Origins,
    /// Whether permessage-deflate is spoken.
    pub deflate: bool,
}

/// Which web pages may connect. Who sends no `Origin` is none, and may.
///
/// A browser sends a page's WebSocket request with the cookies of the host that it goes to, whatever page it is, and
/// asks nobody: an endpoint that believes cookies and does not look at the origin serves every page of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// Those of the same host and port as the request, and these: in lower case, as `https://example.com`.
    Listed(Vec<String>),
}

/// A request that may become a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    accept: HeaderValue,
    /// The subprotocols that the client speaks, the ones it likes best first.
    pub subprotocols: Vec<String>,
    /// What has been agreed on.
    pub deflate: Option<Agreement>,
}

/// Why a request does not become a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 426: not asked for, or not in HTTP/1.1.
    #[error("this is a WebSocket: an upgrade is required")]
    NoUpgrade,
    /// 426, with the version that is spoken.
    #[error("another version of the WebSocket protocol is required")]
    Version,
    /// 405
    #[error("a WebSocket is opened with GET")]
    Method,
    /// 400
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// 403
    #[error("this origin may not connect")]
    Origin,
    /// 503: there are as many connections as there may be.
    #[error("too many connections")]
    Full,
    /// 429: there are as many connections of this client's address as there may be.
    #[error("too many connections from this address")]
    Address,
}

impl Refusal {
    /// The status that it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Address => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// What is wrong, in words for the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoUpgrade => "a WebSocket upgrade is required",
            Self::Version => "another WebSocket version is required",
            Self::Method => "method not allowed",
            Self::Malformed(reason) => reason,
            Self::Origin => "this origin may not connect",
            Self::Full => "too many connections",
            Self::Address => "too many connections from this address",
        }
    }

    /// The fields that tell the client how to do it right.
    pub fn add_fields(self, headers: &mut HeaderMap) {
        let mut put = |name: HeaderName, value| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        match self {
            Self::NoUpgrade | Self::Version => {
                put(UPGRADE, "websocket");
                put(CONNECTION, "Upgrade");
                put(SEC_WEBSOCKET_VERSION, VERSION);
            }
            Self::Method => put(http::header::ALLOW, "GET"),
            Self::Full | Self::Address => put(http::header::RETRY_AFTER, "1"),
            Self::Malformed(_) | Self::Origin => {}
        }
    }
}

/// Looks at a request as it came, with its hop-by-hop fields.
///
/// # Errors
/// What it is to be answered instead.
pub fn check(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    rules: &Rules,
) -> Result<Handshake, Refusal> {
    if version != Version::HTTP_11
        || !has_token(headers, &UPGRADE, "websocket")
        || !has_token(headers, &CONNECTION, "upgrade")
    {
        return Err(Refusal::NoUpgrade);
    }
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if sole(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Refusal::Version);
    }
    // What followed it would be taken for frames.
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get_all(CONTENT_LENGTH)
            .iter()
            .any(|length| length.as_bytes() != b"0");
    if has_body {
        return Err(Refusal::Malformed("a WebSocket handshake has no body"));
    }
    let key = sole(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| BASE64.decode(key).is_ok_and(|key| key.len() == 16))
        .ok_or(Refusal::Malformed("Sec-WebSocket-Key"))?;
    if !rules.origins.admit(headers) {
        return Err(Refusal::Origin);
    }
    let subprotocols = list(headers, &SEC_WEBSOCKET_PROTOCOL)
        .map(str::to_owned)
        .collect();
    let deflate = rules
        .deflate
        .then(|| extension::negotiate(headers.get_all(SEC_WEBSOCKET_EXTENSIONS)))
        .flatten();
    Ok(Handshake {
        accept: accept(key),
        subprotocols,
        deflate,
    })
}

impl Handshake {
    /// The head of the answer, after which the connection's bytes are frames.
    pub fn respond(&self, subprotocol: Option<&str>) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(Ok(value)) = subprotocol.map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        if let Some(Ok(value)) = self
            .deflate
            .map(|deflate| HeaderValue::from_str(&deflate.answer()))
        {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        response
    }

    /// The first of these that the client speaks.
    pub fn speaks<'p>(&self, ours: impl IntoIterator<Item = &'p str>) -> Option<&'p str> {
        ours.into_iter()
            .find(|name| self.subprotocols.iter().any(|theirs| theirs == name))
    }
}

impl Origins {
    fn admit(&self, headers: &HeaderMap) -> bool {
        let Self::Listed(listed) = self else {
            return true;
        };
        let mut origins = headers.get_all(ORIGIN).iter();
        let (origin, None) = (origins.next(), origins.next()) else {
            return false;
        };
        let Some(origin) = origin else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let is_listed = listed.iter().any(|one| one.eq_ignore_ascii_case(origin));
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        let host = sole(headers, &HOST);
        is_listed
            || matches!((authority, host), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
    }
}

/// RFC 6455, section 4.2.2.
fn accept(key: &str) -> HeaderValue {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    HeaderValue::try_from(BASE64.encode(hash.finalize())).unwrap_or(HeaderValue::from_static(""))
}

/// A field that has to be there once.
fn sole<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The items of a field that is a list.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [(&str, &str); 5] = [
        ("host", "example.com:8080"),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn rules() -> Rules {
        Rules {
            origins: Origins::Listed(vec!["https://friend.example".to_owned()]),
            deflate: true,
        }
    }

    /// The sample request with these fields in place of its own; an empty value takes one away.
    fn headers(changes: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let put = |headers: &mut HeaderMap, name: &str, value: &str| {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        };
        for (name, value) in REQUEST {
            if !changes.iter().any(|(other, _)| *other == name) {
                put(&mut headers, name, value);
            }
        }
        for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            put(&mut headers, name, value);
        }
        headers
    }

    fn checked(changes: &[(&str, &str)]) -> Result<Handshake, Refusal> {
        check(&Method::GET, Version::HTTP_11, &headers(changes), &rules())
    }

    #[test]
    fn the_example_of_the_rfc() {
        let response = checked(&[]).unwrap().respond(None);
        assert_eq!(response.status(), 101);
        let headers = response.headers();
        assert_eq!(
            headers[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn a_subprotocol_and_an_extension_are_answered() {
        let handshake = checked(&[
            ("sec-websocket-protocol", "a, b"),
            ("sec-websocket-protocol", "c"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ])
        .unwrap();
        assert_eq!(handshake.subprotocols, ["a", "b", "c"]);
        assert_eq!(handshake.speaks(["x", "c", "a"]), Some("c"));
        assert_eq!(handshake.speaks(["x"]), None);
        let response = handshake.respond(Some("c"));
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "c");
        assert!(response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS));
    }

    #[test]
    fn what_is_refused() {
        for (changes, refusal) in [
            (&[("upgrade", "")][..], Refusal::NoUpgrade),
            (&[("upgrade", "h2c")], Refusal::NoUpgrade),
            (&[("connection", "keep-alive")], Refusal::NoUpgrade),
            (&[("sec-websocket-version", "")], Refusal::Version),
            (&[("sec-websocket-version", "8")], Refusal::Version),
            (
                &[
                    ("sec-websocket-version", "13"),
                    ("sec-websocket-version", "8"),
                ],
                Refusal::Version,
            ),
            (
                &[("sec-websocket-key", "")],
                Refusal::Malformed("Sec-WebSocket-Key"),
            ),
            (
                &[("sec-websocket-key", "c2hvcnQ=")],
                Refusal::Malformed("Sec-WebSocket-Key"),
            ),
            (
                &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")],
                Refusal::Malformed("Sec-WebSocket-Key"),
            ),
            (
                &[("content-length", "5")],
                Refusal::Malformed("a WebSocket handshake has no body"),
            ),
            (
                &[("transfer-encoding", "chunked")],
                Refusal::Malformed("a WebSocket handshake has no body"),
            ),
            (&[("origin", "https://evil.example")], Refusal::Origin),
            (&[("origin", "null")], Refusal::Origin),
            (&[("origin", "https://example.com")], Refusal::Origin),
            (
                &[("origin", "https://friend.example"), ("origin", "null")],
                Refusal::Origin,
            ),
        ] {
            assert_eq!(checked(changes), Err(refusal), "{changes:?}");
        }
        let headers = headers(&[]);
        assert_eq!(
            check(&Method::GET, Version::HTTP_10, &headers, &rules()),
            Err(Refusal::NoUpgrade)
        );
        assert_eq!(
            check(&Method::POST, Version::HTTP_11, &headers, &rules()),
            Err(Refusal::Method)
        );
    }

    #[test]
    fn who_may_connect() {
        for origin in [
            "https://friend.example",
            "https://Friend.example",
            "http://example.com:8080",
        ] {
            assert!(checked(&[("origin", origin)]).is_ok(), "{origin}");
        }
        assert!(checked(&[("content-length", "0")]).is_ok());
        let any = Rules {
            origins: Origins::Any,
            deflate: false,
        };
        let headers = headers(&[("origin", "https://evil.example")]);
        assert!(check(&Method::GET, Version::HTTP_11, &headers, &any).is_ok());
    }

    #[test]
    fn a_426_says_what_is_spoken() {
        let mut headers = HeaderMap::new();
        Refusal::Version.add_fields(&mut headers);
        assert_eq!(headers[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(headers[UPGRADE], "websocket");
    }
}
