//! Names become addresses, without a worker ever waiting for a thread, and with the lifetimes that their zones give them.
//!
//! One thread resolves for all workers and health checks: there is one look-up at a time for each name, however many wait
//! for it, and one answer that all of them use. A worker reads it from memory; it waits only where nothing is known.
//!
//! - an answer is used until its lifetime ends, and looked up again shortly before that as long as the name is in use
//! - where the servers fail, the last answer is used on for [`Lifetimes::stale`]
//! - "there is no such name" is believed briefly
//! - nothing that a server says makes more than [`answer::MOST_ADDRESSES`] addresses, or more than one look-up a
//!   [`Lifetimes::min`]
//!
//! - [`name`]: a name, and how it is kept up with
//! - [`answer`]: its addresses and their order
//! - [`lookup`]: the hosts file and name servers

mod answer;
mod lookup;
mod name;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

pub use answer::Answer;
pub use lookup::NotFound;
use lookup::System;
pub use name::Name;
use name::{Known, Shared};

use super::clock::Runtime;
use crate::config;
use crate::side_thread::SideThread;

/// See the module's documentation. It goes on as long as it or one of its names is there.
#[derive(Debug)]
pub struct Resolver {
    settings: config::Resolver,
    names: Mutex<HashMap<String, Weak<Name>>>,
    thread: OnceLock<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    orders: mpsc::UnboundedSender<Order>,
    _running: SideThread,
}

/// A name to follow.
type Order = (Arc<Shared>, watch::Sender<Known>);

/// How long answers are used.
#[derive(Debug, Clone, Copy)]
struct Lifetimes {
    min: Duration,
    max: Duration,
    /// After its lifetime, where there is no newer one.
    stale: Duration,
}

impl Lifetimes {
    /// What is made of a lifetime that a server says: one of 0 would mean a look-up for each connection, one of many years that
    /// the name can never move.
    fn of(&self, said: Duration) -> Duration {
        said.max(self.min).min(self.max)
    }
}

impl Resolver {
    /// Nothing is started before there is a name.
    pub fn new(settings: config::Resolver) -> Arc<Self> {
        Arc::new(Self {
            settings,
            names: Mutex::default(),
            thread: OnceLock::new(),
        })
    }

    /// What it was made of.
    pub fn settings(&self) -> &config::Resolver {
        &self.settings
    }

    /// A name, which is looked up when it is asked for. Capital letters make no difference (RFC 4343).
    pub fn name(self: &Arc<Self>, host: &str) -> Arc<Name> {
        let host = host.to_ascii_lowercase();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(&host).and_then(Weak::upgrade) {
            return name;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let (name, shared, known) = Name::new(&host, Arc::clone(self));
        let name = Arc::new(name);
        names.insert(host, Arc::downgrade(&name));
        // Without a thread nobody answers, which the name tells to whoever asks.
        let thread = self.thread.get_or_init(|| self.start());
        if let Some(thread) = thread {
            let _ = thread.orders.send((shared, known));
        }
        name
    }

    fn start(&self) -> Option<Thread> {
        let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
        let settings = self.settings.clone();
        let work = |mut stopped: crate::side_thread::Stopped| async move {
            let lifetimes = Lifetimes {
                min: settings.min_ttl,
                max: settings.max_ttl,
                stale: settings.stale,
            };
            let system = Rc::new(System::new(settings));
            loop {
                tokio::select! {
                    order = ordered.recv() => {
                        let Some((shared, known)) = order else { return };
                        let system = Rc::clone(&system);
                        spawn_local(async move {
                            name::follow(shared, known, &*system, &Runtime, &lifetimes).await;
                        });
                    }
                    () = stopped.wait() => return,
                }
            }
        };
        SideThread::start("names", work)
            .inspect_err(|error| tracing::error!("names can't be resolved: {error}"))
            .ok()
            .map(|running| Thread {
                orders,
                _running: running,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_had_already_is_the_same_one() {
        let resolver = Resolver::new(config::Resolver::default());
        let name = resolver.name("App.test");
        assert!(Arc::ptr_eq(&name, &resolver.name("app.TEST")));
        assert!(!Arc::ptr_eq(&name, &resolver.name("other.test")));
        drop(name);
        assert_eq!(resolver.name("app.test").host(), "app.test");
        assert!(resolver.names.lock().unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn localhost_needs_no_server() {
        let settings = config::Resolver {
            nameservers: vec![([127, 0, 0, 1], 1).into()],
            ..config::Resolver::default()
        };
        let name = Resolver::new(settings).name("localhost");
        let answer = name.answer().await.unwrap();
        assert!(answer.contains([127, 0, 0, 1].into()));
        assert!(name.leads_to([127, 0, 0, 1].into()) && !name.leads_to([127, 0, 0, 9].into()));
        assert_eq!(name.generation(), answer.generation());
    }
}
