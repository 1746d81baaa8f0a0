//! Who is where: which workers have clients in a room, on which worker a client is, how many connections there are. One
//! for all workers of a hub, looked at once for each message and not once for each receiver.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::delivery::{Audience, Delivery, Inbox, Serial};
use crate::websocket::close::Close;
use crate::websocket::frame::Frame;
use crate::websocket::handshake::Refusal;

const SHARDS: usize = 16;

/// A map in pieces, each under a lock of its own.
#[derive(Debug)]
pub(super) struct Sharded<V> {
    hasher: RandomState,
    shards: [Mutex<HashMap<Arc<str>, V>>; SHARDS],
}

impl<V> Default for Sharded<V> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
        }
    }
}

impl<V> Sharded<V> {
    /// The piece that a key is in.
    pub(super) fn of(&self, key: &str) -> MutexGuard<'_, HashMap<Arc<str>, V>> {
        let number = self.hasher.hash_one(key) as usize % SHARDS;
        // The number is below the length, so there is one; the first stands in for what the types don't say.
        let [first, ..] = &self.shards;
        let shard = self.shards.get(number).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All pieces, one after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, HashMap<Arc<str>, V>>> {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Directory {
    inboxes: RwLock<Vec<Option<Inbox>>>,
    /// For each room the workers that have clients in it.
    rooms: Sharded<Vec<usize>>,
    /// For each client the places of its connections.
    clients: Sharded<Vec<(usize, Serial)>>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    connections: AtomicUsize,
    serial: AtomicU64,
}

/// A connection's place among those that there may be; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    directory: Arc<Directory>,
    address: IpAddr,
}

impl Directory {
    /// A worker is there, and is told things through this. In place of its earlier inbox, if it had one.
    pub fn open(&self, worker: usize, inbox: Inbox) {
        let mut inboxes = self.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        if inboxes.len() <= worker {
            inboxes.resize(worker + 1, None);
        }
        if let Some(place) = inboxes.get_mut(worker) {
            *place = Some(inbox);
        }
    }

    /// A worker has gone.
    pub fn shut(&self, worker: usize) {
        let mut inboxes = self.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = inboxes.get_mut(worker) {
            *place = None;
        }
    }

    /// A number for a connection.
    pub fn next_serial(&self) -> Serial {
        Serial(self.serial.fetch_add(1, Ordering::Relaxed))
    }

    /// A place for a connection from this address.
    ///
    /// # Errors
    /// There is none.
    pub fn take_seat(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        most_of_address: Option<usize>,
    ) -> Result<Seat, Refusal> {
        let mut addresses = self.lock_addresses();
        let of_address = addresses.get(&address).copied().unwrap_or(0);
        if most_of_address.is_some_and(|most| of_address >= most) {
            return Err(Refusal::Address);
        }
        if self.connections.load(Ordering::Relaxed) >= most {
            return Err(Refusal::Full);
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        addresses.insert(address, of_address + 1);
        Ok(Seat {
            directory: Arc::clone(self),
            address,
        })
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many rooms have somebody in them.
    pub fn rooms(&self) -> usize {
        self.rooms.all().map(|shard| shard.len()).sum()
    }

    /// How many clients there are; some may have more than one connection.
    pub fn clients(&self) -> usize {
        self.clients.all().map(|shard| shard.len()).sum()
    }

    /// A worker has its first client in a room.
    pub fn occupy(&self, worker: usize, room: &Arc<str>) {
        let mut rooms = self.rooms.of(room);
        let workers = rooms.entry(Arc::clone(room)).or_default();
        if !workers.contains(&worker) {
            workers.push(worker);
        }
    }

    /// It has none any more.
    pub fn vacate(&self, worker: usize, room: &str) {
        let mut rooms = self.rooms.of(room);
        if let Some(workers) = rooms.get_mut(room) {
            workers.retain(|other| *other != worker);
            if workers.is_empty() {
                rooms.remove(room);
            }
        }
    }

    /// A connection has come.
    pub fn arrive(&self, worker: usize, id: &Arc<str>, serial: Serial) {
        let mut clients = self.clients.of(id);
        let places = clients
            .entry(Arc::clone(id))
            .or_insert(Vec::with_capacity(1));
        places.push((worker, serial));
    }

    /// A connection has gone.
    pub fn depart(&self, id: &str, serial: Serial) {
        let mut clients = self.clients.of(id);
        if let Some(places) = clients.get_mut(id) {
            places.retain(|(_, other)| *other != serial);
            if places.is_empty() {
                clients.remove(id);
            }
        }
    }

    /// Whether all workers that have clients in a room keep up.
    pub fn has_room(&self, room: &str) -> bool {
        let rooms = self.rooms.of(room);
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        rooms.get(room).is_none_or(|workers| {
            workers
                .iter()
                .filter_map(|worker| inboxes.get(*worker)?.as_ref())
                .all(Inbox::has_room)
        })
    }

    /// Sends to everyone in a room. What one thread sends after the other arrives in that order.
    pub fn to_room(&self, room: &Arc<str>, audience: Audience, offset: Option<u64>, frame: &Frame) {
        let rooms = self.rooms.of(room);
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        let workers = rooms.get(&**room).into_iter().flatten();
        for inbox in workers.filter_map(|worker| inboxes.get(*worker)?.as_ref()) {
            inbox.send(Delivery::Room {
                room: Arc::clone(room),
                audience,
                offset,
                frame: frame.clone(),
            });
        }
    }

    /// Tells everyone in a room that messages are lost.
    pub fn gap(&self, room: &Arc<str>, offset: u64, frame: Option<&Frame>) {
        let rooms = self.rooms.of(room);
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        let workers = rooms.get(&**room).into_iter().flatten();
        for inbox in workers.filter_map(|worker| inboxes.get(*worker)?.as_ref()) {
            inbox.send(Delivery::Gap {
                room: Arc::clone(room),
                offset,
                frame: frame.cloned(),
            });
        }
    }

    /// Whether somebody is in a room.
    pub fn is_occupied(&self, room: &str) -> bool {
        self.rooms.of(room).contains_key(room)
    }

    /// Has one of the workers that are in a room tell its watchers; `false` where there is none.
    pub fn announce(&self, room: &Arc<str>) -> bool {
        let rooms = self.rooms.of(room);
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        let mut workers = rooms.get(&**room).into_iter().flatten();
        let inbox = workers.find_map(|worker| inboxes.get(*worker)?.as_ref());
        if let Some(inbox) = inbox {
            inbox.send(Delivery::Announce(Arc::clone(room)));
        }
        inbox.is_some()
    }

    /// Whether a client is connected.
    pub fn is_here(&self, id: &str) -> bool {
        self.clients.of(id).contains_key(id)
    }

    /// Sends to all connections of a client; how many there are.
    pub fn to_client(&self, id: &str, frame: &Frame) -> usize {
        self.each_place(id, |serial| Delivery::Client(serial, frame.clone()))
    }

    /// Ends all connections of a client; how many there are.
    pub fn close(&self, id: &str, close: &Close) -> usize {
        self.each_place(id, |serial| Delivery::Close(serial, close.clone()))
    }

    fn each_place(&self, id: &str, delivery: impl Fn(Serial) -> Delivery) -> usize {
        let clients = self.clients.of(id);
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (worker, serial) in clients.get(id).into_iter().flatten() {
            if let Some(Some(inbox)) = inboxes.get(*worker) {
                inbox.send(delivery(*serial));
                count += 1;
            }
        }
        count
    }

    /// Tells all workers; how many there are.
    pub fn to_workers(&self, delivery: &Delivery) -> usize {
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for inbox in inboxes.iter().flatten() {
            inbox.send(delivery.clone());
            count += 1;
        }
        count
    }

    fn lock_addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let directory = &self.directory;
        let mut addresses = directory.lock_addresses();
        directory.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}
