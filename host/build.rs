//! Builds the stock plugins as components, to be embedded as `builtin:NAME`.
//!
//! They are built into a target directory of their own, so that the outer build's lock and profile
//! do not matter. Where the target wasm32-wasip2 is missing it is added by rustup.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PLUGINS: [&str; 4] = ["header-rewrite", "url-rewrite", "body-mutate", "hub-guard"];

fn main() -> Result<(), Box<dyn Error>> {
    let host = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = host
        .parent()
        .ok_or("the host crate has no parent folder")?
        .to_owned();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in [
        "plugins",
        "wit",
        ".cargo/config.toml",
        "Cargo.lock",
        "Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    ensure_target()?;
    let target_dir = target_dir(&out);
    build(&root, &target_dir)?;
    embed(&target_dir, &out)
}

/// Beside the outer target directory's profiles, so that debug and release share one build:
/// `target/plugins` where `OUT_DIR` is `target/PROFILE/build/CRATE-HASH/out`.
fn target_dir(out: &Path) -> PathBuf {
    match out.ancestors().nth(4) {
        Some(target) => target.join("plugins"),
        None => out.join("plugins"),
    }
}

fn ensure_target() -> Result<(), Box<dyn Error>> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && libdir.is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    if !matches!(added, Ok(status) if status.success()) {
        return Err(format!(
            "the Rust target {TARGET} is missing; add it with: rustup target add {TARGET}"
        )
        .into());
    }
    Ok(())
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
    for plugin in PLUGINS {
        command.args(["-p", &format!("sluicegate-{plugin}")]);
    }
    // What cargo sets for this build must not leak into the one for another target: flags and
    // wrappers of the host (coverage, clippy) would break it or build it anew each time.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_PROFILE_")
            || matches!(
                &*text,
                "CARGO_ENCODED_RUSTFLAGS"
                    | "RUSTFLAGS"
                    | "RUSTC_WRAPPER"
                    | "RUSTC_WORKSPACE_WRAPPER"
                    | "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER"
                    | "CARGO_BUILD_TARGET"
                    | "CARGO_TARGET_DIR"
                    | "CARGO_MAKEFLAGS"
                    | "MAKEFLAGS"
            );
        if ours {
            command.env_remove(&name);
        }
    }
    if command.status()?.success() {
        return Ok(());
    }
    Err("the stock plugins could not be built; what went wrong stands above".into())
}

fn embed(target_dir: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut source = String::from("static COMPONENTS: &[(&str, &[u8])] = &[\n");
    for plugin in PLUGINS {
        let file = format!("sluicegate_{}.wasm", plugin.replace('-', "_"));
        let built = target_dir.join(TARGET).join("plugin").join(&file);
        let copy = out.join(&file);
        fs::copy(&built, &copy).map_err(|error| format!("{}: {error}", built.display()))?;
        let copy = copy
            .to_str()
            .ok_or("the target directory's path is not UTF-8")?;
        writeln!(source, "    ({plugin:?}, include_bytes!({copy:?})),")?;
    }
    source.push_str("];\n");
    fs::write(out.join("builtin.rs"), source)?;
    Ok(())
}
