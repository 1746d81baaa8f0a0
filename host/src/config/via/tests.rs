use super::super::testing::{accepted, refused, warned};
use super::*;

const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"http://a\" }]\n";

fn via(text: &str) -> Via {
    let mut config = accepted(&format!("{TARGETS}{text}"));
    config.upstreams.remove("u").unwrap().via
}

fn proxy(text: &str) -> ForwardProxy {
    let Via::Proxy(proxy) = via(text) else {
        panic!("{text}")
    };
    *proxy
}

#[test]
fn direct_is_the_default() {
    assert_eq!(via(""), Via::Direct);
    assert_eq!(via("via = \"direct\"\nvia_mode = \"auto\""), Via::Direct);
}

#[test]
fn addresses() {
    use ProxyScheme::{Http, Https, Socks5, Socks5h};
    for (text, protocol, host, port, credentials) in [
        ("http://proxy:3128", Http, "proxy", 3128, None),
        ("HTTP://proxy.internal/", Http, "proxy.internal", 80, None),
        ("http://[::1]:3128", Http, "::1", 3128, None),
        ("http://[::1]", Http, "::1", 80, None),
        ("https://proxy", Https, "proxy", 443, None),
        ("https://[::1]:3129", Https, "::1", 3129, None),
        ("https://u:p@h", Https, "h", 443, Some(("u", "p"))),
        ("socks5://10.0.0.1", Socks5, "10.0.0.1", 1080, None),
        ("socks5h://10.0.0.1:9", Socks5h, "10.0.0.1", 9, None),
        ("http://u:p@h:1", Http, "h", 1, Some(("u", "p"))),
        ("http://u:p%40%3a%2F@h:1", Http, "h", 1, Some(("u", "p@:/"))),
        ("http://u:a:b@c@h:1", Http, "h", 1, Some(("u", "a:b@c"))),
        ("http://u:p%C3%A4@h:1", Http, "h", 1, Some(("u", "pä"))),
        ("http://u@h:1", Http, "h", 1, Some(("u", ""))),
        ("http://:p@h:1", Http, "h", 1, Some(("", "p"))),
        ("socks5://a%3Ab:p@h", Socks5, "h", 1080, Some(("a:b", "p"))),
    ] {
        let proxy = proxy(&format!("via = \"{text}\""));
        let (user, password) = credentials.unzip();
        let found = proxy.credentials.as_ref();
        assert_eq!(
            (proxy.protocol, &*proxy.host, proxy.port),
            (protocol, host, port),
            "{text}"
        );
        assert_eq!(found.map(|c| &*c.user), user, "{text}");
        assert_eq!(found.map(|c| &*c.password), password, "{text}");
    }
    assert_eq!(proxy("via = \"http://[::1]:1\"").to_string(), "[::1]:1");
    assert_eq!(proxy("via = \"http://u:p@h:1\"").to_string(), "h:1");
}

#[test]
fn modes_and_exceptions() {
    let proxy = proxy(
        "via = \"http://h\"\nvia_mode = \"connect\"\nno_proxy = [\".internal\", \"10.0.0.0/8\", \"b:81\"]",
    );
    assert_eq!(proxy.mode, ViaMode::Connect);
    assert!(proxy.no_proxy.covers("a.internal", 1));
    assert!(proxy.no_proxy.covers("10.1.1.1", 1));
    assert!(proxy.no_proxy.covers("b", 81));
    assert!(!proxy.no_proxy.covers("b", 80));
}

#[test]
fn tls_to_a_proxy() {
    let tls = |text: &str| proxy(text).tls;
    assert_eq!(tls("via = \"http://h\""), None);
    let default = tls("via = \"https://h\"").unwrap();
    assert_eq!(
        (&default.ca, &default.server_name, default.verify),
        (&None, &None, true)
    );
    assert_eq!(
        (&*default.origin.path, default.origin.line),
        ("upstreams.u.via", 3)
    );
    let own = tls(
        "via = \"https://h\"\nvia_tls = { ca = \"ca.pem\", server_name = \"proxy.internal\", client = { cert = \"c.pem\", key = \"c.key\" } }",
    );
    let own = own.unwrap();
    assert_eq!(own.server_name, Some("proxy.internal".try_into().unwrap()));
    assert_eq!(own.files().count(), 3);
    assert_eq!(
        refused(&format!(
            "{TARGETS}via = \"https://h\"\nvia_tls = {{ cas = 1 }}"
        )),
        ["4: upstreams.u.via_tls.cas: unknown key; did you mean \"ca\"?"]
    );
    // What is said of targets is not said of the proxy.
    let text = format!("{TARGETS}via = \"https://h\"\nvia_tls = {{ verify = false }}");
    assert_eq!(
        warned(&text).1,
        [
            "4: upstreams.u.via_tls.verify: whoever is in between can read and change what is sent: certificates are not verified"
        ]
    );
}

#[test]
fn a_password_is_not_shown() {
    let shown = format!("{:?}", via("via = \"socks5://ann:hunter2@h\""));
    assert!(
        !shown.contains("ann") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn the_environment_may_have_the_address() {
    assert_eq!(
        refused(&format!("{TARGETS}via = \"env:SLUICEGATE_IS_NOT_SET\"")),
        ["3: upstreams.u.via: this environment variable is not set"]
    );
    // It is set, but is no address.
    let problems = refused(&format!("{TARGETS}via = \"env:CARGO_PKG_NAME\""));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("3: upstreams.u.via: found no scheme; expected \"direct\""));
}

#[test]
fn what_is_refused_is_never_repeated() {
    for (text, reason) in [
        ("hunter2", "found no scheme"),
        ("u:hunter2@proxy:3128", "found no scheme"),
        ("hunter2://x", "found another scheme"),
        (
            "https://u%3Av:hunter2@h",
            "found a colon in the user, which Basic authentication can't send",
        ),
        ("socks4://hunter2", "SOCKS4 is not spoken"),
        (
            "http://u:hunter2@h/path",
            "found something behind host and port",
        ),
        (
            "http://u:hunter2@h?q",
            "found something behind host and port",
        ),
        (
            "http://u:hunter2@",
            "found a host that is neither a name nor an address (IPv6 in brackets)",
        ),
        (
            "http://u:hunter2@a b",
            "found a host that is neither a name nor an address (IPv6 in brackets)",
        ),
        (
            "http://u:hunter2@h:0",
            "found a port that is not a number from 1 to 65535",
        ),
        (
            "http://h:hunter2",
            "found a port that is not a number from 1 to 65535",
        ),
        (
            "http://u%3Av:hunter2@h",
            "found a colon in the user, which Basic authentication can't send",
        ),
        (
            "http://u:hunter2%0d%0a@h",
            "found a control character in the user or password",
        ),
        (
            "http://u:hunter2%ff@h",
            "found a user or password that is not UTF-8",
        ),
        (
            "socks5://hunter2@h",
            "found a user or password that has not 1 to 255 bytes, as SOCKS5 wants",
        ),
    ] {
        let problems = refused(&format!(
            "{TARGETS}via = \"{text}\"\nvia_mode = \"connect\""
        ));
        let expected = format!("3: upstreams.u.via: {reason}; expected {EXPECTED}");
        assert_eq!(problems, [expected], "{text}");
        assert!(!problems[0].contains("hunter2"));
    }
    let problems = refused(&format!("{TARGETS}via = {{ url = \"hunter2\" }}"));
    assert_eq!(
        problems,
        [format!("3: upstreams.u.via: expected {EXPECTED}")]
    );
    assert_eq!(
        refused(&format!("{TARGETS}via = \"direct\"\nvia_mode = \"tunnel\"")),
        ["4: upstreams.u.via_mode: found \"tunnel\"; allowed: \"auto\", \"connect\""]
    );
    assert_eq!(
        refused(&format!(
            "{TARGETS}via = \"http://h\"\nno_proxy = [\"a\", \"http://b\", 1]"
        )),
        [
            format!("4: upstreams.u.no_proxy[1]: found \"http://b\"; expected {NO_PROXY}"),
            format!("4: upstreams.u.no_proxy[2]: found 1; expected {NO_PROXY}"),
        ]
    );
}

#[test]
fn what_has_no_effect_is_a_warning() {
    for (text, expected) in [
        (
            "via_mode = \"connect\"",
            "3: upstreams.u.via_mode: has no effect without a proxy in `via`",
        ),
        (
            "no_proxy = [\"a\"]",
            "3: upstreams.u.no_proxy: has no effect without a proxy in `via`",
        ),
        (
            "via_tls = {}",
            "3: upstreams.u.via_tls: has no effect without a proxy in `via`",
        ),
        (
            "via_tls = {}\nvia = \"http://h\"",
            "3: upstreams.u.via_tls: has no effect: `via` is not https://",
        ),
        (
            "via_mode = \"connect\"\nvia = \"socks5://h\"",
            "3: upstreams.u.via_mode: has no effect: a SOCKS proxy knows tunnels only",
        ),
    ] {
        assert_eq!(warned(&format!("{TARGETS}{text}")).1, [expected], "{text}");
    }
}

#[test]
fn a_host_that_a_proxy_would_not_keep_is_a_warning() {
    let warnings = |via: &str| {
        let route = "[[routes]]\npath = \"/x\"\nupstream = \"u\"\npreserve_host = true";
        warned(&format!("{TARGETS}{via}\n{route}")).1
    };
    let found = warnings("via = \"http://h\"");
    assert_eq!(found, warnings("via = \"https://h\""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("4: routes[0].preserve_host: has no effect on requests"));
    for via in [
        "via = \"http://h\"\nvia_mode = \"connect\"",
        "via = \"socks5://h\"",
        "via = \"http://h\"\nno_proxy = [\"a\"]",
        "",
    ] {
        assert_eq!(warnings(via), Vec::<String>::new(), "{via}");
    }
}
