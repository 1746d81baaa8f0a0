use super::*;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    fields: 8,
};

fn read_bytes(bytes: &[u8]) -> Result<Option<Head>, ClientFailure> {
    let mut fields = Vec::new();
    let Some(head) = find_head(bytes, LIMITS, &mut fields)? else {
        return Ok(None);
    };
    head.request(&Bytes::copy_from_slice(&bytes[..head.length]), &fields)?;
    Ok(Some(head))
}

fn read(text: &str) -> Result<Option<Head>, ClientFailure> {
    read_bytes(text.as_bytes())
}

fn request(text: &str) -> Request {
    let mut fields = Vec::new();
    let head = find_head(text.as_bytes(), LIMITS, &mut fields);
    let head = head.unwrap().unwrap();
    head.request(&Bytes::copy_from_slice(text.as_bytes()), &fields)
        .unwrap()
}

#[test]
fn makes_a_request_of_a_head() {
    let request = request("PURGE /a?b HTTP/1.1\r\nHost: a\r\nX-A: \t1 2 \r\nx-a:\r\n\r\n");
    assert_eq!(request.method.as_str(), "PURGE");
    assert_eq!(request.target, "/a?b");
    assert_eq!(request.version, Version::HTTP_11);
    let values: Vec<&[u8]> = request
        .headers
        .get_all("x-a")
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    assert_eq!(values, [&b"1 2"[..], b""]);
}

#[test]
fn a_target_in_absolute_form_becomes_its_path() {
    for (target, path) in [
        ("http://a", "/"),
        ("http://a?b", "/?b"),
        ("HTTP://a/b?c", "/b?c"),
        ("https://a/", "/"),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(request(&text).target, path, "{target}");
    }
    assert_eq!(request("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").target, "*");
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host_where_there_is_none() {
    let one = request("GET http://b:81/x HTTP/1.0\r\n\r\n");
    assert_eq!(one.headers["host"], "b:81");
    assert_eq!(one.target, "/x");
    let one = request("GET http://b/ HTTP/1.0\r\nhost: b\r\n\r\n");
    assert_eq!(one.headers.get_all("host").iter().count(), 1);
}

#[test]
fn says_whether_the_connection_is_kept_and_the_body_waits() {
    for (version, fields, kept) in [
        ("1.1", "", true),
        ("1.1", "connection: x, Close\r\n", false),
        (
            "1.1",
            "connection: keep-alive\r\nconnection: close\r\n",
            false,
        ),
        ("1.0", "", false),
        ("1.0", "connection: Keep-Alive\r\n", true),
    ] {
        let text = format!("GET / HTTP/{version}\r\nhost: a\r\n{fields}\r\n");
        assert_eq!(read(&text).unwrap().unwrap().keep_alive, kept, "{text}");
    }
    let expecting = |version| {
        let text = format!("PUT / HTTP/{version}\r\nhost: a\r\nExpect: 100-Continue\r\n\r\n");
        read(&text).unwrap().unwrap().expects_continue
    };
    assert!(expecting("1.1"));
    assert!(!expecting("1.0"));
}

fn framing(fields: &str) -> Result<Framing, ClientFailure> {
    read(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
        .map(|head| head.expect("a whole head").framing)
}

#[test]
fn finds_the_end_of_a_head() {
    let text = "GET /a?b HTTP/1.1\r\nHost: a.example:80\r\nX: \t\u{e4} y \r\n\r\nGET /";
    let head = read(text).unwrap().unwrap();
    assert_eq!(head.length, text.len() - 5);
    assert_eq!(head.framing, Framing::Length(0));
    for end in 0..head.length {
        assert_eq!(read_bytes(&text.as_bytes()[..end]), Ok(None), "{end}");
    }
}

#[test]
fn reads_framing() {
    assert_eq!(framing("Content-Length: 12\r\n"), Ok(Framing::Length(12)));
    assert_eq!(
        framing("Transfer-Encoding: Chunked\r\n"),
        Ok(Framing::Chunked)
    );
}

#[test]
fn refuses_framing_that_can_be_read_in_two_ways() {
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 1\r\n",
        "Content-Length\t: 1\r\n",
        " Content-Length: 1\r\n",
        "x: y\r\n folded: 1\r\n",
        "x: y\r\n\tfolded\r\n",
        "x: y\nContent-Length: 1\r\n",
        "x: a\0b\r\n",
        "x: a\rb\r\n",
        "x\0: a\r\n",
        "no colon\r\n",
        ": no name\r\n",
        "host: b\r\n",
    ] {
        let failure = framing(fields).unwrap_err();
        assert!(
            matches!(failure, ClientFailure::Malformed(_)),
            "{fields:?}: {failure:?}"
        );
    }
    assert!(matches!(
        framing("Transfer-Encoding: gzip, chunked\r\n"),
        Err(ClientFailure::NotImplemented(_))
    ));
}

#[test]
fn refuses_malformed_request_lines_and_hosts() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        "G(T / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET /a#b HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://u@a/x HTTP/1.1",
        "GET * HTTP/1.1",
        "\0",
    ] {
        let failure = read(&format!("{line}\r\nhost: a\r\n\r\n")).unwrap_err();
        assert!(
            matches!(failure, ClientFailure::Malformed(_)),
            "{line:?}: {failure:?}"
        );
    }
    for host in [
        "a b", "a/b", "u@a", "a:b", "[::1", "a:123456", "[::1]x", "a,b@c",
    ] {
        assert!(
            read(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).is_err(),
            "{host}"
        );
    }
    for host in ["a", "a:80", "[::1]:80", "A_b.example", ""] {
        assert!(
            read(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).is_ok(),
            "{host}"
        );
    }
    assert!(read("GET / HTTP/1.1\r\n\r\n").is_err());
    assert!(read("GET / HTTP/1.0\r\n\r\n").is_ok());
    assert!(read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    assert_eq!(read("GET / HTTP/2.0\r\n\r\n"), Err(ClientFailure::Version));
    assert_eq!(
        read("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n"),
        Err(ClientFailure::NotImplemented("this is no forward proxy"))
    );
}

#[test]
fn an_absolute_target_and_host_must_agree() {
    assert!(read("GET http://A:80/x HTTP/1.1\r\nhost: a:80\r\n\r\n").is_ok());
    assert!(read("GET http://b/x HTTP/1.1\r\nhost: a\r\n\r\n").is_err());
    assert!(read("GET http://a:81/x HTTP/1.1\r\nhost: a\r\n\r\n").is_err());
}

#[test]
fn limits_bytes_and_fields_before_the_head_is_whole() {
    let long = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(2000));
    assert_eq!(read(&long), Err(ClientFailure::HeadTooLarge));
    assert_eq!(read(&"a".repeat(2000)), Err(ClientFailure::HeadTooLarge));
    let whole = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(1000));
    assert_eq!(read(&whole), Err(ClientFailure::HeadTooLarge));
    let many = format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(9));
    assert_eq!(read(&many), Err(ClientFailure::HeadTooLarge));
}

#[test]
fn a_tls_handshake_is_refused_at_its_first_byte() {
    assert!(read("\x16").is_err());
}

proptest! {
    #[test]
    fn never_panics_and_never_takes_a_bare_lf(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(Some(head)) = read_bytes(&bytes) {
            let text = &bytes[..head.length];
            for (position, byte) in text.iter().enumerate() {
                prop_assert!(*byte != b'\n' || text[position - 1] == b'\r');
            }
        }
    }

    /// The verdict does not depend on how the bytes arrive: a prefix is never accepted where
    /// the whole is refused.
    #[test]
    fn a_prefix_of_a_head_is_never_a_head(fields in "([a-zA-Z :\r\n\t0-9-]{0,12}\r\n){0,4}") {
        let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        if let Ok(Some(head)) = read(&text) {
            for end in 0..head.length {
                prop_assert_eq!(read_bytes(&text.as_bytes()[..end]), Ok(None));
            }
        }
    }

    /// What is accepted here is accepted by the parser that hyper uses too, with the same end.
    #[test]
    fn agrees_with_httparse(
        method in "[A-Z]{1,6}",
        path in "/[!$-;=?-~]{0,12}",
        fields in proptest::collection::vec(("[a-zA-Z0-9-]{1,8}", "[ -~\t]{0,12}"), 0..6),
    ) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: a\r\n");
        for (name, value) in &fields {
            text.extend([name, ":", value, "\r\n"]);
        }
        text.push_str("\r\nrest");
        if let Ok(Some(head)) = read(&text) {
            let mut slots = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut slots);
            prop_assert_eq!(
                request.parse(text.as_bytes()),
                Ok(httparse::Status::Complete(head.length))
            );
        }
    }
}
