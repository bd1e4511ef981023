//! The agent on a kernel in memory, with servers that have no checks. Must not: assert anything about the product.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use lb_agent::{CONFIG_FILE, Places, Ports};
use lb_core::control::{ApplyReport, Request, Response, StatusReport, Terms};
use lb_core::fake::{FakeKernel, FakeNetworks, Uncounted};
use lb_core::flat::FlatMap;
use lb_core::model::{MacAddress, RealKey, ServerKey, VirtualKey};
use lb_core::observed::{
    Activity, ConnectionTable, Observed, ObservedReal, ServerActivity, SysctlName, Wanted, WayBack,
};
use lb_core::plan::Step;
use lb_core::ports::{ActivityPort, KernelError, KernelFault, KernelPort, LinkEvents, RehearsalPort};
use lb_core::rehearsal::StandIn;

/// What the kernel went through.
#[derive(Default)]
pub struct Record {
    pub kernel: FakeKernel,
    pub frames: usize,
    pub pools: usize,
    /// How long the frame takes to be read.
    pub slow: Duration,
    /// The next step that begins so is refused.
    pub refuse: Option<&'static str>,
    pub connections: u32,
    /// Who answers for which address.
    pub neighbours: BTreeMap<IpAddr, MacAddress>,
    /// How often something was tried.
    pub rehearsals: usize,
    /// How long it takes.
    pub rehearsal_takes: Duration,
    /// Why it cannot be.
    pub no_rehearsal: Option<&'static str>,
    /// Steps that begin so are refused in every rehearsal, and on the machine itself are not.
    pub rehearsal_refuses: Option<&'static str>,
}

/// A network to try things in that has a will of its own.
struct Strange(Box<dyn KernelPort>, &'static str);

impl KernelPort for Strange {
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        self.0.observe_frame(sysctls)
    }
    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
        self.0.observe_servers(service)
    }
    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        let action = step.to_string();
        if !action.starts_with(self.1) {
            return self.0.apply(step);
        }
        let fault = KernelFault {
            errno: Some(95),
            text: "EOPNOTSUPP".to_owned(),
        };
        Err(KernelError { action, fault })
    }
}

impl RehearsalPort for Shared {
    fn enter(&self, cards: &[StandIn]) -> Result<Box<dyn KernelPort>, KernelError> {
        let mut record = self.0.lock().unwrap();
        record.rehearsals += 1;
        let (takes, impossible) = (record.rehearsal_takes, record.no_rehearsal);
        let refuses = record.rehearsal_refuses;
        drop(record);
        std::thread::sleep(takes);
        match impossible {
            None => {
                let network = FakeNetworks.enter(cards)?;
                Ok(match refuses {
                    Some(start) => Box::new(Strange(network, start)),
                    None => network,
                })
            }
            Some(text) => Err(KernelError {
                action: "make a network to try it in".to_owned(),
                fault: KernelFault {
                    errno: Some(12),
                    text: text.to_owned(),
                },
            }),
        }
    }
}

#[derive(Clone)]
pub struct Shared(pub Arc<Mutex<Record>>);

impl KernelPort for Shared {
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        let mut record = self.0.lock().unwrap();
        record.frames += 1;
        let (slow, observed) = (record.slow, record.kernel.observe_frame(sysctls));
        drop(record);
        std::thread::sleep(slow);
        observed
    }
    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
        let mut record = self.0.lock().unwrap();
        record.pools += 1;
        record.kernel.observe_servers(service)
    }
    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        let mut record = self.0.lock().unwrap();
        let line = step.to_string();
        if record.refuse.is_some_and(|start| line.starts_with(start)) {
            record.refuse = None;
            let fault = KernelFault {
                errno: Some(12),
                text: "ENOMEM".to_owned(),
            };
            return Err(KernelError { action: line, fault });
        }
        record.kernel.apply(step)
    }
}

/// Every server that the kernel has has these connections.
impl ActivityPort for Shared {
    fn activity(&mut self, wanted: Wanted) -> Result<Activity, KernelError> {
        let mut activity = Activity::default();
        if wanted == Wanted::Servers {
            let services: Vec<VirtualKey> = {
                let record = self.0.lock().unwrap();
                record.kernel.state.virtual_servers.keys().copied().collect()
            };
            for service in services {
                let servers = self.servers(&service)?.into_iter();
                let keyed = servers.map(|(server, seen)| (ServerKey { service, server }, seen));
                activity.servers.extend(keyed);
            }
        }
        Ok(activity)
    }
    fn servers(&mut self, service: &VirtualKey) -> Result<Vec<(RealKey, ServerActivity)>, KernelError> {
        let mut record = self.0.lock().unwrap();
        let active_connections = record.connections;
        let servers = record.kernel.observe_servers(service)?.unwrap_or_default();
        let activity = ServerActivity {
            active_connections,
            ..ServerActivity::default()
        };
        Ok(servers.keys().map(|server| (*server, activity)).collect())
    }
    fn others_with(
        &mut self,
        index: u32,
        own: MacAddress,
        address: IpAddr,
    ) -> Result<Vec<String>, KernelError> {
        let record = self.0.lock().unwrap();
        match record.neighbours.get(&address) {
            Some(mac) => Ok(vec![mac.to_string()]),
            None => Uncounted.others_with(index, own, address),
        }
    }
    fn ways_back(
        &mut self,
        stranger: IpAddr,
        servers: &[RealKey],
    ) -> Result<BTreeMap<RealKey, WayBack>, KernelError> {
        Uncounted.ways_back(stranger, servers)
    }
    fn connections(&mut self, limit: usize) -> Result<ConnectionTable, KernelError> {
        Uncounted.connections(limit)
    }
}

/// What the test says of the links.
struct Links(mpsc::Receiver<()>);

impl LinkEvents for Links {
    fn wait(&mut self) -> Result<(), KernelError> {
        while self.0.recv().is_err() {
            std::thread::park();
        }
        Ok(())
    }
}

pub struct Appliance {
    pub dir: tempfile::TempDir,
    pub links: mpsc::Sender<()>,
    pub record: Shared,
}

impl Appliance {
    pub fn start(text: &str) -> Appliance {
        Appliance::start_beside(text, None)
    }

    /// With an lb.toml that may be anything.
    pub fn start_bytes(lb_toml: &[u8]) -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join(CONFIG_FILE), lb_toml).unwrap();
        Appliance::start_on(dir, FakeKernel::with_links(&["eth0", "eth1"]))
    }

    pub fn start_beside(text: &str, drains: Option<&str>) -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join(CONFIG_FILE), text).unwrap();
        if let Some(drains) = drains {
            std::fs::write(config.join(lb_agent::DRAINS_FILE), drains).unwrap();
        }
        Appliance::start_on(dir, FakeKernel::with_links(&["eth0", "eth1"]))
    }

    /// The next agent, as after the death of this one: it has its disk, its kernel and what is kept until the next boot as they are now.
    pub fn next(&self) -> Appliance {
        let kernel = self.record.0.lock().unwrap().kernel.clone();
        self.next_with(kernel)
    }

    /// With a kernel that has been another one meanwhile.
    pub fn next_with(&self, kernel: FakeKernel) -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        copy_directory(&self.file(""), &config);
        let memory = "run/own-mtus.json";
        std::fs::create_dir(dir.path().join("run")).unwrap();
        std::fs::copy(self.dir.path().join(memory), dir.path().join(memory)).unwrap();
        Appliance::start_on(dir, kernel)
    }

    /// The next agent, as after a power cut: the kernel has forgotten everything.
    pub fn after_power_cut(&self) -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        copy_directory(&self.file(""), &dir.path().join("config"));
        Appliance::start_on(dir, FakeKernel::with_links(&["eth0", "eth1"]))
    }

    /// Beside lb.toml.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("config").join(name)
    }

    /// On a config volume that is there already.
    pub fn start_on(dir: tempfile::TempDir, kernel: FakeKernel) -> Appliance {
        let config = dir.path().join("config");
        let record = Record {
            kernel,
            ..Record::default()
        };
        let record = Shared(Arc::new(Mutex::new(record)));
        let (links, events) = mpsc::channel();
        let places = Places {
            config,
            runtime: dir.path().join("run"),
            sample: dir.path().join("sample"),
            mirror: None,
        };
        let ports = Ports {
            kernel: Box::new(record.clone()),
            activity: Box::new(record.clone()),
            links: Box::new(Links(events)),
            rehearsal: Arc::new(record.clone()),
            frames: None,
            give_back: || (),
        };
        let ready = places.runtime.join("agent.ready");
        std::thread::spawn(move || lb_agent::run(places, ports));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !ready.exists() {
            assert!(Instant::now() < deadline, "the agent is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        Appliance { dir, links, record }
    }

    pub fn ask(&self, request: &Request) -> Response {
        let mut stream = UnixStream::connect(self.dir.path().join("run/control.sock")).unwrap();
        let request = serde_json::to_string(request).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn put(&self, text: &str) -> ApplyReport {
        let text = text.to_owned();
        let terms = Terms::default();
        match self.ask(&Request::ConfigPut { text, terms }) {
            Response::Apply(report) if report.applied => report,
            other => panic!("{other:?}"),
        }
    }

    pub fn status(&self) -> StatusReport {
        match self.ask(&Request::Status) {
            Response::Status(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// How often the kernel was read: the frame, and the servers of a service.
    pub fn read(&self) -> (usize, usize) {
        let record = self.record.0.lock().unwrap();
        (record.frames, record.pools)
    }

    /// Every service with its servers and their weights.
    pub fn table(&self) -> Vec<String> {
        let record = self.record.0.lock().unwrap();
        let services = record.kernel.state.virtual_servers.iter();
        let lines = services.map(|(key, seen)| {
            let servers = seen
                .servers
                .iter()
                .map(|(server, real)| format!(" {server}*{}", real.weight));
            format!("{key}{}", servers.collect::<String>())
        });
        lines.collect()
    }
}

/// Services by their ports; each server by the last number of its address and its weight.
pub fn config(services: &[(u16, &[(u8, u16)])]) -> String {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n"
        .to_owned();
    for (port, servers) in services {
        text += &format!(
            "[[virtual_server]]\nname = \"s{port}\"\nlisten = \"192.168.0.1:{port}\"\ncheck = {{ type = \"none\" }}\n\
             drain_timeout = \"0s\"\n"
        );
        for (server, weight) in *servers {
            text += &format!(
                "[[virtual_server.real_server]]\naddress = \"172.16.0.{server}:80\"\nweight = {weight}\n"
            );
        }
    }
    text
}

pub fn eventually(appliance: &Appliance, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while appliance.table() != expected {
        assert!(
            Instant::now() < deadline,
            "{:?} instead of {expected:?}",
            appliance.table()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// With its directories.
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
