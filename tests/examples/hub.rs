//! A gateway with a hub alone, to be loaded or tried from outside: `cargo run -p sluicegate-tests --example hub -- 'mode = "echo"'` serves
//! `/` with these lines of TOML, prints its address, and ends with its input.
#![allow(clippy::print_stdout)]

use std::io::Read as _;

use sluicegate_tests::Gateway;

fn main() -> std::io::Result<()> {
    let lines: Vec<String> = std::env::args().skip(1).collect();
    let hub = format!("[hubs.h]\npath = \"/{{*rest}}\"\n{}", lines.join("\n"));
    let gateway = Gateway::from_toml(&hub).start();
    println!("{}", gateway.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
