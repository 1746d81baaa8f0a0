//! The admin listener: health, readiness, metrics, upstreams, reload; and who is let in.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use sluicegate::config;
use sluicegate::server::Server;
use sluicegate_tests::{
    Answer, Process, RawUpstream, RequestBuilder, Response, Upstream, Wire, wait_until,
};

use crate::command_line::Folder;
use crate::guests::probe;

/// A gateway with an admin listener, from a file.
struct Watched {
    folder: Folder,
    server: Server,
}

fn text(admin: &str, rest: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n{admin}\n{rest}"
    )
}

impl Watched {
    fn start(admin: &str, rest: &str) -> Self {
        let folder = Folder::with(
            "gateway.toml",
            text(admin, &format!("[server]\nworkers = 2\n{rest}")),
        );
        let loaded = config::load(Path::new(&folder.path("gateway.toml"))).unwrap();
        assert_eq!(loaded.warnings, []);
        let server = Server::start(&loaded.config, &mut |_| {}).unwrap();
        Self { folder, server }
    }

    fn admin(&self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.server.admin_address().unwrap(), method, path)
    }

    fn get(&self, path: &str) -> Response {
        RequestBuilder::new(self.server.addresses()[0], "GET", path).send()
    }

    /// The metrics, once they have lines that begin so: an exchange is counted when its answer has been written.
    #[track_caller]
    fn metrics_with(&self, lines: &[&str]) -> String {
        let mut metrics = String::new();
        wait_until(&format!("the metrics have {lines:#?}"), || {
            metrics = self.metrics();
            let is_there = |line: &&str| metrics.contains(&format!("\n{line}"));
            lines.iter().all(is_there)
        });
        metrics
    }

    fn metrics(&self) -> String {
        self.admin("GET", "/metrics").send().text().to_owned()
    }
}

const NOTHING: &str = "[upstreams.a]\ntargets = [{ url = \"http://127.0.0.1:1\" }]\n[[routes]]\npath = \"/\"\nupstream = \"a\"\n";

fn upstream_and_routes(url: &str) -> String {
    format!(
        "{}\n[upstreams.a]\ntargets = [{{ url = \"{url}\" }}]\n[upstreams.dead]\ntargets = [{{ url = \"http://127.0.0.1:1\" }}]\n[[routes]]\nname = \"all\"\npath = \"/{{*rest}}\"\nupstream = \"a\"\nplugins = [\"p\"]\n[[routes]]\nname = \"dead\"\npath = \"/dead\"\nupstream = \"dead\"\n",
        probe(
            "p",
            r#"request = [{ do = "count", metric = "seen" }, { do = "only-with", header = "x-fail" }, { do = "fail", text = "no" }]"#
        )
    )
}

#[test]
fn it_counts_open_tunnels() {
    let upstream = RawUpstream::start(|wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
        let _ = wire.wait_for_close();
    });
    let watched = Watched::start("", &upstream_and_routes(&upstream.url()));
    let are_open = |count: u32| {
        let line = format!("\nsluicegate_tunnels {count}\n");
        wait_until("the tunnels are counted", || {
            watched.metrics().contains(&line)
        });
    };
    are_open(0);
    let mut wire = Wire::new(TcpStream::connect(watched.server.addresses()[0]).unwrap());
    wire.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    assert_eq!(wire.read_head().status(), 101);
    are_open(1);
    drop(wire);
    are_open(0);
}

#[test]
fn it_tells_what_has_been_served() {
    let upstream = Upstream::start(|request| match request.target() {
        "/missing" => Answer::status(404).body("none"),
        _ => Answer::ok("hello"),
    });
    let watched = Watched::start("", &upstream_and_routes(&upstream.url()));
    for path in ["/", "/", "/missing", "/dead", "/dead"] {
        watched.get(path);
    }
    RequestBuilder::new(watched.server.addresses()[0], "GET", "/")
        .header("x-fail", "1")
        .send();
    RequestBuilder::new(watched.server.addresses()[0], "PUT", "/../..").send();

    let metrics = watched.metrics_with(&[
        r#"sluicegate_requests_total{route="all",code="2xx"} 2"#,
        r#"sluicegate_requests_total{route="all",code="4xx"} 1"#,
        r#"sluicegate_requests_total{route="all",code="5xx"} 1"#,
        r#"sluicegate_requests_total{route="dead",code="5xx"} 2"#,
        r#"sluicegate_response_body_bytes_total{route="all"} "#,
        r#"sluicegate_request_duration_seconds_bucket{route="all",le="+Inf"} 4"#,
        r#"sluicegate_request_duration_seconds_count{route="all"} 4"#,
        r#"sluicegate_failures_total{error="connection_refused"} 2"#,
        r#"sluicegate_failures_total{error="proxy_internal_error"} 1"#,
        r#"sluicegate_failures_total{error="http_request_error"} 1"#,
        r#"sluicegate_upstream_in_flight{upstream="a",target="127.0.0.1:"#,
        r#"sluicegate_upstream_available{upstream="dead",target="127.0.0.1:1"} 1"#,
        r#"sluicegate_upstream_ejections_total{upstream="dead",target="127.0.0.1:1"} 0"#,
        r#"sluicegate_plugin_instances{plugin="p"} 2"#,
        r#"sluicegate_plugin_failures_total{plugin="p",kind="error"} 1"#,
        r#"sluicegate_plugin_metric_count{plugin="p",metric="seen"} "#,
        r#"sluicegate_reloads_total{result="taken"} 0"#,
        "sluicegate_connections ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ]);
    // Each family is declared once, before its samples, and every line is a comment or a sample with a number.
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(
            name.starts_with("sluicegate_") || name.starts_with("process_"),
            "{line}"
        );
    }
    let upstreams = watched.admin("GET", "/upstreams").send();
    assert_eq!(upstreams.header("content-type"), Some("application/json"));
    assert!(
        upstreams.text().contains(r#""name": "dead""#),
        "{}",
        upstreams.text()
    );
    assert!(upstreams.text().contains(r#""in_flight": 0"#));
}

#[test]
fn it_reloads_and_says_what_is_wrong() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let rest = upstream_and_routes(&upstream.url());
    let watched = Watched::start("", &rest);
    assert_eq!(watched.get("/").status(), 200);
    watched
        .folder
        .add("gateway.toml", text("", &rest.replace("/{*rest}", "/only")));
    let response = watched.admin("POST", "/reload").send();
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(
        (watched.get("/").status(), watched.get("/only").status()),
        (404, 200)
    );

    watched.folder.add("gateway.toml", "[nonsense]\n");
    let response = watched.admin("POST", "/reload").send();
    assert_eq!(response.status(), 422);
    assert!(
        response
            .text()
            .contains("gateway.toml:1: nonsense: unknown key"),
        "{}",
        response.text()
    );
    assert_eq!(watched.get("/only").status(), 200);
    watched.metrics_with(&[
        r#"sluicegate_reloads_total{result="taken"} 1"#,
        r#"sluicegate_reloads_total{result="refused"} 1"#,
        // What was counted before a reload still counts.
        r#"sluicegate_requests_total{route="all",code="2xx"} 3"#,
    ]);
}

#[test]
fn connections_beyond_the_limit_are_counted() {
    let watched = Watched::start("", &format!("limits = {{ connections = 1 }}\n{NOTHING}"));
    let _idle = std::net::TcpStream::connect(watched.server.addresses()[0]).unwrap();
    wait_until("the connection is there", || {
        watched.metrics().contains("\nsluicegate_connections 1\n")
    });
    assert_eq!(watched.get("/").status(), 503);
    let line = r#"sluicegate_failures_total{error="connection_limit_reached"} 1"#;
    let metrics = watched.metrics();
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn paths_and_methods_that_it_does_not_have_are_refused() {
    let watched = Watched::start("", NOTHING);
    for (method, path, status, allow) in [
        ("GET", "/healthz", 200, None),
        ("HEAD", "/readyz", 200, None),
        ("POST", "/healthz", 405, Some("GET, HEAD")),
        ("DELETE", "/metrics", 405, Some("GET, HEAD")),
        ("GET", "/reload", 405, Some("POST")),
        ("GET", "/", 404, None),
        ("GET", "/metrics/x", 404, None),
    ] {
        let response = watched.admin(method, path).send();
        assert_eq!(
            (response.status(), response.header("allow")),
            (status, allow),
            "{method} {path}"
        );
    }
}

#[test]
fn a_web_page_in_a_browser_on_this_machine_is_not_let_in() {
    let watched = Watched::start("", NOTHING);
    for (request, status) in [
        (
            watched
                .admin("POST", "/reload")
                .header("origin", "https://evil.example"),
            403,
        ),
        (
            watched.admin("GET", "/metrics").host("evil.example:9900"),
            403,
        ),
        (watched.admin("GET", "/metrics").host("localhost:9900"), 200),
        (
            watched.admin("GET", "/healthz").host("gateway.internal"),
            200,
        ),
    ] {
        assert_eq!(request.send().status(), status, "{request:?}");
    }
}

#[test]
fn with_a_token_only_who_has_it_is_let_in_and_probes_learn_the_status_alone() {
    let watched = Watched::start("token = \"hunter2\"", NOTHING);
    for token in [
        None,
        Some("Bearer hunter"),
        Some("Bearer hunter22"),
        Some("Basic hunter2"),
        Some("hunter2"),
    ] {
        for (method, path) in [
            ("GET", "/metrics"),
            ("GET", "/upstreams"),
            ("POST", "/reload"),
            ("GET", "/x"),
        ] {
            let mut request = watched.admin(method, path);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let response = request.send();
            assert_eq!(
                (response.status(), response.header("www-authenticate")),
                (401, Some("Bearer")),
                "{path} {token:?}"
            );
        }
    }
    assert_eq!(watched.admin("GET", "/readyz").send().text(), "ready\n");
    let allowed = watched
        .admin("GET", "/readyz")
        .header("authorization", "Bearer hunter2")
        .send();
    assert!(
        allowed.text().contains("\"ready\": true"),
        "{}",
        allowed.text()
    );
}

fn admin_of(process: &Process) -> SocketAddr {
    let mut found = None;
    wait_until("the admin listener says where it is", || {
        let text = process.stderr();
        found = text
            .split("admin listener on http://")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok());
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn readiness_turns_red_before_the_gateway_stops_accepting() {
    let upstream = RawUpstream::holding("", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let folder = Folder::with(
        "gateway.toml",
        text(
            "",
            &format!(
                "[server]\nworkers = 1\ndrain_delay = \"1s\"\n[upstreams.a]\ntargets = [{{ url = \"{}\" }}]\n[[routes]]\npath = \"/\"\nupstream = \"a\"\n",
                upstream.url()
            ),
        ),
    );
    let mut process = Process::gateway(["run", "--config", &folder.path("gateway.toml")]);
    let address = process.address();
    let admin = admin_of(&process);
    let ready = || RequestBuilder::new(admin, "GET", "/readyz").send();
    assert_eq!(ready().status(), 200);
    let mut wire = Wire::new(TcpStream::connect(address).unwrap());
    RequestBuilder::new(address, "GET", "/").write(&mut wire);
    upstream.wait_for_request();
    process.signal("TERM");
    wait_until("readiness is red", || ready().status() == 503);
    assert!(ready().text().contains("the gateway is stopping"));
    // It still accepts, for those who have not noticed yet.
    let late = RequestBuilder::new(address, "GET", "/nowhere").send();
    assert_eq!(late.status(), 404);
    upstream.go_on();
    assert_eq!(wire.read_head().status(), 200);
    assert_eq!(process.wait().code(), 0);
}

#[test]
fn a_plugin_that_keeps_failing_is_told_about_and_leaves_the_gateway_ready() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let rest = upstream_and_routes(&upstream.url()).replace(
        r#"{ do = "fail", text = "no" }"#,
        r#"{ do = "panic", text = "no" }"#,
    );
    let rest = rest.replace(
        "[plugins.p.config]",
        "[plugins.p.breaker]\nfailures = 2\npause = \"1h\"\n[plugins.p.config]",
    );
    let watched = Watched::start("", &rest);
    for _ in 0..6 {
        RequestBuilder::new(watched.server.addresses()[0], "GET", "/")
            .header("x-fail", "1")
            .send();
    }
    let ready = watched.admin("GET", "/readyz").send();
    assert_eq!(ready.status(), 200, "{}", ready.text());
    assert!(
        ready.text().contains("\"resting\": true"),
        "{}",
        ready.text()
    );
    let metrics = watched.metrics();
    for line in [
        r#"sluicegate_plugin_resting{plugin="p"} 1"#,
        r#"sluicegate_plugin_failures_total{plugin="p",kind="trap"} 2"#,
        r#"sluicegate_plugin_failures_total{plugin="p",kind="resting"} 4"#,
    ] {
        assert!(
            metrics.contains(&format!("\n{line}\n")),
            "{line}\n{metrics}"
        );
    }
}
