//! `builtin:url-rewrite` through the gateway.

use sluicegate_tests::{Answer, Gateway, Upstream};

fn rewriting(upstream: &Upstream, path: &str, config: &str) -> Gateway {
    Gateway::new()
        .toml(&format!("[plugins.url]\ncomponent = \"builtin:url-rewrite\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n{config}"))
        .upstream("a", [upstream.url()])
        .route_with(path, "a", r#"plugins = ["url"]"#)
        .start()
}

/// The target that an upstream receives for this one.
fn rewritten(path: &str, config: &str, target: &str) -> String {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = rewriting(&upstream, path, config);
    let response = gateway.get(target).host("shop.example").send();
    assert_eq!(response.status(), 200, "{target}");
    upstream.only().target().to_owned()
}

#[test]
fn prefixes_are_stripped_and_added_at_the_borders_of_segments() {
    let config = r#"config = { strip_prefix = "/api", add_prefix = "/base" }"#;
    for (target, expected) in [
        ("/api/v2/a%2Fb?x=1", "/base/v2/a%2Fb?x=1"),
        ("/api", "/base/"),
        ("/apix/y", "/base/apix/y"),
        ("/%61pi/x", "/base/x"),
    ] {
        assert_eq!(rewritten("/{*rest}", config, target), expected);
    }
}

#[test]
fn a_template_is_filled_with_the_routes_parameters() {
    assert_eq!(
        rewritten(
            "/users/{id}/{*rest}",
            r#"config = { template = "/v2/{id}/of/{*rest}" }"#,
            "/users/a%2Fb/c/d%20e?x=1"
        ),
        "/v2/a%2Fb/of/c/d%20e?x=1"
    );
}

#[test]
fn patterns_replace_with_their_groups_rule_after_rule() {
    let config = r#"config = { regex = [{ match = '^/v(\d+)/', replace = "/version-$1/" }, { match = '(?P<a>[a-z]+)\.html$', replace = "${a}" }] }"#;
    assert_eq!(
        rewritten("/{*rest}", config, "/v2/page.html"),
        "/version-2/page"
    );
}

#[test]
fn query_pairs_are_set_and_removed() {
    let config = r#"config = { query = { remove = ["utm_*", "debug"], set = { tenant = "${host}", x = "new" } } }"#;
    assert_eq!(
        rewritten("/{*rest}", config, "/p?x=1&utm_source=mail&y=%20&debug&x=2"),
        "/p?x=new&y=%20&tenant=shop.example"
    );
}

#[test]
fn a_redirect_is_answered_without_the_upstream() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = rewriting(
        &upstream,
        "/old/{*rest}",
        r#"config = { template = "/new/{*rest}", redirect = { status = 308, to = "https://${host}${path}?${query}" } }"#,
    );
    for (target, location) in [
        ("/old/a?x=1", "https://shop.example/new/a?x=1"),
        ("/old/a", "https://shop.example/new/a"),
    ] {
        let response = gateway.get(target).host("shop.example").send();
        assert_eq!(response.status(), 308);
        assert_eq!(response.headers("location"), [location]);
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_redirect_cannot_be_led_astray_by_a_path() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = rewriting(
        &upstream,
        "/{*rest}",
        r#"config = { strip_prefix = "/go", redirect = { status = 302, to = "${path}" } }"#,
    );
    for target in [
        "/go//evil.example/x",
        "/go/%2Fevil.example",
        "/go/%0d%0ax-evil:%201",
    ] {
        let response = gateway.get(target).send();
        let location = response.header("location").unwrap_or("/");
        assert!(
            location.starts_with('/') && !location.starts_with("//"),
            "{location}"
        );
        assert_eq!(response.header("x-evil"), None);
    }
}
