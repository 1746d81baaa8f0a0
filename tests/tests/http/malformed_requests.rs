//! Requests that can be read in two ways, or in none: refused with 400, and nothing of them is passed on.

use sluicegate_tests::{Answer, End, Gateway, Upstream};

fn refused(heads: &[(&str, &[u8])]) {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::in_front_of(&upstream).start();
    for (name, head) in heads {
        let transcript = gateway.raw(head);
        let text = transcript.text();
        assert_eq!(transcript.statuses(), [400], "{name}: {text}");
        assert_eq!(transcript.end, End::Closed, "{name}");
        let text = text.to_ascii_lowercase();
        assert!(text.contains("\r\nconnection: close\r\n"), "{name}: {text}");
        let error = "\r\nproxy-status: sluicegate; error=http_request_error\r\n";
        assert!(text.contains(error), "{name}: {text}");
        assert!(text.contains("\r\nx-request-id: "), "{name}: {text}");
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(gateway.get("/").send().status(), 200);
}

#[test]
fn request_lines() {
    refused(&[
        ("two spaces", b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("a tab", b"GET\t/\tHTTP/1.1\r\nhost: a\r\n\r\n"),
        ("a space at the end", b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n"),
        (
            "a space in the target",
            b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        ("no version", b"GET /\r\nhost: a\r\n\r\n"),
        ("no target", b"GET HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("no method", b" / HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            "a method that is no token",
            b"G{}T / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("CR in the target", b"GET /\rx HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("a fragment", b"GET /#a HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("no slash", b"GET a HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("lower case", b"GET / http/1.1\r\nhost: a\r\n\r\n"),
        ("HTTP/1.10", b"GET / HTTP/1.10\r\nhost: a\r\n\r\n"),
        ("HTTP/11", b"GET / HTTP/11\r\nhost: a\r\n\r\n"),
        ("an asterisk to GET", b"GET * HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            "another scheme",
            b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "user information",
            b"GET http://u:p@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("HTTP/0.9", b"GET /\r\n"),
    ]);
}

#[test]
fn http_2_where_it_is_not_spoken_is_refused_not_misread() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::in_front_of(&upstream)
        .toml("[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"http/1.1\"]")
        .start();
    let transcript = gateway.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(transcript.statuses(), [505]);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn hosts() {
    refused(&[
        ("none", b"GET / HTTP/1.1\r\n\r\n"),
        ("two", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("two alike", b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n"),
        ("a list", b"GET / HTTP/1.1\r\nhost: a, b/\r\n\r\n"),
        ("a path", b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
        ("a user", b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n"),
        ("no port", b"GET / HTTP/1.1\r\nhost: a:x\r\n\r\n"),
        ("half an address", b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n"),
        (
            "absolute form with another",
            b"GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "absolute form without one",
            b"GET http://b/ HTTP/1.1\r\n\r\n",
        ),
        (
            "in HTTP/1.0 two",
            b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
        ),
    ]);
}

#[test]
fn fields() {
    refused(&[
        (
            "a bare LF behind a field",
            b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        ),
        (
            "a bare LF behind the line",
            b"GET / HTTP/1.1\nhost: a\r\n\r\n",
        ),
        ("a bare LF at the end", b"GET / HTTP/1.1\r\nhost: a\r\n\n"),
        ("only bare LF", b"GET / HTTP/1.1\nhost: a\n\n"),
        (
            "a bare CR in a value",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        ),
        (
            "a bare CR at the end",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\r\n\r\n",
        ),
        (
            "a fold with a space",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        ),
        (
            "a fold with a tab",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n\tb\r\n\r\n",
        ),
        (
            "a fold at the beginning",
            b"GET / HTTP/1.1\r\n x: a\r\nhost: a\r\n\r\n",
        ),
        (
            "an empty fold",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n \r\n\r\n",
        ),
        (
            "NUL in a value",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        ),
        (
            "NUL in a name",
            b"GET / HTTP/1.1\r\nhost: a\r\nx\0: a\r\n\r\n",
        ),
        (
            "a control character",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x07b\r\n\r\n",
        ),
        ("DEL", b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x7fb\r\n\r\n"),
        (
            "a space before the colon",
            b"GET / HTTP/1.1\r\nhost: a\r\nx : a\r\n\r\n",
        ),
        (
            "a tab before the colon",
            b"GET / HTTP/1.1\r\nhost: a\r\nx\t: a\r\n\r\n",
        ),
        (
            "a space in a name",
            b"GET / HTTP/1.1\r\nhost: a\r\nx y: a\r\n\r\n",
        ),
        ("no name", b"GET / HTTP/1.1\r\nhost: a\r\n: a\r\n\r\n"),
        ("no colon", b"GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n"),
        (
            "a byte beyond ASCII in a name",
            b"GET / HTTP/1.1\r\nhost: a\r\n\xc3\xbc: a\r\n\r\n",
        ),
        (
            "a quote in a name",
            b"GET / HTTP/1.1\r\nhost: a\r\n\"x\": a\r\n\r\n",
        ),
    ]);
}

#[test]
fn half_a_head_is_nobodys_request() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let gateway = Gateway::in_front_of(&upstream).start();
    for half in [
        "GET / HTTP/1.1\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx",
        "G",
    ] {
        let mut wire = gateway.connect();
        wire.write(half);
        wire.half_close();
        let transcript = wire.read_to_close();
        assert_eq!(transcript.bytes, b"", "{half:?}");
    }
    assert_eq!(upstream.connections(), 0);
}
