//! What an upstream may not say: the client gets a 502, and nothing of it.

use sluicegate_tests::{Gateway, RawUpstream};

const MARK: &str = "x-of-upstream: secret\r\n";

/// Upstreams that answer so are cut off.
fn refused(name: &str, answer: impl Into<Vec<u8>>) {
    let answer: Vec<u8> = answer.into();
    let upstream = RawUpstream::start(move |wire| {
        let _ = wire.read_head();
        // The gateway hangs up when it has seen enough.
        let _ = wire.try_write(&answer);
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], "timeouts = { response = \"5s\" }")
        .route("/{*rest}", "a")
        .start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let response = wire.read_response("GET");
    assert_eq!(response.status(), 502, "{name}: {response:?}");
    let proxy_status = response.header("proxy-status").unwrap_or_default();
    assert!(
        proxy_status.contains("http_protocol_error"),
        "{name}: {proxy_status}"
    );
    let seen = String::from_utf8_lossy(&wire.seen()).into_owned();
    assert!(!seen.contains("secret"), "{name}: {seen}");
    // The client's connection is as good as before.
    wire.write("GET /nothing/else HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_response("GET").status(), 502, "{name}");
    assert_eq!(
        upstream.connections(),
        2,
        "{name}: the connection was used again"
    );
}

#[test]
fn two_framings_at_once() {
    refused(
        "length with chunked",
        format!(
            "HTTP/1.1 200 OK\r\n{MARK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsecret\r\n0\r\n\r\n"
        ),
    );
    refused(
        "chunked with length",
        format!(
            "HTTP/1.1 200 OK\r\n{MARK}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"
        ),
    );
    refused(
        "two lengths",
        format!("HTTP/1.1 200 OK\r\n{MARK}content-length: 6\r\ncontent-length: 5\r\n\r\nsecret"),
    );
    refused(
        "two lengths in one",
        format!("HTTP/1.1 200 OK\r\n{MARK}content-length: 6, 5\r\n\r\nsecret"),
    );
}

#[test]
fn framing_that_is_none() {
    for field in [
        "content-length: -1",
        "content-length: +6",
        "content-length: 0x6",
        "content-length: 99999999999999999999999",
        "content-length: six",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
    ] {
        refused(
            field,
            format!("HTTP/1.1 200 OK\r\n{MARK}{field}\r\n\r\nsecret"),
        );
    }
}

#[test]
fn heads_that_are_none() {
    refused("garbage", "secret garbage, nothing like HTTP\r\n\r\n");
    refused("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01".as_slice());
    refused("ssh", "SSH-2.0-OpenSSH_9.2 secret\r\n");
    refused(
        "nul in a value",
        format!("HTTP/1.1 200 OK\r\n{MARK}x: a\0b\r\n\r\n"),
    );
    refused(
        "nul in a name",
        format!("HTTP/1.1 200 OK\r\n{MARK}x\0y: a\r\n\r\n"),
    );
    refused(
        "cr in a value",
        format!("HTTP/1.1 200 OK\r\n{MARK}x: a\rset-cookie: secret\r\n\r\n"),
    );
    refused(
        "a fold",
        format!("HTTP/1.1 200 OK\r\n{MARK}x: a\r\n  secret\r\n\r\n"),
    );
    refused(
        "space before the colon",
        format!("HTTP/1.1 200 OK\r\n{MARK}content-length : 6\r\n\r\nsecret"),
    );
    refused(
        "no colon",
        format!("HTTP/1.1 200 OK\r\n{MARK}secret\r\n\r\n"),
    );
    refused(
        "a status of four digits",
        format!("HTTP/1.1 2000 OK\r\n{MARK}\r\n"),
    );
    refused("no status", format!("HTTP/1.1 OK\r\n{MARK}\r\n"));
    refused("another version", format!("HTTP/2.0 200 OK\r\n{MARK}\r\n"));
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for() {
    refused(
        "101",
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n{MARK}connection: upgrade\r\nupgrade: secret\r\n\r\nsecret"
        ),
    );
}

#[test]
fn heads_without_end() {
    refused(
        "100 000 fields",
        format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x-secret: 1\r\n".repeat(100_000)
        ),
    );
    refused(
        "one endless field",
        format!("HTTP/1.1 200 OK\r\nx: {}", "secret".repeat(1_000_000)),
    );
    refused("an endless line", "secret".repeat(1_000_000));
}

#[test]
fn an_endless_row_of_interim_responses_ends_in_an_answer() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
        while wire.try_write(hint).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .route_with("/limited", "a", "timeout = \"500ms\"")
        .start();
    let response = gateway.get("/limited").send();
    assert!(
        matches!(response.status(), 502 | 504),
        "{}",
        response.status()
    );
}

#[test]
fn bytes_behind_a_response_are_nobodys_answer() {
    for behind in [
        "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned",
        "poisoned",
        "\r\n",
    ] {
        let upstream = RawUpstream::start(move |wire| {
            let _ = wire.read_head();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood{behind}"
            ));
            while let Ok(_head) = wire.try_read_head() {
                wire.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood");
            }
        });
        let gateway = Gateway::in_front_of_url(upstream.url()).start();
        let mut wire = gateway.connect();
        for path in ["/1", "/2", "/3"] {
            wire.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
            let response = wire.read_response("GET");
            assert_eq!(
                (response.status(), response.text()),
                (200, "good"),
                "{behind:?}"
            );
        }
    }
}

#[test]
fn a_value_can_not_split_the_response() {
    // What ends a line for the gateway ends it for the client too; nothing else does.
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 200 OK\r\nx: a%0d%0aset-cookie: b\\r\\nset-cookie: c\u{010d}\u{010a}d\r\ncontent-length: 0\r\n\r\n");
        let _ = wire.wait_for_close();
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("set-cookie"), None, "{response:?}");
}
