//! The tables.

use std::fs;

use crate::load::Run;
use crate::proxy::{Contender, Kind};

/// The gateway's contenders begin so; everything else is a peer.
pub(crate) const OURS: &str = "sluicegate";

/// The runs of one contender, one a round.
pub(crate) struct Series {
    name: String,
    kind: Kind,
    runs: Vec<Run>,
}

impl Series {
    pub(crate) fn new(contender: &Contender) -> Self {
        Self {
            name: contender.name.clone(),
            kind: contender.kind,
            runs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(figure).collect())
    }

    fn ours(&self) -> bool {
        self.name.starts_with(OURS)
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (_, _) if values.is_empty() => f64::NAN,
        (middle, 0) => f64::midpoint(values[middle - 1], values[middle]),
        (middle, _) => values[middle],
    }
}

/// The median of per-round figures of two series, with the smallest and the largest.
fn compare(one: &Series, other: &Series, figure: impl Fn(f64, f64) -> f64) -> (f64, f64, f64) {
    let rounds: Vec<f64> = one
        .runs
        .iter()
        .zip(&other.runs)
        .map(|(one, other)| figure(one.cpu, other.cpu))
        .collect();
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (median(rounds), least, most)
}

/// One table: what each proxy of a kind costs, and how the gateway stands to it.
pub(crate) fn scenario(title: &str, kind: Kind, all: &[Series]) {
    let series: Vec<&Series> = all.iter().filter(|series| series.kind == kind).collect();
    if series.is_empty() {
        return;
    }
    let ours = series.iter().find(|series| series.ours());
    println!("{title}");
    println!(
        "| {:<32} | {:>14} | {:>10} | {:>8} | {:>8} | {:>22} |",
        "proxy", "CPU µs/request", "requests/s", "p99 ms", "RSS MiB", "sluicegate to it (CPU)"
    );
    println!(
        "|{:-<34}|{:->16}|{:->12}|{:->10}|{:->10}|{:->24}|",
        "", ":", ":", ":", ":", ":"
    );
    for series in &series {
        let ratio = match ours {
            Some(ours) if !series.ours() => {
                let (ratio, least, most) = compare(ours, series, |ours, theirs| ours / theirs);
                format!("{ratio:.2} ({least:.2}–{most:.2})")
            }
            _ => String::new(),
        };
        println!(
            "| {:<32} | {:>14.1} | {:>10.0} | {:>8.2} | {:>8.1} | {ratio:>22} |",
            series.name,
            series.median(|run| run.cpu),
            series.median(|run| run.rate),
            series.median(|run| run.p99),
            series.median(|run| run.memory),
        );
    }
    println!();
}

/// What plugins add to the plain gateway.
pub(crate) fn added(all: &[Series]) {
    let Some(plain) = all
        .iter()
        .find(|series| series.ours() && series.kind == Kind::Plain)
    else {
        return;
    };
    for series in all
        .iter()
        .filter(|series| series.ours() && matches!(series.kind, Kind::Header | Kind::Chain))
    {
        let (added, least, most) = compare(series, plain, |with, without| with - without);
        println!(
            "{} adds {added:.1} µs a request to the plain gateway ({least:.1}–{most:.1})",
            series.name
        );
    }
    println!();
}

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("processor", |(_, model)| model.trim());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load
        .split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0);
    let busy = if load > 0.5 {
        "; others use this machine, so trust ratios more than figures"
    } else {
        ""
    };
    format!("{cores} × {model}, load {load:.2} before the first run{busy}")
}
