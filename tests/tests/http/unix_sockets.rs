//! Targets at unix sockets.

use sluicegate_tests::{Gateway, UnixUpstream, wait_until};

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn requests_go_to_a_socket_and_their_connections_are_kept() {
    let upstream = UnixUpstream::start(|_| ok("by file"));
    let gateway = Gateway::new()
        .upstream("a", [format!("{}:/base", upstream.url())])
        .route("/plain/{*rest}", "a")
        .route_with("/kept", "a", "preserve_host = true")
        .start();
    assert_eq!(gateway.get("/plain/x").send().text(), "by file");
    let response = gateway.get("/kept").host("example.com").send();
    assert_eq!(response.text(), "by file");
    let heads = upstream.heads();
    assert!(
        heads[0].starts_with("GET /base/plain/x HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(heads[0].contains("\r\nhost: localhost\r\n"), "{heads:?}");
    assert!(
        heads[1].starts_with("GET /base/kept HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(heads[1].contains("\r\nhost: example.com\r\n"), "{heads:?}");
}

#[test]
fn tunnels_and_health_checks_go_through_a_socket() {
    let upstream = UnixUpstream::start(|head| {
        if head.contains("upgrade: websocket") {
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                .to_owned()
        } else {
            ok("fine")
        }
    });
    let health = r#"health = { path = "/healthz", interval = "10ms" }"#;
    let gateway = Gateway::new()
        .upstream_with("a", [upstream.url()], health)
        .route("/{*rest}", "a")
        .start();
    let mut wire = gateway.connect();
    wire.write(
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert_eq!(wire.read_head().status(), 101);
    wire.write("there and back");
    assert_eq!(wire.read_exact(14), b"there and back");
    wait_until("it has been checked", || {
        let heads = upstream.heads();
        heads
            .iter()
            .filter(|head| head.starts_with("GET /healthz HTTP/1.1\r\nhost: localhost\r\n"))
            .count()
            > 1
    });
    assert_eq!(gateway.get("/").send().text(), "fine");
}

#[test]
fn a_socket_that_is_not_there_or_not_listened_on_is_a_502() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    for (path, error) in [
        (path, "connection_refused"),
        (folder.path().join("none.sock"), "connection_terminated"),
    ] {
        let gateway = Gateway::in_front_of_url(format!("unix:{}", path.display())).start();
        let response = gateway.get("/").send();
        assert_eq!(response.status(), 502);
        let expected = format!("sluicegate; error={error}");
        assert_eq!(response.header("proxy-status"), Some(&*expected));
        assert!(!response.text().contains("sock"), "{response:?}");
    }
}
