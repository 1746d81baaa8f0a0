//! `builtin:body-mutate` through the gateway, with the bytes that real servers send.

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use sluicegate_tests::{Answer, Gateway, RawUpstream, Upstream};

fn mutating(url: impl AsRef<str>, config: &str) -> Gateway {
    Gateway::new()
        .toml(&format!(
            "[plugins.body]\ncomponent = \"builtin:body-mutate\"\nlimits = {{ memory = \"64MiB\", time = \"10s\", wall = \"10s\" }}\n{config}"
        ))
        .upstream("a", [url.as_ref()])
        .route_with("/{*rest}", "a", r#"plugins = ["body"]"#)
        .start()
}

const LITERAL: &str = r#"config = { response = { replace = [{ find = "internal.example", with = "www.example" }] } }"#;
const HTML: &str = "<a href=\"http://internal.example/x\">internal.example</a>";
const PUBLIC: &str = "<a href=\"http://www.example/x\">www.example</a>";

fn html(body: impl AsRef<[u8]>) -> Answer {
    Answer::ok(body).header("content-type", "text/html; charset=utf-8")
}

#[test]
fn a_changed_body_has_its_own_length_and_a_weak_etag() {
    let upstream = Upstream::start(|_| {
        html(HTML)
            .header("etag", "\"v1\"")
            .header("accept-ranges", "bytes")
            .header("content-md5", "x")
    });
    let response = mutating(upstream.url(), LITERAL).get("/").send();
    assert_eq!(response.text(), PUBLIC);
    assert_eq!(
        response.headers("content-length"),
        [PUBLIC.len().to_string()]
    );
    assert_eq!(response.header("etag"), Some("W/\"v1\""));
    assert_eq!(response.header("accept-ranges"), None);
    assert_eq!(response.header("content-md5"), None);
}

#[test]
fn a_body_without_a_match_and_one_of_another_type_come_as_they_were() {
    let upstream = Upstream::start(|request| match request.target() {
        "/image" => Answer::ok(HTML).header("content-type", "image/svg"),
        _ => html("nothing here"),
    });
    let upstream_etag = Upstream::start(|_| html("nothing here").header("etag", "\"v1\""));
    let gateway = mutating(upstream.url(), LITERAL);
    assert_eq!(gateway.get("/image").send().text(), HTML);
    assert_eq!(gateway.get("/").send().text(), "nothing here");
    let response = mutating(upstream_etag.url(), LITERAL).get("/").send();
    assert_eq!(response.header("etag"), Some("\"v1\""));
}

#[test]
fn matches_are_found_across_the_pieces_of_a_dribbling_upstream() {
    let upstream = Upstream::start(|_| {
        Answer::status(200)
            .header("content-type", "text/html")
            .chunks(HTML.as_bytes().chunks(1))
            .pause(Duration::from_micros(200))
    });
    let response = mutating(upstream.url(), LITERAL).get("/").send();
    assert_eq!(response.text(), PUBLIC);
    assert_eq!(response.header("content-length"), None);
}

#[test]
fn what_cannot_be_the_beginning_of_a_match_is_not_held_back() {
    let upstream = RawUpstream::start(|wire| {
        wire.read_head();
        wire.write(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        wire.write_chunk("<p>first inter");
        // Until the client has gone.
        wire.wait_for_close();
    });
    let gateway = mutating(upstream.url(), LITERAL);
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    wire.read_head();
    assert_eq!(wire.read_chunk().data, b"<p>first ");
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn br(data: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::CompressorReader::new(data, 4096, 5, 20)
        .read_to_end(&mut encoded)
        .unwrap();
    encoded
}

/// An encoding's name, and what encodes with it.
type Encoding = (&'static str, fn(&[u8]) -> Vec<u8>);

const ENCODINGS: [Encoding; 4] = [
    ("gzip", gzip),
    ("deflate", zlib),
    ("deflate", deflate),
    ("br", br),
];

#[test]
fn encoded_bodies_are_decoded_changed_and_sent_plain() {
    let page = HTML.repeat(2000);
    for (encoding, encode) in ENCODINGS {
        let encoded = encode(page.as_bytes());
        let upstream = Upstream::start(move |request| {
            let answer = match request.target() {
                "/known" => Answer::ok(&encoded),
                _ => Answer::status(200).chunks(encoded.chunks(7)),
            };
            answer
                .header("content-type", "text/html")
                .header("content-encoding", encoding)
        });
        let gateway = mutating(upstream.url(), LITERAL);
        for target in ["/known", "/chunked"] {
            let response = gateway.get(target).send();
            assert_eq!(response.status(), 200, "{encoding} {target}");
            assert_eq!(
                response.header("content-encoding"),
                None,
                "{encoding} {target}"
            );
            assert!(
                response.text() == PUBLIC.repeat(2000),
                "{encoding} {target}"
            );
        }
    }
}

#[test]
fn encoded_bodies_pass_where_the_configuration_says_so() {
    let encoded = gzip(HTML.as_bytes());
    let sent = encoded.clone();
    let upstream = Upstream::start(move |_| html(&sent).header("content-encoding", "gzip"));
    let config = r#"config = { response = { encodings = "skip", replace = [{ find = "internal.example", with = "www.example" }] } }"#;
    let response = mutating(upstream.url(), config).get("/").send();
    assert_eq!(response.body.bytes, encoded);
    assert_eq!(response.header("content-encoding"), Some("gzip"));
}

#[test]
fn an_encoded_body_that_is_cut_is_no_whole_body() {
    let encoded = gzip(HTML.repeat(2000).as_bytes());
    let cut = encoded[..encoded.len() / 2].to_vec();
    let upstream = Upstream::start(move |_| {
        Answer::status(200)
            .header("content-type", "text/html")
            .header("content-encoding", "gzip")
            .chunks([&cut])
    });
    let gateway = mutating(upstream.url(), LITERAL);
    let mut wire = gateway.connect();
    gateway.get("/").write(&mut wire);
    let whole = wire
        .try_read_response("GET")
        .is_ok_and(|response| response.status() == 200);
    assert!(!whole);
}

#[test]
fn json_is_set_and_removed_by_pointer_on_both_sides() {
    let upstream = Upstream::start(|_| {
        Answer::ok(r#"{"id":12345678901234567890,"secret":"s","list":[1,2]}"#)
            .header("content-type", "application/problem+json")
    });
    let gateway = mutating(
        upstream.url(),
        r#"[plugins.body.config]
           request = { json = { set = { "/meta/client" = "web" }, remove = ["/debug"] } }
           response = { json = { set = { "/list/-" = 3 }, remove = ["/secret"] } }"#,
    );

    let response = gateway
        .post("/")
        .header("content-type", "application/json")
        .body(r#"{"name":"a","debug":true}"#)
        .send();

    let received = upstream.only();
    assert_eq!(received.text(), r#"{"name":"a","meta":{"client":"web"}}"#);
    assert_eq!(
        received.headers("content-length"),
        [received.body.bytes.len().to_string()]
    );
    assert_eq!(
        response.text(),
        r#"{"id":12345678901234567890,"list":[1,2,3]}"#
    );
    assert_eq!(
        response.headers("content-length"),
        [response.body.bytes.len().to_string()]
    );
}

#[test]
fn patterns_and_text_around_a_body() {
    let upstream = Upstream::start(|_| {
        Answer::status(200)
            .header("content-type", "text/plain")
            .chunks(["build 0a1b2c3d", "4e5f and BUILD 1234567"])
    });
    let gateway = mutating(
        upstream.url(),
        r#"config = { response = { replace = [{ regex = '(?i)(build) [0-9a-f]{7,}', with = "$1" }], prepend = "[${path}] ", append = " (${status})" } }"#,
    );
    let response = gateway.get("/log").send();
    assert_eq!(response.text(), "[/log] build and BUILD (200)");
}

#[test]
fn a_response_over_the_limit_is_the_plugins_failure_and_a_request_is_413() {
    let upstream = Upstream::start(|_| html("x".repeat(5000)));
    let config = r#"[plugins.body.config]
        request = { limit = "1KiB", replace = [{ regex = "a+", with = "b" }] }
        response = { limit = "1KiB", replace = [{ regex = "a+", with = "b" }] }"#;
    let gateway = mutating(upstream.url(), config);
    assert_eq!(gateway.get("/").send().status(), 500);
    let request = gateway.post("/").header("content-type", "text/plain");
    assert_eq!(request.body("x".repeat(5000)).send().status(), 413);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let bomb = gzip(&vec![b' '; 50 << 20]);
    let upstream = Upstream::start(move |_| html(&bomb).header("content-encoding", "gzip"));
    let config =
        r#"config = { response = { limit = "1MiB", replace = [{ regex = "a+", with = "b" }] } }"#;
    let gateway = mutating(upstream.url(), config);
    assert_eq!(gateway.get("/").send().status(), 500);
}

#[test]
fn the_answer_to_head_and_a_304_stay_without_a_body() {
    let upstream = Upstream::start(|request| match request.target() {
        "/304" => Answer::status(304).header("etag", "\"v1\""),
        _ => html(HTML).header("etag", "\"v1\""),
    });
    let config = r#"config = { response = { append = "more" } }"#;
    let gateway = mutating(upstream.url(), config);
    let mut wire = gateway.connect();
    for (method, target, status) in [("HEAD", "/", 200), ("GET", "/304", 304), ("HEAD", "/", 200)] {
        assert_eq!(
            gateway
                .request(method, target)
                .send_over(&mut wire)
                .status(),
            status
        );
    }
}

#[test]
fn an_event_stream_passes() {
    let events = "data: internal.example\n\n";
    let upstream = Upstream::start(move |_| {
        Answer::status(200)
            .header("content-type", "text/event-stream")
            .chunks([events])
    });
    assert_eq!(
        mutating(upstream.url(), LITERAL).get("/").send().text(),
        events
    );
}
