//! The onion: order, replies, notes, settings of a route, subscription by export.

use std::path::Path;

use sluicegate_tests::{Answer, Gateway, Upstream};

use crate::guests::{DIRECTOR_ONLY, chain, marker, probe};

#[test]
fn hooks_run_in_the_listed_order_on_the_way_in_and_in_reverse_on_the_way_out() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugins = [marker("one"), marker("two"), marker("three")];
    let gateway = chain(&plugins, r#""two", "three", "one""#, upstream.url()).start();

    let response = gateway.get("/").send();

    assert_eq!(upstream.only().headers("x-in"), ["two", "three", "one"]);
    assert_eq!(response.headers("x-out"), ["one", "three", "two"]);
}

#[test]
fn the_servers_plugins_are_the_outermost_layers_of_every_route() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let plugins = [marker("outer"), marker("outermost"), marker("inner")];
    let gateway = chain(&plugins, r#""inner""#, upstream.url())
        .route("/plain", "a")
        .server(r#"plugins = ["outermost", "outer"]"#)
        .start();

    let inner = gateway.get("/").send();
    let plain = gateway.get("/plain").send();

    let received = upstream.received();
    assert_eq!(received[0].headers("x-in"), ["outermost", "outer", "inner"]);
    assert_eq!(inner.headers("x-out"), ["inner", "outer", "outermost"]);
    assert_eq!(received[1].headers("x-in"), ["outermost", "outer"]);
    assert_eq!(plain.headers("x-out"), ["outer", "outermost"]);
}

#[test]
fn a_plugin_that_is_listed_twice_runs_twice() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = chain(&[marker("one")], r#""one", "one""#, upstream.url()).start();

    let response = gateway.get("/").send();

    assert_eq!(upstream.only().headers("x-in"), ["one", "one"]);
    assert_eq!(response.headers("x-out"), ["one", "one"]);
}

#[test]
fn a_directors_reply_passes_out_only_through_the_plugins_that_the_request_had_passed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let replier = probe(
        "replier",
        r#"request = [{ do = "reply", status = 403, headers = { x-why = "tenant" }, body = "not for you" }]
           response = [{ do = "append-header", name = "x-out", value = "replier" }]"#,
    );
    let plugins = [marker("one"), marker("two"), replier, marker("three")];
    let listed = r#""one", "two", "replier", "three""#;
    let gateway = chain(&plugins, listed, upstream.url()).start();

    let response = gateway.get("/").send();

    assert_eq!((response.status(), response.text()), (403, "not for you"));
    assert_eq!(response.header("x-why"), Some("tenant"));
    assert_eq!(response.headers("x-out"), ["two", "one"]);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_reply_is_framed_by_the_gateway_whatever_its_fields_say() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let replier = probe(
        "p",
        r#"request = [{ do = "reply", status = 200, body = "four", headers = { content-length = "999", transfer-encoding = "chunked", connection = "close, x-kept", keep-alive = "timeout=1", upgrade = "h2c", x-kept = "yes" } }]"#,
    );
    let gateway = chain(&[replier], r#""p""#, upstream.url()).start();
    let mut wire = gateway.connect();

    for _ in 0..2 {
        let response = gateway.get("/").send_over(&mut wire);
        assert_eq!(response.text(), "four");
        assert_eq!(response.headers("content-length"), ["4"]);
        for name in ["transfer-encoding", "connection", "keep-alive", "upgrade"] {
            assert_eq!(response.header(name), None, "{name}");
        }
        assert_eq!(response.header("x-kept"), Some("yes"));
    }
}

#[test]
fn a_reply_to_head_and_one_with_a_status_without_a_body_have_none() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let replies = |status: u16| {
        probe(
            "p",
            &format!(r#"request = [{{ do = "reply", status = {status}, body = "text" }}]"#),
        )
    };
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let gateway = chain(&[replies(status)], r#""p""#, upstream.url()).start();
        let mut wire = gateway.connect();
        // A body that should not be there would be taken for the second response's head.
        for _ in 0..2 {
            let response = gateway.request(method, "/").send_over(&mut wire);
            assert_eq!(response.status(), status);
        }
    }
}

#[test]
fn a_reply_that_is_no_response_is_the_plugins_failure() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    for reply in [
        r#"{ do = "reply", status = 101 }"#,
        r#"{ do = "reply", status = 99 }"#,
        r#"{ do = "reply", status = 600 }"#,
        r#"{ do = "reply", status = 200, headers = { x-a = "b\r\nx-evil: 1" } }"#,
        r#"{ do = "reply", status = 200, headers = { "x a" = "b" } }"#,
    ] {
        let replier = probe("p", &format!("request = [{reply}]"));
        let gateway = chain(&[replier], r#""p""#, upstream.url()).start();
        let response = gateway.get("/").send();
        assert_eq!(response.status(), 500, "{reply}");
        assert_eq!(response.header("x-evil"), None);
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn notes_travel_between_plugins_and_hooks_of_one_exchange_and_not_to_the_next() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let show = r#"{ do = "show-note", name = "tenant", header = "x-note" }"#;
    let writer = probe(
        "writer",
        &format!(
            r#"request = [{{ do = "only-with", header = "x-tenant" }}, {{ do = "set-note", name = "tenant", value = "acme" }}]
               response = [{show}]"#
        ),
    );
    let reader = probe(
        "reader",
        &format!("request = [{show}]\nresponse = [{show}]"),
    );
    let gateway = chain(&[writer, reader], r#""writer", "reader""#, upstream.url()).start();

    let noted = gateway.get("/").header("x-tenant", "1").send();
    let after = gateway.get("/").send();

    let received = upstream.received();
    assert_eq!(received[0].headers("x-note"), ["acme"]);
    assert_eq!(noted.headers("x-note"), ["acme", "acme"]);
    assert_eq!(received[1].headers("x-note"), ["-"]);
    assert_eq!(after.headers("x-note"), ["-", "-"]);
}

#[test]
fn a_route_can_give_a_plugin_a_configuration_of_its_own() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let own = r#"{ use = "one", config = { request = [{ do = "append-header", name = "x-in", value = "the route's" }] } }"#;
    let gateway = chain(&[marker("one")], r#""one""#, upstream.url())
        .route_with("/own", "a", &format!("plugins = [{own}]"))
        .route_with("/both", "a", &format!("plugins = [\"one\", {own}]"))
        .start();

    for path in ["/", "/own", "/both"] {
        gateway.get(path).send();
    }

    let received = upstream.received();
    assert_eq!(received[0].headers("x-in"), ["one"]);
    assert_eq!(received[1].headers("x-in"), ["the route's"]);
    assert_eq!(received[2].headers("x-in"), ["one", "the route's"]);
}

#[test]
fn a_plugin_reads_the_request_as_the_client_sent_it() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let getters = [
        "method",
        "path",
        "query",
        "authority",
        "scheme",
        "route",
        "client-address",
        "id",
        "rest",
        "nothing",
    ];
    let steps: Vec<String> = getters
        .iter()
        .map(|what| format!(r#"{{ do = "show", what = "{what}", header = "x-{what}" }}"#))
        .collect();
    let reader = probe("p", &format!("request = [{}]", steps.join(", ")));
    let gateway = Gateway::new()
        .toml(&reader)
        .upstream("a", [upstream.url()])
        .route_with(
            "/items/{id}/{*rest}",
            "a",
            "name = \"items\"\nplugins = [\"p\"]",
        )
        .start();

    let response = gateway
        .request("PUT", "/items/a%20b/c/d?x=1&y")
        .host("shop.example:8080")
        .send();

    assert_eq!(response.status(), 200, "{response:?}");
    let received = upstream.only();
    let shown = getters.map(|what| {
        received
            .header(&format!("x-{what}"))
            .unwrap_or("absent")
            .to_owned()
    });
    assert_eq!(
        shown,
        [
            "PUT",
            "/items/a%20b/c/d",
            "x=1&y",
            "shop.example:8080",
            "http",
            "items",
            "127.0.0.1",
            "a b",
            "c/d",
            "-",
        ]
    );
}

#[test]
fn a_component_is_subscribed_to_what_it_exports_and_to_nothing_else() {
    let upstream = Upstream::start(|_| Answer::status(200).chunks(["one", "two"]));
    let plugin = format!("[plugins.p]\ncomponent = \"{DIRECTOR_ONLY}\"");
    let builder = chain(&[plugin], r#""p""#, upstream.url());
    let config = sluicegate::config::parse(&builder.text(), Path::new("gateway.toml"))
        .unwrap()
        .config;
    let snapshot = sluicegate::server::load(&config, None, &mut |_| {}).unwrap();
    let hooks = snapshot.registry.layers[0].hooks.names();
    assert_eq!(hooks.collect::<Vec<_>>(), ["director"]);

    let response = builder.start().post("/").body("as it came").send();

    let received = upstream.only();
    assert_eq!(received.headers("x-in"), ["director-only"]);
    assert_eq!(received.text(), "as it came");
    assert_eq!(response.body.chunks, [b"one", b"two"]);
}
