//! Upstreams that are killed, paused, reset or slowed while requests go on: as long as two of three are well, clients notice
//! nothing once the third has been ejected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sluicegate_tests::{
    Answer, Gateway, RawUpstream, RequestBuilder, TargetProcess, Upstream, Wire, wait_until,
};

/// Clients that ask without a pause, and what they were answered.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, answered, failed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let clients = (0..4)
            .map(|_| {
                let (stop, answered, failed) = (
                    Arc::clone(&stop),
                    Arc::clone(&answered),
                    Arc::clone(&failed),
                );
                std::thread::spawn(move || {
                    let request = RequestBuilder::new(address, "GET", "/");
                    let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
                    while !stop.load(Ordering::SeqCst) {
                        let response = request.send_over(&mut wire);
                        if response.status() == 200 {
                            answered.fetch_add(1, Ordering::SeqCst);
                        } else {
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        Self {
            stop,
            answered,
            failed,
            clients,
        }
    }

    fn wait_for_more(&self, requests: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        wait_until("more requests are answered", || {
            self.answered.load(Ordering::SeqCst) >= before + requests
        });
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        self.failed.load(Ordering::SeqCst)
    }
}

/// Three targets, of which the first is struck while clients ask. The number of requests that failed before it was ejected;
/// none may fail afterwards.
#[track_caller]
fn struck(first: &str, strike: impl FnOnce()) -> usize {
    let well = [
        Upstream::start(|_| Answer::ok("two")),
        Upstream::start(|_| Answer::ok("three")),
    ];
    let gateway = Gateway::new()
        .upstream_with(
            "a",
            [first.to_owned(), well[0].url(), well[1].url()],
            r#"timeouts = { connect = "300ms", response = "300ms" }
               retries = { attempts = 2, on = ["connect-failure", "502", "503", "504"], budget = 1.0 }
               outliers = { failures = 3, ejection = "1h", max_ejected = 0.34 }"#,
        )
        .route("/{*rest}", "a")
        .server("workers = 2")
        .start();
    let load = Load::start(gateway.address());
    load.wait_for_more(50);
    strike();
    wait_until("the target is ejected", || {
        gateway.running().snapshot().upstreams[0].is_ejected(0)
    });
    // What was on its way when the target was ejected may still fail.
    load.wait_for_more(8);
    let before = load.failed.load(Ordering::SeqCst);
    load.wait_for_more(200);
    assert_eq!(load.end(), before, "requests failed after the ejection");
    before
}

#[test]
fn a_target_that_is_killed() {
    let upstream = Upstream::start(|_| Answer::ok("one"));
    let apart = TargetProcess::start(&upstream);
    let failed = struck(&apart.url(), || apart.signal("KILL"));
    // Requests that had arrived there are repeated as well: they are idempotent.
    assert_eq!(failed, 0);
}

#[test]
fn a_target_that_is_paused() {
    let upstream = Upstream::start(|_| Answer::ok("one"));
    let apart = TargetProcess::start(&upstream);
    struck(&apart.url(), || apart.signal("STOP"));
    apart.signal("CONT");
}

#[test]
fn a_target_that_resets_its_connections() {
    let is_ill = Arc::new(AtomicBool::new(false));
    let upstream = RawUpstream::start({
        let is_ill = Arc::clone(&is_ill);
        move |wire| {
            while wire.try_read_head().is_ok() {
                if is_ill.load(Ordering::SeqCst) {
                    wire.reset_when_dropped();
                    return;
                }
                wire.write("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none");
            }
        }
    });
    let failed = struck(&upstream.url(), || is_ill.store(true, Ordering::SeqCst));
    assert_eq!(failed, 0);
}

#[test]
fn a_target_that_has_become_slow() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::start({
        let is_slow = Arc::clone(&is_slow);
        move |_| {
            if is_slow.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_secs(1));
            }
            Answer::ok("one")
        }
    });
    struck(&upstream.url(), || is_slow.store(true, Ordering::SeqCst));
}
