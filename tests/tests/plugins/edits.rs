//! Edits that the gateway takes, and those that it refuses with a typed error and without a trace.

use sluicegate_tests::{Answer, Gateway, Received, Upstream};

use crate::guests::{probe, through};

/// What the upstream receives of a request that these steps have been done to.
fn directed(steps: &[String]) -> (Received, Vec<u8>) {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let config = format!("request = [{}]", steps.join(", "));
    let gateway = through(&probe("p", &config), upstream.url()).start();
    assert_eq!(gateway.get("/path?query").send().status(), 200);
    (upstream.only(), upstream.raw())
}

fn header(step: &str, name: &str, value: &str) -> String {
    format!(r#"{{ do = "{step}", name = "{name}", value = "{value}" }}"#)
}

fn value(step: &str, value: &str) -> String {
    format!(r#"{{ do = "{step}", value = "{value}" }}"#)
}

const GATEWAYS_OWN: [&str; 10] = [
    "content-length",
    "Content-Length",
    "transfer-encoding",
    "connection",
    "host",
    "te",
    "upgrade",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
];

#[test]
fn framing_hop_by_hop_fields_and_host_are_not_a_directors_to_set() {
    let steps: Vec<String> = GATEWAYS_OWN
        .iter()
        .map(|name| header("set-header", name, "7"))
        .collect();
    let (received, _) = directed(&steps);
    assert_eq!(
        received.headers("x-outcome"),
        ["forbidden"; GATEWAYS_OWN.len()]
    );
    for name in GATEWAYS_OWN {
        assert!(!received.headers(name).contains(&"7"), "{name}");
    }
}

#[test]
fn framing_and_hop_by_hop_fields_are_not_a_modifiers_to_set() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let steps: Vec<String> = GATEWAYS_OWN
        .iter()
        .map(|name| header("set-header", name, "7"))
        .collect();
    let config = format!("response = [{}]", steps.join(", "));
    let gateway = through(&probe("p", &config), upstream.url()).start();

    let response = gateway.get("/").send();

    assert_eq!(
        response.headers("x-outcome"),
        ["forbidden"; GATEWAYS_OWN.len()]
    );
    assert_eq!(response.headers("content-length"), ["5"]);
    assert_eq!(response.text(), "hello");
    for name in GATEWAYS_OWN {
        assert!(!response.headers(name).contains(&"7"), "{name}");
    }
}

#[test]
fn fields_of_the_framing_are_not_there_to_be_removed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let steps = r#"[{ do = "remove-header", name = "content-length" }, { do = "remove-header", name = "host" }, { do = "remove-header", name = "X-Kept-Not" }]"#;
    let config = format!("request = {steps}\nresponse = {steps}");
    let gateway = through(&probe("p", &config), upstream.url()).start();

    let response = gateway
        .post("/")
        .header("x-kept-not", "1")
        .header("x-kept-not", "2")
        .body("four")
        .send();

    let received = upstream.only();
    assert_eq!(received.header("content-length"), Some("4"));
    assert!(received.header("host").is_some());
    assert_eq!(received.header("x-kept-not"), None);
    assert_eq!(response.header("content-length"), Some("5"));
}

#[test]
fn a_value_cannot_carry_a_second_field_or_request() {
    let values = [
        r"a\r\nx-evil: 1",
        r"a\nx-evil: 1",
        r"a\rx-evil: 1",
        r"a\u0000evil",
    ];
    let mut steps: Vec<String> = values
        .iter()
        .map(|value| header("set-header", "x-value", value))
        .collect();
    let names = ["x evil", "x-evil:", r"x-evil\r\n", "", "x-évil"];
    steps.extend(names.iter().map(|name| header("set-header", name, "v")));

    let (received, raw) = directed(&steps);

    let outcomes = received.headers("x-outcome");
    assert_eq!(outcomes[..values.len()], ["invalid-value"; 4]);
    assert_eq!(outcomes[values.len()..], ["invalid-name"; 5]);
    assert!(!String::from_utf8_lossy(&raw).contains("evil"));
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let refused = [
        "",
        "relative",
        "//evil/../../..",
        "/a b",
        "/a?b",
        "/a#b",
        r"/a\r\nx-evil: 1",
        r"/a\u0000",
        "/%zz",
        "/%0",
        "/%00",
        "/..",
        "/a/%2e%2e/..",
    ];
    let steps: Vec<String> = refused.iter().map(|path| value("set-path", path)).collect();
    let (received, raw) = directed(&steps);
    assert_eq!(received.headers("x-outcome"), ["invalid-value"; 13]);
    assert_eq!(received.target(), "/path?query");
    assert!(!String::from_utf8_lossy(&raw).contains("evil"));
}

#[test]
fn a_path_keeps_its_escapes_and_the_query() {
    let (received, _) = directed(&[value("set-path", "/a%2Fb/%C3%A4/x;y=1/c")]);
    assert_eq!(received.target(), "/a%2Fb/%C3%A4/x;y=1/c?query");
}

#[test]
fn a_query_that_would_end_the_request_line_is_refused() {
    let refused = ["a b", "a#b", r"a\r\nx-evil: 1", r"a\u0000"];
    let steps: Vec<String> = refused
        .iter()
        .map(|query| value("set-query", query))
        .collect();
    let (received, raw) = directed(&steps);
    assert_eq!(received.headers("x-outcome"), ["invalid-value"; 4]);
    assert_eq!(received.target(), "/path?query");
    assert!(!String::from_utf8_lossy(&raw).contains("evil"));
}

#[test]
fn a_query_is_replaced_cleaned_and_taken_away() {
    for (step, target) in [
        (value("set-query", "x=1&y=%20"), "/path?x=1&y=%20"),
        // On these, parsers disagree.
        (value("set-query", "x=1;y=%zz"), "/path?x=1%3By=%25zz"),
        (value("set-query", ""), "/path?"),
        (r#"{ do = "set-query" }"#.to_owned(), "/path"),
    ] {
        assert_eq!(directed(&[step]).0.target(), target);
    }
}

#[test]
fn methods() {
    for (method, outcome, sent) in [
        ("PATCH", "ok", "PATCH"),
        ("BREW", "ok", "BREW"),
        ("CONNECT", "forbidden", "GET"),
        ("GET / HTTP/1.1", "invalid-name", "GET"),
        (r"A\r\nx-evil: 1", "invalid-name", "GET"),
        ("", "invalid-name", "GET"),
    ] {
        let (received, _) = directed(&[value("set-method", method)]);
        assert_eq!(received.headers("x-outcome"), [outcome], "{method}");
        assert_eq!(received.method(), sent, "{method}");
    }
}

#[test]
fn an_authority_is_sent_as_host() {
    let (received, _) = directed(&[value("set-authority", "other.example:81")]);
    assert_eq!(received.headers("host"), ["other.example:81"]);
    for refused in ["", "user@evil", "a/evil", "a b", r"a\r\nx-evil: 1"] {
        let (received, raw) = directed(&[value("set-authority", refused)]);
        assert_eq!(
            received.headers("x-outcome"),
            ["invalid-value"],
            "{refused}"
        );
        assert!(!String::from_utf8_lossy(&raw).contains("evil"));
    }
}

#[test]
fn values_that_are_not_ascii_pass_as_they_are() {
    let (received, raw) = directed(&[header("set-header", "x-value", "grün")]);
    assert_eq!(received.header("x-value"), Some("grün"));
    assert!(String::from_utf8_lossy(&raw).contains("x-value: grün"));
}

#[test]
fn statuses_that_are_no_final_status_are_refused() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let statuses = [0, 100, 101, 199, 600, 999];
    let steps: Vec<String> = statuses
        .iter()
        .map(|status| format!(r#"{{ do = "set-status", status = {status} }}"#))
        .collect();
    let config = format!("response = [{}]", steps.join(", "));
    let response = through(&probe("p", &config), upstream.url())
        .start()
        .get("/")
        .send();
    assert_eq!(response.headers("x-outcome"), ["invalid-value"; 6]);
    assert_eq!(response.status(), 200);
}

#[test]
fn in_the_response_phase_the_request_can_be_read_and_not_be_changed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let config = r#"response = [
        { do = "set-request-header", name = "x-late", value = "1" },
        { do = "set-path", value = "/late" },
        { do = "set-upstream", value = "a" },
        { do = "show", what = "path", header = "x-path" },
    ]"#;
    let response = through(&probe("p", config), upstream.url())
        .start()
        .get("/here")
        .send();
    assert_eq!(response.headers("x-outcome"), ["forbidden"; 3]);
    assert_eq!(response.header("x-path"), Some("/here"));
}

fn two_upstreams(config: &str) -> (Upstream, Upstream, Gateway) {
    let (a, b) = (
        Upstream::start(|_| Answer::ok("a")),
        Upstream::start(|_| Answer::ok("b")),
    );
    let gateway = through(&probe("p", config), a.url())
        .upstream("b", [b.url()])
        .start();
    (a, b, gateway)
}

#[test]
fn a_director_sends_a_request_to_another_upstream() {
    let (a, _b, gateway) = two_upstreams(r#"request = [{ do = "set-upstream", value = "b" }]"#);
    assert_eq!(gateway.get("/").send().text(), "b");
    assert_eq!(a.connections(), 0);
}

#[test]
fn an_upstream_that_does_not_exist_is_refused_and_the_routes_own_stays() {
    let (a, _b, gateway) = two_upstreams(r#"request = [{ do = "set-upstream", value = "c" }]"#);
    assert_eq!(gateway.get("/").send().text(), "a");
    assert_eq!(a.only().headers("x-outcome"), ["invalid-name"]);
}

#[test]
fn edits_in_one_call_are_made_in_order_up_to_the_first_that_is_refused() {
    let edits = r#"{ do = "edit-headers", edits = [["set", "x-a", "1"], ["default", "X-A", "2"], ["default", "x-b", "3"], ["append", "x-b", "4"], ["remove", "user-agent"], ["set", "x-c", "5"], ["remove", "x-c"]] }"#;
    let refused = r#"{ do = "edit-headers", edits = [["set", "x-d", "6"], ["set", "content-length", "7"], ["set", "x-e", "8"]] }"#;
    let (received, _) = directed(&[edits.to_owned(), refused.to_owned()]);
    assert_eq!(received.headers("x-outcome"), ["ok", "forbidden"]);
    assert_eq!(received.headers("x-a"), ["1"]);
    assert_eq!(received.headers("x-b"), ["3", "4"]);
    assert_eq!(received.headers("x-d"), ["6"]);
    for name in ["user-agent", "x-c", "x-e", "content-length"] {
        assert!(received.headers(name).is_empty(), "{name}");
    }

    let upstream = Upstream::start(|_| Answer::ok("hello").header("server", "s"));
    let config = r#"response = [{ do = "edit-headers", edits = [["remove", "server"], ["set", "x-a", "1"]] }]"#;
    let gateway = through(&probe("p", config), upstream.url()).start();
    let response = gateway.get("/").send();
    assert_eq!(
        (response.header("server"), response.header("x-a")),
        (None, Some("1"))
    );
}
