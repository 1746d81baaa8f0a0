//! A name, and the task that keeps up with where it leads.
//!
//! ```text
//!   at rest ── somebody asks ──▶ looked up ──▶ answer ──(most of its lifetime later, still in use)──▶ looked up ──▶ …
//!      ▲                             │            │
//!      │                             │            └─ not used for a minute: at rest; the next one who asks waits for a new answer
//!      │                             └─ no answer: the last one goes on to be used (stale), or it is an error for a moment
//!      └─────────── both end here where nobody asks any more
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::answer::Answer;
use super::lookup::{Lookup, NotFound};
use super::{Lifetimes, Resolver};
use crate::upstream::connect::clock::Clock;

/// How long a name that nobody asks for is kept fresh: its lifetime or this, whichever is longer.
const IN_USE: Duration = Duration::from_mins(1);

/// Who asks for a name at rest waits this long for a new answer; then the old one is used while it is looked for
/// (RFC 8767, section 5, the client response timer; shorter here, since a connection is to be made in that time as well).
const PATIENCE: Duration = Duration::from_millis(500);

/// How long one look-up may take, with all its servers, search domains and attempts.
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after a look-up that failed, where an old answer is used meanwhile...
const STALE_PAUSE: Duration = Duration::from_secs(5);
/// ...and where there is none.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// How long "there is no such name" is believed, at most. What the zone says for it (RFC 2308) is often an hour, and
/// a name that somebody has put in a gateway's configuration is expected to come.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(30);

/// A name that connections are made to. All who use the same name of the same resolver have the same one.
pub struct Name {
    shared: Arc<Shared>,
    known: watch::Receiver<Known>,
    /// Its thread has the task.
    _resolver: Arc<Resolver>,
}

/// What the task and those who ask have in common.
pub(super) struct Shared {
    pub(super) host: Arc<str>,
    /// Whether the name was asked for since the task looked at this.
    is_used: AtomicBool,
    /// Wakes the task from its rest.
    wake: Notify,
    /// Counts connections, so that each begins with another address.
    turn: AtomicUsize,
    /// See [`Name::generation`].
    generation: AtomicU64,
}

/// What is known of a name.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// What was found last; empty where the last thing that was heard is that there is no such name.
    last: Option<Arc<Answer>>,
    standing: Standing,
}

/// What who asks for a name gets.
#[derive(Debug, Clone, Default)]
enum Standing {
    /// Nothing yet: it has to be looked up.
    #[default]
    Open,
    /// The last answer.
    Usable,
    /// Nothing.
    Failed(NotFound),
}

impl Name {
    pub(super) fn new(
        host: &str,
        resolver: Arc<Resolver>,
    ) -> (Self, Arc<Shared>, watch::Sender<Known>) {
        let shared = Arc::new(Shared {
            host: host.into(),
            is_used: AtomicBool::new(false),
            wake: Notify::new(),
            turn: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
        });
        let (sender, known) = watch::channel(Known::default());
        let name = Self {
            shared: Arc::clone(&shared),
            known,
            _resolver: resolver,
        };
        (name, shared, sender)
    }

    /// As it stands in the configuration, in small letters.
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    /// Where it leads, now or as soon as that is known. Without a limit of time.
    ///
    /// # Errors
    /// That it leads nowhere, or that nobody can tell.
    pub async fn answer(&self) -> Result<Arc<Answer>, NotFound> {
        let mut known = self.known.clone();
        loop {
            self.keep_fresh();
            {
                let known = known.borrow_and_update();
                match (&known.standing, &known.last) {
                    (Standing::Usable, Some(answer)) => return Ok(Arc::clone(answer)),
                    (Standing::Failed(error), _) => return Err(error.clone()),
                    _ => {}
                }
            }
            if known.changed().await.is_err() {
                return Err(NotFound::Failed("names are not resolved any more".into()));
            }
        }
    }

    /// Keeps the name fresh. To be called whenever a connection to one of its addresses is used.
    pub fn keep_fresh(&self) {
        // Most often it is known already, and then nothing is written that other workers read.
        if !self.shared.is_used.load(Ordering::Relaxed) {
            self.shared.is_used.store(true, Ordering::Release);
            self.shared.wake.notify_one();
        }
    }

    /// Whether it is being looked up, and nothing is known of it until that is done.
    pub fn is_awaited(&self) -> bool {
        matches!(self.known.borrow().standing, Standing::Open)
    }

    /// The number of the last answer; 0 as long as there is none.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Whether an address is one of the last answer's. All are as long as there is none.
    pub fn leads_to(&self, ip: IpAddr) -> bool {
        let known = self.known.borrow();
        known.last.as_ref().is_none_or(|last| last.contains(ip))
    }

    /// A number for each connection; see [`Answer::in_order`].
    pub fn next_turn(&self) -> usize {
        self.shared.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// By what it is called: another resolver may give another answer, but it is meant to be the same target.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.host() == other.host()
    }
}

impl Eq for Name {}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Name")
            .field("host", &self.shared.host)
            .field("known", &*self.known.borrow())
            .finish_non_exhaustive()
    }
}

/// Keeps up with a name until nobody has it any more.
pub(super) async fn follow(
    shared: Arc<Shared>,
    known: watch::Sender<Known>,
    lookup: &impl Lookup,
    clock: &impl Clock,
    lifetimes: &Lifetimes,
) {
    let following = Following {
        shared: &shared,
        known: &known,
        lookup,
        clock,
        lifetimes,
    };
    tokio::select! {
        () = following.run() => {}
        () = known.closed() => {}
    }
}

struct Following<'a, L, C> {
    shared: &'a Shared,
    known: &'a watch::Sender<Known>,
    lookup: &'a L,
    clock: &'a C,
    lifetimes: &'a Lifetimes,
}

/// The use of an answer whose lifetime is over.
struct Stale {
    /// How long that may go on.
    until: Instant,
    /// Whether it is in the log already.
    is_told: bool,
}

/// What comes after a look-up.
struct Next {
    /// When it is looked up again if the name is in use.
    refresh: Duration,
    /// How long what it brought may be used.
    lifetime: Duration,
}

impl<L: Lookup, C: Clock> Following<'_, L, C> {
    async fn run(&self) {
        let mut stale = Stale {
            until: self.clock.now(),
            is_told: false,
        };
        let mut used = self.clock.now();
        self.rest().await;
        loop {
            let next = self.look_up(&mut stale).await;
            let found = self.clock.now();
            self.clock.sleep(next.refresh).await;
            if self.take_used() {
                used = self.clock.now();
            }
            if (self.clock.now() - used) < next.lifetime.max(IN_USE) && self.is_usable() {
                continue;
            }
            self.clock
                .sleep((found + next.lifetime).saturating_duration_since(self.clock.now()))
                .await;
            // Errors are not looked after: who asks next has it looked up.
            self.known
                .send_modify(|known| known.standing = Standing::Open);
            self.rest().await;
            used = self.clock.now();
        }
    }

    /// Waits until somebody asks.
    async fn rest(&self) {
        while !self.take_used() {
            self.shared.wake.notified().await;
        }
    }

    fn take_used(&self) -> bool {
        self.shared.is_used.swap(false, Ordering::Acquire)
    }

    fn is_usable(&self) -> bool {
        matches!(self.known.borrow().standing, Standing::Usable)
    }

    async fn look_up(&self, stale: &mut Stale) -> Next {
        let host = &*self.shared.host;
        let mut looking = std::pin::pin!(self.clock.within(LONGEST, self.lookup.look_up(host)));
        let found = tokio::select! {
            found = &mut looking => found,
            () = self.clock.sleep(PATIENCE) => {
                self.use_stale(stale.until);
                looking.await
            }
        };
        let last = self.known.borrow().last.clone();
        let error = match found {
            Some(Ok(found)) => {
                let answer = Answer::following(found.addresses, last.as_ref());
                if !answer.is_empty() {
                    let lifetime = self.lifetimes.of(found.lifetime);
                    *stale = Stale {
                        until: self.clock.now() + lifetime + self.lifetimes.stale,
                        is_told: false,
                    };
                    if last.is_some_and(|last| !Arc::ptr_eq(&last, &answer)) {
                        tracing::info!(name = host, "a name leads to other addresses");
                    }
                    self.publish(answer, Standing::Usable);
                    return Next {
                        refresh: lifetime.mul_f64(0.8),
                        lifetime,
                    };
                }
                NotFound::None(
                    "its addresses are none that can be connected to".into(),
                    found.lifetime,
                )
            }
            Some(Err(error)) => error,
            None => NotFound::Timeout,
        };
        if let NotFound::None(_, lifetime) = &error {
            // The name is gone, which is an answer (RFC 8767, section 4).
            let lifetime = self.lifetimes.of(*lifetime).min(LONGEST_NEGATIVE);
            if last.as_ref().is_some_and(|last| !last.is_empty()) {
                tracing::warn!(name = host, "a name is gone: {error}");
            }
            let answer = Answer::following([], last.as_ref());
            self.publish(answer, Standing::Failed(error));
            return Next {
                refresh: lifetime,
                lifetime,
            };
        }
        let pause = if self.use_stale(stale.until) {
            if !std::mem::replace(&mut stale.is_told, true) {
                tracing::warn!(
                    name = host,
                    "the last answer for a name is used on: {error}"
                );
            }
            STALE_PAUSE
        } else {
            let standing = Standing::Failed(error);
            self.known.send_modify(|known| known.standing = standing);
            FAILED_PAUSE
        };
        Next {
            refresh: pause,
            lifetime: pause,
        }
    }

    /// Has the last answer used, if there is one and it is not too old.
    fn use_stale(&self, until: Instant) -> bool {
        let is_there = self
            .known
            .borrow()
            .last
            .as_ref()
            .is_some_and(|last| !last.is_empty());
        let can = is_there && self.clock.now() < until;
        if can && !self.is_usable() {
            self.known
                .send_modify(|known| known.standing = Standing::Usable);
        }
        can
    }

    fn publish(&self, answer: Arc<Answer>, standing: Standing) {
        let generation = answer.generation();
        self.known.send_modify(|known| {
            // Who sees the number sees the answer as well.
            self.shared.generation.store(generation, Ordering::Release);
            *known = Known {
                last: Some(answer),
                standing,
            };
        });
    }
}

#[cfg(test)]
mod tests;
