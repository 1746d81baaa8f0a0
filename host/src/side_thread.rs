//! Work that goes on beside the workers, on a thread and a runtime of its own, so that it never delays one of them.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::LocalOptions;
use tokio::sync::watch;

/// Those that have been told to end and have not been waited for.
static ENDING: Mutex<Vec<SideThread>> = Mutex::new(Vec::new());

/// A thread that ends when this is dropped, which waits for it.
#[derive(Debug)]
pub struct SideThread {
    name: &'static str,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the work of a [`SideThread`] to end.
#[derive(Debug)]
pub struct Stopped(watch::Receiver<bool>);

impl Stopped {
    /// Waits until it is to end.
    pub async fn wait(&mut self) {
        // An error means that nobody is left to say so.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

impl SideThread {
    /// Starts a thread of this name. Its work is to come to an end soon after [`Stopped::wait`] has; the tasks that it has spawned,
    /// blocking ones too, are not waited for.
    ///
    /// # Errors
    /// No thread. That there is no runtime is in the log.
    pub fn start<W: Future<Output = ()>>(
        name: &'static str,
        work: impl FnOnce(Stopped) -> W + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => {
                        runtime.block_on(work(Stopped(stopped)));
                        runtime.shutdown_background();
                    }
                    Err(error) => tracing::error!("{name} does not run: {error}"),
                }
            })?;
        Ok(Self {
            name,
            stop,
            thread: Some(thread),
        })
    }

    /// Tells it to end and does not wait, where waiting would hold up others: [`wait_for_ending`] does.
    pub fn end_later(self) {
        self.stop.send_replace(true);
        let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
        ending.retain(|other| {
            other
                .thread
                .as_ref()
                .is_some_and(|thread| !thread.is_finished())
        });
        ending.push(self);
    }
}

/// Waits for all threads that were to [end later](SideThread::end_later): before the process ends, which would cut them short.
pub fn wait_for_ending() {
    let ending = std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner));
    // Outside of the lock.
    drop(ending);
}

impl Drop for SideThread {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("{} has panicked", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn dropping_it_ends_its_work_and_waits_for_that() {
        let (say, said) = mpsc::channel();
        let thread = SideThread::start("test", |mut stopped| async move {
            let _ = say.send("begun");
            stopped.wait().await;
            let _ = say.send("ended");
        });
        assert_eq!(said.recv(), Ok("begun"));
        assert_eq!(said.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(thread);
        assert_eq!(said.try_recv(), Ok("ended"));
    }

    #[test]
    fn one_that_ends_later_is_waited_for_when_that_is_asked() {
        let (say, said) = mpsc::channel();
        let (go, goes) = tokio::sync::oneshot::channel();
        let thread = SideThread::start("test", |mut stopped| async move {
            stopped.wait().await;
            let gone = tokio::time::timeout(Duration::from_secs(5), goes).await;
            if gone.is_ok() {
                let _ = say.send("ended");
            }
        });
        thread.unwrap().end_later();
        // It waits for this, and would not get it if the line above had waited for it.
        let _ = go.send(());
        wait_for_ending();
        assert_eq!(said.try_recv(), Ok("ended"));
    }
}
