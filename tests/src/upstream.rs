//! What stands behind the gateway.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::answer::Answer;
use crate::head::Head;
use crate::message::Body;
use crate::wait::wait_until;
use crate::wire::Wire;

/// A request as an [`Upstream`] has received it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its head.
    pub head: Head,
    /// Its body and trailers.
    pub body: Body,
    /// The connection that it came over, counted from 0.
    pub connection: usize,
}

impl Received {
    /// Its method.
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// Its path and query.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// All values of a field.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head.headers(name)
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body.bytes).expect("a body of text")
    }
}

/// An upstream that reads whole requests, remembers them, and answers as its script says. Asks for
/// the body of a request with `Expect: 100-continue`. Gone when dropped, with its connections.
#[derive(Debug)]
pub struct Upstream {
    listening: Listening,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Upstream {
    /// Starts one; each connection is served by a thread of its own.
    pub fn start(script: impl Fn(Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// As [`Self::start`], at this address.
    pub fn start_at(
        address: SocketAddr,
        script: impl Fn(Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&received);
        let listening = Listening::start_at(address, move |wire, connection| {
            serve(wire, connection, &script, &record);
        });
        Self {
            listening,
            received,
        }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The requests, in the order in which they were complete.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request. Fails where there was none or another one.
    #[track_caller]
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "requests: {received:#?}");
        received.remove(0)
    }

    /// Waits until so many requests have come.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        wait_until("the upstream has its requests", || {
            self.received.lock().unwrap().len() >= count
        });
        self.received()
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.listening.connections()
    }

    /// How many of its connections are open.
    pub fn open_connections(&self) -> usize {
        self.listening.open.load(Ordering::SeqCst)
    }

    /// Every byte that has come (the first MiB of it), of all connections.
    pub fn raw(&self) -> Vec<u8> {
        self.listening.raw()
    }
}

fn serve(
    wire: &mut Wire,
    connection: usize,
    script: &impl Fn(Received) -> Answer,
    record: &Mutex<Vec<Received>>,
) {
    // A connection that ends between or within requests is nobody's mistake here.
    while let Ok(head) = wire.try_read_head() {
        let expects = head.header("expect").is_some();
        if expects && wire.try_write("HTTP/1.1 100 Continue\r\n\r\n").is_err() {
            return;
        }
        let Ok(body) = wire.try_read_request_body(&head) else {
            return;
        };
        let request = Received {
            head,
            body,
            connection,
        };
        record.lock().unwrap().push(request.clone());
        let method = request.method().to_owned();
        if !script(request).write(&method, wire) {
            return;
        }
    }
}

/// An upstream that has each connection to itself, down to the bytes. The connection is closed when the script returns.
#[derive(Debug)]
pub struct RawUpstream {
    listening: Listening,
}

impl RawUpstream {
    /// Starts one; the script runs on a thread of its own for each connection.
    pub fn start(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        Self::start_counting(move |wire, _| script(wire))
    }

    /// As [`Self::start`]; the script is told which connection it has, counted from 0.
    pub fn start_counting(script: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Self {
        Self {
            listening: Listening::start(script),
        }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.listening.connections()
    }

    /// Every byte that its scripts have read (the first MiB of it), of all connections.
    pub fn raw(&self) -> Vec<u8> {
        self.listening.raw()
    }
}

/// An address that refuses connections, kept from being given to anybody else.
#[derive(Debug)]
pub struct Refusing {
    address: SocketAddr,
    _socket: socket2::Socket,
}

impl Refusing {
    /// Takes a free port.
    pub fn start() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("a free port");
        let address = socket.local_addr().expect("an address");
        Self {
            address: address.as_socket().expect("an address"),
            _socket: socket,
        }
    }

    /// Where nobody is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What has come over one connection.
type SharedBytes = Arc<Mutex<Vec<u8>>>;

/// Accepts until it is dropped.
#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    records: Arc<Mutex<Vec<SharedBytes>>>,
    open: Arc<AtomicUsize>,
}

impl Listening {
    fn start(script: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Wire, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let listening = Self {
            address: listener.local_addr().expect("an address"),
            stopping: Arc::default(),
            streams: Arc::default(),
            records: Arc::default(),
            open: Arc::default(),
        };
        let stopping = Arc::clone(&listening.stopping);
        let streams = Arc::clone(&listening.streams);
        let records = Arc::clone(&listening.records);
        let open = Arc::clone(&listening.open);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let stream = Arc::new(stream.expect("a connection"));
                streams.lock().unwrap().push(Arc::downgrade(&stream));
                let record = Arc::default();
                records.lock().unwrap().push(Arc::clone(&record));
                open.fetch_add(1, Ordering::SeqCst);
                let (open, script) = (Arc::clone(&open), Arc::clone(&script));
                std::thread::spawn(move || {
                    // Dropped last, also when the script fails.
                    let _counted = Counted(open);
                    script(&mut Wire::recording(stream, record), number);
                });
            }
        });
        listening
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn connections(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    fn raw(&self) -> Vec<u8> {
        let records = self.records.lock().unwrap();
        let all = records.iter().map(|record| record.lock().unwrap().clone());
        all.collect::<Vec<_>>().concat()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for stream in self.streams.lock().unwrap().drain(..) {
            if let Some(stream) = stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Counts an open connection.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
