//! A target that can be killed and paused.

use std::net::SocketAddr;

use crate::process::Process;
use crate::upstream::Upstream;

/// A target in a process of its own: another gateway in front of a server in this process. Killed when dropped.
#[derive(Debug)]
pub struct TargetProcess {
    process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl TargetProcess {
    /// Starts one on a free port.
    #[track_caller]
    pub fn start(upstream: &Upstream) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), upstream)
    }

    /// Starts one at this address; port 0 is a free one.
    #[track_caller]
    pub fn start_at(address: SocketAddr, upstream: &Upstream) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("target.toml");
        let text = format!(
            "[server]\nworkers = 1\n[[listeners]]\naddress = \"{address}\"\n[upstreams.a]\ntargets = [{{ url = \"{}\" }}]\n[[routes]]\npath = \"/{{*rest}}\"\nupstream = \"a\"\n",
            upstream.url()
        );
        std::fs::write(&file, text).expect("a file");
        let arguments = ["run".as_ref(), "--config".as_ref(), file.as_os_str()];
        let mut process = Process::gateway(arguments);
        let address = process.address();
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a signal: "TERM", "KILL", "STOP".
    #[track_caller]
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Ends it, as soon as it has finished what it has begun.
    #[track_caller]
    pub fn stop(self) {
        self.process.signal("TERM");
        let _ = self.process.wait();
    }
}
