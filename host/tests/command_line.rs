//! The binary says what it is. (More of the command line is tested end to end, in `tests/`; that
//! there is a test here at all makes cargo build the binary for those.)
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn it_tells_its_version_and_its_commands() {
    let run = |argument: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
            .arg(argument)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        run("--version").trim(),
        concat!("sluicegate ", env!("CARGO_PKG_VERSION"))
    );
    let help = run("--help");
    for command in ["run", "check", "demo"] {
        assert!(help.contains(command), "{help}");
    }
}
