//! The whole agent on a kernel in memory, with real sockets as servers. Each test runs in a network namespace of its
//! own, which it makes by starting itself again under unshare(1); where that is not possible it fails.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "stage/isolated.rs"]
mod isolated;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isolated::isolated;
use lb_agent::{APPLIED_FILE, CONFIG_FILE, Places, Ports, SAMPLE_FILE};
use lb_core::control::{
    ApplyReport, ConfigSource, HealthWord, Request, Response, ServicesReport, StatusReport, Terms,
};
use lb_core::fake::{FakeKernel, FakeNetworks, Uncounted};
use lb_core::flat::FlatMap;
use lb_core::model::{RealKey, VirtualKey};
use lb_core::observed::{Observed, ObservedReal, SysctlName};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelPort, LinkEvents};

const CONFIG: &str = r#"
[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]

[[interface]]
name = "eth1"
addresses = ["172.16.0.254/24"]

[[masquerade]]
from = "172.16.0.0/24"
out = "eth0"

[[virtual_server]]
name = "web"
listen = "192.168.0.1:80"
scheduler = "rr"
check = { interval = "200ms", timeout = "100ms", retries = 1, retry_interval = "50ms", rise = 1 }

[[virtual_server.real_server]]
address = "172.16.0.11:8080"

[[virtual_server.real_server]]
address = "172.16.0.12:8080"
when_down = "inhibit"
"#;

#[derive(Clone)]
struct Shared(Arc<Mutex<FakeKernel>>);

impl KernelPort for Shared {
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        self.0.lock().unwrap().observe_frame(sysctls)
    }
    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
        self.0.lock().unwrap().observe_servers(service)
    }
    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        self.0.lock().unwrap().apply(step)
    }
}

struct Notices(std::sync::mpsc::Receiver<()>);

impl LinkEvents for Notices {
    fn wait(&mut self) -> Result<(), KernelError> {
        if self.0.recv().is_err() {
            std::thread::park();
        }
        Ok(())
    }
}

struct Appliance {
    dir: tempfile::TempDir,
    kernel: Shared,
    notices: std::sync::mpsc::Sender<()>,
}

impl Appliance {
    fn new() -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("sample"), "# sample\n").unwrap();
        let kernel = Shared(Arc::new(Mutex::new(FakeKernel::with_links(&["eth0", "eth1"]))));
        Appliance {
            dir,
            kernel,
            notices: std::sync::mpsc::channel().0,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("config").join(name)
    }

    /// Starts an agent and waits until it is ready. It ends with the test's process.
    fn start(&mut self) {
        let runtime = self.dir.path().join("run");
        let _ = std::fs::remove_file(runtime.join("agent.ready"));
        let places = Places {
            config: self.dir.path().join("config"),
            runtime: runtime.clone(),
            sample: self.dir.path().join("sample"),
            mirror: None,
        };
        let (notices, waiting) = std::sync::mpsc::channel();
        self.notices = notices;
        let ports = Ports {
            kernel: Box::new(self.kernel.clone()),
            activity: Box::new(Uncounted),
            links: Box::new(Notices(waiting)),
            rehearsal: Arc::new(FakeNetworks),
            frames: None,
            give_back: || (),
        };
        std::thread::spawn(move || lb_agent::run(places, ports));
        eventually("the agent is ready", || runtime.join("agent.ready").exists());
    }

    fn ask(&self, request: &Request) -> Response {
        ask(&self.dir.path().join("run/control.sock"), request)
    }

    fn status(&self) -> StatusReport {
        match self.ask(&Request::Status) {
            Response::Status(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn services(&self) -> ServicesReport {
        match self.ask(&Request::Services { name: None }) {
            Response::Services(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn health(&self, server: usize) -> HealthWord {
        self.services().services[0].servers[server].health
    }

    fn put(&self, text: &str) -> ApplyReport {
        match self.ask(&Request::ConfigPut {
            text: text.to_owned(),
            terms: Terms::default(),
        }) {
            Response::Apply(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the filter lets the service's clients in.
    fn is_open(&self) -> bool {
        let kernel = self.kernel.0.lock().unwrap();
        kernel
            .state
            .ruleset
            .as_ref()
            .is_some_and(|r| !r.services.is_empty())
    }

    /// The weight that the kernel holds; `None`: the server is not in its table.
    fn weight(&self, server: &str) -> Option<u32> {
        let service: VirtualKey = "192.168.0.1:80/tcp".parse().unwrap();
        let socket: std::net::SocketAddr = server.parse().unwrap();
        let key = RealKey {
            address: socket.ip(),
            port: socket.port(),
        };
        let kernel = self.kernel.0.lock().unwrap();
        kernel
            .state
            .virtual_servers
            .get(&service)?
            .servers
            .get(&key)
            .map(|r| r.weight.value())
    }
}

fn ask(socket: &Path, request: &Request) -> Response {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .write_all(format!("{}\n", serde_json::to_string(request).unwrap()).as_bytes())
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const ONE: &str = "172.16.0.11:8080";
const TWO: &str = "172.16.0.12:8080";

#[test]
fn without_a_file_it_comes_up_and_says_what_to_do() {
    isolated("without_a_file_it_comes_up_and_says_what_to_do", || {
        let mut appliance = Appliance::new();
        appliance.start();
        let status = appliance.status();
        assert_eq!(status.config.source, ConfigSource::None);
        assert!(status.problems[0].contains("config put"), "{:?}", status.problems);
        assert_eq!(
            std::fs::read_to_string(appliance.file(SAMPLE_FILE)).unwrap(),
            "# sample\n"
        );
        let report = appliance.put(CONFIG);
        assert!(
            report.applied && report.persisted && report.failed.is_empty(),
            "{report:?}"
        );
        assert_eq!(appliance.status().config.source, ConfigSource::File);
        assert_eq!(
            std::fs::read_to_string(appliance.file(CONFIG_FILE)).unwrap(),
            CONFIG
        );
        eventually("it is kept for later boots", || {
            std::fs::read_to_string(appliance.file(APPLIED_FILE)).is_ok_and(|kept| kept == CONFIG)
        });
    });
}

#[test]
fn traffic_only_for_servers_that_passed_a_check() {
    isolated("traffic_only_for_servers_that_passed_a_check", || {
        let _one = TcpListener::bind(ONE).unwrap();
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), CONFIG).unwrap();
        appliance.start();
        eventually("the first server is up", || appliance.weight(ONE) == Some(1));
        eventually("the second is down", || appliance.health(1) == HealthWord::Down);
        assert_eq!(
            appliance.weight(TWO),
            Some(0),
            "inhibited servers stay at weight 0"
        );
        let kernel = appliance.kernel.0.lock().unwrap();
        let untested = |s: &Step| matches!(s, Step::AddReal { server, real, .. } if server.to_string() == TWO && real.weight.value() > 0);
        assert!(!kernel.applied.iter().any(untested), "{:?}", kernel.applied);
    });
}

#[test]
fn clients_wait_until_the_first_server_is_up() {
    isolated("clients_wait_until_the_first_server_is_up", || {
        let _one = TcpListener::bind(ONE).unwrap();
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), CONFIG).unwrap();
        appliance.start();
        eventually("the service is open", || appliance.is_open());
        let kernel = appliance.kernel.0.lock().unwrap();
        let opened = |s: &Step| matches!(s, Step::ReplaceRuleset(rules) if !rules.services.is_empty());
        let filled = |s: &Step| matches!(s, Step::AddReal { real, .. } | Step::EditReal { real, .. } if real.weight.value() > 0);
        let at = |wanted: &dyn Fn(&Step) -> bool| kernel.applied.iter().position(wanted).unwrap();
        assert!(at(&filled) < at(&opened), "{:?}", kernel.applied);
    });
}

#[test]
fn a_server_leaves_and_comes_back() {
    isolated("a_server_leaves_and_comes_back", || {
        let one = TcpListener::bind(ONE).unwrap();
        let _two = TcpListener::bind(TWO).unwrap();
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), CONFIG).unwrap();
        appliance.start();
        eventually("both are up", || {
            appliance.weight(ONE) == Some(1) && appliance.weight(TWO) == Some(1)
        });
        drop(one);
        eventually("the first is out", || appliance.weight(ONE).is_none());
        let check = appliance.services().services[0].servers[0]
            .last_check
            .clone()
            .unwrap();
        assert_eq!((check.ok, check.reason.as_str()), (false, "connection refused"));
        let _one = TcpListener::bind(ONE).unwrap();
        eventually("the first is back", || appliance.weight(ONE) == Some(1));
    });
}

#[test]
fn a_second_agent_adopts_what_the_first_left() {
    isolated("a_second_agent_adopts_what_the_first_left", || {
        let _one = TcpListener::bind(ONE).unwrap();
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), CONFIG).unwrap();
        appliance.start();
        eventually("the service is open", || appliance.is_open());
        let kernel = appliance.kernel.clone();
        // A second appliance on the same kernel stands for the next agent: the first one is silent meanwhile.
        let mut next = Appliance {
            kernel: Shared(Arc::new(Mutex::new(kernel.0.lock().unwrap().clone()))),
            ..Appliance::new()
        };
        next.kernel.0.lock().unwrap().applied.clear();
        std::fs::write(next.file(CONFIG_FILE), CONFIG).unwrap();
        next.start();
        assert_eq!(next.kernel.0.lock().unwrap().applied, []);
        assert_eq!(next.weight(ONE), Some(1));
        assert_eq!(next.status().reconcile.repairs, 0);
    });
}

#[test]
fn a_broken_file_changes_nothing() {
    isolated("a_broken_file_changes_nothing", || {
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), "nonsense = [").unwrap();
        std::fs::write(appliance.file(APPLIED_FILE), CONFIG).unwrap();
        appliance.start();
        let status = appliance.status();
        assert_eq!(status.config.source, ConfigSource::LastApplied);
        assert!(
            status.problems.iter().any(|p| p.contains("has faults")),
            "{:?}",
            status.problems
        );
        assert!(appliance.kernel.0.lock().unwrap().state.links[&"eth0".parse().unwrap()].admin_up);
        let report = appliance.put("hostname = 7");
        assert!(!report.applied && !report.check.ok && !report.check.rendered.is_empty());
        assert_eq!(
            std::fs::read_to_string(appliance.file(CONFIG_FILE)).unwrap(),
            "nonsense = ["
        );
        assert!(appliance.put(CONFIG).applied);
        assert_eq!(
            appliance
                .status()
                .problems
                .iter()
                .filter(|p| p.contains("faults"))
                .count(),
            0
        );
    });
}

#[test]
fn a_lost_carrier_is_not_the_servers_fault() {
    isolated("a_lost_carrier_is_not_the_servers_fault", || {
        let _one = TcpListener::bind(ONE).unwrap();
        let _two = TcpListener::bind(TWO).unwrap();
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), CONFIG).unwrap();
        appliance.start();
        eventually("both are up", || {
            appliance.weight(ONE) == Some(1) && appliance.weight(TWO) == Some(1)
        });
        let carrier = |on: bool| {
            let mut kernel = appliance.kernel.0.lock().unwrap();
            kernel
                .state
                .links
                .get_mut(&"eth1".parse().unwrap())
                .unwrap()
                .carrier = on;
            drop(kernel);
            appliance.notices.send(()).unwrap();
        };
        carrier(false);
        eventually("both cannot be checked", || {
            appliance.health(0) == HealthWord::CannotCheck && appliance.health(1) == HealthWord::CannotCheck
        });
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(
            (appliance.weight(ONE), appliance.weight(TWO)),
            (Some(1), Some(1)),
            "the pool is frozen"
        );
        assert!(
            appliance
                .status()
                .problems
                .iter()
                .any(|p| p.contains("eth1 has no carrier"))
        );
        carrier(true);
        eventually("both are up again", || {
            appliance.health(0) == HealthWord::Up && appliance.health(1) == HealthWord::Up
        });
        let announced = |s: &Step| s.to_string() == "announce 172.16.0.254 on eth1";
        assert!(
            appliance
                .kernel
                .0
                .lock()
                .unwrap()
                .applied
                .iter()
                .filter(|s| announced(s))
                .count()
                >= 2
        );
    });
}

#[test]
fn damage_is_repaired_and_counted() {
    isolated("damage_is_repaired_and_counted", || {
        let _one = TcpListener::bind(ONE).unwrap();
        let mut appliance = Appliance::new();
        std::fs::write(appliance.file(CONFIG_FILE), CONFIG).unwrap();
        appliance.start();
        eventually("the first server is up", || appliance.weight(ONE) == Some(1));
        appliance.kernel.0.lock().unwrap().state.virtual_servers.clear();
        appliance.notices.send(()).unwrap();
        eventually("the server is back", || appliance.weight(ONE) == Some(1));
        eventually("the repair is counted", || {
            appliance.status().reconcile.repairs >= 2
        });
    });
}

#[test]
fn broken_clients_do_no_harm() {
    isolated("broken_clients_do_no_harm", || {
        let mut appliance = Appliance::new();
        appliance.start();
        let socket = appliance.dir.path().join("run/control.sock");
        let _silent = UnixStream::connect(&socket).unwrap();
        for text in ["", "\n", "{}\n", "\"no-such-request\"\n", "\u{0}\u{1}\n", "half"] {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            assert!(
                answer.is_empty() || answer.contains("error"),
                "{text:?}: {answer}"
            );
        }
        assert_eq!(appliance.status().config.source, ConfigSource::None);
    });
}
