//! Listeners with TLS.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use sluicegate_tests::{Answer, TlsClient, Upstream, Wire};

use crate::gateway::{Live, configuration};

fn hello() -> Upstream {
    Upstream::start(|_| Answer::ok("hello"))
}

#[test]
fn requests_go_on_over_one_connection_and_the_upstream_hears_of_https() {
    let upstream = hello();
    let live = Live::secure("", &upstream);
    let client = TlsClient::trusting(&live.authority);
    let mut wire = client.connect(live.address(), "a.example").unwrap();
    assert_eq!(wire.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..3 {
        let request = "GET /x HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: http\r\nforwarded: proto=http\r\n\r\n";
        wire.write(request).unwrap();
        let (head, body) = wire.read_response().unwrap();
        assert_eq!((head.status(), &*body), (200, "hello"));
    }
    let received = upstream.received();
    assert_eq!(received.len(), 3);
    // What a client says of it is not believed.
    assert_eq!(received[2].headers("x-forwarded-proto"), ["https"]);
    assert_eq!(
        received[2].headers("forwarded"),
        ["for=127.0.0.1;host=\"a.example\";proto=https"]
    );
}

#[test]
fn large_bodies_in_both_directions() {
    let upstream = Upstream::start(|received| Answer::ok(received.text()));
    let live = Live::secure("", &upstream);
    let client = TlsClient::trusting(&live.authority);
    let mut wire = client.connect(live.address(), "a.example").unwrap();
    let numbers: Vec<String> = (0..100_000).map(|number| format!("{number:09}")).collect();
    let body = numbers.join(" ");
    let length = body.len();
    wire.write(format!(
        "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .unwrap();
    let (head, echoed) = wire.read_response().unwrap();
    assert_eq!(head.status(), 200);
    assert!(echoed == body);
}

#[test]
fn tls_1_2_is_spoken_unless_1_3_is_the_least() {
    let upstream = hello();
    for (keys, is_spoken) in [("", true), ("min_version = \"1.3\"", false)] {
        let live = Live::secure(keys, &upstream);
        let old = TlsClient::of_tls_1_2(&live.authority).connect(live.address(), "a.example");
        assert_eq!(old.is_ok(), is_spoken, "{old:?}");
        if let Ok(mut wire) = old {
            assert_eq!(wire.get("/", "a.example").unwrap().1, "hello");
        } else {
            live.wait_for_failed("incompatible", 1);
        }
        let client = TlsClient::trusting(&live.authority);
        let mut wire = client.connect(live.address(), "a.example").unwrap();
        assert_eq!(wire.get("/", "a.example").unwrap().1, "hello");
    }
}

#[test]
fn sessions_are_resumed_whichever_worker_a_connection_comes_to() {
    let upstream = hello();
    let live = Live::secure("", &upstream);
    for client in [
        TlsClient::trusting(&live.authority),
        TlsClient::of_tls_1_2(&live.authority),
    ] {
        let mut resumed = Vec::new();
        for _ in 0..12 {
            let mut wire = client.connect(live.address(), "a.example").unwrap();
            // Tickets come behind the handshake.
            wire.get("/", "a.example").unwrap();
            resumed.push(wire.is_resumed());
        }
        assert!(!resumed[0]);
        assert!(resumed[1..].iter().all(|resumed| *resumed), "{resumed:?}");
    }
}

#[test]
fn the_host_that_a_client_names_picks_the_certificate() {
    let upstream = hello();
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(&configuration(
        "tls = { certificates = [CERT] }",
        "",
        &upstream,
    ));
    let wildcard = live.authority.issue(&["*.b.example", "10.0.0.1"]);
    let exact = live.authority.issue(&["x.b.example"]);
    let certificates = format!(
        "{}, {}",
        wildcard.write(folder.path(), "wildcard"),
        exact.write(folder.path(), "exact")
    );
    let file = live.folder.path().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("}] }", &format!("}}, {certificates}] }}")),
    )
    .unwrap();
    // More certificates are there without a restart as well.
    live.server.running().reload().unwrap();
    let client = TlsClient::trusting(&live.authority);
    let shown = |host: &str| {
        let wire = client.connect(live.address(), host)?;
        Ok::<_, std::io::Error>(wire.certificate())
    };
    let (a, y, x) = (
        shown("a.example").unwrap(),
        shown("y.b.example").unwrap(),
        shown("x.b.example").unwrap(),
    );
    assert!(a != y && y != x && x != a);
    // The first is for the rest, and not for them.
    assert!(shown("c.example").is_err());
    live.wait_for_failed("alert_received", 1);
}

#[test]
fn openssl_and_curl_agree() {
    let upstream = hello();
    let live = Live::secure("", &upstream);
    let address = live.address();
    let ca = live.folder.path().join("ca.pem");
    for (flags, protocol) in [
        (&["--tlsv1.3", "--http1.1"][..], "1.1"),
        (&["--tls-max", "1.2", "--http1.1"], "1.1"),
        (&["--http2"], "2"),
        (&["--tls-max", "1.2", "--http2"], "2"),
    ] {
        let output = Command::new("curl")
            .args(flags)
            .args(["--silent", "--show-error", "--max-time", "10"])
            .args(["--noproxy", "*", "--write-out", " %{http_version}"])
            .arg("--cacert")
            .arg(&ca)
            .arg("--resolve")
            .arg(format!("a.example:{}:127.0.0.1", address.port()))
            .arg(format!("https://a.example:{}/", address.port()))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("hello {protocol}"),
            "{output:?}"
        );
    }
    // OpenSSL sees what it sees with others, too: the end of a connection in order.
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-servername",
            "a.example",
        ])
        .arg("-CAfile")
        .arg(&ca)
        .arg("-connect")
        .arg(address.to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with("\r\n\r\nhello"), "{output:?}");
    assert!(output.status.success(), "{output:?}");
    drop(stdin);
}

#[test]
fn a_websocket_goes_through() {
    let upstream = sluicegate_tests::RawUpstream::start(|wire| {
        wire.read_head();
        wire.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly");
        let word = wire.read_exact(4);
        wire.write(word);
        wire.half_close();
        let _ = wire.read_to_close();
    });
    let folder = tempfile::tempdir().unwrap();
    let authority = sluicegate_tests::Authority::new();
    let cert = authority.issue(&["a.example"]).write(folder.path(), "a");
    let gateway = sluicegate_tests::Gateway::in_front_of_url(upstream.url())
        .toml(&format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{cert}] }}"
        ))
        .start();
    let client = TlsClient::trusting(&authority);
    let mut wire = client.connect(gateway.address(), "a.example").unwrap();
    wire.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .unwrap();
    let (head, _) = wire.read_response().unwrap();
    assert_eq!(head.status(), 101);
    wire.write("ping").unwrap();
    assert_eq!(wire.read_to_end().unwrap(), "earlyping");
}

#[test]
fn a_plain_listener_stands_beside_it() {
    let upstream = hello();
    let live = Live::start(&configuration(
        "tls = { certificates = [CERT] }\n[[listeners]]\naddress = \"127.0.0.1:0\"",
        "",
        &upstream,
    ));
    let plain = live.server.addresses()[1];
    let mut wire = Wire::new(TcpStream::connect(plain).unwrap());
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.read_response("GET").text(), "hello");
    assert_eq!(upstream.only().header("x-forwarded-proto"), Some("http"));
}
