//! What plugins write: log lines, standard output, metrics. None of it reaches a client.

use sluicegate::observe::metrics::plugin_metric;
use sluicegate_tests::{Answer, Process, Upstream, Wire, wait_until};

use crate::command_line::Folder;
use crate::guests::{probe, through};

#[test]
fn log_lines_and_standard_output_go_to_the_log_and_to_nobody_else() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let steps = r#"[{ do = "print", text = "printed\u001b[2J" }, { do = "log", text = "logged\r\n2026 ERROR forged" }]"#;
    let plugin = probe("talker", &format!("request = {steps}\nresponse = {steps}"));
    let builder = crate::guests::chain(&[plugin], r#""talker""#, upstream.url());
    let folder = Folder::with("gateway.toml", builder.text());
    let mut process = Process::gateway(["run", "--config", &folder.path("gateway.toml")]);
    let address = process.address();

    let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
    wire.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = wire.read_to_close().text();
    assert!(answer.ends_with("hello"), "{answer}");
    let request_id = upstream.only().header("x-request-id").unwrap().to_owned();
    wait_until("both hooks have written", || {
        process.stderr().matches("logged").count() == 2
    });
    process.signal("TERM");
    let finished = process.wait();

    assert!(!answer.contains("printed") && !answer.contains("logged"));
    assert!(!finished.stdout.contains("printed") && !finished.stdout.contains("logged"));
    let line = |what: &str| {
        let mut lines = finished.stderr.lines().filter(|line| line.contains(what));
        lines
            .next()
            .unwrap_or_else(|| panic!("no {what} in {}", finished.stderr))
            .to_owned()
    };
    let logged = line("logged");
    assert!(
        logged.contains("talker") && logged.contains(&request_id),
        "{logged}"
    );
    assert!(
        logged.contains("WARN") && logged.contains(r"logged\r\n2026 ERROR forged"),
        "{logged}"
    );
    // A terminal must not be told what to do by a plugin, nor by what a plugin prints of a client.
    assert!(line("printed").contains("talker"));
    assert!(!finished.stderr.contains('\u{1b}'));
}

#[test]
fn the_text_of_a_failure_and_of_a_panic_is_in_the_log() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let failing = probe(
        "failing",
        r#"request = [{ do = "fail", text = "no quota left" }]"#,
    );
    let panicking = probe(
        "panicking",
        r#"request = [{ do = "panic", text = "out of luck" }]"#,
    );
    let builder = crate::guests::chain(&[failing, panicking], r#""failing""#, upstream.url())
        .route_with("/panic", "a", r#"plugins = ["panicking"]"#);
    let folder = Folder::with("gateway.toml", builder.text());
    let mut process = Process::gateway(["run", "--config", &folder.path("gateway.toml")]);
    let address = process.address();

    for path in ["/", "/panic"] {
        let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
        wire.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let response = wire.read_response("GET");
        assert_eq!(response.status(), 500);
        assert!(!response.text().contains("quota") && !response.text().contains("luck"));
    }
    wait_until("both texts are in the log", || {
        let log = process.stderr();
        log.contains("no quota left") && log.contains("out of luck")
    });
}

#[test]
fn metrics_are_counted_by_plugin() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let counter = probe(
        "metrics-over-sockets",
        r#"request = [{ do = "count", metric = "hits_total" }, { do = "count", metric = "not valid" }]"#,
    );
    let gateway =
        crate::guests::chain(&[counter], r#""metrics-over-sockets""#, upstream.url()).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/").send().status(), 200);
    }
    // Each step increments by 1 and observes 0.5.
    let metric = plugin_metric("metrics-over-sockets", "hits_total").unwrap();
    assert_eq!((metric.count, metric.sum), (6, Some(1.5)));
    assert_eq!(plugin_metric("metrics-over-sockets", "not valid"), None);
}

#[test]
fn printing_does_no_harm_to_the_exchange() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let text = "many words ".repeat(5000);
    let plugin = probe(
        "p",
        &format!(r#"request = [{{ do = "print", text = "{text}" }}]"#),
    );
    let gateway = through(&plugin, upstream.url()).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/").send().text(), "hello");
    }
}
