//! An upstream at a unix socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::wait::LIMIT;

/// Answers requests without bodies as its script says; what comes behind a 101 it sends back. Its socket is in a folder of its
/// own, and gone when this is dropped.
#[derive(Debug)]
pub struct UnixUpstream {
    folder: tempfile::TempDir,
    heads: Arc<Mutex<Vec<String>>>,
}

impl UnixUpstream {
    /// Starts one; the script makes an answer's bytes of a request's head.
    pub fn start(script: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let upstream = Self {
            folder,
            heads: Arc::default(),
        };
        let listener = UnixListener::bind(upstream.path()).expect("a socket");
        let heads = Arc::clone(&upstream.heads);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (heads, script) = (Arc::clone(&heads), Arc::clone(&script));
                std::thread::spawn(move || serve(&mut stream.unwrap(), &heads, &*script));
            }
        });
        upstream
    }

    /// Where its socket is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("app.sock")
    }

    /// The same as a target's URL.
    pub fn url(&self) -> String {
        format!("unix:{}", self.path().display())
    }

    /// The heads of all requests that have come.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(stream: &mut UnixStream, heads: &Mutex<Vec<String>>, script: impl Fn(&str) -> String) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        heads.lock().unwrap().push(head.clone());
        let answer = script(&head);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if answer.starts_with("HTTP/1.1 101") {
            let mut echoed = stream.try_clone().unwrap();
            let _ = std::io::copy(&mut echoed, stream);
            return;
        }
    }
}
