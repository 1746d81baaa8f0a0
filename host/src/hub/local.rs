//! One worker's side of a hub: its clients and their rooms, and the task that hands them what other workers, and this
//! one, send. It lives through reloads.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::client::Client;
use super::codes;
use super::delivery::{Delivery, Inbox, Letters, Serial};
use super::hooks::Hooks;
use super::room::Room;
use super::shared::Shared;
use crate::websocket::close::Close;

/// Deliveries between two looks at other work: the more there are, the more frames go into one write.
const AT_ONCE: usize = 64;
/// What one read takes at most. Shared by all connections of the hub on a worker.
const INPUT: usize = 64 * 1024;
/// How often rooms without anybody in them are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug)]
pub struct Local {
    worker: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) clients: RefCell<HashMap<Serial, Rc<Client>>>,
    pub(super) rooms: RefCell<HashMap<Arc<str>, Rc<Room>>>,
    /// Room for one read.
    pub(super) input: RefCell<Box<[u8]>>,
    /// Room for one write.
    pub(super) output: RefCell<Vec<u8>>,
    /// What decides about clients and their messages, in the newest configuration: who mends a plugin, or lists one, means
    /// also those who are connected already. `None`: the hub alone.
    hooks: RefCell<Option<Rc<dyn Hooks>>>,
    is_ending: Cell<bool>,
}

impl Local {
    /// Has to be called on the worker's thread, within its runtime.
    pub(super) fn start(worker: usize, shared: &Arc<Shared>) -> Rc<Self> {
        let (inbox, letters) = Inbox::new();
        shared.directory.open(worker, inbox);
        let local = Rc::new(Self {
            worker,
            shared: Arc::clone(shared),
            clients: RefCell::default(),
            rooms: RefCell::default(),
            input: RefCell::new(vec![0; INPUT].into_boxed_slice()),
            output: RefCell::default(),
            hooks: RefCell::default(),
            is_ending: Cell::new(false),
        });
        tokio::task::spawn_local(receive(Rc::downgrade(&local), letters));
        if worker == 0 {
            tokio::task::spawn_local(sweep(Rc::downgrade(&local)));
        }
        local
    }

    /// From now on these decide.
    pub(super) fn decide_by(&self, hooks: Option<Rc<dyn Hooks>>) {
        self.hooks.replace(hooks);
    }

    /// What decides now.
    pub(super) fn hooks(&self) -> Option<Rc<dyn Hooks>> {
        self.hooks.borrow().clone()
    }

    /// Whether no more clients are taken.
    pub fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// Ends all connections, spread over this time: who connects again shall not do so with all others at once.
    pub(super) fn end(&self, close: &Close, within: Duration) {
        self.is_ending.set(true);
        for client in self.clients.borrow().values() {
            let client = Rc::downgrade(client);
            let close = close.clone();
            let after = within.mul_f64(rand::random());
            if within.is_zero() {
                if let Some(client) = client.upgrade() {
                    client.end(close);
                }
                continue;
            }
            tokio::task::spawn_local(async move {
                tokio::time::sleep(after).await;
                if let Some(client) = client.upgrade() {
                    client.end(close);
                }
            });
        }
    }

    /// The gateway stops.
    pub fn drain(&self, grace: Duration) {
        self.end(&codes::SHUTDOWN, (grace / 2).min(Duration::from_secs(10)));
    }

    /// A reload has put another hub, or none, in its place.
    pub fn replace(&self) {
        self.end(&codes::REPLACED, Duration::from_secs(2));
    }

    pub(super) fn admit(&self, client: &Rc<Client>) {
        let directory = &self.shared.directory;
        directory.arrive(self.worker, &client.id, client.serial);
        let mut clients = self.clients.borrow_mut();
        clients.insert(client.serial, Rc::clone(client));
    }

    /// Puts a client into a room, where it gets nothing until it is settled.
    pub(super) fn enter(&self, client: &Rc<Client>, name: &Arc<str>, watches: bool) -> Rc<Room> {
        let mut rooms = self.rooms.borrow_mut();
        let room = rooms.entry(Arc::clone(name)).or_insert_with(|| {
            self.shared.directory.occupy(self.worker, name);
            Rc::new(Room::new(Arc::clone(name)))
        });
        room.enter(client, watches);
        Rc::clone(room)
    }

    /// Takes a client out of a room; whether it watched, if it was in.
    pub(super) fn leave(&self, client: &Client, room: &Room) -> Option<bool> {
        let watched = room.leave(client);
        if room.is_empty() {
            let mut rooms = self.rooms.borrow_mut();
            if rooms.remove(&room.name).is_some() {
                self.shared.directory.vacate(self.worker, &room.name);
            }
        }
        watched
    }

    /// A client has gone: it is in no room any more.
    pub(super) fn dismiss(&self, client: &Client) {
        let rooms: Vec<Rc<Room>> = client
            .rooms
            .borrow()
            .iter()
            .map(|(room, _)| Rc::clone(room))
            .collect();
        for room in rooms {
            if let Some(watched) = self.leave(client, &room) {
                self.shared.backplane.leave(&room.name, &client.id, watched);
            }
        }
        self.shared.directory.depart(&client.id, client.serial);
        self.clients.borrow_mut().remove(&client.serial);
    }

    fn deliver(self: &Rc<Self>, delivery: Delivery) {
        match delivery {
            Delivery::Room {
                room,
                audience,
                offset,
                frame,
            } => {
                let room = self.rooms.borrow().get(&room).map(Rc::clone);
                if let Some(room) = room {
                    room.deliver(audience, offset, &frame);
                }
            }
            Delivery::Gap {
                room,
                offset,
                frame,
            } => {
                let room = self.rooms.borrow().get(&room).map(Rc::clone);
                if let Some(room) = room {
                    room.skip_to(offset, frame.as_ref());
                }
            }
            Delivery::Everyone(frame) => {
                for client in self.clients.borrow().values() {
                    client.send(&frame);
                }
            }
            Delivery::Client(serial, frame) => {
                if let Some(client) = self.clients.borrow().get(&serial) {
                    client.send(&frame);
                }
            }
            Delivery::Close(serial, close) => {
                if let Some(client) = self.clients.borrow().get(&serial) {
                    client.end(close);
                }
            }
            Delivery::Announce(room) => self.shared.backplane.announce(&room),
            Delivery::Ask(question) => (question.0)(self),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shared.directory.shut(self.worker);
    }
}

async fn receive(local: Weak<Local>, mut letters: Letters) {
    let mut deliveries = Vec::with_capacity(AT_ONCE);
    while letters.next(&mut deliveries, AT_ONCE).await > 0 {
        let Some(local) = local.upgrade() else {
            return;
        };
        for delivery in deliveries.drain(..) {
            local.deliver(delivery);
        }
        drop(local);
        // The connections that have got something write it now.
        tokio::task::yield_now().await;
    }
}

async fn sweep(local: Weak<Local>) {
    let mut interval = tokio::time::interval(SWEEP);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(local) = local.upgrade() else {
            return;
        };
        local.shared.backplane.sweep(Instant::now().into_std());
    }
}
