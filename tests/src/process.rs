//! The gateway's binary in a process of its own.

use std::ffi::OsStr;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use crate::wait::wait_until;

/// A running process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

/// A process that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit status; -1 where a signal ended the process.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// What a process has written to a stream until now.
#[derive(Debug)]
struct Captured {
    text: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Captured {
    fn new(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut space = [0; 4096];
            while let Ok(read) = stream.read(&mut space) {
                if read == 0 {
                    break;
                }
                let piece = String::from_utf8_lossy(&space[..read]);
                sink.lock().unwrap().push_str(&piece);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

impl Process {
    /// Starts the gateway's binary with these arguments.
    #[track_caller]
    pub fn gateway(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments);
        Self::start(command)
    }

    /// Starts any command, for example with variables of its own. See [`Self::binary`].
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let stdout = Captured::new(child.stdout.take().expect("a pipe"));
        let stderr = Captured::new(child.stderr.take().expect("a pipe"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// The gateway's binary, built when it is asked for first.
    pub fn binary() -> &'static Path {
        binary()
    }

    /// What it has written to standard output.
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has written to standard error.
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits for the line that says where it listens, on either stream; its first `http://` address.
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        let mut found = None;
        wait_until("the gateway says where it listens", || {
            let text = format!("{}\n{}", self.stderr(), self.stdout());
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the gateway has ended with {status}:\n{text}");
            }
            found = address_in(&text);
            found.is_some()
        });
        found.expect("an address")
    }

    /// Sends a signal: "TERM", "INT".
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .expect("kill");
        assert!(status.success());
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Finished {
        let mut status = None;
        let what = format!("the process ends; it has written {:?}", self.stderr());
        wait_until(&what, || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        Finished {
            status: status.expect("an end"),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first whole `http://ADDRESS:PORT` of a text.
fn address_in(text: &str) -> Option<SocketAddr> {
    // A line that is not ended may be half a port.
    let (whole, _) = text.rsplit_once('\n')?;
    whole.split("http://").skip(1).find_map(|rest| {
        let end = rest
            .find(|byte: char| !byte.is_ascii_hexdigit() && !".:[]".contains(byte))
            .unwrap_or(rest.len());
        rest[..end].trim_end_matches(['.', ':']).parse().ok()
    })
}

/// Whether a file is newer than all that the gateway is built from.
fn is_newer_than_sources(file: &Path) -> bool {
    let modified = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    let Some(built) = modified(file) else {
        return false;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut left: Vec<PathBuf> = ["host", "plugins", "wit", "Cargo.toml", "Cargo.lock"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                path.read_dir()
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path()),
            );
        } else if modified(&path).is_none_or(|modified| modified > built) {
            return false;
        }
    }
    true
}

fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // TARGET/PROFILE/deps/TEST: the folder that these tests were built into, so that nothing is
        // built twice.
        let test = std::env::current_exe().expect("a path");
        let profile = test.ancestors().nth(2).expect("a folder of the profile");
        let target = profile.parent().expect("a target folder");
        // `cargo test` of the whole workspace has built it already. Building it alone would choose
        // other features for some dependencies, and compile wasmtime once more.
        let built = profile.join("sluicegate");
        if is_newer_than_sources(&built) {
            return built;
        }
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["build", "--package", "sluicegate", "--bin", "sluicegate"])
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            command.arg("--release");
        }
        let output = command.output().expect("cargo runs");
        assert!(
            output.status.success(),
            "the gateway does not build: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        profile.join("sluicegate")
    })
}
