//! What a hub costs: memory of an idle connection, processor time of a delivery, and what a mass departure does to those
//! who come.
//!
//! `cargo bench -p sluicegate-tests --bench hub` starts this program a second time as the hub, with one worker, and loads
//! it over loopback. Each connection takes a file descriptor in both processes: `ulimit -n` has to be higher than
//! `CONNECTIONS`.
//!
//! | variable | default | what it is |
//! |---|---|---|
//! | `CONNECTIONS` | 10000 | idle connections |
//! | `CLIENTS` | 1000 | clients in the room of the fan-out |
//! | `MESSAGES` | 2000 | messages that are published to it |
//! | `PUBLISHERS` | 10 | clients that publish them |
//! | `BYTES` | 128 | bytes of a message's data |
//! | `DEFLATE` | 0 | 1: the clients of the fan-out have agreed on permessage-deflate |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod load;
mod process;

use std::error::Error;
use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::HubProcess;
use sluicegate_tests::HubServer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Nothing is to end a connection but the load.
const HUB: &str = "path = \"/hub\"\nlimits = { rate = \"none\", queue = \"64MiB\" }\nhistory.messages = 0\nping.interval = \"1h\"";

fn main() -> ExitCode {
    let outcome = if std::env::args().any(|argument| argument == process::SERVE) {
        serve()
    } else {
        run()
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Until the parent has gone.
fn serve() -> Outcome<()> {
    let server = HubServer::start(HUB);
    println!("{}", server.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn run() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(idle())?;
    runtime.block_on(fan_out())
}

async fn idle() -> Outcome<()> {
    let count = number("CONNECTIONS", 10_000);
    let hub = HubProcess::start()?;
    // What the first connection brings is no connection's own.
    drop(load::Socket::open(hub.address, "").await?);
    let before = hub.resident()?;
    let began = Instant::now();
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        sockets.push(load::Socket::open(hub.address, "").await?);
    }
    let took = began.elapsed();
    let used = hub.resident()?.saturating_sub(before);
    println!(
        "idle: {count} connections in {took:.1?}, {:.2} KiB of resident memory for each",
        used as f64 / 1024.0 / count as f64
    );
    drop(sockets);
    let began = Instant::now();
    let opened = tokio::time::timeout(Duration::from_mins(1), load::Socket::open(hub.address, ""));
    opened.await??;
    println!(
        "all of them have gone at once: a new one was served after {:.1?}",
        began.elapsed()
    );
    Ok(())
}

async fn fan_out() -> Outcome<()> {
    let clients = number("CLIENTS", 1000);
    let messages = number("MESSAGES", 2000);
    let publishers = number("PUBLISHERS", 10).clamp(1, clients);
    let bytes = number("BYTES", 128);
    let deflate = number("DEFLATE", 0) == 1;
    let hub = HubProcess::start()?;
    let lines = if deflate {
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    } else {
        ""
    };
    let mut sockets = Vec::with_capacity(clients);
    for _ in 0..clients {
        let mut socket = load::Socket::open(hub.address, lines).await?;
        socket.send("{\"type\":\"join\",\"room\":\"all\"}").await?;
        socket.receive(2).await?;
        sockets.push(socket);
    }
    let each = messages / publishers;
    let total = each * publishers;
    let message = format!(
        "{{\"type\":\"publish\",\"room\":\"all\",\"data\":\"{}\"}}",
        "x".repeat(bytes)
    );
    let cpu = hub.cpu()?;
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let mut writers = Vec::with_capacity(clients);
    for (number, socket) in sockets.into_iter().enumerate() {
        let published = if number < publishers { each } else { 0 };
        let (mut reader, writer) = socket.split();
        let writer = Arc::new(writer);
        if published > 0 {
            let (message, writer) = (message.clone(), Arc::clone(&writer));
            tasks.spawn(async move { writer.send_many(&message, published).await });
        }
        // Dropping it would close that direction, and the hub takes that for the end.
        writers.push(Arc::clone(&writer));
        tasks.spawn(async move { reader.receive(total).await });
    }
    while let Some(done) = tasks.join_next().await {
        done?.map_err(|error| error.to_string())?;
    }
    let took = began.elapsed();
    let used = hub.cpu()?.saturating_sub(cpu);
    let deliveries = (clients * total) as f64;
    println!(
        "fan-out{}: {total} messages of {bytes} bytes to {clients} clients: {:.0} deliveries/s, {:.0} for each second of the \
         hub's processor time ({took:.2?}, {used:.2?})",
        if deflate { ", deflated" } else { "" },
        deliveries / took.as_secs_f64(),
        deliveries / used.as_secs_f64().max(0.001)
    );
    Ok(())
}

fn number(name: &str, default: usize) -> usize {
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}
