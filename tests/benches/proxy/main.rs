//! What a request costs, beside other proxies that do the same work on the same machine.
//!
//! `cargo bench -p sluicegate-tests --bench proxy` starts one proxy at a time between a load generator and an upstream,
//! all on loopback, and reads the processor time that the proxy's own processes have used. That figure holds on a
//! shared machine, where requests per second do not. Peers are what is installed of nginx, nginx with its Lua
//! module, `HAProxy` and Envoy (`ENVOY` names its binary where it is not in `PATH`).
//!
//! | variable | default | what it is |
//! |---|---|---|
//! | `ROUNDS` | 5 | runs of each proxy, in turn: A B C A B C … |
//! | `RUN_SECONDS` | 4 | length of a run; a quarter of it comes before as a warm-up |
//! | `CONNECTIONS` | 32 | of the load |
//! | `ONLY` | all | names of proxies, separated by semicolons |
//! | `SLUICEGATE` | built here | the gateway's binary |
//!
//! HTTP/2 is measured with h2load, where that is installed (Debian: nghttp2-client).
//!
//! Every proxy is asked once before it is measured, and refused where its answer shows that it does not do the work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

mod envoy;
mod gateway;
mod haproxy;
mod load;
mod nginx;
mod process;
mod proxy;
mod report;
mod start;
mod upstream;
mod work;

use load::Load;
use proxy::{Contender, Kind};
use report::Series;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, port] = &arguments[..]
        && mode == upstream::OWN
    {
        return upstream::serve(port.parse()?);
    }
    let rounds = number("ROUNDS", 5)?;
    let load = Load {
        seconds: number("RUN_SECONDS", 4)?.max(1),
        connections: number("CONNECTIONS", 32)?,
    };
    if !process::installed("wrk") {
        return Err(
            "the load comes from wrk, which is not installed (Debian: apt install wrk)".into(),
        );
    }
    let room = process::Room::new()?;
    let binary = gateway::binary()?;
    let upstream = upstream::start(&room)?;
    println!("{}", report::machine());
    println!(
        "{rounds} rounds of {} s, {} connections, answers of 1 KiB; proxies on core 0, load and upstream on core {}\n",
        load.seconds,
        load.connections,
        process::load_core()
    );

    let contenders = contenders(&binary)?;
    let mut series: Vec<Series> = contenders.iter().map(Series::new).collect();
    for round in 1..=rounds {
        for (contender, series) in contenders.iter().zip(&mut series) {
            eprint!("round {round} of {rounds}: {:<40}\r", contender.name);
            let running = proxy::Running::start(contender, &room, upstream.port)?;
            load.warm_up(&running)?;
            series.add(load.measure(&running)?);
        }
    }
    eprintln!("{:<60}", "");
    report::scenario("plain proxy", Kind::Plain, &series);
    report::scenario("chain of three", Kind::Chain, &series);
    report::scenario("behind TLS", Kind::Tls, &series);
    report::scenario("a TLS handshake each", Kind::Handshake, &series);
    report::scenario("HTTP/2, 10 connections of 10 streams", Kind::Http2, &series);
    report::added(&series);
    start::report(&contenders, &room, upstream.port)?;
    Ok(())
}

/// Everything that can be measured here: the gateway, and what is installed of its peers.
fn contenders(binary: &std::path::Path) -> Outcome<Vec<Contender>> {
    let mut all = gateway::contenders(binary);
    all.extend(nginx::contenders());
    all.extend(haproxy::contenders());
    all.extend(envoy::contenders());
    if !process::installed("h2load") {
        all.retain(|contender| contender.kind != Kind::Http2);
    }
    if let Ok(only) = std::env::var("ONLY") {
        all.retain(|contender| only.split(';').any(|name| name.trim() == contender.name));
        if all.is_empty() {
            return Err(format!("ONLY={only}: no proxy of these names is here").into());
        }
    }
    Ok(all)
}

fn number(name: &str, default: u32) -> Outcome<u32> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .map_err(|error| format!("{name}={text}: {error}").into()),
        Err(_) => Ok(default),
    }
}

/// A program in `PATH`.
fn in_path(program: &str) -> Option<PathBuf> {
    let output = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .ok()?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !found.is_empty()).then(|| found.into())
}
