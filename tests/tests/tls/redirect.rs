//! Listeners that send everybody to https.

use std::net::TcpStream;

use sluicegate_tests::{Answer, Gateway, Upstream, Wire};

#[test]
fn everything_is_sent_to_the_same_place_by_https() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = Gateway::in_front_of(&upstream)
        .toml("[[listeners]]\naddress = \"127.0.0.1:0\"\nredirect = \"https\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nredirect = \"https:8443\"")
        .start();
    let mut wire = gateway.connect();
    for (method, target, host, location) in [
        (
            "GET",
            "/a%20b?x=1",
            "a.example:8080",
            "https://a.example/a%20b?x=1",
        ),
        ("POST", "/", "a.example", "https://a.example/"),
        (
            "GET",
            "//evil.example/..",
            "[::1]:80",
            "https://[::1]//evil.example/..",
        ),
    ] {
        // Also a body does not keep it from going on.
        wire.write(format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 3\r\n\r\nabc"
        ));
        let response = wire.read_response(method);
        assert_eq!(response.status(), 308);
        assert_eq!(response.header("location"), Some(location));
    }
    let mut wire = Wire::new(TcpStream::connect(gateway.addresses()[1]).unwrap());
    wire.write("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n");
    let response = wire.read_response("GET");
    assert_eq!(
        response.header("location"),
        Some("https://a.example:8443/x")
    );

    // Nobody can be sent anywhere without a host.
    let transcript = gateway.raw("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(transcript.status(), 400);
    assert_eq!(upstream.received().len(), 0);
}
