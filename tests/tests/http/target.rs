//! Which path and query the upstream receives.

use sluicegate_tests::{Answer, Gateway, Upstream};

/// Sends each target, and compares what arrives behind an upstream URL with this base path. `None`: 400, and nothing arrives.
#[track_caller]
fn check(base: &str, cases: &[(&str, Option<&str>)]) {
    let upstream = Upstream::start(|_| Answer::ok(""));
    let gateway = Gateway::in_front_of_url(upstream.url() + base).start();
    let mut expected = 0;
    for (sent, received) in cases {
        let response = gateway.get(sent).host("gateway.example").send();
        if let Some(received) = received {
            expected += 1;
            assert_eq!(response.status(), 200, "{sent}");
            let requests = upstream.received();
            assert_eq!(requests.len(), expected, "{sent}");
            assert_eq!(requests[expected - 1].target(), *received, "{sent}");
        } else {
            assert_eq!(response.status(), 400, "{sent}");
            assert_eq!(upstream.received().len(), expected, "{sent}");
        }
    }
}

#[test]
fn exactly_one_slash_joins_base_and_path() {
    for base in ["/base", "/base/"] {
        check(
            base,
            &[
                ("/", Some("/base/")),
                ("/x", Some("/base/x")),
                ("/x/", Some("/base/x/")),
                ("/x?q", Some("/base/x?q")),
            ],
        );
    }
    for base in ["", "/"] {
        check(base, &[("/", Some("/")), ("/x", Some("/x"))]);
    }
    check("/a%2Fb", &[("/c%2Fd", Some("/a%2Fb/c%2Fd"))]);
}

#[test]
fn escapes_that_mean_something_are_kept_and_others_resolved() {
    check(
        "",
        &[
            ("/a%2Fb", Some("/a%2Fb")),
            ("/a%2fb", Some("/a%2fb")),
            ("/a%20b", Some("/a%20b")),
            ("/a%3Fb", Some("/a%3Fb")),
            ("/a%5Cb", Some("/a%5Cb")),
            ("/%E2%82%AC", Some("/%E2%82%AC")),
            ("/%61%2Db", Some("/a-b")),
            ("/a//b", Some("/a//b")),
            ("/a+b", Some("/a+b")),
        ],
    );
}

#[test]
fn dot_segments_are_resolved_and_never_lead_out_of_the_base_path() {
    check(
        "/base",
        &[
            ("/a/../b", Some("/base/b")),
            ("/a/./b", Some("/base/a/b")),
            ("/a/%2e%2E/b", Some("/base/b")),
            ("/a/b/..", Some("/base/a/")),
            ("/...", Some("/base/...")),
            ("/..", None),
            ("/../secret", None),
            ("/a/../../secret", None),
            ("/%2e%2e/secret", None),
            ("/.%2e/secret", None),
        ],
    );
}

#[test]
fn paths_that_can_not_be_read_are_refused() {
    check(
        "",
        &[
            ("/%", None),
            ("/%2", None),
            ("/%zz", None),
            ("/a%00b", None),
            ("/ok", Some("/ok")),
        ],
    );
}

#[test]
fn a_query_that_parsers_read_differently_arrives_in_one_reading() {
    check(
        "",
        &[
            ("/?a=1&b=2", Some("/?a=1&b=2")),
            ("/?a=1;b=2", Some("/?a=1%3Bb=2")),
            ("/?a=%zz", Some("/?a=%25zz")),
            ("/?a=%", Some("/?a=%25")),
            ("/?a=%4", Some("/?a=%254")),
            ("/?a=%41", Some("/?a=%41")),
            ("/?a=b?c/d", Some("/?a=b?c/d")),
            ("/?../x", Some("/?../x")),
            ("/?", Some("/?")),
        ],
    );
}

#[test]
fn a_target_in_absolute_form_arrives_in_origin_form() {
    check(
        "",
        &[
            ("http://gateway.example/x?y", Some("/x?y")),
            ("HTTP://GATEWAY.example/x", Some("/x")),
            ("http://gateway.example", Some("/")),
            ("http://gateway.example?q", Some("/?q")),
            ("http://other.example/x", None),
            ("http://gateway.example:81/x", None),
        ],
    );
}

#[test]
fn what_a_route_matches_is_what_the_upstream_receives() {
    let open = Upstream::start(|_| Answer::ok("open"));
    let closed = Upstream::start(|_| Answer::ok("closed"));
    let gateway = Gateway::new()
        .upstream("open", [open.url()])
        .upstream("closed", [closed.url()])
        .route("/{*rest}", "open")
        .route("/admin/{*rest}", "closed")
        .start();
    for path in [
        "/admin/x",
        "/%61dmin/x",
        "/./admin/x",
        "/a/../admin/x",
        "/a/%2e%2e/admin/x",
    ] {
        assert_eq!(gateway.get(path).send().text(), "closed", "{path}");
    }
    assert!(
        closed
            .received()
            .iter()
            .all(|request| request.target() == "/admin/x")
    );
    assert!(open.received().is_empty());
}
