//! Hostile guests: whatever a plugin does, its own exchange is answered as documented, the client learns nothing of
//! it, and a load on another route of the same worker goes on without a failed request.

mod handles;
mod handover;
mod latency;
mod log;
mod setting_up;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sluicegate_tests::{
    Answer, End, Gateway, RequestBuilder, Response, Upstream, Wire, wait_until,
};

use crate::guests::{probe_with, through};

/// For what has no end of its own but this.
const SHORT: &str = r#"limits = { time = "20ms", wall = "10s", memory = "8MiB" }"#;
/// For what has to end by something else than its time, on however slow a machine.
const LONG: &str = r#"limits = { time = "10s", wall = "10s", memory = "8MiB" }"#;

/// Requests to a route without plugins, one after the other, none of which may fail.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    client: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = std::thread::spawn({
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            move || {
                let mut wire = Wire::new(TcpStream::connect(address).unwrap());
                let request = RequestBuilder::new(address, "GET", "/plain");
                while !stop.load(Ordering::Relaxed) {
                    let response = request.send_over(&mut wire);
                    assert_eq!((response.status(), response.text()), (200, "hello"));
                    served.fetch_add(1, Ordering::Relaxed);
                    // A small load: the machine is shared.
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Self {
            stop,
            served,
            client,
        }
    }

    /// Whether requests are still answered, and whether all were.
    fn end(self) {
        let before = self.served.load(Ordering::Relaxed);
        wait_until("the load goes on", || {
            self.client.is_finished() || self.served.load(Ordering::Relaxed) > before + 2
        });
        self.stop.store(true, Ordering::Relaxed);
        self.client.join().expect("no request of the load fails");
    }
}

/// A gateway with one worker, a hostile plugin, and a load beside it.
struct Siege {
    upstream: Upstream,
    gateway: Gateway,
    load: Load,
}

impl Siege {
    /// The plugin is called `p`.
    fn lay(plugin: &str) -> Self {
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let gateway = through(plugin, upstream.url()).route("/plain", "a").start();
        let load = Load::start(gateway.address());
        Self {
            upstream,
            gateway,
            load,
        }
    }

    fn with(limits: &str, config: &str) -> Self {
        Self::lay(&probe_with("p", limits, config))
    }

    fn send(&self) -> Response {
        self.gateway.post("/attack").body("body").send()
    }

    /// What came to the upstream from the plugin's route.
    fn arrived(&self) -> Vec<sluicegate_tests::Received> {
        let mut received = self.upstream.received();
        received.retain(|request| request.target() == "/attack");
        received
    }

    /// Several times, so that what takes the place of a discarded instance is tried as well.
    #[track_caller]
    fn fails(self, what: &str) {
        for _ in 0..3 {
            assert_failed(&self.send(), what);
        }
        self.end();
    }

    fn end(self) {
        self.load.end();
    }
}

/// 500, and not a word about why.
#[track_caller]
fn assert_failed(response: &Response, what: &str) {
    assert_eq!(response.status(), 500, "{what}");
    let error = response.header("proxy-status");
    assert_eq!(
        error,
        Some("sluicegate; error=proxy_internal_error"),
        "{what}"
    );
    let everything = format!("{:?} {}", response.head, response.text());
    for inside in ["inside", "wasm", "trap", "memory", "limit"] {
        assert!(!everything.contains(inside), "{what}: {everything}");
    }
}

/// The same misdeed in each of the hooks.
fn in_each_hook(step: &str, then: &str) -> [String; 4] {
    [
        format!("request = [{step}]"),
        format!("response = [{step}]"),
        format!(r#"request_body = {{ plan = "collect", then = "{then}", text = "inside" }}"#),
        format!(r#"response_body = {{ plan = "collect", then = "{then}", text = "inside" }}"#),
    ]
}

#[test]
fn an_endless_loop_in_each_hook() {
    for config in in_each_hook(r#"{ do = "spin" }"#, "spin") {
        Siege::with(SHORT, &config).fails(&config);
    }
}

#[test]
fn a_trap_in_each_hook() {
    for config in in_each_hook(r#"{ do = "panic", text = "inside" }"#, "panic") {
        Siege::with(LONG, &config).fails(&config);
    }
}

#[test]
fn memory_without_end_in_each_hook() {
    for config in in_each_hook(r#"{ do = "grow", bytes = 1_000_000_000 }"#, "swell") {
        Siege::with(LONG, &config).fails(&config);
    }
}

#[test]
fn a_stack_overflow() {
    for config in &in_each_hook(r#"{ do = "recurse" }"#, "panic")[..2] {
        Siege::with(LONG, config).fails(config);
    }
}

#[test]
fn an_exit() {
    for config in &in_each_hook(r#"{ do = "exit" }"#, "panic")[..2] {
        Siege::with(LONG, config).fails(config);
    }
}

/// Of a transform: it traps or spins in `push` and in `finish`, and what comes out of it has no end.
const TRANSFORMS: [(&str, &str); 5] = [
    (LONG, "panic"),
    (SHORT, "spin"),
    (LONG, "panic-at-end"),
    (SHORT, "spin-at-end"),
    (LONG, "swell"),
];

#[test]
fn a_transform_of_a_request_body() {
    for (limits, then) in TRANSFORMS {
        let config = format!(r#"request_body = {{ plan = "stream", then = "{then}" }}"#);
        let siege = Siege::with(limits, &config);
        for _ in 0..3 {
            assert_failed(&siege.send(), then);
        }
        // A half body is nowhere taken for a whole one.
        assert!(siege.arrived().is_empty(), "{then}");
        siege.end();
    }
}

#[test]
fn a_transform_of_a_response_body() {
    for (limits, then) in TRANSFORMS {
        let config = format!(r#"response_body = {{ plan = "stream", then = "{then}" }}"#);
        let siege = Siege::with(limits, &config);
        for _ in 0..3 {
            let mut wire = siege.gateway.connect();
            siege.gateway.get("/attack").write(&mut wire);
            // The head may have gone out already: then the body breaks off.
            match wire.try_read_response("GET") {
                Ok(response) => assert_failed(&response, then),
                Err(broken) => assert_ne!(broken.end, End::TimedOut, "{then}"),
            }
        }
        siege.end();
    }
}

#[test]
fn a_transform_that_does_not_end_when_its_body_has() {
    let config = r#"response_body = { plan = "stream", then = "spin-when-dropped" }"#;
    let siege = Siege::with(SHORT, config);
    for _ in 0..3 {
        let response = siege.send();
        assert_eq!((response.status(), response.text()), (200, "hello"));
    }
    siege.end();
}
