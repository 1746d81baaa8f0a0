//! The load, and one measured run.

use crate::Outcome;
use crate::process::{load_core, pinned};
use crate::proxy::Running;
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
        self.wrk(proxy, self.seconds.div_ceil(4)).map(|_| ())
    }

    pub(crate) fn measure(&self, proxy: &Running) -> Outcome<Run> {
        let before = proxy.process.cpu();
        let output = self.wrk(proxy, self.seconds)?;
        let used = proxy.process.cpu() - before;
        let requests =
            number_before(&output, " requests in ").ok_or_else(|| unreadable(&output))?;
        Ok(Run {
            cpu: used * 1e6 / requests,
            rate: value_after(&output, "Requests/sec:").ok_or_else(|| unreadable(&output))?,
            p99: value_after(&output, "99%").ok_or_else(|| unreadable(&output))? * 1e3,
            memory: proxy.process.memory().0,
        })
    }

    fn wrk(&self, proxy: &Running, seconds: u32) -> Outcome<String> {
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
            .arg(format!("http://127.0.0.1:{}{}", proxy.port, work::PATH))
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
