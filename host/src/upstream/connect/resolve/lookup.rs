//! One look-up of a name, by hickory: the hosts file, then name servers.
//!
//! hickory keeps nothing here and does not combine what it finds: both are done by us, so that a name's families come from
//! one and the same name of the search list, and an answer stays usable when its servers don't answer any more.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use tokio::time::timeout;

use crate::config;

/// How long the second family of addresses is waited for once the first is there. RFC 8305, section 3, says 50 ms; but here nearly
/// always nobody waits, and servers that lose one of the two questions are rarer than slow ones.
const SECOND_FAMILY: Duration = Duration::from_millis(300);

/// How long what stands in the hosts file is believed, which knows no lifetimes.
const HOSTS: Duration = Duration::from_secs(5);

/// What a zone means that does not say how long it has no such name.
const NEGATIVE: Duration = Duration::from_secs(5);

/// Something that finds the addresses of a name; in tests something else than [`System`].
pub(super) trait Lookup {
    /// One look-up.
    fn look_up(&self, host: &str) -> impl Future<Output = Result<Found, NotFound>>;
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Vec<IpAddr>,
    /// How long they are right, by who has said so.
    pub(super) lifetime: Duration,
}

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// It is known that there are none, for so long.
    #[error("{0}")]
    None(Arc<str>, Duration),
    /// Nobody can tell.
    #[error("{0}")]
    Failed(Arc<str>),
    /// Nobody has answered.
    #[error("no name server answered in time")]
    Timeout,
}

/// The system's way, or what the configuration says instead.
#[derive(Debug)]
pub(super) struct System {
    settings: config::Resolver,
    hosts: RefCell<Cached<Hosts>>,
    servers: RefCell<Cached<Servers>>,
}

/// Name servers, and how names are completed.
#[derive(Debug, Default)]
struct Servers {
    /// `None`: there is no way to ask anybody.
    resolver: Option<TokioResolver>,
    search: Vec<Name>,
    ndots: usize,
}

/// What was made of a file, until that changes.
#[derive(Debug, Default)]
struct Cached<T> {
    made_of: Option<Stamp>,
    value: Rc<T>,
}

type Stamp = (SystemTime, u64);

impl<T> Cached<T> {
    /// Looks at the file: a fraction of what one question to a server costs.
    fn get(&mut self, file: &str, make: impl FnOnce() -> T) -> Rc<T> {
        let found = std::fs::metadata(Path::new(file));
        let stamp = found.map_or((SystemTime::UNIX_EPOCH, 0), |found| {
            let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            (modified, found.len())
        });
        if self.made_of != Some(stamp) {
            self.made_of = Some(stamp);
            self.value = Rc::new(make());
        }
        Rc::clone(&self.value)
    }
}

impl System {
    pub(super) fn new(settings: config::Resolver) -> Self {
        Self {
            settings,
            hosts: RefCell::default(),
            servers: RefCell::default(),
        }
    }

    fn hosts(&self) -> Rc<Hosts> {
        let make = || Hosts::from_system().unwrap_or_default();
        self.hosts.borrow_mut().get("/etc/hosts", make)
    }

    fn servers(&self) -> Rc<Servers> {
        let make = || Servers::new(&self.settings);
        self.servers.borrow_mut().get("/etc/resolv.conf", make)
    }
}

impl Lookup for System {
    async fn look_up(&self, host: &str) -> Result<Found, NotFound> {
        let name =
            Name::from_ascii(host).map_err(|error| NotFound::Failed(error.to_string().into()))?;
        if let Some(addresses) = in_file(&self.hosts(), &name) {
            return Ok(Found {
                addresses,
                lifetime: HOSTS,
            });
        }
        let servers = self.servers();
        let mut first = None;
        for name in servers.candidates(&name) {
            match servers.ask(name).await {
                // The next one may be what is meant.
                Err(error @ NotFound::None(..)) => {
                    first.get_or_insert(error);
                }
                // Whether this is what is meant can't be told, and then it is not the next one.
                found_or_failed => return found_or_failed,
            }
        }
        Err(first.unwrap_or(NotFound::Failed("not a name".into())))
    }
}

/// The addresses that the hosts file has for a name. A name that stands there is not asked for elsewhere, as everywhere.
fn in_file(hosts: &Hosts, name: &Name) -> Option<Vec<IpAddr>> {
    let of_type = |kind| {
        let found = hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let answers = found.map(|found| found.answers().to_vec());
        answers.unwrap_or_default()
    };
    let records = [of_type(RecordType::A), of_type(RecordType::AAAA)].concat();
    let addresses: Vec<IpAddr> = records
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .collect();
    (!addresses.is_empty()).then_some(addresses)
}

impl Servers {
    fn new(settings: &config::Resolver) -> Self {
        // As the C library: without a file, the name server is on this machine.
        let (system, mut options) = system_conf::read_system_conf().unwrap_or_else(|error| {
            if settings.nameservers.is_empty() {
                tracing::warn!(
                    "/etc/resolv.conf: {error}; the name server is taken to be 127.0.0.1"
                );
            }
            let local = NameServerConfig::udp_and_tcp([127, 0, 0, 1].into());
            let config = ResolverConfig::from_name_servers(vec![local]);
            (config, ResolverOpts::default())
        });
        let (domain, mut search, mut servers) = system.into_parts();
        if settings.nameservers.is_empty() {
            if search.is_empty() {
                search.extend(domain);
            }
        } else {
            options = ResolverOpts::default();
            search.clear();
            servers = settings
                .nameservers
                .iter()
                .map(|address| {
                    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
                    udp.port = address.port();
                    tcp.port = address.port();
                    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
                })
                .collect();
            options.timeout = config::Resolver::TIMEOUT;
        }
        if let Some(timeout) = settings.timeout {
            options.timeout = timeout;
        }
        if let Some(attempts) = settings.attempts {
            options.attempts = attempts;
        }
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let ndots = options.ndots;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        let resolver = builder
            .build()
            .inspect_err(|error| tracing::error!("names can't be resolved: {error}"))
            .ok();
        Self {
            resolver,
            search,
            ndots,
        }
    }

    /// What a name may be short for, the likeliest first (resolv.conf(5), "search" and "ndots").
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut whole = name.clone();
        whole.set_fqdn(true);
        if name.is_fqdn() || whole.is_localhost() {
            return vec![whole];
        }
        let longer = self.search.iter().filter_map(|domain| {
            let mut longer = name.clone().append_domain(domain).ok()?;
            longer.set_fqdn(true);
            Some(longer)
        });
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut candidates: Vec<Name> = longer.collect();
        let place = if dots >= self.ndots {
            0
        } else {
            candidates.len()
        };
        candidates.insert(place, whole);
        candidates
    }

    /// Asks for both families of addresses at once.
    async fn ask(&self, name: Name) -> Result<Found, NotFound> {
        let Some(resolver) = &self.resolver else {
            return Err(NotFound::Failed("there are no name servers".into()));
        };
        let mut four = std::pin::pin!(of_type(resolver, name.clone(), RecordType::A));
        let mut six = std::pin::pin!(of_type(resolver, name, RecordType::AAAA));
        let (first, second) = tokio::select! {
            first = &mut four => {
                let second = second(&first, six).await;
                (first, second)
            }
            first = &mut six => {
                let second = second(&first, four).await;
                (first, second)
            }
        };
        match (first, second) {
            (Ok(mut found), Ok(more)) => {
                found.addresses.extend(more.addresses);
                found.lifetime = found.lifetime.min(more.lifetime);
                Ok(found)
            }
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
            // Only if both say so there is none.
            (Err(NotFound::None(..)), Err(error)) | (Err(error), Err(_)) => Err(error),
        }
    }
}

async fn second(
    first: &Result<Found, NotFound>,
    second: impl Future<Output = Result<Found, NotFound>>,
) -> Result<Found, NotFound> {
    if first.is_err() {
        return second.await;
    }
    timeout(SECOND_FAMILY, second)
        .await
        .unwrap_or(Err(NotFound::Timeout))
}

async fn of_type(
    resolver: &TokioResolver,
    name: Name,
    kind: RecordType,
) -> Result<Found, NotFound> {
    let found = resolver
        .lookup(name, kind)
        .await
        .map_err(|error| reason(&error))?;
    let records = found.answers().iter();
    // What else stands in the answer are the aliases on the way.
    let addresses: Vec<IpAddr> = records
        .filter(|record| record.record_type() == kind)
        .filter_map(|record| record.data.ip_addr())
        .collect();
    if addresses.is_empty() {
        return Err(NotFound::None("it has no addresses".into(), NEGATIVE));
    }
    Ok(Found {
        addresses,
        lifetime: found
            .valid_until()
            .saturating_duration_since(Instant::now()),
    })
}

fn reason(error: &NetError) -> NotFound {
    match error {
        NetError::Timeout => NotFound::Timeout,
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let lifetime = none
                .negative_ttl
                .map_or(NEGATIVE, |seconds| Duration::from_secs(seconds.into()));
            let code = none.response_code;
            let text = format!("it has no addresses ({code})");
            NotFound::None(text.into(), lifetime)
        }
        error => NotFound::Failed(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(search: &[&str], ndots: usize, name: &str) -> Vec<String> {
        let servers = Servers {
            resolver: None,
            search: search.iter().map(|name| name.parse().unwrap()).collect(),
            ndots,
        };
        let candidates = servers.candidates(&Name::from_ascii(name).unwrap());
        candidates.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_is_completed_by_the_search_list() {
        let search = ["ns.svc.cluster.local", "cluster.local."];
        for (ndots, name, expected) in [
            (
                1,
                "app",
                &["app.ns.svc.cluster.local.", "app.cluster.local.", "app."][..],
            ),
            (
                1,
                "a.b",
                &["a.b.", "a.b.ns.svc.cluster.local.", "a.b.cluster.local."],
            ),
            (
                5,
                "a.b",
                &["a.b.ns.svc.cluster.local.", "a.b.cluster.local.", "a.b."],
            ),
            (5, "localhost", &["localhost."]),
            (
                1,
                "my_app",
                &[
                    "my_app.ns.svc.cluster.local.",
                    "my_app.cluster.local.",
                    "my_app.",
                ],
            ),
        ] {
            assert_eq!(names(&search, ndots, name), expected, "{ndots} {name}");
        }
        assert_eq!(names(&[], 1, "app"), ["app."]);
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let mut cached = Cached::<usize>::default();
        assert_eq!(*cached.get(path, || 1), 1);
        assert_eq!(*cached.get(path, || 2), 1);
        std::fs::write(path, "more").unwrap();
        assert_eq!(*cached.get(path, || 3), 3);
        // One that is gone is one more state of it.
        drop(file);
        assert_eq!(*Cached::<usize>::default().get("/nowhere/at/all", || 4), 4);
    }

    #[test]
    fn what_stands_in_the_hosts_file_is_not_asked_for() {
        let mut hosts = Hosts::default();
        let file = "127.0.0.2 app other\n::1 app # comment\n10.0.0.1 App\n";
        hosts.read_hosts_conf(file.as_bytes()).unwrap();
        let of = |name| in_file(&hosts, &Name::from_ascii(name).unwrap());
        let mut found = of("APP").unwrap();
        found.sort();
        let expected: Vec<IpAddr> = ["10.0.0.1", "127.0.0.2", "::1"]
            .map(|ip| ip.parse().unwrap())
            .to_vec();
        assert_eq!(found, expected);
        assert_eq!(of("other"), Some(vec![[127, 0, 0, 2].into()]));
        assert_eq!(of("third"), None);
    }
}
