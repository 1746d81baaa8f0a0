//! A Redis that can be killed, paused and brought back.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::wait::wait_until;

/// A redis-server of its own, on a free port, which keeps nothing when it ends. Killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    address: SocketAddr,
    child: Option<Child>,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// Starts one and waits until it can be connected to.
    #[track_caller]
    pub fn start() -> Self {
        let mut server = Self::absent();
        server.bring_back();
        server
    }

    /// Not there yet: see [`Self::bring_back`].
    pub fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self {
            address: listener.local_addr().expect("an address"),
            child: None,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Starts it again, empty, where it was.
    #[track_caller]
    pub fn bring_back(&mut self) {
        self.bring_back_with(&[]);
    }

    /// As [`Self::bring_back`], with more arguments of redis-server.
    #[track_caller]
    pub fn bring_back_with(&mut self, arguments: &[&str]) {
        let port = self.address.port().to_string();
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port, "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("redis-server (Debian's package of that name) has to be installed: {error}")
        });
        self.child = Some(child);
        wait_until("redis-server is there", || {
            TcpStream::connect(self.address).is_ok()
        });
    }

    /// Kills it; what it knew is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Has it do a command, and returns what it prints.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.address.port().to_string()])
            .args(words)
            .output()
            .expect("redis-cli (Debian's package redis-tools) has to be installed");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sends a signal: "STOP", "CONT".
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(child.id().to_string())
            .status()
            .expect("kill");
        assert!(status.success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
