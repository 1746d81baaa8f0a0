//! A reload that changes an upstream: targets that it had before keep their standing and their connections, and what counts for
//! all of them counts on.

use sluicegate_tests::{Answer, DnsServer, RawUpstream, Upstream, Wire, wait_until};

use crate::reload::{Live, configuration};

/// One worker in front of these targets, with further lines for their upstream.
fn text(urls: &[&str], lines: &str) -> String {
    let targets: Vec<String> = urls
        .iter()
        .map(|url| format!("{{ url = \"{url}\" }}"))
        .collect();
    configuration(1, "", "URL", "/{*rest}").replace(
        "targets = [{ url = \"URL\" }]",
        &format!("targets = [{}]\n{lines}", targets.join(", ")),
    )
}

fn statuses(live: &Live, count: usize) -> Vec<u16> {
    (0..count).map(|_| live.get("/").send().status()).collect()
}

#[test]
fn an_ejected_target_stays_ejected_where_it_stands_in_the_new_list() {
    let bad = Upstream::start(|_| Answer::status(503));
    let good = Upstream::start(|_| Answer::ok("good"));
    let other = Upstream::start(|_| Answer::ok("other"));
    let outliers = "outliers = { failures = 1, ejection = \"1h\" }";
    let (bad_url, good_url, other_url) = (bad.url(), good.url(), other.url());
    let live = Live::start(&text(&[&bad_url, &good_url], outliers));
    wait_until("it has failed", || {
        live.get("/").send();
        bad.received().len() == 1
    });

    live.reload(&text(&[&other_url, &good_url, &bad_url], outliers))
        .unwrap();
    assert_eq!(statuses(&live, 20), [200; 20]);
    assert_eq!((bad.received().len(), other.received().len()), (1, 10));
    let snapshot = live.server.running().snapshot();
    let upstream = &snapshot.upstreams[0];
    assert!(upstream.is_ejected(2) && !upstream.is_ejected(0));
    assert_eq!(upstream.ejections(2), 1);

    // Gone, and back: what was known of it is forgotten with it.
    live.reload(&text(&[&good_url], outliers)).unwrap();
    live.reload(&text(&[&good_url, &bad_url], outliers))
        .unwrap();
    statuses(&live, 4);
    assert_eq!(bad.received().len(), 2);
}

#[test]
fn other_name_servers_are_asked_from_then_on_and_the_same_ones_not_anew() {
    let upstream = Upstream::start(|_| Answer::ok("ok"));
    let url = format!("http://app.test:{}", upstream.address().port());
    let [one, two] = [0, 1].map(|_| DnsServer::start());
    one.has("app.test", ["127.0.0.1"], 600);
    let text = |dns: &DnsServer, lines: &str| {
        let server = format!("[server]\n{}\n", dns.line());
        text(&[&url], lines).replace("[server]\n", &server)
    };
    let live = Live::start(&text(&one, ""));
    assert_eq!(statuses(&live, 4), [200; 4]);
    live.reload(&text(&one, "timeouts = { response = \"20s\" }"))
        .unwrap();
    assert_eq!(statuses(&live, 4), [200; 4]);
    assert_eq!((one.questions("app.test"), upstream.connections()), (1, 1));

    // The name leads nowhere there: the kept connection is not used any more once that is known.
    live.reload(&text(&two, "")).unwrap();
    wait_until("the other server has been asked", || {
        live.get("/").send().status() == 502
    });
    assert_eq!((one.questions("app.test"), upstream.connections()), (1, 1));
}

#[test]
fn a_target_that_is_down_stays_down_and_is_checked_on() {
    let ill = Upstream::start(|request| match request.target() {
        "/healthz" => Answer::status(500),
        _ => Answer::ok("ill"),
    });
    let well = Upstream::start(|_| Answer::ok("well"));
    let health = |more: &str| {
        format!(
            "health = {{ path = \"/healthz\", interval = \"10ms\", unhealthy = 3, timeout = \"5s\"{more} }}"
        )
    };
    let urls = [&*ill.url(), &well.url()];
    let live = Live::start(&text(&urls, &health("")));
    let is_down = || live.server.running().snapshot().upstreams[0].is_down(0);
    wait_until("it is down", is_down);
    live.reload(&text(&urls, &health(", slow_start = \"1s\"")))
        .unwrap();
    // Three checks must fail before one that is up is taken for down.
    assert!(is_down());
    let checks = ill.received().len();
    wait_until("it is checked", || ill.received().len() > checks);
    assert!(is_down());
}

#[test]
fn kept_connections_are_used_again() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let other = Upstream::start(|_| Answer::ok("other"));
    let (url, other_url) = (upstream.url(), other.url());
    let live = Live::start(&text(&[&url], ""));
    assert_eq!(live.get("/").send().text(), "hello");
    live.reload(&text(&[&url], "timeouts = { response = \"7s\" }"))
        .unwrap();
    assert_eq!(live.get("/").send().text(), "hello");
    assert_eq!(upstream.connections(), 1);
    // Another target takes its place in the file, and not its connections.
    live.reload(&text(&[&other_url], "")).unwrap();
    assert_eq!(live.get("/").send().text(), "other");
    live.reload(&text(&[&url, &other_url], "")).unwrap();
    let mut texts =
        [live.get("/").send(), live.get("/").send()].map(|response| response.text().to_owned());
    texts.sort_unstable();
    assert_eq!(texts, ["hello", "other"]);
    assert_eq!((upstream.connections(), other.connections()), (2, 1));
}

#[test]
fn who_is_there_counts_in_the_new_limits_and_in_flight() {
    let upstream = RawUpstream::holding("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "body");
    let url = upstream.url();
    let limits =
        |connections: usize| format!("limits = {{ connections = {connections}, pending = 0 }}");
    let live = Live::start(&text(&[&url], &limits(2)));
    let mut wires = [(); 2].map(|()| {
        let mut wire = Wire::new(std::net::TcpStream::connect(live.server.addresses()[0]).unwrap());
        live.get("/").write(&mut wire);
        assert_eq!(wire.read_head().status(), 200);
        wire
    });
    let in_flight = || live.server.running().snapshot().upstreams[0].in_flight(0);
    live.reload(&text(&[&url], &limits(1))).unwrap();
    assert_eq!((live.get("/").send().status(), in_flight()), (503, 2));
    upstream.go_on();
    for wire in &mut wires {
        assert_eq!(wire.read_exact(4), b"body");
    }
    wait_until("they have gone", || in_flight() == 0);
    assert_eq!(live.get("/").send().status(), 200);
}
