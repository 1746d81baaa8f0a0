//! Real proxies × what a target is asked for × how the proxy is asked.

use sluicegate_tests::{
    Authority, Gateway, Process, RawUpstream, Refusing, TlsFront, Wire,
    http2::{Http2Upstream, Reply},
    wait_until,
};

use crate::proxies::{PASSWORD, Proxy, Rules, USER};

/// A target that says what it was asked, and switches where it is asked to.
pub(crate) fn target() -> RawUpstream {
    RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            assert_eq!(head.header("proxy-authorization"), None);
            if head.header("upgrade").is_some() {
                wire.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello");
                while let Ok(bytes) = wire.try_read_exact(1) {
                    wire.write(bytes);
                }
                return;
            }
            let Ok(body) = wire.try_read_request_body(&head) else {
                return;
            };
            let body = [head.start_line.as_bytes(), b"|", &body.bytes].concat();
            let length = body.len();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ));
            wire.write(body);
        }
    })
}

const ASKING: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What became of one request: its status, with what the gateway says where it is its own answer.
fn outcome(status: u16, proxy_status: Option<&str>) -> String {
    let Some(told) = proxy_status.filter(|told| told.starts_with("sluicegate")) else {
        return status.to_string();
    };
    let error = told.split("error=").nth(1).unwrap_or_default();
    let error = error.split(';').next().unwrap_or_default();
    match told.split("received-status=").nth(1) {
        Some(received) => format!("{status} {error} ({received})"),
        None => format!("{status} {error}"),
    }
}

pub(crate) fn get(gateway: &Gateway) -> String {
    let response = gateway.get("/x?q=1").send();
    if response.status() == 200 {
        assert_eq!(response.text(), "GET /x?q=1 HTTP/1.1|");
    }
    outcome(response.status(), response.header("proxy-status"))
}

pub(crate) fn post(gateway: &Gateway) -> String {
    let body = "x".repeat(100_000);
    let response = gateway.post("/x").body(&body).send();
    if response.status() == 200 {
        assert_eq!(response.text(), format!("POST /x HTTP/1.1|{body}"));
    }
    outcome(response.status(), response.header("proxy-status"))
}

pub(crate) fn websocket(gateway: &Gateway) -> String {
    let mut wire: Wire = gateway.connect();
    wire.write(ASKING);
    let head = wire.read_head();
    if head.status() == 101 {
        assert_eq!(wire.read_exact(5), b"hello");
        wire.write("ping");
        assert_eq!(wire.read_exact(4), b"ping");
    }
    outcome(head.status(), head.header("proxy-status"))
}

/// One row of the table: GET, POST and WebSocket to an `http` target; and again, over what was kept.
#[track_caller]
pub(crate) fn row(name: &str, proxy: &Proxy, via: &str, mode: &str, expected: [&str; 3]) {
    let target = target();
    let via = via.replace("PROXY", &proxy.address.to_string());
    let gateway = Gateway::new()
        .upstream_with("a", [target.url()], &format!("via = \"{via}\"\n{mode}"))
        .route("/{*rest}", "a")
        .start();
    for _ in 0..2 {
        let found = [get(&gateway), post(&gateway), websocket(&gateway)];
        println!(
            "{name:<28} {mode:<22} GET {:<42} POST {:<42} WebSocket {}",
            found[0], found[1], found[2]
        );
        assert_eq!(found, expected, "{name} {mode}\n{}", proxy.log());
    }
    if expected[0] != "200" {
        assert_eq!(target.connections(), 0, "nobody goes past the proxy");
    }
}

pub(crate) const AUTO: &str = "via_mode = \"auto\"";
pub(crate) const CONNECT: &str = "via_mode = \"connect\"";
pub(crate) const ALL: [&str; 3] = ["200", "200", "101"];
pub(crate) const DENIED: &str = "502 http_request_denied (403)";
pub(crate) const UNAUTHORIZED: &str = "502 proxy_configuration_error (407)";

pub(crate) fn known(scheme: &str) -> String {
    format!("{scheme}{USER}:{PASSWORD}@PROXY")
}

#[test]
fn squid() {
    let (Some(open), Some(login), Some(port)) = (
        Proxy::squid(Rules::Open),
        Proxy::squid(Rules::Login),
        Proxy::squid(Rules::Port443),
    ) else {
        return;
    };
    for mode in [AUTO, CONNECT] {
        row("squid", &open, "http://PROXY", mode, ALL);
        row("squid, login", &login, &known("http://"), mode, ALL);
        let none = [UNAUTHORIZED; 3];
        row("squid, no login", &login, "http://PROXY", mode, none);
        row("squid, wrong", &login, "http://ann:x@PROXY", mode, none);
    }
    // As squid comes: tunnels lead to port 443 only.
    let tunnel_denied = ["200", "200", DENIED];
    row("squid, 443", &port, "http://PROXY", AUTO, tunnel_denied);
    row("squid, 443", &port, "http://PROXY", CONNECT, [DENIED; 3]);
}

#[test]
fn tinyproxy() {
    let (Some(open), Some(login), Some(port)) = (
        Proxy::tinyproxy(Rules::Open),
        Proxy::tinyproxy(Rules::Login),
        Proxy::tinyproxy(Rules::Port443),
    ) else {
        return;
    };
    for mode in [AUTO, CONNECT] {
        row("tinyproxy", &open, "http://PROXY", mode, ALL);
        row("tinyproxy, login", &login, &known("http://"), mode, ALL);
        let none = [UNAUTHORIZED; 3];
        row("tinyproxy, no login", &login, "http://PROXY", mode, none);
    }
    let tunnel_denied = ["200", "200", DENIED];
    row("tinyproxy, 443", &port, "http://PROXY", AUTO, tunnel_denied);
    row(
        "tinyproxy, 443",
        &port,
        "http://PROXY",
        CONNECT,
        [DENIED; 3],
    );
}

#[test]
fn dante() {
    let (Some(open), Some(login)) = (Proxy::dante(Rules::Open), Proxy::dante(Rules::Login)) else {
        return;
    };
    for scheme in ["socks5://", "socks5h://"] {
        let name = format!("dante, {scheme}");
        row(&name, &open, &format!("{scheme}PROXY"), "", ALL);
        // It wants no credentials, and gets none.
        row(&name, &open, &known(scheme), "", ALL);
        let none = ["502 proxy_configuration_error"; 3];
        row(&name, &login, &format!("{scheme}PROXY"), "", none);
        row(&name, &login, &known(scheme), "", none);
    }
}

#[test]
fn microsocks() {
    let (Some(open), Some(login)) = (
        Proxy::microsocks(Rules::Open),
        Proxy::microsocks(Rules::Login),
    ) else {
        return;
    };
    for scheme in ["socks5://", "socks5h://"] {
        let name = format!("microsocks, {scheme}");
        row(&name, &open, &format!("{scheme}PROXY"), "", ALL);
        row(&name, &login, &known(scheme), "", ALL);
        let none = ["502 proxy_configuration_error"; 3];
        row(&name, &login, &format!("{scheme}PROXY"), "", none);
        let wrong = format!("{scheme}ann:x@PROXY");
        row(&name, &login, &wrong, "", none);
    }
}

#[test]
fn chunked_bodies_pass_in_both_directions() {
    let target = RawUpstream::start(|wire| {
        while let Ok(head) = wire.try_read_head() {
            let Ok(body) = wire.try_read_request_body(&head) else {
                return;
            };
            let (size, start) = (body.bytes.len(), body.bytes[..3].to_vec());
            wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            wire.write_chunk(format!("{size} "));
            wire.write_chunk(start);
            wire.write("0\r\n\r\n");
        }
    });
    for (scheme, mode, proxy) in [
        ("http://", AUTO, Proxy::squid(Rules::Open)),
        ("http://", CONNECT, Proxy::squid(Rules::Open)),
        ("http://", AUTO, Proxy::tinyproxy(Rules::Open)),
        ("http://", CONNECT, Proxy::tinyproxy(Rules::Open)),
        ("socks5h://", "", Proxy::dante(Rules::Open)),
        ("socks5h://", "", Proxy::microsocks(Rules::Open)),
    ] {
        let Some(proxy) = proxy else { continue };
        let via = format!("via = \"{scheme}{}\"\n{mode}", proxy.address);
        let gateway = Gateway::new()
            .upstream_with("a", [target.url()], &via)
            .route("/{*rest}", "a")
            .start();
        for _ in 0..3 {
            let chunks = vec!["abc"; 10_000];
            let response = gateway.post("/").chunks(chunks).send();
            let log = proxy.log();
            assert_eq!(response.status(), 200, "{via}\n{log}");
            assert_eq!(response.text(), "30000 abc", "{via}\n{log}");
        }
    }
}

#[test]
fn http2_is_spoken_through_tunnels() {
    let target = Http2Upstream::start(100, |request| async move {
        Reply::ok(request.uri().to_string())
    });
    for (scheme, proxy) in [
        ("http://", Proxy::squid(Rules::Open)),
        ("http://", Proxy::tinyproxy(Rules::Open)),
        ("socks5://", Proxy::dante(Rules::Open)),
        ("socks5h://", Proxy::microsocks(Rules::Open)),
    ] {
        let Some(proxy) = proxy else { continue };
        let via = format!(
            "protocol = \"h2\"\nvia = \"{scheme}{}\"\n\
             health = {{ path = \"/healthz\", interval = \"1h\", unhealthy = 1 }}",
            proxy.address
        );
        let gateway = Gateway::new()
            .upstream_with("a", [target.url()], &via)
            .route("/{*rest}", "a")
            .start();
        let before = target.connections();
        for _ in 0..5 {
            let response = gateway.get("/x").send();
            let log = proxy.log();
            assert_eq!(response.status(), 200, "{via}\n{log}");
            assert_eq!(response.text(), format!("{}/x", target.url()));
        }
        // One for the requests and one for the check.
        assert!(target.connections() - before <= 2);
    }
}

#[test]
fn names_of_targets_are_resolved_on_either_side() {
    let proxies = [
        ("http://", Proxy::squid(Rules::Open)),
        ("http://", Proxy::tinyproxy(Rules::Open)),
        ("socks5://", Proxy::dante(Rules::Open)),
        ("socks5h://", Proxy::dante(Rules::Open)),
        ("socks5://", Proxy::microsocks(Rules::Open)),
        ("socks5h://", Proxy::microsocks(Rules::Open)),
    ];
    let target = target();
    let url = format!("http://localhost:{}", target.address().port());
    for (scheme, proxy) in proxies {
        let Some(proxy) = proxy else { continue };
        for mode in ["auto", "connect"] {
            let via = format!("via = \"{scheme}{}\"\nvia_mode = \"{mode}\"", proxy.address);
            let gateway = Gateway::new()
                .upstream_with("a", [&url], &via)
                .route("/{*rest}", "a")
                .start();
            assert_eq!(get(&gateway), "200", "{via}\n{}", proxy.log());
        }
    }
}

#[test]
fn a_target_that_is_not_there_is_told_as_the_proxy_tells_it() {
    let refusing = Refusing::start();
    for (scheme, mode, proxy, expected) in [
        (
            "http://",
            CONNECT,
            Proxy::squid(Rules::Open),
            "502 destination_unavailable (503)",
        ),
        // The answer to the request is squid's own, and passed on as any other.
        ("http://", AUTO, Proxy::squid(Rules::Open), "503"),
        (
            "http://",
            CONNECT,
            Proxy::tinyproxy(Rules::Open),
            "502 destination_unavailable (500)",
        ),
        ("http://", AUTO, Proxy::tinyproxy(Rules::Open), "500"),
        (
            "socks5h://",
            "",
            Proxy::dante(Rules::Open),
            "502 connection_refused",
        ),
        (
            "socks5://",
            "",
            Proxy::microsocks(Rules::Open),
            "502 connection_refused",
        ),
    ] {
        let Some(proxy) = proxy else { continue };
        let via = format!("via = \"{scheme}{}\"\n{mode}", proxy.address);
        let gateway = Gateway::new()
            .upstream_with("a", [refusing.url()], &via)
            .route("/{*rest}", "a")
            .start();
        assert_eq!(get(&gateway), expected, "{via}\n{}", proxy.log());
    }
}

#[test]
fn the_log_says_which_rule_of_squid_it_is_and_no_password() {
    let Some(proxy) = Proxy::squid(Rules::Port443) else {
        return;
    };
    let target = target();
    let via = format!(
        "via = \"http://{USER}:{PASSWORD}@{}\"\n{CONNECT}",
        proxy.address
    );
    let builder = Gateway::new()
        .upstream_with("a", [target.url()], &via)
        .route("/{*rest}", "a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, builder.text()).unwrap();
    let mut process = Process::gateway(["run", "--config", file.to_str().unwrap()]);
    let address = process.address();
    let response = sluicegate_tests::RequestBuilder::new(address, "GET", "/").send();
    assert_eq!(response.status(), 502);
    let port = target.address().port();
    let hint = format!("acl SSL_ports port {port}");
    wait_until("the log has it", || process.stderr().contains("SSL_ports"));
    let log = process.stderr() + &process.stdout();
    for part in [
        &*hint,
        "http_access deny CONNECT !SSL_ports",
        "via_mode",
        &proxy.address.to_string(),
    ] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn tls_goes_through_tunnels_and_ends_at_the_target() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        format!("tls = {{ ca = \"{}\" }}", path.display())
    };
    let (own, foreign) = (
        file("own.pem", &authority),
        file("foreign.pem", &Authority::new()),
    );
    for (scheme, mode, proxy) in [
        ("http://", AUTO, Proxy::squid(Rules::Open)),
        ("http://", CONNECT, Proxy::squid(Rules::Login)),
        ("http://", AUTO, Proxy::tinyproxy(Rules::Login)),
        ("socks5://", "", Proxy::dante(Rules::Open)),
        ("socks5h://", "", Proxy::microsocks(Rules::Login)),
    ] {
        let Some(proxy) = proxy else { continue };
        let via = known(scheme).replace("PROXY", &proxy.address.to_string());
        let target = target();
        let certificate = authority.issue(&["127.0.0.1"]);
        let front = TlsFront::start(target.address(), &certificate, None);
        let gateway = |tls: &str| {
            let url = format!("https://{}", front.address());
            Gateway::new()
                .upstream_with("a", [url], &format!("via = \"{via}\"\n{mode}\n{tls}"))
                .route("/{*rest}", "a")
                .start()
        };
        let good = gateway(&own);
        for _ in 0..2 {
            let found = [get(&good), post(&good), websocket(&good)];
            assert_eq!(found, ALL, "{via} {mode}\n{}", proxy.log());
        }
        // One connection carries all of it, until the WebSocket takes it away.
        assert_eq!(front.seen().len(), 2);
        // The origin's certificate is looked at, whoever opened the tunnel.
        let bad = gateway(&foreign);
        let none = ["502 tls_certificate_error"; 3];
        assert_eq!([get(&bad), post(&bad), websocket(&bad)], none);
        assert_eq!(front.seen().len(), 2);
    }
}
