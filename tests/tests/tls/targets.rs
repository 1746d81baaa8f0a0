//! Targets that are reached by TLS.

use std::path::Path;

use sluicegate_tests::{
    Answer, Authority, Gateway, GatewayBuilder, RawUpstream, Response, TlsFront, Upstream,
    wait_until,
};

use crate::gateway::{Live, configuration, start};

/// An upstream, TLS in front of it, and what the gateway is to believe.
struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
    upstream: Upstream,
    front: TlsFront,
}

impl Scene {
    fn new(hosts: &[&str], asks_clients: bool) -> Self {
        let authority = Authority::new();
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let clients = asks_clients.then_some(&authority);
        let front = TlsFront::start(upstream.address(), &authority.issue(hosts), clients);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self {
            folder,
            authority,
            upstream,
            front,
        }
    }

    fn ca(&self) -> String {
        format!("ca = \"{}\"", self.folder.path().join("ca.pem").display())
    }

    /// With these keys of `tls`, and further lines.
    fn gateway(&self, keys: &str, lines: &str) -> GatewayBuilder {
        in_front_of(&self.front, keys, lines)
    }
}

fn in_front_of(front: &TlsFront, keys: &str, lines: &str) -> GatewayBuilder {
    let url = format!("https://{}", front.address());
    let lines = format!("tls = {{ {keys} }}\n{lines}");
    Gateway::new()
        .upstream_with("a", [url], &lines)
        .route("/{*rest}", "a")
}

/// Answered by the gateway itself with 502, for this reason.
#[track_caller]
fn assert_refused(response: &Response, error: &str) {
    assert_eq!(response.status(), 502, "{response:?}");
    let status = format!("sluicegate; error={error}");
    assert_eq!(response.header("proxy-status"), Some(&*status));
}

#[test]
fn an_authority_of_its_own_vouches_for_it() {
    let scene = Scene::new(&["127.0.0.1"], false);
    let gateway = scene.gateway(&scene.ca(), "").start();
    let mut wire = gateway.connect();
    for _ in 0..3 {
        let response = gateway.get("/x").send_over(&mut wire);
        assert_eq!((response.status(), response.text()), (200, "hello"));
    }
    // One handshake for all of them, and no host is named where there is only an address.
    let seen = scene.front.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].host, seen[0].has_certificate), (&None, false));
    assert_eq!(scene.upstream.received().len(), 3);
}

#[test]
fn who_is_not_who_it_should_be_gets_nothing() {
    let scene = Scene::new(&["b.example"], false);
    let other = Authority::new();
    std::fs::write(scene.folder.path().join("other.pem"), other.pem()).unwrap();
    let ca = scene.ca();
    let foreign = ca.replace("ca.pem", "other.pem");
    for (keys, is_good) in [
        (format!("{ca}, server_name = \"b.example\""), true),
        (ca, false),
        (format!("{foreign}, server_name = \"b.example\""), false),
        // The system's roots know nothing of it.
        ("server_name = \"b.example\"".to_owned(), false),
        ("verify = false".to_owned(), true),
    ] {
        let before = scene.upstream.received().len();
        let response = scene.gateway(&keys, "").start().get("/").send();
        if is_good {
            assert_eq!(response.text(), "hello", "{keys}");
        } else {
            assert_refused(&response, "tls_certificate_error");
            assert_eq!(scene.upstream.received().len(), before);
        }
    }
    let named = scene
        .front
        .seen()
        .first()
        .and_then(|shaken| shaken.host.clone());
    assert_eq!(named.as_deref(), Some("b.example"));
}

#[test]
fn the_gateway_shows_a_certificate_of_its_own() {
    let scene = Scene::new(&["127.0.0.1"], true);
    let own = scene.authority.issue(&["gateway"]);
    let own = own.write(scene.folder.path(), "own");
    let keys = format!("{}, client = {own}", scene.ca());
    let response = scene.gateway(&keys, "").start().get("/").send();
    assert_eq!(response.text(), "hello");
    assert!(scene.front.seen()[0].has_certificate);
    let response = scene.gateway(&scene.ca(), "").start().get("/").send();
    assert_refused(&response, "tls_alert_received");
}

#[test]
fn sessions_are_resumed() {
    let scene = Scene::new(&["127.0.0.1"], false);
    let upstream = Upstream::start(|_| Answer::ok("hello").header("connection", "close"));
    let certificate = scene.authority.issue(&["127.0.0.1"]);
    let front = TlsFront::start(upstream.address(), &certificate, None);
    let gateway = in_front_of(&front, &scene.ca(), "").start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/").send().text(), "hello");
    }
    let resumed: Vec<bool> = front
        .seen()
        .iter()
        .map(|shaken| shaken.is_resumed)
        .collect();
    assert_eq!(resumed, [false, true, true]);
}

#[test]
fn a_target_that_speaks_no_tls() {
    let scene = Scene::new(&["127.0.0.1"], false);
    // What most servers say to what they can't read.
    let plain = RawUpstream::start(|wire| {
        wire.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = wire.read_to_close();
    });
    let url = format!("https://{}", plain.address());
    let gateway = Gateway::new()
        .upstream_with("a", [url], &format!("tls = {{ {} }}", scene.ca()))
        .route("/{*rest}", "a")
        .start();
    assert_refused(&gateway.get("/").send(), "tls_protocol_error");
    // Never a request in the clear.
    assert!(!plain.raw().windows(4).any(|bytes| bytes == b"HTTP"));
}

#[test]
fn a_target_that_says_nothing_is_not_waited_for_longer_than_to_connect() {
    let scene = Scene::new(&["127.0.0.1"], false);
    let silent = RawUpstream::start(|wire| {
        let _ = wire.read_to_close();
    });
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [silent.url().replace("http:", "https:")],
            &format!(
                "tls = {{ {} }}\ntimeouts = {{ connect = \"200ms\" }}",
                scene.ca()
            ),
        )
        .route("/{*rest}", "a")
        .start();
    let response = gateway.get("/").send();
    assert_eq!(response.status(), 504);
    let status = response.header("proxy-status");
    assert_eq!(status, Some("sluicegate; error=connection_timeout"));
}

#[test]
fn health_checks_shake_hands_too() {
    let scene = Scene::new(&["127.0.0.1"], false);
    let health =
        "health = { path = \"/healthz\", interval = \"20ms\", healthy = 1, unhealthy = 1 }";
    let good = scene.gateway(&scene.ca(), health).start();
    let checked = || {
        let received = scene.upstream.received();
        received
            .iter()
            .any(|received| received.target() == "/healthz")
    };
    wait_until("a check", checked);
    assert_eq!(good.get("/").send().status(), 200);
    drop(good);
    // Checked by connecting only, it is down: its certificate is nobody's.
    let health = "health = { connect = true, interval = \"20ms\", healthy = 1, unhealthy = 1 }";
    let bad = scene.gateway("server_name = \"c.example\"", health).start();
    let snapshot = bad.running().snapshot();
    let upstream = &snapshot.upstreams[0];
    wait_until("it is down", || {
        upstream
            .checks
            .as_ref()
            .is_some_and(|checks| checks.is_down(0))
    });
}

#[test]
fn a_websocket_goes_through_to_it() {
    let scene = Scene::new(&["127.0.0.1"], false);
    let upstream = RawUpstream::start(|wire| {
        wire.read_head();
        wire.write(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        );
        let word = wire.read_exact(4);
        wire.write(word);
        wire.half_close();
        let _ = wire.read_to_close();
    });
    let certificate = scene.authority.issue(&["127.0.0.1"]);
    let front = TlsFront::start(upstream.address(), &certificate, None);
    let gateway = in_front_of(&front, &scene.ca(), "").start();
    let mut wire = gateway.connect();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(wire.read_head().status(), 101);
    wire.write("ping");
    assert_eq!(wire.read_exact(4), b"ping");
}

#[test]
fn http_2_is_agreed_on_by_alpn_and_upgrades_go_over_http_1() {
    let upstream = Upstream::start(|received| Answer::ok(received.target()));
    // Another gateway is the target: it speaks both.
    let target = Live::start(&configuration(
        "tls = { certificates = [CERT] }",
        "",
        &upstream,
    ));
    let ca = target.folder.path().join("ca.pem");
    let url = format!("https://{}", target.address());
    for protocol in ["http/1.1", "h2", "auto"] {
        let lines = format!(
            "protocol = \"{protocol}\"\ntls = {{ ca = \"{}\", server_name = \"a.example\" }}",
            ca.display()
        );
        let gateway = Gateway::new()
            .upstream_with("a", [&url], &lines)
            .route("/{*rest}", "a")
            .start();
        let path = format!("/{protocol}");
        for _ in 0..2 {
            assert_eq!(gateway.get(&path).send().text(), path);
        }
        let upgrade = gateway
            .get("/upgrade")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .send();
        assert_eq!((upgrade.status(), upgrade.text()), (200, "/upgrade"));
    }
    // A target that was promised to speak it, and does not.
    let scene = Scene::new(&["127.0.0.1"], false);
    let gateway = scene.gateway(&scene.ca(), "protocol = \"auto\"").start();
    assert_eq!(gateway.get("/").send().text(), "hello");
}

#[test]
fn other_authorities_are_taken_up_by_a_reload_and_kept_connections_are_not() {
    let scene = Scene::new(&["127.0.0.1"], false);
    let text = scene.gateway(&scene.ca(), "").text();
    let file = scene.folder.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let server = start(Path::new(&file));
    let get = || sluicegate_tests::RequestBuilder::new(server.addresses()[0], "GET", "/").send();
    assert_eq!(get().text(), "hello");
    let ca = scene.folder.path().join("ca.pem");
    std::fs::write(&ca, "").unwrap();
    let error = server.running().reload().unwrap_err().to_string();
    assert!(error.contains("upstreams.a.tls.ca: "), "{error}");
    assert_eq!(get().text(), "hello");
    std::fs::write(&ca, Authority::new().pem()).unwrap();
    server.running().reload().unwrap();
    assert_refused(&get(), "tls_certificate_error");
    std::fs::write(&ca, scene.authority.pem()).unwrap();
    server.running().reload().unwrap();
    assert_eq!(get().text(), "hello");
    assert_eq!(scene.front.seen().len(), 2);
}
