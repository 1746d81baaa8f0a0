//! Routes: what is taken, what is refused, and how they are compared with each other.

use std::path::Path;

use super::super::parse;
use super::super::testing::{accepted, refused, warned};
use super::*;

const UPSTREAMS: &str = "[upstreams]\nusers.targets = [{ url = \"http://a\" }]\n";

fn with_routes(routes: &str) -> String {
    format!("{UPSTREAMS}{routes}")
}

#[test]
fn defaults() {
    let config = accepted(&with_routes(
        "[[routes]]\npath = \"/users/{id}\"\nupstream = \"users\"",
    ));
    let route = config.routes.first().unwrap();
    assert_eq!(
        (&*route.name, route.path.as_str(), route.upstream.as_str()),
        ("/users/{id}", "/users/{id}", "users")
    );
    assert_eq!(
        (
            route.host.as_deref(),
            route.methods.len(),
            route.plugins.len()
        ),
        (None, 0, 0)
    );
    assert_eq!(
        (route.timeout, route.concurrency, route.preserve_host),
        (Duration::from_mins(1), None, false)
    );
    assert_eq!(
        route.origin,
        Origin {
            path: "routes[0]".to_owned(),
            line: 3
        }
    );
}

#[test]
fn everything_that_is_given_is_taken() {
    let config = accepted(&with_routes(
        r#"
        [plugins.headers]
        component = "builtin:header-rewrite"
        [[routes]]
        name = "users"
        host = "*.Example.com"
        path = "/"
        methods = ["GET", "PURGE", "m-search"]
        upstream = "users"
        plugins = ["headers"]
        timeout = "1s"
        concurrency = 7
        preserve_host = true
        "#,
    ));
    let route = config.routes.first().unwrap();
    assert_eq!(
        (&*route.name, route.host.as_deref()),
        ("users", Some("*.example.com"))
    );
    let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    assert_eq!(methods, ["GET", "PURGE", "m-search"]);
    assert_eq!(
        route.plugins.first().unwrap().origin.path,
        "routes[0].plugins[0]"
    );
    assert_eq!(
        (route.timeout, route.concurrency, route.preserve_host),
        (Duration::from_secs(1), Some(7), true)
    );
}

#[test]
fn what_is_refused() {
    for (route, expected) in [
        ("upstream = \"users\"", "3: routes[0].path: missing; expected a path such as \"/users/{id}\" or \"/{*rest}\"".to_owned()),
        ("path = \"/\"", "3: routes[0].upstream: missing; expected the name of an upstream".to_owned()),
        ("path = \"/\"\nupstream = \"usres\"", "5: routes[0].upstream: no upstream named \"usres\"; did you mean \"users\"?".to_owned()),
        ("path = \"/\"\nupstream = \"billing\"", "5: routes[0].upstream: no upstream named \"billing\"; defined: \"fallback\", \"users\"".to_owned()),
        ("path = \"/\"\nupstream = 7", "5: routes[0].upstream: found 7; expected the name of one of the upstreams".to_owned()),
        ("path = 1\nupstream = \"users\"", "4: routes[0].path: found 1; expected a path such as \"/users/{id}\" or \"/{*rest}\"".to_owned()),
        ("path = \"/\"\nupstream = \"users\"\nhost = 1", "6: routes[0].host: found 1; expected a host without a port, such as \"api.example.com\" or \"*.example.com\"".to_owned()),
        (
            "path = \"/\"\nupstream = \"users\"\nhost = \"1.2.3\"",
            "6: routes[0].host: found \"1.2.3\"; expected a host name (letters, digits, \"-\", \"_\" and dots) or an address, IPv6 in brackets".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nmethods = []",
            "6: routes[0].methods: found an empty array; expected at least one method; without the key all are allowed".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nmethods = [\"get\"]",
            "6: routes[0].methods[0]: found \"get\"; did you mean \"GET\"? Methods are compared with their case".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nmethods = [\"A B\"]",
            "6: routes[0].methods[0]: found \"A B\"; expected a method such as \"GET\"".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nmethods = [\"GET\", \"GET\"]",
            "6: routes[0].methods[1]: GET is listed twice".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nname = \"\"",
            "6: routes[0].name: found \"\"; expected a name that is not empty and has no control characters".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nconcurrency = 0",
            "6: routes[0].concurrency: found 0; expected a whole number from 1 to 10000000".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\ntimeout = \"0s\"",
            "6: routes[0].timeout: found \"0s\"; expected a duration longer than zero".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\npreserve_host = \"yes\"",
            "6: routes[0].preserve_host: found \"yes\"; expected true or false".to_owned(),
        ),
        (
            "path = \"/\"\nupstream = \"users\"\nplugins = [\"headers\"]",
            "6: routes[0].plugins[0]: no plugin named \"headers\"; none is defined".to_owned(),
        ),
        ("path = \"/\"\nupstrem = \"users\"\nupstream = \"users\"", "5: routes[0].upstrem: unknown key; did you mean \"upstream\"?".to_owned()),
    ] {
        assert_eq!(refused(&with_routes(&format!("[[routes]]\n{route}"))), [expected], "{route}");
    }
}

#[test]
fn bad_patterns_are_told_in_the_words_of_the_router() {
    let problems = refused(&with_routes(
        "[[routes]]\npath = \"users\"\nupstream = \"users\"",
    ));
    let error = Pattern::parse("users").unwrap_err();
    assert_eq!(
        problems,
        [format!("4: routes[0].path: found \"users\"; {error}")]
    );

    for host in ["", "*", "a.*.b", "example.com:80", "a b"] {
        let problems = refused(&with_routes(&format!(
            "[[routes]]\npath = \"/\"\nupstream = \"users\"\nhost = \"{host}\""
        )));
        let error = HostPattern::parse(host).unwrap_err();
        assert_eq!(
            problems,
            [format!("6: routes[0].host: found \"{host}\"; {error}")]
        );
    }
}

#[test]
fn without_routes_a_minimal_one_is_shown() {
    for (text, line) in [("", 1), ("routes = []", 1)] {
        let text = format!("{text}\n{UPSTREAMS}");
        let error = parse(&text, Path::new("gateway.toml")).unwrap_err();
        let path = if text.starts_with("routes") {
            "routes: "
        } else {
            ""
        };
        assert_eq!(
            error.to_string(),
            format!(
                "gateway.toml:{line}: {path}no route is defined; a minimal one is\n    [[routes]]\n    path = \"/{{*rest}}\"\n    upstream = \"users\""
            )
        );
        // What is shown has to be right itself.
        let (_, shown) = error
            .to_string()
            .split_once("minimal one is")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert!(
            parse(&format!("{UPSTREAMS}{shown}"), Path::new("gateway.toml")).is_ok(),
            "{shown}"
        );
    }
}

/// Two routes: each given by its keys beside the upstream.
fn two(first: &str, second: &str) -> String {
    with_routes(&format!(
        "[[routes]]\nupstream = \"users\"\n{first}\n\n\n\n\n[[routes]]\nupstream = \"users\"\n{second}"
    ))
}

#[test]
fn names_are_unique_but_paths_are_shared() {
    let taken = refused(&two(
        "path = \"/a\"\nname = \"x\"",
        "path = \"/b\"\nname = \"x\"",
    ));
    assert_eq!(
        taken,
        ["14: routes[1].name: the name \"x\" is taken by routes[0] of line 3"]
    );
    let taken = refused(&two("path = \"/a\"\nname = \"/b\"", "path = \"/b\""));
    assert_eq!(
        taken,
        ["11: routes[1]: the name \"/b\" is taken by routes[0] of line 3"]
    );
    accepted(&two(
        "path = \"/a\"\nmethods = [\"GET\"]",
        "path = \"/a\"\nmethods = [\"PUT\"]",
    ));
}

#[test]
fn routes_that_are_never_reached_are_refused() {
    for (first, second) in [
        ("path = \"/a\"", "path = \"/a\""),
        ("path = \"/a/{id}\"", "path = \"/a/{name}\""),
        ("path = \"/a/{*x}\"", "path = \"/a/{*y}\""),
        (
            "path = \"/a\"\nhost = \"A.example\"",
            "path = \"/a\"\nhost = \"a.example\"",
        ),
    ] {
        let problems = refused(&two(first, second));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems.iter().all(|problem| problem.ends_with(
                ": routes[1]: never reached: routes[0] of line 3 matches the same host, path and methods"
            )),
            "{problems:?}"
        );
    }
    let problems = refused(&two(
        "path = \"/a\"\nmethods = [\"GET\", \"PUT\"]",
        "path = \"/a\"\nmethods = [\"PUT\"]",
    ));
    assert_eq!(
        problems,
        [
            "11: routes[1]: never reached: PUT goes to routes[0] of line 3, which matches the same host and path"
        ]
    );
}

#[test]
fn a_shared_method_goes_to_the_first_with_a_warning() {
    let (config, warnings) = warned(&two(
        "path = \"/a\"\nmethods = [\"GET\"]",
        "path = \"/a\"\nmethods = [\"GET\", \"PUT\"]",
    ));
    assert_eq!(config.routes.len(), 3);
    assert_eq!(
        warnings,
        ["11: routes[1]: GET goes to routes[0] of line 3, which matches the same host and path"]
    );
}

#[test]
fn routes_that_differ_live_side_by_side() {
    for (first, second) in [
        ("path = \"/a\"", "path = \"/a/\""),
        ("path = \"/a\"", "path = \"/a\"\nmethods = [\"GET\"]"),
        ("path = \"/a\"", "path = \"/a\"\nhost = \"a.example\""),
        ("path = \"/a/{id}\"", "path = \"/a/{*rest}\""),
        ("path = \"/a/{id}\"", "path = \"/a/id\""),
    ] {
        accepted(&two(first, second));
    }
}
