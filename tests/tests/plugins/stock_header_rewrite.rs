//! `builtin:header-rewrite` through the gateway.

use sluicegate_tests::{Answer, Gateway, Upstream};

fn rewriting(upstream: &Upstream, config: &str) -> Gateway {
    Gateway::new()
        .toml(&format!("[plugins.headers]\ncomponent = \"builtin:header-rewrite\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n{config}"))
        .upstream("a", [upstream.url()])
        .route_with(
            "/items/{id}/{*rest}",
            "a",
            "name = \"items\"\nplugins = [\"headers\"]",
        )
        .start()
}

#[test]
fn requests_are_set_appended_defaulted_removed_and_renamed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = rewriting(
        &upstream,
        r#"[plugins.headers.config.request]
           set = { x-set = "one" }
           append = { x-many = ["two", "three"] }
           default = { x-user = "anonymous", x-known = "not this" }
           remove = ["x-secret", "user-agent"]
           rename = { x-old = "x-new" }"#,
    );

    gateway
        .get("/items/7/x")
        .header("x-set", "a")
        .header("X-Set", "b")
        .header("x-many", "one")
        .header("x-known", "this")
        .header("X-Secret", "1")
        .header("x-secret", "2")
        .header("user-agent", "test")
        .header("x-old", "1")
        .header("x-old", "2")
        .send();

    let received = upstream.only();
    assert_eq!(received.headers("x-set"), ["one"]);
    assert_eq!(received.headers("x-many"), ["one", "two", "three"]);
    assert_eq!(received.headers("x-user"), ["anonymous"]);
    assert_eq!(received.headers("x-known"), ["this"]);
    assert_eq!(received.header("x-secret"), None);
    assert_eq!(received.header("user-agent"), None);
    assert_eq!(received.header("x-old"), None);
    assert_eq!(received.headers("x-new"), ["1", "2"]);
}

#[test]
fn every_variable_of_a_request_has_its_value() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = rewriting(
        &upstream,
        r#"[plugins.headers.config.request.set]
           x-all = "${client_ip}|${host}|${scheme}|${method}|${path}|${query}|${route}|${param:id}|${param:rest}|${header:x-a}|${header:x-absent}|$$"
           x-id = "${request_id}""#,
    );

    gateway
        .request("PUT", "/items/a%0d%0ax-evil:%201/b/c?d=e&f")
        .host("shop.example:8080")
        .header("x-a", "first")
        .header("x-a", "second")
        .send();

    let received = upstream.only();
    assert_eq!(
        received.header("x-all"),
        Some(
            "127.0.0.1|shop.example:8080|http|PUT|/items/a%0d%0ax-evil:%201/b/c|d=e&f|items|a%0D%0Ax-evil: 1|b/c|first||$"
        )
    );
    assert_eq!(received.header("x-evil"), None);
    let id = received.header("x-id").unwrap();
    assert_eq!(Some(id), received.header("x-request-id"));
    assert!(!id.is_empty());
}

#[test]
fn responses_are_rewritten_with_the_requests_variables_and_the_status() {
    let upstream = Upstream::start(|_| {
        Answer::status(404)
            .body("gone")
            .header("server", "inside/1.0")
            .header("x-backend", "b7")
    });
    let gateway = rewriting(
        &upstream,
        r#"[plugins.headers.config.response]
           set = { x-seen = "${status} ${path} ${param:id}" }
           append = { set-cookie = ["seen=1; Path=/", "lang=en"] }
           remove = ["server"]
           rename = { x-backend = "x-target" }"#,
    );

    let response = gateway.get("/items/7/x").send();

    assert_eq!((response.status(), response.text()), (404, "gone"));
    assert_eq!(response.header("x-seen"), Some("404 /items/7/x 7"));
    assert_eq!(
        response.headers("set-cookie"),
        ["seen=1; Path=/", "lang=en"]
    );
    assert_eq!(response.header("server"), None);
    assert_eq!(response.header("x-backend"), None);
    assert_eq!(response.header("x-target"), Some("b7"));
}

#[test]
fn the_host_that_the_upstream_sees_can_be_set() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = rewriting(
        &upstream,
        r#"config = { request = { set = { host = "${param:id}.internal.example" } } }"#,
    );
    gateway.get("/items/seven/x").send();
    assert_eq!(upstream.only().headers("host"), ["seven.internal.example"]);
}
