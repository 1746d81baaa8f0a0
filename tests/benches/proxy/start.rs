//! Start and memory of the gateway with three plugins.

use crate::Outcome;
use crate::process::Room;
use crate::proxy::{Contender, Kind, Running};
use crate::report::{OURS, median};

/// Starts to take the median of.
const STARTS: usize = 5;

/// Prints how long a start takes with a warm compile cache, and what memory is used then.
pub(crate) fn report(contenders: &[Contender], room: &Room, upstream: u16) -> Outcome<()> {
    if contenders
        .iter()
        .all(|contender| contender.kind != Kind::Chain)
    {
        return Ok(());
    }
    println!("start with the three plugins");
    println!(
        "| {:<32} | {:>16} | {:>8} | {:>8} |",
        "proxy", "first answer, ms", "RSS MiB", "Pss MiB"
    );
    println!("|{:-<34}|{:->18}|{:->10}|{:->10}|", "", ":", ":", ":");
    for contender in contenders
        .iter()
        .filter(|contender| contender.kind == Kind::Chain)
    {
        if contender.name.starts_with(OURS) {
            // Once more than is counted: where nothing has run before, this fills the compile cache.
            drop(Running::start(contender, room, upstream)?);
        }
        let mut times = Vec::new();
        let (mut resident, mut shared) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let running = Running::start(contender, room, upstream)?;
            times.push(running.first_answer.as_secs_f64() * 1e3);
            let memory = running.process.memory();
            resident.push(memory.0);
            shared.push(memory.1);
        }
        println!(
            "| {:<32} | {:>16.0} | {:>8.1} | {:>8.1} |",
            contender.name,
            median(times),
            median(resident),
            median(shared)
        );
    }
    Ok(())
}
