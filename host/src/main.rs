//! The command line: `run` (the default), `check`, `demo`.

use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use sluicegate::config::{self, Config};
use sluicegate::demo;
use sluicegate::plugin::registry::Event;
use sluicegate::server::reload::Running;
use sluicegate::server::watch;
use sluicegate::server::{self, Server, StartError};
use sluicegate::snapshot::Snapshot;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

// The system's allocator costs a proxied request about as much as its routing does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit status for a configuration that can't be used: `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

/// An HTTP gateway whose request and response processing is written as WebAssembly components.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    run: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Serve (the default command).
    Run(ConfigFile),
    /// Find everything that `run` would refuse, without binding a port.
    Check(ConfigFile),
    /// Sample upstreams and the stock plugins, with things to try printed on the screen.
    Demo {
        /// Where the gateway listens; port 0 picks a free one.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(short, long, default_value = "gateway.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    start_log();
    let result = match command_line.mode {
        None => run(&command_line.run),
        Some(Mode::Run(file)) => run(&file),
        Some(Mode::Check(file)) => check(&file),
        Some(Mode::Demo { listen }) => run_demo(listen),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            let is_configuration = error.is::<config::ConfigError>()
                || error
                    .downcast_ref::<StartError>()
                    .is_some_and(StartError::is_configuration);
            if is_configuration {
                ExitCode::from(BAD_CONFIGURATION)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Log lines go to standard error; `RUST_LOG` chooses which (`info` by default).
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn load(file: &ConfigFile) -> anyhow::Result<Config> {
    let loaded = config::load(&file.config)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {}", warning.in_file(&loaded.config.source));
    }
    Ok(loaded.config)
}

/// What is odd about what the configuration names.
fn warn_of(config: &Config, snapshot: &Snapshot) {
    for warning in &snapshot.warnings {
        eprintln!("warning: {}", warning.in_file(&config.source));
    }
}

fn run(file: &ConfigFile) -> anyhow::Result<()> {
    let config = load(file)?;
    let server = Server::start(&config, &mut show_progress)?;
    warn_of(&config, &server.running().snapshot());
    for (address, listener) in server.addresses().iter().zip(&config.listeners) {
        let scheme = if listener.tls.is_some() {
            "https"
        } else {
            "http"
        };
        eprintln!("listening on {scheme}://{address}");
    }
    if let Some(address) = server.admin_address() {
        eprintln!("admin listener on http://{address}");
    }
    let watch = config
        .server
        .watch
        .then(|| watch::start(Arc::clone(server.running())))
        .transpose()
        .context("can't watch the configuration")?;
    wait_for_stop(Some(server.running()))?;
    drop(watch);
    eprintln!(
        "stopping: no new connections; what is in flight has {:?}",
        config.server.shutdown_grace
    );
    server.shut_down();
    Ok(())
}

fn check(file: &ConfigFile) -> anyhow::Result<()> {
    let config = load(file)?;
    let snapshot = server::load(&config, None, &mut show_progress)?;
    warn_of(&config, &snapshot);
    println!(
        "{}: ok (routes: {}, hubs: {}, upstreams: {}, plugins: {})",
        file.config.display(),
        config.routes.len(),
        config.hubs.len(),
        config.upstreams.len(),
        config.plugins.len()
    );
    Ok(())
}

fn run_demo(listen: std::net::SocketAddr) -> anyhow::Result<()> {
    let demo = demo::Demo::start(listen, &mut show_progress)?;
    print!("{}", demo.instructions());
    wait_for_stop(None)?;
    demo.stop();
    Ok(())
}

/// A line for each plugin, which says what the waiting is for: compiling can take seconds when the
/// cache does not have it.
fn show_progress(event: Event<'_>) {
    let mut out = std::io::stderr();
    // Nothing depends on these lines being read.
    let _ = match event {
        Event::Loading { plugin } => {
            write!(out, "loading plugin \"{plugin}\" … ").and_then(|()| out.flush())
        }
        Event::Loaded { time } => writeln!(out, "{} ms", time.as_millis()),
        Event::Refused => writeln!(out, "refused"),
    };
}

/// Returns at SIGINT or SIGTERM. At SIGHUP the configuration is read again.
fn wait_for_stop(running: Option<&Arc<Running>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't wait for signals")?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hang_up.recv() => {
                    if let Some(running) = running.map(Arc::clone) {
                        // What comes of it is in the log.
                        tokio::task::spawn_blocking(move || running.reload());
                    }
                }
            }
        }
        anyhow::Ok(())
    })?;
    // A reload that is still compiling is not waited for.
    runtime.shutdown_background();
    Ok(())
}
