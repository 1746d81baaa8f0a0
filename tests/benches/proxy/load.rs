//! The load, and one measured run.

use crate::Outcome;
use crate::process::{load_core, pinned};
use crate::proxy::{Kind, Running};
use crate::work;

/// How much load.
pub(crate) struct Load {
    /// Length of a run.
    pub(crate) seconds: u32,
    /// Connections, each with one request at a time.
    pub(crate) connections: u32,
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Processor time of the proxy for one request, µs.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// The 99th percentile of latencies, ms.
    pub(crate) p99: f64,
    /// Resident memory at the end, MiB.
    pub(crate) memory: f64,
}

impl Load {
    /// Fills pools and lets compilers in the proxies have their turn.
    pub(crate) fn warm_up(&self, proxy: &Running) -> Outcome<()> {
        self.run(proxy, self.seconds.div_ceil(4)).map(|_| ())
    }

    pub(crate) fn measure(&self, proxy: &Running) -> Outcome<Run> {
        let before = proxy.process.cpu();
        let output = self.run(proxy, self.seconds)?;
        let used = proxy.process.cpu() - before;
        let of = |found: Option<f64>| found.ok_or_else(|| unreadable(&output));
        let (requests, p99) = if proxy.kind == Kind::Http2 {
            // It tells no percentiles.
            (of(number_before(&output, " succeeded,"))?, f64::NAN)
        } else {
            let requests = of(number_before(&output, " requests in "))?;
            (requests, of(value_after(&output, "99%"))? * 1e3)
        };
        Ok(Run {
            cpu: used * 1e6 / requests,
            rate: requests / f64::from(self.seconds),
            p99,
            memory: proxy.process.memory().0,
        })
    }

    fn run(&self, proxy: &Running, seconds: u32) -> Outcome<String> {
        if proxy.kind == Kind::Http2 {
            Self::h2load(proxy, seconds)
        } else {
            self.wrk(proxy, seconds)
        }
    }

    /// Ten connections with ten streams each.
    fn h2load(proxy: &Running, seconds: u32) -> Outcome<String> {
        let output = pinned(load_core(), "h2load")
            .args(["-c10", "-m10", "-t1", &format!("-D{seconds}")])
            .args(["-H", &format!("{}: 1", work::REMOVED)])
            .arg(format!("http://127.0.0.1:{}{}", proxy.port, work::PATH))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || !text.contains(" 0 failed, 0 errored,") {
            return Err(format!("{} fails under load:\n{text}", proxy.name).into());
        }
        Ok(text)
    }

    fn wrk(&self, proxy: &Running, seconds: u32) -> Outcome<String> {
        let scheme = match proxy.kind {
            Kind::Tls | Kind::Handshake => "https",
            _ => "http",
        };
        let output = pinned(load_core(), "wrk")
            .args([
                "-t1",
                &format!("-c{}", self.connections),
                &format!("-d{seconds}s"),
                "--latency",
                "--timeout",
                "10s",
            ])
            .args(["-H", &format!("{}: 1", work::REMOVED)])
            .args(match proxy.kind {
                Kind::Handshake => &["-H", "Connection: close"][..],
                _ => &[],
            })
            .arg(format!("{scheme}://127.0.0.1:{}{}", proxy.port, work::PATH))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = text.contains("Non-2xx") || text.contains("Socket errors");
        if !output.status.success() || failed {
            return Err(format!(
                "{} fails under load:\n{text}{}",
                proxy.name,
                proxy.process.log()
            )
            .into());
        }
        Ok(text)
    }
}

fn unreadable(output: &str) -> String {
    format!("wrk's output is not understood:\n{output}")
}

fn number_before(text: &str, words: &str) -> Option<f64> {
    text.split_once(words)?
        .0
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

/// The figure after a word; times in seconds.
fn value_after(text: &str, word: &str) -> Option<f64> {
    let figure = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(word))?
        .trim();
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (digits, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((figure.strip_suffix(name)?, *unit)))
        .unwrap_or((figure, 1.0));
    Some(digits.parse::<f64>().ok()? * unit)
}
