//! Targets that are names: their lifetimes, their addresses, and servers that do not answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluicegate_tests::http2::{Http2Upstream, Reply};
use sluicegate_tests::{
    Answer, DnsServer, Gateway, GatewayBuilder, Response, Says, Upstream, wait_until,
};

/// Upstreams at the same port of several addresses, which answer with their address. With `closing` they close each connection
/// behind its answer, so that each request needs a new one.
fn upstreams<const N: usize>(addresses: [&'static str; N], closing: bool) -> ([Upstream; N], u16) {
    let script = move |ip: &'static str| {
        move |_| {
            let answer = Answer::ok(ip);
            if closing {
                answer.header("connection", "close")
            } else {
                answer
            }
        }
    };
    for _ in 0..100 {
        let port = free_port(&addresses);
        if let Some(port) = port {
            let at = |ip: &'static str| {
                let address = SocketAddr::new(ip.parse().unwrap(), port);
                Upstream::start_at(address, script(ip))
            };
            return (addresses.map(at), port);
        }
    }
    panic!("no port is free on {addresses:?}");
}

/// A port that is free on all addresses, most probably a moment later as well.
fn free_port(addresses: &[&str]) -> Option<u16> {
    let bind = |ip: &str, port| {
        let ip: IpAddr = ip.parse().unwrap();
        std::net::TcpListener::bind(SocketAddr::new(ip, port))
    };
    let first = bind(addresses[0], 0).expect("a free port");
    let port = first.local_addr().unwrap().port();
    let others: Result<Vec<_>, _> = addresses[1..].iter().map(|ip| bind(ip, port)).collect();
    others.ok().map(|_| port)
}

fn in_front_of(dns: &DnsServer, port: u16, lines: &str) -> GatewayBuilder {
    Gateway::new()
        .server(&dns.line())
        .upstream_with("a", [format!("http://app.test:{port}")], lines)
        .route("/{*rest}", "a")
}

#[track_caller]
fn failed(response: &Response, status: u16, error: &str) {
    assert_eq!(response.status(), status, "{response:?}");
    let expected = format!("sluicegate; error={error}");
    assert_eq!(response.header("proxy-status"), Some(&*expected));
    assert!(!response.text().contains("app.test"), "{response:?}");
}

#[test]
fn a_name_that_moves_is_followed_and_kept_connections_are_left_behind() {
    let dns = DnsServer::start();
    let ([one, two], port) = upstreams(["127.0.0.1", "127.0.0.2"], false);
    dns.has("app.test", ["127.0.0.1"], 1);
    let gateway = in_front_of(&dns, port, "").start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").send().text(), "127.0.0.1");
    }
    assert_eq!(one.connections(), 1, "connections are kept");
    dns.has("app.test", ["127.0.0.2"], 1);
    wait_until("the other one is found", || {
        gateway.get("/").send().text() == "127.0.0.2"
    });
    for _ in 0..10 {
        assert_eq!(gateway.get("/").send().text(), "127.0.0.2");
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let host = format!("app.test:{port}");
    assert_eq!(two.received()[0].header("host"), Some(&*host));
}

#[test]
fn streams_of_http_2_go_to_where_the_name_leads_too() {
    let dns = DnsServer::start();
    let addresses = ["127.0.0.1", "127.0.0.2"];
    let port = (0..100).find_map(|_| free_port(&addresses)).unwrap();
    let [one, two] = addresses.map(|ip| {
        let address = SocketAddr::new(ip.parse().unwrap(), port);
        Http2Upstream::start_at(address, 100, move |_| async move { Reply::ok(ip) })
    });
    dns.has("app.test", ["127.0.0.1"], 1);
    let gateway = in_front_of(&dns, port, "protocol = \"h2\"").start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").send().text(), "127.0.0.1");
    }
    dns.has("app.test", ["127.0.0.2"], 1);
    wait_until("the other one is found", || {
        gateway.get("/").send().text() == "127.0.0.2"
    });
    for _ in 0..10 {
        assert_eq!(gateway.get("/").send().text(), "127.0.0.2");
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
}

#[test]
fn a_name_that_gets_a_further_address_keeps_its_connections() {
    let dns = DnsServer::start();
    let ([one, _two], port) = upstreams(["127.0.0.1", "127.0.0.2"], false);
    dns.has("app.test", ["127.0.0.1"], 1);
    let gateway = in_front_of(&dns, port, "").start();
    assert_eq!(gateway.get("/").send().text(), "127.0.0.1");
    dns.has("app.test", ["127.0.0.2", "127.0.0.1"], 1);
    let before = dns.questions("app.test");
    wait_until("it is asked again", || {
        gateway.get("/").send();
        dns.questions("app.test") > before + 1
    });
    assert_eq!(gateway.get("/").send().text(), "127.0.0.1");
    assert_eq!(one.connections(), 1);
}

#[test]
fn no_request_is_lost_while_a_name_moves_under_load() {
    let dns = DnsServer::start();
    let (upstreams, port) = upstreams(["127.0.0.1", "127.0.0.2"], false);
    dns.has("app.test", ["127.0.0.1"], 1);
    let server = format!("workers = 2\n{}", dns.line());
    let gateway = Gateway::new()
        .server(&server)
        .upstream("a", [format!("http://app.test:{port}")])
        .route("/{*rest}", "a")
        .start();
    let is_over = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) && sent.load(Ordering::SeqCst) < 100_000 {
                    let mut wire = gateway.connect();
                    for _ in 0..20 {
                        let response = gateway.get("/").send_over(&mut wire);
                        assert_eq!(response.status(), 200, "{response:?}");
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..4 {
                let (old, new) = (&upstreams[round % 2], &upstreams[(round + 1) % 2]);
                let further = |count| new.wait_for(new.received().len() + count);
                dns.has("app.test", [["127.0.0.2"], ["127.0.0.1"]][round % 2], 1);
                further(40);
                // Whatever was on its way to the old one is over.
                let before = old.received().len();
                further(40);
                assert_eq!(
                    old.received().len(),
                    before,
                    "nothing goes to the old one any more"
                );
            }
        }));
        is_over.store(true, Ordering::SeqCst);
        moved.unwrap();
    });
}

#[test]
fn new_connections_are_spread_over_all_addresses() {
    let dns = DnsServer::start();
    let (upstreams, port) = upstreams(["127.0.0.1", "127.0.0.2", "127.0.0.3"], true);
    dns.has("app.test", ["127.0.0.2", "127.0.0.1", "127.0.0.3"], 60);
    let gateway = in_front_of(&dns, port, "").start();
    for _ in 0..12 {
        gateway.get("/").send();
    }
    assert_eq!(upstreams.each_ref().map(Upstream::connections), [4, 4, 4]);
    assert_eq!(dns.questions("app.test"), 1);
}

#[test]
fn an_address_that_refuses_costs_no_request() {
    let dns = DnsServer::start();
    let ([_one], port) = upstreams(["127.0.0.1"], true);
    dns.has("app.test", ["127.0.0.2", "127.0.0.1", "127.0.0.3"], 60);
    let gateway = in_front_of(&dns, port, "").start();
    for _ in 0..12 {
        assert_eq!(gateway.get("/").send().text(), "127.0.0.1");
    }
}

#[test]
fn both_families_are_used_and_either_is_enough() {
    let ([_six], port) = upstreams(["::1"], true);
    let dns = DnsServer::start();
    dns.has("app.test", ["127.0.0.1", "::1"], 60);
    let gateway = in_front_of(&dns, port, "").start();
    for _ in 0..4 {
        assert_eq!(gateway.get("/").send().text(), "::1");
    }
}

#[test]
fn a_server_that_loses_questions_for_one_family_does_not_hold_up_the_other() {
    let dns = DnsServer::start();
    let ([_one], port) = upstreams(["127.0.0.1"], false);
    let addresses = vec![[127, 0, 0, 1].into()];
    dns.says("app.test", Says::OnlyIpv4(addresses, 60));
    let server = dns.line().replace("\"1s\"", "\"30s\"");
    let gateway = Gateway::new()
        .server(&server)
        .upstream_with(
            "a",
            [format!("http://app.test:{port}")],
            "timeouts = { connect = \"8s\" }",
        )
        .route("/{*rest}", "a")
        .start();
    assert_eq!(gateway.get("/").send().status(), 200);
}

#[test]
fn an_address_that_is_silent_is_overtaken_and_then_left_for_the_last() {
    let dns = DnsServer::start();
    let ([_one], port) = upstreams(["127.0.0.1"], true);
    // A queue for one connection, and as many connections as fit: the next one hangs.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 2], port));
    silent.bind(&address.into()).unwrap();
    silent.listen(0).unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300))
    {
        filling.push(stream);
        assert!(filling.len() < 100, "the queue does not fill up");
    }
    dns.has("app.test", ["127.0.0.1", "127.0.0.2"], 60);
    let gateway = in_front_of(&dns, port, "timeouts = { connect = \"8s\" }").start();
    for _ in 0..6 {
        assert_eq!(gateway.get("/").send().text(), "127.0.0.1");
    }
}

#[test]
fn a_name_that_does_not_exist_is_a_502_until_it_does() {
    let dns = DnsServer::start();
    let ([_one], port) = upstreams(["127.0.0.1"], false);
    let gateway = in_front_of(&dns, port, "").start();
    for _ in 0..10 {
        failed(&gateway.get("/").send(), 502, "dns_error");
    }
    assert!(
        dns.questions("app.test") < 5,
        "that it does not exist is believed for a second"
    );
    dns.has("app.test", ["127.0.0.1"], 1);
    wait_until("it exists", || gateway.get("/").send().status() == 200);
}

#[test]
fn a_server_that_fails_is_a_502_and_one_that_is_silent_a_504() {
    let dns = DnsServer::start();
    dns.says("app.test", Says::Failure);
    let gateway = in_front_of(&dns, 80, "timeouts = { connect = \"8s\" }").start();
    failed(&gateway.get("/").send(), 502, "dns_error");
    let dns = DnsServer::start();
    dns.says("app.test", Says::Silence);
    for connect in ["100ms", "8s"] {
        let lines = format!("timeouts = {{ connect = \"{connect}\" }}");
        let gateway = in_front_of(&dns, 80, &lines).start();
        failed(&gateway.get("/").send(), 504, "dns_timeout");
    }
}

#[test]
fn while_the_server_does_not_answer_the_last_answer_is_used() {
    let dns = DnsServer::start();
    let ([_one], port) = upstreams(["127.0.0.1"], true);
    dns.has("app.test", ["127.0.0.1"], 1);
    let gateway = in_front_of(&dns, port, "").start();
    assert_eq!(gateway.get("/").send().status(), 200);
    for says in [Says::Failure, Says::Silence] {
        dns.says("app.test", says);
        let before = dns.questions("app.test");
        // The second one comes when the answer's time was up long ago.
        wait_until("it is asked twice more", || {
            assert_eq!(gateway.get("/").send().status(), 200);
            dns.questions("app.test") > before + 1
        });
    }
}

#[test]
fn aliases_are_followed_and_large_answers_fetched_over_tcp() {
    let dns = DnsServer::start();
    let ([_one], port) = upstreams(["127.0.0.1"], false);
    dns.says("app.test", Says::Alias("other.test".to_owned()));
    dns.has("other.test", ["127.0.0.1"; 40], 60);
    let gateway = in_front_of(&dns, port, "").start();
    assert_eq!(gateway.get("/").send().status(), 200);
    assert!(dns.over_tcp() > 0);
}

#[test]
fn a_hostile_server_costs_little() {
    let dns = DnsServer::start();
    let ([one], port) = upstreams(["127.0.0.1"], true);
    // No lifetime: not a question for each connection.
    dns.has("app.test", ["127.0.0.1", "0.0.0.0", "224.0.0.1"], 0);
    let gateway = in_front_of(&dns, port, "").start();
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(gateway.get("/").send().status(), 200);
    }
    assert!(dns.questions("app.test") as u128 <= 2 + began.elapsed().as_millis() / 800);
    assert_eq!(one.connections(), 50);
    // Thousands of addresses, for ever.
    let many = (0..2000_u16).map(|n| IpAddr::from([127, 1, (n >> 8) as u8, n as u8]));
    dns.says("app.test", Says::Addresses(many.collect(), 1 << 31));
    let gateway = in_front_of(&dns, port, "").start();
    failed(&gateway.get("/").send(), 502, "connection_refused");
    // Aliases without end.
    dns.says("app.test", Says::Alias("b.test".to_owned()));
    dns.says("b.test", Says::Alias("app.test".to_owned()));
    let before = dns.questions("app.test");
    let gateway = in_front_of(&dns, port, "").start();
    failed(&gateway.get("/").send(), 502, "dns_error");
    assert!(dns.questions("app.test") - before < 10);
}

#[test]
fn health_checks_find_their_target_by_name() {
    let dns = DnsServer::start();
    let ([one, two], port) = upstreams(["127.0.0.1", "127.0.0.2"], true);
    dns.has("app.test", ["127.0.0.1"], 1);
    let health = "health = { path = \"/healthz\", interval = \"10ms\" }";
    let _gateway = in_front_of(&dns, port, health).start();
    one.wait_for(3);
    dns.has("app.test", ["127.0.0.2"], 1);
    two.wait_for(3);
}

#[test]
fn the_systems_own_names_need_no_server() {
    let upstream = Upstream::start(|_| Answer::ok("here"));
    let port = upstream.address().port();
    let gateway = Gateway::in_front_of_url(format!("http://localhost:{port}")).start();
    assert_eq!(gateway.get("/").send().text(), "here");
}
