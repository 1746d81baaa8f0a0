//! The work: one request, and what has to become of it. Every proxy's configuration is made of these words.

use crate::Outcome;
use crate::proxy::Kind;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// The prefix that the chain strips.
pub(crate) const PREFIX: &str = "/api";
/// What is asked for.
pub(crate) const PATH: &str = "/api/items/7";
/// The field that the chain sets where it is absent, which it is.
pub(crate) const DEFAULTED: &str = "x-tenant";
/// Its value.
pub(crate) const DEFAULT: &str = "public";
/// The field that the chain removes; the load sends it.
pub(crate) const REMOVED: &str = "x-secret";
/// The words that the chain replaces in the answer.
pub(crate) const FIND: &str = "http://internal.example";
/// What takes their place.
pub(crate) const WITH: &str = "https://www.example.org";
/// An answer's length, bytes.
const LENGTH: usize = 1024;
/// With this query the upstream shows in a response field what it received.
pub(crate) const SHOW: &str = "show";

/// The upstream's answer: exactly 1 KiB, with the words in three places.
pub(crate) fn answer() -> String {
    let mut text = String::new();
    let mut line = 0;
    while text.len() + 96 < LENGTH {
        line += 1;
        let words = if line % 4 == 1 {
            FIND
        } else {
            "a line of text that stays"
        };
        let _ = writeln!(
            text,
            "item {line}: {words} and what follows it on this line"
        );
    }
    text.push_str(&"-".repeat(LENGTH - text.len()));
    text
}

/// Asks once, and compares what the upstream saw and what came back with what they have to be.
pub(crate) fn check(name: &str, port: u16, kind: Kind) -> Outcome<()> {
    let (head, body) = ask(kind, port, &format!("{PATH}?{SHOW}"))?;
    let (path, tenant, secret) = match kind {
        Kind::Plain | Kind::Tls | Kind::Handshake | Kind::Http2 => (PATH, "", "1"),
        Kind::Header => (PATH, DEFAULT, ""),
        Kind::Chain => (PATH.strip_prefix(PREFIX).unwrap_or(PATH), DEFAULT, ""),
    };
    let seen = format!("{path}?{SHOW}|{tenant}|{secret}|");
    let expected = match kind {
        Kind::Chain => answer().replace(FIND, WITH),
        _ => answer(),
    };
    let shown = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with("x-seen:")
                .then(|| line[7..].trim().to_owned())
        })
        .unwrap_or_default();
    let status = match kind {
        Kind::Http2 => "HTTP/2 200",
        _ => "HTTP/1.1 200 ",
    };
    if !head.starts_with(status) || shown != seen {
        return Err(format!(
            "{name} does not do the work: the upstream saw {shown:?}, not {seen:?}; answer:\n{head}"
        )
        .into());
    }
    if body != expected {
        return Err(format!(
            "{name} does not do the work: the body is\n{body}\nand not\n{expected}"
        )
        .into());
    }
    Ok(())
}

/// One request over a connection of its own, with the fields of the load.
pub(crate) fn ask(kind: Kind, port: u16, target: &str) -> Outcome<(String, String)> {
    let arguments = match kind {
        Kind::Tls | Kind::Handshake => ["-k", "--http1.1", "https"],
        Kind::Http2 => ["-N", "--http2-prior-knowledge", "http"],
        Kind::Plain | Kind::Header | Kind::Chain => return ask_plainly(port, target),
    };
    let [insecure, version, scheme] = arguments;
    let output = Command::new("curl")
        .args(["-s", "-i", "--max-time", "10", insecure, version])
        .args(["-H", &format!("{REMOVED}: 1")])
        .arg(format!("{scheme}://127.0.0.1:{port}{target}"))
        .output()?;
    let answer = String::from_utf8(output.stdout)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer has no head")?;
    Ok((head.to_owned(), body.to_owned()))
}

fn ask_plainly(port: u16, target: &str) -> Outcome<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{REMOVED}: 1\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer has no head")?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunked(body)?
    } else {
        body.to_owned()
    };
    Ok((head.to_owned(), body))
}

fn unchunked(mut coded: &str) -> Outcome<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = coded.split_once("\r\n").ok_or("a chunk without a size")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(rest.get(..size).ok_or("a chunk breaks off")?);
        coded = rest.get(size + 2..).ok_or("a chunk without an end")?;
    }
}
