//! A hub alone, to be loaded or tried from outside: `cargo run -p sluicegate-tests --example hub -- 'mode = "echo"'` serves
//! `/` with these lines of TOML, prints its address, and ends with its input.
#![allow(clippy::print_stdout)]

use std::io::Read as _;

use sluicegate_tests::HubServer;

fn main() -> std::io::Result<()> {
    let lines: Vec<String> = std::env::args().skip(1).collect();
    let server = HubServer::start(&format!("path = \"/{{*rest}}\"\n{}", lines.join("\n")));
    println!("{}", server.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
