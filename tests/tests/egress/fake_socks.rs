//! SOCKS proxies that answer oddly.

use std::io::copy;
use std::net::TcpStream;

use sluicegate_tests::{
    Answer, Authority, DnsServer, Gateway, GatewayBuilder, RawUpstream, Response, TlsFront,
    Upstream, Wire, wait_until,
};

fn through(proxy: &RawUpstream, scheme: &str, target: &str) -> GatewayBuilder {
    let via = format!("{scheme}{}", proxy.address());
    Gateway::new()
        .upstream_with("a", [target], &format!("via = \"{via}\""))
        .route("/{*rest}", "a")
}

const NAME: &str = "http://origin.invalid:8080";

/// Reads the greeting and chooses no login; reads the request, which is returned as it came.
fn greeted(wire: &mut Wire) -> Option<Vec<u8>> {
    let greeting = wire.try_read_exact(2).ok()?;
    assert_eq!(greeting[0], 5);
    wire.read_exact(usize::from(greeting[1]));
    wire.write([5, 0]);
    request(wire)
}

fn request(wire: &mut Wire) -> Option<Vec<u8>> {
    let mut request = wire.try_read_exact(5).ok()?;
    let rest = match request[3] {
        1 => 5,
        3 => usize::from(request[4]) + 2,
        4 => 17,
        other => panic!("address type {other}"),
    };
    request.extend(wire.read_exact(rest));
    Some(request)
}

const GRANTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn serve(wire: &mut Wire) {
    while let Ok(head) = wire.try_read_head() {
        let line = head.start_line;
        let length = line.len();
        wire.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{line}"
        ));
    }
}

#[track_caller]
fn refused(response: &Response, proxy: &RawUpstream, error: &str) {
    let next_hop = proxy.address();
    let expected = format!("sluicegate; error={error}; next-hop=\"{next_hop}\"");
    assert_eq!(response.status(), 502, "{response:?}");
    assert_eq!(response.header("proxy-status"), Some(&*expected));
}

#[test]
fn names_are_resolved_there_with_socks5h_and_here_with_socks5() {
    let proxy = RawUpstream::start(|wire| {
        if greeted(wire).is_some() {
            wire.write(GRANTED);
            serve(wire);
        }
    });
    let gateway = through(&proxy, "socks5h://", NAME).start();
    for _ in 0..2 {
        assert_eq!(gateway.get("/x").send().text(), "GET /x HTTP/1.1");
    }
    let asked = b"\x05\x01\x00\x05\x01\x00\x03\x0eorigin.invalid\x1f\x90GET /x";
    assert!(proxy.raw().starts_with(asked), "{:?}", proxy.raw());
    assert_eq!(proxy.connections(), 1);

    let gateway = through(&proxy, "socks5://", "http://localhost:8080").start();
    assert_eq!(gateway.get("/x").send().text(), "GET /x HTTP/1.1");
    let raw = proxy.raw();
    let of_localhost = [
        &b"\x05\x01\x00\x01\x7f\x00\x00\x01\x1f\x90"[..],
        b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1f\x90",
    ];
    let is_there = |part: &[u8]| raw.windows(part.len()).any(|window| window == part);
    assert!(of_localhost.into_iter().any(is_there), "{raw:?}");
    assert!(!is_there(b"localhost\x1f"), "{raw:?}");

    // Here it can't be resolved.
    let gateway = through(&proxy, "socks5://", NAME).start();
    refused(&gateway.get("/").send(), &proxy, "dns_error");
}

#[test]
fn an_answer_may_come_byte_by_byte_with_a_login() {
    let proxy = RawUpstream::start(|wire| {
        let Ok(greeting) = wire.try_read_exact(4) else {
            return;
        };
        assert_eq!(greeting, [5, 2, 0, 2]);
        wire.write_byte_by_byte([5, 2]);
        assert_eq!(wire.read_exact(13), b"\x01\x03ann\x07hunter2");
        wire.write_byte_by_byte([1, 0]);
        request(wire).unwrap();
        let long = [&[5, 0, 0, 3, 255][..], &[b'x'; 255], &[0, 0]].concat();
        wire.write_byte_by_byte(long);
        serve(wire);
    });
    let gateway = through(&proxy, "socks5h://ann:hunter2@", NAME).start();
    assert_eq!(gateway.get("/x").send().text(), "GET /x HTTP/1.1");
}

#[test]
fn every_reply_is_a_502_that_says_why() {
    for (code, error) in [
        (1, "destination_unavailable"),
        (2, "http_request_denied"),
        (3, "destination_ip_unroutable"),
        (4, "destination_ip_unroutable"),
        (5, "connection_refused"),
        (6, "destination_ip_unroutable"),
        (7, "proxy_configuration_error"),
        (8, "proxy_configuration_error"),
        (99, "destination_unavailable"),
    ] {
        let proxy = RawUpstream::start(move |wire| {
            if greeted(wire).is_some() {
                wire.write([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
            }
        });
        let gateway = through(&proxy, "socks5h://", NAME).start();
        refused(&gateway.get("/").send(), &proxy, error);
        assert_eq!(proxy.connections(), 1);
    }
}

#[test]
fn credentials_that_do_not_fit_and_other_protocols_are_a_502() {
    for (answer, credentials, error) in [
        (&b"\x05\xff"[..], "", "proxy_configuration_error"),
        (
            b"\x05\x02\x01\x01",
            "ann:hunter2@",
            "proxy_configuration_error",
        ),
        (b"\x05\xff", "ann:hunter2@", "http_protocol_error"),
        (b"HTTP/1.1 400 x\r\n\r\n", "", "http_protocol_error"),
        (b"\x04\x00", "", "http_protocol_error"),
        (b"\x05", "", "connection_terminated"),
        (b"", "", "connection_terminated"),
    ] {
        let proxy = RawUpstream::start(move |wire| {
            let _ = wire.try_read_exact(3);
            wire.write(answer);
            wire.half_close();
            let _ = wire.wait_for_close();
        });
        let gateway = through(&proxy, &format!("socks5h://{credentials}"), NAME).start();
        let response = gateway.get("/").send();
        refused(&response, &proxy, error);
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}

/// A gateway with one worker, which reaches its target and its proxy by names.
fn by_names(dns: &DnsServer, proxy: &RawUpstream, url: &str, lines: &str) -> Gateway {
    let via = format!("via = \"socks5://proxy.test:{}\"", proxy.address().port());
    dns.has("proxy.test", ["127.0.0.1"], 600);
    Gateway::new()
        .server(&dns.line())
        .upstream_with("a", [url], &format!("{via}\n{lines}"))
        .route("/{*rest}", "a")
        .start()
}

#[test]
fn kept_tunnels_are_left_behind_when_the_targets_name_moves() {
    let dns = DnsServer::start();
    dns.has("app.test", ["10.0.0.1"], 1);
    let proxy = RawUpstream::start(|wire| {
        let Some(asked) = greeted(wire) else { return };
        wire.write(GRANTED);
        let address = format!("{:?}", &asked[4..8]);
        let length = address.len();
        while wire.try_read_head().is_ok() {
            wire.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{address}"
            ));
        }
    });
    let gateway = by_names(&dns, &proxy, "http://app.test:8080", "");
    let get = || gateway.get("/").send().text().to_owned();
    for _ in 0..10 {
        assert_eq!(get(), "[10, 0, 0, 1]");
    }
    assert_eq!(proxy.connections(), 1, "tunnels are kept");
    dns.has("app.test", ["10.0.0.2"], 1);
    wait_until("the other one is found", || get() == "[10, 0, 0, 2]");
    for _ in 0..10 {
        assert_eq!(get(), "[10, 0, 0, 2]");
    }
    assert_eq!(proxy.connections(), 2);
    // One more address does not make those that are there wrong.
    let before = dns.questions("app.test");
    dns.has("app.test", ["10.0.0.3", "10.0.0.2"], 1);
    wait_until("it is looked up again", || {
        assert_eq!(get(), "[10, 0, 0, 2]");
        dns.questions("app.test") > before + 1
    });
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn kept_tunnels_with_tls_inside_are_left_behind_too() {
    let dns = DnsServer::start();
    dns.has("app.test", ["10.0.0.1"], 1);
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let target = Upstream::start(|request| Answer::ok(request.connection.to_string()));
    let certificate = authority.issue(&["app.test"]);
    let front = TlsFront::start(target.address(), &certificate, None);
    // Whatever address it is asked for, it leads there.
    let end = front.address();
    let proxy = RawUpstream::start(move |wire| {
        if greeted(wire).is_none() {
            return;
        }
        let mut there = TcpStream::connect(end).unwrap();
        let mut back = there.try_clone().unwrap();
        let (mut near, mut to) = (
            wire.stream().try_clone().unwrap(),
            wire.stream().try_clone().unwrap(),
        );
        let copying = std::thread::spawn(move || copy(&mut back, &mut to));
        wire.write(GRANTED);
        let _ = copy(&mut near, &mut there);
        let _ = there.shutdown(std::net::Shutdown::Both);
        let _ = copying.join();
    });
    let tls = format!("tls = {{ ca = \"{}\" }}", ca.display());
    let gateway = by_names(&dns, &proxy, "https://app.test", &tls);
    let get = || gateway.get("/").send().text().to_owned();
    assert_eq!((get(), get()), ("0".to_owned(), "0".to_owned()));
    dns.has("app.test", ["10.0.0.2"], 1);
    wait_until("a new tunnel is opened", || get() == "1");
    assert_eq!((get(), proxy.connections()), ("1".to_owned(), 2));
}
