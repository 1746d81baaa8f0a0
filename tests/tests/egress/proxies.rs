//! Real forward proxies, each on a free port of 127.0.0.1 and with a configuration of its own.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sluicegate_tests::{Certificate, wait_until};

/// What a proxy that wants credentials wants.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "hunter2";

/// A proxy in a process of its own. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is to be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Everybody may do everything.
    Open,
    /// [`USER`] may.
    Login,
    /// Everybody may; but tunnels lead to port 443 only, which is squid's default.
    Port443,
}

/// Whether a program is there. `.ci/run` fails on what is written where it is not.
fn is_there(program: &str, package: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = folders
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists());
    if found.is_none() {
        // Not by a macro, whose output the test harness would keep to itself.
        let line = format!("SKIPPED: {program} (Debian's package {package}) is not installed\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    found
}

/// Starts a program; `command` completes it, with its address and a folder for what it writes.
fn start(program: &Path, command: impl Fn(&mut Command, SocketAddr, &Path)) -> Proxy {
    // Somebody else may take the port that was free a moment ago.
    for _ in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let mut process = Command::new(program);
        command(&mut process, address, folder.path());
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        let child = process
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut proxy = Proxy {
            address,
            child,
            folder,
        };
        let mut has_ended = false;
        wait_until("the proxy listens", || {
            has_ended = proxy.child.try_wait().unwrap().is_some();
            has_ended || TcpStream::connect(address).is_ok()
        });
        if !has_ended {
            return proxy;
        }
        eprintln!("{} has ended:\n{}", program.display(), proxy.log());
    }
    panic!("{} does not start", program.display());
}

/// A proxy that begins as root goes on as somebody else.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

impl Proxy {
    /// What it has written.
    pub(crate) fn log(&self) -> String {
        use std::fmt::Write as _;
        let mut log = String::new();
        for entry in self.folder.path().read_dir().unwrap().flatten() {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let _ = writeln!(log, "--- {}", entry.path().display());
            let _ = writeln!(log, "{}", String::from_utf8_lossy(&text));
        }
        log
    }

    pub(crate) fn squid(rules: Rules) -> Option<Self> {
        Self::squid_on(rules, |address, _| format!("http_port {address}"))
    }

    /// Spoken to by TLS.
    pub(crate) fn squid_over_tls(rules: Rules, certificate: &Certificate) -> Option<Self> {
        Self::squid_on(rules, |address, folder| {
            certificate.write(folder, "own");
            let place = folder.display();
            format!("https_port {address} tls-cert={place}/own.pem tls-key={place}/own.key")
        })
    }

    fn squid_on(rules: Rules, port: impl Fn(SocketAddr, &Path) -> String) -> Option<Self> {
        let program = is_there("squid", "squid")?;
        Some(start(&program, |command, address, folder| {
            let place = folder.display();
            let access = match rules {
                Rules::Open => "http_access allow all".to_owned(),
                Rules::Port443 => "acl SSL_ports port 443\nacl CONNECT method CONNECT\n\
                                   http_access deny CONNECT !SSL_ports\nhttp_access allow all"
                    .to_owned(),
                Rules::Login => {
                    let helper = "/usr/lib/squid/basic_ncsa_auth";
                    // `openssl passwd -1 -salt sluicega hunter2`
                    let line = format!("{USER}:$1$sluicega$afwxHOTVRCKP08PZTYdIV0\n");
                    std::fs::write(folder.join("users"), line).unwrap();
                    format!(
                        "auth_param basic program {helper} {place}/users\nauth_param basic children 1\n\
                         auth_param basic realm squid\nacl known proxy_auth REQUIRED\nhttp_access allow known\n\
                         http_access deny all"
                    )
                }
            };
            let port = port(address, folder);
            let config = format!(
                "{port}\npid_filename {place}/pid\ncache_log {place}/cache.log\n\
                 access_log stdio:{place}/access.log\ncache deny all\ncoredump_dir {place}\npinger_enable off\n\
                 netdb_filename none\nvisible_hostname squid.test\nmax_filedescriptors 512\nshutdown_lifetime 0 seconds\n\
                 {access}\n"
            );
            let file = folder.join("squid.conf");
            std::fs::write(&file, config).unwrap();
            command.args(["-N", "-f"]).arg(file);
        }))
    }

    pub(crate) fn tinyproxy(rules: Rules) -> Option<Self> {
        let program = is_there("tinyproxy", "tinyproxy")?;
        Some(start(&program, |command, address, folder| {
            let rules = match rules {
                Rules::Open => String::new(),
                Rules::Login => format!("BasicAuth {USER} {PASSWORD}\n"),
                Rules::Port443 => "ConnectPort 443\n".to_owned(),
            };
            let config = format!(
                "Port {}\nListen {}\nTimeout 60\nMaxClients 100\nAllow 127.0.0.1\nLogFile \"{}/log\"\n{rules}",
                address.port(),
                address.ip(),
                folder.display()
            );
            let file = folder.join("tinyproxy.conf");
            std::fs::write(&file, config).unwrap();
            command.args(["-d", "-c"]).arg(file);
        }))
    }

    /// Users of dante are users of the system: one that is asked for credentials refuses all that a test can have.
    pub(crate) fn dante(rules: Rules) -> Option<Self> {
        let program = is_there("danted", "dante-server")?;
        Some(start(&program, |command, address, folder| {
            let method = match rules {
                Rules::Login => "username",
                Rules::Open | Rules::Port443 => "none",
            };
            let config = format!(
                "logoutput: {}/log\ninternal: {} port = {}\nexternal: lo\nclientmethod: none\nsocksmethod: {method}\n\
                 user.privileged: root\nuser.unprivileged: nobody\n\
                 client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\nsocks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n",
                folder.display(),
                address.ip(),
                address.port()
            );
            let file = folder.join("danted.conf");
            std::fs::write(&file, config).unwrap();
            command.arg("-f").arg(file);
        }))
    }

    pub(crate) fn microsocks(rules: Rules) -> Option<Self> {
        let program = is_there("microsocks", "microsocks")?;
        Some(start(&program, |command, address, _| {
            let (ip, port) = (address.ip().to_string(), address.port().to_string());
            command.args(["-i", &ip, "-p", &port]);
            if rules == Rules::Login {
                command.args(["-u", USER, "-P", PASSWORD]);
            }
        }))
    }
}
