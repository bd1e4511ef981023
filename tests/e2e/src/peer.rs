//! The harness's end of the program `peer`: servers that say whom they see, and clients that count the answers.
//! Must not: know the appliance.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use lb_lab::command::{command, run};
use lb_lab::{LabError, Result, cage};

/// Where the program is.
#[derive(Debug, Clone)]
pub struct Peers(PathBuf);

/// A server in a namespace; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    log: PathBuf,
}

/// How often each answer came; `-` stands for none.
pub type Answers = BTreeMap<String, u32>;

impl Peers {
    pub fn new(program: &Path) -> Peers {
        Peers(program.to_owned())
    }

    pub fn program(&self) -> &Path {
        &self.0
    }

    /// Answers on `address` (of `udp` or `tcp`) with `name` and the client's address.
    pub fn serve(&self, namespace: &str, protocol: &str, address: &str, name: &str) -> Result<Server> {
        self.start(namespace, &["serve", protocol, address, name])
    }

    /// As [`Peers::serve`] over TCP, but all that a client sends is taken first, and counted.
    pub fn sink(&self, namespace: &str, address: &str, name: &str) -> Result<Server> {
        self.start(namespace, &["sink", "tcp", address, name])
    }

    /// The far end of a tunnel: `["ipip"]`, `["ip6ip6"]` or `["gue", ADDRESS]`. [`Server::requests`] tells who sent the packets,
    /// and the ends of those inside.
    pub fn unwrap_packets(&self, namespace: &str, tunnel: &[&str]) -> Result<Server> {
        self.start(namespace, &[&["unwrap"], tunnel].concat())
    }

    /// Sends so many bytes over one connection; the answer of a sink.
    pub fn push(&self, namespace: &str, address: &str, bytes: u32) -> Result<Answers> {
        self.client(namespace, "push", "tcp", address, bytes)
    }

    /// A server of gRPC with the health service: `service` is `serving` or `not-serving`.
    pub fn health(&self, namespace: &str, address: &str, service: &str, status: &str) -> Result<Server> {
        self.start(namespace, &["health", address, service, status])
    }

    fn start(&self, namespace: &str, arguments: &[&str]) -> Result<Server> {
        let program = self.0.to_string_lossy();
        Server::start(namespace, &[&[&*program], arguments].concat())
    }

    /// Asks so many times, each from a new port.
    pub fn ask(&self, namespace: &str, protocol: &str, address: &str, times: u32) -> Result<Answers> {
        self.client(namespace, "ask", protocol, address, times)
    }

    /// Sends so many datagrams from one port.
    pub fn talk(&self, namespace: &str, address: &str, times: u32) -> Result<Answers> {
        self.client(namespace, "talk", "udp", address, times)
    }

    /// The same: the answers in their order.
    pub fn converse(&self, namespace: &str, address: &str, times: u32) -> Result<Vec<String>> {
        let lines = self.lines(namespace, "talk", "udp", address, times)?;
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// As [`Peers::ask`] over TCP, but every connection comes from the same port.
    pub fn reuse(&self, namespace: &str, address: &str, times: u32) -> Result<Answers> {
        self.client(namespace, "reuse", "tcp", address, times)
    }

    /// The ports of `tcp` or `udp` that answer in any way, of all.
    pub fn scan(&self, namespace: &str, protocol: &str, address: &str) -> Result<Vec<u16>> {
        let program = self.0.to_string_lossy();
        let ports = run(&[
            "ip", "netns", "exec", namespace, &program, "scan", protocol, address,
        ])?;
        ports
            .lines()
            .map(|port| {
                port.parse()
                    .map_err(|_| LabError::Unexpected(format!("`{port}` is no port")))
            })
            .collect()
    }

    /// So many SYNs within `seconds`, each from another address of 198.18.0.0/15 that nobody has; how many were sent.
    pub fn flood(&self, namespace: &str, address: &str, times: u32, seconds: u32) -> Result<u32> {
        let (times, seconds) = (times.to_string(), seconds.to_string());
        self.sent(namespace, &["flood", "tcp", address, &times, &seconds])
    }

    /// So many SYN-ACKs and RSTs to the ports of half-open checks of `address`, from addresses that nobody has, or in the name of `from`; how
    /// many were sent.
    pub fn answers(
        &self,
        namespace: &str,
        address: &str,
        from: Option<&str>,
        times: u32,
        seconds: u32,
    ) -> Result<u32> {
        let (times, seconds) = (times.to_string(), seconds.to_string());
        let mut argv = vec!["answers", address, &times, &seconds];
        argv.extend(from);
        self.sent(namespace, &argv)
    }

    fn sent(&self, namespace: &str, arguments: &[&str]) -> Result<u32> {
        let program = self.0.to_string_lossy();
        let said = run(&[&["ip", "netns", "exec", namespace, &program], arguments].concat())?;
        said.trim()
            .parse()
            .map_err(|_| LabError::Unexpected(format!("the flood said `{said}`")))
    }

    fn client(
        &self,
        namespace: &str,
        verb: &str,
        protocol: &str,
        address: &str,
        times: u32,
    ) -> Result<Answers> {
        let lines = self.lines(namespace, verb, protocol, address, times)?;
        Ok(count(&lines))
    }

    fn lines(
        &self,
        namespace: &str,
        verb: &str,
        protocol: &str,
        address: &str,
        times: u32,
    ) -> Result<String> {
        let (program, times) = (self.0.to_string_lossy(), times.to_string());
        run(&[
            "ip", "netns", "exec", namespace, &program, verb, protocol, address, &times,
        ])
    }
}

fn count(lines: &str) -> Answers {
    let mut answers = Answers::new();
    for line in lines.lines() {
        *answers.entry(line.to_owned()).or_default() += 1;
    }
    answers
}

impl Server {
    /// Any program, such as one of Debian's.
    pub fn start(namespace: &str, argv: &[&str]) -> Result<Server> {
        let name = argv.join("-").replace(['/', ' ', '#'], "_");
        let name: String = name.chars().rev().take(100).collect();
        let log = cage::scratch(&format!("peer-{namespace}-{name}"))?.join("log");
        let output = File::create(&log).map_err(LabError::io(format!("create {}", log.display())))?;
        let process = command("ip")
            .args(["netns", "exec", namespace])
            .args(argv)
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .map_err(LabError::io(format!("start a server in {namespace}")))?;
        Ok(Server { process, log })
    }

    /// The datagrams that it has got so far, by what it answered.
    pub fn requests(&self) -> Result<Answers> {
        let text = fs::read_to_string(&self.log).map_err(LabError::io("read a server's log"))?;
        Ok(count(&text))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
