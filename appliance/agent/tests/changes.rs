//! A new configuration that changes services only: what it changes is carried out, and nothing is read back for it. The
//! kernel is in memory, and the servers have no checks.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use lb_agent::{CONFIG_FILE, Places, Ports};
use lb_core::control::{ApplyReport, Request, Response, StatusReport};
use lb_core::fake::FakeKernel;
use lb_core::flat::FlatMap;
use lb_core::model::{MacAddress, RealKey, VirtualKey};
use lb_core::observed::{
    Activity, ConnectionTable, Observed, ObservedReal, ServerActivity, SysctlName, Wanted, WayBack,
};
use lb_core::plan::Step;
use lb_core::ports::{ActivityPort, KernelError, KernelFault, KernelPort, LinkEvents};

/// What the kernel went through.
#[derive(Default)]
struct Record {
    kernel: FakeKernel,
    frames: usize,
    pools: usize,
    /// How long the frame takes to be read.
    slow: Duration,
    /// The next step that begins so is refused.
    refuse: Option<&'static str>,
    connections: u32,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Record>>);

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
    fn activity(&mut self, _wanted: Wanted) -> Result<Activity, KernelError> {
        Ok(Activity::default())
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
        _index: u32,
        _own: MacAddress,
        _address: IpAddr,
    ) -> Result<Vec<String>, KernelError> {
        Ok(Vec::new())
    }
    fn ways_back(
        &mut self,
        _stranger: IpAddr,
        _servers: &[RealKey],
    ) -> Result<BTreeMap<RealKey, WayBack>, KernelError> {
        Ok(BTreeMap::new())
    }
    fn connections(&mut self, _limit: usize) -> Result<ConnectionTable, KernelError> {
        Ok(ConnectionTable::default())
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

struct Appliance {
    dir: tempfile::TempDir,
    links: mpsc::Sender<()>,
    record: Shared,
}

impl Appliance {
    fn start(text: &str) -> Appliance {
        Appliance::start_beside(text, None)
    }

    fn start_beside(text: &str, drains: Option<&str>) -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join(CONFIG_FILE), text).unwrap();
        if let Some(drains) = drains {
            std::fs::write(config.join(lb_agent::DRAINS_FILE), drains).unwrap();
        }
        let record = Record {
            kernel: FakeKernel::with_links(&["eth0", "eth1"]),
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

    fn ask(&self, request: &Request) -> Response {
        let mut stream = UnixStream::connect(self.dir.path().join("run/control.sock")).unwrap();
        let request = serde_json::to_string(request).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn put(&self, text: &str) -> ApplyReport {
        let text = text.to_owned();
        match self.ask(&Request::ConfigPut { text }) {
            Response::Apply(report) if report.applied => report,
            other => panic!("{other:?}"),
        }
    }

    fn status(&self) -> StatusReport {
        match self.ask(&Request::Status) {
            Response::Status(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// How often the kernel was read: the frame, and the servers of a service.
    fn read(&self) -> (usize, usize) {
        let record = self.record.0.lock().unwrap();
        (record.frames, record.pools)
    }

    /// Every service with its servers and their weights.
    fn table(&self) -> Vec<String> {
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
fn config(services: &[(u16, &[(u8, u16)])]) -> String {
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

#[test]
fn one_server_is_one_step_and_nothing_is_read() {
    let before: [(u16, &[(u8, u16)]); 3] = [(82, &[(1, 1)]), (80, &[(1, 1), (2, 1)]), (81, &[])];
    let appliance = Appliance::start(&config(&before));
    let read = appliance.read();
    let report = appliance.put(&config(&[before[0], (80, &[(1, 1), (2, 7)]), before[2]]));
    assert_eq!(
        report.steps,
        ["edit real 172.16.0.2:80 weight 7 nat of 192.168.0.1:80/tcp"]
    );
    assert!(report.failed.is_empty());
    let report = appliance.put(&config(&[before[0], (80, &[(1, 1), (3, 7)]), before[2]]));
    assert_eq!(
        report.steps,
        [
            "add real 172.16.0.3:80 weight 7 nat to 192.168.0.1:80/tcp",
            "delete real 172.16.0.2:80 from 192.168.0.1:80/tcp",
            // The set of servers whose replies are not tracked.
            "replace ruleset: 3 services, 2 raw, 7 input, 1 postrouting"
        ]
    );
    let same = format!(
        "# the same\n{}",
        config(&[before[0], (80, &[(1, 1), (3, 7)]), before[2]])
    );
    assert!(appliance.put(&same).steps.is_empty());
    assert_eq!(appliance.read(), read);
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.3:80*7",
            "192.168.0.1:81/tcp",
            "192.168.0.1:82/tcp 172.16.0.1:80*1"
        ]
    );
    assert_eq!(appliance.status().servers, 3);
}

#[test]
fn services_come_and_go_and_the_filter_follows() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1)]), (81, &[(1, 1)])]));
    let read = appliance.read();
    let report = appliance.put(&config(&[(81, &[(1, 1)]), (90, &[(2, 3)])]));
    let kinds: Vec<String> = report
        .steps
        .iter()
        .map(|step| step.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        kinds[..3],
        ["delete virtual", "add virtual", "add real"],
        "{:?}",
        report.steps
    );
    assert!(
        report.steps[3].starts_with("replace ruleset: 2 services"),
        "{:?}",
        report.steps
    );
    assert_eq!(appliance.read(), read);
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:81/tcp 172.16.0.1:80*1",
            "192.168.0.1:90/tcp 172.16.0.2:80*3"
        ]
    );
    let open: Vec<String> = {
        let record = appliance.record.0.lock().unwrap();
        let rules = record.kernel.state.ruleset.as_ref().unwrap();
        rules.services.iter().map(ToString::to_string).collect()
    };
    assert_eq!(open, ["192.168.0.1:81/tcp", "192.168.0.1:90/tcp"]);
}

#[test]
fn a_refusal_is_answered_by_a_pass_that_reads_everything() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1)])]));
    appliance.record.0.lock().unwrap().refuse = Some("add real");
    let (_, pools) = appliance.read();
    let report = appliance.put(&config(&[(80, &[(1, 1), (2, 1)])]));
    assert_eq!(
        report.steps,
        ["add real 172.16.0.2:80 weight 1 nat to 192.168.0.1:80/tcp"]
    );
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(appliance.read().1 > pools);
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*1"]
    );
    assert_eq!(appliance.status().reconcile.repairs, 0);
}

#[test]
fn a_change_of_the_network_takes_the_whole_way_without_reading_the_servers() {
    let services = config(&[(80, &[(1, 1)])]);
    let appliance = Appliance::start(&services);
    let (frames, pools) = appliance.read();
    let report = appliance.put(&services.replace("172.16.0.254/24", "172.16.0.254/16"));
    assert!(
        report
            .steps
            .iter()
            .any(|step| step.starts_with("add address 172.16.0.254/16")),
        "{:?}",
        report.steps
    );
    assert!(appliance.read().0 > frames);
    assert_eq!(appliance.read().1, pools);
}

/// It is in force when the read-back arrives, whose steps are its own.
#[test]
fn a_change_of_the_network_during_a_read_back_is_no_repair() {
    let services = config(&[(80, &[(1, 1)])]);
    let appliance = Appliance::start(&services);
    let slow = |millis| appliance.record.0.lock().unwrap().slow = Duration::from_millis(millis);
    slow(500);
    let (frames, _) = appliance.read();
    appliance.links.send(()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while appliance.read().0 == frames {
        assert!(
            Instant::now() < deadline,
            "links have changed, and nothing is read"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let other = config(&[(80, &[(1, 2)]), (81, &[(1, 1)])]);
    appliance.put(&other.replace("172.16.0.254/24", "172.16.0.254/16"));
    slow(0);
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:80/tcp 172.16.0.1:80*2",
            "192.168.0.1:81/tcp 172.16.0.1:80*1"
        ]
    );
    assert_eq!(appliance.status().reconcile.repairs, 0);
}

/// Who has an answer may cut the power.
#[test]
fn a_change_is_answered_when_it_is_kept() {
    let before: [(u16, &[(u8, u16)]); 2] = [(80, &[(1, 1)]), (81, &[(1, 1)])];
    let appliance = Appliance::start(&config(&before));
    let volume = appliance.dir.path().join("config");
    for weight in 2..30 {
        let text = config(&[before[0], (81, &[(1, weight)])]);
        let report = appliance.put(&text);
        assert!(report.persisted && report.steps.len() == 1, "{report:?}");
        let kept = std::fs::read_to_string(volume.join("lb.applied.toml")).unwrap();
        assert_eq!(kept, text);
    }
    // As somebody else wrote it.
    let written = config(&[before[0], (81, &[(1, 30)])]);
    std::fs::write(volume.join(CONFIG_FILE), written).unwrap();
    let Response::Apply(report) = appliance.ask(&Request::ConfigApply) else {
        panic!("no report");
    };
    assert!(report.applied && report.persisted, "{report:?}");
}

fn eventually(appliance: &Appliance, expected: &[&str]) {
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

#[test]
fn a_server_that_is_taken_out_leaves_with_its_last_connection() {
    let text = |servers: &[(u8, u16)]| config(&[(80, servers)]).replace("\"0s\"", "\"1h\"");
    let appliance = Appliance::start(&text(&[(1, 1), (2, 1)]));
    appliance.record.0.lock().unwrap().connections = 3;
    let report = appliance.put(&text(&[(1, 1)]));
    assert_eq!(
        report.steps,
        ["edit real 172.16.0.2:80 weight 0 nat of 192.168.0.1:80/tcp"]
    );
    // Something else changes meanwhile, and it comes back, and leaves again.
    appliance.put(&text(&[(1, 2)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*2 172.16.0.2:80*0"]
    );
    let status = appliance.status();
    assert_eq!(
        (status.servers_up, status.servers),
        (1, 1),
        "it is not of the file"
    );
    appliance.put(&text(&[(1, 1), (2, 5)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*5"]
    );
    appliance.put(&text(&[(1, 1)]));
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*0"]
    );
    appliance.record.0.lock().unwrap().connections = 0;
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*1"]);
    assert_eq!(appliance.status().reconcile.repairs, 0);
}

#[test]
fn the_time_of_a_server_that_is_taken_out_ends() {
    let text = |servers: &[(u8, u16)]| config(&[(80, servers)]).replace("\"0s\"", "\"2s\"");
    let appliance = Appliance::start(&text(&[(1, 1), (2, 1)]));
    appliance.record.0.lock().unwrap().connections = 3;
    appliance.put(&text(&[(1, 1)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*0"]
    );
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*1"]);
    // Datagrams have no end that could be waited for.
    let udp = |servers: &[(u8, u16)]| {
        text(servers).replace("name = \"s80\"\n", "name = \"s80\"\nprotocol = \"udp\"\n")
    };
    appliance.put(&udp(&[(1, 1), (2, 1)]));
    appliance.put(&udp(&[(1, 1)]));
    assert_eq!(appliance.table(), ["192.168.0.1:80/udp 172.16.0.1:80*1"]);
}

#[test]
fn what_is_set_aside_gets_nothing_until_it_is_taken_back_also_by_the_next_agent() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1), (2, 1)]), (81, &[(1, 3)])]));
    appliance.record.0.lock().unwrap().connections = 5;
    let server = || "172.16.0.1".to_owned();
    let ask = |request: Request| match appliance.ask(&request) {
        Response::Drains(report) => report,
        other => panic!("{other:?}"),
    };
    let service = || Some("s80".to_owned());
    let report = ask(Request::Drain {
        server: server(),
        service: service(),
    });
    assert_eq!(
        (report.drains.len(), report.warnings, report.persist_fault),
        (1, vec![], None)
    );
    eventually(
        &appliance,
        &[
            "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
            "192.168.0.1:81/tcp 172.16.0.1:80*3",
        ],
    );
    let report = ask(Request::Drain {
        server: server(),
        service: None,
    });
    assert_eq!(
        report.warnings,
        ["service s81 has no other server that is up: its clients are refused"]
    );
    let everywhere = [
        "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
        "192.168.0.1:81/tcp 172.16.0.1:80*0",
    ];
    eventually(&appliance, &everywhere);
    // Another agent on the same disk, beside a kernel that has forgotten everything, as after a reboot.
    let kept = std::fs::read_to_string(appliance.dir.path().join("config/drains.toml")).unwrap();
    let again = Appliance::start_beside(&config(&[(80, &[(1, 1), (2, 1)]), (81, &[(1, 3)])]), Some(&kept));
    eventually(&again, &everywhere);
    let problems = again.status().problems;
    assert!(
        problems.iter().any(|line| line.contains("1 more are set aside")),
        "{problems:?}"
    );
    ask(Request::Undrain {
        server: server(),
        service: None,
    });
    eventually(
        &appliance,
        &[
            "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
            "192.168.0.1:81/tcp 172.16.0.1:80*3",
        ],
    );
    for (server, service, remedy) in [
        ("172.16.0.9", None, "the servers are 172.16.0.1:80, 172.16.0.2:80"),
        ("172.16.0.1", Some("s82"), "the services are: s80, s81"),
        ("worker01", None, "ADDRESS:PORT"),
    ] {
        let request = Request::Drain {
            server: server.to_owned(),
            service: service.map(str::to_owned),
        };
        match appliance.ask(&request) {
            Response::Error { message } => assert!(message.contains(remedy), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    let request = Request::Undrain {
        server: server(),
        service: None,
    };
    match appliance.ask(&request) {
        Response::Error { message } => {
            assert!(message.contains("set aside are: 172.16.0.1 of s80"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_without_steps_and_slips_of_the_fingers_are_told() {
    let before = config(&[(80, &[(1, 1), (2, 1)]), (81, &[(1, 1)])]);
    let appliance = Appliance::start(&before);
    let after = before.replacen("type = \"none\" }", "type = \"tls\", ca = \"ca.pem\" }", 1);
    let report = appliance.put(&after);
    assert_eq!(
        (report.steps.len(), report.changed.as_slice()),
        (0, &["checks of s80".to_owned()][..])
    );
    let missing = |warnings: &[String]| {
        warnings
            .iter()
            .any(|warning| warning.contains("there is no ca.pem beside lb.toml"))
    };
    assert!(missing(&report.check.warnings), "{report:?}");
    match appliance.ask(&Request::ConfigCheck { text: None }) {
        Response::Check(check) => assert!(check.ok && missing(&check.warnings), "{check:?}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(appliance.dir.path().join("config/ca.pem"), "whatever").unwrap();
    match appliance.ask(&Request::ConfigCheck { text: None }) {
        Response::Check(check) => assert!(check.ok && !missing(&check.warnings), "{check:?}"),
        other => panic!("{other:?}"),
    }
    let events = |about: &str| {
        let about = Some(about.to_owned());
        appliance.ask(&Request::Events { last: 10, about })
    };
    assert_eq!(
        events("s8O"),
        Response::Error {
            message: "nothing is called `s8O`, did you mean `s80`? there are: 172.16.0.1, 172.16.0.1:80, 172.16.0.2, 172.16.0.2:80, \
                      eth0, eth1, s80, s81; `events` without a name lists all"
                .to_owned()
        }
    );
    assert!(
        matches!(events("eth1"), Response::Events(_)),
        "it is there, whether anything has happened or not"
    );
    let services = appliance.ask(&Request::Services {
        name: Some("s8".to_owned()),
    });
    let expected = "there is no service `s8`, did you mean `s80`? the services are: s80, s81";
    assert!(
        matches!(&services, Response::Error { message } if message == expected),
        "{services:?}"
    );
    let drain = |server: &str| {
        let server = server.to_owned();
        appliance.ask(&Request::Drain {
            server,
            service: None,
        })
    };
    match drain("172.16.0.1") {
        Response::Drains(report) => {
            assert_eq!(report.servers, ["172.16.0.1:80 of s80", "172.16.0.1:80 of s81"])
        }
        other => panic!("{other:?}"),
    }
    let unknown = drain("172.16.0.2:8080");
    let expected = "lb.toml has no server 172.16.0.2:8080, did you mean 172.16.0.2:80? the servers are";
    assert!(
        matches!(&unknown, Response::Error { message } if message.starts_with(expected)),
        "{unknown:?}"
    );
}
