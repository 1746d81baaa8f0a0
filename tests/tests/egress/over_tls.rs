//! Proxies that are spoken to by TLS.

use std::net::SocketAddr;

use sluicegate_tests::{
    Answer, Authority, Gateway, GatewayBuilder, RawUpstream, Response, TlsFront, Upstream,
    http2::{Http2Upstream, Reply},
    wait_until,
};

use crate::pools::Changing;
use crate::proxies::{Proxy, Rules};
use crate::real::{ALL, AUTO, CONNECT, UNAUTHORIZED, get, known, post, row, target, websocket};

/// A target that nobody may connect to except through a proxy.
const TARGET: &str = "http://origin.invalid:8080";
/// "user:pass" of RFC 7617.
const CREDENTIALS: &str = "Basic dXNlcjpwYXNz";
/// What tells the gateway's credentials, and what it asks for.
const SECRETS: [&[u8]; 3] = [b"dXNlcjpwYXNz", b"origin.invalid", b"HTTP/1.1\r\n"];

/// Whom a proxy's certificate may come from.
struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        scene.write("ca.pem", &scene.authority.pem());
        scene.write("foreign.pem", &Authority::new().pem());
        scene
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn ca(&self, name: &str) -> String {
        format!("ca = \"{}\"", self.folder.path().join(name).display())
    }

    /// The line for those that have the authority's certificate.
    fn trusting(&self) -> String {
        format!("via_tls = {{ {} }}", self.ca("ca.pem"))
    }

    /// TLS in front of a proxy, for the address that it listens at.
    fn front(&self, proxy: SocketAddr) -> TlsFront {
        TlsFront::start(proxy, &self.authority.issue(&["127.0.0.1"]), None)
    }
}

fn through(address: SocketAddr, lines: &str) -> GatewayBuilder {
    let via = format!("via = \"https://user:pass@{address}\"\n{lines}");
    Gateway::new()
        .upstream_with("a", [TARGET], &via)
        .route("/{*rest}", "a")
}

/// A proxy that opens each tunnel, and is the target at its end, too.
fn fake() -> Upstream {
    Upstream::start(|request| {
        if request.method() == "CONNECT" {
            return Answer::ok("");
        }
        Answer::ok(format!("{} over {}", request.target(), request.connection))
    })
}

/// The gateway says that it is the fault of the proxy at this address.
#[track_caller]
fn refused(response: &Response, proxy: SocketAddr, error: &str) {
    assert_eq!(response.status(), 502, "{response:?}");
    let expected = format!("sluicegate; error={error}; next-hop=\"{proxy}\"");
    assert_eq!(response.header("proxy-status"), Some(&*expected));
}

#[test]
fn requests_and_tunnels_go_to_the_proxy_inside_of_tls() {
    let scene = Scene::new();
    for mode in ["auto", "connect"] {
        let proxy = fake();
        let front = scene.front(proxy.address());
        let lines = format!("via_mode = \"{mode}\"\n{}", scene.trusting());
        let gateway = through(front.address(), &lines).start();
        let origin = if mode == "auto" { TARGET } else { "" };
        for _ in 0..3 {
            assert_eq!(
                gateway.get("/x").send().text(),
                format!("{origin}/x over 0")
            );
        }
        // One handshake, in which nothing but HTTP/1.1 is offered, and no host is named where there is only an address.
        let seen = front.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].protocol.as_deref(), Some("http/1.1"));
        assert_eq!((&seen[0].host, seen[0].has_certificate), (&None, false));
        let received = proxy.received();
        let with = |target: &str| {
            let found = received.iter().filter(|request| request.target() == target);
            found
                .map(|request| request.headers("proxy-authorization").join(","))
                .collect::<Vec<_>>()
        };
        if mode == "auto" {
            assert_eq!(with(&format!("{TARGET}/x")), [CREDENTIALS; 3]);
        } else {
            assert_eq!(with("origin.invalid:8080"), [CREDENTIALS]);
            assert_eq!(with("/x"), [""; 3]);
        }
    }
}

#[test]
fn a_proxy_that_is_not_who_it_should_be_is_told_nothing() {
    let scene = Scene::new();
    let proxy = fake();
    let certificate = scene.authority.issue(&["proxy.example"]);
    let front = TlsFront::start(proxy.address(), &certificate, None);
    let (ca, foreign) = (scene.ca("ca.pem"), scene.ca("foreign.pem"));
    let name = "server_name = \"proxy.example\"";
    for (keys, is_good) in [
        (format!("via_tls = {{ {ca}, {name} }}"), true),
        (format!("via_tls = {{ {ca} }}"), false),
        (format!("via_tls = {{ {foreign}, {name} }}"), false),
        // The system's roots know nothing of it.
        (format!("via_tls = {{ {name} }}"), false),
        (String::new(), false),
        // What is believed of targets is not believed of proxies.
        (format!("tls = {{ {ca}, {name} }}"), false),
        ("via_tls = { verify = false }".to_owned(), true),
    ] {
        for mode in [AUTO, CONNECT] {
            let before = proxy.received().len();
            let gateway = through(front.address(), &format!("{mode}\n{keys}")).start();
            let response = gateway.get("/").send();
            if is_good {
                assert_eq!(response.status(), 200, "{keys}");
                continue;
            }
            refused(&response, front.address(), "tls_certificate_error");
            assert_eq!(proxy.received().len(), before);
        }
    }
}

#[test]
fn nothing_is_sent_in_the_clear_to_a_proxy_without_tls() {
    let scene = Scene::new();
    let plain = RawUpstream::start(|wire| {
        wire.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = wire.read_to_close();
    });
    for mode in [AUTO, CONNECT] {
        let lines = format!("{mode}\n{}", scene.trusting());
        let gateway = through(plain.address(), &lines).start();
        let response = gateway.get("/").send();
        refused(&response, plain.address(), "tls_protocol_error");
        assert_eq!(websocket(&gateway), "502 tls_protocol_error");
    }
    for secret in SECRETS {
        let raw = plain.raw();
        assert!(!raw.windows(secret.len()).any(|bytes| bytes == secret));
    }
}

#[test]
fn a_proxy_that_does_not_shake_hands_is_waited_for_no_longer_than_for_a_connection() {
    let scene = Scene::new();
    let silent = RawUpstream::start(|wire| {
        let _ = wire.read_to_close();
    });
    let lines = format!("timeouts = {{ connect = \"200ms\" }}\n{}", scene.trusting());
    let gateway = through(silent.address(), &lines).start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 504);
    let status = response.header("proxy-status");
    assert_eq!(status, Some("sluicegate; error=connection_timeout"));
}

#[test]
fn the_gateway_shows_a_certificate_to_a_proxy_that_wants_one() {
    let scene = Scene::new();
    let own = scene.authority.issue(&["gateway"]);
    let own = own.write(scene.folder.path(), "own");
    let proxy = fake();
    let certificate = scene.authority.issue(&["127.0.0.1"]);
    let front = TlsFront::start(proxy.address(), &certificate, Some(&scene.authority));
    let ca = scene.ca("ca.pem");
    for mode in [AUTO, CONNECT] {
        let lines = format!("{mode}\nvia_tls = {{ {ca}, client = {own} }}");
        let gateway = through(front.address(), &lines).start();
        assert_eq!(gateway.get("/").send().status(), 200);
        // In TLS 1.3 it is refused only after the first request, which names the proxy all the same.
        let lines = format!("{mode}\n{}", scene.trusting());
        let gateway = through(front.address(), &lines).start();
        let response = gateway.get("/").send();
        refused(&response, front.address(), "tls_alert_received");
    }
    assert!(front.seen().iter().all(|shaken| shaken.has_certificate));
}

#[test]
fn health_checks_shake_hands_too() {
    let scene = Scene::new();
    let proxy = fake();
    let front = scene.front(proxy.address());
    let lines = "health = { path = \"/healthz\", interval = \"1h\" }\n";
    let gateway = through(front.address(), &format!("{lines}{}", scene.trusting())).start();
    let check = proxy.wait_for(1).remove(0);
    assert_eq!(check.target(), format!("{TARGET}/healthz"));
    assert_eq!(check.header("proxy-authorization"), Some(CREDENTIALS));
    drop(gateway);
    for probe in ["path = \"/healthz\"", "connect = true"] {
        let health = format!("health = {{ {probe}, interval = \"10ms\", unhealthy = 1 }}");
        let foreign = scene.ca("foreign.pem");
        let lines = format!("{health}\nvia_tls = {{ {foreign} }}");
        let gateway = through(front.address(), &lines).start();
        let snapshot = gateway.running().snapshot();
        wait_until("the target is down", || snapshot.upstreams[0].is_down(0));
    }
    assert_eq!(proxy.received().len(), 1);
}

#[test]
fn http2_is_spoken_through_tunnels_whatever_was_agreed_on_with_the_proxy() {
    let scene = Scene::new();
    let target = Http2Upstream::start(100, |request| async move {
        Reply::ok(request.uri().to_string())
    });
    let Some(proxy) = Proxy::tinyproxy(Rules::Open) else {
        return;
    };
    let front = scene.front(proxy.address);
    let lines = format!(
        "protocol = \"h2\"\nvia = \"https://{}\"\n{}\n\
         health = {{ path = \"/healthz\", interval = \"10ms\", unhealthy = 1 }}",
        front.address(),
        scene.trusting()
    );
    let gateway = Gateway::new()
        .upstream_with("a", [target.url()], &lines)
        .route("/{*rest}", "a")
        .start();
    for _ in 0..5 {
        let response = gateway.get("/x").send();
        assert_eq!(
            response.text(),
            format!("{}/x", target.url()),
            "{}",
            proxy.log()
        );
    }
    let before = target.connections();
    wait_until("some checks", || target.connections() > before + 3);
    assert!(!gateway.running().snapshot().upstreams[0].is_down(0));
    let shaken = front.seen().remove(0);
    assert_eq!(shaken.protocol.as_deref(), Some("http/1.1"));
}

#[test]
fn squid_over_tls() {
    let scene = Scene::new();
    let own = scene.authority.issue(&["127.0.0.1"]);
    let (Some(open), Some(login)) = (
        Proxy::squid_over_tls(Rules::Open, &own),
        Proxy::squid_over_tls(Rules::Login, &own),
    ) else {
        return;
    };
    for mode in [AUTO, CONNECT] {
        let lines = format!("{mode}\n{}", scene.trusting());
        row("squid, TLS", &open, "https://PROXY", &lines, ALL);
        let via = known("https://");
        row("squid, TLS, login", &login, &via, &lines, ALL);
        let none = [UNAUTHORIZED; 3];
        row(
            "squid, TLS, no login",
            &login,
            "https://PROXY",
            &lines,
            none,
        );
        let foreign = format!("{mode}\nvia_tls = {{ {} }}", scene.ca("foreign.pem"));
        let none = ["502 tls_certificate_error"; 3];
        row("squid, wrong TLS", &login, &via, &foreign, none);
    }
}

#[test]
fn tls_to_a_target_goes_inside_of_that_to_a_proxy() {
    let scene = Scene::new();
    let own = scene.authority.issue(&["127.0.0.1"]);
    // A front of TLS, where the proxy itself speaks none.
    let squid = Proxy::squid_over_tls(Rules::Login, &own).map(|proxy| (proxy, None));
    let tinyproxy = Proxy::tinyproxy(Rules::Login).map(|proxy| {
        let front = scene.front(proxy.address);
        (proxy, Some(front))
    });
    // Each end has an authority of its own: neither vouches for the other.
    let authority = Authority::new();
    scene.write("targets.pem", &authority.pem());
    for (proxy, front) in [squid, tinyproxy].into_iter().flatten() {
        let address = front.as_ref().map_or(proxy.address, TlsFront::address);
        let via = known("https://").replace("PROXY", &address.to_string());
        for mode in [AUTO, CONNECT] {
            let target = target();
            let certificate = authority.issue(&["127.0.0.1"]);
            let end = TlsFront::start(target.address(), &certificate, None);
            let gateway = |of_proxy: &str, of_target: &str| {
                let url = format!("https://{}", end.address());
                let (of_proxy, of_target) = (scene.ca(of_proxy), scene.ca(of_target));
                let lines = format!(
                    "via = \"{via}\"\n{mode}\nvia_tls = {{ {of_proxy} }}\ntls = {{ {of_target} }}"
                );
                Gateway::new()
                    .upstream_with("a", [url], &lines)
                    .route("/{*rest}", "a")
                    .start()
            };
            let good = gateway("ca.pem", "targets.pem");
            for _ in 0..2 {
                let found = [get(&good), post(&good), websocket(&good)];
                assert_eq!(found, ALL, "{via} {mode}\n{}", proxy.log());
            }
            // One connection carries all of it, until the WebSocket takes it away.
            assert_eq!(end.seen().len(), 2);
            for (of_proxy, of_target) in [("ca.pem", "ca.pem"), ("targets.pem", "targets.pem")] {
                let bad = gateway(of_proxy, of_target);
                let none = ["502 tls_certificate_error"; 3];
                assert_eq!([get(&bad), post(&bad), websocket(&bad)], none);
            }
            assert_eq!(end.seen().len(), 2);
        }
    }
}

#[test]
fn a_connection_is_never_used_for_another_tls_to_the_proxy() {
    let scene = Scene::new();
    let proxy = fake();
    let front = scene.front(proxy.address());
    let upstream = |via_tls: &str| {
        format!(
            "targets = [{{ url = \"{TARGET}\" }}]\nvia = \"https://{}\"\n{via_tls}\n\
             outliers = {{ failures = 1, ejection = \"1h\", max_ejected = 1.0 }}",
            front.address()
        )
    };
    let over = |connection: usize| format!("{TARGET}/ over {connection}");
    let trusting = upstream(&scene.trusting());
    let gateway = Changing::start(&trusting);
    assert_eq!((gateway.get(), gateway.get()), (over(0), over(0)));
    gateway.become_(&trusting);
    assert_eq!(gateway.get(), over(0));
    // The file is watched, and who is believed has changed with it.
    let files = gateway.server.running().files();
    let ca = scene.folder.path().join("ca.pem");
    assert!(files.contains(&ca), "{files:?}");
    let both = scene.authority.pem() + &Authority::new().pem();
    scene.write("ca.pem", &both);
    gateway.become_(&trusting);
    assert_eq!((gateway.get(), gateway.get()), (over(1), over(1)));
    // A file that is broken changes nothing.
    scene.write("ca.pem", "nothing");
    let refused = gateway.try_become(&trusting).unwrap_err();
    assert!(refused.contains("upstreams.a.via_tls.ca: "), "{refused}");
    assert_eq!(gateway.get(), over(1));
    scene.write("ca.pem", &both);
    gateway.become_(&upstream("via_tls = { verify = false }"));
    assert_eq!(gateway.get(), over(2));
    // Nobody who is believed vouches for it any more: nothing that is open from before is used.
    let foreign = format!("via_tls = {{ {} }}", scene.ca("foreign.pem"));
    gateway.become_(&upstream(&foreign));
    let received = proxy.received().len();
    assert!(gateway.get().contains("failed"));
    assert_eq!(proxy.received().len(), received);
    // It is the same target behind the same proxy, so what is known of it goes on.
    let is_ejected = || gateway.server.running().snapshot().upstreams[0].is_ejected(0);
    assert!(is_ejected());
    gateway.become_(&trusting);
    assert!(is_ejected());
    // Who has another name is another proxy.
    gateway.become_(&upstream("via_tls = { server_name = \"proxy.example\" }"));
    assert!(!is_ejected());
}

#[test]
fn what_is_wrong_with_its_files_is_said_with_key_and_line() {
    let scene = Scene::new();
    scene.write("none.pem", "nothing");
    let proxy = SocketAddr::from(([127, 0, 0, 1], 1));
    for (keys, expected) in [
        (scene.ca("none.pem"), "via_tls.ca: "),
        (scene.ca("missing.pem"), "via_tls.ca: "),
        (
            "client = { cert = \"missing.pem\", key = \"missing.key\" }".to_owned(),
            "via_tls.client.cert: ",
        ),
    ] {
        let builder = through(proxy, &format!("via_tls = {{ {keys} }}"));
        let text = builder.text();
        let line = text.lines().position(|line| line.starts_with("via_tls"));
        let line = line.unwrap() + 1;
        let error = builder.try_start().unwrap_err();
        assert!(
            error.contains(&format!("upstreams.a.{expected}")),
            "{error}"
        );
        assert!(error.contains(&line.to_string()), "{line} {error}");
        assert!(!error.contains("user:pass"), "{error}");
    }
}
