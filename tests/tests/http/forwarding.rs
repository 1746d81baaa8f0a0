//! What of a head is passed on, and what is added.

use sluicegate_tests::{Answer, Gateway, Response, Upstream};

fn echo() -> Upstream {
    Upstream::start(|_| Answer::ok("ok"))
}

#[test]
fn every_token_of_every_connection_value_is_removed() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    let response = gateway
        .get("/")
        .header("Connection", "x-one, X-TWO")
        .header("connection", ",keep-alive ,\tx-three,")
        .header("X-One", "1")
        .header("x-two", "2")
        .header("x-two", "again")
        .header("x-three", "3")
        .header("x-four", "4")
        .send();
    assert_eq!(response.status(), 200);
    let received = upstream.only();
    for gone in ["connection", "x-one", "x-two", "x-three"] {
        assert_eq!(received.header(gone), None, "{gone}: {received:?}");
    }
    assert_eq!(received.header("x-four"), Some("4"));
}

#[test]
fn the_fixed_hop_by_hop_list_is_removed_also_where_connection_does_not_name_it() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    let list = [
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("proxy-authenticate", "Basic"),
        ("te", "gzip"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ];
    let mut request = gateway.get("/").header("trailer", "x-end");
    for (name, value) in list {
        request = request.header(name, value);
    }
    assert_eq!(request.send().status(), 200);
    let received = upstream.only();
    for (name, _) in list {
        assert_eq!(received.header(name), None, "{name}: {received:?}");
    }
    assert_eq!(received.header("trailer"), Some("x-end"));
}

#[test]
fn a_client_can_not_remove_framing_or_host_by_naming_them_in_connection() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    let response = gateway
        .post("/")
        .header(
            "connection",
            "host, content-length, transfer-encoding, x-forwarded-for, x-request-id",
        )
        .body("four")
        .send();
    assert_eq!(response.status(), 200);
    let received = upstream.only();
    assert_eq!(received.text(), "four");
    assert_eq!(
        received.header("host"),
        Some(&*upstream.address().to_string())
    );
    assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(received.header("x-request-id").is_some());
}

#[test]
fn te_is_kept_for_trailers_only() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    gateway.get("/").header("te", "trailers").send();
    gateway
        .get("/")
        .header("te", "gzip;q=0.5, Trailers")
        .header("connection", "te")
        .send();
    gateway.get("/").header("te", "deflate").send();
    let received = upstream.received();
    assert_eq!(received[0].headers("te"), ["trailers"]);
    assert_eq!(received[1].headers("te"), ["trailers"]);
    assert_eq!(received[2].header("te"), None);
}

#[test]
fn hop_by_hop_fields_of_a_response_are_removed() {
    let upstream = Upstream::start(|_| {
        Answer::ok("ok")
            .header("connection", "x-one, keep-alive")
            .header("Connection", "x-two")
            .header("x-one", "1")
            .header("x-two", "2")
            .header("x-three", "3")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("upgrade", "h2c")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 200);
    for gone in [
        "x-one",
        "x-two",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(response.header(gone), None, "{gone}: {response:?}");
    }
    assert_eq!(response.header("x-three"), Some("3"));
    assert_eq!(response.text(), "ok");
}

#[test]
fn what_an_unknown_client_says_of_itself_is_replaced() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    gateway
        .get("/")
        .host("shop.example")
        .header("x-forwarded-for", "1.1.1.1")
        .header("x-forwarded-for", "2.2.2.2")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "for=1.1.1.1;proto=https")
        .header("x-request-id", "chosen-by-client")
        .send();
    let received = upstream.only();
    assert_eq!(received.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.headers("x-forwarded-host"), ["shop.example"]);
    assert_eq!(received.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(
        received.headers("forwarded"),
        ["for=127.0.0.1;host=\"shop.example\";proto=http"]
    );
    assert_ne!(received.header("x-request-id"), Some("chosen-by-client"));
}

#[test]
fn what_a_trusted_proxy_says_is_continued() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream)
        .server("trusted_proxies = [\"127.0.0.1/32\"]")
        .start();
    gateway
        .get("/")
        .host("inner.example")
        .header("x-forwarded-for", "1.1.1.1")
        .header("x-forwarded-for", "2.2.2.2")
        .header("x-forwarded-host", "outer.example")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "for=1.1.1.1;proto=https")
        .header("x-request-id", "from-the-proxy")
        .send();
    let received = upstream.only();
    assert_eq!(
        received.headers("x-forwarded-for"),
        ["1.1.1.1, 2.2.2.2, 127.0.0.1"]
    );
    assert_eq!(received.headers("x-forwarded-host"), ["outer.example"]);
    assert_eq!(received.headers("x-forwarded-proto"), ["https"]);
    assert_eq!(
        received.headers("forwarded"),
        ["for=1.1.1.1;proto=https, for=127.0.0.1;host=\"inner.example\";proto=http"]
    );
    assert_eq!(received.header("x-request-id"), Some("from-the-proxy"));
}

#[test]
fn host_is_the_targets_unless_the_route_preserves_it() {
    let upstream = echo();
    let gateway = Gateway::new()
        .upstream("a", [upstream.url()])
        .route("/own", "a")
        .route_with("/kept", "a", "preserve_host = true")
        .start();
    gateway.get("/own").host("shop.example:81").send();
    gateway.get("/kept").host("shop.example:81").send();
    let received = upstream.received();
    assert_eq!(
        received[0].headers("host"),
        [upstream.address().to_string()]
    );
    assert_eq!(received[1].headers("host"), ["shop.example:81"]);
}

#[test]
fn nothing_is_invented_for_the_client() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    gateway.get("/").send();
    let mut names: Vec<String> = upstream
        .only()
        .head
        .fields
        .into_iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "forwarded",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id"
        ],
        "above all no user-agent, accept or accept-encoding"
    );
}

#[test]
fn an_empty_user_agent_stays_empty() {
    let upstream = echo();
    let gateway = Gateway::in_front_of(&upstream).start();
    gateway.get("/").header("user-agent", "").send();
    assert_eq!(upstream.only().headers("user-agent"), [""]);
}

#[test]
fn methods_and_names_that_nobody_has_heard_of_pass() {
    let upstream = Upstream::start(|_| Answer::ok("tea").header("x-!#$%&'*+.^_`|~", "odd"));
    let gateway = Gateway::in_front_of(&upstream).start();
    let response = gateway
        .request("BREW", "/pot")
        .header("x-!#$%&'*+.^_`|~", "odd")
        .header("x-bytes", "\u{fc}ml\u{e4}ut\ttab")
        .body("leaves")
        .send();
    assert_eq!((response.status(), response.text()), (200, "tea"));
    assert_eq!(response.header("x-!#$%&'*+.^_`|~"), Some("odd"));
    let received = upstream.only();
    assert_eq!((received.method(), received.text()), ("BREW", "leaves"));
    assert_eq!(received.header("x-!#$%&'*+.^_`|~"), Some("odd"));
    assert_eq!(received.header("x-bytes"), Some("\u{fc}ml\u{e4}ut\ttab"));
}

#[test]
fn repeated_fields_stay_apart_and_in_order() {
    let upstream = Upstream::start(|_| {
        Answer::ok("")
            .header("set-cookie", "a=1")
            .header("x-between", "-")
            .header("set-cookie", "b=2")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let response = gateway
        .get("/")
        .header("cookie", "x=1")
        .header("cookie", "y=2")
        .send();
    assert_eq!(response.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(upstream.only().headers("cookie"), ["x=1", "y=2"]);
}

#[test]
fn every_status_of_an_upstream_passes() {
    let upstream = Upstream::start(|request| {
        let status = request.target()[1..].parse().unwrap();
        Answer::status(status).header("x-mark", "upstream")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    for status in [
        200, 201, 204, 206, 299, 301, 304, 400, 404, 418, 431, 500, 502, 503, 599, 777, 999,
    ] {
        let response = gateway.get(&format!("/{status}")).send();
        assert_eq!(response.status(), status);
        assert_eq!(response.header("x-mark"), Some("upstream"));
        assert_eq!(response.header("proxy-status"), None);
    }
}

#[test]
fn an_upstreams_date_and_server_are_left_alone() {
    let upstream = Upstream::start(|_| {
        Answer::ok("")
            .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .header("server", "own")
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    let response: Response = gateway.get("/").send();
    assert_eq!(response.headers("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(response.headers("server"), ["own"]);
}
