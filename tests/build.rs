//! Builds the guests in `guests/` as components. Tests find them by `env!("GUEST_PROBE")` and the like.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const GUESTS: [&str; 6] = [
    "probe",
    "no-hooks",
    "foreign-import",
    "director-only",
    "hub-probe",
    "notifier",
];

fn main() -> Result<(), Box<dyn Error>> {
    let tests = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = tests
        .parent()
        .ok_or("the tests crate has no parent folder")?
        .to_owned();
    for watched in [
        "tests/guests",
        "plugins/sdk",
        "wit",
        "Cargo.lock",
        "Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let target_dir = target_dir(&PathBuf::from(env::var("OUT_DIR")?));
    ensure_target()?;
    build(&root, &target_dir)?;
    for guest in GUESTS {
        let file = format!("guest_{}.wasm", guest.replace('-', "_"));
        let path = target_dir.join(TARGET).join("plugin").join(file);
        let name = guest.replace('-', "_").to_ascii_uppercase();
        println!("cargo::rustc-env=GUEST_{name}={}", path.display());
    }
    Ok(())
}

/// The one of the stock plugins (see the host's build script), so that what both need is built once.
fn target_dir(out: &Path) -> PathBuf {
    match out.ancestors().nth(4) {
        Some(target) => target.join("plugins"),
        None => out.join("plugins"),
    }
}

/// The host's build script may be adding the target at this very moment: what counts is whether it is there.
fn ensure_target() -> Result<(), Box<dyn Error>> {
    for _ in 0..2 {
        if has_target()? {
            return Ok(());
        }
        // One of two at a time may fail; then the other one has added it, or its next try does.
        let _ = Command::new("rustup")
            .args(["target", "add", TARGET])
            .status();
    }
    if has_target()? {
        return Ok(());
    }
    Err(
        format!("the Rust target {TARGET} is missing; add it with: rustup target add {TARGET}")
            .into(),
    )
}

fn has_target() -> Result<bool, Box<dyn Error>> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && folder.is_dir())
}

fn build(root: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(env::var("CARGO")?);
    command
        .current_dir(root)
        .args([
            "build",
            "--profile",
            "plugin",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target_dir);
    for guest in GUESTS {
        command.args(["-p", &format!("guest-{guest}")]);
    }
    // What cargo and its wrappers set for the outer build is not meant for another target.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let outer = text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_BUILD_")
            || matches!(
                &*text,
                "CARGO_ENCODED_RUSTFLAGS"
                    | "RUSTFLAGS"
                    | "RUSTC_WRAPPER"
                    | "RUSTC_WORKSPACE_WRAPPER"
                    | "CARGO_TARGET_DIR"
                    | "CARGO_MAKEFLAGS"
                    | "MAKEFLAGS"
            );
        if outer {
            command.env_remove(&name);
        }
    }
    if command.status()?.success() {
        return Ok(());
    }
    Err("the test guests could not be built; what went wrong stands above".into())
}
