//! A proxy to measure, and one that runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::{self, PROXY_CORE, Process, Room};
use crate::work;

/// Which work a proxy is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Forward.
    Plain,
    /// Set a field where it is absent, and remove one.
    Header,
    /// The same, strip a prefix, and replace words in the answer.
    Chain,
    /// Forward what comes over TLS, over connections that are kept.
    Tls,
    /// The same, with a full handshake for each request.
    Handshake,
    /// Forward what comes in HTTP/2, without TLS, in streams at the same time.
    Http2,
}

/// A proxy's set-up.
pub(crate) struct Contender {
    /// For the tables.
    pub(crate) name: String,
    /// Its work.
    pub(crate) kind: Kind,
    /// The program.
    pub(crate) program: PathBuf,
    /// The configuration's file name, and what it says for the ports of the proxy and of the upstream, in this room.
    pub(crate) config: (&'static str, Configure),
    /// What goes on the command line before the configuration's path.
    pub(crate) arguments: Vec<&'static str>,
}

/// Writes a configuration.
pub(crate) type Configure = Box<dyn Fn(Ports<'_>) -> String>;

/// What a configuration is filled in with.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'a> {
    /// Where the proxy is to listen.
    pub(crate) listen: u16,
    /// Where the upstream is.
    pub(crate) upstream: u16,
    /// For files.
    pub(crate) room: &'a Room,
}

/// A contender that has answered its first request rightly.
pub(crate) struct Running {
    /// Its name.
    pub(crate) name: String,
    /// Its work.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) port: u16,
    /// Its processes.
    pub(crate) process: Process,
    /// From its start to the first answer's end.
    pub(crate) first_answer: Duration,
}

impl Running {
    pub(crate) fn start(contender: &Contender, room: &Room, upstream: u16) -> Outcome<Self> {
        let port = process::free_port()?;
        let (file, text) = &contender.config;
        let config = room.file(
            file,
            &text(Ports {
                listen: port,
                upstream,
                room,
            }),
        )?;
        let mut command: Command = process::pinned(PROXY_CORE, &contender.program);
        command.args(&contender.arguments).arg(config);
        command.env("SLUICEGATE_CACHE", room.0.join("cache"));
        let name = contender.name.clone();
        let started = Instant::now();
        let mut process = Process::start(command, room, "proxy")?;
        let limit = started + Duration::from_mins(1);
        // Short steps: how long a start takes is one of the figures.
        while work::ask(contender.kind, port, work::PATH).is_err() {
            if !process.runs() || Instant::now() > limit {
                return Err(format!("{name} does not serve:\n{}", process.log()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let first_answer = started.elapsed();
        work::check(&name, port, contender.kind)?;
        Ok(Self {
            name,
            kind: contender.kind,
            port,
            process,
            first_answer,
        })
    }
}
