//! What no plugin should do.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluicegate_plugin::prelude::*;

use crate::step::Step;

// Misbehaving is what these are for.
#[allow(
    clippy::panic,
    clippy::empty_loop,
    clippy::print_stdout,
    clippy::print_stderr
)]
pub(crate) fn misbehave(step: &Step) -> Result<()> {
    match step {
        Step::Fail { text } => return Err(text.clone().into()),
        Step::FailLarge { bytes } => return Err("inside\r\n".repeat(*bytes / 8).into()),
        Step::Panic { text } => panic!("{text}"),
        Step::Spin => loop {
            std::hint::black_box(());
        },
        Step::SpinAfter { milliseconds } => {
            let when = UNIX_EPOCH + Duration::from_millis(*milliseconds);
            if SystemTime::now() > when {
                misbehave(&Step::Spin)?;
            }
        }
        Step::Compute { milliseconds } => {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(*milliseconds) {
                std::hint::black_box(());
            }
        }
        Step::Recurse => {
            std::hint::black_box(recurse(1));
        }
        Step::Exit => std::process::exit(1),
        Step::Grow { bytes } => {
            std::hint::black_box(vec![1_u8; *bytes]);
        }
        Step::Sleep { milliseconds } => {
            std::thread::sleep(Duration::from_millis(*milliseconds));
        }
        Step::Print { text } => {
            println!("{text}");
            eprintln!("{text}");
        }
        Step::Log { text } => log::warn!("{text}"),
        Step::Flood { lines } => {
            for line in 0..*lines {
                log::warn!("logged-{line}.");
                println!("printed-{line}.");
            }
        }
        Step::Count { metric } => {
            metrics::increment(metric, 1);
            metrics::observe(metric, 0.5);
        }
        Step::CountMany { names } => {
            for name in 0..*names {
                metrics::increment(&format!("n{name}"), 1);
            }
        }
        Step::Names { bytes } => {
            let name = "n".repeat(*bytes);
            log::warn!("{name}");
            metrics::increment(&name, 1);
            metrics::observe(&name, 0.5);
        }
        _ => {}
    }
    Ok(())
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 16]);
    recurse(depth + 1) + frame.iter().sum::<u64>()
}

pub(crate) fn edits(count: usize) -> Vec<HeaderEdit> {
    let edit = |number| HeaderEdit::Append((format!("x-{number}"), b"1".to_vec()));
    (0..count).map(edit).collect()
}

pub(crate) fn reply_of_fields(count: usize, bytes: usize) -> Reply {
    let value = "v".repeat(bytes);
    (0..count).fold(Reply::new(200), |reply, number| {
        reply.header(format!("x-{number}"), &value)
    })
}
