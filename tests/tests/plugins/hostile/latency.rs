//! What a load on a route without plugins feels of a hostile guest on the same worker, from its first call on.
//!
//! Figures: `SIEGE_SECONDS=5 cargo test -p sluicegate-tests --test plugins -- hostile::latency --nocapture` prints them for each
//! kind of guest. How long requests take is not asserted, because the machine is shared: that few calls of the guest
//! are made at all is, and that no request of the load fails.
#![allow(clippy::print_stdout)]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sluicegate_tests::{Answer, Gateway, RequestBuilder, Upstream, Wire};

use crate::guests::{probe_with, through};

/// What the guest does in `direct`.
const MISDEEDS: [&str; 5] = [
    r#"{ do = "spin" }"#,
    r#"{ do = "grow", bytes = 1_000_000_000 }"#,
    r#"{ do = "panic", text = "inside" }"#,
    r#"{ do = "recurse" }"#,
    r#"{ do = "flood", lines = 1_000_000 }"#,
];

/// Clients that ask without a pause until they are told to stop; when each request was answered, and how long it took.
struct Clients {
    stop: Arc<AtomicBool>,
    clients: Vec<std::thread::JoinHandle<Vec<(Instant, Duration)>>>,
}

impl Clients {
    fn start(
        count: usize,
        address: SocketAddr,
        target: &'static str,
        status: &'static [u16],
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let request = RequestBuilder::new(address, "GET", target);
                let mut wire = Wire::new(TcpStream::connect(address).unwrap());
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let response = request.send_over(&mut wire);
                    times.push((Instant::now(), began.elapsed()));
                    assert!(
                        status.contains(&response.status()),
                        "{target}: {response:?}"
                    );
                }
                times
            })
        };
        let clients = (0..count).map(client).collect();
        Self { stop, clients }
    }

    fn end(self) -> Vec<(Instant, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients
            .into_iter()
            .flat_map(|client| client.join().expect("no request fails"))
            .collect()
    }
}

/// The time that all but a hundredth of those took at most that were answered until then, and the longest.
fn p99(answered: &[(Instant, Duration)], until: Instant) -> (Duration, Duration) {
    let mut times: Vec<Duration> = answered
        .iter()
        .filter(|(at, _)| *at <= until)
        .map(|(_, time)| *time)
        .collect();
    times.sort_unstable();
    (times[times.len() * 99 / 100], times[times.len() - 1])
}

fn missed_deadlines(gateway: &Gateway) -> u64 {
    let snapshot = gateway.running().snapshot();
    let counts = snapshot.registry.counts();
    let missed = counts.filter_map(|(_, counts)| counts.failures.by_kind().remove("deadline"));
    missed.sum()
}

fn besiege(step: &str, time: Duration) {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    // The limits of who has not thought about them, so that it is these that are tried.
    let plugin = probe_with(
        "p",
        r#"limits = { time = "10ms" }"#,
        &format!("request = [{step}]"),
    );
    let gateway = through(&plugin, upstream.url())
        .route("/plain", "a")
        .start();
    let address = gateway.address();
    let load = || Clients::start(8, address, "/plain", &[200]);

    let calm = load();
    std::thread::sleep(time);
    let calm = calm.end();

    let (load, attack) = (load(), Clients::start(2, address, "/attack", &[200, 500]));
    let began = Instant::now();
    std::thread::sleep(time);
    let (loaded, attacks) = (load.end(), attack.end());
    let lasted = began.elapsed();

    let missed = missed_deadlines(&gateway);
    let (calm_p99, calm_longest) = p99(&calm, Instant::now());
    println!(
        "{step}: calm p99 {calm_p99:.1?}, longest {calm_longest:.1?}, {} requests",
        calm.len()
    );
    for part in [Duration::from_millis(500), lasted] {
        let (loaded_p99, longest) = p99(&loaded, began + part);
        let ratio = loaded_p99.as_secs_f64() / calm_p99.as_secs_f64();
        println!(
            "  first {part:.1?}: p99 {loaded_p99:.1?} ({ratio:.2} times), longest {longest:.1?}"
        );
    }
    println!(
        "  {} requests, {} of the guest's, {missed} missed deadlines",
        loaded.len(),
        attacks.len()
    );
    // Two, and a try after each pause, of which the first lasts a second.
    assert!(missed <= 2 + lasted.as_secs(), "{missed} in {lasted:?}");
}

#[test]
fn a_load_beside_an_endless_loop_meets_two_of_its_calls_and_one_after_each_pause() {
    let seconds = std::env::var("SIEGE_SECONDS").ok();
    match seconds.map(|text| Duration::from_secs(text.parse().unwrap())) {
        None => besiege(MISDEEDS[0], Duration::from_millis(1500)),
        Some(time) => MISDEEDS.iter().for_each(|step| besiege(step, time)),
    }
}
