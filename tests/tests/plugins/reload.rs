//! Another configuration takes the place of the running one, and nobody notices but by what it says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sluicegate::config;
use sluicegate::server::Server;
use sluicegate_tests::{
    Answer, Process, RawUpstream, RequestBuilder, Response, Upstream, Wire, wait_until,
};

use crate::command_line::Folder;
use crate::guests::{DIRECTOR_ONLY, PROBE, probe};

/// A gateway in this process whose configuration is a file.
pub(crate) struct Live {
    folder: Folder,
    pub(crate) server: Server,
}

const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";

impl Live {
    pub(crate) fn start(text: &str) -> Self {
        let folder = Folder::with("gateway.toml", text);
        let file = folder.path("gateway.toml");
        let loaded = config::load(Path::new(&file)).unwrap();
        let server = Server::start(&loaded.config, &mut |_| {}).unwrap();
        Self { folder, server }
    }

    /// The error's text, if it is refused.
    pub(crate) fn reload(&self, text: &str) -> Result<Vec<&'static str>, String> {
        self.folder.add("gateway.toml", text);
        let reloaded = self.server.running().reload();
        reloaded
            .map(|reloaded| reloaded.at_next_start)
            .map_err(|error| error.to_string())
    }

    pub(crate) fn get(&self, target: &str) -> RequestBuilder {
        RequestBuilder::new(self.server.addresses()[0], "GET", target)
    }

    fn instances(&self) -> usize {
        let snapshot = self.server.running().snapshot();
        let counts = snapshot.registry.counts();
        counts
            .map(|(_, counts)| counts.instances.load(Ordering::Relaxed))
            .sum()
    }
}

/// One worker, one route through the plugin `p` that is given (or none) to this upstream.
pub(crate) fn configuration(workers: usize, plugin: &str, url: &str, path: &str) -> String {
    let listed = if plugin.is_empty() { "" } else { "\"p\"" };
    format!(
        "[server]\nworkers = {workers}\n{LISTENER}\n{plugin}\n[upstreams.a]\ntargets = [{{ url = \"{url}\" }}]\n[[routes]]\npath = \"{path}\"\nupstream = \"a\"\nplugins = [{listed}]\n"
    )
}

fn marked(text: &str) -> String {
    probe(
        "p",
        &format!(
            r#"request = [{{ do = "show-calls", header = "x-calls" }}]
               response = [{{ do = "set-header", name = "x-mark", value = "{text}" }}]"#
        ),
    )
}

#[test]
fn a_changed_file_is_served_when_reload_returns_and_a_bad_one_changes_nothing() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let url = upstream.url();
    let live = Live::start(&configuration(2, &marked("one"), &url, "/{*rest}"));
    let marks = |live: &Live| -> Vec<Option<String>> {
        let mark = |response: Response| response.header("x-mark").map(str::to_owned);
        // Connections of their own: both workers get some of them.
        (0..8).map(|_| mark(live.get("/").send())).collect()
    };
    assert_eq!(marks(&live), vec![Some("one".to_owned()); 8]);

    assert_eq!(
        live.reload(&configuration(2, &marked("two"), &url, "/{*rest}")),
        Ok(vec![])
    );
    assert_eq!(marks(&live), vec![Some("two".to_owned()); 8]);

    for (text, expected) in [
        ("[[routes]", "not TOML"),
        (
            "[upstreams.a]\ntargets = []\n",
            "gateway.toml:2: upstreams.a.targets",
        ),
        (
            &configuration(2, &probe("p", r#"refuse = "not today""#), &url, "/{*rest}"),
            "not today",
        ),
        (
            &configuration(
                2,
                "[plugins.p]\ncomponent = \"nowhere.wasm\"",
                &url,
                "/{*rest}",
            ),
            "nowhere.wasm",
        ),
    ] {
        let error = live.reload(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert_eq!(marks(&live), vec![Some("two".to_owned()); 8]);
    }

    let other = configuration(2, "", &url, "/only").replace("127.0.0.1:0", "127.0.0.1:1");
    assert_eq!(live.reload(&other), Ok(vec!["listeners"]));
    assert_eq!(live.get("/only").send().status(), 200);
    assert_eq!(live.get("/").send().status(), 404);
}

#[test]
fn what_has_not_changed_keeps_its_instances_and_connections() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let url = upstream.url();
    let live = Live::start(&configuration(1, &marked("one"), &url, "/{*rest}"));
    let calls = |live: &Live| {
        assert_eq!(live.get("/").send().status(), 200);
        let received = upstream.received();
        received
            .last()
            .unwrap()
            .header("x-calls")
            .unwrap()
            .to_owned()
    };
    assert_eq!(calls(&live), "1");
    assert_eq!(calls(&live), "2");
    // Another route and another upstream; the plugin and this upstream are the same.
    let more = format!(
        "{}\n[upstreams.b]\ntargets = [{{ url = \"http://127.0.0.1:9\" }}]\n[[routes]]\npath = \"/b\"\nupstream = \"b\"\n",
        configuration(1, &marked("one"), &url, "/{*rest}")
    );
    live.reload(&more).unwrap();
    assert_eq!(calls(&live), "3");
    assert_eq!(upstream.connections(), 1);
    assert_eq!(live.instances(), 1);
    // Another configuration of the plugin: another instance, and the old one is gone.
    live.reload(&configuration(1, &marked("two"), &url, "/{*rest}"))
        .unwrap();
    assert_eq!(calls(&live), "1");
    wait_until("the old instance is gone", || live.instances() == 1);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_exchange_ends_with_the_configuration_that_it_began_with() {
    let upstream = RawUpstream::holding("", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let url = upstream.url();
    let live = Live::start(&configuration(1, &marked("one"), &url, "/{*rest}"));
    let mut wire = Wire::new(std::net::TcpStream::connect(live.server.addresses()[0]).unwrap());
    live.get("/").write(&mut wire);
    upstream.wait_for_request();
    live.reload(&configuration(1, "", &url, "/other")).unwrap();
    assert_eq!(live.get("/").send().status(), 404);
    assert_eq!(live.instances(), 1, "the exchange's plugin is still there");
    upstream.go_on();
    assert_eq!(wire.read_head().header("x-mark"), Some("one"));
    assert_eq!(wire.read_exact(2), b"ok");
    drop(wire);
    wait_until("the plugin is gone with its exchange", || {
        live.instances() == 0
    });
}

#[test]
fn five_hundred_reloads_under_load_fail_no_request_and_leave_nothing_behind() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let url = upstream.url();
    let text = |round: usize| {
        let plugin = marked(&format!("m{}", round % 7));
        configuration(2, &plugin, &url, &format!("/{{*r{}}}", round % 3))
    };
    let live = Live::start(&text(0));
    let address = live.server.addresses()[0];
    let baseline = live.instances();
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
                let request = RequestBuilder::new(address, "GET", "/path");
                while !stop.load(Ordering::Relaxed) {
                    let response = request.send_over(&mut wire);
                    assert_eq!((response.status(), response.text()), (200, "hello"));
                    assert!(response.header("x-mark").unwrap().starts_with('m'));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=500 {
        live.reload(&text(round)).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 100);
    wait_until("only the last configuration's instances are left", || {
        live.instances() == baseline
    });
    assert_eq!(live.server.running().reloads.load(Ordering::Relaxed), 500);
}

fn header_of(address: std::net::SocketAddr, name: &str) -> Option<String> {
    let response = RequestBuilder::new(address, "GET", "/").send();
    response.header(name).map(str::to_owned)
}

#[test]
fn a_process_follows_its_files_and_sighup() {
    let upstream = Upstream::start(|request| {
        Answer::ok("hello").header("x-seen", request.header("x-in").unwrap_or("-"))
    });
    let url = upstream.url();
    let plugin = |mark: &str| {
        format!(
            "[plugins.p]\ncomponent = \"p.wasm\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n[plugins.p.config]\nresponse = [{{ do = \"set-header\", name = \"x-mark\", value = \"{mark}\" }}]"
        )
    };
    let folder = Folder::with(
        "gateway.toml",
        configuration(1, &plugin("one"), &url, "/{*rest}"),
    );
    folder.add("p.wasm", std::fs::read(PROBE).unwrap());
    let mut process = Process::gateway(["run", "--config", &folder.path("gateway.toml")]);
    let address = process.address();
    assert_eq!(header_of(address, "x-mark").as_deref(), Some("one"));

    folder.add(
        "gateway.toml",
        configuration(1, &plugin("two"), &url, "/{*rest}"),
    );
    wait_until("the changed file is served", || {
        header_of(address, "x-mark").as_deref() == Some("two")
    });

    // The same configuration, and another component under the same name. It takes no configuration.
    let bare = "[plugins.p]\ncomponent = \"p.wasm\"";
    folder.add("p.wasm", std::fs::read(DIRECTOR_ONLY).unwrap());
    folder.add("gateway.toml", configuration(1, bare, &url, "/{*rest}"));
    wait_until("the changed component is served", || {
        header_of(address, "x-seen").as_deref() == Some("director-only")
    });

    let unwatched =
        configuration(1, "", &url, "/{*rest}").replace("[server]", "[server]\nwatch = false");
    folder.add("gateway.toml", unwatched);
    process.signal("HUP");
    wait_until("SIGHUP is followed", || {
        header_of(address, "x-seen").as_deref() == Some("-")
    });
    process.signal("TERM");
    assert_eq!(process.wait().code(), 0);
}

#[test]
fn another_process_takes_the_port_over_while_the_first_drains() {
    let slow = RawUpstream::holding("", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow");
    let quick = Upstream::start(|_| Answer::ok("quick"));
    let routes = format!(
        "[upstreams.slow]\ntargets = [{{ url = \"{}\" }}]\n[upstreams.quick]\ntargets = [{{ url = \"{}\" }}]\n[[routes]]\npath = \"/slow\"\nupstream = \"slow\"\n[[routes]]\npath = \"/quick\"\nupstream = \"quick\"\n",
        slow.url(),
        quick.url()
    );
    let folder = Folder::with("one.toml", format!("{LISTENER}\n{routes}"));
    let mut first = Process::gateway(["run", "--config", &folder.path("one.toml")]);
    let address = first.address();
    let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
    RequestBuilder::new(address, "GET", "/slow").write(&mut wire);
    slow.wait_for_request();

    folder.add(
        "two.toml",
        format!("[[listeners]]\naddress = \"{address}\"\n{routes}"),
    );
    let mut second = Process::gateway(["run", "--config", &folder.path("two.toml")]);
    assert_eq!(second.address(), address);
    first.signal("TERM");
    // Connections go to either while both listen, and to the second from then on: all are answered.
    for _ in 0..100 {
        let response = RequestBuilder::new(address, "GET", "/quick").send();
        assert_eq!((response.status(), response.text()), (200, "quick"));
    }
    assert!(first.is_running());
    slow.go_on();
    assert_eq!(wire.read_head().status(), 200);
    assert_eq!(wire.read_exact(4), b"slow");
    assert_eq!(first.wait().code(), 0);
    let response = RequestBuilder::new(address, "GET", "/quick").send();
    assert_eq!(response.status(), 200);
}

#[test]
fn who_is_on_a_route_counts_in_its_concurrency_after_a_reload() {
    let upstream = RawUpstream::holding("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "body");
    let text = configuration(1, "", &upstream.url(), "/") + "concurrency = 1\n";
    let live = Live::start(&text);
    let mut wire = Wire::new(std::net::TcpStream::connect(live.server.addresses()[0]).unwrap());
    live.get("/").write(&mut wire);
    assert_eq!(wire.read_head().status(), 200);
    live.reload(&(text + "timeout = \"7s\"\n")).unwrap();
    assert_eq!(live.get("/").send().status(), 503);
    upstream.go_on();
    assert_eq!(wire.read_exact(4), b"body");
    wait_until("the place is free", || live.get("/").send().status() == 200);
}
