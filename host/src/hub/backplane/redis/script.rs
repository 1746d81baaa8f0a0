//! What runs in Redis.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

/// A script, which is sent once for each connection and then called by its digest.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: String,
    pub(super) digest: String,
}

/// All that there are.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) publish: Script,
    pub(super) look: Script,
    pub(super) touch: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        const OPEN: &str = include_str!("open.lua");
        Self {
            publish: Script::new(format!("{OPEN}{}", include_str!("publish.lua"))),
            look: Script::new(format!("{OPEN}{}", include_str!("look.lua"))),
            touch: Script::new(include_str!("touch.lua").to_owned()),
        }
    }

    pub(super) fn all(&self) -> [&Script; 3] {
        [&self.publish, &self.look, &self.touch]
    }
}

impl Script {
    fn new(text: String) -> Self {
        let bytes = Sha1::digest(text.as_bytes());
        let mut digest = String::with_capacity(40);
        for byte in bytes {
            let _ = write!(digest, "{byte:02x}");
        }
        Self { text, digest }
    }
}
