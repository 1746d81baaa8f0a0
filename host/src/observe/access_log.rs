//! The access log: one line for each finished exchange, written by a thread of its own so that no
//! worker ever waits for a disk or a pipe. Where the reader is too slow, lines are dropped and
//! their number is logged.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use crate::config;
use crate::config::{AccessLogFormat, AccessLogPath};

/// Lines that may wait for the writer.
const QUEUE: usize = 8192;

/// The workers' end of the log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    entries: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

/// What is known when an exchange has ended.
#[derive(Debug)]
pub struct Entry {
    /// When the response ended.
    pub ended: SystemTime,
    /// The exchange's identifier.
    pub request_id: String,
    /// The client.
    pub client: IpAddr,
    /// The subject of the client's certificate, if it has shown one.
    pub client_subject: Option<Arc<str>>,
    /// Method as received.
    pub method: String,
    /// Host as received.
    pub host: String,
    /// Path and query as received.
    pub target: String,
    /// What the client speaks: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The route's name, "" where none matched.
    pub route: String,
    /// The status that was sent.
    pub status: u16,
    /// Bytes of the response's body that were handed to the connection.
    pub bytes: u64,
    /// From the request's head to the end of the response.
    pub duration: Duration,
    /// The error type (RFC 9209) where the gateway answered itself or a response broke off, "" otherwise.
    pub error: &'static str,
    /// Whether the response was broken off.
    pub aborted: bool,
}

impl AccessLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn open(config: &config::AccessLog) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = match &config.path {
            AccessLogPath::Stdout => Box::new(io::stdout()),
            AccessLogPath::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (entries, queue) = sync_channel(QUEUE);
        let format = config.format;
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_lines(format, output, &queue, &count))?;
        Ok(Self { entries, dropped })
    }

    /// Records an exchange.
    pub fn record(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes what has come, flushes when nothing more waits. Ends with the last worker.
fn write_lines(
    format: AccessLogFormat,
    output: Box<dyn Write + Send>,
    queue: &Receiver<Entry>,
    dropped: &AtomicU64,
) {
    let line = |entry: &Entry| match format {
        AccessLogFormat::Json => json(entry),
        AccessLogFormat::Text => text(entry),
    };
    let mut output = io::BufWriter::with_capacity(64 * 1024, output);
    while let Ok(entry) = queue.recv() {
        let mut result = output.write_all(line(&entry).as_bytes());
        while let Ok(entry) = queue.try_recv() {
            result = result.and_then(|()| output.write_all(line(&entry).as_bytes()));
        }
        if let Err(error) = result.and_then(|()| output.flush()) {
            tracing::error!("the access log can't be written: {error}");
        }
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                "{dropped} lines of the access log were dropped: its reader is too slow"
            );
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(now: SystemTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(now)
}

/// With microseconds, and without the noise behind them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn json(entry: &Entry) -> String {
    let mut value = serde_json::json!({
        "time": timestamp(entry.ended).to_string(),
        "request_id": entry.request_id,
        "client": entry.client.to_string(),
        "method": entry.method,
        "host": entry.host,
        "target": entry.target,
        "protocol": entry.protocol,
        "route": entry.route,
        "status": entry.status,
        "bytes": entry.bytes,
        "duration_ms": milliseconds(entry.duration),
        "error": entry.error,
        "aborted": entry.aborted,
    });
    if let (Some(subject), Some(fields)) = (&entry.client_subject, value.as_object_mut()) {
        fields.insert("client_subject".to_owned(), (**subject).into());
    }
    let mut line = value.to_string();
    line.push('\n');
    line
}

fn text(entry: &Entry) -> String {
    let mut line = String::with_capacity(192);
    let _ = writeln!(
        line,
        "{} {} \"{} {}{} {}\" {} {} {:.3}ms route={} id={}{}{}{}",
        timestamp(entry.ended),
        entry.client,
        entry.method,
        entry.host.escape_default(),
        entry.target.escape_default(),
        entry.protocol,
        entry.status,
        entry.bytes,
        entry.duration.as_secs_f64() * 1000.0,
        entry.route.escape_default(),
        entry.request_id.escape_default(),
        match &entry.client_subject {
            Some(subject) => format!(" client_subject=\"{}\"", subject.escape_default()),
            None => String::new(),
        },
        if entry.error.is_empty() {
            String::new()
        } else {
            format!(" error={}", entry.error)
        },
        if entry.aborted { " aborted" } else { "" },
    );
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            ended: SystemTime::UNIX_EPOCH,
            request_id: "id".into(),
            client: IpAddr::from([127, 0, 0, 1]),
            client_subject: None,
            method: "GET".into(),
            host: "a.example".into(),
            target: "/x\"\u{1b}[2J".into(),
            protocol: "HTTP/1.1",
            route: "r".into(),
            status: 502,
            bytes: 12,
            duration: Duration::from_micros(1500),
            error: "connection_refused",
            aborted: true,
        }
    }

    #[test]
    fn a_line_is_one_line_and_control_characters_are_escaped() {
        let line = text(&entry());
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z 127.0.0.1 \"GET a.example/x\\\"\\u{1b}[2J HTTP/1.1\" 502 12 1.500ms \
             route=r id=id error=connection_refused aborted\n"
        );
        let line = json(&entry());
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["target"], "/x\"\u{1b}[2J");
        assert_eq!(value["status"], 502);
        assert_eq!(value.get("client_subject"), None);
        let entry = Entry {
            client_subject: Some("CN=a \"b\"".into()),
            ..entry()
        };
        assert!(text(&entry).contains(" id=id client_subject=\"CN=a \\\"b\\\"\" error="));
        let value: serde_json::Value = serde_json::from_str(&json(&entry)).unwrap();
        assert_eq!(value["client_subject"], "CN=a \"b\"");
    }
}
