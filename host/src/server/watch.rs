//! Reloads the configuration when its file, or one of its components, changes.
//!
//! The files are looked at once a second. That works where notifications do not: over network file systems, and
//! where an orchestrator swaps a symbolic link. A change is taken up when two looks in a row have seen the same,
//! so that a file is not read while it is being written; a configuration that is refused is not tried again before
//! something changes: the files that it names are looked at as well, so that one that was missing may come later.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::reload::Running;
use crate::side_thread::{SideThread, Stopped};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a look at a file sees; `None` where there is none.
pub(super) type Sight = Option<(SystemTime, u64, u64)>;

/// What is there now.
pub(super) fn look(files: Vec<PathBuf>) -> Vec<(PathBuf, Sight)> {
    let see = |path: PathBuf| {
        let sight = std::fs::metadata(&path)
            .ok()
            .and_then(|file| Some((file.modified().ok()?, file.len(), file.ino())));
        (path, sight)
    };
    files.into_iter().map(see).collect()
}

/// Starts to look, at what is there now, until the thread is dropped.
///
/// # Errors
/// No thread.
pub fn start(running: Arc<Running>) -> std::io::Result<SideThread> {
    // Before there is a thread: what changes while it starts is a change.
    let served = look(running.files());
    SideThread::start("watch", |stopped| watch(running, served, stopped))
}

async fn watch(running: Arc<Running>, mut served: Vec<(PathBuf, Sight)>, mut stopped: Stopped) {
    let mut before = served.clone();
    while timeout(INTERVAL, stopped.wait()).await.is_err() {
        let now = look(running.files());
        let is_settled = now == before;
        before.clone_from(&now);
        if now != served && is_settled {
            // Whatever comes of it is in the log, and counted. This thread has nothing else to do meanwhile.
            let _ = running.reload();
            // The new configuration may name other files: those as they are now, the old ones as they were read, and those of a
            // refused one as they were when it was tried.
            served = look(running.files());
            let refused = running.refused();
            for (path, sight) in &mut served {
                let mut read = now.iter().chain(&refused);
                if let Some((_, seen)) = read.find(|(seen, _)| seen == path) {
                    *sight = *seen;
                }
            }
            before.clone_from(&served);
        }
    }
}
