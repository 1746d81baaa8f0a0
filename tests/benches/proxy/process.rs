//! Processes of a run: started on one core, measured by what the kernel knows of them, ended with the run.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Where proxies run.
pub(crate) const PROXY_CORE: usize = 0;

/// Where load and upstream run: another core, where there is one.
pub(crate) fn load_core() -> usize {
    usize::from(std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

/// Whether a program is in `PATH`.
pub(crate) fn installed(program: &str) -> bool {
    crate::in_path(program).is_some()
}

/// A folder for configurations, logs and the compile cache, gone at the end.
pub(crate) struct Room(pub(crate) PathBuf);

impl Room {
    pub(crate) fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("sluicegate-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        let room = Self(path);
        room.make_certificate()?;
        Ok(room)
    }

    /// A key and a certificate of its own, for all proxies the same.
    fn make_certificate(&self) -> Outcome<()> {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .arg("-keyout")
            .arg(self.0.join("key.pem"))
            .arg("-out")
            .arg(self.0.join("cert.pem"))
            .stderr(Stdio::null())
            .status()?;
        if made.success() {
            Ok(())
        } else {
            Err("openssl can't make a certificate".into())
        }
    }

    /// Writes a file into it.
    pub(crate) fn file(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Left-overs in a folder for temporary files harm nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that is free at this moment.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

/// A command that will run on one core.
pub(crate) fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    if installed("taskset") {
        // taskset becomes the program: the process identifier stays.
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// A process and its children. Ended when it is dropped, also by a panic.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its output in a file of the room.
    pub(crate) fn start(mut command: Command, room: &Room, name: &str) -> Outcome<Self> {
        let log = room.0.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{name} can't be started: {error}"))?;
        Ok(Self { child, log })
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// It and all below it.
    fn tree(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = tree.get(next).copied() {
            tree.extend(children.remove(&pid).unwrap_or_default());
            next += 1;
        }
        tree
    }

    /// Processor time that it and its children have used so far, seconds: user and system.
    pub(crate) fn cpu(&self) -> f64 {
        let ticks: u64 = self
            .tree()
            .into_iter()
            .filter_map(stat)
            .filter_map(|fields| {
                Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
            })
            .sum();
        // USER_HZ is 100 on every Linux that this runs on.
        ticks as f64 / 100.0
    }

    /// Resident memory, and the share of it that is counted once where processes share it, MiB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let mut sum = (0.0, 0.0);
        for pid in self.tree() {
            let rollup =
                fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            sum.0 += kib(&rollup, "Rss:") / 1024.0;
            sum.1 += kib(&rollup, "Pss:") / 1024.0;
        }
        sum
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree();
        signal("TERM", &tree[..1]);
        let limit = Instant::now() + Duration::from_secs(2);
        while self.runs() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nothing is lost where it has ended by itself. A child that outlives its parent is found by its identifier.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let left: Vec<u32> = tree[1..]
            .iter()
            .copied()
            .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
            .collect();
        if !left.is_empty() {
            signal("KILL", &left);
        }
    }
}

fn signal(name: &str, processes: &[u32]) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .args(processes.iter().map(ToString::to_string))
        .stderr(Stdio::null())
        .status();
}

/// The fields of `/proc/PID/stat` after the program's name, which may itself have blanks and brackets.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = text.rsplit_once(')')?.1;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn kib(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(f64::NAN)
}
