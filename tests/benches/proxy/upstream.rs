//! The upstream: nginx with a fixed answer, or this program once more where there is no nginx. It has to be much cheaper
//! than any proxy, or it would be what is measured.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process::{self, Process, Room, load_core, pinned};
use crate::proxy::Ports;
use crate::work::{self, DEFAULTED, REMOVED, SHOW};
use crate::{Outcome, in_path, nginx};

/// The mode of this program in which it is the upstream.
pub(crate) const OWN: &str = "--upstream";

/// An upstream that runs.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) port: u16,
    _process: Process,
}

/// Starts it, and waits for its first answer.
pub(crate) fn start(room: &Room) -> Outcome<Upstream> {
    let port = process::free_port()?;
    let command = if let Some(nginx) = in_path("nginx") {
        let config = config(Ports {
            listen: port,
            upstream: port,
            room,
        });
        let config = room.file("upstream.conf", &config)?;
        let mut command = pinned(load_core(), nginx);
        command.args(["-e", "stderr", "-c"]).arg(config);
        command
    } else {
        let mut command = pinned(load_core(), std::env::current_exe()?);
        command.args([OWN, &port.to_string()]);
        command
    };
    let mut process = Process::start(command, room, "upstream")?;
    let limit = Instant::now() + Duration::from_secs(10);
    while work::ask(crate::proxy::Kind::Plain, port, work::PATH).is_err() {
        if !process.runs() || Instant::now() > limit {
            return Err(format!("the upstream does not serve:\n{}", process.log()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Upstream {
        port,
        _process: process,
    })
}

fn config(ports: Ports<'_>) -> String {
    let answer = work::answer();
    let (tenant, secret) = (DEFAULTED.replace('-', "_"), REMOVED.replace('-', "_"));
    let server = format!(
        r#"
    map $args $seen {{
        {SHOW} "$request_uri|$http_{tenant}|$http_{secret}|";
        default "";
    }}
    server {{
        listen 127.0.0.1:{};
        default_type text/plain;
        add_header x-seen $seen;
        location / {{ return 200 "{answer}"; }}
    }}"#,
        ports.listen
    );
    nginx::frame(ports, "", &server)
        .replace("nginx.pid", "upstream.pid")
        .replace("/nginx-", "/upstream-")
}

/// Serves for ever: a thread for each connection, which reads a head and writes the answer.
pub(crate) fn serve(port: u16) -> Outcome<()> {
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A connection that breaks off concerns its thread alone.
        std::thread::spawn(move || answer_all(stream).is_ok());
    }
    Ok(())
}

fn answer_all(mut stream: TcpStream) -> Outcome<()> {
    let body = work::answer();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut buffer = [0; 8192];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8_lossy(&buffer[..filled]).into_owned();
        filled = 0;
        let close = head.contains("Connection: close");
        let extra = if close { "Connection: close\r\n" } else { "" };
        let seen = seen(&head);
        stream.write_all(format!("{answer}{extra}{seen}\r\n{body}").as_bytes())?;
        if close {
            return Ok(());
        }
    }
}

/// The field that shows what arrived, where it was asked for.
fn seen(head: &str) -> String {
    let target = head.split(' ').nth(1).unwrap_or("");
    if !target.ends_with(&format!("?{SHOW}")) {
        return String::new();
    }
    let field = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
            .unwrap_or("")
    };
    format!(
        "x-seen: {target}|{}|{}|\r\n",
        field(DEFAULTED),
        field(REMOVED)
    )
}
