//! A name server that says what it is told to.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::wait::LIMIT;

/// What fits into an answer over UDP without extensions (RFC 1035, section 4.2.1).
const MOST_OVER_UDP: usize = 512;

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;

/// What a [`DnsServer`] says to a question for addresses.
#[derive(Debug, Clone)]
pub enum Says {
    /// These, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// These, for so many seconds, to who asks for IPv4; nothing to who asks for IPv6.
    OnlyIpv4(Vec<IpAddr>, u32),
    /// Another name has them.
    Alias(String),
    /// There is no such name, for a second. Also to names that it was not told of.
    NoSuchName,
    /// It can't tell (SERVFAIL).
    Failure,
    /// Nothing.
    Silence,
}

/// See the module's documentation. Listens on UDP and TCP on a free port of 127.0.0.1; what does not fit into a
/// datagram it tells over TCP only. Gone when dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    zone: Mutex<HashMap<String, Says>>,
    /// For IPv4 addresses, by names.
    questions: Mutex<HashMap<String, usize>>,
    over_tcp: AtomicUsize,
    is_stopping: AtomicBool,
}

impl DnsServer {
    /// Starts one that knows no name.
    pub fn start() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((size, from)) = udp.recv_from(&mut buffer) {
                if server.is_stopping.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(mut answer) = server.answer(&buffer[..size]) {
                    if answer.len() > MOST_OVER_UDP {
                        answer.truncate(12);
                        answer[2] |= 0b10;
                        answer[4..].fill(0);
                        let question_end = question(&buffer[..size]).unwrap().2;
                        answer.extend_from_slice(&buffer[12..question_end]);
                        answer[5] = 1;
                    }
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                if server.is_stopping.load(Ordering::SeqCst) {
                    return;
                }
                let server = Arc::clone(&server);
                std::thread::spawn(move || serve(&mut stream.unwrap(), &server));
            }
        });
        Self { address, shared }
    }

    /// Has this said of a name from now on.
    pub fn says(&self, name: &str, says: Says) {
        self.shared
            .zone
            .lock()
            .unwrap()
            .insert(name.to_owned(), says);
    }

    /// A name has these addresses from now on, each time for so many seconds.
    pub fn has<const N: usize>(&self, name: &str, addresses: [&str; N], lifetime: u32) {
        let addresses = addresses.map(|text| text.parse().expect("an address"));
        self.says(name, Says::Addresses(addresses.to_vec(), lifetime));
    }

    /// How often it was asked for a name's IPv4 addresses.
    pub fn questions(&self, name: &str) -> usize {
        let questions = self.shared.questions.lock().unwrap();
        questions.get(name).copied().unwrap_or(0)
    }

    /// How often it was asked for anything over TCP.
    pub fn over_tcp(&self) -> usize {
        self.shared.over_tcp.load(Ordering::SeqCst)
    }

    /// A line for `[server]` that has a gateway ask this server, and not wait long.
    pub fn line(&self) -> String {
        format!(
            "resolver = {{ nameservers = [\"{}\"], timeout = \"1s\", attempts = 1 }}",
            self.address
        )
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // Wakes both threads.
        let _ = TcpStream::connect(self.address);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[], self.address);
        }
    }
}

/// Both of the same port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for UDP and TCP");
}

fn serve(stream: &mut TcpStream, server: &Shared) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut size = [0; 2];
    while stream.read_exact(&mut size).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(size))];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        server.over_tcp.fetch_add(1, Ordering::SeqCst);
        if let Some(answer) = server.answer(&message) {
            let size = u16::try_from(answer.len()).expect("a message for TCP");
            let _ = stream.write_all(&[&size.to_be_bytes(), &*answer].concat());
        }
    }
}

/// The name and type that a message asks for, and where that ends in it.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let size = usize::from(*message.get(at)?);
        at += 1;
        if size == 0 {
            break;
        }
        labels.push(String::from_utf8(message.get(at..at + size)?.to_vec()).ok()?);
        at += size;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().unwrap());
    Some((labels.join(".").to_ascii_lowercase(), kind, at + 4))
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record of the name that was asked for, to which 0xC00C points.
fn record(kind: u16, lifetime: u32, data: &[u8]) -> Vec<u8> {
    let size = u16::try_from(data.len()).unwrap();
    let mut bytes = vec![0xC0, 0x0C];
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&1_u16.to_be_bytes());
    bytes.extend_from_slice(&lifetime.to_be_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

impl Shared {
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (name, kind, question_end) = question(message)?;
        if kind == A {
            *self
                .questions
                .lock()
                .unwrap()
                .entry(name.clone())
                .or_default() += 1;
        }
        let says = self.zone.lock().unwrap().get(&name).cloned();
        let (code, answers) = match says.unwrap_or(Says::NoSuchName) {
            Says::Silence => return None,
            Says::OnlyIpv4(..) if kind != A => return None,
            Says::Failure => (2, Vec::new()),
            Says::NoSuchName => (3, Vec::new()),
            Says::Alias(other) => (0, vec![record(CNAME, 60, &encoded(&other))]),
            Says::Addresses(addresses, lifetime) | Says::OnlyIpv4(addresses, lifetime) => {
                let data = addresses.iter().filter_map(|address| match address {
                    IpAddr::V4(ip) if kind == A => Some(ip.octets().to_vec()),
                    IpAddr::V6(ip) if kind == AAAA => Some(ip.octets().to_vec()),
                    _ => None,
                });
                (0, data.map(|data| record(kind, lifetime, &data)).collect())
            }
        };
        // How long there is none: the last number of a start of authority (RFC 2308, section 5).
        let authority = (answers.is_empty() && code != 2).then(|| {
            let mut data = [encoded("ns.test"), encoded("admin.test")].concat();
            for number in [1_u32, 60, 60, 60, 1] {
                data.extend_from_slice(&number.to_be_bytes());
            }
            record(SOA, 1, &data)
        });
        let mut bytes = message.get(..2)?.to_vec();
        bytes.extend_from_slice(&[0x85, 0x80 | code]);
        for count in [1, answers.len(), usize::from(authority.is_some()), 0] {
            bytes.extend_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
        }
        bytes.extend_from_slice(&message[12..question_end]);
        bytes.extend(answers.into_iter().flatten());
        bytes.extend(authority.into_iter().flatten());
        Some(bytes)
    }
}
